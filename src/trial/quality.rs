//! How good a trained model is: loss, excess over the oracle in total and by label, accuracy, each with its standard error.

use std::sync::Arc;

use super::settle::Experiment;
use crate::data::{Oracle, Source, Validation};
use crate::device::{Opened, Workers};
use crate::error::{Error, Result};
use crate::infer;
use crate::model::{Beside, Loads, Weights};
use crate::ops::TokenLoss;

/// A mean over tokens whose standard error takes windows as the unit: tokens of one window are not independent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// Sum over all tokens, divided by their number.
    pub mean: f64,
    /// `None` below two windows.
    pub se: Option<f64>,
    /// Tokens.
    pub n: u64,
    /// Parts that the standard error takes as independent.
    pub parts: u64,
}

/// Sum and number of tokens of each window.
#[derive(Debug, Clone, Default, PartialEq)]
struct Windows(Vec<(f64, f64)>);

impl Windows {
    fn open(&mut self) {
        self.0.push((0.0, 0.0));
    }

    fn add(&mut self, value: f64) {
        if let Some((sum, n)) = self.0.last_mut() {
            *sum += value;
            *n += 1.0;
        }
    }

    /// The ratio estimator and its linearised standard error (Cochran 1977, section 2.11).
    fn mean(&self) -> Mean {
        let total: f64 = self.0.iter().map(|w| w.0).sum();
        let n: f64 = self.0.iter().map(|w| w.1).sum();
        let mean = total / n;
        let windows = self.0.iter().filter(|w| w.1 > 0.0).count() as f64;
        let spread: f64 = self.0.iter().map(|(sum, n)| (sum - mean * n).powi(2)).sum();
        let se = (windows >= 2.0).then(|| (spread * windows / (windows - 1.0)).sqrt() / n);
        Mean {
            mean,
            se,
            n: n as u64,
            parts: windows as u64,
        }
    }

    /// Neighbouring windows of one text tell of the same things, and are no independent parts of it: as many of them in each part as
    /// there are parts, by number the root of that of the windows (batch means; Flegal and Jones 2010, section 3). A few windows stand
    /// alone, and so do those that a source draws one by one.
    fn in_blocks(&self, is_text: bool) -> Self {
        let all: Vec<(f64, f64)> = self.0.iter().copied().filter(|w| w.1 > 0.0).collect();
        if !is_text || all.len() < FEW {
            return Self(all);
        }
        let blocks = all.len().isqrt();
        let mut sums = vec![(0.0, 0.0); blocks];
        for (k, (sum, n)) in all.iter().enumerate() {
            let block = &mut sums[k * blocks / all.len()];
            *block = (block.0 + sum, block.1 + n);
        }
        Self(sums)
    }
}

/// Fewer windows make too few blocks for a standard error of theirs.
const FEW: usize = 16;

/// Loss on the tokens of one label.
#[derive(Debug, Clone, PartialEq)]
pub struct ByLabel {
    /// What predicting these tokens needs.
    pub label: String,
    /// The model's loss.
    pub loss: Mean,
    /// The source's own -ln p.
    pub oracle: Mean,
    /// Their difference, token by token.
    pub excess: Mean,
    /// Share of these targets with the highest logit.
    pub accuracy: Mean,
}

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    /// Validation loss in nats per token.
    pub loss: Mean,
    /// Share of targets with the highest logit.
    pub accuracy: Mean,
    /// The source's own mean -ln p, where it knows.
    pub oracle: Option<Mean>,
    /// Loss minus oracle, token by token.
    pub excess: Option<Mean>,
    /// The same by label.
    pub labels: Vec<ByLabel>,
    /// Tokens that went to each expert, where the model has some.
    pub loads: Loads,
    /// Losses, window by window.
    windows: Windows,
    /// Whether its windows are neighbours in a text.
    is_text: bool,
    /// Of the second half of each whole window, where there is one: llama.cpp's choice.
    pub second_half: Option<Mean>,
}

/// What weights that are packed are worth beside those that they were made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Packed {
    /// With the packed ones.
    pub quality: Quality,
    /// Kullback-Leibler divergence from the distributions of the others, in nats per token.
    pub kl: Mean,
    /// Share of places at which both rank the same token first.
    pub same_first: Mean,
}

impl Quality {
    /// How much more it loses than another evaluation of the same windows.
    pub fn above(&self, other: &Quality) -> Mean {
        let pairs = self.windows.0.iter().zip(&other.windows.0);
        let differences = Windows(pairs.map(|(a, b)| (a.0 - b.0, a.1)).collect());
        differences.in_blocks(self.is_text).mean()
    }
}

#[derive(Default, Clone)]
struct Tally {
    loss: Windows,
    second_half: Windows,
    accuracy: Windows,
    oracle: Windows,
    excess: Windows,
}

impl Tally {
    fn open(&mut self) {
        for windows in [
            &mut self.loss,
            &mut self.second_half,
            &mut self.accuracy,
            &mut self.oracle,
            &mut self.excess,
        ] {
            windows.open();
        }
    }

    fn add(&mut self, scored: TokenLoss, oracle_nats: Option<f64>) {
        let nats = f64::from(scored.nats);
        self.loss.add(nats);
        self.accuracy.add(f64::from(u8::from(scored.correct)));
        if let Some(oracle) = oracle_nats {
            self.oracle.add(oracle);
            self.excess.add(nats - oracle);
        }
    }
}

/// Evaluates the part of the unseen windows that the spec names (`data.held_out`), without building a graph.
pub fn evaluate(
    experiment: &Experiment,
    weights: Weights,
    workers: &Workers,
    opened: &Opened,
) -> Result<Quality> {
    evaluate_on(experiment, &experiment.source, weights, workers, opened)
}

/// The same of other data with the same tokens.
pub fn evaluate_on(
    experiment: &Experiment,
    source: &Arc<dyn Source>,
    weights: Weights,
    workers: &Workers,
    opened: &Opened,
) -> Result<Quality> {
    let (model, weights) = (experiment.model.clone(), Arc::new(weights));
    let (ops, device) = (
        experiment.ops.for_device(&opened.device)?,
        opened.device.clone(),
    );
    let windows = held_out(experiment, source.as_ref())?;
    let scored = workers.run(windows, move |validation: Validation| {
        let (batch, beside) = (&validation.batch, Beside::default());
        let scored = infer::evaluate(&model, &weights, batch, ops, &device, &beside)?;
        Ok::<_, Error>((validation, scored, beside.loads()))
    })?;
    let scored = scored.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(tallied(source.as_ref(), scored))
}

/// Evaluates weights that were packed, and holds every distribution against that of the weights that they were made of.
pub fn compare(
    experiment: &Experiment,
    [trained, packed]: [Weights; 2],
    workers: &Workers,
    opened: &Opened,
) -> Result<Packed> {
    let (model, trained, packed) = (
        experiment.model.clone(),
        Arc::new(trained),
        Arc::new(packed),
    );
    let (ops, device) = (
        experiment.ops.for_device(&opened.device)?,
        opened.device.clone(),
    );
    let windows = held_out(experiment, experiment.source.as_ref())?;
    let compared = workers.run(windows, move |validation: Validation| {
        let both = [trained.as_ref(), packed.as_ref()];
        let compared = infer::compare(&model, both, &validation.batch, ops, &device)?;
        Ok::<_, Error>((validation, compared))
    })?;
    let (mut kl, mut same_first, mut scored) = (Windows::default(), Windows::default(), Vec::new());
    for compared in compared {
        let (validation, compared) = compared?;
        for window in compared.chunks(validation.batch.context) {
            kl.open();
            same_first.open();
            for token in window.iter().flatten() {
                kl.add(token.kl_nats);
                same_first.add(f64::from(u8::from(token.same_first)));
            }
        }
        let losses = compared.into_iter().map(|token| Some(token?.scored));
        scored.push((validation, losses.collect(), Loads::default()));
    }
    let is_text = experiment.source.is_text();
    Ok(Packed {
        quality: tallied(experiment.source.as_ref(), scored),
        kl: kl.in_blocks(is_text).mean(),
        same_first: same_first.in_blocks(is_text).mean(),
    })
}

/// The windows that losses are of, as many at a time as one part of a step has.
fn held_out(experiment: &Experiment, source: &dyn Source) -> Result<Vec<Validation>> {
    source.held_out(
        experiment.held_out,
        experiment.batch.div_ceil(experiment.shards),
        experiment.model.shape.context,
    )
}

/// Windows, the losses of their targets, and what their experts were loaded with.
type Scored = (Validation, Vec<Option<TokenLoss>>, Loads);

fn tallied(source: &dyn Source, scored: Vec<Scored>) -> Quality {
    let (names, is_text) = (source.labels(), source.is_text());
    let mut all = Tally::default();
    let mut by_label = vec![Tally::default(); names.len()];
    let (mut has_oracle, mut loads) = (false, Loads::default());
    for (validation, scored, told) in scored {
        loads.join(&told);
        has_oracle |= validation.oracle.is_some();
        tally(&validation, &scored, &mut all, &mut by_label);
    }
    let label = |(label, tally): (String, Tally)| ByLabel {
        label,
        loss: tally.loss.mean(),
        oracle: tally.oracle.mean(),
        excess: tally.excess.mean(),
        accuracy: tally.accuracy.mean(),
    };
    let labels = names
        .into_iter()
        .zip(by_label)
        .map(label)
        .filter(|row| row.loss.n > 0)
        .collect();
    let mean = |windows: &Windows| windows.in_blocks(is_text).mean();
    let second_half = mean(&all.second_half);
    Quality {
        second_half: Some(second_half).filter(|half| half.n > 0),
        loss: mean(&all.loss),
        accuracy: mean(&all.accuracy),
        oracle: has_oracle.then(|| mean(&all.oracle)),
        excess: has_oracle.then(|| mean(&all.excess)),
        labels,
        loads,
        windows: all.loss,
        is_text,
    }
}

fn tally(
    validation: &Validation,
    scored: &[Option<TokenLoss>],
    all: &mut Tally,
    by_label: &mut [Tally],
) {
    let context = validation.batch.context;
    let mut whole = false;
    for (position, &one) in scored.iter().enumerate() {
        let at = position % context;
        if at == 0 {
            all.open();
            by_label.iter_mut().for_each(Tally::open);
            let window = &scored[position..position + context];
            whole = window.iter().all(Option::is_some);
        }
        let Some(scored) = one else { continue };
        if whole && second_half(at, context) {
            all.second_half.add(f64::from(scored.nats));
        }
        let oracle: Option<&Oracle> = validation.oracle.as_ref();
        all.add(scored, oracle.map(|o| o.nats[position]));
        if let Some(oracle) = oracle
            && let Some(tally) = by_label.get_mut(usize::from(oracle.labels[position]))
        {
            tally.add(scored, Some(oracle.nats[position]));
        }
    }
}

/// Whether llama.cpp's `llama-perplexity` counts the prediction made at this place of a chunk: in the second half, but for the last,
/// whose target is the next chunk's.
fn second_half(at: usize, context: usize) -> bool {
    at >= context / 2 && at + 1 < context
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_counts_what_llama_cpp_counts() {
        let counted = |context| (0..context).filter(|at| second_half(*at, context)).count();
        // n_ctx - 1 - n_ctx / 2
        assert_eq!([counted(512), counted(7), counted(2)], [255, 3, 0]);
        assert!(second_half(256, 512) && second_half(510, 512) && !second_half(255, 512));
    }

    #[test]
    fn the_standard_error_takes_windows_as_the_unit() {
        // Two windows of two equal tokens each: four tokens, but only two independent values.
        let windows = Windows(vec![(2.0, 2.0), (6.0, 2.0)]);
        assert_eq!(
            windows.mean(),
            Mean {
                mean: 2.0,
                se: Some(1.0),
                n: 4,
                parts: 2
            }
        );
        assert_eq!(Windows(vec![(3.0, 2.0)]).mean().se, None);
        // A window without such tokens does not count.
        assert_eq!(
            Windows(vec![(2.0, 2.0), (0.0, 0.0), (6.0, 2.0)]).mean().se,
            Some(1.0)
        );
    }

    /// Neighbours that are alike: by windows the standard error would be a quarter of what it is.
    #[test]
    fn windows_of_a_text_stand_in_blocks() {
        let windows = |n: usize| {
            let of = |k: usize| (if (k / 16).is_multiple_of(2) { 2.0 } else { 4.0 }, 1.0);
            Windows((0..n).map(of).collect())
        };
        let many = windows(256);
        let apart = many.in_blocks(false).mean();
        let blocks = many.in_blocks(true).mean();
        assert_eq!((apart.parts, blocks.parts), (256, 16));
        assert_eq!((apart.mean, blocks.mean, blocks.n), (3.0, 3.0, 256));
        let (apart, blocks) = (apart.se.unwrap(), blocks.se.unwrap());
        assert!((blocks - 1.0 / 15f64.sqrt()).abs() < 1e-9 && blocks > 4.0 * apart);
        assert_eq!(windows(15).in_blocks(true).mean().parts, 15);
    }
}
