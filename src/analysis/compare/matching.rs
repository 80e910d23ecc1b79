//! Which trials stand against which: cells by name where their settled specs agree, arms by choice, sessions and machines by what the
//! files say.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::import::IMPORTED;
use crate::record::identity::{self, Known, facts, in_words, run_of, same_cell, unlike};
use crate::record::{Build, Machine, ResultFile, Trial};

/// A trial with the file that it is in.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// What was found.
    pub trial: &'a Trial,
    /// Where.
    pub file: &'a ResultFile,
}

impl<'a> Seen<'a> {
    /// Its machine; files are validated before.
    pub fn machine(&self) -> &'a Machine {
        &self.file.machines[self.trial.machine as usize]
    }

    /// Its build.
    pub fn build(&self) -> &'a Build {
        &self.file.builds[self.trial.build as usize]
    }

    /// The run that it belongs to, on one box: what drifts, drifts between these.
    pub fn session(&self) -> (&'a str, &'a str) {
        (run_of(self.trial, self.file), &self.machine().strict_id)
    }

    /// What it was trained and judged on: a loss on other data, or with another context, is another thing. A text is known by
    /// its hash, wherever it lies.
    pub fn stratum(&self) -> String {
        let mut data = self.trial.asked().data().cloned().unwrap_or_default();
        if let Some(map) = data
            .as_object_mut()
            .filter(|map| map.contains_key("blake3"))
        {
            map.remove("path");
        }
        data.sort_all_objects();
        let context = self.trial.asked().context();
        // Nats a byte and nats a token are no nats of each other.
        let each = if self.trial.is_per_byte() {
            " per byte"
        } else {
            ""
        };
        format!("{data} {}{each}", context.unwrap_or_default())
    }

    /// Whether a figure of it counts: measured, and not declared invalid.
    pub fn counts(&self) -> bool {
        self.trial.status == crate::record::Status::Ok && self.trial.validity.ok
    }
}

/// One side: the trials of one arm that judge anything, in the files' order.
#[derive(Debug, Clone)]
pub struct Side<'a> {
    /// For prose: the file's name, or the arm's.
    pub name: String,
    /// A trial that stands in several files of a side does so once.
    pub trials: Vec<Seen<'a>>,
    /// The variant that was asked for, where one was: cells are matched without it.
    pub variant: Option<String>,
}

impl<'a> Side<'a> {
    /// All trials of the files, or those whose arm, or whose variant, is the one named.
    pub fn new(name: &str, files: &'a [(String, ResultFile)], arm: Option<&str>) -> Self {
        let all = || {
            files
                .iter()
                .flat_map(|(_, file)| file.trials.iter().map(move |trial| Seen { trial, file }))
        };
        let is_arm = |seen: &Seen| Some(seen.trial.arm.as_str()) == arm;
        let by_arm = arm.is_some() && all().any(|seen| is_arm(&seen));
        let variant = arm.filter(|_| !by_arm).map(str::to_owned);
        let wanted = |seen: &Seen| match arm {
            None => true,
            Some(name) if by_arm => seen.trial.arm == name,
            Some(name) => seen.trial.variant == name,
        };
        let mut known = Known::default();
        let trials = all()
            .filter(|seen| !seen.trial.in_sweep() && wanted(seen))
            .filter(|seen| known.insert(seen.trial, seen.file))
            .collect();
        Self {
            name: name.to_owned(),
            trials,
            variant,
        }
    }

    /// The labels of builds that ran the same cells side by side, in the order run; none where arms are cells.
    pub fn arms(&self) -> Vec<&'a str> {
        let mut arms: Vec<&str> = Vec::new();
        for seen in self
            .trials
            .iter()
            .filter(|seen| seen.trial.arm != seen.trial.cell)
        {
            if !arms.contains(&seen.trial.arm.as_str()) {
                arms.push(&seen.trial.arm);
            }
        }
        arms
    }

    /// A cell's name, without the variant where that was chosen.
    fn key<'b>(&self, cell: &'b str) -> &'b str {
        let rest = self
            .variant
            .as_deref()
            .and_then(|variant| cell.strip_prefix(variant));
        rest.and_then(|rest| rest.strip_prefix('/')).unwrap_or(cell)
    }

    /// Its cells by name, in the files' order; one name may stand for several.
    fn cells(&self) -> (Vec<&'a str>, BTreeMap<&'a str, Vec<Group<'a>>>) {
        let (mut order, mut cells) = (Vec::new(), BTreeMap::<&str, Vec<Group>>::new());
        for seen in &self.trials {
            let key = self.key(&seen.trial.cell);
            let groups = cells.entry(key).or_default();
            if groups.is_empty() {
                order.push(key);
            }
            match groups.iter_mut().find(|group| is_one(group[0], *seen)) {
                Some(group) => group.push(*seen),
                None => groups.push(vec![*seen]),
            }
        }
        (order, cells)
    }
}

/// Trials of one cell.
type Group<'a> = Vec<Seen<'a>>;

/// Whether two trials are of one cell. A key that only one of two builds knows is no difference: builds learn new keys, and what one
/// did not know it did not do otherwise on purpose.
pub(super) fn is_one(a: Seen, b: Seen) -> bool {
    differences(a, b).is_empty()
}

fn differences(a: Seen, b: Seen) -> Vec<identity::Unlike> {
    if same_cell(a.trial, b.trial) {
        return Vec::new();
    }
    let one_build = a.build() == b.build();
    unlike(a.trial, b.trial)
        .into_iter()
        .filter(|unlike| one_build || unlike.contradicts())
        .collect()
}

/// A cell that both sides have.
#[derive(Debug, Clone)]
pub struct Match<'a> {
    /// Its name, or `modern/w32@400 against gpt2/w32@400`.
    pub cell: String,
    /// Whether both sides were trained and judged on the same.
    pub same_world: bool,
    /// Whether both sides call it so: counted work is gated only then, as another variant does other work by design.
    pub same_name: bool,
    /// Trials of each side.
    pub sides: [Vec<Seen<'a>>; 2],
    /// How they were run.
    pub setting: Setting,
}

/// How the two sides' trials of a cell were run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// In one run on one machine, in turn: drift hits both. Of imported trials only where
    /// somebody said so, as nobody recorded their order.
    Interleaved,
    /// On the same kind of machine, at different times, or one side after the other.
    Separate,
    /// On another kind of machine.
    OtherMachine,
}

impl Setting {
    /// For prose.
    pub fn words(self) -> &'static str {
        match self {
            Self::Interleaved => "interleaved in one session",
            Self::Separate => "separate sessions",
            Self::OtherMachine => "different machines",
        }
    }
}

/// The cells that both sides have, and those that only one has.
#[derive(Debug, Clone, Default)]
pub struct Matched<'a> {
    /// In the base's order.
    pub cells: Vec<Match<'a>>,
    /// Cells of the base alone, and of the new side alone.
    pub alone: [Vec<String>; 2],
    /// Of those, one cell under two names.
    pub renamed: Vec<[String; 2]>,
    /// Names that stand for different cells on the two sides.
    pub unlike: Vec<Unlike>,
}

/// A name that both sides have for two different things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Unlike {
    /// The name.
    pub cell: String,
    /// In what the settled specs differ: `train.batch 8 against 16`.
    pub differs: String,
}

/// Matches cells by name, and compares those whose settled specs agree.
pub fn matched<'a>(base: &Side<'a>, new: &Side<'a>) -> Matched<'a> {
    let ((order, mut of_base), (order_new, mut of_new)) = (base.cells(), new.cells());
    let mut found = Matched::default();
    let mut alone: [Vec<(String, Seen)>; 2] = Default::default();
    let of_new_alone: Vec<&str> = order_new
        .into_iter()
        .filter(|key| !of_base.contains_key(key))
        .collect();
    for key in order.iter().chain(&of_new_alone) {
        let sides = [
            of_base.remove(key).unwrap_or_default(),
            of_new.remove(key).unwrap_or_default(),
        ];
        let label = |group: &Group, sides: &[Vec<Group>; 2]| named(key, group, sides);
        let names = sides.each_ref().map(|groups| {
            groups
                .iter()
                .map(|group| label(group, &sides))
                .collect::<Vec<_>>()
        });
        let (pairs, mut left) = paired(sides);
        for (name, pair) in pairs {
            found.cells.push(matching(
                names[0].get(name).filter(|name| name != key).cloned(),
                pair,
            ));
        }
        // What is left on both sides under one name is two things.
        while !left[0].is_empty() && !left[1].is_empty() {
            let (base, new) = (left[0].remove(0).1, left[1].remove(0).1);
            let differs = in_words(&differences(base[0], new[0]));
            found.unlike.push(Unlike {
                cell: (*key).to_owned(),
                differs,
            });
        }
        for (side, groups) in left.into_iter().enumerate() {
            alone[side].extend(
                groups
                    .into_iter()
                    .map(|(place, group)| (names[side][place].clone(), group[0])),
            );
        }
    }
    found.renamed = renamed(&alone);
    found.alone = alone.map(|cells| cells.into_iter().map(|(name, _)| name).collect());
    found
}

/// Cells of the base that the new side has under another name.
fn renamed(alone: &[Vec<(String, Seen)>; 2]) -> Vec<[String; 2]> {
    let of = |(name, seen): &(String, Seen)| {
        let other = alone[1].iter().find(|(_, new)| is_one(*seen, *new))?;
        Some([name.clone(), other.0.clone()])
    };
    alone[0].iter().filter_map(of).collect()
}

/// The name, and in what the group differs from the others of that name where there are any.
fn named(key: &str, group: &Group, sides: &[Vec<Group>; 2]) -> String {
    let mut keys: Vec<String> = Vec::new();
    for other in sides.iter().flatten() {
        keys.extend(
            differences(group[0], other[0])
                .into_iter()
                .map(|unlike| unlike.key),
        );
    }
    keys.sort_unstable();
    keys.dedup();
    let several = sides.iter().any(|groups| groups.len() > 1);
    if !several || keys.is_empty() {
        return key.to_owned();
    }
    let facts = facts(group[0].trial);
    let told = keys
        .iter()
        .take(2)
        .map(|key| format!("{key} {}", facts.get(key).map_or("absent", String::as_str)));
    format!("{key} ({})", told.collect::<Vec<_>>().join(", "))
}

/// Groups of a name with their places on their side.
type Placed<'a> = Vec<(usize, Group<'a>)>;

/// The groups of a name that are one cell on both sides, by their place on the base's, and what is left. Two variants are other things
/// by design: theirs are paired where they are trained for as long on the same, or as the files have them.
fn paired<'a>(sides: [Vec<Group<'a>>; 2]) -> (Vec<(usize, [Group<'a>; 2])>, [Placed<'a>; 2]) {
    let [base, new] = sides.map(|groups| groups.into_iter().enumerate().collect::<Placed>());
    let (mut pairs, mut left, mut rest) = (Vec::new(), Vec::new(), new);
    for (place, group) in base {
        let variants = |other: &Group| group[0].trial.variant != other[0].trial.variant;
        let alone = rest.len() == 1;
        let fits = |other: &Group| {
            if variants(other) {
                alone || as_long(group[0], other[0])
            } else {
                is_one(group[0], other[0])
            }
        };
        match rest.iter().position(|(_, other)| fits(other)) {
            Some(at) => pairs.push((place, [group, rest.remove(at).1])),
            None => left.push((place, group)),
        }
    }
    (pairs, [left, rest])
}

/// Whether two variants are trained for as long, on the same.
fn as_long(a: Seen, b: Seen) -> bool {
    let outer = |unlike: &identity::Unlike| {
        unlike.key.starts_with("data.")
            || [
                "train.batch",
                "train.steps",
                "train.tokens",
                "model.context",
            ]
            .contains(&&*unlike.key)
    };
    !unlike(a.trial, b.trial).iter().any(outer)
}

fn matching<'a>(name: Option<String>, sides: [Group<'a>; 2]) -> Match<'a> {
    let sides = of_shared_machines(sides);
    let [base, new] = [&sides[0][0].trial.cell, &sides[1][0].trial.cell];
    let cell = if base == new {
        name.unwrap_or_else(|| base.clone())
    } else {
        format!("{new} against {base}")
    };
    let same_world = strata(&sides[0]) == strata(&sides[1]);
    Match {
        cell,
        same_world,
        same_name: base == new,
        setting: setting(&sides),
        sides,
    }
}

/// What a side was trained and judged on; each spec is looked at once.
fn strata(side: &[Seen]) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    side.iter()
        .filter(|seen| known.insert(&seen.trial.spec_sha256))
        .map(Seen::stratum)
        .collect()
}

/// Where some kind of machine is on both sides, only its trials compare: a base may hold many machines.
fn of_shared_machines<'a>(sides: [Vec<Seen<'a>>; 2]) -> [Vec<Seen<'a>>; 2] {
    let classes = sides.each_ref().map(|side| classes(side));
    let shared: BTreeSet<&String> = classes[0].intersection(&classes[1]).collect();
    if shared.is_empty() {
        return sides;
    }
    sides.map(|side| {
        side.into_iter()
            .filter(|seen| shared.contains(&seen.machine().kind()))
            .collect()
    })
}

fn classes(side: &[Seen]) -> BTreeSet<String> {
    side.iter().map(|seen| seen.machine().kind()).collect()
}

fn setting(sides: &[Vec<Seen>; 2]) -> Setting {
    if classes(&sides[0]).is_disjoint(&classes(&sides[1])) {
        return Setting::OtherMachine;
    }
    let sessions: BTreeSet<(&str, &str)> = sides.iter().flatten().map(Seen::session).collect();
    // Of imported trials nobody recorded the order; somebody may have said that they took turns.
    let said = sides
        .iter()
        .flatten()
        .all(|seen| seen.file.run.interleaved == Some(true));
    let known = sides
        .iter()
        .flatten()
        .all(|seen| seen.machine().strict_id != IMPORTED);
    let turns = said || (known && in_turn(sides));
    if turns && sessions.len() == 1 {
        Setting::Interleaved
    } else {
        Setting::Separate
    }
}

/// Whether neither side was over before the other began: what runs one after the other drifts as two sessions do.
fn in_turn(sides: &[Vec<Seen>; 2]) -> bool {
    let order = |side: &[Seen]| {
        let orders = || side.iter().map(|seen| seen.trial.order);
        Some((orders().min()?, orders().max()?))
    };
    match (order(&sides[0]), order(&sides[1])) {
        (Some(a), Some(b)) if sides[0].len() > 1 || sides[1].len() > 1 => a.0 <= b.1 && b.0 <= a.1,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
