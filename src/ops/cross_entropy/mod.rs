//! Cross-entropy: the mean over tokens of `-ln softmax(logits)[target] = ln sum exp(logits) - logits[target]`, in nats.
//!
//! Kept for the backward pass is ln sum exp of each row, not the (N, V) probabilities; the gradient
//! `(softmax(logits) - onehot(target)) / count` is computed from it when it is asked for, and never twice in memory.
//!
//! With a coefficient z the outcome is two numbers, that mean and `z mean(l^2)` with l = ln sum exp of a token's logits, which adds
//! `2 z l softmax(logits) / count` to the gradient: PaLM's z-loss (Chowdhery et al. 2022, arXiv:2204.02311, section 5).

pub(super) mod gpu;

use super::cpu::real::{Real, typed};
use super::cpu::rows::{build, chunks, numbers, tensor, with_numbers};
use super::cpu::simd::{fold, max, simd};
use super::tape::{Tape, apply2};
use candle_core::{CpuStorage, CustomOp2, D, DType, Layout, Result, Shape, Tensor, bail};
use std::sync::OnceLock;

/// The target of a token that is not predicted; it counts for nothing.
pub const IGNORED: u32 = u32::MAX;

/// How well one token was predicted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenLoss {
    /// -ln of the probability given to the target.
    pub nats: f32,
    /// Whether the target was the most probable token (the first of several equals).
    pub correct: bool,
}

pub(super) fn reference(logits: &Tensor, targets: &Tensor, z: f64) -> Result<Tensor> {
    let targets = check(logits, targets)?;
    let (known, taken) = known(&targets)?;
    let count = known.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
    if count == 0.0 {
        bail!("every target is ignored: there is no mean of nothing");
    }
    let log_p = candle_nn::ops::log_softmax(logits, D::Minus1)?
        .gather(&taken.unsqueeze(1)?, 1)?
        .squeeze(1)?;
    let known = known.to_dtype(logits.dtype())?;
    let mean = ((log_p * &known)?.sum_all()? / -count)?;
    if z == 0.0 {
        return Ok(mean);
    }
    let l = logits.log_sum_exp(D::Minus1)?;
    let squares = (l.sqr()? * known)?.sum_all()?;
    Tensor::stack(&[mean, (squares * (z / count))?], 0)
}

/// The first number alone where there is no z, else both, the second times z.
pub(super) fn means_of<F: Real>([loss, squares]: [f64; 2], z: f64) -> (CpuStorage, Shape) {
    if z == 0.0 {
        return (F::to_cpu_storage_owned(vec![F::of(loss)]), Shape::from(()));
    }
    let both = vec![F::of(loss), F::of(z * squares)];
    (F::to_cpu_storage_owned(both), Shape::from(2))
}

/// The gradient of what [`means_of`] makes: all numbers of it are parts of one sum.
pub(super) fn of_sum(g: &Tensor) -> Result<f64> {
    let all = g.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    match all.as_slice() {
        [one] => Ok(*one),
        [one, other] if one == other => Ok(*one),
        _ => bail!("the parts of a loss have gradients {all:?}: they are parts of one sum"),
    }
}

pub(super) fn reference_rows(logits: &Tensor, targets: &Tensor) -> Result<Vec<Option<TokenLoss>>> {
    let targets = check(logits, targets)?;
    let (_, taken) = known(&targets)?;
    let log_p = candle_nn::ops::log_softmax(logits, D::Minus1)?
        .gather(&taken.unsqueeze(1)?, 1)?
        .squeeze(1)?;
    let nats = log_p.neg()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    let best = logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
    let rows = targets.to_vec1::<u32>()?.into_iter().zip(nats).zip(best);
    Ok(rows
        .map(|((t, nats), best)| {
            (t != IGNORED).then_some(TokenLoss {
                nats,
                correct: best == t,
            })
        })
        .collect())
}

/// 1 where there is a target, and the targets with 0 where there is none.
fn known(targets: &Tensor) -> Result<(Tensor, Tensor)> {
    let known = targets.ne(IGNORED)?;
    let taken = known.where_cond(targets, &targets.zeros_like()?)?;
    Ok((known, taken))
}

/// The targets as a vector as long as the logits have rows.
fn check(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let targets = targets.flatten_all()?.contiguous()?;
    if logits.dims2()?.0 != targets.elem_count() {
        bail!(
            "logits of {:?} do not fit {} targets",
            logits.shape(),
            targets.elem_count()
        );
    }
    Ok(targets)
}

pub(super) fn fused(
    tape: Option<&Tape>,
    logits: &Tensor,
    targets: &Tensor,
    z: f64,
) -> Result<Tensor> {
    let targets = check(logits, targets)?;
    let logits = logits.contiguous()?;
    typed!(logits, F => {
        let op = CrossEntropy::<F> { z, kept: OnceLock::new() };
        apply2(tape, op, [&logits, &targets])
    })
}

pub(super) fn fused_rows(logits: &Tensor, targets: &Tensor) -> Result<Vec<Option<TokenLoss>>> {
    let targets = check(logits, targets)?.to_vec1::<u32>()?;
    let logits = logits.contiguous()?;
    let vocabulary = logits.dims2()?.1;
    valid(&targets, vocabulary)?;
    typed!(logits, F => with_numbers::<F, _, 1>([&logits], |[logits]| {
        let lse = log_sum_exps(logits, vocabulary);
        let mut rows = vec![None; targets.len()];
        chunks(&mut rows, rows_per_task(vocabulary), logits.len(), |chunk, rows| {
            for (i, row) in rows.iter_mut().enumerate() {
                let n = chunk * rows_per_task(vocabulary) + i;
                if targets[n] != IGNORED {
                    let logits = &logits[n * vocabulary..][..vocabulary];
                    *row = Some(token_loss(logits, targets[n] as usize, lse[n]));
                }
            }
        });
        rows
    }))
}

fn token_loss<F: Real>(logits: &[F], target: usize, lse: F) -> TokenLoss {
    let top = top(logits);
    TokenLoss {
        nats: (lse - logits[target]).to_f64() as f32,
        correct: logits.iter().position(|&x| x == top) == Some(target),
    }
}

/// Refuses targets that are no token; returns how many are not ignored.
pub(super) fn valid(targets: &[u32], vocabulary: usize) -> Result<usize> {
    let mut known = targets.iter().filter(|&&target| target != IGNORED);
    match known.find(|&&target| target as usize >= vocabulary) {
        Some(target) => bail!("target {target} is outside a vocabulary of {vocabulary}"),
        None => Ok(targets.iter().filter(|&&target| target != IGNORED).count()),
    }
}

/// Rows that one task takes: 64 Ki numbers or so.
pub(super) fn rows_per_task(vocabulary: usize) -> usize {
    (65536 / vocabulary.max(1)).clamp(1, 64)
}

simd! {
    fn top<S, F>(x: &[F]) -> F {
        max(x)
    }
}

simd! {
    fn log_sum_exp<S, F>(x: &[F]) -> F {
        let top = max(x);
        top + fold(x, F::ZERO, |sum, x| sum + (x - top).exp::<S>(), |a, b| a + b).ln()
    }
}

simd! {
    fn probabilities<S, F>(x: &[F], lse: F, factor: F, p: &mut [F]) {
        for (p, &x) in p.iter_mut().zip(x) {
            *p = factor * (x - lse).exp::<S>();
        }
    }
}

fn log_sum_exps<F: Real>(logits: &[F], vocabulary: usize) -> Vec<F> {
    let mut lse = vec![F::ZERO; logits.len() / vocabulary];
    let size = rows_per_task(vocabulary);
    chunks(&mut lse, size, logits.len(), |chunk, lse| {
        for (i, lse) in lse.iter_mut().enumerate() {
            *lse = log_sum_exp(&logits[(chunk * size + i) * vocabulary..][..vocabulary]);
        }
    });
    lse
}

struct CrossEntropy<F> {
    z: f64,
    /// ln sum exp of each row, and the number of targets that are not ignored.
    kept: OnceLock<(Vec<F>, usize)>,
}

impl<F: Real> CustomOp2 for CrossEntropy<F> {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(
        &self,
        logits: &CpuStorage,
        ll: &Layout,
        targets: &CpuStorage,
        lt: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, vocabulary) = ll.shape().dims2()?;
        let (logits, targets) = (numbers::<F>(logits, ll)?, numbers::<u32>(targets, lt)?);
        let count = valid(targets, vocabulary)?;
        if count == 0 {
            bail!("every target is ignored: there is no mean of nothing");
        }
        let lse = log_sum_exps(logits, vocabulary);
        let known = targets
            .iter()
            .enumerate()
            .filter(|(_, target)| **target != IGNORED);
        let (mut total, mut squares) = (0.0, 0.0);
        for (n, &target) in known {
            total += (lse[n] - logits[n * vocabulary + target as usize]).to_f64();
            squares += lse[n].to_f64() * lse[n].to_f64();
        }
        self.kept.get_or_init(|| (lse, count));
        let means = [total, squares].map(|sum| sum / count as f64);
        Ok(means_of::<F>(means, self.z))
    }

    fn bwd(
        &self,
        logits: &Tensor,
        targets: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (n, vocabulary) = logits.dims2()?;
        let Some((lse, count)) = self.kept.get() else {
            bail!("cross-entropy: backward before forward")
        };
        let (targets, factor) = (targets.to_vec1::<u32>()?, F::of(of_sum(g)? / *count as f64));
        let d = with_numbers::<F, _, 1>([logits], |[logits]| {
            build(n, vocabulary, |first, block| {
                for (i, d) in block.chunks_exact_mut(vocabulary).enumerate() {
                    let row = first + i;
                    if targets[row] != IGNORED {
                        let of_p = factor * (F::ONE + F::of(2.0 * self.z) * lse[row]);
                        let logits = &logits[row * vocabulary..][..vocabulary];
                        probabilities(logits, lse[row], of_p, d);
                        d[targets[row] as usize] -= factor;
                    }
                }
            })
        })?;
        Ok((Some(tensor(d, (n, vocabulary))?), None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Ops;
    use crate::ops::check::{agrees, check, ids, odd_shapes, random, targets};
    use candle_core::Device;
    use proptest::prelude::*;

    #[test]
    fn gradients_are_right() {
        check(&[&[7, 5]], |ops, x| {
            ops.cross_entropy(&(&x[0] * 3.0)?, &targets(7, 5)?, 0.0)
        });
        check(&[&[7, 5]], |ops, x| {
            ops.cross_entropy(&(&x[0] * 3.0)?, &targets(7, 5)?, 0.3)?
                .sum_all()
        });
        check(&[&[5, 7]], |ops, x| {
            ops.cross_entropy(&x[0].t()?, &ids(7, 5)?, 0.0)
        });
        agrees(&[&[301, 150]], |ops, x| {
            ops.cross_entropy(&x[0], &targets(301, 150)?, 0.0)
        });
        agrees(&[&[3, 20_000]], |ops, x| {
            ops.cross_entropy(&x[0], &targets(3, 20_000)?, 0.0)
        });
    }

    proptest! {
        #![proptest_config(odd_shapes())]
        #[test]
        fn any_shape(n in 1..200usize, v in 2..150usize) {
            agrees(&[&[n, v]], |ops, x| ops.cross_entropy(&x[0], &targets(n, v)?, 0.0));
        }
    }

    #[test]
    fn rows_agree_with_the_mean_and_with_the_reference() -> Result<()> {
        for (n, v) in [(1, 3), (40, 7), (300, 200)] {
            let (logits, targets) = (random(&[n, v], DType::F32, 3)?, targets(n, v)?);
            let rows = Ops::fused().cross_entropy_rows(&logits, &targets)?;
            let reference = Ops::reference().cross_entropy_rows(&logits, &targets)?;
            for (row, truth) in rows.iter().zip(&reference) {
                let close = match (row, truth) {
                    (Some(a), Some(b)) => a.correct == b.correct && (a.nats - b.nats).abs() < 1e-5,
                    (None, None) => true,
                    _ => false,
                };
                assert!(close, "{row:?} {truth:?}");
            }
            let known: Vec<f64> = rows
                .iter()
                .flatten()
                .map(|row| f64::from(row.nats))
                .collect();
            let mean = f64::from(
                Ops::fused()
                    .cross_entropy(&logits, &targets, 0.0)?
                    .to_scalar::<f32>()?,
            );
            assert!(
                (known.iter().sum::<f64>() / known.len() as f64 - mean).abs() < 1e-5,
                "{n} {v}"
            );
        }
        Ok(())
    }

    #[test]
    fn targets_that_cannot_be_are_refused_and_nan_is_kept() -> Result<()> {
        let logits = Tensor::zeros((2, 3), DType::F32, &Device::Cpu)?;
        for (bad, words) in [
            ([0, 3], "target 3 is outside a vocabulary of 3"),
            ([IGNORED; 2], "every target is ignored"),
        ] {
            let message = Ops::fused()
                .cross_entropy(&logits, &Tensor::new(&bad, &Device::Cpu)?, 0.0)
                .unwrap_err();
            assert!(message.to_string().contains(words), "{message}");
        }
        let logits = Tensor::new(&[[0.0, f32::NAN], [0.0, 0.0]], &Device::Cpu)?;
        let loss =
            Ops::fused().cross_entropy(&logits, &Tensor::new(&[0u32, 0], &Device::Cpu)?, 0.0)?;
        assert!(loss.to_scalar::<f32>()?.is_nan());
        Ok(())
    }
}
