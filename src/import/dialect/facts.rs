//! What programs print once, before their figures: how many parameters, how many tokens a step.

use super::words::is_figure;
use crate::import::figures::Marks;
use crate::import::quantity::{self, Quantity};

/// What stands before a figure (in small letters), what stands behind it, and the column that it is.
const SAID: [(&str, &str, &str); 17] = [
    ("number of parameters:", "", "params"),
    ("total parameters:", "", "params"),
    ("size:", "total parameters", "params"),
    ("num_parameters:", "", "params"),
    ("| num_parameters", "", "params"),
    ("model_params:", "", "params"),
    ("total params:", "", "params"),
    ("total parameters ", "", "params"),
    ("number of parameters =", "", "params"),
    ("#params =", "", "params"),
    ("number parameters:", "", "params"),
    ("train_batch_tokens:", "", "tokens_per_step"),
    ("tokens per iteration will be:", "", "tokens_per_step"),
    ("total batch size", "=>", "tokens_per_step"),
    ("total batch size:", "", "tokens_per_step"),
    ("tokens per step:", "", "tokens_per_step"),
    ("| total batch size", "", "tokens_per_step"),
];

/// The column and the figure that a line states for all that follow.
pub fn of(line: &str) -> Option<(&'static str, String)> {
    let small = line.to_ascii_lowercase();
    let product = batch_by_length(&small).map(|tokens| ("tokens_per_step", tokens.to_string()));
    if product.is_some() {
        return product;
    }
    if let Some(total) = total(&small) {
        return Some(("params", total));
    }
    if let Some(model) = model(line) {
        return Some(("model", model.to_owned()));
    }
    if let Some(tokens) = batch_in_brackets(&small) {
        return Some(("tokens_per_step", tokens));
    }
    SAID.iter().find_map(|(before, behind, column)| {
        let at = small.find(before)? + before.len();
        let mut words = small[at..].split_whitespace().filter(|word| *word != "|");
        let figure = words.next()?.trim_end_matches([',', '.', ';', ')']);
        let follows = behind.is_empty() || small[at..].contains(behind);
        // `0.596 billion`.
        let size = words
            .next()
            .filter(|word| ["million", "billion", "trillion"].contains(word));
        let text = format!("{figure} {}", size.unwrap_or_default());
        let value = quantity::read(text.trim_end(), Marks::Point, Quantity::Count)?;
        (follows && is_figure(figure) && value >= 1.0).then(|| (*column, value.to_string()))
    })
}

/// flame's `Global batch size (w. parallel, ..) = 8 (524,288 tokens)`.
fn batch_in_brackets(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("global batch size")?;
    let (tokens, _) = rest.rsplit_once('(')?.1.split_once(" tokens)")?;
    let plain = tokens.replace(',', "");
    plain.parse::<u64>().ok()?;
    Some(plain)
}

/// What runs, in what llama.cpp, vLLM and TensorRT-LLM print before they measure: a file without its folders and ending, or a name.
fn model(line: &str) -> Option<&str> {
    let between = |begin: &str, end: &str| {
        let (_, rest) = line.split_once(begin)?;
        Some(rest.split(end).next()?.trim_matches(['\'', '"', ' ']))
    };
    let file = between("loaded meta data with ", " (version")
        .and_then(|rest| rest.split_once(" from ").map(|(_, file)| file));
    let file = file.or_else(|| between("llama.cpp: loading model from ", "\n"));
    let named = file.map(|file| {
        let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
        name.trim_end_matches(".gguf").trim_end_matches(".bin")
    });
    let named = named.or_else(|| line.strip_prefix("Model:").map(str::trim));
    let named = named.or_else(|| {
        line.contains("Namespace(")
            .then(|| between(" model='", "'"))?
    });
    named.filter(|name| !name.is_empty() && !name.contains(char::is_control))
}

/// torchtitan's `global batch size 64, .., sequence length 2048`: samples of a step, and their tokens.
fn batch_by_length(line: &str) -> Option<u64> {
    let of = |name: &str| {
        let (_, rest) = line.split_once(name)?;
        rest.split([' ', ',']).next()?.parse::<u64>().ok()
    };
    of("global batch size ")?.checked_mul(of("sequence length ")?)
}

/// The last line of nanochat's parameter counts: `total                   : 285,214,240`.
fn total(line: &str) -> Option<String> {
    let (name, figure) = line.split_once(" : ")?;
    let figure = figure.trim();
    let is_count = figure.chars().all(|c| c.is_ascii_digit() || c == ',');
    (name.trim_end() == "total" && is_count && figure.contains(','))
        .then(|| figure.replace(',', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_once_is_a_column() {
        let rows = [
            (
                "number of parameters: 123.59M",
                Some(("params", "123590000")),
            ),
            (
                "tokens per iteration will be: 491,520",
                Some(("tokens_per_step", "491520")),
            ),
            (
                "Number of parameters: 560,988,160",
                Some(("params", "560988160")),
            ),
            (
                "Total batch size 524,288 => gradient accumulation steps: 1",
                Some(("tokens_per_step", "524288")),
            ),
            (
                "Total parameters: 162,322,944",
                Some(("params", "162322944")),
            ),
            (
                "Model llama3 8B size: 8,030,261,248 total parameters",
                Some(("params", "8030261248")),
            ),
            (
                "total                   : 285,214,240",
                Some(("params", "285214240")),
            ),
            ("active_total            : 210,508,369", None),
            ("Total parameters 70,426,624", Some(("params", "70426624"))),
            (
                "| num_parameters        | 124475904        |",
                Some(("params", "124475904")),
            ),
            ("total params: 1,024 parameters", Some(("params", "1024"))),
            (
                "model_params:1315360 vocab_size:1024",
                Some(("params", "1315360")),
            ),
            (
                "iterations:600 train_batch_tokens:16384 grad_accum_steps:1",
                Some(("tokens_per_step", "16384")),
            ),
            (
                "- local batch size 8, global batch size 64, gradient accumulation steps 1, sequence length 2048, total steps 10",
                Some(("tokens_per_step", "131072")),
            ),
            ("Total number of parameters in billions: 0.09", None),
            ("vocab size: 65,536", None),
            ("number of parameters: unknown", None),
        ];
        for (line, expected) in rows {
            let expected = expected.map(|(column, figure)| (column, figure.to_owned()));
            assert_eq!(of(line), expected, "{line}");
        }
    }
}
