//! What the analysis found about one or more result files, computed once for all sections of a report.

use std::collections::BTreeMap;

use super::along::{OverCompute, over_compute};
use super::compare::{Comparison, Options, Side, compare};
use super::fit::points::{Counted, groups, of_trials};
use super::fit::{IsoFlop, isoflop};
use super::ladder::{Ladder, ladders};
use super::price::Bill;
use super::stratum::{strata, words};
use super::study::{Study, studies};
use super::summary::summary;
use super::{Answer, CellSummary, Unanswered, answer};
use crate::config::Price;
use crate::config::against::{BASE, HEAD};
use crate::record::identity::{cell_id, unlike};
use crate::record::{Machine, ResultFile, Status, Trial, metric};
use crate::stat::interval::LEVEL;
use crate::stat::{Estimate, mean_estimate};

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
}

/// A cell on one machine and one data source: what may be averaged.
#[derive(Debug)]
pub struct Cell<'a> {
    /// The cell's name, with whatever else tells it apart in this file.
    pub name: String,
    /// Means and spreads over its finished repeats.
    pub summary: CellSummary,
    /// Its trials, finished or not; at least one.
    pub trials: Vec<&'a Trial>,
    /// Index into [`Findings::data`].
    pub data: usize,
}

impl<'a> Cell<'a> {
    /// Any of its trials: variant, scale, budget and machine are the same in all.
    pub fn any(&self) -> &'a Trial {
        self.trials[0]
    }

    /// The trials that finished.
    pub fn finished(&self) -> impl Iterator<Item = &'a Trial> {
        self.trials
            .iter()
            .copied()
            .filter(|trial| trial.status == Status::Ok)
    }

    /// The mean of a metric over finished repeats.
    pub fn mean(&self, name: &str) -> Option<f64> {
        self.summary.metrics.get(name).map(|spread| spread.mean)
    }

    /// The same with its interval over repeats.
    pub fn estimate(&self, name: &str) -> Option<Estimate> {
        mean_estimate(
            &self
                .finished()
                .filter_map(|trial| trial.metric(name))
                .collect::<Vec<_>>(),
            LEVEL,
        )
    }

    /// Model FLOPs of training.
    pub fn train_flops(&self) -> Option<f64> {
        self.any().train_flops().filter(|flops| *flops > 0.0)
    }

    /// `n = 4`, or `n = 3 of 4`.
    pub fn count(&self) -> String {
        let (finished, trials) = (self.summary.finished(), self.summary.trials());
        if finished == trials {
            format!("n = {trials}")
        } else {
            format!("n = {finished} of {trials}")
        }
    }
}

/// What makes trials repeats of one thing.
type Key<'a> = (&'a str, &'a str, u64, usize, String);

impl<'a> Findings<'a> {
    /// Looks at a file once, without prices.
    pub fn of(file: &'a ResultFile) -> Self {
        Self::at(file, None)
    }

    /// Looks at a file once; `price` says what was spent in money and carbon.
    pub fn at(file: &'a ResultFile, price: Option<&Price>) -> Self {
        // A sweep beside what it chose for says nothing of its own.
        let sweep_only = file.trials.iter().all(Trial::in_sweep);
        let mut trials: Vec<&Trial> = file
            .trials
            .iter()
            .filter(|t| sweep_only || !t.in_sweep())
            .collect();
        trials.sort_by_key(|trial| trial.order);
        let variants = variants(file.run.base.as_deref(), &trials);
        let mut data: Vec<String> = Vec::new();
        let mut groups: Vec<(Key, Vec<&Trial>)> = Vec::new();
        let mut places: BTreeMap<Key, usize> = BTreeMap::new();
        for trial in trials {
            let source = trial
                .spec
                .get("data")
                .map(ToString::to_string)
                .unwrap_or_default();
            let source = data
                .iter()
                .position(|known| *known == source)
                .unwrap_or_else(|| {
                    data.push(source);
                    data.len() - 1
                });
            let key = (
                trial.cell.as_str(),
                trial.arm.as_str(),
                trial.machine,
                source,
                cell_id(trial),
            );
            let place = *places.entry(key.clone()).or_insert_with(|| {
                groups.push((key, Vec::new()));
                groups.len() - 1
            });
            groups[place].1.push(trial);
        }
        let several = data.len() > 1;
        let settings: Vec<String> = groups
            .iter()
            .map(|group| other_settings(&groups, group))
            .collect();
        let named = groups.into_iter().zip(settings);
        let cells = named
            .map(|((key, trials), settings)| cell(file, key, trials, (several, &settings)))
            .collect();
        let studies = studies(file, price, None, None).unwrap_or_default();
        let bill = price.map(|price| (price.bill(file), price.name.clone()));
        Self {
            file,
            answer: answer(file),
            studies,
            variants,
            cells,
            data: names(file, &data),
            along: over_compute(file, None, None, None).unwrap_or_default(),
            ladders: ladders(file),
            profiles: profiles(file),
            compared: compared(file),
            bill,
        }
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

/// What tells a group from the others of its name, where there are others: `, train.batch 8`.
fn other_settings(groups: &[(Key, Vec<&Trial>)], (key, trials): &(Key, Vec<&Trial>)) -> String {
    let same = |other: &&(Key, Vec<&Trial>)| {
        (other.0.0, other.0.1, other.0.2, other.0.3) == (key.0, key.1, key.2, key.3)
    };
    let other = groups.iter().filter(same).find(|other| other.0.4 != key.4);
    let unlike = other
        .map(|(_, others)| unlike(others[0], trials[0]))
        .unwrap_or_default();
    let said = unlike
        .iter()
        .map(|u| format!(", {} {}", u.key, u.new.as_deref().unwrap_or("absent")));
    said.collect()
}

fn cell<'a>(file: &ResultFile, key: Key, trials: Vec<&'a Trial>, told: (bool, &str)) -> Cell<'a> {
    let (name, arm, machine, data, _) = key;
    let (several_data, settings) = told;
    let mut full = format!("{name}{settings}");
    if arm != name {
        full += &format!(" [{arm}]");
    }
    if file.machines.len() > 1 {
        full += &file
            .machines
            .get(machine as usize)
            .map(|m| format!(" on {}", m.class_id))
            .unwrap_or_default();
    }
    if several_data {
        full += &format!(" (data {})", data + 1);
    }
    Cell {
        name: full,
        summary: summary(name, arm, &trials),
        trials,
        data,
    }
}

/// What to call each data source; those that would be called the same are numbered.
fn names(file: &ResultFile, data: &[String]) -> Vec<String> {
    if let [_] = data {
        return vec![file.run.data.clone()];
    }
    let name = |spec: &String| words(serde_json::from_str(spec).ok().as_ref(), &file.run.data);
    let names: Vec<String> = data.iter().map(name).collect();
    let again = |name: &String| names.iter().filter(|other| *other == name).count() > 1;
    let numbered = |(k, name): (usize, &String)| {
        if again(name) {
            format!("{name} {}", k + 1)
        } else {
            name.clone()
        }
    };
    names.iter().enumerate().map(numbered).collect()
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
