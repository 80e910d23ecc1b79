//! A short causal convolution of each channel with its own taps, and SiLU: `y_t = silu(b + sum_j w_j x_(t - K + 1 + j))` within a
//! window, where nothing comes before the first token (Gu and Dao 2023, arXiv:2312.00752, section 3.4).
//!
//! Backwards, with z the sum and g the output's gradient: `dz = g s (1 + z (1 - s))`, s = sigmoid(z), z computed again;
//! `dx_t = sum_j w_j dz_(t + K - 1 - j)`, `dw_j = sum_t dz_t x_(t - K + 1 + j)`, `db = sum_t dz_t`.

use super::cpu::real::{Real, typed};
use super::cpu::rows::{build, build_and_sum, numbers, tensor, with_numbers};
use super::cpu::simd::{accumulate, simd};
use super::tape::{self, Tape};
use candle_core::{DType, Result, Shape, Tensor, bail};

/// Channels, taps, and whether something is added before SiLU.
#[derive(Clone, Copy)]
struct Sizes {
    time: usize,
    width: usize,
    taps: usize,
}

fn check(x: &Tensor, taps: &Tensor, bias: Option<&Tensor>, time: usize) -> Result<Sizes> {
    let ((rows, width), (count, of_taps)) = (x.dims2()?, taps.dims2()?);
    let fits = bias.is_none_or(|bias| bias.dims() == [width]);
    if width != of_taps || count == 0 || !fits || time == 0 || !rows.is_multiple_of(time) {
        bail!(
            "{:?} in windows of {time} has no convolution with {:?}",
            x.shape(),
            taps.shape()
        );
    }
    Ok(Sizes {
        time,
        width,
        taps: count,
    })
}

/// In f32 where the input is narrower.
pub(super) fn reference(
    x: &Tensor,
    taps: &Tensor,
    bias: Option<&Tensor>,
    time: usize,
) -> Result<Tensor> {
    let sizes = check(x, taps, bias, time)?;
    let (own, (rows, width)) = (x.dtype(), x.dims2()?);
    let dtype = if own == DType::F64 { own } else { DType::F32 };
    let x = x.to_dtype(dtype)?.reshape((rows / time, time, width))?;
    let x = x.pad_with_zeros(1, sizes.taps - 1, 0)?;
    let mut sum = x.zeros_like()?.narrow(1, 0, time)?;
    for j in 0..sizes.taps {
        let tap = taps.narrow(0, j, 1)?.to_dtype(dtype)?;
        sum = (sum + x.narrow(1, j, time)?.broadcast_mul(&tap.unsqueeze(0)?)?)?;
    }
    if let Some(bias) = bias {
        sum = sum.broadcast_add(&bias.to_dtype(dtype)?)?;
    }
    sum.silu()?.reshape((rows, width))?.to_dtype(own)
}

simd! {
    /// Before SiLU, of a row that begins at `at`, `seen` rows after its window's first.
    fn sums<S, F>(x: &[F], at: usize, seen: usize, taps: &[F], bias: &[F], z: &mut [F]) {
        let width = z.len();
        if bias.is_empty() {
            z.fill(F::ZERO);
        } else {
            z.copy_from_slice(bias);
        }
        let count = taps.len() / width;
        for (j, taps) in taps.chunks_exact(width).enumerate() {
            let back = count - 1 - j;
            if back <= seen {
                let x = &x[at - back * width..][..width];
                for ((z, &x), &w) in z.iter_mut().zip(x).zip(taps) {
                    *z = x.fma::<S>(w, *z);
                }
            }
        }
    }
}

simd! {
    fn silu<S, F>(z: &mut [F]) {
        for z in z {
            *z *= z.sigmoid::<S>();
        }
    }
}

simd! {
    /// Sums become their gradients.
    fn silu_back<S, F>(g: &[F], z: &mut [F]) {
        for (z, &g) in z.iter_mut().zip(g) {
            let s = z.sigmoid::<S>();
            *z = g * s * z.fma::<S>(F::ONE - s, F::ONE);
        }
    }
}

simd! {
    /// `y += x w`, number by number.
    fn add_product<S, F>(x: &[F], w: &[F], y: &mut [F]) {
        for ((y, &x), &w) in y.iter_mut().zip(x).zip(w) {
            *y = x.fma::<S>(w, *y);
        }
    }
}

pub(super) fn fused(
    tape: Option<&Tape>,
    x: &Tensor,
    taps: &Tensor,
    bias: Option<&Tensor>,
    time: usize,
) -> Result<Tensor> {
    let sizes = check(x, taps, bias, time)?;
    let (x, taps) = (x.contiguous()?, taps.contiguous()?);
    let bias = match bias {
        Some(bias) => bias.contiguous()?,
        None => Tensor::zeros(0, x.dtype(), x.device())?,
    };
    typed!(x, F => of_type::<F>(tape, [&x, &taps, &bias], sizes))
}

fn of_type<F: Real>(tape: Option<&Tape>, inputs: [&Tensor; 3], sizes: Sizes) -> Result<Tensor> {
    let (rows, shape) = (inputs[0].dim(0)?, inputs[0].shape().clone());
    let width = sizes.width;
    let run = |[x, taps, bias]: [(&_, &_); 3]| {
        let (x, taps) = (numbers::<F>(x.0, x.1)?, numbers(taps.0, taps.1)?);
        let bias = numbers(bias.0, bias.1)?;
        let y = build(rows, width, |first, block| {
            for (i, z) in block.chunks_exact_mut(width).enumerate() {
                let row = first + i;
                sums(x, row * width, row % sizes.time, taps, bias, z);
                silu(z);
            }
        });
        Ok((F::to_cpu_storage_owned(y), shape))
    };
    tape::put(tape, inputs, run, move |inputs, _, g| {
        let all = [&inputs[0], &inputs[1], &inputs[2], &g.contiguous()?];
        let (dx, mut dtaps) = with_numbers::<F, _, 4>(all, |[x, taps, bias, g]| {
            let (dz, sums) = slopes((x, taps, bias), g, sizes);
            (through(&dz, taps, sizes), sums)
        })?;
        let dbias = dtaps.split_off(sizes.taps * width);
        let dbias = match inputs[2].elem_count() {
            0 => None,
            _ => Some(tensor(dbias, width)?),
        };
        let dtaps = tensor(dtaps, Shape::from((sizes.taps, width)))?;
        Ok(vec![
            Some(tensor(dx, inputs[0].shape())?),
            Some(dtaps),
            dbias,
        ])
    })
}

/// Gradients before SiLU, and those of taps and, behind them, of the bias.
fn slopes<F: Real>((x, taps, bias): (&[F], &[F], &[F]), g: &[F], sizes: Sizes) -> (Vec<F>, Vec<F>) {
    let Sizes {
        time,
        width,
        taps: count,
    } = sizes;
    let rows = x.len() / width;
    build_and_sum(rows, width, (count + 1) * width, |row, z, of_taps| {
        let (at, seen) = (row * width, row % time);
        sums(x, at, seen, taps, bias, z);
        silu_back(&g[at..at + width], z);
        let (of_taps, of_bias) = of_taps.split_at_mut(count * width);
        for (j, of_tap) in of_taps.chunks_exact_mut(width).enumerate() {
            let back = count - 1 - j;
            if back <= seen {
                add_product(&x[at - back * width..][..width], z, of_tap);
            }
        }
        accumulate(of_bias, z);
    })
}

/// From gradients before SiLU to those of the input.
fn through<F: Real>(dz: &[F], taps: &[F], sizes: Sizes) -> Vec<F> {
    let Sizes {
        time,
        width,
        taps: count,
    } = sizes;
    build(dz.len() / width, width, |first, block| {
        for (i, dx) in block.chunks_exact_mut(width).enumerate() {
            let row = first + i;
            for (j, taps) in taps.chunks_exact(width).enumerate() {
                let later = count - 1 - j;
                if row % time + later < time {
                    add_product(&dz[(row + later) * width..][..width], taps, dx);
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Ops;
    use crate::ops::check::{agrees, check, odd_shapes};
    use candle_core::Device;
    use proptest::prelude::*;

    fn run(time: usize, bias: bool) -> impl Fn(Ops, &[Tensor]) -> Result<Tensor> + Sync {
        move |ops, x| ops.short_conv(&x[0], &x[1], bias.then(|| &x[2]), time)
    }

    #[test]
    fn gradients_are_right() {
        check(&[&[10, 3], &[4, 3], &[3]], run(5, true));
        check(&[&[6, 9], &[4, 9]], run(3, false));
        check(&[&[4, 2], &[1, 2]], run(4, false));
        agrees(&[&[300, 70], &[4, 70], &[70]], run(100, true));
    }

    #[test]
    fn a_tap_sees_its_token_and_windows_begin_with_nothing() -> Result<()> {
        let x = Tensor::from_vec(vec![1f64, 2.0, 3.0, 10.0, 20.0, 30.0], (6, 1), &Device::Cpu)?;
        // The token two before, times 1, and the token itself, times 100.
        let taps = Tensor::from_vec(vec![1f64, 0.0, 100.0], (3, 1), &Device::Cpu)?;
        let y = Ops::fused().short_conv(&x, &taps, None, 3)?;
        let silu = |z: f64| z / (1.0 + (-z).exp());
        let expected = [100.0, 200.0, 301.0, 1000.0, 2000.0, 3010.0].map(silu);
        for (y, expected) in y.flatten_all()?.to_vec1::<f64>()?.into_iter().zip(expected) {
            assert!((y - expected).abs() < 1e-9, "{y} {expected}");
        }
        assert!(Ops::fused().short_conv(&x, &taps, None, 4).is_err());
        Ok(())
    }

    proptest! {
        #![proptest_config(odd_shapes())]
        #[test]
        fn any_shape(time in 1..60usize, taps in 1..6usize, c in 1..40usize) {
            agrees(&[&[2 * time, c], &[taps, c], &[c]], run(time, true));
        }
    }
}
