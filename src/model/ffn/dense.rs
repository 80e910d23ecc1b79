//! Two matrices around an activation: W2 f(W1 x + b1) + b2 (Vaswani et al. 2017, eq. 2), with f = GELU in GPT-2's tanh
//! form (Hendrycks & Gimpel 2016), ReLU or its square (So et al. 2021, Primer, arXiv 2109.08668).

use candle_core::Tensor;

use super::hidden::{HIDDEN, hidden};
use super::{Ffn, FfnKind};
use crate::config::knob::Number;
use crate::config::{Declarations, Knob, Named};
use crate::error::Result;
use crate::model::linear::{Linear, LinearSpec};
use crate::model::{Build, Pass, Site, Span, Work};

const RATIO: Knob<Number> = Knob::number("ratio", "Hidden width over the model's width.")
    .within(1e-3, 1e3)
    .default(4.0);

/// Row of the catalog: `gelu`, `relu` or `relu2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// GELU, tanh form.
    Gelu,
    /// max(x, 0).
    Relu,
    /// max(x, 0)^2.
    Relu2,
}

impl Named for Kind {
    fn name(&self) -> &'static str {
        match self {
            Kind::Gelu => "gelu",
            Kind::Relu => "relu",
            Kind::Relu2 => "relu2",
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
            Kind::Relu2 => {
                "two matrices around the square of a ReLU, four times as wide as the model (So et al. 2021)"
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
        let hidden = hidden(&site.knobs, &RATIO, |ratio| {
            ((ratio * c as f64).round() as usize).max(1)
        })?;
        let up = build.linear(
            "up",
            LinearSpec {
                rows: &[hidden],
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
        Ok(Box::new(Dense {
            kind: *self,
            up,
            down,
        }))
    }
}

struct Dense {
    kind: Kind,
    up: Box<dyn Linear>,
    down: Box<dyn Linear>,
}

impl Ffn for Dense {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let hidden = self.up.forward(x_nc, pass)?;
        let hidden = match self.kind {
            Kind::Gelu => pass.ops.gelu(&hidden)?,
            Kind::Relu => pass.ops.relu(&hidden)?,
            Kind::Relu2 => pass.ops.relu2(&hidden)?,
        };
        self.down.forward(&hidden, pass)
    }

    fn work(&self, span: Span) -> Work {
        let learns = span.learns || self.up.trains();
        self.up.work(span.new, span.learns) + self.down.work(span.new, learns)
    }
}
