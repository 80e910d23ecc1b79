//! Jobs and children that cost nothing: the children are shell scripts that answer as a trial does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use effbench::error::Result;
use effbench::record::{At, Calibration, Cost, RateSource, ResultFile, Run, SCHEMA, spec_sha256};
use effbench::runner::besides::Besides;
use effbench::runner::local::{Calibrate, run};
use effbench::runner::plan::{Arm, Design, PreparedCell, plan};
use effbench::runner::{Interrupt, Mode, Progress, Request, Worker, build_info, machine};
use effbench::trial::Job;

/// Reads the job and says it is done: a trial is the job's, with its end in it.
const ANSWER: &str = r#"
read -r job
done_as() {
    printf '%s\n' "$job" | sed \
        -e 's/^{"trial":/{"event":"done","trial":/' -e 's/,"paths":.*$/}/' \
        -e "s|\"status\":\"failed\",\"reason\":null|\"status\":\"$1\",\"reason\":${2-null}|" \
        -e 's/"started_at":""/"started_at":"2026-01-01T00:00:00Z"/' \
        -e 's/"measured_j":null,"reason":null/"measured_j":null,"reason":"no_sensor"/'
}
id=${job#*\"id\":\"}; id=${id%%\"*}
cell=${job#*\"cell\":\"}; cell=${cell%%\"*}
"#;

pub const LONG: Duration = Duration::from_secs(60);

pub fn script(text: &str) -> Worker {
    Worker {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), format!("{ANSWER}{text}")],
        env: vec![],
    }
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
        train_flops_per_sequence_causal: None,
        six_n_flops_per_token: 6.0,
        train_flops: 10.0,
        train_flops_full_square: None,
        optimizer_flops: 1.0,
        train_labels: None,
        tuning_flops: None,
        train_tokens: 1,
        kv_bytes_per_token: 1,
        cache_bytes_per_window: None,
        token_flops: None,
        state_bytes: 16,
    };
    let spec = serde_json::json!({"cell": name, "train": {"steps": 1}});
    PreparedCell {
        name: name.into(),
        variant: name.into(),
        scale: "w32".into(),
        budget: None,
        parent: None,
        teacher: None,
        lr_source: RateSource::Untuned,
        loadings: [0.0; 3],
        drawn_by: String::new(),
        spec_sha256: spec_sha256(&spec),
        spec,
        paths: BTreeMap::new(),
        cost,
        activation_bytes: 0,
        besides: Besides::default(),
    }
}

pub fn jobs(cells: &[&str], repeats: u64) -> Vec<Job> {
    let cells: Vec<PreparedCell> = cells.iter().map(|name| cell(name)).collect();
    let build = build_info();
    let arms = [Arm {
        label: None,
        build: &build,
        index: 0,
    }];
    plan(
        &cells,
        &Design {
            repeats,
            first_seed: 1,
            arms: &arms,
            machine_index: 0,
        },
    )
    .jobs
}

pub fn empty_file(repeats: u64) -> ResultFile {
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
            interleaved: None,
        },
        builds: vec![build_info()],
        machines: vec![machine::describe(1, &machine::child_environment(1)).unwrap()],
        calibrations: vec![],
        trials: vec![],
    }
}

pub struct Peak;

impl Calibrate for Peak {
    fn device(&self) -> String {
        "cpu".into()
    }

    fn measure(&mut self, _: &Interrupt) -> Result<Calibration> {
        Ok(Calibration {
            gemm_f32_flops_per_s: Some(1e9),
            gemm_bf16_flops_per_s: Some(8e9),
            stream_bytes_per_s: Some(1e9),
            ..Calibration::empty(0, At::Before, "cpu")
        })
    }
}

/// Where plain progress lines go in these tests.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

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
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// A run of fake jobs, with what it printed.
pub fn run_jobs(
    out: &Path,
    mode: Mode,
    jobs: &[Job],
    worker: &Worker,
    stop: &Interrupt,
) -> (Result<ResultFile>, String) {
    let lines = Lines::default();
    let resume = "effbench run fake --resume";
    let request = Request {
        out,
        mode,
        file: empty_file(2),
        jobs,
        then: None,
        workers: std::slice::from_ref(worker),
        keep_weights: None,
        limit: LONG,
        resume,
    };
    let result = run(
        request,
        &mut Peak,
        &mut Progress::lines(Box::new(lines.clone())),
        stop,
    );
    (result, lines.text())
}
