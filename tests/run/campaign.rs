//! A campaign from Rust and from the command line is the same one, and the command that it prints makes it.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use effbench::campaign::{Campaign, Mode, Observer, Options};
use effbench::config::plan::Plan;
use effbench::record::{ResultFile, Trial, journal};
use effbench::trial::Registry;

use crate::{SUITE, command, effbench, folder_with_suite, losses, read, stderr};

const OWN: &str = env!("CARGO_BIN_EXE_effbench");

/// How many trials ran.
#[derive(Default)]
struct Count(usize);

impl Observer for Count {
    fn finished(&mut self, _: &Trial, _: Duration) {
        self.0 += 1;
    }
}

fn ids(file: &ResultFile) -> BTreeSet<&str> {
    file.trials.iter().map(|trial| trial.id.as_str()).collect()
}

/// The words of a command after the program's name.
fn words(command: &str) -> Vec<&str> {
    command.split(' ').skip(1).collect()
}

#[test]
fn a_campaign_from_rust_has_the_trials_of_the_command_line() {
    let folder = folder_with_suite();
    let here = folder.path();
    let out = here.join("rust.json");
    let options = Options {
        suite: here.join("tiny.toml").display().to_string(),
        device: "cpu".to_owned(),
        variants: vec!["gpt2".to_owned()],
        repeats: Some(1),
        out: Some(out.clone()),
        program: Some(OWN.into()),
        ..Options::default()
    };
    let registry = Registry::builtin();
    let resolve =
        |options: &Options| Campaign::resolve(&registry, &registry.library(), options).unwrap();
    let campaign = resolve(&options);
    let plan = campaign.plan().unwrap();
    assert_eq!((plan.trials, plan.done_trials), (2, 0));
    let mut ran = Count::default();
    let outcome = campaign.run(&mut ran).unwrap();
    let file = outcome.file().unwrap();
    assert_eq!((ran.0, outcome.out()), (2, out.as_path()));
    assert_eq!(file, &read(here, "rust.json"));

    // The command that the campaign prints makes the same trials.
    let typed = Options {
        out: Some(here.join("typed.json")),
        ..options.clone()
    };
    let run = effbench(here, &words(&resolve(&typed).command()));
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    let typed = read(here, "typed.json");
    assert_eq!(ids(file), ids(&typed));
    assert_eq!(losses(file), losses(&typed));

    // And the command that goes on with it finds nothing left to do.
    let resumed = effbench(here, &words(&options.resume_command(&out)));
    let said = stderr(&resumed);
    assert_eq!((resumed.status.code(), said.as_str()), (Some(0), ""));
    let again = Options {
        mode: Mode::Resume,
        ..options
    };
    let with = |set: &str, repeats| Options {
        set: vec![set.to_owned()],
        repeats: Some(repeats),
        ..again.clone()
    };
    let more = with("train.batch=4", 2);
    let plan = resolve(&more).plan().unwrap();
    let counted = |plan: &Plan| (plan.trials, plan.done_trials, plan.beyond_trials);
    assert_eq!(counted(&plan), (2, 2, 0));
    // A plan of less says what else is there, one of other trials is refused.
    let fewer = resolve(&with("train.steps=10", 1)).plan().unwrap();
    assert_eq!(counted(&fewer), (0, 1, 1));
    let other = resolve(&with("train.steps=11", 1)).plan().unwrap_err();
    assert!(other.message.contains("not part of this plan"), "{other}");
}

#[test]
fn a_plan_counts_what_would_run() {
    let folder = folder_with_suite();
    let here = folder.path();
    let tuned = SUITE.replace(
        "first_seed = 1",
        "first_seed = 1\ntune = { lr = [0.005, 0.01, 0.02] }",
    );
    std::fs::write(here.join("tuned.toml"), tuned).unwrap();
    let rows: [(&[&str], [u64; 3], &str); 6] = [
        (
            &["tiny.toml"],
            [8, 0, 1],
            "would run 8 trials (4 cells, 2 repeats each) on",
        ),
        (
            &["tiny.toml", "--against", env!("CARGO_BIN_EXE_effbench")],
            [16, 0, 2],
            "would run 16 trials (4 cells, 2 repeats each, by 2 builds) on",
        ),
        (
            &["tiny.toml", "--shard", "2/2"],
            [4, 0, 1],
            "would run 4 trials (4 cells, 2 repeats each, of which this is part 2/2) on",
        ),
        (
            &["tuned.toml"],
            [32, 24, 1],
            "would run 32 trials (4 cells, 2 repeats each, after 24 that choose learning rates) on",
        ),
        (
            &["tuned.toml", "--shard", "sweep"],
            [24, 24, 1],
            "would run 24 trials (12 cells, 2 repeats each, all of them to choose learning rates) on",
        ),
        (
            &["tuned.toml", "--resume", "--out", "none.json"],
            [32, 24, 1],
            "would run 32 trials",
        ),
    ];
    for (args, [trials, tuning_trials, builds], says) in rows {
        let plan = |format| {
            effbench(
                here,
                &[&["run"], args, &["--dry-run", "--format", format]].concat(),
            )
        };
        let (text, json) = (plan("text"), plan("json"));
        assert_eq!(text.status.code(), Some(0), "{}", stderr(&text));
        let text = String::from_utf8_lossy(&text.stdout);
        assert!(text.contains(says), "{args:?}: {text}");
        let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        let found = ["trials", "tuning_trials", "builds"].map(|key| json[key].as_u64().unwrap());
        assert_eq!(found, [trials, tuning_trials, builds], "{args:?}");
    }
}

/// Whoever follows the hint gets the verdict that was asked for, in the form that was asked for.
#[test]
#[cfg(unix)]
fn the_hint_of_an_interrupted_run_asks_for_the_same() {
    let folder = folder_with_suite();
    let here = folder.path();
    std::os::unix::fs::symlink(OWN, here.join("other")).unwrap();
    let asked = "run ./tiny.toml --against other --gate equivalent --format json";
    let line = format!("{asked} --out x.json");
    let args: Vec<&str> = line.split(' ').collect();
    let run = command(here, &args)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while journal::read_journal(&here.join("x.json.partial"))
        .unwrap()
        .trials
        .is_empty()
    {
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "no trial finished"
        );
        thread::sleep(Duration::from_millis(5));
    }
    let pid = i32::try_from(run.id()).unwrap();
    // SAFETY: kill takes two integers and touches no memory; the child is not waited for yet, so that its number is its own.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGINT) }, 0);
    let output = run.wait_with_output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(130), "{said}");
    let hint = format!("`effbench {asked} --resume --out x.json` runs the rest");
    assert!(said.contains(&hint), "{said}");
}

/// A program that forgot to serve would run everything again in each of its trials, and in each of theirs.
#[test]
fn a_run_within_a_trial_is_refused() {
    let folder = folder_with_suite();
    let args = ["run", "./tiny.toml", "--out", "x.json"];
    let output = command(folder.path(), &args)
        .env("EFFBENCH_CHILD", "1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("effbench::campaign::serve"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn what_the_command_line_refuses_together_is_refused_from_rust() {
    let folder = folder_with_suite();
    let registry = Registry::builtin();
    let options = Options {
        suite: folder.path().join("tiny.toml").display().to_string(),
        executor: effbench::campaign::Executor::Slurm { collect: false },
        mode: Mode::Fresh,
        ..Options::default()
    };
    let campaign = Campaign::resolve(&registry, &registry.library(), &options).unwrap();
    let error = campaign.run(&mut ()).unwrap_err();
    assert!(
        error
            .message
            .contains("--executor slurm: cannot be used with --fresh"),
        "{error}"
    );
}
