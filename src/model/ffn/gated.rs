//! Gated layers: W3 (f(W1 x) * (W2 x)) (Shazeer 2020, eq. 6), f = SiLU in SwiGLU and GPT-2's GELU in GEGLU; hidden width 8/3 of the model's so that three matrices weigh
//! what two of width 4 do, rounded up to a multiple of 8.

use candle_core::Tensor;

use super::hidden::{HIDDEN, hidden};
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

/// Row of the catalog: `swiglu` or `geglu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The gate is SiLU.
    Swiglu,
    /// The gate is GELU, tanh form.
    Geglu,
}

impl Named for Kind {
    fn name(&self) -> &'static str {
        match self {
            Kind::Swiglu => "swiglu",
            Kind::Geglu => "geglu",
        }
    }
    fn about(&self) -> &'static str {
        match self {
            Kind::Swiglu => {
                "a gated layer, silu(W1 x) * (W2 x), 8/3 as wide as the model (Shazeer 2020)"
            }
            Kind::Geglu => {
                "a gated layer, gelu(W1 x) * (W2 x), 8/3 as wide as the model (Shazeer 2020)"
            }
        }
    }
    fn knobs(&self) -> Declarations {
        &[&RATIO, &HIDDEN]
    }
}

impl FfnKind for Kind {
    fn settle(&self, site: &Site, build: &mut Build) -> Result<Box<dyn Ffn>> {
        let (shape, c) = (site.shape, site.shape.width);
        // The small slack keeps 8/3 * 48 = 128.00000000000003 from becoming 136.
        let hidden = hidden(&site.knobs, &RATIO, |ratio| {
            ((ratio * c as f64 / 8.0 - 1e-9).ceil() as usize).max(1) * 8
        })?;
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
        Ok(Box::new(Gated {
            kind: *self,
            up,
            down,
        }))
    }
}

struct Gated {
    kind: Kind,
    /// `[gate | up]`.
    up: Box<dyn Linear>,
    down: Box<dyn Linear>,
}

impl Ffn for Gated {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let gate_up = self.up.forward(x_nc, pass)?;
        let hidden = match self.kind {
            Kind::Swiglu => pass.ops.swiglu(&gate_up)?,
            Kind::Geglu => pass.ops.geglu(&gate_up)?,
        };
        self.down.forward(&hidden, pass)
    }

    fn work(&self, span: Span) -> Work {
        let learns = span.learns || self.up.trains();
        self.up.work(span.new, span.learns) + self.down.work(span.new, learns)
    }
}
