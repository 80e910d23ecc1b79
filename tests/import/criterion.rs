//! Benchmarks of criterion's as trials.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::{effbench, err, out, run as line};

/// What criterion 0.8 leaves of a run of two benchmarks, the sort taking so many times 2 ms.
fn bench(folder: &Path, run: usize, slower: f64) {
    let luck = [1.0, 1.004, 0.997][run % 3];
    let rows = [
        ("hash", None, None, "hash", 0.5e6),
        (
            "sort",
            Some("merge"),
            Some("1000"),
            "sort/merge/1000",
            2e6 * slower,
        ),
    ];
    for (group, function, value, place, ns) in rows {
        let new = folder.join("target/criterion").join(place).join("new");
        fs::create_dir_all(&new).unwrap();
        let about = json!({
            "group_id": group, "function_id": function, "value_str": value, "throughput": {"Elements": 1000},
            "full_id": place, "directory_name": place, "title": place,
        });
        fs::write(new.join("benchmark.json"), about.to_string()).unwrap();
        let iters = [10.0, 20.0, 30.0];
        let times: Vec<f64> = iters
            .iter()
            .zip([1.01, 1.0, 0.99])
            .map(|(n, noise)| n * ns * luck * noise)
            .collect();
        let samples = json!({"sampling_mode": "Linear", "iters": iters, "times": times});
        fs::write(new.join("sample.json"), samples.to_string()).unwrap();
        // The run before, which is not this one.
        fs::create_dir_all(new.with_file_name("base")).unwrap();
        fs::write(new.with_file_name("base").join("sample.json"), "{}").unwrap();
    }
}

/// Three runs of each side, imported one by one; a program that sorts 30% slower.
#[test]
fn benchmarks_are_judged_by_their_runs() {
    let folder = tempfile::tempdir().unwrap();
    for (side, slower) in [("base", 1.0), ("head", 1.3)] {
        for run in 0..3 {
            bench(folder.path(), run, slower);
            let file = format!("{side}/{run}.json");
            let output = line(
                folder.path(),
                &format!("import target/criterion --out {file}"),
            );
            let expected = format!(
                "2 benchmarks in 1 run, n = 1\nResult file: {file}. Next: effbench compare BASE.json {file}\n"
            );
            assert_eq!(out(&output), expected, "{}", err(&output));
            assert!(
                err(&output).contains("note: criterion names neither the machine nor the unit"),
                "{}",
                err(&output)
            );
        }
    }
    let file: Value =
        serde_json::from_slice(&fs::read(folder.path().join("base/0.json")).unwrap()).unwrap();
    assert!(jsonschema::is_valid(
        &effbench::record::json_schema(),
        &file
    ));
    let sort = &file["trials"][1];
    let names = ["cell", "variant", "scale"].map(|name| sort[name].as_str().unwrap());
    assert_eq!(names, ["sort/merge/1000", "sort", "merge/1000"]);
    let metric = &sort["metrics"]["iteration_s"];
    assert_eq!(
        (&metric["value"], &metric["samples"]),
        (&json!(0.002), &json!([0.00202, 0.002, 0.00198]))
    );
    let compare = |base: &str, new: &str, gate: &str| {
        let output = effbench(folder.path(), &["compare", base, new, "--gate", gate]);
        (output.status.code(), out(&output))
    };
    let (code, said) = compare("base", "head", "regress");
    assert!(
        said.starts_with("sort/merge/1000 runs 30% slower (95% "),
        "{said}"
    );
    assert!(
        said.contains("n = 3): regression.") && said.contains("separate sessions"),
        "{said}"
    );
    assert_eq!(code, Some(1));
    // One run tells nothing, however many samples it has.
    let (code, said) = compare("base/0.json", "head/0.json", "regress");
    assert!(
        said.starts_with("Cannot tell: 2 cells, time cannot be told (n = 3 would)."),
        "{said}"
    );
    assert!(said.contains("too few: need 3"), "{said}");
    assert_eq!(code, Some(0));
    assert_eq!(
        compare("base/0.json", "head/0.json", "conclusive").0,
        Some(3)
    );
    let (code, said) = compare("base", "base", "equivalent");
    assert!(
        said.starts_with("No regression: 2 cells, time identical."),
        "{said}"
    );
    assert_eq!(code, Some(0));
}

#[test]
fn several_folders_are_several_repeats_and_what_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let copies: Vec<String> = (0..3).map(|run| format!("run{run}")).collect();
    for (run, copy) in copies.iter().enumerate() {
        bench(folder.path(), run, 1.0);
        let made = folder.path().join("target/criterion");
        fs::rename(made, folder.path().join(copy)).unwrap();
    }
    let output = line(
        folder.path(),
        &format!("import {} --out x.json", copies.join(" ")),
    );
    assert!(
        out(&output).starts_with("2 benchmarks in 3 runs, n = 3\n"),
        "{}",
        err(&output)
    );
    let over = line(folder.path(), "import run1 --out run1/hash/new/sample.json");
    assert!(
        err(&over).starts_with("error: --out run1: already holds that file"),
        "{}",
        err(&over)
    );
    let twins = effbench(folder.path(), &["import", ".", "--out", "y.json"]);
    assert!(
        err(&twins).starts_with("error: .: two benchmarks are called `hash`"),
        "{}",
        err(&twins)
    );
    fs::create_dir(folder.path().join("empty")).unwrap();
    fs::write(
        folder.path().join("run1/hash/new/sample.json"),
        "{\"iters\": [1.0], \"times\": []}",
    )
    .unwrap();
    fs::write(folder.path().join("x.csv"), "variant,loss\na,3\n").unwrap();
    // One that is damaged, or of an older criterion, costs no other.
    let output = effbench(folder.path(), &["import", "run1", "--out", "one.json"]);
    let says = "run1/hash/new/sample.json: not as many iterations as times above 0: this benchmark is left out";
    assert!(err(&output).contains(says), "{}", err(&output));
    let rows: [(&[&str], &str); 4] = [
        (
            &["empty"],
            "empty: a folder without a benchmark of criterion's",
        ),
        (&["run0", "run0"], "hash: runs 1 and 2 are one and the same"),
        (
            &["run0", "--map", "loss=x"],
            "--map, --let, --split, --unit, --interleaved and --base are for logs",
        ),
        (&["run0", "x.csv"], "x.csv: cannot be read: not a directory"),
    ];
    for (args, says) in rows {
        let output = effbench(
            folder.path(),
            &[&["import"], args, &["--out", "y.json"]].concat(),
        );
        assert_eq!(
            (output.status.code(), out(&output).as_str()),
            (Some(2), ""),
            "{args:?}"
        );
        assert!(err(&output).contains(says), "{args:?}: {}", err(&output));
        assert!(!folder.path().join("y.json").exists());
    }
}
