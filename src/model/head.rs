//! From the residual stream to logits, and to their loss: a norm, and a product with a row for each token.

use candle_core::Tensor;

use super::norm::Norm;
use super::param::ParamId;
use super::pass::Pass;
use super::work::Work;
use crate::error::Result;

/// A settled head.
pub struct Head {
    /// `None` where the last block ends with one (Vaswani et al. 2017).
    pub(super) norm: Option<Box<dyn Norm>>,
    pub(super) norm_trains: bool,
    /// (V, C): its own, or the token table.
    pub(super) weight: ParamId,
    pub(super) weight_trains: bool,
    /// On logits.
    pub(super) factor: f64,
    /// Logits are kept within this, where it is not 0.
    pub(super) softcap: f64,
    /// Multiply-adds of a token.
    pub(super) multiply_adds: u64,
}

impl Head {
    /// Logits of (N, C): (N, V) of f32.
    ///
    /// # Errors
    /// The operations'.
    pub fn logits(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let (normed, weight) = (self.normed(x_nc, pass)?, &pass.weights[self.weight]);
        let logits = pass.ops.logits(&normed, weight)?;
        if self.softcap > 0.0 {
            Ok(pass.ops.softcap(&logits, self.softcap)?)
        } else {
            Ok(logits)
        }
    }

    /// Mean cross-entropy in nats of (N, C) over N targets of U32; with a coefficient z two numbers, that and z times the mean of
    /// (ln sum exp(logits))^2.
    ///
    /// # Errors
    /// The operations', and where no target is known.
    pub fn loss(&self, x_nc: &Tensor, targets: &Tensor, z: f64, pass: &Pass) -> Result<Tensor> {
        if self.softcap > 0.0 {
            let logits = self.logits(x_nc, pass)?;
            return Ok(pass.ops.cross_entropy(&logits, targets, z)?);
        }
        let (normed, weight) = (self.normed(x_nc, pass)?, &pass.weights[self.weight]);
        Ok(pass.ops.head_loss(&normed, weight, targets, z)?)
    }

    /// What is multiplied: the norm's output, with the multiplier of the logits.
    fn normed(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let normed = match &self.norm {
            Some(norm) => norm.forward(x_nc, pass)?,
            None => x_nc.clone(),
        };
        pass.scaled(normed, self.factor)
    }

    /// What so many rows cost, a gradient of the stream asked for or not.
    pub fn work(&self, rows: u64, learns: bool) -> Work {
        let learns = learns || self.norm_trains;
        Work::of_product(rows * self.multiply_adds, learns, self.weight_trains)
    }
}
