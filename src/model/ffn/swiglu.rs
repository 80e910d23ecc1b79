//! SwiGLU: W3 (silu(W1 x) * (W2 x)) (Shazeer 2020, eq. 6), hidden width 8/3 of the model's so that three matrices weigh
//! what two of width 4 do, rounded up to a multiple of 8.

use candle_core::Tensor;

use super::{Ffn, FfnKind};
use crate::config::knob::Number;
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::model::param::{Declare, Init, ParamId, Role};
use crate::model::{Pass, Shape, WindowFlops};

const RATIO: Knob<Number> = Knob::number(
    "ratio",
    "Hidden width over the model's width, rounded up to a multiple of 8 channels.",
)
.within(1e-3, 1e3)
.default(8.0 / 3.0);

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "swiglu"
    }
    fn about(&self) -> &'static str {
        "a gated layer, silu(W1 x) * (W2 x), 8/3 as wide as the model (Shazeer 2020)"
    }
    fn knobs(&self) -> Declarations {
        &[&RATIO]
    }
}

impl FfnKind for Kind {
    fn settle(&self, knobs: &Knobs, shape: &Shape, declare: &mut Declare) -> Result<Box<dyn Ffn>> {
        let c = shape.width;
        let ratio = knobs.read(&RATIO)?;
        // The small slack keeps 8/3 * 48 = 128.00000000000003 from becoming 136.
        let hidden = ((ratio * c as f64 / 8.0 - 1e-9).ceil() as usize).max(1) * 8;
        let gate_up = [hidden, hidden];
        let up = declare.stacked(
            "gate_up",
            &[2 * hidden, c],
            Role::Matrix,
            Init::Normal(shape.init_std),
            &gate_up,
        );
        let up_bias = shape
            .bias
            .then(|| declare.param("gate_up_bias", &[2 * hidden], Role::Bias, Init::Zeros));
        let down = declare.param(
            "down",
            &[c, hidden],
            Role::Matrix,
            Init::Normal(shape.residual_std()),
        );
        let down_bias = shape
            .bias
            .then(|| declare.param("down_bias", &[c], Role::Bias, Init::Zeros));
        Ok(Box::new(SwiGlu {
            multiply_adds: 3 * (c * hidden) as u64,
            up,
            up_bias,
            down,
            down_bias,
        }))
    }
}

struct SwiGlu {
    /// A token's, forwards.
    multiply_adds: u64,
    up: ParamId,
    up_bias: Option<ParamId>,
    down: ParamId,
    down_bias: Option<ParamId>,
}

impl Ffn for SwiGlu {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let w = pass.weights;
        let gate_up = pass
            .ops
            .linear(x_nc, &w[self.up], self.up_bias.map(|b| &w[b]))?;
        let hidden = pass.ops.swiglu(&gate_up)?;
        Ok(pass
            .ops
            .linear(&hidden, &w[self.down], self.down_bias.map(|b| &w[b]))?)
    }

    fn flops(&self, time: usize) -> WindowFlops {
        WindowFlops::of_weights(time as u64 * self.multiply_adds)
    }
}
