//! What a layer's decays and write gates are made of.

use candle_core::Tensor;

use super::projection::{Projected, Projection};
use crate::error::Result;
use crate::model::param::{Init, ParamId, Role};
use crate::model::{Build, Pass, Shape, Work};
use crate::ops::{DecayGate, Gates, WriteGate};

/// How the numbers come about that gates are made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Source {
    /// Fixed decays of each head, `1 - 2^(-5 - h)`: no parameters (RetNet, eq. 8).
    Fixed,
    /// One product for decays and write gates.
    Product,
    /// Decays by two matrices of this rank, with a bias or without, and a product of their own for write gates.
    LowRank(usize, bool),
}

/// What a layer's gates are made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plan {
    pub gates: Gates,
    pub source: Source,
}

/// Settled gates.
pub(super) struct Gating {
    plan: Plan,
    /// Of decays, or of all.
    first: Option<Projection>,
    /// Of write gates alone.
    write: Option<Projection>,
    /// A, and what is added to steps.
    step: Option<[ParamId; 2]>,
    trains: bool,
}

impl Gating {
    /// Rates `exp(A)` start uniform from 1 to 16, and steps log-uniform from 0.001 to 0.1 (Gu and Dao 2023, arXiv 2312.00752,
    /// section 3.6; Mamba-2's and flash-linear-attention's code, which begins at 0 in place of 1, whose logarithm is none).
    pub fn settle(plan: Plan, shape: &Shape, build: &mut Build) -> Result<Self> {
        let Gates {
            decay,
            write,
            heads,
            width,
        } = plan.gates;
        let mut rows = Vec::new();
        if decay != DecayGate::None {
            rows.push(heads * width);
        }
        let (rank, bias) = match plan.source {
            Source::LowRank(rank, bias) => (Some(rank), bias),
            _ => (None, false),
        };
        let own_write = matches!(write, WriteGate::Sigmoid(_));
        if own_write && rank.is_none() {
            rows.push(heads);
        }
        let mut project = |name, rows: &[usize], rank, bias| {
            let of = Projected {
                name,
                rows,
                rank,
                bias,
            };
            Projection::settle(of, shape, build)
        };
        let (first, second) = match plan.source {
            Source::Fixed => (None, None),
            Source::Product => (Some(project("gates", &rows, None, false)?), None),
            Source::LowRank(..) => {
                let first = project("decay", &rows, rank, bias)?;
                let second = own_write.then(|| project("write", &[heads], None, false));
                (Some(first), second.transpose()?)
            }
        };
        let steps = decay == DecayGate::Step && plan.source != Source::Fixed;
        let step = steps.then(|| {
            let rates = Init::LogOfUniform(1.0, 16.0);
            let steps = Init::SoftplusLogUniform(1e-3, 0.1);
            [
                build.param("rate_log", &[heads], Role::Gain, rates),
                build.param("step_bias", &[heads * width], Role::Bias, steps),
            ]
        });
        let of = |made: &Option<Projection>| made.as_ref().is_some_and(Projection::trains);
        let steps = step.is_some_and(|ids| ids.iter().any(|id| build.trains(*id)));
        let trains = of(&first) || of(&second) || steps;
        Ok(Self {
            plan,
            first,
            write: second,
            step,
            trains,
        })
    }

    pub fn trains(&self) -> bool {
        self.trains
    }

    /// Rows of logarithms of decays, and of write gates.
    pub fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let Some(first) = &self.first else {
            return self.fixed(x_nc);
        };
        let mut raw = first.forward(x_nc, pass)?;
        if let Some(write) = &self.write {
            raw = Tensor::cat(&[raw, write.forward(x_nc, pass)?], 1)?;
        }
        let step = self.step.map(|ids| ids.map(|id| &pass.weights[id]));
        Ok(pass.ops.gates(&raw, step, self.plan.gates)?)
    }

    fn fixed(&self, x_nc: &Tensor) -> Result<Tensor> {
        let heads = self.plan.gates.heads;
        let of_head = |h: usize| (-(2f64.powi(-5 - h as i32))).ln_1p() as f32;
        let logs: Vec<f32> = (0..heads).map(of_head).collect();
        let row = Tensor::from_vec(logs, (1, heads), x_nc.device())?;
        Ok(row.broadcast_as((x_nc.dim(0)?, heads))?.contiguous()?)
    }

    /// Products of so many rows.
    pub fn work(&self, rows: u64, learns: bool) -> Work {
        let all = [&self.first, &self.write].into_iter().flatten();
        all.map(|projection| projection.work(rows, learns)).sum()
    }
}
