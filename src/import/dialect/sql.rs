//! `llama-bench -o sql`: `INSERT INTO test (build_commit, .., avg_ts) VALUES ('8cf427ff', .., '7100.0');`, a test a line.

use super::line::{Before, Cells};

/// Reads a line.
pub fn line(text: &str, _before: &mut Before) -> Option<Cells> {
    let (head, values) = text.trim().split_once(") VALUES (")?;
    let (_, columns) = head.strip_prefix("INSERT INTO ")?.split_once('(')?;
    let values = quoted(values)?;
    let columns: Vec<&str> = columns.split(',').map(str::trim).collect();
    let owned = |(column, value): (&str, String)| (column.to_owned(), value);
    (columns.len() == values.len()).then(|| columns.into_iter().zip(values).map(owned).collect())
}

/// Values between single quotes and commas, up to the bracket that ends them; a quote within is written twice.
fn quoted(text: &str) -> Option<Vec<String>> {
    let (mut values, mut value, mut open) = (Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' if open && chars.peek() == Some(&'\'') => value.extend(chars.next()),
            '\'' => open = !open,
            ',' | ')' if !open => {
                values.push(std::mem::take(&mut value).trim().to_owned());
                if c == ')' {
                    return Some(values);
                }
            }
            c => value.push(c),
        }
    }
    None
}
