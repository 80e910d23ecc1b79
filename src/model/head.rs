//! From the residual stream to logits, and to their loss: a norm, and a product with a row for each token.

use candle_core::Tensor;

use super::build::Chosen;
use super::filling::Filling;
use super::norm::Norm;
use super::param::{Declare, Init, ParamId, Part, Role};
use super::pass::Pass;
use super::scaling::Place;
use super::shape::Shape;
use super::work::Work;
use crate::config::knob::{Flag, Number};
use crate::config::{Knob, Section, Spec};
use crate::error::Result;

const TIED: Knob<Flag> = Knob::flag(
    "tied",
    "Whether the head is the token table, or a matrix of its own.",
)
.default(true);
const ZERO_INIT: Knob<Flag> = Knob::flag(
    "zero_init",
    "Whether a head of its own starts at 0, so that every token is as likely; a tied one cannot: the token table would be 0.",
)
.follows("model.zero_init, of a head that is not tied");
const SOFTCAP: Knob<Number> = Knob::number(
    "softcap",
    "Logits are squeezed into plus and minus this by a tanh; 0 is off.",
)
.within(0.0, 1e6)
.default(0.0);

/// `model.head.*`
pub(super) const HEAD: Section = Section {
    path: "model.head",
    knobs: &[&TIED, &ZERO_INIT, &SOFTCAP],
};

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
    /// The last norm and the product that makes logits, with the token table where the head is tied to it.
    pub(super) fn settle<'a>(
        spec: &Spec<'a>,
        outside: &Filling<'a>,
        ends_in_norm: bool,
        (shape, tokens): (&Shape, ParamId),
        declare: &mut Declare,
    ) -> Result<Self> {
        let scaling = &shape.scaling;
        declare.enter("final_norm", Part::Norm, scaling, Place::Outside);
        let from = declare.count();
        let Chosen { kind, site } = &outside.norm;
        let norm = ends_in_norm.then(|| kind.settle(site, shape.width, declare));
        let norm = norm.transpose()?;
        let norm_trains = declare.any_trains(from);
        let knobs = spec.at(&HEAD);
        declare.enter("head", Part::Head, scaling, Place::Outside);
        let tied = knobs.read(&TIED)?;
        // Specs of before had no such key.
        let zero = knobs.find(&ZERO_INIT)?;
        if tied && zero == Some(true) {
            let why = "a head tied to the token table cannot start at 0: neither would the table bring anything";
            return Err(knobs
                .refuse(&ZERO_INIT, why)
                .hint("model.head.tied = false"));
        }
        let weight = if tied {
            tokens
        } else {
            let zero = zero.unwrap_or(shape.zero_init);
            let start = if zero { 0.0 } else { shape.table_std() };
            let size = [shape.vocab, shape.width];
            declare.param("weight", &size, Role::Head, Init::Normal(start))
        };
        Ok(Self {
            norm,
            norm_trains,
            weight,
            weight_trains: declare.trains(weight),
            factor: scaling.of_logits(),
            softcap: knobs.read(&SOFTCAP)?,
            multiply_adds: (shape.vocab * shape.width) as u64,
        })
    }

    /// Logits of (N, C): (N, V) of f32.
    ///
    /// # Errors
    /// The operations'.
    pub fn logits(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let normed = self.normed(x_nc, pass)?;
        let logits = match pass.weights.packed(self.weight) {
            Some(packed) => {
                let activations = pass.weights.activations();
                pass.ops
                    .packed_product(&normed, packed, None, activations)?
            }
            None => pass.ops.logits(&normed, &pass.weights[self.weight])?,
        };
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
