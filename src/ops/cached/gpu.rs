//! Attention over a cache, for decoding.

use super::Cached;
use crate::ops::axes::Axes;
use crate::ops::gpu::backend::{Argument, Gpu, Kernel, Plain, THREADS, name_of, read, write};
use candle_core::{Result, Tensor};

/// `struct Cache` of `kernel.cu`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Sizes {
    time: i32,
    heads: i32,
    kv_heads: i32,
    width: i32,
    offset: i32,
    room: i32,
    window: i32,
    scale: f32,
}

// SAFETY: field by field the struct of the kernel.
unsafe impl Plain for Sizes {}

/// Shared memory of a block that every GPU with the kernels has to give (99 KiB, compute capability 8.6), less what the kernel
/// declares itself, in bytes.
const MOST_SHARED: usize = 98 * 1024;

/// For each query the query itself, a partial sum a thread, and a score a token.
fn shared_bytes(width: usize, seen: usize) -> usize {
    (width + THREADS as usize + seen) * 4
}

/// Whether the kernel holds so many tokens of such heads.
pub(in crate::ops) fn holds(head_width: usize, seen: usize) -> bool {
    head_width <= THREADS as usize && shared_bytes(head_width, seen) <= MOST_SHARED
}

pub(in crate::ops) fn fused(gpu: Gpu, qkv: &Tensor, cached: Cached, axes: Axes) -> Result<Tensor> {
    let plain = cached.sinks.is_none() && axes.of_one_width().is_ok();
    let Some(values) = cached.values.filter(|_| plain) else {
        return super::reference(qkv, cached, axes);
    };
    if !holds(axes.head_width, cached.seen(axes)) {
        return super::reference(qkv, cached, axes);
    }
    let (qkv, keys, values) = (
        qkv.contiguous()?,
        cached.keys.contiguous()?,
        values.contiguous()?,
    );
    let y = gpu.empty((axes.rows(), axes.width()), qkv.dtype())?;
    let sizes = Sizes {
        time: axes.time as i32,
        heads: axes.heads as i32,
        kv_heads: axes.kv_heads as i32,
        width: axes.head_width as i32,
        offset: cached.offset as i32,
        room: keys.dims3()?.1 as i32,
        window: axes.window_or_all(),
        scale: axes.score_scale() as f32,
    };
    Kernel {
        module: "cached",
        name: format!("cached_attention_{}", name_of(qkv.dtype())),
    }
    .blocks([axes.heads, axes.rows(), 1], THREADS)
    .shared(shared_bytes(axes.head_width, cached.seen(axes)))
    .run(
        gpu,
        &[
            read(&qkv)?,
            read(&keys)?,
            read(&values)?,
            write(&y)?,
            Argument::Struct(&sizes),
        ],
    )?;
    Ok(y)
}
