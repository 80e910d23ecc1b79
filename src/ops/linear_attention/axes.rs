//! How the input of linear attention is laid out, and how many products it takes.

use candle_core::{Result, Tensor, bail};
use std::ops::Range;

/// What a state loses between two tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decay {
    /// Nothing.
    None,
    /// One factor for a head.
    Head,
    /// One factor for each number of a key.
    Channel,
}

/// What queries and keys go through first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Features {
    /// Nothing.
    Plain,
    /// `x / sqrt(x . x + 1e-6)`: unit length.
    Unit,
    /// `elu(x) + 1`, which is positive (Katharopoulos et al. 2020, arXiv:2006.16236, eq. 7).
    Elu,
}

/// The axes of the packed input: rows are batch x time, each row is `[queries | keys | values]`, head by head. Beside it lie the
/// gates, rows of `[ln of the decays | write gates]`, where there are such.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearAxes {
    /// Windows.
    pub batch: usize,
    /// Tokens in a window.
    pub time: usize,
    /// Heads of values, each with a state.
    pub heads: usize,
    /// Heads of queries and of keys; divides `heads`.
    pub key_heads: usize,
    /// Numbers of a query or key.
    pub key_width: usize,
    /// Numbers of a value.
    pub value_width: usize,
    /// What a state loses.
    pub decay: Decay,
    /// Whether a token writes what the state does not hold yet: the delta rule.
    pub delta: bool,
    /// Whether there are write gates.
    pub writes: bool,
    /// What queries and keys go through first.
    pub features: Features,
    /// What queries are multiplied by after that.
    pub scale: f64,
    /// Tokens that are computed at once.
    pub chunk: usize,
}

impl LinearAxes {
    /// Rows: batch x time.
    pub fn rows(&self) -> usize {
        self.batch * self.time
    }

    /// Width of the packed input.
    pub fn packed_width(&self) -> usize {
        2 * self.key_heads * self.key_width + self.width()
    }

    /// Width of the output, and of all values.
    pub fn width(&self) -> usize {
        self.heads * self.value_width
    }

    /// Factors of a head's decay.
    pub fn decay_width(&self) -> usize {
        match self.decay {
            Decay::None => 0,
            Decay::Head => 1,
            Decay::Channel => self.key_width,
        }
    }

    /// Width of the gates.
    pub fn gates_width(&self) -> usize {
        self.heads * (self.decay_width() + usize::from(self.writes))
    }

    /// Numbers of a head's state.
    pub fn state(&self) -> usize {
        self.key_width * self.value_width
    }

    /// Chunks of a window.
    pub(super) fn chunks(&self) -> impl DoubleEndedIterator<Item = (usize, Range<usize>)> {
        let Self { time, chunk, .. } = *self;
        (0..time.div_ceil(chunk)).map(move |i| (i, i * chunk..((i + 1) * chunk).min(time)))
    }

    pub(super) fn check(
        &self,
        qkv: &Tensor,
        gates: Option<&Tensor>,
        skip: Option<&Tensor>,
    ) -> Result<()> {
        if qkv.dims() != [self.rows(), self.packed_width()] {
            bail!(
                "packed queries, keys and values of {self:?} cannot have the shape {:?}",
                qkv.shape()
            );
        }
        let wanted = (self.gates_width() > 0).then(|| vec![self.rows(), self.gates_width()]);
        if gates.map(|gates| gates.dims().to_vec()) != wanted {
            let given = gates.map(Tensor::shape);
            bail!("the gates of {self:?} cannot have the shape {given:?}");
        }
        if let Some(skip) = skip.filter(|skip| skip.dims() != [self.heads]) {
            bail!(
                "{:?} is not a factor for each of {} heads",
                skip.shape(),
                self.heads
            );
        }
        if self.key_heads == 0 || !self.heads.is_multiple_of(self.key_heads) {
            bail!(
                "{} key heads do not divide {} heads",
                self.key_heads,
                self.heads
            );
        }
        if self.chunk == 0 {
            bail!("a chunk of no token");
        }
        Ok(())
    }
}

/// Multiply-adds of one head and window that matrix products take, with the pairs of tokens that a mask leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Products {
    /// Forwards.
    pub forward: u64,
    /// Backwards, with what is computed again.
    pub backward: u64,
    /// Forwards if no mask left anything out.
    pub square: u64,
}

impl LinearAxes {
    /// Products of a whole window of so many tokens.
    pub fn products(&self, time: usize) -> Products {
        self.in_chunks(time, false)
    }

    /// Products of so many new tokens where the state of others goes in and one comes out.
    pub fn products_after(&self, new: usize) -> Products {
        if new == 1 {
            // Token by token: a read, a write, and what the delta rule reads before.
            let forward = (2 + u64::from(self.delta)) * self.state() as u64;
            return Products {
                forward,
                backward: 0,
                square: forward,
            };
        }
        self.in_chunks(new, true)
    }

    fn in_chunks(&self, time: usize, beside: bool) -> Products {
        let (dk, dv) = (self.key_width as u64, self.value_width as u64);
        let mut sum = Products {
            forward: 0,
            backward: 0,
            square: 0,
        };
        let of_window = Self { time, ..*self };
        for (_, times) in of_window.chunks() {
            let n = times.len() as u64;
            let (begun, ends) = (beside || times.start > 0, beside || times.end < time);
            let (begun, ends) = (u64::from(begun), u64::from(ends));
            let (pairs, strict, state) = (n * (n + 1) / 2, n * (n - 1) / 2, n * dk * dv);
            sum.forward += pairs * (dk + dv) + (begun + ends) * state;
            sum.square += n * n * (dk + dv) + (begun + ends) * state;
            sum.backward += pairs * (3 * dk + 2 * dv) + 2 * (begun + ends) * state;
            if self.delta {
                sum.forward += strict * (dk + dv) + begun * state;
                sum.square += n * n * (dk + dv) + begun * state;
                sum.backward += strict * (3 * dk + 2 * dv) + 2 * begun * state;
            }
        }
        sum
    }
}
