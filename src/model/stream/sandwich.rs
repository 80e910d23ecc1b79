//! `x + norm(f(norm(x)))`, mixer first, and one more norm before the head: what a branch adds has a size of its own that it learns
//! (CogView: Ding et al. 2021, arXiv 2105.13290, section 2.4; Gemma 2, arXiv 2408.00118, section 2).

use candle_core::Tensor;

use super::{Mix, Parts, Slot, Stream, StreamKind, add};
use crate::config::Named;
use crate::error::Result;
use crate::model::{Ffn, Mixer, Norm, Pass, Place, Span, Work};

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "sandwich"
    }
    fn about(&self) -> &'static str {
        "a norm before and one after each branch, and one more before the head (CogView, Gemma 2)"
    }
}

impl StreamKind for Kind {
    fn settle(&self, parts: &mut Parts) -> Result<Box<dyn Stream>> {
        Ok(Box::new(Sandwich {
            factor: parts.factor(),
            mixer_norm: parts.norm("mixer_norm", Place::Branch)?,
            mixer: parts.mixer()?,
            mixer_end: parts.norm("mixer_end_norm", Place::Branch)?,
            ffn_norm: parts.ffn_norm("ffn_norm", Place::Branch)?,
            ffn: parts.feed_forward()?,
            ffn_end: parts.ffn_norm("ffn_end_norm", Place::Branch)?,
        }))
    }
}

struct Sandwich {
    factor: f64,
    mixer_norm: Slot<dyn Norm>,
    mixer: Slot<dyn Mixer>,
    mixer_end: Slot<dyn Norm>,
    ffn_norm: Slot<dyn Norm>,
    ffn: Slot<dyn Ffn>,
    ffn_end: Slot<dyn Norm>,
}

impl Stream for Sandwich {
    fn forward(&self, x_nc: Tensor, pass: &Pass, mix: &mut Mix) -> Result<Tensor> {
        let normed = self.mixer_norm.part.forward(&x_nc, pass)?;
        let mixed = mix(self.mixer.part.as_ref(), &normed)?;
        let mixed = self.mixer_end.part.forward(&mixed, pass)?;
        let x_nc = add(&x_nc, mixed, self.factor, pass)?;
        let normed = self.ffn_norm.part.forward(&x_nc, pass)?;
        let fed = self.ffn.part.forward(&normed, pass)?;
        let fed = self.ffn_end.part.forward(&fed, pass)?;
        add(&x_nc, fed, self.factor, pass)
    }

    fn work(&self, span: Span) -> (Work, bool) {
        let into_mixer = span.learns || self.mixer_norm.trains;
        let mixed = into_mixer || self.mixer.trains || self.mixer_end.trains;
        let into_ffn = mixed || self.ffn_norm.trains;
        let mixer = self.mixer.part.work(span.with_gradient(into_mixer));
        let ffn = self.ffn.part.work(span.with_gradient(into_ffn));
        (
            mixer + ffn,
            into_ffn || self.ffn.trains || self.ffn_end.trains,
        )
    }

    fn state_scalars(&self, tokens: usize) -> u64 {
        self.mixer.part.state_scalars(tokens)
    }
}
