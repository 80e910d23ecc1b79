//! Names that hold several things at once, such as `adamw-lr0.01-seed3.csv`, taken apart by a pattern: `{variant}-*-seed{seed}`.

use super::role::Role;
use crate::error::{Error, Result};

/// Literal text, `{role}` for what is taken, `*` for what is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// As it was typed.
    pub text: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Any,
    Role(Role),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// A brace that is not closed, an unknown role, no role at all, a figure that stands twice.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Error::input(format!("--split {}: {what}", text.escape_debug())).hint(
                "such as --split '@file={variant}_seed{seed}' for adam_seed3.csv; * stands for what does not matter",
            )
        };
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some(place) = rest.find(['{', '*']) {
            let (before, from) = rest.split_at(place);
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            rest = match from.strip_prefix('{') {
                None => {
                    pieces.push(Piece::Any);
                    &from[1..]
                }
                Some(inside) => {
                    let (role, after) = inside
                        .split_once('}')
                        .ok_or_else(|| wrong("a { is not closed"))?;
                    pieces.push(Piece::Role(Role::of(role.trim())?));
                    after
                }
            };
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        let pattern = Self {
            text: text.to_owned(),
            pieces,
        };
        let roles: Vec<Role> = pattern.roles().collect();
        if roles.is_empty() {
            return Err(wrong("no {role} in it"));
        }
        let twice = roles
            .iter()
            .enumerate()
            .find(|(k, role)| !role.is_name() && roles[..*k].contains(role));
        match twice {
            Some((_, role)) => Err(wrong(&format!("{{{}}} stands twice", role.name()))),
            None => Ok(pattern),
        }
    }

    /// What of a path it may mean: as many of its last parts as it has itself, with the extension and without.
    pub fn names(&self, path: &str) -> Vec<String> {
        let parts: Vec<&str> = path.split(['/', '\\']).collect();
        let wanted = self.text.matches('/').count() + 1;
        let whole = parts[parts.len().saturating_sub(wanted)..].join("/");
        let stem = whole.rsplit_once('.').map(|(stem, _)| stem.to_owned());
        stem.into_iter().chain([whole]).collect()
    }

    /// What it takes.
    pub fn roles(&self) -> impl Iterator<Item = Role> {
        self.pieces.iter().filter_map(|piece| {
            if let Piece::Role(role) = piece {
                Some(*role)
            } else {
                None
            }
        })
    }

    /// What of a text is a role: a name takes as little as it can, a figure as much. A name that stands twice is joined by `-`.
    /// `None` where the text does not look like the pattern.
    pub fn take(&self, role: Role, text: &str) -> Option<String> {
        let mut ends = Vec::with_capacity(self.pieces.len());
        let mut failed = vec![false; (self.pieces.len() + 1) * (text.len() + 1)];
        if !self.fits(text, 0, 0, &mut ends, &mut failed) {
            return None;
        }
        ends.reverse();
        let starts = [0].into_iter().chain(ends.iter().copied());
        let taken = self
            .pieces
            .iter()
            .zip(starts.zip(&ends))
            .filter(|(piece, _)| **piece == Piece::Role(role));
        let parts: Vec<String> = taken
            .map(|(_, (from, to))| plain(role, &text[from..*to]))
            .collect();
        (!parts.is_empty()).then(|| parts.join("-"))
    }

    /// Whether the pieces from `piece` on fit the text from `at` on; `ends` gets where each ends, the last first. A place that
    /// failed once is not tried again, so that the time is at most pieces x characters x characters.
    fn fits(
        &self,
        text: &str,
        piece: usize,
        at: usize,
        ends: &mut Vec<usize>,
        failed: &mut [bool],
    ) -> bool {
        let Some(this) = self.pieces.get(piece) else {
            return at == text.len();
        };
        let place = piece * (text.len() + 1) + at;
        if failed[place] {
            return false;
        }
        let mut candidates: Vec<usize> = match this {
            Piece::Text(literal) if text[at..].starts_with(literal.as_str()) => {
                vec![at + literal.len()]
            }
            Piece::Text(_) => Vec::new(),
            Piece::Any => (at..=text.len())
                .filter(|end| text.is_char_boundary(*end))
                .collect(),
            Piece::Role(role) => {
                let ends = (at + 1..=text.len()).filter(|end| text.is_char_boundary(*end));
                ends.filter(|end| role.is_name() || figure(*role, &text[at..*end]).is_some())
                    .collect()
            }
        };
        if matches!(this, Piece::Role(role) if !role.is_name()) {
            candidates.reverse();
        }
        for end in candidates {
            if self.fits(text, piece + 1, end, ends, failed) {
                ends.push(end);
                return true;
            }
        }
        failed[place] = true;
        false
    }
}

/// A figure out of a name: digits, a point, an exponent, and of amounts a suffix (`124M`).
fn figure(role: Role, text: &str) -> Option<String> {
    let sound =
        |text: &str| text.starts_with(|c: char| c.is_ascii_digit()) && text.parse::<f64>().is_ok();
    if sound(text) {
        return Some(text.to_owned());
    }
    let suffixes = [
        ("k", "e3"),
        ("K", "e3"),
        ("m", "e6"),
        ("M", "e6"),
        ("b", "e9"),
        ("B", "e9"),
        ("t", "e12"),
        ("T", "e12"),
    ];
    if !matches!(role, Role::Params | Role::Tokens) {
        return None;
    }
    let (figure, power) = suffixes
        .iter()
        .find_map(|(suffix, power)| Some((text.strip_suffix(suffix)?, power)))?;
    (sound(figure) && !figure.contains(['e', 'E'])).then(|| format!("{figure}{power}"))
}

fn plain(role: Role, text: &str) -> String {
    if role.is_name() {
        text.to_owned()
    } else {
        figure(role, text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_apart() {
        let rows = [
            (
                "{variant}_seed{seed}",
                "adam_seed3",
                Role::Variant,
                Some("adam"),
            ),
            (
                "{variant}_seed{seed}",
                "adam_w_seed12",
                Role::Variant,
                Some("adam_w"),
            ),
            (
                "{variant}_seed{seed}",
                "adam_w_seed12",
                Role::Seed,
                Some("12"),
            ),
            (
                "{variant}-*-seed{seed}",
                "adamw-lr0.01-seed3",
                Role::Variant,
                Some("adamw"),
            ),
            (
                "{variant}-seed{seed}",
                "adamw-lr0.01-seed3",
                Role::Variant,
                Some("adamw-lr0.01"),
            ),
            (
                "{variant}-s{seed}-{variant}",
                "adam-s1-big",
                Role::Variant,
                Some("adam-big"),
            ),
            (
                "{variant}_{params}_s{seed}",
                "gpt_124M_s0",
                Role::Params,
                Some("124e6"),
            ),
            (
                "{variant}/seed{seed}",
                "muon/seed07",
                Role::Seed,
                Some("07"),
            ),
            ("größe{scale}µ{seed}", "größe9µ1", Role::Scale, Some("9")),
            ("{seed}*", "12ab", Role::Seed, Some("12")),
            ("{variant}_seed{seed}", "adam_seedx", Role::Variant, None),
            ("{variant}_seed{seed}", "_seed1", Role::Variant, None),
            (
                "{variant}_seed{seed}",
                "adam_seed1_old",
                Role::Variant,
                None,
            ),
            ("{variant}", "adam", Role::Seed, None),
        ];
        for (pattern, text, role, expected) in rows {
            assert_eq!(
                Pattern::parse(pattern).unwrap().take(role, text).as_deref(),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn a_pattern_that_makes_no_sense_is_refused() {
        let rows = [
            ("adam", "--split adam: no {role} in it"),
            ("{variant", "--split {variant: a { is not closed"),
            ("{sed}", "unknown role `sed`"),
            (
                "{seed}-{seed}",
                "--split {seed}-{seed}: {seed} stands twice",
            ),
        ];
        for (text, says) in rows {
            let error = Pattern::parse(text).unwrap_err();
            assert!(error.message.starts_with(says), "{error}");
        }
    }

    /// Many wildcards over a long name end in time.
    #[test]
    fn a_long_name_is_refused_quickly() {
        let pattern = Pattern::parse(&format!("{}{{seed}}x", "{variant}a*".repeat(20))).unwrap();
        assert_eq!(pattern.take(Role::Variant, &"a".repeat(250)), None);
    }
}
