//! Tables of known tools, recognised by their columns: which of them is what, and in which unit.

use std::collections::BTreeMap;

use super::delimited::Table;
use super::role::Role;

mod form;
mod counted;
mod powers;
mod served;

pub use counted::domain_joules;
pub use form::{From, Shape};
use form::{cell, differing};

/// The column that says whose figures a block is that a program printed.
pub const PRINTED: &str = "printed by";

const JOULES_PER_KWH: f64 = 3.6e6;
const OF_CODECARBON: &str = "CodeCarbon's kWh are sums of readings (RAPL, NVML) and of estimates (memory always, the processor where \
                             nothing can be read): its columns say how much of each, and this record does not";
const OF_LLAMA_BENCH: &str = "the repetitions of one llama-bench are one trial and its samples: repeats are further runs of it";

/// Every tool whose tables are known; where the columns are those of several, the first.
static CATALOG: [Shape; 28] = [
    served::SERVING,
    served::THROUGHPUT,
    served::OLLAMA,
    served::TIMINGS,
    served::AIPERF,
    counted::PYJOULES,
    counted::AI_ENERGY_SCORE,
    counted::ECO2AI,
    counted::PERF_JSON,
    counted::POWERCAP,
    served::BATCHED,
    served::BATCHED_PASTED,
    served::OPTIMUM,
    powers::NVIDIA_SMI[0],
    powers::NVIDIA_SMI[1],
    powers::NVIDIA_SMI[2],
    powers::NVIDIA_SMI[3],
    powers::ENERGIBRIDGE[0],
    powers::ENERGIBRIDGE[1],
    powers::ENERGIBRIDGE[2],
    powers::ZEUS,
    Shape {
        name: "what was printed",
        needs: &[PRINTED],
        roles: &[
            (Role::Variant, From::Column("model")),
            (Role::Scale, From::Column("part")),
            (Role::Seconds, From::Column("seconds")),
            (Role::Joules, From::Column("joules")),
            (
                Role::PrefillTokensPerS,
                From::Column("prefill_tokens_per_s"),
            ),
            (Role::DecodeTokensPerS, From::Column("decode_tokens_per_s")),
        ],
        by_row: true,
        energy_j: 1.0,
        note: None,
    },
    Shape {
        name: "codecarbon, a task a row",
        needs: &["task_name", "duration", "emissions", "energy_consumed"],
        roles: &[
            (Role::Variant, From::Column("task_name")),
            (Role::Seconds, From::Column("duration")),
            (Role::Joules, From::Column("energy_consumed")),
        ],
        by_row: true,
        energy_j: JOULES_PER_KWH,
        note: Some(OF_CODECARBON),
    },
    Shape {
        // Its rows are totals since the run began.
        name: "codecarbon",
        needs: &[
            "project_name",
            "run_id",
            "duration",
            "emissions",
            "energy_consumed",
        ],
        roles: &[
            (Role::Run, From::Column("run_id")),
            (Role::Variant, From::Column("project_name")),
            (Role::Seconds, From::Column("duration")),
            (Role::Joules, From::Column("energy_consumed")),
        ],
        by_row: false,
        energy_j: JOULES_PER_KWH,
        note: Some(OF_CODECARBON),
    },
    Shape {
        name: "llama-bench",
        needs: &["build_commit", "n_prompt", "n_gen"],
        roles: &[
            (Role::Variant, From::Whole(set_ups)),
            (Role::Scale, From::Made(test)),
            (Role::Params, From::Column("model_n_params")),
            (Role::PrefillTokensPerS, From::Made(prefill)),
            (Role::DecodeTokensPerS, From::Made(decode)),
        ],
        by_row: true,
        energy_j: 1.0,
        note: Some(OF_LLAMA_BENCH),
    },
    Shape {
        name: "llama-bench, as Markdown",
        needs: &["model", "test", "t/s"],
        roles: &[
            (Role::Variant, From::Whole(set_ups)),
            (Role::Scale, From::Made(pasted_test)),
            (Role::Params, From::Column("params")),
            (Role::PrefillTokensPerS, From::Made(prefill_mean)),
            (Role::DecodeTokensPerS, From::Made(decode_mean)),
        ],
        by_row: true,
        energy_j: 1.0,
        note: Some(OF_LLAMA_BENCH),
    },
    Shape {
        name: "lm-eval, as Markdown",
        needs: &["Tasks", "Metric", "Value"],
        roles: &[
            (Role::Scale, From::Whole(told_tasks)),
            (Role::Accuracy, From::Whole(told_accuracies)),
        ],
        by_row: true,
        energy_j: 1.0,
        note: None,
    },
    Shape {
        name: "lm-eval",
        needs: &["task", "alias", "model"],
        roles: &[
            (Role::Variant, From::Column("model")),
            (Role::Scale, From::Column("task")),
            (Role::Loss, From::Column("bits_per_byte")),
            (Role::Accuracy, From::Made(accuracy)),
        ],
        by_row: true,
        energy_j: 1.0,
        note: None,
    },
];

/// The tasks of lm-evaluation-harness' table, which names each once.
fn told_tasks(table: &Table) -> Vec<String> {
    let mut last = String::new();
    let task = |row: usize| {
        if let Some(task) = cell(table, row, "Tasks") {
            last = task.to_owned();
        }
        last.clone()
    };
    (0..table.rows()).map(task).collect()
}

/// Its shares of right answers: of several of a task the plain one.
fn told_accuracies(table: &Table) -> Vec<String> {
    let names = ["acc", "exact_match", "acc_norm"];
    let tasks = told_tasks(table);
    let mut first: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (row, task) in tasks.iter().enumerate() {
        let metric = cell(table, row, "Metric").unwrap_or_default();
        if let Some(rank) = names.iter().position(|name| *name == metric) {
            let best = first.entry(task).or_insert((rank, row));
            *best = (*best).min((rank, row));
        }
    }
    let told = |row: usize| {
        let taken = first
            .get(tasks[row].as_str())
            .is_some_and(|(_, best)| *best == row);
        let value = cell(table, row, "Value").filter(|_| taken);
        value.unwrap_or_default().to_owned()
    };
    (0..table.rows()).map(told).collect()
}

/// The tool whose table this is, where it is a known one.
pub fn of(table: &Table) -> Option<&'static Shape> {
    let has = |name: &&str| table.columns.iter().any(|column| column == *name);
    CATALOG.iter().find(|shape| shape.needs.iter().all(has))
}

fn count(table: &Table, row: usize, name: &str) -> u64 {
    let found = cell(table, row, name).and_then(|cell| cell.parse().ok());
    found.unwrap_or(0)
}

/// What llama-bench's columns say of the model, of the test and of what was measured; every other one is a setting, of which each of
/// its versions has more.
const NO_SETTINGS: [&str; 19] = [
    "model",
    "model_filename",
    "model_type",
    "model_size",
    "model_n_params",
    "size",
    "params",
    "test",
    "t/s",
    "n_prompt",
    "n_gen",
    "n_depth",
    "test_time",
    "avg_ns",
    "stddev_ns",
    "avg_ts",
    "stddev_ts",
    "samples_ns",
    "samples_ts",
];

/// Each row's model, with the settings that differ from row to row: what differs in them is no repeat.
fn set_ups(table: &Table) -> Vec<String> {
    let settings = differing(table, |name| !NO_SETTINGS.contains(&name));
    let set_up = |(row, set): (usize, String)| {
        model(table, row).map_or_else(String::new, |model| model + &set)
    };
    settings.into_iter().enumerate().map(set_up).collect()
}

/// The test as llama-bench's other forms spell it.
fn pasted_test(table: &Table, row: usize) -> Option<String> {
    cell(table, row, "test").map(|test| test.replace(" @ ", "@"))
}

/// What it is called, else its file.
fn model(table: &Table, row: usize) -> Option<String> {
    let file = || {
        let path = cell(table, row, "model_filename")?;
        path.rsplit(['/', '\\']).next()
    };
    cell(table, row, "model_type")
        .or_else(|| cell(table, row, "model"))
        .or_else(file)
        .map(str::to_owned)
}

/// `4918.36 ± 132.23` without what follows, where the test is of that kind alone.
fn mean_of(table: &Table, row: usize, kind: &str) -> Option<String> {
    let (test, speed) = (cell(table, row, "test")?, cell(table, row, "t/s")?);
    let is = test.starts_with(kind) && !test.contains('+');
    let mean = speed.split('±').next().unwrap_or_default().trim();
    is.then(|| mean.to_owned())
}

fn prefill_mean(table: &Table, row: usize) -> Option<String> {
    mean_of(table, row, "pp")
}

fn decode_mean(table: &Table, row: usize) -> Option<String> {
    mean_of(table, row, "tg")
}

/// As llama-bench's own table calls it: `pp512`, `tg128`, `pp512+tg128`, `tg128@d4096`.
fn test(table: &Table, row: usize) -> Option<String> {
    let (prompt, generated) = (count(table, row, "n_prompt"), count(table, row, "n_gen"));
    let test = match (prompt, generated) {
        (0, 0) => return None,
        (prompt, 0) => format!("pp{prompt}"),
        (0, generated) => format!("tg{generated}"),
        (prompt, generated) => format!("pp{prompt}+tg{generated}"),
    };
    Some(match count(table, row, "n_depth") {
        0 => test,
        depth => format!("{test}@d{depth}"),
    })
}

/// The samples where they are there (JSON), else their mean (CSV); of a test of prompt and generation together neither.
fn prefill(table: &Table, row: usize) -> Option<String> {
    let alone = count(table, row, "n_gen") == 0;
    speeds(table, row).filter(|_| alone)
}

fn decode(table: &Table, row: usize) -> Option<String> {
    let alone = count(table, row, "n_prompt") == 0;
    speeds(table, row).filter(|_| alone)
}

fn speeds(table: &Table, row: usize) -> Option<String> {
    let found = cell(table, row, "samples_ts").or_else(|| cell(table, row, "avg_ts"));
    found.map(str::to_owned)
}

/// The share that a task reports first: plain accuracy, exact matches, the normalised one.
fn accuracy(table: &Table, row: usize) -> Option<String> {
    let names = ["acc", "exact_match", "exact_match,strict-match", "acc_norm"];
    names
        .iter()
        .find_map(|name| cell(table, row, name))
        .map(str::to_owned)
}
