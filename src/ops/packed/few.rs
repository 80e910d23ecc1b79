//! What kernels of any width multiply [sixteen rows side by side](super::interleaved) with.

use super::interleaved::{Interleaved, SIDE};
use super::rounded::SHARED;
use std::arch::x86_64::*;

/// How far ahead of what is multiplied memory is asked for: the processor's own guesses stop at every page.
const AHEAD: usize = 4096;
/// Bytes that memory is read in.
const LINE: usize = 64;

/// Asks for piece `p` of a block some blocks ahead.
#[inline(always)]
pub(super) fn ask_ahead<P: Interleaved>(block: &[u8], p: usize) {
    let lines = (SIDE * P::BYTES / LINE).div_ceil(P::NUMBERS / SHARED);
    for line in p * lines..(p + 1) * lines {
        let at = block.as_ptr().wrapping_add(AHEAD + line * LINE);
        // SAFETY: a hint, which any address may be given to.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
}

/// Rows that kernels multiply.
pub(super) trait Few: Copy {
    /// Rows that are multiplied at once, at most: one, two, four or eight.
    fn most(self) -> usize;
    /// Numbers of all rows.
    fn len(self) -> usize;
    /// Sixteen rows of W with `C` rows from `j` on.
    ///
    /// # Safety
    /// The processor has the instructions, the blocks of `rows` are whole, and there are so many rows of `k` numbers.
    unsafe fn some<P: Interleaved, const C: usize>(
        self,
        rows: &[u8],
        k: usize,
        j: usize,
    ) -> [[f32; SIDE]; C];
}
