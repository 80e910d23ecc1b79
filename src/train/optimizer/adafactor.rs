//! Adafactor (Shazeer & Stern 2018, arXiv 1804.04235, algorithm 4) at a given learning rate: of a matrix's squared gradients only the
//! means of rows r and of columns c are kept, v = r c / mean(r), with a decay that rises as 1 - t^-0.8. An update g / sqrt(v) is made
//! smaller where its root mean square is above 1. No momentum; the decay is decoupled; vectors keep v whole.

use std::sync::Arc;

use candle_core::{D, DType, Device, Tensor, Var};

use super::each::{Each, Mover, Movers, blend, join, parts, split};
use super::{Optimizer, OptimizerKind, OptimizerPlan, adamw};
use crate::config::knob::Number;
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::model::{Decl, Factors};

const POWER: Knob<Number> = Knob::number(
    "power",
    "The running means of squares decay by 1 - t^-power at step t.",
)
.within(0.0, 1.0)
.default(0.8);
const LARGEST: Knob<Number> = Knob::number(
    "largest",
    "The root mean square above which an update is made smaller.",
)
.above(0.0)
.default(1.0);

/// Added to a squared gradient.
const EPS: f64 = 1e-30;

/// Arithmetic of one number's update.
const FLOPS_PER_SCALAR: f64 = 14.0;

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "adafactor"
    }
    fn about(&self) -> &'static str {
        "squared gradients kept as means of rows and columns, without momentum (Shazeer and Stern 2018)"
    }
    fn knobs(&self) -> Declarations {
        &[&adamw::LR, &POWER, &LARGEST, &adamw::WEIGHT_DECAY]
    }
}

impl OptimizerKind for Kind {
    fn settle(&self, knobs: &Knobs) -> Result<Arc<dyn OptimizerPlan>> {
        Ok(Arc::new(Adafactor {
            lr: knobs.read(&adamw::LR)?,
            power: knobs.read(&POWER)?,
            largest: knobs.read(&LARGEST)?,
            weight_decay: knobs.read(&adamw::WEIGHT_DECAY)?,
        }))
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Adafactor {
    pub lr: f64,
    pub power: f64,
    pub largest: f64,
    pub weight_decay: f64,
}

/// Numbers in each of the means that are kept of a matrix: of rows and of columns, or one for each number of a vector.
fn means((rows, columns): (usize, usize)) -> Vec<(usize, usize)> {
    match rows {
        1 => vec![(1, columns)],
        _ => vec![(rows, 1), (1, columns)],
    }
}

impl OptimizerPlan for Adafactor {
    fn lr(&self) -> f64 {
        self.lr
    }

    fn flops_per_step(&self, decls: &[Decl]) -> f64 {
        let numbers: u64 = decls.iter().map(Decl::count).sum();
        FLOPS_PER_SCALAR * numbers as f64
    }

    fn state_scalars(&self, decls: &[Decl]) -> u64 {
        let kept = decls.iter().flat_map(parts).flat_map(means);
        kept.map(|(rows, columns)| (rows * columns) as u64).sum()
    }

    fn start(
        &self,
        decls: &[Decl],
        device: &Device,
        _products: DType,
    ) -> Result<Box<dyn Optimizer>> {
        let one = |decl: &Decl| {
            let mover = Factored::start(*self, decl, (DType::F32, device))?;
            Ok(Each::Own(Box::new(mover) as Box<dyn Mover>))
        };
        Ok(Box::new(Movers::new(
            decls.iter().map(one).collect::<Result<_>>()?,
        )))
    }
}

/// How a parameter moves.
pub(super) struct Factored {
    plan: Adafactor,
    factors: Factors,
    decays: bool,
    parts: Vec<(usize, usize)>,
    /// Of each matrix, the mean of squares in rows and in columns.
    means: Vec<Vec<Var>>,
}

impl Factored {
    /// At rest; of that type, there.
    pub fn start(plan: Adafactor, decl: &Decl, (dtype, device): (DType, &Device)) -> Result<Self> {
        let parts = parts(decl);
        let one = |part: &(usize, usize)| -> Result<Vec<Var>> {
            let zeros = |shape: (usize, usize)| Ok(Var::zeros(shape, dtype, device)?);
            means(*part).into_iter().map(zeros).collect()
        };
        Ok(Self {
            plan,
            factors: decl.adaptive(),
            decays: decl.decays(),
            means: parts.iter().map(one).collect::<Result<_>>()?,
            parts,
        })
    }
}

/// A matrix's gradient over the root of its mean square, none of them far above the usual size.
fn update(plan: &Adafactor, grad: &Tensor, means: &[Var], beta: f64) -> Result<Tensor> {
    let squares = (grad.sqr()? + EPS)?;
    let update = if let [rows, columns] = means {
        blend(rows, beta, &squares.mean_keepdim(D::Minus1)?)?;
        blend(columns, beta, &squares.mean_keepdim(0)?)?;
        let rows = rows.as_detached_tensor();
        let rows = rows.broadcast_div(&rows.mean_all()?)?.sqrt()?;
        grad.broadcast_div(&rows)?
            .broadcast_div(&columns.as_detached_tensor().sqrt()?)?
    } else {
        let mut made = grad.clone();
        for whole in means {
            blend(whole, beta, &squares)?;
            made = (made / whole.as_detached_tensor().sqrt()?)?;
        }
        made
    };
    let size = (update.sqr()?.mean_all()?.sqrt()? * (1.0 / plan.largest))?;
    Ok(update.broadcast_div(&size.maximum(1.0)?)?)
}

impl Mover for Factored {
    fn step(&mut self, var: &Var, grad: &Tensor, lr: f64, number: u64) -> Result<()> {
        let plan = &self.plan;
        let beta = 1.0 - (number as f64).powf(-plan.power);
        let one = |(grad, means): (Tensor, &Vec<Var>)| update(plan, &grad, means, beta);
        let grads = split(grad, &self.parts)?.into_iter().zip(&self.means);
        let updates = grads.map(one).collect::<Result<Vec<_>>>()?;
        let lr = lr * self.factors.lr;
        let decay = if self.decays { plan.weight_decay } else { 0.0 };
        let kept = (var.as_detached_tensor() * (1.0 - lr * decay * self.factors.decay))?;
        Ok(var.set(&(kept - (join(&updates, var.dims())? * lr)?)?)?)
    }

    fn held(&self) -> Vec<&Var> {
        self.means.iter().flatten().collect()
    }
}
