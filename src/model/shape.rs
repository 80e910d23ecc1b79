//! The sizes of a model, and the rule by which depth and heads follow the width.

use super::scaling::Scaling;
use crate::config::knob::{Flag, Number, Whole};
use crate::config::{Knob, Section, Spec};
use crate::error::Result;

const WIDTH: Knob<Whole> = Knob::count("width", "Channels of the residual stream: the size dial.")
    .unit("channels")
    .within(1, 1 << 17)
    .default(64);
const LAYERS: Knob<Whole> = Knob::count("layers", "Blocks, each a mixer and a feed-forward layer.")
    .within(1, 1 << 12)
    .follows("from the width, by shape.width_per_layer");
const HEADS: Knob<Whole> = Knob::count(
    "heads",
    "Query heads of attention; they must divide the width unless model.head_width is given.",
)
.follows("from the width, by shape.head_width");
const OWN_HEAD_WIDTH: Knob<Whole> = Knob::count(
    "head_width",
    "Channels of a head, which may be others than the width over the heads.",
)
.unit("channels")
.within(1, 1 << 16)
.follows("model.width over model.heads");
const KV_HEADS: Knob<Whole> = Knob::count(
    "kv_heads",
    "Key and value heads: fewer than query heads is grouped-query attention; they must divide these.",
)
.follows("as many as model.heads, or by shape.queries_per_kv");
const VOCAB: Knob<Whole> = Knob::count(
    "vocab",
    "Rows of the token table; more than the data has tokens are never used.",
)
.within(1, 1 << 24)
.follows("the data's number of tokens");
const CONTEXT: Knob<Whole> = Knob::count(
    "context",
    "Context length: the longest sequence that the model sees.",
)
.unit("tokens")
.within(1, 1 << 22)
.default(64);
const BIAS: Knob<Flag> =
    Knob::flag("bias", "Whether linear layers and LayerNorm have a bias.").default(true);
const EMBEDDING_SCALE: Knob<Number> = Knob::number(
    "embedding_scale",
    "What a token's embedding is multiplied by where the stream begins: the square root of the width in Vaswani et al. 2017 and Gemma.",
)
.within(0.0, 1e6)
.default(1.0);
const INIT_STD: Knob<Number> = Knob::number(
    "init_std",
    "Standard deviation of weight matrices at the start.",
)
.within(0.0, 10.0)
.follows("GPT-2's 0.02 at width 768, times sqrt(768 / width)");
const ZERO_INIT: Knob<Flag> = Knob::flag(
    "zero_init",
    "Whether every matrix that writes to the residual stream starts at 0, so that a block starts as the identity.",
)
.default(false);

/// The sizes: `model.*`
pub const MODEL: Section = Section {
    path: "model",
    knobs: &[
        &WIDTH,
        &LAYERS,
        &HEADS,
        &OWN_HEAD_WIDTH,
        &KV_HEADS,
        &CONTEXT,
        &VOCAB,
        &BIAS,
        &EMBEDDING_SCALE,
        &INIT_STD,
        &ZERO_INIT,
    ],
};

const WIDTH_PER_LAYER: Knob<Whole> = Knob::count(
    "width_per_layer",
    "A layer for every so many channels, where model.layers is not given.",
)
.unit("channels")
.default(64);
const HEAD_WIDTH: Knob<Whole> = Knob::count(
    "head_width",
    "A head for every so many channels, where model.heads is not given.",
)
.unit("channels")
.default(64);
const MIN_LAYERS: Knob<Whole> =
    Knob::count("min_layers", "At least so many layers at small widths.").default(2);
const MIN_HEADS: Knob<Whole> =
    Knob::count("min_heads", "At least so many heads at small widths.").default(2);
const QUERIES_PER_KV: Knob<Whole> = Knob::count(
    "queries_per_kv",
    "Query heads that share a key and value head, or the nearest more that divide, where model.kv_heads is not given.",
)
.default(1);

/// What follows from the width: `shape.*`
pub const SHAPE: Section = Section {
    path: "shape",
    knobs: &[
        &WIDTH_PER_LAYER,
        &HEAD_WIDTH,
        &MIN_LAYERS,
        &MIN_HEADS,
        &QUERIES_PER_KV,
    ],
};

/// The sizes that slots are built from.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Blocks.
    pub layers: usize,
    /// Channels C.
    pub width: usize,
    /// Query heads H.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// D.
    head_width: usize,
    /// Longest window T.
    pub context: usize,
    /// Token ids V.
    pub vocab: usize,
    /// Whether linear layers and LayerNorm have a bias.
    pub bias: bool,
    /// What embeddings are multiplied by where the stream begins (Vaswani et al. 2017, section 3.4).
    pub embedding_scale: f64,
    /// Standard deviation of matrices at the start.
    pub init_std: f64,
    /// Whether matrices that write to the residual stream start at 0 (Goyal et al. 2017, arXiv 1706.02677, section 5.1, of norms;
    /// nanochat's of projections).
    pub zero_init: bool,
    /// How starts, multipliers and rates follow from the base shape's.
    pub scaling: Scaling,
}

impl Shape {
    /// D, channels per head.
    pub fn head_width(&self) -> usize {
        self.head_width
    }

    /// Start of matrices that write into the residual stream: `init_std / sqrt(2 layers)` (GPT-2, section 2.3), of the base's
    /// layers where what they write is scaled down with depth instead; 0 with `zero_init`.
    pub fn residual_std(&self) -> f64 {
        if self.zero_init {
            return 0.0;
        }
        self.init_std / (2.0 * self.scaling.residual_layers as f64).sqrt()
    }

    /// Start of embeddings and head: that of matrices at the base width, the same at every width.
    pub fn table_std(&self) -> f64 {
        self.init_std * self.scaling.width.sqrt()
    }

    /// Reads the longest window alone, which data are made for before there is a model.
    pub fn context(spec: &Spec) -> Result<usize> {
        spec.at(&MODEL).read(&CONTEXT)
    }

    /// Reads the sizes; `default_vocab` is the data's, layers and heads follow the width by the variant's shape rule.
    pub fn settle(spec: &Spec, default_vocab: usize) -> Result<Self> {
        let model = spec.at(&MODEL);
        let width = model.read(&WIDTH)?;
        let rule = Rule::settle(spec)?;
        let layers = model.read_or(&LAYERS, rule.layers(width))?;
        let heads = model.read_or(&HEADS, rule.heads(width))?;
        // Specs of before had no such key.
        let own = model.find(&OWN_HEAD_WIDTH)?;
        if own.is_none() && !width.is_multiple_of(heads) {
            return Err(model
                .refuse(&HEADS, &format!("they do not divide a width of {width}"))
                .hint("heads that divide the width, another model.width, or a model.head_width"));
        }
        let head_width = own.unwrap_or(width / heads);
        let kv_heads = model.read_or(&KV_HEADS, rule.kv_heads(heads))?;
        if !heads.is_multiple_of(kv_heads) {
            return Err(model.refuse(&KV_HEADS, &format!("it does not divide {heads} heads")));
        }
        let vocab = model.read_or(&VOCAB, default_vocab)?;
        if vocab < default_vocab {
            return Err(model.refuse(&VOCAB, &format!("the data have {default_vocab} tokens")));
        }
        Ok(Self {
            layers,
            width,
            heads,
            kv_heads,
            head_width,
            context: Self::context(spec)?,
            vocab,
            bias: model.read(&BIAS)?,
            embedding_scale: model.find(&EMBEDDING_SCALE)?.unwrap_or(1.0),
            init_std: model.read_or(&INIT_STD, gpt2_init_std(width))?,
            // Specs of before had no such key.
            zero_init: model.find(&ZERO_INIT)?.unwrap_or(false),
            scaling: Scaling::settle(spec, width, layers, head_width)?.with_heads(
                heads,
                width,
                |width| rule.heads(width),
            ),
        })
    }
}

/// GPT-2's 0.02 belongs to width 768; other widths get the same spread of activations by 1 / sqrt(width).
fn gpt2_init_std(width: usize) -> f64 {
    let std = 0.02 * (768.0 / width as f64).sqrt();
    (std * 1e6).round() / 1e6
}

/// What follows from the width where a spec does not say it: GPT-2's and LLaMA's proportions, a layer and a head for every 64
/// channels (12 of each at width 768), and at small widths two of each, without which there is no depth and nothing to attend
/// to twice.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rule {
    width_per_layer: usize,
    head_width: usize,
    min_layers: usize,
    min_heads: usize,
    queries_per_kv: usize,
}

impl Rule {
    /// Reads the keys below `shape`.
    fn settle(spec: &Spec) -> Result<Self> {
        let knobs = spec.at(&SHAPE);
        Ok(Self {
            width_per_layer: knobs.read(&WIDTH_PER_LAYER)?,
            head_width: knobs.read(&HEAD_WIDTH)?,
            min_layers: knobs.read(&MIN_LAYERS)?,
            min_heads: knobs.read(&MIN_HEADS)?,
            // Specs of before had no such key.
            queries_per_kv: knobs.find(&QUERIES_PER_KV)?.unwrap_or(1),
        })
    }

    /// The most key heads that divide the query heads and are shared by as many as asked for.
    fn kv_heads(self, heads: usize) -> usize {
        let most = (heads / self.queries_per_kv).max(1);
        (1..=most)
            .rev()
            .find(|kv| heads.is_multiple_of(*kv))
            .unwrap_or(1)
    }

    fn layers(self, width: usize) -> usize {
        let nearest = (width as f64 / self.width_per_layer as f64).round() as usize;
        nearest.max(self.min_layers)
    }

    /// Of the numbers that divide the width the one nearest, as a ratio, to what the rule asks for; before that, one whose heads
    /// are of an even width, since rotary positions turn pairs.
    fn heads(self, width: usize) -> usize {
        let want = (width as f64 / self.head_width as f64).max(self.min_heads as f64);
        let small = (1..)
            .take_while(|k| k * k <= width)
            .filter(|k| width.is_multiple_of(*k));
        let off = |heads: usize| ((width / heads) % 2, (heads as f64 / want).ln().abs());
        let nearer = |a: &usize, b: &usize| {
            let ((a_odd, a_off), (b_odd, b_off)) = (off(*a), off(*b));
            a_odd
                .cmp(&b_odd)
                .then(a_off.total_cmp(&b_off))
                .then(a.cmp(b))
        };
        small
            .flat_map(|k| [k, width / k])
            .min_by(nearer)
            .unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_and_heads_follow_the_width_as_everybody_expects() {
        let rule = Rule {
            width_per_layer: 64,
            head_width: 64,
            min_layers: 2,
            min_heads: 2,
            queries_per_kv: 4,
        };
        let check = |width: usize, layers: usize, heads: usize| {
            assert_eq!(
                (rule.layers(width), rule.heads(width)),
                (layers, heads),
                "w{width}"
            );
        };
        // GPT-2's: small, medium's and large's widths; and small sizes.
        check(768, 12, 12);
        check(1024, 16, 16);
        check(1280, 20, 20);
        check(512, 8, 8);
        check(256, 4, 4);
        check(192, 3, 3);
        check(128, 2, 2);
        check(96, 2, 2);
        check(64, 2, 2);
        check(48, 2, 2);
        check(32, 2, 2);
        check(24, 2, 2);
        check(16, 2, 2);
        check(8, 2, 2);
        // Heads that do not divide: the nearest that do, of an even width where there are such.
        check(160, 3, 2);
        check(100, 2, 2);
        check(224, 4, 4);
        check(34, 2, 1);
        check(33, 2, 3);
        check(2, 2, 1);
        check(1, 2, 1);
        check(97, 2, 1);
        for width in 1..2000usize {
            assert!(width.is_multiple_of(rule.heads(width)), "w{width}");
        }
        // The rule of the first files: 16 channels a head and a layer.
        let old = Rule {
            width_per_layer: 16,
            head_width: 16,
            min_layers: 1,
            min_heads: 1,
            queries_per_kv: 1,
        };
        let shared = [1, 2, 3, 4, 6, 8, 12, 20].map(|heads| rule.kv_heads(heads));
        assert_eq!(shared, [1, 1, 1, 1, 1, 2, 3, 5]);
        assert_eq!(old.kv_heads(7), 7);
        assert_eq!((old.layers(32), old.heads(32), old.layers(768)), (2, 2, 48));
    }
}
