//! What a run would refuse is refused before anything starts, a plan of it too, and in the same words.

use super::{effbench, stderr};

#[test]
fn a_plan_is_refused_as_its_run_is() {
    let folder = tempfile::tempdir().unwrap();
    let run = |more: &[&str]| {
        let args = [
            "run",
            "quick",
            "--device",
            "cpu",
            "--set",
            "compute.dtype=bf16",
        ];
        effbench(folder.path(), &[&args[..], more].concat())
    };
    let (planned, ran) = (run(&["--dry-run"]), run(&["--out", "x.json"]));
    assert_eq!(planned.status.code(), Some(2));
    assert!(planned.stdout.is_empty());
    assert!(
        stderr(&planned).contains("on the CPU it is emulated"),
        "{}",
        stderr(&planned)
    );
    assert_eq!(stderr(&planned), stderr(&ran));
}

#[test]
fn what_is_no_build_is_told_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let result = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/quick.json");
    let run = |against: &str| {
        let args = ["run", "ci", "--against", against, "--dry-run"];
        stderr(&effbench(folder.path(), &args))
    };
    let said = run(result);
    assert!(said.contains("a result file, and no program"), "{said}");
    assert!(said.contains("hint: `effbench compare "), "{said}");
    let said = run("/bin/false");
    assert!(
        said.contains("it does not say which build it is; `/bin/false build`"),
        "{said}"
    );
}
