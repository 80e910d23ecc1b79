//! Which trials stand against which: cells by name, arms by choice, sittings and machines by what the files say.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::record::import::IMPORTED;
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
    pub fn sitting(&self) -> (&'a str, &'a str) {
        (&self.file.run.started_at, &self.machine().strict_id)
    }

    /// What it was trained and judged on: a loss on other data, or with another context, is another thing. A text is known by
    /// its hash, wherever it lies.
    pub fn world(&self) -> String {
        let mut data = self.trial.spec.pointer("/data").cloned().unwrap_or_default();
        if let Some(map) = data.as_object_mut().filter(|map| map.contains_key("blake3")) {
            map.remove("path");
        }
        data.sort_all_objects();
        let context = self.trial.spec.pointer("/model/context").cloned().unwrap_or_default();
        format!("{data} {context}")
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
        let all = || files.iter().flat_map(|(_, file)| file.trials.iter().map(move |trial| Seen { trial, file }));
        let is_arm = |seen: &Seen| Some(seen.trial.arm.as_str()) == arm;
        let by_arm = arm.is_some() && all().any(|seen| is_arm(&seen));
        let variant = arm.filter(|_| !by_arm).map(str::to_owned);
        let wanted = |seen: &Seen| match arm {
            None => true,
            Some(name) if by_arm => seen.trial.arm == name,
            Some(name) => seen.trial.variant == name,
        };
        let mut known = BTreeSet::new();
        let trials = all()
            .filter(|seen| !seen.trial.in_sweep() && wanted(seen))
            .filter(|seen| known.insert((&seen.trial.id, seen.sitting())))
            .collect();
        Self { name: name.to_owned(), trials, variant }
    }

    /// The labels of builds that ran the same cells side by side, in the order run; none where arms are cells.
    pub fn arms(&self) -> Vec<&'a str> {
        let mut arms: Vec<&str> = Vec::new();
        for seen in self.trials.iter().filter(|seen| seen.trial.arm != seen.trial.cell) {
            if !arms.contains(&seen.trial.arm.as_str()) {
                arms.push(&seen.trial.arm);
            }
        }
        arms
    }

    /// A cell's name, without the variant where that was chosen.
    fn key<'b>(&self, cell: &'b str) -> &'b str {
        let rest = self.variant.as_deref().and_then(|variant| cell.strip_prefix(variant));
        rest.and_then(|rest| rest.strip_prefix('/')).unwrap_or(cell)
    }

    fn cells(&self) -> (Vec<&'a str>, BTreeMap<&'a str, Vec<Seen<'a>>>) {
        let (mut order, mut cells) = (Vec::new(), BTreeMap::<&str, Vec<Seen>>::new());
        for seen in &self.trials {
            let key = self.key(&seen.trial.cell);
            let trials = cells.entry(key).or_default();
            if trials.is_empty() {
                order.push(key);
            }
            trials.push(*seen);
        }
        (order, cells)
    }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// In one run on one machine, in turn: drift hits both. Never said of imported trials, whose order nobody recorded.
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
            Self::Interleaved => "interleaved in one sitting",
            Self::Separate => "separate sittings",
            Self::OtherMachine => "different machines",
        }
    }
}

/// The cells that both sides have, and those that only one has.
#[derive(Debug, Clone)]
pub struct Matched<'a> {
    /// In the base's order.
    pub cells: Vec<Match<'a>>,
    /// Cells of the base alone, and of the new side alone.
    pub alone: [Vec<String>; 2],
}

/// Matches cells by name.
pub fn matched<'a>(base: &Side<'a>, new: &Side<'a>) -> Matched<'a> {
    let ((order, mut of_base), (order_new, mut of_new)) = (base.cells(), new.cells());
    let alone = |order: &[&str], other: &BTreeMap<&str, Vec<Seen>>| {
        order.iter().filter(|key| !other.contains_key(*key)).map(|key| (*key).to_owned()).collect::<Vec<_>>()
    };
    let alone = [alone(&order, &of_new), alone(&order_new, &of_base)];
    let both = order.iter().filter_map(|key| {
        let new = of_new.remove(key)?;
        Some(matching([of_base.remove(key)?, new]))
    });
    Matched { cells: both.collect(), alone }
}

fn matching<'a>(sides: [Vec<Seen<'a>>; 2]) -> Match<'a> {
    let sides = of_shared_machines(sides);
    let [base, new] = [&sides[0][0].trial.cell, &sides[1][0].trial.cell];
    let cell = if base == new { base.clone() } else { format!("{new} against {base}") };
    let same_world = worlds(&sides[0]) == worlds(&sides[1]);
    Match { cell, same_world, same_name: base == new, setting: setting(&sides), sides }
}

/// What a side was trained and judged on; each spec is looked at once.
fn worlds(side: &[Seen]) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    side.iter().filter(|seen| known.insert(&seen.trial.spec_sha256)).map(Seen::world).collect()
}

/// Where some kind of machine is on both sides, only its trials compare: a base may hold many machines.
fn of_shared_machines<'a>(sides: [Vec<Seen<'a>>; 2]) -> [Vec<Seen<'a>>; 2] {
    let classes = sides.each_ref().map(|side| classes(side));
    let shared: BTreeSet<&str> = classes[0].intersection(&classes[1]).copied().collect();
    if shared.is_empty() {
        return sides;
    }
    sides.map(|side| side.into_iter().filter(|seen| shared.contains(seen.machine().class_id.as_str())).collect())
}

fn classes<'a>(side: &[Seen<'a>]) -> BTreeSet<&'a str> {
    side.iter().map(|seen| seen.machine().class_id.as_str()).collect()
}

fn setting(sides: &[Vec<Seen>; 2]) -> Setting {
    if classes(&sides[0]).is_disjoint(&classes(&sides[1])) {
        return Setting::OtherMachine;
    }
    let sittings: BTreeSet<(&str, &str)> = sides.iter().flatten().map(Seen::sitting).collect();
    let known = sides.iter().flatten().all(|seen| seen.machine().strict_id != IMPORTED);
    if known && sittings.len() == 1 && in_turn(sides) { Setting::Interleaved } else { Setting::Separate }
}

/// Whether neither side was over before the other began: what runs one after the other drifts as two sittings do.
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
mod tests {
    use super::*;
    use crate::record::RateSource;
    use crate::record::example::example;

    fn sides(base: ResultFile, new: ResultFile) -> [Vec<(String, ResultFile)>; 2] {
        [vec![("base".to_owned(), base)], vec![("new".to_owned(), new)]]
    }

    fn settings(files: &[Vec<(String, ResultFile)>; 2]) -> Vec<Setting> {
        let [base, new] = files.each_ref().map(|files| Side::new("side", files, None));
        matched(&base, &new).cells.iter().map(|cell| cell.setting).collect()
    }

    #[test]
    fn the_files_say_how_they_were_run() {
        type Change = fn(&mut ResultFile);
        let rows: [(Change, Setting); 5] = [
            (|_| (), Setting::Interleaved),
            (|f| f.run.started_at = "2026-11-22T10:00:00Z".to_owned(), Setting::Separate),
            (|f| f.machines[0].strict_id = "another".to_owned(), Setting::Separate),
            (|f| f.machines[0].class_id = "arm-4c-linux".to_owned(), Setting::OtherMachine),
            (|f| f.trials.iter_mut().for_each(|t| t.order += 1000), Setting::Separate),
        ];
        for (change, setting) in rows {
            let mut new = example();
            change(&mut new);
            assert_eq!(settings(&sides(example(), new)), [setting; 5]);
        }
        let mut imported = example();
        imported.machines[0].strict_id = IMPORTED.to_owned();
        assert_eq!(settings(&sides(imported.clone(), imported)), [Setting::Separate; 5]);
    }

    #[test]
    fn cells_are_matched_by_name_and_sweeps_judge_nothing() {
        let mut new = example();
        new.trials.retain(|t| t.cell != "gpt2/w32@400");
        new.trials.iter_mut().filter(|t| t.cell == "modern/w32@400").for_each(|t| t.lr_source = RateSource::Grid);
        new.trials.iter_mut().filter(|t| t.cell == "gpt2/w32@800").for_each(|t| t.cell = "gpt2/w32@900".to_owned());
        let files = sides(example(), new);
        let [base, new] = files.each_ref().map(|files| Side::new("side", files, None));
        let found = matched(&base, &new);
        let cells: Vec<&str> = found.cells.iter().map(|cell| cell.cell.as_str()).collect();
        assert_eq!(cells, ["gpt2/w32@1600", "modern/w32@800"]);
        let alone = [vec!["gpt2/w32@400", "gpt2/w32@800", "modern/w32@400"], vec!["gpt2/w32@900"]];
        assert_eq!(found.alone, alone.map(|cells| cells.into_iter().map(str::to_owned).collect::<Vec<_>>()));
    }

    #[test]
    fn arms_are_builds_or_variants() {
        let mut file = example();
        let mut other = file.trials.clone();
        other.iter_mut().for_each(|t| (t.arm, t.id) = ("head".to_owned(), format!("{}-head", t.id)));
        file.trials.iter_mut().for_each(|t| t.arm = "base".to_owned());
        file.trials.extend(other);
        let files = vec![("one".to_owned(), file)];
        assert_eq!(Side::new("one", &files, None).arms(), ["base", "head"]);
        let [base, head] = ["base", "head"].map(|arm| Side::new(arm, &files, Some(arm)));
        assert_eq!((base.trials.len(), matched(&base, &head).cells.len()), (20, 5));
        let files = vec![("one".to_owned(), example())];
        let [base, new] = ["gpt2", "modern"].map(|arm| Side::new(arm, &files, Some(arm)));
        let cells: Vec<String> = matched(&base, &new).cells.into_iter().map(|cell| cell.cell).collect();
        assert_eq!(cells, ["modern/w32@400 against gpt2/w32@400", "modern/w32@800 against gpt2/w32@800"]);
    }

    #[test]
    fn of_a_base_with_many_machines_only_the_new_sides_counts() {
        let mut other = example();
        other.machines[0].class_id = "arm-4c-linux".to_owned();
        other.run.started_at = "2026-11-20T10:00:00Z".to_owned();
        let base = vec![("a".to_owned(), example()), ("b".to_owned(), other.clone())];
        let new = vec![("c".to_owned(), other)];
        let found = matched(&Side::new("base", &base, None), &Side::new("new", &new, None));
        assert!(found.cells.iter().all(|cell| cell.sides[0].len() == 4 && cell.setting == Setting::Interleaved));
    }
}
