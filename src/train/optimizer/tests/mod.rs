//! Optimizers against values that their authors' code gives, and against what must hold exactly.

mod matrices;
mod rules;

use candle_core::{DType, Device, Tensor, Var};

use super::adamw::AdamW;
use super::each::Mover;
use super::elementwise::{Elementwise, Of, Rule};
use super::{Now, Optimizer};
use crate::model::{Decl, Declare, Init, Part, Place, Role, Scaling};

const HOST: (DType, &Device) = (DType::F64, &Device::Cpu);
/// Of the values below, but where a line says otherwise.
const ADAMW: AdamW = AdamW {
    lr: 0.01,
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weight_decay: 0.1,
};
/// Given to nine places.
const NEAR: f64 = 1e-9;

/// Where the published problem starts (4, 3): 0.1 sin(3 i + j + 1).
fn weights() -> Tensor {
    let entry = |k: usize| 0.1 * (k as f64 + 1.0).sin();
    Tensor::from_vec((0..12).map(entry).collect(), (4, 3), &Device::Cpu).unwrap()
}

/// Its gradient at step s: 0.1 cos(0.3 (3 i + j)^2 + 0.7 s).
fn gradient(step: u64) -> Tensor {
    let entry = |k: usize| 0.1 * (0.3 * (k * k) as f64 + 0.7 * step as f64).cos();
    Tensor::from_vec((0..12).map(entry).collect(), (4, 3), &Device::Cpu).unwrap()
}

fn now(step: u64) -> Now {
    Now {
        step,
        steps: 10,
        lr: 0.01,
        scale: 1.0,
    }
}

fn decl(shape: &[usize]) -> Decl {
    let mut declare = Declare::default();
    declare.enter("it", Part::Ffn, &Scaling::standard(2), Place::Branch);
    declare.param("w", shape, Role::Matrix, Init::Zeros);
    declare.finish().remove(0)
}

/// W_00, W_32 and the norm.
fn seen(w: &Tensor) -> [f64; 3] {
    let all = numbers(w);
    [
        all[0],
        all[11],
        all.iter().map(|w| w * w).sum::<f64>().sqrt(),
    ]
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap();
    flat.to_vec1().unwrap()
}

fn far(a: &[f64], b: &[f64]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max)
}

fn check(what: &str, found: &Tensor, expected: [f64; 3], near: f64) {
    let found = seen(found);
    assert!(
        far(&found, &expected) < near,
        "{what}: {found:.9?} for {expected:?}"
    );
}

/// By the form of tensors in f64, and by the form of numbers in f32, which must agree.
fn by_rule<R: Rule<S> + Copy, const S: usize>(rule: R, steps: u64, scale: f64) -> Tensor {
    let of = Of {
        lr: 1.0,
        eps: 1.0,
        decay: 1.0,
        vector: false,
    };
    let zeros = || weights().zeros_like().unwrap();
    let mut state: [Tensor; S] = std::array::from_fn(|_| zeros());
    let mut w = weights();
    for step in 0..steps {
        let g = (gradient(step) * scale).unwrap();
        let with = rule.coefficients(&of, step + 1, &now(step));
        (w, state) = R::tensors(&with, &w, &g, state.each_ref()).unwrap();
    }
    let var = Var::from_tensor(&weights().to_dtype(DType::F32).unwrap()).unwrap();
    let decls = [decl(&[4, 3])];
    let mut own = Elementwise::<R, S>::start(rule, &decls, &Device::Cpu).unwrap();
    for step in 0..steps {
        let g = (gradient(step) * scale)
            .unwrap()
            .to_dtype(DType::F32)
            .unwrap();
        own.step(std::slice::from_ref(&var), &[g], &now(step))
            .unwrap();
    }
    let off = far(&numbers(&var), &numbers(&w));
    assert!(off < 1e-6, "the forms are {off} apart");
    w
}

fn by_mover(mut mover: impl Mover, start: &Tensor, gradients: &[Tensor]) -> Tensor {
    let var = Var::from_tensor(start).unwrap();
    for (g, update) in gradients.iter().zip(1..) {
        mover.step(&var, g, 0.01, update).unwrap();
    }
    var.as_detached_tensor()
}

fn gradients(steps: u64) -> Vec<Tensor> {
    (0..steps).map(gradient).collect()
}
