//! Cross-entropy of f32 logits, alone or with the head's product so that no more logits exist than [`rows_at_once`] tokens have.

use super::backend::{Argument, Gpu, Kernel, Rows, int, name_of, read, read_if, write};
use super::pass::Pass;
use crate::ops::cross_entropy::{IGNORED, TokenLoss};
use candle_core::{DType, Result, Shape, Tensor, bail};
use std::sync::{Arc, Mutex, PoisonError};

fn kernel(name: &str) -> Kernel {
    Kernel {
        module: "loss",
        name: name.to_owned(),
    }
}

/// Threads of the block that goes through a row of logits, and of the one that goes through all tokens.
const OF_ROW: u32 = 512;
const OF_TOKENS: u32 = 1024;

fn targets_of(targets: &Tensor, rows: usize) -> Result<Tensor> {
    let targets = targets.flatten_all()?.contiguous()?;
    if targets.elem_count() != rows {
        bail!(
            "{rows} rows of logits do not fit {} targets",
            targets.elem_count()
        );
    }
    Ok(targets)
}

/// How many targets are not ignored, on the device.
fn known(gpu: Gpu, targets: &Tensor) -> Result<Tensor> {
    let known = gpu.empty((), DType::F32)?;
    let arguments = [read(targets)?, write(&known)?, int(targets.elem_count())?];
    kernel("known_targets")
        .blocks([1, 1, 1], OF_TOKENS)
        .run(gpu, &arguments)?;
    Ok(known)
}

/// What is made of some rows of logits.
struct Made<'a> {
    losses: &'a Tensor,
    correct: Option<&'a Tensor>,
    /// The gradients of the mean over all `known` targets.
    grads: Option<(&'a Tensor, &'a Tensor)>,
}

/// Rows of logits may be longer than the vocabulary; what lies beyond is not looked at.
fn rows(gpu: Gpu, logits: &Tensor, vocabulary: usize, targets: &Tensor, made: &Made) -> Result<()> {
    let (rows, stride) = logits.dims2()?;
    let (grads, known) = made.grads.unzip();
    let dtype = grads.map_or(DType::F32, Tensor::dtype);
    let mut arguments = vec![
        read(logits)?,
        read(targets)?,
        read_if(known)?,
        write(made.losses)?,
    ];
    for tensor in [made.correct, grads] {
        arguments.push(tensor.map_or(Ok(Argument::Null), write)?);
    }
    arguments.extend([int(vocabulary)?, int(stride)?]);
    let kernel = kernel(&format!("loss_rows_{}", name_of(dtype)));
    kernel.blocks([rows, 1, 1], OF_ROW).run(gpu, &arguments)
}

fn mean(gpu: Gpu, losses: &Tensor, known: &Tensor, to: &Tensor) -> Result<()> {
    let arguments = [
        read(losses)?,
        read(known)?,
        write(to)?,
        int(losses.elem_count())?,
    ];
    kernel("mean_loss")
        .blocks([1, 1, 1], OF_TOKENS)
        .run(gpu, &arguments)
}

/// Gradients that a forward pass left, until they are asked for.
type Left = Arc<Mutex<Option<Vec<Tensor>>>>;

/// They are multiplied by the gradient of the loss where they lie; where that is 1, as mostly, nothing is touched.
fn hand_out(gpu: Gpu, left: &Left, g: &Tensor) -> Result<Vec<Option<Tensor>>> {
    let Some(gradients) = left.lock().unwrap_or_else(PoisonError::into_inner).take() else {
        bail!("cross-entropy: backward before forward, or twice");
    };
    for x in &gradients {
        let kernel = Kernel::elementwise(&format!("scale_{}", name_of(x.dtype())));
        let numbers = x.elem_count();
        kernel
            .each(numbers, 1)
            .run(gpu, &[write(x)?, read(g)?, super::backend::count(numbers)])?;
    }
    Ok(gradients.into_iter().map(Some).chain([None]).collect())
}

pub(in crate::ops) fn cross_entropy(
    pass: Pass,
    logits: &Tensor,
    targets: &Tensor,
) -> Result<Tensor> {
    let (logits, gpu) = (logits.contiguous()?, pass.gpu);
    let targets = targets_of(targets, logits.dims2()?.0)?;
    let left = Left::default();
    let run = |mean_loss: &Tensor| {
        let (known, losses) = (
            known(gpu, &targets)?,
            gpu.empty(targets.shape(), DType::F32)?,
        );
        let grads = logits
            .track_op()
            .then(|| gpu.empty(logits.shape(), DType::F32))
            .transpose()?;
        let made = Made {
            losses: &losses,
            correct: None,
            grads: grads.as_ref().map(|grads| (grads, &known)),
        };
        rows(gpu, &logits, logits.dims2()?.1, &targets, &made)?;
        *left.lock().unwrap_or_else(PoisonError::into_inner) = grads.map(|grads| vec![grads]);
        mean(gpu, &losses, &known, mean_loss)
    };
    let kept = left.clone();
    let back = move |_: &[Tensor], _: &Tensor, g: &Tensor| hand_out(gpu, &kept, g);
    pass.put(
        [&logits, &targets],
        (Shape::from(()), DType::F32),
        run,
        Box::new(back),
    )
}

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

pub(in crate::ops) fn head_loss(
    pass: Pass,
    x: &Tensor,
    w: &Tensor,
    targets: &Tensor,
) -> Result<Tensor> {
    let (x, gpu) = (x.contiguous()?, pass.gpu);
    let ((n, c), (_, width)) = (x.dims2()?, w.dims2()?);
    let targets = targets_of(targets, n)?;
    if c != width {
        bail!("a head of {:?} does not fit {:?}", w.shape(), x.shape());
    }
    let narrow = pass.narrow(w)?;
    let left = Left::default();
    let tracked = x.track_op() || w.track_op();
    let run = |mean_loss: &Tensor| {
        let (known, losses) = (known(gpu, &targets)?, gpu.empty(n, DType::F32)?);
        let gradients = tracked.then(|| {
            Ok::<_, candle_core::Error>((gpu.empty((n, c), x.dtype())?, gpu.zeros(w.shape())?))
        });
        let gradients = gradients.transpose()?;
        let all = Head {
            gpu,
            x: &x,
            w: &narrow,
            targets: &targets,
            known: &known,
            losses: &losses,
        };
        all.run(gradients.as_ref())?;
        *left.lock().unwrap_or_else(PoisonError::into_inner) =
            gradients.map(|(dx, dw)| vec![dx, dw]);
        mean(gpu, &losses, &known, mean_loss)
    };
    let kept = left.clone();
    let back = move |_: &[Tensor], _: &Tensor, g: &Tensor| hand_out(gpu, &kept, g);
    pass.put(
        [&x, w, &targets],
        (Shape::from(()), DType::F32),
        run,
        Box::new(back),
    )
}

/// A pass of head and loss over all tokens.
struct Head<'a> {
    gpu: Gpu,
    x: &'a Tensor,
    w: &'a Tensor,
    targets: &'a Tensor,
    known: &'a Tensor,
    losses: &'a Tensor,
}

impl Head<'_> {
    fn run(&self, gradients: Option<&(Tensor, Tensor)>) -> Result<()> {
        let (gpu, (n, _), (vocabulary, _)) = (self.gpu, self.x.dims2()?, self.w.dims2()?);
        let (size, stride) = (
            rows_at_once(n, vocabulary),
            vocabulary.next_multiple_of(APART),
        );
        let logits = gpu.empty((size, stride), DType::F32)?;
        let grads = gradients
            .map(|_| gpu.empty((size, stride), self.x.dtype()))
            .transpose()?;
        for first in (0..n).step_by(size) {
            let count = size.min(n - first);
            let part = |of: &Tensor| of.narrow(0, first, count);
            let (x, losses, logits) = (
                part(self.x)?,
                part(self.losses)?,
                logits.narrow(0, 0, count)?,
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
                correct: None,
                grads: of_slopes,
            };
            rows(gpu, &logits, vocabulary, &part(self.targets)?, &made)?;
            if let (Some((dx, dw)), Some(grads)) = (gradients, &grads) {
                gpu.multiply(
                    Rows::of(&part(dx)?),
                    Rows::of(grads).first(vocabulary),
                    Rows::of(self.w),
                    false,
                )?;
                gpu.multiply(
                    Rows::of(dw),
                    Rows::t(grads).first(vocabulary),
                    Rows::of(&x),
                    true,
                )?;
            }
        }
        Ok(())
    }
}

pub(in crate::ops) fn cross_entropy_rows(
    gpu: Gpu,
    logits: &Tensor,
    targets: &Tensor,
) -> Result<Vec<Option<TokenLoss>>> {
    let logits = logits.contiguous()?;
    let targets = targets_of(targets, logits.dims2()?.0)?;
    let (losses, correct) = (
        gpu.empty(targets.shape(), DType::F32)?,
        gpu.empty(targets.shape(), DType::U32)?,
    );
    rows(
        gpu,
        &logits,
        logits.dims2()?.1,
        &targets,
        &Made {
            losses: &losses,
            correct: Some(&correct),
            grads: None,
        },
    )?;
    let values = losses
        .to_vec1::<f32>()?
        .into_iter()
        .zip(correct.to_vec1::<u32>()?);
    let of_token = |(target, (nats, correct)): (u32, (f32, u32))| {
        (target != IGNORED).then_some(TokenLoss {
            nats,
            correct: correct == 1,
        })
    };
    Ok(targets
        .to_vec1::<u32>()?
        .into_iter()
        .zip(values)
        .map(of_token)
        .collect())
}
