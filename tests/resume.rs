//! Nothing lost and nothing run twice, whatever happens to a trial's process or to its parent.
//!
//! The children are shell scripts that answer as a trial does, so that none of this trains a model.
#![cfg(all(unix, feature = "run"))]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use effbench::error::{Error, Kind, Result};
use effbench::record::{At, Calibration, Cost, ResultFile, Run, SCHEMA, Status, Trial, store};
use effbench::runner::isolate::run_trial;
use effbench::runner::journal::Partial;
use effbench::runner::local::{Calibrate, choose_out, run};
use effbench::runner::plan::{Design, PreparedCell, plan};
use effbench::runner::{Interrupt, Mode, Progress, Request, Worker, build_info, machine};
use effbench::trial::{Event, Job};

/// Reads the job and says it is done: a trial's fields are a job's, and these.
const ANSWER: &str = r#"
read -r job
rest='"reason":null,"started_at":"2026-01-01T00:00:00Z","curve":{"step":[],"tokens":[],"train_flops":[],"wall_s":[],"energy_j":null,"train_loss_nats":[],"val_loss_nats":[]},"metrics":{},"skills":[],"energy":{"channels":[],"measured_j":null,"reason":"no_sensor"},"validity":{"ok":true,"flags":[]}'
done_as() { printf '{"event":"done","trial":%s,"status":"%s",%s}}\n' "${job%\}}" "$1" "$rest"; }
id=${job#*\"id\":\"}; id=${id%%\"*}
cell=${job#*\"cell\":\"}; cell=${cell%%\"*}
"#;

const LONG: Duration = Duration::from_secs(60);

fn script(text: &str) -> Worker {
    Worker { program: "/bin/sh".into(), args: vec!["-c".into(), format!("{ANSWER}{text}")], env: vec![] }
}

fn cell(name: &str) -> PreparedCell {
    let cost = Cost {
        params_total: 1,
        params_non_embedding: 1,
        params_active: 1,
        params_by_part: BTreeMap::new(),
        embedding_share: 0.0,
        forward_flops_per_token: 1.0,
        train_flops_per_token: 3.0,
        train_flops_per_sequence: 3,
        train_flops_per_sequence_causal: 3,
        six_n_flops_per_token: 6.0,
        train_flops: 10.0,
        optimizer_flops: 1.0,
        tuning_flops: None,
        train_tokens: 1,
        kv_bytes_per_token: 1,
        state_bytes: 16,
    };
    PreparedCell {
        name: name.into(),
        variant: name.into(),
        scale: "w32".into(),
        budget: None,
        lr_source: "given".into(),
        spec: serde_json::json!({"train": {"steps": 1}}),
        spec_sha256: format!("hash of {name}"),
        data_path: None,
        cost,
        activation_bytes: 0,
    }
}

fn jobs(cells: &[&str], repeats: u64) -> Vec<Job> {
    let cells: Vec<PreparedCell> = cells.iter().map(|name| cell(name)).collect();
    let build = build_info();
    plan(&cells, &Design { repeats, first_seed: 1, build: &build, build_index: 0, machine_index: 0 }).jobs
}

fn empty_file(repeats: u64) -> ResultFile {
    ResultFile {
        schema: SCHEMA.into(),
        run: Run {
            suite: "fake".into(),
            command: "effbench run fake".into(),
            base: None,
            headline: None,
            data: "nothing".into(),
            repeats,
            started_at: "2026-01-01T00:00:00Z".into(),
            finished_at: None,
        },
        builds: vec![build_info()],
        machines: vec![machine::describe(1, &machine::child_environment(1)).unwrap()],
        calibrations: vec![],
        trials: vec![],
    }
}

struct Peak;

impl Calibrate for Peak {
    fn device(&self) -> String {
        "cpu".into()
    }

    fn measure(&mut self, _: &Interrupt) -> Result<Calibration> {
        Ok(Calibration {
            machine: 0,
            at: At::Before,
            device: "cpu".into(),
            gemm_f32_flops_per_s: Some(1e9),
            stream_bytes_per_s: Some(1e9),
            reason: None,
        })
    }
}

/// Where plain progress lines go in these tests.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// A run of fake jobs, with what it printed.
fn run_jobs(out: &Path, mode: Mode, jobs: &[Job], worker: &Worker, stop: &Interrupt) -> (Result<ResultFile>, String) {
    let lines = Lines::default();
    let resume = "effbench run fake --resume";
    let request = Request { out, mode, file: empty_file(2), jobs, worker, limit: LONG, resume };
    let result = run(request, &mut Peak, &mut Progress::lines(Box::new(lines.clone())), stop);
    (result, lines.text())
}

#[test]
fn every_fault_of_a_child_is_recorded_as_what_it_was() {
    let job = jobs(&["a"], 1).remove(0);
    let check = |text: &str, limit_ms: u64, status: Status, reason: &str| {
        let limit = Duration::from_millis(limit_ms);
        let began = Instant::now();
        let trial = run_trial(&script(text), &job, limit, &Interrupt::default(), &mut |_| {}).unwrap();
        assert!(began.elapsed() < Duration::from_secs(10), "{text}");
        assert_eq!(trial.status, status, "{text}: {:?}", trial.reason);
        assert!(trial.reason.as_deref().unwrap_or("").contains(reason), "{text}: {:?}", trial.reason);
        assert_eq!((trial.id, trial.spec, trial.order), (job.id.clone(), job.spec.clone(), 0));
        assert_eq!(trial.validity.ok, matches!(status, Status::Ok | Status::Diverged));
    };
    check("done_as ok", 9000, Status::Ok, "");
    check("done_as diverged", 9000, Status::Diverged, "");
    check("kill -ABRT $$", 9000, Status::Failed, "killed by signal 6");
    check("kill -SEGV $$", 9000, Status::Failed, "killed by signal 11");
    check("echo one >&2; echo boom >&2; exit 3", 9000, Status::Failed, "exit code 3: one / boom");
    check("echo hello; sleep 60", 9000, Status::Failed, "not an event: `hello`");
    check("printf '\\377\\376\\n'; sleep 60", 9000, Status::Failed, "not an event");
    check("while :; do :; done", 200, Status::Timeout, "limit of 0.2 s");
    check("exec >&- 2>&-; sleep 60", 200, Status::Timeout, "limit of 0.2 s");
    check("kill -KILL $$", 9000, Status::OutOfMemory, "signal 9");
    check(
        "echo 'memory allocation of 8 bytes failed' >&2; kill -ABRT $$",
        9000,
        Status::OutOfMemory,
        "memory allocation",
    );
    check("exit 0", 9000, Status::Failed, "ended without a result");
    check("done_as ok; exit 4", 9000, Status::Failed, "exit code 4");
    check("done_as ok; echo; sleep 60", 9000, Status::Failed, "not an event");
    check("job=$(echo \"$job\" | sed s/$id/0/); done_as ok", 9000, Status::Failed, "answered for trial 0 instead of");
    check("sleep 60 & done_as ok", 9000, Status::Ok, ""); // a child of its own holds the pipes
}

#[test]
fn events_arrive_in_order_and_the_user_can_stop_a_trial() {
    let job = jobs(&["a"], 1).remove(0);
    let stop = Interrupt::default();
    let mut steps = Vec::new();
    let text = r#"for i in 1 2 3; do
        echo '{"event":"progress","phase":"train","step":'$i',"steps":9,"loss":null,"tokens_per_s":null}'
    done; sleep 60"#;
    let trial = run_trial(&script(text), &job, LONG, &stop, &mut |event| {
        let Event::Progress { step, .. } = event else { return };
        steps.push(*step);
        if *step == 3 {
            stop.raise();
        }
    });
    assert_eq!(trial.unwrap().status, Status::Interrupted);
    assert_eq!(steps, [1, 2, 3]);
}

#[test]
fn a_program_that_cannot_be_started_is_an_error() {
    let worker = Worker { program: "/nowhere/effbench".into(), args: vec![], env: vec![] };
    let job = jobs(&["a"], 1).remove(0);
    let error = run_trial(&worker, &job, LONG, &Interrupt::default(), &mut |_| {}).unwrap_err();
    assert!(error.message.contains("cannot start /nowhere/effbench"), "{error}");
}

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
    let seen: Vec<_> = file.trials.iter().map(|t| (t.cell.as_str(), t.repeat, t.order, t.status)).collect();
    let (ok, failed) = (Status::Ok, Status::Failed);
    assert_eq!(seen, [("a", 0, 0, ok), ("b", 0, 1, failed), ("b", 1, 2, failed), ("a", 1, 3, ok)]);
    let taken: Vec<At> = file.calibrations.iter().map(|calibration| calibration.at).collect();
    assert_eq!(taken, [At::Before, At::After]);
    assert!(file.run.finished_at.is_some());
    assert_eq!(lines.lines().count(), 4);
    assert!(lines.contains("[2/4] b repeat 0: failed (exit code 3: bad), "), "{lines}");

    // What failed is run again, last; what is done is not; then nothing is left to do.
    let (again, lines) = run_jobs(&out, Mode::Resume, &jobs, &script("done_as ok"), &Interrupt::default());
    let again = again.unwrap();
    assert_eq!(lines.lines().next(), Some("2 of 4 trials are done, 2 to run"));
    let seen: Vec<_> = again.trials.iter().map(|t| (t.cell.as_str(), t.order, t.status)).collect();
    assert_eq!(seen, [("a", 0, ok), ("a", 3, ok), ("b", 4, ok), ("b", 5, ok)]);
    let before = fs::read(&out).unwrap();
    let (same, lines) = run_jobs(&out, Mode::Resume, &jobs, &script("exit 9"), &Interrupt::default());
    assert_eq!((same.unwrap(), lines.as_str()), (again, ""));
    assert_eq!(fs::read(&out).unwrap(), before);
}

#[test]
fn a_failed_calibration_is_recorded_and_stops_nothing() {
    struct Broken;
    impl Calibrate for Broken {
        fn device(&self) -> String {
            "cpu".into()
        }
        fn measure(&mut self, _: &Interrupt) -> Result<Calibration> {
            Err(Error::internal("exit code 1"))
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.json");
    let (jobs, worker) = (jobs(&["a"], 1), script("done_as ok"));
    let request = Request {
        out: &out,
        mode: Mode::New,
        file: empty_file(1),
        jobs: &jobs,
        worker: &worker,
        limit: LONG,
        resume: "",
    };
    let mut progress = Progress::lines(Box::new(std::io::sink()));
    let file = run(request, &mut Broken, &mut progress, &Interrupt::default()).unwrap();
    assert_eq!(file.trials.len(), 1);
    assert_eq!(file.calibrations[0].gemm_f32_flops_per_s, None);
    assert_eq!(file.calibrations[0].reason.as_deref(), Some("exit code 1"));
}

#[test]
fn a_spec_that_asks_for_threads_gets_pools_of_that_size() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("threads");
    let mut jobs = jobs(&["a"], 2);
    jobs[1].spec = serde_json::json!({"compute": {"threads": 7}});
    let mut worker = script(&format!("echo $RAYON_NUM_THREADS >> {}; done_as ok", seen.display()));
    worker.env = machine::child_environment(3).into_iter().collect();
    let (file, _) = run_jobs(&folder.path().join("out.json"), Mode::New, &jobs, &worker, &Interrupt::default());
    file.unwrap();
    assert_eq!(fs::read_to_string(seen).unwrap(), "3\n7\n");
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
    let (first, _) = run_jobs(&out, Mode::Resume, &jobs, &ok, &Interrupt::default()); // nothing there: it starts
    let first = first.unwrap();
    let error = refusal(&out, Mode::New, &jobs);
    assert!(error.message.ends_with("out.json is already there"), "{error}");
    assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("--resume") && hint.contains("--fresh")), "{error}");

    let (fresh, lines) = run_jobs(&out, Mode::Fresh, &jobs, &ok, &Interrupt::default());
    assert_eq!(lines.lines().count(), 2);
    assert_eq!(fresh.unwrap().trials, first.trials);

    fs::remove_file(&out).unwrap();
    fs::create_dir(Partial::folder_of(&out)).unwrap();
    let error = refusal(&out, Mode::New, &jobs);
    assert!(error.message.ends_with("out.json.partial is already there"), "{error}");
}

#[test]
fn an_out_that_cannot_be_written_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    let jobs = jobs(&["a"], 1);
    for mode in [Mode::New, Mode::Resume, Mode::Fresh] {
        for out in [file.join("out.json"), PathBuf::from("/proc/none/out.json"), folder.path().to_owned()] {
            let error = refusal(&out, mode, &jobs);
            assert!(error.hint.is_some(), "{error}");
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
    assert!(error.message.contains("another run is writing to"), "{error}");
    assert!(refusal(&out, Mode::Fresh, &jobs).message.contains("another run"));
    drop(first);
    run_jobs(&out, Mode::Resume, &jobs, &script("done_as ok"), &Interrupt::default()).0.unwrap();
}

#[test]
fn trials_of_another_plan_are_neither_mixed_nor_lost() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.json");
    let ok = script("done_as ok");
    let (two, four, other) = (jobs(&["a"], 2), jobs(&["a"], 4), jobs(&["b"], 2));
    run_jobs(&out, Mode::New, &two, &ok, &Interrupt::default()).0.unwrap();
    let error = refusal(&out, Mode::Resume, &other);
    assert!(error.message.contains("are not part of this plan"), "{error}");
    let (more, lines) = run_jobs(&out, Mode::Resume, &four, &ok, &Interrupt::default());
    assert_eq!((more.unwrap().trials.len(), lines.lines().count()), (4, 3));
    let (fewer, lines) = run_jobs(&out, Mode::Resume, &two, &ok, &Interrupt::default());
    assert_eq!((fewer.unwrap().trials.len(), lines.as_str()), (4, ""));
}

#[test]
fn an_interrupted_run_says_how_to_go_on_and_is_found_without_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let out = choose_out(None, Mode::Resume, folder.path(), "fake", "box-2c-linux");
    let name = out.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.starts_with("fake-box-2c-linux-20") && name.ends_with("Z.json") && !name.contains(':'), "{name}");
    let jobs = jobs(&["a", "b"], 2);
    let stop = Interrupt::default();
    let (worker, raised) = (script("case $cell in b) sleep 60;; esac; done_as ok"), stop.clone());
    let partial = Partial::folder_of(&out);
    let watch = thread::spawn(move || {
        while store::read_journal(&partial).map_or(0, |journal| journal.trials.len()) == 0 {
            thread::sleep(Duration::from_millis(10));
        }
        raised.raise();
    });
    let (result, _) = run_jobs(&out, Mode::Resume, &jobs, &worker, &stop);
    watch.join().unwrap();
    let error = result.unwrap_err();
    assert_eq!(error.kind, Kind::Interrupted);
    assert!(error.message.starts_with("interrupted; 1 of 4 trials are kept in "), "{error}");
    assert_eq!(error.hint.as_deref(), Some("`effbench run fake --resume` runs the rest"));

    assert_eq!(choose_out(None, Mode::Resume, folder.path(), "fake", "x"), out);
    assert_ne!(choose_out(None, Mode::Resume, folder.path(), "other", "x"), out);
    assert_ne!(choose_out(None, Mode::New, folder.path(), "fake", "x"), out);
    let (file, lines) = run_jobs(&out, Mode::Resume, &jobs, &script("done_as ok"), &Interrupt::default());
    assert_eq!((file.unwrap().trials.len(), lines.lines().count()), (4, 4));
}

#[test]
fn torn_files_in_the_journal_are_named_and_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.json");
    let jobs = jobs(&["a"], 3);
    let stop = Interrupt::default();
    stop.raise();
    run_jobs(&out, Mode::New, &jobs, &script("done_as ok"), &stop).0.unwrap_err();
    let partial = Partial::open(&out).unwrap();
    let job = &jobs[0];
    let trial = run_trial(&script("done_as ok"), job, LONG, &Interrupt::default(), &mut |_| {}).unwrap();
    partial.keep(&trial).unwrap();
    let kept: HashSet<PathBuf> = fs::read_dir(partial.folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    partial.keep(&Trial { id: jobs[1].id.clone(), ..trial }).unwrap();
    let path = fs::read_dir(partial.folder()).unwrap().map(|e| e.unwrap().path()).find(|p| !kept.contains(p)).unwrap();
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    drop(partial);
    let (file, lines) = run_jobs(&out, Mode::Resume, &jobs, &script("done_as ok"), &Interrupt::default());
    assert_eq!(file.unwrap().trials.len(), 3);
    assert!(lines.contains("is not a trial") && lines.contains("out.json.set-aside"), "{lines}");
    assert_eq!(fs::read_dir(folder.path().join("out.json.set-aside")).unwrap().count(), 1);
}

/// The parent process of the tests below: runs fake jobs in the folder that the environment names.
#[test]
#[ignore = "a process for other tests to kill"]
fn parent() {
    let Ok(folder) = std::env::var("EFFBENCH_TEST_FOLDER").map(PathBuf::from) else { return };
    let text = fs::read_to_string(folder.join("script")).unwrap();
    let stop = Interrupt::on_signals().unwrap();
    let (result, _) = run_jobs(&folder.join("out.json"), Mode::Resume, &jobs(&["a", "b"], 12), &script(&text), &stop);
    result.unwrap();
}

fn spawn_parent(folder: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "parent"])
        .env("EFFBENCH_TEST_FOLDER", folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn killed_again_and_again_it_loses_nothing_and_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (out, log) = (folder.path().join("out.json"), folder.path().join("started"));
    fs::write(folder.path().join("script"), format!("echo $id >> {}; sleep 0.05; done_as ok", log.display())).unwrap();
    let starts = || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.lines().fold(HashMap::new(), |mut counts: HashMap<String, usize>, id| {
            *counts.entry(id.to_owned()).or_default() += 1;
            counts
        })
    };
    let mut kept: HashMap<String, usize> = HashMap::new();
    for round in 0..20_u64 {
        let mut parent = spawn_parent(folder.path());
        thread::sleep(Duration::from_millis(20 + round * 37 % 130));
        let signal = if round % 4 == 3 { libc::SIGTERM } else { libc::SIGKILL };
        // SAFETY: kill takes two integers; the process is our child and not yet waited for.
        unsafe { libc::kill(i32::try_from(parent.id()).unwrap(), signal) };
        parent.wait().unwrap();
        let starts = starts();
        let trials = match store::read(&out) {
            Ok(file) => file.trials,
            Err(_) => store::read_journal(&Partial::folder_of(&out)).map(|journal| journal.trials).unwrap_or_default(),
        };
        let finished = trials.into_iter().filter(|trial| trial.status == Status::Ok);
        let now: HashSet<String> = finished.map(|trial| trial.id).collect();
        for (id, count) in &kept {
            assert!(now.contains(id), "round {round}: {id} was lost");
            assert_eq!(starts[id], *count, "round {round}: {id} was finished and run again");
        }
        kept = now.into_iter().map(|id| (id.clone(), starts[&id])).collect();
    }
    assert!(kept.len() > 4, "the rounds were too short: {} trials", kept.len());
    assert!(spawn_parent(folder.path()).wait().unwrap().success());
    let ids: Vec<String> = store::read(&out).unwrap().trials.into_iter().map(|trial| trial.id).collect();
    assert_eq!(ids, jobs(&["a", "b"], 12).into_iter().map(|job| job.id).collect::<Vec<_>>());
    assert!(!Partial::folder_of(&out).exists());
    for (id, count) in &kept {
        assert_eq!(starts()[id], *count);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_child_dies_with_its_parent() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    fs::write(folder.path().join("script"), format!("echo $$ > {}; exec sleep 600", pid_file.display())).unwrap();
    let wait_for = |what: &str, holds: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < Duration::from_secs(20), "{what}");
            thread::sleep(Duration::from_millis(10));
        }
    };
    let pid = || fs::read_to_string(&pid_file).ok().filter(|text| text.ends_with('\n'));
    let mut parent = spawn_parent(folder.path());
    wait_for("the child starts", &|| pid().is_some());
    let stat = format!("/proc/{}/stat", pid().unwrap().trim());
    assert!(!fs::read_to_string(&stat).unwrap().contains(" Z "));
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_for("the child is gone", &|| fs::read_to_string(&stat).map_or(true, |text| text.contains(" Z ")));
}
