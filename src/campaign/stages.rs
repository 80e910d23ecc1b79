//! Stages: cells that begin with what others have learnt are checked against those before anything runs, and joined to them trial
//! by trial. What is trained once serves all of its children.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde_json::Value;

use super::cells::SettledCell;
use crate::config::{Cell, HELD_OUT, Origin, Tree};
use crate::error::{Error, Result};
use crate::model::weights::can_begin;
use crate::record::{Build, RateSource, Trial};
use crate::runner::plan::{PreparedCell, trial_id};
use crate::trial::Job;

/// A model that a spec holds: the key of the file of its weights, and the one that says what those are.
pub(super) const OWN: [&str; 2] = ["model.from", "model.from_spec"];
pub(super) const TEACHER: [&str; 2] = ["teacher.model.from", "teacher.model.from_spec"];

/// Writes into a cell's spec what it begins with: its identity holds its parent's, and where the parent's data are others its loss
/// on them is asked for. `before` are the cells before it, and `settled` what they are.
pub(super) fn begin(cell: &mut Cell, before: &[Cell], settled: &[SettledCell]) -> Result<()> {
    if let Some(teacher) = &cell.teacher {
        learn_from(&mut cell.tree, &find(settled, teacher)?.cell);
    }
    let Some(parent) = &cell.parent else {
        return Ok(());
    };
    let hash = find(settled, parent)?.cell.spec_sha256.clone();
    let origin = Origin::named("the suite");
    cell.tree.set(OWN[1], hash.into(), origin.clone());
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

/// Writes a teacher's model into a spec.
fn learn_from(tree: &mut Tree, teacher: &PreparedCell) {
    let origin = Origin::named("the suite");
    for table in ["model", "shape"] {
        let Ok(theirs) = Tree::from_json(&teacher.spec[table], &origin) else {
            continue;
        };
        let own = |key: &str| !key.starts_with("from");
        for (key, entry) in theirs.iter().filter(|(key, _)| own(key)) {
            let key = format!("teacher.{table}.{key}");
            tree.set(&key, entry.value.clone(), origin.clone());
        }
    }
    tree.set(TEACHER[1], teacher.spec_sha256.as_str().into(), origin);
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

/// The cells that others among them need.
pub(super) fn lenders(cells: &[PreparedCell]) -> Vec<PreparedCell> {
    let needs = |cell: &PreparedCell| [cell.parent.clone(), cell.teacher.clone()];
    let lent: HashSet<String> = cells.iter().flat_map(needs).flatten().collect();
    let lends = |cell: &&PreparedCell| lent.contains(&cell.name);
    cells.iter().filter(lends).cloned().collect()
}

/// Some of `all` cells, and those that they begin with.
pub(super) fn with_lenders(some: &[PreparedCell], all: &[PreparedCell]) -> Vec<PreparedCell> {
    let mut wanted: HashSet<String> = some.iter().map(|cell| cell.name.clone()).collect();
    // Parents stand before their children.
    for cell in all.iter().rev() {
        if wanted.contains(&cell.name) {
            wanted.extend(cell.parent.clone());
            wanted.extend(cell.teacher.clone());
        }
    }
    let is_wanted = |cell: &&PreparedCell| wanted.contains(&cell.name);
    all.iter().filter(is_wanted).cloned().collect()
}

/// Puts trials that others begin with before all others; the order of the rest stays.
pub(super) fn parents_first(jobs: &mut [Job]) {
    let needed: HashMap<String, Vec<String>> = jobs
        .iter()
        .map(|job| (job.trial.cell.clone(), needs(job).cloned().collect()))
        .collect();
    let lent: HashSet<&String> = needed.values().flatten().collect();
    // A suite with a circle was refused.
    fn depth(cell: &String, needed: &HashMap<String, Vec<String>>) -> usize {
        let above = needed.get(cell).into_iter().flatten();
        above.map(|cell| 1 + depth(cell, needed)).max().unwrap_or(0)
    }
    jobs.sort_by_cached_key(|job| match lent.contains(&job.trial.cell) {
        true => depth(&job.trial.cell, &needed),
        false => usize::MAX,
    });
}

/// Makes parents a sweep's own, which judge nothing: the parts that judge train theirs themselves, and two results for one trial would
/// not fit together.
pub(super) fn serve_a_sweep_alone(jobs: &mut [Job], builds: &[Build]) {
    for Job { trial, .. } in jobs {
        trial.cell.push_str("~sweep");
        trial.arm.clone_from(&trial.cell);
        trial.lr_source = RateSource::Grid;
        let Trial {
            repeat, seed, cell, ..
        } = &*trial;
        trial.id = trial_id(&trial.spec_sha256, *repeat, *seed, cell, &builds[0]);
    }
}

/// A trial's cell, without what it is called in a sweep.
fn cell(job: &Job) -> &str {
    let name = &job.trial.cell;
    name.split_once('~').map_or(name, |(cell, _)| cell)
}

/// The cells that a trial needs.
fn needs(job: &Job) -> impl Iterator<Item = &String> {
    job.parent.iter().chain(&job.teacher)
}

/// Tells each trial which one it begins with and where that leaves its weights, in `folder`: the one of the same repeat and build,
/// among `jobs` or else `before`. A sweep's trials, whose repeats judge nothing, begin with the first repeats'.
pub(super) fn join(mut jobs: Vec<Job>, before: &[Job], folder: &Path) -> Result<Vec<Job>> {
    let lent: HashSet<String> = jobs.iter().flat_map(needs).cloned().collect();
    if lent.is_empty() {
        return Ok(jobs);
    }
    let folder = std::path::absolute(folder)
        .map_err(|error| Error::input(format!("{}: {error}", folder.display())))?;
    // What others need is never swept itself.
    let lends = |job: &Job| lent.contains(cell(job));
    let all = jobs.iter().chain(before);
    let lending: Vec<Job> = all.filter(|job| lends(job)).cloned().collect();
    for job in &mut jobs {
        if lends(job) {
            job.keep_weights = Some(folder.join(job.weights_name()));
        }
        if let Some(parent) = job.parent.clone() {
            let lender = lender(job, &parent, &lending)?;
            job.trial.parent = Some(lender.trial.id.clone());
            let path = folder.join(lender.weights_name());
            job.paths.insert(OWN[0].to_owned(), path);
        }
        if let Some(teacher) = job.teacher.clone() {
            let lender = lender(job, &teacher, &lending)?;
            job.trial.teacher = Some(lender.trial.id.clone());
            let path = folder.join(lender.weights_name());
            job.paths.insert(TEACHER[0].to_owned(), path);
        }
    }
    Ok(jobs)
}

fn lender<'a>(job: &Job, name: &str, lending: &'a [Job]) -> Result<&'a Job> {
    let same = |other: &&Job| cell(other) == name && other.trial.build == job.trial.build;
    let of_cell = || lending.iter().filter(same);
    let repeats = of_cell().map(|other| other.trial.repeat + 1).max();
    let repeat = match job.trial.in_sweep() {
        true => job.trial.repeat % repeats.unwrap_or(1),
        false => job.trial.repeat,
    };
    let mut found = of_cell().filter(|other| other.trial.repeat == repeat);
    found
        .next()
        .ok_or_else(|| Error::internal(format!("no trial of {name} for {}", job.trial.cell)))
}
