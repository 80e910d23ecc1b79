//! One pass over a parameter, its gradient and the optimizer's state on the CPU, in fixed-size chunks under rayon.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Storage, Tensor, Var};
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Scalars a thread takes at a time: fits the first cache with three streams of state.
const CHUNK: usize = 4096;

/// What an element-wise update does with `(weights, gradients, state streams)` of one chunk.
type Kernel<'a, const S: usize> = &'a (dyn Fn(&mut [f32], &[f32], [&mut [f32]; S]) + Sync);

struct Update<'a, const S: usize> {
    /// candle hands the op out by shared reference, though only one update runs at a time.
    state: Mutex<[&'a mut [f32]; S]>,
    kernel: Kernel<'a, S>,
}

/// Runs `kernel` over chunks of a parameter with `S` streams of state of the same length.
pub fn update<const S: usize>(
    var: &Var,
    grad: &Tensor,
    state: [&mut [f32]; S],
    kernel: Kernel<S>,
) -> Result<()> {
    var.inplace_op2(
        grad,
        &Update {
            state: Mutex::new(state),
            kernel,
        },
    )
}

/// What `look` finds in the chunks of a gradient and of `S` streams of state, added up in their order; `None` where it finds
/// nothing in the first, which is then the only one that it is asked about.
pub fn sum<const S: usize>(
    grad: &Tensor,
    state: [&[f32]; S],
    look: &(dyn Fn(&[f32], [&[f32]; S]) -> Option<f64> + Sync),
) -> Result<Option<f64>> {
    let (storage, layout) = grad.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        candle_core::bail!("a gradient on another device than the state of its optimizer")
    };
    let from = layout.start_offset();
    let g = &storage.as_slice::<f32>()?[from..from + layout.shape().elem_count()];
    let one = |k: usize| {
        let (from, to) = (k * CHUNK, g.len().min((k + 1) * CHUNK));
        look(&g[from..to], state.map(|all| &all[from..to]))
    };
    let Some(first) = one(0) else {
        return Ok(None);
    };
    let rest = (1..g.len().div_ceil(CHUNK)).into_par_iter();
    let rest: Vec<f64> = rest.map(|k| one(k).unwrap_or_default()).collect();
    Ok(Some(rest.into_iter().fold(first, |sum, x| sum + x)))
}

impl<const S: usize> InplaceOp2 for Update<'_, S> {
    fn name(&self) -> &'static str {
        "optimizer-update"
    }

    fn cpu_fwd(&self, w: &mut CpuStorage, lw: &Layout, g: &CpuStorage, lg: &Layout) -> Result<()> {
        let n = lw.shape().elem_count();
        let CpuStorage::F32(w) = w else {
            candle_core::bail!("parameters are f32")
        };
        let w = &mut w[lw.start_offset()..lw.start_offset() + n];
        let g = &g.as_slice::<f32>()?[lg.start_offset()..lg.start_offset() + n];
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut streams: Vec<[&mut [f32]; S]> = Vec::with_capacity(n.div_ceil(CHUNK));
        let mut rests: [&mut [f32]; S] = state.each_mut().map(|s| &mut **s);
        let mut left = n;
        while left > 0 {
            let take = left.min(CHUNK);
            let mut heads: [&mut [f32]; S] = std::array::from_fn(|_| &mut [] as &mut [f32]);
            for (rest, head) in rests.iter_mut().zip(&mut heads) {
                let (first, second) = std::mem::take(rest).split_at_mut(take);
                (*head, *rest) = (first, second);
            }
            streams.push(heads);
            left -= take;
        }
        w.par_chunks_mut(CHUNK)
            .zip(g.par_chunks(CHUNK))
            .zip(streams)
            .for_each(|((w, g), s)| (self.kernel)(w, g, s));
        Ok(())
    }
}
