//! What the dialects' lines are made of.

use super::line::Cells;

/// Whether a text begins like a figure: `1.5e-3`, `-2`, `.5`, `nan`, `inf`; `INFO` and `nanogpt` do not.
pub fn is_figure(text: &str) -> bool {
    let text = text.trim_start_matches(['+', '-']);
    let begins = |c: char| c.is_ascii_digit();
    if text.trim_start_matches('.').starts_with(begins) {
        return true;
    }
    text.split_at_checked(3).is_some_and(|(word, rest)| {
        let known = ["nan", "inf"]
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known));
        let small = rest.to_ascii_lowercase();
        let ends = !rest.starts_with(char::is_alphanumeric);
        known && (ends || small.starts_with("inity") || ["ms", "s"].contains(&small.as_str()))
    })
}

/// A whole number at a text's beginning, and what follows it.
pub fn count(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// `name: figure`, `name figure`, with the figure's unit where it stands apart; `None` where there is no figure.
pub fn pair(text: &str) -> Option<(String, String)> {
    let text = text.trim();
    let (name, value) = match text.rsplit_once([':', '=']) {
        Some((name, value)) => (name, value.trim_start()),
        None => {
            let at = text
                .match_indices(char::is_whitespace)
                .map(|(at, _)| at)
                .find(|at| is_figure(text[*at..].trim_start()))?;
            (&text[..at], text[at..].trim_start())
        }
    };
    let mut words = value.split_whitespace();
    let figure = words.next().filter(|word| is_figure(word))?;
    let unit = words.next().filter(|unit| ["ms", "s"].contains(unit));
    let name = name.trim();
    (!name.is_empty()).then(|| {
        let figure = figure.trim_end_matches([',', ';', '.']);
        (name.to_owned(), format!("{figure}{}", unit.unwrap_or("")))
    })
}

/// The pairs between separators; what is none is passed over.
pub fn pairs(text: &str, separator: &str) -> Cells {
    text.split(separator).filter_map(pair).collect()
}

/// What stands behind a word, whatever the case of its first letter.
pub fn after<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let at = text.to_ascii_lowercase().find(word)?;
    Some(&text[at + word.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_of_a_logger_is_no_infinity() {
        let figures = [
            "1", "-.5", "nan", "NaN,", "-inf", "Infinity", "nanms", "inf)",
        ];
        assert!(figures.iter().all(|text| is_figure(text)));
        let words = ["INFO", "INFO:loss", "info]", "nanogpt", "e5", "", "-", "na"];
        assert!(!words.iter().any(|text| is_figure(text)));
    }
}
