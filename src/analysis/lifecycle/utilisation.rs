//! How many FLOPs a second training, prompts and answers get out of a machine: what tells money from FLOPs (Sardana et al. 2024,
//! arXiv 2401.00448, section 3.2, who assume 50%, 50% and 1% of the peak).

use serde::Serialize;

use super::spent::{per_token, told};
use crate::analysis::findings::Cell;
use crate::analysis::fit::PerFlop;
use crate::record::{ResultFile, Status, Trial, metric};
use crate::stat::{mean, median};

/// FLOPs a second, counted FLOPs over measured seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Speeds {
    /// Of training, the optimizer's among them; absent where nothing was trained.
    pub training: Option<f64>,
    /// Of prompts.
    pub prompt: f64,
    /// Of tokens that are decoded.
    pub answer: f64,
}

/// Means over a cell's repeats; `None` where serving was not measured.
pub fn speeds(cell: &Cell) -> Option<Speeds> {
    let each: Vec<Speeds> = cell.finished().filter_map(of_trial).collect();
    let of =
        |part: fn(&Speeds) -> Option<f64>| mean(&each.iter().filter_map(part).collect::<Vec<_>>());
    Some(Speeds {
        training: of(|speeds| speeds.training),
        prompt: of(|speeds| Some(speeds.prompt))?,
        answer: of(|speeds| Some(speeds.answer))?,
    })
}

fn of_trial(trial: &Trial) -> Option<Speeds> {
    let [prompt, answer] = per_token(trial)?;
    let rate = |name: &str| told(trial, name).ok();
    let trained = trial
        .train_flops()
        .zip(trial.cost.as_ref())
        .map(|(flops, cost)| flops + cost.optimizer_flops)
        .filter(|flops| *flops > 0.0);
    Some(Speeds {
        training: trained
            .zip(rate(metric::TRAIN_WALL_S))
            .map(|(flops, seconds)| flops / seconds),
        prompt: prompt * rate(metric::PREFILL_TOKENS_PER_S)?,
        answer: answer * rate(metric::DECODE_TOKENS_PER_S)?,
    })
}

/// What a FLOP of prompts and of answers costs in seconds, that of training being 1: the medians over the finished trials of a file that
/// were trained and served. `None` where there is none.
pub fn per_flop(file: &ResultFile) -> Option<PerFlop> {
    let finished = file
        .trials
        .iter()
        .filter(|trial| trial.status == Status::Ok && !trial.in_sweep());
    let each: Vec<Speeds> = finished.filter_map(of_trial).collect();
    let of = |part: fn(&Speeds) -> f64| {
        let costs = each.iter().filter_map(|speeds| {
            let cost = speeds.training? / part(speeds);
            cost.is_finite().then_some(cost)
        });
        median(&costs.collect::<Vec<_>>())
    };
    Some(PerFlop {
        training: 1.0,
        prompt: of(|speeds| speeds.prompt)?,
        answer: of(|speeds| speeds.answer)?,
    })
}
