//! A spec in sizes of the law's own, and what its rules ask of it.

use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use crate::config::{Broken, Origin, Tree};
use crate::data::Batch;
use crate::device;
use crate::error::Result;
use crate::model::{Coarse, Model, Weights};
use crate::train::Trainer;
use crate::trial::{Experiment, Prepared, Registry, settle};

/// A spec, to be settled in several sizes.
pub(super) struct Recipe {
    pub registry: Registry,
    given: Tree,
}

/// Small enough for a build without optimisation, odd enough to find a mix-up of axes.
pub(super) const CONTEXT: usize = 10;
pub(super) const STATES: usize = 11;

pub(super) fn small() -> Value {
    json!({
        "model": {"layers": 2, "width": 24, "heads": 3, "context": CONTEXT},
        "train": {"batch": 3, "steps": 200, "optimizer": {"lr": 0.01}},
        "data": {"kind": "markov", "states": STATES},
    })
}

impl Recipe {
    pub(super) fn new(registry: &Registry, given: Tree) -> Self {
        Self {
            registry: registry.clone(),
            given,
        }
    }

    /// Of these keys beside the defaults.
    pub(super) fn of(registry: &Registry, keys: &Value) -> Self {
        let tree = Tree::from_json(keys, &Origin::named("law"));
        Self::new(registry, tree.unwrap_or_default())
    }

    pub(super) fn settled(&self, sets: &Value) -> Result<Prepared> {
        let mut tree = self.given.clone();
        tree.overlay(&Tree::from_json(sets, &Origin::named("law"))?);
        settle(&self.registry, &tree)
    }

    pub(super) fn experiment(&self, sets: &Value) -> Result<Experiment> {
        Ok(self.settled(sets)?.experiment)
    }
}

pub(super) fn trainer(experiment: &Experiment, seed: u64) -> Result<Trainer> {
    experiment.trainer(seed, &device::open("cpu")?)
}

pub(super) fn batch(experiment: &Experiment, step: u64) -> Batch {
    let context = experiment.model.shape.context;
    experiment.source.train(1, step, experiment.batch, context)
}

pub(super) fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

pub(super) fn logits(
    experiment: &Experiment,
    weights: &Weights,
    inputs: &[u32],
) -> Result<Vec<f32>> {
    let ids = Tensor::from_slice(inputs, inputs.len(), &Device::Cpu)?;
    let (model, context) = (&experiment.model, experiment.model.shape.context);
    let rows = inputs.len() / context;
    values(&model.logits(weights, &ids, rows, context, experiment.ops)?)
}

/// The 2-norm of the difference, relative to that of the truth.
pub(super) fn distance(found: &[f32], truth: &[f32]) -> f64 {
    let norm = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>().sqrt();
    let off = &mut found
        .iter()
        .zip(truth)
        .map(|(a, b)| f64::from(*a) - f64::from(*b));
    norm(off) / norm(&mut truth.iter().map(|x| f64::from(*x))).max(1e-12)
}

/// How far apart two ways to compute the same may be: `near`, or a whole step where products round their factors, since what another
/// order of a sum moves by a last bit may be rounded to the other side, and so in each layer.
pub(super) fn allowed(model: &Model, near: f64) -> f64 {
    let layers = model.shape.layers as f64;
    let steps = |coarse: Coarse| 2.0 * coarse.step * layers.sqrt();
    model
        .coarse()
        .map_or(near, |coarse| near.max(steps(coarse)))
}

/// Whether a token's numbers depend on what else is computed with it, by a scale that they share.
pub(super) fn mixes_tokens(model: &Model) -> bool {
    model.coarse().is_some_and(|coarse| coarse.mixes_tokens)
}

pub(super) fn losses(experiment: &Experiment, steps: u64) -> Result<Vec<f64>> {
    let mut trainer = trainer(experiment, 7)?;
    let step = |step| Ok(trainer.step(&batch(experiment, step))?.loss);
    (0..steps).map(step).collect()
}

pub(super) fn on_threads<T: Send>(
    threads: usize,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
    let pool = builder.build().map_err(candle_core::Error::wrap)?;
    pool.install(work)
}

/// What `law` says of a recipe's experiment; nothing where it does not settle, which is a rule of its own.
pub(super) fn of_settled(
    recipe: &Recipe,
    law: impl FnOnce(&Experiment) -> Vec<Broken>,
) -> Vec<Broken> {
    let settled = recipe.settled(&json!({}));
    settled.map_or_else(|_| Vec::new(), |prepared| law(&prepared.experiment))
}
