//! How often this very machine would alarm about nothing: the rules applied to pairs of repeats of the same cell, the same
//! program and the same file, an A/A comparison with the noise that the machine really has.
//!
//! Within each cell the log ratio (or difference) of neighbouring repeats, in the order run, is what an interleaved pair of
//! unchanged arms would show. They are scaled to their cell's spread and pooled; a simulated comparison draws a cell's
//! spread and n of them, each with a sign of its own. The tails are the machine's; only that neighbours stand for pairs, and
//! that pairs are independent, is assumed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::decide::{Limits, decide};
use super::effect::{ALPHA, FEWEST, paired};
use super::matching::{Seen, Side};
use super::measure::{Group, Measure, Scale, catalog};
use super::{Options, Verdict};
use crate::stream::stream;

/// Simulated comparisons of each metric.
const DRAWS: u64 = 10_000;

/// Fewer neighbouring pairs than this say nothing about tails.
const FEWEST_PAIRS: usize = 6;

/// What a metric's noise does to the rules.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rates {
    /// The metric.
    pub metric: &'static str,
    /// Neighbouring repeats that it rests on.
    pub pairs: usize,
    /// Repeats of a simulated comparison.
    pub n: usize,
    /// The median cell's standard deviation of one pair: a share, or in the unit.
    pub sd: f64,
    /// How often the test alone finds a change, of 5% promised.
    pub rejected: f64,
    /// How often the verdict is a regression.
    pub regressed: f64,
    /// How often the verdict is that nothing changed.
    pub equivalent: f64,
}

/// The rates for every gated metric that a file has repeats of, at `n` repeats; metrics with too few are left out.
pub fn self_test(side: &Side, n: usize, options: &Options) -> Vec<Rates> {
    let mut cells: BTreeMap<(&str, &str), Vec<Seen>> = BTreeMap::new();
    for seen in side.trials.iter().filter(|seen| seen.counts()) {
        cells
            .entry((&seen.trial.cell, &seen.trial.arm))
            .or_default()
            .push(*seen);
    }
    cells
        .values_mut()
        .for_each(|cell| cell.sort_by_key(|seen| (seen.session(), seen.trial.order)));
    let measured = catalog()
        .into_iter()
        .filter(|measure| measure.group != Group::Exact && wanted(measure, options));
    measured
        .filter_map(|measure| rates(&measure, cells.values().map(Vec::as_slice), n, options))
        .collect()
}

fn wanted(measure: &Measure, options: &Options) -> bool {
    if options.metrics.is_empty() {
        measure.is_headline()
    } else {
        options.metrics.iter().any(|m| m == measure.name)
    }
}

fn rates<'a>(
    measure: &Measure,
    cells: impl Iterator<Item = &'a [Seen<'a>]>,
    n: usize,
    options: &Options,
) -> Option<Rates> {
    let differences: Vec<Vec<f64>> = cells
        .map(|cell| neighbours(measure, cell))
        .filter(|d| !d.is_empty())
        .collect();
    let spreads: Vec<f64> = differences.iter().map(|d| root_mean_square(d)).collect();
    let scaled: Vec<f64> = differences
        .iter()
        .zip(&spreads)
        .flat_map(|(d, spread)| {
            d.iter()
                .map(move |d| if *spread > 0.0 { d / spread } else { 0.0 })
        })
        .collect();
    let usual = crate::stat::median(&spreads)?;
    if scaled.len() < FEWEST_PAIRS || n < FEWEST {
        return None;
    }
    let asked = options
        .margins
        .get(measure.name)
        .copied()
        .unwrap_or(measure.margin);
    let asked = if measure.scale == Scale::Ratio {
        asked.ln_1p()
    } else {
        asked
    };
    let limits = Limits::both(asked);
    let (mut rejected, mut regressed, mut equivalent) = (0_u64, 0_u64, 0_u64);
    for index in 0..DRAWS {
        let mut draw = stream(&format!("compare/self-test/{}", measure.name), 0, index);
        let spread = spreads[draw.below(spreads.len())];
        let one = |draw: &mut crate::stream::Stream| {
            let sign = if draw.below(2) == 0 { 1.0 } else { -1.0 };
            (0.0, sign * spread * scaled[draw.below(scaled.len())])
        };
        let pairs: Vec<(f64, f64)> = (0..n).map(|_| one(&mut draw)).collect();
        // Differences already: on their own scale, whatever the metric's.
        let effect = paired(Scale::Difference, &pairs)?;
        let verdict = decide(&effect, 1.0, limits, effect.p(), false).verdict;
        rejected += u64::from(effect.p().is_some_and(|p| p <= ALPHA));
        regressed += u64::from(verdict == Verdict::Regressed);
        equivalent += u64::from(verdict == Verdict::Equivalent);
    }
    let share = |count: u64| count as f64 / DRAWS as f64;
    Some(Rates {
        metric: measure.name,
        pairs: scaled.len(),
        n,
        sd: if measure.scale == Scale::Ratio {
            usual.exp_m1()
        } else {
            usual
        },
        rejected: share(rejected),
        regressed: share(regressed),
        equivalent: share(equivalent),
    })
}

/// What each repeat differs by from the one run before it, on the metric's scale; in one session, as pairs are. Quality differs
/// between seeds by design and is paired by seed, so that its neighbours overstate its noise: a bound.
fn neighbours(measure: &Measure, cell: &[Seen]) -> Vec<f64> {
    let on_scale = |value: f64| match measure.scale {
        Scale::Ratio => (value > 0.0).then(|| value.ln()),
        Scale::Difference => Some(value),
    };
    let value = |seen: &Seen| measure.value(seen.trial).and_then(on_scale);
    let pair = |pair: &[Seen]| {
        (pair[0].session() == pair[1].session()).then(|| Some(value(&pair[1])? - value(&pair[0])?))
    };
    cell.windows(2)
        .filter_map(|two| pair(two).flatten())
        .collect()
}

fn root_mean_square(values: &[f64]) -> f64 {
    (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::study;
    use crate::record::{ResultFile, metric};

    /// Twelve repeats whose speed has this much noise.
    fn noisy(sd: f64) -> ResultFile {
        let mut file = study(12, |_, steps, repeat| {
            Some(2.0 - 0.2 * (steps as f64).ln() + 0.01 * repeat as f64)
        });
        for (k, trial) in file.trials.iter_mut().enumerate() {
            let speed = trial.metrics.get_mut(metric::TRAIN_TOKENS_PER_S).unwrap();
            speed.value = speed
                .value
                .map(|v| v * (sd * stream("test/self-test", 1, k as u64).normal()).exp());
        }
        file
    }

    #[test]
    fn the_rates_are_those_that_the_rules_promise() {
        for (sd, sure) in [(0.002, true), (0.05, false)] {
            let files = vec![("a".to_owned(), noisy(sd))];
            let rates = self_test(&Side::new("a", &files, None), 5, &Options::default());
            let speed = rates
                .iter()
                .find(|rates| rates.metric == metric::TRAIN_TOKENS_PER_S)
                .unwrap();
            assert_eq!((speed.n, speed.pairs), (5, 55));
            assert!(
                (0.02..=0.08).contains(&speed.rejected) && speed.regressed <= 0.03,
                "{speed:?}"
            );
            assert_eq!(speed.equivalent > 0.9, sure, "{speed:?}");
        }
    }

    #[test]
    fn too_few_repeats_have_no_rates() {
        let files = vec![("a".to_owned(), study(1, |_, _, _| Some(1.0)))];
        assert_eq!(
            self_test(&Side::new("a", &files, None), 5, &Options::default()),
            []
        );
    }
}
