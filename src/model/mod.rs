//! One language model with slots (mixer, ffn, norm, position, linear) and its cost beside its forward pass.
//!
//! Settling declares parameters and builds the slots without making a tensor, so `show`, plans and result files know the
//! size of a model that would not fit this machine.

use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;

use crate::config::knob::Text;
use crate::config::{Knob, Section, Spec};
use crate::error::Result;
use crate::ops::{Format, Ops};

pub mod work;
pub mod scaling;
mod coarse;
mod id;
mod told;
mod handles;
mod rotation;
mod adapter;
mod init;
pub mod param;
mod buffer;
mod beside;
pub mod shape;
pub mod site;
mod freeze;
mod foreign;
mod kept;
pub mod weights;
pub mod outward;
mod pass;
mod recall;
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
mod decode;
mod start;
mod both;
pub mod loss;
mod slots;
pub mod teacher;
mod counted;
#[cfg(test)]
mod testing;

use adapter::Adapter;
use filling::{Filling, Kinds, Pattern};
use freeze::Freeze;
use recall::Recall;
use stream::Parts;
use weights::Given;

pub use beside::Beside;
pub use build::Build;
pub use coarse::Coarse;
pub use ffn::{Ffn, FfnKind};
pub use freeze::FREEZE;
pub use head::Head;
pub use id::ParamId;
pub use linear::{Linear, LinearKind, LinearSpec};
pub use loss::{Aside, Loss, LossKind, Trunk};
pub use mixer::{Mixer, MixerKind, State};
pub use norm::{Norm, NormKind};
pub use param::{Decl, Declare, Init, Params, Part, Role, Weights};
pub use pass::Pass;
pub use position::{Position, PositionKind};
pub use scaling::{Factors, Growth, Place, Scaling};
pub use serving::{Cache, Mark, Packing};
pub use shape::Shape;
pub use site::Site;
pub use slots::Slots;
pub use stream::{Stream, StreamKind};
pub use told::{After, Loads, Rule};
pub use work::{Span, Work};

const PLACE: Knob<Text> = Knob::text(
    "place",
    "Norm placement around the branches of a block (pre-LN, post-LN, sandwich): a kind of `effbench list streams`.",
)
.such_as(&["pre", "post", "sandwich", "reordered", "parallel", "plain"])
.default("pre");
const NORM: Section = Section {
    path: "model.norm",
    knobs: &[&PLACE],
};
/// The tables below `model` that every model has, and `shape`.
pub const SECTIONS: [Section; 8] = [
    shape::MODEL,
    recall::SECTION,
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
    /// What changes buffers.
    rules: Vec<(ParamId, Rule)>,
    /// Low-rank changes of matrices that serve.
    adapters: Vec<Adapter>,
    tokens: ParamId,
    position: Box<dyn Position>,
    /// What each block begins with, where that is not the stream alone.
    recall: Recall,
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
        let (frozen, is_given) = (freeze.clone(), weights::is_given(spec));
        let mut declare = Declare::freezing(move |name| frozen.holds(name));
        let stays = outside.rest_stays(is_given)?;
        declare.rest_stays(stays);
        let (tokens, position) = embedding(spec, slots, &outside, &shape, &mut declare)?;
        let embedding_trains = declare.any_trains(0);
        let recall = Recall::settle(spec, &shape, &mut declare)?;
        let blocks = (0..shape.layers)
            .map(|layer| {
                let (name, filling) = (format!("blocks.{layer:02}"), filling(Some(layer))?);
                declare.rest_stays(filling.rest_stays(is_given)?);
                stream.settle(&mut Parts {
                    name: &name,
                    filling: &filling,
                    shape: &shape,
                    declare: &mut declare,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        declare.rest_stays(stays);
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
        let rules = std::mem::take(&mut declare.rules);
        let adapters = std::mem::take(&mut declare.adapters);
        let decls = declare.finish();
        freeze.check(spec, &decls)?;
        let given = Given::settle(spec, &decls)?;
        Ok(Self {
            decls,
            rules,
            adapters,
            shape,
            embedding_trains,
            tokens,
            position,
            recall,
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

    /// A matrix that a format cannot pack, and the length of its rows, where there is one.
    pub fn cannot_pack(&self, format: Format) -> Option<(&str, usize)> {
        serving::cannot_pack(&self.decls, self.head.weight, format)
    }

    /// The coarsest rounding of its products' factors, each property by itself; `None` where all are f32.
    pub fn coarse(&self) -> Option<Coarse> {
        let all = self.decls.iter().filter_map(|decl| decl.coarse);
        all.reduce(Coarse::and)
    }

    /// Bytes of weights that decoding reads for the next tokens of `batch` windows: all that serve, of tables that are only looked up
    /// a row, and of experts those that so many tokens are expected to choose.
    pub fn bytes_read(&self, weights: &Weights, batch: usize) -> u64 {
        serving::bytes_read(&self.decls, self.head.weight, weights, batch)
    }

    /// Changes its buffers after an update, by what the passes of its whole batch told.
    ///
    /// # Errors
    /// The device's.
    pub fn after_step(&self, params: &Params, loads: &Loads, at: After) -> Result<()> {
        buffer::after_step(&self.rules, params, loads, at)
    }

    /// What decoding `batch` windows of at most `tokens` begins with: nothing seen.
    pub fn cache(&self, batch: usize, tokens: usize) -> Cache {
        Cache::new(self.shape.layers, batch, tokens)
    }

    /// The most tokens of a window that it can number, where there is such a limit: a table of positions has so many rows.
    pub fn longest(&self) -> Option<usize> {
        self.position.longest()
    }

    /// Those that train, in the same order.
    pub fn trained(&self) -> Vec<Decl> {
        let trained = self.decls.iter().filter(|decl| decl.trains);
        trained.cloned().collect()
    }

    /// Gives every parameter the learning rate of its role, as a factor on its own.
    pub fn rate_roles(&mut self, of: impl Fn(Role) -> f64) {
        self.decls
            .iter_mut()
            .for_each(|decl| decl.lr_scale *= of(decl.role));
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
        let beside = Beside::default();
        self.whole(weights, (ids, batch, time), ops, &beside, |x, pass| {
            self.head.logits(x, pass)
        })
    }

    /// The same, some rows at a time, at most so many logits at once: `each` gets the rows and their logits, `beside` what parts tell.
    ///
    /// # Errors
    /// The operations', and those of `each`.
    pub fn logits_by_rows(
        &self,
        weights: &Weights,
        given: (&Tensor, usize, usize),
        at_once: usize,
        ops: Ops,
        beside: &Beside,
        each: &mut dyn FnMut(Range<usize>, &Tensor) -> Result<()>,
    ) -> Result<()> {
        let step = self.rows_at_once(at_once);
        self.whole(weights, given, ops, beside, |x, pass| {
            let rows = x.dim(0)?;
            for from in (0..rows).step_by(step) {
                let some = from..(from + step).min(rows);
                let x = x.narrow(0, from, some.len())?;
                each(some, &self.head.logits(&x, pass)?)?;
            }
            Ok(())
        })
    }

    /// Rows that have at most so many logits, and one at least.
    fn rows_at_once(&self, logits: usize) -> usize {
        (logits / self.shape.vocab.max(1)).max(1)
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
        given: (&Tensor, &[u32]),
        batch: usize,
        time: usize,
        ops: Ops,
    ) -> Result<Tensor> {
        self.loss_beside(weights, given, (batch, time), ops, &Beside::default())
    }

    /// The same, with what parts tell left in `beside`.
    ///
    /// # Errors
    /// As there.
    pub fn loss_beside(
        &self,
        weights: &Weights,
        (ids, next): (&Tensor, &[u32]),
        (batch, time): (usize, usize),
        ops: Ops,
        beside: &Beside,
    ) -> Result<Tensor> {
        self.whole(weights, (ids, batch, time), ops, beside, |x, pass| {
            let targets = Tensor::from_slice(next, next.len(), ids.device())?;
            let z = self.losses.iter().map(|loss| loss.z()).sum();
            let own = self.head.loss(x, &targets, z, pass)?;
            let trunk = Trunk {
                x_nc: x,
                targets: next,
                head: &self.head,
            };
            let mut terms = vec![own];
            for loss in &self.losses {
                terms.extend(loss.term(&trunk, pass)?);
            }
            terms.extend(beside.terms(next, batch)?);
            if terms.len() == 1 {
                return Ok(terms.remove(0));
            }
            let flat = terms.iter().map(Tensor::flatten_all);
            let flat = flat.collect::<candle_core::Result<Vec<Tensor>>>()?;
            Ok(Tensor::cat(&flat, 0)?)
        })
    }

    /// Whole windows through all blocks; `end` makes of the last block's output what is asked for.
    fn whole<T>(
        &self,
        weights: &Weights,
        (ids, batch, time): (&Tensor, usize, usize),
        ops: Ops,
        beside: &Beside,
        end: impl FnOnce(&Tensor, &Pass) -> Result<T>,
    ) -> Result<T> {
        let rope = self.position.rope(0, time, ids.device())?;
        let pass = Pass {
            weights,
            ops,
            batch,
            time,
            offset: 0,
            room: time,
            ids,
            rope: rope.as_ref(),
            beside,
        };
        let mix = &mut |_, mixer: &dyn Mixer, x: &Tensor| mixer.forward(x, &pass);
        let x = self.through(&pass, mix, &mut |_| {})?;
        end(&x, &pass)
    }

    /// Tokens from the embedding through all blocks; `mix` takes what goes into a layer's mixer through it, `see` gets the stream
    /// after the embedding and after each block.
    fn through(
        &self,
        pass: &Pass,
        mix: &mut dyn FnMut(usize, &dyn Mixer, &Tensor) -> Result<Tensor>,
        see: &mut dyn FnMut(&Tensor),
    ) -> Result<Tensor> {
        let x = pass.rows(self.tokens)?;
        let x = pass.scaled(x, self.shape.embedding_scale)?;
        let first = self.position.embed(x, pass)?;
        see(&first);
        let mut x = first.clone();
        for (layer, block) in self.blocks.iter().enumerate() {
            x = self.recall.blend(layer, x, &first, pass)?;
            x = block.forward(x, pass, &mut |mixer, x| mix(layer, mixer, x))?;
            see(&x);
        }
        Ok(x)
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

/// The token table, and how the model knows where a token stands.
fn embedding<'a>(
    spec: &Spec<'a>,
    slots: &Slots,
    outside: &'a Filling<'a>,
    shape: &'a Shape,
    declare: &'a mut Declare,
) -> Result<(ParamId, Box<dyn Position>)> {
    declare.enter("embedding", Part::Embedding, &shape.scaling, Place::Outside);
    let (size, start) = ([shape.vocab, shape.width], Init::Normal(shape.table_std()));
    let tokens = declare.param("tokens", &size, Role::Embedding, start);
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
    Ok((tokens, kind.settle(&site, &mut build)?))
}
