//! One block: a mixer and a feed-forward layer, each with a norm, around the residual stream.

use candle_core::Tensor;

use super::build::Build;
use super::ffn::Ffn;
use super::filling::Filling;
use super::mixer::Mixer;
use super::norm::Norm;
use super::param::{Declare, Part};
use super::pass::Pass;
use super::scaling::Place;
use super::shape::Shape;
use super::work::{Span, Work};
use crate::error::Result;

/// Where norms stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Norms {
    /// x + f(norm(x)), and one more norm before the head (GPT-2).
    Pre,
    /// norm(x + f(x)) (Vaswani et al. 2017).
    Post,
}

impl Norms {
    /// Where in the model their parameters stand.
    fn place(self) -> Place {
        match self {
            Norms::Pre => Place::Branch,
            Norms::Post => Place::Stream,
        }
    }
}

/// A part with what is known of its parameters.
struct Slot<T: ?Sized> {
    part: Box<T>,
    /// Whether any of them trains.
    trains: bool,
}

/// A settled block.
pub(super) struct Block {
    norms: Norms,
    /// On what each branch adds to the stream.
    factor: f64,
    mixer_norm: Slot<dyn Norm>,
    mixer: Slot<dyn Mixer>,
    ffn_norm: Slot<dyn Norm>,
    ffn: Slot<dyn Ffn>,
}

impl Block {
    /// Declares its parameters below `name`: `blocks.03`.
    pub(super) fn settle(
        name: &str,
        filling: &Filling,
        norms: Norms,
        shape: &Shape,
        declare: &mut Declare,
    ) -> Result<Self> {
        let slot = |slot: &str, part: Part, place: Place, declare: &mut Declare| {
            declare.enter(&format!("{name}.{slot}"), part, &shape.scaling, place);
            declare.count()
        };
        let Filling {
            mixer,
            ffn,
            norm,
            linear,
        } = filling;
        let from = slot("mixer_norm", Part::Norm, norms.place(), declare);
        let part = norm.kind.settle(&norm.site, shape.width, declare)?;
        let mixer_norm = Slot::of(part, declare, from);
        let from = slot("mixer", Part::Mixer, Place::Branch, declare);
        let mut build = Build {
            declare,
            linear,
            norm,
        };
        let part = mixer.kind.settle(&mixer.site, &mut build)?;
        let mixer = Slot::of(part, declare, from);
        let from = slot("ffn_norm", Part::Norm, norms.place(), declare);
        let part = norm.kind.settle(&norm.site, shape.width, declare)?;
        let ffn_norm = Slot::of(part, declare, from);
        let from = slot("ffn", Part::Ffn, Place::Branch, declare);
        let mut build = Build {
            declare,
            linear,
            norm,
        };
        let part = ffn.kind.settle(&ffn.site, &mut build)?;
        let ffn = Slot::of(part, declare, from);
        Ok(Self {
            norms,
            factor: shape.scaling.of_branches(),
            mixer_norm,
            mixer,
            ffn_norm,
            ffn,
        })
    }

    /// The stream after it; `mix` is whole windows through the mixer, or the next tokens.
    pub(super) fn forward(
        &self,
        x: Tensor,
        pass: &Pass,
        mix: &mut dyn FnMut(&dyn Mixer, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let add = |x: &Tensor, branch: Tensor| -> Result<Tensor> {
            Ok(pass.ops.add(x, &pass.scaled(branch, self.factor)?)?)
        };
        let (mixer, ffn) = (self.mixer.part.as_ref(), self.ffn.part.as_ref());
        let (mixer_norm, ffn_norm) = (&self.mixer_norm.part, &self.ffn_norm.part);
        match self.norms {
            Norms::Pre => {
                let mixed = mix(mixer, &mixer_norm.forward(&x, pass)?)?;
                let x = add(&x, mixed)?;
                let fed = ffn.forward(&ffn_norm.forward(&x, pass)?, pass)?;
                add(&x, fed)
            }
            Norms::Post => {
                let mixed = mix(mixer, &x)?;
                let x = mixer_norm.forward(&add(&x, mixed)?, pass)?;
                let fed = ffn.forward(&x, pass)?;
                ffn_norm.forward(&add(&x, fed)?, pass)
            }
        }
    }

    /// What these tokens of one window cost, and whether a gradient is asked of what comes out.
    pub(super) fn work(&self, span: Span) -> (Work, bool) {
        let (mixer, ffn) = (&self.mixer, &self.ffn);
        let into_mixer = match self.norms {
            Norms::Pre => span.learns || self.mixer_norm.trains,
            Norms::Post => span.learns,
        };
        let mixed = into_mixer || mixer.trains;
        let into_ffn = match self.norms {
            Norms::Pre => mixed || self.ffn_norm.trains,
            Norms::Post => mixed || self.mixer_norm.trains,
        };
        let work = mixer.part.work(span.with_gradient(into_mixer))
            + ffn.part.work(span.with_gradient(into_ffn));
        (work, into_ffn || ffn.trains || self.ffn_norm.trains)
    }

    /// Scalars that decoding keeps of a window of so many tokens.
    pub(super) fn state_scalars(&self, tokens: usize) -> u64 {
        self.mixer.part.state_scalars(tokens)
    }
}

impl<T: ?Sized> Slot<T> {
    /// A part whose parameters were declared `from` there on.
    fn of(part: Box<T>, declare: &Declare, from: usize) -> Self {
        Self {
            part,
            trains: declare.any_trains(from),
        }
    }
}
