//! What a launcher sets before every line of a program's: `[rank0]:`, `0: ` (`srun -l`), `trainer-1  | ` (compose), a time (`kubectl logs
//! --timestamps`).

use super::quantity::moment;

/// The text without it; `None` where its lines do not all begin so.
pub fn stripped(text: &str) -> Option<String> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next()?;
    let known = (time(first).is_none()).then(|| name(first));
    let of = |line: &str| match known {
        None => time(line),
        Some(known) => {
            let known = known?;
            let text = line.trim_end();
            let bare = text == known.trim_end() || line.starts_with(known);
            bare.then_some(known.len().min(text.len()))
        }
    };
    lines.next()?;
    let mut all = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let skipped = if line.trim().is_empty() { 0 } else { of(line)? };
        all.push_str(&line[skipped..]);
    }
    Some(all)
}

/// The length of a time and the blank behind it.
fn time(line: &str) -> Option<usize> {
    let line = line.trim_end_matches(['\n', '\r']);
    let word = line.split(' ').next()?;
    let is_time = word.contains('T') && moment(word).is_some();
    is_time.then_some((word.len() + 1).min(line.len()))
}

/// The name of a process and what stands behind it.
fn name(line: &str) -> Option<&str> {
    if line.starts_with("[rank") {
        return Some(&line[..line.find("]:")? + 2]);
    }
    let word = line
        .split([' ', ':'])
        .next()
        .filter(|word| !word.is_empty())?;
    let rest = &line[word.len()..];
    let mark = rest.trim_start_matches(' ');
    let end = line.len() - mark.len();
    match mark.chars().next()? {
        ':' if mark.starts_with(": ") && end == word.len() => Some(&line[..end + 2]),
        '|' if mark.starts_with("| ") => Some(&line[..end + 2]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_lines_begin_with_is_no_part_of_them() {
        let rows = [
            (
                "[rank0]:step 1\n\n[rank0]:step 2\n",
                Some("step 1\n\nstep 2\n"),
            ),
            ("0: a\n0: b", Some("a\nb")),
            ("gpu-1  | a\ngpu-1  |\ngpu-1  | b\n", Some("a\n\nb\n")),
            (
                "2025-01-01T10:00:00Z a\n2025-01-01T10:00:01Z   b\n",
                Some("a\n  b\n"),
            ),
            ("[rank0]:a\n[rank1]:b\n", None),
            ("a: 1\nb: 2\n", None),
            ("0: a\n", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(stripped(text).as_deref(), expected, "{text}");
        }
    }
}
