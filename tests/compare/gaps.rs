//! What one side has and the other has not, and what is worse everywhere.

use serde_json::Value;

use crate::{
    Change, Folder, diverging, failing, luck, noisy, said, session, slow, text, trials, unlearn,
};

/// Two repeats of every cell, three times slower and a whole nat worse, give or take a hundredth.
fn ruined(file: &mut Value) {
    trials(file).iter_mut().for_each(|trial| slow(trial, 3.0));
    unlearn(file, 1.0, |_| true);
}

fn lost(file: &mut Value, cells: &[&str]) {
    trials(file).retain(|trial| !cells.contains(&trial["cell"].as_str().unwrap()));
}

/// Two of four seeds that finished diverge now.
fn half_diverging(file: &mut Value) {
    let all = trials(file).clone();
    diverging(file);
    for (trial, was) in trials(file).iter_mut().zip(all) {
        if trial["repeat"].as_u64().unwrap() >= 2 {
            *trial = was;
        }
    }
}

/// What is gone, is called otherwise, or newly diverges is in the first sentence, and strict gates do not pass it.
#[test]
fn what_the_base_has_and_the_new_side_has_not_is_said_first() {
    let one: Change = |f| lost(f, &["gpt2/w32@400"]);
    let most: Change = |f| {
        lost(
            f,
            &[
                "gpt2/w32@400",
                "gpt2/w32@800",
                "gpt2/w32@1600",
                "modern/w32@800",
            ],
        )
    };
    let called: Change = |f| {
        for trial in trials(f).iter_mut().filter(|t| t["cell"] == "gpt2/w32@400") {
            (trial["cell"], trial["arm"]) = ("gpt2/small".into(), "gpt2/small".into());
        }
    };
    let rows: [(Change, &str); 3] = [
        (
            one,
            "1 of 5 cells of base.json is missing from new.json (gpt2/w32@400); of the rest: no regression: 4 cells",
        ),
        (
            most,
            "4 of 5 cells of base.json are missing from new.json (gpt2/w32@400, gpt2/w32@800, gpt2/w32@1600 and 1 more)",
        ),
        (
            called,
            "1 of 5 cells of base.json is missing from new.json (gpt2/w32@400, there as gpt2/small)",
        ),
    ];
    for (change, says) in rows {
        let folder = Folder::new(change);
        let loose = folder.compare(&[]);
        assert!(
            text(&loose.stdout).starts_with(says) && loose.status.code() == Some(0),
            "{}",
            said(&loose)
        );
        for gate in ["conclusive", "equivalent"] {
            let strict = folder.compare(&["--gate", gate]);
            assert!(
                text(&strict.stdout).starts_with("Not comparable: "),
                "{gate}: {}",
                said(&strict)
            );
            assert_eq!(strict.status.code(), Some(4), "{gate}");
        }
    }
    let output = Folder::new(half_diverging).compare(&[]);
    let says = "gpt2/w32@400 diverges in 2 of 4 trials, before in 0 of 4 (n = 4): regression";
    assert!(text(&output.stdout).starts_with(says), "{}", said(&output));
    assert!(
        output.status.code() == Some(1) && text(&output.stdout).contains("at seed 0, 1, where"),
        "{}",
        said(&output)
    );
}

/// Each cell alone has too few repeats, and all together leave no doubt.
#[test]
fn two_repeats_of_a_ruined_suite_are_a_regression() {
    for later in [false, true] {
        let folder = Folder::new(|_| ());
        let (mut base, mut new) = (noisy("base"), noisy("new"));
        ruined(&mut new);
        if later {
            session(&mut new);
        }
        for (name, file) in [("base.json", &mut base), ("new.json", &mut new)] {
            trials(file).retain(|trial| trial["repeat"].as_u64() < Some(2));
            folder.write(name, &file.to_string());
        }
        let output = folder.compare(&[]);
        let said = said(&output);
        assert!(
            output.status.code() == Some(1) && said.starts_with("The whole suite of 5 cells "),
            "{said}"
        );
        assert!(
            said.contains("trains 200% slower")
                && said.contains("validation loss 1.00 nats higher"),
            "{said}"
        );
    }
}

/// Slower by 2.5% in every cell, which none of them shows for sure: the suite does.
#[test]
fn a_little_of_everything_is_seen() {
    let folder = Folder::new(|_| ());
    let noisier = |name: &str, times: f64| {
        let mut file = noisy(name);
        for (place, trial) in trials(&mut file).iter_mut().enumerate() {
            slow(
                trial,
                times * (1.0 + 0.025 * luck(&format!("{name} again"), place)),
            );
        }
        file.to_string()
    };
    folder.write("base.json", &noisier("base", 1.0));
    folder.write("new.json", &noisier("new", 1.0));
    let same = folder.compare(&["--metric", "train_tokens_per_s"]);
    assert_eq!(same.status.code(), Some(0), "{}", said(&same));
    folder.write("new.json", &noisier("new", 1.04));
    let slower = folder.compare(&["--metric", "train_tokens_per_s"]);
    assert!(
        slower.status.code() == Some(1) && text(&slower.stdout).contains("whole suite"),
        "{}",
        said(&slower)
    );
}

/// A margin that is lowered holds in one session, and is refused aloud between two.
#[test]
fn a_lowered_margin_is_honoured_or_refused_aloud() {
    let slower: Change = |file| trials(file).iter_mut().for_each(|trial| slow(trial, 1.012));
    let narrow = [
        "--metric",
        "train_tokens_per_s",
        "--margin",
        "train_tokens_per_s=0.5%",
    ];
    let folder = Folder::new(slower);
    assert_eq!(folder.compare(&narrow[..2]).status.code(), Some(0));
    let honoured = folder.compare(&narrow);
    assert!(
        honoured.status.code() == Some(1) && !text(&honoured.stdout).contains("(noise)"),
        "{}",
        said(&honoured)
    );
    let refused = Folder::new(|file| {
        trials(file).iter_mut().for_each(|trial| slow(trial, 1.012));
        session(file);
    })
    .compare(&narrow);
    let says = "Cannot tell: 5 cells, time not resolved between sessions, which may differ by 10% (the whole suite trains 1.3% slower now); the margin of 0.50%";
    assert!(
        refused.status.code() == Some(0) && text(&refused.stdout).starts_with(says),
        "{}",
        said(&refused)
    );
}

/// A seed that finished in the base and ends without a result now is no verdict, as the machine may be to blame, and no pass: it is
/// named in the first sentence and has a code of its own under every gate; a regression beside it counts first, and names it too.
#[test]
fn a_seed_that_newly_fails_passes_no_gate() {
    let ends: [(Change, &str); 3] = [
        (failing, "failed"),
        (
            |file| {
                failing(file);
                let mut of = trials(file).iter_mut();
                of.find(|t| t["status"] == "failed").unwrap()["status"] = "timeout".into();
            },
            "timed out",
        ),
        (
            |file| {
                failing(file);
                let mut of = trials(file).iter_mut();
                of.find(|t| t["status"] == "failed").unwrap()["status"] = "out_of_memory".into();
            },
            "out of memory",
        ),
    ];
    for (change, how) in ends {
        let folder = Folder::new(change);
        let named = format!(
            "1 of 40 trials failed or is invalid (gpt2/w32@400 repeat 0 (new): {how}, where the base finished)"
        );
        for gate in ["regress", "conclusive", "equivalent"] {
            let output = folder.compare(&["--gate", gate]);
            let said = said(&output);
            assert_eq!(output.status.code(), Some(5), "{gate}: {said}");
            assert!(
                said.starts_with(&format!("Cannot judge: {named}")),
                "{said}"
            );
        }
    }
    let both = Folder::new(|file| {
        failing(file);
        unlearn(file, 0.5, |cell| cell == "modern/w32@800");
    });
    let output = both.compare(&[]);
    let first = said(&output).lines().next().unwrap().to_owned();
    assert_eq!(output.status.code(), Some(1), "{first}");
    assert!(
        first.contains(": regression") && first.contains("failed, where the base finished"),
        "{first}"
    );
}

/// One trial a side shows no scatter, so that nothing is said of what scatters; not even of a file that is set against itself.
#[test]
fn one_trial_a_side_cannot_tell() {
    let alone: Change = |file| trials(file).retain(|t| t["repeat"].as_u64() == Some(0));
    for worse in [0.0, 0.01] {
        let folder = Folder::new(alone);
        let mut file: Value = serde_json::from_str(
            &std::fs::read_to_string(folder.0.path().join("new.json")).unwrap(),
        )
        .unwrap();
        if worse > 0.0 {
            unlearn(&mut file, worse, |_| true);
        }
        folder.write("new.json", &file.to_string());
        folder.write("alone.json", &file.to_string());
        for base in ["base.json", "alone.json"] {
            let output = folder.run(&["compare", base, "new.json"]);
            let said = said(&output);
            assert!(said.starts_with("Cannot tell"), "{base}: {said}");
            let strict = folder.run(&["compare", base, "new.json", "--gate", "conclusive"]);
            assert_eq!(strict.status.code(), Some(3), "{base}: {said}");
        }
    }
}
