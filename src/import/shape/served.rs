//! What serving benchmarks write: vLLM's and SGLang's JSON, llama-batched-bench's JSON lines and table, optimum-benchmark's report.

use super::form::{From, Shape, cell, differing};
use crate::import::delimited::Table;
use crate::import::role::Role;

const OF_SERVING: &str = "a serving benchmark's tokens per second are those of all requests together, at the load that the scale names";
const OF_BATCHED: &str =
    "llama-batched-bench's tokens per second are those of all sequences of its batch together";

/// vLLM's `benchmark_serving` and SGLang's `bench_serving`, a load a row.
pub const SERVING: Shape = Shape {
    name: "a serving benchmark",
    needs: &["request_throughput", "output_throughput", "mean_ttft_ms"],
    roles: &[
        (Role::Variant, From::Made(model)),
        (Role::Scale, From::Made(load)),
        (Role::DecodeTokensPerS, From::Column("output_throughput")),
    ],
    by_row: true,
    energy_j: 1.0,
    note: Some(OF_SERVING),
};

/// llama-batched-bench, `--output-format jsonl`.
pub const BATCHED: Shape = Shape {
    name: "llama-batched-bench",
    needs: &["pp", "tg", "pl", "speed_pp", "speed_tg"],
    roles: &[
        (Role::Scale, From::Whole(batches)),
        (Role::PrefillTokensPerS, From::Column("speed_pp")),
        (Role::DecodeTokensPerS, From::Column("speed_tg")),
    ],
    by_row: true,
    energy_j: 1.0,
    note: Some(OF_BATCHED),
};

/// The same as it prints it.
pub const BATCHED_PASTED: Shape = Shape {
    name: "llama-batched-bench, as Markdown",
    needs: &["PP", "TG", "B", "S_PP t/s", "S_TG t/s"],
    roles: &[
        (Role::Scale, From::Made(pasted_batch)),
        (Role::PrefillTokensPerS, From::Column("S_PP t/s")),
        (Role::DecodeTokensPerS, From::Column("S_TG t/s")),
    ],
    by_row: true,
    energy_j: 1.0,
    note: Some(OF_BATCHED),
};

/// `benchmark_report.json`, which the AI Energy Score is made of.
pub const OPTIMUM: Shape = Shape {
    name: "optimum-benchmark",
    needs: &["prefill.throughput.value", "decode.throughput.value"],
    roles: &[
        (
            Role::PrefillTokensPerS,
            From::Column("prefill.throughput.value"),
        ),
        (
            Role::DecodeTokensPerS,
            From::Column("decode.throughput.value"),
        ),
        (Role::Joules, From::Made(energy)),
    ],
    by_row: true,
    energy_j: 1.0,
    note: None,
};

/// `vllm bench throughput --output-json`.
pub const THROUGHPUT: Shape = Shape {
    name: "vLLM's throughput benchmark",
    needs: &[
        "elapsed_time",
        "requests_per_second",
        "output_tokens_per_second",
    ],
    roles: &[
        (Role::Variant, From::Made(model)),
        (Role::Seconds, From::Column("elapsed_time")),
        (
            Role::DecodeTokensPerS,
            From::Column("output_tokens_per_second"),
        ),
    ],
    by_row: true,
    energy_j: 1.0,
    note: Some(OF_SERVING),
};

/// What ollama answers a request with; its durations are nanoseconds.
pub const OLLAMA: Shape = Shape {
    name: "ollama",
    needs: &["model", "eval_count", "eval_duration"],
    roles: &[
        (Role::Variant, From::Column("model")),
        (Role::PrefillTokensPerS, From::Made(prompt_rate)),
        (Role::DecodeTokensPerS, From::Made(eval_rate)),
    ],
    by_row: true,
    energy_j: 1.0,
    note: None,
};

/// What llama-server answers a request with.
pub const TIMINGS: Shape = Shape {
    name: "llama-server",
    needs: &["timings.prompt_per_second", "timings.predicted_per_second"],
    roles: &[
        (Role::Variant, From::Column("model")),
        (
            Role::PrefillTokensPerS,
            From::Column("timings.prompt_per_second"),
        ),
        (
            Role::DecodeTokensPerS,
            From::Column("timings.predicted_per_second"),
        ),
    ],
    by_row: true,
    energy_j: 1.0,
    note: None,
};

/// GenAI-Perf's and AIPerf's JSON.
pub const AIPERF: Shape = Shape {
    name: "AIPerf",
    needs: &["output_token_throughput.avg"],
    roles: &[(
        Role::DecodeTokensPerS,
        From::Column("output_token_throughput.avg"),
    )],
    by_row: true,
    energy_j: 1.0,
    note: Some(OF_SERVING),
};

/// Tokens over the nanoseconds that they took.
fn rate(table: &Table, row: usize, part: &str) -> Option<String> {
    let of = |what: &str| {
        cell(table, row, &format!("{part}_{what}"))?
            .parse::<f64>()
            .ok()
    };
    let (tokens, nanoseconds) = (of("count")?, of("duration")?);
    (nanoseconds > 0.0).then(|| (1e9 * tokens / nanoseconds).to_string())
}

fn prompt_rate(table: &Table, row: usize) -> Option<String> {
    rate(table, row, "prompt_eval")
}

fn eval_rate(table: &Table, row: usize) -> Option<String> {
    rate(table, row, "eval")
}

fn model(table: &Table, row: usize) -> Option<String> {
    let names = ["model_id", "model", "model_name", "backend"];
    names
        .iter()
        .find_map(|name| cell(table, row, name))
        .map(str::to_owned)
}

/// `rate inf, 16 at once, 1024+512 tokens`.
fn load(table: &Table, row: usize) -> Option<String> {
    let told = |name: &str| cell(table, row, name);
    let mut parts = Vec::new();
    parts.extend(told("request_rate").map(|rate| format!("rate {rate}")));
    parts.extend(told("max_concurrency").map(|many| format!("{many} at once")));
    let lengths = told("random_input_len").zip(told("random_output_len"));
    parts.extend(lengths.map(|(prompt, answer)| format!("{prompt}+{answer} tokens")));
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// What a row tested, with the settings that differ from row to row.
fn batches(table: &Table) -> Vec<String> {
    let known = [
        "pp", "tg", "pl", "n_kv", "t_pp", "speed_pp", "t_tg", "speed_tg", "t", "speed",
    ];
    let settings = differing(table, |name| !known.contains(&name));
    let test = |row: usize| {
        let of = |name: &str| cell(table, row, name).unwrap_or("?");
        format!(
            "pp{}+tg{}, batch {}{}",
            of("pp"),
            of("tg"),
            of("pl"),
            settings[row]
        )
    };
    (0..table.rows()).map(test).collect()
}

fn pasted_batch(table: &Table, row: usize) -> Option<String> {
    let of = |name: &str| cell(table, row, name);
    Some(format!(
        "pp{}+tg{}, batch {}",
        of("PP")?,
        of("TG")?,
        of("B")?
    ))
}

/// Of prompt and generation together, with its unit.
fn energy(table: &Table, row: usize) -> Option<String> {
    let of = |part: &str, what: &str| cell(table, row, &format!("{part}.energy.{what}"));
    let total = |part: &str| of(part, "total")?.parse::<f64>().ok();
    let unit = of("prefill", "unit")?;
    let same = of("decode", "unit") == Some(unit);
    same.then(|| Some(format!("{} {unit}", total("prefill")? + total("decode")?)))?
}
