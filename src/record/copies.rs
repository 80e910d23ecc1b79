//! Trials that are copies of one another under other seeds: they look like repeats, and hold the luck of one.

use std::collections::BTreeMap;

use super::{ResultFile, Status, Trial, metric};

/// Fewer points of a curve may be the same by chance, as those of a model that does not train are.
const POINTS: usize = 2;

/// Finished trials of one cell whose seeds differ and whose losses do not, from the first point of their curves to the end, each pair in
/// a sentence. Seeds draw the parameters and the order of the data, so that no two end alike to the bit. Logs of others are passed over,
/// for they round.
pub fn copies(file: &ResultFile) -> Vec<String> {
    let mut known: BTreeMap<(&str, Vec<u64>), &Trial> = BTreeMap::new();
    let mut found = Vec::new();
    for trial in &file.trials {
        let Some(losses) = losses(trial) else {
            continue;
        };
        let first = *known.entry((&trial.cell, losses)).or_insert(trial);
        if first.seed != trial.seed {
            found.push(format!(
                "{}: repeats {} and {} have the same losses to the bit with the seeds {} and {}: one is a copy of the other",
                trial.cell, first.repeat, trial.repeat, first.seed, trial.seed
            ));
        }
    }
    found
}

/// The bits of all losses of a trial that learnt something.
fn losses(trial: &Trial) -> Option<Vec<u64>> {
    let points: Vec<u64> = trial
        .curve
        .train_loss_nats
        .iter()
        .flatten()
        .map(|loss| loss.to_bits())
        .collect();
    let learnt = points.len() >= POINTS && points.windows(2).any(|two| two[0] != two[1]);
    let last = trial.metric(metric::VAL_LOSS_NATS)?;
    let own = trial.status == Status::Ok && trial.stated.is_none() && learnt;
    own.then(|| points.into_iter().chain([last.to_bits()]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;

    #[test]
    fn a_trial_under_another_seed_is_named() {
        let mut file = example();
        assert_eq!(copies(&file), Vec::<String>::new());
        let of = |seed: u64| move |t: &Trial| t.cell == "gpt2/w32@800" && t.seed == seed;
        let (from, to) = [1, 2]
            .map(|seed| file.trials.iter().position(of(seed)).unwrap())
            .into();
        let (curve, metrics) = (
            file.trials[from].curve.clone(),
            file.trials[from].metrics.clone(),
        );
        (file.trials[to].curve, file.trials[to].metrics) = (curve, metrics);
        let found = copies(&file);
        let says =
            "gpt2/w32@800: repeats 1 and 2 have the same losses to the bit with the seeds 1 and 2";
        assert!(found.len() == 1 && found[0].starts_with(says), "{found:?}");
        // Of somebody's log nobody knows how it was rounded.
        file.trials[to].stated = Some(crate::record::Stated::default());
        assert_eq!(copies(&file), Vec::<String>::new());
    }
}
