//! Value embeddings: to each value head of attention's packed input a vector of the token itself is added, by a gate between 0 and 3,
//! `v += 3 sigmoid(gate) e` (Karpathy 2025, nanochat; Zhou et al. 2024, arXiv:2410.17897, add the first layer's values instead).
//!
//! Backwards, with `s = 3 sigmoid(gate)`: the gradient of the packed input passes, `de = s dv`, and `dgate` sums
//! `dv e s (1 - s / 3)` over a head.

use super::axes::Axes;
use super::cpu::real::{Real, typed};
use super::cpu::rows::{build, numbers, tensor, with_numbers};
use super::cpu::simd::{dot, simd};
use super::tape::{Tape, apply3};
use super::unaided::Unaided;
use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, bail};
use std::marker::PhantomData;

/// What a gate that is wide open lets through.
const MOST: f64 = 3.0;

/// Adds to each value head of attention's packed input a vector of the token by a gate: packed input, vectors (N, KV D of values) and
/// gates (N, KV) to the packed input's shape.
pub struct TokenValues(pub Axes);

impl Unaided<3> for TokenValues {
    fn check(&self, [qkv, values, gates]: [&Tensor; 3]) -> Result<()> {
        let axes = self.0;
        axes.check(qkv)?;
        let (rows, heads) = (axes.rows(), axes.kv_heads);
        if values.dims() != [rows, heads * axes.of_values()] || gates.dims() != [rows, heads] {
            bail!(
                "values {:?} and gates {:?} of tokens do not fit {axes:?}",
                values.shape(),
                gates.shape()
            );
        }
        Ok(())
    }

    fn reference(&self, [qkv, values, gates]: [&Tensor; 3]) -> Result<Tensor> {
        let axes = self.0;
        let (rows, heads, before) = (axes.rows(), axes.kv_heads, axes.before_values());
        let (width, all) = (axes.of_values(), heads * axes.of_values());
        // 3 / (1 + exp(-x)), in the form that does not overflow.
        let open = (((gates * 0.5)?.tanh()? + 1.0)? * (0.5 * MOST))?;
        let more = values
            .reshape((rows, heads, width))?
            .broadcast_mul(&open.reshape((rows, heads, 1))?)?
            .reshape((rows, all))?;
        let sum = (qkv.narrow(1, before, all)? + more)?;
        Tensor::cat(&[&qkv.narrow(1, 0, before)?, &sum], D::Minus1)
    }

    fn fused(&self, tape: Option<&Tape>, [qkv, values, gates]: [&Tensor; 3]) -> Result<Tensor> {
        let axes = self.0;
        let inputs = [qkv.contiguous()?, values.contiguous()?, gates.contiguous()?];
        typed!(inputs[0], F => {
            let op = Values::<F> { axes, numbers: PhantomData };
            apply3(tape, op, inputs.each_ref())
        })
    }
}

struct Values<F> {
    axes: Axes,
    numbers: PhantomData<F>,
}

simd! {
    /// The values of one row.
    fn add<S, F>(width: usize, values: &[F], gates: &[F], y: &mut [F]) {
        let heads = y.chunks_exact_mut(width).zip(values.chunks_exact(width));
        for ((y, values), &gate) in heads.zip(gates) {
            let open = F::of(MOST) * gate.sigmoid::<S>();
            for (y, &value) in y.iter_mut().zip(values) {
                *y = value.fma::<S>(open, *y);
            }
        }
    }
}

simd! {
    /// The gradient of one row's values, given that of its sum.
    fn back_to_values<S, F>(width: usize, gates: &[F], g: &[F], d: &mut [F]) {
        let heads = d.chunks_exact_mut(width).zip(g.chunks_exact(width));
        for ((d, g), &gate) in heads.zip(gates) {
            let open = F::of(MOST) * gate.sigmoid::<S>();
            for (d, &g) in d.iter_mut().zip(g) {
                *d = g * open;
            }
        }
    }
}

simd! {
    /// That of its gates.
    fn back_to_gates<S, F>(width: usize, values: &[F], gates: &[F], g: &[F], d: &mut [F]) {
        let heads = values.chunks_exact(width).zip(g.chunks_exact(width));
        for ((d, (values, g)), &gate) in d.iter_mut().zip(heads).zip(gates) {
            let s = gate.sigmoid::<S>();
            *d = dot::<S, F>(values, g) * F::of(MOST) * s * (F::ONE - s);
        }
    }
}

impl<F: Real> CustomOp3 for Values<F> {
    fn name(&self) -> &'static str {
        "values of tokens"
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        lq: &Layout,
        values: &CpuStorage,
        lv: &Layout,
        gates: &CpuStorage,
        lg: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let qkv = numbers::<F>(qkv, lq)?;
        let (values, gates) = (numbers::<F>(values, lv)?, numbers::<F>(gates, lg)?);
        let (axes, packed) = (self.axes, self.axes.packed_width());
        let (heads, width) = (axes.kv_heads, axes.of_values());
        let y = build(axes.rows(), packed, |first, block| {
            for (i, y) in block.chunks_exact_mut(packed).enumerate() {
                let row = first + i;
                y.copy_from_slice(&qkv[row * packed..][..packed]);
                let values = &values[row * heads * width..][..heads * width];
                let y = &mut y[axes.before_values()..];
                add(width, values, &gates[row * heads..][..heads], y);
            }
        });
        Ok((F::to_cpu_storage_owned(y), lq.shape().clone()))
    }

    fn bwd(
        &self,
        _qkv: &Tensor,
        values: &Tensor,
        gates: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (axes, packed) = (self.axes, self.axes.packed_width());
        let (heads, width) = (axes.kv_heads, axes.of_values());
        let all = heads * width;
        let given = [values, gates, &g.contiguous()?];
        let [d_values, d_gates] = with_numbers::<F, _, 3>(given, |[values, gates, g]| {
            let of_row = |row: usize| {
                let g = &g[row * packed + axes.before_values()..][..all];
                (g, &gates[row * heads..][..heads])
            };
            let d_values = build(axes.rows(), all, |first, block| {
                for (i, d) in block.chunks_exact_mut(all).enumerate() {
                    let (g, gates) = of_row(first + i);
                    back_to_values(width, gates, g, d);
                }
            });
            let d_gates = build(axes.rows(), heads, |first, block| {
                for (i, d) in block.chunks_exact_mut(heads).enumerate() {
                    let (g, gates) = of_row(first + i);
                    back_to_gates(width, &values[(first + i) * all..][..all], gates, g, d);
                }
            });
            [d_values, d_gates]
        })?;
        Ok((
            Some(g.clone()),
            Some(tensor(d_values, values.shape())?),
            Some(tensor(d_gates, gates.shape())?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Ops;
    use crate::ops::check::{agrees, check};

    #[test]
    fn gradients_are_right() {
        let of = |time, heads, kv_heads, value_width| Axes {
            batch: 2,
            time,
            heads,
            kv_heads,
            head_width: 3,
            value_width,
            scale: None,
            window: None,
        };
        let run = |axes: Axes| {
            move |ops: Ops, x: &[Tensor]| ops.unaided(&TokenValues(axes), [&x[0], &x[1], &x[2]])
        };
        for axes in [of(3, 2, 2, None), of(2, 4, 2, None), of(2, 2, 1, Some(5))] {
            let (rows, heads) = (axes.rows(), axes.kv_heads);
            let values = [rows, heads * axes.of_values()];
            check(
                &[&[rows, axes.packed_width()], &values, &[rows, heads]],
                run(axes),
            );
        }
        let axes = of(150, 6, 3, None);
        let shapes: [&[usize]; 3] = [&[300, axes.packed_width()], &[300, 9], &[300, 3]];
        agrees(&shapes, run(axes));
    }
}
