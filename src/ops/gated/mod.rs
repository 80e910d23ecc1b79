//! Gated activations (Shazeer 2020, arXiv:2002.05202) of packed columns `[gate | up]`, so that one matrix product makes both:
//! `y = f(gate) * up`, backwards `dgate = g * up * f'(gate)`, `dup = g * f(gate)`.
//!
//! SwiGLU has `f = silu(x) = x s` with `s = sigmoid(x)`, whose slope is `s (1 + x (1 - s))`; GEGLU has GELU.

pub(super) mod gpu;

use super::activation::{Curve, Gelu};
use super::cpu::isa::Isa;
use super::cpu::real::{Real, typed};
use super::cpu::rows::{build, numbers, tensor, with_numbers};
use super::cpu::simd::simd;
use super::tape::{Tape, apply1};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use std::marker::PhantomData;

pub(super) fn reference(
    gate_up: &Tensor,
    gate: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let width = half(gate_up)?;
    gate(&gate_up.narrow(1, 0, width)?)? * gate_up.narrow(1, width, width)?
}

pub(super) fn fused<G: Gate>(tape: Option<&Tape>, gate: G, gate_up: &Tensor) -> Result<Tensor> {
    half(gate_up)?;
    typed!(gate_up, F => apply1(tape, Gated::<G, F>(gate, PhantomData), &gate_up.contiguous()?))
}

fn half(gate_up: &Tensor) -> Result<usize> {
    match gate_up.dims2()? {
        (_, packed) if packed.is_multiple_of(2) => Ok(packed / 2),
        (_, packed) => bail!("gate and up cannot share {packed} columns"),
    }
}

/// What a gate lets through.
pub(super) trait Gate: Copy + Send + Sync + 'static {
    const NAME: &'static str;
    /// `f(gate) up`.
    fn through<S: Isa, F: Real>(self, gate: F, up: F) -> F;
    /// Its slopes along gate and up, times g.
    fn slopes<S: Isa, F: Real>(self, gate: F, up: F, g: F) -> (F, F);
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Silu;

impl Gate for Silu {
    const NAME: &'static str = "swiglu";

    #[inline(always)]
    fn through<S: Isa, F: Real>(self, gate: F, up: F) -> F {
        gate * gate.sigmoid::<S>() * up
    }

    #[inline(always)]
    fn slopes<S: Isa, F: Real>(self, gate: F, up: F, g: F) -> (F, F) {
        let s = gate.sigmoid::<S>();
        (g * up * s * gate.fma::<S>(F::ONE - s, F::ONE), g * gate * s)
    }
}

impl Gate for Gelu {
    const NAME: &'static str = "geglu";

    #[inline(always)]
    fn through<S: Isa, F: Real>(self, gate: F, up: F) -> F {
        self.value::<S, F>(gate) * up
    }

    #[inline(always)]
    fn slopes<S: Isa, F: Real>(self, gate: F, up: F, g: F) -> (F, F) {
        (
            g * up * self.grad::<S, F>(gate),
            g * self.value::<S, F>(gate),
        )
    }
}

simd! {
    pub(super) fn forward<S, F, G: Gate>(gate: G, width: usize, gate_up: &[F], y: &mut [F]) {
        for (packed, y) in gate_up.chunks_exact(2 * width).zip(y.chunks_exact_mut(width)) {
            let (gates, up) = packed.split_at(width);
            for ((y, &x), &up) in y.iter_mut().zip(gates).zip(up) {
                *y = gate.through::<S, F>(x, up);
            }
        }
    }
}

simd! {
    pub(super) fn backward<S, F, G: Gate>(
        gate: G, width: usize, gate_up: &[F], g: &[F], d: &mut [F],
    ) {
        let rows = gate_up.chunks_exact(2 * width).zip(g.chunks_exact(width));
        let rows = rows.zip(d.chunks_exact_mut(2 * width));
        for ((packed, g), d) in rows {
            let (gates, up) = packed.split_at(width);
            let (dgate, dup) = d.split_at_mut(width);
            let slopes = dgate.iter_mut().zip(dup);
            for (((&x, &up), &g), (dgate, dup)) in gates.iter().zip(up).zip(g).zip(slopes) {
                (*dgate, *dup) = gate.slopes::<S, F>(x, up, g);
            }
        }
    }
}

struct Gated<G, F>(G, PhantomData<F>);

impl<G: Gate, F: Real> CustomOp1 for Gated<G, F> {
    fn name(&self) -> &'static str {
        G::NAME
    }

    fn cpu_fwd(&self, gate_up: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, packed) = layout.shape().dims2()?;
        let (gate_up, width) = (numbers::<F>(gate_up, layout)?, packed / 2);
        let y = build(n, width, |i, y| {
            forward(self.0, width, &gate_up[i * packed..][..2 * y.len()], y)
        });
        Ok((F::to_cpu_storage_owned(y), Shape::from((n, width))))
    }

    fn bwd(&self, gate_up: &Tensor, _y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let (n, packed) = gate_up.dims2()?;
        let width = packed / 2;
        let d = with_numbers::<F, _, 2>([gate_up, &g.contiguous()?], |[gate_up, g]| {
            build(n, packed, |i, d| {
                backward(
                    self.0,
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
        check(&[&[3, 10]], |ops, x| ops.geglu(&(&x[0] * 3.0)?));
        agrees(&[&[301, 300]], |ops, x| ops.swiglu(&x[0]));
        agrees(&[&[301, 300]], |ops, x| ops.geglu(&x[0]));
    }

    proptest! {
        #![proptest_config(odd_shapes())]
        #[test]
        fn any_shape(n in 1..150usize, f in 1..100usize) {
            agrees(&[&[n, 2 * f]], |ops, x| ops.swiglu(&x[0]));
            agrees(&[&[n, 2 * f]], |ops, x| ops.geglu(&x[0]));
        }
    }
}
