//! Gates: `y = x sigmoid(gate)`, one gate for a number of x or for a few neighbours, a head for instance (Qiu et al. 2025,
//! arXiv:2505.06708). Backwards, with `s = sigmoid(gate)`: `dx = g s`, and `dgate` sums `g x s (1 - s)` over the numbers of a gate.

use super::cpu::real::{Real, typed};
use super::cpu::rows::{build, numbers, tensor, with_numbers};
use super::cpu::simd::simd;
use super::tape::{Tape, apply2};
use super::unaided::Unaided;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use std::marker::PhantomData;

/// `x sigmoid(gate)`, each gate for C / G neighbours: x (N, C), gates (N, G) to (N, C).
pub struct Gate;

impl Unaided<2> for Gate {
    fn check(&self, [x, gates]: [&Tensor; 2]) -> Result<()> {
        match (x.dims2()?, gates.dims2()?) {
            ((n, c), (rows, g)) if n == rows && g > 0 && c.is_multiple_of(g) => Ok(()),
            (x, gates) => bail!("gates of {gates:?} do not fit {x:?}"),
        }
    }

    fn reference(&self, [x, gates]: [&Tensor; 2]) -> Result<Tensor> {
        let ((n, c), (_, g)) = (x.dims2()?, gates.dims2()?);
        // 1 / (1 + exp(-x)), in the form that does not overflow.
        let open = (((gates * 0.5)?.tanh()? + 1.0)? * 0.5)?.reshape((n, g, 1))?;
        x.reshape((n, g, c / g))?
            .broadcast_mul(&open)?
            .reshape((n, c))
    }

    fn fused(&self, tape: Option<&Tape>, [x, gates]: [&Tensor; 2]) -> Result<Tensor> {
        let each = x.dim(1)? / gates.dim(1)?;
        let (x, gates) = (x.contiguous()?, gates.contiguous()?);
        typed!(x, F => apply2(tape, Gates::<F> { each, numbers: PhantomData }, [&x, &gates]))
    }
}

struct Gates<F> {
    /// Numbers of x to one gate.
    each: usize,
    numbers: PhantomData<F>,
}

simd! {
    fn forward<S, F>(each: usize, x: &[F], gates: &[F], y: &mut [F]) {
        if each == 1 {
            for ((y, &x), &gate) in y.iter_mut().zip(x).zip(gates) {
                *y = x * gate.sigmoid::<S>();
            }
            return;
        }
        let heads = y.chunks_exact_mut(each).zip(x.chunks_exact(each));
        for ((y, x), &gate) in heads.zip(gates) {
            let open = gate.sigmoid::<S>();
            for (y, &x) in y.iter_mut().zip(x) {
                *y = x * open;
            }
        }
    }
}

simd! {
    fn back_to_x<S, F>(each: usize, gates: &[F], g: &[F], dx: &mut [F]) {
        for ((dx, g), &gate) in dx.chunks_exact_mut(each).zip(g.chunks_exact(each)).zip(gates) {
            let open = gate.sigmoid::<S>();
            for (dx, &g) in dx.iter_mut().zip(g) {
                *dx = g * open;
            }
        }
    }
}

simd! {
    fn back_to_gates<S, F>(each: usize, x: &[F], gates: &[F], g: &[F], d: &mut [F]) {
        let heads = x.chunks_exact(each).zip(g.chunks_exact(each));
        for ((d, (x, g)), &gate) in d.iter_mut().zip(heads).zip(gates) {
            let mut along = F::ZERO;
            for (&x, &g) in x.iter().zip(g) {
                along = g.fma::<S>(x, along);
            }
            let open = gate.sigmoid::<S>();
            *d = along * open * (F::ONE - open);
        }
    }
}

impl<F: Real> CustomOp2 for Gates<F> {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        gates: &CpuStorage,
        lg: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, gates) = (numbers::<F>(x, lx)?, numbers::<F>(gates, lg)?);
        let each = self.each;
        let y = build(gates.len(), each, |i, y| {
            let some = y.len() / each;
            forward(each, &x[i * each..][..y.len()], &gates[i..][..some], y);
        });
        Ok((F::to_cpu_storage_owned(y), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gates: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let each = self.each;
        let given = [x, gates, &g.contiguous()?];
        let (dx, d) = with_numbers::<F, _, 3>(given, |[x, gates, g]| {
            let dx = build(gates.len(), each, |i, dx| {
                let some = dx.len() / each;
                back_to_x(each, &gates[i..][..some], &g[i * each..][..dx.len()], dx);
            });
            let d = build(gates.len(), 1, |i, d| {
                let (from, some) = (i * each, d.len() * each);
                let (x, g) = (&x[from..][..some], &g[from..][..some]);
                back_to_gates(each, x, &gates[i..][..d.len()], g, d);
            });
            (dx, d)
        })?;
        Ok((
            Some(tensor(dx, x.shape())?),
            Some(tensor(d, gates.shape())?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::Gate;
    use crate::ops::Ops;
    use crate::ops::check::{agrees, check, odd_shapes, random};
    use candle_core::{DType, Result};
    use proptest::prelude::*;

    #[test]
    fn gradients_are_right() {
        for gates in [6, 3, 1] {
            check(&[&[5, 6], &[5, gates]], |ops, x| {
                ops.unaided(&Gate, [&x[0], &(&x[1] * 2.0)?])
            });
        }
        agrees(&[&[301, 60], &[301, 5]], |ops, x| {
            ops.unaided(&Gate, [&x[0], &x[1]])
        });
        agrees(&[&[301, 60], &[301, 60]], |ops, x| {
            ops.unaided(&Gate, [&x[0], &x[1]])
        });
    }

    #[test]
    fn gates_that_do_not_fit_are_refused() -> Result<()> {
        let x = random(&[4, 6], DType::F32, 1)?;
        for shape in [[4, 4], [3, 6], [4, 0]] {
            let gates = random(&shape, DType::F32, 2)?;
            for ops in [Ops::fused(), Ops::reference()] {
                assert!(ops.unaided(&Gate, [&x, &gates]).is_err(), "{shape:?}");
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(odd_shapes())]
        #[test]
        fn any_shape(n in 1..90usize, heads in 1..6usize, each in 1..70usize) {
            agrees(&[&[n, heads * each], &[n, heads]], |ops, x| ops.unaided(&Gate, [&x[0], &x[1]]));
        }
    }
}
