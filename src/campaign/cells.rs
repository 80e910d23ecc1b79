//! Cells of a suite, settled and counted.

use std::sync::Arc;

use super::options::Options;
use crate::config::{Cell, Origin, Overrides, parse_set};
use crate::data::HeldOut;
use crate::error::{Error, Result};
use crate::measure::{Clock, Monotonic};
use crate::model::Model;
use crate::runner::plan::{Besides, PreparedCell};
use crate::trial::refusal::refuse_no_meter;
use crate::trial::{Experiment, Registry, settle};

/// A settled cell, and the threads its spec asks for (0: all).
pub(super) struct SettledCell {
    pub(super) cell: PreparedCell,
    pub(super) threads: usize,
    /// Its parameters.
    pub(super) model: Arc<Model>,
}

/// What the options lay over every cell of the suite.
pub(super) fn overrides(options: &Options) -> Result<Overrides> {
    let listed = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let sets = options
        .set
        .iter()
        .map(|text| parse_set(text))
        .collect::<Result<Vec<_>>>()?;
    if sets.iter().any(|(key, _)| key == "compute.device") {
        return Err(Error::input(
            "--set compute.device: the device is the whole run's, not a cell's",
        )
        .hint("`--device cpu|cuda|cuda:N`"));
    }
    Ok(Overrides {
        own_rates: false,
        variants: listed(&options.variants),
        scales: listed(&options.scales),
        sets,
        data: options.data.clone(),
    })
}

/// The first cell that no sweep speaks for, and how many more there are. It is not run with a caveat but where somebody asks for it.
pub(super) fn untuned(cells: &[Cell]) -> Option<Error> {
    let mut refusals = cells.iter().filter_map(|cell| cell.refusal.as_ref());
    let first = refusals.next()?;
    let more = match refusals.count() {
        0 => String::new(),
        more => format!("; so it is with {more} more of {} cells", cells.len()),
    };
    Some(Error {
        message: format!("{}{more}", first.message),
        ..first.clone()
    })
}

/// Phases of inference that are repeated for a window each: prefill, decode, first token.
const INFERENCE_PHASES: f64 = 3.0;

/// How often inference is repeated at the least, whatever the window.
const REPETITIONS: usize = 4;

/// Tokens of problems and of their answers, the greedy one and those that are sampled.
fn asked_tokens(experiment: &Experiment) -> f64 {
    let asked = experiment.infer.asked.zip(experiment.source.problems());
    asked.map_or(0.0, |(asked, task)| {
        let tokens = (asked.samples + 1) * task.answer_tokens();
        (asked.problems * (tokens + 2 * experiment.model.shape.context)) as f64
    })
}

/// What the trials of an experiment do beside training.
fn besides(experiment: &Experiment, settle_s: f64) -> Besides {
    let (source, infer) = (&experiment.source, &experiment.infer);
    let whole = source.validation_tokens().unwrap_or(0) as f64;
    // Of a text each part is a half of what is held out; what writes its own has as much for each.
    let finite = source.train_tokens().is_some();
    let part = match (experiment.held_out, finite) {
        (HeldOut::All, true) => 1.0,
        (HeldOut::All, false) => 2.0,
        (_, true) => 0.5,
        (_, false) => 1.0,
    };
    let served = infer.prompt + infer.generate;
    Besides {
        settle_s,
        evaluated_tokens: whole * part * experiment.measure.val_points as f64
            + asked_tokens(experiment),
        served_tokens: (infer.batch * (infer.depth + REPETITIONS * served)) as f64,
        inference_s: INFERENCE_PHASES * experiment.measure.window_s,
    }
}

/// Settles a cell for a device and counts it.
pub(super) fn settle_cell(
    registry: &Registry,
    mut cell: Cell,
    device: &str,
) -> Result<SettledCell> {
    cell.tree
        .set("compute.device", device.into(), Origin::named("--device"));
    let clock = Monotonic::start();
    let settled = settle(registry, &cell.tree)?;
    let settle_s = clock.now_s();
    refuse_no_meter(&settled.experiment)?;
    let activation_bytes = settled
        .experiment
        .guess_bytes()
        .saturating_sub(settled.cost.state_bytes);
    let threads = settled.experiment.threads;
    let cell = PreparedCell {
        name: cell.name,
        variant: cell.variant,
        scale: cell.scale,
        budget: cell.budget,
        parent: cell.parent,
        teacher: cell.teacher,
        lr_source: cell.lr_source,
        loadings: cell.loadings,
        spec: settled.spec,
        spec_sha256: settled.spec_sha256,
        paths: settled.paths,
        cost: settled.cost,
        activation_bytes,
        besides: besides(&settled.experiment, settle_s),
    };
    Ok(SettledCell {
        cell,
        threads,
        model: settled.experiment.model,
    })
}
