//! What all renderers are, and what a terminal is to one of them.

use crate::report::page::{Mood, Page};

/// Something that shows a page.
pub trait Medium {
    /// The page as the bytes of a file, without a last line break; `None` where the page holds nothing that this medium can show.
    fn show(&self, page: &Page) -> Option<String>;
}

/// How text is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Columns of the terminal; `None` where there is none, and nothing needs to fit.
    pub width: Option<usize>,
    /// Whether lines may be drawn in more than ASCII.
    pub unicode: bool,
    /// Whether there are colours.
    pub color: bool,
}

impl Style {
    /// Of this many columns, and otherwise as plain as can be.
    pub fn plain(width: usize) -> Self {
        Self {
            width: Some(width),
            ..Self::default()
        }
    }
}

/// What verdicts look like in a terminal that has colours: bad ones red, good ones green.
const VERDICTS: [(&str, &str); 4] = [
    ("regressed", "31"),
    ("regression", "31"),
    ("improved", "32"),
    ("improvement", "32"),
];

impl Style {
    fn sgr(self, code: &str, text: &str) -> String {
        if self.color && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// What is read first.
    pub(super) fn bold(self, text: &str) -> String {
        let lines = text.split('\n').map(|line| self.sgr("1", line));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// A judgement.
    pub(super) fn mood(self, mood: Mood, text: &str) -> String {
        let code = match mood {
            Mood::Good => "1;32",
            Mood::Bad => "1;31",
            Mood::Unclear => "1;33",
        };
        let lines = text.split('\n').map(|line| self.sgr(code, line));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// A reason for doubt.
    pub(super) fn doubt(self, text: &str) -> String {
        self.sgr("33", text)
    }

    /// A line in which verdicts are coloured.
    pub(super) fn verdicts(self, line: &str) -> String {
        if !self.color {
            return line.to_owned();
        }
        let word = |word: &str| {
            let found = VERDICTS
                .iter()
                .find(|(verdict, _)| word.trim_end_matches([':', ',', '.', ';']) == *verdict);
            found.map_or_else(|| word.to_owned(), |(_, code)| self.sgr(code, word))
        };
        line.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_have_colours_in_a_terminal_only() {
        let plain = Style::default();
        let colored = Style {
            color: true,
            ..plain
        };
        assert_eq!(plain.verdicts("a  regressed"), "a  regressed");
        assert_eq!(
            colored.verdicts("a  regressed: b"),
            "a  \u{1b}[31mregressed:\u{1b}[0m b"
        );
        assert_eq!(plain.bold("x"), "x");
    }
}
