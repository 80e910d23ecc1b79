//! On a GPU; kept for the backward pass is 1 / sqrt(mean square + eps) of each head.

use crate::ops::axes::Axes;
use crate::ops::gpu::backend::{Argument, Gpu, Kernel, Plain, THREADS, int, name_of, read, write};
use crate::ops::gpu::pass::Pass;
use crate::ops::gpu::shared::{Columns, sum_chunks};
use candle_core::{DType, Result, Tensor};

/// `struct Heads` of `kernel.cu`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Heads {
    rows: i32,
    heads: i32,
    kv_heads: i32,
    width: i32,
}

// SAFETY: field by field the struct of the kernels.
unsafe impl Plain for Heads {}

fn kernel(name: &str, dtype: DType) -> Kernel {
    Kernel::of("head_norm", &format!("{name}_{}", name_of(dtype)))
}

/// A warp for each head of each row, values among them.
fn grid(axes: Axes) -> [usize; 3] {
    let warps = axes.rows() * (axes.heads + 2 * axes.kv_heads);
    [warps.div_ceil(THREADS as usize / 32), 1, 1]
}

pub(in crate::ops) fn fused(
    pass: Pass,
    qkv: &Tensor,
    [q_gain, k_gain]: [&Tensor; 2],
    axes: Axes,
    eps: f64,
) -> Result<Tensor> {
    let (x, q, k) = (
        qkv.contiguous()?,
        q_gain.contiguous()?,
        k_gain.contiguous()?,
    );
    let gpu = pass.gpu;
    let roots = gpu.empty((axes.rows(), axes.heads + axes.kv_heads), DType::F32)?;
    let sizes = Heads {
        rows: axes.rows() as i32,
        heads: axes.heads as i32,
        kv_heads: axes.kv_heads as i32,
        width: axes.head_width as i32,
    };
    let run = |y: &Tensor| {
        let arguments = [
            read(&x)?,
            read(&q)?,
            read(&k)?,
            write(y)?,
            write(&roots)?,
            Argument::Struct(&sizes),
            Argument::Float(eps as f32),
        ];
        kernel("head_norm", x.dtype())
            .blocks(grid(axes), THREADS)
            .run(gpu, &arguments)
    };
    let kept = roots.clone();
    let back = move |inputs: &[Tensor], _: &Tensor, g: &Tensor| {
        let g = g.contiguous()?;
        let dx = gpu.empty(g.shape(), g.dtype())?;
        let arguments = [
            read(&inputs[0])?,
            read(&inputs[1])?,
            read(&inputs[2])?,
            read(&g)?,
            read(&kept)?,
            write(&dx)?,
            Argument::Struct(&sizes),
        ];
        kernel("head_norm_back", g.dtype())
            .blocks(grid(axes), THREADS)
            .run(gpu, &arguments)?;
        let gains = gain_slopes(gpu, (&inputs[0], &g, &kept), &sizes)?;
        let width = axes.head_width;
        Ok(vec![
            Some(dx),
            Some(gains.narrow(0, 0, width)?),
            Some(gains.narrow(0, width, width)?),
        ])
    };
    pass.put(
        [&x, &q, &k],
        (x.shape().clone(), x.dtype()),
        run,
        Box::new(back),
    )
}

/// The gradients of both gains, one behind the other.
fn gain_slopes(
    gpu: Gpu,
    (x, g, roots): (&Tensor, &Tensor, &Tensor),
    sizes: &Heads,
) -> Result<Tensor> {
    let width = sizes.width as usize;
    let columns = Columns::of(sizes.rows as usize, 2 * width, 1);
    let partial = gpu.empty((columns.chunks, 2 * width), DType::F32)?;
    let arguments = [
        read(x)?,
        read(g)?,
        read(roots)?,
        write(&partial)?,
        Argument::Struct(sizes),
        int(columns.rows_per_chunk)?,
    ];
    columns.run(kernel("head_norm_gains", x.dtype()), gpu, &arguments)?;
    sum_chunks(gpu, &partial)
}
