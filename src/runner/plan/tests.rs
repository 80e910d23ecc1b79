//! Orders, names and drawn rates of planned trials.

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
        drawn_by: name.into(),
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

/// A repeat's rate follows from what was swept and the seed; what a variant's file is called decides nothing.
#[test]
fn the_same_under_another_name_draws_the_same_rates() {
    let lr = |name: &str, drawn_by: &str| {
        let mut cell = cell(name, 1.0);
        cell.lr_source = RateSource::Surface {
            from: None,
            ln_lr: 0.01f64.ln(),
            se: 0.2,
            draw: 0.0,
            cost_nats: 0.01,
            edge: false,
            beyond: false,
        };
        (cell.loadings, cell.drawn_by) = ([0.2, 0.0, 0.0], drawn_by.to_owned());
        cell.spec = serde_json::json!({"train": {"optimizer": {"lr": 0.01}}});
        drawn(&cell, 1).1
    };
    assert_eq!(lr("mine", "specs"), lr("theirs", "specs"));
    assert_ne!(lr("mine", "specs"), lr("mine", "other specs"));
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
            drawn_by: variant.clone(),
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
    let mean_square = |draws: &[f64]| draws.iter().map(|d| d * d).sum::<f64>() / draws.len() as f64;
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
    assert!(jobs.chunks(2).all(
        |two| two[0].trial.cell == two[1].trial.cell && two[0].trial.seed == two[1].trial.seed
    ));
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
