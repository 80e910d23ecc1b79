//! The lowest point of a smooth function of a few numbers, by L-BFGS with an analytic gradient.
//!
//! The solver is basin's port of L-BFGS-B 3.0 (Byrd, Lu, Nocedal and Zhu 1995; Morales and Nocedal 2011): the
//! algorithm and the stopping rules that SciPy has, so that its fits can be compared with published ones. It stays behind this
//! one function. What it costs beside an objective over a few hundred points is below a tenth of the time, so a solver of our
//! own would buy nothing.

use std::convert::Infallible;

use basin::{BoxBounds, ConstraintDescription, ConstraintSet, Constraints};
use basin::{CostFunction, Executor, FirstOrderState, Gradient, Lbfgs};

/// Where a search ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Minimum {
    /// The point.
    pub at: Vec<f64>,
    /// The value there.
    pub value: f64,
}

struct Smooth<F> {
    objective: F,
    low: Vec<f64>,
    high: Vec<f64>,
}

impl<F> Constraints for Smooth<F> {
    type Set = ConstraintSet<BoxBounds<Vec<f64>>>;
    fn constraints(&self) -> <Self::Set as ConstraintDescription>::Borrowed<'_> {
        ConstraintSet::new().with_bounds(BoxBounds::new(Some(&self.low), Some(&self.high)))
    }
}

impl<F: Fn(&[f64], &mut [f64]) -> f64> CostFunction for Smooth<F> {
    type Param = Vec<f64>;
    type Output = f64;
    type Error = Infallible;
    fn cost(&self, x: &Vec<f64>) -> Result<f64, Infallible> {
        Ok((self.objective)(x, &mut vec![0.0; x.len()]))
    }
}

impl<F: Fn(&[f64], &mut [f64]) -> f64> Gradient for Smooth<F> {
    type Gradient = Vec<f64>;
    fn gradient(&self, x: &Vec<f64>) -> Result<Vec<f64>, Infallible> {
        Ok(self.cost_and_gradient(x)?.1)
    }
    fn cost_and_gradient(&self, x: &Vec<f64>) -> Result<(f64, Vec<f64>), Infallible> {
        let mut slope = vec![0.0; x.len()];
        Ok(((self.objective)(x, &mut slope), slope))
    }
    fn cost_and_gradient_into(
        &self,
        x: &Vec<f64>,
        slope: &mut Vec<f64>,
    ) -> Result<f64, Infallible> {
        Ok((self.objective)(x, slope))
    }
}

/// Searches from `start` for at most `iterations` steps; `objective` returns its value and writes its gradient.
///
/// The objective should be scaled such that changes of 1e-14 in it do not matter: that is where the search stops. The end is
/// never worse than the start.
pub fn minimise(
    objective: impl Fn(&[f64], &mut [f64]) -> f64,
    start: &[f64],
    iterations: u64,
) -> Minimum {
    let n = start.len();
    minimise_within(
        objective,
        start,
        [&vec![f64::NEG_INFINITY; n], &vec![f64::INFINITY; n]],
        iterations,
    )
}

/// The same within bounds, lower and upper, of each number; `start` lies within them.
pub fn minimise_within(
    objective: impl Fn(&[f64], &mut [f64]) -> f64,
    start: &[f64],
    [low, high]: [&[f64]; 2],
    iterations: u64,
) -> Minimum {
    if start.is_empty() {
        return Minimum {
            at: Vec::new(),
            value: objective(&[], &mut []),
        };
    }
    let value = objective(start, &mut vec![0.0; start.len()]);
    let unmoved = Minimum {
        at: start.to_vec(),
        value,
    };
    let smooth = Smooth {
        objective,
        low: low.to_vec(),
        high: high.to_vec(),
    };
    let search = Executor::new(smooth, Lbfgs::new(), FirstOrderState::new(start.to_vec()))
        .max_iter(iterations)
        .run();
    match search {
        Ok(end) if end.best_cost() <= value => Minimum {
            at: end.best_param().clone(),
            value: end.best_cost(),
        },
        _ => unmoved,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rosenbrock(x: &[f64], slope: &mut [f64]) -> f64 {
        let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
        slope.copy_from_slice(&[-2.0 * a - 400.0 * x[0] * b, 200.0 * b]);
        a * a + 100.0 * b * b
    }

    #[test]
    fn the_banana_is_walked_to_its_end() {
        for start in [[-1.2, 1.0], [3.0, -4.0], [1.0, 1.0]] {
            let found = minimise(rosenbrock, &start, 200);
            assert!(
                (found.at[0] - 1.0).abs() < 1e-5 && (found.at[1] - 1.0).abs() < 1e-5,
                "{found:?}"
            );
        }
    }

    /// SciPy 1.17: `minimize(rosen, [-1.2, 1], jac=rosen_der, method="L-BFGS-B", bounds=[(None, 0.5), (None, None)])`.
    #[test]
    fn bounds_are_kept_and_the_rest_goes_to_its_end() {
        let found = minimise_within(
            rosenbrock,
            &[-1.2, 1.0],
            [&[f64::NEG_INFINITY; 2], &[0.5, f64::INFINITY]],
            200,
        );
        assert!(
            (found.at[0] - 0.5).abs() < 1e-9 && (found.at[1] - 0.25).abs() < 1e-5,
            "{found:?}"
        );
    }

    #[test]
    fn a_search_cut_short_is_no_worse_than_its_start_and_nothing_free_is_no_search() {
        let found = minimise(rosenbrock, &[-1.2, 1.0], 2);
        assert!(found.value <= rosenbrock(&[-1.2, 1.0], &mut [0.0; 2]) && found.value > 1e-3);
        assert_eq!(
            minimise(|_, _| 3.0, &[], 9),
            Minimum {
                at: Vec::new(),
                value: 3.0
            }
        );
    }
}
