//! One run of a log as one trial: its cell's name, its final figures, its curve, and flags for all that was decided.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::logged::{LoggedRun, Point};
use super::mapping::Mapping;
use super::outcome::{flops_of, last, outcome};
use super::places::Cell;
use super::role::{FIGURES, Role};
use crate::import::log::Log;
use crate::record::metric::{
    TRAIN_ENERGY_J, TRAIN_LOSS_NATS, TRAIN_WALL_S, VAL_BITS_PER_BYTE, VAL_LOSS_NATS,
};
use crate::record::six_n_d;
use crate::record::{
    BySixND, Curve, Energy, Flag, LossUnit, Metric, RateSource, Severity, Stated, Status, Trial,
    Validity, finite, spec_sha256,
};
use crate::stat::median;

/// The word for what no effbench ran: suite, machine, build, and the reason beside what a log does not say.
pub const IMPORTED: &str = "imported";

/// What curves are read along.
const AXES: [Role; 4] = [Role::Step, Role::Tokens, Role::Flops, Role::Seconds];

/// What may have to be said about an imported trial: code, severity, a sentence without a full stop.
pub const FLAGS: [(&str, Severity, &str); 12] = [
    (
        "six_n_d",
        Severity::Info,
        "FLOPs or tokens that the log does not state are 6 N D",
    ),
    (
        "seed_unknown",
        Severity::Info,
        "no seeds: repeats are counted in the order of the log, and pair by chance",
    ),
    (
        "seeds_unpaired",
        Severity::Warn,
        "no seed in common with another variant: repeats pair seeds by their order",
    ),
    (
        "rows_sorted",
        Severity::Info,
        "rows were not in the order of training and are sorted",
    ),
    (
        "clock_restarted",
        Severity::Warn,
        "seconds fall while training goes on: they are left out",
    ),
    (
        "resumed",
        Severity::Info,
        "a run was resumed: steps that it trained again replace those before the restart",
    ),
    (
        "time_of_day",
        Severity::Info,
        "seconds are times of day in the log: they count from its first row",
    ),
    (
        "untimed_points",
        Severity::Info,
        "training losses from before the clock was restarted are left out of the curve",
    ),
    (
        "training_loss_judged",
        Severity::Warn,
        "no validation loss in the log: the training loss is judged, which says less of what was learnt",
    ),
    (
        "loss_unit_doubtful",
        Severity::Warn,
        "the final loss is above 12 nats, worse than guessing among 160,000 tokens: is it a perplexity (--unit perplexity) or a sum?",
    ),
    (
        "gaps",
        Severity::Info,
        "steps, tokens, FLOPs or seconds are missing in some rows: they are left out of the curve, or the training losses without them \
         are, and of the result where the last judged row lacks them",
    ),
    (
        "not_a_number",
        Severity::Info,
        "rows state a loss that is not a number, and later ones a loss that is: they have no point in the curve",
    ),
];

/// Which repeat a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repeat {
    /// From 0.
    pub(super) index: u64,
    /// Of the run, where it is known.
    pub(super) seed: Option<u64>,
    /// Whether other variants have seeds in common with this one.
    pub(super) paired: bool,
}

/// A run's trial.
pub fn trial(
    run: &LoggedRun,
    log: &Log,
    mapping: &Mapping,
    cell: &Cell,
    repeat: &Repeat,
    order: u64,
) -> Trial {
    let spec = spec(log, mapping, cell);
    let hash = spec_sha256(&spec);
    let ended = outcome(run);
    let end = ended.clone().ok().or(last(run)).or(run.points.last());
    let stated = stated(run, end);
    let clock = clock_runs(run);
    let flags = flags(run, repeat, &stated, clock);
    let place = |reason: &str| {
        format!(
            "{reason} ({}:{})",
            log.name,
            end.map_or(run.line, |point| point.line)
        )
    };
    let id = blake3::hash(
        json!([hash, cell.name, repeat.index, run.line])
            .to_string()
            .as_bytes(),
    );
    Trial {
        id: id.to_hex()[..16].to_owned(),
        cell: cell.name.clone(),
        arm: cell.name.clone(),
        repeat: repeat.index,
        order,
        variant: run.identity.variant.clone(),
        scale: cell.scale.clone(),
        budget: cell.budget,
        seed: repeat.seed.unwrap_or(repeat.index),
        lr_source: RateSource::Foreign,
        status: ended
            .as_ref()
            .err()
            .map_or(Status::Ok, |(status, _)| *status),
        reason: ended.as_ref().err().map(|(_, reason)| place(reason)),
        started_at: log.written_at.clone(),
        spec_sha256: hash,
        spec,
        curve: curve(run, clock),
        metrics: metrics(run, &ended, clock),
        stated: Some(stated),
        energy: Energy {
            reason: Some(IMPORTED.to_owned()),
            ..Energy::default()
        },
        validity: Validity {
            ok: true,
            flags,
            unseen: BTreeMap::new(),
        },
        ..Trial::blank()
    }
}

/// Where a trial comes from: the file, its hash, and how it was read.
fn spec(log: &Log, mapping: &Mapping, cell: &Cell) -> Value {
    json!({"imported": {
        "file": log.name,
        "blake3": log.blake3,
        "map": mapping.document(&log.table),
        "budget_in": cell.budget_in,
    }})
}

/// Whether seconds never fall.
fn clock_runs(run: &LoggedRun) -> bool {
    let seconds: Vec<f64> = run
        .points
        .iter()
        .filter_map(|point| point.seconds)
        .collect();
    seconds.windows(2).all(|pair| pair[0] <= pair[1])
}

/// Parameters, tokens and FLOPs at the end; the one that is missing by C = 6 N D where the other two are there.
fn stated(run: &LoggedRun, end: Option<&Point>) -> Stated {
    let params = run.identity.params.filter(|params| *params > 0);
    let (tokens, flops) = end.map_or((None, None), |end| (end.tokens, end.flops));
    let loss_unit = Some(run.unit).filter(|unit| *unit != LossUnit::Nats);
    let stated = Stated {
        params,
        train_tokens: tokens,
        train_flops: flops,
        by_six_n_d: None,
        loss_unit,
        joules: run.joules(),
    };
    match (params, tokens, flops) {
        (Some(params), Some(tokens), None) => Stated {
            train_flops: Some(six_n_d(params, tokens)),
            by_six_n_d: Some(BySixND::TrainFlops),
            ..stated
        },
        (Some(params), None, Some(flops)) => Stated {
            train_tokens: Some((flops / six_n_d(params, 1)).round() as u64),
            by_six_n_d: Some(BySixND::TrainTokens),
            ..stated
        },
        _ => stated,
    }
}

fn metrics(
    run: &LoggedRun,
    ended: &Result<&Point, (Status, String)>,
    clock: bool,
) -> BTreeMap<String, Metric> {
    let loss = match ended {
        Ok(Point { loss: None, .. }) => Metric::absent(VAL_LOSS_NATS, IMPORTED),
        Ok(point) => Metric::value(VAL_LOSS_NATS, point.loss.unwrap_or(f64::NAN)),
        Err((_, reason)) => Metric::absent(VAL_LOSS_NATS, reason),
    };
    let wall = match ended.as_ref().ok().and_then(|point| point.seconds) {
        Some(seconds) if clock => Metric::value(TRAIN_WALL_S, seconds),
        Some(_) => Metric::absent(TRAIN_WALL_S, "the log's clock was restarted"),
        None => Metric::absent(TRAIN_WALL_S, IMPORTED),
    };
    let train = run.points.iter().rev().find_map(|point| point.train_loss);
    let train = train.map_or_else(
        || Metric::absent(TRAIN_LOSS_NATS, IMPORTED),
        |l| Metric::value(TRAIN_LOSS_NATS, l),
    );
    let mut metrics: BTreeMap<String, Metric> = [
        (VAL_LOSS_NATS, loss),
        (TRAIN_WALL_S, wall),
        (TRAIN_LOSS_NATS, train),
    ]
    .map(|(k, v)| (k.to_owned(), v))
    .into();
    for (role, name) in FIGURES {
        if let Some(found) = run.figures.get(&role).filter(|_| ended.is_ok()) {
            // Along a training answers get better: the last evaluation is the run's, as its last loss is.
            let along = role == Role::Accuracy && run.axis.is_some();
            let from = if along {
                found.len().saturating_sub(1)
            } else {
                0
            };
            metrics.insert(name.to_owned(), figure(name, &found[from..]));
        }
    }
    let joules = run.joules().filter(|_| ended.is_ok());
    if let Some(joules) = joules {
        metrics.insert(
            TRAIN_ENERGY_J.to_owned(),
            Metric::value(TRAIN_ENERGY_J, joules),
        );
    }
    if let Some(nats) = ended
        .as_ref()
        .ok()
        .and_then(|point| point.loss)
        .filter(|_| run.unit == LossUnit::BitsPerByte)
    {
        metrics.insert(
            VAL_BITS_PER_BYTE.to_owned(),
            Metric::value(VAL_BITS_PER_BYTE, run.unit.of_nats(nats)),
        );
    }
    metrics
}

/// The median of what a log states again and again; of a long log the samples are not kept: they are in it.
fn figure(name: &str, found: &[f64]) -> Metric {
    let middle = median(found).unwrap_or(f64::NAN);
    match found.len() {
        2..=MOST_SAMPLES => Metric::samples(name, middle, found.to_vec()),
        _ => Metric::value(name, middle),
    }
}

/// More samples of one metric make a record that nobody reads.
const MOST_SAMPLES: usize = 1000;

/// The points of the curve: those whose training loss alone is stated give way where they lack what every judged loss has.
fn curve_points(run: &LoggedRun) -> Vec<&Point> {
    let judged = || run.points.iter().filter(|point| point.loss.is_some());
    let whole =
        |axis: &Role| judged().next().is_some() && judged().all(|point| point.on(*axis).is_some());
    let needed: Vec<Role> = AXES.into_iter().filter(whole).collect();
    let kept = |point: &&Point| {
        point.loss.is_some() || needed.iter().all(|axis| point.on(*axis).is_some())
    };
    run.points.iter().filter(kept).collect()
}

/// A column of the curve, empty unless every point has it.
fn column<T>(points: &[&Point], of: impl Fn(&Point) -> Option<T>) -> Vec<T> {
    points
        .iter()
        .map(|point| of(point))
        .collect::<Option<Vec<T>>>()
        .unwrap_or_default()
}

fn curve(run: &LoggedRun, clock: bool) -> Curve {
    let points = curve_points(run);
    let stated_flops = points.iter().any(|point| point.flops.is_some());
    Curve {
        step: column(&points, |point| point.step),
        tokens: column(&points, |point| point.tokens),
        train_flops: column(&points, |point| {
            if stated_flops {
                point.flops
            } else {
                flops_of(run, point)
            }
        }),
        wall_s: if clock {
            column(&points, |point| point.seconds)
        } else {
            Vec::new()
        },
        energy_j: None,
        train_loss_nats: points
            .iter()
            .map(|point| point.train_loss.and_then(finite))
            .collect(),
        val_loss_nats: points
            .iter()
            .map(|point| point.loss.and_then(finite))
            .collect(),
        max_violation: Vec::new(),
    }
}

/// Whether a loss is stated that is not a number.
fn is_odd(point: &Point) -> bool {
    let stated = [point.loss, point.train_loss];
    stated.into_iter().flatten().any(|loss| !loss.is_finite())
}

fn flags(run: &LoggedRun, repeat: &Repeat, stated: &Stated, clock: bool) -> Vec<Flag> {
    let gap = |axis: Role| {
        let have = run
            .points
            .iter()
            .filter(|point| point.on(axis).is_some())
            .count();
        have > 0 && have < run.points.len()
    };
    let holds = |code: &str| match code {
        "six_n_d" => stated.by_six_n_d.is_some(),
        "seed_unknown" => repeat.seed.is_none(),
        "seeds_unpaired" => !repeat.paired,
        "rows_sorted" => run.sorted,
        "clock_restarted" => !clock,
        "resumed" => run.replaced > 0,
        "time_of_day" => run.stamped,
        "untimed_points" => run.untimed > 0,
        "training_loss_judged" => run.of_training && !run.is_measured(),
        "not_a_number" => outcome(run).is_ok() && run.points.iter().any(is_odd),
        "loss_unit_doubtful" => {
            outcome(run).is_ok_and(|end| end.loss.is_some_and(|nats| run.unit.is_doubtful(nats)))
        }
        _ => AXES.into_iter().any(gap),
    };
    let found = FLAGS.into_iter().filter(|(code, ..)| holds(code));
    found
        .map(|(code, severity, _)| Flag {
            code: code.to_owned(),
            severity,
            value: None,
            limit: None,
        })
        .collect()
}
