//! Two matrices around an activation: W2 f(W1 x + b1) + b2 (Vaswani et al. 2017, eq. 2), with f = GELU in GPT-2's tanh
//! form (Hendrycks & Gimpel 2016) or ReLU.

use candle_core::Tensor;

use super::{Ffn, FfnKind};
use crate::config::knob::Number;
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::model::param::{Declare, Init, ParamId, Role};
use crate::model::{Pass, Shape, WindowFlops};

const RATIO: Knob<Number> = Knob::number("ratio", "Hidden width over the model's width.")
    .within(1e-3, 1e3)
    .default(4.0);

/// Row of the catalog: `gelu` or `relu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// GELU, tanh form.
    Gelu,
    /// max(x, 0).
    Relu,
}

impl Named for Kind {
    fn name(&self) -> &'static str {
        match self {
            Kind::Gelu => "gelu",
            Kind::Relu => "relu",
        }
    }
    fn about(&self) -> &'static str {
        match self {
            Kind::Gelu => {
                "two matrices around a GELU, four times as wide as the model (GPT-2, Radford et al. 2019)"
            }
            Kind::Relu => {
                "two matrices around a ReLU, four times as wide as the model (Vaswani et al. 2017)"
            }
        }
    }
    fn knobs(&self) -> Declarations {
        &[&RATIO]
    }
}

impl FfnKind for Kind {
    fn settle(&self, knobs: &Knobs, shape: &Shape, declare: &mut Declare) -> Result<Box<dyn Ffn>> {
        let c = shape.width;
        let ratio = knobs.read(&RATIO)?;
        let hidden = ((ratio * c as f64).round() as usize).max(1);
        let up = declare.param(
            "up",
            &[hidden, c],
            Role::Matrix,
            Init::Normal(shape.init_std),
        );
        let up_bias = shape
            .bias
            .then(|| declare.param("up_bias", &[hidden], Role::Bias, Init::Zeros));
        let down = declare.param(
            "down",
            &[c, hidden],
            Role::Matrix,
            Init::Normal(shape.residual_std()),
        );
        let down_bias = shape
            .bias
            .then(|| declare.param("down_bias", &[c], Role::Bias, Init::Zeros));
        Ok(Box::new(Dense {
            kind: *self,
            multiply_adds: 2 * (c * hidden) as u64,
            up,
            up_bias,
            down,
            down_bias,
        }))
    }
}

struct Dense {
    kind: Kind,
    /// A token's, forwards.
    multiply_adds: u64,
    up: ParamId,
    up_bias: Option<ParamId>,
    down: ParamId,
    down_bias: Option<ParamId>,
}

impl Ffn for Dense {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let w = pass.weights;
        let hidden = pass
            .ops
            .linear(x_nc, &w[self.up], self.up_bias.map(|b| &w[b]))?;
        let hidden = match self.kind {
            Kind::Gelu => pass.ops.gelu(&hidden)?,
            Kind::Relu => pass.ops.relu(&hidden)?,
        };
        Ok(pass
            .ops
            .linear(&hidden, &w[self.down], self.down_bias.map(|b| &w[b]))?)
    }

    fn flops(&self, time: usize) -> WindowFlops {
        WindowFlops::of_weights(time as u64 * self.multiply_adds)
    }
}
