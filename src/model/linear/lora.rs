//! A matrix that stays as it starts, and a trained change of low rank beside it: `y = W x + s B A x`, with A (r, in) and B (out, r)
//! (LoRA, Hu et al. 2021, arXiv 2106.09685, section 4.1). B starts at 0, so that before the first step the model is its base to the bit. A
//! starts uniform between plus and minus 1 / sqrt(in), as in the authors' code and in PEFT (Kaiming's start with a slope of sqrt(5)); the
//! paper says normal. Matrices stacked in one have an A and a B each, as they have where they stand apart.
//!
//! s is alpha / r, or alpha / sqrt(r) (rsLoRA, Kalajdzievski 2023, arXiv 2312.03732, section 3): the first makes large ranks learn slowly.
//! alpha is 32 by default, as in LoRA Without Regret (Schulman and Thinking Machines 2025), which finds the best rate at about ten times
//! that of training everything, whatever the rank, in models of 1000 channels and more. Where rates carry over widths (`model.scaling`), A's
//! falls with the width as other matrices' do and B's does not, whose inputs are r at every width (LoRA+, Hayou et al. 2024, arXiv 2402.12354).
//!
//! DoRA (Liu et al. 2024, arXiv 2402.09353) trains a magnitude m of each output beside it: `y = m (W + s B A) x / ||W + s B A||`. m starts
//! as the norm, and backwards the norm is a constant (section 4.3). It is computed once for all tokens of a pass, and as other norms are
//! it is not among the FLOPs that are counted.
//!
//! W may stay in the blocks that a GGUF file has it in, on the CPU, as in QLoRA (Dettmers et al. 2023, arXiv 2305.14314, whose own format
//! is NF4): products unpack it as they go, both ways. DoRA's norm unpacks it whole.
//!
//! Backwards W costs the gradient of its input and no more. Once trained, the change is added to W, and serves at no cost.

use candle_core::{DType, Tensor};

use super::{Linear, LinearKind, LinearSpec};
use crate::config::knob::{Flag, Number, Whole, Word};
use crate::config::{Declarations, Knob, Named};
use crate::error::Result;
use crate::model::adapter::{Adapter, row_norms};
use crate::model::param::{Declare, Init, ParamId, Role};
use crate::model::site::Site;
use crate::model::{Pass, Work};
use crate::ops::Stacked;

const RANK: Knob<Whole> =
    Knob::count("rank", "Rows of A and columns of B, of each matrix.").default(8);
const ALPHA: Knob<Number> = Knob::number(
    "alpha",
    "What the change is multiplied by, before it is divided by the rank or by its root.",
)
.above(0.0)
.default(32.0);
const SCALE: Knob<Word> = Knob::word(
    "scale",
    "What alpha is divided by: the rank, or the root of the rank.",
    &["lora", "rslora"],
)
.default("lora");
const BASE: Knob<Word> = Knob::word(
    "base",
    "How matrices that stay are held while the model trains: in f32, or in the blocks that model.from has them in, on the CPU (QLoRA).",
    &["f32", "file"],
)
.default("f32");
const TRAIN_REST: Knob<Flag> = Knob::flag(
    "train_rest",
    "Whether what is no part of such a product trains as well: token table, positions, norms, a head of its own, experts.",
)
.follows("false where model.from says what the model starts with; a model that was drawn has nothing to keep");

/// Row of the catalog: `lora` or `dora`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The change alone.
    Lora,
    /// With a magnitude of each output.
    Dora,
}

impl Named for Kind {
    fn name(&self) -> &'static str {
        match self {
            Kind::Lora => "lora",
            Kind::Dora => "dora",
        }
    }
    fn about(&self) -> &'static str {
        match self {
            Kind::Lora => {
                "a matrix that stays as it starts, and a trained change of low rank (LoRA, Hu et al. 2021)"
            }
            Kind::Dora => {
                "the same with a trained magnitude of each output (DoRA, Liu et al. 2024)"
            }
        }
    }
    fn knobs(&self) -> Declarations {
        &[&RANK, &ALPHA, &SCALE, &BASE, &TRAIN_REST]
    }
}

impl LinearKind for Kind {
    fn trains_rest(&self, site: &Site, given: bool) -> Result<bool> {
        site.knobs.read_or(&TRAIN_REST, !given)
    }

    fn settle(
        &self,
        site: &Site,
        name: &str,
        spec: LinearSpec,
        declare: &mut Declare,
    ) -> Result<Box<dyn Linear>> {
        let (rank, alpha) = (site.knobs.read(&RANK)?, site.knobs.read(&ALPHA)?);
        let scale = match site.knobs.read(&SCALE)? {
            "rslora" => alpha / (rank as f64).sqrt(),
            _ => alpha / rank as f64,
        };
        let in_blocks = site.knobs.read(&BASE)? == "file";
        let (outputs, inputs) = (spec.outputs(), spec.inputs);
        let (weight, bias) = declare.staying(|declare| {
            let start = Init::Normal(spec.start);
            let shape = [outputs, inputs];
            let weight = declare.stacked(name, &shape, Role::Matrix, start, spec.rows);
            let bias_of = format!("{name}_bias");
            let bias = spec
                .bias
                .then(|| declare.param(&bias_of, &[outputs], Role::Bias, Init::Zeros));
            (weight, bias)
        });
        let of_each = vec![rank; spec.rows.len()];
        let within = 1.0 / (inputs as f64).sqrt();
        let adapter = declare.adapting(|declare| {
            let [down, up] = ["a", "b"].map(|which| format!("{name}_lora_{which}"));
            let start = Init::Uniform(-within, within);
            let shape = [rank * of_each.len(), inputs];
            Adapter {
                weight,
                down: declare.stacked(&down, &shape, Role::Matrix, start, &of_each),
                up: declare.of_few_inputs(&up, &[outputs, rank], Init::Zeros, spec.rows),
                magnitude: (*self == Kind::Dora).then(|| {
                    let name = format!("{name}_magnitude");
                    let start = Init::NormOfRows(weight);
                    declare.param(&name, &[outputs], Role::Gain, start)
                }),
                scale,
                rank,
                rows: spec.rows.to_vec(),
                inputs,
                in_blocks,
            }
        });
        Ok(Box::new(Changed {
            multiply_adds: (outputs * inputs) as u64,
            trains: [adapter.down, adapter.up].map(|id| declare.trains(id)),
            magnitude_trains: adapter.magnitude.is_some_and(|id| declare.trains(id)),
            bias,
            adapter,
        }))
    }
}

struct Changed {
    adapter: Adapter,
    bias: Option<ParamId>,
    /// Of a row, in the product with W.
    multiply_adds: u64,
    /// A and B.
    trains: [bool; 2],
    magnitude_trains: bool,
}

impl Changed {
    /// `s B A x`, (N, out).
    fn change(&self, x_nk: &Tensor, pass: &Pass) -> Result<Tensor> {
        let [a, b] = [self.adapter.down, self.adapter.up].map(|id| &pass.weights[id]);
        let low = pass.ops.linear(x_nk, a, None)?;
        let low = pass.scaled(low, self.adapter.scale)?;
        match self.adapter.rows.as_slice() {
            [_] => Ok(pass.ops.linear(&low, b, None)?),
            rows => Ok(pass.ops.unaided(&Stacked { rows }, [&low, b])?),
        }
    }

    /// What has the norms of `W + s B A` as rows of their magnitudes: (N, out).
    fn to_magnitude(&self, y: &Tensor, magnitude: ParamId, pass: &Pass) -> Result<Tensor> {
        let Adapter {
            weight, down, up, ..
        } = self.adapter;
        let [a, b] = [down, up].map(|id| &pass.weights[id]);
        let changed = match pass.weights.packed(weight) {
            Some(packed) => self.adapter.changed(&packed.unpacked()?, a, b)?,
            None => self.adapter.changed(&pass.weights[weight], a, b)?,
        };
        let factors = (&pass.weights[magnitude] / row_norms(&changed)?)?;
        let scaled = y.to_dtype(DType::F32)?.broadcast_mul(&factors)?;
        Ok(scaled.to_dtype(y.dtype())?)
    }
}

impl Linear for Changed {
    fn forward(&self, x_nk: &Tensor, pass: &Pass) -> Result<Tensor> {
        let Adapter { weight, down, .. } = self.adapter;
        // Once the change is in the matrix, nothing is left of it.
        if pass.weights[down].elem_count() == 0 {
            return pass.product(x_nk, weight, self.bias);
        }
        let Some(magnitude) = self.adapter.magnitude else {
            let y = pass.product(x_nk, weight, self.bias)?;
            return Ok(pass.ops.add(&y, &self.change(x_nk, pass)?)?);
        };
        let y = pass.product(x_nk, weight, None)?;
        let y = pass.ops.add(&y, &self.change(x_nk, pass)?)?;
        let y = self.to_magnitude(&y, magnitude, pass)?;
        match self.bias.map(|bias| &pass.weights[bias]) {
            Some(bias) => {
                let table = bias.reshape((1, bias.elem_count()))?;
                Ok(pass.ops.add_positions(&y, &table, 1)?)
            }
            None => Ok(y),
        }
    }

    fn work(&self, rows: u64, learns: bool) -> Work {
        let [a, b] = self.adapter.multiply_adds();
        let [a_trains, b_trains] = self.trains;
        Work::of_product(rows * self.multiply_adds, learns, false)
            + Work::of_product(rows * a, learns, a_trains)
            + Work::of_product(rows * b, learns || a_trains, b_trains)
    }

    fn trains(&self) -> bool {
        self.trains.contains(&true) || self.magnitude_trains
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Beside, Params, Weights};
    use crate::ops::{Ops, Tape};
    use candle_core::{Device, Var};

    const RANKS: usize = 2;
    const ROWS: [usize; 2] = [4, 3];

    fn matrix(rows: usize, columns: usize, by: usize) -> Tensor {
        let number = |i: usize| ((i * by) % 101) as f32 / 50.0 - 1.0;
        let numbers = (0..rows * columns).map(number).collect();
        Tensor::from_vec(numbers, (rows, columns), &Device::Cpu).unwrap()
    }

    fn near(found: &Tensor, truth: &Tensor, what: &str) {
        let flat = |x: &Tensor| -> Vec<f32> { x.flatten_all().unwrap().to_vec1().unwrap() };
        let (found, truth) = (flat(&found.detach()), flat(&truth.detach()));
        let far = found.iter().zip(&truth).map(|(a, b)| (a - b).abs());
        assert_eq!(found.len(), truth.len(), "{what}");
        assert!(
            far.fold(0.0, f32::max) < 1e-5,
            "{what}: {found:?} {truth:?}"
        );
    }

    /// W, A, B, m and a bias, none of them as it starts.
    fn given(magnitude: bool) -> (Changed, Params) {
        let mut declare = Declare::default();
        let mut of = |name: &str, shape: &[usize]| {
            declare.param(name, shape, Role::Matrix, Init::Normal(0.5))
        };
        let (outputs, inputs) = (ROWS.iter().sum::<usize>(), 5);
        let adapter = Adapter {
            weight: of("w", &[outputs, inputs]),
            down: of("a", &[RANKS * ROWS.len(), inputs]),
            up: of("b", &[outputs, RANKS]),
            magnitude: magnitude.then(|| of("m", &[outputs])),
            scale: 1.5,
            rank: RANKS,
            rows: ROWS.to_vec(),
            inputs,
            in_blocks: false,
        };
        let changed = Changed {
            adapter,
            bias: Some(of("bias", &[outputs])),
            multiply_adds: 0,
            trains: [true; 2],
            magnitude_trains: magnitude,
        };
        let params = Params::init(&declare.finish(), 1, &Device::Cpu).unwrap();
        (changed, params)
    }

    /// `m (W + s B A) / ||W + s B A||` stacked matrix by stacked matrix, `W + s B A` without m, and what multiplies its rows.
    fn whole(changed: &Changed, weights: &Weights) -> [Tensor; 3] {
        let Adapter {
            weight, down, up, ..
        } = changed.adapter;
        let [w, a, b] = [weight, down, up].map(|id| weights[id].detach());
        let (first, second) = (ROWS[0], ROWS[1]);
        let part = |from: usize, rows: usize, k: usize| {
            let a = a.narrow(0, k * RANKS, RANKS).unwrap();
            b.narrow(0, from, rows).unwrap().matmul(&a).unwrap()
        };
        let change = Tensor::cat(&[part(0, first, 0), part(first, second, 1)], 0).unwrap();
        let sum = (w + (change * 1.5).unwrap()).unwrap();
        let Some(m) = changed.adapter.magnitude else {
            let ones = Tensor::ones((first + second, 1), DType::F32, &Device::Cpu).unwrap();
            return [sum.clone(), sum, ones];
        };
        let norms = sum.sqr().unwrap().sum_keepdim(1).unwrap().sqrt().unwrap();
        let factors = weights[m]
            .detach()
            .unsqueeze(1)
            .unwrap()
            .div(&norms)
            .unwrap();
        [sum.broadcast_mul(&factors).unwrap(), sum, factors]
    }

    /// The output, and the gradients of the input, of A, of B and of m, the norm held where it is: of matrices stacked in one.
    #[test]
    fn products_and_gradients_are_those_of_the_formula() {
        for magnitude in [false, true] {
            let (changed, params) = given(magnitude);
            let (x, dy) = (
                Var::from_tensor(&matrix(6, 5, 37)).unwrap(),
                matrix(6, 7, 53),
            );
            let (tape, weights) = (Tape::new(), params.tracked());
            let ids = Tensor::zeros(6, DType::U32, &Device::Cpu).unwrap();
            let pass = Pass {
                weights: &weights,
                ops: Ops::fused().on(&tape),
                batch: 1,
                time: 6,
                offset: 0,
                room: 6,
                ids: &ids,
                rope: None,
                beside: &Beside::default(),
            };
            let y = changed.forward(&x, &pass).unwrap();
            let loss = (&y * &dy).unwrap().sum_all().unwrap();
            let mut found = tape.backward(&loss, 1.0).unwrap();
            let [all, sum, factors] = whole(&changed, &weights);
            let bias = params.vars()[changed.bias.unwrap().0].detach();
            let x_nk = x.as_detached_tensor();
            let product = x_nk.matmul(&all.t().unwrap()).unwrap();
            near(&y, &product.broadcast_add(&bias).unwrap(), "y");
            let mut take = |id: ParamId| found.take(&params.vars()[id.0]).unwrap();
            let scaled = dy.broadcast_mul(&factors.t().unwrap()).unwrap();
            // d(W + s B A), of which A and B have their parts.
            let of_sum = (scaled.t().unwrap().matmul(&x_nk).unwrap() * 1.5).unwrap();
            let [a, b] = [changed.adapter.down, changed.adapter.up].map(|id| &weights[id]);
            let (mut da, mut db) = (Vec::new(), Vec::new());
            for (k, (from, rows)) in [(0, ROWS[0]), (ROWS[0], ROWS[1])].into_iter().enumerate() {
                let d = of_sum.narrow(0, from, rows).unwrap();
                let a = a.detach().narrow(0, k * RANKS, RANKS).unwrap();
                let b = b.detach().narrow(0, from, rows).unwrap();
                da.push(b.t().unwrap().matmul(&d).unwrap());
                db.push(d.matmul(&a.t().unwrap()).unwrap());
            }
            near(
                &take(changed.adapter.down),
                &Tensor::cat(&da, 0).unwrap(),
                "A",
            );
            near(
                &take(changed.adapter.up),
                &Tensor::cat(&db, 0).unwrap(),
                "B",
            );
            if let Some(m) = changed.adapter.magnitude {
                let u = x_nk.matmul(&sum.t().unwrap()).unwrap();
                let norms = sum.sqr().unwrap().sum(1).unwrap().sqrt().unwrap();
                let dm = (u * &dy).unwrap().sum(0).unwrap().div(&norms).unwrap();
                near(&take(m), &dm, "m");
            }
            near(&found.take(&x).unwrap(), &dy.matmul(&all).unwrap(), "x");
        }
    }
}
