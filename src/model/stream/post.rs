//! `norm(x + f(x))`, mixer first (Vaswani et al. 2017, section 3.1).

use candle_core::Tensor;

use super::{Mix, Parts, Slot, Stream, StreamKind, add};
use crate::config::Named;
use crate::error::Result;
use crate::model::{Ffn, Mixer, Norm, Pass, Place, Span, Work};

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "post"
    }
    fn about(&self) -> &'static str {
        "a norm after each sum (Vaswani et al. 2017)"
    }
}

impl StreamKind for Kind {
    fn ends_in_norm(&self) -> bool {
        false
    }

    fn settle(&self, parts: &mut Parts) -> Result<Box<dyn Stream>> {
        Ok(Box::new(Post {
            factor: parts.factor(),
            mixer_norm: parts.norm("mixer_norm", Place::Stream)?,
            mixer: parts.mixer()?,
            ffn_norm: parts.ffn_norm("ffn_norm", Place::Stream)?,
            ffn: parts.feed_forward()?,
        }))
    }
}

struct Post {
    factor: f64,
    mixer_norm: Slot<dyn Norm>,
    mixer: Slot<dyn Mixer>,
    ffn_norm: Slot<dyn Norm>,
    ffn: Slot<dyn Ffn>,
}

impl Stream for Post {
    fn forward(&self, x_nc: Tensor, pass: &Pass, mix: &mut Mix) -> Result<Tensor> {
        let mixed = mix(self.mixer.part.as_ref(), &x_nc)?;
        let sum = add(&x_nc, mixed, self.factor, pass)?;
        let x_nc = self.mixer_norm.part.forward(&sum, pass)?;
        let fed = self.ffn.part.forward(&x_nc, pass)?;
        let sum = add(&x_nc, fed, self.factor, pass)?;
        self.ffn_norm.part.forward(&sum, pass)
    }

    fn work(&self, span: Span) -> (Work, bool) {
        let into_ffn = span.learns || self.mixer.trains || self.mixer_norm.trains;
        let mixer = self.mixer.part.work(span);
        let ffn = self.ffn.part.work(span.with_gradient(into_ffn));
        let out = into_ffn || self.ffn.trains || self.ffn_norm.trains;
        (mixer + ffn, out)
    }

    fn state_scalars(&self, tokens: usize) -> u64 {
        self.mixer.part.state_scalars(tokens)
    }
}
