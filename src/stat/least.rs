//! Nonlinear least squares, plain or by Huber's loss, within bounds: Levenberg (1944) and Marquardt (1963), with the scaling of
//! Moré (1978) by the columns' own sizes, slopes by differences of fourth
//! order, and Huber's loss by reweighting (Holland and Welsch
//! 1977). It is what SciPy's `curve_fit` does, so that fits can be compared with published ones.

use super::huber;
use super::linear::least_squares;

/// Steps of a search.
const STEPS: usize = 400;
/// A relative fall of the objective below this, five times in a row, ends a search.
const NOTHING: f64 = 1e-14;
/// Damping beyond this means that no step goes down.
const STIFFEST: f64 = 1e12;

/// What is to be made small: the sum over rows of weight times Huber's loss of the residual.
pub struct Problem<'a> {
    /// Writes the residual of every row at a point.
    pub residuals: &'a (dyn Fn(&[f64], &mut [f64]) + Sync),
    /// How often each row counts.
    pub weights: &'a [f64],
    /// Of Huber's loss; infinite for squares.
    pub delta: f64,
    /// Rows from this one on are squares whatever `delta` is.
    pub robust: usize,
    /// Lowest value of each coordinate.
    pub low: &'a [f64],
    /// Highest value of each coordinate.
    pub high: &'a [f64],
}

/// Where a search ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Least {
    /// The point.
    pub at: Vec<f64>,
    /// The sum there.
    pub objective: f64,
}

impl Problem<'_> {
    fn delta_of(&self, row: usize) -> f64 {
        if row < self.robust {
            self.delta
        } else {
            f64::INFINITY
        }
    }

    fn residuals_at(&self, at: &[f64]) -> Vec<f64> {
        let mut found = vec![0.0; self.weights.len()];
        (self.residuals)(at, &mut found);
        found
    }

    /// The sum at a point; infinite where a residual is no number.
    pub fn objective(&self, at: &[f64]) -> f64 {
        self.sum(&self.residuals_at(at))
    }

    fn sum(&self, residuals: &[f64]) -> f64 {
        let rows = residuals.iter().zip(self.weights).enumerate();
        let sum: f64 = rows
            .map(|(k, (r, w))| {
                if *w > 0.0 {
                    w * huber::loss(*r, self.delta_of(k))
                } else {
                    0.0
                }
            })
            .sum();
        if sum.is_finite() { sum } else { f64::INFINITY }
    }

    /// Slopes of every residual by the coordinates `free`, a column each.
    pub fn slopes(&self, at: &[f64], free: &[usize]) -> Vec<Vec<f64>> {
        let column = |&k: &usize| {
            let step = 5e-5 * at[k].abs().max(1.0);
            let moved = |steps: f64| {
                let mut moved = at.to_vec();
                moved[k] += steps * step;
                self.residuals_at(&moved)
            };
            let near = moved(1.0)
                .into_iter()
                .zip(moved(-1.0))
                .map(|(up, down)| up - down);
            let far = moved(2.0)
                .into_iter()
                .zip(moved(-2.0))
                .map(|(up, down)| up - down);
            near.zip(far)
                .map(|(near, far)| (8.0 * near - far) / (12.0 * step))
                .collect()
        };
        free.iter().map(column).collect()
    }

    /// Searches from `start`, moving only the coordinates `free`. The end is never worse than the start.
    pub fn search(&self, start: &[f64], free: &[usize]) -> Least {
        self.search_for(start, free, STEPS)
    }

    /// The same for at most so many steps.
    pub fn search_for(&self, start: &[f64], free: &[usize], steps: usize) -> Least {
        let mut at: Vec<f64> = start.to_vec();
        for &k in free {
            at[k] = at[k].clamp(self.low[k], self.high[k]);
        }
        let mut objective = self.objective(&at);
        let (mut damping, mut idle) = (1e-3, 0);
        for _ in 0..steps {
            let Some((next, lower)) = self.step(&at, objective, free, &mut damping) else {
                break;
            };
            idle = if objective - lower <= NOTHING * objective {
                idle + 1
            } else {
                0
            };
            (at, objective) = (next, lower);
            if idle > 4 || objective == 0.0 {
                break;
            }
        }
        Least { at, objective }
    }

    /// The next point, damped until the objective falls; `None` where no step goes down.
    fn step(
        &self,
        at: &[f64],
        objective: f64,
        free: &[usize],
        damping: &mut f64,
    ) -> Option<(Vec<f64>, f64)> {
        let residuals = self.residuals_at(at);
        let root: Vec<f64> = residuals
            .iter()
            .zip(self.weights)
            .enumerate()
            .map(|(k, (r, w))| (w * (self.delta_of(k) / r.abs()).min(1.0)).sqrt())
            .collect();
        let weighted = |column: &[f64]| {
            column
                .iter()
                .zip(&root)
                .map(|(a, b)| a * b)
                .collect::<Vec<f64>>()
        };
        let y: Vec<f64> = weighted(&residuals).iter().map(|r| -r).collect();
        let mut moving = Vec::new();
        for (&k, column) in free.iter().zip(self.slopes(at, free)) {
            let column = weighted(&column);
            let size = column.iter().map(|v| v * v).sum::<f64>().sqrt();
            let pull: f64 = column.iter().zip(&y).map(|(a, b)| a * b).sum();
            let stuck =
                (at[k] <= self.low[k] && pull < 0.0) || (at[k] >= self.high[k] && pull > 0.0);
            if size > 0.0 && size.is_finite() && !stuck {
                moving.push((
                    k,
                    size,
                    column.iter().map(|v| v / size).collect::<Vec<f64>>(),
                ));
            }
        }
        while *damping <= STIFFEST && !moving.is_empty() {
            if let Some(next) = self.damped(at, &moving, &y, *damping) {
                let lower = self.objective(&next);
                if lower < objective {
                    *damping = (*damping / 5.0).max(1e-11);
                    return Some((next, lower));
                }
            }
            *damping *= 4.0;
        }
        *damping = 1e-3;
        None
    }

    /// One damped step, clipped to the bounds.
    fn damped(
        &self,
        at: &[f64],
        moving: &[(usize, f64, Vec<f64>)],
        y: &[f64],
        damping: f64,
    ) -> Option<Vec<f64>> {
        let n = moving.len();
        let columns: Vec<Vec<f64>> = (0..n)
            .map(|j| {
                let tail = (0..n).map(|i| if i == j { damping.sqrt() } else { 0.0 });
                moving[j].2.iter().copied().chain(tail).collect()
            })
            .collect();
        let y: Vec<f64> = y
            .iter()
            .copied()
            .chain(std::iter::repeat_n(0.0, n))
            .collect();
        let step = least_squares(&columns, &y)?;
        let mut next = at.to_vec();
        for ((k, size, _), step) in moving.iter().zip(step) {
            next[*k] = (next[*k] + step / size).clamp(self.low[*k], self.high[*k]);
        }
        (next != at).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: [f64; 6] = [1.0, 2.0, 3.0, 5.0, 7.0, 10.0];
    const Y: [f64; 6] = [109.0, 149.0, 149.0, 191.0, 213.0, 224.0];

    fn search(delta: f64, low: [f64; 2], high: [f64; 2]) -> Least {
        let residuals = |b: &[f64], out: &mut [f64]| {
            out.iter_mut()
                .zip(X.iter().zip(Y))
                .for_each(|(r, (x, y))| *r = b[0] * (1.0 - (-b[1] * x).exp()) - y);
        };
        let weights = [1.0; 6];
        let problem = Problem {
            residuals: &residuals,
            weights: &weights,
            delta,
            robust: 6,
            low: &low,
            high: &high,
        };
        problem.search(&[100.0, 0.75], &[0, 1])
    }

    /// NIST's data set BoxBOD, of higher difficulty, from its second start: certified b1 = 213.80940889, b2 = 0.54723748542,
    /// residual sum of squares 1168.0088766.
    #[test]
    fn certified_values_are_found() {
        let found = search(f64::INFINITY, [0.0, 0.0], [1e6, 1e3]);
        assert!((found.at[0] - 213.809_408_89).abs() < 1e-5, "{found:?}");
        assert!((found.at[1] - 0.547_237_485_42).abs() < 1e-8, "{found:?}");
        assert!(
            (2.0 * found.objective - 1_168.008_876_6).abs() < 1e-6,
            "{found:?}"
        );
    }

    /// SciPy 1.17: `minimize(lambda b: huber(5, b[0] * (1 - exp(-b[1] * x)) - y).sum(), [213, .55], method="Nelder-Mead")`, and
    /// the same within `b[0] <= 200` by `least_squares(..., bounds=...)`.
    #[test]
    fn wild_rows_count_less_and_bounds_hold() {
        let found = search(5.0, [0.0, 0.0], [1e6, 1e3]);
        assert!(
            (found.at[0] - HUBER[0]).abs() < 1e-3 && (found.at[1] - HUBER[1]).abs() < 1e-5,
            "{found:?}"
        );
        assert!((found.objective - HUBER[2]).abs() < 1e-5, "{found:?}");
        let bound = search(f64::INFINITY, [0.0, 0.0], [200.0, 1e3]);
        assert_eq!(bound.at[0], 200.0);
        assert!((bound.at[1] - BOUND).abs() < 1e-6, "{bound:?}");
    }

    const HUBER: [f64; 3] = [
        216.512_661_111_877,
        0.570_090_820_148_4,
        274.042_099_482_973_7,
    ];
    const BOUND: f64 = 0.653_548_75;
}
