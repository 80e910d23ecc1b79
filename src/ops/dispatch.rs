//! How much a training step asks of the fused ops, exactly: how many of them it puts on its tapes, and how many bytes the tensors have
//! that they make there and keep for the way back.
//!
//! Neither depends on the machine, the number of threads or the seed, so that a change of one of them is a change of the program. A
//! trial is a process of its own: what the process counts is what the trial does. Plain operations of candle are not counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use candle_core::Tensor;

static OPS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static UNAIDED: AtomicBool = AtomicBool::new(false);

/// What was put on tapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dispatched {
    /// Fused ops.
    pub ops: u64,
    /// Bytes of what they made.
    pub bytes: u64,
}

/// Counts an op by what it made.
pub(super) fn count(output: &Tensor) {
    OPS.fetch_add(1, Ordering::Relaxed);
    BYTES.fetch_add(
        (output.elem_count() * output.dtype().size_in_bytes()) as u64,
        Ordering::Relaxed,
    );
}

/// Runs what a GPU has no kernels for, and notes that.
pub(super) fn without_kernels<R>(run: impl FnOnce() -> R) -> R {
    UNAIDED.store(true, Ordering::Relaxed);
    run()
}

/// Whether any operation was candle's own on a GPU that has kernels for others, since the process began.
pub fn unaided() -> bool {
    UNAIDED.load(Ordering::Relaxed)
}

/// Since the process began.
pub fn dispatched() -> Dispatched {
    Dispatched {
        ops: OPS.load(Ordering::Relaxed),
        bytes: BYTES.load(Ordering::Relaxed),
    }
}

impl Dispatched {
    /// Since an earlier count; `None` where nothing was: then all ops were candle's own.
    pub fn since(self, earlier: Self) -> Option<Self> {
        let since = Self {
            ops: self.ops - earlier.ops,
            bytes: self.bytes - earlier.bytes,
        };
        (since.ops > 0).then_some(since)
    }
}
