//! Nothing lost and nothing run twice, whatever happens to a trial's process or to its parent.
#![cfg(all(unix, feature = "run"))]

mod fake;
mod faults;
mod killed;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use effbench::error::{Error, Kind};
use effbench::record::{At, Status, Trial, journal, store};
use effbench::runner::isolate::run_trial;
use effbench::runner::local::choose_out;
use effbench::runner::partial::Partial;
use effbench::runner::{Interrupt, Mode};
use effbench::trial::Job;

use crate::fake::{LONG, jobs, run_jobs, script};

#[test]
fn a_run_keeps_order_calibration_and_failures_and_prints_a_line_each() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new/out.json");
    let jobs = jobs(&["a", "b"], 2);
    let worker = script("case $cell in b) echo bad >&2; exit 3;; esac; done_as ok");
    let (file, lines) = run_jobs(&out, Mode::New, &jobs, &worker, &Interrupt::default());
    let file = file.unwrap();
    assert_eq!(file, store::read(&out).unwrap());
    assert!(!Partial::folder_of(&out).exists());
    let seen: Vec<_> = file
        .trials
        .iter()
        .map(|t| (t.cell.as_str(), t.repeat, t.order, t.status))
        .collect();
    let (ok, failed) = (Status::Ok, Status::Failed);
    assert_eq!(
        seen,
        [
            ("a", 0, 0, ok),
            ("b", 0, 1, failed),
            ("b", 1, 2, failed),
            ("a", 1, 3, ok)
        ]
    );
    let taken: Vec<At> = file
        .calibrations
        .iter()
        .map(|calibration| calibration.at)
        .collect();
    assert_eq!(taken, [At::Before, At::After]);
    assert!(file.run.finished_at.is_some());
    assert_eq!(lines.lines().count(), 4);
    assert!(
        lines.contains("[2/4] b repeat 0: failed (exit code 3: bad), "),
        "{lines}"
    );

    // What failed is run again, last; what is done is not; then nothing is left to do.
    let (again, lines) = run_jobs(
        &out,
        Mode::Resume,
        &jobs,
        &script("done_as ok"),
        &Interrupt::default(),
    );
    let again = again.unwrap();
    assert_eq!(
        lines.lines().next(),
        Some("2 of 4 trials are done, 2 to run")
    );
    let seen: Vec<_> = again
        .trials
        .iter()
        .map(|t| (t.cell.as_str(), t.order, t.status))
        .collect();
    assert_eq!(
        seen,
        [("a", 0, ok), ("a", 3, ok), ("b", 4, ok), ("b", 5, ok)]
    );
    let before = fs::read(&out).unwrap();
    let (same, lines) = run_jobs(
        &out,
        Mode::Resume,
        &jobs,
        &script("exit 9"),
        &Interrupt::default(),
    );
    assert_eq!((same.unwrap(), lines.as_str()), (again, ""));
    assert_eq!(fs::read(&out).unwrap(), before);
}

/// What a refused run says; nothing may have been started.
fn refusal(out: &Path, mode: Mode, jobs: &[Job]) -> Error {
    let (result, lines) = run_jobs(out, mode, jobs, &script("exit 9"), &Interrupt::default());
    assert_eq!(lines, "");
    let error = result.unwrap_err();
    assert_eq!(error.kind, Kind::Input, "{error}");
    error
}

#[test]
fn what_is_there_is_not_touched_unless_asked() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.json");
    let jobs = jobs(&["a"], 2);
    let ok = script("done_as ok");
    // Nothing is there: it starts.
    let (first, _) = run_jobs(&out, Mode::Resume, &jobs, &ok, &Interrupt::default());
    let first = first.unwrap();
    let error = refusal(&out, Mode::New, &jobs);
    assert!(
        error.message.ends_with("out.json is already there"),
        "{error}"
    );
    assert!(
        error
            .hint
            .as_ref()
            .is_some_and(|hint| hint.contains("--resume") && hint.contains("--fresh")),
        "{error}"
    );

    let (fresh, lines) = run_jobs(&out, Mode::Fresh, &jobs, &ok, &Interrupt::default());
    assert_eq!(lines.lines().count(), 2);
    assert_eq!(fresh.unwrap().trials, first.trials);

    // Interrupted while it replaces: the old file stays, and `--resume` goes on with the new run.
    let stop = Interrupt::default();
    stop.raise();
    assert_eq!(
        run_jobs(&out, Mode::Fresh, &jobs, &ok, &stop)
            .0
            .unwrap_err()
            .kind,
        Kind::Interrupted
    );
    assert_eq!(store::read(&out).unwrap().trials, first.trials);
    let (_, lines) = run_jobs(&out, Mode::Resume, &jobs, &ok, &Interrupt::default());
    assert_eq!(lines.lines().count(), 2);

    fs::remove_file(&out).unwrap();
    fs::create_dir(Partial::folder_of(&out)).unwrap();
    let error = refusal(&out, Mode::New, &jobs);
    assert!(
        error.message.ends_with("out.json.partial is already there"),
        "{error}"
    );
}

#[test]
fn an_out_that_cannot_be_written_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    let jobs = jobs(&["a"], 1);
    for mode in [Mode::New, Mode::Resume, Mode::Fresh] {
        for out in [
            file.join("out.json"),
            PathBuf::from("/proc/none/out.json"),
            folder.path().to_owned(),
        ] {
            refusal(&out, mode, &jobs);
        }
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_second_run_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.json");
    let jobs = jobs(&["a"], 1);
    let first = Partial::open(&out).unwrap();
    let error = refusal(&out, Mode::Resume, &jobs);
    assert!(
        error.message.contains("another run is writing to"),
        "{error}"
    );
    assert!(
        refusal(&out, Mode::Fresh, &jobs)
            .message
            .contains("another run")
    );
    drop(first);
    run_jobs(
        &out,
        Mode::Resume,
        &jobs,
        &script("done_as ok"),
        &Interrupt::default(),
    )
    .0
    .unwrap();
}

/// A run ends while another one waits for its folder: the other sees what it left, and runs nothing again.
#[test]
fn a_run_that_waited_for_another_sees_what_that_one_left() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.json");
    let jobs = jobs(&["a"], 2);
    thread::scope(|scope| {
        let first = scope.spawn(|| {
            let slow = script("sleep 0.2; done_as ok");
            run_jobs(&out, Mode::New, &jobs, &slow, &Interrupt::default())
                .0
                .unwrap()
        });
        while !Partial::has_begun(&out) {
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(300));
        let (second, lines) = run_jobs(
            &out,
            Mode::Resume,
            &jobs,
            &script("exit 9"),
            &Interrupt::default(),
        );
        assert_eq!(
            (second.unwrap(), lines.as_str()),
            (first.join().unwrap(), "")
        );
    });
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing but the result is left"
    );
}

/// The lock that was waited for may be gone with its folder when it is had: it then locks nothing.
#[test]
fn a_lock_that_went_with_its_run_is_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.json");
    for _ in 0..10 {
        let first = Partial::open(&out).unwrap();
        thread::scope(|scope| {
            let second = scope.spawn(|| Partial::open(&out));
            thread::sleep(Duration::from_millis(30));
            first.remove().unwrap();
            let second = second.join().unwrap().unwrap();
            let third = Partial::open(&out).unwrap_err();
            assert!(
                third.message.contains("another run is writing to"),
                "{third}"
            );
            second.leave();
        });
        assert!(!Partial::folder_of(&out).exists());
    }
}

#[test]
fn trials_of_another_plan_are_neither_mixed_nor_lost() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.json");
    let ok = script("done_as ok");
    let (two, four, other) = (jobs(&["a"], 2), jobs(&["a"], 4), jobs(&["b"], 2));
    run_jobs(&out, Mode::New, &two, &ok, &Interrupt::default())
        .0
        .unwrap();
    let error = refusal(&out, Mode::Resume, &other);
    assert!(
        error.message.contains("are not part of this plan"),
        "{error}"
    );
    let (more, lines) = run_jobs(&out, Mode::Resume, &four, &ok, &Interrupt::default());
    assert_eq!((more.unwrap().trials.len(), lines.lines().count()), (4, 3));
    let (fewer, lines) = run_jobs(&out, Mode::Resume, &two, &ok, &Interrupt::default());
    assert_eq!(fewer.unwrap().trials.len(), 4);
    assert!(
        lines.starts_with("2 of the 4 trials in ") && lines.contains("they stay"),
        "{lines}"
    );
}

#[test]
fn an_interrupted_run_says_how_to_go_on_and_is_found_without_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let out = choose_out(None, Mode::Resume, folder.path(), "fake", "box-2c-linux");
    let name = out.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(
        name.starts_with("fake-box-2c-linux-20")
            && name.ends_with(&format!("Z-{}.json", std::process::id()))
            && !name.contains(':'),
        "{name}"
    );
    let jobs = jobs(&["a", "b"], 2);
    let stop = Interrupt::default();
    let (worker, raised) = (
        script("case $cell in b) sleep 60;; esac; done_as ok"),
        stop.clone(),
    );
    let partial = Partial::folder_of(&out);
    let watch = thread::spawn(move || {
        while journal::read_journal(&partial).map_or(0, |journal| journal.trials.len()) == 0 {
            thread::sleep(Duration::from_millis(10));
        }
        raised.raise();
    });
    let (result, _) = run_jobs(&out, Mode::Resume, &jobs, &worker, &stop);
    watch.join().unwrap();
    let error = result.unwrap_err();
    assert_eq!(error.kind, Kind::Interrupted);
    assert!(
        error
            .message
            .starts_with("interrupted; 1 of 4 trials are kept in "),
        "{error}"
    );
    assert_eq!(
        error.hint.as_deref(),
        Some("`effbench run fake --resume` runs the rest")
    );

    assert_eq!(
        choose_out(None, Mode::Resume, folder.path(), "fake", "x"),
        out
    );
    assert_ne!(
        choose_out(None, Mode::Resume, folder.path(), "other", "x"),
        out
    );
    assert_ne!(choose_out(None, Mode::New, folder.path(), "fake", "x"), out);
    let (file, lines) = run_jobs(
        &out,
        Mode::Resume,
        &jobs,
        &script("done_as ok"),
        &Interrupt::default(),
    );
    assert_eq!((file.unwrap().trials.len(), lines.lines().count()), (4, 4));
}

#[test]
fn torn_files_in_the_journal_are_named_and_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.json");
    let jobs = jobs(&["a"], 3);
    let stop = Interrupt::default();
    stop.raise();
    run_jobs(&out, Mode::New, &jobs, &script("done_as ok"), &stop)
        .0
        .unwrap_err();
    let partial = Partial::open(&out).unwrap();
    let job = &jobs[0];
    let trial = run_trial(
        &script("done_as ok"),
        job,
        LONG,
        &Interrupt::default(),
        &mut |_| {},
    )
    .unwrap();
    partial.keep(&trial).unwrap();
    let kept: HashSet<PathBuf> = fs::read_dir(partial.folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    partial
        .keep(&Trial {
            id: jobs[1].trial.id.clone(),
            ..trial
        })
        .unwrap();
    let path = fs::read_dir(partial.folder())
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| !kept.contains(p))
        .unwrap();
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    drop(partial);
    let (file, lines) = run_jobs(
        &out,
        Mode::Resume,
        &jobs,
        &script("done_as ok"),
        &Interrupt::default(),
    );
    assert_eq!(file.unwrap().trials.len(), 3);
    assert!(
        lines.contains("is not a trial: ") && lines.contains("out.json.set-aside"),
        "{lines}"
    );
    assert_eq!(
        fs::read_dir(folder.path().join("out.json.set-aside"))
            .unwrap()
            .count(),
        1
    );
}

/// A trial that was killed goes on from its checkpoint when the run is resumed; one that is done needs it no more.
#[test]
fn a_checkpoint_stays_as_long_as_its_trial_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.json");
    let jobs = jobs(&["a", "b"], 1);
    let checkpoints = |jobs: &[Job]| -> Vec<bool> {
        let of = |job: &Job| {
            Partial::folder_of(&out)
                .join(format!("{}.checkpoint", job.trial.id))
                .exists()
        };
        jobs.iter().map(of).collect()
    };
    let save = "file=${job#*\\\"checkpoint\\\":\\\"}; file=${file%%\\\"*}; ";
    let dies = script(&format!(
        "{save} echo x > \"$file\"; case $cell in b) kill -9 $$;; esac; done_as ok"
    ));
    let (file, _) = run_jobs(&out, Mode::New, &jobs, &dies, &Interrupt::default());
    assert_eq!(
        file.unwrap()
            .trials
            .iter()
            .map(|t| t.status)
            .collect::<Vec<_>>(),
        [Status::Ok, Status::Failed]
    );
    assert_eq!(checkpoints(&jobs), [false, true]);
    let finds = script(&format!("{save} [ -e \"$file\" ] || exit 7; done_as ok"));
    let (file, _) = run_jobs(&out, Mode::Resume, &jobs, &finds, &Interrupt::default());
    assert!(
        file.unwrap()
            .trials
            .iter()
            .all(|trial| trial.status == Status::Ok)
    );
    assert!(!Partial::folder_of(&out).exists());
}
