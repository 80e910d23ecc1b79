//! Tests of `identity`.

use std::path::Path;

use serde_json::json;

use super::*;
use crate::record::RateSource;
use crate::record::example::example;
use crate::record::pool::pool;
use crate::record::store;

fn shipped(name: &str) -> ResultFile {
    store::read_valid(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/one_width")
            .join(name),
    )
    .unwrap()
}

/// The example's first trial, its spec changed at a place.
fn with(pointer: &str, value: Value) -> Trial {
    let mut trial = example().trials[0].clone();
    let (table, key) = pointer.rsplit_once('/').unwrap();
    trial.spec.pointer_mut(table).unwrap()[key] = value;
    trial.spec_sha256 = crate::record::spec_sha256(&trial.spec);
    trial
}

#[test]
fn what_makes_another_cell_and_what_does_not() {
    let first = example().trials[0].clone();
    let rows: [(&str, Value, &str); 9] = [
        ("/train/batch", 8.into(), "train.batch 16 against 8"),
        ("/model/width", 48.into(), "model.width 32 against 48"),
        ("/train/clip", 1.into(), "train.clip absent against 1"),
        ("/data/vocab", 256.into(), "data.vocab 128 against 256"),
        ("/train/batch", json!(16.0), ""),
        ("/compute/device", "cuda:0".into(), ""),
        ("/compute/dtype", "bf16".into(), ""),
        ("/train/seed", 7.into(), ""),
        (
            "/train/optimizer/lr",
            0.02.into(),
            "train.optimizer.lr absent against chosen by the program",
        ),
    ];
    for (pointer, value, expected) in rows {
        let other = with(pointer, value);
        let found = unlike(&first, &other);
        assert_eq!(in_words(&found), expected);
        assert_eq!(same_cell(&first, &other), expected.is_empty(), "{pointer}");
        assert_eq!(
            cell_id(&first) == cell_id(&other),
            expected.is_empty(),
            "{pointer}"
        );
    }
    let computed_elsewhere = with("/compute/dtype", "bf16".into());
    assert_ne!(computed(&first), computed(&computed_elsewhere));
}

#[test]
fn a_rate_counts_where_somebody_asked_for_it() {
    let [low, high] = [0.01, 0.02].map(|lr| with("/train/optimizer/lr", lr.into()));
    let rows = [
        ("tuned: sweep.json", true),
        ("tuned here: 6 rates x 1 seed", true),
        ("untuned default", true),
        ("--set", false),
        ("suite mine", false),
        ("grid", false),
    ];
    for (source, same) in rows {
        let [low, high] = [&low, &high].map(|trial| Trial {
            lr_source: RateSource::of_words(source),
            ..trial.clone()
        });
        assert_eq!(same_cell(&low, &high), same, "{source}");
    }
    let asked = Trial {
        lr_source: RateSource::Set,
        ..low.clone()
    };
    assert_eq!(
        in_words(&unlike(&low, &asked)),
        "train.optimizer.lr chosen by the program against 0.01"
    );
}

#[test]
fn neither_the_order_of_keys_nor_the_place_of_a_text_counts() {
    let first = example().trials[0].clone();
    let mut turned = first.clone();
    let keys: Vec<(String, Value)> = first
        .spec
        .as_object()
        .unwrap()
        .clone()
        .into_iter()
        .rev()
        .collect();
    turned.spec = Value::Object(keys.into_iter().collect());
    assert!(same_cell(&first, &turned) && cell_id(&first) == cell_id(&turned));
    let mut text = [first.clone(), first.clone(), first];
    for (trial, (path, hash)) in
        text.iter_mut()
            .zip([("a.txt", "1"), ("b.txt", "1"), ("a.txt", "2")])
    {
        trial.spec["data"] = json!({"kind": "text", "path": path, "blake3": hash});
    }
    assert!(same_cell(&text[0], &text[1]) && !same_cell(&text[0], &text[2]));
}

#[test]
fn many_differences_are_counted() {
    let unlike = |key: &str| Unlike {
        key: key.to_owned(),
        base: Some("1".to_owned()),
        new: None,
    };
    let many: Vec<Unlike> = ["a", "b", "c", "d", "e"].map(unlike).to_vec();
    assert_eq!(
        in_words(&many),
        "a 1 against absent, b 1 against absent, c 1 against absent and 2 more"
    );
    assert!(!many[0].contradicts());
}

/// `quick` trains with 512 tokens a step, the `gain` suite with 1024: one name, two cells.
#[test]
fn shipped_files_use_one_name_for_two_cells() {
    let (quick, gain) = (
        shipped("quick-epyc-19h-2c-linux.json"),
        shipped("gain-epyc-19h-2c-linux.json"),
    );
    let of = |file: &ResultFile| {
        file.trials
            .iter()
            .find(|t| t.cell == "gpt2/w32@400")
            .unwrap()
            .clone()
    };
    let (of_quick, of_gain) = (of(&quick), of(&gain));
    assert!(!same_cell(&of_quick, &of_gain));
    let found = unlike(&of_quick, &of_gain);
    assert!(found.iter().all(Unlike::contradicts), "{found:?}");
    assert!(
        in_words(&found).contains("train.batch"),
        "{}",
        in_words(&found)
    );
    for file in [quick, gain] {
        let mut ids: BTreeMap<&str, String> = BTreeMap::new();
        for trial in &file.trials {
            let id = ids.entry(&trial.cell).or_insert_with(|| cell_id(trial));
            assert_eq!(
                *id,
                cell_id(trial),
                "repeats of {} are one cell",
                trial.cell
            );
        }
        let names = ids.len();
        let mut cells: Vec<String> = ids.into_values().collect();
        cells.sort_unstable();
        cells.dedup();
        assert_eq!(cells.len(), names, "two names of one file are two cells");
    }
}

#[test]
fn a_merged_file_beside_its_parts_brings_nothing_new() {
    let (quick, gain) = (
        shipped("quick-epyc-19h-2c-linux.json"),
        shipped("gain-epyc-19h-2c-linux.json"),
    );
    let merged = pool(vec![
        ("a".to_owned(), gain.clone()),
        ("b".to_owned(), quick.clone()),
    ])
    .unwrap();
    let mut known = Known::default();
    let mut count =
        |file: &'static ResultFile| file.trials.iter().filter(|t| known.insert(t, file)).count();
    let [quick, gain, merged] = [quick, gain, merged].map(|file| &*Box::leak(Box::new(file)));
    assert_eq!(
        [count(quick), count(gain), count(merged), count(quick)],
        [32, 297, 0, 0]
    );
}

#[test]
fn another_night_another_machine_and_another_build_are_other_trials() {
    let first = example();
    let mut others = [
        example(),
        example(),
        example(),
        example(),
        example(),
        example(),
    ];
    others[0].trials[0].started_at = "2026-11-22T10:00:00Z".to_owned();
    others[1].machines[0].strict_id = "another".to_owned();
    others[2].builds[0].executable_id = Some("another".to_owned());
    others[3].trials[0].order = 99;
    others[4].run.started_at = "2026-11-21T09:00:00Z".to_owned();
    (others[5].run.started_at, others[5].run.finished_at) = (
        "2026-11-01T09:00:00Z".to_owned(),
        Some("2026-11-01T09:03:00Z".to_owned()),
    );
    let same = others
        .each_ref()
        .map(|f| same_trial((&first.trials[0], &first), (&f.trials[0], f)));
    assert_eq!(
        same,
        [false, false, false, true, false, true],
        "the last is a merged file by hand"
    );
}
