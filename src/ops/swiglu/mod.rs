//! SwiGLU (Shazeer 2020, arXiv:2002.05202): `y = silu(gate) * up` with `silu(x) = x * sigmoid(x)`, of packed columns
//! `[gate | up]`, so that one matrix product makes both. Backwards, with `s = sigmoid(gate)`:
//! `dgate = g * up * s * (1 + gate * (1 - s))`, `dup = g * gate * s`.

pub(super) mod gpu;

use super::cpu::real::{Real, typed};
use super::cpu::rows::{build, numbers, tensor, with_numbers};
use super::cpu::simd::simd;
use super::tape::{Tape, apply1};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use std::marker::PhantomData;

pub(super) fn reference(gate_up: &Tensor) -> Result<Tensor> {
    let width = half(gate_up)?;
    gate_up.narrow(1, 0, width)?.silu()? * gate_up.narrow(1, width, width)?
}

pub(super) fn fused(tape: Option<&Tape>, gate_up: &Tensor) -> Result<Tensor> {
    half(gate_up)?;
    typed!(gate_up, F => apply1(tape, SwiGlu::<F>(PhantomData), &gate_up.contiguous()?))
}

fn half(gate_up: &Tensor) -> Result<usize> {
    match gate_up.dims2()? {
        (_, packed) if packed.is_multiple_of(2) => Ok(packed / 2),
        (_, packed) => bail!("gate and up cannot share {packed} columns"),
    }
}

simd! {
    fn forward<S, F>(width: usize, gate_up: &[F], y: &mut [F]) {
        for (packed, y) in gate_up.chunks_exact(2 * width).zip(y.chunks_exact_mut(width)) {
            let (gate, up) = packed.split_at(width);
            for ((y, &gate), &up) in y.iter_mut().zip(gate).zip(up) {
                *y = gate * gate.sigmoid::<S>() * up;
            }
        }
    }
}

simd! {
    fn backward<S, F>(width: usize, gate_up: &[F], g: &[F], d: &mut [F]) {
        let rows = gate_up.chunks_exact(2 * width).zip(g.chunks_exact(width));
        let rows = rows.zip(d.chunks_exact_mut(2 * width));
        for ((packed, g), d) in rows {
            let (gate, up) = packed.split_at(width);
            let (dgate, dup) = d.split_at_mut(width);
            let slopes = dgate.iter_mut().zip(dup);
            for (((&gate, &up), &g), (dgate, dup)) in gate.iter().zip(up).zip(g).zip(slopes) {
                let s = gate.sigmoid::<S>();
                *dgate = g * up * s * gate.fma::<S>(F::ONE - s, F::ONE);
                *dup = g * gate * s;
            }
        }
    }
}

struct SwiGlu<F>(PhantomData<F>);

impl<F: Real> CustomOp1 for SwiGlu<F> {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(&self, gate_up: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, packed) = layout.shape().dims2()?;
        let (gate_up, width) = (numbers::<F>(gate_up, layout)?, packed / 2);
        let y = build(n, width, |i, y| {
            forward(width, &gate_up[i * packed..][..2 * y.len()], y)
        });
        Ok((F::to_cpu_storage_owned(y), Shape::from((n, width))))
    }

    fn bwd(&self, gate_up: &Tensor, _y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let (n, packed) = gate_up.dims2()?;
        let width = packed / 2;
        let d = with_numbers::<F, _, 2>([gate_up, &g.contiguous()?], |[gate_up, g]| {
            build(n, packed, |i, d| {
                backward(
                    width,
                    &gate_up[i * packed..][..d.len()],
                    &g[i * width..][..d.len() / 2],
                    d,
                );
            })
        })?;
        Ok(Some(tensor(d, (n, packed))?))
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::check::{agrees, check, odd_shapes};
    use proptest::prelude::*;

    #[test]
    fn gradients_are_right() {
        check(&[&[3, 10]], |ops, x| ops.swiglu(&(&x[0] * 3.0)?));
        check(&[&[10, 3]], |ops, x| ops.swiglu(&x[0].t()?));
        agrees(&[&[301, 300]], |ops, x| ops.swiglu(&x[0]));
    }

    proptest! {
        #![proptest_config(odd_shapes())]
        #[test]
        fn any_shape(n in 1..150usize, f in 1..100usize) {
            agrees(&[&[n, 2 * f]], |ops, x| ops.swiglu(&x[0]));
        }
    }
}
