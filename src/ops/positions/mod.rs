//! A table of positions added to every window: `y[b, t] = x[b, t] + table[t]`. The gradient of a table's row sums that of its
//! time step over the windows, in order; rows beyond the window get zero.

pub(super) mod gpu;

use super::cpu::real::{Real, typed};
use super::cpu::rows::{build, numbers, tensor, with_numbers};
use super::cpu::simd::{accumulate, simd};
use super::tape::{Tape, apply2};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use std::marker::PhantomData;

pub(super) fn check(x: &Tensor, table: &Tensor, time: usize) -> Result<()> {
    let ((n, c), (rows, width)) = (x.dims2()?, table.dims2()?);
    if time == 0 || !n.is_multiple_of(time) || rows < time || width != c {
        bail!(
            "positions {:?} cannot be added to {:?} in windows of {time}",
            table.shape(),
            x.shape()
        );
    }
    Ok(())
}

pub(super) fn reference(x: &Tensor, table: &Tensor, time: usize) -> Result<Tensor> {
    let (n, c) = x.dims2()?;
    x.reshape((n / time, time, c))?
        .broadcast_add(&table.narrow(0, 0, time)?)?
        .reshape((n, c))
}

pub(super) fn fused(
    tape: Option<&Tape>,
    x: &Tensor,
    table: &Tensor,
    time: usize,
) -> Result<Tensor> {
    let (x, table) = (x.contiguous()?, table.contiguous()?);
    typed!(x, F => apply2(tape, Positions::<F> { time, numbers: PhantomData }, [&x, &table]))
}

struct Positions<F> {
    time: usize,
    numbers: PhantomData<F>,
}

simd! {
    /// Some rows of the output, the first at time step `first`; the table has as many rows as a window.
    fn add<S, F>(width: usize, x: &[F], table: &[F], first: usize, y: &mut [F]) {
        let positions = table.chunks_exact(width).cycle().skip(first);
        let rows = x.chunks_exact(width).zip(y.chunks_exact_mut(width));
        for ((x, y), position) in rows.zip(positions) {
            for ((y, &x), &position) in y.iter_mut().zip(x).zip(position) {
                *y = x + position;
            }
        }
    }
}

impl<F: Real> CustomOp2 for Positions<F> {
    fn name(&self) -> &'static str {
        "positions"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        table: &CpuStorage,
        lt: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, c) = lx.shape().dims2()?;
        let (x, table) = (numbers::<F>(x, lx)?, numbers::<F>(table, lt)?);
        let y = build(n, c, |first, block| {
            add(
                c,
                &x[first * c..][..block.len()],
                &table[..self.time * c],
                first % self.time,
                block,
            );
        });
        Ok((F::to_cpu_storage_owned(y), Shape::from((n, c))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        table: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        if !table.track_op() {
            return Ok((Some(g.clone()), None));
        }
        let ((_, c), (rows, _)) = (x.dims2()?, table.dims2()?);
        let d = with_numbers::<F, _, 1>([&g.contiguous()?], |[g]| {
            build(rows, c, |first, block| {
                for (i, sum) in block
                    .chunks_exact_mut(c)
                    .enumerate()
                    .take(self.time.saturating_sub(first))
                {
                    for window in g.chunks_exact(self.time * c) {
                        accumulate(sum, &window[(first + i) * c..][..c]);
                    }
                }
            })
        })?;
        Ok((Some(g.clone()), Some(tensor(d, (rows, c))?)))
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::Ops;
    use crate::ops::check::{agrees, check, odd_shapes};
    use candle_core::{DType, Device, Result, Tensor};
    use proptest::prelude::*;

    #[test]
    fn gradients_are_right() {
        check(&[&[6, 4], &[5, 4]], |ops, x| {
            ops.add_positions(&x[0], &x[1], 3)
        });
        check(&[&[3, 4], &[5, 4]], |ops, x| {
            ops.add_positions(&x[0], &x[1].narrow(0, 4, 1)?, 1)
        });
        check(&[&[6, 4]], |ops, x| {
            ops.add_positions(&x[0], &Tensor::ones((3, 4), x[0].dtype(), &Device::Cpu)?, 3)
        });
        agrees(&[&[300, 130], &[100, 130]], |ops, x| {
            ops.add_positions(&x[0], &x[1], 75)
        });
    }

    #[test]
    fn windows_that_do_not_fit_are_refused() -> Result<()> {
        let zeros = |n: usize| Tensor::zeros((n, 2), DType::F32, &Device::Cpu);
        for (rows, table, time) in [(6, 4, 4), (6, 2, 3), (6, 4, 0)] {
            assert!(
                Ops::fused()
                    .add_positions(&zeros(rows)?, &zeros(table)?, time)
                    .is_err(),
                "{rows} {table} {time}"
            );
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(odd_shapes())]
        #[test]
        fn any_shape(batch in 1..5usize, time in 1..90usize, spare in 0..9usize, c in 1..70usize) {
            let shapes: [&[usize]; 2] = [&[batch * time, c], &[time + spare, c]];
            agrees(&shapes, |ops, x| ops.add_positions(&x[0], &x[1], time));
        }
    }
}
