//! `n = norm(x)`, `x + mixer(n) + ffn(n)`, and one more norm before the head: both branches read the same norm, so that neither
//! waits for the other (GPT-J: Wang & Komatsuzaki 2021; PaLM: Chowdhery et al. 2022, arXiv 2204.02311, section 2).

use candle_core::Tensor;

use super::{Mix, Parts, Slot, Stream, StreamKind, add};
use crate::config::Named;
use crate::error::Result;
use crate::model::{Ffn, Mixer, Norm, Pass, Place, Span, Work};

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "parallel"
    }
    fn about(&self) -> &'static str {
        "one norm before both branches, which are added side by side (GPT-J, PaLM)"
    }
}

impl StreamKind for Kind {
    fn settle(&self, parts: &mut Parts) -> Result<Box<dyn Stream>> {
        Ok(Box::new(Parallel {
            factor: parts.factor(),
            norm: parts.norm("norm", Place::Branch)?,
            mixer: parts.mixer()?,
            ffn: parts.feed_forward()?,
        }))
    }
}

struct Parallel {
    factor: f64,
    norm: Slot<dyn Norm>,
    mixer: Slot<dyn Mixer>,
    ffn: Slot<dyn Ffn>,
}

impl Stream for Parallel {
    fn forward(&self, x_nc: Tensor, pass: &Pass, mix: &mut Mix) -> Result<Tensor> {
        let normed = self.norm.part.forward(&x_nc, pass)?;
        let mixed = mix(self.mixer.part.as_ref(), &normed)?;
        let fed = self.ffn.part.forward(&normed, pass)?;
        let x_nc = add(&x_nc, mixed, self.factor, pass)?;
        add(&x_nc, fed, self.factor, pass)
    }

    fn work(&self, span: Span) -> (Work, bool) {
        let into = span.learns || self.norm.trains;
        let span = span.with_gradient(into);
        let work = self.mixer.part.work(span) + self.ffn.part.work(span);
        (work, into || self.mixer.trains || self.ffn.trains)
    }

    fn state_scalars(&self, tokens: usize) -> u64 {
        self.mixer.part.state_scalars(tokens)
    }
}
