//! An RMSNorm over each head of an output, and a gate: `y = gain n a(z)`, n = x r, `r = 1 / sqrt(mean(x^2) + eps)` over the D numbers of a
//! head (Sun et al. 2023, arXiv:2307.08621, eq. 8, with RMSNorm), or with the gate first, `y = gain n`, n of x a(z), as Mamba-2 has it
//! (Dao and Gu 2024, arXiv:2405.21060, section 7.1). The gain has D numbers, which all heads share.
//!
//! Backwards as in `norm`: with h = g a(z) gain, `dx = r (h - n mean(h n))`, dgain sums g a(z) n, `dz = g gain n a'(z)`; with the gate
//! first h = g gain gives the gradient of x a(z), and that those of both.

use super::cpu::isa::Isa;
use super::cpu::matmul::Shared;
use super::cpu::real::{Real, typed};
use super::cpu::rows::{build, build_and_sum, numbers, tensor, with_numbers};
use super::cpu::simd::{dot, dot3, simd};
use super::tape::{self, Tape};
use candle_core::{DType, Result, Tensor, bail};

/// What a gate does to its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormGate {
    /// `z sigmoid(z)`.
    Silu,
    /// `sigmoid(z)`.
    Sigmoid,
}

/// How a gate and a norm go together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GatedNorm {
    /// What the gate does.
    pub gate: NormGate,
    /// Whether it comes before the norm.
    pub first: bool,
    /// Added to the mean square.
    pub eps: f64,
}

fn check(x: &Tensor, gate: Option<&Tensor>, gain: &Tensor) -> Result<()> {
    let ((_, width), head) = (x.dims2()?, gain.dims1()?);
    if head == 0 || !width.is_multiple_of(head) || gate.is_some_and(|z| z.dims() != x.dims()) {
        bail!(
            "{:?} has no norm over {head} numbers with a gate of {:?}",
            x.shape(),
            gate.map(Tensor::shape)
        );
    }
    Ok(())
}

/// In f32 where the input is narrower.
pub(super) fn reference(
    x: &Tensor,
    gate: Option<&Tensor>,
    gain: &Tensor,
    of: GatedNorm,
) -> Result<Tensor> {
    check(x, gate, gain)?;
    let (own, (rows, width), head) = (x.dtype(), x.dims2()?, gain.dims1()?);
    let dtype = if own == DType::F64 { own } else { DType::F32 };
    let opened = match gate {
        Some(z) => {
            let z = z.to_dtype(dtype)?;
            Some(match of.gate {
                NormGate::Silu => z.silu()?,
                NormGate::Sigmoid => candle_nn::ops::sigmoid(&z)?,
            })
        }
        None => None,
    };
    let gated = |x: Tensor| match &opened {
        Some(opened) => x * opened,
        None => Ok(x),
    };
    let mut x = x.to_dtype(dtype)?;
    if of.first {
        x = gated(x)?;
    }
    let heads = x.reshape((rows * (width / head), head))?;
    let root = (heads.sqr()?.mean_keepdim(1)? + of.eps)?.sqrt()?;
    let heads = heads.broadcast_div(&root)?;
    let mut y = heads
        .broadcast_mul(&gain.to_dtype(dtype)?)?
        .reshape((rows, width))?;
    if !of.first {
        y = gated(y)?;
    }
    y.to_dtype(own)
}

/// What a gate does, and its slope.
#[inline(always)]
fn opened<S: Isa, F: Real>(gate: NormGate, z: F) -> (F, F) {
    let s = z.sigmoid::<S>();
    match gate {
        NormGate::Silu => (z * s, s * z.fma::<S>(F::ONE - s, F::ONE)),
        NormGate::Sigmoid => (s, s * (F::ONE - s)),
    }
}

simd! {
    /// One row; z is empty where there is no gate.
    fn forward<S, F>(of: GatedNorm, x: &[F], z: &[F], gain: &[F], y: &mut [F]) {
        let d = gain.len();
        for (i, (y, x)) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)).enumerate() {
            let z = if z.is_empty() { z } else { &z[i * d..(i + 1) * d] };
            y.copy_from_slice(x);
            if of.first {
                for (y, &z) in y.iter_mut().zip(z) {
                    *y *= opened::<S, F>(of.gate, z).0;
                }
            }
            let r = F::ONE / (dot::<S, F>(y, y) / F::of(d as f64) + F::of(of.eps)).sqrt();
            for (y, &gain) in y.iter_mut().zip(gain) {
                *y = *y * r * gain;
            }
            if !of.first {
                for (y, &z) in y.iter_mut().zip(z) {
                    *y *= opened::<S, F>(of.gate, z).0;
                }
            }
        }
    }
}

/// A row of inputs and the gradient of its output.
#[derive(Clone, Copy)]
struct Row<'a, F> {
    x: &'a [F],
    z: &'a [F],
    gain: &'a [F],
    g: &'a [F],
}

simd! {
    /// One row backwards: `dx` and `dz` are written, `dgain` added to. `n` and `h` have room for a head.
    fn backward<S, F>(
        of: GatedNorm,
        row: Row<'_, F>,
        dx: &mut [F],
        dz: &mut [F],
        dgain: &mut [F],
        n: &mut [F],
        h: &mut [F],
    ) {
        let (gain, d) = (row.gain, row.gain.len());
        for at in (0..row.x.len()).step_by(d) {
            let (x, g, dx) = (&row.x[at..at + d], &row.g[at..at + d], &mut dx[at..at + d]);
            let gated = !row.z.is_empty();
            let (z, dz) = match gated {
                true => (&row.z[at..at + d], &mut dz[at..at + d]),
                false => Default::default(),
            };
            n.copy_from_slice(x);
            h.copy_from_slice(g);
            let side = if of.first { &mut *n } else { &mut *h };
            for (side, &z) in side.iter_mut().zip(z) {
                *side *= opened::<S, F>(of.gate, z).0;
            }
            let r = F::ONE / (dot::<S, F>(n, n) / F::of(d as f64) + F::of(of.eps)).sqrt();
            for (n, (&h, dgain)) in n.iter_mut().zip(h.iter().zip(dgain.iter_mut())) {
                *n *= r;
                *dgain = h.fma::<S>(*n, *dgain);
            }
            let mean = dot3::<S, F>(h, gain, n) / F::of(d as f64);
            for ((dx, &h), (&gain, &n)) in dx.iter_mut().zip(&*h).zip(gain.iter().zip(&*n)) {
                *dx = r * (h * gain - n * mean);
            }
            let given = x.iter().zip(z).zip(g.iter().zip(gain).zip(&*n));
            for ((dz, dx), ((&x, &z), ((&g, &gain), &n))) in dz.iter_mut().zip(dx).zip(given) {
                let (a, slope) = opened::<S, F>(of.gate, z);
                if of.first {
                    *dz = *dx * x * slope;
                    *dx *= a;
                } else {
                    *dz = g * gain * n * slope;
                }
            }
        }
    }
}

pub(super) fn fused(
    tape: Option<&Tape>,
    x: &Tensor,
    gate: Option<&Tensor>,
    gain: &Tensor,
    of: GatedNorm,
) -> Result<Tensor> {
    check(x, gate, gain)?;
    let (x, gain) = (x.contiguous()?, gain.contiguous()?);
    let gate = match gate {
        Some(gate) => gate.contiguous()?,
        None => Tensor::zeros(0, x.dtype(), x.device())?,
    };
    typed!(x, F => of_type::<F>(tape, [&x, &gate, &gain], of))
}

fn of_type<F: Real>(tape: Option<&Tape>, inputs: [&Tensor; 3], of: GatedNorm) -> Result<Tensor> {
    let ((rows, width), shape) = (inputs[0].dims2()?, inputs[0].shape().clone());
    let run = |[x, z, gain]: [(&_, &_); 3]| {
        let (x, z) = (numbers::<F>(x.0, x.1)?, numbers::<F>(z.0, z.1)?);
        let gain = numbers(gain.0, gain.1)?;
        let y = build(rows, width, |first, block| {
            for (i, y) in block.chunks_exact_mut(width).enumerate() {
                let at = (first + i) * width;
                forward(of, &x[at..at + width], row_of(z, at, width), gain, y);
            }
        });
        Ok((F::to_cpu_storage_owned(y), shape))
    };
    tape::put(tape, inputs, run, move |inputs, _, g| {
        let all = [&inputs[0], &inputs[1], &inputs[2], &g.contiguous()?];
        let ((dx, dgain), dz) = with_numbers::<F, _, 4>(all, |[x, z, gain, g]| {
            let mut dz = vec![F::ZERO; z.len()];
            let of_gate = Shared::new(&mut dz, width);
            let made = build_and_sum(rows, width, gain.len(), |i, dx, dgain| {
                let at = i * width;
                let row = Row {
                    x: &x[at..at + width],
                    z: row_of(z, at, width),
                    gain,
                    g: &g[at..at + width],
                };
                let mut room = vec![F::ZERO; 2 * gain.len()];
                let (n, h) = room.split_at_mut(gain.len());
                if z.is_empty() {
                    backward(of, row, dx, &mut [], dgain, n, h);
                } else {
                    // SAFETY: each row is written once.
                    let mut dz = unsafe { of_gate.part((i, 0), 1, width) };
                    backward(of, row, dx, dz.row(0), dgain, n, h);
                }
            });
            (made, dz)
        })?;
        let dz = match inputs[1].elem_count() {
            0 => None,
            _ => Some(tensor(dz, inputs[1].shape())?),
        };
        let dx = Some(tensor(dx, inputs[0].shape())?);
        Ok(vec![dx, dz, Some(tensor(dgain, inputs[2].shape())?)])
    })
}

/// A row of what may be empty.
fn row_of<F>(z: &[F], at: usize, width: usize) -> &[F] {
    if z.is_empty() { z } else { &z[at..at + width] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Ops;
    use crate::ops::check::{agrees, check};

    fn run(
        gate: Option<NormGate>,
        first: bool,
    ) -> impl Fn(Ops, &[Tensor]) -> Result<Tensor> + Sync {
        move |ops, x| {
            let of = GatedNorm {
                gate: gate.unwrap_or(NormGate::Silu),
                first,
                eps: 1e-5,
            };
            let z = x.get(2).filter(|_| gate.is_some());
            ops.gated_norm(&x[0], z, &x[1], of)
        }
    }

    #[test]
    fn gradients_are_right() {
        for first in [false, true] {
            for gate in [NormGate::Silu, NormGate::Sigmoid] {
                check(&[&[3, 10], &[5], &[3, 10]], run(Some(gate), first));
                agrees(&[&[150, 96], &[48], &[150, 96]], run(Some(gate), first));
            }
            check(&[&[3, 6], &[3]], run(None, first));
        }
    }
}
