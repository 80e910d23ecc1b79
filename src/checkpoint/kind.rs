//! How numbers are written in files of weights.

/// A way to write numbers, in blocks of some (`ggml-common.h`, `safetensors`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// As people call it: `Q4_K`.
    pub name: &'static str,
    /// Its number in GGUF; none where only safetensors have it.
    pub ggml: Option<u32>,
    /// Numbers in a block.
    pub block: usize,
    /// Bytes of a block.
    pub bytes: usize,
}

const fn kind(name: &'static str, ggml: u32, block: usize, bytes: usize) -> Kind {
    Kind {
        name,
        ggml: Some(ggml),
        block,
        bytes,
    }
}

/// Those that can be read.
pub const KINDS: [Kind; 15] = [
    kind("F32", 0, 1, 4),
    kind("F16", 1, 1, 2),
    kind("Q4_0", 2, 32, 18),
    kind("Q4_1", 3, 32, 20),
    kind("Q5_0", 6, 32, 22),
    kind("Q5_1", 7, 32, 24),
    kind("Q8_0", 8, 32, 34),
    kind("Q8_1", 9, 32, 36),
    kind("Q2_K", 10, 256, 84),
    kind("Q3_K", 11, 256, 110),
    kind("Q4_K", 12, 256, 144),
    kind("Q5_K", 13, 256, 176),
    kind("Q6_K", 14, 256, 210),
    kind("Q8_K", 15, 256, 292),
    kind("BF16", 30, 1, 2),
];

impl Kind {
    /// By its number in GGUF.
    pub fn of_ggml(number: u32) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.ggml == Some(number))
    }

    /// By its name; safetensors spell theirs alike.
    pub fn of_name(name: &str) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.name == name)
    }

    /// Bytes of a tensor whose last axis, the length of a row, is whole blocks; `None` where it is not, or they are too many.
    pub fn bytes_of(self, shape: &[usize]) -> Option<u64> {
        let row = shape.last().copied().unwrap_or(1);
        if !row.is_multiple_of(self.block) {
            return None;
        }
        let count = shape
            .iter()
            .try_fold(1_u64, |n, &d| n.checked_mul(d as u64))?;
        (count / self.block as u64).checked_mul(self.bytes as u64)
    }
}
