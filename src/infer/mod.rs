//! Inference: evaluation without a graph, prefill and decode with a cache, sampling.

use candle_core::{Device, Tensor};

use crate::data::Batch;
use crate::error::Result;
use crate::model::{Beside, Cache, Model, Weights};
use crate::ops::{Ops, TokenLoss};

pub mod sampling;

pub use sampling::Sampling;

/// Logits that an evaluation holds at once: of a large vocabulary those of a whole batch are more than all else.
const LOGITS_AT_ONCE: usize = 1 << 22;

/// Scores every target of a batch, in order; ignored targets get `None`. What parts tell is left in `beside`. No graph is built.
pub fn evaluate(
    model: &Model,
    weights: &Weights,
    batch: &Batch,
    ops: Ops,
    device: &Device,
    beside: &Beside,
) -> Result<Vec<Option<TokenLoss>>> {
    let ids = Tensor::from_slice(&batch.inputs, batch.inputs.len(), device)?;
    let mut scored = Vec::with_capacity(batch.targets.len());
    model.logits_by_rows(
        weights,
        (&ids, batch.rows, batch.context),
        LOGITS_AT_ONCE,
        ops,
        beside,
        &mut |rows, logits| {
            let targets = &batch.targets[rows];
            let targets = Tensor::from_slice(targets, targets.len(), device)?;
            scored.extend(ops.cross_entropy_rows(logits, &targets)?);
            Ok(())
        },
    )?;
    Ok(scored)
}

/// Generates for `batch` windows at once.
pub struct Generator<'a> {
    model: &'a Model,
    weights: &'a Weights,
    ops: Ops<'a>,
    device: &'a Device,
    cache: Cache,
}

impl<'a> Generator<'a> {
    /// An empty cache for `batch` windows.
    pub fn new(
        model: &'a Model,
        weights: &'a Weights,
        ops: Ops<'a>,
        device: &'a Device,
        batch: usize,
    ) -> Self {
        Self {
            model,
            weights,
            ops,
            device,
            cache: model.cache(batch),
        }
    }

    /// What it has seen.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Feeds the next tokens of every window (row-major) and returns the logits (B, V) after the last.
    pub fn feed(&mut self, ids: &[u32]) -> Result<Tensor> {
        let ids = Tensor::from_slice(ids, ids.len(), self.device)?;
        let logits = self
            .model
            .advance(self.weights, &ids, &mut self.cache, self.ops)?;
        self.device.synchronize()?;
        Ok(logits)
    }

    /// Feeds a prompt, then samples `count` tokens for every window: `count` rows of B tokens.
    pub fn generate(
        &mut self,
        prompt: &[u32],
        count: usize,
        sampling: &mut Sampling,
    ) -> Result<Vec<Vec<u32>>> {
        let mut logits = self.feed(prompt)?;
        let mut rows = Vec::with_capacity(count);
        for k in 0..count {
            let tokens = sampling.pick(&logits)?;
            if k + 1 < count {
                logits = self.feed(&tokens)?;
            }
            rows.push(tokens);
        }
        Ok(rows)
    }
}
