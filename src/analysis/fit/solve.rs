//! Searches: from many starts, from a warm one, with some parameters held, and over bootstrap resamples on every core.

use std::num::NonZero;
use std::thread;

use crate::stat::{minimise, resample};
use crate::stream::stream;

use super::law::Start;
use super::surface::{Surface, Theta};

/// Steps of a search that is to end at a minimum.
const THOROUGH: u64 = 1000;
/// Steps that tell a promising start from a hopeless one.
const GLANCE: u64 = 25;
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

/// Searches from one start, holding the parameters `held` where `start` has them.
pub fn from(surface: &Surface, start: &Theta, held: &[usize]) -> Fitted {
    search(surface, start, held, THOROUGH)
}

fn search(surface: &Surface, start: &Theta, held: &[usize], steps: u64) -> Fitted {
    let free = surface.free(held);
    let spread = |x: &[f64]| {
        let mut theta = *start;
        free.iter().zip(x).for_each(|(&index, &value)| theta[index] = value);
        theta
    };
    let objective = |x: &[f64], slope: &mut [f64]| {
        let mut gradient = [0.0; 5];
        let value = surface.scaled(&spread(x), &mut gradient);
        slope.iter_mut().zip(&free).for_each(|(slope, &index)| *slope = gradient[index]);
        value
    };
    let x: Vec<f64> = free.iter().map(|&index| start[index]).collect();
    let theta = spread(&minimise(objective, &x, steps).at);
    Fitted { theta, objective: surface.objective(&theta) }
}

/// The lowest end over all starts: every start for a few steps, the best of those to their ends. `held` are put at the values
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
    let glances = lowest_first(on_all_cores(starts.len(), |k| search(surface, &placed(&starts[k]), held, GLANCE)));
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
    let cores = thread::available_parallelism().map_or(1, NonZero::get).min(n.max(1));
    let strided = |first: usize| (first..n).step_by(cores).map(&work).collect::<Vec<T>>();
    let mut columns: Vec<std::vec::IntoIter<T>> = thread::scope(|scope| {
        let strided = &strided;
        let running: Vec<_> = (1..cores).map(|first| scope.spawn(move || strided(first))).collect();
        let own = strided(0);
        // A panic in a worker is this thread's panic.
        let others = running.into_iter().map(|worker| worker.join().unwrap_or_else(|p| std::panic::resume_unwind(p)));
        std::iter::once(own).chain(others).map(Vec::into_iter).collect()
    });
    (0..n).filter_map(|k| columns[k % cores].next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fit::law::Form;
    use crate::analysis::fit::surface::{IRREDUCIBLE, tests::points};
    use crate::analysis::fit::{chinchilla, power};

    fn surface(noise: f64) -> (Surface, Vec<Start>) {
        let Form::Additive(law) = &chinchilla::LAW.form else { panic!("additive") };
        let points = points(|k| noise * (7.0 * k as f64).sin());
        (Surface::new(law, &points).unwrap(), (law.starts)(&points))
    }

    #[test]
    fn the_law_that_made_the_points_is_found() {
        let (surface, starts) = surface(0.0);
        let found = from_all(&surface, &starts, &[], &[0.0; 5]).unwrap();
        let expected = [480f64.ln(), 0.35, 2000f64.ln(), 0.36, 1.8f64.ln()];
        for (found, expected) in surface.outward(&found.theta).iter().zip(expected) {
            assert!((found - expected).abs() < 2e-3, "{found} against {expected}");
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
        let Form::Additive(law) = &power::LAW.form else { panic!("additive") };
        let mut points = points(|_| 0.0);
        points.iter_mut().enumerate().for_each(|(k, p)| p.repeat = Some(10 + k as u64 % 3));
        let surface = Surface::new(law, &points).unwrap();
        assert_eq!((surface.clusters, surface.repeated()), (3, true));
        points[0].repeat = None;
        assert!(!Surface::new(law, &points).unwrap().repeated());
    }
}
