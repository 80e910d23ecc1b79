//! Tests of `matching`.

use super::*;
use crate::record::RateSource;
use crate::record::example::example;

fn sides(base: ResultFile, new: ResultFile) -> [Vec<(String, ResultFile)>; 2] {
    [
        vec![("base".to_owned(), base)],
        vec![("new".to_owned(), new)],
    ]
}

fn settings(files: &[Vec<(String, ResultFile)>; 2]) -> Vec<Setting> {
    let [base, new] = files.each_ref().map(|files| Side::new("side", files, None));
    matched(&base, &new)
        .cells
        .iter()
        .map(|cell| cell.setting)
        .collect()
}

#[test]
fn the_files_say_how_they_were_run() {
    type Change = fn(&mut ResultFile);
    let rows: [(Change, Setting); 5] = [
        (|_| (), Setting::Interleaved),
        (
            |f| f.run.started_at = "2026-11-22T10:00:00Z".to_owned(),
            Setting::Separate,
        ),
        (
            |f| f.machines[0].strict_id = "another".to_owned(),
            Setting::Separate,
        ),
        (
            |f| f.machines[0].class_id = "arm-4c-linux".to_owned(),
            Setting::OtherMachine,
        ),
        (
            |f| f.trials.iter_mut().for_each(|t| t.order += 1000),
            Setting::Separate,
        ),
    ];
    for (change, setting) in rows {
        let mut new = example();
        change(&mut new);
        assert_eq!(settings(&sides(example(), new)), [setting; 5]);
    }
    let mut imported = example();
    imported.machines[0].strict_id = IMPORTED.to_owned();
    assert_eq!(
        settings(&sides(imported.clone(), imported)),
        [Setting::Separate; 5]
    );
}

#[test]
fn cells_are_matched_by_name_and_sweeps_judge_nothing() {
    let mut new = example();
    new.trials.retain(|t| t.cell != "gpt2/w32@400");
    new.trials
        .iter_mut()
        .filter(|t| t.cell == "modern/w32@400")
        .for_each(|t| t.lr_source = RateSource::Grid);
    new.trials
        .iter_mut()
        .filter(|t| t.cell == "gpt2/w32@800")
        .for_each(|t| t.cell = "gpt2/w32@900".to_owned());
    let files = sides(example(), new);
    let [base, new] = files.each_ref().map(|files| Side::new("side", files, None));
    let found = matched(&base, &new);
    let cells: Vec<&str> = found.cells.iter().map(|cell| cell.cell.as_str()).collect();
    assert_eq!(cells, ["gpt2/w32@1600", "modern/w32@800"]);
    let alone = [
        vec!["gpt2/w32@400", "gpt2/w32@800", "modern/w32@400"],
        vec!["gpt2/w32@900"],
    ];
    assert_eq!(
        found.alone,
        alone.map(|cells| cells.into_iter().map(str::to_owned).collect::<Vec<_>>())
    );
}

/// The trials of a cell, with another batch under the same name.
fn rebatched(file: &mut ResultFile, cell: &str, batch: u64) {
    for trial in file.trials.iter_mut().filter(|t| t.cell == cell) {
        trial.spec["train"]["batch"] = batch.into();
        trial.spec_sha256 = crate::record::spec_sha256(&trial.spec);
        trial.id = format!("{}-{batch}", trial.id);
    }
}

#[test]
fn one_name_for_two_cells_is_not_compared() {
    let mut new = example();
    rebatched(&mut new, "gpt2/w32@400", 8);
    let files = sides(example(), new.clone());
    let [base, of_new] = files.each_ref().map(|files| Side::new("side", files, None));
    let found = matched(&base, &of_new);
    assert_eq!(
        (found.cells.len(), found.alone.iter().flatten().count()),
        (4, 0)
    );
    let expected = ("gpt2/w32@400", "train.batch 16 against 8");
    assert_eq!(
        found
            .unlike
            .iter()
            .map(|u| (&*u.cell, &*u.differs))
            .collect::<Vec<_>>(),
        [expected]
    );
    // A base that has both is compared with the one that is meant, and the other is gone.
    let both = vec![("a".to_owned(), example()), ("b".to_owned(), new.clone())];
    let new = vec![("new".to_owned(), new)];
    let found = matched(
        &Side::new("base", &both, None),
        &Side::new("new", &new, None),
    );
    assert!(found.unlike.is_empty());
    let of = found
        .cells
        .iter()
        .find(|cell| cell.cell.starts_with("gpt2/w32@400"))
        .unwrap();
    assert_eq!(
        (of.cell.as_str(), of.sides[0].len()),
        ("gpt2/w32@400 (train.batch 8)", 4)
    );
    assert_eq!(
        found.alone,
        [vec!["gpt2/w32@400 (train.batch 16)".to_owned()], vec![]]
    );
}

/// A newer build knows a key that the older one did not: that is no other cell. Within one build it is.
#[test]
fn a_key_that_only_a_newer_build_knows_is_no_other_cell() {
    let clipped = |build: &str| {
        let mut file = example();
        file.builds[0].executable_id = Some(build.to_owned());
        for trial in &mut file.trials {
            trial.spec["train"]["clip"] = 1.into();
            trial.spec_sha256 = crate::record::spec_sha256(&trial.spec);
        }
        file
    };
    for (build, cells) in [("newer", 5), ("00112233aabbccdd", 0)] {
        let files = sides(example(), clipped(build));
        let [base, new] = files.each_ref().map(|files| Side::new("side", files, None));
        assert_eq!(matched(&base, &new).cells.len(), cells, "{build}");
    }
}

#[test]
fn a_cell_under_another_name_is_known_by_its_spec() {
    let mut new = example();
    new.trials
        .iter_mut()
        .filter(|t| t.cell == "gpt2/w32@400")
        .for_each(|t| t.cell = "gpt2/small".to_owned());
    let files = sides(example(), new);
    let [base, new] = files.each_ref().map(|files| Side::new("side", files, None));
    assert_eq!(
        matched(&base, &new).renamed,
        [["gpt2/w32@400".to_owned(), "gpt2/small".to_owned()]]
    );
}

#[test]
fn a_merged_file_beside_its_parts_counts_once() {
    let mut night = example();
    night.run.started_at = "2026-11-22T10:00:00Z".to_owned();
    night
        .trials
        .iter_mut()
        .for_each(|t| t.started_at = t.started_at.replace("11-21", "11-22"));
    let merged = crate::record::pool::pool(vec![("a".to_owned(), example())]).unwrap();
    let files = vec![
        ("a".to_owned(), example()),
        ("merged".to_owned(), merged),
        ("night".to_owned(), night),
    ];
    let side = Side::new("side", &files, None);
    assert_eq!(
        side.trials.len(),
        40,
        "one night twice, and another night of the same build"
    );
}

#[test]
fn arms_are_builds_or_variants() {
    let mut file = example();
    let mut other = file.trials.clone();
    other
        .iter_mut()
        .for_each(|t| (t.arm, t.id) = ("head".to_owned(), format!("{}-head", t.id)));
    file.trials
        .iter_mut()
        .for_each(|t| t.arm = "base".to_owned());
    file.trials.extend(other);
    let files = vec![("one".to_owned(), file)];
    assert_eq!(Side::new("one", &files, None).arms(), ["base", "head"]);
    let [base, head] = ["base", "head"].map(|arm| Side::new(arm, &files, Some(arm)));
    assert_eq!(
        (base.trials.len(), matched(&base, &head).cells.len()),
        (20, 5)
    );
    let files = vec![("one".to_owned(), example())];
    let [base, new] = ["gpt2", "modern"].map(|arm| Side::new(arm, &files, Some(arm)));
    let cells: Vec<String> = matched(&base, &new)
        .cells
        .into_iter()
        .map(|cell| cell.cell)
        .collect();
    assert_eq!(
        cells,
        [
            "modern/w32@400 against gpt2/w32@400",
            "modern/w32@800 against gpt2/w32@800"
        ]
    );
}

#[test]
fn of_a_base_with_many_machines_only_the_new_sides_counts() {
    let mut other = example();
    other.machines[0].class_id = "arm-4c-linux".to_owned();
    other.run.started_at = "2026-11-20T10:00:00Z".to_owned();
    let base = vec![("a".to_owned(), example()), ("b".to_owned(), other.clone())];
    let new = vec![("c".to_owned(), other)];
    let found = matched(
        &Side::new("base", &base, None),
        &Side::new("new", &new, None),
    );
    assert!(
        found
            .cells
            .iter()
            .all(|cell| cell.sides[0].len() == 4 && cell.setting == Setting::Interleaved)
    );
}
