//! Stages: cells that begin with what others have learnt are checked against those before anything runs, and joined to them trial
//! by trial. What is trained once serves all of its children.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde_json::Value;

use super::cells::SettledCell;
use crate::config::{Cell, HELD_OUT, Origin};
use crate::error::{Error, Result};
use crate::model::weights::can_begin;
use crate::runner::plan::PreparedCell;
use crate::trial::Job;

/// The key of a spec that says what weights are, and that of the file that has them.
const FROM_SPEC: &str = "model.from_spec";
const FROM: &str = "model.from";

/// Writes into a cell's spec what it begins with: its identity holds its parent's, and where the parent's data are others its loss
/// on them is asked for. `before` are the cells before it, and `settled` what they are.
pub(super) fn begin(cell: &mut Cell, before: &[Cell], settled: &[SettledCell]) -> Result<()> {
    let Some(parent) = &cell.parent else {
        return Ok(());
    };
    let hash = find(settled, parent)?.cell.spec_sha256.clone();
    let origin = Origin::named("the suite");
    cell.tree.set(FROM_SPEC, hash.into(), origin.clone());
    let parent = before.iter().find(|other| other.name == *parent);
    let (theirs, own) = (parent.map(data), data(cell));
    if let Some(theirs) = theirs.filter(|theirs| *theirs != own) {
        for (key, value) in theirs {
            cell.tree
                .set(&format!("before.{key}"), value, origin.clone());
        }
    }
    Ok(())
}

/// The keys that say which data a cell is trained on.
fn data(cell: &Cell) -> BTreeMap<String, Value> {
    let of_data = |key: &str| key.starts_with("data.") && key != HELD_OUT;
    let keys = cell.tree.iter().filter(|(key, _)| of_data(key));
    keys.map(|(key, entry)| (key.to_owned(), entry.value.clone()))
        .collect()
}

/// Refuses a cell whose parameters are not those of its parent.
pub(super) fn refuse_misfit(child: &SettledCell, settled: &[SettledCell]) -> Result<()> {
    let Some(name) = &child.cell.parent else {
        return Ok(());
    };
    let parent = find(settled, name)?;
    can_begin(child.model.decls(), parent.model.decls()).map_err(|why| {
        let message = format!(
            "{} cannot begin with the weights of {name}: {why}",
            child.cell.name
        );
        Error::input(message).hint("a row's `from` names a cell with the same layers and sizes")
    })
}

fn find<'a>(settled: &'a [SettledCell], name: &str) -> Result<&'a SettledCell> {
    let mut named = settled.iter().filter(|one| one.cell.name == name);
    named
        .next()
        .ok_or_else(|| Error::internal(format!("{name} is not settled before its children")))
}

/// The cells that others among them begin with.
pub(super) fn lenders(cells: &[PreparedCell]) -> Vec<PreparedCell> {
    let lent: HashSet<&str> = cells
        .iter()
        .filter_map(|cell| cell.parent.as_deref())
        .collect();
    let lends = |cell: &&PreparedCell| lent.contains(cell.name.as_str());
    cells.iter().filter(lends).cloned().collect()
}

/// Some of `all` cells, and those that they begin with.
pub(super) fn with_lenders(some: &[PreparedCell], all: &[PreparedCell]) -> Vec<PreparedCell> {
    let mut wanted: HashSet<&str> = some.iter().map(|cell| cell.name.as_str()).collect();
    // Parents stand before their children.
    for cell in all.iter().rev().filter(|cell| cell.parent.is_some()) {
        if wanted.contains(cell.name.as_str()) {
            wanted.extend(cell.parent.as_deref());
        }
    }
    let is_wanted = |cell: &&PreparedCell| wanted.contains(cell.name.as_str());
    all.iter().filter(is_wanted).cloned().collect()
}

/// Puts trials that others begin with before all others; the order of the rest stays.
pub(super) fn parents_first(jobs: &mut [Job]) {
    let parents: HashMap<String, String> = jobs
        .iter()
        .filter_map(|job| Some((job.trial.cell.clone(), job.parent.clone()?)))
        .collect();
    let lent: HashSet<&String> = parents.values().collect();
    let rank = |job: &Job| {
        if !lent.contains(&job.trial.cell) {
            return usize::MAX;
        }
        let up = std::iter::successors(parents.get(&job.trial.cell), |cell| parents.get(*cell));
        // A suite with a circle was refused.
        up.take(parents.len()).count()
    };
    jobs.sort_by_cached_key(rank);
}

/// Tells each trial which one it begins with and where that leaves its weights, in `folder`: the one of the same repeat and build,
/// among `jobs` or else `before`. A sweep's trials, whose repeats judge nothing, begin with the first repeats'.
pub(super) fn join(mut jobs: Vec<Job>, before: &[Job], folder: &Path) -> Result<Vec<Job>> {
    let lent: HashSet<String> = jobs.iter().filter_map(|job| job.parent.clone()).collect();
    if lent.is_empty() {
        return Ok(jobs);
    }
    let folder = std::path::absolute(folder)
        .map_err(|error| Error::input(format!("{}: {error}", folder.display())))?;
    let lends = |job: &&Job| lent.contains(&job.trial.cell) && !job.trial.in_sweep();
    let lending: Vec<Job> = jobs.iter().chain(before).filter(lends).cloned().collect();
    for job in &mut jobs {
        if lent.contains(&job.trial.cell) && !job.trial.in_sweep() {
            job.keep_weights = Some(folder.join(job.weights_name()));
        }
        let Some(parent) = &job.parent else { continue };
        let of_cell = || {
            let same =
                |other: &&Job| other.trial.cell == *parent && other.trial.build == job.trial.build;
            lending.iter().filter(same)
        };
        let repeats = of_cell()
            .map(|other| other.trial.repeat + 1)
            .max()
            .unwrap_or(1);
        let repeat = match job.trial.in_sweep() {
            true => job.trial.repeat % repeats,
            false => job.trial.repeat,
        };
        let lender = of_cell().find(|other| other.trial.repeat == repeat);
        let lender = lender.ok_or_else(|| {
            Error::internal(format!("no trial of {parent} for {}", job.trial.cell))
        })?;
        let path = folder.join(lender.weights_name());
        job.trial.parent = Some(lender.trial.id.clone());
        job.paths.insert(FROM.to_owned(), path);
    }
    Ok(jobs)
}
