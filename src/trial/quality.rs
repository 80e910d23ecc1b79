//! How good a trained model is: loss, excess over the oracle in total and by label, accuracy, each with its standard error.

use std::sync::Arc;

use super::settle::Experiment;
use crate::data::{Oracle, Validation};
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
        }
    }
}

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
}

impl Quality {
    /// How much more it loses than another evaluation of the same windows.
    pub fn above(&self, other: &Quality) -> Mean {
        let pairs = self.windows.0.iter().zip(&other.windows.0);
        Windows(pairs.map(|(a, b)| (a.0 - b.0, a.1)).collect()).mean()
    }
}

#[derive(Default, Clone)]
struct Tally {
    loss: Windows,
    accuracy: Windows,
    oracle: Windows,
    excess: Windows,
}

impl Tally {
    fn open(&mut self) {
        for windows in [
            &mut self.loss,
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
    let source = &experiment.source;
    let names = source.labels();
    let mut all = Tally::default();
    let mut by_label = vec![Tally::default(); names.len()];
    let (model, weights) = (experiment.model.clone(), Arc::new(weights));
    let (ops, device) = (
        experiment.ops.for_device(&opened.device)?,
        opened.device.clone(),
    );
    let scored = workers.run(
        source.held_out(
            experiment.held_out,
            experiment.batch.div_ceil(experiment.shards),
            experiment.model.shape.context,
        )?,
        move |validation: Validation| {
            let (batch, beside) = (&validation.batch, Beside::default());
            let scored = infer::evaluate(&model, &weights, batch, ops, &device, &beside)?;
            Ok::<_, Error>((validation, scored, beside.loads()))
        },
    )?;
    let (mut has_oracle, mut loads) = (false, Loads::default());
    for scored in scored {
        let (validation, scored, told) = scored?;
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
    Ok(Quality {
        loss: all.loss.mean(),
        accuracy: all.accuracy.mean(),
        oracle: has_oracle.then(|| all.oracle.mean()),
        excess: has_oracle.then(|| all.excess.mean()),
        labels,
        loads,
        windows: all.loss,
    })
}

fn tally(
    validation: &Validation,
    scored: &[Option<TokenLoss>],
    all: &mut Tally,
    by_label: &mut [Tally],
) {
    let context = validation.batch.context;
    for (position, scored) in scored.iter().enumerate() {
        if position.is_multiple_of(context) {
            all.open();
            by_label.iter_mut().for_each(Tally::open);
        }
        let Some(scored) = *scored else { continue };
        let oracle: Option<&Oracle> = validation.oracle.as_ref();
        all.add(scored, oracle.map(|o| o.nats[position]));
        if let Some(oracle) = oracle
            && let Some(tally) = by_label.get_mut(usize::from(oracle.labels[position]))
        {
            tally.add(scored, Some(oracle.nats[position]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_error_takes_windows_as_the_unit() {
        // Two windows of two equal tokens each: four tokens, but only two independent values.
        let windows = Windows(vec![(2.0, 2.0), (6.0, 2.0)]);
        assert_eq!(
            windows.mean(),
            Mean {
                mean: 2.0,
                se: Some(1.0),
                n: 4
            }
        );
        assert_eq!(Windows(vec![(3.0, 2.0)]).mean().se, None);
        // A window without such tokens does not count.
        assert_eq!(
            Windows(vec![(2.0, 2.0), (0.0, 0.0), (6.0, 2.0)]).mean().se,
            Some(1.0)
        );
    }
}
