//! One language model with slots (mixer, ffn, norm, position, linear) and its cost beside its forward pass.
//!
//! Settling declares parameters and builds the slots without making a tensor, so `show`, plans and result files know the
//! size of a model that would not fit this machine.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::config::knob::Text;
use crate::config::{Knob, Section, Spec};
use crate::error::{Error, Result};
use crate::ops::{Format, Ops};

pub mod work;
pub mod scaling;
pub mod param;
pub mod shape;
pub mod site;
mod freeze;
pub mod weights;
mod pass;
pub mod norm;
pub mod linear;
mod build;
pub mod position;
pub mod mixer;
pub mod ffn;
mod filling;
pub mod stream;
mod head;
mod serving;
pub mod loss;
mod slots;

use filling::{Filling, Kinds, Pattern};
use freeze::Freeze;
use stream::Parts;
use weights::Given;

pub use build::Build;
pub use ffn::{Ffn, FfnKind};
pub use freeze::FREEZE;
pub use head::Head;
pub use linear::{Linear, LinearKind, LinearSpec};
pub use loss::{Aside, Loss, LossKind, Trunk};
pub use mixer::{Mixer, MixerKind, State};
pub use norm::{Norm, NormKind};
pub use param::{Decl, Declare, Init, ParamId, Params, Part, Role, Weights};
pub use pass::Pass;
pub use position::{Position, PositionKind};
pub use scaling::{Factors, Growth, Place, Scaling};
pub use serving::Cache;
pub use shape::Shape;
pub use site::Site;
pub use slots::Slots;
pub use stream::{Stream, StreamKind};
pub use work::{Span, Work};

const PLACE: Knob<Text> = Knob::text(
    "place",
    "Where norms stand around the branches of a block: a kind of `effbench list streams`.",
)
.such_as(&["pre", "post", "sandwich", "parallel"])
.default("pre");
const NORM: Section = Section {
    path: "model.norm",
    knobs: &[&PLACE],
};
/// The tables below `model` that every model has, and `shape`.
pub const SECTIONS: [Section; 7] = [
    shape::MODEL,
    filling::LAYERS,
    weights::WEIGHTS,
    NORM,
    head::HEAD,
    scaling::SCALING,
    shape::SHAPE,
];

/// A settled language model: structure without tensors.
pub struct Model {
    /// Its sizes.
    pub shape: Shape,
    decls: Vec<Decl>,
    tokens: ParamId,
    position: Box<dyn Position>,
    blocks: Vec<Box<dyn Stream>>,
    /// Whether anything that makes the stream before the first block trains.
    embedding_trains: bool,
    head: Head,
    /// Beside the head's own.
    losses: Vec<Box<dyn Loss>>,
    /// What parameters start with, where that is not drawn.
    given: Option<Given>,
}

impl Model {
    /// Reads the knobs below `model` and `shape`, and what of `train` is the model's, and declares every parameter.
    ///
    /// # Errors
    /// Where a knob has a value that it cannot have, or two do not go together.
    pub fn settle(spec: &Spec, slots: &Slots, default_vocab: usize) -> Result<Self> {
        let shape = Shape::settle(spec, default_vocab)?;
        let stream = stream_kind(spec, slots)?;
        let scaling = shape.scaling;
        let pattern = Pattern::settle(spec, &slots.mixers, shape.layers)?;
        let kinds = Kinds {
            mixers: &slots.mixers,
            ffns: &slots.ffns,
            norms: &slots.norms,
            linears: &slots.linears,
        };
        let filling = |layer| Filling::of(spec, &kinds, &pattern, layer, &shape);
        let outside = filling(None)?;

        let freeze = Freeze::settle(spec)?;
        let frozen = freeze.clone();
        let mut declare = Declare::freezing(move |name| frozen.holds(name));
        declare.enter("embedding", Part::Embedding, &scaling, Place::Outside);
        let start = Init::Normal(shape.table_std());
        let tokens = declare.param(
            "tokens",
            &[shape.vocab, shape.width],
            Role::Embedding,
            start,
        );
        let position = position(spec, slots, &outside, &shape, &mut declare)?;
        let embedding_trains = declare.any_trains(0);
        let blocks = (0..shape.layers)
            .map(|layer| {
                let name = format!("blocks.{layer:02}");
                stream.settle(&mut Parts {
                    name: &name,
                    filling: &filling(Some(layer))?,
                    shape: &shape,
                    declare: &mut declare,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let ends = stream.ends_in_norm();
        let head = Head::settle(spec, &outside, ends, (&shape, tokens), &mut declare)?;
        declare.leave_out_of_serving();
        let losses = loss::settle(spec, &slots.losses, &shape, |name, settle| {
            settle(&mut Aside {
                declare: &mut declare,
                filling: &outside,
                stream: stream.as_ref(),
                shape: &shape,
                head: &head,
                name,
            })
        })?;
        let decls = declare.finish();
        freeze.check(spec, &decls)?;
        let given = Given::settle(spec, &decls)?;
        Ok(Self {
            decls,
            shape,
            embedding_trains,
            tokens,
            position,
            blocks,
            head,
            losses,
            given,
        })
    }

    /// Every parameter, in the order of [`Params`].
    pub fn decls(&self) -> &[Decl] {
        &self.decls
    }

    /// Its parameters before the first step: drawn by a seed, or from the file that `model.from` names.
    ///
    /// # Errors
    /// Where that file is no longer what it was, or the device has no room.
    pub fn start(&self, seed: u64, device: &Device) -> Result<Params> {
        let params = Params::init(&self.decls, seed, device)?;
        if let Some(given) = &self.given {
            given.load(&self.decls, &params)?;
        }
        Ok(params)
    }

    /// A matrix that a format cannot pack, and the length of its rows, where there is one.
    pub fn cannot_pack(&self, format: Format) -> Option<(&str, usize)> {
        serving::cannot_pack(&self.decls, self.head.weight, format)
    }

    /// What it serves with: its parameters as they are, or with every matrix packed.
    ///
    /// # Errors
    /// Where a matrix [cannot be packed](Self::cannot_pack).
    pub fn serving(&self, params: &Params, format: Option<Format>) -> Result<Weights> {
        serving::weights(&self.decls, self.head.weight, params, format)
    }

    /// Bytes of weights that one decoded token reads: all that serve, and of tables that are only looked up a row.
    pub fn bytes_read(&self, weights: &Weights) -> u64 {
        serving::bytes_read(&self.decls, self.head.weight, weights)
    }

    /// What decoding `batch` windows begins with: nothing seen.
    pub fn cache(&self, batch: usize) -> Cache {
        Cache::new(self.shape.layers, batch)
    }

    /// Those that train, in the same order.
    pub fn trained(&self) -> Vec<Decl> {
        let trained = self.decls.iter().filter(|decl| decl.trains);
        trained.cloned().collect()
    }

    /// Gives every parameter the learning rate of its role, as a factor.
    pub fn rate_roles(&mut self, of: impl Fn(Role) -> f64) {
        self.decls
            .iter_mut()
            .for_each(|decl| decl.lr_scale = of(decl.role));
    }

    /// Logits (B*T, V) of whole windows: `ids` is (B*T) of type U32.
    pub fn logits(
        &self,
        weights: &Weights,
        ids: &Tensor,
        batch: usize,
        time: usize,
        ops: Ops,
    ) -> Result<Tensor> {
        self.whole(weights, ids, batch, time, ops, |x, pass| {
            self.head.logits(x, pass)
        })
    }

    /// The same, some rows at a time, at most so many logits at once: `each` gets the rows and their logits.
    ///
    /// # Errors
    /// The operations', and those of `each`.
    pub fn logits_by_rows(
        &self,
        weights: &Weights,
        (ids, batch, time): (&Tensor, usize, usize),
        at_once: usize,
        ops: Ops,
        each: &mut dyn FnMut(Range<usize>, &Tensor) -> Result<()>,
    ) -> Result<()> {
        let step = (at_once / self.shape.vocab.max(1)).max(1);
        self.whole(weights, ids, batch, time, ops, |x, pass| {
            let rows = x.dim(0)?;
            for from in (0..rows).step_by(step) {
                let some = from..(from + step).min(rows);
                let x = x.narrow(0, from, some.len())?;
                each(some, &self.head.logits(&x, pass)?)?;
            }
            Ok(())
        })
    }

    /// What training minimises, of whole windows: `ids` is (B*T) of type U32, and of each place the next token is asked for, unless
    /// it is [`IGNORED`](crate::ops::IGNORED).
    ///
    /// A scalar, the mean cross-entropy in nats; or where the spec adds losses to it several numbers, that the first of them, and
    /// what is minimised their sum.
    ///
    /// # Errors
    /// The operations', and where nothing is asked for.
    pub fn loss(
        &self,
        weights: &Weights,
        (ids, next): (&Tensor, &[u32]),
        batch: usize,
        time: usize,
        ops: Ops,
    ) -> Result<Tensor> {
        self.whole(weights, ids, batch, time, ops, |x, pass| {
            let targets = Tensor::from_slice(next, next.len(), ids.device())?;
            let z = self.losses.iter().map(|loss| loss.z()).sum();
            let own = self.head.loss(x, &targets, z, pass)?;
            let trunk = Trunk {
                x_nc: x,
                targets: next,
            };
            let mut terms = vec![own];
            for loss in &self.losses {
                terms.extend(loss.term(&trunk, pass)?);
            }
            if terms.len() == 1 {
                return Ok(terms.remove(0));
            }
            let flat = terms.iter().map(Tensor::flatten_all);
            let flat = flat.collect::<candle_core::Result<Vec<Tensor>>>()?;
            Ok(Tensor::cat(&flat, 0)?)
        })
    }

    /// The residual stream (B*T, C) after the embedding and after each block, and the logits, of whole windows.
    #[cfg(test)]
    pub fn activations(
        &self,
        weights: &Weights,
        ids: &Tensor,
        batch: usize,
        time: usize,
        ops: Ops,
    ) -> Result<Vec<Tensor>> {
        let rope = self.position.rope(0, time, ids.device())?;
        let pass = Pass {
            weights,
            ops,
            batch,
            time,
            offset: 0,
            rope: rope.as_ref(),
        };
        let mut all = vec![self.embed(ids, &pass)?];
        for block in &self.blocks {
            let x = all[all.len() - 1].clone();
            all.push(block.forward(x, &pass, &mut |mixer, x| mixer.forward(x, &pass))?);
        }
        all.push(self.head.logits(&all[all.len() - 1], &pass)?);
        Ok(all)
    }

    /// Whole windows through all blocks; `end` makes of the last block's output what is asked for.
    fn whole<T>(
        &self,
        weights: &Weights,
        ids: &Tensor,
        batch: usize,
        time: usize,
        ops: Ops,
        end: impl FnOnce(&Tensor, &Pass) -> Result<T>,
    ) -> Result<T> {
        let rope = self.position.rope(0, time, ids.device())?;
        let pass = Pass {
            weights,
            ops,
            batch,
            time,
            offset: 0,
            rope: rope.as_ref(),
        };
        let mut x = self.embed(ids, &pass)?;
        for block in &self.blocks {
            x = block.forward(x, &pass, &mut |mixer, x| mixer.forward(x, &pass))?;
        }
        end(&x, &pass)
    }

    /// Logits (B, V) of the last of `time` new tokens, given what `cache` has seen; `ids` is (B*time) of type U32.
    pub fn advance(
        &self,
        weights: &Weights,
        ids: &Tensor,
        cache: &mut Cache,
        ops: Ops,
    ) -> Result<Tensor> {
        let batch = cache.batch;
        let time = ids.elem_count() / batch;
        if cache.seen + time > self.shape.context {
            let asked = cache.seen + time;
            return Err(Error::input(format!(
                "{asked} tokens do not fit a context of {}",
                self.shape.context
            )));
        }
        let rope = self.position.rope(cache.seen, time, ids.device())?;
        let pass = Pass {
            weights,
            ops,
            batch,
            time,
            offset: cache.seen,
            rope: rope.as_ref(),
        };
        let mut x = self.embed(ids, &pass)?;
        for (block, state) in self.blocks.iter().zip(&mut cache.states) {
            x = block.forward(x, &pass, &mut |mixer, x| mixer.advance(x, &pass, state))?;
        }
        cache.seen += time;
        let last = x
            .reshape((batch, time, self.shape.width))?
            .narrow(1, time - 1, 1)?
            .squeeze(1)?
            .contiguous()?;
        self.head.logits(&last, &pass)
    }

    fn embed(&self, ids: &Tensor, pass: &Pass) -> Result<Tensor> {
        let x = pass.ops.embedding(&pass.weights[self.tokens], ids)?;
        self.position.embed(x, pass)
    }

    /// The blocks' part of [`work`](Self::work), and whether a gradient is asked of what comes out of the last.
    fn work_of_blocks(&self, span: Span) -> (Work, bool) {
        let start = (Work::default(), self.embedding_trains);
        self.blocks.iter().fold(start, |(work, learns), block| {
            let (of_block, after) = block.work(span.with_gradient(learns));
            (work + of_block, after)
        })
    }

    /// What these tokens of one window cost, forwards and backwards; the logits of all of them among it.
    pub fn work(&self, span: Span) -> Work {
        let (blocks, learns) = self.work_of_blocks(span);
        blocks + self.head.work(span.new, learns)
    }

    /// What training one window of so many tokens costs: that, and what the losses take that the spec adds.
    pub fn training(&self, time: usize) -> Work {
        let span = Span::window(time);
        let (blocks, learns) = self.work_of_blocks(span);
        let beside = self
            .losses
            .iter()
            .map(|l| l.work(span.with_gradient(learns)));
        blocks + self.head.work(span.new, learns) + beside.sum()
    }

    /// Scalars that decoding keeps of a window of so many tokens, all layers.
    pub fn state_scalars(&self, tokens: usize) -> u64 {
        let of_blocks = self.blocks.iter().map(|b| b.state_scalars(tokens));
        of_blocks.sum()
    }

    /// All parameters.
    pub fn params_total(&self) -> u64 {
        self.decls.iter().map(Decl::count).sum()
    }

    /// Those that the next token's logits are made with: all but what only a loss has.
    pub fn params_active(&self) -> u64 {
        let serving = self.decls.iter().filter(|decl| decl.serves);
        serving.map(Decl::count).sum()
    }

    /// Parameters by part, in the order of [`Part`].
    pub fn params_by_part(&self) -> BTreeMap<Part, u64> {
        let mut parts = BTreeMap::new();
        for decl in &self.decls {
            *parts.entry(decl.part).or_default() += decl.count();
        }
        parts
    }
}

/// How norms stand around the branches of every block.
fn stream_kind(spec: &Spec, slots: &Slots) -> Result<Arc<dyn StreamKind>> {
    let knobs = spec.at(&NORM);
    let place = knobs.read(&PLACE)?;
    slots.streams.find(&place).cloned().ok_or_else(|| {
        let known = slots.streams.iter().map(|kind| kind.name());
        let error = knobs.refuse(&PLACE, "no such stream");
        error.suggest(&place, known)
    })
}

/// How the model knows where a token stands.
fn position<'a>(
    spec: &Spec<'a>,
    slots: &Slots,
    outside: &'a Filling<'a>,
    shape: &'a Shape,
    declare: &'a mut Declare,
) -> Result<Box<dyn Position>> {
    let (kind, knobs) = slots.positions.pick(spec)?;
    let site = Site {
        layer: None,
        shape,
        knobs,
    };
    let mut build = Build {
        declare,
        linear: &outside.linear,
        norm: &outside.norm,
    };
    kind.settle(&site, &mut build)
}
