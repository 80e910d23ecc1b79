//! Several files as one side, and the arms inside one.

use std::fs;

use serde_json::Value;

use crate::{Folder, noisy, said, slowdown, text, trials};

#[test]
fn the_arms_inside_a_file_are_compared() {
    let folder = Folder::new(slowdown);
    let output = folder.run(&[
        "compare",
        "new.json",
        "--base-arm",
        "gpt2",
        "--new-arm",
        "modern",
    ]);
    let said = text(&output.stdout);
    assert!(
        said.starts_with("modern/w32@800 against gpt2/w32@800 trains 68% slower"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(1), "{said}");
    // Two builds that ran in turn: the base's trials and the new side's in one file.
    let mut both = noisy("base");
    trials(&mut both)
        .iter_mut()
        .for_each(|trial| trial["arm"] = "main".into());
    let mut new = noisy("new");
    slowdown(&mut new);
    for trial in trials(&mut new) {
        trial["arm"] = "head".into();
        trial["id"] = format!("{}-head", trial["id"].as_str().unwrap()).into();
    }
    trials(&mut both).extend(trials(&mut new).clone());
    folder.write("both.json", &both.to_string());
    let output = folder.run(&["compare", "both.json"]);
    let said = text(&output.stdout);
    assert!(
        said.starts_with("gpt2/w32@400 trains 12% slower (95%"),
        "{said}"
    );
    assert!(
        said.contains("Base main of both.json, 20 trials; new head of both.json, 20 trials"),
        "{said}"
    );
}

#[test]
fn files_are_merged_unless_they_contradict_each_other() {
    let folder = Folder::new(slowdown);
    let refused = folder.run(&["merge", "base.json", "new.json", "--out", "all.json"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused.stderr).contains("gpt2/w32@400 repeat 0 in base.json and new.json"),
        "{}",
        text(&refused.stderr)
    );
    assert!(!folder.0.path().join("all.json").exists());
    let mut shards = [noisy("base"), noisy("base")];
    for (k, shard) in shards.iter_mut().enumerate() {
        trials(shard).retain(|trial| trial["repeat"].as_u64().unwrap() % 2 == k as u64);
        folder.write(&format!("shard{k}.json"), &shard.to_string());
    }
    let merged = folder.run(&["merge", "shard0.json", "shard1.json", "--out", "all.json"]);
    assert_eq!(
        text(&merged.stdout),
        "all.json: 20 trials from 2 files\n",
        "{}",
        text(&merged.stderr)
    );
    let same = folder.run(&["compare", "base.json", "all.json"]);
    assert!(
        text(&same.stdout).starts_with("No regression: 5 cells, time identical"),
        "{}",
        text(&same.stdout)
    );
}

/// A folder that holds a merged file beside its parts has every trial once.
#[test]
fn a_merged_file_beside_its_parts_counts_once() {
    let folder = Folder::new(slowdown);
    fs::create_dir(folder.0.path().join("nights")).unwrap();
    for (day, name) in [(1, "a"), (2, "b")] {
        let mut file = noisy(name);
        file["run"]["started_at"] = format!("2026-10-{day:02}T10:00:00Z").into();
        for trial in trials(&mut file) {
            trial["started_at"] = trial["started_at"]
                .as_str()
                .unwrap()
                .replace("11-21", &format!("10-{day:02}"))
                .into();
            trial["id"] = format!("{}-{name}", trial["id"].as_str().unwrap()).into();
            trial["seed"] = (trial["seed"].as_u64().unwrap() + 10 * day).into();
            trial["repeat"] = (trial["repeat"].as_u64().unwrap() + 10 * day).into();
        }
        folder.write(&format!("nights/{name}.json"), &file.to_string());
    }
    let merged = folder.run(&[
        "merge",
        "nights/a.json",
        "nights/b.json",
        "--out",
        "nights/all.json",
    ]);
    assert_eq!(merged.status.code(), Some(0), "{}", text(&merged.stderr));
    let output = folder.run(&["compare", "nights", "new.json"]);
    assert!(
        text(&output.stdout).contains("Base nights, 40 trials; new new.json, 20 trials"),
        "{}",
        said(&output)
    );
    let history = folder.run(&[
        "history",
        "nights",
        "--cell",
        "gpt2/w32@400",
        "--format",
        "json",
    ]);
    let found: Value = serde_json::from_slice(&history.stdout).unwrap();
    let points = found["histories"][0]["points"].as_array().unwrap();
    assert_eq!(
        points
            .iter()
            .map(|p| p["n"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [4, 4],
        "{found}"
    );
}
