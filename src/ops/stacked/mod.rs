//! Products of several matrices stacked in one, each with columns of its own: of x (N, G r) and W (M, r), whose rows are those of G
//! matrices one below the other, `y = [x_1 W_1^T | .. | x_G W_G^T]` with `x_g` the g-th r columns of x. Backwards `dx_g = dy_g W_g` and
//! `dW_g = dy_g^T x_g`.

use super::cpu::matmul::{Before, Matrix, MatrixMut, all_threads, multiply};
use super::cpu::real::{Real, typed};
use super::cpu::rows::{numbers, tensor, with_numbers};
use super::tape::{Tape, put};
use super::unaided::Unaided;
use candle_core::{D, Result, Shape, Tensor, bail};
use std::ops::Range;

/// The stacked products of x (N, G r) by W (M, r): (N, M).
#[derive(Debug, Clone)]
pub struct Stacked<'a> {
    /// Rows of each of the G matrices.
    pub rows: &'a [usize],
}

impl Unaided<2> for Stacked<'_> {
    fn check(&self, [x, w]: [&Tensor; 2]) -> Result<()> {
        let ((_, columns), (rows, inner)) = (x.dims2()?, w.dims2()?);
        if rows != self.rows.iter().sum::<usize>() || columns != self.rows.len() * inner {
            bail!(
                "{:?} by {:?} are no products of matrices of {:?} rows",
                x.shape(),
                w.shape(),
                self.rows
            );
        }
        Ok(())
    }

    fn reference(&self, [x, w]: [&Tensor; 2]) -> Result<Tensor> {
        let inner = w.dim(1)?;
        let w = w.to_dtype(x.dtype())?;
        let each = places(self.rows).enumerate().map(|(g, rows)| {
            let x = x.narrow(1, g * inner, inner)?.contiguous()?;
            x.matmul(&w.narrow(0, rows.start, rows.len())?.t()?)
        });
        Tensor::cat(&each.collect::<Result<Vec<_>>>()?, D::Minus1)
    }

    fn fused(&self, tape: Option<&Tape>, [x, w]: [&Tensor; 2]) -> Result<Tensor> {
        let inputs = [x.contiguous()?, w.contiguous()?];
        typed!(inputs[0], F => of_type::<F>(tape, inputs.each_ref(), self.rows))
    }
}

/// The rows of each matrix.
fn places(rows: &[usize]) -> impl Iterator<Item = Range<usize>> + '_ {
    rows.iter().scan(0, |from, rows| {
        let place = *from..*from + rows;
        *from = place.end;
        Some(place)
    })
}

fn of_type<F: Real>(tape: Option<&Tape>, inputs: [&Tensor; 2], rows: &[usize]) -> Result<Tensor> {
    let ((n, columns), (m, r)) = (inputs[0].dims2()?, inputs[1].dims2()?);
    let back_rows = rows.to_vec();
    put(
        tape,
        inputs,
        |[(x, lx), (w, lw)]| {
            let (x, w) = (numbers::<F>(x, lx)?, numbers::<F>(w, lw)?);
            let mut y = vec![F::ZERO; n * m];
            let mut out = MatrixMut::new(&mut y, n, m, m);
            for (g, rows) in places(rows).enumerate() {
                let x = Matrix::new(&x[g * r..], n, r, columns);
                let w = Matrix::new(&w[rows.start * r..], rows.len(), r, r);
                overwrite(&mut out.columns(rows), (x, w.t()));
            }
            Ok((F::to_cpu_storage_owned(y), Shape::from((n, m))))
        },
        move |inputs, _, g| {
            let (x, w, g) = (&inputs[0], &inputs[1], g.contiguous()?);
            let [dx, dw] = with_numbers::<F, _, 3>([x, w, &g], |[x_of, w_of, g]| {
                let mut dx = x.track_op().then(|| vec![F::ZERO; n * columns]);
                let mut dw = w.track_op().then(|| vec![F::ZERO; m * r]);
                for (k, rows) in places(&back_rows).enumerate() {
                    let dy = Matrix::new(&g[rows.start..], n, rows.len(), m);
                    if let Some(dx) = &mut dx {
                        let w = Matrix::new(&w_of[rows.start * r..], rows.len(), r, r);
                        let mut dx = MatrixMut::new(dx, n, columns, columns);
                        overwrite(&mut dx.columns(k * r..(k + 1) * r), (dy, w));
                    }
                    if let Some(dw) = &mut dw {
                        let x = Matrix::new(&x_of[k * r..], n, r, columns);
                        let mut dw = MatrixMut::new(dw, m, r, r);
                        overwrite(&mut dw.some(rows), (dy.t(), x));
                    }
                }
                [dx, dw]
            })?;
            Ok(vec![
                dx.map(|dx| tensor(dx, x.shape())).transpose()?,
                dw.map(|dw| tensor(dw, w.shape())).transpose()?,
            ])
        },
    )
}

fn overwrite<F: Real>(out: &mut MatrixMut<'_, F>, product: (Matrix<'_, F>, Matrix<'_, F>)) {
    multiply(out, Before::Overwritten, F::ONE, product, all_threads());
}

#[cfg(test)]
mod tests {
    use super::Stacked;
    use crate::ops::Ops;
    use crate::ops::check::{agrees, check, random};
    use candle_core::{DType, Result};

    #[test]
    fn gradients_are_right() {
        let three = Stacked { rows: &[4, 1, 2] };
        check(&[&[3, 6], &[7, 2]], |ops, x| {
            ops.unaided(&three, [&x[0], &x[1]])
        });
        let large = Stacked {
            rows: &[64, 33, 33],
        };
        agrees(&[&[301, 24], &[130, 8]], |ops, x| {
            ops.unaided(&large, [&x[0], &x[1]])
        });
    }

    #[test]
    fn what_does_not_fit_is_refused() -> Result<()> {
        let of = |shape: &[usize]| random(shape, DType::F32, 1);
        let (x, w) = (of(&[3, 6])?, of(&[7, 2])?);
        for ops in [Ops::fused(), Ops::reference()] {
            for rows in [&[4, 3][..], &[4, 1, 1]] {
                assert!(ops.unaided(&Stacked { rows }, [&x, &w]).is_err());
            }
        }
        Ok(())
    }
}
