//! Operations: their gradients, their reference, their bits, and a GPU's.

use candle_core::{Tensor, bail};

use crate::config::Broken;
use crate::ops::{Op, Ops, check};

/// The rules that an operation breaks on inputs of these shapes, which should be tiny: finite differences run it twice for each
/// number of its inputs.
///
/// Its gradients are those of finite differences in f64; output and gradients are those of its reference, the same to the bit on
/// one thread and on two, and, where it has kernels and this machine a C++ compiler, those of an emulated GPU in f32 and in bf16.
pub fn op<const N: usize>(op: &impl Op<N>, shapes: [&[usize]; N]) -> Vec<Broken> {
    let run = |ops: Ops, inputs: &[Tensor]| {
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        match inputs.try_into() {
            Ok(inputs) => ops.run(op.clone(), inputs),
            Err(_) => bail!("an operation of {N} tensors"),
        }
    };
    check::broken(&shapes, &run)
}
