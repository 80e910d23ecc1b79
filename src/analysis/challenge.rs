//! A challenge: anyone's variant, tuned and judged by a protocol that is the same for all, against trials of the base that are in
//! a committed file. The rules are looked at in the files themselves, so that a result can be judged by whoever has it.
//!
//! The base is not trained again for each challenger: losses are the same bits on one type of machine, and the seeds, which are the
//! protocol's, pair what ran years apart. That this machine finds the committed losses again is for the caller to see first.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::Answer;
use super::forecast::Forecast;
use super::study::{Study, studies};
use super::trend::Trend;
use crate::config::rate::LR;
use crate::config::suite::Tried;
use crate::config::{Suite, Variant};
use crate::error::{Error, Kind, Result};
use crate::record::pool::pool;
use crate::record::{ResultFile, Status, Trial, metric};
use crate::stat::mean;

/// What a challenger has in common with the base, setting by setting or table by table. How fast and on what it is
/// computed decides no loss.
const FIXED: [&str; 7] = [
    "data",
    "model.context",
    "model.width",
    "train.batch",
    "train.steps",
    "train.tokens",
    "train.tokens_per_param",
];
/// What would be training that nobody counted.
const NONE: [&str; 4] = [
    "model.from",
    "model.from_cell",
    "model.from_spec",
    "train.distill",
];
/// Tables that say how to measure and compute, and nothing of the variant ...
const SURROUNDINGS: [&str; 3] = ["measure", "infer", "compute"];
/// ... but for this key: numbers that are rounded more are another algorithm.
const DTYPE: &str = "compute.dtype";
/// What a rate of a sweep may be off by, of itself: it has four digits.
const OFF: f64 = 2e-3;

/// The rules, and the trials that a challenger is held against.
#[derive(Debug)]
pub struct Protocol {
    suite: Suite,
    base: String,
    scale: String,
    /// By steps, ascending.
    budgets: Vec<u64>,
    /// Of these the one that is asked about.
    asked: u64,
    frontier: ResultFile,
}

/// A challenger, judged.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// The variant.
    pub variant: String,
    /// What it is worth at the budget that the protocol asks about.
    pub answer: Answer,
    /// Its mean validation loss there, in nats.
    pub loss_nats: f64,
    /// What a doubling of compute multiplies its gain by, where that is solved at two budgets.
    pub trend: Option<Trend>,
    /// What its cheaper runs foretold of the dearest, and what came.
    pub forecast: Option<Forecast>,
    /// Trials that chose its rates.
    pub sweep_trials: usize,
}

fn broken(message: String) -> Error {
    Error {
        kind: Kind::NotComparable,
        message,
        hint: None,
    }
}

impl Protocol {
    /// The protocol of a suite, against a file that holds the base's trials.
    pub fn of(suite: Suite, frontier: ResultFile) -> Result<Self> {
        let (Some(base), Some(headline)) = (suite.base.clone(), suite.headline.clone()) else {
            return Err(Error::internal("the protocol asks no question"));
        };
        let rows = suite.groups.iter();
        let budgets: BTreeSet<u64> = rows.flat_map(|group| group.steps.clone()).collect();
        let protocol = Self {
            base,
            scale: headline.scale,
            budgets: budgets.into_iter().collect(),
            asked: headline.budget,
            suite,
            frontier,
        };
        let wanted = protocol.seeds();
        let lacking = |budget: &u64| {
            let found = seeds(protocol.of_base(*budget));
            let (base, scale) = (&protocol.base, &protocol.scale);
            let there = found.intersection(&wanted).count();
            (found != wanted)
                .then(|| format!("{there} finished repeats of {base}/{scale}@{budget}"))
        };
        let lacking: Vec<String> = protocol.budgets.iter().filter_map(lacking).collect();
        if !lacking.is_empty() {
            return Err(broken(format!(
                "the file to be held against has {} on the protocol's {} seeds",
                lacking.join(", "),
                protocol.suite.repeats
            ))
            .hint(format!(
                "a challenge is held against a result of suite zoo; `effbench run zoo --variants {} --out base.json` makes one here",
                protocol.base
            )));
        }
        Ok(protocol)
    }

    /// The variant that challengers are held against.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The base's trials of the cell in question, as a file: what a machine should find again.
    pub fn to_find_again(&self) -> ResultFile {
        let mut file = self.frontier.clone();
        file.trials = self.of_base(self.asked).cloned().collect();
        file
    }

    fn seeds(&self) -> BTreeSet<u64> {
        (0..self.suite.repeats)
            .map(|k| self.suite.first_seed + k)
            .collect()
    }

    fn of_base(&self, budget: u64) -> impl Iterator<Item = &Trial> {
        let judged = self.frontier.trials.iter().filter(|t| !t.in_sweep());
        judged.filter(move |trial| {
            trial.variant == self.base && trial.scale == self.scale && trial.budget == Some(budget)
        })
    }

    /// Refuses a variant that sets what the protocol fixes, with the line at which it does.
    pub fn refuse_variant(&self, variant: &Variant) -> Result<()> {
        if variant.name == self.base {
            return Err(broken(format!(
                "{}: the name of the base, which every challenger is held against",
                variant.name
            ))
            .hint("give the file another name"));
        }
        if variant.tree.get(LR).is_none() {
            return Err(broken(format!(
                "{}: it begins with no variant, and so has no {LR} whose multiples the protocol tries",
                variant.name
            ))
            .hint("its first line is `base = \"gpt2\"`, or another that `effbench list variants` names"));
        }
        for (key, entry) in variant.tree.iter() {
            let mut fixed = FIXED.iter().chain(&NONE).chain(&SURROUNDINGS);
            let same = self.suite.set.get(key).map(|set| &set.value) == Some(&entry.value);
            let within = |group: &str| key == group || key.starts_with(&format!("{group}."));
            if fixed.any(|group| within(group)) && key != DTYPE && !same {
                return Err(broken(format!(
                    "{}: {key} = {}: the protocol fixes this key for all",
                    entry.origin, entry.value
                ))
                .hint("leave it out: docs/challenge.md says what a challenger may change"));
            }
        }
        Ok(())
    }

    /// Refuses a settled spec that is not what the protocol fixes, as one of a file that somebody made may be.
    pub fn refuse_spec(&self, cell: &str, budget: Option<u64>, spec: &Value) -> Result<()> {
        let known = |known: &&u64| Some(**known) == budget;
        let Some(budget) = self.budgets.iter().find(known) else {
            let budgets: Vec<String> = self.budgets.iter().map(u64::to_string).collect();
            return Err(broken(format!(
                "{cell}: the protocol has {} steps",
                budgets.join(", ")
            )));
        };
        match self.of_base(*budget).next() {
            Some(base) => refuse_other(cell, spec, &base.spec),
            None => Ok(()),
        }
    }

    /// Every challenger of a file.
    pub fn judge(&self, name: &str, file: &ResultFile) -> Result<Vec<Entry>> {
        let mut variants: Vec<&str> = Vec::new();
        for trial in file.trials.iter().filter(|trial| !trial.in_sweep()) {
            if trial.variant != self.base && !variants.contains(&trial.variant.as_str()) {
                variants.push(&trial.variant);
            }
        }
        if variants.is_empty() {
            return Err(broken(format!("{name}: no challenger in it")));
        }
        let one = |variant: &&str| {
            self.entry(file, variant).map_err(|why| Error {
                message: format!("{name}: {}", why.message),
                ..why
            })
        };
        variants.iter().map(one).collect()
    }

    fn entry(&self, file: &ResultFile, variant: &str) -> Result<Entry> {
        let mut own = file.clone();
        own.trials.retain(|trial| trial.variant == variant);
        let sweep_trials = self.refuse_trials(&own, variant)?;
        let mut others = self.frontier.clone();
        others.trials.retain(|trial| trial.variant != variant);
        let world = pool(vec![
            ("the file it is held against".to_owned(), others),
            ("its own".to_owned(), own),
        ])?;
        let study = studies(&world, None, Some(&self.base), Some(variant))
            .map_err(|why| broken(why.to_string()))?
            .into_iter()
            .find(|study| study.answers.iter().any(|answer| self.asks(answer)));
        let Some(study) = study else {
            return Err(broken(format!(
                "{variant}: its trials and the base's do not pair"
            )));
        };
        let Study {
            answers,
            trends,
            forecasts,
            ..
        } = study;
        let losses: Vec<f64> = world
            .trials
            .iter()
            .filter(|trial| trial.variant == variant && trial.budget == Some(self.asked))
            .filter(|trial| !trial.in_sweep())
            .filter_map(|trial| trial.metric(metric::VAL_LOSS_NATS))
            .collect();
        let answer = answers.into_iter().find(|answer| self.asks(answer));
        let (Some(answer), Some(loss_nats)) = (answer, mean(&losses)) else {
            return Err(broken(format!("{variant}: no loss at the asked budget")));
        };
        Ok(Entry {
            variant: variant.to_owned(),
            answer,
            loss_nats,
            trend: trends.into_iter().next(),
            forecast: forecasts.into_iter().next(),
            sweep_trials,
        })
    }

    fn asks(&self, answer: &Answer) -> bool {
        answer.scale == self.scale && answer.budget == Some(self.asked)
    }

    /// Refuses trials that the protocol does not know, or that lack one; returns how many chose the rates.
    fn refuse_trials(&self, file: &ResultFile, variant: &str) -> Result<usize> {
        let (swept, judged): (Vec<&Trial>, Vec<&Trial>) =
            file.trials.iter().partition(|trial| trial.in_sweep());
        for trial in &judged {
            self.refuse_spec(&trial.cell, trial.budget, &trial.spec)?;
            if trial.scale != self.scale || trial.parent.is_some() || trial.teacher.is_some() {
                return Err(broken(format!(
                    "{}: the protocol is of {} alone, and of models that begin with nothing",
                    trial.cell, self.scale
                )));
            }
        }
        for budget in &self.budgets {
            let here = || judged.iter().filter(|trial| trial.budget == Some(*budget));
            let lost = here().filter(|trial| trial.status != Status::Ok).count();
            let cell = format!("{variant}/{}@{budget}", self.scale);
            // Without those that failed the others would look better than the variant is.
            if lost > 0 {
                let repeats = self.suite.repeats;
                return Err(broken(format!(
                    "{cell}: {lost} of {repeats} repeats did not finish, and a gain without them would flatter"
                )));
            }
            if seeds(here().copied()) != self.seeds() {
                return Err(broken(format!(
                    "{cell}: {} repeats, and the protocol has seeds {} to {}",
                    here().count(),
                    self.suite.first_seed,
                    self.suite.first_seed + self.suite.repeats - 1
                ))
                .hint("`--resume` runs what is missing"));
            }
        }
        self.refuse_sweep(variant, &swept)?;
        self.refuse_rates(variant, &swept)?;
        refuse_others(file)?;
        Ok(swept.len())
    }

    /// The rates of a sweep are the protocol's multiples of one, the same for each seed and place.
    fn refuse_rates(&self, variant: &str, swept: &[&Trial]) -> Result<()> {
        let tried = self.suite.tune.as_ref().map(|tune| &tune.tried);
        let Some(Tried::Times(times)) = tried else {
            return Ok(());
        };
        let mut tried: BTreeMap<(Option<u64>, u64), Vec<f64>> = BTreeMap::new();
        for trial in swept {
            let rates = tried.entry((trial.budget, trial.seed)).or_default();
            rates.extend(trial.asked().lr());
        }
        tried
            .values_mut()
            .for_each(|rates| rates.sort_by(f64::total_cmp));
        let lowest = tried.values().find_map(|rates| rates.first().copied());
        let Some((own, first)) = lowest.zip(times.first()) else {
            return Ok(());
        };
        let is = |rates: &Vec<f64>| {
            let mut wanted = times.iter().map(|times| own * times / first);
            rates.len() == times.len()
                && rates.iter().all(|lr| {
                    wanted
                        .next()
                        .is_some_and(|want| (lr / want - 1.0).abs() < OFF)
                })
        };
        let Some(((steps, seed), rates)) = tried.iter().find(|(_, rates)| !is(rates)) else {
            return Ok(());
        };
        let words = |rates: &[f64]| {
            rates
                .iter()
                .map(f64::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let all: Vec<f64> = times.iter().map(|times| own * times / first).collect();
        Err(broken(format!(
            "{variant}: its sweep at {} steps with seed {seed} tried rates of {}, and the protocol's multiples of the lowest are {}",
            steps.unwrap_or_default(),
            words(rates),
            words(&all)
        )))
    }

    /// As many rates were tried at each place, on the same seeds, as of the base.
    fn refuse_sweep(&self, variant: &str, swept: &[&Trial]) -> Result<()> {
        let tune = self.suite.tune.as_ref();
        let at = tune.map_or(&[][..], |tune| &tune.at);
        let of_base: Vec<&Trial> = self
            .frontier
            .trials
            .iter()
            .filter(|trial| trial.variant == self.base && trial.in_sweep())
            .collect();
        let tried = |trials: &[&Trial], steps: u64| -> Vec<u64> {
            let here = trials.iter().filter(|trial| trial.budget == Some(steps));
            let mut seeds: Vec<u64> = here.map(|trial| trial.seed).collect();
            seeds.sort_unstable();
            seeds
        };
        for place in at {
            let (own, base) = (tried(swept, place.steps), tried(&of_base, place.steps));
            if own != base {
                return Err(broken(format!(
                    "{variant}: {} trials chose its rates at {}@{}, and the base's {}, on the same seeds",
                    own.len(),
                    place.scale,
                    place.steps,
                    base.len()
                )));
            }
        }
        for trial in swept {
            let place = |base: &&&Trial| base.budget == trial.budget && base.scale == trial.scale;
            let inside = at.iter().any(|place| Some(place.steps) == trial.budget);
            match of_base.iter().find(place).filter(|_| inside) {
                Some(base) => refuse_other(&trial.cell, &trial.spec, &base.spec)?,
                None => {
                    return Err(broken(format!(
                        "{}: the protocol sweeps no rates there",
                        trial.cell
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Refuses trials of one variant that are not of one recipe: a sweep speaks for what it swept.
fn refuse_others(file: &ResultFile) -> Result<()> {
    let Some(first) = file.trials.first() else {
        return Ok(());
    };
    let wanted = recipe(&first.spec);
    for trial in &file.trials {
        let own = recipe(&trial.spec);
        let mut keys = own.keys().chain(wanted.keys());
        if let Some(key) = keys.find(|key| own.get(*key) != wanted.get(*key)) {
            return Err(broken(format!(
                "{}: {key} is {}, and {} in {}: a challenger is one recipe at every length and in its sweep",
                trial.cell,
                said(own.get(key)),
                said(wanted.get(key)),
                first.cell
            )));
        }
    }
    Ok(())
}

/// What a spec says of the variant alone: all but what the protocol fixes, how it is measured, and the rate, which a sweep chooses.
fn recipe(spec: &Value) -> BTreeMap<String, &Value> {
    let tables = spec.as_object().into_iter().flat_map(|spec| spec.keys());
    let mut found: BTreeMap<String, &Value> = tables.flat_map(|key| flat(spec, key)).collect();
    let of = |group: &&str, key: &str| {
        key.strip_prefix(*group)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    found.retain(|key, _| {
        let mut others = FIXED.iter().chain(&SURROUNDINGS).chain(&[LR]);
        key == DTYPE || !others.any(|group| of(group, key))
    });
    found
}

fn said(value: Option<&&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), ToString::to_string)
}

/// Refuses a spec that is not what the protocol fixes: what the base's `fixed` is.
fn refuse_other(cell: &str, own: &Value, fixed: &Value) -> Result<()> {
    for group in FIXED {
        let (own, fixed) = (flat(own, group), flat(fixed, group));
        let mut keys = own.keys().chain(fixed.keys());
        if let Some(key) = keys.find(|key| own.get(*key) != fixed.get(*key)) {
            return Err(broken(format!(
                "{cell}: {key} is {}, and the protocol fixes {}",
                said(own.get(key)),
                said(fixed.get(key))
            )));
        }
    }
    match NONE.iter().find(|key| !flat(own, key).is_empty()) {
        Some(key) => Err(broken(format!(
            "{cell}: {key} is set, which would be training that nobody counts"
        ))),
        None => Ok(()),
    }
}

/// The seeds of the trials that finished with a loss.
fn seeds<'a>(trials: impl Iterator<Item = &'a Trial>) -> BTreeSet<u64> {
    trials
        .filter(|trial| trial.status == Status::Ok)
        .filter(|trial| trial.metric(metric::VAL_LOSS_NATS).is_some())
        .map(|trial| trial.seed)
        .collect()
}

/// A setting of a spec, or all settings of a table, by key.
fn flat<'v>(spec: &'v Value, key: &str) -> BTreeMap<String, &'v Value> {
    let mut found = BTreeMap::new();
    let place = format!("/{}", key.replace('.', "/"));
    match spec.pointer(&place) {
        Some(Value::Object(table)) => {
            for name in table.keys() {
                found.extend(flat(spec, &format!("{key}.{name}")));
            }
        }
        Some(value) => drop(found.insert(key.to_owned(), value)),
        None => {}
    }
    found
}

#[cfg(test)]
mod tests;
