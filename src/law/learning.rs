//! Rules that train.

use serde_json::json;

use super::recipe::{
    CONTEXT, Recipe, STATES, allowed, batch, distance, mixes_tokens, on_threads, small, trainer,
    values,
};
use super::rule::{Fault, Outcome, expect};
use crate::data::{Batch, IGNORE};
use crate::error::Result;
use crate::model::{Decl, Init, Role};
use crate::ops::Ops;
use crate::train::Trainer;
use crate::trial::settle::tree_of;
use crate::trial::{Experiment, settle};

/// Rounding of f32, relative to a gradient of many sums.
const ROUNDING: f64 = 1e-3;

pub(super) fn settles_to_itself(recipe: &Recipe) -> Outcome {
    let first = recipe.settled(&json!({}))?;
    let again = settle(&recipe.registry, &tree_of(&first.spec, &first.paths)?)?;
    expect(
        first.spec == again.spec,
        "the settled spec again",
        "another one: a knob is written with another value than was read",
    )
}

pub(super) fn every_parameter_learns(recipe: &Recipe) -> Outcome {
    let experiment = recipe.experiment(&small())?;
    let mut trainer = trainer(&experiment, 1)?;
    let all = |trainer: &Trainer| -> Result<Vec<Vec<f32>>> {
        trainer.params().vars().iter().map(|v| values(v)).collect()
    };
    let before = all(&trainer)?;
    // The first warm-up steps are tiny and gains start at one, so gradients are looked at before any step. What stands before a
    // matrix of zeros has none until that has moved, and before two of them one step later.
    let decls = experiment.model.decls();
    let trained = experiment.model.trained();
    let is_matrix = |decl: &&Decl| matches!(decl.role, Role::Matrix | Role::Head);
    let closed = |decl: &Decl| matches!(decl.init, Init::Zeros | Init::Normal(0.0));
    let patience = if trained.iter().filter(is_matrix).any(closed) {
        3
    } else {
        1
    };
    let mut sizes = vec![0f32; trained.len()];
    for step in 0..patience {
        let (_, gradient) = trainer.gradient(&batch(&experiment, step))?;
        for (size, grad) in sizes.iter_mut().zip(&gradient.tensors) {
            // What is no number stays what it is.
            let of_step = values(grad)?.iter().map(|g| g.abs()).fold(0.0, f32::max);
            let unknown = values(grad)?.iter().any(|g| !g.is_finite());
            *size = match unknown || size.is_nan() {
                true => f32::NAN,
                false => size.max(of_step),
            };
        }
        if step + 1 < patience {
            trainer.step(&batch(&experiment, step))?;
        }
    }
    for (decl, size) in trained.iter().zip(sizes) {
        expect(
            size > 0.0,
            format!("a finite gradient of {} that is not 0", decl.name),
            format!("one whose largest number is {size}"),
        )?;
    }
    for step in 0..2 {
        let step = trainer.step(&batch(&experiment, step))?;
        expect(step.is_finite(), "a finite step", format!("{step:?}"))?;
    }
    for ((decl, before), after) in decls.iter().zip(before).zip(all(&trainer)?) {
        // A buffer's part says when it moves.
        if decl.buffer {
            continue;
        }
        let moved = before != after;
        let (expected, found) = match decl.trains {
            true => (format!("two steps to move {}", decl.name), "it as it was"),
            false => (
                format!("{} to stay, which is frozen", decl.name),
                "it moved",
            ),
        };
        expect(moved == decl.trains, expected, found)?;
    }
    Ok(())
}

pub(super) fn one_batch_is_overfitted(recipe: &Recipe) -> Outcome {
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
        // What is learnt needs no further steps to show it.
        if last < ENOUGH_NATS {
            return Ok(());
        }
    }
    expect(
        false,
        format!(
            "less than {ENOUGH_NATS} nats within {} steps on one batch",
            experiment.steps
        ),
        format!("{last:.3}"),
    )
}

/// A batch in parts, of unequal weight, has the gradient of the whole: no window sees another.
pub(super) fn windows_are_strangers(recipe: &Recipe) -> Outcome {
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
        let gradient = || trainer(&experiment, 8)?.gradient(&batch);
        let (loss, gradient) = on_threads(1, gradient)?;
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
    let model = recipe.experiment(&small())?.model;
    if mixes_tokens(&model) {
        return Ok(());
    }
    let near = allowed(&model, 1e-5);
    let (loss, whole) = gradients(1)?;
    for shards in [2, 5] {
        let (sum, parts) = gradients(shards)?;
        let far = distance(&parts, &whole);
        expect(
            (sum - loss).abs() < near && far < near,
            format!("loss {loss} and its gradient from {shards} parts of a batch"),
            format!("{sum}, and a gradient off by {far:e} of it"),
        )?;
    }
    Ok(())
}

/// A batch whole, so that two threads work on one operation, and in parts.
pub(super) fn threads_change_no_bit(recipe: &Recipe) -> Outcome {
    const STEPS: u64 = 3;
    for shards in [1, 3] {
        let mut sets = small();
        sets["compute"] = json!({"shards": shards});
        let experiment = recipe.experiment(&sets)?;
        let run = |threads: usize, seed: u64| {
            on_threads(threads, || -> Result<Vec<Vec<u32>>> {
                let mut trainer = trainer(&experiment, seed)?;
                for step in 0..STEPS {
                    trainer.step(&batch(&experiment, step))?;
                }
                let bits = |numbers: Vec<f32>| numbers.into_iter().map(f32::to_bits).collect();
                let vars = trainer.params().vars().iter();
                vars.map(|var| Ok(bits(values(var)?))).collect()
            })
        };
        let first = run(1, 5)?;
        for (threads, seed, same) in [(1, 5, true), (2, 5, true), (1, 6, false)] {
            expect(
                (run(threads, seed)? == first) == same,
                format!(
                    "{} parameters from seed {seed} on {threads} threads as from seed 5 on one, after {STEPS} steps of {shards} parts",
                    if same { "the same" } else { "other" },
                ),
                if same { "others" } else { "the same" },
            )?;
        }
    }
    Ok(())
}

pub(super) fn fused_is_the_reference(recipe: &Recipe) -> Outcome {
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
    let model = &recipe.experiment(&small())?.model;
    let ((fused, of_fused), (reference, of_reference)) = (run(&fused)?, run(&reference)?);
    let far = distance(&of_fused, &of_reference);
    expect(
        far < allowed(model, ROUNDING),
        "the gradient of candle's plain operations",
        format!("one off by {far:e} of it"),
    )?;
    // Each update may double what rounding made of the one before: decompositions of a young gradient's squares do.
    for (step, (fused, reference)) in fused.into_iter().zip(reference).enumerate() {
        let grown = 1e-4 * f64::from(1_u32 << step);
        expect(
            (fused - reference).abs() < allowed(model, grown),
            format!("a loss of {reference} as by candle's plain operations"),
            format!("{fused}"),
        )?;
    }
    Ok(())
}
