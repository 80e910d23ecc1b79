//! A product with weights, or with two matrices of a low rank, one behind the other.

use candle_core::Tensor;

use crate::error::Result;
use crate::model::linear::{Linear, LinearSpec};
use crate::model::{Build, Pass, Shape, Work};

/// Of the residual stream.
pub(super) enum Projection {
    Full(Box<dyn Linear>),
    /// Down to the rank, and up.
    Low([Box<dyn Linear>; 2]),
}

/// What is asked of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Projected<'a> {
    pub name: &'a str,
    /// Rows of the matrices stacked in it.
    pub rows: &'a [usize],
    /// Whether it is of a low rank.
    pub rank: Option<usize>,
    pub bias: bool,
}

impl Projection {
    pub fn settle(of: Projected, shape: &Shape, build: &mut Build) -> Result<Self> {
        let start = shape.init_std;
        let spec = |rows, inputs, bias| LinearSpec {
            rows,
            inputs,
            bias,
            start,
        };
        let Projected {
            name,
            rows,
            rank,
            bias,
        } = of;
        let Some(rank) = rank else {
            let full = build.linear(name, spec(rows, shape.width, bias))?;
            return Ok(Self::Full(full));
        };
        let down = [rank];
        Ok(Self::Low([
            build.linear(&format!("{name}_down"), spec(&down, shape.width, false))?,
            build.linear(&format!("{name}_up"), spec(rows, rank, bias))?,
        ]))
    }

    pub fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        match self {
            Self::Full(full) => full.forward(x_nc, pass),
            Self::Low([down, up]) => up.forward(&down.forward(x_nc, pass)?, pass),
        }
    }

    /// Of so many rows, a gradient of the input asked for or not.
    pub fn work(&self, rows: u64, learns: bool) -> Work {
        match self {
            Self::Full(full) => full.work(rows, learns),
            Self::Low([down, up]) => {
                down.work(rows, learns) + up.work(rows, learns || down.trains())
            }
        }
    }

    pub fn trains(&self) -> bool {
        match self {
            Self::Full(full) => full.trains(),
            Self::Low([down, up]) => down.trains() || up.trains(),
        }
    }
}
