//! How wide a feed-forward layer is inside.

use crate::config::knob::{Number, Whole};
use crate::config::{Knob, Knobs};
use crate::error::Result;

pub(super) const HIDDEN: Knob<Whole> = Knob::count(
    "hidden",
    "Hidden channels, where the ratio does not give them exactly.",
)
.unit("channels")
.within(1, 1 << 22)
.follows("the ratio");

/// Hidden channels: as given, silent where they are not, or what `of` makes of the ratio.
pub(super) fn hidden(
    knobs: &Knobs,
    ratio: &Knob<Number>,
    of: impl Fn(f64) -> usize,
) -> Result<usize> {
    let by_ratio = of(knobs.read(ratio)?);
    Ok(knobs.find(&HIDDEN)?.unwrap_or(by_ratio))
}
