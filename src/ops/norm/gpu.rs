//! LayerNorm and RMSNorm; kept for the backward pass are mean and 1 / sqrt(var + eps) of each row.

use super::Kind;
use crate::ops::gpu::backend::{Argument, Fit, Gpu, Kernel, THREADS, int, read, read_if, write};
use crate::ops::gpu::pass::Pass;
use crate::ops::gpu::shared::{Columns, sum_chunks};
use candle_core::{DType, Result, Tensor, bail};

/// Rows of a block: one for each warp of 32 threads.
const ROWS: usize = THREADS as usize / 32;

pub(in crate::ops) fn fused(
    pass: Pass,
    (kind, eps): (Kind, f64),
    x: &Tensor,
    gain: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    if gain.dims() != [width] || bias.is_some_and(|bias| bias.dims() != [width]) {
        let bias = bias.map(Tensor::shape);
        bail!(
            "a norm of {:?} cannot have gain {:?} and bias {bias:?}",
            x.shape(),
            gain.shape()
        );
    }
    let (x, gain, bias, gpu) = (
        x.contiguous()?,
        gain.contiguous()?,
        bias.map(Tensor::contiguous).transpose()?,
        pass.gpu,
    );
    let statistics = gpu.empty((rows, 2), DType::F32)?;
    let centred = Argument::Int((kind == Kind::Layer).into());
    let kept = statistics.clone();
    let run = |y: &Tensor| {
        let at_once = Fit::of(x.dtype())
            .numbers(width)
            .tensors(gpu, &[&x, y])?
            .at_once();
        let tensors = [
            read(&x)?,
            read(&gain)?,
            read_if(bias.as_ref())?,
            write(y)?,
            write(&kept)?,
        ];
        let sizes = [
            int(rows)?,
            int(width)?,
            Argument::Float(eps as f32),
            centred,
        ];
        let grid = [rows.div_ceil(ROWS), 1, 1];
        Kernel::packed("norm", "norm_forward", x.dtype(), at_once)
            .blocks(grid, THREADS)
            .run(gpu, &[&tensors[..], &sizes].concat())
    };
    let back = move |inputs: &[Tensor], _: &Tensor, g: &Tensor| {
        let g = g.contiguous()?;
        let dx = input_slopes(gpu, &inputs[0], &inputs[1], &g, &statistics, centred)?;
        let columns = parameter_slopes(gpu, &inputs[0], &g, &statistics)?;
        let (dgain, dbias) = (
            columns.narrow(0, 0, width)?,
            columns.narrow(0, width, width)?,
        );
        Ok([
            vec![Some(dx), Some(dgain)],
            inputs[2..].iter().map(|_| Some(dbias.clone())).collect(),
        ]
        .concat())
    };
    let output = (x.shape().clone(), x.dtype());
    match &bias {
        Some(bias) => pass.put([&x, &gain, bias], output, run, Box::new(back)),
        None => pass.put([&x, &gain], output, run, Box::new(back)),
    }
}

fn input_slopes(
    gpu: Gpu,
    x: &Tensor,
    gain: &Tensor,
    g: &Tensor,
    statistics: &Tensor,
    centred: Argument,
) -> Result<Tensor> {
    let ((rows, width), dx) = (x.dims2()?, gpu.empty(x.shape(), x.dtype())?);
    let at_once = Fit::of(x.dtype())
        .numbers(width)
        .tensors(gpu, &[x, g, &dx])?
        .at_once();
    let tensors = [
        read(x)?,
        read(gain)?,
        read(g)?,
        read(statistics)?,
        write(&dx)?,
    ];
    let arguments = [&tensors[..], &[int(rows)?, int(width)?, centred]].concat();
    Kernel::packed("norm", "norm_backward", x.dtype(), at_once)
        .blocks([rows.div_ceil(ROWS), 1, 1], THREADS)
        .run(gpu, &arguments)?;
    Ok(dx)
}

/// The gradients of gain and bias, one behind the other.
fn parameter_slopes(gpu: Gpu, x: &Tensor, g: &Tensor, statistics: &Tensor) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let at_once = Fit::of(x.dtype())
        .numbers(width)
        .tensors(gpu, &[x, g])?
        .at_once();
    let columns = Columns::of(rows, width, at_once);
    let partial = gpu.empty((columns.chunks, 2 * width), DType::F32)?;
    let tensors = [read(x)?, read(g)?, read(statistics)?, write(&partial)?];
    let arguments = [
        &tensors[..],
        &[int(rows)?, int(width)?, int(columns.rows_per_chunk)?],
    ]
    .concat();
    columns.run(
        Kernel::packed("norm", "norm_columns", x.dtype(), at_once),
        gpu,
        &arguments,
    )?;
    sum_chunks(gpu, &partial)
}
