//! A run is killed at random moments, parent or child or both, by SIGKILL or SIGTERM, and resumed each time: nothing that had
//! finished is lost or run again, and the losses are the bits of an undisturbed run. `KILLS=200` makes more of it.
#![cfg(all(target_os = "linux", feature = "run"))]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use effbench::record::{ResultFile, Status, Trial, journal, store};
use effbench::stream::stream;

const SUITE: &str = include_str!("fixtures/tiny.toml");

const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy)]
enum Victim {
    Parent,
    Child,
    Both,
}

fn run(folder: &Path, out: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_effbench"));
    command
        .current_dir(folder)
        .args(["run", "./tiny.toml", "--resume", "--out", out]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// The trial's process at this moment, where there is one.
fn child_of(parent: &Child) -> Option<i32> {
    let tasks = fs::read_dir(format!("/proc/{}/task", parent.id())).ok()?;
    let children = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    children
        .flat_map(|text| {
            text.split_whitespace()
                .filter_map(|id| id.parse().ok())
                .collect::<Vec<i32>>()
        })
        .next()
}

fn signal(process: i32, signal: i32) {
    // SAFETY: kill takes two integers and touches no memory; the process is a child or grandchild of this test that is not
    // waited for, or just gone, and then nothing happens.
    unsafe { libc::kill(process, signal) };
}

fn wait(run: &mut Child) -> Option<i32> {
    let began = Instant::now();
    loop {
        match run.try_wait().unwrap() {
            Some(status) => return status.code(),
            None if began.elapsed() > PATIENCE => {
                run.kill().unwrap();
                panic!("a run does not end");
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn finished(trials: Vec<Trial>) -> Vec<Trial> {
    trials
        .into_iter()
        .filter(|trial| trial.status == Status::Ok)
        .collect()
}

/// What is kept of a run, whether it goes on or is done.
fn kept(folder: &Path, out: &str) -> Vec<Trial> {
    let done = folder.join(out);
    let journal = journal::read_journal(&folder.join(format!("{out}.partial")))
        .unwrap()
        .trials;
    if journal.is_empty() && done.exists() {
        finished(store::read_valid(&done).unwrap().trials)
    } else {
        finished(journal)
    }
}

fn losses(file: &ResultFile) -> Vec<(String, u64, Vec<u64>)> {
    let bits = |trial: &Trial| {
        trial
            .curve
            .train_loss_nats
            .iter()
            .flatten()
            .map(|loss| loss.to_bits())
            .collect()
    };
    let mut rows: Vec<_> = file
        .trials
        .iter()
        .map(|trial| (trial.cell.clone(), trial.repeat, bits(trial)))
        .collect();
    rows.sort();
    rows
}

/// Files that hold a trial's position, in a run's folder.
fn checkpoints(folder: &Path, out: &str) -> usize {
    let entries = fs::read_dir(folder.join(format!("{out}.partial")))
        .into_iter()
        .flatten()
        .flatten();
    entries
        .filter(|entry| {
            entry
                .path()
                .extension()
                .is_some_and(|ending| ending == "checkpoint")
        })
        .count()
}

#[test]
fn a_long_trial_that_is_killed_goes_on_from_its_checkpoint_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let suite = SUITE
        .replace("[10, 40]", "[1500]")
        .replace("repeats = 2", "repeats = 1");
    fs::write(here.join("tiny.toml"), suite).unwrap();
    assert_eq!(wait(&mut run(here, "whole.json").spawn().unwrap()), Some(0));
    let whole = store::read_valid(&here.join("whole.json")).unwrap();

    let mut parent = run(here, "killed.json")
        .env("EFFBENCH_CHECKPOINT_S", "0.1")
        .spawn()
        .unwrap();
    let began = Instant::now();
    while checkpoints(here, "killed.json") == 0 {
        assert!(
            began.elapsed() < PATIENCE && parent.try_wait().unwrap().is_none(),
            "no checkpoint was written"
        );
        thread::sleep(Duration::from_millis(5));
    }
    // Somewhere between two checkpoints.
    thread::sleep(Duration::from_millis(130));
    let child = child_of(&parent);
    [Some(parent.id() as i32), child]
        .into_iter()
        .flatten()
        .for_each(|process| signal(process, libc::SIGKILL));
    wait(&mut parent);
    assert_eq!(
        (
            kept(here, "killed.json").len(),
            checkpoints(here, "killed.json")
        ),
        (0, 1)
    );

    assert_eq!(
        wait(&mut run(here, "killed.json").spawn().unwrap()),
        Some(0)
    );
    let killed = store::read_valid(&here.join("killed.json")).unwrap();
    assert_eq!(losses(&killed), losses(&whole));
    let last = |file: &ResultFile| {
        file.trials
            .iter()
            .map(|t| t.curve.val_loss_nats.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(last(&killed), last(&whole));
    let resumed = |trial: &Trial| {
        trial
            .validity
            .flags
            .iter()
            .find(|flag| flag.code == "resumed")
            .and_then(|f| f.value)
    };
    let steps: Vec<f64> = killed.trials.iter().filter_map(resumed).collect();
    assert!(
        steps.len() == 1 && steps[0] > 0.0 && steps[0] < 1500.0,
        "one trial went on from a step: {steps:?}"
    );
    assert!(!here.join("killed.json.partial").exists());
}

#[test]
fn kills_at_random_moments_lose_nothing_and_change_no_bit() {
    let kills: u64 = std::env::var("KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20);
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let suite = SUITE.replace("[10, 40]", "[10, 80]");
    fs::write(here.join("tiny.toml"), suite).unwrap();
    let began = Instant::now();
    assert_eq!(wait(&mut run(here, "whole.json").spawn().unwrap()), Some(0));
    // Kills fall anywhere in a run.
    let longest_s = began.elapsed().as_secs_f64();
    let whole = losses(&store::read_valid(&here.join("whole.json")).unwrap());

    let mut random = stream("kills", 1, 0);
    let (mut done, mut round, mut known) = (0, 0, Vec::<Trial>::new());
    while done < kills {
        let out = format!("run-{round}.json");
        let mut parent = run(here, &out).spawn().unwrap();
        thread::sleep(Duration::from_secs_f64(random.uniform() * longest_s));
        let victim =
            [Victim::Parent, Victim::Child, Victim::Both][(random.uniform() * 3.0) as usize];
        let with = if random.uniform() < 0.5 {
            libc::SIGKILL
        } else {
            libc::SIGTERM
        };
        let ended = parent.try_wait().unwrap();
        let code = match ended {
            Some(status) => status.code(),
            None => {
                let (own, child) = (parent.id() as i32, child_of(&parent));
                let struck = match victim {
                    Victim::Parent => vec![own],
                    Victim::Child => child.into_iter().collect(),
                    Victim::Both => [own].into_iter().chain(child).collect(),
                };
                struck.iter().for_each(|process| signal(*process, with));
                done += u64::from(!struck.is_empty());
                wait(&mut parent)
            }
        };
        let now = kept(here, &out);
        for earlier in &known {
            assert!(
                now.contains(earlier),
                "{victim:?} {with}: {} was lost or run again",
                earlier.cell
            );
        }
        // 5: a trial was killed and the others ran; 130: stopped in good order; none: by the signal itself.
        assert!(
            matches!(code, None | Some(0 | 5 | 130)),
            "{victim:?} {with}: exit code {code:?}"
        );
        known = now;
        if code == Some(0) {
            assert_eq!(losses(&store::read_valid(&here.join(&out)).unwrap()), whole);
            assert!(!here.join(format!("{out}.partial")).exists());
            (round, known) = (round + 1, Vec::new());
        }
    }
    // The run that was under way is finished as any other.
    let out = format!("run-{round}.json");
    assert_eq!(wait(&mut run(here, &out).spawn().unwrap()), Some(0));
    assert_eq!(losses(&store::read_valid(&here.join(&out)).unwrap()), whole);
}
