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

mod rule;
mod recipe;
mod keys;
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
pub use slots::{feed_forward, linear, loss, mixer, norm, position, stream};
pub use source::{source, source_with};
pub use variant::variant;
