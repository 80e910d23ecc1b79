//! The JSON Schema that `effbench schema` prints, held against what is really written.

use effbench::record::{RateSource, json_schema, metric, store};
use serde_json::{Value, json};

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/quick.json")).unwrap()
}

#[test]
fn the_schema_is_one_and_accepts_what_is_written() {
    let schema = json_schema();
    assert!(jsonschema::meta::is_valid(&schema));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(&fixture())
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

/// What `compare --format json` prints, over real files: two sessions, arms, another machine's ratios.
#[test]
fn the_schema_of_comparisons_is_one_and_accepts_what_is_printed() {
    let schema = effbench::report::compare::json_schema();
    assert!(jsonschema::meta::is_valid(&schema));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut other = fixture();
    other["machines"][0]["class_id"] = json!("arm-4c-linux");
    let path = folder.path().join("other.json");
    std::fs::write(&path, other.to_string()).unwrap();
    let quick = "tests/fixtures/one_width/quick-epyc-19h-2c-linux.json";
    let (gain, origin) = (
        "tests/fixtures/one_width/gain-epyc-19h-2c-linux.json",
        "results/origin-epyc-19h-2c-linux.json",
    );
    let rows: [&[&str]; 4] = [
        &[gain, origin],
        &[quick, "--base-arm", "gpt2", "--new-arm", "llama"],
        &["tests/fixtures/quick.json", path.to_str().unwrap()],
        &[
            "tests/fixtures/quick.json",
            quick,
            "--accept",
            "*:params_total=another one",
        ],
    ];
    for args in rows {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_effbench"));
        command
            .arg("compare")
            .args(args)
            .args(["--format", "json"])
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        let mut found: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&found)
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect();
        assert!(
            errors.is_empty() && !found["rows"].as_array().unwrap().is_empty(),
            "{args:?}: {errors:#?}"
        );
        found["exit_code"] = json!(2);
        assert!(!validator.is_valid(&found), "no comparison ends so");
    }
}

/// A file of schema 1 says in words where a rate is from: it is read for what they meant, whatever the names in them.
#[test]
fn files_of_the_schema_before_are_read() {
    let words = [
        "tuned: knowl-edge.json",
        "tuned here: 6 rates x 1 seed (at its grid's edge)",
        "grid",
        "--set",
    ];
    let mut old = fixture();
    old["schema"] = json!("effbench.result/1");
    for (trial, words) in old["trials"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .zip(words.iter().cycle())
    {
        trial["lr_source"] = json!(words);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.json");
    std::fs::write(&path, old.to_string()).unwrap();
    let read = store::read_valid(&path).unwrap();
    let of = |k: usize| &read.trials[k].lr_source;
    let exact = |from: &str, scale| RateSource::Tuned {
        from: from.to_owned(),
        exact: true,
        scale,
        steps: None,
        edge: false,
    };
    assert_eq!(of(0), &exact("knowl-edge.json", None));
    assert!(
        of(0).is_settled(),
        "a file's name says nothing of its rates"
    );
    assert_eq!(
        of(1),
        &RateSource::Swept {
            rates: 6,
            seeds: 1,
            edge: true
        }
    );
    assert!(read.trials[2].in_sweep() && of(3) == &RateSource::Set);
    let written = serde_json::to_value(&read).unwrap();
    assert!(
        jsonschema::is_valid(&json_schema(), &written),
        "what was read is written as the schema of today"
    );
    assert!(!jsonschema::is_valid(&json_schema(), &old));
}

/// The files that are shipped, whatever schema they have.
#[test]
fn every_shipped_result_says_where_its_rates_are_from() {
    for entry in std::fs::read_dir("results").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let file = store::read_valid(&path).unwrap();
        let unknown = file
            .trials
            .iter()
            .find(|t| matches!(t.lr_source, RateSource::Unknown { .. }));
        assert!(
            unknown.is_none(),
            "{}: {:?}",
            path.display(),
            unknown.map(|t| &t.lr_source)
        );
    }
}

/// Each spoils one place of a good file.
#[test]
fn the_schema_refuses_what_is_not_a_result() {
    type Spoil = fn(&mut Value);
    let rows: [(&str, Spoil); 8] = [
        ("another schema", |v| {
            v["schema"] = json!("effbench.result/3")
        }),
        ("no trials", |v| {
            drop(v.as_object_mut().unwrap().remove("trials"))
        }),
        ("an unknown status", |v| {
            v["trials"][0]["status"] = json!("fine")
        }),
        ("a negative repeat", |v| {
            v["trials"][0]["repeat"] = json!(-1)
        }),
        ("a word for a number", |v| {
            v["trials"][0]["metrics"]["mfu"]["value"] = json!("NaN")
        }),
        ("an unknown direction", |v| {
            v["trials"][0]["metrics"]["mfu"]["better"] = json!("up")
        }),
        ("a null in a column", |v| {
            v["trials"][0]["curve"]["wall_s"][0] = Value::Null
        }),
        ("no unit", |v| {
            drop(
                v["trials"][0]["metrics"]["mfu"]
                    .as_object_mut()
                    .unwrap()
                    .remove("unit"),
            )
        }),
    ];
    let validator = jsonschema::validator_for(&json_schema()).unwrap();
    for (what, spoil) in rows {
        let mut file = fixture();
        spoil(&mut file);
        assert!(!validator.is_valid(&file), "{what} is accepted");
    }
}

/// Where an object stands, and the names that it has, between spaces.
const NAMES: [(&str, &str); 6] = [
    ("", "schema run builds machines calibrations trials"),
    ("/run", "suite command base started_at finished_at"),
    (
        "/trials/0",
        "id cell arm repeat order variant scale seed lr_source build machine status reason spec spec_sha256 cost curve metrics \
         energy validity",
    ),
    (
        "/trials/0/cost",
        "params_total params_non_embedding params_active embedding_share forward_flops_per_token train_flops_per_token \
         train_flops_per_sequence train_flops optimizer_flops tuning_flops kv_bytes_per_token",
    ),
    (
        "/trials/0/curve",
        "step tokens train_flops wall_s energy_j train_loss_nats val_loss_nats",
    ),
    (
        "/trials/0/metrics/mfu",
        "value unit better kind n sd samples reason",
    ),
];

#[test]
fn the_binding_names_are_there() {
    let file = fixture();
    for (place, names) in NAMES {
        let object = file.pointer(place).unwrap();
        for name in names.split(' ') {
            assert!(object.get(name).is_some(), "{place}: `{name}` is missing");
        }
    }
    assert_eq!(metric::REGISTRY.len(), 43);
}
