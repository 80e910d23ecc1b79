//! From cells to jobs: which trials, in which order, under which names.
//!
//! Arms are interleaved within each repeat, so that slow drift of the machine falls on all of them. Repeats come in pairs: the second
//! runs the arms in reverse (ABBA), so that over a pair each has the same mean position; each pair starts elsewhere in the list.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::config::RateSource;
use crate::config::rate::four_digits;
use crate::record::{Build, Cost, Trial, spec_sha256};
use crate::stream::stream;
use crate::trial::Job;
use crate::trial::checkpoint::EVERY_S;

/// What a trial does beside training.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Besides {
    /// Seconds that settling took here, which each trial does again: reading a text, training a tokenizer.
    pub settle_s: f64,
    /// Tokens of all evaluations.
    pub evaluated_tokens: f64,
    /// Tokens that are put into a cache, prompted and generated at the least.
    pub served_tokens: f64,
    /// What serving takes.
    pub served: Served,
    /// What answering problems takes.
    pub asked: Decoded,
}

/// Prompts and what is generated behind them, again and again.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Served {
    /// FLOPs of what is put into the cache once.
    pub fill_flops: f64,
    /// FLOPs of the prompts of all sequences.
    pub prompt_flops: f64,
    /// What follows them.
    pub decoded: Decoded,
    /// Repetitions at the least.
    pub least: f64,
    /// Seconds for which it is repeated.
    pub window_s: f64,
}

/// Steps of decoding, a token of every sequence each.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Decoded {
    /// How many.
    pub steps: f64,
    /// FLOPs of one.
    pub step_flops: f64,
    /// Bytes of weights and cache that one reads.
    pub step_bytes: f64,
}

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
            let draw = draw(&cell.variant, cell.loadings, seed);
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

/// What a repeat adds to ln lr: of a surface drawn from the fitted one's uncertainty, the same for all cells of a variant at this
/// seed, and the same whoever draws it again.
pub fn draw(variant: &str, loadings: [f64; 3], seed: u64) -> f64 {
    let mut normals = stream(&format!("rate/{variant}"), seed, 0);
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
mod tests {
    use super::*;
    use std::collections::{BTreeMap, HashSet};

    fn build(version: &str) -> Build {
        Build {
            version: version.into(),
            commit: None,
            dirty: None,
            features: vec![],
            rustc: None,
            profile: "debug".into(),
            target_features: vec![],
            executable_id: None,
        }
    }

    fn cell(name: &str, flops: f64) -> PreparedCell {
        PreparedCell {
            name: name.into(),
            variant: name.into(),
            scale: "w32".into(),
            budget: None,
            parent: None,
            teacher: None,
            lr_source: RateSource::Untuned,
            loadings: [0.0; 3],
            spec: Value::Null,
            spec_sha256: format!("hash of {name}"),
            paths: BTreeMap::new(),
            cost: Cost {
                params_total: 1,
                params_non_embedding: 1,
                params_active: 1,
                params_by_part: BTreeMap::new(),
                embedding_share: 0.0,
                forward_flops_per_token: 1.0,
                train_flops_per_token: 3.0,
                train_flops_per_sequence: 3,
                train_flops_per_sequence_causal: None,
                six_n_flops_per_token: 6.0,
                train_flops: flops,
                train_flops_full_square: None,
                optimizer_flops: 1.0,
                train_labels: None,
                tuning_flops: None,
                train_tokens: 1,
                kv_bytes_per_token: 1,
                cache_bytes_per_window: None,
                token_flops: None,
                state_bytes: flops as u64,
            },
            activation_bytes: 5,
            besides: Besides::default(),
        }
    }

    fn planned(names: &[&str], repeats: u64, version: &str) -> Planned {
        let cells: Vec<PreparedCell> = names.iter().map(|name| cell(name, 10.0)).collect();
        let build = build(version);
        let arms = [Arm {
            label: None,
            build: &build,
            index: 0,
        }];
        plan(
            &cells,
            &Design {
                repeats,
                first_seed: 40,
                arms: &arms,
                machine_index: 0,
            },
        )
    }

    #[test]
    fn arms_are_interleaved_and_reversed_within_each_pair_of_repeats() {
        let check = |names: &[&str], repeats, expected: &[&str]| {
            let jobs = planned(names, repeats, "1").jobs;
            let rows: Vec<String> = jobs
                .chunks(names.len().max(1))
                .map(|repeat| repeat.iter().map(|job| job.trial.cell.as_str()).collect())
                .collect();
            assert_eq!(rows, expected);
            for (order, job) in jobs.iter().enumerate() {
                assert_eq!(
                    (job.trial.order, job.trial.seed),
                    (order as u64, 40 + job.trial.repeat)
                );
            }
        };
        check(&["a", "b", "c", "d"], 4, &["abcd", "dcba", "cdab", "badc"]);
        check(&["a", "b", "c"], 5, &["abc", "cba", "bca", "acb", "cab"]);
        check(&["a"], 3, &["a", "a", "a"]);
        check(&["a", "b"], 0, &[]);
        check(&[], 2, &[]);
    }

    /// Cells of a variant share the surface of a repeat, repeats and variants do not, and the record says what was drawn.
    /// Three variants: two cells of the first, and a third whose surface is known for certain.
    fn cells_with_surfaces() -> [PreparedCell; 4] {
        let of = |name: &str, variant: &str, ln_lr: f64, loadings| {
            let spec = serde_json::json!({"train": {"optimizer": {"lr": ln_lr.exp()}}});
            let lr_source = RateSource::Surface {
                from: None,
                ln_lr,
                se: 0.1,
                draw: 0.0,
                cost_nats: 0.0,
                edge: false,
                beyond: false,
            };
            let (name, variant, spec_sha256) =
                (name.to_owned(), variant.to_owned(), spec_sha256(&spec));
            PreparedCell {
                name,
                variant,
                lr_source,
                loadings,
                spec,
                spec_sha256,
                ..cell("x", 1.0)
            }
        };
        [
            of("a@1", "a", -4.0, [0.1, 0.0, 0.0]),
            of("a@2", "a", -5.0, [0.1, 0.02, 0.0]),
            of("b@1", "b", -4.0, [0.1, 0.0, 0.0]),
            of("c@1", "c", -4.0, [0.0; 3]),
        ]
    }

    #[test]
    fn every_repeat_draws_a_surface_for_each_variant() {
        let cells = cells_with_surfaces();
        let build = build("1");
        let arms = [Arm {
            label: None,
            build: &build,
            index: 0,
        }];
        let jobs = plan(
            &cells,
            &Design {
                repeats: 200,
                first_seed: 1,
                arms: &arms,
                machine_index: 0,
            },
        )
        .jobs;
        let draws = |name: &str| -> Vec<f64> {
            let mut jobs: Vec<_> = jobs.iter().filter(|job| job.trial.cell == name).collect();
            jobs.sort_by_key(|job| job.trial.repeat);
            let draw = |job: &&Job| {
                let RateSource::Surface { ln_lr, draw, .. } = job.trial.lr_source else {
                    panic!()
                };
                let lr = job.trial.spec["train"]["optimizer"]["lr"].as_f64().unwrap();
                assert!(
                    (lr.ln() - ln_lr - draw).abs() < 1e-3
                        && job.trial.spec_sha256 == spec_sha256(&job.trial.spec)
                );
                draw
            };
            jobs.iter().map(draw).collect()
        };
        let (a, other_length, b) = (draws("a@1"), draws("a@2"), draws("b@1"));
        let mean_square =
            |draws: &[f64]| draws.iter().map(|d| d * d).sum::<f64>() / draws.len() as f64;
        assert!(
            (mean_square(&a).sqrt() / 0.1 - 1.0).abs() < 0.2,
            "its standard error is drawn"
        );
        let apart: Vec<f64> = a.iter().zip(&other_length).map(|(a, b)| a - b).collect();
        assert!(
            mean_square(&apart).sqrt() < 0.03,
            "one surface for all cells of a variant in a repeat"
        );
        let product = a.iter().zip(&b).map(|(a, b)| a * b).sum::<f64>() / 200.0;
        assert!(
            (product / 0.01).abs() < 0.3,
            "another variant draws another"
        );
        assert!(draws("c@1").iter().all(|draw| *draw == 0.0));
    }

    #[test]
    fn over_a_pair_of_repeats_every_arm_has_the_same_mean_position() {
        let jobs = planned(&["a", "b", "c", "d", "e"], 6, "1").jobs;
        for pair in jobs.chunks(10) {
            let mut sums = BTreeMap::new();
            for (position, job) in pair.iter().enumerate() {
                *sums.entry(&job.trial.cell).or_insert(0) += position;
            }
            assert!(sums.values().all(|sum| *sum == 9), "{sums:?}");
        }
    }

    /// Two builds of a cell are neighbours in every repeat, each first as often as the other, and never one trial.
    #[test]
    fn builds_take_turns_within_each_cell() {
        let cells = [cell("a", 1.0), cell("b", 1.0)];
        let build = build("1");
        let arms = [("base", 0), ("head", 1)].map(|(label, index)| Arm {
            label: Some(label),
            build: &build,
            index,
        });
        let jobs = plan(
            &cells,
            &Design {
                repeats: 4,
                first_seed: 1,
                arms: &arms,
                machine_index: 0,
            },
        )
        .jobs;
        let pairs: Vec<[&str; 3]> = jobs
            .chunks(2)
            .map(|two| {
                [
                    &*two[0].trial.cell,
                    two[0].trial.arm.as_str(),
                    two[1].trial.arm.as_str(),
                ]
            })
            .collect();
        assert_eq!(pairs[..2], [["a", "base", "head"], ["b", "base", "head"]]);
        assert_eq!(pairs[2..4], [["b", "head", "base"], ["a", "head", "base"]]);
        assert!(
            jobs.chunks(2)
                .all(|two| two[0].trial.cell == two[1].trial.cell
                    && two[0].trial.seed == two[1].trial.seed)
        );
        assert_eq!(
            jobs.iter()
                .map(|job| &job.trial.id)
                .collect::<HashSet<_>>()
                .len(),
            16
        );
        assert_eq!((jobs[0].trial.build, jobs[1].trial.build), (0, 1));
    }

    #[test]
    fn ids_tell_trials_apart_and_come_back_the_same() {
        let ids = |version| -> Vec<String> {
            planned(&["a", "b", "c"], 4, version)
                .jobs
                .into_iter()
                .map(|job| job.trial.id)
                .collect()
        };
        let distinct: HashSet<String> = ids("1").into_iter().chain(ids("2")).collect();
        assert_eq!(distinct.len(), 24);
        assert_eq!(ids("1"), ids("1"));
        assert!(
            ids("1")
                .iter()
                .all(|id| id.len() == 16 && id.chars().all(|c| c.is_ascii_hexdigit()))
        );
    }
}
