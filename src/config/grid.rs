//! The places of a suite's grid before any layer is laid on them, and which of them begin with what others have learnt.

use super::names::{of_stage, staged, width_of};
use super::suite::{Group, Suite};
use crate::error::{Error, Result};

/// A cell before its layers are laid.
#[derive(Clone)]
pub(super) struct Slot<'a> {
    pub(super) variant: String,
    pub(super) scale: String,
    pub(super) steps: Option<u64>,
    pub(super) lr: Option<f64>,
    pub(super) group: &'a Group,
}

impl Slot<'_> {
    /// The variant's name with the stage.
    pub(super) fn staged(&self) -> String {
        staged(&self.variant, self.group.stage.as_deref())
    }

    /// What a row calls it that begins with it: `gpt2:first/w32@400`.
    pub(super) fn label(&self) -> String {
        let steps = self.steps.map(|steps| format!("@{steps}"));
        format!(
            "{}/{}{}",
            self.staged(),
            self.scale,
            steps.unwrap_or_default()
        )
    }

    /// The label of what it begins with.
    pub(super) fn begins_with(&self) -> Option<String> {
        self.group.from.as_ref().map(|from| self.meant(from))
    }

    /// The label of what it learns from.
    pub(super) fn learns_from(&self) -> Option<String> {
        self.group.teacher.as_ref().map(|from| self.meant(from))
    }

    fn needs(&self) -> impl Iterator<Item = (&'static str, String)> {
        let both = [
            ("from", self.begins_with()),
            ("teacher", self.learns_from()),
        ];
        both.into_iter()
            .filter_map(|(field, label)| Some((field, label?)))
    }

    /// A label from a row's words for it, which need not say the scale.
    fn meant(&self, words: &str) -> String {
        match (words.contains('/'), words.split_once('@')) {
            (true, _) => words.to_owned(),
            (false, Some((variant, steps))) => format!("{variant}/{}@{steps}", self.scale),
            (false, None) => format!("{words}/{}", self.scale),
        }
    }

    fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.group, other.group)
            && self.lr == other.lr
            && self.label() == other.label()
    }
}

/// The chosen slots, and before each those that it needs, wherever they stand among `all`.
pub(super) fn after_their_parents<'a>(
    chosen: Vec<Slot<'a>>,
    all: &[Slot<'a>],
) -> Result<Vec<Slot<'a>>> {
    if all.iter().all(|slot| slot.needs().next().is_none()) {
        return Ok(chosen);
    }
    let mut ordered = Vec::with_capacity(chosen.len());
    for slot in &chosen {
        put(slot, all, &mut Vec::new(), &mut ordered)?;
    }
    Ok(ordered)
}

/// Puts a slot behind what it needs; `below` are those that wait for it.
fn put<'a>(
    slot: &Slot<'a>,
    all: &[Slot<'a>],
    below: &mut Vec<String>,
    ordered: &mut Vec<Slot<'a>>,
) -> Result<()> {
    if ordered.iter().any(|other| other.is(slot)) {
        return Ok(());
    }
    for (field, asked) in slot.needs() {
        let refuse = |why: &str| {
            let origin = &slot.group.origin;
            Error::input(format!("{origin}: {field} = \"{asked}\": {why}"))
        };
        below.push(slot.label());
        let Some(parent) = all.iter().find(|other| other.label() == asked) else {
            let known: Vec<String> = all.iter().map(Slot::label).collect();
            let error = refuse("the suite has no such cell");
            return Err(error.suggest(&asked, known.iter().map(String::as_str)));
        };
        if below.contains(&asked) {
            return Err(refuse("a cell would need itself"));
        }
        put(parent, all, below, ordered)?;
        below.pop();
    }
    ordered.push(slot.clone());
    Ok(())
}

impl Suite {
    /// Every combination of each row's lists, in the file's order.
    pub(super) fn slots(&self) -> Vec<Slot<'_>> {
        fn each<T: Copy>(list: &[T]) -> Vec<Option<T>> {
            if list.is_empty() {
                vec![None]
            } else {
                list.iter().copied().map(Some).collect()
            }
        }
        let mut slots = Vec::new();
        for group in &self.groups {
            for (variant, scale) in group
                .variants
                .iter()
                .flat_map(|v| group.scales.iter().map(move |s| (v, s)))
            {
                for (steps, lr) in each(&group.steps)
                    .iter()
                    .flat_map(|s| each(&group.lr).into_iter().map(|lr| (*s, lr)))
                {
                    slots.push(Slot {
                        variant: variant.clone(),
                        scale: scale.clone(),
                        steps,
                        lr,
                        group,
                    });
                }
            }
        }
        slots
    }

    /// The listed variants' own slots; one that the suite does not have gets the base's, or where it names a stage
    /// (`gpt2:tuned+lora`) those of the first variant of that stage.
    pub(super) fn with_variants<'a>(&self, slots: &[Slot<'a>], listed: &[String]) -> Vec<Slot<'a>> {
        let first = slots.first().map(Slot::staged);
        let base = self.base.clone().or(first);
        let own = |variant: &String| -> Vec<Slot<'a>> {
            slots
                .iter()
                .filter(|slot| slot.variant == *variant || slot.staged() == *variant)
                .cloned()
                .collect()
        };
        let lent = |variant: &String| -> Vec<Slot<'a>> {
            let (variant, stage) = of_stage(variant);
            let of = |slot: &&Slot| match &stage {
                Some(stage) => slot.group.stage.as_ref() == Some(stage),
                None => Some(slot.staged()) == base,
            };
            let model = slots.iter().find(of).map(|slot| slot.variant.clone());
            let same = |slot: &&Slot| of(slot) && Some(&slot.variant) == model.as_ref();
            slots
                .iter()
                .filter(same)
                .map(|slot| Slot {
                    variant: variant.clone(),
                    ..slot.clone()
                })
                .collect()
        };
        listed
            .iter()
            .flat_map(|variant| {
                Some(own(variant))
                    .filter(|s| !s.is_empty())
                    .unwrap_or_else(|| lent(variant))
            })
            .collect()
    }

    /// The slots at the listed scales; a scale that the suite does not have gets what each variant has at the headline's
    /// scale, or at the variant's first where it has none there.
    pub(super) fn with_scales<'a>(
        &self,
        slots: &[Slot<'a>],
        listed: &[String],
    ) -> Result<Vec<Slot<'a>>> {
        let mut chosen = Vec::new();
        for scale in listed {
            if width_of(scale).is_none() && self.shape(scale).is_none() {
                return Err(bad_scale(
                    scale,
                    self.shapes.iter().map(|(name, _)| name.as_str()),
                ));
            }
            if slots.iter().any(|slot| slot.scale == *scale) {
                chosen.extend(slots.iter().filter(|slot| slot.scale == *scale).cloned());
                continue;
            }
            for slot in slots {
                let of_variant = || slots.iter().filter(|other| other.variant == slot.variant);
                let headline = self.headline.as_ref().map(|headline| &headline.scale);
                let model = of_variant()
                    .find(|s| Some(&s.scale) == headline)
                    .or_else(|| of_variant().next());
                if model.is_some_and(|model| model.scale == slot.scale) {
                    chosen.push(Slot {
                        scale: scale.clone(),
                        ..slot.clone()
                    });
                }
            }
        }
        Ok(chosen)
    }
}

/// The refusal of what is no scale.
pub(super) fn bad_scale<'a>(scale: &str, shapes: impl IntoIterator<Item = &'a str>) -> Error {
    let shapes: Vec<&str> = shapes.into_iter().collect();
    let error = Error::input(format!("`{scale}` is no scale"));
    if shapes.is_empty() {
        error.hint("a scale is the model's width: w64")
    } else {
        error.hint(format!(
            "a scale is the model's width (w64) or a shape of the suite: {}",
            shapes.join(", ")
        ))
    }
}
