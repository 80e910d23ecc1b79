//! The numbers that are left by rounding, and what numbers share a scale.

use candle_core::{Result, Tensor, bail};

/// Numbers that a product's factors are rounded to, times a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grid {
    /// 8 bits of exponent, 7 of mantissa; no scale.
    Bf16,
    /// 4 bits of exponent, 3 of mantissa, no infinity: up to 448 (E4M3 of Micikevicius et al. 2022, arXiv 2209.05433, table 1).
    E4m3,
    /// 5 bits of exponent, 2 of mantissa: up to 57344 (the same table).
    E5m2,
    /// Whole numbers from -127 to 127.
    Int8,
    /// -1, 0 and 1, times the mean size of the matrix (BitNet b1.58, Ma et al. 2024, arXiv 2402.17764, equations 1 to 3).
    Ternary,
}

/// A grid's numbers: those of a binary float, whose step grows with the number, or whole ones, whose step does not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    /// The step over the power of two at or below a number; 0 of whole numbers.
    pub relative: f64,
    /// The smallest step.
    pub least: f64,
    /// The largest number.
    pub most: f64,
}

impl Grid {
    /// How far rounding may move a number: as a share of it, or of the largest that shares its scale where steps do not grow.
    pub fn coarseness(self) -> f64 {
        let Numbers { relative, most, .. } = self.numbers();
        if relative > 0.0 {
            relative / 2.0
        } else {
            0.5 / most
        }
    }

    pub(super) const fn numbers(self) -> Numbers {
        /// `2^-n`, exactly.
        const fn half_to(n: u32) -> f64 {
            f64::from_bits((1023 - n as u64) << 52)
        }
        let (relative, least, most) = match self {
            Self::Bf16 => (half_to(7), half_to(133), 255.0 * half_to(7) / half_to(127)),
            Self::E4m3 => (half_to(3), half_to(9), 448.0),
            Self::E5m2 => (half_to(2), half_to(16), 57_344.0),
            Self::Int8 => (0.0, 1.0, 127.0),
            Self::Ternary => (0.0, 1.0, 1.0),
        };
        Numbers {
            relative,
            least,
            most,
        }
    }
}

/// What numbers of a matrix share a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// All.
    Tensor,
    /// Those of a row: of activations a token's, of weights an output's.
    Row,
    /// So many neighbours in a row: 1 x N.
    Tile(usize),
    /// Those of a square: N x N.
    Block(usize),
}

/// How a matrix is rounded: to the nearest number of the grid times a scale, of two to the even one, the largest where there is none
/// beyond.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rounding {
    /// What is left.
    pub grid: Grid,
    /// What shares a scale, where the grid has one.
    pub share: Share,
    /// Whether scales are rounded up to powers of two.
    pub power_of_two: bool,
    /// How many times as large as it is the first column is while it is rounded: a planted outlier.
    pub first: f64,
}

impl Rounding {
    /// With scales of any size, and no outlier.
    pub const fn new(grid: Grid, share: Share) -> Self {
        Self {
            grid,
            share,
            power_of_two: false,
            first: 1.0,
        }
    }

    /// The same with a planted outlier.
    pub const fn with_first(self, first: f64) -> Self {
        Self { first, ..self }
    }

    /// How far rounding may move a number: what its grid says, and where steps do not grow as many times as much beside a planted
    /// outlier, which has their scale.
    pub fn coarseness(self) -> f64 {
        let grows = self.grid.numbers().relative > 0.0;
        let beside = if grows { 1.0 } else { self.first.max(1.0) };
        self.grid.coarseness() * beside
    }

    /// Whether a row's numbers depend on those of other rows.
    pub fn mixes_rows(self) -> bool {
        self.grid != Grid::Bf16 && matches!(self.share, Share::Tensor | Share::Block(_))
    }

    /// Rows and columns of what shares a scale, in a matrix of this shape.
    pub(super) fn block(self, rows: usize, columns: usize) -> [usize; 2] {
        let [high, wide] = match self.share {
            Share::Tensor => [rows, columns],
            Share::Row => [1, columns],
            Share::Tile(n) => [1, n],
            Share::Block(n) => [n, n],
        };
        [high.clamp(1, rows.max(1)), wide.clamp(1, columns.max(1))]
    }

    /// Refuses what cannot be rounded so.
    pub(in crate::ops) fn check(self, x: &Tensor) -> Result<()> {
        x.dims2()?;
        match (self.grid, self.share) {
            (Grid::Ternary, Share::Row | Share::Tile(_) | Share::Block(_)) => {
                bail!("ternary numbers have one scale for a whole matrix")
            }
            (_, Share::Tile(0) | Share::Block(0)) => bail!("a tile of no numbers"),
            _ => Ok(()),
        }
    }
}
