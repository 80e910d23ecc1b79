//! Mixers whose heads keep a matrix in place of keys and values: linear attention, RetNet, GLA, Mamba-2, DeltaNet, Gated DeltaNet and
//! KDA. One layer of switches (`layer`), its parts (`conv`, `gating`, `projection`), and what each kind sets them to (`kinds`).
//!
//! All but RetNet know a token's place by what decays and by the convolution: they do not rotate.

mod projection;
mod conv;
mod gating;
mod layer;
mod kinds;

pub use kinds::Kind;
