//! An operation from anywhere: what it computes on a CPU, both ways, what it is a faster form of, and, where it has kernels, what
//! it computes on a GPU. [`Ops::run`](super::Ops::run) does the rest: it chooses, checks shapes, and records on the tape.
//!
//! Inputs are floating-point tensors, all of one type: f32 and f64 on the CPU (f64 is what gradients are checked in), f32 and bf16
//! on a GPU. What the way back needs beside inputs and output is computed again, or kept.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, DType, Layout, Result, Shape, Storage, Tensor, WithDType, bail};

use super::cpu::real::typed;
use super::cpu::rows::numbers;
use super::gpu::{self, Argument, Gpu, Kernels, Pass};
use super::tape::{self, Tape};

/// A type that operations compute in on the CPU: f32 or f64.
pub trait Number: WithDType + Default + Debug + std::iter::Sum {
    /// The nearest value to a constant.
    fn of(x: f64) -> Self {
        Self::from_f64(x)
    }
}

impl Number for f32 {}
impl Number for f64 {}

/// The numbers of a contiguous tensor, and its axes.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, F> {
    /// Row by row.
    pub numbers: &'a [F],
    /// Their axes.
    pub dims: &'a [usize],
}

/// An operation on `N` tensors.
pub trait Op<const N: usize>: Clone + Send + Sync + 'static {
    /// What messages call it.
    const NAME: &'static str;

    /// The output's shape.
    ///
    /// # Errors
    /// Where the inputs do not fit one another or the operation.
    fn shape(&self, inputs: [&Shape; N]) -> Result<Shape>;

    /// The same by candle's plain differentiable operations: what it is held against, and what runs where it has no kernels.
    ///
    /// # Errors
    /// candle's.
    fn reference(&self, inputs: [&Tensor; N]) -> Result<Tensor>;

    /// The shapes of what is kept for the way back, beside inputs and output: statistics of rows, states in between. It is of the
    /// inputs' type on a CPU and f32 on a GPU.
    fn kept(&self, inputs: [&Shape; N]) -> Vec<Shape> {
        let _ = inputs;
        Vec::new()
    }

    /// Writes the output and what is kept, which are all zeros before.
    fn cpu<F: Number>(&self, inputs: [View<F>; N], y: &mut [F], kept: &mut [Vec<F>]);

    /// The gradients of the inputs, where they have one, given what was made on the way forward and the output's gradient.
    fn cpu_back<F: Number>(
        &self,
        inputs: [View<F>; N],
        made: Made<F>,
        g: &[F],
    ) -> [Option<Vec<F>>; N];

    /// The kernels that [`Op::gpu`] and [`Op::gpu_back`] launch; `None` where there are none.
    fn kernels(&self) -> Option<&'static Kernels> {
        None
    }

    /// Writes the output and what is kept on a GPU, which hold anything before.
    ///
    /// # Errors
    /// The launch's.
    fn gpu(&self, gpu: OnGpu, inputs: [&Tensor; N], made: OnGpuMade) -> Result<()> {
        let _ = (gpu, inputs, made);
        bail!("{} has no kernels", Self::NAME)
    }

    /// The gradients of the inputs on a GPU, where they have one, of the inputs' type.
    ///
    /// # Errors
    /// The launch's.
    fn gpu_back(
        &self,
        gpu: OnGpu,
        inputs: [&Tensor; N],
        made: OnGpuMade,
        g: &Tensor,
    ) -> Result<[Option<Tensor>; N]> {
        let _ = (gpu, inputs, made, g);
        bail!("{} has no kernels", Self::NAME)
    }
}

/// What an operation made on its way forward.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a, F> {
    /// Its output.
    pub y: &'a [F],
    /// What it kept, by [`Op::kept`].
    pub kept: &'a [Vec<F>],
}

/// The same on a GPU.
#[derive(Debug, Clone, Copy)]
pub struct OnGpuMade<'a> {
    /// Its output.
    pub y: &'a Tensor,
    /// What it kept, by [`Op::kept`].
    pub kept: &'a [Tensor],
}

/// A GPU to launch an operation's kernels on.
#[derive(Clone, Copy)]
pub struct OnGpu {
    gpu: Gpu,
    kernels: &'static Kernels,
}

/// A kernel's name, its grid, and the threads of a block.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// As it is exported: `EXPORT(THREADS, NAME, PARAMETERS, BODY)` of `common.cuh`.
    pub kernel: &'a str,
    /// Blocks along x, y and z.
    pub grid: [usize; 3],
    /// At most 1024.
    pub threads: u32,
}

/// One argument of a kernel, as its declaration has it.
#[derive(Debug, Clone, Copy)]
pub enum Arg<'a> {
    /// The numbers of a contiguous tensor that is read.
    Read(&'a Tensor),
    /// The numbers of a contiguous tensor that is written.
    Write(&'a Tensor),
    /// `int` or `unsigned`.
    Int(i32),
    /// `long long`.
    Long(i64),
    /// `float`.
    Float(f32),
}

impl OnGpu {
    /// A contiguous tensor with anything in it.
    ///
    /// # Errors
    /// Where there is no memory.
    pub fn empty(self, shape: &Shape, dtype: DType) -> Result<Tensor> {
        self.gpu.empty(shape.clone(), dtype)
    }

    /// How kernels' names spell a type: `f32`, `bf16`.
    pub fn name_of(self, dtype: DType) -> &'static str {
        gpu::name_of(dtype)
    }

    /// Runs a kernel.
    ///
    /// # Errors
    /// Where there is no such kernel, it takes other arguments, or a tensor is not contiguous.
    ///
    /// # Safety
    /// The kernel reads and writes within the tensors that it is given.
    pub unsafe fn launch(self, launch: Launch, arguments: &[Arg]) -> Result<()> {
        let mut all = Vec::with_capacity(arguments.len());
        for argument in arguments {
            all.push(match *argument {
                Arg::Read(tensor) => gpu::read(tensor)?,
                Arg::Write(tensor) => gpu::write(tensor)?,
                Arg::Int(x) => Argument::Int(x),
                Arg::Long(x) => Argument::Long(x),
                Arg::Float(x) => Argument::Float(x),
            });
        }
        self.gpu.launch_own(
            self.kernels,
            (launch.kernel, launch.grid, launch.threads),
            &all,
        )
    }
}

pub(super) fn on_cpu<const N: usize, O: Op<N>>(
    tape: Option<&Tape>,
    op: &O,
    inputs: [&Tensor; N],
) -> Result<Tensor> {
    let (inputs, shape) = prepared(op, inputs)?;
    let Some(first) = inputs.first() else {
        bail!("{} takes nothing", O::NAME)
    };
    typed!(first, F => of_type::<F, N, O>(tape, op, inputs.each_ref(), shape))
}

/// Inputs one behind the other in memory and of one type, and the output's shape.
fn prepared<const N: usize, O: Op<N>>(
    op: &O,
    inputs: [&Tensor; N],
) -> Result<([Tensor; N], Shape)> {
    let shape = op.shape(inputs.map(Tensor::shape))?;
    if let Some(other) = inputs.iter().find(|x| x.dtype() != inputs[0].dtype()) {
        bail!(
            "{} takes tensors of one type, not {:?} and {:?}",
            O::NAME,
            inputs[0].dtype(),
            other.dtype()
        );
    }
    let contiguous: Vec<Tensor> = inputs
        .iter()
        .map(|x| x.contiguous())
        .collect::<Result<_>>()?;
    match contiguous.try_into() {
        Ok(contiguous) => Ok((contiguous, shape)),
        Err(_) => bail!("{} takes {N} tensors", O::NAME),
    }
}

fn of_type<F: Number, const N: usize, O: Op<N>>(
    tape: Option<&Tape>,
    op: &O,
    inputs: [&Tensor; N],
    shape: Shape,
) -> Result<Tensor> {
    let mut kept: Vec<Vec<F>> = op
        .kept(inputs.map(Tensor::shape))
        .iter()
        .map(|shape| vec![F::default(); shape.elem_count()])
        .collect();
    let left = Arc::new(OnceLock::new());
    let leave = left.clone();
    let forward = |stored: [(&CpuStorage, &Layout); N]| {
        let mut views = Vec::with_capacity(N);
        for (storage, layout) in stored {
            let numbers = numbers::<F>(storage, layout)?;
            let dims = layout.dims();
            views.push(View { numbers, dims });
        }
        let mut y = vec![F::default(); shape.elem_count()];
        op.cpu(array(views)?, &mut y, &mut kept);
        leave.set(kept).ok();
        Ok((F::to_cpu_storage_owned(y), shape))
    };
    let back = op.clone();
    tape::put(tape, inputs, forward, move |inputs, y, g| {
        let g = g.contiguous()?;
        let held: Vec<_> = inputs.iter().map(Tensor::storage_and_layout).collect();
        let mut views = Vec::with_capacity(N);
        for (storage, layout) in &held {
            let numbers = on_the_host::<F>(storage, layout)?;
            let dims = layout.dims();
            views.push(View { numbers, dims });
        }
        let ((y, ly), (g, lg)) = (y.storage_and_layout(), g.storage_and_layout());
        let (y, g) = (on_the_host::<F>(&y, ly)?, on_the_host::<F>(&g, lg)?);
        let kept = left.get().map_or(&[][..], Vec::as_slice);
        let gradients = back.cpu_back(array(views)?, Made { y, kept }, g);
        let given = gradients.into_iter().zip(inputs);
        given
            .map(|(gradient, input)| gradient.map(|d| tensor_like(d, input)).transpose())
            .collect()
    })
}

fn array<T, const N: usize>(list: Vec<T>) -> Result<[T; N]> {
    match list.try_into() {
        Ok(array) => Ok(array),
        Err(_) => bail!("an operation of {N} tensors got another number of them"),
    }
}

fn on_the_host<'a, F: WithDType>(storage: &'a Storage, layout: &Layout) -> Result<&'a [F]> {
    match storage {
        Storage::Cpu(storage) => numbers(storage, layout),
        other => bail!("a fused op got a tensor on {:?}", other.device().location()),
    }
}

fn tensor_like<F: Number>(numbers: Vec<F>, input: &Tensor) -> Result<Tensor> {
    if numbers.len() != input.elem_count() {
        bail!(
            "a gradient of {} numbers of an input of {:?}",
            numbers.len(),
            input.shape()
        );
    }
    Tensor::from_vec(numbers, input.shape(), input.device())
}

pub(super) fn on_gpu<const N: usize, O: Op<N>>(
    pass: Pass,
    op: &O,
    inputs: [&Tensor; N],
) -> Result<Tensor> {
    let Some(kernels) = op.kernels().filter(|kernels| pass.gpu.runs(kernels)) else {
        return op.reference(inputs);
    };
    let (inputs, shape) = prepared(op, inputs)?;
    let gpu = OnGpu {
        gpu: pass.gpu,
        kernels,
    };
    let dtype = inputs[0].dtype();
    let kept = op.kept(inputs.each_ref().map(Tensor::shape));
    let kept = kept
        .into_iter()
        .map(|shape| gpu.empty(&shape, DType::F32))
        .collect::<Result<Vec<_>>>()?;
    let (at_end, left) = (op.clone(), kept.clone());
    let back = move |inputs: &[Tensor], y: &Tensor, g: &Tensor| {
        let inputs: [&Tensor; N] = array(inputs.iter().collect())?;
        let gradients =
            at_end.gpu_back(gpu, inputs, OnGpuMade { y, kept: &left }, &g.contiguous()?)?;
        Ok(gradients.into())
    };
    let inputs = inputs.each_ref();
    pass.put(
        inputs,
        (shape, dtype),
        |y| op.gpu(gpu, inputs, OnGpuMade { y, kept: &kept }),
        Box::new(back),
    )
}
