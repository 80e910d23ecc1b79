//! Where a part of a model is put.

use super::shape::Shape;
use crate::config::Knobs;

/// Where a part is put, and what is asked of it there.
pub struct Site<'a> {
    /// The block that it is in, from 0; `None` outside the blocks.
    pub layer: Option<usize>,
    /// The model's sizes.
    pub shape: &'a Shape,
    /// What the spec says of this part, of this layer where it says so: below `model.mixer` or the like.
    pub knobs: Knobs<'a>,
}
