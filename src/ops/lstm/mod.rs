//! A layer of long short-term memory over whole windows (Hochreiter and Schmidhuber 1997; with the forget gate of Gers et al. 2000):
//! `i, f, g, o = sigmoid(z_i), sigmoid(z_f + forget), tanh(z_g), sigmoid(z_o)` of `z_t = x_t W_ih^T + b + h_(t-1) W_hh^T`, then
//! `c_t = f c_(t-1) + i g` and `h_t = o tanh(c_t)`. What the inputs give comes in as one product over all tokens, the four parts of
//! a row side by side in this order; `forget` is a constant (Jozefowicz et al. 2015, section 2.2, start it at 1).
//!
//! Forwards the gates and cells are kept, and backwards each is met once, from the last token on: with `dh` the output's gradient
//! and what the next token gave, `dc += dh o (1 - tanh(c)^2)`, `dz` the gates' slopes times `dc g`, `dc c_(t-1)`, `dc i` and
//! `dh tanh(c)`, then `dc = dc f` and `dh = dz W_hh` for the token before. `dW_hh` is one product a window.
//!
//! A few windows go through all their tokens on one thread, whatever other threads do: no step waits for another thread, and each
//! number is summed in one order. The products of so few rows are made here, with the weights packed once for all tokens.

mod strips;
#[cfg(test)]
mod tests;

use super::Ops;
use super::counted;
use super::cpu::matmul::{Before, Matrix, MatrixMut, all_threads, multiply};
use super::cpu::real::{Real, typed};
use super::cpu::rows::{numbers, tensor, with_numbers};
use super::cpu::simd::simd;
use super::tape::{Tape, put};
use candle_core::{CpuStorage, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::sync::{Arc, OnceLock};
use strips::Strips;

/// Windows that go through their tokens together.
const ROWS: usize = 4;
/// Multiply-adds below which waking threads costs more than they save.
const SERIAL: usize = 128 * 1024;

/// What a layer is told beside its tensors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lstm {
    /// Tokens of a window.
    pub time: usize,
    /// Added to what the forget gate gets.
    pub forget: f64,
}

impl Ops<'_> {
    /// The outputs (N, C) of windows of `time` tokens and their last cells (B, C), of what the inputs give, z (N, 4 C), and the
    /// recurrent weights (4 C, C). Windows begin with nothing, or with cells (B, C), and then the product of the output before with
    /// the weights is in their first z already; these have no gradient.
    ///
    /// # Errors
    /// Where shapes do not fit.
    pub fn lstm(
        self,
        z: &Tensor,
        weights: &Tensor,
        cells: Option<&Tensor>,
        lstm: Lstm,
    ) -> Result<(Tensor, Tensor)> {
        check(z, weights, cells, lstm)?;
        self.choose(
            |tape| fused(tape, z, weights, cells, lstm),
            |_| reference(z, weights, cells, lstm),
            || reference(z, weights, cells, lstm),
        )
    }
}

fn check(z: &Tensor, weights: &Tensor, cells: Option<&Tensor>, lstm: Lstm) -> Result<()> {
    let ((rows, columns), (outputs, width)) = (z.dims2()?, weights.dims2()?);
    let fits = lstm.time > 0 && rows.is_multiple_of(lstm.time);
    if !fits || columns != 4 * width || outputs != columns {
        bail!(
            "gates of {:?} and weights of {:?} are not those of windows of {} tokens",
            z.shape(),
            weights.shape(),
            lstm.time
        );
    }
    let Some(cells) = cells else { return Ok(()) };
    if cells.dims() != [rows / lstm.time, width] {
        bail!(
            "cells of {:?} do not begin windows of {:?}",
            cells.shape(),
            z.shape()
        );
    }
    if z.track_op() || weights.track_op() {
        bail!("windows that begin with cells have no gradient");
    }
    Ok(())
}

/// In f32 where activations are narrower.
pub(super) fn reference(
    z: &Tensor,
    weights: &Tensor,
    cells: Option<&Tensor>,
    lstm: Lstm,
) -> Result<(Tensor, Tensor)> {
    let ((rows, _), (_, width)) = (z.dims2()?, weights.dims2()?);
    let (windows, of_activations) = (rows / lstm.time, z.dtype());
    let dtype = match of_activations {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    let z = z.to_dtype(dtype)?;
    let z = z.reshape((windows, lstm.time, 4 * width))?;
    let weights = weights.to_dtype(dtype)?.t()?;
    let sigmoid = |x: Tensor| (x.neg()?.exp()? + 1.0)?.recip();
    let mut cell = match cells {
        Some(cells) => cells.to_dtype(dtype)?,
        None => Tensor::zeros((windows, width), dtype, z.device())?,
    };
    let mut outputs: Vec<Tensor> = Vec::with_capacity(lstm.time);
    for t in 0..lstm.time {
        let mut z = z.narrow(1, t, 1)?.squeeze(1)?;
        if let Some(before) = outputs.last() {
            z = (z + before.matmul(&weights)?)?;
        }
        let part = |k: usize| z.narrow(1, k * width, width);
        let (input, forget) = (sigmoid(part(0)?)?, sigmoid((part(1)? + lstm.forget)?)?);
        let (candidate, output) = (part(2)?.tanh()?, sigmoid(part(3)?)?);
        cell = ((forget * cell)? + (input * candidate)?)?;
        outputs.push((output * cell.tanh()?)?);
    }
    let y = Tensor::stack(&outputs, 1)?.reshape((rows, width))?;
    Ok((y.to_dtype(of_activations)?, cell))
}

pub(super) fn fused(
    tape: Option<&Tape>,
    z: &Tensor,
    weights: &Tensor,
    cells: Option<&Tensor>,
    lstm: Lstm,
) -> Result<(Tensor, Tensor)> {
    let (z, weights) = (z.contiguous()?, weights.contiguous()?);
    typed!(z, F => of_type::<F>(tape, &z, &weights, cells, lstm))
}

/// What the way back needs of each token.
struct Kept<F> {
    /// i, f, g, o: (N, 4 C).
    gates: Vec<F>,
    /// (N, C).
    cells: Vec<F>,
}

fn of_type<F: Real>(
    tape: Option<&Tape>,
    z: &Tensor,
    weights: &Tensor,
    cells: Option<&Tensor>,
    lstm: Lstm,
) -> Result<(Tensor, Tensor)> {
    let start = match cells {
        Some(cells) => Some(cells.flatten_all()?.to_vec1::<F>()?),
        None => None,
    };
    let kept = Arc::new(OnceLock::new());
    let (leave, left) = (kept.clone(), kept.clone());
    let forward = |[(z, lz), (w, lw)]: [(&CpuStorage, &Layout); 2]| {
        let (rows, width) = (lz.shape().dims2()?.0, lw.shape().dims2()?.1);
        let layer = Layer { lstm, width };
        let (y, kept) = layer.forward(numbers::<F>(z, lz)?, numbers::<F>(w, lw)?, start.as_deref());
        leave.set(kept).ok();
        Ok((F::to_cpu_storage_owned(y), Shape::from((rows, width))))
    };
    let width = weights.dim(1)?;
    let layer = Layer { lstm, width };
    let y = put(tape, [z, weights], forward, move |inputs, y, g| {
        let Some(kept) = left.get() else {
            bail!("a layer goes back that never went forward")
        };
        layer.gradients::<F>(&inputs[0], &inputs[1], y, &g.contiguous()?, kept)
    })?;
    let last: Vec<F> = kept.get().map_or_else(Vec::new, |kept| {
        let windows = kept.cells.chunks_exact(lstm.time * width);
        windows
            .flat_map(|cells| &cells[cells.len() - width..])
            .copied()
            .collect()
    });
    Ok((y, tensor(last, (z.dim(0)? / lstm.time, width))?))
}

simd! {
    /// One token of one window: its z become its gates, and make a cell and an output.
    fn step<S, F>(z: &mut [F], forget: F, before: &[F], cell: &mut [F], output: &mut [F]) {
        let width = before.len();
        let (i, rest) = z.split_at_mut(width);
        let (f, rest) = rest.split_at_mut(width);
        let (g, o) = rest.split_at_mut(width);
        let (o, cell, output) = (&mut o[..width], &mut cell[..width], &mut output[..width]);
        for k in 0..width {
            i[k] = i[k].sigmoid::<S>();
            f[k] = (f[k] + forget).sigmoid::<S>();
            g[k] = g[k].tanh::<S>();
            o[k] = o[k].sigmoid::<S>();
            cell[k] = f[k].fma::<S>(before[k], i[k] * g[k]);
            output[k] = o[k] * cell[k].tanh::<S>();
        }
    }
}

simd! {
    /// Backwards: of the gradients of an output, from without and from the next token, and of its cell, those of z, and of the
    /// cell before in place of the cell's.
    fn step_back<S, F>(
        gates: &[F],
        before: &[F],
        cell: &[F],
        given: [&[F]; 2],
        d_cell: &mut [F],
        d_z: &mut [F],
    ) {
        let width = before.len();
        let (i, rest) = gates.split_at(width);
        let (f, rest) = rest.split_at(width);
        let (g, o) = rest.split_at(width);
        let (d_i, rest) = d_z.split_at_mut(width);
        let (d_f, rest) = rest.split_at_mut(width);
        let (d_g, d_o) = rest.split_at_mut(width);
        let (o, d_o, cell) = (&o[..width], &mut d_o[..width], &cell[..width]);
        let (g_y, g_h, d_cell) = (&given[0][..width], &given[1][..width], &mut d_cell[..width]);
        for k in 0..width {
            let (d_h, squashed) = (g_y[k] + g_h[k], cell[k].tanh::<S>());
            let d_c = (d_h * o[k]).fma::<S>(F::ONE - squashed * squashed, d_cell[k]);
            d_i[k] = d_c * g[k] * i[k] * (F::ONE - i[k]);
            d_f[k] = d_c * before[k] * f[k] * (F::ONE - f[k]);
            d_g[k] = d_c * i[k] * (F::ONE - g[k] * g[k]);
            d_o[k] = d_h * squashed * o[k] * (F::ONE - o[k]);
            d_cell[k] = d_c * f[k];
        }
    }
}

#[derive(Clone, Copy)]
struct Layer {
    lstm: Lstm,
    /// C.
    width: usize,
}

impl Layer {
    /// Numbers of one column in a group of windows.
    fn group(self) -> usize {
        ROWS * self.lstm.time
    }

    /// Whether there is more than one group, and enough to do in it.
    fn is_shared(self, rows: usize) -> bool {
        rows > self.group() && 4 * rows * self.width * self.width > SERIAL
    }

    fn count(self, windows: usize) {
        let steps = windows * (self.lstm.time - 1);
        counted::add((2 * steps * 4 * self.width * self.width) as i64);
    }

    fn forward<F: Real>(self, z: &[F], weights: &[F], start: Option<&[F]>) -> (Vec<F>, Kept<F>) {
        let (c, group) = (self.width, self.group());
        let rows = z.len() / (4 * c);
        let mut kept = Kept {
            gates: z.to_vec(),
            cells: vec![F::ZERO; rows * c],
        };
        let mut y = vec![F::ZERO; rows * c];
        // W^T; a single token makes no product.
        let transposed = match self.lstm.time {
            1 => None,
            _ => Some(Strips::of(c, 4 * c, |i, j| weights[j * c + i])),
        };
        let nothing = vec![F::ZERO; ROWS * c];
        let of_group = |(k, ((gates, cells), y)): (usize, ((&mut [F], &mut [F]), &mut [F]))| {
            let before = match start {
                Some(start) => &start[k * ROWS * c..],
                None => &nothing,
            };
            self.forward_group(gates, cells, y, before, transposed.as_ref());
        };
        if self.is_shared(rows) {
            let gates = kept.gates.par_chunks_mut(group * 4 * c);
            let all = gates.zip(kept.cells.par_chunks_mut(group * c));
            let all = all.zip(y.par_chunks_mut(group * c));
            all.enumerate().for_each(of_group);
        } else {
            let gates = kept.gates.chunks_mut(group * 4 * c);
            let all = gates.zip(kept.cells.chunks_mut(group * c));
            let all = all.zip(y.chunks_mut(group * c));
            all.enumerate().for_each(of_group);
        }
        (y, kept)
    }

    /// A few windows through all their tokens.
    fn forward_group<F: Real>(
        self,
        gates: &mut [F],
        cells: &mut [F],
        y: &mut [F],
        start: &[F],
        transposed: Option<&Strips<F>>,
    ) {
        let (c, time, forget) = (self.width, self.lstm.time, F::of(self.lstm.forget));
        let windows = y.len() / (time * c);
        self.count(windows);
        for t in 0..time {
            if let Some(transposed) = transposed.filter(|_| t > 0) {
                let before = (&y[(t - 1) * c..], time * c);
                let z = (&mut gates[t * 4 * c..], time * 4 * c);
                transposed.add_product(windows, before, z);
            }
            for r in 0..windows {
                let at = (r * time + t) * c;
                let (past, cells) = cells.split_at_mut(at);
                let before = match t {
                    0 => &start[r * c..][..c],
                    _ => &past[at - c..],
                };
                let z = &mut gates[4 * at..][..4 * c];
                step(z, forget, before, &mut cells[..c], &mut y[at..][..c]);
            }
        }
    }

    fn gradients<F: Real>(
        self,
        z: &Tensor,
        weights: &Tensor,
        y: &Tensor,
        g: &Tensor,
        kept: &Kept<F>,
    ) -> Result<Vec<Option<Tensor>>> {
        let (dz, dw) = with_numbers::<F, _, 3>([weights, y, g], |[w, y, g]| {
            let dz = self.backward(w, g, kept);
            let dw = weights.track_op().then(|| self.of_weights(&dz, y));
            (dz, dw)
        })?;
        let dz = z.track_op().then(|| tensor(dz, z.shape())).transpose()?;
        let dw = dw.map(|dw| tensor(dw, weights.shape())).transpose()?;
        Ok(vec![dz, dw])
    }

    /// The gradient of z.
    fn backward<F: Real>(self, weights: &[F], g: &[F], kept: &Kept<F>) -> Vec<F> {
        let (c, group) = (self.width, self.group());
        let rows = g.len() / c;
        let mut dz = vec![F::ZERO; rows * 4 * c];
        let weights = Strips::of(4 * c, c, |i, j| weights[i * c + j]);
        let of_group = |(k, dz): (usize, &mut [F])| {
            let (at, numbers) = (k * group * c, dz.len() / 4);
            let gates = &kept.gates[4 * at..][..4 * numbers];
            let (cells, g) = (&kept.cells[at..][..numbers], &g[at..][..numbers]);
            self.backward_group(&weights, g, gates, cells, dz);
        };
        if self.is_shared(rows) {
            let groups = dz.par_chunks_mut(group * 4 * c);
            groups.enumerate().for_each(of_group);
        } else {
            let groups = dz.chunks_mut(group * 4 * c);
            groups.enumerate().for_each(of_group);
        }
        dz
    }

    /// A few windows back from their last tokens.
    fn backward_group<F: Real>(
        self,
        weights: &Strips<F>,
        g: &[F],
        gates: &[F],
        cells: &[F],
        dz: &mut [F],
    ) {
        let (c, time) = (self.width, self.lstm.time);
        let windows = g.len() / (time * c);
        self.count(windows);
        let nothing = vec![F::ZERO; c];
        let mut d_h = vec![F::ZERO; windows * c];
        let mut d_cell = vec![F::ZERO; windows * c];
        for t in (0..time).rev() {
            for r in 0..windows {
                let at = (r * time + t) * c;
                let before = match t {
                    0 => &nothing,
                    _ => &cells[at - c..][..c],
                };
                let given = [&g[at..][..c], &d_h[r * c..][..c]];
                step_back(
                    &gates[4 * at..][..4 * c],
                    before,
                    &cells[at..][..c],
                    given,
                    &mut d_cell[r * c..][..c],
                    &mut dz[4 * at..][..4 * c],
                );
            }
            if t > 0 {
                d_h.fill(F::ZERO);
                let dz = (&dz[t * 4 * c..], time * 4 * c);
                weights.add_product(windows, dz, (&mut d_h, c));
            }
        }
    }

    /// The gradient of the recurrent weights: of every token but a window's first, with the output before it.
    fn of_weights<F: Real>(self, dz: &[F], y: &[F]) -> Vec<F> {
        let (c, time) = (self.width, self.lstm.time);
        let mut dw = vec![F::ZERO; 4 * c * c];
        let mut out = MatrixMut::new(&mut dw, 4 * c, c, c);
        let windows = dz.chunks_exact(time * 4 * c).zip(y.chunks_exact(time * c));
        for (dz, y) in windows.filter(|_| time > 1) {
            let dz = Matrix::new(&dz[4 * c..], time - 1, 4 * c, 4 * c);
            let factors = (dz.t(), Matrix::new(y, time - 1, c, c));
            multiply(&mut out, Before::AddedTo, F::ONE, factors, all_threads());
        }
        dw
    }
}
