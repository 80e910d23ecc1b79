//! What all cells say together. Noise is pooled over the cells of a metric, and beside the cells' verdicts stands one of the whole
//! suite: its mean change, so that a little of everything, or a lot of everything at two repeats, is seen.
//!
//! *Noise.* A few repeats of one cell agree by luck; the variances of a metric's cells help each other ([`moderate`]). A noisy
//! cell keeps its own.
//!
//! *The suite.* The mean over cells of the log ratio (or difference), all cells alike; its variance is the sum of the cells' over
//! their number squared, degrees of freedom by Satterthwaite. Cells are taken to be independent within a
//! repeat, which interleaving makes nearly true. Where the repeats' means over cells scatter more than that allows (F test at 25%, the level that
//! Bancroft 1964 advises for a test before a test), the repeats are the replicates, and the interval is from them.
//!
//! *Correction.* A suite's verdict is one more test in Holm's family beside its cells'.

use std::collections::{BTreeMap, BTreeSet};

use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use super::effect::{Effect, Method};
use super::matching::Setting;
use super::measure::{Group, catalog};
use super::row::{Figures, Row};
use crate::stat::{Shift, mean, moderate, sd};

/// What a suite's row has in the place of a cell's name.
pub const WHOLE: &str = "whole suite";

/// Below this chance of such scatter among independent cells, repeats are the replicates.
const SHARED: f64 = 0.25;

/// What is alike enough to be pooled.
type Pool = (&'static str, Method, Setting);

fn pool(row: &Row) -> Option<Pool> {
    let effect = row.effect.as_ref()?;
    let by_t = matches!(effect.method, Method::PairedT | Method::WelchT);
    (by_t && effect.shift.is_some()).then_some((row.metric, effect.method, row.setting))
}

/// Gives every row the noise that its metric's cells know together, with all that follows from it. What is the same to the bit
/// has no noise, and no say.
pub(super) fn pool_noise(rows: &mut [Row]) {
    let mut pools: BTreeMap<Pool, Vec<(f64, f64)>> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.identical) {
        if let (Some(pool), Some(shift)) = (pool(row), row.effect.and_then(|effect| effect.shift)) {
            pools
                .entry(pool)
                .or_default()
                .push((spread(row, shift), shift.freedom));
        }
    }
    let priors: BTreeMap<Pool, moderate::Prior> = pools
        .into_iter()
        .filter_map(|(pool, of)| Some((pool, moderate::prior(&of)?)))
        .collect();
    for row in rows.iter_mut().filter(|row| !row.identical) {
        let Some(prior) = pool(row).and_then(|pool| priors.get(&pool)) else {
            continue;
        };
        let Some(Effect {
            shift: Some(shift), ..
        }) = row.effect
        else {
            continue;
        };
        let own = spread(row, shift);
        if own > 0.0 {
            let (variance, freedom) = prior.moderated(own, shift.freedom);
            row.with_noise(variance.sqrt(), shift.se * (variance / own).sqrt(), freedom);
        }
    }
}

/// The variance of one pair, or of a trial of two sides.
fn spread(row: &Row, shift: Shift) -> f64 {
    row.effect
        .and_then(|effect| effect.sd)
        .unwrap_or(shift.se)
        .powi(2)
}

/// One row for each gated metric that two cells or more have: those that somebody accepted are left out.
pub(super) fn rows(rows: &[Row]) -> Vec<Row> {
    let mut pools: Vec<(Pool, Vec<&Row>)> = Vec::new();
    for row in rows
        .iter()
        .filter(|row| row.gated && row.accepted.is_none() && row.group != Group::Exact)
    {
        let Some(of) = pool(row) else { continue };
        match pools.iter_mut().find(|(known, _)| *known == of) {
            Some((_, cells)) => cells.push(row),
            None => pools.push((of, vec![row])),
        }
    }
    pools
        .into_iter()
        .filter_map(|((metric, ..), cells)| whole(metric, &cells))
        .collect()
}

fn whole(metric: &str, cells: &[&Row]) -> Option<Row> {
    let measure = catalog()
        .into_iter()
        .find(|measure| measure.name == metric)?;
    if cells.len() < 2 || cells.iter().all(|row| row.identical) {
        return None;
    }
    let first = cells.first()?;
    let mut row = Row::blank(WHOLE, &measure, first.setting);
    row.gated = true;
    row.cells = cells.len();
    row.margin = first.margin;
    let widest = cells
        .iter()
        .max_by(|a, b| a.margin.used.total_cmp(&b.margin.used))?;
    row.margin = widest.margin;
    let trials = |side: fn(&Row) -> &Figures| cells.iter().map(|row| side(row).n).sum();
    row.base.n = trials(|row| &row.base);
    row.new.n = trials(|row| &row.new);
    row.set_effect(together(cells)?);
    Some(row)
}

/// The mean change with its uncertainty.
fn together(cells: &[&Row]) -> Option<Effect> {
    let effects: Vec<Effect> = cells.iter().filter_map(|row| row.effect).collect();
    let count = effects.len() as f64;
    let value = mean(
        &effects
            .iter()
            .map(|effect| effect.value)
            .collect::<Vec<_>>(),
    )?;
    let parts: Vec<(f64, f64)> = effects
        .iter()
        .filter_map(|effect| {
            Some((
                effect.shift?.se.powi(2) / count.powi(2),
                effect.shift?.freedom,
            ))
        })
        .collect();
    let variance: f64 = parts.iter().map(|(part, _)| part).sum();
    let spread: f64 = parts
        .iter()
        .map(|(part, freedom)| part * part / freedom)
        .sum();
    let all: f64 = effects
        .iter()
        .map(|effect| effect.least() as f64 - 1.0)
        .sum();
    let freedom = if spread > 0.0 {
        (variance * variance / spread).min(all)
    } else {
        all
    };
    let own = Shift {
        value,
        se: variance.sqrt(),
        freedom,
    };
    let shift = by_repeat(cells, own).unwrap_or(own);
    let least = effects.iter().map(Effect::least).min()?;
    Some(Effect {
        scale: effects[0].scale,
        method: effects[0].method,
        value,
        shift: Some(shift),
        sd: Some(shift.se * (least as f64).sqrt()),
        n: [least; 2],
        cells: effects.len(),
        identical: false,
        apart: false,
        exact_p: None,
    })
}

/// The repeats as replicates, where their means over cells scatter by more than independent cells would.
fn by_repeat(cells: &[&Row], own: Shift) -> Option<Shift> {
    let samples: Vec<BTreeMap<(u64, u64), f64>> = cells
        .iter()
        .map(|row| row.sample.pairs.iter().copied().collect())
        .collect();
    let shared: BTreeSet<(u64, u64)> = samples
        .first()?
        .keys()
        .copied()
        .filter(|key| samples.iter().all(|of| of.contains_key(key)))
        .collect();
    let means: Vec<f64> = shared
        .iter()
        .filter_map(|key| mean(&samples.iter().map(|of| of[key]).collect::<Vec<_>>()))
        .collect();
    let repeats = means.len() as f64;
    let se = sd(&means)? / repeats.sqrt();
    let chance = if own.se > 0.0 {
        FisherSnedecor::new(repeats - 1.0, own.freedom)
            .map_or(1.0, |law| law.sf((se / own.se).powi(2)))
    } else {
        f64::from(u8::from(se == 0.0))
    };
    (chance < SHARED).then_some(Shift {
        value: own.value,
        se,
        freedom: repeats - 1.0,
    })
}

#[cfg(test)]
mod tests {
    use super::super::effect::paired;
    use super::super::measure::Scale;
    use super::*;
    use crate::record::metric::VAL_LOSS_NATS;

    const DIFFERENCES: [[f64; 4]; 3] = [
        [0.031, 0.027, 0.036, 0.030],
        [0.024, 0.035, 0.029, 0.041],
        [0.052, 0.018, 0.034, 0.026],
    ];

    /// A row a cell, with what all cells of a repeat share added.
    fn cells(shared: [f64; 4]) -> Vec<Row> {
        let measure = catalog()
            .into_iter()
            .find(|measure| measure.name == VAL_LOSS_NATS)
            .unwrap();
        let row = |(place, own): (usize, &[f64; 4])| {
            let differences: [f64; 4] = std::array::from_fn(|k| own[k] + shared[k]);
            let mut row = Row::blank(&format!("cell {place}"), &measure, Setting::Interleaved);
            row.gated = true;
            row.sample.pairs = differences
                .iter()
                .zip(0..)
                .map(|(d, repeat)| ((repeat, repeat), *d))
                .collect();
            row.set_effect(paired(Scale::Difference, &differences.map(|d| (0.0, d))).unwrap());
            row
        };
        DIFFERENCES.iter().enumerate().map(row).collect()
    }

    /// NumPy 2.4 and SciPy 1.17: the mean of the cells' means, the root of their variances' sum over 9, Satterthwaite's degrees of
    /// freedom; and where repeats move together (F = 2.89, p = 0.10 by `scipy.stats.f.sf`) the standard error of their means.
    #[test]
    fn the_mean_over_cells_has_the_uncertainty_of_what_varies() {
        let rows = [
            (
                [0.0; 4],
                [
                    0.031_916_666_666_666_67,
                    0.002_788_451_714_296_477,
                    4.903_024_570_424_958,
                ],
            ),
            (
                [0.05, -0.04, 0.02, -0.03],
                [0.031_916_666_666_666_66, 0.022_833_282_643_901_56, 3.0],
            ),
        ];
        for (shared, expected) in rows {
            let found = super::rows(&cells(shared));
            let shift = found[0].effect.unwrap().shift.unwrap();
            for (found, expected) in [shift.value, shift.se, shift.freedom].iter().zip(expected) {
                assert!((found / expected - 1.0).abs() < 1e-9, "{shift:?}");
            }
            assert_eq!((found.len(), found[0].cells, found[0].base.n), (1, 3, 0));
        }
    }

    /// Accepted changes are no news of the suite, and of one cell there is none.
    #[test]
    fn what_is_accepted_is_left_out() {
        let mut cells = cells([0.0; 4]);
        cells[2].accepted = Some("it is meant".to_owned());
        assert_eq!(rows(&cells)[0].cells, 2);
        cells[1].accepted = Some("so is this".to_owned());
        assert!(rows(&cells).is_empty());
    }

    /// A cell whose repeats agree by luck takes on the noise of the others.
    #[test]
    fn noise_is_pooled_over_cells() {
        let mut cells = [cells([0.0; 4]), cells([0.0; 4]), cells([0.0; 4])].concat();
        let own = [0.010, 0.0115, 0.0085, 0.010].map(|difference| (0.0, difference));
        cells[6].set_effect(paired(Scale::Difference, &own).unwrap());
        let before = cells[6].p.unwrap();
        pool_noise(&mut cells);
        let after = cells[6].p.unwrap();
        assert!(after > 2.0 * before, "{before} {after}");
    }
}
