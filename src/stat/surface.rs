//! One smooth surface of learning rates over steps and sizes, fitted to every trial of a sweep at once:
//!
//! ```text
//! ln lr* = a + b ln steps + c ln size          (Li et al. 2025, Step Law, arXiv 2503.04715, their equation 1)
//! loss   = level(cell, seed) + V(ln lr - ln lr*),   V(d) = left d^2 for d < 0, right d^2 for d > 0
//! ```
//!
//! A parabola through the best rate of each cell and its neighbours follows the luck of three trials, and is wrong where
//! one side of the valley is steeper than the other. Here all cells share the valley's shape, and each cell and seed has its
//! own level, so that only the place of the valley is left to explain. Points high up the slopes count little (their shape
//! is another), and a rate that diverged says only that the valley lies well below it.
//!
//! The optimum of a single cell scatters around the surface by more than the seeds' noise explains. That scatter is
//! estimated over the cells (after Paule and Mandel 1982, moderated as Smyth 2004 moderates a variance of few degrees of
//! freedom) and enters the covariance of the coefficients cell by cell (Liang and Zeger 1986).

mod shape;
mod sweep;
mod descent;

pub use descent::fit;
pub use shape::{Place, Point, Support, Surface, Unfit, Valley};

#[cfg(test)]
mod tests;
