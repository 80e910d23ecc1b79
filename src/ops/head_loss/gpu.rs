//! On a GPU: no more logits exist than [`rows_at_once`] tokens have.

use crate::ops::cross_entropy::gpu::{Left, Losses, Made, hand_out, known, rows, targets_of};
use crate::ops::gpu::backend::{Gpu, Rows};
use crate::ops::gpu::pass::Pass;
use candle_core::{DType, Result, Tensor, bail};
use std::sync::PoisonError;

/// Tokens whose logits are made at once: equal parts of all, as large as keeps their logits below half a gigabyte.
fn rows_at_once(tokens: usize, vocabulary: usize) -> usize {
    let most = ((1 << 27) / vocabulary.max(1)).clamp(128, 1 << 15);
    tokens
        .div_ceil(tokens.div_ceil(most).max(1))
        .next_multiple_of(128)
        .min(tokens)
}

/// Rows of logits begin a multiple of so many numbers apart: products of rows that begin anywhere, as a vocabulary of 50257 has
/// them, take two to four times as long.
const APART: usize = 64;

pub(in crate::ops) fn fused(
    pass: Pass,
    x: &Tensor,
    w: &Tensor,
    targets: &Tensor,
    z: f64,
) -> Result<Tensor> {
    let (x, gpu) = (x.contiguous()?, pass.gpu);
    let ((n, c), (_, width)) = (x.dims2()?, w.dims2()?);
    let targets = targets_of(targets, n)?;
    if c != width {
        bail!("a head of {:?} does not fit {:?}", w.shape(), x.shape());
    }
    let narrow = pass.narrow(w)?;
    let left = Left::default();
    let tracked = [x.track_op(), w.track_op()];
    let run = |means: &Tensor| {
        let (known, losses) = (known(gpu, &targets)?, Losses::empty(gpu, n, z)?);
        let dx = tracked[0].then(|| gpu.empty((n, c), x.dtype()));
        let dw = tracked[1].then(|| gpu.zeros(w.shape()));
        let gradients = [dx.transpose()?, dw.transpose()?];
        let all = Head {
            gpu,
            x: &x,
            w: &narrow,
            targets: &targets,
            known: &known,
            losses: &losses,
        };
        all.run(gradients.each_ref().map(Option::as_ref))?;
        *left.lock().unwrap_or_else(PoisonError::into_inner) = Some(gradients.into());
        losses.means(gpu, &known, means)
    };
    let kept = left.clone();
    let back = move |_: &[Tensor], _: &Tensor, g: &Tensor| hand_out(gpu, &kept, g);
    let output = (Losses::shape(z), DType::F32);
    pass.put([&x, w, &targets], output, run, Box::new(back))
}

/// A pass of head and loss over all tokens.
struct Head<'a> {
    gpu: Gpu,
    x: &'a Tensor,
    w: &'a Tensor,
    targets: &'a Tensor,
    known: &'a Tensor,
    losses: &'a Losses,
}

impl Head<'_> {
    fn run(&self, [dx, dw]: [Option<&Tensor>; 2]) -> Result<()> {
        let (gpu, (n, _), (vocabulary, _)) = (self.gpu, self.x.dims2()?, self.w.dims2()?);
        let (size, stride) = (
            rows_at_once(n, vocabulary),
            vocabulary.next_multiple_of(APART),
        );
        let logits = gpu.empty((size, stride), DType::F32)?;
        let grads = (dx.or(dw))
            .map(|_| gpu.empty((size, stride), self.x.dtype()))
            .transpose()?;
        for first in (0..n).step_by(size) {
            let count = size.min(n - first);
            let part = |of: &Tensor| of.narrow(0, first, count);
            let (x, logits) = (part(self.x)?, logits.narrow(0, 0, count)?);
            let (losses, squares) = (
                part(&self.losses.nats)?,
                self.losses.squares.as_ref().map(part).transpose()?,
            );
            let grads = grads
                .as_ref()
                .map(|grads| grads.narrow(0, 0, count))
                .transpose()?;
            gpu.multiply(
                Rows::of(&logits).first(vocabulary),
                Rows::of(&x),
                Rows::t(self.w),
                false,
            )?;
            let of_slopes = grads.as_ref().map(|grads| (grads, self.known));
            let made = Made {
                losses: &losses,
                squares: squares.as_ref(),
                z: self.losses.z,
                correct: None,
                grads: of_slopes,
            };
            rows(gpu, &logits, vocabulary, &part(self.targets)?, &made)?;
            let Some(grads) = &grads else { continue };
            if let Some(dx) = dx {
                let (dx, grads) = (part(dx)?, Rows::of(grads).first(vocabulary));
                gpu.multiply(Rows::of(&dx), grads, Rows::of(self.w), false)?;
            }
            if let Some(dw) = dw {
                let grads = Rows::t(grads).first(vocabulary);
                gpu.multiply(Rows::of(dw), grads, Rows::of(&x), true)?;
            }
        }
        Ok(())
    }
}
