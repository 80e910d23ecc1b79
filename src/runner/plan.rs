//! From cells to jobs: which trials, in which order, under which names.
//!
//! Arms are interleaved within each repeat, so that slow drift of the machine falls on all of them. Repeats come in pairs: the second
//! runs the arms in reverse (ABBA), so that over a pair each has the same mean position; each pair starts elsewhere in the list.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::besides::Besides;
use crate::config::RateSource;
use crate::config::rate::four_digits;
use crate::record::{Build, Cost, Trial, spec_sha256};
use crate::stream::stream;
use crate::trial::Job;
use crate::trial::checkpoint::EVERY_S;

/// A cell that is settled, counted and ready to be repeated.
#[derive(Debug, Clone, PartialEq)]
pub struct PreparedCell {
    /// `gpt2/w32@800`.
    pub name: String,
    /// `gpt2`.
    pub variant: String,
    /// `w32`, or a shape's name.
    pub scale: String,
    /// Planned steps, where the cell is named by its budget.
    pub budget: Option<u64>,
    /// The cell whose trained weights it begins with.
    pub parent: Option<String>,
    /// The cell that it learns from.
    pub teacher: Option<String>,
    /// Where the learning rate comes from.
    pub lr_source: RateSource,
    /// What each of three standard normal numbers adds to ln lr in a repeat; nothing where all repeats have the same rate.
    pub loadings: [f64; 3],
    /// What those numbers follow from beside the seed: what this run swept, or the variant's name where its rates ship.
    pub drawn_by: String,
    /// Every default written out.
    pub spec: Value,
    /// Of `spec`.
    pub spec_sha256: String,
    /// Keys that name files, with where those really lie.
    pub paths: BTreeMap<String, PathBuf>,
    /// Structural cost.
    pub cost: Cost,
    /// Bytes that a training step needs beside parameters, gradients and optimizer state.
    pub activation_bytes: u64,
    /// What its trials do beside training.
    pub besides: Besides,
}

impl PreparedCell {
    /// Most memory that one of its trials needs: a guess.
    pub fn memory_bytes(&self) -> u64 {
        self.cost.state_bytes.saturating_add(self.activation_bytes)
    }
}

/// Which numbers the plan gives to repeats, builds and machines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Design<'a> {
    /// How often each cell runs.
    pub repeats: u64,
    /// Seed of repeat 0; repeat k has this plus k.
    pub first_seed: u64,
    /// The builds that run every cell, side by side within each repeat.
    pub arms: &'a [Arm<'a>],
    /// The machine's index in the result file.
    pub machine_index: u64,
}

/// A build of effbench that runs trials.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arm<'a> {
    /// `base`, `head`; none where there is only one, and each cell is its own arm.
    pub label: Option<&'a str>,
    /// The build.
    pub build: &'a Build,
    /// Its index in the result file.
    pub index: u64,
}

/// All trials in the order they are to run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Planned {
    /// One per cell and repeat; `order` counts from 0.
    pub jobs: Vec<Job>,
}

/// Plans `design.repeats` repeats of every cell.
pub fn plan(cells: &[PreparedCell], design: &Design) -> Planned {
    let mut jobs = Vec::new();
    for repeat in 0..design.repeats {
        // The builds of one cell run one after the other: what is compared lies closest together. Which is first changes
        // from repeat to repeat.
        for cell in arm_order(cells.len(), repeat, design.repeats) {
            let mut arms: Vec<&Arm> = design.arms.iter().collect();
            if repeat % 2 == 1 {
                arms.reverse();
            }
            for arm in arms {
                jobs.push(job(&cells[cell], arm, design, repeat, jobs.len() as u64));
            }
        }
    }
    Planned { jobs }
}

/// The order of `arms` arms in one repeat: pair p of P starts at p/P of the list, and its second repeat is its first reversed.
fn arm_order(arms: usize, repeat: u64, repeats: u64) -> Vec<usize> {
    let (pair, pairs) = (repeat / 2, repeats.div_ceil(2).max(1));
    let start = usize::try_from(u128::from(pair) * arms as u128 / u128::from(pairs)).unwrap_or(0);
    let mut order: Vec<usize> = (0..arms).map(|i| (start + i) % arms).collect();
    if repeat % 2 == 1 {
        order.reverse();
    }
    order
}

fn job(cell: &PreparedCell, arm: &Arm, design: &Design, repeat: u64, order: u64) -> Job {
    let seed = design.first_seed.wrapping_add(repeat);
    let name = arm.label.map_or_else(
        || cell.name.clone(),
        |label| format!("{} of {label}", cell.name),
    );
    let (lr_source, spec, sha256) = drawn(cell, seed);
    let trial = Trial {
        id: trial_id(&sha256, repeat, seed, &name, arm.build),
        cell: cell.name.clone(),
        arm: arm.label.map_or_else(|| cell.name.clone(), str::to_owned),
        repeat,
        order,
        variant: cell.variant.clone(),
        scale: cell.scale.clone(),
        budget: cell.budget,
        seed,
        lr_source,
        build: arm.index,
        machine: design.machine_index,
        spec,
        spec_sha256: sha256,
        cost: Some(cell.cost.clone()),
        ..Trial::blank()
    };
    Job {
        trial,
        paths: cell.paths.clone(),
        parent: cell.parent.clone(),
        teacher: cell.teacher.clone(),
        peak_flops_per_s: None,
        stream_bytes_per_s: None,
        checkpoint: None,
        keep_weights: None,
        checkpoint_every_s: EVERY_S,
    }
}

/// A repeat's own learning rate, where the cell's comes from a surface.
fn drawn(cell: &PreparedCell, seed: u64) -> (RateSource, Value, String) {
    let mut spec = cell.spec.clone();
    match (&cell.lr_source, spec.pointer_mut("/train/optimizer/lr")) {
        (RateSource::Surface { ln_lr, .. }, Some(lr)) if cell.loadings != [0.0; 3] => {
            let draw = draw(&cell.drawn_by, cell.loadings, seed);
            *lr = four_digits((ln_lr + draw).exp()).into();
            let mut source = cell.lr_source.clone();
            if let RateSource::Surface {
                draw: of_source, ..
            } = &mut source
            {
                *of_source = draw;
            }
            let sha256 = spec_sha256(&spec);
            (source, spec, sha256)
        }
        _ => (cell.lr_source.clone(), spec, cell.spec_sha256.clone()),
    }
}

/// What a repeat adds to ln lr: of a surface drawn from the fitted one's uncertainty, the same for all cells with this key at this
/// seed, and the same whoever draws it again.
pub fn draw(key: &str, loadings: [f64; 3], seed: u64) -> f64 {
    let mut normals = stream(&format!("rate/{key}"), seed, 0);
    let parts = loadings.iter().map(|loading| loading * normals.normal());
    parts.sum()
}

/// 16 hexadecimal digits that are equal only for the same settled spec, repeat, seed, arm and build.
pub fn trial_id(spec_sha256: &str, repeat: u64, seed: u64, arm: &str, build: &Build) -> String {
    let key = serde_json::json!([spec_sha256, repeat, seed, arm, build]);
    let hash = blake3::hash(key.to_string().as_bytes());
    hash.to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests;
