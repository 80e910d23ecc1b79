//! What cannot be read, and what was not meant.

use std::fs;

use crate::{Folder, golden, said, text};

#[test]
fn what_cannot_be_read_is_refused_in_a_sentence() {
    let folder = Folder::new(|_| ());
    let good = fs::read_to_string(folder.0.path().join("new.json")).unwrap();
    let rows = [
        (
            "other_schema",
            good.replace("effbench.result/2", "effbench.result/3"),
            "newer than this build reads",
        ),
        (
            "corrupt",
            good[..good.len() / 2].to_owned(),
            "not JSON: EOF",
        ),
    ];
    for (name, new, says) in rows {
        folder.write("new.json", &new);
        let output = folder.compare(&[]);
        let found = said(&output);
        golden(name, &found);
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(2), 0),
            "{found}"
        );
        assert!(found.contains(says), "{found}");
    }
}

#[test]
fn what_was_not_meant_is_refused_with_a_hint() {
    let folder = Folder::new(|_| ());
    let rows: [(&[&str], &str); 8] = [
        (&["compare", "base.json"], "one arm only"),
        (
            &["compare", "base.json", "--base-arm", "gpt2"],
            "both --base-arm and --new-arm",
        ),
        (
            &[
                "compare",
                "base.json",
                "--base-arm",
                "gpt2",
                "--new-arm",
                "moderm",
            ],
            "did you mean `modern`?",
        ),
        (
            &[
                "compare",
                "base.json",
                "base.json",
                "--metric",
                "val_los_nats",
            ],
            "did you mean `val_loss_nats`?",
        ),
        (
            &["compare", "base.json", "base.json", "--margin", "mfu=x"],
            "`x` is not a margin",
        ),
        (
            &["compare", "base.json", "base.json", "--accept", "a=b"],
            "expected CELL:METRIC=REASON",
        ),
        (
            &["compare", "none.json", "base.json"],
            "none.json: cannot be read",
        ),
        (
            &["history", "base.json", "--cell", "gpt2/w32@40"],
            "did you mean `gpt2/w32@400`?",
        ),
    ];
    for (args, says) in rows {
        let output = folder.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            text(&output.stderr).contains(says),
            "{args:?}: {}",
            text(&output.stderr)
        );
    }
}
