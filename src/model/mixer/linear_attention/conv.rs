//! The short convolution before a state: over whole windows, and over new tokens with the last ones before them.

use candle_core::Tensor;

use crate::error::Result;
use crate::model::param::{Init, ParamId, Role};
use crate::model::{Build, Pass};

/// A convolution of each channel with its own taps, and SiLU.
pub(super) struct Conv {
    taps: ParamId,
    bias: Option<ParamId>,
    trains: bool,
    count: usize,
    channels: usize,
}

impl Conv {
    /// Taps as PyTorch draws them, uniform up to one over the root of their number. They are scales of channels, not a matrix of the
    /// model's width: no decay, and no optimizer's matrix form.
    pub fn settle(count: usize, channels: usize, bias: bool, build: &mut Build) -> Self {
        let reach = 1.0 / (count as f64).sqrt();
        let start = Init::Uniform(-reach, reach);
        let taps = build.param("conv", &[count, channels], Role::Gain, start);
        let bias = bias.then(|| build.param("conv_bias", &[channels], Role::Bias, Init::Zeros));
        Self {
            taps,
            bias,
            trains: build.trains(taps) || bias.is_some_and(|bias| build.trains(bias)),
            count,
            channels,
        }
    }

    pub fn trains(&self) -> bool {
        self.trains
    }

    /// Numbers that it keeps of a window.
    pub fn state(&self) -> usize {
        (self.count - 1) * self.channels
    }

    fn over(&self, x: &Tensor, time: usize, pass: &Pass) -> Result<Tensor> {
        let bias = self.bias.map(|bias| &pass.weights[bias]);
        Ok(pass
            .ops
            .short_conv(x, &pass.weights[self.taps], bias, time)?)
    }

    pub fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        self.over(x_nc, pass.time, pass)
    }

    /// The same of new tokens; `before` holds the last ones before them, (B, K - 1, channels), and then the last of all.
    pub fn advance(
        &self,
        x_nc: &Tensor,
        pass: &Pass,
        before: &mut Option<Tensor>,
    ) -> Result<Tensor> {
        let (kept, time, width) = (self.count - 1, pass.time, self.channels);
        if kept == 0 {
            return self.forward(x_nc, pass);
        }
        let nothing = || Tensor::zeros((pass.batch, kept, width), x_nc.dtype(), x_nc.device());
        let held = match before.take() {
            Some(held) => held,
            None => nothing()?,
        };
        let new = x_nc.reshape((pass.batch, time, width))?;
        let all = Tensor::cat(&[held, new], 1)?;
        *before = Some(all.narrow(1, time, kept)?.contiguous()?);
        let rows = all.reshape((pass.batch * (kept + time), width))?;
        let y = self.over(&rows, kept + time, pass)?;
        let y = y.reshape((pass.batch, kept + time, width))?;
        Ok(y.narrow(1, kept, time)?
            .contiguous()?
            .reshape((pass.batch * time, width))?)
    }
}
