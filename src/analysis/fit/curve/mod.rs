//! Laws of any shape: each is a file with a formula, its parameters and where to start ([`Curve`], in [`formula`]); [`fitted`] fits it,
//! from where it ends `lowest`; [`trust`] says how far its figures can be trusted, [`study`] gathers what is told.

pub mod formula;
pub mod fitted;
mod lowest;
pub mod classic;
pub mod predict;
mod asked;
pub mod study;
pub mod trust;

pub use asked::{Asked, Demand, PerFlop};
pub use fitted::CurveFit;
pub use formula::{Curve, Figure, Held, Input, Residual, Slot, refuse_flat};
pub use predict::{Prediction, Target};
pub use study::{Derived, HeldOut, Shape};
