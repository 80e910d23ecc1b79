//! What passes through a model, for tests that watch it.

use candle_core::Tensor;

use super::{Beside, Mixer, Model, Weights};
use crate::error::Result;
use crate::ops::Ops;

impl Model {
    /// The residual stream (B*T, C) after the embedding and after each block, and the logits, of whole windows.
    pub fn activations(
        &self,
        weights: &Weights,
        ids: &Tensor,
        batch: usize,
        time: usize,
        ops: Ops,
    ) -> Result<Vec<Tensor>> {
        let mut all = Vec::new();
        let beside = Beside::default();
        let logits = self.whole(weights, (ids, batch, time), ops, &beside, |x, pass| {
            let mix = &mut |_, mixer: &dyn Mixer, x: &Tensor| mixer.forward(x, pass);
            self.through(pass, mix, &mut |x| all.push(x.clone()))?;
            self.head.logits(x, pass)
        })?;
        all.push(logits);
        Ok(all)
    }
}
