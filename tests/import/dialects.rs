//! Logs as the programs print them (`tests/fixtures/logs`): one command each, and the figures that a reader of the log would name.

use std::fs;
use std::path::Path;

use effbench::record::{ResultFile, Trial, store};

use super::{effbench, err, out, run};

const LOGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/logs");

/// A metric of a trial.
fn value(trial: &Trial, metric: &str) -> Option<f64> {
    trial.metric(metric)
}

/// Imports a log of that folder, and what was said.
fn import(log: &str, options: &str) -> (ResultFile, String) {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("import {LOGS}/{log} --out a.json {options}");
    let output = run(folder.path(), line.trim());
    assert_eq!(output.status.code(), Some(0), "{log}: {}", err(&output));
    (
        store::read_valid(&folder.path().join("a.json")).unwrap(),
        err(&output),
    )
}

/// A step's lines are one row, a launcher's marks are none, a model card is a log too; fairseq counts in bits.
#[test]
fn logs_of_other_forms_are_read_by_one_command() {
    let bits = std::f64::consts::LN_2;
    let rows = [
        ("olmo.log", "olmo", 7.625, 20),
        ("composer.log", "composer", 7.375, 20),
        ("torchtune.log", "named", 1.75, 2),
        ("mlperf.txt", "mlperf", 4.5, 20),
        ("card.md", "a table in Markdown", 3.375, 200),
        ("fairseq.log", "fairseq", 8.0 * bits, 200),
    ];
    for (log, dialect, loss, step) in rows {
        let (file, said) = import(log, "--let variant=a");
        let trial = &file.trials[0];
        assert_eq!(value(trial, "val_loss_nats"), Some(loss), "{log}: {said}");
        assert_eq!(trial.curve.step.last(), Some(&step), "{log}");
        assert!(
            said.contains(&format!("read as {dialect}")),
            "{log}: {said}"
        );
    }
}

#[test]
fn a_log_of_each_program_is_read_by_one_command() {
    // The log, its options, what it is read as, its last judged loss, and the steps of its last row.
    let rows = [
        (
            "modded-nanogpt.txt",
            "--let variant=a",
            "key-value",
            4.1007,
            500,
        ),
        ("llmc.log", "--let variant=a", "key-value", 4.4011, 500),
        ("nanogpt.log", "--let variant=a", "nanogpt", 1.7269, 500),
        (
            "torchtitan.log",
            "--let variant=a",
            "torchtitan",
            7.4012,
            20,
        ),
        ("megatron.log", "--let variant=a", "megatron", 4.580122, 400),
        ("litgpt.log", "--let variant=a", "litgpt", 5.0820, 100),
        (
            "trainer_state.json",
            "--let variant=a",
            "trainer_state.json",
            2.6,
            200,
        ),
        ("lightning.csv", "--let variant=a", "", 3.625, 199),
        ("wandb.csv", "", "a chart of wandb", 4.5, 500),
        (
            "run_adam-tag-eval_loss.csv",
            "--let variant=adam",
            "tags of TensorBoard",
            4.5,
            500,
        ),
    ];
    for (log, options, dialect, loss, step) in rows {
        let (file, said) = import(log, options);
        let trial = &file.trials[0];
        assert_eq!(value(trial, "val_loss_nats"), Some(loss), "{log}: {said}");
        assert_eq!(trial.curve.step.last(), Some(&step), "{log}");
        assert!(
            said.contains(&format!("read as {dialect}")) || dialect.is_empty(),
            "{log}: {said}"
        );
    }
    let (file, said) = import("nanochat.log", "--let variant=a");
    let bpb = 1.2034 * std::f64::consts::LN_2;
    let nats = value(&file.trials[0], "val_loss_nats").unwrap();
    assert!((nats - bpb).abs() < 1e-12, "{nats}: {said}");
    assert_eq!(
        value(&file.trials[0], "train_wall_s"),
        Some(250.8),
        "{said}"
    );
}

#[test]
fn seconds_since_1970_count_from_the_first_row() {
    let (file, said) = import("run_adam-tag-eval_loss.csv", "--let variant=adam");
    assert_eq!(value(&file.trials[0], "train_wall_s"), Some(600.5));
    assert!(said.contains("times of day"), "{said}");
    assert!(said.contains("taken because of their names: "), "{said}");
}

/// A run that crashed after step 400 and went on from a checkpoint of step 200; one that begins anew is another run.
#[test]
fn a_resumed_run_is_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let head = "variant,step,val_loss\na,100,4.0\na,200,3.5\na,300,3.25\na,400,3.125\n";
    write(
        "resumed.csv",
        &format!("{head}a,300,3.26\na,400,3.13\na,500,3.0\n"),
    );
    write("anew.csv", &format!("{head}a,100,4.1\na,200,3.6\n"));
    let output = run(folder.path(), "import resumed.csv --out a.json");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(
        err(&output).contains("a run was resumed"),
        "{}",
        err(&output)
    );
    let file = store::read_valid(&folder.path().join("a.json")).unwrap();
    assert_eq!(file.trials[0].curve.step, [100, 200, 300, 400, 500]);
    let losses: Vec<f64> = file.trials[0]
        .curve
        .val_loss_nats
        .iter()
        .flatten()
        .copied()
        .collect();
    assert_eq!(losses, [4.0, 3.5, 3.26, 3.13, 3.0]);
    let output = run(folder.path(), "import anew.csv --out b.json");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).contains("has two losses at step 100"),
        "{}",
        err(&output)
    );
}

/// `3` may be the beginning of `3.05`: a figure at an end without a line break is no result.
#[test]
fn what_may_be_cut_off_is_no_result() {
    let folder = tempfile::tempdir().unwrap();
    let last = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        let line = format!("import {name} --let variant=a --out {name}.json");
        let output = run(folder.path(), &line);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", err(&output));
        let file = store::read_valid(&folder.path().join(format!("{name}.json"))).unwrap();
        (
            value(&file.trials[0], "val_loss_nats").unwrap(),
            err(&output),
        )
    };
    let rows = [
        ("a.csv", "step,val_loss\n1,3.25\n2,3.1\n3,3", 3.1, true),
        (
            "b.csv",
            "step,val_loss\n1,3.25\n2,3.10\n3,3.05",
            3.05,
            false,
        ),
        (
            "c.csv",
            "val_loss,step,lr\n3.25,1,0.1\n3.1,2,0.1\n3.0,3",
            3.1,
            true,
        ),
        (
            "d.jsonl",
            "{\"step\":1,\"val_loss\":3.25}\n{\"step\":2,\"val_loss\":3.1}\n{\"step\":3,\"val_",
            3.1,
            true,
        ),
        (
            "e.log",
            "step:1 val_loss:3.25\nstep:2 val_loss:3.1\nstep:3 val_loss:3.",
            3.1,
            true,
        ),
        ("f.csv", "step,val_loss\n1,3.25\n2,3.1\n3,3\n", 3.0, false),
    ];
    for (name, text, expected, told) in rows {
        let (loss, said) = last(name, text);
        assert_eq!(loss, expected, "{name}: {said}");
        assert_eq!(said.contains("may be cut off"), told, "{name}: {said}");
    }
}

#[test]
fn nothing_is_replaced_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("l.csv"), "variant,step,val_loss\na,1,3\na,2,2\n").unwrap();
    fs::write(path("notes.md"), "my notes\n").unwrap();
    let measured = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/quick.json");
    fs::copy(measured, path("mine.json")).unwrap();
    let before = fs::read(path("mine.json")).unwrap();
    for line in [
        "import l.csv --out mine.json",
        "import l.csv --out notes.md",
        "report mine.json --out notes.md",
        "report mine.json --format json --out mine.json",
    ] {
        let output = run(folder.path(), line);
        assert_eq!(output.status.code(), Some(2), "{line}: {}", err(&output));
        assert!(
            err(&output).contains("is already there"),
            "{line}: {}",
            err(&output)
        );
    }
    assert_eq!(fs::read(path("mine.json")).unwrap(), before);
    assert_eq!(fs::read(path("notes.md")).unwrap(), b"my notes\n");
    // An import and a page may be made again, and everything where it is asked for.
    for line in [
        "import l.csv --out a.json",
        "import l.csv --out a.json",
        "report a.json --out a.html",
        "report a.json --out a.html",
        "report a.json --out notes.md --force",
        "import l.csv --out mine.json --force",
    ] {
        let output = run(folder.path(), line);
        assert_eq!(output.status.code(), Some(0), "{line}: {}", err(&output));
    }
}

#[test]
fn a_dash_is_standard_input_and_output() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("l.csv"),
        "variant,step,val_loss\na,1,3\na,2,2\n",
    )
    .unwrap();
    let printed = run(folder.path(), "import l.csv --out -");
    assert_eq!(printed.status.code(), Some(0), "{}", err(&printed));
    assert!(!folder.path().join("-").exists());
    let piped = |input: &[u8], args: &[&str]| {
        use std::io::Write;
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_effbench"))
            .args(args)
            .current_dir(folder.path())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    };
    let report = piped(&printed.stdout, &["report", "-", "--full"]);
    assert!(out(&report).contains("a/all@2"), "{}", out(&report));
    let again = piped(
        b"variant,step,val_loss\na,1,3\na,2,2\n",
        &["import", "-", "--out", "b.json"],
    );
    assert!(again.status.success());
    assert!(folder.path().join("b.json").exists());
}

#[test]
fn a_dialect_can_be_insisted_on() {
    let folder = tempfile::tempdir().unwrap();
    let log = format!("{LOGS}/nanogpt.log");
    let with = |dialect: &str| {
        let args = [
            "import",
            &log,
            "--let",
            "variant=a",
            "--dialect",
            dialect,
            "--out",
            "a.json",
        ];
        effbench(folder.path(), &args)
    };
    assert_eq!(with("nanogpt").status.code(), Some(0));
    let other = with("megatron");
    assert_eq!(other.status.code(), Some(2));
    assert!(
        err(&other).contains("no line of megatron's"),
        "{}",
        err(&other)
    );
    assert!(err(&with("word")).contains("there is: key-value, nanogpt"));
}

/// A log that PowerShell redirected, either way round, and a compressed table: for `import` and `fit` alike.
#[test]
fn any_wrapping_is_read_by_every_reader() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let log = "step:1 val_loss:3.25\nstep:2 val_loss:3.125\n";
    let wide = |big: bool| -> Vec<u8> {
        let units = log.encode_utf16();
        let bytes = units.flat_map(|u| {
            if big {
                u.to_be_bytes()
            } else {
                u.to_le_bytes()
            }
        });
        bytes.collect()
    };
    fs::write(
        folder.path().join("big.log"),
        [b"\xfe\xff".to_vec(), wide(true)].concat(),
    )
    .unwrap();
    fs::write(folder.path().join("little.log"), wide(false)).unwrap();
    for name in ["big.log", "little.log"] {
        let line = format!("import {name} --let variant=a --out {name}.json");
        let output = run(folder.path(), &line);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", err(&output));
        let file = store::read_valid(&folder.path().join(format!("{name}.json"))).unwrap();
        assert_eq!(
            value(&file.trials[0], "val_loss_nats"),
            Some(3.125),
            "{name}"
        );
    }
    let table = "flops,loss\n1e18,3.5\n2e18,3.25\n4e18,3.1\n8e18,3.0\n";
    let path = folder.path().join("t.csv.gz");
    let mut packed =
        flate2::write::GzEncoder::new(fs::File::create(path).unwrap(), flate2::Compression::fast());
    packed.write_all(table.as_bytes()).unwrap();
    packed.finish().unwrap();
    let output = run(folder.path(), "fit --csv t.csv.gz --bootstrap 0");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("n = 4 points"), "{}", out(&output));
}
