//! What a token costs the longer the text before it is and the more sequences are served at once, beside what reading the bytes would
//! take.

use super::hue::hue;
use super::think;
use crate::analysis::findings::{Cell, Findings};
use crate::record::metric;
use crate::record::utilisation::Peaks;
use crate::report::page::{
    Axis, Block, Chart, Figure, Hue, Mark, Point, Quantity, Scatter, Series, Table,
};
use crate::unit::{Bytes, Seconds, Share};

/// A cell that was served.
struct Served<'a> {
    cell: &'a Cell<'a>,
    variant: &'a str,
    depth: f64,
    batch: f64,
    /// A token of every sequence.
    step_s: f64,
    /// Its interval over repeats.
    step_s_interval: Option<(f64, f64)>,
    /// Bytes that a step reads, and of them a second what a copy was measured to take.
    read: Option<(f64, f64)>,
}

/// The cells that were served, from the shallowest with the fewest sequences on.
fn served<'a>(findings: &'a Findings<'a>) -> Vec<Served<'a>> {
    let cells = findings.cells.iter();
    let mut served: Vec<Served> = cells.filter_map(|cell| of_cell(findings, cell)).collect();
    served.sort_by(|a, b| {
        let depth = a.depth.total_cmp(&b.depth);
        depth.then(a.batch.total_cmp(&b.batch))
    });
    served
}

/// Lines against depth, and lines against sequences at once.
fn lines(findings: &Findings, served: &[Served]) -> [Vec<Series>; 2] {
    let depths = series(
        findings,
        served,
        &|one| one.batch,
        &|one| one.depth,
        &|name, batch| match batch > 1.0 {
            true => format!("{name}, {batch} at once"),
            false => name.to_owned(),
        },
    );
    let batches = series(
        findings,
        served,
        &|one| one.depth,
        &|one| one.batch,
        &|name, depth| match depth > 0.0 {
            true => format!("{name}, behind {depth} tokens"),
            false => name.to_owned(),
        },
    );
    [depths, batches]
}

/// What a line of the bound is called behind the name of its own.
const BOUND: &str = ": bytes over bandwidth";

/// Lines that are not simply a variant's: what hues stand for here, behind the variants' and those of [`think`].
pub(super) fn names(findings: &Findings) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for line in lines(findings, &served(findings)).iter().flatten() {
        let known = findings.variants.contains(&line.name) || names.contains(&line.name);
        if !known && !line.name.ends_with(BOUND) {
            names.push(line.name.clone());
        }
    }
    names
}

/// Every line and its bound in a colour of their own.
fn colour(findings: &Findings, line: &mut Series) {
    let name = line.name.strip_suffix(BOUND).unwrap_or(&line.name);
    let first = findings.variants.len() + think::names(findings.file).len();
    let place = names(findings).iter().position(|known| known == name);
    line.hue = match place {
        Some(place) => Hue::Variant(first + place),
        None => hue(findings, name),
    };
}

/// Where a variant was served at several depths or with several sequences at once.
pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let served = served(findings);
    let [mut depths, mut batches] = lines(findings, &served);
    for line in depths.iter_mut().chain(&mut batches) {
        colour(findings, line);
    }
    let memory = "The line without signs: what reading the weights and the cache would take at the fastest copy that was measured beside these cells.";
    let plot = |title: &str, x: Axis, what: &str, series: Vec<Series>| {
        let some = !series.is_empty();
        some.then(|| Figure {
            title: title.to_owned(),
            caption: format!("{what} {memory}"),
            chart: Chart::Scatter(Scatter {
                x,
                y: Axis::linear("seconds a step of decoding", Quantity::Seconds),
                series,
                rules: Vec::new(),
            }),
        })
    };
    let figures: Vec<Figure> = [
        plot(
            "Decoding against depth",
            Axis::linear("tokens in the cache before the prompt", Quantity::Count),
            "A token of every sequence, the more text there is before it.",
            depths,
        ),
        plot(
            "Decoding against sequences at once",
            Axis::log("sequences at once", Quantity::Count),
            "A token of every sequence: as long as it is flat, more sequences cost nothing.",
            batches,
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    if figures.is_empty() {
        return None;
    }
    Some(vec![Block::Plots(figures), Block::Table(table(&served))])
}

fn of_cell<'a>(findings: &Findings, cell: &'a Cell<'a>) -> Option<Served<'a>> {
    let asked = cell.any().asked();
    let batch = asked.served_batch();
    let rate = cell.estimate(metric::DECODE_TOKENS_PER_S)?;
    let step_s = batch / rate.value;
    let ends = rate.interval.filter(|ends| ends.low > 0.0);
    let bytes = [metric::WEIGHTS_READ_BYTES, metric::CACHE_READ_BYTES].map(|name| cell.mean(name));
    let bytes = bytes[0].map(|weights| weights + bytes[1].unwrap_or(0.0));
    Some(Served {
        cell,
        variant: &cell.any().variant,
        depth: asked.served_depth(),
        batch,
        step_s,
        step_s_interval: ends.map(|ends| (batch / ends.high, batch / ends.low)),
        read: Peaks::best(&findings.file.calibrations, cell.any())
            .bytes_per_s
            .zip(bytes)
            .map(|(bandwidth, bytes)| (bytes, bandwidth)),
    })
}

/// Of each variant and each `fixed` a line along what varies, where that is more than one thing, and one of what memory allows.
fn series(
    findings: &Findings,
    served: &[Served],
    fixed: &dyn Fn(&Served) -> f64,
    along: &dyn Fn(&Served) -> f64,
    name: &dyn Fn(&str, f64) -> String,
) -> Vec<Series> {
    let mut all = Vec::new();
    // One bandwidth for all: copies that other programs slowed down are no bound.
    let copies = served.iter().filter_map(|one| Some(one.read?.1));
    let fastest = copies.fold(0.0, f64::max);
    for variant in &findings.variants {
        let mut known: Vec<f64> = Vec::new();
        let of_variant: Vec<&Served> = served.iter().filter(|one| one.variant == variant).collect();
        for one in &of_variant {
            let value = fixed(one);
            if known.contains(&value) {
                continue;
            }
            known.push(value);
            let mut line: Vec<&&Served> = of_variant.iter().filter(|o| fixed(o) == value).collect();
            line.sort_by(|a, b| along(a).total_cmp(&along(b)));
            if line.windows(2).all(|pair| along(pair[0]) == along(pair[1])) {
                continue;
            }
            let named = name(variant, value);
            let point = |one: &Served, y: f64, interval| Point {
                x: along(one),
                y,
                interval,
                note: one.cell.name.clone(),
            };
            let lines = [
                (
                    Mark::Joined,
                    named.clone(),
                    line.iter()
                        .map(|one| point(one, one.step_s, one.step_s_interval))
                        .collect(),
                ),
                (
                    Mark::Line,
                    format!("{named}{BOUND}"),
                    line.iter()
                        .filter_map(|one| Some(point(one, one.read?.0 / fastest, None)))
                        .collect::<Vec<Point>>(),
                ),
            ];
            let lines = lines
                .into_iter()
                .filter(|(_, _, points)| !points.is_empty());
            all.extend(lines.map(|(mark, name, points)| Series {
                name,
                hue: Hue::Neutral,
                mark,
                points,
            }));
        }
    }
    all
}

fn table(served: &[Served]) -> Table {
    let mut table = Table::new([
        "cell",
        "depth",
        "at once",
        "prompt tok/s",
        "decode tok/s",
        "a step",
        "weights read",
        "cache read",
        "bandwidth used",
        "J/decode token",
        "n",
    ]);
    for one in served {
        let mean = |name: &str, quantity: &dyn Fn(f64) -> String| {
            one.cell.mean(name).map(quantity).unwrap_or_default()
        };
        let count = |value: f64| Quantity::TokensPerSecond.cell(value);
        table.row(vec![
            one.cell.name.clone(),
            one.depth.to_string(),
            one.batch.to_string(),
            mean(metric::PREFILL_TOKENS_PER_S, &count),
            mean(metric::DECODE_TOKENS_PER_S, &count),
            Seconds(one.step_s).to_string(),
            mean(metric::WEIGHTS_READ_BYTES, &|bytes| {
                Bytes(bytes).to_string()
            }),
            mean(metric::CACHE_READ_BYTES, &|bytes| Bytes(bytes).to_string()),
            mean(metric::MBU, &|share| Share(share).to_string()),
            mean(metric::ENERGY_J_PER_DECODE_TOKEN, &|joules| {
                Quantity::Joules.cell(joules)
            }),
            one.cell.count(),
        ]);
    }
    table.without_empty_columns()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Metric;
    use crate::record::example::example;
    use serde_json::json;

    #[test]
    fn depths_and_batches_are_lines_beside_what_memory_allows() {
        let mut file = example();
        assert!(build(&Findings::of(&file)).is_none());
        // The first copy was slowed down.
        for (calibration, copied) in file.calibrations.iter_mut().zip([1e8, 1e9]) {
            calibration.stream_bytes_per_s = Some(copied);
        }
        let name = file.trials[0].cell.clone();
        file.trials.retain(|trial| trial.cell == name);
        let settings = [(0, 1, 100.0), (2048, 1, 50.0), (0, 8, 400.0)];
        file.trials.truncate(settings.len());
        for (trial, (depth, batch, rate)) in file.trials.iter_mut().zip(settings) {
            trial.spec["infer"] = json!({"depth": depth, "batch": batch});
            trial.cell = format!("d{depth}-b{batch}");
            // At 1 GB/s a step of the first reads 5 ms long.
            let bytes = [5e6, 1e7][usize::from(depth > 0 || batch > 1)];
            for (name, value) in [
                (metric::DECODE_TOKENS_PER_S, rate),
                (metric::WEIGHTS_READ_BYTES, 4e6),
                (metric::CACHE_READ_BYTES, bytes - 4e6),
            ] {
                let metric = Metric::value(name, value);
                trial.metrics.insert(name.to_owned(), metric);
            }
        }
        let blocks = build(&Findings::of(&file)).unwrap();
        let Block::Plots(figures) = &blocks[0] else {
            panic!()
        };
        assert_eq!(figures.len(), 2);
        let hues: Vec<Vec<usize>> = figures.iter().map(Figure::variants).collect();
        assert_eq!(hues, [[0], [0]]);
        let lines = |figure: &Figure| match &figure.chart {
            Chart::Scatter(scatter) => scatter
                .series
                .iter()
                .map(|line| line.points.iter().map(|p| (p.x, p.y)).collect::<Vec<_>>())
                .collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        // 100 and 50 tokens a second; the fastest copy takes 1 GB/s.
        let depths = [
            [(0.0, 0.01), (2048.0, 0.02)],
            [(0.0, 0.005), (2048.0, 0.01)],
        ];
        assert_eq!(lines(&figures[0]), depths);
        let batches = [[(1.0, 0.01), (8.0, 0.02)], [(1.0, 0.005), (8.0, 0.01)]];
        assert_eq!(lines(&figures[1]), batches);
        let Block::Table(table) = &blocks[1] else {
            panic!()
        };
        assert_eq!(table.rows.len(), 3);
        assert_eq!(table.rows[2][1], "2048");
    }

    #[test]
    fn lines_of_one_variant_have_colours_of_their_own() {
        let mut file = example();
        file.trials.truncate(4);
        for (k, trial) in file.trials.iter_mut().enumerate() {
            let (depth, batch) = (2048 * (k % 2), 1 + 7 * (k / 2));
            trial.spec["infer"] = json!({"depth": depth, "batch": batch});
            trial.spec_sha256 = crate::record::spec_sha256(&trial.spec);
            (trial.variant, trial.cell) = ("model".to_owned(), format!("d{depth}-b{batch}"));
            let rate = Metric::value(metric::DECODE_TOKENS_PER_S, 100.0);
            trial
                .metrics
                .insert(metric::DECODE_TOKENS_PER_S.to_owned(), rate);
        }
        let findings = Findings::of(&file);
        let expected = ["model, 8 at once", "model, behind 2048 tokens"];
        assert_eq!(names(&findings), expected);
        let blocks = build(&findings).unwrap();
        let Block::Plots(figures) = &blocks[0] else {
            panic!()
        };
        let hues: Vec<Vec<usize>> = figures.iter().map(Figure::variants).collect();
        let first = findings.variants.len();
        assert_eq!(hues, [[0, first], [0, first + 1]]);
    }
}
