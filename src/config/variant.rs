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

use super::load;
use super::rate::Tuned;
use super::rate_surface::RateSurface;
use super::table::SPEC_TABLES;
use super::tree::{Origin, Tree};
use crate::error::Result;

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
        let known: Vec<&str> = ["about", "source", "base", "tuned", "surface"]
            .into_iter()
            .chain(SPEC_TABLES)
            .collect();
        table.check(&known)?;
        let own = table.spec_tree()?;
        let tuned = table
            .rows("tuned")?
            .iter()
            .map(Tuned::parse)
            .collect::<Result<_>>()?;
        let surfaces = table
            .rows("surface")?
            .iter()
            .map(RateSurface::parse)
            .collect::<Result<_>>()?;
        let variant = Self {
            name,
            about: table.need("about", table.text("about")?)?,
            source: table.need("source", table.text("source")?)?,
            base: None,
            tree: own.clone(),
            own,
            tuned,
            surfaces,
        };
        let base = table.text("base")?.map(|base| (base, table.origin("base")));
        Ok((variant, base))
    }
}
