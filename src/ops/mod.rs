//! The differentiable operations that models are made of: fused on the CPU, fused on a GPU, and as a reference.
//!
//! candle-nn's own `LayerNorm`, `RmsNorm`, `softmax_last_dim` and `rope` record no gradient, without a word: everything before
//! them stays as it was while the loss still falls. Here every operation has an analytic backward pass, on the CPU as a candle
//! `CustomOp`, and beside it the same made of candle's plain differentiable operations; a [`Tape`] walks both back. Tests hold each against
//! finite differences in f64 and against its reference, and its bits against the number of threads.
//!
//! [`Ops`] says which of them runs (`compute.ops = "fused" | "reference"`). Activations are two-dimensional and contiguous:
//! (N, C) with N = batch x time, the time steps of one window behind each other. f32 and f64 on the CPU, f32 and bf16 on a GPU.
//!
//! An operation is a folder: its formula, reference and CPU code (`mod.rs`), its GPU code (`gpu.rs`) and kernels (`kernel.cu`). What
//! all are made of stands in `cpu` and `gpu`; `tape` records them. [`Op`] is the same for an operation from anywhere.

mod counted;
mod decomposed;
mod cpu;
mod dispatch;
mod tape;
mod unaided;
mod axes;
mod narrowed;
mod rounding;
mod gpu;
mod linear;
mod stacked;
mod quantise;
pub mod packed;
mod norm;
mod head_norm;
mod residual;
mod activation;
mod gated;
mod gate;
mod experts;
mod token_values;
mod blend;
mod rope;
mod latent;
mod cached;
mod attention;
mod embedding;
mod positions;
mod cross_entropy;
mod head_loss;
mod short_conv;
mod gates;
mod linear_attention;
mod gated_norm;
mod optimizer;
mod lstm;
mod min_gru;
mod op;
mod distillation;
mod recurrent;
mod pointwise;
pub(crate) mod check;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod rounding_tests;

pub use attention::gpu::{WIDEST as WIDEST_HEAD_ON_GPU, has_attention as gpu_has_attention};
pub use axes::Axes;
pub use blend::Blend;
pub use cached::Cached;
pub use counted::{counted, matmul};
pub use cpu::factors::{Factors, RoundedProduct, bf16_unit, tile_unit};
pub use cross_entropy::{IGNORED, TokenLoss};
pub use decomposed::{eigen, eigen_flops, orthonormal, orthonormal_flops};
pub use dispatch::{Dispatched, dispatched, unaided};
pub use distillation::{Distillation, Divergence};
pub use experts::{Routing, Score};
pub use gate::Gate;
pub use gated_norm::{GatedNorm, NormGate};
pub use gates::{DecayGate, Gates, WriteGate};
pub(crate) use gpu::Gpu;
pub use gpu::Kernels;
pub use latent::{LatentAxes, LatentHeads};
pub use linear_attention::{Decay, Features, LinearAxes, LinearInputs, Products};
pub use lstm::Lstm;
pub use narrowed::Narrowed;
pub use op::{Arg, Launch, Made, Number, OnGpu, OnGpuMade, Op, View};
pub(crate) use optimizer::{AdamwFactors, Updated};
pub use packed::{Activations, Format, Packed};
pub use quantise::{Grid, Rounding, Share};
pub use rope::RopeTable;
pub use stacked::Stacked;
pub use tape::{Gradients, Tape};
pub use token_values::TokenValues;
pub use unaided::Unaided;

use candle_core::{Device, Result, Tensor, bail};

pub use candle_core::DType;

/// Which implementation runs, and what it is recorded on. A value, cheap to copy, that a forward pass carries.
#[derive(Clone, Copy)]
pub struct Ops<'t> {
    runs: Runs,
    /// Of activations.
    dtype: DType,
    /// Whether f32 factors are rounded to TF32.
    tf32: bool,
    /// What factors of products on a CPU are rounded to.
    factors: Factors,
    tape: Option<&'t Tape>,
    narrowed: Option<&'t Narrowed>,
}

#[derive(Clone, Copy)]
enum Runs {
    /// Own kernels on the CPU.
    Cpu,
    /// Own kernels on a GPU.
    Gpu(Gpu),
    /// candle's operations.
    Reference,
}

impl Ops<'static> {
    /// Own kernels, with an analytic backward pass. On the CPU, until [`Ops::for_device`] says another device.
    pub fn fused() -> Self {
        Self {
            runs: Runs::Cpu,
            dtype: DType::F32,
            tf32: false,
            factors: Factors::F32,
            tape: None,
            narrowed: None,
        }
    }

    /// Own kernels on an emulated GPU, if this machine has a C++ compiler: slow, and exact in what a kernel reads and writes. What
    /// is known of kernels where there is no GPU.
    pub fn emulated(dtype: DType) -> Option<Self> {
        Some(
            Self::fused()
                .on_gpu(gpu::emulated(dtype)?)
                .with_dtype(dtype),
        )
    }

    /// Own kernels on a GPU, each waited for and timed.
    #[cfg(test)]
    pub(crate) fn profiled(
        self,
        device: &Device,
        now_s: fn() -> f64,
    ) -> Result<(Self, &'static gpu::Profile)> {
        let Some(gpu) = self.for_device(device)?.gpu() else {
            bail!("there is no GPU to watch")
        };
        let (profile, gpu) = gpu::Profile::of(gpu, device, now_s);
        Ok((self.on_gpu(gpu), profile))
    }

    /// candle's plain differentiable operations, on any device.
    pub fn reference() -> Self {
        Self {
            runs: Runs::Reference,
            ..Self::fused()
        }
    }
}

impl<'t> Ops<'t> {
    /// The same with activations of another type, which only kernels on a GPU compute: f32 or bf16. Parameters, statistics,
    /// logits and losses stay f32.
    #[must_use]
    pub fn with_dtype(self, dtype: DType) -> Self {
        Self { dtype, ..self }
    }

    /// The same with f32 factors rounded to TF32 (10 bits of mantissa) in matrix products on a GPU, which makes those several
    /// times as fast. Sums stay f32.
    #[must_use]
    pub fn with_tf32(self, tf32: bool) -> Self {
        Self { tf32, ..self }
    }

    /// The same where the device has own kernels, else the reference.
    ///
    /// # Errors
    /// Where activations are of a type that the device's kernels do not compute in.
    pub fn for_device(self, device: &Device) -> Result<Self> {
        let runs = match (self.runs, Gpu::of(device)) {
            (Runs::Reference, _) => Runs::Reference,
            (_, Some(gpu)) => Runs::Gpu(gpu.with_dtype(self.dtype)?.with_tf32(self.tf32)),
            _ if device.is_cpu() => self.runs,
            _ => Runs::Reference,
        };
        if self.dtype != DType::F32 && !matches!(runs, Runs::Gpu(_)) {
            bail!("only kernels on a GPU compute in {:?}", self.dtype);
        }
        Ok(Self { runs, ..self })
    }

    /// The same on a given GPU.
    fn on_gpu(self, gpu: Gpu) -> Self {
        Self {
            runs: Runs::Gpu(gpu),
            ..self
        }
    }

    /// The same, recorded on a tape for [`Tape::backward`]. Without one, tracked tensors are refused by fused ops.
    #[must_use]
    pub fn on<'u>(self, tape: &'u Tape) -> Ops<'u>
    where
        't: 'u,
    {
        Ops {
            tape: Some(tape),
            ..self
        }
    }

    /// The same recorded on nothing: another model's pass within this one's.
    pub fn untaped(self) -> Ops<'static> {
        Ops {
            runs: self.runs,
            dtype: self.dtype,
            tf32: self.tf32,
            factors: self.factors,
            tape: None,
            narrowed: None,
        }
    }

    /// Of activations.
    pub fn dtype(self) -> DType {
        self.dtype
    }

    /// An empty tape that these operations can be recorded on.
    pub fn tape(self) -> Tape {
        match self.runs {
            Runs::Gpu(gpu) => Tape::adding(gpu),
            _ => Tape::new(),
        }
    }

    /// Whether own kernels run.
    pub fn is_fused(self) -> bool {
        !matches!(self.runs, Runs::Reference)
    }

    /// The GPU that own kernels run on.
    pub(crate) fn gpu(self) -> Option<Gpu> {
        match self.runs {
            Runs::Gpu(gpu) => Some(gpu),
            _ => None,
        }
    }

    /// An operation from anywhere: its own code on the CPU, its kernels where it has some for the GPU, else its reference.
    pub fn run<const N: usize>(self, op: impl Op<N>, inputs: [&Tensor; N]) -> Result<Tensor> {
        self.choose(
            |tape| op::on_cpu(tape, &op, inputs),
            |pass| op::on_gpu(pass, &op, inputs),
            || op.reference(inputs),
        )
    }

    /// One of the three ways to compute: on a CPU, on a GPU, or by candle's operations.
    fn choose<R>(
        self,
        cpu: impl FnOnce(Option<&'t Tape>) -> R,
        gpu: impl FnOnce(gpu::Pass<'t>) -> R,
        reference: impl FnOnce() -> R,
    ) -> R {
        match self.runs {
            Runs::Cpu => cpu(self.tape),
            Runs::Gpu(on) => gpu(gpu::Pass {
                gpu: on,
                tape: self.tape,
                narrowed: self.narrowed,
            }),
            Runs::Reference => reference(),
        }
    }

    /// `x W^T (+ bias)`: x (N, K), W (M, K), bias (M) to (N, M).
    pub fn linear(self, x_nk: &Tensor, w_mk: &Tensor, bias_m: Option<&Tensor>) -> Result<Tensor> {
        self.choose(
            |tape| linear::fused(tape, self.rounding(), [x_nk, w_mk], bias_m),
            |pass| linear::gpu::fused(pass, x_nk, w_mk, bias_m, x_nk.dtype()),
            || linear::reference(x_nk, w_mk, bias_m),
        )
    }

    /// [`linear`](Self::linear) without bias, in f32 whatever the type of activations: the logits of a head.
    pub fn logits(self, x_nk: &Tensor, w_mk: &Tensor) -> Result<Tensor> {
        self.choose(
            |tape| linear::fused(tape, self.rounding(), [x_nk, w_mk], None),
            |pass| linear::gpu::fused(pass, x_nk, w_mk, None, DType::F32),
            || linear::reference(x_nk, w_mk, None),
        )
    }

    /// candle's product of two matrices, or of two batches of them, (.., N, K) by (.., K, M), for what has no operation of its
    /// own: on any device, and counted as the others are.
    pub fn matmul(self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        matmul(a, b)
    }

    /// LayerNorm over the columns: x (N, C), gain (C), bias (C) to (N, C).
    pub fn layer_norm(
        self,
        x_nc: &Tensor,
        gain_c: &Tensor,
        bias_c: Option<&Tensor>,
        eps: f64,
    ) -> Result<Tensor> {
        self.norm(norm::Kind::Layer, x_nc, gain_c, bias_c, eps)
    }

    /// RMSNorm over the columns: x (N, C), gain (C) to (N, C).
    pub fn rms_norm(self, x_nc: &Tensor, gain_c: &Tensor, eps: f64) -> Result<Tensor> {
        self.norm(norm::Kind::Rms, x_nc, gain_c, None, eps)
    }

    fn norm(
        self,
        kind: norm::Kind,
        x: &Tensor,
        gain: &Tensor,
        bias: Option<&Tensor>,
        eps: f64,
    ) -> Result<Tensor> {
        self.choose(
            |tape| norm::fused(tape, (kind, eps), x, gain, bias),
            |pass| norm::gpu::fused(pass, (kind, eps), x, gain, bias),
            || norm::reference(kind, x, gain, bias, eps),
        )
    }

    /// RMSNorm over each head of the queries and keys within the packed input of attention: gains of queries and of keys (D) each.
    /// Same shape as the input.
    pub fn head_norm(
        self,
        qkv: &Tensor,
        gains_d: [&Tensor; 2],
        axes: Axes,
        eps: f64,
    ) -> Result<Tensor> {
        head_norm::check(qkv, gains_d, axes)?;
        axes.of_one_width()?;
        self.choose(
            |tape| head_norm::fused(tape, qkv, gains_d, axes, eps),
            |pass| head_norm::gpu::fused(pass, qkv, gains_d, axes, eps),
            || head_norm::reference(qkv, gains_d, axes, eps),
        )
    }

    /// Rotates queries and keys within the packed input of attention by their positions; the first row of each window gets
    /// the table's first row. Half-split convention, as Llama's. Same shape as the input.
    pub fn rope(self, qkv: &Tensor, axes: Axes, table: &RopeTable) -> Result<Tensor> {
        axes.check(qkv)?;
        table.check(axes)?;
        self.choose(
            |tape| rope::fused(tape, qkv, axes, table),
            |pass| match axes.of_one_width() {
                Ok(()) => rope::gpu::fused(pass, qkv, axes, table),
                Err(_) => rope::reference(qkv, axes, table),
            },
            || rope::reference(qkv, axes, table),
        )
    }

    /// An operation that has no kernels for a GPU: there it is its reference.
    pub fn unaided<const N: usize>(
        self,
        op: &impl Unaided<N>,
        inputs: [&Tensor; N],
    ) -> Result<Tensor> {
        op.check(inputs)?;
        self.choose(
            |tape| op.fused(tape, inputs),
            |_| dispatch::without_kernels(|| op.reference(inputs)),
            || op.reference(inputs),
        )
    }

    /// `softmax(Q K^T / sqrt(D), causal) V`, head by head: packed (N, (H + KV) D + KV D of values) to (N, H D of values).
    pub fn causal_attention(self, qkv: &Tensor, axes: Axes) -> Result<Tensor> {
        self.attention_with(qkv, None, axes)
    }

    /// The same where each query head has one more key, of this score (H) and of value 0, or none has. With such keys, and with values
    /// of another width than keys, it is candle's operations in f32 on a GPU.
    pub fn attention_with(
        self,
        qkv: &Tensor,
        sinks: Option<&Tensor>,
        axes: Axes,
    ) -> Result<Tensor> {
        axes.check(qkv)?;
        cached::check_sinks(sinks, axes)?;
        self.choose(
            |tape| attention::fused(tape, self.factors, qkv, sinks, axes),
            |pass| attention::gpu::fused(pass, qkv, sinks, axes),
            || attention::reference(qkv, sinks, axes),
        )
    }

    /// The same for the new tokens of windows of which a cache holds all: packed rows of the new ones, whose keys and values the cache
    /// has already, to (N, H D of values). No gradient.
    pub fn cached_attention(self, qkv: &Tensor, cached: Cached, axes: Axes) -> Result<Tensor> {
        cached.check(qkv, axes)?;
        self.choose(
            |_| cached::fused(qkv, cached, axes, self.factors),
            |pass| cached::gpu::fused(pass.gpu, qkv, cached, axes),
            || cached::reference(qkv, cached, axes),
        )
    }

    /// Rows of a table: table (V, C), ids (any shape of N elements, U32, each below V) to (N, C).
    pub fn embedding(self, table_vc: &Tensor, ids: &Tensor) -> Result<Tensor> {
        self.choose(
            |tape| embedding::fused(tape, table_vc, ids),
            |pass| embedding::gpu::fused(pass, table_vc, ids),
            || embedding::reference(table_vc, ids),
        )
    }

    /// Adds row t of a table to time step t of each window: x (B x T, C), table (at least T, C) to (B x T, C).
    pub fn add_positions(self, x_nc: &Tensor, table_tc: &Tensor, time: usize) -> Result<Tensor> {
        positions::check(x_nc, table_tc, time)?;
        self.choose(
            |tape| positions::fused(tape, x_nc, table_tc, time),
            |pass| positions::gpu::fused(pass, x_nc, table_tc, time),
            || positions::reference(x_nc, table_tc, time),
        )
    }

    /// Mean over tokens of -ln softmax(logits)\[target\], in nats: logits (N, V), targets N of U32, those that are [`IGNORED`]
    /// left out, to a scalar. With a coefficient z, to two numbers: that, and z times the mean of (ln sum exp(logits))^2.
    pub fn cross_entropy(self, logits_nv: &Tensor, targets: &Tensor, z: f64) -> Result<Tensor> {
        self.choose(
            |tape| cross_entropy::fused(tape, logits_nv, targets, z),
            |pass| cross_entropy::gpu::fused(pass, logits_nv, targets, z),
            || cross_entropy::reference(logits_nv, targets, z),
        )
    }

    /// [`linear`](Self::linear) without bias and [`cross_entropy`](Self::cross_entropy) in one, which spares the logits:
    /// x (N, C), W (V, C), targets N of U32, to a scalar, or with a coefficient z to two numbers.
    pub fn head_loss(
        self,
        x_nc: &Tensor,
        w_vc: &Tensor,
        targets: &Tensor,
        z: f64,
    ) -> Result<Tensor> {
        self.choose(
            |tape| head_loss::fused(tape, self.rounding(), [x_nc, w_vc, targets], z),
            |pass| head_loss::gpu::fused(pass, x_nc, w_vc, targets, z),
            || cross_entropy::reference(&linear::reference(x_nc, w_vc, None)?, targets, z),
        )
    }

    /// The loss of each token, for evaluation; no gradient. `None` where the target is [`IGNORED`].
    pub fn cross_entropy_rows(
        self,
        logits_nv: &Tensor,
        targets: &Tensor,
    ) -> Result<Vec<Option<TokenLoss>>> {
        self.choose(
            |_| cross_entropy::fused_rows(logits_nv, targets),
            |pass| cross_entropy::gpu::fused_rows(pass.gpu, logits_nv, targets),
            || cross_entropy::reference_rows(logits_nv, targets),
        )
    }
}
