//! What is done number by number, as operations: sums, activations, gates, rounding.

use super::quantise::{self, Rounding};
use super::{Ops, activation, gated, residual};
use candle_core::{Result, Tensor};

impl Ops<'_> {
    /// `a + b` of one shape: a residual connection.
    pub fn add(self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        self.choose(
            |tape| residual::fused(tape, a, b),
            |pass| residual::gpu::fused(pass, a, b),
            || residual::reference(a, b),
        )
    }

    /// GELU in its tanh form, as GPT-2 has it.
    pub fn gelu(self, x: &Tensor) -> Result<Tensor> {
        self.choose(
            |tape| activation::fused(tape, activation::Gelu, x),
            |pass| activation::gpu::fused(pass, "gelu", x, None),
            || activation::gelu_reference(x),
        )
    }

    /// max(x, 0).
    pub fn relu(self, x: &Tensor) -> Result<Tensor> {
        self.choose(
            |tape| activation::fused(tape, activation::Relu, x),
            |pass| activation::gpu::fused(pass, "relu", x, None),
            || activation::relu_reference(x),
        )
    }

    /// max(x, 0)^2.
    pub fn relu2(self, x: &Tensor) -> Result<Tensor> {
        self.choose(
            |tape| activation::fused(tape, activation::Relu2, x),
            |pass| activation::gpu::fused(pass, "relu2", x, None),
            || activation::relu2_reference(x),
        )
    }

    /// `cap * tanh(x / cap)`: keeps logits within (-cap, cap).
    pub fn softcap(self, x: &Tensor, cap: f64) -> Result<Tensor> {
        self.choose(
            |tape| activation::fused(tape, activation::Softcap(cap), x),
            |pass| activation::gpu::fused(pass, "softcap", x, Some(cap)),
            || activation::softcap_reference(x, cap),
        )
    }

    /// `factor x`: a multiplier of a parametrisation.
    pub fn scale(self, x: &Tensor, factor: f64) -> Result<Tensor> {
        self.choose(
            |tape| activation::fused(tape, activation::Scale(factor), x),
            |pass| activation::gpu::fused(pass, "multiple", x, Some(factor)),
            || x * factor,
        )
    }

    /// `silu(gate) * up` of packed columns `[gate | up]`: (N, 2 F) to (N, F).
    pub fn swiglu(self, gate_up_n2f: &Tensor) -> Result<Tensor> {
        self.choose(
            |tape| gated::fused(tape, gated::Silu, gate_up_n2f),
            |pass| gated::gpu::fused(pass, "swiglu", gate_up_n2f),
            || gated::reference(gate_up_n2f, Tensor::silu),
        )
    }

    /// `gelu(gate) * up` of packed columns `[gate | up]`, with GPT-2's tanh form of GELU: (N, 2 F) to (N, F).
    pub fn geglu(self, gate_up_n2f: &Tensor) -> Result<Tensor> {
        self.choose(
            |tape| gated::fused(tape, activation::Gelu, gate_up_n2f),
            |pass| gated::gpu::fused(pass, "geglu", gate_up_n2f),
            || gated::reference(gate_up_n2f, Tensor::gelu),
        )
    }

    /// x (N, K) rounded to a grid, in the same type and shape. Straight through: its gradient is that of the output as it is
    /// (Bengio et al. 2013, arXiv 1308.3432), also where a number was beyond the grid.
    pub fn quantise(self, x_nk: &Tensor, rounding: Rounding) -> Result<Tensor> {
        rounding.check(x_nk)?;
        self.choose(
            |tape| quantise::fused(tape, x_nk, rounding),
            |_| quantise::straight_through(x_nk, rounding),
            || quantise::straight_through(x_nk, rounding),
        )
    }

    /// y (N, M) as it is, of whose gradient what lies before gets the rounded one.
    pub fn quantise_gradient(self, y_nm: &Tensor, rounding: Rounding) -> Result<Tensor> {
        rounding.check(y_nm)?;
        if !y_nm.track_op() {
            return Ok(y_nm.clone());
        }
        self.choose(
            |tape| quantise::fused_gradient(tape, y_nm, rounding),
            |_| quantise::plain_gradient(y_nm, rounding),
            || quantise::plain_gradient(y_nm, rounding),
        )
    }
}
