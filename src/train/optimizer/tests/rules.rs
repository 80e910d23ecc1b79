//! Rules of single numbers, of rows and of columns.

use candle_core::{DType, Device, Tensor};

use super::super::adafactor::{Adafactor, Factored};
use super::super::adam_mini::{AdamMini, Blocks};
use super::super::adamw::AdamW;
use super::super::ademamix::AdEMAMix;
use super::super::cautious::Cautious;
use super::super::elementwise::{Of, Rule};
use super::super::mars::Mars;
use super::super::sophia::Sophia;
use super::super::{Optimizer, OptimizerPlan};
use super::{
    ADAMW, HOST, NEAR, by_mover, by_rule, check, decl, far, gradient, gradients, now, numbers,
    weights,
};

fn cautious() -> Cautious {
    let AdamW {
        beta1,
        beta2,
        eps,
        weight_decay,
        ..
    } = ADAMW;
    Cautious {
        beta1,
        beta2,
        eps,
        weight_decay,
    }
}

/// With the half-life of a beta3 of 0.9999.
fn ademamix(beta2: f64, rise: f64, alpha: f64) -> AdEMAMix {
    AdEMAMix {
        lr: ADAMW.lr,
        beta1: ADAMW.beta1,
        beta2,
        alpha,
        slow: 0.5_f64.ln() / 0.9999_f64.ln(),
        rise,
        eps: ADAMW.eps,
        weight_decay: ADAMW.weight_decay,
    }
}

fn mars(gamma: f64, (beta1, beta2): (f64, f64)) -> Mars {
    Mars {
        lr: ADAMW.lr,
        beta1,
        beta2,
        gamma,
        eps: ADAMW.eps,
        weight_decay: ADAMW.weight_decay,
    }
}

/// What AdamW makes of the problem.
const OF_ADAMW: [f64; 3] = [0.055522585, -0.081143518, 0.275674543];

#[test]
fn rules_of_single_numbers_are_the_published_ones() {
    check(
        "cautious",
        &by_rule(cautious(), 3, 1.0),
        [0.052920436, -0.083737036, 0.281231539],
        NEAR,
    );
    check(
        "AdEMAMix",
        &by_rule(ademamix(0.999, 0.0, 2.0), 3, 1.0),
        [0.055674072, -0.081387076, 0.276104132],
        NEAR,
    );
    // The authors add 1e-8 to a decay before they take its logarithm.
    check(
        "AdEMAMix that rises over 10 steps",
        &by_rule(ademamix(0.999, 1.0, 2.0), 3, 1.0),
        [0.055665491, -0.081389591, 0.276105903],
        3e-9,
    );
    check(
        "MARS",
        &by_rule(mars(0.025, (0.95, 0.99)), 3, 1.0),
        [0.057737810, -0.081243932, 0.277317556],
        NEAR,
    );
    check(
        "MARS on gradients above a norm of 1",
        &by_rule(mars(0.025, (0.95, 0.99)), 3, 10.0),
        [0.057580058, -0.081138558, 0.276992309],
        NEAR,
    );
}

#[test]
fn what_adds_nothing_to_adamw_is_adamw() {
    let betas = (ADAMW.beta1, ADAMW.beta2);
    let plain = |steps: u64| by_rule(mars(0.0, betas), steps, 1.0);
    check("gamma 0", &plain(3), OF_ADAMW, NEAR);
    let mixed = by_rule(ademamix(ADAMW.beta2, 1.0, 0.0), 3, 1.0);
    check("alpha 0", &mixed, OF_ADAMW, NEAR);
    // At the first step the mean of gradients is their own direction.
    let off = far(&numbers(&by_rule(cautious(), 1, 1.0)), &numbers(&plain(1)));
    assert!(off < 1e-15, "nothing is masked: {off}");
}

/// Curvature is measured before the first and the third step, of gradients 0.1 cos(0.9 (3 i + j) + 0.4 s).
#[test]
fn clipped_momentum_over_curvature_is_the_published_one() {
    let curvature = |step: u64| {
        let entry = |k: usize| 0.1 * (0.9 * k as f64 + 0.4 * step as f64).cos();
        let made = Tensor::from_vec((0..12).map(entry).collect(), (4, 3), &Device::Cpu);
        made.unwrap().sqr().unwrap()
    };
    let rule = Sophia {
        lr: 0.01,
        beta1: 0.965,
        beta2: 0.99,
        rho: 0.05,
        every: 2,
        weight_decay: 0.1,
    };
    let of = Of {
        lr: 1.0,
        eps: 1.0,
        decay: 1.0,
        vector: false,
    };
    let run = |targets: f64| {
        let zeros = weights().zeros_like().unwrap();
        let (mut w, mut m, mut h) = (weights(), zeros.clone(), zeros);
        for step in 0..3 {
            if step != 1 {
                let new = (curvature(step) * (0.01 * targets)).unwrap();
                h = ((h * 0.99).unwrap() + new).unwrap();
            }
            let with = rule.coefficients(&of, step + 1, &now(step));
            (w, [m, h]) = Sophia::tensors(&with, &w, &gradient(step), [&m, &h]).unwrap();
        }
        w
    };
    check(
        "Sophia-G",
        &run(1e3),
        [0.058192556, -0.073233818, 0.259629227],
        NEAR,
    );
    check(
        "Sophia-G of many targets",
        &run(1e6),
        [0.083867100, -0.053521529, 0.250073009],
        NEAR,
    );
}

/// What a probe leaves is the mean of squared gradients times the labels that were drawn, and steps use it: without the labels' number
/// every update is clipped, and Sophia the sign of a momentum.
#[test]
fn a_probe_counts_its_labels() {
    let sophia = Sophia {
        lr: 0.01,
        beta1: 0.965,
        beta2: 0.99,
        rho: 0.05,
        every: 2,
        weight_decay: 0.1,
    };
    let decl = decl(&[4, 3]);
    let mut optimizer = sophia
        .start(std::slice::from_ref(&decl), &Device::Cpu, DType::F32)
        .unwrap();
    assert!(optimizer.probes(0) && !optimizer.probes(1) && optimizer.probes(2));
    let grad = gradient(0).to_dtype(DType::F32).unwrap();
    let squares = numbers(&gradient(0).sqr().unwrap());
    let curvature = |optimizer: &dyn Optimizer| {
        let state = optimizer.state().unwrap().unwrap();
        let of = |seen: &Tensor| seen.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        state.iter().map(of).collect::<Vec<_>>()
    };
    for times in [1.0, 1.99] {
        optimizer.probe(std::slice::from_ref(&grad), 1e3).unwrap();
        let near = |seen: &Vec<f32>| {
            let pairs = seen.iter().zip(&squares);
            pairs.clone().count() == squares.len()
                && pairs
                    .clone()
                    .all(|(seen, g)| (f64::from(*seen) / (10.0 * times * g) - 1.0).abs() < 1e-5)
        };
        let state = curvature(optimizer.as_ref());
        assert!(state.iter().any(near), "{state:?} {squares:?}");
    }
}

#[test]
fn means_of_rows_and_columns_are_the_published_ones() {
    let adafactor = Adafactor {
        lr: 0.01,
        power: 0.8,
        largest: 1.0,
        weight_decay: 0.1,
    };
    let start = |shape: &[usize]| Factored::start(adafactor, &decl(shape), HOST).unwrap();
    let found = by_mover(start(&[4, 3]), &weights(), &gradients(3));
    check(
        "Adafactor",
        &found,
        [0.062565604, -0.084659953, 0.278981193],
        NEAR,
    );
    let mini = |shape: &[usize]| Blocks::start(AdamMini(ADAMW), &decl(shape), HOST).unwrap();
    let found = by_mover(mini(&[4, 3]), &weights(), &gradients(3));
    check(
        "Adam-mini",
        &found,
        [0.049871956, -0.073524878, 0.264938793],
        NEAR,
    );
    let column = |tensor: &Tensor| tensor.reshape((12, 1)).unwrap();
    let columns: Vec<Tensor> = gradients(3).iter().map(column).collect();
    let found = by_mover(mini(&[12, 1]), &column(&weights()), &columns);
    check("Adam-mini whose blocks are numbers", &found, OF_ADAMW, NEAR);
    // Squares of rank one are kept whole, so that an update has one size.
    let row = Tensor::new(&[1.0, -2.0, 0.5], &Device::Cpu).unwrap();
    let rows = Tensor::new(&[[3.0], [-1.0], [0.1], [2.0]], &Device::Cpu).unwrap();
    let product = rows.broadcast_mul(&row).unwrap();
    let zeros = weights().zeros_like().unwrap();
    let moved = numbers(&by_mover(
        start(&[4, 3]),
        &zeros,
        std::slice::from_ref(&product),
    ));
    for (moved, g) in moved.iter().zip(numbers(&product)) {
        assert!((moved + 0.01 * g.signum()).abs() < 1e-15, "{moved} for {g}");
    }
}
