//! Searches: from many starts, from a warm one, with some parameters held, and over bootstrap resamples on every core.

use std::num::NonZero;
use std::thread;

use crate::stat::{minimise_within, resample};
use crate::stream::stream;

use super::additive::Start;
use super::surface::{IRREDUCIBLE, NOTHING, Surface, Theta};

/// Steps of a search that is to end at a minimum.
const THOROUGH: u64 = 1000;
/// Steps that tell a hopeless start, and how many stay; then steps that tell a promising one.
const GLIMPSE: (u64, usize) = (4, 600);
const GLANCE: u64 = 25;
/// Rows that a start is judged by.
const GLANCED: usize = 500;
/// Promising starts followed to their end.
const FOLLOWED: usize = 64;

/// A search's end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fitted {
    /// In the surface's coordinates.
    pub theta: Theta,
    /// The objective there.
    pub objective: f64,
}

/// Exponents from here, where a term is as good as constant, to where it is as good as gone.
pub const EXPONENTS: [f64; 2] = [1e-4, 10.0];
/// Logarithms of centred coefficients beyond this are as good as infinite.
const LARGEST_LOG: f64 = 100.0;
/// Steps of differences.
const STEP: f64 = 1e-6;

/// Draws a search toward a value of a figure that follows from the parameters. Wherever it ends, no other parameters with
/// that figure have a lower objective, so a target need not be met to be of use.
#[derive(Clone, Copy)]
pub struct Pull<'a> {
    /// Of the law's own coordinates: ln A, alpha, ln B, beta, ln E.
    pub figure: &'a dyn Fn(&Theta) -> f64,
    /// The value drawn to.
    pub target: f64,
    /// Added to the scaled objective times half the square of the distance.
    pub weight: f64,
}

/// Searches from one start, holding the parameters `held` where `start` has them.
pub fn from(surface: &Surface, start: &Theta, held: &[usize]) -> Fitted {
    search(surface, start, held, None, THOROUGH)
}

/// The same, drawn toward a value of a figure.
pub fn drawn(surface: &Surface, start: &Theta, held: &[usize], pull: &Pull) -> Fitted {
    search(surface, start, held, Some(pull), THOROUGH)
}

/// The coordinates of a search: E itself, as a share of the lowest loss, so that E = 0 is a bound like any other and not
/// infinitely far away.
pub struct Coordinates {
    free: Vec<usize>,
    start: Theta,
    lowest: f64,
    highest: f64,
}

impl Coordinates {
    /// Those of the parameters that are not held.
    pub fn new(surface: &Surface, start: &Theta, held: &[usize]) -> Self {
        let (lowest, highest) = surface.range();
        Self {
            free: surface.free(held),
            start: *start,
            lowest,
            highest,
        }
    }

    fn theta(&self, x: &[f64]) -> Theta {
        let mut theta = self.start;
        for (&index, &value) in self.free.iter().zip(x) {
            theta[index] = if index == IRREDUCIBLE {
                (value * self.lowest).ln().max(NOTHING)
            } else {
                value
            };
        }
        theta
    }

    fn bounds(&self, index: usize) -> [f64; 2] {
        match index {
            IRREDUCIBLE => [0.0, self.highest / self.lowest],
            1 | 3 => EXPONENTS,
            _ => [-LARGEST_LOG, LARGEST_LOG],
        }
    }

    fn x(&self) -> Vec<f64> {
        let inside = |&index: &usize| {
            let value = self.start[index];
            let value = match index {
                IRREDUCIBLE if value <= NOTHING => 0.0,
                IRREDUCIBLE => value.min(LARGEST_LOG).exp() / self.lowest,
                _ => value,
            };
            let [low, high] = self.bounds(index);
            value.clamp(low, high)
        };
        self.free.iter().map(inside).collect()
    }

    /// Slopes of a figure by the free parameters, E itself among them, at the start.
    pub fn slopes(&self, figure: impl Fn(&Theta) -> f64) -> Vec<f64> {
        let x = self.x();
        let slope = |k: usize| {
            self.difference(&x, k, &figure)
                / if self.free[k] == IRREDUCIBLE {
                    self.lowest
                } else {
                    1.0
                }
        };
        (0..x.len()).map(slope).collect()
    }

    /// The slope of a figure by one coordinate; to one side where the other lies beyond a bound.
    fn difference(&self, x: &[f64], k: usize, figure: impl Fn(&Theta) -> f64) -> f64 {
        let [low, high] = self.bounds(self.free[k]);
        let moved = |by: f64| {
            let mut x = x.to_vec();
            x[k] = (x[k] + by).clamp(low, high);
            (x[k], figure(&self.theta(&x)))
        };
        let step = STEP * x[k].abs().max(1e-2);
        let ((left, below), (right, above)) = (moved(-step), moved(step));
        (above - below) / (right - left)
    }
}

fn search(
    surface: &Surface,
    start: &Theta,
    held: &[usize],
    pull: Option<&Pull>,
    steps: u64,
) -> Fitted {
    let coordinates = Coordinates::new(surface, start, held);
    let objective = |x: &[f64], slope: &mut [f64]| {
        let theta = coordinates.theta(x);
        let mut gradient = [0.0; 5];
        let value = surface.scaled(&theta, &mut gradient);
        gradient[IRREDUCIBLE] *= coordinates.lowest;
        slope
            .iter_mut()
            .zip(&coordinates.free)
            .for_each(|(slope, &index)| *slope = gradient[index]);
        value + pull.map_or(0.0, |pull| pulled(surface, &coordinates, pull, x, slope))
    };
    let bounds: Vec<[f64; 2]> = coordinates
        .free
        .iter()
        .map(|&index| coordinates.bounds(index))
        .collect();
    let side = |k: usize| bounds.iter().map(|ends| ends[k]).collect::<Vec<f64>>();
    let found = minimise_within(objective, &coordinates.x(), [&side(0), &side(1)], steps);
    let theta = coordinates.theta(&found.at);
    Fitted {
        theta,
        objective: surface.objective(&theta),
    }
}

/// What a pull adds to the objective, and to its slopes.
fn pulled(
    surface: &Surface,
    coordinates: &Coordinates,
    pull: &Pull,
    x: &[f64],
    slope: &mut [f64],
) -> f64 {
    let figure = |theta: &Theta| (pull.figure)(&surface.outward(theta));
    let off = figure(&coordinates.theta(x)) - pull.target;
    if !off.is_finite() {
        return FORBIDDEN;
    }
    for (k, slope) in slope.iter_mut().enumerate() {
        let by = coordinates.difference(x, k, figure);
        *slope += pull.weight * off * if by.is_finite() { by } else { 0.0 };
    }
    0.5 * pull.weight * off * off
}

/// What a search pays where its figure has no value.
const FORBIDDEN: f64 = 1e15;

/// The lowest end over all starts: every start for a few steps, the better ones for some more, the best of those to their ends. `held` are put at the values
/// of `at`.
pub fn from_all(surface: &Surface, starts: &[Start], held: &[usize], at: &Theta) -> Option<Fitted> {
    let placed = |start: &Start| {
        let mut theta = surface.place(start);
        held.iter().for_each(|&index| theta[index] = at[index]);
        theta
    };
    let lowest_first = |mut ends: Vec<Fitted>| {
        ends.retain(|end| end.objective.is_finite());
        ends.sort_by(|a, b| a.objective.total_cmp(&b.objective));
        ends
    };
    let few = surface.thinned(GLANCED);
    let glimpses = lowest_first(on_all_cores(starts.len(), |k| {
        search(&few, &placed(&starts[k]), held, None, GLIMPSE.0)
    }));
    let hopeful = &glimpses[..glimpses.len().min(GLIMPSE.1)];
    let glances = lowest_first(on_all_cores(hopeful.len(), |k| {
        search(&few, &hopeful[k].theta, held, None, GLANCE)
    }));
    let best = &glances[..glances.len().min(FOLLOWED)];
    let ends = on_all_cores(best.len(), |k| from(surface, &best[k].theta, held));
    lowest_first(ends).first().copied()
}

/// Refits `draws` resamples of the clusters from the fit itself. Draw k comes from its own stream, whatever the number of
/// cores, so that two groups with the same repeats are resampled alike.
pub fn bootstrap(surface: &Surface, fit: &Fitted, held: &[usize], draws: usize) -> Vec<Theta> {
    let clusters: Vec<usize> = surface.rows.iter().map(|row| row.cluster).collect();
    on_all_cores(draws, |k| {
        let mut stream = stream("fit/bootstrap", 0, k as u64);
        let counts = resample::counts(&clusters, |n| stream.below(n));
        from(&surface.weighted(&counts), &fit.theta, held).theta
    })
}

/// `work(0), work(1) ...` in order, done on every core.
pub fn on_all_cores<T: Send>(n: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let cores = thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(n.max(1));
    let strided = |first: usize| (first..n).step_by(cores).map(&work).collect::<Vec<T>>();
    let mut columns: Vec<std::vec::IntoIter<T>> = thread::scope(|scope| {
        let strided = &strided;
        let running: Vec<_> = (1..cores)
            .map(|first| scope.spawn(move || strided(first)))
            .collect();
        let own = strided(0);
        // A panic in a worker is this thread's panic.
        let others = running.into_iter().map(|worker| {
            worker
                .join()
                .unwrap_or_else(|p| std::panic::resume_unwind(p))
        });
        std::iter::once(own)
            .chain(others)
            .map(Vec::into_iter)
            .collect()
    });
    (0..n).filter_map(|k| columns[k % cores].next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fit::form::Form;
    use crate::analysis::fit::surface::tests::points;
    use crate::analysis::fit::{chinchilla, power};

    fn surface(noise: f64) -> (Surface, Vec<Start>) {
        let Form::Additive(law) = &chinchilla::LAW.form else {
            panic!("additive")
        };
        let points = points(|k| noise * (7.0 * k as f64).sin());
        (Surface::new(law, &points).unwrap(), (law.starts)(&points))
    }

    #[test]
    fn the_law_that_made_the_points_is_found() {
        let (surface, starts) = surface(0.0);
        let found = from_all(&surface, &starts, &[], &[0.0; 5]).unwrap();
        let expected = [480f64.ln(), 0.35, 2000f64.ln(), 0.36, 1.8f64.ln()];
        for (found, expected) in surface.outward(&found.theta).iter().zip(expected) {
            assert!(
                (found - expected).abs() < 2e-3,
                "{found} against {expected}"
            );
        }
    }

    #[test]
    fn what_is_held_stays_and_costs() {
        let (surface, _) = surface(0.01);
        let start = surface.inward(&[480f64.ln(), 0.35, 2000f64.ln(), 0.36, 1.8f64.ln()]);
        let free = from(&surface, &start, &[]);
        let mut at = free.theta;
        at[IRREDUCIBLE] = 1.5f64.ln();
        let held = from(&surface, &at, &[IRREDUCIBLE]);
        assert_eq!(held.theta[IRREDUCIBLE], 1.5f64.ln());
        assert!(held.objective > free.objective);
    }

    #[test]
    fn draws_do_not_depend_on_the_cores_and_work_keeps_its_order() {
        assert_eq!(on_all_cores(7, |k| k * k), [0, 1, 4, 9, 16, 25, 36]);
        assert!(on_all_cores(0, |k| k).is_empty());
        let (surface, _) = surface(0.01);
        let fit = from(&surface, &surface.inward(&[6.2, 0.35, 7.6, 0.36, 0.6]), &[]);
        let draws = bootstrap(&surface, &fit, &[], 5);
        assert_eq!(draws, bootstrap(&surface, &fit, &[], 6)[..5]);
        assert!(draws[0] != draws[1]);
    }

    #[test]
    fn repeats_are_clusters() {
        let Form::Additive(law) = &power::LAW.form else {
            panic!("additive")
        };
        let mut points = points(|_| 0.0);
        points
            .iter_mut()
            .enumerate()
            .for_each(|(k, p)| p.repeat = Some(10 + k as u64 % 3));
        let surface = Surface::new(law, &points).unwrap();
        assert_eq!((surface.clusters, surface.repeated()), (3, true));
        points[0].repeat = None;
        assert!(!Surface::new(law, &points).unwrap().repeated());
    }
}
