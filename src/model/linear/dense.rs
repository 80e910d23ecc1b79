//! A matrix of f32, and a bias where the part asks for one.

use candle_core::Tensor;

use super::{Linear, LinearKind, LinearSpec};
use crate::config::Named;
use crate::error::Result;
use crate::model::param::{Declare, Init, ParamId, Role};
use crate::model::site::Site;
use crate::model::{Pass, Work};

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "dense"
    }
    fn about(&self) -> &'static str {
        "a full matrix in f32, every number of which trains"
    }
}

impl LinearKind for Kind {
    fn settle(
        &self,
        _site: &Site,
        name: &str,
        spec: LinearSpec,
        declare: &mut Declare,
    ) -> Result<Box<dyn Linear>> {
        let outputs = spec.outputs();
        let weight = declare.stacked(
            name,
            &[outputs, spec.inputs],
            Role::Matrix,
            Init::Normal(spec.start),
            spec.rows,
        );
        let bias_of = format!("{name}_bias");
        let bias = spec
            .bias
            .then(|| declare.param(&bias_of, &[outputs], Role::Bias, Init::Zeros));
        Ok(Box::new(Dense {
            multiply_adds: (outputs * spec.inputs) as u64,
            weight_trains: declare.trains(weight),
            trains: declare.trains(weight) || bias.is_some_and(|bias| declare.trains(bias)),
            weight,
            bias,
        }))
    }
}

struct Dense {
    /// Of a row.
    multiply_adds: u64,
    weight_trains: bool,
    trains: bool,
    weight: ParamId,
    bias: Option<ParamId>,
}

impl Linear for Dense {
    fn forward(&self, x_nk: &Tensor, pass: &Pass) -> Result<Tensor> {
        pass.product(x_nk, self.weight, self.bias)
    }

    fn work(&self, rows: u64, learns: bool) -> Work {
        Work::of_product(rows * self.multiply_adds, learns, self.weight_trains)
    }

    fn trains(&self) -> bool {
        self.trains
    }
}
