//! The sizes of a model, and the rule by which depth and heads follow the width.

use super::scaling::Scaling;
use crate::config::Knobs;
use crate::error::Result;

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
    /// Longest window T.
    pub context: usize,
    /// Token ids V.
    pub vocab: usize,
    /// Whether linear layers and LayerNorm have a bias.
    pub bias: bool,
    /// Standard deviation of matrices at the start.
    pub init_std: f64,
    /// How starts, multipliers and rates follow from the base shape's.
    pub scaling: Scaling,
}

impl Shape {
    /// D, channels per head.
    pub fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// Start of matrices that write into the residual stream: `init_std / sqrt(2 layers)` (GPT-2, section 2.3), of the base's
    /// layers where what they write is scaled down with depth instead.
    pub fn residual_std(&self) -> f64 {
        self.init_std / (2.0 * self.scaling.residual_layers as f64).sqrt()
    }

    /// Start of embeddings and head: that of matrices at the base width, the same at every width.
    pub fn table_std(&self) -> f64 {
        self.init_std * self.scaling.width.sqrt()
    }

    /// Reads the sizes; `default_vocab` is the data's, layers and heads follow the width by the variant's shape rule.
    pub fn settle(model: &Knobs, rule: &Knobs, default_vocab: usize) -> Result<Self> {
        let width = model.count("width", 64)?;
        let rule = Rule::settle(rule)?;
        let layers = model.count("layers", rule.layers(width))?;
        let heads = model.count("heads", rule.heads(width))?;
        if !width.is_multiple_of(heads) {
            return Err(model
                .refuse("heads", &format!("they do not divide a width of {width}"))
                .hint("heads that divide the width, or another model.width"));
        }
        let kv_heads = model.count("kv_heads", heads)?;
        if !heads.is_multiple_of(kv_heads) {
            return Err(model.refuse("kv_heads", &format!("it does not divide {heads} heads")));
        }
        let vocab = model.count("vocab", default_vocab)?;
        if vocab < default_vocab {
            return Err(model.refuse("vocab", &format!("the data have {default_vocab} tokens")));
        }
        let context = model.count("context", 64)?;
        let limits = [
            ("width", width, 1 << 17),
            ("layers", layers, 1 << 12),
            ("context", context, 1 << 22),
            ("vocab", vocab, 1 << 24),
        ];
        if let Some((name, _, most)) = limits.iter().find(|(_, value, most)| value > most) {
            return Err(model.refuse(name, &format!("expected at most {most}")));
        }
        Ok(Self {
            layers,
            width,
            heads,
            kv_heads,
            context,
            vocab,
            bias: model.bool("bias", true)?,
            init_std: model.f64_in("init_std", gpt2_init_std(width), 0.0, 10.0)?,
            scaling: Scaling::settle(&model.at("scaling"), width, layers, width / heads)?,
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
}

impl Rule {
    /// Reads the knobs below `shape`.
    fn settle(knobs: &Knobs) -> Result<Self> {
        Ok(Self {
            width_per_layer: knobs.count("width_per_layer", 64)?,
            head_width: knobs.count("head_width", 64)?,
            min_layers: knobs.count("min_layers", 2)?,
            min_heads: knobs.count("min_heads", 2)?,
        })
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
        };
        assert_eq!((old.layers(32), old.heads(32), old.layers(768)), (2, 2, 48));
    }
}
