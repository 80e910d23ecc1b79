//! A change in words: "trains 12% slower (95% 10 to 14%, n = 5)".

use crate::analysis::compare::effect::Method;
use crate::analysis::compare::{Figures, Group, Row, Scale};
use crate::record::{Better, metric};
use crate::stat::Estimate;
use crate::unit::Nats;

/// What a row says, as the rest of a sentence whose subject is the cell.
pub(super) fn phrase(row: &Row) -> String {
    if row.method == Method::Ranks {
        let all = |side: &Figures| format!("{} of {}", side.unreached, side.n + side.unreached);
        return format!(
            "diverges in {} trials, before in {}",
            all(&row.new),
            all(&row.base)
        );
    }
    let Some(change) = row.change else {
        return format!(
            "{}: {}",
            row.metric,
            row.reason.as_deref().unwrap_or(row.verdict.words())
        );
    };
    match row.group {
        Group::Time => speed(row, change.value),
        Group::Memory => format!("takes {} memory", more(change.value)),
        Group::Energy => format!(
            "takes {} energy per {}",
            more(change.value),
            token(row.metric)
        ),
        Group::Quality => quality(row, change.value),
        Group::Exact => format!("has {} {}", more(change.value), row.metric),
    }
}

/// `95% 10 to 14%, n = 5`, in the direction that the phrase has.
pub(super) fn certainty(row: &Row) -> String {
    let n = count(row);
    let Some(Estimate {
        value,
        interval: Some(interval),
        ..
    }) = row.change
    else {
        return n;
    };
    let mut ends = [interval.low, interval.high].map(|end| size(row, value, end));
    if ends[0] > ends[1] {
        ends.swap(0, 1);
    }
    let [low, high] = ends;
    let (low, high) = match row.scale {
        Scale::Ratio => (bare_percent(low), percent(high)),
        Scale::Difference if row.unit == "1" => (points(low), points(high)),
        Scale::Difference => (Nats(low).to_string(), Nats(high).to_string()),
    };
    format!("{:.0}% {low} to {high}, {n}", 100.0 * interval.level)
}

/// `n = 5`, `n = 5 and 4`.
pub(super) fn count(row: &Row) -> String {
    match row.effect.map(|effect| effect.n) {
        Some([a, b]) if a != b => format!("n = {a} and {b}"),
        Some([n, _]) => format!("n = {n}"),
        None => format!("n = {}", row.base.n.min(row.new.n)),
    }
}

/// `1 cell`, `8 cells`.
pub(super) fn cells(count: usize) -> String {
    if count == 1 {
        "1 cell".to_owned()
    } else {
        format!("{count} cells")
    }
}

/// How large an end of the interval is, in the direction of the change: of a speed as times, of the rest as shares or units.
fn size(row: &Row, value: f64, end: f64) -> f64 {
    match (row.group, row.scale) {
        (Group::Time, _) => {
            let (now, end) = (speed_ratio(row, value), speed_ratio(row, end));
            if now < 1.0 {
                1.0 / end - 1.0
            } else {
                end - 1.0
            }
        }
        (_, Scale::Ratio) => {
            if value < 1.0 {
                1.0 - end
            } else {
                end - 1.0
            }
        }
        (_, Scale::Difference) => {
            if value < 0.0 {
                -end
            } else {
                end
            }
        }
    }
}

/// New speed over old.
fn speed_ratio(row: &Row, ratio: f64) -> f64 {
    if row.better == Better::Higher {
        ratio
    } else {
        1.0 / ratio
    }
}

fn speed(row: &Row, ratio: f64) -> String {
    let verb = match row.metric {
        metric::TRAIN_TOKENS_PER_S | metric::TRAIN_WALL_S => "trains",
        metric::TRAIN_STEP_S => "steps",
        metric::DECODE_TOKENS_PER_S => "decodes",
        metric::PREFILL_TOKENS_PER_S => "reads its prompt",
        metric::TTFT_S => "begins to answer",
        metric::ITERATION_S => "runs",
        _ => "computes",
    };
    match speed_ratio(row, ratio) {
        s if s < 1.0 => format!("{verb} {} slower", percent(1.0 / s - 1.0)),
        s if s > 1.0 => format!("{verb} {} faster", percent(s - 1.0)),
        _ => format!("{verb} as fast"),
    }
}

fn more(ratio: f64) -> String {
    match ratio {
        r if r > 1.0 => format!("{} more", percent(r - 1.0)),
        r if r < 1.0 => format!("{} less", percent(1.0 - r)),
        _ => "as much".to_owned(),
    }
}

fn token(metric: &str) -> &'static str {
    if metric == metric::ENERGY_J_PER_DECODE_TOKEN {
        "generated token"
    } else {
        "training token"
    }
}

fn quality(row: &Row, change: f64) -> String {
    let side = if change > 0.0 { "higher" } else { "lower" };
    let name = match row.metric {
        metric::VAL_LOSS_NATS => "validation loss",
        metric::TRAIN_LOSS_NATS => "training loss",
        metric::EXCESS_LOSS_NATS => "excess loss",
        metric::TASK_ACCURACY => "task accuracy",
        metric::NEXT_TOKEN_ACCURACY => "next-token accuracy",
        metric::ANSWER_ACCURACY => "share of problems solved",
        metric::CHOICE_ACCURACY => "share of right choices",
        metric::CHOICE_ACCURACY_NORM => "share of right choices by the character",
        metric::SAMPLE_ACCURACY => "share of right samples",
        other => other,
    };
    format!("has a {name} {} {side}", amount(row, change.abs()))
}

/// A size in the row's unit: `12%`, `0.012 nats`, `0.4 points`.
pub(super) fn amount(row: &Row, size: f64) -> String {
    match (row.scale, row.unit) {
        (Scale::Ratio, _) => percent(size),
        (Scale::Difference, "1") => format!("{} points", points(size)),
        (Scale::Difference, unit) => format!("{} {unit}", Nats(size)),
    }
}

/// A change as a table shows it: `0.893 (0.885 to 0.901)`, `+0.0120 (0.0100 to 0.0140)`.
pub(super) fn change(row: &Row) -> String {
    let Some(Estimate {
        value, interval, ..
    }) = row.change
    else {
        return String::new();
    };
    let show = |value: f64| match row.scale {
        Scale::Ratio if value >= 9.95 => format!("{value:.1}"),
        Scale::Ratio => format!("{value:.3}"),
        Scale::Difference if value == 0.0 => "0".to_owned(),
        Scale::Difference => format!("{value:+.4}"),
    };
    match interval.filter(|_| !row.identical) {
        Some(i) => format!("{} ({} to {})", show(value), show(i.low), show(i.high)),
        None => show(value),
    }
}

/// `12%`, `3.1%`, `0.31%`, `4.2 times`.
pub(super) fn percent(share: f64) -> String {
    if share >= 2.995 {
        return format!("{} times", crate::unit::Times(1.0 + share));
    }
    format!("{}%", bare_percent(share))
}

pub(super) fn bare_percent(share: f64) -> String {
    let percent = 100.0 * share;
    let decimals = match percent.abs() {
        size if size >= 9.95 || size == 0.0 => 0,
        size if size >= 0.995 => 1,
        _ => 2,
    };
    let text = format!("{percent:.decimals$}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

fn points(share: f64) -> String {
    bare_percent(share)
}
