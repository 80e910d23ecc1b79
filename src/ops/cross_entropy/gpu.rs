//! On a GPU, of f32 logits.

use super::{IGNORED, TokenLoss};
use crate::ops::gpu::backend::{Argument, Gpu, Kernel, count, int, name_of, read, read_if, write};
use crate::ops::gpu::pass::Pass;
use candle_core::{DType, Result, Shape, Tensor, bail};
use std::sync::{Arc, Mutex, PoisonError};

/// Threads of the block that goes through a row of logits, and of the one that goes through all tokens.
const OF_ROW: u32 = 512;
const OF_TOKENS: u32 = 1024;

pub(in crate::ops) fn targets_of(targets: &Tensor, rows: usize) -> Result<Tensor> {
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
pub(in crate::ops) fn known(gpu: Gpu, targets: &Tensor) -> Result<Tensor> {
    let known = gpu.empty((), DType::F32)?;
    let arguments = [read(targets)?, write(&known)?, int(targets.elem_count())?];
    Kernel::of("cross_entropy", "known_targets")
        .blocks([1, 1, 1], OF_TOKENS)
        .run(gpu, &arguments)?;
    Ok(known)
}

/// What is made of some rows of logits.
pub(in crate::ops) struct Made<'a> {
    pub losses: &'a Tensor,
    pub correct: Option<&'a Tensor>,
    /// The gradients of the mean over all `known` targets.
    pub grads: Option<(&'a Tensor, &'a Tensor)>,
}

/// Rows of logits may be longer than the vocabulary; what lies beyond is not looked at.
pub(in crate::ops) fn rows(
    gpu: Gpu,
    logits: &Tensor,
    vocabulary: usize,
    targets: &Tensor,
    made: &Made,
) -> Result<()> {
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
    let kernel = Kernel::of("cross_entropy", &format!("loss_rows_{}", name_of(dtype)));
    kernel.blocks([rows, 1, 1], OF_ROW).run(gpu, &arguments)
}

pub(in crate::ops) fn mean(gpu: Gpu, losses: &Tensor, known: &Tensor, to: &Tensor) -> Result<()> {
    let arguments = [
        read(losses)?,
        read(known)?,
        write(to)?,
        int(losses.elem_count())?,
    ];
    Kernel::of("cross_entropy", "mean_loss")
        .blocks([1, 1, 1], OF_TOKENS)
        .run(gpu, &arguments)
}

/// Gradients that a forward pass left, until they are asked for.
pub(in crate::ops) type Left = Arc<Mutex<Option<Vec<Tensor>>>>;

/// They are multiplied by the gradient of the loss where they lie; where that is 1, as mostly, nothing is touched.
pub(in crate::ops) fn hand_out(gpu: Gpu, left: &Left, g: &Tensor) -> Result<Vec<Option<Tensor>>> {
    let Some(gradients) = left.lock().unwrap_or_else(PoisonError::into_inner).take() else {
        bail!("cross-entropy: backward before forward, or twice");
    };
    for x in &gradients {
        let kernel = Kernel::of("shared", &format!("scale_{}", name_of(x.dtype())));
        let numbers = x.elem_count();
        kernel
            .each(numbers, 1)
            .run(gpu, &[write(x)?, read(g)?, count(numbers)])?;
    }
    Ok(gradients.into_iter().map(Some).chain([None]).collect())
}

pub(in crate::ops) fn fused(pass: Pass, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
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

pub(in crate::ops) fn fused_rows(
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
