//! `y = r x + z x0`, with two trained scalars: a residual stream that keeps what entered the first block in sight. Backwards
//! `dx = r g`, `dx0 = z g`, `dr = sum g x`, `dz = sum g x0`.

use super::cpu::real::{Real, typed};
use super::cpu::rows::{build, chunks, numbers, tensor, with_numbers};
use super::cpu::simd::{dot, simd};
use super::tape::{Tape, put};
use super::unaided::Unaided;
use candle_core::{DType, Result, Tensor, bail};

/// Numbers whose inner products are partial sums, which are added in order.
const CHUNK: usize = 4096;

/// `r x + z x0`: two tensors of one shape, and two of one number.
pub struct Blend;

impl Unaided<4> for Blend {
    fn check(&self, [x, first, r, z]: [&Tensor; 4]) -> Result<()> {
        if x.shape() != first.shape() || r.elem_count() != 1 || z.elem_count() != 1 {
            bail!(
                "{:?} and {:?} are not blended by {:?} and {:?}",
                x.shape(),
                first.shape(),
                r.shape(),
                z.shape()
            );
        }
        Ok(())
    }

    /// In f32 at least, so that the scalars are not rounded.
    fn reference(&self, [x, first, r, z]: [&Tensor; 4]) -> Result<Tensor> {
        let wide = match x.dtype() {
            DType::BF16 => DType::F32,
            same => same,
        };
        let scaled = |x: &Tensor, by: &Tensor| {
            let by = by.to_dtype(wide)?.reshape(1)?;
            x.to_dtype(wide)?.broadcast_mul(&by)
        };
        (scaled(x, r)? + scaled(first, z)?)?.to_dtype(x.dtype())
    }

    fn fused(&self, tape: Option<&Tape>, [x, first, r, z]: [&Tensor; 4]) -> Result<Tensor> {
        let inputs = [
            x.contiguous()?,
            first.contiguous()?,
            r.contiguous()?,
            z.contiguous()?,
        ];
        typed!(inputs[0], F => of_type::<F>(tape, inputs.each_ref()))
    }
}

simd! {
    fn sums<S, F>(by: [F; 2], x: &[F], first: &[F], y: &mut [F]) {
        let [r, z] = by;
        for ((y, &x), &first) in y.iter_mut().zip(x).zip(first) {
            *y = x.fma::<S>(r, first * z);
        }
    }
}

simd! {
    fn multiples<S, F>(by: F, x: &[F], y: &mut [F]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = by * x;
        }
    }
}

simd! {
    fn along<S, F>(x: &[F], first: &[F], g: &[F], sums: &mut [F]) {
        sums[0] = dot::<S, F>(x, g);
        sums[1] = dot::<S, F>(first, g);
    }
}

fn of_type<F: Real>(tape: Option<&Tape>, inputs: [&Tensor; 4]) -> Result<Tensor> {
    put(
        tape,
        inputs,
        |[(x, lx), (first, lf), (r, lr), (z, lz)]| {
            let (x, first) = (numbers::<F>(x, lx)?, numbers::<F>(first, lf)?);
            let by = [numbers::<F>(r, lr)?[0], numbers::<F>(z, lz)?[0]];
            let y = build(x.len(), 1, |i, y| {
                let n = y.len();
                sums(by, &x[i..][..n], &first[i..][..n], y);
            });
            Ok((F::to_cpu_storage_owned(y), lx.shape().clone()))
        },
        |inputs, _, g| {
            let [x, first, r, z] = [0, 1, 2, 3].map(|i: usize| &inputs[i]);
            let g = g.contiguous()?;
            let [dx, d_first, both] =
                with_numbers::<F, _, 5>([x, first, r, z, &g], |[x, first, r, z, g]| {
                    let scaled =
                        |by: F| build(g.len(), 1, |i, d| multiples(by, &g[i..][..d.len()], d));
                    [scaled(r[0]), scaled(z[0]), inner_products(x, first, g)]
                })?;
            let shape = x.shape();
            Ok(vec![
                Some(tensor(dx, shape)?),
                Some(tensor(d_first, shape)?),
                Some(tensor(vec![both[0]], r.shape())?),
                Some(tensor(vec![both[1]], z.shape())?),
            ])
        },
    )
}

/// Of g with x and with the first stream.
fn inner_products<F: Real>(x: &[F], first: &[F], g: &[F]) -> Vec<F> {
    let mut partial = vec![F::ZERO; 2 * g.len().div_ceil(CHUNK)];
    chunks(&mut partial, 2, 2 * g.len(), |i, sums| {
        let at = i * CHUNK..((i + 1) * CHUNK).min(g.len());
        along(&x[at.clone()], &first[at.clone()], &g[at], sums);
    });
    let mut total = vec![F::ZERO; 2];
    for sums in partial.chunks_exact(2) {
        total[0] += sums[0];
        total[1] += sums[1];
    }
    total
}

#[cfg(test)]
mod tests {
    use super::Blend;
    use crate::ops::Ops;
    use crate::ops::check::{agrees, check, random};
    use candle_core::{DType, Result};

    #[test]
    fn gradients_are_right() {
        check(&[&[3, 5], &[3, 5], &[1], &[1]], |ops, x| {
            ops.unaided(&Blend, [&x[0], &x[1], &x[2], &x[3]])
        });
        check(&[&[3, 5], &[1], &[1]], |ops, x| {
            ops.unaided(&Blend, [&x[0], &x[0], &x[1], &x[2]])
        });
        agrees(&[&[301, 150], &[301, 150], &[1], &[1]], |ops, x| {
            ops.unaided(&Blend, [&x[0], &x[1], &x[2], &x[3]])
        });
    }

    #[test]
    fn what_does_not_fit_is_refused() -> Result<()> {
        let of = |shape: &[usize]| random(shape, DType::F32, 1);
        let (x, other, one) = (of(&[2, 3])?, of(&[3, 2])?, of(&[1])?);
        for ops in [Ops::fused(), Ops::reference()] {
            assert!(ops.unaided(&Blend, [&x, &other, &one, &one]).is_err());
            assert!(ops.unaided(&Blend, [&x, &x, &one, &x]).is_err());
        }
        Ok(())
    }
}
