//! The inference half of a trial: time to first token, prefill and decode rates.

use super::quality::{self, Quality};
use super::settle::Experiment;
use crate::device::{Opened, Workers};
use crate::error::Result;
use crate::infer::Generator;
use crate::measure::Clock;
use crate::measure::energy::Metering;
use crate::model::{Params, Weights};
use crate::ops::Narrowed;
use crate::reading::Phase;

/// Seconds, sample by sample, and what is served.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Serving {
    /// Bytes of weights that one step of decoding reads.
    pub bytes_read: u64,
    /// What the weights that are served are worth, where they are packed.
    pub quality: Option<Quality>,
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

/// Where a meter is open, prompts and generations are each repeated for at least this long: more than a processor's counters
/// need. A GPU's need `measure.window_s = 5`, which nobody should wait for who has not asked.
const METERED_S: f64 = 0.3;

/// Generates from validation prompts again and again for `measure.window_s`, at least three times.
pub fn serve(
    experiment: &Experiment,
    params: &Params,
    seed: u64,
    opened: &Opened,
    clock: &dyn Clock,
    meters: &Metering,
) -> Result<Serving> {
    let infer = &experiment.infer;
    let prompt = prompts(experiment)?;
    let weights = experiment.model.serving(params, infer.weights)?;
    let narrowed = Narrowed::default();
    let ops = experiment
        .ops
        .for_device(&opened.device)?
        .keeping(&narrowed);
    let mut sampling = (infer.sampling)(seed);
    let mut serving = Serving {
        bytes_read: experiment.model.bytes_read(&weights, infer.batch),
        quality: packed(experiment, &weights, opened)?,
        ..Serving::default()
    };
    let start_s = clock.now_s();
    while serving.ttft_s.len() < 4 || clock.now_s() - start_s < experiment.measure.window_s {
        let mut generator = Generator::new(
            &experiment.model,
            &weights,
            ops,
            &opened.device,
            infer.batch,
        );
        let from_s = clock.now_s();
        let mut logits = generator.feed(&prompt)?;
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
    if meters.is_open() {
        let seconds = experiment.measure.window_s.max(METERED_S);
        let generator = || {
            Generator::new(
                &experiment.model,
                &weights,
                ops,
                &opened.device,
                infer.batch,
            )
        };
        meters.begin(Phase::Prefill);
        serving.metered_prompts = repeat(clock, seconds, || generator().feed(&prompt).map(drop))?;
        meters.begin(Phase::Generate);
        serving.metered_generations = repeat(clock, seconds, || {
            generator()
                .generate(&prompt, infer.generate, &mut sampling)
                .map(drop)
        })?;
        meters.begin(Phase::Other);
    }
    Ok(serving)
}

/// The quality of weights that were packed.
fn packed(experiment: &Experiment, weights: &Weights, opened: &Opened) -> Result<Option<Quality>> {
    if experiment.infer.weights.is_none() {
        return Ok(None);
    }
    let workers = Workers::new(experiment.shards)?;
    quality::evaluate(experiment, weights.clone(), &workers, opened).map(Some)
}

/// Does it again and again for so many seconds, and says how often.
fn repeat(clock: &dyn Clock, seconds: f64, mut once: impl FnMut() -> Result<()>) -> Result<u64> {
    let start_s = clock.now_s();
    let mut times = 0;
    while times == 0 || clock.now_s() - start_s < seconds {
        once()?;
        times += 1;
    }
    Ok(times)
}

/// The first `infer.prompt` tokens of held-out windows, row-major; windows repeat where there are too few.
fn prompts(experiment: &Experiment) -> Result<Vec<u32>> {
    let (infer, context) = (&experiment.infer, experiment.model.shape.context);
    let validation = experiment
        .source
        .held_out(experiment.held_out, infer.batch, context)?;
    let windows: Vec<&[u32]> = validation
        .iter()
        .flat_map(|v| v.batch.inputs.chunks(context))
        .collect();
    Ok(windows
        .iter()
        .cycle()
        .take(infer.batch)
        .flat_map(|window| &window[..infer.prompt])
        .copied()
        .collect())
}
