//! What is compared, and how: every metric of the registry and every counted cost, with its group, scale and margin.
//!
//! Rates, durations, memory and joules are compared as ratios, on logarithms; losses and accuracies as differences, since an
//! excess loss may be near zero. Margins: time 2%, memory 1%, energy 5% (what MLPerf Training asks of a meter), a loss 0.005
//! nats, an accuracy half a point.

use schemars::JsonSchema;
use serde::Serialize;

use crate::record::metric::{self, Info, REGISTRY};
use crate::record::{Better, Cost, Kind, Trial};

/// Which law a metric is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Counted, the same everywhere: judged by equality.
    Exact,
    /// Losses and accuracies: the same for a seed and a kind of machine.
    Quality,
    /// Durations and rates: drift between sessions.
    Time,
    /// Bytes.
    Memory,
    /// Joules: drift as time does, and only like meters compare.
    Energy,
}

impl Group {
    /// Whether another session on the same machine may give another figure for no reason in the program.
    pub fn drifts(self) -> bool {
        matches!(self, Self::Time | Self::Energy)
    }

    /// Whether it says how well something works, not what it takes.
    pub fn is_quality(self) -> bool {
        self == Self::Quality
    }
}

/// How two values are set against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// new / base, on logarithms.
    Ratio,
    /// new - base.
    Difference,
}

/// One thing that is compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    /// A metric's name, or a key of a trial's `cost`.
    pub name: &'static str,
    /// Unit of its values.
    pub unit: &'static str,
    /// Direction.
    pub better: Better,
    /// Its law.
    pub group: Group,
    /// Ratio or difference.
    pub scale: Scale,
    /// Smallest change that matters: a share of the base for a ratio, in its unit for a difference.
    pub margin: f64,
}

/// Gated unless others are chosen: few, so that each keeps its power. A duration and its rate are one thing.
pub const HEADLINE: [&str; 9] = [
    metric::TRAIN_TOKENS_PER_S,
    metric::DECODE_TOKENS_PER_S,
    metric::ITERATION_S,
    metric::PEAK_MEMORY_BYTES,
    metric::ENERGY_J_PER_TRAIN_TOKEN,
    metric::ENERGY_J_PER_DECODE_TOKEN,
    metric::TRAIN_ENERGY_J,
    metric::VAL_LOSS_NATS,
    metric::TASK_ACCURACY,
];

/// Gated as well where a table of another tool's speeds states nothing else.
const OF_TABLES: [&str; 2] = [metric::TRAIN_WALL_S, metric::PREFILL_TOKENS_PER_S];

/// What is counted while a trial runs: older builds did not count all of it, and another kind of device is asked for other
/// operations.
pub const STEP_WORK: [&str; 3] = [
    metric::STEP_OPS,
    metric::STEP_TENSOR_BYTES,
    metric::WEIGHTS_READ_BYTES,
];

/// Counted costs: name, unit, and the count.
type Counted = (&'static str, &'static str, fn(&Cost) -> f64);

/// Work that is counted before anything runs.
const COUNTED: [Counted; 6] = [
    ("params_total", "", |cost| cost.params_total as f64),
    ("train_flops", "FLOP", |cost| cost.train_flops),
    ("optimizer_flops", "FLOP", |cost| cost.optimizer_flops),
    ("train_tokens", "tokens", |cost| cost.train_tokens as f64),
    ("kv_bytes_per_token", "bytes", |cost| {
        cost.kv_bytes_per_token as f64
    }),
    ("state_bytes", "bytes", |cost| cost.state_bytes as f64),
];

/// Everything that can be compared, counted work first. The oracle's loss is a property of the data, and no result.
pub fn catalog() -> Vec<Measure> {
    let counted = COUNTED.iter().map(|(name, unit, _)| Measure {
        name,
        unit,
        better: Better::Lower,
        group: Group::Exact,
        scale: Scale::Ratio,
        margin: 0.0,
    });
    counted
        .chain(
            REGISTRY
                .iter()
                .filter(|info| info.name != metric::ORACLE_LOSS_NATS)
                .map(of),
        )
        .collect()
}

fn of(info: &Info) -> Measure {
    let group = match (info.kind, info.unit) {
        (Kind::Exact, _) => Group::Exact,
        (Kind::Seeded, _) => Group::Quality,
        (Kind::Sampled, "bytes") => Group::Memory,
        (Kind::Sampled, "J/token" | "J") => Group::Energy,
        (Kind::Sampled, _) => Group::Time,
    };
    let (scale, margin) = match group {
        Group::Exact => (Scale::Ratio, 0.0),
        Group::Quality => (Scale::Difference, 0.005),
        Group::Time => (Scale::Ratio, 0.02),
        Group::Memory => (Scale::Ratio, 0.01),
        Group::Energy => (Scale::Ratio, 0.05),
    };
    Measure {
        name: info.name,
        unit: info.unit,
        better: info.better,
        group,
        scale,
        margin,
    }
}

impl Measure {
    /// Its value in one trial, where it is known.
    pub fn value(&self, trial: &Trial) -> Option<f64> {
        let mut counted = COUNTED.iter().filter(|_| self.group == Group::Exact);
        match counted.find(|(name, ..)| *name == self.name) {
            Some((_, _, count)) => trial.cost.as_ref().map(count),
            None => trial.metric(self.name),
        }
    }

    /// 1 where more is worse, -1 where less is.
    pub fn worse(&self) -> f64 {
        if self.better == Better::Lower {
            1.0
        } else {
            -1.0
        }
    }

    /// Whether it is gated when nobody chooses.
    pub fn is_headline(&self) -> bool {
        self.group == Group::Exact || HEADLINE.contains(&self.name)
    }

    /// Whether it is one more that is gated for trials that were imported and state no loss.
    pub fn is_of_tables(&self) -> bool {
        OF_TABLES.contains(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;

    #[test]
    fn every_metric_has_its_law() {
        let catalog = catalog();
        let rows = [
            ("train_flops", Group::Exact, Scale::Ratio, 0.0),
            (metric::TRAIN_TOKENS_PER_S, Group::Time, Scale::Ratio, 0.02),
            (metric::MFU, Group::Time, Scale::Ratio, 0.02),
            (metric::PEAK_MEMORY_BYTES, Group::Memory, Scale::Ratio, 0.01),
            (
                metric::ENERGY_J_PER_DECODE_TOKEN,
                Group::Energy,
                Scale::Ratio,
                0.05,
            ),
            (
                metric::EXCESS_LOSS_NATS,
                Group::Quality,
                Scale::Difference,
                0.005,
            ),
            (
                metric::TASK_ACCURACY,
                Group::Quality,
                Scale::Difference,
                0.005,
            ),
        ];
        for (name, group, scale, margin) in rows {
            let found = catalog.iter().find(|measure| measure.name == name).unwrap();
            assert_eq!(
                (found.group, found.scale, found.margin),
                (group, scale, margin),
                "{name}"
            );
        }
        assert!(
            HEADLINE
                .iter()
                .all(|name| catalog.iter().any(|measure| measure.name == *name))
        );
        assert!(
            catalog
                .iter()
                .all(|measure| measure.name != metric::ORACLE_LOSS_NATS)
        );
    }

    #[test]
    fn counted_work_is_read_from_the_cost() {
        let file = example();
        let value = |name: &str| {
            catalog()
                .iter()
                .find(|m| m.name == name)
                .unwrap()
                .value(&file.trials[0])
        };
        assert_eq!(value("train_flops"), Some(7.7e7 * 400.0));
        assert_eq!(value(metric::VAL_BITS_PER_BYTE), None);
    }
}
