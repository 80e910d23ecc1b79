//! What programs print once, before their figures: how many parameters, how many tokens a step.

use super::words::is_figure;
use crate::import::figures::Marks;
use crate::import::quantity::{self, Quantity};

/// What stands before a figure (in small letters), what stands behind it, and the column that it is.
const SAID: [(&str, &str, &str); 8] = [
    ("number of parameters:", "", "params"),
    ("total parameters:", "", "params"),
    ("size:", "total parameters", "params"),
    ("num_parameters:", "", "params"),
    ("tokens per iteration will be:", "", "tokens_per_step"),
    ("total batch size", "=>", "tokens_per_step"),
    ("total batch size:", "", "tokens_per_step"),
    ("tokens per step:", "", "tokens_per_step"),
];

/// The column and the figure that a line states for all that follow.
pub fn of(line: &str) -> Option<(&'static str, String)> {
    let small = line.to_ascii_lowercase();
    SAID.iter().find_map(|(before, behind, column)| {
        let at = small.find(before)? + before.len();
        let mut words = small[at..].split_whitespace();
        let figure = words.next()?.trim_end_matches([',', '.', ';', ')']);
        let follows = behind.is_empty() || small[at..].contains(behind);
        let value = quantity::read(figure, Marks::Point, Quantity::Count)?;
        (follows && is_figure(figure) && value >= 1.0).then(|| (*column, value.to_string()))
    })
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
            ("vocab size: 65,536", None),
            ("number of parameters: unknown", None),
        ];
        for (line, expected) in rows {
            let expected = expected.map(|(column, figure)| (column, figure.to_owned()));
            assert_eq!(of(line), expected, "{line}");
        }
    }
}
