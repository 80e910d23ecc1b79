//! `nvidia-smi dmon -o DT`: a line of columns named by the comment above it, `#Date Time gpu pwr ..`, as the rows of nvidia-smi's queries.

use super::line::{Before, Cells, push};
use crate::import::quantity::moment;

/// Reads a line.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if let Some(comment) = text.trim_start().strip_prefix('#') {
        let names: Vec<&str> = comment.split_whitespace().collect();
        if names.contains(&"gpu") && names.contains(&"pwr") {
            before.columns = names.iter().map(|name| (*name).to_owned()).collect();
        }
        return (!before.columns.is_empty()).then(Vec::new);
    }
    let cell = |name: &str| {
        let at = before.columns.iter().position(|column| column == name)?;
        words.get(at).copied()
    };
    let sound = words.len() == before.columns.len();
    let (gpu, watts) = cell("gpu").zip(cell("pwr")).filter(|_| sound)?;
    let (year, rest) = cell("Date").unwrap_or("19700101").split_at_checked(4)?;
    let (month, day) = rest.split_at_checked(2)?;
    let time = format!("{year}-{month}-{day} {}", cell("Time")?);
    moment(&time)?;
    let mut cells = Vec::new();
    push(&mut cells, "timestamp", &time);
    push(&mut cells, "index", gpu);
    push(&mut cells, "power.draw [W]", watts);
    Some(cells)
}
