//! What the types alone cannot promise: that a result file makes sense.
//!
//! Every problem is found, not only the first, and each says where it is.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::metric::{self, Metric};
use super::{Cost, Curve, Energy, ResultFile, SCHEMA, Severity, Skill, Status, Trial, spec_sha256};

/// One thing that is wrong with a result file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `trials[3] (gpt2/w32@800, repeat 1).metrics.mfu`.
    pub place: String,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place.escape_debug(), self.message)
    }
}

/// Collects problems at one place, which is only written out where there is one: most files have none.
struct Check<'a> {
    above: Option<&'a Check<'a>>,
    part: Part<'a>,
    problems: &'a RefCell<Vec<Problem>>,
}

/// One word of a place.
enum Part<'a> {
    File,
    Name(&'a str),
    Item(&'a str, usize),
    Trial(Option<usize>, &'a Trial),
}

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => Ok(()),
            Self::Name(name) => f.write_str(name),
            Self::Item(list, index) => write!(f, "{list}[{index}]"),
            Self::Trial(Some(index), row) => {
                write!(f, "trials[{index}] ({}, repeat {})", row.cell, row.repeat)
            }
            Self::Trial(None, row) => write!(f, "{}, repeat {}", row.cell, row.repeat),
        }
    }
}

impl Check<'_> {
    fn place(&self) -> String {
        let above = self
            .above
            .map(Check::place)
            .filter(|above| !above.is_empty());
        above.map_or_else(
            || self.part.to_string(),
            |above| format!("{above}.{}", self.part),
        )
    }

    fn part<'b>(&'b self, part: Part<'b>) -> Check<'b> {
        Check {
            above: Some(self),
            part,
            problems: self.problems,
        }
    }

    fn at<'b>(&'b self, name: &'b str) -> Check<'b> {
        self.part(Part::Name(name))
    }

    fn that(&self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.problems.borrow_mut().push(Problem {
                place: self.place(),
                message: otherwise(),
            });
        }
    }

    fn time(&self, part: &str, text: &str) {
        let utc = text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok();
        self.at(part).that(utc, || {
            format!("`{}` is not an RFC 3339 time in UTC", text.escape_debug())
        });
    }

    fn name(&self, part: &str, text: &str) {
        let plain = !text.is_empty() && !text.chars().any(char::is_control);
        self.at(part).that(plain, || {
            "a name must not be empty or hold control characters".to_owned()
        });
    }

    fn finite(&self, part: &str, value: f64) {
        self.at(part).that(value.is_finite(), || {
            format!("{value} is not a finite number")
        });
    }

    fn reason(&self, absent: bool, reason: Option<&String>, what: &str) {
        let said = reason.is_some_and(|text| !text.trim().is_empty());
        self.that(!absent || said, || {
            format!("{what} but no `reason` says why")
        });
    }
}

/// Everything that is wrong with a result file; empty for a valid one.
pub fn validate(file: &ResultFile) -> Vec<Problem> {
    let problems = RefCell::default();
    let check = Check {
        above: None,
        part: Part::File,
        problems: &problems,
    };
    check.at("schema").that(file.schema == SCHEMA, || {
        format!("`{}` is not `{SCHEMA}`", file.schema.escape_debug())
    });
    check.at("run").time("started_at", &file.run.started_at);
    if let Some(time) = &file.run.finished_at {
        check.at("run").time("finished_at", time);
    }
    for (index, row) in file.calibrations.iter().enumerate() {
        let check = check.part(Part::Item("calibrations", index));
        in_range(&check, "machine", row.machine, file.machines.len());
        let absent = row.gemm_f32_flops_per_s.is_none() || row.stream_bytes_per_s.is_none();
        check.reason(absent, row.reason.as_ref(), "a figure is null");
        for peak in [
            row.gemm_f32_flops_per_s,
            row.gemm_bf16_flops_per_s,
            row.stream_bytes_per_s,
        ]
        .into_iter()
        .flatten()
        {
            check.that(peak.is_finite() && peak > 0.0, || {
                format!("a peak of {peak} per second")
            });
        }
    }
    let (mut ids, mut places, mut known) = (BTreeMap::new(), BTreeMap::new(), Known::new());
    for (index, row) in file.trials.iter().enumerate() {
        let check = check.part(Part::Trial(Some(index), row));
        in_range(&check, "build", row.build, file.builds.len());
        in_range(&check, "machine", row.machine, file.machines.len());
        if let Some(first) = ids.insert(&row.id, index) {
            check
                .at("id")
                .that(false, || format!("the same as that of trials[{first}]"));
        }
        if let Some(first) = places.insert((&row.arm, &row.cell, row.repeat), index) {
            check.that(false, || {
                format!("the same arm, cell and repeat as trials[{first}]")
            });
        }
        trial(&check, row, &mut known);
    }
    problems.into_inner()
}

/// Everything that is wrong with one trial, whatever file it will be in.
pub fn validate_trial(row: &Trial) -> Vec<Problem> {
    let problems = RefCell::default();
    trial(
        &Check {
            above: None,
            part: Part::Trial(None, row),
            problems: &problems,
        },
        row,
        &mut BTreeMap::new(),
    );
    problems.into_inner()
}

/// Specs whose hash is known to be right: repeats of a cell have the same one, and hashing it takes longer than comparing it.
type Known<'a> = BTreeMap<&'a str, &'a Value>;

fn has_its_hash<'a>(row: &'a Trial, known: &mut Known<'a>) -> Result<(), String> {
    if known
        .get(row.spec_sha256.as_str())
        .is_some_and(|spec| **spec == row.spec)
    {
        return Ok(());
    }
    let hash = spec_sha256(&row.spec);
    if row.spec_sha256 != hash {
        return Err(hash);
    }
    known.insert(&row.spec_sha256, &row.spec);
    Ok(())
}

fn in_range(check: &Check, part: &str, index: u64, len: usize) {
    check.at(part).that(index < len as u64, || {
        format!("{index} is out of range: there are {len}")
    });
}

fn trial<'a>(check: &Check, row: &'a Trial, known: &mut Known<'a>) {
    check.name("id", &row.id);
    check.name("cell", &row.cell);
    check.name("arm", &row.arm);
    check.name("variant", &row.variant);
    check.name("scale", &row.scale);
    check.time("started_at", &row.started_at);
    check.reason(
        row.status != Status::Ok,
        row.reason.as_ref(),
        "`status` is not ok",
    );
    if let Err(hash) = has_its_hash(row, known) {
        check.at("spec_sha256").that(false, || {
            format!("does not match the spec, whose hash is {hash}")
        });
    }
    if let Some(counted) = &row.cost {
        cost(&check.at("cost"), counted);
    }
    if let Some(stated) = &row.stated {
        let check = check.at("stated");
        check.that(row.cost.is_none(), || {
            "beside `cost`: a trial was counted or imported, not both".to_owned()
        });
        let flops = stated.train_flops;
        check
            .at("train_flops")
            .that(flops.is_none_or(|v| v.is_finite() && v >= 0.0), || {
                format!("{flops:?} FLOPs")
            });
    }
    curve(&check.at("curve"), &row.curve, row.stated.is_some());
    for (name, figure) in &row.metrics {
        metric(&check.at(&format!("metrics.{name}")), name, figure);
    }
    sums_up(check, row);
    for (index, share) in row.skills.iter().enumerate() {
        skill(&check.at(&format!("skills[{index}]")), share);
    }
    let answers = row.answers.iter().flat_map(|a| a.problems_of_record());
    for (part, message) in answers {
        check.at("answers").at(part).that(false, || message);
    }
    energy(&check.at("energy"), &row.energy);
    let sound = row
        .validity
        .flags
        .iter()
        .all(|flag| flag.severity != Severity::Invalid);
    check.at("validity.ok").that(row.validity.ok == sound, || {
        format!(
            "{} although {} flag is of severity `invalid`",
            row.validity.ok,
            if sound { "no" } else { "a" }
        )
    });
}

/// A loss is the source's and what is above that, on the same tokens.
fn sums_up(check: &Check, row: &Trial) {
    let of = |name: &str| row.metric(name);
    let parts = (
        of(metric::VAL_LOSS_NATS),
        of(metric::ORACLE_LOSS_NATS),
        of(metric::EXCESS_LOSS_NATS),
    );
    if let (Some(loss), Some(oracle), Some(excess)) = parts {
        check.at("metrics").that(
            (loss - oracle - excess).abs() <= 1e-6 * (1.0 + loss.abs()),
            || format!("a loss of {loss} nats is not {oracle} of the source and {excess} above it"),
        );
    }
}

/// Shares are shares, and FLOPs are counts.
fn cost(check: &Check, cost: &Cost) {
    let share = cost.embedding_share;
    check
        .at("embedding_share")
        .that((0.0..=1.0).contains(&share), || {
            format!("{share} is not a share")
        });
    let counted = [
        ("train_flops", cost.train_flops),
        ("optimizer_flops", cost.optimizer_flops),
    ];
    let full_square = cost
        .train_flops_full_square
        .map(|value| ("train_flops_full_square", value));
    for (part, value) in counted.into_iter().chain(full_square) {
        check.at(part).that(value.is_finite() && value >= 0.0, || {
            format!("{value} FLOPs")
        });
    }
}

/// Of an imported trial a column may be unknown, and is empty then.
fn curve(check: &Check, curve: &Curve, imported: bool) {
    let points = curve.val_loss_nats.len();
    let mut lengths = vec![
        ("step", curve.step.len()),
        ("tokens", curve.tokens.len()),
        ("train_flops", curve.train_flops.len()),
        ("wall_s", curve.wall_s.len()),
        ("train_loss_nats", curve.train_loss_nats.len()),
    ];
    lengths.extend(
        curve
            .energy_j
            .as_ref()
            .map(|column| ("energy_j", column.len())),
    );
    let routed = Some(curve.max_violation.len()).filter(|length| *length > 0);
    lengths.extend(routed.map(|length| ("max_violation", length)));
    for (column, length) in lengths {
        let unknown = length == 0 && imported && column != "train_loss_nats";
        check.at(column).that(length == points || unknown, || {
            format!("{length} values beside {points} points")
        });
    }
    check
        .at("step")
        .that(curve.step.windows(2).all(|w| w[0] < w[1]), || {
            "does not rise".to_owned()
        });
    check
        .at("tokens")
        .that(curve.tokens.windows(2).all(|w| w[0] <= w[1]), || {
            "falls".to_owned()
        });
    for (column, values) in [
        ("train_flops", &curve.train_flops),
        ("wall_s", &curve.wall_s),
    ] {
        check
            .at(column)
            .that(values.windows(2).all(|w| w[0] <= w[1]), || {
                "falls".to_owned()
            });
        check
            .at(column)
            .that(values.iter().all(|v| v.is_finite()), || {
                "holds what is not a number".to_owned()
            });
    }
    let violations = curve.max_violation.iter();
    check.at("max_violation").that(
        violations.clone().all(|v| v.is_finite() && *v >= 0.0),
        || "holds what is no number of at least 0".to_owned(),
    );
    for (column, losses) in [
        ("train_loss_nats", &curve.train_loss_nats),
        ("val_loss_nats", &curve.val_loss_nats),
    ] {
        let sound = losses.iter().flatten().all(|v| v.is_finite());
        check.at(column).that(sound, || {
            "holds what is not a number; a gap is null".to_owned()
        });
    }
}

fn metric(check: &Check, name: &str, found: &Metric) {
    let Some(info) = metric::info(name) else {
        let known: Vec<&str> = metric::REGISTRY.iter().map(|row| row.name).collect();
        check.that(false, || {
            format!("unknown metric; there is: {}", known.join(", "))
        });
        return;
    };
    check.at("unit").that(found.unit == info.unit, || {
        format!("`{}`, expected `{}`", found.unit.escape_debug(), info.unit)
    });
    check.at("better").that(found.better == info.better, || {
        format!("expected {:?}", info.better).to_lowercase()
    });
    check.at("kind").that(found.kind == info.kind, || {
        format!("expected {:?}", info.kind).to_lowercase()
    });
    check.reason(
        found.value.is_none(),
        found.reason.as_ref(),
        "`value` is null",
    );
    for (part, value) in [("value", found.value), ("sd", found.sd), ("se", found.se)] {
        if let Some(value) = value {
            check.finite(part, value);
            check.at(part).that(part == "value" || value >= 0.0, || {
                format!("{value} is below zero")
            });
        }
    }
    let samples = &found.samples;
    check
        .at("samples")
        .that(samples.iter().all(|v| v.is_finite()), || {
            "holds what is not a number".to_owned()
        });
    let counted = samples.is_empty() || found.n == Some(samples.len() as u64);
    check.at("n").that(counted, || {
        format!("{:?} beside {} samples", found.n, samples.len())
    });
}

fn skill(check: &Check, skill: &Skill) {
    for (part, value) in [
        ("loss_nats", skill.loss_nats),
        ("oracle_nats", skill.oracle_nats),
    ] {
        check.finite(part, value);
    }
    let difference = skill.loss_nats - skill.oracle_nats;
    let same = (difference - skill.excess_nats).abs() <= 1e-6 * skill.loss_nats.abs().max(1.0);
    check.at("excess_nats").that(same, || {
        format!(
            "{} is not loss minus oracle, {difference}",
            skill.excess_nats
        )
    });
}

fn energy(check: &Check, energy: &Energy) {
    check.reason(
        energy.measured_j.is_none(),
        energy.reason.as_ref(),
        "`measured_j` is null",
    );
    let mut readings = 0.0;
    for (index, channel) in energy.channels.iter().enumerate() {
        let check = check.part(Part::Item("channels", index));
        check.reason(
            channel.energy_j.is_none(),
            channel.reason.as_ref(),
            "`energy_j` is null",
        );
        if let Some(joules) = channel.energy_j {
            check
                .at("energy_j")
                .that(joules.is_finite() && joules >= 0.0, || {
                    format!("{joules} J")
                });
            if channel.is_measured() && channel.overlaps.is_none() {
                readings += joules;
            }
        }
        if let Some([low, high]) = channel.bounds_j {
            let is_range = low >= 0.0 && low <= high && high.is_finite();
            check
                .at("bounds_j")
                .that(is_range, || format!("{low} to {high} J is no range"));
        }
        for (index, phase) in channel.phases.iter().enumerate() {
            let check = check.part(Part::Item("phases", index));
            check.reason(
                phase.energy_j.is_none(),
                phase.reason.as_ref(),
                "`energy_j` is null",
            );
            let sound = phase
                .energy_j
                .is_none_or(|joules| joules.is_finite() && joules >= 0.0);
            check
                .at("energy_j")
                .that(sound, || format!("{:?} J", phase.energy_j));
        }
    }
    if let Some(joules) = energy.measured_j {
        check
            .at("measured_j")
            .that(joules.is_finite() && joules >= 0.0, || {
                format!("{joules} J")
            });
        let within = joules <= readings * (1.0 + 1e-9);
        check.at("measured_j").that(within, || {
            format!("{joules} J is more than the measured channels' {readings} J: an estimate or an overlap was added")
        });
    }
}

#[cfg(test)]
mod tests;
