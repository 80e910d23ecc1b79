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
    /// Of l = ln sum exp, where they are wanted, and the coefficient of their mean.
    pub squares: Option<&'a Tensor>,
    pub z: f64,
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
    for tensor in [made.squares, made.correct, grads] {
        arguments.push(tensor.map_or(Ok(Argument::Null), write)?);
    }
    let z = Argument::Float(made.z as f32);
    arguments.extend([z, int(vocabulary)?, int(stride)?]);
    let kernel = Kernel::of("cross_entropy", &format!("loss_rows_{}", name_of(dtype)));
    kernel.blocks([rows, 1, 1], OF_ROW).run(gpu, &arguments)
}

/// The losses of tokens, and where a coefficient z asks for them the squares of l.
pub(in crate::ops) struct Losses {
    pub nats: Tensor,
    pub squares: Option<Tensor>,
    pub z: f64,
}

impl Losses {
    pub fn empty(gpu: Gpu, tokens: usize, z: f64) -> Result<Self> {
        let empty = || gpu.empty(tokens, DType::F32);
        Ok(Self {
            nats: empty()?,
            squares: (z != 0.0).then(empty).transpose()?,
            z,
        })
    }

    /// One number, or with z two.
    pub fn shape(z: f64) -> Shape {
        if z == 0.0 {
            Shape::from(())
        } else {
            Shape::from(2)
        }
    }

    /// Their means over all known targets, that of the squares times z.
    pub fn means(&self, gpu: Gpu, known: &Tensor, to: &Tensor) -> Result<()> {
        let mean = |losses: &Tensor, factor: f64, to: &Tensor| {
            let arguments = [
                read(losses)?,
                read(known)?,
                write(to)?,
                Argument::Float(factor as f32),
                int(losses.elem_count())?,
            ];
            Kernel::of("cross_entropy", "mean_loss")
                .blocks([1, 1, 1], OF_TOKENS)
                .run(gpu, &arguments)
        };
        let Some(squares) = &self.squares else {
            return mean(&self.nats, 1.0, to);
        };
        mean(&self.nats, 1.0, &to.narrow(0, 0, 1)?)?;
        mean(squares, self.z, &to.narrow(0, 1, 1)?)
    }
}

/// Gradients that a forward pass left, until they are asked for; none of what nobody asks for.
pub(in crate::ops) type Left = Arc<Mutex<Option<Vec<Option<Tensor>>>>>;

/// They are multiplied by the gradient of the loss where they lie; where that is 1, as mostly, nothing is touched.
pub(in crate::ops) fn hand_out(gpu: Gpu, left: &Left, g: &Tensor) -> Result<Vec<Option<Tensor>>> {
    let Some(gradients) = left.lock().unwrap_or_else(PoisonError::into_inner).take() else {
        bail!("cross-entropy: backward before forward, or twice");
    };
    for x in gradients.iter().flatten() {
        let kernel = Kernel::of("shared", &format!("scale_{}", name_of(x.dtype())));
        let numbers = x.elem_count();
        kernel
            .each(numbers, 1)
            .run(gpu, &[write(x)?, read(g)?, count(numbers)])?;
    }
    Ok(gradients.into_iter().chain([None]).collect())
}

pub(in crate::ops) fn fused(
    pass: Pass,
    logits: &Tensor,
    targets: &Tensor,
    z: f64,
) -> Result<Tensor> {
    let (logits, gpu) = (logits.contiguous()?, pass.gpu);
    let targets = targets_of(targets, logits.dims2()?.0)?;
    let left = Left::default();
    let run = |means: &Tensor| {
        let known = known(gpu, &targets)?;
        let losses = Losses::empty(gpu, targets.elem_count(), z)?;
        let grads = logits
            .track_op()
            .then(|| gpu.empty(logits.shape(), DType::F32))
            .transpose()?;
        let made = Made {
            losses: &losses.nats,
            squares: losses.squares.as_ref(),
            z,
            correct: None,
            grads: grads.as_ref().map(|grads| (grads, &known)),
        };
        rows(gpu, &logits, logits.dims2()?.1, &targets, &made)?;
        *left.lock().unwrap_or_else(PoisonError::into_inner) = Some(vec![grads]);
        losses.means(gpu, &known, means)
    };
    let kept = left.clone();
    let back = move |_: &[Tensor], _: &Tensor, g: &Tensor| hand_out(gpu, &kept, g);
    let output = (Losses::shape(z), DType::F32);
    pass.put([&logits, &targets], output, run, Box::new(back))
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
            squares: None,
            z: 0.0,
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
