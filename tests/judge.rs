//! The judge alone says what the whole program says, byte for byte.
//!
//! One test cannot have two builds at hand. But this file compiles with and without the feature `run`, and holds whichever binary
//! it is compiled beside against the same committed texts: two binaries that both print these bytes print the same bytes.
//! `.ci/run` runs it both ways. It judges committed results, in every medium, and nothing here is rounded twice: what differed in
//! the last bit of a figure would show where it is printed in full (CSV).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const QUICK: &str = "tests/fixtures/one_width/quick-epyc-19h-2c-linux.json";
const GAIN: &str = "tests/fixtures/one_width/gain-epyc-19h-2c-linux.json";
const ORIGIN: &str = "results/origin-epyc-19h-2c-linux.json";
const LADDER: &str = "results/ladder-epyc-19h-2c-linux.json";

/// Run in the repository's root, so that the paths that are printed are the same everywhere.
fn effbench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_effbench"))
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

/// Mend with `MEND_GOLDEN=1 cargo test --test judge`, and read what changed.
fn golden(name: &str, found: &[u8]) {
    let path = PathBuf::from(format!(
        "{}/tests/golden/judge/{name}",
        env!("CARGO_MANIFEST_DIR")
    ));
    if std::env::var_os("MEND_GOLDEN").is_some() {
        fs::write(&path, found).unwrap();
    }
    let expected = fs::read(&path).unwrap_or_default();
    let said = || String::from_utf8_lossy(found).into_owned();
    assert!(
        found == expected,
        "{name}: not as in tests/golden/judge:\n{}",
        said()
    );
}

#[test]
fn what_is_printed_is_the_same_in_every_build() {
    let rows: [(&str, &[&str], i32); 9] = [
        (
            "arms.txt",
            &["compare", QUICK, "--base-arm", "gpt2", "--new-arm", "llama"],
            1,
        ),
        (
            "sessions.md",
            &["compare", GAIN, ORIGIN, "--format", "markdown"],
            1,
        ),
        (
            "sessions.csv",
            &["compare", GAIN, ORIGIN, "--format", "csv"],
            1,
        ),
        (
            "self_test.txt",
            &["compare", "--self-test", QUICK, "--repeats", "8"],
            0,
        ),
        (
            "history.txt",
            &["history", QUICK, ORIGIN, LADDER, "--cell", "gpt2/w32@400"],
            0,
        ),
        ("gain.txt", &["gain", QUICK, "--full"], 0),
        ("fit.txt", &["fit", QUICK, "--group", "gpt2"], 0),
        ("report.txt", &["report", QUICK, "--full"], 0),
        ("validate.txt", &["validate", QUICK, ORIGIN, LADDER], 0),
    ];
    for (name, args, code) in rows {
        let output = effbench(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        golden(name, &output.stdout);
    }
}

#[test]
fn pages_are_the_same_in_every_build() {
    let folder = tempfile::tempdir().unwrap();
    for ending in ["html", "md"] {
        let out = folder.path().join(format!("report.{ending}"));
        let output = effbench(&[
            "report",
            "tests/fixtures/quick.json",
            "--out",
            out.to_str().unwrap(),
        ]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        golden(
            &format!("report.{ending}"),
            &fs::read(Path::new(&out)).unwrap(),
        );
    }
}
