//! One language model with slots (mixer, ffn, norm, position) and its cost beside its forward pass.
//!
//! Settling declares parameters and builds the slots without making a tensor, so `show`, plans and result files know the
//! size of a model that would not fit this machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;

use crate::config::knob::{Flag, Number, Word};
use crate::config::{Knob, Knobs, Section, Spec};
use crate::error::{Error, Result};
use crate::ops::Ops;

pub mod flops;
pub mod scaling;
pub mod param;
pub mod shape;
mod pass;
pub mod norm;
pub mod position;
pub mod mixer;
pub mod ffn;
mod slots;

pub use ffn::{Ffn, FfnKind};
pub use flops::{WindowFlops, causal_pairs};
pub use mixer::{Mixer, MixerKind, State};
pub use norm::{Norm, NormKind};
pub use param::{Decl, Declare, Init, ParamId, Params, Part, Role, Weights};
pub use pass::Pass;
pub use position::{Position, PositionKind};
pub use scaling::{Factors, Growth, Place, Scaling};
pub use shape::Shape;
pub use slots::Slots;

const PLACE: Knob<Word> = Knob::word(
    "place",
    "Where norms stand: before each branch as in GPT-2, or after each sum as in the transformer of 2017.",
    &["pre", "post"],
)
.default("pre");
const TIED: Knob<Flag> = Knob::flag(
    "tied",
    "Whether the head is the token table, or a matrix of its own.",
)
.default(true);
const SOFTCAP: Knob<Number> = Knob::number(
    "softcap",
    "Logits are squeezed into plus and minus this by a tanh; 0 is off.",
)
.within(0.0, 1e6)
.default(0.0);

const NORM: Section = Section {
    path: "model.norm",
    knobs: &[&PLACE],
};
const HEAD: Section = Section {
    path: "model.head",
    knobs: &[&TIED, &SOFTCAP],
};

/// The tables below `model` that every model has, and `shape`.
pub const SECTIONS: [Section; 5] = [shape::MODEL, NORM, HEAD, scaling::SCALING, shape::SHAPE];

/// Where norms stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Norms {
    /// x + f(norm(x)), and one more norm before the head (GPT-2).
    Pre,
    /// norm(x + f(x)) (Vaswani et al. 2017).
    Post,
}

struct Block {
    mixer_norm: Box<dyn Norm>,
    mixer: Box<dyn Mixer>,
    ffn_norm: Box<dyn Norm>,
    ffn: Box<dyn Ffn>,
}

/// What fills a model's slots, each kind with its knobs.
struct Kinds<'a> {
    mixer: Arc<dyn MixerKind>,
    mixers: Knobs<'a>,
    ffn: Arc<dyn FfnKind>,
    ffns: Knobs<'a>,
    norm: Arc<dyn NormKind>,
    norms: Knobs<'a>,
    position: Arc<dyn PositionKind>,
    positions: Knobs<'a>,
}

impl<'a> Kinds<'a> {
    /// Reads `model.<slot>.kind`.
    fn pick(spec: &Spec<'a>, slots: &Slots) -> Result<Self> {
        let (mixer, mixers) = slots.mixers.pick(spec)?;
        let (ffn, ffns) = slots.ffns.pick(spec)?;
        let (norm, norms) = slots.norms.pick(spec)?;
        let (position, positions) = slots.positions.pick(spec)?;
        Ok(Self {
            mixer,
            ffn,
            norm,
            position,
            mixers,
            ffns,
            norms,
            positions,
        })
    }

    /// Declares one block; `of_norms` is where its norms stand.
    fn block(
        &self,
        layer: usize,
        shape: &Shape,
        of_norms: Place,
        declare: &mut Declare,
    ) -> Result<Block> {
        let scaling = &shape.scaling;
        let name = |slot: &str| format!("blocks.{layer:02}.{slot}");
        declare.enter(&name("mixer_norm"), Part::Norm, scaling, of_norms);
        let mixer_norm = self.norm.settle(&self.norms, shape, declare)?;
        declare.enter(&name("mixer"), Part::Mixer, scaling, Place::Branch);
        let mixer = self.mixer.settle(&self.mixers, shape, declare)?;
        declare.enter(&name("ffn_norm"), Part::Norm, scaling, of_norms);
        let ffn_norm = self.norm.settle(&self.norms, shape, declare)?;
        declare.enter(&name("ffn"), Part::Ffn, scaling, Place::Branch);
        let ffn = self.ffn.settle(&self.ffns, shape, declare)?;
        Ok(Block {
            mixer_norm,
            mixer,
            ffn_norm,
            ffn,
        })
    }
}

/// A settled language model: structure without tensors.
pub struct Model {
    /// Its sizes.
    pub shape: Shape,
    decls: Vec<Decl>,
    norms: Norms,
    tokens: ParamId,
    position: Box<dyn Position>,
    blocks: Vec<Block>,
    final_norm: Option<Box<dyn Norm>>,
    /// `None` where the head is the token table.
    head: Option<ParamId>,
    softcap: f64,
}

impl Model {
    /// Reads the keys below `model` and `shape` and declares every parameter.
    pub fn settle(spec: &Spec, slots: &Slots, default_vocab: usize) -> Result<Self> {
        let shape = Shape::settle(spec, default_vocab)?;
        let norms = match spec.at(&NORM).read(&PLACE)? {
            "pre" => Norms::Pre,
            _ => Norms::Post,
        };
        let (scaling, of_norms) = (
            shape.scaling,
            if norms == Norms::Pre {
                Place::Branch
            } else {
                Place::Stream
            },
        );
        let kinds = Kinds::pick(spec, slots)?;

        let mut declare = Declare::default();
        declare.enter("embedding", Part::Embedding, &scaling, Place::Outside);
        let start = Init::Normal(shape.table_std());
        let tokens = declare.param(
            "tokens",
            &[shape.vocab, shape.width],
            Role::Embedding,
            start,
        );
        let position = kinds
            .position
            .settle(&kinds.positions, &shape, &mut declare)?;
        let blocks = (0..shape.layers)
            .map(|layer| kinds.block(layer, &shape, of_norms, &mut declare))
            .collect::<Result<Vec<Block>>>()?;
        declare.enter("final_norm", Part::Norm, &scaling, Place::Outside);
        let final_norm = match norms {
            Norms::Pre => Some(kinds.norm.settle(&kinds.norms, &shape, &mut declare)?),
            Norms::Post => None,
        };
        let head = spec.at(&HEAD);
        declare.enter("head", Part::Head, &scaling, Place::Outside);
        let tied = head.read(&TIED)?;
        let untied = (!tied)
            .then(|| declare.param("weight", &[shape.vocab, shape.width], Role::Head, start));
        let softcap = head.read(&SOFTCAP)?;
        Ok(Self {
            decls: declare.finish(),
            shape,
            norms,
            tokens,
            position,
            blocks,
            final_norm,
            head: untied,
            softcap,
        })
    }

    /// Every parameter, in the order of [`Params`].
    pub fn decls(&self) -> &[Decl] {
        &self.decls
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
            self.read_out(x, pass)
        })
    }

    /// Mean loss in nats over the targets, U32 of (B*T), of whole windows; `ids` is (B*T) of type U32.
    pub fn loss(
        &self,
        weights: &Weights,
        (ids, targets): (&Tensor, &Tensor),
        batch: usize,
        time: usize,
        ops: Ops,
    ) -> Result<Tensor> {
        self.whole(weights, ids, batch, time, ops, |x, pass| {
            if self.softcap > 0.0 {
                return Ok(ops.cross_entropy(&self.read_out(x, pass)?, targets)?);
            }
            Ok(ops.head_loss(
                &self.last_norm(x, pass)?,
                &weights[self.head_weight()],
                targets,
            )?)
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
            all.push(self.block(block, x, &pass, &mut |mixer, x| mixer.forward(x, &pass))?);
        }
        all.push(self.read_out(&all[all.len() - 1], &pass)?);
        Ok(all)
    }

    /// Whole windows through all blocks; `end` makes of the last block's output what is asked for.
    fn whole(
        &self,
        weights: &Weights,
        ids: &Tensor,
        batch: usize,
        time: usize,
        ops: Ops,
        end: impl FnOnce(&Tensor, &Pass) -> Result<Tensor>,
    ) -> Result<Tensor> {
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
            x = self.block(block, x, &pass, &mut |mixer, x| mixer.forward(x, &pass))?;
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
            x = self.block(block, x, &pass, &mut |mixer, x| {
                mixer.advance(x, &pass, state)
            })?;
        }
        cache.seen += time;
        let last = x
            .reshape((batch, time, self.shape.width))?
            .narrow(1, time - 1, 1)?
            .squeeze(1)?
            .contiguous()?;
        self.read_out(&last, &pass)
    }

    fn embed(&self, ids: &Tensor, pass: &Pass) -> Result<Tensor> {
        let x = pass.ops.embedding(&pass.weights[self.tokens], ids)?;
        self.position.embed(x, pass)
    }

    fn block(
        &self,
        block: &Block,
        x: Tensor,
        pass: &Pass,
        mix: &mut dyn FnMut(&dyn Mixer, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let add = |x: &Tensor, branch: Tensor| -> Result<Tensor> {
            Ok(pass
                .ops
                .add(x, &pass.scaled(branch, self.shape.scaling.of_branches())?)?)
        };
        match self.norms {
            Norms::Pre => {
                let mixed = mix(block.mixer.as_ref(), &block.mixer_norm.forward(&x, pass)?)?;
                let x = add(&x, mixed)?;
                let fed = block
                    .ffn
                    .forward(&block.ffn_norm.forward(&x, pass)?, pass)?;
                add(&x, fed)
            }
            Norms::Post => {
                let mixed = mix(block.mixer.as_ref(), &x)?;
                let x = block.mixer_norm.forward(&add(&x, mixed)?, pass)?;
                let fed = block.ffn.forward(&x, pass)?;
                block.ffn_norm.forward(&add(&x, fed)?, pass)
            }
        }
    }

    /// What the head multiplies: the last norm's output, with the multiplier of the logits.
    fn last_norm(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let normed = match &self.final_norm {
            Some(norm) => norm.forward(x_nc, pass)?,
            None => x_nc.clone(),
        };
        pass.scaled(normed, self.shape.scaling.of_logits())
    }

    /// The token table itself where the head is tied.
    fn head_weight(&self) -> ParamId {
        self.head.unwrap_or(self.tokens)
    }

    fn read_out(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let normed = self.last_norm(x_nc, pass)?;
        let logits = pass
            .ops
            .logits(&normed, &pass.weights[self.head_weight()])?;
        if self.softcap > 0.0 {
            Ok(pass.ops.softcap(&logits, self.softcap)?)
        } else {
            Ok(logits)
        }
    }

    /// What training one window of `time` tokens costs.
    pub fn flops(&self, time: usize) -> WindowFlops {
        let blocks: WindowFlops = self
            .blocks
            .iter()
            .map(|block| block.mixer.flops(time) + block.ffn.flops(time))
            .sum();
        blocks + WindowFlops::of_weights((time * self.shape.width * self.shape.vocab) as u64)
    }

    /// Scalars that decoding keeps per token, all layers.
    pub fn cache_scalars_per_token(&self) -> u64 {
        self.blocks
            .iter()
            .map(|b| b.mixer.cache_scalars_per_token())
            .sum()
    }

    /// Scalars that decoding keeps per window beside those, all layers.
    pub fn cache_scalars_per_window(&self) -> u64 {
        self.blocks
            .iter()
            .map(|b| b.mixer.cache_scalars_per_window())
            .sum()
    }

    /// All parameters.
    pub fn params_total(&self) -> u64 {
        self.decls.iter().map(Decl::count).sum()
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

/// What decoding has seen of `batch` windows.
pub struct Cache {
    states: Vec<State>,
    batch: usize,
    seen: usize,
}

impl Cache {
    /// Nothing seen yet.
    pub fn new(model: &Model, batch: usize) -> Self {
        Self {
            states: vec![State::default(); model.shape.layers],
            batch,
            seen: 0,
        }
    }

    /// Tokens of each window seen.
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// Scalars that it holds, all layers and windows: what a mixer claims is held against this.
    pub fn held_scalars(&self) -> u64 {
        let tensors = self.states.iter().flat_map(|state| &state.0);
        tensors.map(|tensor| tensor.elem_count() as u64).sum()
    }
}
