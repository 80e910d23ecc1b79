//! Cells of a suite, settled and counted.

use std::sync::Arc;

use super::options::Options;
use crate::config::{Cell, Origin, Overrides, parse_set};
use crate::data::HeldOut;
use crate::error::{Error, Result};
use crate::measure::{Clock, Monotonic};
use crate::model::{Model, Packing, Span};
use crate::ops::Activations;
use crate::record::Cost;
use crate::runner::besides::{Besides, Decoded, Drafting, Served};
use crate::runner::plan::PreparedCell;
use crate::trial::draft::{By, PROMPTS};
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

/// How often inference is repeated at the least, whatever the window.
const REPETITIONS: usize = 4;
/// Sequences of answers that are decoded at once.
const ANSWERS_AT_ONCE: f64 = 1024.0;

/// Bytes of the weights that a step reads, and of the cache of one sequence that is so long.
fn read(experiment: &Experiment, seen: usize) -> [f64; 2] {
    let model = &experiment.model;
    let weights = match experiment.infer.weights {
        Some(Packing::AsInFile) => model.packed_bytes() as f64,
        Some(Packing::To(format)) => {
            let of_row = format.bytes_of_row(format.numbers()) as f64 / format.numbers() as f64;
            model.params_total() as f64 * of_row
        }
        None => 4.0 * model.params_total() as f64,
    };
    [weights, experiment.cache_bytes(seen) as f64]
}

/// What serving takes: the cache filled once, then prompts and generations.
fn served(experiment: &Experiment, cost: &Cost) -> Served {
    let infer = &experiment.infer;
    let (batch, depth) = (infer.batch as f64, infer.depth as u64);
    let (prompt, generated) = (infer.prompt as u64, infer.generate as u64);
    let of = |seen, tokens| {
        let table = cost.token_flops.as_ref().filter(|_| tokens > 0);
        table.and_then(|table| table.prompt(seen, tokens))
    };
    let half = depth + prompt + generated / 2;
    let [weights, cache] = read(experiment, infer.depth + infer.prompt + infer.generate / 2);
    Served {
        fill_flops: batch * of(0, depth).unwrap_or(0.0),
        prompt_flops: batch * of(depth, prompt).unwrap_or(0.0),
        decoded: Decoded {
            steps: generated.saturating_sub(1) as f64,
            step_flops: batch * of(half, 1).unwrap_or(0.0),
            step_bytes: weights + batch * cache,
        },
        least: REPETITIONS as f64,
        window_s: experiment.measure.window_s,
    }
}

/// Prompts that are continued with guesses and without: as many as there are held-out windows, to a point.
fn drafted_prompts(experiment: &Experiment, held_out: f64) -> f64 {
    let windows = held_out / experiment.model.shape.context as f64;
    match experiment.infer.draft {
        Some(_) => windows.floor().clamp(1.0, PROMPTS as f64),
        None => 0.0,
    }
}

/// What guessing ahead takes, of so many prompts.
fn drafted(experiment: &Experiment, cost: &Cost, prompts: f64) -> Drafting {
    let infer = &experiment.infer;
    let Some(draft) = &infer.draft else {
        return Drafting::default();
    };
    let seen = infer.depth + infer.prompt;
    let half = (seen + infer.generate / 2) as u64;
    let own = |from: u64, tokens: u64| {
        let table = cost.token_flops.as_ref();
        table
            .and_then(|table| table.prompt(from, tokens))
            .unwrap_or(0.0)
    };
    let steps = infer.generate.saturating_sub(1) as f64;
    let [weights, cache] = read(experiment, seen + infer.generate / 2);
    let (fill, guessed) = match &draft.by {
        By::Lookup => (0.0, Decoded::default()),
        By::Model { model, .. } => {
            let of = |seen, new| {
                let span = Span {
                    seen,
                    new,
                    learns: false,
                };
                model.serving_flops(span) as f64
            };
            let guessed = Decoded {
                steps,
                step_flops: of(half, 1),
                step_bytes: draft.bytes() as f64,
            };
            (of(0, seen as u64), guessed)
        }
    };
    Drafting {
        prompts,
        fill_flops: own(0, seen as u64) + fill,
        decoded: Decoded {
            steps,
            step_flops: own(half, 1),
            step_bytes: weights + cache,
        },
        guessed,
        window_s: experiment.measure.window_s,
    }
}

/// What answering takes, the greedy answers and those that are sampled; prompts are as long as a window at the most.
fn asked(experiment: &Experiment, cost: &Cost) -> Decoded {
    let asked = experiment.infer.asked.zip(experiment.source.problems());
    let Some((asked, task)) = asked else {
        return Decoded::default();
    };
    let context = experiment.model.shape.context;
    let at_once = ANSWERS_AT_ONCE.min((asked.problems * asked.samples) as f64);
    let rounds = |answers: usize| (answers as f64 / ANSWERS_AT_ONCE).ceil();
    let rounds = rounds(asked.problems) + rounds(asked.problems * asked.samples);
    let token = cost.token_flops.as_ref();
    let token = token.and_then(|table| table.prompt(context as u64 / 2, 1));
    let [weights, cache] = read(experiment, context / 2);
    Decoded {
        steps: rounds * (task.answer_tokens() + 1) as f64,
        step_flops: at_once * token.unwrap_or(0.0),
        step_bytes: weights + at_once * cache,
    }
}

/// What the trials of an experiment do beside training.
fn besides(experiment: &Experiment, cost: &Cost, settle_s: f64) -> Besides {
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
    let points = match experiment.steps {
        0 => 1.0,
        _ => experiment.measure.val_points as f64,
    };
    // Weights that are packed for serving are held against those that they were made of.
    let rounded = infer.weights.is_some()
        && !(experiment.serves_the_file() && infer.activations == Activations::F32);
    let held = if rounded { 2.0 } else { 0.0 };
    let served_tokens = infer.prompt + infer.generate;
    let prompts = drafted_prompts(
        experiment,
        if whole > 0.0 { whole * part } else { f64::MAX },
    );
    let filled = (infer.depth + infer.prompt) as f64;
    // Each prompt is read once by each model, and continued both ways, the first of them twice.
    let drafted_tokens = 2.0 * prompts * filled + 3.0 * (prompts + 1.0) * infer.generate as f64;
    let drafted_tokens = if prompts > 0.0 { drafted_tokens } else { 0.0 };
    Besides {
        settle_s,
        evaluated_tokens: whole * part * (points + held),
        served_tokens: (infer.batch * (infer.depth + REPETITIONS * served_tokens)) as f64
            + drafted_tokens,
        served: served(experiment, cost),
        drafted: drafted(experiment, cost, prompts),
        asked: asked(experiment, cost),
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
    let besides = besides(&settled.experiment, &settled.cost, settle_s);
    let cell = PreparedCell {
        name: cell.name,
        drawn_by: cell.variant.clone(),
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
        besides,
    };
    Ok(SettledCell {
        cell,
        threads,
        model: settled.experiment.model,
    })
}
