//! Learning rates by what a parameter is for, the same knobs for every optimizer: factors below `train.optimizer.rates` on
//! `train.optimizer.lr`, over the schedule as it is. All 1 unless a spec says otherwise. Muon's own rate is the matrices'; what it
//! leaves to AdamW has the factors of its roles.

use crate::config::knob::Number;
use crate::config::{Knob, Section, Spec};
use crate::error::Result;
use crate::model::Role;

const fn factor(name: &'static str, about: &'static str) -> Knob<Number> {
    Knob::number(name, about).within(0.0, 1e6).default(1.0)
}

const EMBEDDING: Knob<Number> = factor(
    "embedding",
    "Factor on the learning rate of the token table, and of learned positions.",
);
const HEAD: Knob<Number> = factor(
    "head",
    "Factor on the learning rate of a head that is not tied.",
);
const MATRIX: Knob<Number> = factor(
    "matrix",
    "Factor on the learning rate of matrices inside blocks.",
);
const GAIN: Knob<Number> = factor("gain", "Factor on the learning rate of norms' gains.");
const BIAS: Knob<Number> = factor("bias", "Factor on the learning rate of biases.");

/// `train.optimizer.rates.*`
pub const RATES: Section = Section {
    path: "train.optimizer.rates",
    knobs: &[&EMBEDDING, &HEAD, &MATRIX, &GAIN, &BIAS],
};

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
    /// Reads the keys below `train.optimizer.rates`.
    pub fn settle(spec: &Spec) -> Result<Self> {
        let knobs = spec.at(&RATES);
        Ok(Self {
            embedding: knobs.read(&EMBEDDING)?,
            head: knobs.read(&HEAD)?,
            matrix: knobs.read(&MATRIX)?,
            gain: knobs.read(&GAIN)?,
            bias: knobs.read(&BIAS)?,
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
