//! Dividing text into a training and a validation part.

/// How to divide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Split {
    /// The end is for validation: simple, and what published runs do.
    Tail,
    /// Paragraphs chosen by the hash of their content: an edit elsewhere does not move one from one part to the other, and
    /// the same paragraph twice never lies in both.
    Content,
}

/// The two parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<T> {
    pub train: T,
    pub validation: T,
}

/// Divides documents: `tail` cuts their concatenation at `cut` bytes, `content` sends about `fraction` of the paragraphs to
/// validation, in order. A paragraph ends with the blank lines behind it, and with its document.
pub(super) fn split(documents: &[&[u8]], how: Split, fraction: f64, cut: usize) -> Parts<Vec<u8>> {
    if how == Split::Tail {
        let mut train = documents.concat();
        let validation = train.split_off(cut.min(train.len()));
        return Parts { train, validation };
    }
    let mut parts = Parts {
        train: Vec::new(),
        validation: Vec::new(),
    };
    for paragraph in documents.iter().flat_map(|document| paragraphs(document)) {
        let part = if share(paragraph) < fraction {
            &mut parts.validation
        } else {
            &mut parts.train
        };
        part.extend_from_slice(paragraph);
    }
    parts
}

/// Where `tail` cuts n items: as nanoGPT does, `int(n * 0.9)` for a fraction of 0.1.
pub(super) fn cut(items: usize, fraction: f64) -> usize {
    (items as f64 * (1.0 - fraction)) as usize
}

/// A number in `[0, 1)` from the hash of a paragraph without the space around it.
fn share(paragraph: &[u8]) -> f64 {
    let hash = blake3::hash(paragraph.trim_ascii());
    let first: [u8; 4] = std::array::from_fn(|i| hash.as_bytes()[i]);
    f64::from(u32::from_le_bytes(first)) / 2f64.powi(32)
}

/// Cuts where a line with something on it follows one with nothing on it.
fn paragraphs(text: &[u8]) -> Vec<&[u8]> {
    let (mut found, mut start, mut at, mut after_blank) = (Vec::new(), 0, 0, false);
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let blank = line.trim_ascii().is_empty();
        if after_blank && !blank {
            found.push(&text[start..at]);
            start = at;
        }
        after_blank = blank;
        at += line.len();
    }
    if start < at {
        found.push(&text[start..]);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_keep_every_byte_and_end_with_their_blank_lines() {
        let check = |text: &str, want: &[&str]| {
            let found: Vec<&str> = paragraphs(text.as_bytes())
                .into_iter()
                .map(|p| std::str::from_utf8(p).unwrap())
                .collect();
            assert_eq!(found, want);
            assert_eq!(found.concat(), text);
        };
        check("", &[]);
        check("a", &["a"]);
        check("a\nb\n\nc\n", &["a\nb\n\n", "c\n"]);
        check("a\r\n\r\n \nb", &["a\r\n\r\n \n", "b"]);
        check("\n\na\n\n", &["\n\n", "a\n\n"]);
    }

    #[test]
    fn an_edit_moves_no_other_paragraph_and_a_copy_stays_with_its_original() {
        let text: Vec<String> = (0..2000).map(|i| format!("paragraph {i}\n\n")).collect();
        let divide = |text: &[String]| {
            let whole = text.concat();
            split(&[whole.as_bytes()], Split::Content, 0.1, 0)
        };
        let before = divide(&text);
        let share = before.validation.len() as f64 / text.concat().len() as f64;
        assert!((0.08..0.12).contains(&share), "{share}");
        let mut edited = text.clone();
        edited.insert(0, "new\n\n".to_owned());
        edited.extend(text.iter().cloned());
        let after = divide(&edited);
        let lines = |part: &[u8]| -> std::collections::BTreeSet<String> {
            String::from_utf8(part.to_vec())
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect()
        };
        assert!(lines(&before.validation).is_subset(&lines(&after.validation)));
        assert!(lines(&before.train).is_subset(&lines(&after.train)));
    }

    #[test]
    fn a_tail_is_cut_as_nanogpt_cuts() {
        assert_eq!(cut(1_115_394, 0.1), 1_003_854);
        let parts = split(&[b"abc", b"defghij"], Split::Tail, 0.1, cut(10, 0.1));
        assert_eq!(
            parts,
            Parts {
                train: b"abcdefghi".to_vec(),
                validation: b"j".to_vec()
            }
        );
    }
}
