//! What multiplies tiles: the processor's tile unit, its dot products of pairs, or plain code that does what a tile unit does.

use super::emulated;
use super::pack::Factor;
use super::tiles::{Block, CHUNK, Start, Tile, tiles};
#[cfg(target_arch = "x86_64")]
use super::{amx, dot};
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::OnceLock;

/// A unit that this process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit(Kind);

/// Which one it is. Only the constructors of [`Unit`] make one, after they asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Intel's AMX.
    #[cfg(target_arch = "x86_64")]
    Tiles,
    /// AVX512-BF16.
    #[cfg(target_arch = "x86_64")]
    Pairs,
    /// Plain code: for tests.
    Emulated,
}

/// A unit made ready on this thread, until it is dropped; it cannot leave the thread.
pub struct Opened(Kind, PhantomData<*const ()>);

impl Unit {
    /// The processor's tile unit; why not, where there is none or the system does not give it.
    pub fn tiles() -> Result<Self, String> {
        #[cfg(target_arch = "x86_64")]
        {
            static ASKED: OnceLock<Result<(), String>> = OnceLock::new();
            Self::pairs()?;
            ASKED
                .get_or_init(amx::ask)
                .clone()
                .map(|()| Self(Kind::Tiles))
        }
        #[cfg(not(target_arch = "x86_64"))]
        Err("this processor has no tile unit (AMX)".into())
    }

    /// The processor's dot products of pairs.
    pub fn pairs() -> Result<Self, String> {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512bf16")
        {
            return Ok(Self(Kind::Pairs));
        }
        Err("this processor has no arithmetic of bf16 (AMX, or AVX512-BF16)".into())
    }

    /// Plain code that does what a tile unit does, on any processor: for tests.
    pub fn emulated() -> Self {
        Self(Kind::Emulated)
    }

    /// What the unit is called.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Tiles => "amx-bf16",
            #[cfg(target_arch = "x86_64")]
            Kind::Pairs => "avx512-bf16",
            Kind::Emulated => "emulated",
        }
    }

    /// Makes it ready on this thread.
    pub fn open(self) -> Opened {
        #[cfg(target_arch = "x86_64")]
        if self.0 == Kind::Tiles {
            // SAFETY: there is such a value only where the system gave the unit.
            unsafe { amx::open() };
        }
        Opened(self.0, PhantomData)
    }

    /// Packs a share of the inner dimension of some panels, one behind the other. Where outer indices lie beside each other, it goes along
    /// those first: memory is then read in long pieces.
    pub fn pack_panels(
        self,
        factor: &Factor<'_>,
        panels: Range<usize>,
        inner: &Range<usize>,
        out: &mut [Tile],
    ) {
        let each = tiles(inner.len());
        let piece = match factor.inner_is_together() {
            true => inner.len().max(1),
            false => CHUNK,
        };
        for start in inner.clone().step_by(piece) {
            let piece = start..(start + piece).min(inner.end);
            let at = tiles(start - inner.start);
            for (panel, out) in panels.clone().zip(out.chunks_exact_mut(each)) {
                self.pack(factor, panel, &piece, &mut out[at..at + tiles(piece.len())]);
            }
        }
    }

    /// Packs one panel's share of the inner dimension.
    pub fn pack(self, factor: &Factor<'_>, panel: usize, inner: &Range<usize>, out: &mut [Tile]) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: there are such values only where the processor has these instructions.
            Kind::Tiles | Kind::Pairs => unsafe { factor.pack_by_vectors(panel, inner, out) },
            Kind::Emulated => factor.pack(panel, inner, out),
        }
    }
}

impl Opened {
    /// A block's sums over all chunks of a left and a right panel.
    ///
    /// # Safety
    /// The block's 32 rows of 32 numbers can be read and written.
    pub unsafe fn block(&self, left: &[Tile], right: &[Tile], start: Start<'_>, out: Block) {
        assert!(left.len() == right.len() && left.len() >= 2 && left.len().is_multiple_of(2));
        // SAFETY: the panels are equally long, and the block is the caller's; an `Opened` does not
        // leave the thread that made the unit ready.
        unsafe {
            match self.0 {
                #[cfg(target_arch = "x86_64")]
                Kind::Tiles => amx::block(left, right, start, out),
                #[cfg(target_arch = "x86_64")]
                Kind::Pairs => dot::block(left, right, start, out),
                Kind::Emulated => emulated::block(left, right, start, out),
            }
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        #[cfg(target_arch = "x86_64")]
        if self.0 == Kind::Tiles {
            // SAFETY: there is such a value only where the system gave the unit.
            unsafe { amx::close() };
        }
    }
}
