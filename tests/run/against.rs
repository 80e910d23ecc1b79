//! A build against another, or against itself.

use std::fs;

use crate::{SUITE, effbench, folder_with_suite, read, stderr};

/// The same program as both arms: every trial twice, side by side, the same losses, and nothing worse.
#[test]
fn a_build_against_itself_is_no_regression() {
    let folder = folder_with_suite();
    let here = folder.path();
    let own = env!("CARGO_BIN_EXE_effbench");
    let args = [
        "run",
        "./tiny.toml",
        "--variants",
        "gpt2",
        "--against",
        own,
        "--confirm",
        "--out",
        "aa.json",
    ];
    let output = effbench(here, &args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("gpt2/w16@40") && said.contains("Result file: aa.json"),
        "{said}"
    );
    let file = read(here, "aa.json");
    let arms: Vec<&str> = file.trials.iter().map(|trial| trial.arm.as_str()).collect();
    assert_eq!(
        arms,
        [
            "base", "head", "base", "head", "head", "base", "head", "base"
        ]
    );
    assert!(
        stderr(&output).contains("gpt2/w16@10 of head repeat 1"),
        "{}",
        stderr(&output)
    );
    for pair in file.trials.chunks(2) {
        assert_eq!(
            (&pair[0].cell, pair[0].repeat),
            (&pair[1].cell, pair[1].repeat)
        );
        assert_eq!(
            pair[0].metric("val_loss_nats"),
            pair[1].metric("val_loss_nats")
        );
    }
    let output = effbench(
        here,
        &[
            "run",
            "./tiny.toml",
            "--against",
            "/bin/true",
            "--out",
            "x.json",
        ],
    );
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("does not say which build it is"),
        "{}",
        stderr(&output)
    );
}

/// A base that says it is far faster: what looks worse is run again, and the fresh repeats confirm it.
#[test]
#[cfg(unix)]
fn a_slowdown_is_flagged_run_again_and_confirmed() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder_with_suite();
    let here = folder.path();
    let own = env!("CARGO_BIN_EXE_effbench");
    // Ten times, whatever the digits: a 9 in front would make 99 of 9 and 911 of 11.
    let boast = r#"s/("train_tokens_per_s":\{"value":)([0-9]+)/\1\20/"#;
    let base = here.join("base");
    fs::write(
        &base,
        format!(
            "#!/bin/sh\n[ \"$1\" = build ] && exec {own} build\n{own} \"$@\" | sed -E '{boast}'\n"
        ),
    )
    .unwrap();
    fs::set_permissions(&base, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(here.join("one.toml"), SUITE.replace("[10, 40]", "[10]")).unwrap();
    let args = [
        "run",
        "./one.toml",
        "--variants",
        "gpt2",
        "--repeats",
        "3",
        "--against",
        "./base",
        "--confirm",
    ];
    let run = |more: &[&str]| effbench(here, &[&args[..], &["--out", "x.json"], more].concat());
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("judged by fresh repeats alone") && said.contains("slower"),
        "{said}"
    );
    assert_eq!(
        (
            read(here, "x.json").trials.len(),
            read(here, "x-confirm.json").trials.len()
        ),
        (6, 16)
    );
    assert!(stderr(&run(&[])).contains("is already there"));
    // Both stages are there: nothing is run again, and the verdict is the same.
    let again = run(&["--resume"]);
    assert_eq!(again.status.code(), Some(1), "{}", stderr(&again));
    assert_eq!(read(here, "x-confirm.json").trials.len(), 16);
}
