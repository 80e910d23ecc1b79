//! What lies over a variant in one cell, low to high, and the choice of its learning rate.

use serde_json::Value;

use super::library::Library;
use super::rate::{LR, Rate, rate_of};
use super::rate_source::RateSource;
use super::tree::{Origin, Tree};
use super::variant::Variant;
use crate::error::{Error, Result};

/// What a rate is looked up by, beside the data and the batch.
pub(super) const WIDTH: &str = "model.width";
pub(super) const STEPS: &str = "train.steps";

/// The cell whose weights a model starts with.
pub(super) const FROM_CELL: &str = "model.from_cell";

/// The part of the unseen windows that a trial is judged by: a sweep looks at another.
pub const HELD_OUT: &str = "data.held_out";

/// What the command line changes of a suite.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Overrides {
    /// `--variants`: names or paths, instead of the suite's.
    pub variants: Option<Vec<String>>,
    /// `--scales`: widths or the suite's shapes, instead of the suite's.
    pub scales: Option<Vec<String>>,
    /// `--set`, in the order given.
    pub sets: Vec<(String, Value)>,
    /// `--data`: a source's name or a path.
    pub data: Option<String>,
    /// No rate of a sweep: every variant at its own, so that none is tuned better than another.
    pub own_rates: bool,
}

impl Overrides {
    /// Keys that `--set` gives another value than the file of a model that exists, each in a sentence: what is measured then is no longer
    /// that model.
    ///
    /// # Errors
    /// Those of reading the variants.
    pub fn over_models(&self, library: &Library) -> Result<Vec<String>> {
        let mut said = Vec::new();
        for reference in self.variants.iter().flatten() {
            if self.sets.iter().all(|(key, _)| !key.starts_with("model.")) {
                break;
            }
            let variant = library.variant(reference)?;
            if variant.own.get("model.from").is_none() {
                continue;
            }
            let of_model = self
                .sets
                .iter()
                .filter(|(key, _)| key.starts_with("model."));
            for (key, value) in of_model {
                let alike = |own: &Value| {
                    own == value || own.as_f64().is_some_and(|own| value.as_f64() == Some(own))
                };
                let own = variant.own.get(key).filter(|own| !alike(&own.value));
                said.extend(own.map(|own| {
                    format!(
                        "--set {key}={value}: {} has {}, and what is measured is another model than it",
                        variant.name, own.value
                    )
                }));
            }
        }
        Ok(said)
    }
}

/// The command line's layers.
pub(super) struct Upper {
    data: Tree,
    sets: Tree,
    own_rates: bool,
}

impl Upper {
    /// Reads them.
    pub(super) fn of(library: &Library, overrides: &Overrides) -> Result<Self> {
        let data = overrides
            .data
            .as_deref()
            .map_or_else(|| Ok(Tree::default()), |data| library.data(data))?;
        Ok(Self {
            data,
            own_rates: overrides.own_rates,
            ..Self::of_sets(&overrides.sets)
        })
    }

    /// `--set` alone: one layer, in which of two values for a key the later holds.
    pub(super) fn of_sets(sets: &[(String, Value)]) -> Self {
        let mut tree = Tree::default();
        for (key, value) in sets {
            tree.insert(key, value.clone(), Origin::named("--set"));
        }
        Self {
            data: Tree::default(),
            sets: tree,
            own_rates: false,
        }
    }
}

/// The layers over a variant.
pub(super) struct Layers<'a> {
    /// The suite's name, for the record.
    pub(super) suite: &'a str,
    /// Low to high.
    pub(super) files: &'a [&'a Tree],
    /// The sweep's rate.
    pub(super) grid: Option<f64>,
    /// Over all of them.
    pub(super) upper: &'a Upper,
}

impl Layers<'_> {
    /// The whole tree and its learning rate. The rate is chosen last, for it depends on the data, width
    /// and steps that end up there; it never replaces one from `--set`.
    pub(super) fn lay(&self, variant: &Variant) -> (Tree, Rate) {
        let mut tree = variant.tree.clone();
        self.files.iter().for_each(|layer| tree.overlay(layer));
        let mut plain = tree.clone();
        plain.overlay(&self.upper.data);
        tree.overlay(&self.upper.data);
        tree.overlay(&self.upper.sets);
        without_tokenizer_of_no_text(&mut tree);

        let in_files = self.files.iter().any(|layer| layer.get(LR).is_some());
        let mut rate = if self.upper.sets.get(LR).is_some() {
            Rate::given(RateSource::Set)
        } else if let Some(lr) = self.grid {
            tree.set(LR, lr.into(), Origin::named("grid"));
            Rate::given(RateSource::Grid)
        } else if in_files && tree.get(LR).is_some() {
            Rate::given(RateSource::Suite {
                suite: self.suite.to_owned(),
            })
        } else if self.upper.own_rates
            || tree.get(FROM_CELL).is_some()
            || !same(&variant.tree, &tree, "train.optimizer.kind")
        {
            // A sweep of models that are trained from nothing says nothing of one that goes on.
            rate_of(&variant.name, &[], &[], &tree, true)
        } else {
            let altered = self.altered(variant, &plain, &tree);
            rate_of(
                &variant.name,
                &variant.tuned,
                &variant.surfaces,
                &tree,
                altered,
            )
        };
        // What is only measured wants no rate.
        if tree.get(STEPS).and_then(|entry| entry.value.as_u64()) == Some(0) {
            rate.refusal = None;
        }
        if let Some(lr) = rate.lr {
            tree.set(LR, lr.into(), rate.origin.clone());
        }
        if self.grid.is_some() && self.upper.sets.get(HELD_OUT).is_none() {
            tree.set(HELD_OUT, "validation".into(), Origin::named("grid"));
        }
        (tree, rate)
    }

    /// Whether `--set` or a suite changed what a rate is tuned for, beyond the width and steps that rows are looked up by.
    fn altered(&self, variant: &Variant, plain: &Tree, tree: &Tree) -> bool {
        let tuned_for = |key: &str| {
            ["model.", "train.", "data.", "shape."]
                .iter()
                .any(|table| key.starts_with(table))
        };
        let mut keys = self.upper.sets.iter().map(|(key, _)| key);
        let by_sets = keys.any(|key| {
            tuned_for(key)
                && ![WIDTH, STEPS, "data.tokenizer", HELD_OUT].contains(&key)
                && !same(plain, tree, key)
        });
        let looked_up = [
            WIDTH,
            STEPS,
            "model.context",
            "train.batch",
            "data.kind",
            "data.preset",
            // Another grammar of the same kind is learnt at the same rates.
            "data.grammar_seed",
            "data.changed",
            "data.changed_seed",
            // A rate of scarce data is that of data without end, for as many steps.
            "data.unique_tokens",
            "data.tokenizer",
            HELD_OUT,
            LR,
        ];
        let mut in_files = self
            .files
            .iter()
            .flat_map(|layer| layer.iter().map(|(key, _)| key));
        let by_files = in_files.any(|key| {
            tuned_for(key) && !looked_up.contains(&key) && !same(&variant.tree, tree, key)
        });
        by_sets || by_files
    }

    /// The first key of the variant's own difference from its base that a suite's layer sets to something else: the cell
    /// would carry the variant's name without being it. Its learning rate is no part of what a variant is.
    fn undone<'v>(&self, variant: &'v Variant) -> Option<(&'v str, &Tree)> {
        variant.base.as_ref()?;
        variant
            .own
            .iter()
            .filter(|(key, _)| *key != LR)
            .find_map(|(key, own)| {
                let layer = self
                    .files
                    .iter()
                    .rev()
                    .find(|layer| layer.get(key).is_some())?;
                (layer.get(key).map(|entry| &entry.value) != Some(&own.value))
                    .then_some((key, *layer))
            })
    }

    /// Refuses a suite that undoes what a variant changes.
    pub(super) fn refuse_undone(&self, variant: &Variant) -> Result<()> {
        let Some((key, layer)) = self.undone(variant) else {
            return Ok(());
        };
        let (own, upper) = (variant.own.get(key), layer.get(key));
        let (Some(own), Some(upper)) = (own, upper) else {
            return Ok(());
        };
        let message = format!(
            "{}: {key} = {} undoes what variant `{}` changes ({}: {key} = {})",
            upper.origin, upper.value, variant.name, own.origin, own.value
        );
        let hint = format!(
            "a suite without {key}, or `--set {key}={}` for every cell",
            own.value
        );
        Err(Error::input(message).hint(hint))
    }
}

/// A checkpoint brings its tokenizer along; where the data is no text there is nothing to cut.
fn without_tokenizer_of_no_text(tree: &mut Tree) {
    let kind = tree.get("data.kind").and_then(|entry| entry.value.as_str());
    let is_text = kind == Some("text");
    let origin = |key| tree.get(key).map(|entry| &entry.origin);
    let brought = |key| origin(key).is_some() && origin(key) == origin("model.from");
    let (tokenizer, first) = (brought(TOKENIZER), brought(BOS));
    // What its windows begin with is a token of its own tokenizer.
    if first && !(is_text && tokenizer) {
        tree.remove(BOS);
    }
    if tokenizer && !is_text {
        tree.remove(TOKENIZER);
    }
}

const TOKENIZER: &str = "data.tokenizer";
const BOS: &str = "data.bos";

fn same(a: &Tree, b: &Tree, key: &str) -> bool {
    a.get(key).map(|entry| &entry.value) == b.get(key).map(|entry| &entry.value)
}
