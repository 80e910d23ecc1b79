//! LayerNorm (Ba, Kiros and Hinton 2016, arXiv:1607.06450) and RMSNorm (Zhang and Sennrich 2019, arXiv:1910.07467).
//!
//! `y = gain * n + bias` with `n = (x - mean) * r` and `r = 1 / sqrt(var + eps)`; RMSNorm leaves the mean out: `n = x * r` with
//! `r = 1 / sqrt(mean(x^2) + eps)`. Backwards, with `h = g * gain`: `dx = r * (h - mean(h) - n * mean(h * n))`, for RMSNorm
//! without `mean(h)`; `dgain` sums `g * n` and `dbias` sums `g` over the rows. The backward pass computes mean and r anew: the
//! row has to be read in any case, and nothing has to be kept.

pub(super) mod gpu;

use super::cpu::real::{Real, typed};
use super::cpu::rows::{build, build_and_sum, numbers, tensor, with_numbers};
use super::cpu::simd::{dot, dot3, fold, simd, sum};
use super::tape::{Tape, apply2, apply3};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, D, Layout, Result, Shape, Tensor, bail};
use std::marker::PhantomData;

/// Whether the mean is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Layer,
    Rms,
}

pub(super) fn reference(
    kind: Kind,
    x: &Tensor,
    gain: &Tensor,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    let eps = eps as f32;
    match (kind, bias) {
        (Kind::Layer, Some(bias)) => candle_nn::ops::layer_norm_slow(x, gain, bias, eps),
        (Kind::Layer, None) => {
            candle_nn::ops::rms_norm_slow(&x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?, gain, eps)
        }
        (Kind::Rms, _) => candle_nn::ops::rms_norm_slow(x, gain, eps),
    }
}

pub(super) fn fused(
    tape: Option<&Tape>,
    (kind, eps): (Kind, f64),
    x: &Tensor,
    gain: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let (_, width) = x.dims2()?;
    if gain.dims() != [width] || bias.is_some_and(|bias| bias.dims() != [width]) {
        let bias = bias.map(Tensor::shape);
        bail!(
            "a norm of {:?} cannot have gain {:?} and bias {bias:?}",
            x.shape(),
            gain.shape()
        );
    }
    let (x, gain) = (x.contiguous()?, gain.contiguous()?);
    typed!(x, F => {
        let op = Norm::<F> { kind, eps, numbers: PhantomData };
        match bias {
            Some(bias) => apply3(tape, op, [&x, &gain, &bias.contiguous()?]),
            None => apply2(tape, op, [&x, &gain]),
        }
    })
}

struct Norm<F> {
    kind: Kind,
    eps: f64,
    numbers: PhantomData<F>,
}

/// Mean (0 for RMSNorm) and 1 / sqrt(var + eps) of a row.
#[inline(always)]
fn moments<F: Real>(kind: Kind, x: &[F], eps: F) -> (F, F) {
    let width = F::of(x.len() as f64);
    let mean = match kind {
        Kind::Layer => sum(x) / width,
        Kind::Rms => F::ZERO,
    };
    let squares = fold(x, F::ZERO, |s, x| s + (x - mean) * (x - mean), |a, b| a + b);
    (mean, F::ONE / (squares / width + eps).sqrt())
}

simd! {
    /// Some rows of the output; the bias may be empty.
    fn forward<S, F>(kind: Kind, eps: F, x: &[F], gain: &[F], bias: &[F], y: &mut [F]) {
        let width = gain.len();
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            let (mean, r) = moments(kind, x, eps);
            if bias.is_empty() {
                for ((y, &x), &gain) in y.iter_mut().zip(x).zip(gain) {
                    *y = (x - mean) * r * gain;
                }
            } else {
                for (((y, &x), &gain), &bias) in y.iter_mut().zip(x).zip(gain).zip(bias) {
                    *y = ((x - mean) * r).fma::<S>(gain, bias);
                }
            }
        }
    }
}

simd! {
    /// One row: `dx` is written; `sums`, the gradients of gain and (unless it ends there) bias, are added to.
    fn backward<S, F>(
        kind: Kind,
        eps: F,
        x: &[F],
        gain: &[F],
        g: &[F],
        dx: &mut [F],
        sums: &mut [F],
    ) {
        let (dgain, dbias) = sums.split_at_mut(x.len());
        let width = F::of(x.len() as f64);
        let (mean, r) = moments(kind, x, eps);
        // dx holds n until its mean with h is known.
        for ((n, &x), (dgain, &g)) in dx.iter_mut().zip(x).zip(dgain.iter_mut().zip(g)) {
            *n = (x - mean) * r;
            *dgain = g.fma::<S>(*n, *dgain);
        }
        for (dbias, &g) in dbias.iter_mut().zip(g) {
            *dbias += g;
        }
        let mean_h = match kind {
            Kind::Layer => dot::<S, F>(g, gain) / width,
            Kind::Rms => F::ZERO,
        };
        let mean_hn = dot3::<S, F>(g, gain, dx) / width;
        for ((dx, &g), &gain) in dx.iter_mut().zip(g).zip(gain) {
            *dx = r * (g * gain - mean_h - *dx * mean_hn);
        }
    }
}

impl<F: Real> Norm<F> {
    fn apply(&self, x: &[F], gain: &[F], bias: &[F], shape: &Shape) -> (CpuStorage, Shape) {
        let width = gain.len();
        let y = build(x.len() / width, width, |first, y| {
            let x = &x[first * width..][..y.len()];
            forward(self.kind, F::of(self.eps), x, gain, bias, y);
        });
        (F::to_cpu_storage_owned(y), shape.clone())
    }

    /// The gradients of x, gain and bias from one pass; that of bias is empty if there is none.
    fn gradients(
        &self,
        x: &Tensor,
        gain: &Tensor,
        g: &Tensor,
        with_bias: bool,
    ) -> Result<(Tensor, Tensor, Vec<F>)> {
        let (n, width) = x.dims2()?;
        let (dx, mut dgain) = with_numbers::<F, _, 3>([x, gain, g], |[x, gain, g]| {
            build_and_sum(
                n,
                width,
                if with_bias { 2 * width } else { width },
                |i, dx, sums| {
                    let at = i * width..(i + 1) * width;
                    backward(
                        self.kind,
                        F::of(self.eps),
                        &x[at.clone()],
                        gain,
                        &g[at],
                        dx,
                        sums,
                    );
                },
            )
        })?;
        let dbias = dgain.split_off(width);
        Ok((tensor(dx, (n, width))?, tensor(dgain, width)?, dbias))
    }
}

impl<F: Real> CustomOp2 for Norm<F> {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        gain: &CpuStorage,
        lg: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(self.apply(numbers(x, lx)?, numbers(gain, lg)?, &[], lx.shape()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gain: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dgain, _) = self.gradients(x, gain, &g.contiguous()?, false)?;
        Ok((Some(dx), Some(dgain)))
    }
}

impl<F: Real> CustomOp3 for Norm<F> {
    fn name(&self) -> &'static str {
        "norm with bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        gain: &CpuStorage,
        lg: &Layout,
        bias: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(self.apply(
            numbers(x, lx)?,
            numbers(gain, lg)?,
            numbers(bias, lb)?,
            lx.shape(),
        ))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gain: &Tensor,
        _bias: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dgain, dbias) = self.gradients(x, gain, &g.contiguous()?, true)?;
        let width = dbias.len();
        Ok((Some(dx), Some(dgain), Some(tensor(dbias, width)?)))
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::check::{agrees, check, odd_shapes};
    use proptest::prelude::*;

    const EPS: f64 = 1e-5;

    #[test]
    fn gradients_are_right() {
        check(&[&[3, 7], &[7], &[7]], |ops, x| {
            ops.layer_norm(&x[0], &x[1], Some(&x[2]), EPS)
        });
        check(&[&[3, 40], &[40]], |ops, x| {
            ops.layer_norm(&x[0], &x[1], None, EPS)
        });
        check(&[&[3, 40], &[40]], |ops, x| ops.rms_norm(&x[0], &x[1], EPS));
        check(&[&[7, 3], &[7]], |ops, x| {
            ops.rms_norm(&x[0].t()?, &x[1], EPS)
        });
        agrees(&[&[300, 150], &[150], &[150]], |ops, x| {
            ops.layer_norm(&x[0], &x[1], Some(&x[2]), EPS)
        });
        agrees(&[&[300, 150], &[150]], |ops, x| {
            ops.rms_norm(&x[0], &x[1], EPS)
        });
    }

    proptest! {
        #![proptest_config(odd_shapes())]
        #[test]
        fn any_shape(n in 1..150usize, c in 8..200usize) {
            agrees(&[&[n, c], &[c], &[c]], |ops, x| ops.layer_norm(&x[0], &x[1], Some(&x[2]), EPS));
            agrees(&[&[n, c], &[c]], |ops, x| ops.rms_norm(&x[0], &x[1], EPS));
        }
    }
}
