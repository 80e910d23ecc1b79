//! The runner itself is killed: what was finished stays, and no child outlives it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use effbench::record::{Status, journal, store};
use effbench::runner::partial::Partial;
use effbench::runner::{Interrupt, Mode};

use crate::fake::{LONG, jobs, run_jobs, script};

/// The parent process of the tests below: runs fake jobs in the folder that the environment names.
#[test]
#[ignore = "a process for other tests to kill"]
fn parent() {
    let Ok(folder) = std::env::var("EFFBENCH_TEST_FOLDER").map(PathBuf::from) else {
        return;
    };
    let text = fs::read_to_string(folder.join("script")).unwrap();
    let stop = Interrupt::on_signals().unwrap();
    let (result, _) = run_jobs(
        &folder.join("out.json"),
        Mode::Resume,
        &jobs(&["a", "b"], 12),
        &script(&text),
        &stop,
    );
    result.unwrap();
}

fn spawn_parent(folder: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "killed::parent"])
        .env("EFFBENCH_TEST_FOLDER", folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// How often a trial was started, by what the children wrote.
fn started(log: &Path) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for id in fs::read_to_string(log).unwrap_or_default().lines() {
        *counts.entry(id.to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn killed_again_and_again_it_loses_nothing_and_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (out, log) = (
        folder.path().join("out.json"),
        folder.path().join("started"),
    );
    fs::write(
        folder.path().join("script"),
        format!("echo $id >> {}; sleep 0.05; done_as ok", log.display()),
    )
    .unwrap();
    let mut kept: HashMap<String, usize> = HashMap::new();
    for round in 0..20_u64 {
        let mut parent = spawn_parent(folder.path());
        // Half of the rounds end somewhere in the first trials, the others wherever the parent has got to by then.
        let before = started(&log);
        let began = Instant::now();
        while round % 2 == 0 && started(&log) == before && began.elapsed() < LONG {
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(round * 37 % 130));
        let signal = if round % 4 == 3 {
            libc::SIGTERM
        } else {
            libc::SIGKILL
        };
        // SAFETY: kill takes two integers; the process is our child and not yet waited for.
        unsafe { libc::kill(i32::try_from(parent.id()).unwrap(), signal) };
        parent.wait().unwrap();
        let starts = started(&log);
        let trials = match store::read(&out) {
            Ok(file) => file.trials,
            Err(_) => journal::read_journal(&Partial::folder_of(&out))
                .map(|journal| journal.trials)
                .unwrap_or_default(),
        };
        let finished = trials
            .into_iter()
            .filter(|trial| trial.status == Status::Ok);
        let now: HashSet<String> = finished.map(|trial| trial.id).collect();
        for (id, count) in &kept {
            assert!(now.contains(id), "round {round}: {id} was lost");
            assert_eq!(
                starts[id], *count,
                "round {round}: {id} was finished and run again"
            );
        }
        kept = now
            .into_iter()
            .map(|id| (id.clone(), starts[&id]))
            .collect();
    }
    assert!(!kept.is_empty(), "no round got as far as a finished trial");
    assert!(spawn_parent(folder.path()).wait().unwrap().success());
    let trials = store::read(&out).unwrap().trials;
    let ids: Vec<String> = trials.into_iter().map(|trial| trial.id).collect();
    let planned = jobs(&["a", "b"], 12).into_iter().map(|job| job.trial.id);
    assert_eq!(ids, planned.collect::<Vec<_>>());
    assert!(!Partial::folder_of(&out).exists());
    for (id, count) in &kept {
        assert_eq!(started(&log)[id], *count);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_child_dies_with_its_parent() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    fs::write(
        folder.path().join("script"),
        format!("echo $$ > {}; exec sleep 600", pid_file.display()),
    )
    .unwrap();
    let wait_for = |what: &str, holds: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < Duration::from_secs(20), "{what}");
            thread::sleep(Duration::from_millis(10));
        }
    };
    let pid = || {
        fs::read_to_string(&pid_file)
            .ok()
            .filter(|text| text.ends_with('\n'))
    };
    let mut parent = spawn_parent(folder.path());
    wait_for("the child starts", &|| pid().is_some());
    let stat = format!("/proc/{}/stat", pid().unwrap().trim());
    assert!(!fs::read_to_string(&stat).unwrap().contains(" Z "));
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_for("the child is gone", &|| {
        fs::read_to_string(&stat).map_or(true, |text| text.contains(" Z "))
    });
}
