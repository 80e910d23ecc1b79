//! What mixers with a state are made of, as operations.

use super::Ops;
use super::gated_norm::{self, GatedNorm};
use super::gates::{self, Gates};
use super::linear_attention::{self, LinearAxes, LinearInputs};
use super::short_conv;
use candle_core::{Result, Tensor};

impl Ops<'_> {
    /// A causal convolution of each channel within windows of `time` rows, and SiLU: x (N, C), taps (K, C), the last of them for the
    /// token itself, bias (C) to (N, C).
    pub fn short_conv(
        self,
        x_nc: &Tensor,
        taps_kc: &Tensor,
        bias_c: Option<&Tensor>,
        time: usize,
    ) -> Result<Tensor> {
        self.choose(
            |tape| short_conv::fused(tape, x_nc, taps_kc, bias_c, time),
            |_| short_conv::reference(x_nc, taps_kc, bias_c, time),
            || short_conv::reference(x_nc, taps_kc, bias_c, time),
        )
    }

    /// Logarithms of decays, and write gates: rows of [`Gates::inputs`] numbers to rows of [`Gates::outputs`]. Of steps also A, a
    /// number for each head, and what is added to each decay's column.
    pub fn gates(self, x: &Tensor, step: Option<[&Tensor; 2]>, gates: Gates) -> Result<Tensor> {
        self.choose(
            |tape| gates::fused(tape, x, step, gates),
            |_| gates::reference(x, step, gates),
            || gates::reference(x, step, gates),
        )
    }

    /// Linear attention over whole windows, before which there is nothing: (N, H dv).
    pub fn linear_attention(self, inputs: LinearInputs, axes: LinearAxes) -> Result<Tensor> {
        let reference = || {
            let [y, _] = linear_attention::reference(inputs, None, axes)?;
            Ok(y)
        };
        self.choose(
            |tape| linear_attention::fused(tape, inputs, axes),
            |_| reference(),
            reference,
        )
    }

    /// The same for tokens after others, which left a state (B x H, dk, dv): the output, and the state that these leave. No gradient.
    pub fn linear_attention_after(
        self,
        inputs: LinearInputs,
        state: &Tensor,
        axes: LinearAxes,
    ) -> Result<[Tensor; 2]> {
        let reference = || linear_attention::reference(inputs, Some(state), axes);
        self.choose(
            |_| linear_attention::fused_after(inputs, state, axes),
            |_| reference(),
            reference,
        )
    }

    /// RMSNorm over each head of x (N, H D), gain (D), and a gate z of x's shape where there is one. Same shape.
    pub fn gated_norm(
        self,
        x: &Tensor,
        z: Option<&Tensor>,
        gain_d: &Tensor,
        of: GatedNorm,
    ) -> Result<Tensor> {
        self.choose(
            |tape| gated_norm::fused(tape, x, z, gain_d, of),
            |_| gated_norm::reference(x, z, gain_d, of),
            || gated_norm::reference(x, z, gain_d, of),
        )
    }
}
