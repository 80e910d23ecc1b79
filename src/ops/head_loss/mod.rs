//! The output projection and the cross-entropy in one: the mean over tokens of `-ln softmax(x W^T)[target]`, in nats.
//!
//! Logits are made for [`rows_at_once`] tokens at a time and turned into their own gradient, `(softmax - onehot) / count`, where
//! they lie; the gradients of x and W come out of two products with it before the next rows' turn. So no more logits exist than
//! those, and their gradient takes no memory of its own. The loss is a sum, so what its backward pass is handed only scales what is there already.
//!
//! With a coefficient z there is a second number, `z mean(l^2)` with l = ln sum exp of a token's logits (PaLM, Chowdhery et al. 2022,
//! arXiv:2204.02311, section 5): its gradient is `2 z l softmax / count`.

pub(super) mod gpu;

use super::cpu::factors::Rounded;
use super::cpu::matmul::{Before, Matrix, MatrixMut, all_threads};
use super::cpu::real::{Real, typed};
use super::cpu::rows::{chunks, numbers, tensor};
use super::cpu::simd::{max, simd, sum};
use super::cross_entropy::{IGNORED, means_of, of_sum, rows_per_task, valid};
use super::tape::{Tape, apply3};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, TensorId, bail};
use std::sync::{Mutex, PoisonError};

pub(super) fn fused(
    tape: Option<&Tape>,
    rounded: Rounded,
    [x, w, targets]: [&Tensor; 3],
    z: f64,
) -> Result<Tensor> {
    let targets = targets.flatten_all()?.contiguous()?;
    let ((n, c), (_, width)) = (x.dims2()?, w.dims2()?);
    if c != width || n != targets.elem_count() {
        bail!(
            "a head of {:?} does not fit {:?} and {} targets",
            w.shape(),
            x.shape(),
            targets.elem_count()
        );
    }
    let tracked = [x.track_op(), w.track_op()];
    typed!(x, F => {
        let op = HeadLoss::<F> {
            rounded,
            weights: w.id(),
            z,
            tracked,
            gradients: Mutex::new(None),
        };
        apply3(tape, op, [&x.contiguous()?, &w.contiguous()?, &targets])
    })
}

/// Tokens whose logits are made at once: few enough that these stay in a cache, enough that adding up the gradient of W, which
/// is read and written once for each, costs little beside its product.
fn rows_at_once(vocabulary: usize) -> usize {
    ((1 << 21) / vocabulary.max(1)).clamp(64, 4096)
}

struct HeadLoss<F> {
    rounded: Rounded,
    weights: TensorId,
    z: f64,
    /// Whether anyone will ask for gradients of x, and of W.
    tracked: [bool; 2],
    /// Of x and W, until they are asked for; empty where nobody will.
    gradients: Mutex<Option<[Vec<F>; 2]>>,
}

simd! {
    /// A row of logits becomes `factor * ((1 + 2 z l) softmax - onehot)`; returns the loss of the row, and l = ln sum exp.
    fn loss_and_slope<S, F>(logits: &mut [F], target: usize, factor: F, z: F) -> (F, F) {
        let top = max(logits);
        let of_target = logits[target];
        for x in logits.iter_mut() {
            *x = (*x - top).exp::<S>();
        }
        let total = sum(logits);
        let l = top + total.ln();
        let scale = factor * (F::ONE + (z + z) * l) / total;
        for x in logits.iter_mut() {
            *x *= scale;
        }
        logits[target] -= factor;
        (l - of_target, l)
    }
}

simd! {
    fn scale<S, F>(x: &mut [F], factor: F) {
        for x in x {
            *x *= factor;
        }
    }
}

impl<F: Real> HeadLoss<F> {
    /// The sums of all tokens' losses and squares of l; keeps the gradients of the means where they are wanted.
    fn run(&self, x: &[F], w: &[F], targets: &[u32], width: usize, count: usize) -> [f64; 2] {
        let vocabulary = w.len() / width;
        let weighs = [1.0 / count as f64, self.z].map(F::of);
        let [of_x, of_w] = self.tracked;
        let zeros = |wanted: bool, len: usize| vec![F::ZERO; if wanted { len } else { 0 }];
        let (mut dx, mut dw) = (zeros(of_x, x.len()), zeros(of_w, w.len()));
        let size = rows_at_once(vocabulary);
        let mut logits = vec![F::ZERO; size.min(targets.len()) * vocabulary];
        let mut losses = vec![[0f64; 2]; size.min(targets.len())];
        let w_vc = Matrix::new(w, vocabulary, width, width);
        let w_forward = match self.rounded.keeps::<F>() {
            true => self.rounded.right(w_vc.t(), self.weights),
            false => self.rounded.several(w_vc.t()),
        };
        let w_back = self.rounded.several(w_vc);
        let factors = self.rounded.factors;
        let mut total = [0.0; 2];
        for (i, targets) in targets.chunks(size).enumerate() {
            let (rows, at) = (targets.len(), i * size * width);
            let logits = &mut logits[..rows * vocabulary];
            let x_nc = Matrix::new(&x[at..], rows, width, width);
            let mut made = MatrixMut::new(logits, rows, vocabulary, vocabulary);
            factors.overwrite(&mut made, (x_nc, &w_forward));
            let of_part = grads(logits, targets, weighs, &mut losses);
            total = [total[0] + of_part[0], total[1] + of_part[1]];
            let g = Matrix::new(logits, rows, vocabulary, vocabulary);
            if of_x {
                let mut dx = MatrixMut::new(&mut dx[at..], rows, width, width);
                factors.overwrite(&mut dx, (g, &w_back));
            }
            if of_w {
                let mut dw = MatrixMut::new(&mut dw, vocabulary, width, width);
                let before = if i == 0 {
                    Before::Overwritten
                } else {
                    Before::AddedTo
                };
                let product = (g.t(), x_nc);
                factors.multiply(&mut dw, before, F::ONE, product, all_threads());
            }
        }
        *self
            .gradients
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some([dx, dw]);
        total
    }
}

/// Turns rows of logits into their gradients and returns the sums of their losses and of the squares of l.
fn grads<F: Real>(
    logits: &mut [F],
    targets: &[u32],
    [factor, z]: [F; 2],
    losses: &mut [[f64; 2]],
) -> [f64; 2] {
    let (vocabulary, work) = (logits.len() / targets.len(), logits.len());
    let mut rows: Vec<(&mut [F], &mut [f64; 2])> =
        logits.chunks_exact_mut(vocabulary).zip(losses).collect();
    let at_once = rows_per_task(vocabulary);
    chunks(&mut rows, at_once, work, |i, rows| {
        for ((logits, loss), &target) in rows.iter_mut().zip(&targets[i * at_once..]) {
            **loss = match target {
                IGNORED => {
                    logits.fill(F::ZERO);
                    [0.0; 2]
                }
                target => {
                    let (loss, l) = loss_and_slope(logits, target as usize, factor, z);
                    [loss.to_f64(), l.to_f64() * l.to_f64()]
                }
            };
        }
    });
    let sum = |which: usize| rows.iter().map(|(_, loss)| loss[which]).sum();
    [sum(0), sum(1)]
}

impl<F: Real> CustomOp3 for HeadLoss<F> {
    fn name(&self) -> &'static str {
        "head and cross-entropy"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        targets: &CpuStorage,
        lt: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (vocabulary, width) = lw.shape().dims2()?;
        let targets = numbers::<u32>(targets, lt)?;
        let count = valid(targets, vocabulary)?;
        if count == 0 {
            bail!("every target is ignored: there is no mean of nothing");
        }
        let total = self.run(numbers(x, lx)?, numbers(w, lw)?, targets, width, count);
        let means = total.map(|sum| sum / count as f64);
        Ok(means_of::<F>(means, self.z))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _targets: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let kept = self
            .gradients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some([mut dx, mut dw]) = kept else {
            bail!("head and cross-entropy: backward before forward, or twice")
        };
        let factor = F::of(of_sum(g)?);
        for gradient in [&mut dx, &mut dw] {
            if factor != F::ONE {
                let work = gradient.len();
                chunks(gradient, 1 << 14, work, |_, part| scale(part, factor));
            }
        }
        let [of_x, of_w] = self.tracked;
        Ok((
            of_x.then(|| tensor(dx, x.shape())).transpose()?,
            of_w.then(|| tensor(dw, w.shape())).transpose()?,
            None,
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::IGNORED;
    use crate::ops::check::{agrees, check, ids, odd_shapes, targets};
    use candle_core::{Device, Result, Tensor};
    use proptest::prelude::*;

    #[test]
    fn gradients_are_right() {
        check(&[&[7, 3], &[5, 3]], |ops, x| {
            ops.head_loss(&(&x[0] * 3.0)?, &x[1], &targets(7, 5)?, 0.0)
        });
        check(&[&[3, 7], &[3, 5]], |ops, x| {
            ops.head_loss(&x[0].t()?, &x[1].t()?, &ids(7, 5)?, 0.0)
        });
        check(&[&[7, 3], &[5, 3]], |ops, x| {
            ops.head_loss(&(&x[0] * 3.0)?, &x[1], &targets(7, 5)?, 0.3)?
                .sum_all()
        });
        agrees(&[&[301, 20], &[150, 20]], |ops, x| {
            ops.head_loss(&x[0], &x[1], &targets(301, 150)?, 0.1)?
                .sum_all()
        });
        // More rows than are made at once.
        agrees(&[&[301, 20], &[20_000, 20]], |ops, x| {
            ops.head_loss(&x[0], &x[1], &targets(301, 20_000)?, 0.0)
        });
    }

    #[test]
    fn what_does_not_fit_is_refused() -> Result<()> {
        let tensor =
            |n: usize, c: usize| Tensor::zeros((n, c), candle_core::DType::F32, &Device::Cpu);
        let ops = crate::ops::Ops::fused();
        assert!(
            ops.head_loss(&tensor(2, 3)?, &tensor(5, 4)?, &ids(2, 5)?, 0.0)
                .is_err(),
            "width"
        );
        assert!(
            ops.head_loss(&tensor(2, 3)?, &tensor(5, 3)?, &ids(3, 5)?, 0.0)
                .is_err(),
            "targets"
        );
        for bad in [[0, 5], [IGNORED; 2]] {
            let bad = Tensor::new(&bad, &Device::Cpu)?;
            assert!(
                ops.head_loss(&tensor(2, 3)?, &tensor(5, 3)?, &bad, 0.0)
                    .is_err()
            );
        }
        let loss = ops
            .head_loss(&tensor(2, 3)?, &tensor(5, 3)?, &ids(2, 5)?, 0.0)?
            .to_scalar::<f32>()?;
        assert!((loss - 5f32.ln()).abs() < 1e-6);
        Ok(())
    }

    proptest! {
        #![proptest_config(odd_shapes())]
        #[test]
        fn any_shape(n in 1..200usize, c in 1..40usize, v in 2..150usize) {
            agrees(&[&[n, c], &[v, c]], |ops, x| ops.head_loss(&x[0], &x[1], &targets(n, v)?, 0.0));
        }
    }
}
