//! What else differs between the two sides: a change is due to the program only as far as nothing stands here.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::matching::{Match, Seen};

/// One thing that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Difference {
    /// `machine`, `build` or `spec`.
    pub of: &'static str,
    /// `kernel`, `rustc`, `train.steps`.
    pub what: String,
    /// On the base's side; several where its trials differ.
    pub base: String,
    /// On the new side.
    pub new: String,
    /// Cells in which it differs.
    pub cells: usize,
}

/// What a value is called, and the value.
type Fact = (&'static str, String, String);

/// Everything that differs in the cells compared, each once, with the number of cells.
pub fn residue(cells: &[Match]) -> Vec<Difference> {
    let mut found: Vec<Difference> = Vec::new();
    let mut places: BTreeMap<(&str, String, String, String), usize> = BTreeMap::new();
    for cell in cells {
        for (of, what, base, new) in differences(cell) {
            let key = (of, what.clone(), base.clone(), new.clone());
            match places.get(&key) {
                Some(place) => found[*place].cells += 1,
                None => {
                    places.insert(key, found.len());
                    found.push(Difference {
                        of,
                        what,
                        base,
                        new,
                        cells: 1,
                    });
                }
            }
        }
    }
    found
}

fn differences(cell: &Match) -> Vec<(&'static str, String, String, String)> {
    let [base, new] = cell.sides.each_ref().map(|side| facts(side));
    let names: BTreeSet<&(&str, String)> = base.keys().chain(new.keys()).collect();
    let said = |side: &BTreeMap<(&'static str, String), BTreeSet<String>>,
                name: &(&'static str, String)| {
        let values = side
            .get(name)
            .map(|values| values.iter().cloned().collect::<Vec<_>>().join(", "));
        values.unwrap_or_else(|| "absent".to_owned())
    };
    let differs = names
        .into_iter()
        .filter(|name| base.get(*name) != new.get(*name));
    differs
        .map(|name| (name.0, name.1.clone(), said(&base, name), said(&new, name)))
        .collect()
}

/// All values that a side's trials have; machines, builds and specs are looked at once each.
fn facts(side: &[Seen]) -> BTreeMap<(&'static str, String), BTreeSet<String>> {
    let mut facts: BTreeMap<(&'static str, String), BTreeSet<String>> = BTreeMap::new();
    let (mut places, mut specs) = (BTreeSet::new(), BTreeSet::new());
    for seen in side {
        let mut put =
            |(of, what, value): Fact| _ = facts.entry((of, what)).or_default().insert(value);
        if places.insert((
            std::ptr::from_ref(seen.machine()),
            std::ptr::from_ref(seen.build()),
        )) {
            machine(seen)
                .into_iter()
                .chain(build(seen))
                .for_each(&mut put);
        }
        if specs.insert(&seen.trial.spec_sha256) {
            spec("", &seen.trial.spec, &mut |what, value| {
                // Every import is of files of its own.
                if what == "imported.file" || what == "imported.blake3" {
                    return;
                }
                put(("spec", what, value))
            });
        }
    }
    facts
}

fn machine(seen: &Seen) -> Vec<Fact> {
    let machine = seen.machine();
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    let number =
        |value: Option<u64>| value.map_or_else(|| "unknown".to_owned(), |value| value.to_string());
    let mut facts = vec![
        ("kind", machine.kind()),
        ("processor", machine.cpu.model.clone()),
        ("processor features", machine.cpu.features.join(" ")),
        ("memory, bytes", number(machine.memory_bytes)),
        ("system", known(&machine.os)),
        ("kernel", known(&machine.kernel)),
        ("virtualization", known(&machine.virtualization)),
        ("threads", number(machine.threads)),
        ("allocator", machine.allocator.clone()),
    ];
    facts.extend(machine.gpus.iter().map(|gpu| {
        (
            "accelerator",
            format!("{}, {}", gpu.model, known(&gpu.driver)),
        )
    }));
    let environment = machine
        .environment
        .iter()
        .map(|(name, value)| ("machine", name.clone(), value.clone()));
    facts
        .into_iter()
        .map(|(what, value)| ("machine", what.to_owned(), value))
        .chain(environment)
        .collect()
}

fn build(seen: &Seen) -> Vec<Fact> {
    let build = seen.build();
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    let dirty = if build.dirty == Some(true) {
        " with changes"
    } else {
        ""
    };
    let facts = [
        ("version", build.version.clone()),
        ("commit", format!("{}{dirty}", known(&build.commit))),
        ("compiler", known(&build.rustc)),
        ("profile", build.profile.clone()),
        ("features", build.features.join(" ")),
        ("target features", build.target_features.join(" ")),
        ("program", known(&build.executable_id)),
    ];
    facts
        .into_iter()
        .map(|(what, value)| ("build", what.to_owned(), value))
        .collect()
}

/// The leaves of a settled spec, but for what differs between repeats by design.
fn spec(path: &str, value: &Value, put: &mut dyn FnMut(String, String)) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                spec(&path, value, put);
            }
        }
        _ if path == "seed" || path.ends_with(".seed") => {}
        Value::String(text) => put(path.to_owned(), text.clone()),
        other => put(path.to_owned(), other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::matching::{Side, matched};
    use super::*;
    use crate::record::ResultFile;
    use crate::record::example::example;
    use crate::record::spec_sha256;

    fn found(change: impl Fn(&mut ResultFile)) -> Vec<(String, String, String, usize)> {
        let mut new = example();
        change(&mut new);
        let files = [
            vec![("a".to_owned(), example())],
            vec![("b".to_owned(), new)],
        ];
        let [base, new] = files.each_ref().map(|files| Side::new("side", files, None));
        let residue = residue(&matched(&base, &new).cells);
        residue
            .into_iter()
            .map(|d| (format!("{}.{}", d.of, d.what), d.base, d.new, d.cells))
            .collect()
    }

    #[test]
    fn what_differs_is_named_once_with_both_values() {
        let row = |what: &str, base: &str, new: &str, cells| {
            (what.to_owned(), base.to_owned(), new.to_owned(), cells)
        };
        assert_eq!(found(|_| ()), []);
        assert_eq!(
            found(|f| f.machines[0].kernel = None),
            [row("machine.kernel", "6.12", "unknown", 5)]
        );
        let compiler = |f: &mut ResultFile| f.builds[0].rustc = Some("1.96.0".to_owned());
        assert_eq!(
            found(compiler),
            [row("build.compiler", "1.95.0", "1.96.0", 5)]
        );
        let otherwise = |f: &mut ResultFile| {
            for trial in f.trials.iter_mut().filter(|t| t.cell == "gpt2/w32@400") {
                trial.spec["compute"]["ops"] = "reference".into();
                trial.spec["compute"]["products"] = "bf16".into();
                trial.spec_sha256 = spec_sha256(&trial.spec);
            }
        };
        let ops = row("spec.compute.ops", "fused", "reference", 1);
        assert_eq!(
            found(otherwise),
            [ops, row("spec.compute.products", "absent", "bf16", 1)]
        );
    }
}
