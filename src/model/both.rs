//! The same windows with two sets of weights, side by side: what rounding does to every distribution.

use std::ops::Range;

use candle_core::Tensor;

use super::Model;
use super::beside::Beside;
use super::param::Weights;
use crate::error::Result;
use crate::ops::Ops;

impl Model {
    /// Logits of whole windows by the first weights and by the second, some rows at a time, at most so many logits of each at once:
    /// `each` gets the rows and both, (N, V).
    ///
    /// # Errors
    /// The operations', and those of `each`.
    pub fn logits_of_both(
        &self,
        [first, second]: [&Weights; 2],
        given: (&Tensor, usize, usize),
        at_once: usize,
        ops: Ops,
        each: &mut dyn FnMut(Range<usize>, [&Tensor; 2]) -> Result<()>,
    ) -> Result<()> {
        let (step, beside) = (self.rows_at_once(at_once), Beside::default());
        self.whole(first, given, ops, &beside, |x, of_first| {
            self.whole(second, given, ops, &beside, |y, of_second| {
                let rows = x.dim(0)?;
                for from in (0..rows).step_by(step) {
                    let some = from..(from + step).min(rows);
                    let x = x.narrow(0, from, some.len())?;
                    let y = y.narrow(0, from, some.len())?;
                    let (a, b) = (
                        self.head.logits(&x, of_first)?,
                        self.head.logits(&y, of_second)?,
                    );
                    each(some, [&a, &b])?;
                }
                Ok(())
            })
        })
    }
}
