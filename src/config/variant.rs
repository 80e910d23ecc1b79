//! A variant is its difference: a file names its base, one sentence of hypothesis with its source, and what it changes.
//!
//! ```toml
//! about = "Rotary positions generalise better over distance than a learned table."
//! source = "Su et al. 2021, RoFormer, arXiv 2104.09864"
//! base = "gpt2"
//!
//! [model]
//! position.kind = "rope"
//!
//! [[surface]]                # see `rate_surface`; or, for one width and number of steps, a row:
//!
//! [[tuned]]
//! data = "language/easy"
//! scale = "w32"
//! steps = 800
//! lr = 0.008
//! from = "results/tune-quick.json"
//! ```

use super::field::Inner;
use super::knob::{Declarations, Declared as _, Knob, Text};
use super::load;
use super::rate::{self, Tuned};
use super::rate_surface::{self, RateSurface};
use super::table::Table;
use super::tree::{Origin, Tree};
use crate::error::Result;

pub(super) const ABOUT: Knob<Text> =
    Knob::text("about", "The hypothesis, in one sentence.").follows("the keys that it changes");
pub(super) const SOURCE: Knob<Text> =
    Knob::text("source", "Who proposed it, and where.").follows("its own file");
pub(super) const PUBLISHED: Knob<Text> = Knob::text(
    "published",
    "What its authors report, with the figure and its size, to be held against what is measured.",
)
.optional();
pub(super) const BASE: Knob<Text> = Knob::text(
    "base",
    "The variant that it differs from: a name, a path, or either with changes, as gpt2+rope.",
)
.optional();
const TUNED: Inner = Inner::rows(
    "tuned",
    "Learning rates that sweeps chose, each for one width and number of steps.",
    rate::FIELDS,
);
const SURFACE: Inner = Inner::rows(
    "surface",
    "Learning rates that sweeps chose, each row for a range of widths and steps.",
    rate_surface::FIELDS,
);

/// The fields of a variant's file, beside its spec keys.
pub(super) const FIELDS: Declarations = &[&ABOUT, &SOURCE, &BASE, &TUNED, &SURFACE];

/// An algorithm: architecture, optimizer and schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// The file's stem.
    pub name: String,
    /// The hypothesis, in one sentence.
    pub about: String,
    /// Who proposed it, where.
    pub source: String,
    /// The variant it differs from, by name.
    pub base: Option<String>,
    /// Everything it says, its bases' keys below its own.
    pub tree: Tree,
    /// Its difference alone.
    pub own: Tree,
    /// Tuned learning rates; a base's are not inherited, for another algorithm wants another rate.
    pub tuned: Vec<Tuned>,
    /// Surfaces of learning rates; a base's are not inherited either.
    pub surfaces: Vec<RateSurface>,
}

impl Variant {
    /// Reads a variant's file; the base is returned as written, with its place, for the library to lay below.
    pub(super) fn parse(
        name: String,
        file: &str,
        text: &str,
    ) -> Result<(Self, Option<(String, Origin)>)> {
        let table = load::parse(file, text)?;
        let fields = table.fields_beside_spec(FIELDS)?;
        let own = table.spec_tree()?;
        let tuned = fields.rows(&TUNED)?.iter().map(Tuned::parse);
        let tuned = tuned.collect::<Result<_>>()?;
        let surface = |row: &Table| match RateSurface::variant(row)? {
            Some(other) if other != name => {
                let why = "a variant's own file has no rates of another variant";
                Err(row.refuse(rate_surface::VARIANT.name(), why))
            }
            _ => RateSurface::parse(row),
        };
        let surfaces = fields.rows(&SURFACE)?.iter().map(surface);
        let surfaces = surfaces.collect::<Result<_>>()?;
        let source = fields.find(&SOURCE)?;
        let source = source.unwrap_or_else(|| format!("{name}.toml"));
        let variant = Self {
            name,
            about: fields.find(&ABOUT)?.unwrap_or_else(|| changes(&own)),
            source,
            base: None,
            tree: own.clone(),
            own,
            tuned,
            surfaces,
        };
        let base = fields.find(&BASE)?.map(|base| (base, fields.origin(&BASE)));
        Ok((variant, base))
    }
}

/// What stands for a hypothesis that nobody wrote down: `Changes model.ffn.kind.`
pub(super) fn changes(own: &Tree) -> String {
    let keys: Vec<&str> = own.iter().map(|(key, _)| key).collect();
    match keys.as_slice() {
        [] => "Changes nothing.".to_owned(),
        keys => format!("Changes {}.", keys.join(", ")),
    }
}
