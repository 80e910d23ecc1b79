//! The command line from outside: exit codes, what goes where, and what bad files are told.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const GOOD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/quick.json");

fn effbench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_effbench"))
        .args(args)
        .env_remove("NO_COLOR")
        .output()
        .unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder with a copy of the good file in which `from` is replaced by `to`.
fn spoiled(from: &str, to: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.json");
    let good = fs::read_to_string(GOOD).unwrap();
    assert!(good.contains(from), "{from} is not in the fixture");
    fs::write(&path, good.replacen(from, to, 1)).unwrap();
    (folder, path)
}

#[test]
fn usage_exits_with_2_and_help_with_0() {
    // The judge takes any other word for a command of the whole program, and answers itself.
    let whole = cfg!(feature = "run");
    let rows: [(&[&str], i32, &str, &str); 8] = [
        (&["--help"], 0, "Exit codes:", ""),
        (&["--version"], 0, "effbench 0.", ""),
        (&["help", "validate"], 0, "effbench validate results/", ""),
        (&["validate", "--help"], 0, "effbench validate results/", ""),
        (&[], 2, "", "Usage: effbench"),
        (
            &["scheme"],
            2,
            "",
            if whole {
                "'schema'"
            } else {
                "did you mean `schema`?"
            },
        ),
        (&["validate"], 2, "", "<FILE>"),
        (
            &["run", "--resume", "--fresh"],
            2,
            "",
            if whole {
                "cannot be used with"
            } else {
                "the judge only"
            },
        ),
    ];
    for (args, expected, out, err) in rows {
        let output = effbench(args);
        assert_eq!(code(&output), expected, "{args:?}");
        assert!(
            text(&output.stdout).contains(out),
            "{args:?}: {}",
            text(&output.stdout)
        );
        assert!(
            text(&output.stderr).contains(err),
            "{args:?}: {}",
            text(&output.stderr)
        );
        assert_eq!(
            output.stdout.is_empty(),
            out.is_empty(),
            "{args:?}: data on stdout, everything else on stderr"
        );
        assert!(
            !text(&output.stdout).contains('\u{1b}') && !text(&output.stderr).contains('\u{1b}'),
            "{args:?}: colour"
        );
    }
}

#[test]
fn a_good_file_is_valid() {
    let output = effbench(&["validate", GOOD]);
    assert_eq!((code(&output), text(&output.stderr)), (0, String::new()));
    assert_eq!(
        text(&output.stdout),
        format!("{GOOD}: valid, effbench.result/2, 20 trials (20 ok)\n")
    );
}

#[test]
fn a_folder_stands_for_the_result_files_in_it() {
    let (folder, _bad) = spoiled("\"lr_source\"", "\"lr\"");
    fs::copy(GOOD, folder.path().join("good.json")).unwrap();
    fs::write(folder.path().join("notes.txt"), "none of them").unwrap();
    let output = effbench(&["validate", folder.path().to_str().unwrap()]);
    let out = text(&output.stdout);
    assert!(
        out.contains("bad.json: not a result file: missing field `lr_source`"),
        "{out}"
    );
    assert!(out.contains("good.json: valid"), "{out}");
    assert!(text(&output.stderr).contains("error: 1 of 2 files not valid"));
    let empty = tempfile::tempdir().unwrap();
    let output = effbench(&["gain", empty.path().to_str().unwrap()]);
    assert!(text(&output.stderr).contains("no result file in this folder"));
}

#[test]
fn a_bad_file_is_told_what_is_wrong_and_what_would_do() {
    let good = fs::read_to_string(GOOD).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.json");
    fs::write(&cut, &good[..good.len() / 2]).unwrap();
    let binary = folder.path().join("binary.json");
    fs::write(&binary, [0, 159, 146, 150]).unwrap();
    let empty = folder.path().join("empty.json");
    fs::write(&empty, "").unwrap();
    let newer = spoiled("effbench.result/2", "effbench.result/9");
    let not_a_number = spoiled(
        "\"embedding_share\": 0.",
        "\"embedding_share\": NaN, \"x\": 0.",
    );
    let unit = spoiled("\"unit\": \"tokens/s\"", "\"unit\": \"tok/s\"");
    let missing = spoiled("\"lr_source\"", "\"lr\"");
    let hash = spoiled("\"vocab\": 128", "\"vocab\": 129");
    let rows = [
        (cut, "not JSON: EOF while parsing", "cut off"),
        (
            binary,
            "not JSON: expected value at line 1 column 1",
            "no NaN",
        ),
        (empty, "not JSON: EOF", "empty or cut off"),
        (
            folder.path().join("none.json"),
            "cannot be read: no such file",
            "",
        ),
        (
            newer.1,
            "schema `effbench.result/9` is newer than this build reads",
            "a newer one",
        ),
        (not_a_number.1, "not JSON: expected value at line", "no NaN"),
        (
            unit.1,
            "metrics.train_tokens_per_s.unit: `tok/s`, expected `tokens/s`",
            "",
        ),
        (
            missing.1,
            "missing field `lr_source` at line",
            "effbench schema",
        ),
        (
            hash.1,
            "trials[0] (gpt2/w32@400, repeat 0).spec_sha256: does not match the spec",
            "",
        ),
    ];
    for (path, says, hint) in rows {
        let output = effbench(&["validate", path.to_str().unwrap(), GOOD]);
        let out = text(&output.stdout);
        assert_eq!(code(&output), 2, "{}: {out}", path.display());
        assert!(out.contains(says), "{}: {out}", path.display());
        assert!(out.contains(hint), "{}: {out}", path.display());
        assert!(
            out.contains(&format!("{GOOD}: valid")),
            "the good file beside it is looked at too: {out}"
        );
        assert!(
            text(&output.stderr).contains("error: 1 of 2 files not valid"),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn programs_get_one_json_document() {
    let (_folder, bad) = spoiled("\"unit\": \"tokens/s\"", "\"unit\": \"tok/s\"");
    let output = effbench(&["validate", GOOD, bad.to_str().unwrap(), "--format", "json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(code(&output), 2);
    assert_eq!(document["files"][0]["valid"], true);
    assert_eq!(document["files"][0]["trials"], 20);
    assert_eq!(document["files"][1]["valid"], false);
    assert_eq!(
        document["files"][1]["problems"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn the_schema_is_printed_and_accepts_the_good_file() {
    let output = effbench(&["schema"]);
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(code(&output), 0);
    assert_eq!(schema, effbench::record::json_schema());
    let good: Value = serde_json::from_str(&fs::read_to_string(GOOD).unwrap()).unwrap();
    assert!(jsonschema::is_valid(&schema, &good));
}

#[test]
fn every_shell_gets_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = effbench(&["completions", shell]);
        assert_eq!(code(&output), 0, "{shell}");
        assert!(text(&output.stdout).contains("validate"), "{shell}");
    }
    assert_eq!(code(&effbench(&["completions", "tcsh"])), 2);
}

#[test]
fn nobody_reading_is_a_success() {
    for args in [
        &["schema"][..],
        &["completions", "bash"],
        &["validate", GOOD],
        &["--help"],
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_effbench"))
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            (code(&output), text(&output.stderr)),
            (0, String::new()),
            "{args:?}"
        );
    }
}

/// Keys are explained in one place, the program: the page about them is what it prints.
#[cfg(feature = "run")]
#[test]
fn the_page_about_keys_is_what_the_program_says() {
    let printed = effbench(&["list", "keys", "--format", "markdown"]);
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/keys.md")).unwrap();
    let remedy = "`effbench list keys --format markdown --out docs/keys.md` writes it";
    assert!(
        text(&printed.stdout) == page,
        "docs/keys.md is out of date: {remedy}"
    );
}

/// What the changes that ship are worth is what the committed results say, and the page says that.
#[cfg(feature = "run")]
#[test]
fn what_changes_are_worth_is_what_results_say() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let results = MEASURED.map(|name| root.join("results").join(name));
    let results = results.map(|path| path.to_string_lossy().into_owned());
    let of_results = [
        &["list", "changes", "--format", "json", "--measured"][..],
        &results.each_ref().map(String::as_str),
    ];
    let found = effbench(&of_results.concat()).stdout;
    let shipped = fs::read(root.join("docs/measured.json")).unwrap();
    assert!(
        found == shipped,
        "`effbench list changes --measured results/{} --out docs/measured.json` writes it",
        MEASURED.join(" results/")
    );
    let page = effbench(&["list", "changes", "--format", "markdown"]).stdout;
    assert!(
        page == fs::read(root.join("docs/zoo.md")).unwrap(),
        "`effbench list changes --format markdown --out docs/zoo.md` writes it"
    );
}

/// The results that changes are priced by.
#[cfg(feature = "run")]
const MEASURED: [&str; 4] = [
    "zoo-epyc-19h-1c-linux.json",
    "mixers-epyc-19h-1c-linux.json",
    "gain-epyc-19h-2c-linux.json",
    "gain-text-xeon-6h-2c-linux.json",
];

/// A part of the keys is listed alone, for people and for programs.
#[cfg(feature = "run")]
#[test]
fn keys_are_listed_by_table_and_by_name() {
    let json = |args: &[&str]| -> Value {
        let args = [&["list", "keys"], args, &["--format", "json"]].concat();
        serde_json::from_slice(&effbench(&args).stdout).unwrap()
    };
    let clip = json(&["train.clip"]);
    assert_eq!(clip[0]["key"], "train.clip");
    assert_eq!(clip[0]["default"], 1.0);
    assert_eq!(clip[0]["schema"]["maximum"], 1e9);
    let of_optimizers = json(&["train.optimizer"]);
    let of_optimizers = of_optimizers.as_array().unwrap();
    assert!(
        of_optimizers
            .iter()
            .all(|key| key["key"].as_str().unwrap().starts_with("train.optimizer."))
    );
    let decays: Vec<&Value> = of_optimizers
        .iter()
        .filter(|key| key["key"] == "train.optimizer.weight_decay")
        .map(|key| &key["kinds"])
        .collect();
    assert_eq!(
        decays,
        [
            &serde_json::json!([
                "adamw",
                "muon",
                "schedule-free",
                "normuon",
                "soap",
                "shampoo",
                "adafactor",
                "adam-mini",
                "ademamix",
                "mars"
            ]),
            &serde_json::json!(["sgd"]),
            &serde_json::json!(["lion"]),
            &serde_json::json!(["sophia"])
        ]
    );
    let csv = text(&effbench(&["list", "keys", "--format", "csv"]).stdout);
    assert_eq!(csv.lines().count(), 1 + json(&[]).as_array().unwrap().len());
}

/// A key that is none is refused with what may have been meant.
#[cfg(feature = "run")]
#[test]
fn a_misspelt_key_is_told_its_neighbours() {
    let rows: [(&[&str], &str); 6] = [
        (
            &["list", "keys", "lr"],
            "did you mean `train.optimizer.lr`?",
        ),
        (&["list", "suites", "train"], "list keys PREFIX"),
        (
            &["show", "gpt2", "--set", "train.optimizer.beta3=1"],
            "`train.optimizer` has: beta",
        ),
        (
            &["show", "gpt2", "--set", "train.optimizer.foo=1"],
            "`train.optimizer` has: kind, lr, beta1, ",
        ),
        (
            &["show", "gpt2", "--set", "train.optimizer.momentum=0.9"],
            "it is a key of kind `sgd`, `muon` or `normuon`",
        ),
        (
            &[
                "show",
                "gpt2",
                "--set",
                "data.kind=markov",
                "--set",
                "data.chain=golden_mean",
                "--set",
                "data.states=4",
            ],
            "States of a random chain, each a token.",
        ),
    ];
    for (args, hint) in rows {
        let output = effbench(args);
        let said = text(&output.stderr);
        assert_eq!(code(&output), 2, "{args:?}: {said}");
        assert!(said.contains(hint), "{args:?}: {said}");
    }
}

/// A build without the feature `run` knows every command and says in one sentence what it cannot do.
#[cfg(not(feature = "run"))]
#[test]
fn the_judge_says_that_it_cannot_run() {
    for args in [
        &["run"][..],
        &["list"],
        &["show", "gpt2"],
        &["doctor"],
        &["data", "list"],
    ] {
        let output = effbench(args);
        assert_eq!(code(&output), 2, "{args:?}");
        let said = text(&output.stderr);
        assert!(
            said.contains("the judge only") && said.contains(args[0]) && said.contains("hint:"),
            "{said}"
        );
    }
}

/// Repeats that are copies of one another are named, and the file is not sound.
#[test]
fn copied_repeats_are_named() {
    let good = fs::read_to_string(GOOD).unwrap();
    let mut file: Value = serde_json::from_str(&good).unwrap();
    let trials = file["trials"].as_array_mut().unwrap();
    let cell = trials[0]["cell"].clone();
    let other = trials
        .iter()
        .position(|trial| trial["cell"] == cell && trial["seed"] != trials[0]["seed"])
        .unwrap();
    for part in ["curve", "metrics", "skills"] {
        trials[other][part] = trials[0][part].clone();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copied.json");
    fs::write(&path, file.to_string()).unwrap();
    let output = effbench(&["validate", path.to_str().unwrap()]);
    let said = text(&output.stdout);
    assert_eq!(code(&output), 2, "{said}");
    assert!(
        said.contains("have the same losses to the bit with the seeds"),
        "{said}"
    );
}

/// Where data are read over and over there is another question to ask.
#[test]
fn gains_over_scarce_data_hint_at_their_law() {
    let scarce = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/results/scarce-epyc-19h-1c-linux.json"
    );
    let said = text(&effbench(&["gain", scarce]).stderr);
    assert!(
        said.contains("--law data-constrained` says what a token is worth"),
        "{said}"
    );
}
