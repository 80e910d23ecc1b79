//! Matrix products, counted where they are made: what a model claims to compute is held against this.
//!
//! A product counts its multiply-adds, two FLOPs each. An operation that goes by tiles and throws away what of a tile lies
//! beyond a mask takes that off again, so that the figure is that of the pairs which the mask leaves, whatever the tiles.
//! Counted are the products of the fused operations on the CPU and on an emulated GPU. candle's own `matmul` is not seen:
//! [`matmul`] is the same, and is.

use std::cell::Cell;

use candle_core::{Error, Result, Tensor};

thread_local! {
    /// Of this thread: an addition per product is all that counting costs.
    static FLOPS: Cell<i64> = const { Cell::new(0) };
}

/// One more product, or less of one whose result is partly thrown away.
pub(super) fn add(flops: i64) {
    FLOPS.set(FLOPS.get() + flops);
}

/// candle's product of two matrices or of two batches of them, seen. Of factors that are tracked candle makes both gradients when
/// it walks back, and these are counted here already.
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let product = a.matmul(b)?;
    let (inner, gradients) = (a.dims().last().copied(), product.track_op());
    let once = 2 * product.elem_count() * inner.unwrap_or(1);
    add((once * if gradients { 3 } else { 1 }) as i64);
    Ok(product)
}

/// What `work` gives, and the FLOPs of the products that it made. It runs on one thread, so that all are seen.
///
/// # Errors
/// Where no thread can be started.
pub fn counted<T: Send>(work: impl FnOnce() -> T + Send) -> Result<(T, u64)> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .map_err(Error::wrap)?;
    pool.install(|| {
        FLOPS.take();
        let given = work();
        let flops = u64::try_from(FLOPS.take()).map_err(Error::wrap)?;
        Ok((given, flops))
    })
}
