//! The recurrence of a minimal gated unit (Feng et al. 2024, arXiv:2410.01201, section 3.1): `z = sigmoid(a)` and
//! `h_t = (1 - z_t) h_(t-1) + z_t b_t`, with a gate a and a candidate b that the token alone gives, side by side in a row.
//!
//! Backwards, with `dh` the output's gradient and `(1 - z) dh` of the token after: `da = dh (b - h_(t-1)) z (1 - z)`, `db = dh z`.
//! Nothing is kept but what goes in and comes out. Windows run in parallel.

use super::Ops;
use super::cpu::real::{Real, typed};
use super::cpu::rows::{chunks, numbers, tensor, with_numbers};
use super::cpu::simd::simd;
use super::tape::{Tape, put};
use candle_core::{CpuStorage, DType, Layout, Result, Shape, Tensor, bail};

impl Ops<'_> {
    /// The states (N, C) of windows of `time` tokens, of gates and candidates side by side (N, 2 C). Windows begin with zeros, or
    /// with states (B, C), which have no gradient.
    ///
    /// # Errors
    /// Where shapes do not fit.
    pub fn min_gru(self, ab: &Tensor, start: Option<&Tensor>, time: usize) -> Result<Tensor> {
        let (rows, columns) = ab.dims2()?;
        if time == 0 || !rows.is_multiple_of(time) || !columns.is_multiple_of(2) {
            bail!(
                "{:?} is not gates and candidates of windows of {time} tokens",
                ab.shape()
            );
        }
        if let Some(start) = start {
            if start.dims() != [rows / time, columns / 2] {
                bail!(
                    "states of {:?} do not begin windows of {:?}",
                    start.shape(),
                    ab.shape()
                );
            }
            if ab.track_op() {
                bail!("windows that begin with states have no gradient");
            }
        }
        self.choose(
            |tape| fused(tape, ab, start, time),
            |_| reference(ab, start, time),
            || reference(ab, start, time),
        )
    }
}

/// In f32 where activations are narrower.
pub(super) fn reference(ab: &Tensor, start: Option<&Tensor>, time: usize) -> Result<Tensor> {
    let (rows, columns) = ab.dims2()?;
    let (windows, width, of_activations) = (rows / time, columns / 2, ab.dtype());
    let dtype = match of_activations {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    let ab = ab.to_dtype(dtype)?.reshape((windows, time, columns))?;
    let gates = (ab.narrow(2, 0, width)?.neg()?.exp()? + 1.0)?.recip()?;
    let given = (&gates * ab.narrow(2, width, width)?)?;
    let kept = (1.0 - gates)?;
    let mut state = match start {
        Some(start) => start.to_dtype(dtype)?,
        None => Tensor::zeros((windows, width), dtype, ab.device())?,
    };
    let mut states = Vec::with_capacity(time);
    for t in 0..time {
        let part = |x: &Tensor| x.narrow(1, t, 1)?.squeeze(1);
        state = ((part(&kept)? * state)? + part(&given)?)?;
        states.push(state.clone());
    }
    let y = Tensor::stack(&states, 1)?.reshape((rows, width))?;
    y.to_dtype(of_activations)
}

pub(super) fn fused(
    tape: Option<&Tape>,
    ab: &Tensor,
    start: Option<&Tensor>,
    time: usize,
) -> Result<Tensor> {
    let ab = ab.contiguous()?;
    typed!(ab, F => of_type::<F>(tape, &ab, start, time))
}

fn of_type<F: Real>(
    tape: Option<&Tape>,
    ab: &Tensor,
    start: Option<&Tensor>,
    time: usize,
) -> Result<Tensor> {
    let (rows, width) = (ab.dim(0)?, ab.dim(1)? / 2);
    let start = match start {
        Some(start) => start.flatten_all()?.to_vec1::<F>()?,
        None => vec![F::ZERO; rows / time * width],
    };
    let forward = |[(ab, layout)]: [(&CpuStorage, &Layout); 1]| {
        let y = forward(numbers::<F>(ab, layout)?, &start, time, width);
        Ok((F::to_cpu_storage_owned(y), Shape::from((rows, width))))
    };
    put(tape, [ab], forward, move |inputs, y, g| {
        let (ab, g) = (&inputs[0], g.contiguous()?);
        let d = with_numbers::<F, _, 3>([ab, y, &g], |[ab, y, g]| backward(ab, y, g, time, width))?;
        Ok(vec![Some(tensor(d, ab.shape())?)])
    })
}

simd! {
    fn step<S, F>(ab: &[F], before: &[F], state: &mut [F]) {
        let width = before.len();
        let (a, b) = ab.split_at(width);
        let (b, state) = (&b[..width], &mut state[..width]);
        for k in 0..width {
            let z = a[k].sigmoid::<S>();
            state[k] = z.fma::<S>(b[k] - before[k], before[k]);
        }
    }
}

simd! {
    /// Of the gradient of a state, from without and from the next token, those of its gate and candidate, and of the state before
    /// in place of what the next token gave.
    fn step_back<S, F>(ab: &[F], before: &[F], g: &[F], carried: &mut [F], d: &mut [F]) {
        let width = before.len();
        let ((a, b), (d_a, d_b)) = (ab.split_at(width), d.split_at_mut(width));
        let (b, d_b) = (&b[..width], &mut d_b[..width]);
        let (g, carried) = (&g[..width], &mut carried[..width]);
        for k in 0..width {
            let (z, d_h) = (a[k].sigmoid::<S>(), g[k] + carried[k]);
            d_a[k] = d_h * (b[k] - before[k]) * z * (F::ONE - z);
            d_b[k] = d_h * z;
            carried[k] = d_h * (F::ONE - z);
        }
    }
}

fn forward<F: Real>(ab: &[F], start: &[F], time: usize, width: usize) -> Vec<F> {
    let mut y = vec![F::ZERO; ab.len() / 2];
    chunks(&mut y, time * width, ab.len(), |window, y| {
        let ab = &ab[window * time * 2 * width..][..time * 2 * width];
        for (t, ab) in ab.chunks_exact(2 * width).enumerate() {
            let (past, state) = y.split_at_mut(t * width);
            let before = match t {
                0 => &start[window * width..][..width],
                _ => &past[(t - 1) * width..],
            };
            step(ab, before, &mut state[..width]);
        }
    });
    y
}

fn backward<F: Real>(ab: &[F], y: &[F], g: &[F], time: usize, width: usize) -> Vec<F> {
    let mut d = vec![F::ZERO; ab.len()];
    let nothing = vec![F::ZERO; width];
    chunks(&mut d, time * 2 * width, ab.len(), |window, d| {
        let mut carried = vec![F::ZERO; width];
        for (t, d) in d.chunks_exact_mut(2 * width).enumerate().rev() {
            let at = (window * time + t) * width;
            let before = match t {
                0 => &nothing,
                _ => &y[at - width..][..width],
            };
            let (ab, g) = (&ab[2 * at..][..2 * width], &g[at..][..width]);
            step_back(ab, before, g, &mut carried, d);
        }
    });
    d
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{agrees, check, odd_shapes};
    use candle_core::Device;
    use proptest::prelude::*;

    #[test]
    fn gradients_are_right() {
        check(&[&[6, 8]], |ops, x| ops.min_gru(&x[0], None, 3));
        check(&[&[5, 2]], |ops, x| ops.min_gru(&x[0], None, 1));
        agrees(&[&[700, 130]], |ops, x| ops.min_gru(&x[0], None, 35));
    }

    proptest! {
        #![proptest_config(odd_shapes())]
        #[test]
        fn any_shape(windows in 1..6usize, time in 1..9usize, c in 1..40usize) {
            agrees(&[&[windows * time, 2 * c]], |ops, x| ops.min_gru(&x[0], None, time));
        }
    }

    /// With gates of -ln t each state is the mean of the candidates so far; in pieces as in one.
    #[test]
    fn a_gate_of_one_over_t_gives_means() -> Result<()> {
        let gate = |t: usize| match t {
            0 => 40.0,
            t => -(t as f64).ln(),
        };
        let rows: Vec<f64> = (0..6).flat_map(|t| [gate(t), (t * t) as f64]).collect();
        let ab = Tensor::from_vec(rows, (6, 2), &Device::Cpu)?;
        for ops in [Ops::fused(), Ops::reference()] {
            let first = ops.min_gru(&ab.narrow(0, 0, 4)?, None, 4)?;
            let rest = ops.min_gru(&ab.narrow(0, 4, 2)?, Some(&first.narrow(0, 3, 1)?), 2)?;
            let states = Tensor::cat(&[first, rest], 0)?.flatten_all()?;
            let states = states.to_vec1::<f64>()?;
            for (t, state) in states.into_iter().enumerate() {
                let mean = (0..=t).map(|k| (k * k) as f64).sum::<f64>() / (t + 1) as f64;
                assert!((state - mean).abs() < 1e-12, "{t}: {state} {mean}");
            }
        }
        Ok(())
    }
}
