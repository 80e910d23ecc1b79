//! Energy meters and counted work: compared by equals only.

use serde_json::Value;

use crate::{Folder, golden, noisy, said, text, trials};

/// Energy that one side reads and the other works out.
fn metered(file: &mut Value) {
    for trial in trials(file) {
        let channel = &mut trial["energy"]["channels"][0];
        channel["method"] = "modelled".into();
        channel["source"] = "tdp_x_util".into();
        channel["energy_j"] = 5.0.into();
        trial["energy"]["measured_j"] = Value::Null;
    }
}

/// The fixture's noise, and joules by a counter.
fn with_meter(mut file: Value) -> Value {
    for trial in trials(&mut file) {
        let channel = &mut trial["energy"]["channels"][0];
        channel["method"] = "counter".into();
        channel["energy_j"] = 5.0.into();
        trial["energy"]["measured_j"] = 5.0.into();
        trial["metrics"]["energy_j_per_train_token"] = serde_json::json!({
            "value": 1e-5, "unit": "J/token", "better": "lower", "kind": "sampled", "n": null, "sd": null, "se": null,
            "samples": [], "reason": null,
        });
    }
    file
}

#[test]
fn unlike_meters_are_never_compared() {
    let folder = Folder::new(|_| ());
    let base = with_meter(noisy("base"));
    let mut new = base.clone();
    folder.write("base.json", &base.to_string());
    folder.write("new.json", &new.to_string());
    let metric = ["--metric", "energy_j_per_train_token"];
    let same = folder.compare(&metric);
    assert!(
        text(&same.stdout).starts_with("No regression: 5 cells, energy identical."),
        "{}",
        said(&same)
    );
    metered(&mut new);
    folder.write("new.json", &new.to_string());
    let unlike = folder.compare(&metric);
    golden("unlike_meters", &said(&unlike));
    let sentence = "Not comparable: 5 cells, energy not compared (unlike meters: cpu_package by rapl.powercap (counter) against";
    assert!(
        text(&unlike.stdout).starts_with(sentence) && unlike.status.code() == Some(4),
        "{}",
        said(&unlike)
    );
}

/// A file whose training steps ask for so many fused ops, on that device.
fn counting(mut file: Value, ops: u64, device: &str) -> Value {
    for trial in trials(&mut file) {
        trial["metrics"]["step_ops"] = serde_json::json!({
            "value": ops, "unit": "ops", "better": "lower", "kind": "exact", "n": null, "sd": null, "se": null,
            "samples": [], "reason": null,
        });
        trial["spec"]["compute"]["device"] = device.into();
        trial["spec_sha256"] = effbench::record::spec_sha256(&trial["spec"]).into();
    }
    file
}

/// One op more is told from a single trial; what an older build did not count is no doubt, and a GPU does other work.
#[test]
fn counted_ops_gate_by_equality() {
    let folder = Folder::new(|_| ());
    let rows: [(Value, i32, &str); 4] = [
        (
            counting(noisy("new"), 62, "cpu"),
            0,
            "counted work identical.",
        ),
        (
            counting(noisy("new"), 63, "cpu"),
            1,
            "gpt2/w32@400 has 1.6% more step_ops (n = 4): regression",
        ),
        (noisy("new"), 0, "counted work identical."),
        (
            counting(noisy("new"), 90, "cuda:0"),
            0,
            "counted work identical.",
        ),
    ];
    folder.write("base.json", &counting(noisy("base"), 62, "cpu").to_string());
    for (new, code, says) in rows {
        folder.write("new.json", &new.to_string());
        let output = folder.compare(&[]);
        let said = said(&output);
        assert!(
            output.status.code() == Some(code) && said.lines().next().unwrap().contains(says),
            "{said}"
        );
    }
}
