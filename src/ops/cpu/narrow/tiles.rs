//! Tiles: how factors lie in memory for a unit that multiplies 16 x 32 numbers of bf16 by 32 x 16 at once.
//!
//! A tile is 16 rows of 16 pairs. Of a left factor a row is a row of the matrix, and a pair two numbers of it that lie beside each
//! other; of a right factor a row is two rows of the matrix, and a pair the numbers of both in one column (Intel's VNNI order). Two
//! tiles beside each other, 32 rows or columns, are a panel's chunk; a panel is all chunks along the inner dimension.

/// Rows of a tile, and pairs of a row.
pub const SIDE: usize = 16;
/// Rows of a left panel, columns of a right one.
pub const PANEL: usize = 2 * SIDE;
/// Numbers of a tile along the inner dimension.
pub const CHUNK: usize = 2 * SIDE;

/// 16 rows of 16 pairs of bf16, the first of a pair in the lower half.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Tile(pub [u32; SIDE * SIDE]);

impl Tile {
    pub const ZERO: Self = Self([0; SIDE * SIDE]);
}

/// Tiles of a panel over so many inner numbers.
pub fn tiles(inner: usize) -> usize {
    2 * inner.div_ceil(CHUNK)
}

/// Where the 32 x 32 sums of a block begin.
#[derive(Clone, Copy)]
pub enum Start<'a> {
    /// At 0.
    Zero,
    /// At what is there.
    There,
    /// Every row at this one.
    Row(&'a [f32; PANEL]),
}

/// 32 x 32 numbers, rows `stride` numbers apart.
#[derive(Clone, Copy)]
pub struct Block {
    pub start: *mut f32,
    pub stride: usize,
}
