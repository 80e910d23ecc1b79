//! `x + f(norm(x))`, mixer first, and one more norm before the head (GPT-2: Radford et al. 2019, section 2.3).

use candle_core::Tensor;

use super::{Mix, Parts, Slot, Stream, StreamKind, add};
use crate::config::Named;
use crate::error::Result;
use crate::model::{Ffn, Mixer, Norm, Pass, Place, Span, Work};

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "pre"
    }
    fn about(&self) -> &'static str {
        "a norm before each branch, and one more before the head (GPT-2)"
    }
}

impl StreamKind for Kind {
    fn settle(&self, parts: &mut Parts) -> Result<Box<dyn Stream>> {
        Ok(Box::new(Pre {
            factor: parts.factor(),
            mixer_norm: parts.norm("mixer_norm", Place::Branch)?,
            mixer: parts.mixer()?,
            ffn_norm: parts.ffn_norm("ffn_norm", Place::Branch)?,
            ffn: parts.feed_forward()?,
        }))
    }
}

struct Pre {
    factor: f64,
    mixer_norm: Slot<dyn Norm>,
    mixer: Slot<dyn Mixer>,
    ffn_norm: Slot<dyn Norm>,
    ffn: Slot<dyn Ffn>,
}

impl Stream for Pre {
    fn forward(&self, x_nc: Tensor, pass: &Pass, mix: &mut Mix) -> Result<Tensor> {
        let normed = self.mixer_norm.part.forward(&x_nc, pass)?;
        let mixed = mix(self.mixer.part.as_ref(), &normed)?;
        let x_nc = add(&x_nc, mixed, self.factor, pass)?;
        let normed = self.ffn_norm.part.forward(&x_nc, pass)?;
        let fed = self.ffn.part.forward(&normed, pass)?;
        add(&x_nc, fed, self.factor, pass)
    }

    fn work(&self, span: Span) -> (Work, bool) {
        let into_mixer = span.learns || self.mixer_norm.trains;
        let into_ffn = into_mixer || self.mixer.trains || self.ffn_norm.trains;
        let mixer = self.mixer.part.work(span.with_gradient(into_mixer));
        let ffn = self.ffn.part.work(span.with_gradient(into_ffn));
        (mixer + ffn, into_ffn || self.ffn.trains)
    }

    fn state_scalars(&self, tokens: usize) -> u64 {
        self.mixer.part.state_scalars(tokens)
    }
}
