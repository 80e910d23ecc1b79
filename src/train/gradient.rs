//! Gradients as plain tensors in the parameters' order, and their norm by a sum whose order never changes.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::model::{Decl, Weights};
use crate::ops::Gradients;

/// Scalars summed in one go: fixed, so that the sum does not depend on the number of threads.
const CHUNK: usize = 4096;

/// Takes every parameter's gradient; detached, so that no activation stays alive behind it.
pub fn take(gradients: &mut Gradients, decls: &[Decl], weights: &Weights) -> Result<Vec<Tensor>> {
    let of = |(decl, weight): (&Decl, &Tensor)| {
        let grad = gradients.take(weight);
        let grad = grad.ok_or_else(|| Error::internal(format!("{} has no gradient: the graph is cut", decl.name)))?;
        Ok(grad.detach().contiguous()?)
    };
    decls.iter().zip(weights.all()).map(of).collect()
}

/// Adds the gradients of another part of the batch.
pub fn add(sum: &mut [Tensor], part: Vec<Tensor>) -> Result<()> {
    for (sum, part) in sum.iter_mut().zip(part) {
        *sum = (&*sum + part)?;
    }
    Ok(())
}

/// 2-norm over all gradients.
pub fn norm(grads: &[Tensor]) -> Result<f64> {
    let mut sum = 0.0;
    for grad in grads {
        sum += sum_of_squares(grad)?;
    }
    Ok(sum.sqrt())
}

fn sum_of_squares(grad: &Tensor) -> Result<f64> {
    if !matches!(grad.device(), Device::Cpu) {
        return Ok(f64::from(grad.sqr()?.sum_all()?.to_scalar::<f32>()?));
    }
    let (storage, layout) = grad.storage_and_layout();
    let candle_core::Storage::Cpu(storage) = &*storage else {
        return Err(Error::internal("a CPU tensor without CPU storage"));
    };
    let all = storage.as_slice::<f32>()?;
    let values = &all[layout.start_offset()..layout.start_offset() + layout.shape().elem_count()];
    let chunk_sum = |chunk: &[f32]| chunk.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>();
    let partial: Vec<f64> = values.par_chunks(CHUNK).map(chunk_sum).collect();
    Ok(partial.iter().sum())
}
