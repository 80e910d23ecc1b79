//! What programs print of speed and energy when they end: ollama's `eval rate: 61.19 tokens/s`, llama.cpp's `eval time = .. (.. tokens per
//! second)`, mlx-lm's `Generation: 100 tokens, 45.678 tokens-per-sec`, the block of vLLM's and SGLang's serving benchmark, `perf stat`'s
//! joules, EnergiBridge's sentence. Each block is a row.

use super::line::{Before, Cells, push};
use crate::import::shape::PRINTED;

/// What a figure is.
#[derive(Clone, Copy, PartialEq)]
enum Is {
    /// It stands before one of another kind.
    Prefill,
    /// It ends a block.
    Decode,
}

/// Reads a line.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    let text = text.trim();
    if let Some(cells) = joules(text, before) {
        return Some(cells);
    }
    let (program, is, figure) = speed(text)?;
    figure.parse::<f64>().ok()?;
    match is {
        Is::Prefill => {
            let mut cells = Vec::new();
            push(&mut cells, PRINTED, program);
            push(&mut cells, "prefill_tokens_per_s", figure);
            // A block that told no more is a row of its own.
            Some(before.block.replace(cells).unwrap_or_default())
        }
        Is::Decode => {
            let mut cells = before.block.take().unwrap_or_default();
            if cells.is_empty() {
                push(&mut cells, PRINTED, program);
            }
            push(&mut cells, "decode_tokens_per_s", figure);
            Some(cells)
        }
    }
}

/// A figure of speed: whose, of what, and the figure.
fn speed(text: &str) -> Option<(&'static str, Is, &str)> {
    let behind = |name: &str| text.strip_prefix(name).map(str::trim);
    let figure = |rest: &str| {
        rest.len()
            - rest
                .trim_start_matches(|c: char| "0123456789.".contains(c))
                .len()
    };
    for (name, is) in [
        ("prompt eval rate:", Is::Prefill),
        ("eval rate:", Is::Decode),
    ] {
        if let Some(rest) = behind(name).filter(|rest| rest.ends_with("tokens/s")) {
            return Some(("ollama", is, &rest[..figure(rest)]));
        }
    }
    // `llama_perf_context_print: prompt eval time = 123.45 ms / 10 tokens (12.35 ms per token, 81.00 tokens per second)`.
    if let Some((head, tail)) = text.split_once(" ms per token,")
        && tail.trim_end().ends_with("tokens per second)")
    {
        let tail = tail.trim_start();
        let is = match head.contains("prompt eval time") {
            true => Is::Prefill,
            false => Is::Decode,
        };
        if !head.contains("eval time") {
            return None;
        }
        return Some(("llama.cpp", is, &tail[..figure(tail)]));
    }
    for (name, is) in [("Prompt: ", Is::Prefill), ("Generation: ", Is::Decode)] {
        let rest = behind(name).and_then(|rest| rest.split_once(" tokens, "));
        if let Some((_, rate)) = rest.filter(|(_, rate)| rate.ends_with("tokens-per-sec")) {
            return Some(("mlx-lm", is, &rate[..figure(rate)]));
        }
    }
    let rest = behind("Output token throughput (tok/s):")?;
    Some(("a serving benchmark", Is::Decode, rest))
}

/// Energy: `perf stat` names a domain a line and the seconds at the end, EnergiBridge says both at once.
fn joules(text: &str, before: &mut Before) -> Option<Cells> {
    let row = |program: &str, joules: f64, seconds: &str| {
        let mut cells = Vec::new();
        push(&mut cells, PRINTED, program);
        push(&mut cells, "joules", &joules.to_string());
        push(&mut cells, "seconds", seconds);
        cells
    };
    let plain = |figure: &str| figure.replace(',', "").parse::<f64>().ok();
    if let Some((figure, event)) = text.split_once(" Joules ") {
        let event = event.split_whitespace().next()?;
        // The cores and a GPU of the processor's own are part of its package.
        let counted = ["power/energy-pkg/", "power/energy-ram/"].contains(&event);
        let value = plain(figure.trim()).filter(|_| counted);
        if let Some(value) = value {
            before.batch = Some(before.batch.unwrap_or(0.0) + value);
        }
        return event.starts_with("power/energy-").then(Vec::new);
    }
    if let Some(figure) = text.strip_suffix(" seconds time elapsed") {
        let joules = before.batch.take()?;
        plain(figure.trim())?;
        return Some(row("perf stat", joules, &figure.trim().replace(',', "")));
    }
    let said = text.strip_prefix("Energy consumption in joules: ")?;
    let (figure, rest) = said.split_once(" for ")?;
    let seconds = rest.split_whitespace().next()?;
    plain(seconds)?;
    Some(row("EnergiBridge", plain(figure)?, seconds))
}
