//! Rules of forward passes: what they cost, what they keep, what they see.

use candle_core::{Device, Tensor};
use serde_json::json;

use super::recipe::{
    CONTEXT, Recipe, allowed, batch, distance, logits, losses, mixes_tokens, small, values,
};
use super::rule::{Outcome, expect};
use crate::error::Result;
use crate::infer::Generator;
use crate::model::{Model, Params, Span};
use crate::ops::{DType, Ops, counted};
use crate::trial::Experiment;

/// Forwards alone, and with its gradient; within a tile of attention's 64 queries, over one, over two; one key head for all and
/// one for each.
pub(super) fn work_is_what_is_counted(recipe: &Recipe) -> Outcome {
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
        let ids = tensor(&batch.inputs)?;
        let (done, forward) = counted(|| {
            let weights = params.detached();
            model.logits(&weights, &ids, WINDOWS, context, ops)
        })?;
        done?;
        let (done, train) = counted(|| -> Result<()> {
            let (tape, weights) = (ops.tape(), params.tracked());
            let given = (&ids, batch.targets.as_slice());
            let loss = model.loss(&weights, given, WINDOWS, context, ops.on(&tape))?;
            tape.backward(&loss, 1.0)?;
            Ok(())
        })?;
        done?;
        let (claimed, windows) = (model.work(Span::window(context)), WINDOWS as u64);
        let training = model.training(context);
        for (what, claimed, made) in [
            ("forwards", claimed.forward, forward),
            (
                "beyond that in training",
                training.train() - claimed.forward,
                train.saturating_sub(forward),
            ),
        ] {
            expect(
                made == windows * claimed,
                format!(
                    "the {claimed} FLOPs that a window of {context} tokens is said to cost {what}"
                ),
                format!("products of {}", made as f64 / windows as f64),
            )?;
        }
        decoding_costs_what_is_said(model, ops, &params, &batch.inputs[..context])?;
        let cost = &prepared.cost;
        let trained = cost.train_tokens as f64 / context as f64 * training.train() as f64;
        expect(
            (cost.train_flops / trained - 1.0).abs() < 1e-12,
            format!("{trained} FLOPs in the record"),
            format!("{}", cost.train_flops),
        )?;
    }
    Ok(())
}

/// The last token of a window, after a prompt of all others.
fn decoding_costs_what_is_said(
    model: &Model,
    ops: Ops,
    params: &Params,
    window: &[u32],
) -> Outcome {
    let weights = params.detached();
    let mut generator = Generator::new(model, &weights, ops, &Device::Cpu, 1);
    let seen = window.len() - 1;
    generator.feed(&window[..seen])?;
    let (done, made) = counted(|| generator.feed(&window[seen..]))?;
    done?;
    let claimed = model.work(Span::token_after(seen)).forward;
    expect(
        made == claimed,
        format!("the {claimed} FLOPs that a token after {seen} others is said to cost"),
        format!("products of {made}"),
    )
}

pub(super) fn state_is_what_is_held(recipe: &Recipe) -> Outcome {
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
        let claimed = model.state_scalars(CONTEXT);
        let held = generator.cache().held_scalars();
        expect(
            held == WINDOWS * claimed,
            format!("{claimed} numbers kept of a window of {CONTEXT} tokens"),
            format!("{}", held as f64 / WINDOWS as f64),
        )?;
    }
    Ok(())
}

pub(super) fn nothing_is_seen_ahead(recipe: &Recipe) -> Outcome {
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
            before[..from] == after[..from] || mixes_tokens(&experiment.model),
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
pub(super) fn decoding_is_the_forward_pass(recipe: &Recipe) -> Outcome {
    const ROWS: usize = 2;
    for kv_heads in [3, 1] {
        let mut sets = small();
        sets["model"]["kv_heads"] = json!(kv_heads);
        // Large enough that a wrong cache is not lost in what the stream holds anyway.
        sets["model"]["init_std"] = json!(0.3);
        let experiment = recipe.experiment(&sets)?;
        let (model, ops) = (&experiment.model, experiment.ops);
        let (vocab, near) = (model.shape.vocab, allowed(model, 1e-4));
        let weights = Params::init(model.decls(), 4, &Device::Cpu)?.detached();
        let inputs = experiment.source.train(9, 0, ROWS, CONTEXT).inputs;
        let full = logits(&experiment, &weights, &inputs)?;
        let column = |from: usize, to: usize| -> Vec<u32> {
            let of_row = |row: &[u32]| row[from..to].to_vec();
            inputs.chunks(CONTEXT).flat_map(of_row).collect()
        };
        let mut generator = Generator::new(model, &weights, ops, &Device::Cpu, ROWS);
        for (from, to) in [(0, 4), (4, 6), (6, 7), (7, 8), (8, 9), (9, 10)] {
            let copies = generator.repeated(COPIES)?;
            let got = values(&generator.feed(&column(from, to))?)?;
            for row in 0..ROWS {
                let at = (row * CONTEXT + to - 1) * vocab;
                let far = got[row * vocab..(row + 1) * vocab]
                    .iter()
                    .zip(&full[at..at + vocab])
                    .map(|(got, want)| (got - want).abs())
                    .fold(0.0, f32::max);
                expect(
                    f64::from(far) < near || mixes_tokens(model),
                    format!("the logits of the whole window after token {to}, fed from {from}"),
                    format!("logits off by {far:e}"),
                )?;
            }
            copies_go_on_alike(model, copies, &column(from, to), (&got[..], to - from))?;
        }
        let refused = generator.feed(&[0; ROWS]).is_err();
        expect(refused, "a full context to be refused", "more logits")?;
    }
    Ok(())
}

const COPIES: usize = 3;

/// What a prompt left, copied, goes on as it would have itself; `given` are its logits after so many more tokens.
fn copies_go_on_alike(
    model: &Model,
    mut copies: Generator,
    next: &[u32],
    (given, tokens): (&[f32], usize),
) -> Outcome {
    let of_copies: Vec<u32> = next
        .chunks(tokens)
        .flat_map(|row| row.repeat(COPIES))
        .collect();
    let got = values(&copies.feed(&of_copies)?)?;
    let vocab = model.shape.vocab;
    let expected = given.chunks(vocab).flat_map(|row| row.repeat(COPIES));
    let far = got
        .iter()
        .zip(expected)
        .map(|(got, want)| (got - want).abs())
        .fold(0.0, f32::max);
    expect(
        f64::from(far) < allowed(model, 1e-4) || mixes_tokens(model),
        format!("{COPIES} copies of a prompt's state to go on alike"),
        format!("logits off by {far:e}"),
    )
}

/// An emulated one, step by step and token by token, in f32 and in bf16; nothing where this machine has no C++ compiler.
pub(super) fn a_gpu_computes_the_same(recipe: &Recipe) -> Outcome {
    let mut sets = small();
    // Heads that fit tensor cores.
    sets["model"]["width"] = json!(32);
    sets["model"]["heads"] = json!(2);
    sets["compute"] = json!({"shards": 1});
    let cpu = recipe.experiment(&sets)?;
    let (truth, served) = (losses(&cpu, 2)?, served(&cpu)?);
    for (dtype, near, near_logits) in [(DType::F32, 1e-3, 1e-4), (DType::BF16, 3e-2, 5e-2)] {
        let Some(ops) = Ops::emulated(dtype) else {
            return Ok(());
        };
        let gpu = Experiment {
            ops,
            ..recipe.experiment(&sets)?
        };
        for (step, (found, truth)) in losses(&gpu, 2)?.iter().zip(&truth).enumerate() {
            expect(
                (found - truth).abs() < allowed(&cpu.model, near),
                format!("a loss of {truth} at step {step} in {dtype:?}, as on the CPU"),
                format!("{found}"),
            )?;
        }
        let on_gpu = self::served(&gpu)?;
        for (what, found, truth) in [
            ("a whole window", &on_gpu[0], &served[0]),
            ("a window token by token", &on_gpu[1], &served[1]),
        ] {
            let far = distance(found, truth);
            expect(
                far < allowed(&cpu.model, near_logits),
                format!("the CPU's logits of {what} in {dtype:?}"),
                format!("logits off by {far:e} of them"),
            )?;
        }
    }
    Ok(())
}

/// Logits after the last token of a window, whole, and fed as a prompt and then token by token.
fn served(experiment: &Experiment) -> Result<[Vec<f32>; 2]> {
    let (model, device) = (&experiment.model, Device::Cpu);
    let weights = Params::init(model.decls(), 3, &device)?.detached();
    let inputs = &batch(experiment, 0).inputs[..CONTEXT];
    let whole = logits(experiment, &weights, inputs)?;
    let mut generator = Generator::new(model, &weights, experiment.ops, &device, 1);
    let mut last = generator.feed(&inputs[..4])?;
    for token in &inputs[4..] {
        last = generator.feed(&[*token])?;
    }
    let last = values(&last)?;
    Ok([whole[whole.len() - last.len()..].to_vec(), last])
}
