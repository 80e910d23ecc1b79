//! Value embeddings: a table of the layer's own with a row for each token, which is added to its values, head by head, by a gate that
//! looks at the first channels of what comes in: `v += 3 sigmoid(W x[..12]) table[token]` (Karpathy 2025, nanochat, where it is the
//! largest single gain). Only every other layer has one, the last among them. It costs memory, and next to no work: of the table a
//! token reads a row.

use candle_core::Tensor;

use crate::config::Knob;
use crate::config::knob::Flag;
use crate::error::Result;
use crate::model::param::{Init, ParamId, Role};
use crate::model::{Build, Pass, Site, Span, Work};
use crate::ops::{Axes, TokenValues as Add};

pub(super) const VALUE_EMBEDDING: Knob<Flag> = Knob::flag(
    "value_embedding",
    "Whether every other layer, the last among them, adds a row of a table of its own for each token to its values, by gates.",
)
.default(false);

/// Channels that a gate looks at.
const CHANNELS: usize = 12;

pub(super) struct TokenValues {
    /// (V, KV D).
    table: ParamId,
    /// (KV, channels). A vector of scales for each head rather than a matrix of the model: its input does not grow with the width, so
    /// it keeps its rate, and it is too narrow to be packed or made orthogonal.
    gate: ParamId,
    channels: usize,
    gate_trains: bool,
    trains: bool,
    /// Of a token.
    multiply_adds: u64,
}

impl TokenValues {
    /// Reads `value_embedding`, silent where it is not said.
    pub(super) fn settle(site: &Site, build: &mut Build) -> Result<Option<Self>> {
        if !site.knobs.given(&VALUE_EMBEDDING) || !site.knobs.read(&VALUE_EMBEDDING)? {
            return Ok(None);
        }
        let shape = site.shape;
        let has_one = |layer: usize| (shape.layers - 1 - layer).is_multiple_of(2);
        if !site.layer.is_some_and(has_one) {
            return Ok(None);
        }
        let (heads, channels) = (shape.kv_heads, CHANNELS.min(shape.width));
        let table = build.param(
            "value_table",
            &[shape.vocab, heads * shape.head_width()],
            Role::Embedding,
            Init::Normal(shape.table_std()),
        );
        let gate = build.param("value_gate", &[heads, channels], Role::Gain, Init::Zeros);
        let gate_trains = build.trains(gate);
        Ok(Some(Self {
            table,
            gate,
            channels,
            gate_trains,
            trains: gate_trains || build.trains(table),
            multiply_adds: (heads * channels) as u64,
        }))
    }

    /// Whether anything in it does.
    pub(super) fn trains(&self) -> bool {
        self.trains
    }

    /// The packed input with the tokens' own values in it.
    pub(super) fn add(
        &self,
        x_nc: &Tensor,
        qkv: &Tensor,
        axes: Axes,
        pass: &Pass,
    ) -> Result<Tensor> {
        let values = pass.ops.embedding(&pass.weights[self.table], pass.ids)?;
        let seen = x_nc.narrow(1, 0, self.channels)?.contiguous()?;
        let gates = pass.ops.linear(&seen, &pass.weights[self.gate], None)?;
        Ok(pass.ops.unaided(&Add(axes), [qkv, &values, &gates])?)
    }

    pub(super) fn work(&self, span: Span) -> Work {
        Work::of_product(span.new * self.multiply_adds, span.learns, self.gate_trains)
    }
}
