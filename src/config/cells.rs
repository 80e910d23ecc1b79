//! From a suite and the command line to named cells, each a raw spec.
//!
//! Layers, low to high: the variant with its bases, the suite's `[set]`, the shape or scale, the steps, the row's `set`,
//! the tuned learning rate, `--data`, `--set`. A cell is named by what ends up in it, so that no name lies:
//! `--set train.steps=100` turns `gpt2/w32@400` and `gpt2/w32@800` into one cell, `gpt2/w32@100`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::grid::{Slot, after_their_parents, bad_scale};
use super::holds::whole;
use super::layers::{FROM_CELL, HELD_OUT, Layers, Overrides, STEPS, Upper, WIDTH};
use super::library::Library;
use super::names::{staged, width_of};
use super::rate::{LR, Rate};
use super::rate_source::RateSource;
use super::suite::{Suite, SweptAt};
use super::tree::{BUDGETS, Origin, Tree};
use super::variant::Variant;
use crate::error::{Error, Result};

/// Variant x scale x data x budget: what is repeated.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// `gpt2/w32@800`.
    pub name: String,
    /// `gpt2`.
    pub variant: String,
    /// `w32`, or a shape's name.
    pub scale: String,
    /// Training steps, where the name carries them.
    pub budget: Option<u64>,
    /// The cell whose trained weights it begins with.
    pub parent: Option<String>,
    /// The cell that it learns from.
    pub teacher: Option<String>,
    /// Everything asked for, raw.
    pub tree: Tree,
    /// Where the learning rate comes from.
    pub lr_source: RateSource,
    /// What each of three standard normal numbers adds to ln lr in a repeat; nothing where all have the same rate.
    pub loadings: [f64; 3],
    /// Why its rate is not to be used unless that is asked for by name.
    pub refusal: Option<Error>,
    /// The rates to choose from before it is judged; empty where its rate stands.
    pub rates: Vec<f64>,
}

impl Cell {
    /// This cell in the sweep that chooses its rate: `gpt2/w32@400~0.016`.
    pub fn swept_at(&self, lr: f64) -> Self {
        let mut cell = self.with_rate(lr, RateSource::Grid, [0.0; 3]);
        cell.name.push_str(&format!("~{lr}"));
        cell.tree
            .set(HELD_OUT, "validation".into(), Origin::named("the sweep"));
        cell
    }

    /// This cell with the learning rate that was chosen for it, and where it comes from.
    pub fn with_rate(&self, lr: f64, lr_source: RateSource, loadings: [f64; 3]) -> Self {
        let mut cell = Self {
            rates: Vec::new(),
            lr_source,
            loadings,
            refusal: None,
            ..self.clone()
        };
        cell.tree.set(LR, lr.into(), Origin::named("the sweep"));
        cell
    }
}

impl Cell {
    /// Everything about it but its width, its length and its rate: cells that are alike in this share one surface of rates.
    pub fn arm(&self) -> String {
        let of_place = |key: &str| key == WIDTH || key == LR || BUDGETS.contains(&key);
        let keys = self.tree.iter().filter(|(key, _)| !of_place(key));
        let keys: Vec<String> = keys
            .map(|(key, entry)| format!("{key}={}", entry.value))
            .collect();
        format!("{} {}", self.variant, keys.join(" "))
    }

    /// This cell at another width and number of steps: a place of a sweep.
    pub fn moved(&self, place: &SweptAt) -> Self {
        let SweptAt { scale, steps } = place;
        let name = format!("{}/{scale}@{steps}", self.variant);
        let mut cell = Self {
            name,
            scale: scale.clone(),
            budget: Some(*steps),
            ..self.clone()
        };
        let origin = Origin::named("the sweep");
        cell.tree.set(WIDTH, width_of(scale).into(), origin.clone());
        cell.tree.set(STEPS, (*steps).into(), origin);
        cell
    }
}

/// A slot among the others.
struct Place<'a> {
    slot: &'a Slot<'a>,
    /// The name of the cell that it begins with, and of the one that it learns from.
    parent: Option<String>,
    teacher: Option<String>,
    /// Whether others need it.
    is_lent: bool,
}

impl Place<'_> {
    /// The keys that say what a cell begins with, and what it learns from.
    fn start(&self) -> Tree {
        let mut tree = Tree::default();
        for (key, cell) in [(FROM_CELL, &self.parent), (TEACHER_CELL, &self.teacher)] {
            if let Some(cell) = cell {
                tree.set(key, cell.as_str().into(), self.slot.group.origin.clone());
            }
        }
        tree
    }
}

/// The cell whose weights a teacher has.
const TEACHER_CELL: &str = "teacher.model.from_cell";

impl Suite {
    /// The cells to run, in the suite's order, each name once.
    pub fn cells(&self, library: &Library, overrides: &Overrides) -> Result<Vec<Cell>> {
        if self.tune.is_some() && overrides.sets.iter().any(|(key, _)| key == HELD_OUT) {
            let message = format!(
                "--set {HELD_OUT}: suite {} looks at one part to choose rates and judges by the other",
                self.name
            );
            return Err(Error::input(message).hint("a suite without `tune` has only one"));
        }
        let slots = self.chosen(overrides)?;
        let needs = |slot: &Slot| [slot.begins_with(), slot.learns_from()];
        self.refuse_other_shapes(&slots, overrides)?;
        let lent: BTreeSet<String> = slots.iter().flat_map(needs).flatten().collect();
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        let upper = Upper::of(library, overrides)?;
        let mut variants: BTreeMap<String, Variant> = BTreeMap::new();
        let mut cells: Vec<Cell> = Vec::new();
        for slot in slots {
            if !variants.contains_key(&slot.variant) {
                let variant = self.variant_of(library, &slot, overrides)?;
                if variants.values().any(|known| known.name == variant.name) {
                    let message = format!(
                        "two variants are named `{}`, one of them {}",
                        variant.name, slot.variant
                    );
                    return Err(
                        Error::input(message).hint("a variant is named by its file: rename one")
                    );
                }
                variants.insert(slot.variant.clone(), variant);
            }
            let named = |label: Option<String>| names.get(&label?).cloned();
            let place = Place {
                slot: &slot,
                parent: named(slot.begins_with()),
                teacher: named(slot.learns_from()),
                is_lent: lent.contains(&slot.label()),
            };
            let cell = self.cell(&place, &variants[&slot.variant], &upper)?;
            names.insert(slot.label(), cell.name.clone());
            match cells.iter().find(|known| known.name == cell.name) {
                None => cells.push(cell),
                Some(known) if known.tree.same_values(&cell.tree) => {}
                Some(_) => {
                    let message = format!(
                        "{}: another cell is named `{}` too",
                        slot.group.origin, cell.name
                    );
                    return Err(Error::input(message)
                        .hint("cells that differ in `set` alone need a suite of their own"));
                }
            }
        }
        if self.tune.as_ref().is_some_and(|tune| tune.missing) {
            sweep_only_the_missing(&mut cells);
        }
        if cells.is_empty() {
            return Err(
                Error::input(format!("suite `{}` has no cell left to run", self.name))
                    .hint("--variants and --scales need at least one entry each"),
            );
        }
        Ok(cells)
    }

    /// Refuses `--set` of what a shape sets to something else: cells are named by their shapes.
    fn refuse_other_shapes(&self, slots: &[Slot], overrides: &Overrides) -> Result<()> {
        let shapes: BTreeSet<&str> = slots.iter().map(|slot| slot.scale.as_str()).collect();
        for shape in shapes {
            for (key, value) in &overrides.sets {
                let own = self.shape(shape).and_then(|tree| tree.get(key));
                if let Some(own) = own.filter(|own| own.value != *value) {
                    let message = format!(
                        "--set {key}={value}: shape `{shape}` of suite {} has {key} = {}, and its cells are named by it",
                        self.name, own.value
                    );
                    let others = self
                        .shapes
                        .iter()
                        .filter(|(_, tree)| tree.get(key).is_none());
                    let others: Vec<&str> = others.map(|(name, _)| name.as_str()).collect();
                    let hint = match others.is_empty() {
                        true => "a suite of your own with other shapes".to_owned(),
                        false => format!(
                            "--scales {}, or a suite of your own with other shapes",
                            others.join(",")
                        ),
                    };
                    return Err(Error::input(message).hint(hint));
                }
            }
        }
        Ok(())
    }

    /// The slots that the command line leaves, each after what it begins with.
    fn chosen(&self, overrides: &Overrides) -> Result<Vec<Slot<'_>>> {
        let (mut all, mut chosen) = (self.slots(), self.slots());
        if let Some(listed) = &overrides.variants {
            chosen = self.with_variants(&chosen, listed);
        }
        if let Some(listed) = &overrides.scales {
            // What others begin with may stand at a scale that nobody listed.
            let elsewhere = all.clone();
            (all, chosen) = (
                self.with_scales(&all, listed)?,
                self.with_scales(&chosen, listed)?,
            );
            all.extend(elsewhere);
        }
        after_their_parents(chosen, &all)
    }

    fn variant_of(&self, library: &Library, slot: &Slot, overrides: &Overrides) -> Result<Variant> {
        let at = match &overrides.variants {
            Some(_) => Origin::named("--variants"),
            None => slot.group.origin.clone(),
        };
        library
            .variant(&slot.variant)
            .map_err(|error| at.blame(error))
    }

    fn cell(&self, place: &Place, variant: &Variant, upper: &Upper) -> Result<Cell> {
        let slot = place.slot;
        let mut dial = Tree::default();
        match width_of(&slot.scale) {
            Some(width) => dial.set("model.width", width.into(), slot.group.origin.clone()),
            None => dial = self.shape(&slot.scale).cloned().unwrap_or_default(),
        }
        let mut length = Tree::default();
        if let Some(steps) = slot.steps {
            length.set("train.steps", steps.into(), slot.group.origin.clone());
        }
        let layers = Layers {
            suite: &self.name,
            files: &[&self.set, &dial, &length, &place.start(), &slot.group.set],
            grid: slot.lr,
            upper,
        };
        layers.refuse_undone(variant)?;
        let (
            tree,
            Rate {
                source: lr_source,
                loadings,
                refusal,
                ..
            },
        ) = layers.lay(variant);

        let final_count = |key| tree.get(key).and_then(|entry| whole(&entry.value));
        let width = width_of(&slot.scale).and_then(|_| final_count("model.width"));
        let scale = width.map_or_else(|| slot.scale.clone(), |width| format!("w{width}"));
        let budget = slot
            .steps
            .filter(|_| self.names_budgets())
            .and_then(|_| final_count("train.steps"));
        let named = staged(&variant.name, slot.group.stage.as_deref());
        let mut name = format!("{named}/{scale}");
        if let Some(budget) = budget {
            name.push_str(&format!("@{budget}"));
        }
        if let Some(lr) = slot.lr.filter(|_| lr_source.is_sweep()) {
            name.push_str(&format!("~{lr}"));
        }
        let chosen_here = !matches!(lr_source, RateSource::Grid | RateSource::Set);
        // What others begin with is trained before their sweeps, and so before any of its own could be read.
        let is_swept = chosen_here && !place.is_lent;
        let rates = match self.tune.as_ref().filter(|_| is_swept) {
            Some(tune) => tune.tried.rates(variant)?,
            None => Vec::new(),
        };
        let missing = self.tune.as_ref().is_some_and(|tune| tune.missing);
        let refusal = refusal.filter(|_| rates.is_empty() || missing);
        let refusal = refusal.map(|why| Error {
            message: format!("{name}: {}", why.message),
            ..why
        });
        Ok(Cell {
            name,
            variant: named,
            scale,
            budget,
            parent: place.parent.clone(),
            teacher: place.teacher.clone(),
            tree,
            lr_source,
            loadings,
            refusal,
            rates,
        })
    }
}

/// Leaves the shipped rates to the arms whose every cell has one, and sweeps the others whole.
fn sweep_only_the_missing(cells: &mut [Cell]) {
    let missing: Vec<String> = cells
        .iter()
        .filter(|cell| cell.refusal.is_some())
        .map(Cell::arm)
        .collect();
    for cell in cells.iter_mut() {
        if !missing.contains(&cell.arm()) {
            cell.rates.clear();
        } else if !cell.rates.is_empty() {
            cell.refusal = None;
        }
    }
}

impl Variant {
    /// The variant alone, outside any suite: at a scale, with the command line's settings over it.
    pub fn cell(&self, scale: Option<&str>, sets: &[(String, Value)]) -> Result<Cell> {
        let mut dial = Tree::default();
        if let Some(scale) = scale {
            let width = width_of(scale).ok_or_else(|| bad_scale(scale, []))?;
            dial.set("model.width", width.into(), Origin::named("--scale"));
        }
        let upper = Upper::of_sets(sets);
        let layers = Layers {
            suite: "",
            files: &[&dial],
            grid: None,
            upper: &upper,
        };
        let (
            tree,
            Rate {
                source: lr_source,
                loadings,
                refusal,
                ..
            },
        ) = layers.lay(self);
        let width = tree
            .get("model.width")
            .and_then(|entry| whole(&entry.value));
        let scale = width.map(|width| format!("w{width}")).unwrap_or_default();
        let name = if scale.is_empty() {
            self.name.clone()
        } else {
            format!("{}/{scale}", self.name)
        };
        Ok(Cell {
            name,
            variant: self.name.clone(),
            scale,
            budget: None,
            parent: None,
            teacher: None,
            tree,
            lr_source,
            loadings,
            refusal,
            rates: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests;
