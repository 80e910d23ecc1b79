//! `y = mixer(x)`, `y + f(y)`: what the mixer gives takes the stream's place, without a residual and without norms, as in stacked
//! recurrent nets (Graves 2013, arXiv 1308.0850, section 2; Zaremba et al. 2014, arXiv 1409.2329, section 3). One norm before the
//! head, unless `model.norm.kind` is none.

use candle_core::Tensor;

use super::{Mix, Parts, Slot, Stream, StreamKind, add};
use crate::config::Named;
use crate::error::Result;
use crate::model::{Ffn, Mixer, Pass, Span, Work};

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "plain"
    }
    fn about(&self) -> &'static str {
        "the mixer's output in place of what went in, no residual around it and no norms but one before the head (Graves 2013)"
    }
}

impl StreamKind for Kind {
    fn settle(&self, parts: &mut Parts) -> Result<Box<dyn Stream>> {
        Ok(Box::new(Plain {
            factor: parts.factor(),
            mixer: parts.mixer()?,
            ffn: parts.feed_forward()?,
        }))
    }
}

struct Plain {
    factor: f64,
    mixer: Slot<dyn Mixer>,
    ffn: Slot<dyn Ffn>,
}

impl Stream for Plain {
    fn forward(&self, x_nc: Tensor, pass: &Pass, mix: &mut Mix) -> Result<Tensor> {
        let mixed = mix(self.mixer.part.as_ref(), &x_nc)?;
        let fed = self.ffn.part.forward(&mixed, pass)?;
        add(&mixed, fed, self.factor, pass)
    }

    fn work(&self, span: Span) -> (Work, bool) {
        let into_ffn = span.learns || self.mixer.trains;
        let mixer = self.mixer.part.work(span);
        let ffn = self.ffn.part.work(span.with_gradient(into_ffn));
        (mixer + ffn, into_ffn || self.ffn.trains)
    }

    fn state_scalars(&self, tokens: usize) -> u64 {
        self.mixer.part.state_scalars(tokens)
    }
}
