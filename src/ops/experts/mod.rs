//! A mixture of experts, each a SwiGLU layer, without dropping a token (Gale et al. 2022, arXiv:2211.15841):
//! `y_t = sum of g_te W_down,e h_te` over the experts e that token t goes to, with `h_te = swiglu(W_up,e x_t)`.
//!
//! Tokens are sorted by expert, so that each expert makes one product of all its rows, N K rows in all. Backwards, with d the output's
//! gradient and `c = W_down^T d` of each row, the gate's gradient is `c . h`, that of h is `g c`, and `dW_down = (g h)^T d`: what an
//! expert gave is never needed again.
//!
//! Experts' rows are multiplied in parallel, in parts whose size does not depend on the threads, each by a single-threaded product;
//! what a token's experts give is added in their order.

mod routing;
mod gates;

pub use routing::{Routing, Score};

use std::sync::Arc;

use super::Ops;
use super::counted;
use super::cpu::factors::Factors;
use super::cpu::matmul::{Before, Matrix, Shared};
use super::cpu::real::typed;
use super::cpu::rows::{build, numbers, tensor, with_numbers};
use super::cpu::simd::{dot, simd};
use super::cpu::tile::FewRows;
use super::gated::{self, Silu};
use super::tape::{Tape, put};
use candle_core::{Result, Tensor, bail};
use gemm::Parallelism;
use rayon::prelude::*;
use std::ops::Range;

impl Ops<'_> {
    /// What each of a token's experts weighs, the score's share in those of the chosen times `scale`: logits (N, E) to (N, K). Own
    /// code on the CPU, candle's operations elsewhere.
    pub fn expert_gates(
        self,
        logits_ne: &Tensor,
        routing: &Arc<Routing>,
        score: Score,
        scale: f64,
    ) -> Result<Tensor> {
        self.choose(
            |tape| gates::fused(tape, logits_ne, routing, (score, scale)),
            |_| gates::reference(logits_ne, routing, (score, scale)),
            || gates::reference(logits_ne, routing, (score, scale)),
        )
    }

    /// SwiGLU layers, of each token those that it goes to, weighed by its gates: x (N, C), gates (N, K), `[gate | up]` (E 2 F, C) and
    /// down (E C, F) of all to (N, C). Own code on the CPU, candle's operations elsewhere, those in the weights' type.
    pub fn experts(
        self,
        x_nc: &Tensor,
        gates_nk: &Tensor,
        weights: [&Tensor; 2],
        routing: &Arc<Routing>,
    ) -> Result<Tensor> {
        self.choose(
            |tape| fused((tape, self.factors), x_nc, gates_nk, weights, routing),
            |_| reference(x_nc, gates_nk, weights, routing),
            || reference(x_nc, gates_nk, weights, routing),
        )
    }
}

/// Rows of one product.
const ROWS: usize = 128;

/// Rows up to which tiles that pack nothing beat a product whose packing of the weights costs as much as reading them.
const FEW_ROWS: usize = 32;

/// Multiply-adds below which waking threads costs more than they save.
const SERIAL: usize = 64 * 1024;

/// Width of the model C, of an expert F, their number E, and the rows N K.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    c: usize,
    f: usize,
    rows: usize,
    chosen: usize,
}

/// Checks x (N, C), gates (N, K), `[gate | up]` of all experts (E 2F, C), down of all experts (E C, F).
fn sizes(x: &Tensor, gates: &Tensor, [up, down]: [&Tensor; 2], routing: &Routing) -> Result<Sizes> {
    let ((n, c), (_, f)) = (x.dims2()?, down.dims2()?);
    let (count, chosen) = (routing.starts().len() - 1, routing.chosen());
    let fits = routing.tokens().len() == n * chosen
        && gates.dims() == [n, chosen]
        && up.dims() == [count * 2 * f, c]
        && down.dims() == [count * c, f];
    if !fits {
        bail!(
            "{count} experts of {:?} and {:?} do not fit {:?} with gates {:?}",
            up.shape(),
            down.shape(),
            x.shape(),
            gates.shape()
        );
    }
    let rows = n * chosen;
    Ok(Sizes { c, f, rows, chosen })
}

/// In the weights' type whatever that of activations.
fn reference(
    x: &Tensor,
    gates: &Tensor,
    [up, down]: [&Tensor; 2],
    routing: &Routing,
) -> Result<Tensor> {
    let Sizes { c, f, chosen, .. } = sizes(x, gates, [up, down], routing)?;
    let device = x.device();
    let wide = x.to_dtype(up.dtype())?;
    let gates = gates.to_dtype(up.dtype())?.flatten_all()?;
    // The row of each gate, turned round.
    let mut gate_of = vec![0u32; routing.places().len()];
    for (gate, &row) in routing.places().iter().enumerate() {
        gate_of[row as usize] = gate as u32;
    }
    let mut y = wide.zeros_like()?;
    for (expert, rows) in routing.starts().windows(2).enumerate() {
        let rows = rows[0]..rows[1];
        if rows.is_empty() {
            continue;
        }
        let index = |of: &[u32]| Tensor::from_slice(&of[rows.clone()], rows.len(), device);
        let tokens = index(routing.tokens())?;
        let x = wide.index_select(&tokens, 0)?;
        let w = up.narrow(0, expert * 2 * f, 2 * f)?;
        let hidden = gated::reference(&x.matmul(&w.t()?)?, Tensor::silu)?;
        let given = hidden.matmul(&down.narrow(0, expert * c, c)?.t()?)?;
        let gate = gates.index_select(&index(&gate_of)?, 0)?.unsqueeze(1)?;
        y = y.index_add(&tokens, &given.broadcast_mul(&gate)?, 0)?;
    }
    debug_assert!(chosen > 0);
    y.to_dtype(x.dtype())
}

fn fused(
    (tape, factors): (Option<&Tape>, Factors),
    x: &Tensor,
    gates: &Tensor,
    [up, down]: [&Tensor; 2],
    routing: &Arc<Routing>,
) -> Result<Tensor> {
    let sizes = sizes(x, gates, [up, down], routing)?;
    let inputs = [x, gates, up, down].map(Tensor::contiguous);
    let [x, gates, up, down] = inputs;
    let inputs = [&x?, &gates?, &up?, &down?];
    typed!(inputs[0], F => of_type::<F>((tape, factors), inputs, sizes, routing))
}

fn of_type<F: FewRows>(
    (tape, factors): (Option<&Tape>, Factors),
    inputs: [&Tensor; 4],
    sizes: Sizes,
    routing: &Arc<Routing>,
) -> Result<Tensor> {
    let wants = inputs.map(Tensor::track_op);
    let shape = inputs[0].shape().clone();
    let kept = Arc::new(std::sync::OnceLock::new());
    let (leave, back) = (kept.clone(), routing.clone());
    put(
        tape,
        inputs,
        |[x, gates, up, down]| {
            let of = Given {
                factors,
                sizes,
                routing,
                x: numbers(x.0, x.1)?,
                gates: numbers(gates.0, gates.1)?,
                up: numbers(up.0, up.1)?,
                down: numbers(down.0, down.1)?,
            };
            let (y, made) = of.forward();
            leave.set(made).ok();
            Ok((F::to_cpu_storage_owned(y), shape))
        },
        move |inputs, _, g| {
            let [x, gates, up, down] = [0, 1, 2, 3].map(|i| &inputs[i]);
            let given = [x, gates, up, down, &g.contiguous()?];
            let all = with_numbers::<F, _, 5>(given, |[x, gates, up, down, g]| {
                let of = Given {
                    factors,
                    sizes,
                    routing: &back,
                    x,
                    gates,
                    up,
                    down,
                };
                kept.get().map(|made| of.backward(made, g, wants))
            })?;
            let all = all.unwrap_or_default().into_iter().zip(inputs);
            all.map(|(d, of)| d.map(|d| tensor(d, of.shape())).transpose())
                .collect()
        },
    )
}

/// What is kept for the way back, row by row: `[gate | up]` (2F) and `swiglu` of it (F).
#[derive(Default)]
struct Hidden<F> {
    gate_up: Vec<F>,
    hidden: Vec<F>,
}

struct Given<'a, F> {
    factors: Factors,
    sizes: Sizes,
    routing: &'a Routing,
    x: &'a [F],
    gates: &'a [F],
    up: &'a [F],
    down: &'a [F],
}

impl<F: FewRows> Given<'_, F> {
    fn forward(&self) -> (Vec<F>, Hidden<F>) {
        let Sizes { c, f, chosen, .. } = self.sizes;
        let x = self.by_expert(self.x);
        let gate_up = self.products(&x, (self.up, c, 2 * f), Side::RowsOfWeights);
        let hidden = build(gate_up.len() / (2 * f), f, |i, y| {
            gated::forward(Silu, f, &gate_up[2 * i * f..][..2 * y.len()], y)
        });
        let given = self.products(&hidden, (self.down, f, c), Side::RowsOfWeights);
        let y = build(self.x.len() / c, c, |first, y| {
            for (i, y) in y.chunks_exact_mut(c).enumerate() {
                let of_token = (first + i) * chosen..(first + i + 1) * chosen;
                let gates = &self.gates[of_token.clone()];
                for (&gate, &row) in gates.iter().zip(&self.routing.places()[of_token]) {
                    add(gate, &given[row as usize * c..][..c], y);
                }
            }
        });
        (y, Hidden { gate_up, hidden })
    }

    /// The gradients that are wanted of x, gates, up and down.
    fn backward(&self, made: &Hidden<F>, g: &[F], wants: [bool; 4]) -> Vec<Option<Vec<F>>> {
        let Sizes { c, f, rows, .. } = self.sizes;
        let [of_x, of_gates, of_up, of_down] = wants;
        let Hidden { gate_up, hidden } = made;
        let (g, gates) = (self.by_expert(g), self.gates_by_row());
        let scaled = |of: &[F]| {
            build(rows, f, |i, y| {
                y.copy_from_slice(&of[i * f..][..y.len()]);
                for (row, &gate) in y.chunks_exact_mut(f).zip(&gates[i..]) {
                    scale(gate, row);
                }
            })
        };
        let d_down = of_down.then(|| self.gradient(&g, &scaled(hidden), (c, f)));
        if !(of_x || of_gates || of_up) {
            return vec![None, None, None, d_down];
        }
        let through = self.products(&g, (self.down, c, f), Side::ColumnsOfWeights);
        let d_gates = of_gates.then(|| {
            let places = self.routing.places().iter().map(|&row| row as usize * f);
            places
                .map(|at| inner(&through[at..at + f], &hidden[at..at + f]))
                .collect()
        });
        if !(of_x || of_up) {
            return vec![None, d_gates, None, d_down];
        }
        let through = scaled(&through);
        let d_gate_up = build(rows, 2 * f, |i, d| {
            let (x, g) = (&gate_up[2 * i * f..], &through[i * f..]);
            gated::backward(Silu, f, &x[..d.len()], &g[..d.len() / 2], d)
        });
        let d_up = of_up.then(|| self.gradient(&d_gate_up, &self.by_expert(self.x), (2 * f, c)));
        let d_x = of_x.then(|| {
            self.by_token(&self.products(&d_gate_up, (self.up, 2 * f, c), Side::ColumnsOfWeights))
        });
        vec![d_x, d_gates, d_up, d_down]
    }

    /// A row of C numbers for each token in each of its experts.
    fn by_expert(&self, of_tokens: &[F]) -> Vec<F> {
        let Sizes { c, rows, .. } = self.sizes;
        build(rows, c, |first, y| {
            for (y, &token) in y.chunks_exact_mut(c).zip(&self.routing.tokens()[first..]) {
                y.copy_from_slice(&of_tokens[token as usize * c..][..c]);
            }
        })
    }

    /// What the rows of each token sum to, in the order of its experts.
    fn by_token(&self, of_rows: &[F]) -> Vec<F> {
        let Sizes { c, chosen, .. } = self.sizes;
        build(self.x.len() / c, c, |first, y| {
            let places = self.routing.places()[first * chosen..].chunks_exact(chosen);
            for (y, places) in y.chunks_exact_mut(c).zip(places) {
                for &row in places {
                    add(F::ONE, &of_rows[row as usize * c..][..c], y);
                }
            }
        })
    }

    fn gates_by_row(&self) -> Vec<F> {
        let mut gates = vec![F::ZERO; self.sizes.rows];
        let places = self.routing.places().iter().zip(self.gates);
        places.for_each(|(&row, &gate)| gates[row as usize] = gate);
        gates
    }

    /// Every expert's rows of `x`, `k` numbers each, times its weights, to `m` numbers each.
    fn products(&self, x: &[F], (w, k, m): (&[F], usize, usize), side: Side) -> Vec<F> {
        let mut y = vec![F::ZERO; self.sizes.rows * m];
        let out = Shared::new(&mut y, m);
        let of_expert = |(expert, rows): (usize, &[usize])| {
            let from = (rows[0]..rows[1]).step_by(ROWS);
            let end = rows[1];
            from.map(move |from| (expert, from..(from + ROWS).min(end)))
        };
        let parts = self.routing.starts().windows(2).enumerate();
        let parts: Vec<(usize, Range<usize>)> = parts.flat_map(of_expert).collect();
        run(parts, x.len() * m, |(expert, rows)| {
            let (x, n) = (&x[rows.start * k..rows.end * k], rows.len());
            let w = &w[expert * k * m..][..k * m];
            // SAFETY: each part has rows of its own.
            let mut out = unsafe { out.part((rows.start, 0), n, m) };
            let w = match side {
                Side::RowsOfWeights if n <= FEW_ROWS && k > 0 => {
                    counted::add((2 * n * k * m) as i64);
                    return F::rows_by_rows(x, w, k, &mut out);
                }
                Side::RowsOfWeights => Matrix::new(w, m, k, k).t(),
                Side::ColumnsOfWeights => Matrix::new(w, k, m, m),
            };
            let product = (Matrix::new(x, n, k, k), w);
            let serial = Parallelism::None;
            self.factors
                .multiply(&mut out, Before::Overwritten, F::ONE, product, serial);
        });
        y
    }

    /// Of every expert the product `a^T b` over its rows, of `m` and `k` numbers each: (E m, k).
    fn gradient(&self, a: &[F], b: &[F], (m, k): (usize, usize)) -> Vec<F> {
        let starts = self.routing.starts();
        let mut d = vec![F::ZERO; (starts.len() - 1) * m * k];
        let out = Shared::new(&mut d, k);
        let of_expert = |(expert, rows): (usize, &[usize])| {
            let rows = rows[0]..rows[1];
            let from = (0..m).step_by(ROWS).filter(|_| !rows.is_empty());
            let parts = from.map(|from| (expert, rows.clone(), from..(from + ROWS).min(m)));
            parts.collect::<Vec<_>>()
        };
        let parts: Vec<_> = starts.windows(2).enumerate().flat_map(of_expert).collect();
        run(parts, a.len() * k, |(expert, rows, of_m)| {
            let (at, n) = (expert * m + of_m.start, of_m.len());
            // SAFETY: each part has rows of its own.
            let mut out = unsafe { out.part((at, 0), n, k) };
            let a = Matrix::new(&a[rows.start * m + of_m.start..], rows.len(), n, m).t();
            let b = Matrix::new(&b[rows.start * k..], rows.len(), k, k);
            let serial = Parallelism::None;
            self.factors
                .multiply(&mut out, Before::Overwritten, F::ONE, (a, b), serial);
        });
        d
    }
}

/// Whether x is multiplied with the rows of the weights, or with their columns.
#[derive(Debug, Clone, Copy)]
enum Side {
    RowsOfWeights,
    ColumnsOfWeights,
}

/// Runs every part, on all threads where so many multiply-adds are worth it.
fn run<P: Send>(parts: Vec<P>, multiply_adds: usize, part: impl Fn(P) + Sync + Send) {
    if multiply_adds <= SERIAL {
        parts.into_iter().for_each(part);
    } else {
        parts.into_par_iter().for_each(part);
    }
}

simd! {
    /// `y += weight x`.
    fn add<S, F>(weight: F, x: &[F], y: &mut [F]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = x.fma::<S>(weight, *y);
        }
    }
}

simd! {
    fn scale<S, F>(weight: F, x: &mut [F]) {
        for x in x.iter_mut() {
            *x *= weight;
        }
    }
}

simd! {
    fn inner<S, F>(x: &[F], y: &[F]) -> F {
        dot::<S, F>(x, y)
    }
}

#[cfg(test)]
mod tests;
