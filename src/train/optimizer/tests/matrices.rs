//! What works on a matrix as a whole.

use candle_core::{DType, Device, Tensor, Var};

use super::super::adam_mini::{AdamMini, Blocks};
use super::super::adamw::AdamW;
use super::super::muon::{Muon, Orthogonal, moonlight};
use super::super::orthogonal::{Iteration, orthogonalise};
use super::super::shampoo::{Floor, Rooted, Shampoo};
use super::super::soap::{Soap, Turned};
use super::{
    ADAMW, HOST, NEAR, by_mover, check, decl, far, gradient, gradients, numbers, seen, weights,
};
use crate::error::Result;
use crate::model::Factors;
use crate::ops::orthonormal;

const ALL: Factors = Factors {
    lr: 1.0,
    eps: 1.0,
    decay: 1.0,
};
const PARTS: [(usize, usize); 1] = [(4, 3)];

fn muon(which: Iteration, row_beta: Option<f64>) -> Muon {
    Muon {
        adamw: ADAMW,
        momentum: 0.95,
        how: (which, 5),
        cautious: false,
        row_beta,
    }
}

/// Jordan's scale.
fn jordan((rows, columns): (usize, usize)) -> f64 {
    (rows as f64 / columns as f64).max(1.0).sqrt()
}

fn by_muon(
    plan: Muon,
    start: &Tensor,
    gradients: &[Tensor],
    (scale, size): (f64, fn((usize, usize)) -> f64),
) -> Tensor {
    let var = Var::from_tensor(start).unwrap();
    let own = Orthogonal::start(&plan, (PARTS.to_vec(), ALL), HOST).unwrap();
    for gradient in gradients {
        let next = own.nesterov(&plan, gradient, scale).unwrap();
        let next = next.iter().map(|matrix| orthogonalise(matrix, plan.how));
        let next = next.collect::<Result<Vec<_>>>().unwrap();
        own.apply(&plan, next, &var, (0.01, size)).unwrap();
    }
    var.as_detached_tensor()
}

/// A running mean in place of a sum is the same of gradients that are as much smaller.
const MEAN: f64 = 1.0 - 0.95;

#[test]
fn orthogonal_updates_are_the_published_ones() {
    let run = |which, rows, scale, size| {
        let plan = muon(which, rows);
        by_muon(plan, &weights(), &gradients(3), (scale, size))
    };
    let (ns, pe) = (Iteration::NewtonSchulz, Iteration::PolarExpress);
    check(
        "Muon",
        &run(ns, None, 1.0, moonlight),
        [0.076861391, -0.058576089, 0.250457641],
        NEAR,
    );
    check(
        "Muon by means",
        &run(ns, None, MEAN, moonlight),
        [0.076861416, -0.058576080, 0.250457611],
        NEAR,
    );
    check(
        "Muon in Jordan's scale",
        &run(ns, None, MEAN, jordan),
        [0.063590962, -0.068160021, 0.254588951],
        NEAR,
    );
    check(
        "Polar Express",
        &run(pe, None, MEAN, moonlight),
        [0.077913590, -0.058848362, 0.251714323],
        NEAR,
    );
    check(
        "NorMuon",
        &run(ns, Some(0.95), MEAN, jordan),
        [0.066130331, -0.070261889, 0.258297061],
        NEAR,
    );
    // From zero the first update is all there is, and its norm is Muon's.
    let norm = |rows| {
        let zeros = weights().zeros_like().unwrap();
        let first = gradients(1);
        seen(&by_muon(muon(ns, rows), &zeros, &first, (1.0, moonlight)))[2]
    };
    assert!((norm(None) - norm(Some(0.95))).abs() < 1e-12);
}

/// Decay that asks the update spares what the update makes larger, and nothing else.
#[test]
fn cautious_decay_is_of_what_shrinks() {
    let run = |cautious: bool, weight_decay: f64| {
        let plan = Muon {
            adamw: AdamW {
                weight_decay,
                ..ADAMW
            },
            cautious,
            ..muon(Iteration::PolarExpress, None)
        };
        numbers(&by_muon(plan, &weights(), &gradients(1), (1.0, moonlight)))
    };
    let (free, all, cautious) = (run(true, 0.0), run(false, 0.1), run(true, 0.1));
    let before = numbers(&weights());
    let mut spared = 0;
    for k in 0..12 {
        let shrinks = (before[k] - free[k]) * before[k] >= 0.0;
        spared += usize::from(!shrinks);
        let expected = if shrinks { all[k] } else { free[k] };
        assert!((cautious[k] - expected).abs() < 1e-15, "{k}");
    }
    assert!((1..12).contains(&spared), "{spared}");
}

const SOAP: Soap = Soap {
    own: AdamW {
        beta1: 0.95,
        ..ADAMW
    },
    rest: ADAMW,
    every: 2,
    widest: 10,
};
const SHAMPOO: Shampoo = Shampoo {
    rest: AdamW {
        beta1: 0.0,
        ..ADAMW
    },
    matrix_beta: 0.95,
    every: 1,
    floor: Floor {
        share: 0.0,
        least: 1e-8,
    },
    widest: 10,
    bounded: false,
    size: |_| 1.0,
};

fn soap(plan: Soap) -> Turned {
    Turned::start(plan, ALL, &PARTS, HOST).unwrap()
}

fn shampoo(plan: Shampoo) -> Rooted {
    Rooted::start(plan, ALL, &PARTS, HOST).unwrap()
}

#[test]
fn preconditioners_are_the_published_ones() {
    let found = by_mover(shampoo(SHAMPOO), &weights(), &gradients(3));
    check(
        "Shampoo",
        &found,
        [0.072710862, -0.069989244, 0.264368964],
        NEAR,
    );
    let found = by_mover(soap(SOAP), &weights(), &gradients(3));
    check(
        "SOAP",
        &found,
        [0.067766257, -0.084249784, 0.271950490],
        NEAR,
    );
    let found = by_mover(soap(SOAP), &weights(), &gradients(6));
    check(
        "SOAP, 6 gradients",
        &found,
        [0.087248059, -0.114630927, 0.316958940],
        NEAR,
    );
}

/// Of one gradient Shampoo makes its polar factor, with two roots and with one: orthonormal columns, and G^T of it is symmetric.
#[test]
fn shampoo_of_one_gradient_is_its_polar_factor() {
    for widest in [10, 3] {
        let alone = Shampoo {
            matrix_beta: 0.0,
            floor: Floor {
                share: 0.0,
                least: 1e-14,
            },
            widest,
            ..SHAMPOO
        };
        let zeros = weights().zeros_like().unwrap();
        let moved = by_mover(shampoo(alone), &zeros, &gradients(1));
        let polar = (moved / -0.01).unwrap();
        let square = numbers(&polar.t().unwrap().matmul(&polar).unwrap());
        let one = numbers(&Tensor::eye(3, DType::F64, &Device::Cpu).unwrap());
        assert!(far(&square, &one) < 1e-8, "{square:?}");
        let middle = gradient(0).t().unwrap().matmul(&polar).unwrap();
        let flipped = numbers(&middle.t().unwrap().contiguous().unwrap());
        assert!(far(&numbers(&middle), &flipped) < 1e-9);
    }
}

/// What works on a matrix as a whole knows no axes: turned gradients give a turned step. Adam's kin fails that.
#[test]
fn a_turned_gradient_is_a_turned_step() {
    let basis = |n: usize, s: f64| {
        let entry = |k: usize| (s * (k * k) as f64 + k as f64).sin();
        let any = Tensor::from_vec((0..n * n).map(entry).collect(), (n, n), &Device::Cpu);
        orthonormal(&any.unwrap()).unwrap()
    };
    let (u, v) = (basis(4, 0.3), basis(3, 0.7));
    let turn = |x: &Tensor| u.matmul(x).unwrap().matmul(&v).unwrap();
    let zeros = weights().zeros_like().unwrap();
    let plain = gradients(3);
    let turned: Vec<Tensor> = plain.iter().map(turn).collect();
    let off = |step: &dyn Fn(&[Tensor]) -> Tensor| {
        far(&numbers(&turn(&step(&plain))), &numbers(&step(&turned)))
    };
    let of_muon = |g: &[Tensor]| {
        let plan = muon(Iteration::PolarExpress, None);
        by_muon(plan, &zeros, g, (1.0, moonlight))
    };
    assert!(off(&of_muon) < 1e-12);
    assert!(off(&|g| by_mover(shampoo(SHAMPOO), &zeros, g)) < 1e-12);
    assert!(off(&|g| by_mover(soap(SOAP), &zeros, g)) < 1e-12);
    let mini = || Blocks::start(AdamMini(ADAMW), &decl(&[4, 3]), HOST).unwrap();
    assert!(off(&|g| by_mover(mini(), &zeros, g)) > 1e-3);
}
