//! What scale buys: the law of loss in compute where variants ran at several sizes and budgets, with its band, what the next
//! doubling brings, and what another irreducible loss would have claimed.

use super::fit_sentence::{isoflop, sentence};
use super::hue::hue;
use super::number::{bounds, figure as digits, interval};
use super::profiles::figure as profiles;
use crate::analysis::PowerLaw;
use crate::analysis::findings::Findings;
use crate::analysis::fit::allocation::along;
use crate::analysis::fit::points::groups;
use crate::analysis::fit::returns::{matching, returns};
use crate::analysis::fit::surface::IRREDUCIBLE;
use crate::analysis::fit::{Findings as Fit, Fitting, Form, Points, Study, misfit, power};
use crate::analysis::ladder::Ladder;
use crate::report::page::{
    Axis, Block, Chart, Figure, Mark, Point, Quantity, Rule, Scatter, Series, Table,
};
use crate::stat::{Estimate, Interval, mean, mean_estimate};

/// Lines go on beyond the largest budget by this factor.
const BEYOND: f64 = 10.0;
/// Points of a line.
const STEPS: i32 = 24;

/// What a file that asks no question opens with where its variants ran at several sizes: the best sizes, or what the next doubling
/// buys, in a few words and drawn.
pub(super) fn opening(findings: &Findings) -> Vec<Block> {
    if let Some(found) = findings.profiles.first() {
        let mut blocks = vec![Block::Lead(isoflop(found))];
        blocks.extend(valleys(findings));
        return blocks;
    }
    let Some(ladder) = findings.ladders.first() else {
        return Vec::new();
    };
    let full = sentence(&ladder.found);
    let plot = Block::Plot(curves(findings, &ladder.points, &ladder.found, ""));
    match next_doubling(&ladder.found) {
        Some(short) => vec![Block::Lead(short), plot, Block::Text(full)],
        None => {
            // A law that does not hold takes long to say so; its first sentence is the answer.
            let (first, rest) = full.split_once(". ").unwrap_or((&full, ""));
            let lead = Block::Lead(format!("{}.", first.trim_end_matches('.')));
            let rest = (!rest.is_empty()).then(|| Block::Text(rest.to_owned()));
            [lead, plot].into_iter().chain(rest).collect()
        }
    }
}

/// `The next doubling of compute buys gpt2 0.12 nats (95% 0.11 to 0.13) and llama 0.11 nats (...).`
fn next_doubling(found: &Fit) -> Option<String> {
    let bought = |study: &Study| {
        let returns = study.returns.as_ref().filter(|_| study.describes())?;
        let range = returns
            .doubling_interval
            .map(|range| format!(" ({})", interval(&range)));
        Some(format!(
            "{} {} nats{}",
            study.group,
            digits(returns.doubling_nats),
            range.unwrap_or_default()
        ))
    };
    let all: Option<Vec<String>> = found.groups.iter().map(bought).collect();
    let all = all.filter(|all| !all.is_empty())?;
    Some(format!(
        "The next doubling of compute buys {}.",
        all.join(" and ")
    ))
}

/// The valleys of loss over size, a variant each.
fn valleys(findings: &Findings) -> impl Iterator<Item = Block> {
    let figures = findings.profiles.iter();
    figures.filter_map(|found| Some(Block::Plot(profiles(found, &|group| hue(findings, group))?)))
}

pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let several = findings.data.len() > 1;
    let mut blocks: Vec<Block> = Vec::new();
    if findings.profiles.len() > 1 || findings.answer.is_ok() {
        blocks.extend(valleys(findings));
    }
    let said = findings
        .profiles
        .iter()
        .map(|found| Block::Text(isoflop(found)));
    blocks.extend(said);
    blocks.extend(
        findings
            .ladders
            .iter()
            .flat_map(|ladder| of_ladder(findings, ladder, several)),
    );
    (!blocks.is_empty()).then_some(blocks)
}

fn of_ladder(findings: &Findings, ladder: &Ladder, several: bool) -> Vec<Block> {
    let Ladder {
        data,
        points,
        found,
    } = ladder;
    let of = if several {
        format!(" on {data}")
    } else {
        String::new()
    };
    let mut blocks = vec![
        Block::Lead(sentence(found)),
        Block::Plot(curves(findings, points, found, &of)),
    ];
    // Of a law that misses its runs no doubling and no forecast is read: the sentence says so.
    let sound: Vec<&Study> = found.groups.iter().filter(|s| s.describes()).collect();
    if !sound.is_empty() {
        blocks.push(Block::Plot(doublings(findings, &sound, &of)));
    }
    blocks.push(Block::Text(
        "What is claimed depends on the irreducible loss that is assumed. The same runs, with other assumptions:"
            .to_owned(),
    ));
    blocks.push(Block::Table(assumed(points)));
    let notes = found
        .notes
        .iter()
        .map(|note| format!("{note}."))
        .collect::<Vec<_>>()
        .join(" ");
    blocks.push(Block::Text(format!(
        "Law: {} ({}). {notes}",
        found.formula, found.source
    )));
    blocks
}

/// From the smallest budget to beyond the largest, equally far apart on a logarithmic axis.
fn grid(study: &Study) -> impl Iterator<Item = f64> {
    let [low, high] = study.flops.map(f64::ln);
    let end = high + BEYOND.ln();
    (0..=STEPS).map(move |k| (low + (end - low) * f64::from(k) / f64::from(STEPS)).exp())
}

/// A figure of the law along compute, with its band.
fn line(
    findings: &Findings,
    study: &Study,
    name: String,
    of: impl Fn(&PowerLaw, f64) -> f64,
) -> Series {
    let point = |flops: f64| {
        let interval = study
            .interval_of(|law| of(law, flops))
            .map(|Interval { low, high, .. }| (low, high));
        let note = if flops > study.flops[1] * 1.000_001 {
            "extrapolated"
        } else {
            ""
        };
        Point {
            x: flops,
            y: of(&study.along, flops),
            interval,
            note: note.to_owned(),
        }
    };
    let hue = hue(findings, &study.group);
    Series {
        name,
        hue,
        mark: Mark::Line,
        points: grid(study).map(point).collect(),
    }
}

fn curves(findings: &Findings, points: &Points, found: &Fit, of: &str) -> Figure {
    let mut series: Vec<Series> = Vec::new();
    for study in &found.groups {
        series.push(line(
            findings,
            study,
            format!("{}, law", study.group),
            PowerLaw::at,
        ));
        series.push(means(findings, points, study));
    }
    let oracle = points
        .points
        .iter()
        .map(|point| point.oracle)
        .collect::<Option<Vec<f64>>>();
    let floor = oracle.and_then(|all| mean(&all));
    let rules = floor.map(|at| Rule {
        at,
        label: format!("the oracle: {}", Quantity::Nats.cell(at)),
    });
    Figure {
        title: format!("The law of loss in compute{of}"),
        caption: format!(
            "Lines are the fitted laws with 95% bands by each figure's own profile; signs are means over repeats with their 95% \
             intervals. Beyond the last sign a line is an extrapolation, here by a factor of {BEYOND}."
        ),
        chart: Chart::Scatter(Scatter {
            x: Axis::log("model FLOPs of training", Quantity::Flops),
            y: Axis::linear("validation loss (nats per token)", Quantity::Nats),
            series,
            rules: rules.into_iter().collect(),
        }),
    }
}

/// The means over repeats of a group's cells.
fn means(findings: &Findings, points: &Points, study: &Study) -> Series {
    let mut cells: Vec<(f64, Vec<f64>)> = Vec::new();
    for run in points.points.iter().filter(|run| run.group == study.group) {
        match cells.iter_mut().find(|(flops, _)| *flops == run.flops) {
            Some((_, losses)) => losses.push(run.loss),
            None => cells.push((run.flops, vec![run.loss])),
        }
    }
    let point = |(flops, losses): &(f64, Vec<f64>)| {
        let Estimate { value, interval, n } = mean_estimate(losses, crate::stat::interval::LEVEL)?;
        Some(Point {
            x: *flops,
            y: value,
            interval: interval.map(|i| (i.low, i.high)),
            note: format!("n = {n}"),
        })
    };
    let (name, hue) = (
        format!("{}, mean", study.group),
        hue(findings, &study.group),
    );
    Series {
        name,
        hue,
        mark: Mark::Dots,
        points: cells.iter().filter_map(point).collect(),
    }
}

/// What the next doubling buys, and the luck of one seed beside it.
fn doublings(findings: &Findings, studies: &[&Study], of: &str) -> Figure {
    let series = studies
        .iter()
        .map(|s| line(findings, s, s.group.clone(), PowerLaw::per_doubling))
        .collect();
    let noise = studies
        .iter()
        .find_map(|study| study.returns.as_ref()?.seed_sd_nats);
    let rules = noise.map(|at| Rule {
        at,
        label: format!("standard deviation of one run: {}", Quantity::Nats.cell(at)),
    });
    Figure {
        title: format!("What the next doubling of compute buys{of}"),
        caption: format!(
            "Fall of the loss when compute is doubled from here, by the fitted laws, with 95% bands; the last factor of \
             {BEYOND} is an extrapolation. Below the broken line a doubling is worth less than the luck of a seed."
        ),
        chart: Chart::Scatter(Scatter {
            x: Axis::log("model FLOPs of training", Quantity::Flops),
            y: Axis::log("nats per doubling", Quantity::Nats),
            series,
            rules: rules.into_iter().collect(),
        }),
    }
}

/// The law under other irreducible losses: what fixing a wrong one would have claimed.
fn assumed(points: &Points) -> Table {
    let losses = points.points.iter().map(|point| point.loss);
    let oracle = points
        .points
        .iter()
        .map(|point| point.oracle)
        .collect::<Option<Vec<f64>>>()
        .and_then(|all| mean(&all));
    let mut assumptions = vec![(None, "fitted")];
    assumptions.extend(oracle.map(|e| (Some(e), "known from the oracle")));
    assumptions.push((Some(0.0), "assumed: none"));
    // A floor near the best run is what reading it off a plot gives.
    let near = 0.9 * losses.fold(f64::INFINITY, f64::min);
    assumptions.push((Some(near), "assumed: a tenth below the lowest loss"));
    let mut table = Table::new([
        "irreducible loss",
        "variant",
        "E",
        "exponent",
        "next doubling",
        "scale alone",
    ]);
    table.rows = assumptions
        .into_iter()
        .flat_map(|(e, words)| claimed(points, e, words))
        .collect();
    table.without_empty_columns()
}

/// A row for each group under one irreducible loss.
fn claimed(points: &Points, irreducible: Option<f64>, words: &str) -> Vec<Vec<String>> {
    let Form::Additive(law) = &power::LAW.form else {
        return Vec::new();
    };
    let of = |group: &str| {
        let own = points
            .points
            .iter()
            .filter(|point| point.group == group)
            .cloned()
            .collect();
        Some((
            group.to_owned(),
            Fitting::new(law, own, irreducible, 0).ok()?,
        ))
    };
    let fits: Vec<(String, Fitting)> = groups(&points.points).into_iter().filter_map(of).collect();
    let row = |place: usize| {
        let (group, fitting) = &fits[place];
        let figure = |index: usize, value: f64| {
            let range = fitting
                .bounds(index)
                .map(|range| format!(" ({})", bounds(&range)))
                .unwrap_or_default();
            format!("{}{range}", digits(value))
        };
        let law = along(&fitting.theta(), 1);
        let sound = |fit: &Fitting| !misfit::misfit(fit).is_some_and(|found| found.is_clear());
        let doubling = match returns(fitting) {
            Some(r) if sound(fitting) => format!("{} nats", digits(r.doubling_nats)),
            Some(_) => "the law misses the runs".to_owned(),
            None => String::new(),
        };
        let others = fits
            .iter()
            .enumerate()
            .filter(|(other, (_, fit))| *other != place && sound(fit) && sound(fitting));
        let needs = others
            .map(|(_, (_, other))| matching(fitting, other))
            .find(|found| found.behind == *group);
        let needs = needs.map(|found| match found.times {
            Some(times) => format!("{} times for {}", Quantity::Times.cell(times), found.ahead),
            None => format!("never reaches {}", found.ahead),
        });
        let (e, exponent) = (
            figure(IRREDUCIBLE, law.irreducible),
            figure(1, law.exponent),
        );
        vec![
            words.to_owned(),
            group.clone(),
            e,
            exponent,
            doubling,
            needs.unwrap_or_default(),
        ]
    };
    (0..fits.len()).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ResultFile;
    use crate::record::example::example;

    /// The example's runs as a ladder: a larger model at each budget, the losses on a law above the oracle.
    fn ladder() -> ResultFile {
        let mut file = example();
        let mut trials = Vec::new();
        for (place, variant) in ["gpt2", "modern"].into_iter().enumerate() {
            for (rung, flops) in [1e10_f64, 1e11, 1e12, 1e13].into_iter().enumerate() {
                for repeat in 0..4 {
                    let mut trial = file.trials[0].clone();
                    let luck = 1.0
                        + 0.002 * ((repeat * 7 + rung as u64 * 5 + place as u64 * 3) % 5) as f64;
                    let loss = (1.875 + (40.0 - 10.0 * place as f64) * flops.powf(-0.15)) * luck;
                    (trial.variant, trial.repeat, trial.scale) =
                        (variant.to_owned(), repeat, format!("w{rung}"));
                    trial.cell = format!("{variant}/w{rung}");
                    let cost = trial.cost.as_mut().unwrap();
                    (cost.train_flops, cost.params_total) = (flops, 1000 * 10u64.pow(rung as u32));
                    let name = crate::record::metric::VAL_LOSS_NATS;
                    trial
                        .metrics
                        .insert(name.to_owned(), crate::record::Metric::value(name, loss));
                    trials.push(trial);
                }
            }
        }
        file.trials = trials;
        file
    }

    #[test]
    fn a_ladder_has_its_law_its_bands_and_what_others_would_claim() {
        let file = ladder();
        let blocks = build(&Findings::of(&file)).unwrap();
        let Block::Lead(lead) = &blocks[0] else {
            panic!("{blocks:?}")
        };
        assert!(lead.contains(". To reach modern's"), "{lead}");
        let opened = opening(&Findings::of(&file));
        let Block::Lead(short) = &opened[0] else {
            panic!("{opened:?}")
        };
        assert!(
            short.starts_with("The next doubling of compute buys gpt2 "),
            "{short}"
        );
        assert!(
            matches!(&opened[2], Block::Text(full) if full == lead),
            "{opened:?}"
        );
        assert!(opening(&Findings::of(&example())).is_empty());
        let Block::Plot(figure) = &blocks[1] else {
            panic!("{blocks:?}")
        };
        let Chart::Scatter(scatter) = &figure.chart else {
            panic!()
        };
        assert_eq!(scatter.series.len(), 4);
        let law = &scatter.series[0];
        let last = law.points.last().unwrap();
        let (low, high) = last.interval.unwrap();
        assert!(
            low < last.y
                && last.y < high
                && last.note == "extrapolated"
                && (last.x / 1e14 - 1.0).abs() < 1e-9
        );
        let Block::Table(table) = &blocks[4] else {
            panic!("{blocks:?}")
        };
        assert_eq!(table.rows.len(), 8, "{table:?}");
        let exponent = |row: usize| {
            table.rows[row][3]
                .split(' ')
                .next()
                .unwrap()
                .parse::<f64>()
                .unwrap()
        };
        assert!(
            (exponent(2) - 0.15).abs() < 0.01 && exponent(4) < 0.5 * exponent(2),
            "{table:?}"
        );
        assert!(exponent(6) > exponent(2), "{table:?}");
    }

    #[test]
    fn one_size_at_several_budgets_is_no_ladder() {
        let mut file = ladder();
        assert!(build(&Findings::of(&example())).is_none());
        file.trials
            .iter_mut()
            .for_each(|trial| trial.cost.as_mut().unwrap().params_total = 5);
        assert!(build(&Findings::of(&file)).is_none());
    }
}
