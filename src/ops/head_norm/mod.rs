//! An RMSNorm (Zhang and Sennrich 2019, arXiv:1910.07467) over each query's and each key's head within the packed input of
//! attention, with one gain of D numbers for all query heads and one for all key heads: QK-norm. Values pass as they are.
//!
//! `y = gain * x * r`, `r = 1 / sqrt(mean(x^2) + eps)` over the D numbers of a head. Backwards as in `norm`: with `h = g * gain` and
//! `n = x * r`, `dx = r * (h - n * mean(h * n))`, and `dgain` sums `g * n` over rows and heads.

pub(super) mod gpu;

use super::axes::Axes;
use super::cpu::real::{Real, typed};
use super::cpu::rows::{build, build_and_sum, numbers, tensor, with_numbers};
use super::cpu::simd::{dot3, fold, simd};
use super::tape::{Tape, apply3};
use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, bail};
use std::marker::PhantomData;

pub(super) fn check(qkv: &Tensor, gains: [&Tensor; 2], axes: Axes) -> Result<()> {
    axes.check(qkv)?;
    for gain in gains {
        if gain.dims() != [axes.head_width] {
            bail!("a gain of {:?} does not fit {axes:?}", gain.shape());
        }
    }
    Ok(())
}

pub(super) fn reference(
    qkv: &Tensor,
    [q_gain, k_gain]: [&Tensor; 2],
    axes: Axes,
    eps: f64,
) -> Result<Tensor> {
    let (rows, d) = (axes.rows(), axes.head_width);
    let part = |first: usize, heads: usize, gain: &Tensor| {
        let x = qkv.narrow(1, first * d, heads * d)?;
        let x = x.reshape((rows, heads, d))?;
        let normed = candle_nn::ops::rms_norm_slow(&x, gain, eps as f32)?;
        normed.reshape((rows, heads * d))
    };
    let parts = [
        part(0, axes.heads, q_gain)?,
        part(axes.heads, axes.kv_heads, k_gain)?,
        qkv.narrow(1, (axes.heads + axes.kv_heads) * d, axes.kv_heads * d)?,
    ];
    Tensor::cat(&parts, D::Minus1)
}

pub(super) fn fused(
    tape: Option<&Tape>,
    qkv: &Tensor,
    [q_gain, k_gain]: [&Tensor; 2],
    axes: Axes,
    eps: f64,
) -> Result<Tensor> {
    let inputs = [
        qkv.contiguous()?,
        q_gain.contiguous()?,
        k_gain.contiguous()?,
    ];
    typed!(inputs[0], F => {
        let op = HeadNorm::<F> { axes, eps, numbers: PhantomData };
        apply3(tape, op, inputs.each_ref())
    })
}

struct HeadNorm<F> {
    axes: Axes,
    eps: f64,
    numbers: PhantomData<F>,
}

/// 1 / sqrt(mean(x^2) + eps).
#[inline(always)]
fn root<F: Real>(x: &[F], eps: F) -> F {
    let squares = fold(x, F::ZERO, |s, x| s + x * x, |a, b| a + b);
    F::ONE / (squares / F::of(x.len() as f64) + eps).sqrt()
}

simd! {
    /// Heads of one row that share a gain.
    fn forward<S, F>(eps: F, x: &[F], gain: &[F], y: &mut [F]) {
        for (x, y) in x.chunks_exact(gain.len()).zip(y.chunks_exact_mut(gain.len())) {
            let r = root(x, eps);
            for ((y, &x), &gain) in y.iter_mut().zip(x).zip(gain) {
                *y = x * r * gain;
            }
        }
    }
}

simd! {
    /// The same heads backwards: `dx` is written, `dgain` added to.
    fn backward<S, F>(eps: F, x: &[F], gain: &[F], g: &[F], dx: &mut [F], dgain: &mut [F]) {
        let d = gain.len();
        let heads = x.chunks_exact(d).zip(g.chunks_exact(d)).zip(dx.chunks_exact_mut(d));
        for ((x, g), dx) in heads {
            let r = root(x, eps);
            for (((n, &x), &g), dgain) in dx.iter_mut().zip(x).zip(g).zip(&mut *dgain) {
                *n = x * r;
                *dgain = g.fma::<S>(*n, *dgain);
            }
            let mean_hn = dot3::<S, F>(g, gain, dx) / F::of(d as f64);
            for ((dx, &g), &gain) in dx.iter_mut().zip(g).zip(gain) {
                *dx = r * (g * gain - *dx * mean_hn);
            }
        }
    }
}

impl<F: Real> HeadNorm<F> {
    /// Where queries end and where keys do, in a row.
    fn ends(&self) -> [usize; 2] {
        let Axes {
            heads,
            kv_heads,
            head_width,
            ..
        } = self.axes;
        [heads * head_width, (heads + kv_heads) * head_width]
    }
}

impl<F: Real> CustomOp3 for HeadNorm<F> {
    fn name(&self) -> &'static str {
        "norm of queries and keys"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        q: &CpuStorage,
        lq: &Layout,
        k: &CpuStorage,
        lk: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, q, k) = (numbers::<F>(x, lx)?, numbers(q, lq)?, numbers(k, lk)?);
        let (packed, [queries, keys]) = (self.axes.packed_width(), self.ends());
        let y = build(self.axes.rows(), packed, |first, block| {
            for (i, y) in block.chunks_exact_mut(packed).enumerate() {
                let (x, eps) = (&x[(first + i) * packed..][..packed], F::of(self.eps));
                forward(eps, &x[..queries], q, &mut y[..queries]);
                forward(eps, &x[queries..keys], k, &mut y[queries..keys]);
                y[keys..].copy_from_slice(&x[keys..]);
            }
        });
        Ok((F::to_cpu_storage_owned(y), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        q: &Tensor,
        k: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (packed, [queries, keys]) = (self.axes.packed_width(), self.ends());
        let (rows, width) = (self.axes.rows(), self.axes.head_width);
        let run = |[x, q, k, g]: [&[F]; 4]| {
            build_and_sum(rows, packed, 2 * width, |i, dx, sums| {
                let at = i * packed..(i + 1) * packed;
                let (x, g, eps) = (&x[at.clone()], &g[at], F::of(self.eps));
                let (dq, dk) = sums.split_at_mut(width);
                let part = ..queries;
                backward(eps, &x[part], q, &g[part], &mut dx[part], dq);
                let part = queries..keys;
                backward(
                    eps,
                    &x[part.clone()],
                    k,
                    &g[part.clone()],
                    &mut dx[part],
                    dk,
                );
                dx[keys..].copy_from_slice(&g[keys..]);
            })
        };
        let (dx, mut dq) = with_numbers::<F, _, 4>([x, q, k, &g.contiguous()?], run)?;
        let dk = dq.split_off(width);
        Ok((
            Some(tensor(dx, x.shape())?),
            Some(tensor(dq, width)?),
            Some(tensor(dk, width)?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Ops;
    use crate::ops::check::{agrees, check, odd_shapes};
    use candle_core::{DType, Device};
    use proptest::prelude::*;

    const EPS: f64 = 1e-5;

    fn axes(batch: usize, time: usize, heads: usize, kv_heads: usize, head_width: usize) -> Axes {
        Axes {
            batch,
            time,
            heads,
            kv_heads,
            head_width,
            value_width: None,
            scale: None,
            window: None,
        }
    }

    fn run(axes: Axes) -> impl Fn(Ops, &[Tensor]) -> Result<Tensor> + Sync {
        move |ops, x| ops.head_norm(&x[0], [&x[1], &x[2]], axes, EPS)
    }

    #[test]
    fn gradients_are_right() {
        for of in [axes(2, 3, 4, 2, 3), axes(1, 2, 1, 1, 5)] {
            let d = of.head_width;
            check(&[&[of.rows(), of.packed_width()], &[d], &[d]], run(of));
        }
        let of = axes(3, 100, 4, 4, 16);
        agrees(&[&[of.rows(), of.packed_width()], &[16], &[16]], run(of));
    }

    #[test]
    fn heads_have_unit_mean_squares_and_values_are_left_alone() -> Result<()> {
        let of = axes(1, 2, 2, 1, 4);
        let numbers: Vec<f32> = (0..32).map(|i| (i as f32 - 9.5) * 3.0).collect();
        let x = Tensor::from_vec(numbers, (2, 16), &Device::Cpu)?;
        let one = Tensor::ones(4, DType::F32, &Device::Cpu)?;
        let y = Ops::fused().head_norm(&x, [&one, &one], of, EPS)?;
        let (x, y) = (x.to_vec2::<f32>()?, y.to_vec2::<f32>()?);
        for (x, y) in x.iter().zip(&y) {
            for head in y[..12].chunks(4) {
                let mean = head.iter().map(|x| x * x).sum::<f32>() / 4.0;
                assert!((mean - 1.0).abs() < 1e-4, "{mean}");
            }
            assert_eq!(x[12..], y[12..]);
        }
        let short = Tensor::ones(3, DType::F32, &Device::Cpu)?;
        let x = Tensor::new(x, &Device::Cpu)?;
        assert!(Ops::fused().head_norm(&x, [&one, &short], of, EPS).is_err());
        Ok(())
    }

    proptest! {
        #![proptest_config(odd_shapes())]
        #[test]
        fn any_shape(
            time in 1..70usize,
            kv_heads in 1..4usize,
            group in 1..4usize,
            d in 3..40usize,
        ) {
            let of = axes(2, time, kv_heads * group, kv_heads, d);
            agrees(&[&[of.rows(), of.packed_width()], &[d], &[d]], run(of));
        }
    }
}
