//! The inference half of a trial: time to first token, prefill and decode rates.

use super::quality::{self, Packed};
use super::settle::Experiment;
use crate::device::{Opened, Workers};
use crate::error::Result;
use crate::infer::{Generator, Sampling};
use crate::measure::Clock;
use crate::measure::energy::Metering;
use crate::model::{Cache, Params, Weights};
use crate::ops::{Activations, Narrowed, Ops};
use crate::reading::Phase;

/// Seconds, sample by sample, and what is served.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Serving {
    /// Bytes of weights that one step of decoding reads.
    pub bytes_read: u64,
    /// Bytes of what is kept of earlier tokens that a step reads, half way through the generated ones.
    pub cache_read: u64,
    /// What the weights that are served are worth, where they were packed from others that are there.
    pub packed: Option<Packed>,
    /// One prompt of every window, from the first to the logits after the last.
    pub prefill_s: Vec<f64>,
    /// Prefill and the first token picked.
    pub ttft_s: Vec<f64>,
    /// One further token of every window.
    pub decode_s: Vec<f64>,
    /// Prompts of every window that the phase `prefill` fed, where meters are open.
    pub metered_prompts: u64,
    /// Generations of every window, prompts included, of the phase `generate`.
    pub metered_generations: u64,
}

/// Tokens of a window that are put into the cache at once before anything is timed.
const FILLED_AT_ONCE: usize = 512;

/// Where a meter is open, prompts and generations are each repeated for at least this long: more than a processor's counters
/// need. A GPU's need `measure.window_s = 5`, which nobody should wait for who has not asked.
pub(super) const METERED_S: f64 = 0.3;

/// Generates from validation prompts again and again for `measure.window_s`, at least three times; before each, the cache holds
/// `infer.depth` tokens.
pub fn serve(
    experiment: &Experiment,
    params: &Params,
    seed: u64,
    opened: &Opened,
    clock: &dyn Clock,
    meters: &Metering,
) -> Result<Serving> {
    let infer = &experiment.infer;
    let weights = experiment.model.serving(params, infer.weights)?;
    let weights = weights.with_activations(infer.activations);
    let weights = weights.with_cache(infer.cache);
    let narrowed = Narrowed::default();
    let ops = experiment
        .ops
        .for_device(&opened.device)?
        .keeping(&narrowed);
    let served = Served::fill(experiment, &weights, ops, opened)?;
    let prompt = &served.prompt;
    let mut sampling = (infer.sampling)(seed);
    let mut serving = Serving {
        bytes_read: experiment.model.bytes_read(&weights, infer.batch),
        cache_read: served.cache_read(),
        packed: packed(experiment, params, &weights, opened)?,
        ..Serving::default()
    };
    let start_s = clock.now_s();
    while serving.ttft_s.len() < 4 || clock.now_s() - start_s < experiment.measure.window_s {
        let mut generator = served.generator()?;
        let from_s = clock.now_s();
        let mut logits = generator.feed(prompt)?;
        serving.prefill_s.push(clock.now_s() - from_s);
        let mut tokens = sampling.pick(&logits)?;
        serving.ttft_s.push(clock.now_s() - from_s);
        for _ in 1..infer.generate {
            let from_s = clock.now_s();
            logits = generator.feed(&tokens)?;
            tokens = sampling.pick(&logits)?;
            serving.decode_s.push(clock.now_s() - from_s);
        }
    }
    serving.bytes_read -= narrowed.spared_bytes();
    if meters.is_open() {
        metered(&served, &mut sampling, clock, meters, &mut serving)?;
    }
    Ok(serving)
}

/// What is served, and where every repetition begins.
struct Served<'a> {
    experiment: &'a Experiment,
    weights: &'a Weights,
    ops: Ops<'a>,
    opened: &'a Opened,
    /// With `infer.depth` tokens of every window.
    cache: Cache,
    prompt: Vec<u32>,
}

impl<'a> Served<'a> {
    fn fill(
        experiment: &'a Experiment,
        weights: &'a Weights,
        ops: Ops<'a>,
        opened: &'a Opened,
    ) -> Result<Self> {
        let infer = &experiment.infer;
        let tokens = infer.depth + infer.prompt + infer.generate;
        let mut served = Self {
            experiment,
            weights,
            ops,
            opened,
            cache: experiment.model.cache(infer.batch, tokens),
            prompt: Vec::new(),
        };
        let rows = rows(experiment, infer.batch)?;
        let columns = |from: usize, to: usize| -> Vec<u32> {
            let rows = rows.iter().flat_map(|row| &row[from..to]);
            rows.copied().collect()
        };
        let mut generator = served.generator()?;
        for from in (0..infer.depth).step_by(FILLED_AT_ONCE) {
            generator.feed(&columns(from, (from + FILLED_AT_ONCE).min(infer.depth)))?;
        }
        served.cache = generator.cache().copied()?;
        served.prompt = columns(infer.depth, infer.depth + infer.prompt);
        Ok(served)
    }

    fn generator(&self) -> Result<Generator<'a>> {
        let (model, batch) = (&self.experiment.model, self.experiment.infer.batch);
        let generator = Generator::new(model, self.weights, self.ops, &self.opened.device, batch);
        Ok(generator.with(self.cache.copied()?))
    }

    /// Bytes of cache that the middle one of the generated tokens reads.
    fn cache_read(&self) -> u64 {
        let infer = &self.experiment.infer;
        let seen = infer.depth + infer.prompt + infer.generate / 2;
        infer.batch as u64 * self.experiment.cache_bytes(seen)
    }
}

/// Prompts, then whole generations, each for as long as a meter needs. Where the cache is filled before, that is no part of either.
fn metered(
    served: &Served,
    sampling: &mut Sampling,
    clock: &dyn Clock,
    meters: &Metering,
    serving: &mut Serving,
) -> Result<()> {
    let infer = &served.experiment.infer;
    let seconds = served.experiment.measure.window_s.max(METERED_S);
    let repeat = |phase: Phase, once: &mut dyn FnMut(Generator) -> Result<()>| -> Result<u64> {
        let (mut spent_s, mut times) = (0.0, 0);
        meters.begin(phase);
        while times == 0 || spent_s < seconds {
            if infer.depth > 0 {
                meters.begin(Phase::Other);
            }
            let generator = served.generator()?;
            if infer.depth > 0 {
                meters.begin(phase);
            }
            let from_s = clock.now_s();
            once(generator)?;
            spent_s += clock.now_s() - from_s;
            times += 1;
        }
        Ok(times)
    };
    serving.metered_prompts = repeat(Phase::Prefill, &mut |mut generator| {
        generator.feed(&served.prompt).map(drop)
    })?;
    serving.metered_generations = repeat(Phase::Generate, &mut |mut generator| {
        let made = generator.generate(&served.prompt, infer.generate, sampling);
        made.map(drop)
    })?;
    meters.begin(Phase::Other);
    Ok(())
}

/// What packing did, where weights were packed from others that are there.
fn packed(
    experiment: &Experiment,
    params: &Params,
    weights: &Weights,
    opened: &Opened,
) -> Result<Option<Packed>> {
    let as_in_file =
        experiment.serves_the_file() && experiment.infer.activations == Activations::F32;
    if experiment.infer.weights.is_none() || as_in_file {
        return Ok(None);
    }
    let workers = Workers::new(experiment.shards)?;
    let both = [params.detached(), weights.clone()];
    quality::compare(experiment, both, &workers, opened).map(Some)
}

/// The tokens that fill the cache and prompt, so many rows: of each held-out window, and of those behind it
/// where it is too short, from the first again where there are too few.
pub(super) fn rows(experiment: &Experiment, n: usize) -> Result<Vec<Vec<u32>>> {
    let (infer, context) = (&experiment.infer, experiment.model.shape.context);
    let validation = experiment
        .source
        .held_out(experiment.held_out, n, context)?;
    let windows = validation.iter().map(|v| v.batch.inputs.as_slice());
    let tokens: Vec<u32> = windows.flatten().copied().collect();
    let row = |k: usize| -> Vec<u32> {
        let from = k * context % tokens.len();
        let stream = tokens[from..].iter().chain(tokens.iter().cycle());
        stream.take(infer.depth + infer.prompt).copied().collect()
    };
    Ok((0..n).map(row).collect())
}
