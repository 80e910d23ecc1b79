//! Whether runs lie on a law at all: the classical test of lack of fit. What the cells' means miss the law by is set against what
//! the runs of one cell, which differ in their seeds alone, differ among themselves:
//! F = (sum n_c m_c^2 / (cells - p)) / (sum (r - m_c)^2 / (n - cells)), residuals r in ln L, m_c their mean in cell c.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use super::fitting::Fitting;

/// Below this the law is said not to describe the runs.
pub const LEVEL: f64 = 0.01;

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

/// Runs that differ in their seeds alone.
struct Cell {
    /// C and N.
    place: (f64, Option<f64>),
    residuals: Vec<f64>,
}

/// Tests a fit by least squares; `None` where no cell was repeated, or where nothing is left to miss.
pub fn misfit(fitting: &Fitting) -> Option<Misfit> {
    if !fitting.surface.delta.is_infinite() {
        return None;
    }
    let mut cells: Vec<Cell> = Vec::new();
    for point in &fitting.points {
        let residual = fitting.loss_at(point)?.ln() - point.loss.ln();
        let place = (point.flops, point.params);
        match cells.iter_mut().find(|cell| cell.place == place) {
            Some(cell) => cell.residuals.push(residual),
            None => cells.push(Cell { place, residuals: vec![residual] }),
        }
    }
    let n: usize = cells.iter().map(|cell| cell.residuals.len()).sum();
    let freedom = [cells.len().checked_sub(fitting.surface.free(&fitting.held).len())?, n - cells.len()];
    if freedom[0] == 0 || freedom[1] < 2 {
        return None;
    }
    let (mut lack, mut pure) = (0.0, 0.0);
    for Cell { residuals, .. } in &cells {
        let mean = crate::stat::mean(residuals)?;
        lack += residuals.len() as f64 * mean * mean;
        pure += residuals.iter().map(|r| (r - mean).powi(2)).sum::<f64>();
    }
    let f = (lack / freedom[0] as f64) / (pure / freedom[1] as f64);
    let law = FisherSnedecor::new(freedom[0] as f64, freedom[1] as f64).ok()?;
    f.is_finite().then(|| Misfit { f, freedom, p: law.sf(f) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fit::law::Form;
    use crate::analysis::fit::{Point, power};
    use crate::stream::stream;

    /// Six budgets, four repeats, 0.3% of luck; `bend` is a quadratic term in ln L.
    fn tested(bend: f64, seed: u64) -> Misfit {
        let Form::Additive(law) = &power::LAW.form else { panic!("additive") };
        let mut luck = stream("misfit-test", seed, 0);
        let mut points = Vec::new();
        for repeat in 0..4 {
            for k in 0..6 {
                let flops = 1e10 * 3f64.powi(k);
                let off = bend * (f64::from(k) - 2.5).powi(2) + 0.003 * luck.normal();
                let loss = (1.5 + 50.0 * flops.powf(-0.15)) * off.exp();
                points.push(Point { repeat: Some(repeat), ..Point::new("a".to_owned(), flops, loss) });
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
