//! Which machine, which build, which command: what someone needs who wants to see it again.

use std::collections::BTreeMap;

use crate::analysis::findings::Findings;
use crate::record::{Build, Machine};
use crate::report::page::{Block, Table};
use crate::unit::Bytes;

pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let run = &findings.file.run;
    let mut facts = vec![
        ("Command".to_owned(), run.command.clone()),
        ("Started".to_owned(), run.started_at.clone()),
        (
            "Finished".to_owned(),
            run.finished_at
                .clone()
                .unwrap_or_else(|| "not yet".to_owned()),
        ),
        ("Learning rates".to_owned(), learning_rates(findings)),
    ];
    facts.retain(|(_, value)| !value.is_empty());
    let mut blocks = vec![Block::Facts(facts)];
    blocks.extend(
        findings
            .file
            .machines
            .iter()
            .map(|found| Block::Facts(machine(found))),
    );
    blocks.extend(
        findings
            .file
            .builds
            .iter()
            .map(|found| Block::Facts(program(found))),
    );
    blocks.push(Block::Details(
        "Where each learning rate comes from".to_owned(),
        sources(findings),
    ));
    Some(blocks)
}

/// How many trials were tuned, in a line.
fn learning_rates(findings: &Findings) -> String {
    let trials = findings.file.trials.len();
    let tuned = findings
        .file
        .trials
        .iter()
        .filter(|trial| trial.lr_source.is_tuned())
        .count();
    format!("tuned by a sweep in {tuned} of {trials} trials")
}

fn sources(findings: &Findings) -> Table {
    let mut seen: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for cell in &findings.cells {
        for trial in &cell.trials {
            *seen
                .entry((&cell.name, trial.lr_source.to_string()))
                .or_default() += 1;
        }
    }
    let mut table = Table::new(["cell", "source of its learning rate", "trials"]);
    let row =
        |((cell, source), n): ((&str, String), usize)| vec![cell.to_owned(), source, n.to_string()];
    table.rows = seen.into_iter().map(row).collect();
    table
}

fn machine(machine: &Machine) -> Vec<(String, String)> {
    let Machine {
        cpu,
        gpus,
        os,
        kernel,
        virtualization,
        ..
    } = machine;
    let cores = cpu
        .cores
        .map(|cores| format!(", {cores} {}", if cores == 1 { "core" } else { "cores" }))
        .unwrap_or_default();
    let threads = cpu
        .threads
        .map(|threads| format!(", {threads} threads"))
        .unwrap_or_default();
    let gpus = gpus.iter().map(|gpu| {
        let memory = gpu
            .memory_bytes
            .map(|bytes| format!(", {}", Bytes(bytes as f64)))
            .unwrap_or_default();
        let driver = gpu
            .driver
            .as_ref()
            .map(|driver| format!(", driver {driver}"))
            .unwrap_or_default();
        format!("{}{memory}{driver}", gpu.model)
    });
    let system = [
        os.clone(),
        kernel.as_ref().map(|k| format!("kernel {k}")),
        virtualization.clone(),
    ];
    let environment = machine
        .environment
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    let facts = [
        ("Machine", machine.class_id.clone()),
        (
            "Processor",
            format!("{}, {}{cores}{threads}", cpu.model, cpu.arch),
        ),
        ("Features", cpu.features.join(", ")),
        (
            "Memory",
            machine
                .memory_bytes
                .map(|bytes| Bytes(bytes as f64).to_string())
                .unwrap_or_default(),
        ),
        ("Accelerators", gpus.collect::<Vec<_>>().join("; ")),
        (
            "System",
            system.into_iter().flatten().collect::<Vec<_>>().join(", "),
        ),
        (
            "Threads used",
            machine.threads.map(|n| n.to_string()).unwrap_or_default(),
        ),
        ("Allocator", machine.allocator.clone()),
        ("Environment", environment.collect::<Vec<_>>().join(" ")),
    ];
    named(facts)
}

fn program(build: &Build) -> Vec<(String, String)> {
    let dirty = if build.dirty == Some(true) {
        " with uncommitted changes"
    } else {
        ""
    };
    let facts = [
        ("effbench", build.version.clone()),
        (
            "Commit",
            build
                .commit
                .as_ref()
                .map(|commit| format!("{commit}{dirty}"))
                .unwrap_or_default(),
        ),
        ("Compiler", build.rustc.clone().unwrap_or_default()),
        ("Profile", build.profile.clone()),
        ("Cargo features", build.features.join(", ")),
        ("Target features", build.target_features.join(", ")),
    ];
    named(facts)
}

fn named<const N: usize>(facts: [(&str, String); N]) -> Vec<(String, String)> {
    facts
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;

    #[test]
    fn what_is_not_known_is_not_named() {
        let file = example();
        let blocks = build(&Findings::of(&file)).unwrap();
        let Block::Facts(facts) = &blocks[2] else {
            panic!()
        };
        assert!(
            facts
                .iter()
                .any(|(name, value)| name == "Compiler" && value == "1.95.0")
        );
        assert!(!facts.iter().any(|(name, _)| name == "Commit"));
        let Block::Facts(run) = &blocks[0] else {
            panic!()
        };
        assert_eq!(run[3].1, "tuned by a sweep in 20 of 20 trials");
    }
}
