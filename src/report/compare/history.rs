//! A metric over time in the terminal: a line a run with a bar, the fence, and the step.

use super::words::bare_percent;
use crate::analysis::compare::history::{History, Point};
use crate::analysis::compare::self_test::Rates;
use crate::report::listing::headed;
use crate::report::table::Style;
use crate::unit::Share;

/// Columns of the chart.
const WIDTH: usize = 24;

/// One history: what it says, and its runs.
pub fn history(found: &History, style: Style) -> String {
    let mut table = headed(
        style,
        &["run", "commit", "n", found.metric, "change", "", ""],
    );
    for (k, point) in found.points.iter().enumerate() {
        table.add_row([
            point.started_at.escape_debug().to_string(),
            point
                .commit
                .as_deref()
                .map(|commit| commit.chars().take(9).collect())
                .unwrap_or_default(),
            point.n.to_string(),
            format!("{:.5}", Figure(point.value)),
            point
                .change
                .map(|change| size(found, change))
                .unwrap_or_default(),
            dot(found, point, style.unicode),
            mark(found, k, point).to_owned(),
        ]);
    }
    format!("{}\n\n{}", sentence(found), table.trim_fmt())
}

/// A figure with five significant digits.
struct Figure(f64);

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = f.precision().unwrap_or(5);
        let whole = self.0.abs().max(1e-12).log10().floor() as i64 + 1;
        let decimals = (digits as i64 - whole).clamp(0, 12) as usize;
        write!(f, "{:.decimals$}", self.0)
    }
}

fn mark(found: &History, k: usize, point: &Point) -> &'static str {
    match found.step {
        Some((at, _)) if at == k => "step",
        _ if point.outlier => "outlier",
        _ if found.recent.is_some_and(|(at, _)| at == k) => "new",
        _ if point.unusual => "unusual",
        _ => "",
    }
}

fn size(found: &History, change: f64) -> String {
    let ratio = !matches!(found.unit, "nats" | "bits/byte" | "1");
    if ratio || found.metric == "mfu" {
        format!("{}%", signed(change))
    } else {
        format!("{change:+.4}")
    }
}

fn signed(share: f64) -> String {
    format!(
        "{}{}",
        if share > 0.0 { "+" } else { "" },
        bare_percent(share)
    )
}

/// Where the value lies between the lowest and the highest.
fn dot(found: &History, point: &Point, unicode: bool) -> String {
    let values = || found.points.iter().map(|point| point.value);
    let (low, high) = (
        values().fold(f64::INFINITY, f64::min),
        values().fold(f64::NEG_INFINITY, f64::max),
    );
    let place = if high > low {
        (point.value - low) / (high - low)
    } else {
        0.5
    };
    let at = (place * (WIDTH - 1) as f64).round() as usize;
    let (line, dot) = if unicode { ('·', '●') } else { ('.', 'o') };
    (0..WIDTH)
        .map(|k| if k == at { dot } else { line })
        .collect()
}

fn sentence(found: &History) -> String {
    let History {
        cell,
        metric,
        class_id,
        data,
        points,
        ..
    } = found;
    let runs = if points.len() == 1 {
        "1 run".to_owned()
    } else {
        format!("{} runs", points.len())
    };
    let fence = match found.fence {
        Some(fence) => format!(
            "runs differ by up to {} without a reason",
            size(found, fence).trim_start_matches('+')
        ),
        None => "too few runs to say what is usual".to_owned(),
    };
    let data = data.escape_debug();
    let differs = if found.differs.is_empty() {
        String::new()
    } else {
        format!(", {}", found.differs.escape_debug())
    };
    format!(
        "{metric} of {cell} on {class_id}, {data}{differs}, {runs}: {fence}{}{}.",
        course(found),
        outliers(found)
    )
}

/// `; it changed for good by -11% at 2026-10-06T10:00:00Z`: a step, a trend, or what may yet become one.
fn course(found: &History) -> String {
    let points = &found.points;
    if let Some((at, change)) = found.step {
        return format!(
            "; it changed for good by {} at {}",
            size(found, change),
            points[at].started_at
        );
    }
    if let Some(change) = found.trend {
        let runs = points.len() - 1;
        return format!(
            "; a trend, {} over {runs} steps from run to run",
            size(found, change)
        );
    }
    let Some((at, change)) = found.recent else {
        return String::new();
    };
    let (last, yet) = if at + 1 == points.len() {
        ("the last run lies", "two more")
    } else {
        ("the last two runs lie", "one more")
    };
    format!(
        "; {last} {} from those before, and {yet} will say whether it stays",
        size(found, change)
    )
}

fn outliers(found: &History) -> String {
    let apart: Vec<&Point> = found.points.iter().filter(|point| point.outlier).collect();
    match apart.as_slice() {
        [] => String::new(),
        [one] => format!(
            "; the run of {} stands apart, and the next is as before",
            one.started_at
        ),
        several => format!(
            "; {} runs stand apart, each between runs as before",
            several.len()
        ),
    }
}

/// The rates of a self-test as a table.
pub fn self_test(rates: &[Rates], style: Style) -> String {
    let mut table = headed(
        style,
        &[
            "metric",
            "pairs",
            "n",
            "sd of a pair",
            "test alone",
            "regressed",
            "equivalent",
        ],
    );
    for rate in rates {
        let share = |value: f64| Share(value).to_string();
        let sd = if rate.metric.ends_with("nats") {
            format!("{:.4}", rate.sd)
        } else {
            format!("{}%", bare_percent(rate.sd))
        };
        table.add_row([
            rate.metric.to_owned(),
            rate.pairs.to_string(),
            rate.n.to_string(),
            sd,
            share(rate.rejected),
            share(rate.regressed),
            share(rate.equivalent),
        ]);
    }
    let worst = rates.iter().map(|rate| rate.regressed).fold(0.0, f64::max);
    let n = rates.first().map_or(0, |rate| rate.n);
    format!(
        "Where nothing changed, this machine at n = {n} would raise a false alarm in at most {} of comparisons of one metric.\n\n{}",
        Share(worst),
        table.trim_fmt()
    )
}
