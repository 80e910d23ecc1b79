//! Which parameters stay as they start: `train.freeze = ["embedding", "blocks.*.mixer"]`, by declared names.
//!
//! A pattern is a name or the first parts of one, part by part between dots; a `*` in a part stands for any letters.

use super::param::Decl;
use crate::config::knob::{List, Text};
use crate::config::{Knob, Section, Spec};
use crate::error::{Error, Result};

const NAMES: Knob<List<Text>> = Knob::text(
    "freeze",
    "Parameters that stay as they start: declared names or their first parts; a star in a part stands for any letters.",
)
.list()
.optional();

/// `train.freeze`
pub const FREEZE: Section = Section {
    path: "train",
    knobs: &[&NAMES],
};

/// Patterns of names.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Freeze(Vec<String>);

impl Freeze {
    /// Reads `train.freeze`, silent where it is not given.
    ///
    /// # Errors
    /// Where it is no list of strings.
    pub fn settle(spec: &Spec) -> Result<Self> {
        let names = spec.at(&FREEZE).find(&NAMES)?;
        Ok(Self(names.unwrap_or_default()))
    }

    /// Whether a parameter of that name is frozen.
    pub fn holds(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern, name))
    }

    /// Refuses a pattern that no declared parameter has, and what leaves nothing to train.
    ///
    /// # Errors
    /// See above.
    pub fn check(&self, spec: &Spec, decls: &[Decl]) -> Result<()> {
        let train = spec.at(&FREEZE);
        let unused = |pattern: &&String| !decls.iter().any(|decl| matches(pattern, &decl.name));
        if let Some(pattern) = self.0.iter().find(unused) {
            let why = format!("no parameter is called `{pattern}`");
            return Err(with_names(train.refuse(&NAMES, &why), pattern, decls));
        }
        if !decls.iter().any(|decl| decl.trains) {
            return Err(train
                .refuse(&NAMES, "it leaves nothing to train")
                .hint("fewer names"));
        }
        Ok(())
    }
}

/// An error that names parameters, those like what was meant before others.
fn with_names(error: Error, meant: &str, decls: &[Decl]) -> Error {
    let parts = meant.split('.').count();
    let first = |decl: &Decl| {
        let parts: Vec<&str> = decl.name.split('.').take(parts).collect();
        parts.join(".")
    };
    let mut names: Vec<String> = decls.iter().map(first).collect();
    names.dedup();
    error.suggest(meant, names.iter().map(String::as_str))
}

fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = name.split('.');
    let mut asked = pattern.split('.');
    asked.all(|asked| parts.next().is_some_and(|part| is_like(asked, part)))
}

/// Whether a part is that of a pattern, `*` any letters.
fn is_like(pattern: &str, part: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == part,
        Some((before, after)) => part.strip_prefix(before).is_some_and(|rest| {
            let from = 0..=rest.len();
            from.filter_map(|at| rest.get(at..))
                .any(|rest| is_like(after, rest))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_its_first_parts() {
        let check = |pattern: &str, name: &str, want: bool| {
            assert_eq!(matches(pattern, name), want, "{pattern} of {name}");
        };
        check("embedding", "embedding.tokens", true);
        check("embedding.tokens", "embedding.tokens", true);
        check("embedding.tokens.more", "embedding.tokens", false);
        check("embed", "embedding.tokens", false);
        check("embed*", "embedding.tokens", true);
        check("blocks.*.mixer", "blocks.03.mixer.qkv", true);
        check("blocks.0*.ffn", "blocks.03.mixer.qkv", false);
        check("blocks.0*", "blocks.03.mixer.qkv", true);
        check("blocks.0*", "blocks.13.mixer.qkv", false);
        check("blocks.*.*.*_bias", "blocks.03.mixer.qkv_bias", true);
        check("blocks.*.*.*_bias", "blocks.03.mixer.qkv", false);
        check("*", "head.weight", true);
    }
}
