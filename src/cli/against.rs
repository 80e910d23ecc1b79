//! `effbench run --against BINARY`: another build as the other arm, and what the comparison says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::compare::{BASE, GateArg, HEAD, verdict};
use super::{Format, print, print_json, style, to_json};
use crate::analysis::compare::{Comparison, Options, Side, compare, stages};
use crate::error::{Error, Result};
use crate::record::{Build, ResultFile};
use crate::report;
use crate::runner::Worker;
use crate::runner::partial::CONFIRM;
use crate::runner::plan::PreparedCell;

/// Which build another program is, and what runs its trials.
pub(super) fn ask_build(
    binary: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<(Build, Worker)> {
    let refuse = |why: String| {
        Error::input(format!("--against {}: {why}", binary.display())).hint(
            "give the program file of another build of effbench, one that knows --against itself",
        )
    };
    let program = std::path::absolute(binary).map_err(|error| refuse(error.to_string()))?;
    let output = Command::new(&program)
        .arg("build")
        .output()
        .map_err(|error| refuse(error.to_string()))?;
    let build = serde_json::from_slice(&output.stdout)
        .ok()
        .filter(|_| output.status.success());
    let build = build.ok_or_else(|| refuse("it does not say which build it is".to_owned()))?;
    let env = environment
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Ok((
        build,
        Worker {
            program,
            args: vec!["trial".to_owned()],
            env,
        },
    ))
}

/// The two arms of a run's file against each other.
pub(super) fn compared(file: &ResultFile, out: &Path, gate: GateArg) -> Comparison {
    let files = [(out.display().to_string(), file.clone())];
    let side = |arm: &str| Side::new(&format!("{arm} of {}", out.display()), &files, Some(arm));
    compare(
        &side(BASE),
        &side(HEAD),
        &Options {
            gate: gate.into(),
            ..Options::default()
        },
    )
}

/// Those of the cells that a first look found worse.
pub(super) fn flagged(first: &Comparison, cells: Vec<PreparedCell>) -> Vec<PreparedCell> {
    let again = stages::cells_again(first);
    cells
        .into_iter()
        .filter(|cell| again.contains(cell.name.as_str()))
        .collect()
}

/// Where the fresh repeats of the flagged cells go: `x.json` gives `x-confirm.json`.
pub(super) fn confirm_out(out: &Path) -> PathBuf {
    let stem = out.file_stem().unwrap_or_default().to_string_lossy();
    out.with_file_name(format!("{stem}{CONFIRM}"))
}

/// Says what was found, and ends with the verdict.
pub(super) fn conclude(found: &Comparison, format: Format, out: &Path) -> Result<()> {
    match format {
        Format::Text => print(&format!(
            "{}\n\nResult file: {}",
            report::compare::text(found, style()),
            out.display()
        ))?,
        Format::Json => {
            let mut document = to_json(found)?;
            document["sentence"] = report::compare::sentence(found).into();
            print_json(&document)?;
        }
    }
    verdict(found)
}
