//! What the analysis found about one or more result files, computed once for all sections of a report.

use std::collections::BTreeMap;

use super::along::{OverCompute, over_compute};
use super::caveat::of_machine;
use super::cell::{cells, judged};
use super::compare::{Comparison, Options, Side, compare};
use super::fit::points::{Counted, groups, of_trials};
use super::fit::{IsoFlop, isoflop};
use super::ladder::{Ladder, ladders};
use super::price::Bill;
use super::stratum::strata;
use super::study::{Study, studies};
use super::{Answer, Caveat, Unanswered, answer};
use crate::config::Price;
use crate::config::against::{BASE, HEAD};
use crate::record::{Machine, ResultFile, Trial, metric};

pub use super::cell::Cell;

/// Everything that sections draw on.
#[derive(Debug)]
pub struct Findings<'a> {
    /// The pooled file.
    pub file: &'a ResultFile,
    /// Its headline.
    pub answer: Result<Answer, Unanswered>,
    /// Every gain, by kind of data; none where the file names no base.
    pub studies: Vec<Study>,
    /// The base first, then in the order in which they first ran; hues count in it.
    pub variants: Vec<String>,
    /// What was repeated, in the order in which it first ran.
    pub cells: Vec<Cell<'a>>,
    /// What the data were, by the specs: losses on different data are not compared.
    pub data: Vec<String>,
    /// Gains as functions of compute, by kind of data; none where the file names no base.
    pub along: Vec<OverCompute>,
    /// Laws of loss in compute, where variants ran at several sizes and budgets.
    pub ladders: Vec<Ladder>,
    /// IsoFLOP profiles of variants with several sizes at several budgets, by kind of data.
    pub profiles: Vec<IsoFlop>,
    /// What a file that holds two builds' arms says of the newer one.
    pub compared: Option<Comparison>,
    /// What all of it cost, and by whose prices.
    pub bill: Option<(Bill, String)>,
    /// Those prices.
    pub price: Option<&'a Price>,
}

impl<'a> Findings<'a> {
    /// Looks at a file once, without prices.
    pub fn of(file: &'a ResultFile) -> Self {
        Self::at(file, None)
    }

    /// Looks at a file once; `price` says what was spent in money and carbon.
    pub fn at(file: &'a ResultFile, price: Option<&'a Price>) -> Self {
        let trials = judged(file);
        let variants = variants(file.run.base.as_deref(), &trials);
        let (cells, data) = cells(file, trials);
        let studies = studies(file, price, None, None).unwrap_or_default();
        let bill = price.map(|price| (price.bill(file), price.name.clone()));
        Self {
            file,
            answer: answer(file),
            studies,
            variants,
            cells,
            data,
            along: over_compute(file, None, None, None).unwrap_or_default(),
            ladders: ladders(file),
            profiles: profiles(file),
            compared: compared(file),
            bill,
            price,
        }
    }

    /// Every reason for doubt: of the answer, where there is one, and of the machine, whatever is asked.
    pub fn doubts(&self) -> Vec<Caveat> {
        let answer = self.answer.as_ref();
        let mut found = answer.map_or_else(|_| Vec::new(), |answer| answer.caveats.clone());
        let trials = self.cells.iter().flat_map(Cell::finished);
        for caveat in of_machine(self.file, trials) {
            if found.iter().all(|known| known.code != caveat.code) {
                found.push(caveat);
            }
        }
        found
    }

    /// Whether more than one scale was run.
    pub fn several_scales(&self) -> bool {
        let mut scales = self.cells.iter().map(|cell| &cell.any().scale);
        let first = scales.next();
        scales.any(|scale| Some(scale) != first)
    }

    /// A variant at a scale, by its name alone where there is only one scale.
    pub fn series_name(&self, trial: &Trial) -> String {
        if self.several_scales() {
            format!("{} {}", trial.variant, trial.scale)
        } else {
            trial.variant.clone()
        }
    }

    /// Excess loss where every cell that finished has it, else validation loss.
    pub fn loss(&self) -> &'static str {
        let mut finished = self.cells.iter().filter(|cell| cell.summary.finished() > 0);
        let all = finished.all(|cell| cell.mean(metric::EXCESS_LOSS_NATS).is_some());
        if all {
            metric::EXCESS_LOSS_NATS
        } else {
            metric::VAL_LOSS_NATS
        }
    }

    /// The machine that a trial ran on.
    pub fn machine(&self, trial: &Trial) -> Option<&'a Machine> {
        self.file.machines.get(usize::try_from(trial.machine).ok()?)
    }

    /// Cells that can be compared in every respect, with what they share: one machine and one data source.
    pub fn comparable(&self) -> Vec<(String, Vec<&Cell<'a>>)> {
        let mut groups: BTreeMap<(u64, usize), Vec<&Cell>> = BTreeMap::new();
        for cell in &self.cells {
            groups
                .entry((cell.any().machine, cell.data))
                .or_default()
                .push(cell);
        }
        let name = |machine: u64, data: usize| {
            let class = self
                .file
                .machines
                .get(machine as usize)
                .map_or("", |machine| machine.class_id.as_str());
            format!("{class}, {}", self.data[data])
        };
        let alone = groups.len() == 1;
        let named = groups
            .into_iter()
            .map(|((m, d), cells)| (if alone { String::new() } else { name(m, d) }, cells));
        named.collect()
    }
}

fn variants(base: Option<&str>, trials: &[&Trial]) -> Vec<String> {
    let mut variants: Vec<String> = Vec::new();
    let ran = |name: &&str| trials.iter().any(|trial| trial.variant == *name);
    for name in base
        .filter(ran)
        .into_iter()
        .chain(trials.iter().map(|trial| trial.variant.as_str()))
    {
        if !variants.iter().any(|known| known == name) {
            variants.push(name.to_owned());
        }
    }
    variants
}

/// The two arms of `effbench run --against`, where the file has both.
fn compared(file: &ResultFile) -> Option<Comparison> {
    let both = [BASE, HEAD].map(|arm| file.trials.iter().any(|trial| trial.arm == arm));
    if both != [true, true] {
        return None;
    }
    let files = [(file.run.suite.clone(), file.clone())];
    let side = |arm: &str| Side::new(&format!("the arm {arm}"), &files, Some(arm));
    Some(compare(&side(BASE), &side(HEAD), &Options::default()))
}

/// The isoFLOP profiles in a file: of each variant that has a lowest point among its sizes at two budgets or more.
fn profiles(file: &ResultFile) -> Vec<IsoFlop> {
    let mut found = Vec::new();
    for stratum in strata(file, None) {
        let Ok(points) = of_trials(&stratum.trials, Counted::Total) else {
            continue;
        };
        for group in groups(&points.points) {
            let own = points.points.iter().filter(|point| point.group == group);
            found.extend(isoflop::profiles(&own.cloned().collect::<Vec<_>>()).ok());
        }
    }
    let valleys = |found: &IsoFlop| {
        found
            .profiles
            .iter()
            .filter(|p| !p.valley.is_empty())
            .count()
    };
    found.retain(|one| valleys(one) > 1);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;

    #[test]
    fn the_base_comes_first_and_repeats_are_one_cell() {
        let mut file = example();
        file.run.base = Some("modern".to_owned());
        let findings = Findings::of(&file);
        assert_eq!(findings.variants, ["modern", "gpt2"]);
        assert_eq!(
            (findings.cells.len(), findings.cells[0].count().as_str()),
            (5, "n = 4")
        );
        assert_eq!(findings.data, ["synthetic language"]);
        assert_eq!(findings.comparable().len(), 1);
    }

    /// A cell is its settled spec: what has its name and another batch is another cell, and is not averaged with it.
    #[test]
    fn cells_of_one_name_and_other_settings_stand_apart() {
        let mut file = example();
        let mut other = example();
        for trial in &mut other.trials {
            trial.id.push_str("-other");
            trial.spec["train"]["batch"] = 8.into();
            trial.spec_sha256 = crate::record::spec_sha256(&trial.spec);
        }
        file.trials.extend(other.trials);
        let findings = Findings::of(&file);
        let names: Vec<&str> = findings
            .cells
            .iter()
            .map(|cell| cell.name.as_str())
            .collect();
        assert_eq!(names.len(), 10, "{names:?}");
        assert!(names.contains(&"gpt2/w32@400, train.batch 8"), "{names:?}");
        assert!(findings.cells.iter().all(|cell| cell.count() == "n = 4"));
    }

    /// Averages over machines or data would be of nothing in particular.
    #[test]
    fn other_machines_and_other_data_are_other_cells() {
        let mut file = example();
        let mut other = file.machines[0].clone();
        other.class_id = "arm-4c-linux".to_owned();
        file.machines.push(other);
        file.trials[0].machine = 1;
        file.trials[1].spec["data"]["vocab"] = 256.into();
        let findings = Findings::of(&file);
        let names: Vec<&str> = findings
            .cells
            .iter()
            .map(|cell| cell.name.as_str())
            .collect();
        assert_eq!(names.len(), 7, "{names:?}");
        assert!(
            names.contains(&"gpt2/w32@400 on arm-4c-linux (data 1)"),
            "{names:?}"
        );
        assert!(
            names.contains(&"gpt2/w32@800 on epyc-2c-linux (data 2)"),
            "{names:?}"
        );
        assert_eq!(findings.comparable().len(), 3);
    }
}
