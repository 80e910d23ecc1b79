//! AdamW on a GPU against the same in f64 on the host.

use crate::ops::DType;
use crate::ops::check::{distance, flat, random};
use crate::ops::tests::Place;
use crate::ops::{AdamwFactors, Updated};
use candle_core::{Result, Tensor};

const LENGTHS: [usize; 37] = {
    let mut lengths = [5; 37];
    lengths[3] = 4096;
    lengths[35] = 10_000;
    lengths
};

const BETAS: [f64; 2] = [0.9, 0.99];
const LR: f64 = 0.01;
const SCALE: f64 = 0.5;

/// The factor on a parameter's rate, its epsilon and its decay: each of its own.
fn settings(i: usize) -> (f64, f64, f64) {
    let decay = if i.is_multiple_of(2) { 0.1 } else { 0.0 };
    ([1.0, 0.25, 3.0][i % 3], [1e-8, 0.02][i % 2], decay)
}

/// One parameter's numbers: itself, its gradient, its two moments.
type Truth = [Vec<f64>; 4];

/// One step in f64.
fn step_by_hand(truth: &mut [Truth], step: i32) {
    let [beta1, beta2] = BETAS;
    let (rate, root2) = (
        LR / (1.0 - beta1.powi(step)),
        (1.0 - beta2.powi(step)).sqrt(),
    );
    for (i, [w, g, m, v]) in truth.iter_mut().enumerate() {
        let (of_lr, eps, decay) = settings(i);
        for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            let g = *g * SCALE;
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            let (lr, rate) = (LR * of_lr, rate * of_lr);
            *w = (1.0 - lr * decay) * *w - rate * *m / (v.sqrt() / root2 + eps);
        }
    }
}

/// Three steps of AdamW on parameters of many lengths, and the norm of their gradients.
pub(in crate::ops) fn updates(place: &Place) -> Result<()> {
    let tensor = |n: usize, seed: u64| place.on(random(&[n], DType::F32, seed)?);
    let make = |seed: u64| -> Result<Vec<Tensor>> {
        let each = LENGTHS.iter().map(|&n| tensor(n, seed + n as u64));
        each.collect()
    };
    for gpu in (place.backends)(DType::F32, &place.device) {
        let (w, g, m) = (make(1)?, make(2)?, make(3)?);
        let v: Vec<Tensor> = make(4)?.iter().map(Tensor::sqr).collect::<Result<_>>()?;
        let mut truth: Vec<Truth> = Vec::new();
        for i in 0..LENGTHS.len() {
            truth.push([flat(&w[i])?, flat(&g[i])?, flat(&m[i])?, flat(&v[i])?]);
        }
        // Together, and one that fills a block alone: what a block forgot cannot turn up in the next.
        for some in [0..LENGTHS.len(), 3..4] {
            let gradients = truth[some.clone()].iter().flat_map(|[_, g, ..]| g);
            let squares: f64 = gradients.map(|g| g * g).sum();
            let ratio = gpu.square_sum(&g[some.clone()])? / squares;
            assert!((ratio - 1.0).abs() < 1e-5, "the norm of {some:?}");
        }
        for step in 1..=3 {
            let all = (0..LENGTHS.len()).map(|i| {
                let (lr, eps, decay) = settings(i);
                Updated {
                    w: &w[i],
                    g: &g[i],
                    m: &m[i],
                    v: &v[i],
                    lr,
                    eps,
                    decay,
                }
            });
            let factors = AdamwFactors::at(step, BETAS, LR, SCALE);
            gpu.adamw(&all.collect::<Vec<_>>(), factors)?;
            step_by_hand(&mut truth, step);
        }
        for (i, [of_w, _, of_m, of_v]) in truth.iter().enumerate() {
            let each = [("w", &w[i], of_w), ("m", &m[i], of_m), ("v", &v[i], of_v)];
            for (name, made, truth) in each {
                let far = distance(&flat(made)?, truth);
                assert!(far < 1e-5, "{name} of parameter {i}: {far:e}");
            }
        }
    }
    Ok(())
}
