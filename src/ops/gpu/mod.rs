//! The fused operations on a GPU: kernels of our own (`kernels/*.cu`) around the matrix products of the vendor's library.
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

mod backend;
mod cached;
mod attention;
#[cfg(feature = "cuda")]
mod cuda;
mod elementwise;
mod embedding;
mod linear;
mod loss;
mod norm;
mod optimizer;
#[cfg(unix)]
mod emulator;
#[cfg(test)]
mod profile;
#[cfg(test)]
mod tests;

pub(super) use attention::attention;
pub use attention::{WIDEST, has_attention};
pub(super) use backend::{Argument, name_of, read, write};
pub(super) use cached::{cached_attention, holds as cache_holds};
pub(super) use elementwise::{activation, add, add_positions, rope, swiglu};
pub(super) use embedding::embedding;
pub(super) use linear::linear;
pub(super) use loss::{cross_entropy, cross_entropy_rows, head_loss};
pub(super) use norm::norm;
pub(crate) use optimizer::{AdamwFactors, Updated};
#[cfg(test)]
pub(crate) use profile::Profile;

use super::tape::{Back, Tape};
use backend::{Backend, Fit};
use candle_core::{DType, Device, Result, Shape, Tensor, TensorId, bail};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A GPU and the type of activations on it. A value, cheap to copy.
#[derive(Clone, Copy)]
pub(crate) struct Gpu {
    backend: &'static dyn Backend,
    dtype: DType,
    tf32: bool,
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

/// One CUDA file of somebody's own kernels, which includes `common.cuh` and exports them by its `EXPORT`.
#[derive(Debug, PartialEq, Eq)]
pub struct Kernels {
    /// What messages call it.
    pub name: &'static str,
    /// The file's text.
    pub source: &'static str,
}

/// Weights that were narrowed already, for as long as they do not change: decoding would otherwise read them in full for every
/// token.
#[derive(Default)]
pub struct Narrowed(Mutex<HashMap<TensorId, Tensor>>);

/// What a forward pass on a GPU carries: where it runs, what it is recorded on, and weights narrowed before.
#[derive(Clone, Copy)]
pub(super) struct Pass<'t> {
    pub gpu: Gpu,
    pub tape: Option<&'t Tape>,
    pub narrowed: Option<&'t Narrowed>,
}

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

    /// The same with activations of another type.
    ///
    /// # Errors
    /// For anything but f32 and bf16.
    pub fn with_dtype(self, dtype: DType) -> Result<Self> {
        match dtype {
            DType::F32 | DType::BF16 => Ok(Self { dtype, ..self }),
            other => bail!("the kernels compute in f32 or bf16, not in {other:?}"),
        }
    }

    /// The same with f32 factors of products rounded to TF32.
    pub fn with_tf32(self, tf32: bool) -> Self {
        Self { tf32, ..self }
    }

    /// Whether it can run somebody's own kernels.
    pub(super) fn runs(self, kernels: &'static Kernels) -> bool {
        self.backend.runs(kernels)
    }

    /// Runs one of somebody's own kernels.
    pub(super) fn launch_own(
        self,
        kernels: &'static Kernels,
        launch: super::Launch,
        arguments: &[Argument],
    ) -> Result<()> {
        let super::Launch {
            kernel,
            grid,
            threads,
        } = launch;
        let kernel = backend::Kernel {
            module: kernels.name,
            name: kernel.to_owned(),
        };
        kernel
            .blocks(grid, threads)
            .of(kernels)
            .run(self, arguments)
    }

    pub(super) fn empty(self, shape: impl Into<Shape>, dtype: DType) -> Result<Tensor> {
        self.backend.empty(shape.into(), dtype, false)
    }

    fn zeros(self, shape: impl Into<Shape>) -> Result<Tensor> {
        let x = self.empty(shape, DType::F32)?;
        let kernel = elementwise::kernel("zero");
        kernel
            .each(x.elem_count(), 1)
            .run(self, &[write(&x)?, backend::count(x.elem_count())])?;
        Ok(x)
    }

    /// A matrix of parameters as products take it.
    fn narrow(self, x: &Tensor) -> Result<Tensor> {
        let x = x.contiguous()?;
        if x.dtype() == self.dtype {
            return Ok(x);
        }
        if (x.dtype(), self.dtype) != (DType::F32, DType::BF16) {
            bail!("{:?} is not narrowed to {:?}", x.dtype(), self.dtype);
        }
        let (y, count) = (self.empty(x.shape(), self.dtype)?, x.elem_count());
        let at_once = Fit::new(4)
            .numbers(count)
            .tensors(self, &[&x, &y])?
            .at_once();
        let kernel = elementwise::kernel(if at_once == 4 { "narrow_4" } else { "narrow_1" });
        kernel
            .each(count, at_once)
            .run(self, &[read(&x)?, write(&y)?, backend::count(count)])?;
        Ok(y)
    }

    /// Adds a tensor to another of its shape and type, in place. The numbers of the first must be nobody else's.
    pub fn add_into(self, sum: &Tensor, x: &Tensor) -> Result<()> {
        if sum.shape() != x.shape() || sum.dtype() != x.dtype() {
            bail!(
                "{:?} {:?} cannot be added to {:?} {:?}",
                x.shape(),
                x.dtype(),
                sum.shape(),
                sum.dtype()
            );
        }
        elementwise::add_to(self, sum, &x.contiguous()?, sum)
    }
}

impl<'t> Pass<'t> {
    /// Runs an operation, and puts it on the tape where one of its inputs is tracked. `run` fills the output; `back` gets inputs,
    /// output and the output's gradient, and gives the gradients of the inputs.
    pub(super) fn put<const N: usize>(
        self,
        inputs: [&Tensor; N],
        (shape, dtype): (Shape, DType),
        run: impl FnOnce(&Tensor) -> Result<()>,
        back: Back,
    ) -> Result<Tensor> {
        let leaf = super::tape::tracked(self.tape, &inputs)?;
        let output = self.gpu.backend.empty(shape, dtype, leaf)?;
        run(&output)?;
        if let Some(tape) = self.tape.filter(|_| leaf) {
            tape.put(inputs.map(Tensor::clone).into(), output.clone(), back);
        }
        Ok(output)
    }

    /// A matrix of parameters as products take it.
    fn narrow(self, w: &Tensor) -> Result<Tensor> {
        let Some(Narrowed(known)) = self.narrowed else {
            return self.gpu.narrow(w);
        };
        if let Some(known) = known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&w.id())
        {
            return Ok(known.clone());
        }
        let narrow = self.gpu.narrow(w)?;
        known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(w.id(), narrow.clone());
        Ok(narrow)
    }
}
