//! What fills the slots of each layer: the same in all, or by a pattern, or as one layer says.
//!
//! `model.pattern = ["sliding", "attention"]` goes through the layers again and again. A word is a mixer's name, or that of a
//! table of the spec's own, `[model.layer.WORD]`, which says what differs from `[model]` below `mixer`, `ffn`, `norm` and
//! `linear`. A table of a mixer's name says more of that mixer: `model.layer.sliding.mixer.window = 16`. What one layer alone has
//! stands below its number, from 0: `model.layer.0.ffn.kind = "relu"`.

use std::sync::Arc;

use serde_json::json;

use super::build::Chosen;
use super::ffn::FfnKind;
use super::linear::LinearKind;
use super::mixer::MixerKind;
use super::norm::NormKind;
use super::shape::Shape;
use super::site::Site;
use crate::config::knob::{List, Text};
use crate::config::{Catalog, Knob, Named, Section, Spec};
use crate::error::Result;

/// What fills the slots of one layer.
pub(super) struct Filling<'a> {
    pub(super) mixer: Chosen<'a, dyn MixerKind>,
    pub(super) ffn: Chosen<'a, dyn FfnKind>,
    pub(super) norm: Chosen<'a, dyn NormKind>,
    pub(super) linear: Chosen<'a, dyn LinearKind>,
}

/// The catalogs that layers are filled from.
pub(super) struct Kinds<'k> {
    pub(super) mixers: &'k Catalog<dyn MixerKind>,
    pub(super) ffns: &'k Catalog<dyn FfnKind>,
    pub(super) norms: &'k Catalog<dyn NormKind>,
    pub(super) linears: &'k Catalog<dyn LinearKind>,
}

const PATTERN: Knob<List<Text>> = Knob::text(
    "pattern",
    "What the layers are, again and again: mixers by name, or tables of model.layer that say what differs.",
)
.list()
.optional();

/// `model.pattern`
pub(super) const LAYERS: Section = Section {
    path: "model",
    knobs: &[&PATTERN],
};

/// Where tables stand that say what differs in a layer.
const TABLES: &str = "model.layer";

/// The words that the layers are called by; none where all are alike.
pub(super) struct Pattern(Vec<String>);

impl Pattern {
    /// Reads `model.pattern`, silent where there is none; `a,b` is one too, as a command line has it.
    pub(super) fn settle(
        spec: &Spec,
        mixers: &Catalog<dyn MixerKind>,
        layers: usize,
    ) -> Result<Self> {
        let model = spec.at(&LAYERS);
        let Some(words) = model.find(&PATTERN)? else {
            return Ok(Self(Vec::new()));
        };
        let words = words.iter().flat_map(|word| word.split(','));
        let words: Vec<String> = words.map(|word| word.trim().to_owned()).collect();
        if words.len() > layers {
            let why = format!(
                "{} words, of which {layers} layers take the first",
                words.len()
            );
            return Err(model
                .refuse(&PATTERN, &why)
                .hint("a larger model.layers, or a shorter pattern"));
        }
        for word in &words {
            let is_mixer = mixers.find(word).is_some();
            let has_table = spec.has_any(&format!("{TABLES}.{word}"));
            if word.parse::<usize>().is_ok() || !(is_mixer || has_table) {
                let why = format!("`{word}` is no mixer, and there is no [{TABLES}.{word}]");
                let known = mixers.iter().map(|kind| kind.name());
                return Err(model.refuse(&PATTERN, &why).suggest(word, known));
            }
        }
        model.write(&PATTERN, json!(words));
        Ok(Self(words))
    }

    /// The word of a layer.
    fn word(&self, layer: usize) -> Option<&str> {
        let words = &self.0;
        (!words.is_empty()).then(|| words[layer % words.len()].as_str())
    }
}

impl<'a> Filling<'a> {
    /// What the spec says of a layer; `None` is what stands outside the blocks.
    pub(super) fn of(
        spec: &Spec<'a>,
        kinds: &Kinds,
        pattern: &Pattern,
        layer: Option<usize>,
        shape: &'a Shape,
    ) -> Result<Self> {
        let word = layer.and_then(|layer| pattern.word(layer));
        let place = Place {
            spec,
            layer,
            word,
            shape,
        };
        let mixer = word.and_then(|word| kinds.mixers.find(word)).cloned();
        Ok(Self {
            mixer: place.pick("mixer", kinds.mixers, mixer, false)?,
            ffn: place.pick("ffn", kinds.ffns, None, false)?,
            norm: place.pick("norm", kinds.norms, None, false)?,
            // Specs of before had no such slot.
            linear: place.pick("linear", kinds.linears, None, true)?,
        })
    }
}

impl Filling<'_> {
    /// Whether what is no part of a product with weights stays as it starts; `given` says that the model starts with a file's numbers.
    pub(super) fn rest_stays(&self, given: bool) -> Result<bool> {
        let Chosen { kind, site } = &self.linear;
        Ok(!kind.trains_rest(site, given)?)
    }
}

/// A layer, or what is none, before its slots are filled.
struct Place<'a, 'k> {
    spec: &'k Spec<'a>,
    layer: Option<usize>,
    word: Option<&'k str>,
    shape: &'a Shape,
}

impl<'a> Place<'a, '_> {
    /// The kind that the nearest table says; `of_word` is what the pattern's word means where its table says nothing else.
    fn pick<K: Named + ?Sized>(
        &self,
        slot: &str,
        catalog: &Catalog<K>,
        of_word: Option<Arc<K>>,
        silent: bool,
    ) -> Result<Chosen<'a, K>> {
        let table = |name: &str| format!("{TABLES}.{name}.{slot}");
        let word = self.word.map(|word| (table(word), of_word));
        let number = self.layer.map(|layer| (table(&layer.to_string()), None));
        let tables = word.into_iter().chain(number).collect();
        let (kind, knobs) = catalog.pick_near(self.spec, tables, silent)?;
        Ok(Chosen {
            kind,
            site: Site {
                layer: self.layer,
                shape: self.shape,
                knobs,
            },
        })
    }
}
