//! What a trial used that costs something: seconds, cores, joules.

use super::amount::Amount;
use crate::reading::Method;
use crate::record::{Channel, Machine, Status, Trial, metric};

/// What sums were done on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cores {
    /// So many virtual cores.
    Cpu(u64),
    /// A GPU, and the machine around it.
    Gpu,
    /// Of an imported trial.
    Unknown,
}

/// What a trial used.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// Seconds of training.
    pub seconds: Amount,
    /// What was occupied.
    pub cores: Cores,
    /// Joules of training, as metered or as the record's own model bounds them.
    pub joules: Amount,
    /// What the joules cover, and by which meters.
    pub metered: String,
    /// What was read to train on; nothing of what is no training.
    pub data: Option<Read>,
}

/// Data, as often as they were paid for: once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Read {
    /// Different tokens.
    pub tokens: f64,
    /// Those of them that a task asked for.
    pub labels: f64,
}

impl Read {
    /// What a trial read; nothing where nobody knows how much that was.
    pub fn of(trial: &Trial) -> Option<Self> {
        let labels = trial.cost.as_ref().and_then(|cost| cost.train_labels);
        Some(Self {
            tokens: trial.unique_tokens()?,
            labels: labels.unwrap_or(0) as f64 / trial.epochs(),
        })
    }
}

impl Usage {
    /// What a trial used on the machine that it ran on.
    pub fn of(trial: &Trial, machine: &Machine) -> Self {
        let (joules, metered) = joules(trial);
        Self {
            seconds: seconds(trial),
            cores: cores(trial, machine),
            joules,
            metered,
            data: Read::of(trial),
        }
    }
}

fn seconds(trial: &Trial) -> Amount {
    let name = metric::TRAIN_WALL_S;
    Amount::reading(
        trial.metric(name).filter(|_| trial.status == Status::Ok),
        || {
            let said = trial
                .metrics
                .get(name)
                .and_then(|metric| metric.reason.clone());
            match (trial.status, said) {
                (Status::Ok, Some(reason)) => format!("{name}: {reason}"),
                (Status::Ok, None) => format!("no {name} in the record"),
                (status, _) => format!("the trial ended as {}", status.words()),
            }
        },
    )
}

/// The cores that a trial had: as many as it asked for, else all of its machine's.
fn cores(trial: &Trial, machine: &Machine) -> Cores {
    let asked = |key| trial.spec.pointer(key);
    if asked("/compute/device")
        .and_then(|device| device.as_str())
        .is_some_and(|device| device != "cpu")
    {
        return Cores::Gpu;
    }
    let threads = asked("/compute/threads")
        .and_then(|n| n.as_u64())
        .filter(|n| *n > 0);
    threads
        .or(machine.threads)
        .map_or(Cores::Unknown, Cores::Cpu)
}

/// Joules of training as metered, else the sum of the record's modelled channels' ranges, else why there are none.
fn joules(trial: &Trial) -> (Amount, String) {
    let energy = &trial.energy;
    let finished = trial.status == Status::Ok;
    let per_token = trial.metric(metric::ENERGY_J_PER_TRAIN_TOKEN);
    if let (true, Some(joules), Some(cost)) = (finished, per_token, &trial.cost) {
        return (
            Amount::Measured {
                value: joules * cost.train_tokens as f64,
            },
            covered(&energy.channels, "measured"),
        );
    }
    if let (true, Some(value)) = (finished, energy.measured_j) {
        return (
            Amount::Measured { value },
            covered(&energy.channels, "measured over the whole trial"),
        );
    }
    let stated = trial.stated.as_ref().and_then(|stated| stated.joules);
    if let (true, Some(value)) = (finished, stated) {
        return (Amount::Measured { value }, "as its log states".to_owned());
    }
    let bounds: Vec<Amount> = energy
        .channels
        .iter()
        .filter(|channel| !channel.is_measured())
        .filter_map(|channel| Some((channel.bounds_j?, share_of_training(trial, channel))))
        .map(|([low, high], share)| Amount::Modelled {
            low: low * share,
            high: high * share,
        })
        .collect();
    if finished && !bounds.is_empty() {
        return (Amount::sum(&bounds), "modelled in the record".to_owned());
    }
    let reason = energy
        .reason
        .clone()
        .unwrap_or_else(|| "no meter in the record".to_owned());
    (
        Amount::Absent {
            reason: if finished {
                reason
            } else {
                "the trial did not finish".to_owned()
            },
        },
        "energy".to_owned(),
    )
}

/// The share of a channel's window that was training; all of it where that is not known.
fn share_of_training(trial: &Trial, channel: &Channel) -> f64 {
    let share = trial
        .metric(metric::TRAIN_WALL_S)
        .zip(channel.window_s)
        .map(|(train_s, window_s)| train_s / window_s);
    share
        .filter(|share| (0.0..1.0).contains(share))
        .unwrap_or(1.0)
}

/// `measured: gpu0 (nvml.total_energy); not metered: cpu (virtual_machine)`.
fn covered(channels: &[Channel], how: &str) -> String {
    let instruments = channels
        .iter()
        .filter(|channel| channel.method != Method::Modelled && channel.overlaps.is_none());
    let (read, unread): (Vec<_>, Vec<_>) =
        instruments.partition(|channel| channel.energy_j.is_some());
    let list = |channels: &[&Channel], detail: fn(&Channel) -> &str| {
        let words = channels
            .iter()
            .map(|channel| format!("{} ({})", channel.id, detail(channel)));
        words.collect::<Vec<_>>().join(", ")
    };
    let read = list(&read, |channel| &channel.source);
    match list(&unread, |channel| {
        channel.reason.as_deref().unwrap_or("no reason given")
    }) {
        unread if unread.is_empty() => format!("{how}: {read}"),
        unread => format!("{how}: {read}; not metered: {unread}"),
    }
}
