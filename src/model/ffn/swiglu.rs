//! SwiGLU: W3 (silu(W1 x) * (W2 x)) (Shazeer 2020, eq. 6), hidden width 8/3 of the model's so that three matrices weigh
//! what two of width 4 do, rounded up to a multiple of 8.

use candle_core::Tensor;

use super::{Ffn, FfnKind};
use crate::config::knob::Number;
use crate::config::{Declarations, Knob, Named};
use crate::error::Result;
use crate::model::linear::{Linear, LinearSpec};
use crate::model::{Build, Pass, Site, Span, Work};

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
    fn settle(&self, site: &Site, build: &mut Build) -> Result<Box<dyn Ffn>> {
        let (shape, c) = (site.shape, site.shape.width);
        let ratio = site.knobs.read(&RATIO)?;
        // The small slack keeps 8/3 * 48 = 128.00000000000003 from becoming 136.
        let hidden = ((ratio * c as f64 / 8.0 - 1e-9).ceil() as usize).max(1) * 8;
        let up = build.linear(
            "gate_up",
            LinearSpec {
                rows: &[hidden, hidden],
                inputs: c,
                bias: shape.bias,
                start: shape.init_std,
            },
        )?;
        let down = build.linear(
            "down",
            LinearSpec {
                rows: &[c],
                inputs: hidden,
                bias: shape.bias,
                start: shape.residual_std(),
            },
        )?;
        Ok(Box::new(SwiGlu { up, down }))
    }
}

struct SwiGlu {
    /// `[gate | up]`.
    up: Box<dyn Linear>,
    down: Box<dyn Linear>,
}

impl Ffn for SwiGlu {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let gate_up = self.up.forward(x_nc, pass)?;
        self.down.forward(&pass.ops.swiglu(&gate_up)?, pass)
    }

    fn work(&self, span: Span) -> Work {
        let learns = span.learns || self.up.trains();
        self.up.work(span.new, span.learns) + self.down.work(span.new, learns)
    }
}
