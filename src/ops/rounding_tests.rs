//! Products of factors rounded to bf16 on a CPU: forwards and backwards what products of the rounded numbers are, whatever the unit,
//! the threads, and what was packed before.

use super::check::{distance, flat, gradients, random, targets};
use super::{Axes, Factors, Narrowed, Ops, Routing, Score};
use candle_core::{DType, Result, Tensor, Var};
use std::sync::Arc;

/// Rounded to bf16, in f64.
fn rounded(x: &Tensor) -> Result<Tensor> {
    x.to_dtype(DType::F32)?
        .to_dtype(DType::BF16)?
        .to_dtype(DType::F64)
}

fn vars(shapes: &[&[usize]]) -> Result<Vec<Var>> {
    let each = shapes.iter().zip(1..);
    each.map(|(shape, seed)| Var::from_tensor(&random(shape, DType::F32, seed)?))
        .collect()
}

fn bf16() -> Ops<'static> {
    Ops::fused().with_factors(Factors::Bf16)
}

#[test]
fn a_linear_map_and_its_gradients_are_products_of_rounded_factors() -> Result<()> {
    let (n, k, m) = (70, 45, 50);
    let inputs = vars(&[&[n, k], &[m, k], &[m]])?;
    let run = |ops: Ops, x: &[Tensor]| ops.linear(&x[0], &x[1], Some(&x[2]));
    let seen = gradients(bf16(), &inputs, &run)?;
    let [x, w] = [rounded(&inputs[0])?, rounded(&inputs[1])?];
    let g = random(&[n, m], DType::F32, 99)?;
    let (g, sums) = (rounded(&g)?, g.to_dtype(DType::F64)?.sum(0)?);
    let bias = inputs[2].to_dtype(DType::F64)?;
    let truth = [
        x.matmul(&w.t()?)?.broadcast_add(&bias)?,
        g.matmul(&w)?,
        g.t()?.matmul(&x)?,
        sums,
    ];
    for (seen, truth) in seen.iter().zip(&truth) {
        let far = distance(&flat(seen)?, &flat(truth)?);
        assert!(far < 1e-6, "{far:e}");
    }
    Ok(())
}

/// An operation with inputs of given shapes, and how far rounding takes it from f32's at most.
type Case = (Vec<&'static [usize]>, fn(Ops, &[Tensor]) -> Result<Tensor>);

fn cases() -> Vec<Case> {
    fn axes() -> Axes {
        Axes {
            batch: 2,
            time: 80,
            heads: 2,
            kv_heads: 1,
            head_width: 24,
            value_width: None,
            scale: None,
            window: None,
        }
    }
    vec![
        (vec![&[70, 45], &[50, 45], &[50]], |ops, x| {
            ops.linear(&x[0], &x[1], Some(&x[2]))
        }),
        (vec![&[160, 96]], |ops, x| {
            ops.causal_attention(&x[0], axes())
        }),
        (vec![&[90, 40], &[130, 40]], |ops, x| {
            ops.head_loss(&x[0], &x[1], &targets(90, 130)?, 0.1)?
                .sum_all()
        }),
        (
            vec![&[80, 33], &[80, 2], &[3 * 2 * 40, 33], &[3 * 33, 40]],
            |ops, x| {
                let logits = random(&[80, 3], DType::F32, 7)?;
                let routing = Arc::new(Routing::top(Score::Softmax, &logits, None, 2)?);
                ops.experts(&x[0], &x[1], [&x[2], &x[3]], &routing)
            },
        ),
    ]
}

#[test]
fn rounding_changes_an_operation_by_what_bf16_holds_and_no_other_thing_does() -> Result<()> {
    for (i, (shapes, run)) in cases().into_iter().enumerate() {
        let inputs = vars(&shapes)?;
        let full = gradients(Ops::fused(), &inputs, &run)?;
        let alone = || gradients(bf16(), &inputs, &run);
        let seen = alone()?;
        for (j, (seen, full)) in seen.iter().zip(&full).enumerate() {
            let far = distance(&flat(seen)?, &flat(full)?);
            // The gradient of a bias is a sum, and is not rounded.
            let least = if j == 0 { 1e-7 } else { 0.0 };
            assert!((least..0.02).contains(&far), "case {i}, {j}: {far:e}");
        }
        let kept = Narrowed::default();
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        for other in [
            gradients(bf16().keeping(&kept), &inputs, &run)?,
            gradients(bf16().keeping(&kept), &inputs, &run)?,
            pool(1).unwrap().install(alone)?,
            pool(3).unwrap().install(alone)?,
        ] {
            for (seen, other) in seen.iter().zip(&other) {
                assert_eq!(flat(seen)?, flat(other)?, "case {i}");
            }
        }
    }
    Ok(())
}

#[test]
fn numbers_of_f64_are_never_rounded() -> Result<()> {
    let [x, w] = [(70, 45), (50, 45)].map(|shape| random(&[shape.0, shape.1], DType::F64, 3));
    let (x, w) = (x?, w?);
    let of = |ops: Ops| flat(&ops.linear(&x, &w, None)?);
    assert_eq!(of(bf16())?, of(Ops::fused())?);
    Ok(())
}
