//! What a law is fitted to: one point per finished run, from result files or from a table.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::record::{ResultFile, Status, Trial, metric};

/// The group of points that name none.
pub const UNNAMED: &str = "all";

/// One finished run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// Points of one group are fitted together.
    pub group: String,
    /// Runs of one repeat share their seed and their luck.
    pub repeat: Option<u64>,
    /// Points of one run, its checkpoints, follow each other; where the table names runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<u64>,
    /// N.
    pub params: Option<f64>,
    /// D.
    pub tokens: Option<f64>,
    /// C.
    pub flops: f64,
    /// L, in nats.
    pub loss: f64,
    /// The lowest loss any model can have, where the data's source says so.
    pub oracle: Option<f64>,
    /// Different tokens among those trained on: the data's size where it is repeated.
    pub unique_tokens: Option<f64>,
    /// Peak learning rate.
    pub rate: Option<f64>,
    /// Batch, as the table counts it.
    pub batch: Option<f64>,
}

/// What a law's term can depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Variable {
    /// N.
    Params,
    /// D.
    Tokens,
    /// C.
    Flops,
    /// U.
    UniqueTokens,
    /// Peak learning rate.
    Rate,
    /// Batch.
    Batch,
}

impl Variable {
    /// As a column is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Params => "params",
            Self::Tokens => "tokens",
            Self::Flops => "flops",
            Self::UniqueTokens => "unique_tokens",
            Self::Rate => "lr",
            Self::Batch => "batch",
        }
    }
}

impl Point {
    /// A point of which only compute and loss are known.
    pub fn new(group: String, flops: f64, loss: f64) -> Self {
        Self {
            group,
            repeat: None,
            run: None,
            params: None,
            tokens: None,
            flops,
            loss,
            oracle: None,
            unique_tokens: None,
            rate: None,
            batch: None,
        }
    }

    /// What runs of one cell have in common: their C, N and D, to the bit.
    pub fn cell(&self) -> [u64; 3] {
        [Some(self.flops), self.params, self.tokens].map(|value| value.unwrap_or(0.0).to_bits())
    }

    /// The value of a variable, where it is known.
    pub fn get(&self, variable: Variable) -> Option<f64> {
        match variable {
            Variable::Params => self.params,
            Variable::Tokens => self.tokens,
            Variable::Flops => Some(self.flops),
            Variable::UniqueTokens => self.unique_tokens,
            Variable::Rate => self.rate,
            Variable::Batch => self.batch,
        }
    }
}

/// Points, and what was done to have them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Points {
    /// In the order read.
    pub points: Vec<Point>,
    /// What counts as a parameter, a token, a FLOP; what was left out; a sentence each.
    pub notes: Vec<String>,
}

/// What counts as a parameter of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Counted {
    /// All of them.
    #[default]
    Total,
    /// Without token and position embeddings and an untied head.
    NonEmbedding,
}

impl Counted {
    fn of(self, trial: &Trial) -> Option<u64> {
        match self {
            Self::Total => trial.params(),
            Self::NonEmbedding => trial.cost.as_ref().map(|cost| cost.params_non_embedding),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Total => "all parameters, embeddings included",
            Self::NonEmbedding => {
                "parameters without token and position embeddings and an untied head"
            }
        }
    }
}

/// The finished trials of result files as points, grouped by variant. Refuses to mix data, and a sweep of learning rates.
pub fn from_trials(file: &ResultFile, counted: Counted) -> Result<Points> {
    // A sweep beside what it chose for says nothing of its own.
    let sweep_only = file.trials.iter().all(Trial::in_sweep);
    let judged: Vec<&Trial> = file
        .trials
        .iter()
        .filter(|trial| sweep_only || !trial.in_sweep())
        .collect();
    of_trials(&judged, counted)
}

/// The same of chosen trials.
pub fn of_trials(judged: &[&Trial], counted: Counted) -> Result<Points> {
    let finished: Vec<&Trial> = judged
        .iter()
        .copied()
        .filter(|trial| trial.status == Status::Ok)
        .collect();
    one_data(&finished)?;
    no_sweep(&finished)?;
    let points: Vec<Point> = finished
        .iter()
        .filter_map(|trial| point(trial, counted))
        .collect();
    let mut notes = vec![
        format!("N is {} (`effbench fit --params` chooses)", counted.words()),
        "C is the model's own FLOPs, matmul by matmul, without the optimizer's; D is training tokens".to_owned(),
    ];
    let lost = judged.len() - points.len();
    if lost > 0 {
        notes.push(format!(
            "{lost} of {} trials did not finish or have no loss and are left out",
            judged.len()
        ));
    }
    let repeating = points.iter().filter(|p| p.unique_tokens < p.tokens).count();
    if repeating > 0 {
        notes.push(format!(
            "{repeating} of {} trials read their data more than once: `--law data-constrained` says what that is worth, other laws take \
             every token for new",
            points.len()
        ));
    }
    Ok(Points { points, notes })
}

fn point(trial: &Trial, counted: Counted) -> Option<Point> {
    Some(Point {
        group: trial.variant.clone(),
        repeat: Some(trial.repeat),
        run: None,
        params: counted.of(trial).map(|n| n as f64),
        tokens: trial.train_tokens().map(|tokens| tokens as f64),
        flops: trial.train_flops()?,
        loss: trial
            .metric(metric::VAL_LOSS_NATS)
            .filter(|loss| *loss > 0.0)?,
        oracle: trial.metric(metric::ORACLE_LOSS_NATS),
        unique_tokens: trial.unique_tokens(),
        rate: None,
        batch: None,
    })
}

fn one_data(trials: &[&Trial]) -> Result<()> {
    let per_byte = |trial: &&&Trial| trial.is_per_byte();
    if let (Some(bytes), Some(tokens)) = (
        trials.iter().find(per_byte),
        trials.iter().find(|trial| !trial.is_per_byte()),
    ) {
        let (bytes, tokens) = (&bytes.cell, &tokens.cell);
        return Err(Error::input(format!(
            "losses of {bytes} are per byte and those of {tokens} per token: no law holds for both"
        ))
        .hint("give result files whose losses are counted alike"));
    }
    let mut seen: Vec<(Option<Value>, &str)> = Vec::new();
    for trial in trials {
        // How much of it is read is no other data.
        let mut data = trial.asked().data().cloned();
        if let Some(Value::Object(keys)) = &mut data {
            keys.remove("unique_tokens");
        }
        if !seen.iter().any(|(other, _)| *other == data) {
            seen.push((data, &trial.cell));
        }
    }
    let [(_, first), (_, second), ..] = &seen[..] else {
        return Ok(());
    };
    Err(Error::input(format!(
        "{first} and {second} were trained on different data: no law holds for both"
    ))
    .hint("give result files of one data set at a time"))
}

/// Several learning rates of one cell are one run and its worse copies.
fn no_sweep(trials: &[&Trial]) -> Result<()> {
    let mut seen: BTreeMap<(&str, &str, Option<u64>, u64, u64), &str> = BTreeMap::new();
    for trial in trials {
        let place = (
            trial.variant.as_str(),
            trial.scale.as_str(),
            trial.budget,
            trial.repeat,
            trial.machine,
        );
        if let Some(other) = seen
            .insert(place, &trial.cell)
            .filter(|other| *other != trial.cell)
        {
            let message = format!(
                "{other} and {} are one run at two settings: a sweep is not a ladder",
                trial.cell
            );
            return Err(Error::input(message).hint("fit the runs at the rate that the sweep chose"));
        }
    }
    Ok(())
}

/// The groups in the order of their first point.
pub fn groups(points: &[Point]) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    points
        .iter()
        .map(|point| point.group.as_str())
        .filter(|group| seen.insert(*group))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;

    #[test]
    fn finished_trials_are_points() {
        let mut file = example();
        file.trials[3].status = Status::Diverged;
        let found = from_trials(&file, Counted::Total).unwrap();
        assert_eq!(
            (found.points.len(), groups(&found.points)),
            (19, vec!["gpt2", "modern"])
        );
        let first = &found.points[0];
        assert_eq!(
            (first.params, first.tokens, first.oracle),
            (Some(29_500.0), Some(409_600.0), Some(1.875))
        );
        assert!(
            found
                .notes
                .iter()
                .any(|note| note.starts_with("1 of 20 trials")),
            "{:?}",
            found.notes
        );
        let found = from_trials(&file, Counted::NonEmbedding).unwrap();
        assert_eq!(found.points[0].params, Some(23_356.0));
    }

    #[test]
    fn unlike_runs_are_not_mixed() {
        let mut file = example();
        file.trials[0].spec["data"]["vocab"] = 256.into();
        let error = from_trials(&file, Counted::Total).unwrap_err();
        assert!(error.message.contains("different data"), "{error}");
        let mut file = example();
        let mut twin = file.trials[0].clone();
        twin.cell += "~0.004";
        file.trials.push(twin);
        let error = from_trials(&file, Counted::Total).unwrap_err();
        assert!(error.message.contains("a sweep is not a ladder"), "{error}");
    }
}
