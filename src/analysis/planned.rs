//! Which repeats were planned: one that was and is not there is told; one that nobody planned is missing nowhere.

use std::collections::{BTreeMap, BTreeSet};

use super::pairs::Pairs;
use crate::record::{ResultFile, Trial};

/// Repeats that were planned of everything that an answer needs, and that did not all finish. A run plans the same seeds for each of
/// its cells; where a file holds several runs, those of a cell are those of the runs that it is in, and seeds that only other cells have
/// are no repeats of it.
pub(super) fn missing(file: &ResultFile, pairs: &Pairs) -> u64 {
    // Seeds that nobody planned together say nothing of what is missing.
    if pairs.unpaired {
        return 0;
    }
    let mut runs: BTreeMap<&Option<String>, BTreeSet<u64>> = BTreeMap::new();
    let judged = || file.trials.iter().filter(|trial| !trial.in_sweep());
    for trial in judged() {
        runs.entry(&trial.run_started_at)
            .or_default()
            .insert(trial.seed);
    }
    let question = &pairs.question;
    let seeds = |of_cell: &dyn Fn(&Trial) -> bool| {
        let trials = judged().filter(|trial| of_cell(trial));
        let seeds = trials.filter_map(|trial| runs.get(&trial.run_started_at));
        seeds.flatten().copied().collect::<BTreeSet<u64>>()
    };
    let mut planned = seeds(&|trial| question.is_variant(trial));
    for cell in &pairs.cells {
        let of_base = seeds(&|trial| {
            let same = trial.scale == cell.scale && trial.budget == cell.budget;
            same && question.is_base(trial)
        });
        planned = &planned & &of_base;
    }
    let found: BTreeSet<u64> = pairs.pairs.iter().map(|pair| pair.seed).collect();
    let lost = planned.difference(&found).count() as u64;
    match &runs.keys().collect::<Vec<_>>()[..] {
        // One run says how many it planned, whether it got there or not.
        [None] => lost.max(file.run.repeats.saturating_sub(found.len() as u64)),
        _ => lost,
    }
}

#[cfg(test)]
mod tests {
    use crate::analysis::answer;
    use crate::record::example::example;
    use crate::record::pool::pool;
    use crate::record::{ResultFile, Status};

    fn told(file: &ResultFile) -> Option<String> {
        let caveats = answer(file).unwrap().caveats;
        let told = caveats.into_iter().find(|c| c.code == "incomplete_repeats");
        told.map(|caveat| caveat.message)
    }

    /// The example has four repeats; beside it another run has four cells more with eight.
    fn beside_eight_repeats() -> ResultFile {
        let (file, mut other) = (example(), example());
        other.run.repeats = 8;
        other.run.started_at = "2026-11-22T10:00:00Z".to_owned();
        other.trials.retain(|trial| trial.variant == "modern");
        let again = other.trials.clone();
        other.trials.extend(again.into_iter().map(|mut trial| {
            trial.seed += 4;
            trial.repeat += 4;
            trial
        }));
        for trial in &mut other.trials {
            trial.id = format!("other-{}-{}", trial.cell, trial.seed);
            trial.variant = "other".to_owned();
            trial.cell = trial.cell.replace("modern", "other");
        }
        pool(vec![("a".to_owned(), file), ("b".to_owned(), other)]).unwrap()
    }

    #[test]
    fn a_repeat_that_nobody_planned_is_not_missing() {
        let mut file = beside_eight_repeats();
        file.run.headline = example().run.headline;
        assert_eq!((file.run.repeats, told(&file)), (8, None));
        // One that failed was planned.
        let of_variant = |t: &&mut crate::record::Trial| t.variant == "modern" && t.seed == 3;
        file.trials
            .iter_mut()
            .filter(of_variant)
            .for_each(|trial| trial.status = Status::Failed);
        let said = told(&file).unwrap();
        assert!(said.starts_with("3 of 4 repeats finished"), "{said}");
    }

    #[test]
    fn a_repeat_that_was_planned_and_is_absent_is_missing() {
        let mut file = example();
        file.run.repeats = 6;
        assert!(told(&file).unwrap().starts_with("4 of 6 repeats finished"));
        let mut file = example();
        file.trials.retain(|t| t.variant != "modern" || t.seed != 2);
        assert!(told(&file).unwrap().starts_with("3 of 4 repeats finished"));
    }
}
