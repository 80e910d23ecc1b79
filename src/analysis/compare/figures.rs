//! A metric of a cell, from trials to a change: what pairs with what, what is missing, and what cannot be compared.

use std::collections::{BTreeMap, BTreeSet};

use super::effect::{Effect, Method, difference, on, paired, ranked, unpaired};
use super::matching::{Match, Seen, Setting};
use super::measure::{Group, Measure, STEP_WORK, Scale};
use super::row::{Figures, Row, Sample};
use super::verdict::Verdict;
use crate::record::{Better, Status};
use crate::stat::Estimate;
use crate::stat::interval::{Interval, LEVEL, mean_estimate, ratio_estimate};

/// A flag of imported trials whose seed is only a number.
const SEED_UNKNOWN: &str = "seed_unknown";

/// The row of a metric in a cell, with its change but without a verdict where that takes the other rows; `None` where neither
/// side knows the metric.
pub fn row(cell: &Match, measure: &Measure) -> Option<Row> {
    let mut row = Row::blank(&cell.cell, measure, cell.setting);
    let values = cell.sides.each_ref().map(|side| values(side, measure));
    [row.base, row.new] = values
        .each_ref()
        .map(|values| figures(values, measure.scale));
    if values.iter().flatten().all(|value| value.1.is_infinite()) {
        return None;
    }
    if let Some(side) = (0..2).find(|side| values[*side].is_empty()) {
        let (name, why) = (
            ["base", "new side"][side],
            absence(&cell.sides[side], measure),
        );
        return Some(row.not_comparable(format!("the {name} has no such figure: {why}")));
    }
    if measure.group == Group::Exact {
        return Some(match unlike_devices(cell, measure) {
            Some(reason) => row.not_comparable(reason),
            None => exact(row, &values),
        });
    }
    if let Some(reason) = unlike_meters(cell, measure).or_else(|| unlike_data(cell, measure)) {
        return Some(row.not_comparable(reason));
    }
    if cell.setting == Setting::OtherMachine && !measure.group.is_quality() {
        row.method = Method::WithinMachines;
        let what = if measure.group == Group::Memory {
            "memory"
        } else {
            "time and energy"
        };
        return Some(row.not_comparable(format!(
            "{what} of different machines: only ratios within each compare"
        )));
    }
    row.newly_diverged = newly_diverged(cell, measure);
    Some(match effect(cell, measure, &values) {
        Some((effect, sample)) => {
            row.sample = sample;
            row.set_effect(effect);
            row
        }
        None => row.not_comparable("a ratio needs figures above 0"),
    })
}

/// Seeds of one cell that finished on the base's side and diverge on the new one. On one kind of machine a seed fixes every bit, so
/// that such a seed is no luck; of another variant, another machine or an unknown seed nobody promised the same.
fn newly_diverged(cell: &Match, measure: &Measure) -> Vec<u64> {
    if !measure.group.is_quality() || !cell.same_name || cell.setting == Setting::OtherMachine {
        return Vec::new();
    }
    let seeds = |side: &[Seen], is: fn(&Seen) -> bool| {
        side.iter()
            .filter(|seen| knows_its_seed(seen) && is(seen))
            .map(|seen| seen.trial.seed)
            .collect::<BTreeSet<u64>>()
    };
    let finished = seeds(&cell.sides[0], |seen| seen.counts());
    let gone = seeds(&cell.sides[1], |seen| seen.trial.status == Status::Diverged);
    finished.intersection(&gone).copied().collect()
}

fn knows_its_seed(seen: &Seen) -> bool {
    seen.trial
        .validity
        .flags
        .iter()
        .all(|flag| flag.code != SEED_UNKNOWN)
}

/// The trial and its figure; infinitely bad for quality that diverged.
type Valued<'a> = (Seen<'a>, f64);

fn values<'a>(side: &[Seen<'a>], measure: &Measure) -> Vec<Valued<'a>> {
    let worst = if measure.better == Better::Lower {
        f64::INFINITY
    } else {
        f64::NEG_INFINITY
    };
    let of = |seen: &Seen<'a>| {
        if measure.group.is_quality() && seen.trial.status == Status::Diverged {
            return Some((*seen, worst));
        }
        let counted = measure.group == Group::Exact || seen.counts();
        measure
            .value(seen.trial)
            .filter(|value| counted && value.is_finite())
            .map(|value| (*seen, value))
    };
    side.iter().filter_map(of).collect()
}

fn figures(values: &[Valued], scale: Scale) -> Figures {
    let finite: Vec<f64> = values
        .iter()
        .map(|value| value.1)
        .filter(|value| value.is_finite())
        .collect();
    let unreached = values.len() - finite.len();
    let found = average(&finite, scale);
    Figures {
        n: finite.len(),
        mean: found.map(|e| e.value),
        interval: found.and_then(|e| e.interval),
        unreached,
    }
}

/// The mean with its interval, geometric for ratios; of equal values that value, to the bit.
fn average(values: &[f64], scale: Scale) -> Option<Estimate> {
    let first = *values.first()?;
    if values.iter().all(|value| *value == first) {
        let interval = (values.len() > 1).then_some(Interval {
            low: first,
            high: first,
            level: LEVEL,
        });
        return Some(Estimate {
            value: first,
            interval,
            n: values.len(),
        });
    }
    if scale == Scale::Ratio && values.iter().all(|value| *value > 0.0) {
        let logs: Vec<f64> = values.iter().map(|value| value.ln()).collect();
        return ratio_estimate(&logs, LEVEL);
    }
    mean_estimate(values, LEVEL)
}

/// Why a side has no figure, in the file's own words.
fn absence(side: &[Seen], measure: &Measure) -> String {
    if let Some(lost) = side.iter().find(|seen| !seen.counts()) {
        return if lost.trial.status == Status::Ok {
            "invalid"
        } else {
            lost.trial.status.words()
        }
        .to_owned();
    }
    let mut reasons = side
        .iter()
        .filter_map(|seen| seen.trial.metrics.get(measure.name)?.reason.clone());
    reasons
        .next()
        .unwrap_or_else(|| "it is not in the file".to_owned())
}

/// Counted work: the same, more or less; what differs between the trials of one side is no count of it.
fn exact(mut row: Row, values: &[Vec<Valued>; 2]) -> Row {
    row.method = Method::Equality;
    let one = |values: &[Valued]| {
        values
            .iter()
            .all(|value| value.1 == values[0].1)
            .then_some(values[0].1)
    };
    let (Some(base), Some(new)) = (one(&values[0]), one(&values[1])) else {
        return row.not_comparable("it differs between the trials of one side");
    };
    row.identical = base == new;
    let ratio = if row.identical {
        Some(1.0)
    } else {
        (base > 0.0).then(|| new / base)
    };
    row.change = ratio.map(|value| Estimate {
        value,
        interval: None,
        n: values[0].len().min(values[1].len()),
    });
    let more_is_worse = row.worse() * (new - base);
    row.verdict = match more_is_worse {
        harm if harm > 0.0 => Verdict::Regressed,
        harm if harm < 0.0 => Verdict::Improved,
        _ => Verdict::Equivalent,
    };
    row.beyond_margin = !row.identical;
    row
}

/// Another kind of device is asked for other operations.
pub(super) fn unlike_devices(cell: &Match, measure: &Measure) -> Option<String> {
    if !STEP_WORK.contains(&measure.name) {
        return None;
    }
    let kind = |seen: &Seen<'_>| {
        let device = seen.trial.asked().device().unwrap_or_default();
        device.split(':').next().unwrap_or_default().to_owned()
    };
    let [base, new] = cell
        .sides
        .each_ref()
        .map(|side| side.iter().map(kind).collect::<BTreeSet<String>>());
    (base != new).then(|| "another kind of device is asked for other operations".to_owned())
}

/// A loss on other data is another thing.
fn unlike_data(cell: &Match, measure: &Measure) -> Option<String> {
    let unlike = measure.group.is_quality() && !cell.same_world;
    unlike.then(|| "the data, the context or the unit of the loss differ".to_owned())
}

/// Only joules that were read in the same way compare.
fn unlike_meters(cell: &Match, measure: &Measure) -> Option<String> {
    if measure.group != Group::Energy {
        return None;
    }
    let [base, new] = cell
        .sides
        .each_ref()
        .map(|side| side.iter().flat_map(meters).collect::<BTreeSet<_>>());
    let said = |side: &BTreeSet<String>| side.iter().cloned().collect::<Vec<_>>().join(", ");
    (base != new).then(|| format!("unlike meters: {} against {}", said(&base), said(&new)))
}

/// `cpu_package by rapl.powercap (counter)`.
fn meters(seen: &Seen) -> Vec<String> {
    let read = seen
        .trial
        .energy
        .channels
        .iter()
        .filter(|channel| channel.energy_j.is_some());
    read.map(|channel| {
        format!(
            "{} by {} ({})",
            channel.component,
            channel.source,
            channel.method.code()
        )
    })
    .collect()
}

/// Paired by repeat where that is right: in one session for everything, by seed for quality wherever it ran, as a seed fixes the
/// start and the data.
fn effect(cell: &Match, measure: &Measure, values: &[Vec<Valued>; 2]) -> Option<(Effect, Sample)> {
    let plain = values
        .each_ref()
        .map(|values| values.iter().map(|value| value.1).collect::<Vec<f64>>());
    if plain.iter().flatten().any(|value| value.is_infinite()) {
        return Some((
            ranked(measure.scale, &plain[0], &plain[1])?,
            Sample::default(),
        ));
    }
    let together = cell.setting == Setting::Interleaved;
    if together || measure.group.is_quality() {
        let pairs = pairs(values, !together);
        // A side that lost trials still has its pairs; without any there is no pairing.
        if !pairs.is_empty() {
            let effect = paired(
                measure.scale,
                &pairs.iter().map(|pair| pair.1).collect::<Vec<_>>(),
            )?;
            let by =
                |(key, pair): &(Key, (f64, f64))| Some((*key, difference(measure.scale, *pair)?));
            let sample = Sample {
                pairs: pairs.iter().filter_map(by).collect(),
                ..Sample::default()
            };
            return Some((effect, sample));
        }
    }
    let effect = unpaired(measure.scale, &plain[0], &plain[1])?;
    let sides = plain.map(|side| {
        side.iter()
            .filter_map(|value| on(measure.scale, *value))
            .collect()
    });
    Some((
        effect,
        Sample {
            sides,
            ..Sample::default()
        },
    ))
}

/// Repeat and seed, or the seed alone where only that binds a pair.
type Key = (u64, u64);

/// Values of the same repeat, and of the same seed where only that binds them; ascending.
fn pairs(values: &[Vec<Valued>; 2], by_seed: bool) -> Vec<(Key, (f64, f64))> {
    let known = |seen: &Seen| !by_seed || knows_its_seed(seen);
    let key = |seen: &Seen| {
        if by_seed {
            (0, seen.trial.seed)
        } else {
            (seen.trial.repeat, seen.trial.seed)
        }
    };
    let index = |values: &[Valued]| {
        let mut index: BTreeMap<Key, Vec<f64>> = BTreeMap::new();
        for (seen, value) in values.iter().filter(|(seen, _)| known(seen)) {
            index.entry(key(seen)).or_default().push(*value);
        }
        // What several sessions found for one seed is one figure of that seed.
        let one = |(key, values): (Key, Vec<f64>)| {
            Some((key, average(&values, Scale::Difference)?.value))
        };
        index
            .into_iter()
            .filter_map(one)
            .collect::<BTreeMap<Key, f64>>()
    };
    let (base, new) = (index(&values[0]), index(&values[1]));
    base.iter()
        .filter_map(|(key, value)| Some((*key, (*value, *new.get(key)?))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::matching::{Side, matched};
    use super::super::measure::catalog;
    use super::*;
    use crate::record::example::example;
    use crate::record::{ResultFile, metric, spec_sha256};

    /// The row of the first cell's metric, the new side changed.
    fn found(name: &str, change: impl Fn(&mut ResultFile)) -> Option<Row> {
        let mut new = example();
        change(&mut new);
        let files = [
            vec![("a".to_owned(), example())],
            vec![("b".to_owned(), new)],
        ];
        let [base, new] = files.each_ref().map(|files| Side::new("side", files, None));
        let measure = catalog()
            .into_iter()
            .find(|measure| measure.name == name)
            .unwrap();
        row(&matched(&base, &new).cells[0], &measure)
    }

    #[test]
    fn time_is_paired_in_one_session_and_quality_by_seed_in_any() {
        let later = |f: &mut ResultFile| f.run.started_at = "2026-11-22T10:00:00Z".to_owned();
        let reseeded = |f: &mut ResultFile| {
            later(f);
            f.trials.iter_mut().for_each(|t| t.seed += 100);
        };
        let method =
            |name: &str, change: &dyn Fn(&mut ResultFile)| found(name, change).unwrap().method;
        assert_eq!(method(metric::TRAIN_TOKENS_PER_S, &|_| ()), Method::PairedT);
        assert_eq!(method(metric::TRAIN_TOKENS_PER_S, &later), Method::WelchT);
        assert_eq!(method(metric::VAL_LOSS_NATS, &later), Method::PairedT);
        assert_eq!(method(metric::VAL_LOSS_NATS, &reseeded), Method::WelchT);
        assert_eq!(method("train_flops", &later), Method::Equality);
    }

    #[test]
    fn what_is_not_there_is_never_nothing() {
        let gone = |f: &mut ResultFile| {
            f.trials
                .iter_mut()
                .for_each(|t| _ = t.metrics.remove(metric::MFU))
        };
        let row = found(metric::MFU, gone).unwrap();
        assert_eq!((row.verdict, row.new.mean), (Verdict::NotComparable, None));
        assert_eq!(
            row.reason.unwrap(),
            "the new side has no such figure: it is not in the file"
        );
        assert!(
            found(metric::VAL_BITS_PER_BYTE, |_| ()).is_none(),
            "neither side knows it"
        );
    }

    #[test]
    fn a_loss_on_other_data_is_another_thing() {
        let elsewhere = |f: &mut ResultFile| {
            for trial in &mut f.trials {
                trial.spec["data"]["vocab"] = 256.into();
                trial.spec_sha256 = spec_sha256(&trial.spec);
            }
        };
        let mut new = example();
        elsewhere(&mut new);
        let files = [
            vec![("a".to_owned(), example())],
            vec![("b".to_owned(), new)],
        ];
        let [base, new] = files.each_ref().map(|files| Side::new("side", files, None));
        let all = matched(&base, &new);
        assert_eq!(
            (all.cells.len(), all.unlike[0].differs.as_str()),
            (0, "data.vocab 128 against 256")
        );
        // Of two variants each is another thing by design, and the loss on other data still says nothing.
        let files = [
            vec![("a".to_owned(), example())],
            vec![("b".to_owned(), files[1][0].1.clone())],
        ];
        let sides = [
            Side::new("gpt2", &files[0], Some("gpt2")),
            Side::new("modern", &files[1], Some("modern")),
        ];
        let cells = matched(&sides[0], &sides[1]).cells;
        let loss = catalog()
            .into_iter()
            .find(|measure| measure.name == metric::VAL_LOSS_NATS)
            .unwrap();
        assert_eq!(
            row(&cells[0], &loss).unwrap().verdict,
            Verdict::NotComparable
        );
    }
}
