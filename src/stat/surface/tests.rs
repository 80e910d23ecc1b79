//! Simulated sweeps: valleys of several shapes, with the noise of seeds and the scatter of cells.

use super::sweep::Sweep;
use super::*;
use crate::stat::critical;

/// A sweep to be simulated.
#[derive(Clone, Copy)]
struct World {
    /// ln lr* = a + b ln steps + c ln size.
    truth: [f64; 3],
    /// Steps and sizes of its cells.
    cells: &'static [(f64, f64)],
    /// Seeds of each rate.
    seeds: u64,
    /// Standard deviation of a trial's loss, in nats.
    noise: f64,
    /// Standard deviation of a cell's optimum around the surface, in ln lr.
    scatter: f64,
    /// Loss above the bottom.
    valley: fn(f64) -> f64,
    /// Rates at and above this many times the best diverge.
    diverges: f64,
}

/// A factor-2 grid that no cell's optimum lies on.
const RATES: [f64; 7] = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064];
/// Two sizes and three lengths, not all of them together.
const SPARSE: [(f64, f64); 5] = [
    (200.0, 32.0),
    (800.0, 32.0),
    (3200.0, 32.0),
    (200.0, 96.0),
    (1600.0, 96.0),
];
const GRID: [(f64, f64); 9] = [
    (200.0, 16.0),
    (800.0, 16.0),
    (3200.0, 16.0),
    (200.0, 48.0),
    (800.0, 48.0),
    (3200.0, 48.0),
    (200.0, 128.0),
    (800.0, 128.0),
    (3200.0, 128.0),
];

/// 4.8 times steeper above the best rate than below it: the median of real sweeps.
fn lopsided(d: f64) -> f64 {
    if d < 0.0 { 0.04 * d * d } else { 0.192 * d * d }
}

/// Another shape: exponential above, straight below (Varian 1975's linex).
fn linex(d: f64) -> f64 {
    0.3 * ((0.6 * d).exp() - 1.0 - 0.6 * d)
}

const WORLD: World = World {
    truth: [-2.6, -0.3, 0.1],
    cells: &SPARSE,
    seeds: 2,
    noise: 0.008,
    scatter: 0.0,
    valley: lopsided,
    diverges: 12.0,
};

/// Numbers for simulations (Steele, Lea and Flood 2014, SplitMix64): this module stands before the crate's streams.
struct Dice(u64);

impl Dice {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Box and Muller 1958.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

impl World {
    fn optimum(&self, steps: f64, size: f64) -> f64 {
        let [a, b, c] = self.truth;
        a + b * steps.ln() + c * size.ln()
    }

    fn sweep(&self, dice: &mut Dice) -> Vec<Point> {
        let mut points = Vec::new();
        for (cell, &(steps, size)) in self.cells.iter().enumerate() {
            let best = self.optimum(steps, size) + self.scatter * dice.normal();
            for seed in 0..self.seeds {
                let level = 3.0 - 0.1 * steps.ln() + 0.02 * dice.normal();
                for lr in RATES {
                    let loss = level + (self.valley)(lr.ln() - best) + self.noise * dice.normal();
                    let loss_nats = (lr.ln() - best < self.diverges.ln()).then_some(loss);
                    points.push(Point {
                        cell,
                        seed,
                        ln_steps: steps.ln(),
                        ln_size: size.ln(),
                        ln_lr: lr.ln(),
                        loss_nats,
                    });
                }
            }
        }
        points
    }
}

#[test]
fn a_surface_without_noise_is_found_again() {
    for cells in [&SPARSE[..], &GRID[..]] {
        let surface = fit(&World {
            noise: 0.0,
            cells,
            ..WORLD
        }
        .sweep(&mut Dice(1)))
        .unwrap();
        for (found, want) in surface.plain().iter().zip(WORLD.truth) {
            assert!((found - want).abs() < 0.01, "{:?}", surface.plain());
        }
        let Valley { left, right } = surface.valley;
        assert!(
            (left / 0.04 - 1.0).abs() < 0.05 && (right / 0.192 - 1.0).abs() < 0.05,
            "{:?}",
            surface.valley
        );
        assert_eq!((surface.cells, surface.at_edge), (cells.len(), 0));
    }
}

/// The sum of squares by brute force: every optimum on a fine grid of a and b, both sides by a search of their own.
#[test]
fn the_lowest_sum_of_squares_is_found() {
    let cells = &[(200.0, 32.0), (800.0, 32.0), (3200.0, 32.0)];
    let world = World {
        cells,
        truth: [-2.3, -0.3, 0.0],
        ..WORLD
    };
    let sweep = Sweep::of(&world.sweep(&mut Dice(7))).unwrap();
    let fitted = sweep.descend(sweep.start(), 1e-6);
    let mut lowest = f64::INFINITY;
    for place in -20..=20 {
        for slope in -8..=8 {
            for (left, right) in (0..12).flat_map(|l| (0..12).map(move |r| (l, r))) {
                let side = |k: i32| -4.5 + 0.3 * f64::from(k);
                let params = vec![
                    fitted[0] + 0.03 * f64::from(place),
                    fitted[1] + 0.05 * f64::from(slope),
                    side(left),
                    side(right),
                ];
                lowest = lowest.min(sweep.objective(&params, 1e-6));
            }
        }
    }
    let found = sweep.objective(&fitted, 1e-6);
    assert!(
        found <= lowest && lowest < 1.2 * found,
        "{found} against {lowest}"
    );
}

/// How often the 95% intervals of the best rate hold it, over all places of the grid, and the mean of what it is missed by.
fn coverage(world: &World, studies: u64) -> (f64, f64) {
    let (mut held, mut all, mut off) = (0, 0, 0.0);
    for study in 0..studies {
        let surface = fit(&world.sweep(&mut Dice(1000 + study))).unwrap();
        let t = critical(surface.freedom, 0.95).unwrap();
        for (steps, size) in world.cells {
            let place = surface.at(steps.ln(), size.ln());
            let missed = place.ln_lr - world.optimum(*steps, *size);
            held += u64::from(missed.abs() <= t * place.se);
            off += missed;
            all += 1;
        }
    }
    (held as f64 / all as f64, off / all as f64)
}

#[test]
fn intervals_hold_the_truth_whatever_the_noise_and_the_scatter_of_cells() {
    for (cells, scatter, noise) in [
        (&SPARSE[..], 0.0, 0.008),
        (&SPARSE[..], 0.15, 0.008),
        (&SPARSE[..], 0.3, 0.008),
        (&SPARSE[..], 0.15, 0.02),
        (&GRID[..], 0.0, 0.02),
        (&GRID[..], 0.15, 0.008),
        (&GRID[..], 0.3, 0.008),
    ] {
        let world = World {
            cells,
            scatter,
            noise,
            ..WORLD
        };
        let (held, off) = coverage(&world, 100);
        let what = format!(
            "{} cells, scatter {scatter}, noise {noise}: {held:.3} held, {off:.3} off",
            cells.len()
        );
        assert!(held > 0.925, "{what}");
        assert!(off.abs() < 0.1, "{what}");
    }
}

/// Where the valley is of another shape the surface is off by the same everywhere, and by little in nats.
#[test]
fn a_valley_of_another_shape_costs_little() {
    for cells in [&SPARSE[..], &GRID[..]] {
        let world = World {
            cells,
            scatter: 0.15,
            valley: linex,
            ..WORLD
        };
        let (_, off) = coverage(&world, 100);
        assert!(
            off.abs() < 0.15 && linex(off) < 0.002,
            "{off:.3} off costs {:.4}",
            linex(off)
        );
    }
}

#[test]
fn what_nothing_shows_is_left_out() {
    let one_size: &[(f64, f64)] = &[(200.0, 32.0), (800.0, 32.0), (3200.0, 32.0)];
    let one_length: &[(f64, f64)] = &[(400.0, 16.0), (400.0, 48.0), (400.0, 128.0)];
    let ray: &[(f64, f64)] = &[(100.0, 16.0), (200.0, 32.0), (400.0, 64.0), (800.0, 128.0)];
    for (cells, slopes) in [
        (one_size, [true, false]),
        (one_length, [false, true]),
        (ray, [true, false]),
    ] {
        let surface = fit(&World { cells, ..WORLD }.sweep(&mut Dice(3))).unwrap();
        let [_, b, c] = surface.coefficients;
        assert_eq!([b != 0.0, c != 0.0], slopes);
        assert_eq!(
            [
                surface.covariance[1][1] > 0.0,
                surface.covariance[2][2] > 0.0
            ],
            slopes
        );
        for (steps, size) in cells {
            let missed = surface.at(steps.ln(), size.ln()).ln_lr - WORLD.optimum(*steps, *size);
            assert!(missed.abs() < 0.2, "{missed}");
        }
    }
}

#[test]
fn a_place_beyond_what_was_swept_is_told_and_so_is_the_edge() {
    let surface = fit(&WORLD.sweep(&mut Dice(5))).unwrap();
    let inside = |steps: f64, size: f64| surface.at(steps.ln(), size.ln()).inside;
    assert!(inside(200.0, 96.0) && inside(3200.0, 32.0) && inside(210.0, 96.0));
    for (steps, size) in [(100.0, 32.0), (6400.0, 32.0), (800.0, 128.0), (800.0, 16.0)] {
        assert!(!inside(steps, size), "{size} at {steps}");
    }
    assert!(!surface.at(800f64.ln(), 32f64.ln()).edge);
    // Every cell falls to the last rate, and the fit says where that ends.
    let world = World {
        truth: [-0.5, -0.3, 0.1],
        ..WORLD
    };
    let surface = fit(&world.sweep(&mut Dice(6))).unwrap();
    assert!(
        surface.at_edge >= 3 && surface.at(800f64.ln(), 32f64.ln()).edge,
        "{surface:?}"
    );
}

/// Too short a run tells no rate from another, or falls to the last: what is used was tried, and the doubt is of that size.
#[test]
fn a_sweep_without_a_valley_stays_among_its_rates() {
    let flat: fn(f64) -> f64 = |_| 0.0;
    let falling: fn(f64) -> f64 = |d| -0.01 * d;
    let rising: fn(f64) -> f64 = |d| 0.3 * d;
    for (valley, noise) in [
        (flat, 0.0),
        (flat, 0.01),
        (falling, 0.0),
        (falling, 0.001),
        (rising, 0.0),
        (rising, 0.01),
    ] {
        for cells in [&SPARSE[..1], &SPARSE[..], &GRID[..]] {
            let world = World {
                cells,
                valley,
                noise,
                diverges: f64::INFINITY,
                ..WORLD
            };
            let surface = fit(&world.sweep(&mut Dice(11))).unwrap();
            for (steps, size) in cells {
                let place = surface.at(steps.ln(), size.ln());
                assert!(
                    (RATES[0].ln()..=RATES[6].ln()).contains(&place.ln_lr),
                    "{place:?}"
                );
                assert!(
                    place.se <= (RATES[6] / RATES[0]).ln() / 12f64.sqrt() + 1e-9,
                    "{place:?}"
                );
                assert!(
                    surface
                        .drawn(steps.ln(), size.ln(), [1.0, -1.0, 2.0])
                        .is_finite()
                        && place.cost_nats.is_finite()
                );
            }
        }
    }
}

/// One rate in two diverges: the surface stays below them.
#[test]
fn rates_that_diverge_bound_the_optimum_from_above() {
    let world = World {
        valley: |d| 0.05 * (d - 0.2).powi(2),
        diverges: 1.3,
        scatter: 0.0,
        ..WORLD
    };
    let points = world.sweep(&mut Dice(8));
    let surface = fit(&points).unwrap();
    for point in points.iter().filter(|p| p.loss_nats.is_none()) {
        let best = surface.at(point.ln_steps, point.ln_size).ln_lr;
        assert!(
            best < point.ln_lr + 0.1,
            "{best} where {} diverged",
            point.ln_lr
        );
    }
}

#[test]
fn a_drawn_surface_is_one_surface_with_the_stated_spread() {
    let surface = fit(&WORLD.sweep(&mut Dice(9))).unwrap();
    let (low, high) = ((200f64.ln(), 32f64.ln()), (3200f64.ln(), 96f64.ln()));
    let middle = (0.5 * (low.0 + high.0), 0.5 * (low.1 + high.1));
    let mut dice = Dice(10);
    let mut squares = 0.0;
    for _ in 0..4000 {
        let z = [dice.normal(), dice.normal(), dice.normal()];
        let at = |(steps, size)| surface.drawn(steps, size, z);
        assert!(
            (at(middle) - 0.5 * (at(low) + at(high))).abs() < 1e-12,
            "a drawn surface is flat"
        );
        squares += at(high).powi(2);
    }
    let se = surface.at(high.0, high.1).se;
    assert!((squares / 4000.0 / (se * se) - 1.0).abs() < 0.1);
    assert_eq!(surface.drawn(low.0, low.1, [0.0; 3]), 0.0);
}

#[test]
fn a_sweep_that_shows_nothing_is_no_surface() {
    let mut points = WORLD.sweep(&mut Dice(1));
    points.iter_mut().for_each(|p| p.loss_nats = Some(f64::NAN));
    assert_eq!(fit(&points), Err(Unfit::NothingFinished));
    assert_eq!(fit(&[]), Err(Unfit::NothingFinished));
    let two: Vec<Point> = WORLD
        .sweep(&mut Dice(1))
        .into_iter()
        .filter(|p| p.ln_lr < 0.0025f64.ln())
        .collect();
    assert_eq!(fit(&two), Err(Unfit::TooFewRates));
}
