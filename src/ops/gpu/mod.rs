//! What operations on a GPU are made of. An operation's kernels (`kernel.cu`) and what launches them (`gpu.rs`) stand in its own
//! folder; around them are the matrix products of the vendor's library.
//!
//! Everything that decides anything is the same for every GPU: which kernel runs, with which geometry and arguments, what is
//! kept for the backward pass and what becomes of it. A [`Backend`] only holds memory, runs kernels by name and multiplies
//! matrices. There are two: the GPU (`cuda`, behind the feature) and, for tests and for the law, an emulator that compiles the very same kernels
//! for the CPU and runs them thread by thread.
//!
//! Activations and their gradients are of the compute type, f32 or bf16, those of the residual stream among them (as in llm.c;
//! PyTorch's autocast keeps that stream f32). Arithmetic inside a kernel, sums of products, statistics, logits, losses, parameters
//! and their gradients are f32. Parameters are narrowed where a product takes them. No sum depends on the order in which blocks
//! happen to run, so that the same run gives the same bits twice on one kind of GPU.

pub(super) mod backend;
mod files;
pub(super) mod pass;
pub(super) mod shared;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(unix)]
pub(super) mod emulator;
#[cfg(test)]
mod profile;

pub(crate) use backend::Gpu;
pub use backend::Kernels;
pub(super) use backend::{Argument, name_of, read, write};
pub(super) use pass::Pass;
#[cfg(test)]
pub(crate) use profile::Profile;

use candle_core::{DType, Device};

impl Gpu {
    /// The GPU of a device, if it is one. Activations are f32.
    #[cfg(feature = "cuda")]
    pub fn of(device: &Device) -> Option<Self> {
        match device {
            Device::Cuda(device) => Some(Self {
                backend: cuda::backend_of(device),
                dtype: DType::F32,
                tf32: false,
            }),
            _ => None,
        }
    }

    /// The GPU of a device, if it is one. Activations are f32.
    #[cfg(not(feature = "cuda"))]
    pub fn of(_device: &Device) -> Option<Self> {
        None
    }
}

/// An emulated GPU, if this machine has a C++ compiler.
#[cfg(unix)]
pub(super) fn emulated(dtype: DType) -> Option<Gpu> {
    emulator::gpu(emulator::Turns::Rising, dtype)
}

/// None: what was compiled is loaded as Unix does it.
#[cfg(not(unix))]
pub(super) fn emulated(_dtype: DType) -> Option<Gpu> {
    None
}
