//! Which learning rate a sweep's trials speak for.
//!
//! The lowest mean loss of a grid is somewhat too low by luck, and its rate off by up to half a grid step. A parabola in the
//! rate's logarithm through the best rate and its two neighbours uses three means instead of one, and its lowest point moves
//! smoothly with the noise: an error there costs only its square. Every arm gets the same number of trials.

use crate::error::{Error, Kind, Result};
use crate::record::{RateSource, Status, Trial, metric};
use crate::stat;

/// A learning rate, where it comes from, and what it cost to find.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// To judge with; three significant digits.
    pub lr: f64,
    /// For the record.
    pub source: RateSource,
    /// Model FLOPs of the sweep's trials.
    pub flops: f64,
}

/// Chooses for the cell `name` among `rates` (ascending) by the trials at each, in the same order.
pub fn choose(name: &str, rates: &[f64], trials: &[Vec<&Trial>]) -> Result<Choice> {
    let losses: Vec<Option<f64>> = trials.iter().map(|trials| mean_loss(trials)).collect();
    let best = (0..rates.len()).filter(|&k| losses[k].is_some()).min_by(|&a, &b| {
        let loss = |k: usize| losses[k].unwrap_or(f64::INFINITY);
        loss(a).total_cmp(&loss(b))
    });
    let Some(best) = best else {
        let message = format!("{name}: no learning rate of its sweep finished, so none can be chosen");
        let reason = trials.iter().flatten().find_map(|trial| trial.reason.clone()).unwrap_or_default();
        return Err(Error { kind: Kind::Trials, message, hint: Some(format!("the first reason: {reason}")) });
    };
    let neighbour = |k: Option<usize>| k.and_then(|k| Some((rates.get(k)?.ln(), losses.get(k).copied()??)));
    let here = neighbour(Some(best));
    let (below, above) = (neighbour(best.checked_sub(1)), neighbour(Some(best + 1)));
    let lowest = below.zip(here).zip(above).and_then(|((a, b), c)| stat::lowest_of_parabola([a, b, c]));
    let seeds = trials.iter().map(Vec::len).max().unwrap_or(0);
    let flops = trials.iter().flatten().filter_map(|trial| Some(trial.cost.as_ref()?.train_flops)).sum();
    Ok(Choice {
        lr: lowest.map_or(rates[best], |log| rounded(log.exp())),
        source: RateSource::Swept { rates: rates.len() as u64, seeds: seeds as u64, edge: lowest.is_none() },
        flops,
    })
}

/// The mean validation loss, where every seed finished: a rate that diverges once is no rate to judge with.
fn mean_loss(trials: &[&Trial]) -> Option<f64> {
    let loss = |trial: &&Trial| trial.metric(metric::VAL_LOSS_NATS).filter(|_| trial.status == Status::Ok);
    stat::mean(&trials.iter().map(loss).collect::<Option<Vec<f64>>>()?)
}

/// Three significant digits: more would say more than a sweep can.
fn rounded(lr: f64) -> f64 {
    format!("{lr:.2e}").parse().unwrap_or(lr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;

    /// One trial per loss; `None` diverged.
    fn trials(losses: &[Option<f64>]) -> Vec<Trial> {
        let model = example().trials[0].clone();
        let trial = |loss: &Option<f64>| {
            let mut trial = model.clone();
            match loss {
                Some(loss) => {
                    trial
                        .metrics
                        .insert(metric::VAL_LOSS_NATS.into(), metric::Metric::value(metric::VAL_LOSS_NATS, *loss));
                }
                None => {
                    trial.status = Status::Diverged;
                    trial.reason = Some("the loss is not finite".to_owned());
                }
            }
            trial
        };
        losses.iter().map(trial).collect()
    }

    fn chosen(rates: &[f64], losses: &[Option<f64>]) -> Result<Choice> {
        let trials = trials(losses);
        choose("gpt2/w32@400", rates, &trials.iter().map(|trial| vec![trial]).collect::<Vec<_>>())
    }

    #[test]
    fn the_lowest_point_of_the_parabola_is_chosen() {
        let rates = [0.01, 0.02, 0.04, 0.08];
        let at = |best: f64| rates.map(|lr: f64| Some(2.0 + 0.05 * (lr / best).ln().powi(2)));
        for (best, want) in [(0.02, 0.02), (0.03, 0.03), (0.0251, 0.0251), (0.05, 0.05)] {
            let choice = chosen(&rates, &at(best)).unwrap();
            assert_eq!((choice.lr, choice.source), (want, RateSource::Swept { rates: 4, seeds: 1, edge: false }));
        }
        let cost = trials(&[Some(1.0)])[0].cost.as_ref().unwrap().train_flops;
        assert_eq!(chosen(&rates, &at(0.02)).unwrap().flops, 4.0 * cost);
    }

    #[test]
    fn at_the_edge_and_beside_a_divergence_the_grid_point_stands_and_says_so() {
        let edge = RateSource::Swept { rates: 3, seeds: 1, edge: true };
        let rows: [(&[Option<f64>], f64); 4] = [
            (&[Some(1.0), Some(1.1), Some(1.2)], 0.1),
            (&[Some(1.2), Some(1.1), Some(1.0)], 0.4),
            (&[Some(1.2), Some(1.1), None], 0.2),
            (&[None, None, Some(1.0)], 0.4),
        ];
        for (losses, want) in rows {
            let choice = chosen(&[0.1, 0.2, 0.4], losses).unwrap();
            assert_eq!((choice.lr, &choice.source), (want, &edge));
        }
    }

    #[test]
    fn a_sweep_without_a_finished_rate_is_an_error() {
        let error = chosen(&[0.1, 0.2, 0.4], &[None, None, None]).unwrap_err();
        assert_eq!(error.kind, Kind::Trials);
        assert!(error.to_string().contains("gpt2/w32@400") && error.to_string().contains("not finite"));
    }
}
