//! Gradients as plain tensors in the parameters' order: taken from the tape, summed over the parts of a batch, and their norm,
//! by sums whose order never changes.

use candle_core::{CpuStorage, Device, Storage, Tensor};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::model::{Decl, Weights};
use crate::ops::{Gradients, Ops};

/// Scalars summed in one go: fixed, so that the sum does not depend on the number of threads.
const CHUNK: usize = 4096;

/// The gradient of the loss by every parameter that trains.
#[derive(Debug)]
pub struct Gradient {
    /// In their order, each contiguous.
    pub tensors: Vec<Tensor>,
    /// 2-norm over all of them.
    pub norm: f64,
}

/// Takes the gradient of every parameter that trains; detached, so that no activation stays alive behind it.
pub fn take(gradients: &mut Gradients, decls: &[Decl], weights: &Weights) -> Result<Vec<Tensor>> {
    let of = |(decl, weight): (&Decl, &Tensor)| {
        let grad = gradients.take(weight);
        let grad = grad.ok_or_else(|| {
            Error::internal(format!("{} has no gradient: the graph is cut", decl.name))
        })?;
        Ok(grad.detach().contiguous()?)
    };
    let all = decls
        .iter()
        .zip(weights.all())
        .filter(|(decl, _)| decl.trains)
        .map(of)
        .collect::<Result<_>>()?;
    if !gradients.is_empty() {
        return Err(Error::internal(
            "a gradient is left over: something was recorded on another tape",
        ));
    }
    Ok(all)
}

/// The sum over the parts of a batch, each with one tensor per parameter.
pub fn sum(mut parts: Vec<Vec<Tensor>>, ops: Ops) -> Result<Gradient> {
    if let (Some(gpu), [only]) = (ops.gpu(), parts.as_mut_slice()) {
        let tensors = std::mem::take(only);
        return Ok(Gradient {
            norm: gpu.square_sum(&tensors)?.sqrt(),
            tensors,
        });
    }
    let mut tensors = Vec::with_capacity(parts.first().map_or(0, Vec::len));
    let mut squares = 0.0;
    let mut parts: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
    loop {
        // What is summed up is freed before the next parameter's turn.
        let of_parts: Vec<Tensor> = parts.iter_mut().filter_map(Iterator::next).collect();
        let Some(first) = of_parts.first() else { break };
        let on_cpu = matches!(first.device(), Device::Cpu);
        let (sum, square) = if on_cpu {
            sum_on_cpu(&of_parts)?
        } else {
            sum_by_candle(&of_parts)?
        };
        squares += square;
        tensors.push(sum);
    }
    Ok(Gradient {
        tensors,
        norm: squares.sqrt(),
    })
}

/// Sum and sum of squares by candle, on any device.
fn sum_by_candle(parts: &[Tensor]) -> Result<(Tensor, f64)> {
    let mut sum = parts[0].clone();
    for part in &parts[1..] {
        sum = (sum + part)?;
    }
    let squares = f64::from(sum.sqr()?.sum_all()?.to_scalar::<f32>()?);
    Ok((sum, squares))
}

/// Sum and sum of squares in one pass on the CPU.
fn sum_on_cpu(parts: &[Tensor]) -> Result<(Tensor, f64)> {
    let held: Vec<_> = parts.iter().map(Tensor::storage_and_layout).collect();
    let slices =
        held.iter().map(
            |(storage, layout)| match (&**storage, layout.contiguous_offsets()) {
                (Storage::Cpu(CpuStorage::F32(values)), Some((from, to))) => Ok(&values[from..to]),
                _ => Err(Error::internal(
                    "a gradient that is not a contiguous f32 tensor on the CPU",
                )),
            },
        );
    let slices = slices.collect::<Result<Vec<&[f32]>>>()?;
    let squares = |chunk: &[f32]| {
        chunk
            .iter()
            .map(|&g| f64::from(g) * f64::from(g))
            .sum::<f64>()
    };
    if let [only] = slices.as_slice() {
        let partial: Vec<f64> = only.par_chunks(CHUNK).map(squares).collect();
        return Ok((parts[0].clone(), partial.iter().sum()));
    }
    let mut sum = vec![0f32; slices[0].len()];
    let sum_chunk = |(i, sum): (usize, &mut [f32])| {
        for part in &slices {
            sum.iter_mut()
                .zip(&part[i * CHUNK..])
                .for_each(|(sum, &g)| *sum += g);
        }
        squares(sum)
    };
    let partial: Vec<f64> = sum
        .par_chunks_mut(CHUNK)
        .enumerate()
        .map(sum_chunk)
        .collect();
    Ok((
        Tensor::from_vec(sum, parts[0].shape(), &Device::Cpu)?,
        partial.iter().sum(),
    ))
}
