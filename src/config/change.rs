//! A change is a difference that any variant can take: `gpt2+rope+muon` is `gpt2` with two of them.
//!
//! ```toml
//! about = "Rotating queries and keys by position teaches relative distance at no parameters."
//! source = "Su et al. 2021, RoFormer, arXiv 2104.09864"
//!
//! [model]
//! position.kind = "rope"
//! ```

use super::knob::{Declarations, Declared};
use super::load;
use super::names::WITH;
use super::tree::Tree;
use super::variant::{ABOUT, BASE, PUBLISHED, SOURCE, Variant, changes};
use crate::error::{Error, Result};

/// The fields of a change's file, beside its spec keys.
pub(super) const FIELDS: Declarations = &[&ABOUT, &SOURCE, &PUBLISHED];

/// A single difference, without a base.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The file's stem.
    pub name: String,
    /// The hypothesis, in one sentence.
    pub about: String,
    /// Who proposed it, where.
    pub source: String,
    /// What they report, where that is a figure.
    pub published: Option<String>,
    /// The keys that it sets.
    pub tree: Tree,
}

impl Change {
    /// Reads a change's file.
    pub(super) fn parse(name: String, file: &str, text: &str) -> Result<Self> {
        let table = load::parse(file, text)?;
        if table.has(BASE.name()) {
            let why = "a change is laid over any variant and has no base of its own";
            let hint = "leave `base` out, or use the file as a variant, without a `+` before it";
            return Err(table.refuse(BASE.name(), why).hint(hint));
        }
        let fields = table.fields_beside_spec(FIELDS)?;
        let (tree, source) = (table.spec_tree()?, fields.find(&SOURCE)?);
        Ok(Self {
            about: fields.find(&ABOUT)?.unwrap_or_else(|| changes(&tree)),
            source: source.unwrap_or_else(|| format!("{name}.toml")),
            published: fields.find(&PUBLISHED)?,
            name,
            tree,
        })
    }
}

/// A variant with changes over it, in the order given; the name is the variant's with theirs behind it. Changes that contradict
/// one another, or that change nothing, are refused: the cell would not be what its name says.
pub fn compose(base: Variant, changes: &[Change]) -> Result<Variant> {
    let names = changes.iter().map(|change| change.name.as_str());
    let name = std::iter::once(base.name.as_str())
        .chain(names)
        .collect::<Vec<_>>()
        .join(&WITH.to_string());
    let refuse = |why: String| Err(Error::input(format!("{name}: {why}")));
    let mut own = Tree::default();
    for (k, change) in changes.iter().enumerate() {
        if changes[..k].iter().any(|other| other.name == change.name) {
            return refuse(format!("`{}` stands there twice", change.name));
        }
        for other in &changes[..k] {
            if let Some(key) = contradicts(&other.tree, &change.tree) {
                return refuse(format!(
                    "`{}` and `{}` both set {key}",
                    other.name, change.name
                ));
            }
        }
        let mut with = base.tree.clone();
        with.overlay(&change.tree);
        if with.same_values(&base.tree) {
            return refuse(format!(
                "`{}` changes nothing: {} has it already",
                change.name, base.name
            ));
        }
        own.overlay(&change.tree);
    }
    let mut tree = base.tree;
    tree.overlay(&own);
    let join = |of: fn(&Change) -> &str, between: &str| {
        changes.iter().map(of).collect::<Vec<_>>().join(between)
    };
    Ok(Variant {
        about: join(|change| &change.about, " "),
        source: join(|change| &change.source, "; "),
        base: Some(base.name),
        name,
        tree,
        own,
        tuned: Vec::new(),
        surfaces: Vec::new(),
    })
}

/// A key that both set, to different values.
fn contradicts<'a>(a: &Tree, b: &'a Tree) -> Option<&'a str> {
    let differs = |(key, entry): &(&str, &super::tree::Entry)| {
        a.get(key).is_some_and(|other| other.value != entry.value)
    };
    b.iter().find(differs).map(|(key, _)| key)
}
