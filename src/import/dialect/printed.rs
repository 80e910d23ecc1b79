//! What programs print of speed when they end: ollama's `eval rate: 61.19 tokens/s`, llama.cpp's `eval time = .. (.. tokens per second)`,
//! mlx-lm's `Generation: 100 tokens, 45.678 tokens-per-sec`, the blocks of serving benchmarks (vLLM, SGLang, TensorRT-LLM, JetStream,
//! GenAI-Perf, AIPerf), MLPerf inference's summary. Each block is a row.

use super::line::{Before, Cells, cell_of, push};
use crate::import::shape::PRINTED;

/// What a figure is.
#[derive(Clone, Copy, PartialEq)]
enum Is {
    /// It stands before one of another kind.
    Prefill,
    /// It ends a block.
    Decode,
}

const PREFILL: &str = "prefill_tokens_per_s";
const DECODE: &str = "decode_tokens_per_s";
/// How serving benchmarks call the tokens that all requests got together in a second.
const SERVED: [&str; 5] = [
    "output token throughput (tok/s)",
    "output token throughput (tokens/sec)",
    "output token throughput (per sec)",
    "output token throughput:",
    "total output throughput (tokens/sec)",
];

/// Reads a line.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    let text = text.trim();
    if let Some(cells) = mlperf(text, before).or_else(|| both(text)) {
        return Some(cells);
    }
    let (program, is, figure) = speed(text)?;
    figure.parse::<f64>().ok()?;
    match is {
        Is::Prefill => {
            let mut cells = Vec::new();
            push(&mut cells, PRINTED, program);
            push(&mut cells, PREFILL, figure);
            // A block that told no more is a row of its own.
            Some(before.block.replace(cells).unwrap_or_default())
        }
        Is::Decode => {
            let mut cells = before.block.take().unwrap_or_default();
            if cells.is_empty() {
                push(&mut cells, PRINTED, program);
            }
            push(&mut cells, DECODE, figure);
            Some(cells)
        }
    }
}

/// A figure at a text's beginning.
fn figure(text: &str) -> &str {
    let end = text.find(|c: char| !"0123456789.".contains(c));
    &text[..end.unwrap_or(text.len())]
}

/// A figure of speed: whose, of what, and the figure.
fn speed(text: &str) -> Option<(&'static str, Is, &str)> {
    let behind = |name: &str| text.strip_prefix(name).map(str::trim);
    for (name, is) in [
        ("prompt eval rate:", Is::Prefill),
        ("eval rate:", Is::Decode),
    ] {
        if let Some(rest) = behind(name).filter(|rest| rest.ends_with("tokens/s")) {
            return Some(("ollama", is, figure(rest)));
        }
    }
    // `llama_perf_context_print: prompt eval time = 123.45 ms / 10 tokens (12.35 ms per token, 81.00 tokens per second)`.
    if let Some((head, tail)) = text.split_once(" ms per token,")
        && tail.trim_end().ends_with("tokens per second)")
    {
        let is = match head.contains("prompt eval time") {
            true => Is::Prefill,
            false => Is::Decode,
        };
        let known = head.contains("eval time");
        return known.then(|| ("llama.cpp", is, figure(tail.trim_start())));
    }
    for (name, is) in [("Prompt: ", Is::Prefill), ("Generation: ", Is::Decode)] {
        let rest = behind(name).and_then(|rest| rest.split_once(" tokens, "));
        if let Some((_, rate)) = rest.filter(|(_, rate)| rate.ends_with("tokens-per-sec")) {
            return Some(("mlx-lm", is, figure(rate)));
        }
    }
    // `Throughput: 89.27 requests/s, 22853.37 total tokens/s, 11426.69 output tokens/s`.
    if let Some(rest) = behind("Throughput: ") {
        let rate = rest.rsplit(", ").next()?.strip_suffix(" output tokens/s")?;
        return Some(("vLLM", Is::Decode, figure(rate)));
    }
    served(text)
}

/// A serving benchmark's line, out of its list, its CSV, or its table.
fn served(text: &str) -> Option<(&'static str, Is, &str)> {
    let marks = [' ', '│', '┃', '|', '"'];
    let text = text.trim_start_matches(marks);
    let small = text.to_ascii_lowercase();
    let name = SERVED.iter().find(|name| small.starts_with(**name))?;
    let rest = text[name.len()..].trim_start_matches([' ', ':', ',', '│', '┃', '|', '"']);
    // Thousands that are set apart would be cut off.
    let found = figure(rest);
    let whole = !rest[found.len()..].starts_with(',') || !rest.starts_with('"');
    whole.then_some(("a serving benchmark", Is::Decode, found))
}

/// `[ Prompt: 22.2 t/s | Generation: 11.2 t/s ]`, as llama-cli ends.
fn both(text: &str) -> Option<Cells> {
    let inner = text.strip_prefix("[ Prompt:")?.strip_suffix(']')?;
    let (prompt, generated) = inner.split_once("| Generation:")?;
    let mut cells = Vec::new();
    push(&mut cells, PRINTED, "llama.cpp");
    for (name, rate) in [(PREFILL, prompt), (DECODE, generated)] {
        let rate = rate.trim().strip_suffix("t/s")?.trim_end();
        rate.parse::<f64>().ok()?;
        push(&mut cells, name, rate);
    }
    Some(cells)
}

/// MLPerf inference's `mlperf_log_summary.txt`: a result is one only where it says that it is valid.
fn mlperf(text: &str, before: &mut Before) -> Option<Cells> {
    if text == "MLPerf Results Summary" {
        before.block = None;
        before.held = Some(Vec::new());
        return Some(Vec::new());
    }
    let held = before.held.as_mut()?;
    let (name, value) = text.split_once(':')?;
    let value = value.trim();
    match name.trim() {
        "Scenario" => push(held, "part", value),
        "Tokens per second" | "Completed tokens per second" => {
            let sound = value.parse::<f64>().is_ok_and(|rate| rate > 0.0);
            if sound && cell_of(held, DECODE).is_none() {
                push(held, DECODE, value);
            }
        }
        "Result is" => {
            let mut cells = before.held.take()?;
            let sound = value == "VALID" && cell_of(&cells, DECODE).is_some();
            cells.push((PRINTED.to_owned(), "MLPerf".to_owned()));
            return Some(if sound { cells } else { Vec::new() });
        }
        _ => {}
    }
    Some(Vec::new())
}
