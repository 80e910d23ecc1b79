//! Whether runs lie on a law at all: the classical test of lack of fit. What the cells' means miss the law by is set against what
//! the runs of one cell, which differ in their seeds alone, differ among themselves:
//! F = (sum n_c m_c^2 / (cells - p)) / (sum (r - m_c)^2 / (n - cells)), residuals r in ln L, m_c their mean in cell c.
//!
//! The residuals are those of least squares, which every law is refitted by for this, whatever it was fitted by: then F has its
//! distribution. A wild run widens the second sum, so that a law is rather kept than refused for its sake.

use std::collections::BTreeMap;

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use super::fitting::Fitting;
use super::solve;

/// Below this the law is said not to describe the runs.
pub const LEVEL: f64 = 0.01;
/// What runs of a cell differ by for rounding's sake, as a share of the loss: less than that is no luck.
const ROUNDING: f64 = 1e-7;

/// The test's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Misfit {
    /// The ratio of the mean squares.
    pub f: f64,
    /// Degrees of freedom of both.
    pub freedom: [usize; 2],
    /// Chance of so large a ratio, or a larger one, where the law holds.
    pub p: f64,
}

impl Misfit {
    /// Whether the law does not describe the runs.
    pub fn is_clear(&self) -> bool {
        self.p < LEVEL
    }
}

/// Tests a fit; `None` where no cell was repeated with other luck, or where nothing is left to miss.
pub fn misfit(fitting: &Fitting) -> Option<Misfit> {
    let surface = fitting.surface.squared();
    let end = if fitting.surface.delta.is_infinite() {
        fitting.end
    } else {
        solve::from(&surface, &fitting.end.theta, &fitting.held)
    };
    let mut cells: BTreeMap<[u64; 3], Vec<f64>> = BTreeMap::new();
    for (point, residual) in fitting.points.iter().zip(surface.residuals(&end.theta)) {
        cells.entry(point.cell()).or_default().push(residual);
    }
    let n = fitting.points.len();
    let freedom = [
        cells
            .len()
            .checked_sub(fitting.surface.free(&fitting.held).len())?,
        n - cells.len(),
    ];
    if freedom[0] == 0 || freedom[1] < 2 {
        return None;
    }
    let (mut lack, mut pure) = (0.0, 0.0);
    for residuals in cells.values() {
        let mean = crate::stat::mean(residuals)?;
        lack += residuals.len() as f64 * mean * mean;
        pure += residuals.iter().map(|r| (r - mean).powi(2)).sum::<f64>();
    }
    let scatter = pure / freedom[1] as f64;
    if scatter < ROUNDING * ROUNDING {
        return None;
    }
    let f = (lack / freedom[0] as f64) / scatter;
    let law = FisherSnedecor::new(freedom[0] as f64, freedom[1] as f64).ok()?;
    f.is_finite().then(|| Misfit {
        f,
        freedom,
        p: law.sf(f),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fit::form::Form;
    use crate::analysis::fit::{Point, power};
    use crate::stream::stream;

    /// Six budgets, four repeats, 0.3% of luck; `bend` is a quadratic term in ln L.
    fn tested(bend: f64, seed: u64) -> Misfit {
        let Form::Additive(law) = &power::LAW.form else {
            panic!("additive")
        };
        let mut luck = stream("misfit-test", seed, 0);
        let mut points = Vec::new();
        for repeat in 0..4 {
            for k in 0..6 {
                let flops = 1e10 * 3f64.powi(k);
                let off = bend * (f64::from(k) - 2.5).powi(2) + 0.003 * luck.normal();
                let loss = (1.5 + 50.0 * flops.powf(-0.15)) * off.exp();
                points.push(Point {
                    repeat: Some(repeat),
                    ..Point::new("a".to_owned(), flops, loss)
                });
            }
        }
        misfit(&Fitting::new(law, points, Some(1.5), 0).unwrap()).unwrap()
    }

    #[test]
    fn runs_off_the_law_are_told_and_runs_on_it_are_not() {
        let found = tested(0.005, 1);
        assert!(found.is_clear() && found.freedom == [4, 18], "{found:?}");
        // 200 studies on the law: as many are refused at 5% as should be.
        let refused = (0..200).filter(|&seed| tested(0.0, seed).p < 0.05).count();
        assert!((3..=20).contains(&refused), "{refused} of 200");
    }
}
