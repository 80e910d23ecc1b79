//! What every kind in a catalog must obey, whether it ships or comes from another crate.
//!
//! A catalog's row promises more than its trait says: that it learns, that it does not look ahead, that the work and the memory
//! it claims are those it takes. Here each promise is a rule with a name, and a function per catalog says which of them a kind
//! breaks. `tests/law` applies them to every row of every catalog; a crate with kinds of its own does the same in a test:
//!
//! ```no_run
//! # let registry = effbench::trial::Registry::builtin();
//! assert_eq!(effbench::law::mixer(&registry, "attention"), []);
//! ```
//!
//! Models here are tiny, so that a law holds in seconds without optimisation. What it finds is a fault; that it finds nothing is
//! no proof. In the order of reading: [`variant`] is what any whole model obeys, the others put one kind in its place.

use crate::config::{Catalog, Named};
use crate::trial::Registry;

mod rule;
mod recipe;
mod learning;
mod passes;
mod variant;
mod slots;
mod optimizer;
mod schedule;
mod source;
mod meter;
mod op;

pub use crate::config::Broken;
pub use meter::meter;
pub use op::op;
pub use optimizer::optimizer;
pub use schedule::schedule;
pub use slots::{feed_forward, mixer, norm, position};
pub use source::{source, source_with};
pub use variant::variant;

/// Every row of every catalog with the rules that it breaks; a row that breaks none is not among them.
pub fn catalogs(registry: &Registry) -> Vec<(String, Vec<Broken>)> {
    fn rows<K: Named + ?Sized>(
        registry: &Registry,
        catalog: &Catalog<K>,
        law: fn(&Registry, &str) -> Vec<Broken>,
    ) -> Vec<(String, Vec<Broken>)> {
        let of_row = |name: &str| (format!("{}: {name}", catalog.what), law(registry, name));
        catalog.iter().map(|row| of_row(row.name())).collect()
    }
    let slots = &registry.slots;
    let mut all = rows(registry, &slots.mixers, mixer);
    all.extend(rows(registry, &slots.ffns, feed_forward));
    all.extend(rows(registry, &slots.norms, norm));
    all.extend(rows(registry, &slots.positions, position));
    all.extend(rows(registry, &registry.optimizers, optimizer));
    all.extend(rows(registry, &registry.schedules, schedule));
    all.extend(rows(registry, &registry.sources, source));
    all.extend(rows(registry, &registry.meters, meter));
    all.retain(|(_, broken)| !broken.is_empty());
    all
}
