//! Labels that a model draws for itself: what an optimizer that measures curvature takes gradients at (Gauss-Newton-Bartlett, Liu et
//! al. 2023, arXiv 2305.14342, algorithm 2).

use candle_core::{DType, Device, Tensor};

use crate::data::{Batch, IGNORE};
use crate::error::Result;
use crate::model::{Beside, Model, Params};
use crate::ops::Ops;
use crate::stream::stream;

/// Logits in memory at once.
const AT_ONCE: usize = 1 << 24;

/// The batch with every target that is asked for drawn from what the model says there. Draws are a stream of the seed's and the
/// step's, one number a place in order.
///
/// # Errors
/// The operations'.
pub fn labels(
    (model, params): (&Model, &Params),
    batch: &Batch,
    (seed, step): (u64, u64),
    ops: Ops,
    device: &Device,
) -> Result<Batch> {
    let ids = Tensor::from_slice(&batch.inputs, batch.inputs.len(), device)?;
    let mut draws = stream("train/probe", seed, step);
    let mut targets = batch.targets.clone();
    let windows = (&ids, batch.rows, batch.context);
    let weights = params.detached();
    let beside = Beside::default();
    model.logits_by_rows(
        &weights,
        windows,
        AT_ONCE,
        ops,
        &beside,
        &mut |rows, logits| {
            let logits = logits.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
            let logits: Vec<Vec<f32>> = logits.to_vec2()?;
            for (target, logits) in targets[rows].iter_mut().zip(&logits) {
                let draw = draws.uniform();
                if *target != IGNORE {
                    *target = drawn(logits, draw) as u32;
                }
            }
            Ok(())
        },
    )?;
    Ok(Batch {
        targets,
        ..batch.clone()
    })
}

/// The place where the softmax's sum passes a share of the whole.
fn drawn(logits: &[f32], share: f64) -> usize {
    let largest = logits.iter().fold(f32::MIN, |a, &b| a.max(b));
    let weight = |logit: &f32| f64::from(logit - largest).exp();
    let mut left = share * logits.iter().map(weight).sum::<f64>();
    let passes = |logit: &f32| {
        left -= weight(logit);
        left < 0.0
    };
    let place = logits.iter().position(passes);
    place.unwrap_or(logits.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_drawn_by_their_shares() {
        let logits = [0.0, 1.0_f32.exp().ln(), f32::MIN, 3.0_f32.ln()];
        let all = 1.0 + 1.0_f64.exp() + 3.0;
        let at = |share: f64| drawn(&logits, share);
        assert_eq!(at(0.0), 0);
        assert_eq!(at(0.999 / all), 0);
        assert_eq!(at(1.001 / all), 1);
        assert_eq!(at((1.0 + 1.0_f64.exp()) / all - 1e-6), 1);
        assert_eq!(at((1.0 + 1.0_f64.exp()) / all + 1e-6), 3);
        assert_eq!(at(1.0 - 1e-16), 3);
    }
}
