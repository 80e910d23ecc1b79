//! `y = x W^T + b`, and backwards `dx = g W`, `dW = g^T x`, `db` = the column sums of g.
//!
//! candle's `Linear` multiplies by a transposed view, whose gradient comes back strided and is added up against the grain;
//! here `dW` comes out of its product as the weight lies in memory. A few rows at once, as in decoding several sequences, are
//! multiplied by tiles that read W once and pack nothing.

pub(super) mod gpu;

use super::counted;
use super::cpu::factors::{Right, Rounded};
use super::cpu::matmul::{Matrix, Shared};
use super::cpu::real::{Real, typed};
use super::cpu::rows::{column_sums, numbers, tensor, with_numbers};
use super::cpu::simd::accumulate;
use super::cpu::tile::FewRows;
use super::tape::{Tape, apply2, apply3};
use candle_core::{
    CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, TensorId, bail,
};
use rayon::prelude::*;
use std::marker::PhantomData;

pub(super) fn reference(x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = x.contiguous()?.matmul(&w.t()?)?;
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}

pub(super) fn fused(
    tape: Option<&Tape>,
    rounded: Rounded,
    [x, w]: [&Tensor; 2],
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let ((_, k), (m, k_of_w)) = (x.dims2()?, w.dims2()?);
    if k != k_of_w || bias.is_some_and(|bias| bias.dims() != [m]) {
        let bias = bias.map(Tensor::shape);
        bail!(
            "a linear map of {:?} by {:?} and bias {bias:?} does not fit",
            x.shape(),
            w.shape()
        );
    }
    let (x, w) = (x.contiguous()?, w.contiguous()?);
    typed!(x, F => {
        let op = Linear::<F> { rounded, weights: w.id(), type_: PhantomData };
        match bias {
            Some(bias) => apply3(tape, op, [&x, &w, &bias.contiguous()?]),
            None => apply2(tape, op, [&x, &w]),
        }
    })
}

/// Rows of x up to which tiles that pack nothing beat the matrix product, whose packing of W costs as much as reading it.
const FEW_ROWS: usize = 32;

/// Rows of W that one task multiplies.
const ROWS_PER_TASK: usize = 64;

/// Numbers of W below which waking threads costs more than they save.
const SERIAL: usize = 32 * 1024;

/// `x W^T (+ bias)` for a few rows of x, each `k` numbers.
fn few_rows<F: FewRows>(x: &[F], w: &[F], k: usize, bias: Option<&[F]>) -> Vec<F> {
    let (n, m) = (x.len() / k, w.len() / k);
    counted::add((2 * n * m * k) as i64);
    let mut y_nm = vec![F::ZERO; n * m];
    let y = Shared::new(&mut y_nm, m);
    let task = |i: usize| {
        let rows = i * ROWS_PER_TASK..((i + 1) * ROWS_PER_TASK).min(m);
        // SAFETY: each task has columns of its own.
        let mut part = unsafe { y.part((0, rows.start), n, rows.len()) };
        F::rows_by_rows(x, &w[rows.start * k..rows.end * k], k, &mut part);
        if let Some(bias) = bias {
            (0..n).for_each(|j| accumulate(part.row(j), &bias[rows.clone()]));
        }
    };
    let tasks = m.div_ceil(ROWS_PER_TASK);
    if w.len() <= SERIAL {
        (0..tasks).for_each(task);
    } else {
        (0..tasks).into_par_iter().for_each(task);
    }
    y_nm
}

struct Linear<F> {
    rounded: Rounded,
    weights: TensorId,
    type_: PhantomData<F>,
}

impl<F: FewRows> CustomOp2 for Linear<F> {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, k), (m, _)) = (lx.shape().dims2()?, lw.shape().dims2()?);
        let (x, w) = (numbers::<F>(x, lx)?, numbers::<F>(w, lw)?);
        let y = match n {
            1..=FEW_ROWS if k > 0 && !self.rounded.keeps::<F>() => few_rows(x, w, k, None),
            _ => self.product(x, w, [n, k, m], None),
        };
        Ok((F::to_cpu_storage_owned(y), Shape::from((n, m))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, _) = self.gradients(x, w, &g.contiguous()?, false)?;
        Ok((dx, dw))
    }
}

impl<F: FewRows> CustomOp3 for Linear<F> {
    fn name(&self) -> &'static str {
        "linear with bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        bias: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, k), (m, _)) = (lx.shape().dims2()?, lw.shape().dims2()?);
        let (x, w, bias) = (
            numbers::<F>(x, lx)?,
            numbers::<F>(w, lw)?,
            numbers::<F>(bias, lb)?,
        );
        if (1..=FEW_ROWS).contains(&n) && k > 0 && !self.rounded.keeps::<F>() {
            let y = few_rows(x, w, k, Some(bias));
            return Ok((F::to_cpu_storage_owned(y), Shape::from((n, m))));
        }
        let y = self.product(x, w, [n, k, m], Some(bias));
        Ok((F::to_cpu_storage_owned(y), Shape::from((n, m))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        self.gradients(x, w, &g.contiguous()?, bias.track_op())
    }
}

type Gradients = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

impl<F: Real> Linear<F> {
    /// `x W^T (+ bias)`.
    fn product(&self, x: &[F], w: &[F], [n, k, m]: [usize; 3], bias: Option<&[F]>) -> Vec<F> {
        let (x, w) = (Matrix::new(x, n, k, k), Matrix::new(w, m, k, k).t());
        let w = self.rounded.right(w, self.weights);
        self.rounded.factors.product(x, &w, bias)
    }

    /// Of x, W and the bias, where they are asked for.
    fn gradients(&self, x: &Tensor, w: &Tensor, g: &Tensor, with_bias: bool) -> Result<Gradients> {
        let ((n, k), (m, _)) = (x.dims2()?, w.dims2()?);
        let (dx, dw, db) = with_numbers::<F, _, 3>([x, w, g], |[x_nk, w_mk, g_nm]| {
            let g = Matrix::new(g_nm, n, m, m);
            let product = |a, b: &Right<F>| self.rounded.factors.product(a, b, None);
            let dx = x.track_op().then(|| {
                let w = Matrix::new(w_mk, m, k, k);
                product(g, &Right::once(w))
            });
            let dw = w.track_op().then(|| {
                let x = Matrix::new(x_nk, n, k, k);
                product(g.t(), &Right::once(x))
            });
            (dx, dw, with_bias.then(|| column_sums(g_nm, m)))
        })?;
        Ok((
            dx.map(|dx| tensor(dx, (n, k))).transpose()?,
            dw.map(|dw| tensor(dw, (m, k))).transpose()?,
            db.map(|db| tensor(db, m)).transpose()?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::check::{agrees, check, odd_shapes};
    use proptest::prelude::*;

    #[test]
    fn gradients_are_right() {
        check(&[&[3, 5], &[4, 5]], |ops, x| ops.linear(&x[0], &x[1], None));
        check(&[&[3, 5], &[4, 5], &[4]], |ops, x| {
            ops.linear(&x[0], &x[1], Some(&x[2]))
        });
        agrees(&[&[300, 70], &[130, 70], &[130]], |ops, x| {
            ops.linear(&x[0], &x[1], Some(&x[2]))
        });
    }

    #[test]
    fn views_are_right() {
        check(&[&[5, 3], &[5, 4]], |ops, x| {
            ops.linear(&x[0].t()?, &x[1].t()?, None)
        });
        check(&[&[6, 5], &[4, 5]], |ops, x| {
            ops.linear(&x[0].narrow(0, 2, 3)?, &x[1].narrow(0, 1, 2)?, None)
        });
    }

    proptest! {
        #![proptest_config(odd_shapes())]
        #[test]
        fn any_shape(n in 1..80usize, k in 1..70usize, m in 1..70usize) {
            agrees(&[&[n, k], &[m, k], &[m]], |ops, x| ops.linear(&x[0], &x[1], Some(&x[2])));
            agrees(&[&[n, k], &[m, k]], |ops, x| ops.linear(&x[0], &x[1], None));
        }
    }
}
