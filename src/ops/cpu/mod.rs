//! What operations on a CPU are made of: instruction sets (`isa`), the two types of numbers (`real`), functions compiled for
//! every instruction set (`simd`), rows shared out over threads (`rows`), and products of matrices (`matmul`).

pub(super) mod isa;
pub(super) mod real;
pub(super) mod simd;
pub(super) mod rows;
pub(super) mod matmul;
