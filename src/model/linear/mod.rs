//! Products with weights: the one place where a part of a block multiplies by a matrix that it declares, so that other kinds of
//! weights (low-rank updates, quantised numbers) are another row here and no change in any part.

use candle_core::Tensor;

use super::param::Declare;
use super::site::Site;
use super::{Pass, Work};
use crate::config::Named;
use crate::error::Result;

pub mod dense;
pub mod lora;
mod rounded;
pub mod bf16;
pub mod fp8;
pub mod int8;
pub mod ternary;

/// What a part asks of a product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearSpec<'a> {
    /// Rows of the matrices stacked in the weight, one behind the other (`[q, k, v]`): the columns of the output.
    pub rows: &'a [usize],
    /// Columns of the input.
    pub inputs: usize,
    /// Whether something is added to each row of the output.
    pub bias: bool,
    /// Standard deviation of the weight's normal start.
    pub start: f64,
}

impl LinearSpec<'_> {
    /// Columns of the output.
    pub fn outputs(&self) -> usize {
        self.rows.iter().sum()
    }
}

/// A settled product: (N, inputs) to (N, outputs).
pub trait Linear: Send + Sync {
    /// `x W^T (+ bias)`.
    ///
    /// # Errors
    /// The operations'.
    fn forward(&self, x_nk: &Tensor, pass: &Pass) -> Result<Tensor>;

    /// What the products of so many rows cost, a gradient of the input asked for or not.
    fn work(&self, rows: u64, learns: bool) -> Work;

    /// Whether anything in it trains, so that gradients are asked of its output whatever goes in.
    fn trains(&self) -> bool;
}

/// A kind of product: one file in this folder and one row in the registry.
pub trait LinearKind: Named {
    /// Whether what is no part of such a product trains where it stands; `given` says that the model starts with a file's numbers.
    ///
    /// # Errors
    /// Where a knob has a value that it cannot have.
    fn trains_rest(&self, site: &Site, given: bool) -> Result<bool> {
        let _ = (site, given);
        Ok(true)
    }

    /// Reads the knobs below `model.linear`, declares the parameters of one product under `name` and returns it.
    ///
    /// # Errors
    /// Where a knob has a value that it cannot have.
    fn settle(
        &self,
        site: &Site,
        name: &str,
        spec: LinearSpec,
        declare: &mut Declare,
    ) -> Result<Box<dyn Linear>>;
}
