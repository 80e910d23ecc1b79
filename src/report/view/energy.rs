//! Joules by meter. What was estimated is hatched, named and never added to what was measured.

use std::collections::{BTreeMap, BTreeSet};

use super::price;
use crate::analysis::findings::Findings;
use crate::reading::Phase;
use crate::record::{Channel, ResultFile, Trial, metric};
use crate::report::page::{Axis, Bar, Block, Chart, Figure, Hue, Quantity, Table};
use crate::stat::interval::LEVEL;
use crate::stat::{self, mean_estimate};
use crate::unit::{Joules, Share};

/// One meter's component, and whether it guesses.
type Meter = (bool, String, String);

pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let file = findings.file;
    let bars = bars(findings);
    let mut blocks = vec![Block::Text(line(file))];
    if file
        .trials
        .iter()
        .any(|trial| trial.energy.measured_j.is_some())
    {
        let note = "A joule counts only what its meter sees: compare figures of one meter.";
        blocks.push(Block::Text(note.to_owned()));
    }
    blocks.extend(at_rest(file).map(Block::Text));
    if !bars.is_empty() {
        blocks.push(Block::Plot(Figure {
            title: "Energy of a training token".to_owned(),
            caption: "Shorter is better. Full bars were read from a meter; hatched bars are estimates from a model of the \
                      machine and are never added to a measurement. Lines are 95% intervals over trials, or an estimate’s \
                      own bounds."
                .to_owned(),
            chart: Chart::Bars { x: Axis::linear("energy per training token", Quantity::Joules), bars },
        }));
    }
    blocks.extend(
        findings
            .bill
            .as_ref()
            .map(|(bill, prices)| Block::Text(format!("{}.", price::bill(bill, prices)))),
    );
    let meters = meters(&file.trials);
    if !meters.rows.is_empty() {
        blocks.push(Block::Details(
            "Every meter that was tried".to_owned(),
            meters,
        ));
    }
    Some(blocks)
}

/// One line: joules and their meters, or why there are none.
pub(super) fn line(file: &ResultFile) -> String {
    let measured: Vec<f64> = file
        .trials
        .iter()
        .filter_map(|t| t.energy.measured_j)
        .collect();
    if measured.is_empty() {
        return not_measured(file);
    }
    let channels = file.trials.iter().flat_map(|t| &t.energy.channels);
    let meters: BTreeSet<&str> = channels
        .filter(|c| c.is_measured())
        .map(|c| c.source.as_str())
        .collect();
    let per_token: Vec<f64> = file
        .trials
        .iter()
        .filter_map(|t| t.metric(metric::ENERGY_J_PER_TRAIN_TOKEN))
        .collect();
    let per_token =
        stat::mean(&per_token).map(|j| format!(", {} a training token on average", Joules(j)));
    format!(
        "Energy: {} in {} of {} trials ({}){}.",
        Joules(measured.iter().sum()),
        measured.len(),
        file.trials.len(),
        meters.into_iter().collect::<Vec<_>>().join(", "),
        per_token.unwrap_or_default()
    )
}

fn not_measured(file: &ResultFile) -> String {
    let stated = file.trials.iter().filter_map(|t| t.stated.as_ref()?.joules);
    if let Some(joules) = stated.reduce(|a, b| a + b) {
        return format!(
            "No energy was measured here; the logs state {}, of which nobody here knows what was read and what estimated.",
            Joules(joules)
        );
    }
    let reasons: BTreeSet<String> = file
        .trials
        .iter()
        .filter_map(|t| t.energy.reason.as_deref())
        .map(|reason| reason.replace('_', " "))
        .collect();
    if reasons.is_empty() {
        return "No energy was measured.".to_owned();
    }
    format!(
        "No energy was measured ({}).",
        reasons.into_iter().collect::<Vec<_>>().join(", ")
    )
}

/// What the measured joules are worth net of what the machine takes at rest: gross stands above, net is told second.
fn at_rest(file: &ResultFile) -> Option<String> {
    let idle_w = stat::mean(
        &file
            .calibrations
            .iter()
            .filter_map(|row| row.idle_w)
            .collect::<Vec<_>>(),
    )?;
    // A wattmeter's joules hold the whole machine; what was read at rest was read by the meters inside it.
    let external = |trial: &Trial| {
        trial
            .energy
            .channels
            .iter()
            .any(|c| c.component == "machine" && c.is_measured())
    };
    if file.trials.iter().any(external) {
        return None;
    }
    let window_s = |trial: &Trial| {
        let own = trial
            .energy
            .channels
            .iter()
            .filter(|channel| channel.is_measured() && channel.overlaps.is_none());
        own.filter_map(|channel| channel.window_s).reduce(f64::max)
    };
    let measured = file
        .trials
        .iter()
        .filter_map(|trial| Some((trial.energy.measured_j?, window_s(trial)?)));
    let (gross_j, seconds) = measured.reduce(|a, b| (a.0 + b.0, a.1 + b.1))?;
    let share = (idle_w * seconds / gross_j).min(1.0);
    Some(format!(
        "At rest the same meters read {idle_w:.1} W: {} of the joules would have been spent anyway, and {} are net of it.",
        Share(share),
        Joules(gross_j * (1.0 - share))
    ))
}

/// Joules a token, trial by trial, and the bounds where they are estimates.
#[derive(Default)]
struct Readings {
    values: Vec<f64>,
    bounds: Vec<(f64, f64)>,
}

/// Joules a token by variant and meter, where the trial's tokens are known.
fn bars(findings: &Findings) -> Vec<Bar> {
    let mut groups: BTreeMap<(usize, String, Meter), Readings> = BTreeMap::new();
    for trial in findings.cells.iter().flat_map(|cell| cell.finished()) {
        let Some(tokens) = trial
            .train_tokens()
            .map(|tokens| tokens as f64)
            .filter(|n| *n > 0.0)
        else {
            continue;
        };
        let variant = findings
            .variants
            .iter()
            .position(|v| *v == trial.variant)
            .unwrap_or_default();
        let mut seen: BTreeMap<Meter, (f64, Option<(f64, f64)>)> = BTreeMap::new();
        for channel in &trial.energy.channels {
            let Some(joules) = channel.energy_j else {
                continue;
            };
            // Two packages of one machine are one bar.
            let (sum, range) = seen.entry(meter(channel)).or_insert((0.0, None));
            let share = share_of_training(channel);
            *sum += joules * share;
            if let Some([low, high]) = channel.bounds_j {
                let (below, above) = range.unwrap_or_default();
                *range = Some((below + low * share, above + high * share));
            }
        }
        for (meter, (joules, range)) in seen {
            let readings = groups
                .entry((variant, findings.series_name(trial), meter))
                .or_default();
            readings.values.push(joules / tokens);
            readings
                .bounds
                .extend(range.map(|(low, high)| (low / tokens, high / tokens)));
        }
    }
    groups
        .into_iter()
        .filter_map(|((variant, name, meter), readings)| bar(variant, &name, meter, readings))
        .collect()
}

/// The share of a channel's joules that went into training; all of them where it does not say.
fn share_of_training(channel: &Channel) -> f64 {
    let train_j = channel
        .phases
        .iter()
        .find(|part| part.phase == Phase::Train)
        .and_then(|part| part.energy_j);
    train_j
        .zip(channel.energy_j.filter(|joules| *joules > 0.0))
        .map_or(1.0, |(train_j, joules)| train_j / joules)
}

fn bar(variant: usize, name: &str, meter: Meter, readings: Readings) -> Option<Bar> {
    let estimate = mean_estimate(&readings.values, LEVEL)?;
    let (estimated, component, source) = meter;
    let bounds = readings
        .bounds
        .into_iter()
        .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    Some(Bar {
        name: format!("{name}, {component}"),
        hue: Hue::Variant(variant),
        value: estimate.value,
        interval: bounds.or(estimate
            .interval
            .map(|interval| (interval.low, interval.high))),
        estimated,
        note: format!("{source}, n = {}", estimate.n),
    })
}

fn meter(channel: &Channel) -> Meter {
    let estimated = !channel.method.is_instrument();
    (estimated, channel.component.clone(), channel.source.clone())
}

fn meters(trials: &[Trial]) -> Table {
    let mut seen: BTreeMap<[String; 6], usize> = BTreeMap::new();
    for channel in trials.iter().flat_map(|trial| &trial.energy.channels) {
        let Channel {
            component,
            source,
            method,
            quality,
            reason,
            ..
        } = channel;
        let outcome = reason
            .clone()
            .unwrap_or_else(|| "read".to_owned())
            .replace('_', " ");
        *seen
            .entry([
                component.clone(),
                source.clone(),
                method.code().to_owned(),
                quality.code().to_owned(),
                outcome,
                channel.id.clone(),
            ])
            .or_default() += 1;
    }
    let mut table = Table::new([
        "component",
        "meter",
        "method",
        "quality",
        "outcome",
        "channel",
        "trials",
    ]);
    table.rows = seen
        .into_iter()
        .map(|(row, n)| row.into_iter().chain([n.to_string()]).collect())
        .collect();
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Method, Quality};
    use crate::record::example::example;
    use crate::record::{Energy, Metric, PhaseEnergy};

    #[test]
    fn nothing_measured_is_said_with_its_reason() {
        let file = example();
        let blocks = build(&Findings::of(&file)).unwrap();
        assert!(
            matches!(&blocks[0], Block::Text(text) if text == "No energy was measured (virtual machine).")
        );
        assert!(!blocks.iter().any(|block| matches!(block, Block::Plot(_))));
    }

    #[test]
    fn measured_energy_is_summed_and_named() {
        let mut file = example();
        for trial in &mut file.trials {
            let channel = Channel {
                id: "package-0".to_owned(),
                component: "cpu_package".to_owned(),
                method: Method::Counter,
                source: "rapl.powercap".to_owned(),
                quality: Quality::FirmwareModel,
                energy_j: Some(40.0),
                bounds_j: None,
                window_s: Some(4.0),
                ..Channel::default()
            };
            let guess = Channel {
                method: Method::Modelled,
                source: "rated_power_x_utilisation".to_owned(),
                ..channel.clone()
            };
            trial.energy = Energy {
                channels: vec![channel, guess],
                measured_j: Some(40.0),
                ..Energy::default()
            };
            let name = metric::ENERGY_J_PER_TRAIN_TOKEN;
            trial
                .metrics
                .insert(name.to_owned(), Metric::value(name, 4.9e-5));
        }
        let expected =
            "Energy: 800 J in 20 of 20 trials (rapl.powercap), 49 µJ a training token on average.";
        assert_eq!(line(&file), expected);
    }

    #[test]
    fn what_a_machine_takes_at_rest_is_told_second() {
        let mut file = example();
        assert_eq!(at_rest(&file), None);
        file.calibrations[0].idle_w = Some(20.0);
        assert_eq!(at_rest(&file), None, "nothing was measured");
        for trial in &mut file.trials {
            let channel = &mut trial.energy.channels[0];
            (channel.method, channel.energy_j, channel.window_s) =
                (Method::Counter, Some(100.0), Some(2.0));
            trial.energy.measured_j = Some(100.0);
        }
        let expected = "At rest the same meters read 20.0 W: 40.0% of the joules would have been spent anyway, and 1.2 kJ \
                        are net of it.";
        assert_eq!(at_rest(&file).as_deref(), Some(expected));
    }

    #[test]
    fn an_estimate_is_a_bar_of_its_own() {
        let mut file = example();
        for trial in &mut file.trials {
            let channel = |method, energy_j, bounds_j| Channel {
                method,
                energy_j: Some(energy_j),
                bounds_j,
                reason: None,
                ..trial.energy.channels[0].clone()
            };
            let channels = vec![
                channel(Method::Counter, 40.0, None),
                channel(Method::Modelled, 90.0, Some([50.0, 130.0])),
            ];
            trial.energy.channels = channels;
            trial.energy.measured_j = Some(40.0);
        }
        let whole = bars(&Findings::of(&file))[0].value;
        for channel in file
            .trials
            .iter_mut()
            .map(|trial| &mut trial.energy.channels[0])
        {
            let train = PhaseEnergy {
                phase: Phase::Train,
                energy_j: Some(10.0),
                window_s: 1.0,
                reason: None,
            };
            channel.phases = vec![train];
        }
        let bars = bars(&Findings::of(&file));
        let shape: Vec<(&str, bool)> = bars
            .iter()
            .map(|bar| (bar.name.as_str(), bar.estimated))
            .collect();
        let gpt2 = "gpt2, cpu_package";
        let modern = "modern, cpu_package";
        assert_eq!(
            shape,
            [(gpt2, false), (gpt2, true), (modern, false), (modern, true)]
        );
        assert!(
            (bars[0].value / whole - 0.25).abs() < 1e-12,
            "only training's joules are training's"
        );
        assert!(bars[1].value > bars[0].value && bars[1].interval.unwrap().1 > bars[1].value);
    }
}
