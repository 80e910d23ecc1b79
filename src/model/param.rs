//! Parameters: declared with name, shape, role and start before any tensor exists, so that a model's size is arithmetic
//! and an optimizer asks for roles, not for substrings of names.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use super::adapter::{Adapter, row_norms};
use super::coarse::Coarse;
pub use super::handles::Weights;
pub use super::id::ParamId;
pub use super::init::Init;
use super::rotation::Rotation;
use super::scaling::{Factors, Growth, Place, Scaling};
use super::told::Rule;
use crate::error::Result;
use crate::ops::Packed;
use crate::stream::stream;

/// What a parameter is for; decides decay and which optimizer moves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A row per token or per position, looked up rather than multiplied.
    Embedding,
    /// The output projection, where it is not the token embedding itself.
    Head,
    /// A matrix inside a block: what Muon orthogonalises.
    Matrix,
    /// A norm's gain or any vector of scales.
    Gain,
    /// An additive vector.
    Bias,
}

/// Where a parameter is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Token table, position table.
    Embedding,
    /// Token mixing: attention and its rivals.
    Mixer,
    /// Channel mixing.
    Ffn,
    /// Norms.
    Norm,
    /// An untied output projection.
    Head,
}

impl Part {
    /// As result files spell it.
    pub fn name(self) -> &'static str {
        match self {
            Part::Embedding => "embedding",
            Part::Mixer => "mixer",
            Part::Ffn => "ffn",
            Part::Norm => "norm",
            Part::Head => "head",
        }
    }
}

/// A declared parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Decl {
    /// `blocks.03.mixer.qkv`; also the name of its random stream.
    pub name: String,
    /// Rows first: a matrix is (out, in).
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: Role,
    /// Where it is counted.
    pub part: Part,
    /// How it starts.
    pub init: Init,
    /// Row counts of the matrices stacked in it (`[q, k, v]`); one entry where it is a single one.
    pub stacked_rows: Vec<usize>,
    /// Factor on the learning rate that its role has (`train.optimizer.rates`).
    pub lr_scale: f64,
    /// How it grew beside the base shape: what [`Decl::adaptive`] and its like make a rate's factors of.
    pub growth: Growth,
    /// Whether it trains: otherwise it stays as it starts, without gradient and without state of an optimizer.
    pub trains: bool,
    /// Whether the model has it when it serves: what only a loss has is gone then, and a low-rank change is in its matrix.
    pub serves: bool,
    /// How its products round their factors, where they do.
    pub coarse: Option<Coarse>,
    /// Whether it is a buffer, which its part changes after each step.
    pub buffer: bool,
    /// Of experts, how many each token takes of how many there are.
    pub routed: Option<(usize, usize)>,
}

impl Decl {
    /// Scalars in it.
    pub fn count(&self) -> u64 {
        self.shape.iter().map(|&n| n as u64).product()
    }

    /// Scalars of it that are used for one token.
    pub fn active(&self) -> u64 {
        let (chosen, of) = self.routed.unwrap_or((1, 1));
        self.count() * chosen as u64 / of as u64
    }

    /// Whether weight decay applies: everything that multiplies or is looked up, no gains and no biases.
    pub fn decays(&self) -> bool {
        !matches!(self.role, Role::Gain | Role::Bias)
    }

    fn start(&self, seed: u64, device: &Device) -> Result<Var> {
        let mut stream = stream(&format!("param/{}", self.name), seed, 0);
        let shape = (self.count() as usize, self.columns());
        let values = self.init.numbers(shape, &self.stacked_rows, &mut stream);
        Ok(Var::from_vec(values, self.shape.as_slice(), device)?)
    }

    /// Numbers in a row of the first axis.
    fn columns(&self) -> usize {
        self.shape[1..].iter().product()
    }
}

impl Decl {
    /// For an optimizer whose update does not depend on the size of the gradient: Adam and its kin.
    pub fn adaptive(&self) -> Factors {
        let Growth { width, .. } = self.growth;
        let of_role = if self.role == Role::Matrix {
            1.0 / width
        } else {
            1.0
        };
        self.factors(
            of_role / self.growth.on_stream(),
            1.0 / (width * self.growth.in_branch()),
        )
    }

    /// For one whose update is proportional to the gradient: plain descent, with or without momentum.
    pub fn proportional(&self) -> Factors {
        let of_role = if self.role == Role::Matrix {
            1.0
        } else {
            self.growth.width
        };
        self.factors(
            of_role * self.growth.in_branch() / self.growth.on_stream(),
            1.0,
        )
    }

    /// For one whose update is an orthogonal matrix with entries of one size: Muon with Moonlight's factor.
    pub fn orthogonal(&self) -> Factors {
        self.factors(1.0 / self.growth.width.sqrt(), 1.0)
    }

    /// Of a role's own rate, `lr_scale`, the decay has its share; what the shape does to the rate it has not.
    fn factors(&self, of_shape: f64, eps: f64) -> Factors {
        Factors {
            lr: self.lr_scale * of_shape,
            eps,
            decay: 1.0 / of_shape,
        }
    }
}

/// Collects declarations while a model is settled.
#[derive(Default)]
pub struct Declare {
    pub(super) decls: Vec<Decl>,
    pub(super) rules: Vec<(ParamId, Rule)>,
    /// Those that parts share.
    pub(super) rotations: Vec<Arc<Rotation>>,
    /// Of matrices that serve.
    pub(super) adapters: Vec<Adapter>,
    prefix: String,
    part: Option<Part>,
    growth: Growth,
    /// H / H_base.
    heads: f64,
    /// Whether what follows is gone when the model serves.
    aside: bool,
    /// Whether what follows stays as it starts.
    stays: bool,
    /// Whether a parameter of that name stays as it starts.
    frozen: Option<Box<dyn Fn(&str) -> bool>>,
}

impl Declare {
    /// Of parameters that train unless `frozen` says otherwise of their name.
    pub fn freezing(frozen: impl Fn(&str) -> bool + 'static) -> Self {
        Self {
            frozen: Some(Box::new(frozen)),
            ..Self::default()
        }
    }

    /// Names, counts and scales what follows: `blocks.03.mixer`, [`Part::Mixer`], in a branch.
    pub fn enter(&mut self, prefix: &str, part: Part, scaling: &Scaling, place: Place) {
        prefix.clone_into(&mut self.prefix);
        (self.part, self.growth) = (Some(part), Growth::of(scaling, place));
        self.heads = scaling.heads;
    }

    /// Declares one parameter.
    pub fn param(&mut self, name: &str, shape: &[usize], role: Role, init: Init) -> ParamId {
        self.stacked(name, shape, role, init, &shape[..1])
    }

    /// Declares several matrices of these row counts stacked in one.
    pub fn stacked(
        &mut self,
        name: &str,
        shape: &[usize],
        role: Role,
        init: Init,
        rows: &[usize],
    ) -> ParamId {
        debug_assert_eq!(rows.iter().sum::<usize>(), shape[0]);
        let name = format!("{}.{name}", self.prefix);
        self.decls.push(Decl {
            trains: !self.stays && !self.frozen.as_ref().is_some_and(|frozen| frozen(&name)),
            name,
            shape: shape.to_vec(),
            role,
            // A table within a block is one all the same.
            part: match role {
                Role::Embedding => Part::Embedding,
                _ => self.part.unwrap_or(Part::Embedding),
            },
            init,
            stacked_rows: rows.to_vec(),
            lr_scale: 1.0,
            growth: self.growth,
            serves: !self.aside,
            coarse: None,
            buffer: false,
            routed: None,
        });
        ParamId(self.decls.len() - 1)
    }

    /// Says that products with a parameter round their factors.
    pub fn rounds(&mut self, id: ParamId, coarse: Coarse) {
        self.decls[id.0].coarse = Some(coarse);
    }

    /// A vector that all heads share: of its gradient every head gives a part, so that it grows with the width of a head, not with
    /// that of the model.
    pub fn of_all_heads(&mut self, name: &str, shape: &[usize], role: Role, init: Init) -> ParamId {
        let of_model = self.growth;
        self.growth.width /= self.heads.max(1.0);
        let id = self.param(name, shape, role, init);
        self.growth = of_model;
        id
    }

    /// Stacked matrices whose inputs do not grow with the model's width, nor therefore their rate shrink with it.
    pub(super) fn of_few_inputs(
        &mut self,
        name: &str,
        shape: &[usize],
        init: Init,
        rows: &[usize],
    ) -> ParamId {
        let of_model = self.growth;
        self.growth.width = 1.0;
        let id = self.stacked(name, shape, Role::Matrix, init, rows);
        self.growth = of_model;
        id
    }

    /// A number by which everything is multiplied, at a share of its role's rate: its gradient does not grow with the width.
    pub(super) fn scalar(&mut self, name: &str, init: Init, lr_scale: f64) -> ParamId {
        let of_model = self.growth;
        self.growth.width = 1.0;
        let id = self.param(name, &[1], Role::Gain, init);
        self.decls[id.0].lr_scale = lr_scale;
        self.growth = of_model;
        id
    }

    /// What `declare` declares has `part` in its name, behind the name of what is settled: `blocks.03.mixer.part.gain`.
    pub fn within<T>(&mut self, part: &str, declare: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.prefix.clone();
        self.prefix = format!("{outer}.{part}");
        let made = declare(self);
        self.prefix = outer;
        made
    }

    /// Whether what follows stays as it starts, whatever `train.freeze` says.
    pub(super) fn rest_stays(&mut self, stays: bool) {
        self.stays = stays;
    }

    /// What `declare` declares stays as it starts.
    pub fn staying<T>(&mut self, declare: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.stays, true);
        let made = declare(self);
        self.stays = outer;
        made
    }

    /// Declares a low-rank change, which trains whatever stays, and is gone when the model serves.
    pub(super) fn adapting(&mut self, declare: impl FnOnce(&mut Self) -> Adapter) -> Adapter {
        let outer = (self.stays, self.aside);
        (self.stays, self.aside) = (false, true);
        let adapter = declare(self);
        (self.stays, self.aside) = outer;
        // A loss's own are never served.
        if !self.aside {
            self.adapters.push(adapter.clone());
        }
        adapter
    }

    /// What follows is a loss's alone.
    pub(super) fn leave_out_of_serving(&mut self) {
        self.aside = true;
        // It is in no file, and starts anew.
        self.stays = false;
    }

    /// Whether a parameter trains.
    pub fn trains(&self, id: ParamId) -> bool {
        self.decls[id.0].trains
    }

    /// Declarations so far.
    pub(super) fn count(&self) -> usize {
        self.decls.len()
    }

    /// Whether any of those from there on trains.
    pub(super) fn any_trains(&self, from: usize) -> bool {
        self.decls[from..].iter().any(|decl| decl.trains)
    }

    /// All declarations, in order.
    pub fn finish(self) -> Vec<Decl> {
        self.decls
    }
}

/// The variables behind a model's declarations, in the same order.
#[derive(Debug, Clone)]
pub struct Params {
    vars: Vec<Var>,
    /// Which of them train.
    trains: Vec<bool>,
    /// Those that are held in blocks alone; their variables are empty.
    packed: BTreeMap<usize, Arc<Packed>>,
}

impl Params {
    /// Draws every parameter from the stream of its own name: adding one changes no other.
    pub fn init(decls: &[Decl], seed: u64, device: &Device) -> Result<Self> {
        let vars = decls
            .iter()
            .map(|decl| decl.start(seed, device))
            .collect::<Result<_>>()?;
        let params = Self {
            vars,
            trains: decls.iter().map(|decl| decl.trains).collect(),
            packed: BTreeMap::new(),
        };
        params.take_norms(decls)?;
        Ok(params)
    }

    /// Parameters that a file is to fill: zeros where logits are made with them, nothing at all where `packed` has them; the rest is
    /// drawn as [`init`](Self::init) does.
    pub(super) fn to_fill(
        decls: &[Decl],
        seed: u64,
        device: &Device,
        packed: BTreeMap<usize, Arc<Packed>>,
    ) -> Result<Self> {
        let start = |(id, decl): (usize, &Decl)| match decl.serves {
            true if packed.contains_key(&id) => Ok(Var::zeros(0, DType::F32, device)?),
            true => Ok(Var::zeros(decl.shape.as_slice(), DType::F32, device)?),
            false => decl.start(seed, device),
        };
        let all = decls.iter().enumerate();
        let trains = all
            .clone()
            .map(|(id, d)| d.trains && !packed.contains_key(&id));
        Ok(Self {
            trains: trains.collect(),
            vars: all.map(start).collect::<Result<_>>()?,
            packed,
        })
    }

    /// Gives what starts as norms of a matrix those of the matrix as it is.
    pub(super) fn take_norms(&self, decls: &[Decl]) -> Result<()> {
        for (var, decl) in self.vars.iter().zip(decls) {
            if let Init::NormOfRows(of) = decl.init {
                var.set(&row_norms(&self.numbers(of.0)?)?)?;
            }
        }
        Ok(())
    }

    /// The same with each low-rank change in its matrix, in f32, and gone beside it.
    pub(super) fn merged(&self, adapters: &[Adapter]) -> Result<Self> {
        let mut merged = self.clone();
        for adapter in adapters {
            let matrix = adapter.merged(|id| self.numbers(id.0))?;
            for id in adapter.own() {
                merged.vars[id.0] = Var::zeros(0, DType::F32, matrix.device())?;
            }
            merged.vars[adapter.weight.0] = Var::from_tensor(&matrix)?;
            merged.packed.remove(&adapter.weight.0);
        }
        Ok(merged)
    }

    /// Whether a parameter is held in blocks alone.
    pub(super) fn is_packed(&self, id: usize) -> bool {
        self.packed.contains_key(&id)
    }

    /// The numbers of a parameter, unpacked where it is held in blocks.
    pub(super) fn numbers(&self, id: usize) -> Result<Tensor> {
        match self.packed.get(&id) {
            Some(packed) => Ok(packed.unpacked()?),
            None => Ok(self.vars[id].as_detached_tensor()),
        }
    }

    /// The variables.
    pub fn vars(&self) -> &[Var] {
        &self.vars
    }

    /// Those that train, in the same order.
    pub fn trained(&self) -> Vec<Var> {
        let both = self.vars.iter().zip(&self.trains);
        both.filter(|(_, trains)| **trains)
            .map(|(var, _)| var.clone())
            .collect()
    }

    /// Handles that record a graph, for training; of what does not train, handles that do not.
    pub fn tracked(&self) -> Weights {
        let handle = |(var, trains): (&Var, &bool)| match trains {
            true => var.as_tensor().clone(),
            false => var.as_detached_tensor(),
        };
        let tensors = self.vars.iter().zip(&self.trains).map(handle);
        Weights::of(tensors.collect(), self.packed.clone())
    }

    /// Handles on the same storage that record nothing, for evaluation and inference.
    pub fn detached(&self) -> Weights {
        let tensors = self.vars.iter().map(|v| v.as_detached_tensor());
        Weights::of(tensors.collect(), self.packed.clone())
    }
}

#[cfg(test)]
mod tests;
