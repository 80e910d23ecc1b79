//! A parameter's place.

/// A parameter's place in [`Weights`](super::Weights).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParamId(pub(super) usize);
