//! What surrounds a run: signals that somebody had it ignore, a wattmeter's log that fails, data that can be read once.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use effbench::record::Status;

use super::{SUITE, command, effbench, folder_with_suite, read, stderr};

/// Waits until a run has got as far as its folder's head.
fn begun(out: &Path) {
    let head = out.with_extension("json.partial").join("run.json");
    let began = Instant::now();
    while !head.exists() {
        assert!(began.elapsed() < Duration::from_secs(120), "did not begin");
        thread::sleep(Duration::from_millis(5));
    }
}

/// `nohup` has a program ignore SIGHUP, a shell's script SIGINT of what it starts in the background.
#[test]
#[cfg(unix)]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let folder = folder_with_suite();
    let out = folder.path().join("x.json");
    let program = env!("CARGO_BIN_EXE_effbench");
    let script = format!("trap '' HUP INT; exec {program} run ./tiny.toml --out x.json");
    let run = Command::new("sh")
        .args(["-c", &script])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    begun(&out);
    let pid = i32::try_from(run.id()).unwrap();
    for signal in [libc::SIGHUP, libc::SIGINT] {
        // SAFETY: kill takes two integers and touches no memory; the child is not waited for yet, so that its number is its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(read(folder.path(), "x.json").trials.len(), 8);
}

/// A meter that says `N/A`, writes two rows for one second and loses its log costs figures of energy, and no trial.
#[test]
fn a_wattmeter_that_fails_costs_no_trial() {
    let folder = folder_with_suite();
    let (here, log) = (folder.path(), folder.path().join("watts.csv"));
    fs::write(&log, "t_utc,w\n").unwrap();
    let done = AtomicBool::new(false);
    let output = thread::scope(|scope| {
        scope.spawn(|| {
            for row in 0.. {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                let (second, watts) = (now.as_secs(), if row % 3 == 0 { "N/A" } else { "-0.1" });
                let file = fs::OpenOptions::new().append(true).open(&log);
                let _ = file.map(|mut file| writeln!(file, "{second},{watts}"));
                if done.load(Ordering::Relaxed) {
                    break;
                }
                if row == 60 {
                    fs::remove_file(&log).unwrap();
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        let output = effbench(
            here,
            &[
                "run",
                "./tiny.toml",
                "--set",
                "measure.external_meter=watts.csv",
                "--out",
                "x.json",
            ],
        );
        done.store(true, Ordering::Relaxed);
        output
    });
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let file = read(here, "x.json");
    assert_eq!(file.trials.len(), 8);
    for trial in &file.trials {
        assert_eq!(trial.status, Status::Ok, "{:?}", trial.reason);
        let meter = trial
            .energy
            .channels
            .iter()
            .find(|c| c.source == "external_meter");
        assert!(meter.is_some_and(|meter| meter.energy_j.is_none() && meter.reason.is_some()));
    }
}

#[test]
fn data_that_can_be_read_once_is_refused_before_anything_runs() {
    let folder = folder_with_suite();
    for args in [
        [
            "run",
            "./tiny.toml",
            "--data",
            "/dev/stdin",
            "--out",
            "x.json",
        ],
        [
            "run",
            "./tiny.toml",
            "--set",
            "measure.external_meter=/dev/null",
            "--out",
            "x.json",
        ],
    ] {
        let output = command(folder.path(), &args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains("a pipe or a stream is read once"), "{said}");
        assert!(!folder.path().join("x.json.partial").exists());
    }
}

/// Whoever writes a suite names its widths and budgets: no sweep needs to have seen them, and he is told.
#[test]
fn a_suite_of_ones_own_runs_with_untuned_rates_and_says_so() {
    let folder = folder_with_suite();
    let own = SUITE.replace("train.optimizer.lr = 3e-3\n", "");
    fs::write(folder.path().join("own.toml"), own).unwrap();
    let output = effbench(folder.path(), &["run", "own.toml", "--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("note: gpt2/w16"), "{said}");
    assert!(said.contains("a table `tune` in own.toml"), "{said}");
}

/// Two that nobody named and that begin in one second write to two files.
#[test]
fn runs_of_one_second_do_not_meet() {
    let folder = folder_with_suite();
    let begin = || {
        command(folder.path(), &["run", "./tiny.toml", "--repeats", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    for run in [begin(), begin()] {
        let output = run.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    let results = fs::read_dir(folder.path().join("results")).unwrap();
    assert_eq!(results.count(), 2);
}
