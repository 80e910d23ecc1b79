//! How attention's input is laid out.

use candle_core::{Result, Tensor, bail};

/// The axes of attention's packed input: rows are batch x time, each row is `[queries | keys | values]`, head by head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axes {
    /// Windows.
    pub batch: usize,
    /// Tokens in a window.
    pub time: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads` (grouped-query attention where it is less).
    pub kv_heads: usize,
    /// Numbers in a head of queries or keys.
    pub head_width: usize,
    /// Numbers in a head of values; `None` is as many as in one of queries.
    pub value_width: Option<usize>,
    /// What scores are multiplied by; `None` is 1 / sqrt(D).
    pub scale: Option<f64>,
    /// How many tokens a query sees, itself among them; `None` is all up to itself.
    pub window: Option<usize>,
}

impl Axes {
    /// Rows of the packed input: batch x time.
    pub fn rows(&self) -> usize {
        self.batch * self.time
    }

    /// Numbers in a head of values, and of the output.
    pub fn of_values(&self) -> usize {
        self.value_width.unwrap_or(self.head_width)
    }

    /// Where values begin in a row of the packed input: behind (heads + kv_heads) x head_width numbers.
    pub fn before_values(&self) -> usize {
        (self.heads + self.kv_heads) * self.head_width
    }

    /// Width of the packed input: queries, keys and values.
    pub fn packed_width(&self) -> usize {
        self.before_values() + self.kv_heads * self.of_values()
    }

    /// Width of the output: a head of values for each of queries.
    pub fn width(&self) -> usize {
        self.heads * self.of_values()
    }

    /// The first key that a query at this place sees.
    pub(super) fn first_seen(&self, query: usize) -> usize {
        self.window
            .map_or(0, |window| (query + 1).saturating_sub(window))
    }

    /// The window as kernels take it: the largest number where there is none.
    pub(super) fn window_or_all(&self) -> i32 {
        let window = self.window.map(i32::try_from);
        window.and_then(|window| window.ok()).unwrap_or(i32::MAX)
    }

    /// Refuses values of another width than keys, for operations that take heads of one width.
    pub(super) fn of_one_width(&self) -> Result<()> {
        if self.of_values() != self.head_width {
            bail!("heads of {self:?} are not of one width");
        }
        Ok(())
    }

    /// What scores are multiplied by.
    pub(super) fn score_scale(&self) -> f64 {
        self.scale
            .unwrap_or_else(|| (self.head_width as f64).powf(-0.5))
    }

    pub(super) fn check(&self, qkv: &Tensor) -> Result<()> {
        if qkv.dims() != [self.rows(), self.packed_width()] {
            bail!(
                "packed queries, keys and values of {self:?} cannot have the shape {:?}",
                qkv.shape()
            );
        }
        if self.kv_heads == 0 || !self.heads.is_multiple_of(self.kv_heads) {
            bail!(
                "{} key heads do not divide {} query heads",
                self.kv_heads,
                self.heads
            );
        }
        if self.window == Some(0) {
            bail!("a window of no token: a query sees at least itself");
        }
        Ok(())
    }
}
