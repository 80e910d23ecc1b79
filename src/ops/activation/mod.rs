//! Functions of one number: GELU, ReLU, its square, the soft cap on logits, and a constant factor. Each says its value and its gradient; the rest is shared.
//!
//! GELU (Hendrycks and Gimpel 2016, arXiv:1606.08415) in the tanh form of GPT-2,
//! `0.5 x (1 + tanh(u))` with `u = sqrt(2 / pi) (x + 0.044715 x^3)`, which is `x * sigmoid(2u)`: one exponential.
//! The square of ReLU is Primer's (So et al. 2021, arXiv:2109.08668). The soft cap `cap * tanh(x / cap)` is Gemma 2's (2024, arXiv:2408.00118).

pub(super) mod gpu;

use super::cpu::isa::Isa;
use super::cpu::real::{Real, typed};
use super::cpu::rows::{build, numbers, tensor, with_numbers};
use super::cpu::simd::simd;
use super::tape::{Tape, apply1};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use std::marker::PhantomData;

pub(super) fn gelu_reference(x: &Tensor) -> Result<Tensor> {
    x.gelu()
}

pub(super) fn relu_reference(x: &Tensor) -> Result<Tensor> {
    x.relu()
}

pub(super) fn relu2_reference(x: &Tensor) -> Result<Tensor> {
    x.relu()?.sqr()
}

pub(super) fn softcap_reference(x: &Tensor, cap: f64) -> Result<Tensor> {
    (x / cap)?.tanh()? * cap
}

pub(super) fn fused<C: Curve>(tape: Option<&Tape>, curve: C, x: &Tensor) -> Result<Tensor> {
    typed!(x, F => apply1(tape, Pointwise::<C, F>(curve, PhantomData), &x.contiguous()?))
}

/// A differentiable function of one number.
pub(super) trait Curve: Copy + Send + Sync + 'static {
    const NAME: &'static str;
    fn value<S: Isa, F: Real>(self, x: F) -> F;
    fn grad<S: Isa, F: Real>(self, x: F) -> F;
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Gelu;

impl Gelu {
    /// 2u = x (A + B x^2).
    const A: f64 = 1.595_769_121_605_730_7;
    const B: f64 = 0.044_715 * Self::A;
}

impl Curve for Gelu {
    const NAME: &'static str = "gelu";

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, x: F) -> F {
        x * (x * (x * x).fma::<S>(F::of(Self::B), F::of(Self::A))).sigmoid::<S>()
    }

    #[inline(always)]
    fn grad<S: Isa, F: Real>(self, x: F) -> F {
        let s = (x * (x * x).fma::<S>(F::of(Self::B), F::of(Self::A))).sigmoid::<S>();
        let inner = (x * x).fma::<S>(F::of(3.0 * Self::B), F::of(Self::A));
        (x * s * (F::ONE - s)).fma::<S>(inner, s)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Relu;

impl Curve for Relu {
    const NAME: &'static str = "relu";

    /// NaN stays NaN: divergence must be seen.
    #[inline(always)]
    fn value<S: Isa, F: Real>(self, x: F) -> F {
        if x < F::ZERO { F::ZERO } else { x }
    }

    #[inline(always)]
    fn grad<S: Isa, F: Real>(self, x: F) -> F {
        if x > F::ZERO { F::ONE } else { F::ZERO }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Relu2;

impl Curve for Relu2 {
    const NAME: &'static str = "relu2";

    /// NaN stays NaN.
    #[inline(always)]
    fn value<S: Isa, F: Real>(self, x: F) -> F {
        if x < F::ZERO { F::ZERO } else { x * x }
    }

    #[inline(always)]
    fn grad<S: Isa, F: Real>(self, x: F) -> F {
        if x > F::ZERO { x + x } else { F::ZERO }
    }
}

/// The cap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Softcap(pub f64);

impl Curve for Softcap {
    const NAME: &'static str = "softcap";

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, x: F) -> F {
        F::of(self.0) * (x * F::of(1.0 / self.0)).tanh::<S>()
    }

    #[inline(always)]
    fn grad<S: Isa, F: Real>(self, x: F) -> F {
        let y = (x * F::of(1.0 / self.0)).tanh::<S>();
        F::ONE - y * y
    }
}

/// The factor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale(pub f64);

impl Curve for Scale {
    const NAME: &'static str = "scale";

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, x: F) -> F {
        x * F::of(self.0)
    }

    #[inline(always)]
    fn grad<S: Isa, F: Real>(self, _x: F) -> F {
        F::of(self.0)
    }
}

simd! {
    fn values<S, F, C: Curve>(curve: C, x: &[F], y: &mut [F]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = curve.value::<S, F>(x);
        }
    }
}

simd! {
    fn gradients<S, F, C: Curve>(curve: C, x: &[F], g: &[F], dx: &mut [F]) {
        for ((dx, &x), &g) in dx.iter_mut().zip(x).zip(g) {
            *dx = g * curve.grad::<S, F>(x);
        }
    }
}

struct Pointwise<C, F>(C, PhantomData<F>);

impl<C: Curve, F: Real> CustomOp1 for Pointwise<C, F> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = numbers::<F>(x, layout)?;
        let y = build(x.len(), 1, |i, y| values(self.0, &x[i..][..y.len()], y));
        Ok((F::to_cpu_storage_owned(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let dx = with_numbers::<F, _, 2>([x, &g.contiguous()?], |[x, g]| {
            build(x.len(), 1, |i, dx| {
                gradients(self.0, &x[i..][..dx.len()], &g[i..][..dx.len()], dx)
            })
        })?;
        Ok(Some(tensor(dx, x.shape())?))
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::Ops;
    use crate::ops::check::{agrees, check};
    use candle_core::{Device, Result, Tensor};

    #[test]
    fn gradients_are_right() {
        for shapes in [&[3usize, 5], &[1, 67]] {
            check(&[shapes], |ops, x| ops.gelu(&(&x[0] * 3.0)?));
            check(&[shapes], |ops, x| ops.relu(&x[0]));
            check(&[shapes], |ops, x| ops.relu2(&x[0]));
            check(&[shapes], |ops, x| ops.softcap(&(&x[0] * 10.0)?, 5.0));
            check(&[shapes], |ops, x| ops.scale(&x[0], 0.3));
            check(&[shapes], |ops, x| ops.gelu(&x[0].t()?));
        }
        agrees(&[&[301, 150]], |ops, x| ops.gelu(&x[0]));
        agrees(&[&[301, 150]], |ops, x| ops.relu(&x[0]));
        agrees(&[&[301, 150]], |ops, x| ops.relu2(&x[0]));
        agrees(&[&[301, 150]], |ops, x| ops.softcap(&x[0], 0.7));
        agrees(&[&[301, 150]], |ops, x| ops.scale(&x[0], -4.0));
    }

    #[test]
    fn nothing_hides_a_nan_and_large_numbers_stay_finite() -> Result<()> {
        let x = Tensor::new(&[f32::NAN, -1e4, 1e4], &Device::Cpu)?;
        let ops = Ops::fused();
        for (name, y, last) in [
            ("gelu", ops.gelu(&x)?, 1e4),
            ("relu", ops.relu(&x)?, 1e4),
            ("relu2", ops.relu2(&x)?, 1e8),
            ("softcap", ops.softcap(&x, 30.0)?, 30.0),
        ] {
            let y = y.to_vec1::<f32>()?;
            assert!(
                y[0].is_nan() && y[1].is_finite() && y[2] == last,
                "{name}: {y:?}"
            );
        }
        Ok(())
    }
}
