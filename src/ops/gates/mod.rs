//! The gates of linear attention, from one row of numbers a token: logarithms of decays, and how much is written.
//!
//! * A step `d = softplus(x + b)` and its decay `-exp(A) d`, A a number for each head (Gu and Dao 2023, arXiv:2312.00752, section 3.6;
//!   Dao and Gu 2024, arXiv:2405.21060, section 7.1). Mamba-2 writes d times the value, Gated DeltaNet and KDA have a gate beside it.
//! * `ln(sigmoid(x)) / t`: near 1 for a large t (Yang et al. 2023, arXiv:2312.06635, section 4.4, where t is 16).
//! * A write gate `f sigmoid(x)`, f = 2 where the delta rule may turn a key's sign (Grazzi et al. 2024, arXiv:2411.12537).

use super::cpu::real::{Real, typed};
use super::cpu::rows::{build, build_and_sum, numbers, tensor, with_numbers};
use super::cpu::simd::simd;
use super::tape::{self, Tape};
use candle_core::{DType, Result, Shape, Tensor, bail};

/// What the logarithms of decays are made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DecayGate {
    /// There are none.
    None,
    /// `-exp(A) softplus(x + b)`.
    Step,
    /// `ln(sigmoid(x)) / t`.
    Sigmoid(f64),
}

/// What write gates are made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WriteGate {
    /// There are none.
    None,
    /// `f sigmoid(x)` of a column of its own for each head.
    Sigmoid(f64),
    /// The step of the head's decay.
    Step,
}

/// Rows of `[decays | write gates]`, `heads x width` and `heads` numbers, where there are such; out of rows of the same without write
/// gates that are steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gates {
    /// Of decays.
    pub decay: DecayGate,
    /// Of what is written.
    pub write: WriteGate,
    /// Heads.
    pub heads: usize,
    /// Decays of a head.
    pub width: usize,
}

impl Gates {
    fn decays(&self) -> usize {
        match self.decay {
            DecayGate::None => 0,
            _ => self.heads * self.width,
        }
    }

    /// Columns that go in.
    pub fn inputs(&self) -> usize {
        let own = matches!(self.write, WriteGate::Sigmoid(_));
        self.decays() + if own { self.heads } else { 0 }
    }

    /// Columns that come out.
    pub fn outputs(&self) -> usize {
        let writes = self.write != WriteGate::None;
        self.decays() + if writes { self.heads } else { 0 }
    }

    fn check(&self, x: &Tensor, step: Option<[&Tensor; 2]>) -> Result<()> {
        let (_, columns) = x.dims2()?;
        let steps = self.decay == DecayGate::Step;
        let writes_steps = self.write == WriteGate::Step && !(steps && self.width == 1);
        let fits = |[a, b]: [&Tensor; 2]| a.dims() == [self.heads] && b.dims() == [self.decays()];
        if columns != self.inputs() || writes_steps || step.is_some_and(fits) != steps {
            bail!("{self:?} cannot be made of {:?}", x.shape());
        }
        Ok(())
    }
}

/// `ln(1 + exp(x))`.
fn softplus(x: &Tensor) -> Result<Tensor> {
    x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?
}

/// In f32 where the input is narrower: rounding decays would move what is far away.
pub(super) fn reference(x: &Tensor, step: Option<[&Tensor; 2]>, gates: Gates) -> Result<Tensor> {
    gates.check(x, step)?;
    let rows = x.dim(0)?;
    let dtype = match x.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    let x = x.to_dtype(dtype)?;
    let (heads, width, decays) = (gates.heads, gates.width, gates.decays());
    let mut parts = Vec::new();
    let raw = |count: usize| x.narrow(1, 0, count);
    match (gates.decay, step) {
        (DecayGate::Step, Some([a, bias])) => {
            let steps = softplus(&raw(decays)?.broadcast_add(&bias.to_dtype(dtype)?)?)?;
            let rates = a.to_dtype(dtype)?.exp()?.neg()?.reshape((1, heads, 1))?;
            let of_heads = steps.reshape((rows, heads, width))?;
            parts.push(of_heads.broadcast_mul(&rates)?.reshape((rows, decays))?);
            if gates.write == WriteGate::Step {
                parts.push(steps);
            }
        }
        (DecayGate::Sigmoid(t), _) => parts.push((softplus(&raw(decays)?.neg()?)? * (-1.0 / t))?),
        _ => {}
    }
    if let WriteGate::Sigmoid(f) = gates.write {
        parts.push((candle_nn::ops::sigmoid(&x.narrow(1, decays, heads)?)? * f)?);
    }
    Tensor::cat(&parts, 1)
}

simd! {
    /// One row.
    fn forward<S, F>(gates: Gates, x: &[F], a: &[F], bias: &[F], y: &mut [F]) {
        let decays = gates.decays();
        match gates.decay {
            DecayGate::None => {}
            DecayGate::Step => {
                let (y, writes) = y.split_at_mut(decays);
                for (i, ((y, &x), &bias)) in y.iter_mut().zip(x).zip(bias).enumerate() {
                    let step = (x + bias).softplus::<S>();
                    *y = -a[i / gates.width].exp::<S>() * step;
                    if gates.write == WriteGate::Step {
                        writes[i] = step;
                    }
                }
            }
            DecayGate::Sigmoid(t) => {
                for (y, &x) in y[..decays].iter_mut().zip(x) {
                    *y = -(-x).softplus::<S>() / F::of(t);
                }
            }
        }
        if let WriteGate::Sigmoid(f) = gates.write {
            for (y, &x) in y[decays..].iter_mut().zip(&x[decays..]) {
                *y = F::of(f) * x.sigmoid::<S>();
            }
        }
    }
}

simd! {
    /// One row backwards: `d` is written, `sums` added to: gradients of A, then of b. y is the output.
    fn backward<S, F>(
        gates: Gates,
        x: &[F],
        bias: &[F],
        y: &[F],
        g: &[F],
        d: &mut [F],
        sums: &mut [F],
    ) {
        let (decays, heads) = (gates.decays(), gates.heads);
        match gates.decay {
            DecayGate::None => {}
            DecayGate::Step => {
                let (of_a, of_bias) = sums.split_at_mut(heads);
                let out = d.iter_mut().zip(of_bias);
                for (i, ((d, of_bias), (&x, &bias))) in out.zip(x.iter().zip(bias)).enumerate() {
                    let step = (x + bias).softplus::<S>();
                    // y = rate * step, and the slope of softplus is the sigmoid.
                    let rate = y[i] / if step > F::ZERO { step } else { F::ONE };
                    let mut of_step = g[i] * rate;
                    if gates.write == WriteGate::Step {
                        of_step += g[decays + i];
                    }
                    *d = of_step * (x + bias).sigmoid::<S>();
                    *of_bias += *d;
                    of_a[i / gates.width] += g[i] * y[i];
                }
            }
            DecayGate::Sigmoid(t) => {
                for ((d, &x), &g) in d[..decays].iter_mut().zip(x).zip(g) {
                    *d = g * (-x).sigmoid::<S>() / F::of(t);
                }
            }
        }
        if let WriteGate::Sigmoid(f) = gates.write {
            let own = x[decays..].iter().zip(&g[decays..]);
            for (d, (&x, &g)) in d[decays..].iter_mut().zip(own) {
                let s = x.sigmoid::<S>();
                *d = g * F::of(f) * s * (F::ONE - s);
            }
        }
    }
}

pub(super) fn fused(
    tape: Option<&Tape>,
    x: &Tensor,
    step: Option<[&Tensor; 2]>,
    gates: Gates,
) -> Result<Tensor> {
    gates.check(x, step)?;
    let x = x.contiguous()?;
    let [a, bias] = match step {
        Some([a, bias]) => [a.contiguous()?, bias.contiguous()?],
        None => {
            let nothing = Tensor::zeros(0, x.dtype(), x.device())?;
            [nothing.clone(), nothing]
        }
    };
    typed!(x, F => of_type::<F>(tape, [&x, &a, &bias], gates))
}

fn of_type<F: Real>(tape: Option<&Tape>, inputs: [&Tensor; 3], gates: Gates) -> Result<Tensor> {
    let rows = inputs[0].dim(0)?;
    let (from, to) = (gates.inputs(), gates.outputs());
    let run = |[x, a, bias]: [(&_, &_); 3]| {
        let (x, a) = (numbers::<F>(x.0, x.1)?, numbers(a.0, a.1)?);
        let bias = numbers(bias.0, bias.1)?;
        let y = build(rows, to, |first, block| {
            for (i, y) in block.chunks_exact_mut(to).enumerate() {
                forward(gates, &x[(first + i) * from..][..from], a, bias, y);
            }
        });
        Ok((F::to_cpu_storage_owned(y), Shape::from((rows, to))))
    };
    tape::put(tape, inputs, run, move |inputs, y, g| {
        let steps = gates.decay == DecayGate::Step;
        let sums = if steps {
            gates.heads + gates.decays()
        } else {
            1
        };
        let all = [&inputs[0], &inputs[2], y, &g.contiguous()?];
        let (d, mut of_a) = with_numbers::<F, _, 4>(all, |[x, bias, y, g]| {
            build_and_sum(rows, from, sums, |i, d, sums| {
                let (x, out) = (&x[i * from..][..from], i * to..(i + 1) * to);
                backward(gates, x, bias, &y[out.clone()], &g[out], d, sums);
            })
        })?;
        let d = Some(tensor(d, inputs[0].shape())?);
        if !steps {
            return Ok(vec![d, None, None]);
        }
        let of_bias = of_a.split_off(gates.heads);
        let of_a = tensor(of_a, gates.heads)?;
        Ok(vec![d, Some(of_a), Some(tensor(of_bias, gates.decays())?)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Ops;
    use crate::ops::check::{agrees, check};

    #[test]
    fn gradients_are_right() {
        for (decay, write, width) in [
            (DecayGate::None, WriteGate::Sigmoid(2.0), 1),
            (DecayGate::Step, WriteGate::Sigmoid(1.0), 1),
            (DecayGate::Step, WriteGate::Step, 1),
            (DecayGate::Step, WriteGate::Sigmoid(1.0), 3),
            (DecayGate::Sigmoid(16.0), WriteGate::None, 3),
        ] {
            let gates = Gates {
                decay,
                write,
                heads: 2,
                width,
            };
            let run =
                move |ops: Ops, x: &[Tensor]| ops.gates(&x[0], x.get(1).map(|a| [a, &x[2]]), gates);
            let parameters: &[&[usize]] = match decay {
                DecayGate::Step => &[&[2], &[2 * width]],
                _ => &[],
            };
            for (rows, test) in [(4, true), (200, false)] {
                let x = [rows, gates.inputs()];
                let shapes = [&[&x[..]], parameters].concat();
                if test {
                    check(&shapes, run);
                } else {
                    agrees(&shapes, run);
                }
            }
        }
    }
}
