//! A matrix of f32 whose products take rounded factors: `y = Q_x(x) Q_w(w)^T`, and backwards `dx = Q_g(dy) Q_w(w)`,
//! `dw = Q_g(dy)^T Q_x(x)`. What is added up is f32, and so are the weights that train: what a narrower type costs in quality, not what it
//! saves in time.

use candle_core::Tensor;

use super::{Linear, LinearSpec};
use crate::config::Knob;
use crate::config::knob::Number;
use crate::error::Result;
use crate::model::coarse::Coarse;
use crate::model::param::{Declare, Init, ParamId, Role};
use crate::model::{Pass, Work};
use crate::ops::Rounding;

/// A channel that is out of proportion, as large models grow some (Dettmers et al. 2022, arXiv 2208.07339, section 3): planted, since
/// small ones do not.
pub(super) const OUTLIER: Knob<Number> = Knob::number(
    "outlier",
    "How many times as large the first input is while it is rounded, and its weights as many times smaller: without rounding it \
     changes nothing.",
)
.within(1.0, 1e6)
.default(1.0);

/// How the factors of a product are rounded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Precision {
    pub inputs: Rounding,
    pub weights: Rounding,
    /// Of the output's gradient, where it is rounded.
    pub gradients: Option<Rounding>,
    /// Whether inputs are divided by their root mean square first.
    pub normed: bool,
}

impl Precision {
    fn coarse(&self) -> Coarse {
        let changing = [Some(self.inputs), self.gradients].into_iter().flatten();
        let step = changing.map(Rounding::coarseness);
        Coarse {
            step: step.fold(0.0, f64::max),
            mixes_tokens: self.inputs.mixes_rows(),
        }
    }
}

/// Declares one, as a full matrix is.
pub(super) fn settle(
    precision: Precision,
    name: &str,
    spec: LinearSpec,
    declare: &mut Declare,
) -> Box<dyn Linear> {
    let outputs = spec.outputs();
    let start = Init::Normal(spec.start);
    let shape = [outputs, spec.inputs];
    let weight = declare.stacked(name, &shape, Role::Matrix, start, spec.rows);
    declare.rounds(weight, precision.coarse());
    let bias_of = format!("{name}_bias");
    let bias = spec
        .bias
        .then(|| declare.param(&bias_of, &[outputs], Role::Bias, Init::Zeros));
    Box::new(Rounded {
        precision,
        multiply_adds: (outputs * spec.inputs) as u64,
        weight_trains: declare.trains(weight),
        trains: declare.trains(weight) || bias.is_some_and(|bias| declare.trains(bias)),
        weight,
        bias,
    })
}

struct Rounded {
    precision: Precision,
    /// Of a row.
    multiply_adds: u64,
    weight_trains: bool,
    trains: bool,
    weight: ParamId,
    bias: Option<ParamId>,
}

impl Linear for Rounded {
    fn forward(&self, x_nk: &Tensor, pass: &Pass) -> Result<Tensor> {
        const EPS: f64 = 1e-5;
        let weight = &pass.weights[self.weight];
        let mut x = x_nk.clone();
        if self.precision.normed {
            let ones = Tensor::ones(x.dim(1)?, weight.dtype(), x.device())?;
            x = pass.ops.rms_norm(&x, &ones, EPS)?;
        }
        let x = pass.ops.quantise(&x, self.precision.inputs)?;
        let weight = pass.ops.quantise(weight, self.precision.weights)?;
        let bias = self.bias.map(|bias| &pass.weights[bias]);
        let product = |bias| pass.ops.keeping_nothing().linear(&x, &weight, bias);
        match (self.precision.gradients, bias) {
            (None, bias) => Ok(product(bias)?),
            (Some(rounding), None) => Ok(pass.ops.quantise_gradient(&product(None)?, rounding)?),
            // A bias is no factor: its gradient is added up from what was not rounded.
            (Some(rounding), Some(bias)) => {
                let y = pass.ops.quantise_gradient(&product(None)?, rounding)?;
                let table = bias.reshape((1, bias.elem_count()))?;
                Ok(pass.ops.add_positions(&y, &table, 1)?)
            }
        }
    }

    fn work(&self, rows: u64, learns: bool) -> Work {
        Work::of_product(rows * self.multiply_adds, learns, self.weight_trains)
    }

    fn trains(&self) -> bool {
        self.trains
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Beside, Params};
    use crate::ops::{Grid, Ops, Share, Tape};
    use candle_core::{DType, Device, Var};

    fn flat(x: &Tensor) -> Vec<f32> {
        x.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn matrix(rows: usize, columns: usize, by: usize) -> Tensor {
        let number = |i: usize| ((i * by) % 101) as f32 / 50.0 - 1.0;
        let numbers = (0..rows * columns).map(number).collect();
        Tensor::from_vec(numbers, (rows, columns), &Device::Cpu).unwrap()
    }

    /// Backwards the rounded factors are multiplied as any others are, and a bias gets the sum of what was not rounded.
    #[test]
    fn both_products_backwards_take_rounded_factors() {
        let (inputs, weights, gradients) = (
            Rounding::new(Grid::E4m3, Share::Tile(4)),
            Rounding::new(Grid::E4m3, Share::Block(4)),
            Rounding::new(Grid::E5m2, Share::Tile(4)),
        );
        let mut declare = Declare::default();
        let spec = LinearSpec {
            rows: &[7],
            inputs: 10,
            bias: true,
            start: 0.5,
        };
        let precision = Precision {
            inputs,
            weights,
            gradients: Some(gradients),
            normed: false,
        };
        let product = settle(precision, "it", spec, &mut declare);
        let params = Params::init(&declare.finish(), 1, &Device::Cpu).unwrap();
        let (x, dy) = (
            Var::from_tensor(&matrix(6, 10, 37)).unwrap(),
            matrix(6, 7, 53),
        );
        let (tape, tracked) = (Tape::new(), params.tracked());
        let ids = Tensor::zeros(6, DType::U32, &Device::Cpu).unwrap();
        let pass = Pass {
            weights: &tracked,
            ops: Ops::fused().on(&tape),
            batch: 1,
            time: 6,
            offset: 0,
            room: 6,
            ids: &ids,
            rope: None,
            beside: &Beside::default(),
        };
        let y = product.forward(&x, &pass).unwrap();
        let mut found = tape
            .backward(&(&y * &dy).unwrap().sum_all().unwrap(), 1.0)
            .unwrap();
        let ops = Ops::fused();
        let [w, bias] = [0, 1].map(|i| params.vars()[i].as_detached_tensor());
        let qx = ops.quantise(&x.as_detached_tensor(), inputs).unwrap();
        let qw = ops.quantise(&w, weights).unwrap();
        let qg = ops.quantise(&dy, gradients).unwrap();
        assert_eq!(
            flat(&y.detach()),
            flat(&ops.linear(&qx, &qw, Some(&bias)).unwrap())
        );
        let near = |found: Option<Tensor>, truth: Tensor| {
            let (found, truth) = (flat(&found.unwrap().detach()), flat(&truth));
            let far = found.iter().zip(&truth).map(|(a, b)| (a - b).abs());
            assert!(far.fold(0.0, f32::max) < 1e-5, "{found:?} {truth:?}");
        };
        near(found.take(&x), qg.matmul(&qw).unwrap());
        near(
            found.take(&params.vars()[0]),
            qg.t().unwrap().matmul(&qx).unwrap(),
        );
        near(found.take(&params.vars()[1]), dy.sum(0).unwrap());
    }
}
