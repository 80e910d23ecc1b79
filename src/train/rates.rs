//! Learning rates by what a parameter is for, the same knobs for every optimizer: factors below `train.optimizer.rates` on
//! `train.optimizer.lr`, over the schedule as it is. All 1 unless a spec says otherwise. Muon's own rate is the matrices'; what it
//! leaves to AdamW has the factors of its roles.

use crate::config::Knobs;
use crate::error::Result;
use crate::model::Role;

/// Factors on the learning rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    embedding: f64,
    head: f64,
    matrix: f64,
    gain: f64,
    bias: f64,
}

impl Rates {
    /// Reads the knobs below `train.optimizer.rates`.
    pub fn settle(knobs: &Knobs) -> Result<Self> {
        let factor = |name| knobs.f64_in(name, 1.0, 0.0, 1e6);
        Ok(Self {
            embedding: factor("embedding")?,
            head: factor("head")?,
            matrix: factor("matrix")?,
            gain: factor("gain")?,
            bias: factor("bias")?,
        })
    }

    /// Of a role. A tied head is the token table, an embedding.
    pub fn of(&self, role: Role) -> f64 {
        match role {
            Role::Embedding => self.embedding,
            Role::Head => self.head,
            Role::Matrix => self.matrix,
            Role::Gain => self.gain,
            Role::Bias => self.bias,
        }
    }
}
