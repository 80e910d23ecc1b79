//! What a whole model with its optimizer obeys, whatever it is made of.

use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use super::{Broken, Fault, Outcome, Rule, broken, expect};
use crate::config::{Origin, Tree};
use crate::data::{Batch, IGNORE};
use crate::device;
use crate::error::Result;
use crate::infer::Generator;
use crate::model::{Params, Weights};
use crate::ops::{Ops, counted};
use crate::train::Trainer;
use crate::trial::settle::tree_of;
use crate::trial::{Experiment, Prepared, Registry, settle};

/// The rules that a spec's model breaks, with sizes of the law's own: a variant's tree, or any keys beside the defaults.
pub fn recipe(registry: &Registry, given: &Tree) -> Vec<Broken> {
    Recipe::new(registry, given.clone()).broken()
}

/// A spec, to be settled in several sizes.
pub(super) struct Recipe {
    registry: Registry,
    given: Tree,
}

const RULES: [Rule<Recipe>; 10] = [
    ("defaults settle to themselves", settles_to_itself),
    ("every parameter learns", every_parameter_learns),
    ("one batch is overfitted", one_batch_is_overfitted),
    ("work is what is counted", work_is_what_is_counted),
    ("state is what is held", state_is_what_is_held),
    ("nothing is seen before it comes", nothing_is_seen_ahead),
    ("decoding is the forward pass", decoding_is_the_forward_pass),
    ("fused is the reference", fused_is_the_reference),
    ("windows are strangers", windows_are_strangers),
    ("threads change no bit, seeds do", threads_change_no_bit),
];

/// Small enough for a build without optimisation, odd enough to find a mix-up of axes.
const CONTEXT: usize = 10;
const STATES: usize = 11;

/// Rounding of f32, relative to a gradient of many sums.
const ROUNDING: f64 = 1e-3;

fn small() -> Value {
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

    pub(super) fn broken(&self) -> Vec<Broken> {
        broken(&RULES, self)
    }

    fn settled(&self, sets: &Value) -> Result<Prepared> {
        let mut tree = self.given.clone();
        tree.overlay(&Tree::from_json(sets, &Origin::named("law"))?);
        settle(&self.registry, &tree)
    }

    fn experiment(&self, sets: &Value) -> Result<Experiment> {
        Ok(self.settled(sets)?.experiment)
    }
}

fn trainer(experiment: &Experiment, seed: u64) -> Result<Trainer> {
    experiment.trainer(seed, &device::open("cpu")?)
}

fn batch(experiment: &Experiment, step: u64) -> Batch {
    let context = experiment.model.shape.context;
    experiment.source.train(1, step, experiment.batch, context)
}

pub(super) fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

fn logits(experiment: &Experiment, weights: &Weights, inputs: &[u32]) -> Result<Vec<f32>> {
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

fn settles_to_itself(recipe: &Recipe) -> Outcome {
    let first = recipe.settled(&json!({}))?;
    let again = settle(&recipe.registry, &tree_of(&first.spec, &first.paths)?)?;
    expect(
        first.spec == again.spec,
        "the settled spec again",
        "another one: a knob is written with another value than was read",
    )
}

fn every_parameter_learns(recipe: &Recipe) -> Outcome {
    let experiment = recipe.experiment(&small())?;
    let mut trainer = trainer(&experiment, 1)?;
    let all = |trainer: &Trainer| -> Result<Vec<Vec<f32>>> {
        trainer.params().vars().iter().map(|v| values(v)).collect()
    };
    let before = all(&trainer)?;
    // The first warm-up steps are tiny and gains start at one, so gradients are looked at before any step.
    let (_, gradient) = trainer.gradient(&batch(&experiment, 0))?;
    let decls = experiment.model.decls();
    for (decl, grad) in decls.iter().zip(&gradient.tensors) {
        let grad = values(grad)?;
        let size = grad.iter().map(|g| g.abs()).fold(0.0, f32::max);
        expect(
            grad.iter().all(|g| g.is_finite()) && size > 0.0,
            format!("a finite gradient of {} that is not 0", decl.name),
            format!("one whose largest number is {size}"),
        )?;
    }
    for step in 0..2 {
        let step = trainer.step(&batch(&experiment, step))?;
        expect(step.is_finite(), "a finite step", format!("{step:?}"))?;
    }
    for ((decl, before), after) in decls.iter().zip(before).zip(all(&trainer)?) {
        let moved = before != after;
        expect(
            moved,
            format!("two steps to move {}", decl.name),
            "it as it was",
        )?;
    }
    Ok(())
}

fn one_batch_is_overfitted(recipe: &Recipe) -> Outcome {
    const ENOUGH_NATS: f64 = 0.05;
    let experiment = recipe.experiment(&small())?;
    let mut trainer = trainer(&experiment, 2)?;
    let batch = batch(&experiment, 0);
    // No two prefixes of the batch need the same continuation but the first tokens'.
    let token = |i: usize| ((i * 7 + i / CONTEXT) % STATES) as u32;
    let distinct = Batch {
        inputs: (0..batch.inputs.len()).map(token).collect(),
        ..batch
    };
    let mut last = f64::NAN;
    for _ in 0..experiment.steps {
        last = trainer.step(&distinct)?.loss;
    }
    expect(
        last < ENOUGH_NATS,
        format!(
            "less than {ENOUGH_NATS} nats after {} steps on one batch",
            experiment.steps
        ),
        format!("{last:.3}"),
    )
}

/// Forwards alone, and with its gradient; within a tile of attention's 64 queries, over one, over two; one key head for all and
/// one for each.
fn work_is_what_is_counted(recipe: &Recipe) -> Outcome {
    const WINDOWS: usize = 3;
    for (context, kv_heads) in [(12, 3), (66, 1), (132, 3)] {
        let mut sets = small();
        sets["model"]["context"] = json!(context);
        sets["model"]["kv_heads"] = json!(kv_heads);
        let prepared = recipe.settled(&sets)?;
        let (model, ops) = (&prepared.experiment.model, prepared.experiment.ops);
        let params = Params::init(model.decls(), 1, &Device::Cpu)?;
        let batch = prepared.experiment.source.train(1, 0, WINDOWS, context);
        let tensor = |ids: &[u32]| Tensor::from_slice(ids, ids.len(), &Device::Cpu);
        let (ids, targets) = (tensor(&batch.inputs)?, tensor(&batch.targets)?);
        let (done, forward) = counted(|| {
            let weights = params.detached();
            model.logits(&weights, &ids, WINDOWS, context, ops)
        })?;
        done?;
        let (done, train) = counted(|| -> Result<()> {
            let (tape, weights) = (ops.tape(), params.tracked());
            let given = (&ids, &targets);
            let loss = model.loss(&weights, given, WINDOWS, context, ops.on(&tape))?;
            tape.backward(&loss, 1.0)?;
            Ok(())
        })?;
        done?;
        let (claimed, windows) = (model.flops(context), WINDOWS as u64);
        for (what, claimed, made) in [
            ("forwards", claimed.forward, forward),
            ("backwards", claimed.backward, train.saturating_sub(forward)),
        ] {
            expect(
                made == windows * claimed,
                format!(
                    "the {claimed} FLOPs that a window of {context} tokens is said to cost {what}"
                ),
                format!("products of {}", made as f64 / windows as f64),
            )?;
        }
        let cost = &prepared.cost;
        let trained = cost.train_tokens as f64 / context as f64 * claimed.train() as f64;
        expect(
            (cost.train_flops / trained - 1.0).abs() < 1e-12,
            format!("{trained} FLOPs in the record"),
            format!("{}", cost.train_flops),
        )?;
    }
    Ok(())
}

fn state_is_what_is_held(recipe: &Recipe) -> Outcome {
    const WINDOWS: u64 = 2;
    for kv_heads in [3, 1] {
        let mut sets = small();
        sets["model"]["kv_heads"] = json!(kv_heads);
        let experiment = recipe.experiment(&sets)?;
        let (model, ops) = (&experiment.model, experiment.ops);
        let weights = Params::init(model.decls(), 4, &Device::Cpu)?.detached();
        let mut generator = Generator::new(model, &weights, ops, &Device::Cpu, WINDOWS as usize);
        generator.feed(&[0; 2 * (CONTEXT - 1)])?;
        generator.feed(&[0; 2])?;
        let (token, window) = (
            model.cache_scalars_per_token(),
            model.cache_scalars_per_window(),
        );
        let claimed = CONTEXT as u64 * token + window;
        let held = generator.cache().held_scalars();
        expect(
            held == WINDOWS * claimed,
            format!(
                "{claimed} numbers kept of a window of {CONTEXT} tokens: {token} a token and {window} beside them"
            ),
            format!("{}", held as f64 / WINDOWS as f64),
        )?;
    }
    Ok(())
}

fn nothing_is_seen_ahead(recipe: &Recipe) -> Outcome {
    let experiment = recipe.experiment(&small())?;
    let params = Params::init(experiment.model.decls(), 3, &Device::Cpu)?;
    let vocab = experiment.model.shape.vocab;
    let inputs = batch(&experiment, 0).inputs[..CONTEXT].to_vec();
    let before = logits(&experiment, &params.detached(), &inputs)?;
    for changed in [1, 4, CONTEXT - 1] {
        let mut other = inputs.clone();
        other[changed] = (other[changed] + 1) % vocab as u32;
        let after = logits(&experiment, &params.detached(), &other)?;
        let (from, name) = (changed * vocab, format!("token {changed}"));
        expect(
            before[..from] == after[..from],
            format!("{name} to change nothing before it"),
            "that it does",
        )?;
        expect(
            before[from..] != after[from..],
            format!("{name} to be seen"),
            "that it changes nothing",
        )?;
    }
    Ok(())
}

/// A prompt, two tokens at once, then one by one.
fn decoding_is_the_forward_pass(recipe: &Recipe) -> Outcome {
    const ROWS: usize = 2;
    for kv_heads in [3, 1] {
        let mut sets = small();
        sets["model"]["kv_heads"] = json!(kv_heads);
        // Large enough that a wrong cache is not lost in what the stream holds anyway.
        sets["model"]["init_std"] = json!(0.3);
        let experiment = recipe.experiment(&sets)?;
        let (model, ops) = (&experiment.model, experiment.ops);
        let vocab = model.shape.vocab;
        let weights = Params::init(model.decls(), 4, &Device::Cpu)?.detached();
        let inputs = experiment.source.train(9, 0, ROWS, CONTEXT).inputs;
        let full = logits(&experiment, &weights, &inputs)?;
        let column = |from: usize, to: usize| -> Vec<u32> {
            let of_row = |row: &[u32]| row[from..to].to_vec();
            inputs.chunks(CONTEXT).flat_map(of_row).collect()
        };
        let mut generator = Generator::new(model, &weights, ops, &Device::Cpu, ROWS);
        for (from, to) in [(0, 4), (4, 6), (6, 7), (7, 8), (8, 9), (9, 10)] {
            let got = values(&generator.feed(&column(from, to))?)?;
            for row in 0..ROWS {
                let at = (row * CONTEXT + to - 1) * vocab;
                let far = got[row * vocab..(row + 1) * vocab]
                    .iter()
                    .zip(&full[at..at + vocab])
                    .map(|(got, want)| (got - want).abs())
                    .fold(0.0, f32::max);
                expect(
                    far < 1e-4,
                    format!("the logits of the whole window after token {to}, fed from {from}"),
                    format!("logits off by {far:e}"),
                )?;
            }
        }
        let refused = generator.feed(&[0; ROWS]).is_err();
        expect(refused, "a full context to be refused", "more logits")?;
    }
    Ok(())
}

fn fused_is_the_reference(recipe: &Recipe) -> Outcome {
    let fused = recipe.experiment(&small())?;
    let reference = Experiment {
        ops: Ops::reference(),
        ..recipe.experiment(&small())?
    };
    let run = |experiment: &Experiment| -> Result<(Vec<f64>, Vec<f32>)> {
        let mut trainer = trainer(experiment, 7)?;
        let (_, gradient) = trainer.gradient(&batch(experiment, 0))?;
        let numbers = gradient.tensors.iter().map(values);
        let gradient = numbers.collect::<Result<Vec<_>>>()?.concat();
        let losses = (0..4).map(|step| Ok(trainer.step(&batch(experiment, step))?.loss));
        Ok((losses.collect::<Result<_>>()?, gradient))
    };
    let ((fused, of_fused), (reference, of_reference)) = (run(&fused)?, run(&reference)?);
    let far = distance(&of_fused, &of_reference);
    expect(
        far < ROUNDING,
        "the gradient of candle's plain operations",
        format!("one off by {far:e} of it"),
    )?;
    for (fused, reference) in fused.into_iter().zip(reference) {
        expect(
            (fused - reference).abs() < 1e-4,
            format!("a loss of {reference} as by candle's plain operations"),
            format!("{fused}"),
        )?;
    }
    Ok(())
}

/// A batch in parts, of unequal weight, has the gradient of the whole: no window sees another.
fn windows_are_strangers(recipe: &Recipe) -> Outcome {
    let gradients = |shards: usize| -> std::result::Result<(f64, Vec<f32>), Fault> {
        let mut sets = small();
        sets["model"]["context"] = json!(12);
        sets["train"]["batch"] = json!(5);
        sets["data"] = json!({"kind": "mqar"});
        sets["compute"] = json!({"shards": shards});
        let experiment = recipe.experiment(&sets)?;
        let mut batch = batch(&experiment, 0);
        // One window asks nothing.
        batch.targets[..24].fill(IGNORE);
        let (loss, gradient) = trainer(&experiment, 8)?.gradient(&batch)?;
        let numbers = gradient.tensors.iter().map(values);
        let all = numbers.collect::<Result<Vec<_>>>()?.concat();
        let norm = all.iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
        expect(
            (norm / gradient.norm - 1.0).abs() < 1e-5,
            format!("a gradient of norm {norm}"),
            format!("{}", gradient.norm),
        )?;
        Ok((loss, all))
    };
    let (loss, whole) = gradients(1)?;
    for shards in [2, 5] {
        let (sum, parts) = gradients(shards)?;
        let far = distance(&parts, &whole);
        expect(
            (sum - loss).abs() < 1e-5 && far < 1e-5,
            format!("loss {loss} and its gradient from {shards} parts of a batch"),
            format!("{sum}, and a gradient off by {far:e} of it"),
        )?;
    }
    Ok(())
}

fn threads_change_no_bit(recipe: &Recipe) -> Outcome {
    const STEPS: u64 = 6;
    let experiment = recipe.experiment(&small())?;
    let run = |threads: usize, seed: u64| -> std::result::Result<Vec<Vec<u32>>, Fault> {
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = builder.build().map_err(candle_core::Error::wrap)?;
        let made = pool.install(|| -> Result<Vec<Vec<u32>>> {
            let mut trainer = trainer(&experiment, seed)?;
            for step in 0..STEPS {
                trainer.step(&batch(&experiment, step))?;
            }
            let bits = |numbers: Vec<f32>| numbers.into_iter().map(f32::to_bits).collect();
            let vars = trainer.params().vars().iter();
            vars.map(|var| Ok(bits(values(var)?))).collect()
        });
        Ok(made?)
    };
    let first = run(1, 5)?;
    let same = |other: &[Vec<u32>]| first.as_slice() == other;
    let after = format!("after {STEPS} steps");
    for (holds, expected, found) in [
        (same(&run(1, 5)?), "the same parameters again", "others"),
        (
            same(&run(2, 5)?),
            "the parameters of one thread on two",
            "others",
        ),
        (
            !same(&run(1, 6)?),
            "other parameters from another seed",
            "the same",
        ),
    ] {
        expect(holds, format!("{expected} {after}"), found)?;
    }
    Ok(())
}
