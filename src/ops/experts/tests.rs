//! Experts against dense layers, finite differences and the products that they must make.

use std::sync::Arc;

use super::{Routing, Score};
use crate::ops::check::{agrees, check, flat, odd_shapes, random};
use crate::ops::{Ops, counted};
use candle_core::{DType, Device, Result, Tensor};
use proptest::prelude::*;

/// Of N tokens to K of E experts.
fn routing(n: usize, count: usize, chosen: usize) -> Arc<Routing> {
    let logits = random(&[n, count], DType::F32, 5).unwrap();
    Arc::new(Routing::top(Score::Sigmoid, &logits, None, chosen).unwrap())
}

fn shapes([n, c, f, count, chosen]: [usize; 5]) -> [Vec<usize>; 4] {
    [
        vec![n, c],
        vec![n, chosen],
        vec![count * 2 * f, c],
        vec![count * c, f],
    ]
}

/// Numbers for x, gates and weights, in f64.
fn given(sizes: [usize; 5]) -> [Tensor; 4] {
    let mut seed = 10;
    shapes(sizes).map(|shape| {
        seed += 1;
        random(&shape, DType::F64, seed).unwrap()
    })
}

fn experts(ops: Ops, x: &[Tensor], routing: &Arc<Routing>) -> Result<Tensor> {
    ops.experts(&x[0], &x[1], [&x[2], &x[3]], routing)
}

fn near(one: &Tensor, other: &Tensor) {
    let (one, other) = (flat(one).unwrap(), flat(other).unwrap());
    let off = one.iter().zip(&other).map(|(a, b)| (a - b).abs());
    let off = off.fold(0.0, f64::max);
    assert!(
        off < 1e-12 && one.len() == other.len(),
        "{off}: {one:?} {other:?}"
    );
}

/// The choice is held fixed: the gradient is that along directions that change no choice.
#[test]
fn gradients_are_right() {
    for sizes in [[5, 3, 2, 4, 2], [3, 4, 3, 2, 2], [2, 3, 2, 3, 1]] {
        let [n, .., count, chosen] = sizes;
        let (shapes, routing) = (shapes(sizes), routing(n, count, chosen));
        let shapes = shapes.each_ref().map(Vec::as_slice);
        check(&shapes, |ops, x| experts(ops, x, &routing));
        for score in [Score::Sigmoid, Score::Softmax] {
            // One gate is the factor, whatever the logits.
            if chosen > 1 {
                check(&[&[n, count]], |ops, x| {
                    ops.expert_gates(&x[0], &routing, score, 2.5)
                });
            }
        }
    }
    let routing = routing(300, 6, 2);
    let shapes = shapes([300, 40, 24, 6, 2]);
    let shapes = shapes.each_ref().map(Vec::as_slice);
    agrees(&shapes, |ops, x| experts(ops, x, &routing));
}

proptest! {
    #![proptest_config(odd_shapes())]
    #[test]
    fn any_shape(
        n in 1..90usize, c in 1..30usize, f in 1..30usize, count in 1..9usize, part in 0.0..1.0,
    ) {
        let chosen = 1 + (part * count as f64) as usize;
        let (routing, shapes) = (routing(n, count, chosen), shapes([n, c, f, count, chosen]));
        let shapes = shapes.each_ref().map(Vec::as_slice);
        agrees(&shapes, |ops, x| experts(ops, x, &routing));
    }
}

#[test]
fn gates_weigh_the_chosen_and_sum_to_the_factor() -> Result<()> {
    let logits = Tensor::new(&[[0.0f64, 3f64.ln(), -9.0]], &Device::Cpu)?;
    for (score, weights) in [
        // 1/2 and 3/4 of their sum; 1 and 3 of theirs.
        (Score::Sigmoid, [1.0, 1.5]),
        (Score::Softmax, [0.625, 1.875]),
    ] {
        let routing = Arc::new(Routing::top(score, &logits, None, 2)?);
        for ops in [Ops::fused(), Ops::reference()] {
            let gates = ops.expert_gates(&logits, &routing, score, 2.5)?;
            near(&gates, &Tensor::new(&[weights], &Device::Cpu)?);
        }
    }
    Ok(())
}

/// One expert is a dense layer, and all of them with equal gates are their mean.
#[test]
fn all_experts_are_the_mean_of_dense_layers() -> Result<()> {
    for count in [1, 3] {
        let [n, c, f] = [7, 5, 4];
        let [x, _, up, down] = given([n, c, f, count, count]);
        let gates = (Tensor::ones((n, count), DType::F64, &Device::Cpu)? / count as f64)?;
        let mut mean = x.zeros_like()?;
        let ops = Ops::fused();
        for e in 0..count {
            let gate_up = ops.linear(&x, &up.narrow(0, e * 2 * f, 2 * f)?, None)?;
            let hidden = ops.swiglu(&gate_up)?;
            let given = ops.linear(&hidden, &down.narrow(0, e * c, c)?, None)?;
            mean = (mean + (given / count as f64)?)?;
        }
        let y = experts(ops, &[x, gates, up, down], &routing(n, count, count))?;
        near(&y, &mean);
    }
    Ok(())
}

/// No row is dropped and none is made twice, forwards and backwards, however uneven the loads are.
#[test]
fn every_token_goes_to_all_of_its_experts() -> Result<()> {
    let [n, c, f, count, chosen] = [50, 6, 4, 5, 2];
    let bias = [9.0, 0.0, 0.0, 0.0, -9.0];
    let logits = random(&[n, count], DType::F32, 5)?;
    let routing = Routing::top(Score::Sigmoid, &logits, Some(&bias), chosen)?;
    let loads = routing.loads();
    assert_eq!(loads.iter().sum::<u64>(), (n * chosen) as u64);
    assert_eq!((loads[0], loads[4]), (n as u64, 0), "{loads:?}");
    let routing = Arc::new(routing);
    let inputs =
        given([n, c, f, count, chosen]).map(|x| candle_core::Var::from_tensor(&x).unwrap());
    let once = (2 * n * chosen * 3 * f * c) as u64;
    let (done, flops) = counted(|| -> Result<Tensor> {
        let ops = Ops::fused();
        let x = inputs.each_ref().map(|x| x.as_detached_tensor());
        experts(ops, &x, &routing)
    })?;
    done?;
    assert_eq!(flops, once);
    let (done, flops) = counted(|| -> Result<()> {
        let ops = Ops::fused();
        let tape = ops.tape();
        let x = inputs.each_ref().map(|x| x.as_tensor().clone());
        let y = experts(ops.on(&tape), &x, &routing)?;
        tape.backward(&y, 1.0)?;
        Ok(())
    })?;
    done?;
    assert_eq!(flops, 3 * once);
    Ok(())
}
