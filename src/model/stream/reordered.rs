//! `x + norm(f(x))`, mixer first, and one more norm before the head: branches read the stream as it is, and what they add is of a
//! size that they learn (Swin Transformer V2: Liu et al. 2022, arXiv 2111.09883, section 3.2; OLMo 2, arXiv 2501.00656).

use candle_core::Tensor;

use super::{Mix, Parts, Slot, Stream, StreamKind, add};
use crate::config::Named;
use crate::error::Result;
use crate::model::{Ffn, Mixer, Norm, Pass, Place, Span, Work};

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "reordered"
    }
    fn about(&self) -> &'static str {
        "a norm after each branch, before it is added, and one more before the head (Swin V2, OLMo 2)"
    }
}

impl StreamKind for Kind {
    fn settle(&self, parts: &mut Parts) -> Result<Box<dyn Stream>> {
        Ok(Box::new(Reordered {
            factor: parts.factor(),
            mixer: parts.mixer()?,
            mixer_end: parts.norm("mixer_end_norm", Place::Branch)?,
            ffn: parts.feed_forward()?,
            ffn_end: parts.ffn_norm("ffn_end_norm", Place::Branch)?,
        }))
    }
}

struct Reordered {
    factor: f64,
    mixer: Slot<dyn Mixer>,
    mixer_end: Slot<dyn Norm>,
    ffn: Slot<dyn Ffn>,
    ffn_end: Slot<dyn Norm>,
}

impl Stream for Reordered {
    fn forward(&self, x_nc: Tensor, pass: &Pass, mix: &mut Mix) -> Result<Tensor> {
        let mixed = mix(self.mixer.part.as_ref(), &x_nc)?;
        let mixed = self.mixer_end.part.forward(&mixed, pass)?;
        let x_nc = add(&x_nc, mixed, self.factor, pass)?;
        let fed = self.ffn.part.forward(&x_nc, pass)?;
        let fed = self.ffn_end.part.forward(&fed, pass)?;
        add(&x_nc, fed, self.factor, pass)
    }

    fn work(&self, span: Span) -> (Work, bool) {
        let into_ffn = span.learns || self.mixer.trains || self.mixer_end.trains;
        let mixer = self.mixer.part.work(span);
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
