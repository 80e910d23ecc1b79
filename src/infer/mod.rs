//! Inference: evaluation without a graph, prefill and decode with a cache, sampling.

use candle_core::{DType, Device, Tensor};

use crate::data::Batch;
use crate::error::Result;
use crate::model::{Beside, Cache, Mark, Model, Weights};
use crate::ops::{Ops, TokenLoss};

pub mod sampling;
mod samples;
mod drafter;
pub mod speculative;

pub use drafter::{Drafter, Drafting, Lookup};
pub use samples::answers;
pub use sampling::Sampling;
pub use speculative::Speculative;

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

/// Tokens of a text that go through a model at once where nothing is asked of them.
const FED_AT_ONCE: usize = 512;

/// What other weights make of a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    /// By the other weights.
    pub scored: TokenLoss,
    /// Kullback-Leibler divergence of the other distribution from the first, `sum p (ln p - ln q)` with p the first, in nats.
    pub kl_nats: f64,
    /// Whether both rank the same token first.
    pub same_first: bool,
}

/// Scores every target of a batch with the second weights, and holds their distributions against the first's; ignored targets get
/// `None`.
///
/// # Errors
/// The operations'.
pub fn compare(
    model: &Model,
    weights: [&Weights; 2],
    batch: &Batch,
    ops: Ops,
    device: &Device,
) -> Result<Vec<Option<Compared>>> {
    let ids = Tensor::from_slice(&batch.inputs, batch.inputs.len(), device)?;
    let given = (&ids, batch.rows, batch.context);
    let mut compared = Vec::with_capacity(batch.targets.len());
    model.logits_of_both(weights, given, LOGITS_AT_ONCE, ops, &mut |rows, [a, b]| {
        let targets = &batch.targets[rows];
        let targets = Tensor::from_slice(targets, targets.len(), device)?;
        let scored = ops.cross_entropy_rows(b, &targets)?;
        let numbers = |logits: &Tensor| logits.to_dtype(DType::F32)?.to_vec2::<f32>();
        let (p, q) = (numbers(a)?, numbers(b)?);
        let rows = scored.into_iter().zip(p.iter().zip(&q));
        compared.extend(rows.map(|(scored, (p, q))| {
            scored.map(|scored| Compared {
                scored,
                kl_nats: divergence(p, q),
                same_first: sampling::likeliest(p) == sampling::likeliest(q),
            })
        }));
        Ok(())
    })?;
    Ok(compared)
}

/// `sum p (ln p - ln q)` of the distributions that two rows of logits stand for.
fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let ln_sum = |logits: &[f32]| {
        let top = logits.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
        let sum: f64 = logits.iter().map(|&x| f64::from(x - top).exp()).sum();
        f64::from(top) + sum.ln()
    };
    let (of_p, of_q) = (ln_sum(p), ln_sum(q));
    let each = p.iter().zip(q).map(|(&p, &q)| {
        let ln_p = f64::from(p) - of_p;
        ln_p.exp() * (ln_p - (f64::from(q) - of_q))
    });
    each.sum()
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
    /// An empty cache for `batch` windows as long as the model's.
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
            cache: model.cache(batch, model.shape.context),
        }
    }

    /// The same with a cache that has seen something.
    #[must_use]
    pub fn with(self, cache: Cache) -> Self {
        Self { cache, ..self }
    }

    /// What it has seen.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// What it has seen, for others to go on from.
    pub fn into_cache(self) -> Cache {
        self.cache
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

    /// Takes in a text of any length of the only window, some tokens at a time, whose logits nobody asks for.
    ///
    /// # Errors
    /// The operations'.
    pub fn feed_long(&mut self, ids: &[u32]) -> Result<()> {
        ids.chunks(FED_AT_ONCE)
            .try_for_each(|ids| self.feed(ids).map(drop))
    }

    /// The same of the only window, and the logits (T, V) after each of the T tokens.
    ///
    /// # Errors
    /// The operations'.
    pub fn feed_all(&mut self, ids: &[u32]) -> Result<Tensor> {
        let ids = Tensor::from_slice(ids, ids.len(), self.device)?;
        let logits = self
            .model
            .advance_all(self.weights, &ids, &mut self.cache, self.ops)?;
        self.device.synchronize()?;
        Ok(logits)
    }

    /// Where it is, to go back to.
    ///
    /// # Errors
    /// The device's.
    pub fn mark(&self) -> Result<Mark> {
        self.cache.mark()
    }

    /// Forgets all but `seen` tokens, or to the mark where a layer can go back no other way; how many it has seen then.
    pub fn back(&mut self, mark: Mark, seen: usize) -> usize {
        self.cache.back(mark, seen);
        self.cache.seen()
    }

    /// The same generator with each of its windows `times` over: their prompts are fed once, whatever follows them.
    pub fn repeated(&self, times: usize) -> Result<Self> {
        Ok(Self {
            cache: self.cache.repeated(times)?,
            ..*self
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_divergence_is_that_of_the_distributions() {
        // p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2): 1/2 ln 2 - 1/4 ln 2; a constant on all logits changes nothing.
        let ln = |p: [f32; 3], by: f32| p.map(|p| p.ln() + by);
        let (p, q) = (ln([0.5, 0.25, 0.25], 3.0), ln([0.25, 0.25, 0.5], -90.0));
        let quarter = std::f64::consts::LN_2 / 4.0;
        assert!((divergence(&p, &q) - quarter).abs() < 1e-6);
        assert!(divergence(&p, &ln([0.5, 0.25, 0.25], 7.0)).abs() < 1e-6);
    }
}
