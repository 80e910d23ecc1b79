//! Causal attention: on tensor cores where activations are bf16 and a head is one of [`WIDTHS`], else in plain arithmetic up to
//! heads of [`WIDEST`]; beyond that candle's operations. Kept for the backward pass is ln sum exp of each query's scores.

use crate::ops::axes::Axes;
use crate::ops::dispatch::without_kernels;
use crate::ops::gpu::backend::{Argument, Gpu, Kernel, Plain, THREADS, name_of, read, write};
use crate::ops::gpu::pass::Pass;
use candle_core::{DType, Result, Tensor, bail};

/// Widths of heads that tensor cores have kernels for.
pub(super) const WIDTHS: [usize; 8] = [16, 32, 48, 64, 80, 96, 112, 128];

/// The widest head that has any kernel.
pub const WIDEST: usize = 128;

/// Whether a GPU has kernels for attention of such heads, trained and, up to so many tokens, over a cache. Elsewhere attention is
/// candle's plain operations.
pub fn has_attention(head_width: usize, context: usize) -> bool {
    head_width <= WIDEST && crate::ops::cached::gpu::holds(head_width, context)
}

/// `struct Sizes` of both files.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Sizes {
    time: i32,
    heads: i32,
    kv_heads: i32,
    width: i32,
    window: i32,
    scale: f32,
}

// SAFETY: field by field the struct of the kernels.
unsafe impl Plain for Sizes {}

/// How a shape is computed: which kernels, their tiles and threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// 64 rows by tiles of so many.
    TensorCores { tile: usize },
    /// 8 rows by tiles of 32.
    Plain,
}

/// Threads of a block, whichever way.
const OF_BLOCK: u32 = 128;

impl Way {
    pub(super) fn of(dtype: DType, width: usize) -> Option<Self> {
        match width {
            _ if dtype == DType::BF16 && WIDTHS.contains(&width) => Some(Way::TensorCores {
                tile: if width > 64 { 32 } else { 64 },
            }),
            1..=WIDEST => Some(Way::Plain),
            _ => None,
        }
    }

    fn kernel(self, of: &str, dtype: DType, width: usize) -> Kernel {
        match self {
            Way::TensorCores { .. } => Kernel {
                module: "attention",
                name: format!("attention{of}_{width}"),
            },
            Way::Plain => Kernel {
                module: "attention_any",
                name: format!("attention_any{of}_{}", name_of(dtype)),
            },
        }
    }

    fn rows(self) -> usize {
        match self {
            Way::TensorCores { .. } => 64,
            Way::Plain => 8,
        }
    }

    /// Shared memory for so many rows of its own and so many of tiles, in bytes.
    fn shared(self, width: usize, own: usize, tiles: usize) -> usize {
        match self {
            Way::TensorCores { tile } => (own * self.rows() + tiles * tile) * (width + 8) * 2,
            Way::Plain => (own * self.rows() + tiles * 32) * (width + 1) * 4,
        }
    }

    fn grid(self, axes: Axes, heads: usize) -> [usize; 3] {
        [axes.time.div_ceil(self.rows()), heads, axes.batch]
    }
}

fn sizes(axes: Axes) -> Sizes {
    Sizes {
        time: axes.time as i32,
        heads: axes.heads as i32,
        kv_heads: axes.kv_heads as i32,
        width: axes.head_width as i32,
        window: axes.window_or_all(),
        scale: axes.score_scale() as f32,
    }
}

pub(in crate::ops) fn fused(
    pass: Pass,
    qkv: &Tensor,
    sinks: Option<&Tensor>,
    axes: Axes,
) -> Result<Tensor> {
    if sinks.is_some() || axes.of_one_width().is_err() {
        let wide = qkv.to_dtype(DType::F32)?;
        let y = without_kernels(|| super::reference(&wide, sinks, axes))?;
        return y.to_dtype(qkv.dtype());
    }
    let (x, gpu) = (qkv.contiguous()?, pass.gpu);
    let Some(way) = Way::of(x.dtype(), axes.head_width) else {
        return super::reference(qkv, None, axes);
    };
    if way != Way::Plain && !gpu.backend.address(&x)?.is_multiple_of(16) {
        bail!("tensor cores take tensors that begin at a multiple of 16 bytes");
    }
    let lse = gpu.empty((axes.batch, axes.heads, axes.time), DType::F32)?;
    let kept = lse.clone();
    let run = |y: &Tensor| {
        // Tensor cores hold queries, keys and values as tiles of 64 rows forwards, whatever the tile backwards.
        let bytes = match way {
            Way::TensorCores { .. } => way.shared(axes.head_width, 3, 0),
            Way::Plain => way.shared(axes.head_width, 1, 2),
        };
        way.kernel("", x.dtype(), axes.head_width)
            .blocks(way.grid(axes, axes.heads), OF_BLOCK)
            .shared(bytes)
            .run(
                gpu,
                &[
                    read(&x)?,
                    write(y)?,
                    write(&lse)?,
                    Argument::Struct(&sizes(axes)),
                ],
            )
    };
    let back = move |inputs: &[Tensor], y: &Tensor, g: &Tensor| {
        Ok(vec![Some(grads(
            gpu,
            way,
            axes,
            &inputs[0],
            y,
            &g.contiguous()?,
            &kept,
        )?)])
    };
    pass.put(
        [&x],
        ((axes.rows(), axes.width()).into(), x.dtype()),
        run,
        Box::new(back),
    )
}

fn grads(
    gpu: Gpu,
    way: Way,
    axes: Axes,
    x: &Tensor,
    y: &Tensor,
    g: &Tensor,
    lse: &Tensor,
) -> Result<Tensor> {
    let (sizes, dtype, width) = (sizes(axes), x.dtype(), axes.head_width);
    let (delta, d) = (
        gpu.empty(lse.shape(), DType::F32)?,
        gpu.empty(x.shape(), dtype)?,
    );
    let pairs = axes.rows() * axes.heads;
    Kernel {
        module: "attention_any",
        name: format!("attention_deltas_{}", name_of(dtype)),
    }
    .blocks([pairs.div_ceil(THREADS as usize / 32), 1, 1], THREADS)
    .run(
        gpu,
        &[
            read(y)?,
            read(g)?,
            write(&delta)?,
            crate::ops::gpu::backend::int(axes.rows())?,
            Argument::Struct(&sizes),
        ],
    )?;
    for (of, heads) in [("_queries", axes.heads), ("_keys", axes.kv_heads)] {
        let arguments = [
            read(x)?,
            read(g)?,
            read(lse)?,
            read(&delta)?,
            write(&d)?,
            Argument::Struct(&sizes),
        ];
        way.kernel(of, dtype, width)
            .blocks(way.grid(axes, heads), OF_BLOCK)
            .shared(way.shared(width, 2, 2))
            .run(gpu, &arguments)?;
    }
    Ok(d)
}
