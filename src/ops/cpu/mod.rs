//! What operations on a CPU are made of: instruction sets (`isa`), the two types of numbers (`real`), functions compiled for
//! every instruction set (`simd`), rows shared out over threads (`rows`), products of matrices
//! (`matmul`; of factors rounded to bf16 `narrow`, which of both `factors`) and of a few rows with many (`tile`).

pub(super) mod isa;
pub(super) mod real;
pub(super) mod simd;
pub(super) mod rows;
pub(super) mod matmul;
#[cfg(target_arch = "x86_64")]
pub(super) mod transpose;
pub(super) mod narrow;
pub(super) mod factors;
pub(super) mod tile;
