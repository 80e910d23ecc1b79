//! What training minimises beside the cross-entropy of the next token: terms that a spec adds to it, each by its weight
//! (`train.loss.z-loss.weight = 1e-4`). None of them is part of a loss that is reported: that stays the next token's.

use std::sync::Arc;

use candle_core::Tensor;

use super::build::Chosen;
use super::filling::Filling;
use super::head::Head;
use super::param::{Declare, Part};
use super::scaling::Place;
use super::shape::Shape;
use super::site::Site;
use super::stream::{Parts, Stream, StreamKind};
use super::{Pass, Span, Work};
use crate::config::knob::{Declared, Number};
use crate::config::{Catalog, Key, Knob, Named, Spec};
use crate::error::Result;

pub mod multi_token;
pub mod z_loss;

/// What a term is computed from.
pub struct Trunk<'a> {
    /// The residual stream after the last block, (B*T, C).
    pub x_nc: &'a Tensor,
    /// The next token of each place, window by window; [`IGNORED`](crate::ops::IGNORED) where none is asked for.
    pub targets: &'a [u32],
    /// The model's head.
    pub head: &'a Head,
}

/// A settled term.
pub trait Loss: Send + Sync {
    /// The coefficient on the squared logarithm of the sum of the head's exponentials, which is computed with its cross-entropy.
    fn z(&self) -> f64 {
        0.0
    }

    /// A term of its own, a scalar, times its weight: the sum of what it has for places that are asked for over their number, that
    /// of the next token's loss, so that parts of a batch add up to the whole. `None` where it has nothing.
    ///
    /// # Errors
    /// The operations'.
    fn term(&self, trunk: &Trunk, pass: &Pass) -> Result<Option<Tensor>> {
        let _ = (trunk, pass);
        Ok(None)
    }

    /// What training one window costs beside the model's own products, forwards and backwards.
    fn work(&self, span: Span) -> Work {
        let _ = span;
        Work::default()
    }
}

/// A kind of term: one file in this folder and one row in the registry.
pub trait LossKind: Named {
    /// The weight that its authors give it.
    fn weight(&self) -> f64;

    /// Reads its keys below `train.loss.NAME`, declares what parameters it has and returns it.
    ///
    /// # Errors
    /// Where a knob has a value that it cannot have.
    fn settle(&self, site: &Site, weight: f64, build: &mut Aside) -> Result<Box<dyn Loss>>;
}

/// Declares what stands beside a model and is gone when it is trained: blocks and heads as its own are.
pub struct Aside<'a> {
    pub(super) declare: &'a mut Declare,
    pub(super) filling: &'a Filling<'a>,
    pub(super) stream: &'a dyn StreamKind,
    pub(super) shape: &'a Shape,
    /// The model's head.
    pub(super) head: &'a Head,
    /// The term's name.
    pub(super) name: &'static str,
}

impl Aside<'_> {
    /// One more block, as the model's are outside any pattern.
    ///
    /// # Errors
    /// The parts'.
    pub fn block(&mut self, name: &str) -> Result<Extra> {
        let name = format!("{}.{name}", self.name);
        let parts = &mut Parts {
            name: &name,
            filling: self.filling,
            shape: self.shape,
            declare: self.declare,
        };
        self.stream.settle(parts).map(Extra)
    }

    /// One more head with a norm of its own, on the model's matrix.
    ///
    /// # Errors
    /// The norm's.
    pub fn head(&mut self, name: &str) -> Result<Head> {
        let name = format!("{}.{name}.final_norm", self.name);
        let scaling = &self.shape.scaling;
        self.declare
            .enter(&name, Part::Norm, scaling, Place::Outside);
        let from = self.declare.count();
        let Chosen { kind, site } = &self.filling.norm;
        let ends = self.stream.ends_in_norm();
        let norm = ends.then(|| kind.settle(site, self.shape.width, self.declare));
        let norm = norm.transpose()?;
        Ok(Head {
            norm,
            norm_trains: self.declare.any_trains(from),
            ..*self.head
        })
    }
}

/// A block beside the model's.
pub struct Extra(Box<dyn Stream>);

impl Extra {
    /// Whole windows: (B*T, C) to the same shape.
    ///
    /// # Errors
    /// The operations'.
    pub fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let mix = &mut |mixer: &dyn super::Mixer, x: &Tensor| mixer.forward(x, pass);
        self.0.forward(x_nc.clone(), pass, mix)
    }

    /// What these tokens of one window cost, and whether a gradient is asked of what comes out.
    pub fn work(&self, span: Span) -> (Work, bool) {
        self.0.work(span)
    }
}

const WEIGHT: Knob<Number> = Knob::number(
    "weight",
    "Weight of this loss beside the next token's cross-entropy; 0, or none, is off.",
)
.within(0.0, 1e3)
.optional();

/// Where losses stand.
const TABLE: &str = "train.loss";

/// The keys of all of them, as they are listed.
pub fn keys(catalog: &Catalog<dyn LossKind>) -> Vec<Key> {
    let of_kind = |kind: &Arc<dyn LossKind>| {
        let weight: &dyn Declared = &WEIGHT;
        let all = std::iter::once(weight).chain(kind.knobs().iter().map(|knob| *knob as _));
        let key = |knob: &dyn Declared| Key {
            key: format!("{TABLE}.{}.{}", kind.name(), knob.name()),
            kinds: Vec::new(),
            facts: knob.facts(),
            table: TABLE,
        };
        all.map(key).collect::<Vec<_>>()
    };
    catalog.iter().flat_map(of_kind).collect()
}

/// The terms whose weight the spec gives, and is not 0; silent about all others.
pub(super) fn settle(
    spec: &Spec,
    catalog: &Catalog<dyn LossKind>,
    shape: &Shape,
    mut aside: impl FnMut(&'static str, &mut dyn FnMut(&mut Aside) -> Result<()>) -> Result<()>,
) -> Result<Vec<Box<dyn Loss>>> {
    let mut losses = Vec::new();
    for kind in catalog.iter() {
        let table = format!("{TABLE}.{}", kind.name());
        let weight = spec.in_table(&table, &[&WEIGHT]).find(&WEIGHT)?;
        let Some(weight) = weight.filter(|weight| *weight != 0.0) else {
            continue;
        };
        let site = Site {
            layer: None,
            shape,
            knobs: spec.in_table(&table, kind.knobs()),
        };
        aside(kind.name(), &mut |build| {
            losses.push(kind.settle(&site, weight, build)?);
            Ok(())
        })?;
    }
    Ok(losses)
}
