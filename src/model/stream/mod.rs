//! The residual stream: how a mixer and a feed-forward layer, each with its norms, stand around it in one block.

use candle_core::Tensor;

use super::build::Build;
use super::ffn::Ffn;
use super::filling::Filling;
use super::mixer::Mixer;
use super::norm::{Norm, Nothing};
use super::param::{Declare, Part};
use super::pass::Pass;
use super::scaling::Place;
use super::shape::Shape;
use super::work::{Span, Work};
use crate::config::Named;
use crate::error::Result;

pub mod parallel;
pub mod post;
pub mod pre;
pub mod sandwich;
pub mod reordered;
pub mod plain;

/// How a pass goes through a mixer: whole windows, or the next tokens beside what it keeps of those before.
pub type Mix<'m> = dyn FnMut(&dyn Mixer, &Tensor) -> Result<Tensor> + 'm;

/// A settled block.
pub trait Stream: Send + Sync {
    /// The stream (B*T, C) after it; `mix` takes what goes into the mixer through it.
    ///
    /// # Errors
    /// The operations'.
    fn forward(&self, x_nc: Tensor, pass: &Pass, mix: &mut Mix) -> Result<Tensor>;

    /// What these tokens of one window cost, and whether a gradient is asked of what comes out.
    fn work(&self, span: Span) -> (Work, bool);

    /// Scalars that decoding keeps of a window of so many tokens.
    fn state_scalars(&self, tokens: usize) -> u64;
}

/// A kind of block: one file in this folder and one row in the registry; `model.norm.place` names it.
pub trait StreamKind: Named {
    /// Whether the stream passes one more norm before the head: yes, where the blocks leave it as large as it grows.
    fn ends_in_norm(&self) -> bool {
        true
    }

    /// Declares the parts of one block, in the order of their parameters, and returns it.
    ///
    /// # Errors
    /// The parts'.
    fn settle(&self, parts: &mut Parts) -> Result<Box<dyn Stream>>;
}

/// A part of a block with what is known of its parameters.
pub struct Slot<T: ?Sized> {
    /// The part.
    pub part: Box<T>,
    /// Whether any parameter of it trains.
    pub trains: bool,
}

/// Declares what a block is made of.
pub struct Parts<'a> {
    pub(super) name: &'a str,
    pub(super) filling: &'a Filling<'a>,
    pub(super) shape: &'a Shape,
    pub(super) declare: &'a mut Declare,
}

impl Parts<'_> {
    /// What a branch is multiplied by before it is added to the stream (CompleteP's 1/d).
    pub fn factor(&self) -> f64 {
        self.shape.scaling.of_branches()
    }

    /// A norm of the stream's width, `blocks.03.NAME`: within what is added to the stream, or on the stream itself.
    ///
    /// # Errors
    /// The kind's.
    pub fn norm(&mut self, name: &str, place: Place) -> Result<Slot<dyn Norm>> {
        let from = self.enter(name, Part::Norm, place);
        let norm = &self.filling.norm;
        let part = norm
            .kind
            .settle(&norm.site, self.shape.width, self.declare)?;
        Ok(self.slot(part, from))
    }

    /// A norm that is the feed-forward layer's alone: one that changes nothing where there is no such layer.
    ///
    /// # Errors
    /// The kind's.
    pub fn ffn_norm(&mut self, name: &str, place: Place) -> Result<Slot<dyn Norm>> {
        if self.filling.ffn.kind.is_there() {
            return self.norm(name, place);
        }
        Ok(Slot {
            part: Box::new(Nothing),
            trains: false,
        })
    }

    /// The layer's mixer.
    ///
    /// # Errors
    /// The kind's.
    pub fn mixer(&mut self) -> Result<Slot<dyn Mixer>> {
        let from = self.enter("mixer", Part::Mixer, Place::Branch);
        let mixer = &self.filling.mixer;
        let part = mixer.kind.settle(&mixer.site, &mut self.build())?;
        Ok(self.slot(part, from))
    }

    /// The layer's feed-forward part.
    ///
    /// # Errors
    /// The kind's.
    pub fn feed_forward(&mut self) -> Result<Slot<dyn Ffn>> {
        let from = self.enter("ffn", Part::Ffn, Place::Branch);
        let ffn = &self.filling.ffn;
        let part = ffn.kind.settle(&ffn.site, &mut self.build())?;
        Ok(self.slot(part, from))
    }

    fn enter(&mut self, slot: &str, part: Part, place: Place) -> usize {
        let name = format!("{}.{slot}", self.name);
        let scaling = &self.shape.scaling;
        self.declare.enter(&name, part, scaling, place);
        self.declare.count()
    }

    fn build(&mut self) -> Build<'_> {
        Build {
            declare: self.declare,
            linear: &self.filling.linear,
            norm: &self.filling.norm,
        }
    }

    fn slot<T: ?Sized>(&self, part: Box<T>, from: usize) -> Slot<T> {
        Slot {
            part,
            trains: self.declare.any_trains(from),
        }
    }
}

/// `x + factor branch`.
fn add(x_nc: &Tensor, branch: Tensor, factor: f64, pass: &Pass) -> Result<Tensor> {
    Ok(pass.ops.add(x_nc, &pass.scaled(branch, factor)?)?)
}
