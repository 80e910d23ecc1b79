//! Linear attention: every head holds a matrix S, a sum of keys times what is written under them, that each query reads once.
//!
//! `S_t = diag(a_t) S_(t-1) + k_t u_t^T`, `o_t = S_t^T q_t`. Nothing, one factor a head or one for each channel decays; what is
//! written is the value, the value times a write gate beta, or by the delta rule `u = beta (v - S^T k)`, which writes what the
//! decayed state does not hold under that key yet. So come out linear attention (Katharopoulos et al. 2020, arXiv:2006.16236),
//! RetNet (Sun et al. 2023, arXiv:2307.08621), GLA (Yang et al. 2023, arXiv:2312.06635), Mamba-2 (Dao and Gu 2024,
//! arXiv:2405.21060), DeltaNet (Yang et al. 2024, arXiv:2406.06484), Gated DeltaNet (Yang et al. 2024, arXiv:2412.06464) and
//! Kimi Delta Attention (Kimi Team 2025, arXiv:2510.26692).
//!
//! Windows and heads run in parallel, the chunks of a window one behind the other: within a chunk tokens meet in matrix products, from
//! chunk to chunk the state goes on. Kept for the way back are the states between chunks and the errors of the delta rule.

mod axes;
mod pairs;
mod kernels;
mod head;
mod back;
mod step;

use super::counted;
use super::cpu::matmul::Shared;
use super::cpu::real::{Real, typed};
use super::cpu::rows::{chunks, numbers, tensor, with_numbers};
use super::tape::{self, Tape};
use back::{Slopes, backward};
use candle_core::{D, DType, Result, Shape, Tensor};
use head::{Carried, Given, Kept, Place, Side, forward};
use kernels::{exponentials, with_features};
use rayon::prelude::*;
use std::sync::{Arc, OnceLock};
use step::Token;

pub use axes::{Decay, Features, LinearAxes, Products};

/// What linear attention gets.
#[derive(Debug, Clone, Copy)]
pub struct LinearInputs<'a> {
    /// (N, 2 G dk + H dv): `[queries | keys | values]`, head by head.
    pub qkv: &'a Tensor,
    /// (N, H or H dk, and H): logarithms of decays, then write gates, where the axes say so.
    pub gates: Option<&'a Tensor>,
    /// (H): what of a value is added to its own output.
    pub skip: Option<&'a Tensor>,
}

impl LinearInputs<'_> {
    fn check(&self, axes: LinearAxes) -> Result<()> {
        axes.check(self.qkv, self.gates, self.skip)
    }

    /// Contiguous, with something empty for what is not there.
    fn all(&self) -> Result<[Tensor; 3]> {
        let or_empty = |given: Option<&Tensor>| match given {
            Some(given) => given.contiguous(),
            None => Tensor::zeros(0, self.qkv.dtype(), self.qkv.device()),
        };
        Ok([
            self.qkv.contiguous()?,
            or_empty(self.gates)?,
            or_empty(self.skip)?,
        ])
    }
}

/// Features of queries or keys, (.., width).
fn featured(x: &Tensor, features: Features) -> Result<Tensor> {
    match features {
        Features::Plain => Ok(x.clone()),
        Features::Unit => x.broadcast_div(&(x.sqr()?.sum_keepdim(D::Minus1)? + 1e-6)?.sqrt()?),
        Features::Elu => x.elu(1.0)? + 1.0,
    }
}

/// Head by head, (B, H, T, width), of columns from `first` on.
fn by_head(
    x: &Tensor,
    first: usize,
    heads: usize,
    width: usize,
    axes: LinearAxes,
) -> Result<Tensor> {
    x.narrow(1, first, heads * width)?
        .reshape((axes.batch, axes.time, heads, width))?
        .transpose(1, 2)?
        .contiguous()
}

/// Decays (B, H, T, 1 or dk) and write gates (B, H, T, 1), where there are such.
fn opened(inputs: LinearInputs, dtype: DType, axes: LinearAxes) -> Result<[Option<Tensor>; 2]> {
    let Some(gates) = inputs.gates else {
        return Ok([None, None]);
    };
    let (gates, heads, w) = (gates.to_dtype(dtype)?, axes.heads, axes.decay_width());
    let decays = (w > 0).then(|| by_head(&gates, 0, heads, w, axes)?.exp());
    let betas = axes
        .writes
        .then(|| by_head(&gates, heads * w, heads, 1, axes));
    Ok([decays.transpose()?, betas.transpose()?])
}

/// Token by token, of windows before which there was a state (B x H, dk, dv) or nothing: the output, and the state after. In f32 where
/// the inputs are narrower.
pub(super) fn reference(
    inputs: LinearInputs,
    state: Option<&Tensor>,
    axes: LinearAxes,
) -> Result<[Tensor; 2]> {
    inputs.check(axes)?;
    let LinearAxes {
        batch,
        heads,
        key_heads,
        key_width: dk,
        value_width: dv,
        ..
    } = axes;
    let own = inputs.qkv.dtype();
    let dtype = if own == DType::F64 { own } else { DType::F32 };
    let qkv = inputs.qkv.to_dtype(dtype)?;
    let keys = |first: usize| -> Result<Tensor> {
        let x = featured(
            &by_head(&qkv, first * dk, key_heads, dk, axes)?,
            axes.features,
        )?;
        let group = heads / key_heads;
        x.unsqueeze(2)?
            .broadcast_as((batch, key_heads, group, axes.time, dk))?
            .contiguous()?
            .reshape((batch, heads, axes.time, dk))
    };
    let (q, k) = ((keys(0)? * axes.scale)?, keys(key_heads)?);
    let v = by_head(&qkv, 2 * key_heads * dk, heads, dv, axes)?;
    let [decays, betas] = opened(inputs, dtype, axes)?;
    let mut state = match state {
        Some(state) => state.to_dtype(dtype)?.reshape((batch, heads, dk, dv))?,
        None => Tensor::zeros((batch, heads, dk, dv), dtype, qkv.device())?,
    };
    let mut read = Vec::with_capacity(axes.time);
    for t in 0..axes.time {
        let row = |x: &Tensor| x.narrow(2, t, 1);
        let column = |x: &Tensor| row(x)?.transpose(2, 3);
        if let Some(decays) = &decays {
            state = state.broadcast_mul(&column(decays)?)?;
        }
        let (mut u, k) = (row(&v)?, column(&k)?);
        if axes.delta {
            u = (u - state.broadcast_mul(&k)?.sum_keepdim(2)?)?;
        }
        if let Some(betas) = &betas {
            u = u.broadcast_mul(&row(betas)?)?;
        }
        state = (state + k.broadcast_mul(&u)?)?;
        read.push(state.broadcast_mul(&column(&q)?)?.sum_keepdim(2)?);
    }
    let mut y = Tensor::cat(&read, 2)?;
    if let Some(skip) = inputs.skip {
        let skip = skip.to_dtype(dtype)?.reshape((1, heads, 1, 1))?;
        y = (y + v.broadcast_mul(&skip)?)?;
    }
    let y = y.transpose(1, 2)?.reshape((axes.rows(), axes.width()))?;
    Ok([y.to_dtype(own)?, state.reshape((batch * heads, dk, dv))?])
}

pub(super) fn fused(tape: Option<&Tape>, inputs: LinearInputs, axes: LinearAxes) -> Result<Tensor> {
    inputs.check(axes)?;
    let inputs = inputs.all()?;
    typed!(inputs[0], F => of_type::<F>(tape, inputs.each_ref(), axes))
}

/// Which window and head a task is.
fn place(i: usize, heads: usize) -> Place {
    Place {
        window: i / heads,
        head: i % heads,
    }
}

fn of_type<F: Real>(tape: Option<&Tape>, inputs: [&Tensor; 3], axes: LinearAxes) -> Result<Tensor> {
    let keeps = tape::tracked(tape, &inputs)?;
    let left: Arc<OnceLock<Vec<Kept<F>>>> = Arc::default();
    let leave = left.clone();
    let shape = Shape::from((axes.rows(), axes.width()));
    let run = |[qkv, gates, skip]: [(&_, &_); 3]| {
        let given = Given {
            axes,
            qkv: numbers::<F>(qkv.0, qkv.1)?,
            gates: numbers(gates.0, gates.1)?,
            skip: numbers(skip.0, skip.1)?,
        };
        let mut y = vec![F::ZERO; axes.rows() * axes.width()];
        let out = Shared::new(&mut y, axes.width());
        let of_head = |i: usize| {
            let carried = Carried {
                state: &mut vec![F::ZERO; axes.state()],
                begun: false,
                ends: false,
            };
            forward(given, place(i, axes.heads), carried, &out, keeps)
        };
        let heads = (0..axes.batch * axes.heads).into_par_iter();
        leave.set(heads.map(of_head).collect()).ok();
        Ok((F::to_cpu_storage_owned(y), shape))
    };
    tape::put(tape, inputs, run, move |inputs, _, g| {
        let kept = left.get().map_or(&[][..], Vec::as_slice);
        let all = [&inputs[0], &inputs[1], &inputs[2], &g.contiguous()?];
        let slopes = with_numbers::<F, _, 4>(all, |[qkv, gates, skip, g]| {
            let given = Given {
                axes,
                qkv,
                gates,
                skip,
            };
            slopes(given, g, kept)
        })?;
        let given = slopes.into_iter().zip(inputs);
        given
            .map(|(slope, input)| match input.elem_count() {
                0 => Ok(None),
                _ => Ok(Some(tensor(slope, input.shape())?)),
            })
            .collect()
    })
}

/// The gradients of all three inputs.
fn slopes<F: Real>(given: Given<F>, g: &[F], kept: &[Kept<F>]) -> [Vec<F>; 3] {
    let axes = given.axes;
    let group = axes.heads / axes.key_heads;
    let mut qkv = vec![F::ZERO; given.qkv.len()];
    let mut gates = vec![F::ZERO; given.gates.len()];
    let mut skips = vec![F::ZERO; axes.batch * axes.heads];
    let out = Slopes {
        qkv: Shared::new(&mut qkv, axes.packed_width()),
        gates: Shared::new(&mut gates, axes.gates_width()),
        skip: Shared::new(&mut skips, axes.heads),
    };
    // Heads that share keys come one behind the other: they add to the same gradient.
    let of_keys = |i: usize| {
        for (head, kept) in kept.iter().enumerate().skip(i * group).take(group) {
            backward(given, place(head, axes.heads), g, kept, &out);
        }
    };
    (0..axes.batch * axes.key_heads)
        .into_par_iter()
        .for_each(of_keys);
    let mut skip = vec![F::ZERO; given.skip.len()];
    for of_window in skips.chunks_exact(axes.heads) {
        skip.iter_mut()
            .zip(of_window)
            .for_each(|(sum, &d)| *sum += d);
    }
    [qkv, gates, skip]
}

/// The same for tokens that follow others, whose state (B x H, dk, dv) goes in: the output, and the state after. No gradient.
pub(super) fn fused_after(
    inputs: LinearInputs,
    state: &Tensor,
    axes: LinearAxes,
) -> Result<[Tensor; 2]> {
    inputs.check(axes)?;
    let [qkv, gates, skip] = inputs.all()?;
    let before = state.contiguous()?;
    typed!(qkv, F => {
        let all = [&qkv, &gates, &skip, &before];
        let [y, after] = with_numbers::<F, _, 4>(all, |[qkv, gates, skip, state]| {
            let given = Given { axes, qkv, gates, skip };
            after(given, state)
        })?;
        Ok([tensor(y, (axes.rows(), axes.width()))?, tensor(after, state.shape())?])
    })
}

fn after<F: Real>(given: Given<F>, before: &[F]) -> [Vec<F>; 2] {
    let axes = given.axes;
    let mut state = before.to_vec();
    let mut y = vec![F::ZERO; axes.rows() * axes.width()];
    let out = Shared::new(&mut y, axes.width());
    let work = axes.time * state.len();
    if axes.time == 1 {
        let products = 2 * axes.products_after(1).forward * (axes.batch * axes.heads) as u64;
        counted::add(products as i64);
    }
    chunks(&mut state, axes.state(), work, |i, state| {
        let place = place(i, axes.heads);
        if axes.time == 1 {
            token(given, place, state, &out);
        } else {
            let carried = Carried {
                state,
                begun: true,
                ends: true,
            };
            forward(given, place, carried, &out, false);
        }
    });
    [y, state]
}

/// One token of one head.
fn token<F: Real>(given: Given<F>, place: Place, state: &mut [F], out: &Shared<F>) {
    let axes = given.axes;
    let (dk, dv) = (axes.key_width, axes.value_width);
    let mut room = vec![F::ZERO; 3 * dk + dv];
    let (q, rest) = room.split_at_mut(dk);
    let (k, rest) = rest.split_at_mut(dk);
    let (decay, u) = rest.split_at_mut(dk);
    for (side, scale, to) in [
        (Side::Query, F::of(axes.scale), &mut *q),
        (Side::Key, F::ONE, &mut *k),
    ] {
        with_features(given.raw(place, 0, side), dk, axes.features, scale, dk, to);
    }
    let [of_decay, of_write] = given.gates(place, 0);
    let decay = &mut decay[..axes.decay_width()];
    exponentials(of_decay, decay);
    let v = &given.values(place, 0)[..dv];
    let token = Token {
        q,
        k,
        v,
        decay,
        beta: of_write.first().copied().unwrap_or(F::ONE),
        delta: axes.delta,
    };
    // SAFETY: no other task writes this window's head.
    let mut y = unsafe { out.part((place.window, place.head * dv), 1, dv) };
    token.advance(state, u, y.row(0));
    if let Some(skip) = given.skip(place.head) {
        for (y, &v) in y.row(0).iter_mut().zip(v) {
            *y += skip * v;
        }
    }
}

#[cfg(test)]
mod tests;
