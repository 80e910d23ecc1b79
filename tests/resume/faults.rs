//! Whatever happens in a child costs one trial, and is recorded as what it was.

use std::fs;
use std::time::{Duration, Instant};

use effbench::error::{Error, Result};
use effbench::record::{Calibration, Status, spec_sha256};
use effbench::runner::isolate::run_trial;
use effbench::runner::local::{Calibrate, run};
use effbench::runner::{Interrupt, Mode, Progress, Request, Worker, machine};
use effbench::trial::Event;

use crate::fake::{LONG, empty_file, jobs, run_jobs, script};

/// A script, its limit in milliseconds, and what is recorded of it.
const FAULTS: [(&str, u64, Status, &str); 17] = [
    ("done_as ok", 9000, Status::Ok, ""),
    ("done_as diverged '\"loss\"'", 9000, Status::Diverged, ""),
    ("kill -ABRT $$", 9000, Status::Failed, "killed by signal 6"),
    ("kill -SEGV $$", 9000, Status::Failed, "killed by signal 11"),
    (
        "echo one >&2; echo boom >&2; exit 3",
        9000,
        Status::Failed,
        "exit code 3: one / boom",
    ),
    (
        "echo hello; sleep 60",
        9000,
        Status::Failed,
        "not an event: `hello`",
    ),
    (
        "printf '\\377\\376\\n'; sleep 60",
        9000,
        Status::Failed,
        "not an event",
    ),
    (
        "while :; do :; done",
        200,
        Status::Timeout,
        "limit of 0.2 s",
    ),
    (
        "exec >&- 2>&-; sleep 60",
        200,
        Status::Timeout,
        "limit of 0.2 s",
    ),
    ("kill -KILL $$", 9000, Status::Failed, "signal 9"),
    (
        "echo 'memory allocation of 8 bytes failed' >&2; kill -ABRT $$",
        9000,
        Status::OutOfMemory,
        "memory allocation",
    ),
    (
        "echo 'error: DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")' >&2; exit 2",
        9000,
        Status::OutOfMemory,
        "CUDA_ERROR_OUT_OF_MEMORY",
    ),
    ("exit 0", 9000, Status::Failed, "ended without a result"),
    ("done_as ok; exit 4", 9000, Status::Failed, "exit code 4"),
    (
        "done_as ok; echo; sleep 60",
        9000,
        Status::Failed,
        "not an event",
    ),
    (
        "job=$(echo \"$job\" | sed s/$id/0/); done_as ok",
        9000,
        Status::Failed,
        "answered for trial 0 instead of",
    ),
    // A child of its own holds the pipes.
    ("sleep 60 & done_as ok", 9000, Status::Ok, ""),
];

#[test]
fn every_fault_of_a_child_is_recorded_as_what_it_was() {
    let job = jobs(&["a"], 1).remove(0);
    for (text, limit_ms, status, reason) in FAULTS {
        let (limit, began) = (Duration::from_millis(limit_ms), Instant::now());
        let free = Interrupt::default();
        let trial = run_trial(&script(text), &job, limit, &free, &mut |_| {}).unwrap();
        assert!(began.elapsed() < Duration::from_secs(10), "{text}");
        let said = trial.reason.as_deref().unwrap_or("");
        assert_eq!(trial.status, status, "{text}: {said}");
        assert!(said.contains(reason), "{text}: {said}");
        assert_eq!(
            (trial.id, trial.spec, trial.order),
            (job.trial.id.clone(), job.trial.spec.clone(), 0)
        );
        assert_eq!(
            trial.validity.ok,
            matches!(status, Status::Ok | Status::Diverged)
        );
    }
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
        let Event::Progress { step, .. } = event else {
            return;
        };
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
    let worker = Worker {
        program: "/nowhere/effbench".into(),
        args: vec![],
        env: vec![],
    };
    let job = jobs(&["a"], 1).remove(0);
    let error = run_trial(&worker, &job, LONG, &Interrupt::default(), &mut |_| {}).unwrap_err();
    assert!(
        error.message.contains("cannot start /nowhere/effbench"),
        "{error}"
    );
}

#[test]
fn a_result_that_makes_no_sense_costs_one_trial() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.json");
    let worker = script(
        "case $cell in b) job=$(echo \"$job\" | sed 's/\"steps\":1/\"steps\":2/');; esac; done_as ok",
    );
    let (file, _) = run_jobs(
        &out,
        Mode::New,
        &jobs(&["a", "b"], 1),
        &worker,
        &Interrupt::default(),
    );
    let trials = file.unwrap().trials;
    assert_eq!(
        (trials[0].status, trials[1].status),
        (Status::Ok, Status::Failed)
    );
    let reason = trials[1].reason.as_deref().unwrap();
    assert!(
        reason.starts_with("its result makes no sense: ") && reason.contains("spec_sha256"),
        "{reason}"
    );
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
        then: None,
        workers: std::slice::from_ref(&worker),
        keep_weights: None,
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
    jobs[1].trial.spec = serde_json::json!({"compute": {"threads": 7}});
    jobs[1].trial.spec_sha256 = spec_sha256(&jobs[1].trial.spec);
    let mut worker = script(&format!(
        "echo $RAYON_NUM_THREADS >> {}; done_as ok",
        seen.display()
    ));
    worker.env = machine::child_environment(3).into_iter().collect();
    let (file, _) = run_jobs(
        &folder.path().join("out.json"),
        Mode::New,
        &jobs,
        &worker,
        &Interrupt::default(),
    );
    file.unwrap();
    assert_eq!(fs::read_to_string(seen).unwrap(), "3\n7\n");
}
