//! A metric over time: what it says, its course as a plot, and a line a run.

use super::words::bare_percent;
use crate::analysis::compare::history::{History, Point};
use crate::analysis::compare::self_test::Rates;
use crate::report::page::{
    Axis, Block, Chart, Figure as Plot, Hue, Mark, Page, Point as Dot, Quantity, Scatter, Series,
    Table,
};
use crate::unit::Share;

/// One history for each kind of machine.
pub fn history(found: &[History]) -> Page {
    let title = found.first().map_or_else(String::new, |first| {
        format!("{} of {} over time", first.metric, first.cell)
    });
    Page::answer(&title, Vec::new(), found.iter().flat_map(blocks).collect())
}

/// One history: what it says, and its runs.
fn blocks(found: &History) -> [Block; 3] {
    let mut table = Table::new(["run", "commit", "n", found.metric, "change", ""]);
    for (k, point) in found.points.iter().enumerate() {
        let commit = point.commit.as_deref().unwrap_or_default();
        table.row([
            point.started_at.clone(),
            commit.chars().take(9).collect(),
            point.n.to_string(),
            format!("{:.5}", Figure(point.value)),
            point
                .change
                .map(|change| size(found, change))
                .unwrap_or_default(),
            mark(found, k, point).to_owned(),
        ]);
    }
    [
        Block::Lead(sentence(found)),
        Block::Plot(plot(found)),
        Block::Table(table),
    ]
}

/// The values in the order of their runs.
fn plot(found: &History) -> Plot {
    let points = found.points.iter().zip(1..).map(|(point, k)| Dot {
        x: f64::from(k),
        y: point.value,
        interval: None,
        note: point.started_at.clone(),
    });
    let series = Series {
        name: found.cell.clone(),
        hue: Hue::Neutral,
        mark: Mark::Joined,
        points: points.collect(),
    };
    Plot {
        title: format!("{} of {}, run by run", found.metric, found.cell),
        caption:
            "Runs from the first to the last, equally far apart whatever the time between them."
                .to_owned(),
        chart: Chart::Scatter(Scatter {
            x: Axis::linear("run", Quantity::Count),
            y: Axis::linear(
                &format!("{} ({})", found.metric, found.unit),
                Quantity::Plain,
            ),
            series: vec![series],
            rules: Vec::new(),
        }),
    }
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
pub fn self_test(rates: &[Rates]) -> Page {
    let mut table = Table::new([
        "metric",
        "pairs",
        "n",
        "sd of a pair",
        "test alone",
        "regressed",
        "equivalent",
    ]);
    for rate in rates {
        let share = |value: f64| Share(value).to_string();
        let sd = if rate.metric.ends_with("nats") {
            format!("{:.4}", rate.sd)
        } else {
            format!("{}%", bare_percent(rate.sd))
        };
        table.row([
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
    let said = format!(
        "Where nothing changed, this machine at n = {n} would raise a false alarm in at most {} of comparisons of one metric.",
        Share(worst)
    );
    let blocks = vec![Block::Lead(said), Block::Table(table)];
    Page::answer("False alarms", Vec::new(), blocks)
}
