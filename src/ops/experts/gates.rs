//! What each of a token's experts weighs: scores over the sum of those that were chosen, `g_e = r s_e / sum s` (DeepSeek-V3,
//! arXiv 2412.19437, equation 13, with the factor r of its code).
//!
//! Backwards, with d the gates' gradient, `dlogit_e = g_e (1 - s_e) (d_e - sum_j g_j d_j / r)` for s the logistic function. Of a softmax
//! over all experts the normalised scores are the softmax of those that were chosen, so that `1 - s_e` is not there.

use std::sync::Arc;

use super::routing::{Routing, Score, sigmoid};
use crate::ops::cpu::real::{Real, typed};
use crate::ops::cpu::rows::{numbers, tensor, with_numbers};
use crate::ops::tape::{Tape, put};
use candle_core::{D, Result, Shape, Tensor};

/// Logits (N, E) to gates (N, K), in the order of the routing's experts.
pub(super) fn reference(
    logits: &Tensor,
    routing: &Routing,
    (score, scale): (Score, f64),
) -> Result<Tensor> {
    let experts = routing.experts();
    let shape = (experts.len() / routing.chosen(), routing.chosen());
    let experts = Tensor::from_slice(experts, shape, logits.device())?;
    let chosen = logits.contiguous()?.gather(&experts, D::Minus1)?;
    let gates = match score {
        Score::Sigmoid => {
            let scores = (chosen.neg()?.exp()? + 1.0)?.recip()?;
            scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?
        }
        Score::Softmax => candle_nn::ops::softmax(&chosen, D::Minus1)?,
    };
    gates * scale
}

pub(super) fn fused(
    tape: Option<&Tape>,
    logits: &Tensor,
    routing: &Arc<Routing>,
    score: (Score, f64),
) -> Result<Tensor> {
    let logits = logits.contiguous()?;
    typed!(logits, F => of_type::<F>(tape, &logits, routing, score))
}

fn of_type<F: Real>(
    tape: Option<&Tape>,
    logits: &Tensor,
    routing: &Arc<Routing>,
    (score, scale): (Score, f64),
) -> Result<Tensor> {
    let (n, count) = logits.dims2()?;
    let chosen = routing.chosen();
    let kept = routing.clone();
    put(
        tape,
        [logits],
        |[(logits, layout)]| {
            let logits = numbers::<F>(logits, layout)?;
            let mut y = Vec::with_capacity(n * chosen);
            for (logits, experts) in tokens(logits, count, routing) {
                let (_, gates) = of_token(logits, experts, (score, scale));
                y.extend(gates.into_iter().map(F::of));
            }
            Ok((F::to_cpu_storage_owned(y), Shape::from((n, chosen))))
        },
        move |inputs, _, g| {
            let d = with_numbers::<F, _, 2>([&inputs[0], &g.contiguous()?], |[logits, g]| {
                let mut d = vec![F::ZERO; logits.len()];
                let rows = tokens(logits, count, &kept).zip(g.chunks_exact(chosen));
                for (((logits, experts), g), d) in rows.zip(d.chunks_exact_mut(count)) {
                    slopes((logits, experts), g, (score, scale), d);
                }
                d
            })?;
            Ok(vec![Some(tensor(d, inputs[0].shape())?)])
        },
    )
}

/// Each token's logits and experts.
fn tokens<'a, F>(
    logits: &'a [F],
    count: usize,
    routing: &'a Routing,
) -> impl Iterator<Item = (&'a [F], &'a [u32])> {
    let experts = routing.experts().chunks_exact(routing.chosen());
    logits.chunks_exact(count).zip(experts)
}

/// `1 - s` (or 1, of a softmax) and the gate of each of a token's experts.
fn of_token<F: Real>(
    logits: &[F],
    experts: &[u32],
    (score, scale): (Score, f64),
) -> (Vec<f64>, Vec<f64>) {
    let chosen = experts.iter().map(|&e| logits[e as usize].to_f64());
    let (rests, mut gates): (Vec<f64>, Vec<f64>) = match score {
        Score::Sigmoid => chosen.map(|x| (sigmoid(-x), sigmoid(x))).unzip(),
        Score::Softmax => {
            let top = chosen.clone().fold(f64::NEG_INFINITY, f64::max);
            chosen.map(|x| (1.0, (x - top).exp())).unzip()
        }
    };
    let sum: f64 = gates.iter().sum();
    gates.iter_mut().for_each(|gate| *gate *= scale / sum);
    (rests, gates)
}

fn slopes<F: Real>(
    (logits, experts): (&[F], &[u32]),
    g: &[F],
    (score, scale): (Score, f64),
    d: &mut [F],
) {
    let (rests, gates) = of_token(logits, experts, (score, scale));
    let g = g.iter().map(|g| g.to_f64());
    let mean = gates.iter().zip(g.clone()).map(|(gate, g)| gate * g);
    let mean = mean.sum::<f64>() / scale;
    for (((&e, rest), gate), g) in experts.iter().zip(&rests).zip(&gates).zip(g) {
        d[e as usize] = F::of(gate * rest * (g - mean));
    }
}
