//! Decoding with tokens guessed ahead (`infer.draft`) beside decoding without, behind the same held-out prompts.

use super::draft::{By, Draft, PROMPTS};
use super::figure::{known, to_tenth_us};
use super::serving::{METERED_S, rows};
use super::settle::Experiment;
use crate::device::Opened;
use crate::error::Result;
use crate::infer::{Drafter, Drafting, Generator, Lookup, Sampling, Speculative};
use crate::measure::Clock;
use crate::measure::energy::Metering;
use crate::model::{Cache, Model, Params, Span, Weights};
use crate::ops::{Narrowed, Ops};
use crate::reading::{self, Absent, Phase};
use crate::record::Drafted;
use crate::record::metric::{self as name, Metric};
use crate::stat;

/// What guessing ahead brings; nothing where the spec asks for none.
pub fn measure(
    experiment: &Experiment,
    params: &Params,
    seed: u64,
    opened: &Opened,
    clock: &dyn Clock,
    meters: &Metering,
) -> Result<Option<Drafted>> {
    let infer = &experiment.infer;
    let Some(draft) = &infer.draft else {
        return Ok(None);
    };
    let weights = experiment.model.serving(params, infer.weights)?;
    let weights = weights.with_activations(infer.activations);
    let weights = weights.with_cache(infer.cache);
    let guessing = guessing(experiment, draft, opened)?;
    let narrowed = Narrowed::default();
    let ops = experiment.ops.for_device(&opened.device)?;
    let race = Race {
        experiment,
        draft,
        weights: &weights,
        guessing: guessing.as_ref(),
        ops: ops.keeping(&narrowed),
        opened,
        clock,
        meters,
    };
    race.run(seed).map(Some)
}

/// The smaller model and its numbers; none where the text itself is looked up.
fn guessing<'a>(
    experiment: &Experiment,
    draft: &'a Draft,
    opened: &Opened,
) -> Result<Option<(&'a Model, Weights)>> {
    let By::Model { model, packing } = &draft.by else {
        return Ok(None);
    };
    let params = match packing {
        Some(_) => model.start_packed(0)?,
        None => model.start(0, &opened.device)?,
    };
    let weights = model.serving(&params, *packing)?;
    let weights = weights.with_activations(experiment.infer.activations);
    Ok(Some((model, weights)))
}

/// Both ways of decoding.
struct Race<'a> {
    experiment: &'a Experiment,
    draft: &'a Draft,
    weights: &'a Weights,
    guessing: Option<&'a (&'a Model, Weights)>,
    ops: Ops<'a>,
    opened: &'a Opened,
    clock: &'a dyn Clock,
    meters: &'a Metering,
}

/// A prompt, with what both models have seen of it before anything is timed.
struct Begun {
    prompt: Vec<u32>,
    /// All but its last token.
    own: Cache,
    /// All of it.
    draft: Option<Cache>,
    /// Seconds in which the smaller model did.
    read_s: f64,
}

/// One prompt with guesses.
struct Run {
    tokens: Vec<u32>,
    seconds: f64,
    guessed: u64,
    taken: u64,
    passes: u64,
    model_flops: u64,
    draft_flops: u64,
}

impl Run {
    /// Counts what does not differ when it is run again, `same` whether plain decoding had the same tokens.
    fn count(&self, found: &mut Drafted, same: bool) {
        found.guessed.push(self.guessed);
        found.taken.push(self.taken);
        found.passes.push(self.passes);
        found.model_flops += self.model_flops as f64;
        found.draft_flops += self.draft_flops as f64;
        if let Some(all) = found.same.as_mut() {
            *all += u64::from(same);
        }
    }
}

impl Race<'_> {
    fn run(&self, seed: u64) -> Result<Drafted> {
        let infer = &self.experiment.infer;
        let prompts = self.prompts()?;
        let (mut plain, mut drafted) = ((infer.sampling)(seed), (infer.sampling)(seed));
        let greedy = plain.temperature() == 0.0;
        let mut found = self.blank(greedy, plain.temperature());
        let least_s = match self.meters.is_open() {
            true => self.experiment.measure.window_s.max(METERED_S),
            false => self.experiment.measure.window_s,
        };
        let share_s = least_s / prompts.len() as f64;
        // As often as the first is continued in its share of the window, so are the others: one cache at a time is filled, and once.
        let (mut times, mut timed) = (None, Vec::new());
        for (k, prompt) in prompts.into_iter().enumerate() {
            let begun = self.begin(prompt)?;
            if k == 0 {
                // The first pays for first touches of memory.
                self.plain(&begun, &mut (infer.sampling)(seed))?;
                self.drafted(&begun, &mut (infer.sampling)(seed))?;
            }
            found.read_s += begun.read_s;
            let (from_s, mut pairs) = (self.clock.now_s(), Vec::new());
            while pairs.is_empty()
                || times.map_or(self.clock.now_s() - from_s < share_s, |n| pairs.len() < n)
            {
                let (tokens, seconds) = self.plain(&begun, &mut plain)?;
                let run = self.drafted(&begun, &mut drafted)?;
                if pairs.is_empty() {
                    run.count(&mut found, tokens == run.tokens);
                }
                pairs.push([seconds, run.seconds].map(to_tenth_us));
            }
            times = Some(pairs.len());
            timed.push(pairs);
        }
        for time in 0..times.unwrap_or(0) {
            found
                .plain_s
                .extend(timed.iter().map(|pairs| pairs[time][0]));
            found
                .drafted_s
                .extend(timed.iter().map(|pairs| pairs[time][1]));
        }
        let tokens = (timed.len() as u64 * found.generated) as f64;
        found.model_flops /= tokens;
        found.draft_flops /= tokens;
        found.read_s /= timed.len() as f64;
        Ok(found)
    }

    fn blank(&self, greedy: bool, temperature: f64) -> Drafted {
        let infer = &self.experiment.infer;
        let (model, seen) = (&self.experiment.model, infer.depth + infer.prompt);
        let tokens = infer.generate - 1;
        let after = |token| model.serving_flops(Span::token_after(seen + token));
        let plain: u64 = (0..tokens).map(after).sum();
        let cache = self.guessing.map_or(0, |(model, _)| {
            let bytes = self.experiment.ops.dtype().size_in_bytes() as u64;
            model.state_scalars(seen + infer.generate) * bytes
        });
        let read = self.guessing.map_or(0, |(model, _)| {
            let span = Span {
                seen: 0,
                new: seen as u64,
                learns: false,
            };
            unasked_but_last(model, &span)
        });
        Drafted {
            draft: self.draft.name.clone(),
            draft_tokens: self.draft.tokens as u64,
            generated: tokens as u64,
            temperature,
            guessed: Vec::new(),
            taken: Vec::new(),
            passes: Vec::new(),
            same: greedy.then_some(0),
            plain_flops: plain as f64 / tokens as f64,
            model_flops: 0.0,
            draft_flops: 0.0,
            draft_bytes: self.draft.bytes() + cache,
            plain_s: Vec::new(),
            drafted_s: Vec::new(),
            read_s: 0.0,
            read_flops: Some(read as f64),
        }
    }

    /// Different held-out windows, as long as what is in the cache and the prompt together.
    fn prompts(&self) -> Result<Vec<Vec<u32>>> {
        let experiment = self.experiment;
        let context = experiment.model.shape.context;
        let held_out = experiment
            .source
            .held_out(experiment.held_out, PROMPTS, context)?;
        let windows: usize = held_out.iter().map(|v| v.batch.rows).sum();
        rows(experiment, windows.min(PROMPTS))
    }

    fn generator<'g>(
        &'g self,
        (model, weights): (&'g Model, &'g Weights),
        cache: Cache,
    ) -> Generator<'g> {
        Generator::new(model, weights, self.ops, &self.opened.device, 1).with(cache)
    }

    /// Fills the caches, which every run then goes on from.
    fn begin(&self, prompt: Vec<u32>) -> Result<Begun> {
        let filled = |model: &Model, weights: &Weights, text: &[u32]| -> Result<Cache> {
            let infer = &self.experiment.infer;
            let tokens = infer.depth + infer.prompt + infer.generate;
            let mut generator = self.generator((model, weights), model.cache(1, tokens));
            generator.feed_long(text)?;
            Ok(generator.into_cache())
        };
        let before = &prompt[..prompt.len().saturating_sub(1)];
        let own = filled(&self.experiment.model, self.weights, before)?;
        let from_s = self.clock.now_s();
        let draft = self
            .guessing
            .map(|(model, weights)| filled(model, weights, &prompt));
        let draft = draft.transpose()?;
        let read_s = draft.as_ref().map_or(0.0, |_| self.clock.now_s() - from_s);
        Ok(Begun {
            prompt,
            own,
            draft,
            read_s,
        })
    }

    /// The model that is served, behind what it has seen.
    fn target(&self, begun: &Begun) -> Result<Generator<'_>> {
        let model: &Model = &self.experiment.model;
        Ok(self.generator((model, self.weights), begun.own.copied()?))
    }

    /// Token by token.
    fn plain(&self, begun: &Begun, sampling: &mut Sampling) -> Result<(Vec<u32>, f64)> {
        let mut generator = self.target(begun)?;
        let last = begun.prompt.last().unwrap_or(&0);
        let mut next = sampling.pick(&generator.feed(&[*last])?)?;
        let mut tokens = next.clone();
        let from_s = self.clock.now_s();
        for _ in 1..self.experiment.infer.generate {
            next = sampling.pick(&generator.feed(&next)?)?;
            tokens.extend(&next);
        }
        Ok((tokens, self.clock.now_s() - from_s))
    }

    /// With guesses.
    fn drafted(&self, begun: &Begun, sampling: &mut Sampling) -> Result<Run> {
        let model = &self.experiment.model;
        let drafter: Box<dyn Drafter + '_> = match self.guessing.zip(begun.draft.as_ref()) {
            Some(((model, weights), cache)) => {
                let generator = self.generator((model, weights), cache.copied()?);
                Box::new(Drafting::new(generator))
            }
            None => Box::new(Lookup),
        };
        let mut speculative = Speculative::new(self.target(begun)?, drafter, self.draft.tokens);
        let mut tokens = vec![speculative.begin(&begun.prompt, sampling)?];
        self.meters.begin(Phase::Draft);
        let from_s = self.clock.now_s();
        tokens.extend(speculative.generate(self.experiment.infer.generate - 1, sampling)?);
        let seconds = self.clock.now_s() - from_s;
        self.meters.begin(Phase::Other);
        let counted = &speculative.counted;
        let all = |spans: &[Span]| -> u64 { spans.iter().map(|s| model.serving_flops(*s)).sum() };
        let short = |model: &Model, spans: &[Span]| -> u64 {
            let flops = |span: &Span| unasked_but_last(model, span);
            spans.iter().map(flops).sum()
        };
        Ok(Run {
            tokens,
            seconds,
            guessed: counted.guessed,
            taken: counted.taken,
            passes: (counted.passes.len() + counted.again.len()) as u64,
            model_flops: all(&counted.passes) + short(model, &counted.again),
            draft_flops: self
                .guessing
                .map_or(0, |(model, _)| short(model, speculative.drafting())),
        })
    }
}

/// FLOPs of tokens of which only the last is asked for what follows it.
fn unasked_but_last(model: &Model, span: &Span) -> u64 {
    model.serving_flops(*span) - span.new.saturating_sub(1) * model.head_flops()
}

/// Its figures; nothing where no tokens were guessed ahead.
pub fn metrics(
    drafted: Option<&Drafted>,
    energy: &reading::Energy,
) -> impl Iterator<Item = (String, Metric)> {
    let all = drafted.map(|drafted| {
        let tokens = drafted.generated as f64;
        let rates = drafted.drafted_s.iter().map(|s| tokens / s).collect();
        let (plain_s, drafted_s) = (&drafted.plain_s, &drafted.drafted_s);
        let [plain, with] = [plain_s, drafted_s].map(|all| all.iter().sum::<f64>());
        let each = plain_s.iter().zip(drafted_s).map(|(a, b)| a / b).collect();
        let timed = tokens * drafted_s.len() as f64;
        let joules = energy.phase_j(Phase::Draft).map(|spent| spent / timed);
        let judging: Vec<u64> = drafted.judging().collect();
        let generated = vec![drafted.generated; judging.len()];
        let speedup = match drafted.guessed.iter().sum() {
            0 => Metric::absent(name::SPECULATIVE_SPEEDUP, NOTHING_GUESSED),
            1.. => Metric::samples(name::SPECULATIVE_SPEEDUP, plain / with, each),
        };
        [
            Metric::samples(name::SPECULATIVE_TOKENS_PER_S, timed / with, rates),
            speedup,
            ratio(name::DRAFT_ACCEPTANCE, &drafted.taken, &drafted.guessed),
            ratio(name::TOKENS_PER_PASS, &generated, &judging),
            known(
                name::ENERGY_J_PER_SPECULATIVE_TOKEN,
                joules.map_err(Absent::code),
            ),
        ]
    });
    let names = [
        name::SPECULATIVE_TOKENS_PER_S,
        name::SPECULATIVE_SPEEDUP,
        name::DRAFT_ACCEPTANCE,
        name::TOKENS_PER_PASS,
        name::ENERGY_J_PER_SPECULATIVE_TOKEN,
    ];
    let named = all
        .into_iter()
        .flat_map(move |all| names.into_iter().zip(all));
    named.map(|(name, metric)| (name.to_owned(), metric))
}

/// Only the text itself can have nothing to guess: a model always has.
const NOTHING_GUESSED: &str = "nothing was guessed: no end of the text was there before";

/// All of these over all of those, with its standard error over prompts.
fn ratio(name: &str, of: &[u64], over: &[u64]) -> Metric {
    let sum = |all: &[u64]| all.iter().sum::<u64>() as f64;
    if sum(over) == 0.0 {
        return Metric::absent(name, NOTHING_GUESSED);
    }
    let mean = sum(of) / sum(over);
    let off = of
        .iter()
        .zip(over)
        .map(|(&of, &over)| of as f64 - mean * over as f64);
    let off: Vec<f64> = off.collect();
    let per_prompt = sum(over) / of.len() as f64;
    let se = stat::sd(&off).map(|sd| sd / (off.len() as f64).sqrt() / per_prompt);
    Metric::mean(name, mean, se.unwrap_or(f64::NAN), over.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two prompts at 3/4 and 1/4: residuals 2 and -2 of 8, sd sqrt(8), over sqrt(2) prompts and 8 guesses each.
    #[test]
    fn a_ratio_of_sums_has_its_error_over_prompts() {
        let metric = ratio(name::DRAFT_ACCEPTANCE, &[6, 2], &[8, 8]);
        assert_eq!((metric.value, metric.n), (Some(0.5), Some(16)));
        assert!((metric.se.unwrap() - 0.25).abs() < 1e-12);
        assert!(ratio(name::DRAFT_ACCEPTANCE, &[0], &[0]).reason.is_some());
    }
}
