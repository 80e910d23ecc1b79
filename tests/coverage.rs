//! Slow: whether 95% intervals contain the truth in 95% of simulated studies.
//!
//! `cargo test --release --no-default-features --test coverage -- --ignored --nocapture` prints the shares.

#![allow(clippy::print_stdout, reason = "its figures are what it is run for")]

use effbench::analysis::fit::law::{Additive, Form};
use effbench::analysis::fit::solve::on_all_cores;
use effbench::analysis::fit::surface::{IRREDUCIBLE, Theta};
use effbench::analysis::fit::{Fitting, Law, Point, chinchilla, power};
use effbench::stream::{Stream, stream};

const STUDIES: usize = 2000;
/// E, A and a of the simulated law.
const TRUTH: (f64, f64, f64) = (1.7, 3000.0, 0.2);

fn additive(law: &'static Law) -> &'static Additive {
    let Form::Additive(law) = &law.form else { panic!("additive") };
    law
}

/// Seven budgets, four times more each, in every repeat; a run's luck of 0.3% and a repeat's, which its runs share, of 0.3%.
fn ladder(repeats: u64, random: &mut Stream) -> Vec<Point> {
    let (e, a, exponent) = TRUTH;
    let mut points = Vec::new();
    for repeat in 0..repeats {
        let shared = 0.003 * random.normal();
        for k in 0..7 {
            let flops = 1e14 * 4f64.powi(k);
            let loss = (e + a * flops.powf(-exponent)) * (shared + 0.003 * random.normal()).exp();
            points.push(Point { repeat: Some(repeat), ..Point::new("a".to_owned(), flops, loss) });
        }
    }
    points
}

/// The share of studies whose interval of each parameter contains the truth; an open end contains everything beyond it.
fn shares(studies: usize, indices: &[usize], truth: &Theta, study: impl Fn(usize) -> Fitting + Sync) -> Vec<f64> {
    let inside = on_all_cores(studies, |k| {
        let fitting = study(k);
        let contains = |&index: &usize| {
            let bounds = fitting.bounds(index).unwrap();
            bounds.low.is_none_or(|low| low <= truth[index]) && bounds.high.is_none_or(|high| truth[index] <= high)
        };
        indices.iter().map(contains).collect::<Vec<bool>>()
    });
    let share = |place: usize| inside.iter().filter(|study| study[place]).count() as f64 / studies as f64;
    (0..indices.len()).map(share).collect()
}

#[test]
#[ignore = "slow: minutes"]
fn coverage_of_the_power_law() {
    let (e, a, exponent) = TRUTH;
    let truth = [a, exponent, 0.0, 0.0, e];
    let mut outside = Vec::new();
    for (name, known) in [("E free", None), ("E known", Some(e))] {
        let indices: &[usize] = if known.is_some() { &[0, 1] } else { &[IRREDUCIBLE, 0, 1] };
        for repeats in [1, 3, 5, 8] {
            let found = shares(STUDIES, indices, &truth, |k| {
                let mut random = stream("coverage/power", repeats, k as u64);
                Fitting::new(additive(&power::LAW), ladder(repeats, &mut random), known, 0).unwrap()
            });
            show(&format!("power, {name}, {repeats} repeats"), indices, &found, &mut outside);
        }
    }
    assert!(outside.is_empty(), "{outside:?}");
}

#[test]
#[ignore = "slow: minutes"]
fn coverage_of_the_chinchilla_law() {
    let truth = [480.0, 0.35, 2000.0, 0.36, 1.8];
    let indices = [IRREDUCIBLE, 0, 1, 2, 3];
    let mut outside = Vec::new();
    let found = shares(STUDIES, &indices, &truth, |k| {
        let mut random = stream("coverage/chinchilla", 0, k as u64);
        let noise: Vec<f64> = (0..30).map(|_| 0.005 * random.normal()).collect();
        Fitting::new(additive(&chinchilla::LAW), grid(&noise), None, 0).unwrap()
    });
    show("chinchilla, 30 single runs", &indices, &found, &mut outside);
    assert!(outside.is_empty(), "{outside:?}");
}

/// Six sizes by five token counts of L = 1.8 + 480 / N^0.35 + 2000 / D^0.36, one run each.
fn grid(noise: &[f64]) -> Vec<Point> {
    let point = |(k, noise): (usize, &f64)| {
        let (params, tokens) = (1e7 * 3f64.powi(k as i32 / 5), 4e8 * 4f64.powi(k as i32 % 5));
        let loss = (1.8 + 480.0 / params.powf(0.35) + 2000.0 / tokens.powf(0.36)) * noise.exp();
        let point = Point::new("a".to_owned(), 6.0 * params * tokens, loss);
        Point { params: Some(params), tokens: Some(tokens), ..point }
    };
    noise.iter().enumerate().map(point).collect()
}

/// Shown with `--nocapture`; what is not within 92.5% to 97.5% is collected.
fn show(name: &str, indices: &[usize], shares: &[f64], outside: &mut Vec<String>) {
    for (index, share) in indices.iter().zip(shares) {
        let parameter = ["ln A", "alpha", "ln B", "beta", "E"][*index];
        let line = format!("{name}: {parameter} {:.1}%", 100.0 * share);
        if !(0.925..=0.975).contains(share) {
            outside.push(line.clone());
        }
        println!("{line}");
    }
}
