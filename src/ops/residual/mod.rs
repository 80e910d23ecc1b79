//! `a + b`: a residual connection (He et al. 2015, arXiv:1512.03385). The gradient of both is the gradient of the sum.

pub(super) mod gpu;

use super::cpu::real::{Real, typed};
use super::cpu::rows::{build, numbers};
use super::cpu::simd::simd;
use super::tape::{Tape, apply2};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use std::marker::PhantomData;

pub(super) fn reference(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a + b
}

pub(super) fn fused(tape: Option<&Tape>, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.shape() != b.shape() {
        bail!(
            "a residual of {:?} cannot be added to {:?}",
            b.shape(),
            a.shape()
        );
    }
    let (a, b) = (a.contiguous()?, b.contiguous()?);
    typed!(a, F => apply2(tape, Add::<F>(PhantomData), [&a, &b]))
}

struct Add<F>(PhantomData<F>);

simd! {
    fn sums<S, F>(a: &[F], b: &[F], y: &mut [F]) {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = a + b;
        }
    }
}

impl<F: Real> CustomOp2 for Add<F> {
    fn name(&self) -> &'static str {
        "residual"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        la: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (numbers::<F>(a, la)?, numbers::<F>(b, lb)?);
        let y = build(a.len(), 1, |i, y| {
            sums(&a[i..][..y.len()], &b[i..][..y.len()], y)
        });
        Ok((F::to_cpu_storage_owned(y), la.shape().clone()))
    }

    fn bwd(
        &self,
        _a: &Tensor,
        _b: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(g.clone()), Some(g.clone())))
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::check::{agrees, check};

    #[test]
    fn gradients_are_right() {
        check(&[&[3, 5], &[3, 5]], |ops, x| ops.add(&x[0], &x[1]));
        check(&[&[3, 5]], |ops, x| ops.add(&x[0], &x[0]));
        check(&[&[3, 5], &[5, 3]], |ops, x| ops.add(&x[0], &x[1].t()?));
        agrees(&[&[301, 150], &[301, 150]], |ops, x| ops.add(&x[0], &x[1]));
    }
}
