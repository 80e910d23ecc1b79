//! A minimal gated recurrence (Feng et al. 2024, arXiv 2410.01201, section 3.1): gate and candidate come of the token alone, so that
//! all of them are one product, and between the tokens of a window there is no product but number by number:
//! `h_t = (1 - sigmoid(a_t)) h_(t-1) + sigmoid(a_t) b_t`. A second product brings the states back to the model's width.

use candle_core::Tensor;

use super::{Mixer, MixerKind, State};
use crate::config::knob::Number;
use crate::config::{Declarations, Knob, Named};
use crate::error::Result;
use crate::model::linear::{Linear, LinearSpec};
use crate::model::{Build, Pass, Site, Span, Work};

const EXPAND: Knob<Number> =
    Knob::number("expand", "Channels of the state, over the model's width.")
        .within(0.1, 16.0)
        .default(1.0);

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "mingru"
    }
    fn about(&self) -> &'static str {
        "a gated recurrence whose gate and candidate see the token alone, between two products (Feng et al. 2024)"
    }
    fn knobs(&self) -> Declarations {
        &[&EXPAND]
    }
}

impl MixerKind for Kind {
    fn settle(&self, site: &Site, build: &mut Build) -> Result<Box<dyn Mixer>> {
        let (shape, c) = (site.shape, site.shape.width);
        let inner = (site.knobs.read(&EXPAND)? * c as f64).round().max(1.0) as usize;
        let gated = build.linear(
            "gated",
            LinearSpec {
                rows: &[inner, inner],
                inputs: c,
                bias: shape.bias,
                start: shape.init_std,
            },
        )?;
        let out = build.linear(
            "out",
            LinearSpec {
                rows: &[c],
                inputs: inner,
                bias: shape.bias,
                start: shape.residual_std(),
            },
        )?;
        Ok(Box::new(Layer { inner, gated, out }))
    }
}

struct Layer {
    /// Channels of the state.
    inner: usize,
    /// Gates and candidates.
    gated: Box<dyn Linear>,
    out: Box<dyn Linear>,
}

impl Mixer for Layer {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let gated = self.gated.forward(x_nc, pass)?;
        let states = pass.ops.min_gru(&gated, None, pass.time)?;
        self.out.forward(&states, pass)
    }

    fn advance(&self, x_nc: &Tensor, pass: &Pass, state: &mut State) -> Result<Tensor> {
        let (b, t, c) = (pass.batch, pass.time, self.inner);
        let gated = self.gated.forward(x_nc, pass)?;
        let states = pass.ops.min_gru(&gated, state.0.first(), t)?;
        let last = states.reshape((b, t, c))?.narrow(1, t - 1, 1)?.squeeze(1)?;
        state.0 = vec![last.contiguous()?];
        self.out.forward(&states, pass)
    }

    /// Two products with weights; what is between them are no products.
    fn work(&self, span: Span) -> Work {
        let learns = span.learns || self.gated.trains();
        self.gated.work(span.new, span.learns) + self.out.work(span.new, learns)
    }

    fn state_scalars(&self, _tokens: usize) -> u64 {
        self.inner as u64
    }
}
