//! Lines of text: how wide they are, where they break, and what in them must not reach a terminal.

use unicode_width::UnicodeWidthStr;

/// Columns that a text takes.
pub(super) fn columns(text: &str) -> usize {
    text.width()
}

/// A text in which nothing moves a terminal's cursor.
pub(super) fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect()
}

/// Breaks a paragraph between words; without a width it stays one line.
pub(super) fn wrap(text: &str, width: Option<usize>, first: &str, rest: &str) -> String {
    let width = width.unwrap_or(usize::MAX);
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in visible(text).split(' ') {
        let start = if lines.is_empty() { first } else { rest };
        if line.is_empty() {
            line = format!("{start}{word}");
        } else if columns(&line) + 1 + columns(word) <= width {
            line = format!("{line} {word}");
        } else {
            lines.push(std::mem::replace(&mut line, format!("{rest}{word}")));
        }
    }
    lines.push(line);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_and_controls_shown() {
        assert_eq!(
            wrap("one two three", Some(8), "! ", "  "),
            "! one\n  two\n  three"
        );
        assert_eq!(wrap("one two three", None, "- ", "  "), "- one two three");
        assert_eq!(wrap("red \u{1b}[31m", Some(40), "", ""), "red \\u{1b}[31m");
    }
}
