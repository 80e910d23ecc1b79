//! `--inference-tokens`, `--requests`: what a model serves over its life, and what that costs; `fit` flattens it.

use std::path::PathBuf;

use clap::Args;

use crate::analysis::fit::{Demand, PerFlop};
use crate::analysis::lifecycle::per_flop;
use crate::error::{Error, Result};
use crate::record::pool;

/// What is served.
#[derive(Debug, Clone, Default, Args)]
pub struct ServingArgs {
    /// Count so many tokens of inference: the size and tokens of least 6 N D + 2 N D_inf at the loss of the compute-optimal model of
    /// the largest compute fitted, or at --target-loss.
    #[arg(long, value_name = "TOKENS", value_parser = positive, conflicts_with = "requests")]
    pub inference_tokens: Option<f64>,
    /// Count so many requests instead, whose prompts and answers may cost different amounts a FLOP.
    #[arg(long, value_name = "N", value_parser = positive, requires = "answer")]
    pub requests: Option<f64>,
    /// Tokens of a request's prompt.
    #[arg(long, value_name = "TOKENS", value_parser = positive, requires = "requests")]
    pub prompt: Option<f64>,
    /// Tokens of a request's answer.
    #[arg(long, value_name = "TOKENS", value_parser = positive, requires = "requests")]
    pub answer: Option<f64>,
    /// Answers sampled to each request: test-time compute.
    #[arg(long, value_name = "N", value_parser = positive, requires = "requests")]
    pub samples: Option<f64>,
    /// What a FLOP of training, of prompts and of answers costs, in any one unit, such as 1,1,50; `measured` takes the seconds of the
    /// result files, `equal` counts FLOPs [default: measured; of a table equal].
    #[arg(long, value_name = "T,P,A", value_parser = costs, requires = "requests")]
    pub per_flop: Option<Costs>,
    /// The loss to be reached, in nats.
    #[arg(long, value_name = "NATS", value_parser = positive)]
    pub target_loss: Option<f64>,
}

/// Where the costs of FLOPs are from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Costs {
    /// The result files' seconds.
    Measured,
    /// Given.
    Given(PerFlop),
}

impl ServingArgs {
    /// Whether inference is to be counted.
    pub fn is_asked(&self) -> bool {
        self.inference_tokens.is_some() || self.requests.is_some()
    }

    /// What is served, with what the files measured of it.
    ///
    /// # Errors
    ///
    /// A loss without anything served, and measured costs of files that measured none.
    pub fn demand(&self, results: &[PathBuf]) -> Result<Option<Demand>> {
        let loss_nats = self.target_loss;
        if let Some(tokens) = self.inference_tokens {
            return Ok(Some(Demand {
                prompt: tokens,
                answer: 0.0,
                per_flop: PerFlop::EQUAL,
                loss_nats,
            }));
        }
        let Some(requests) = self.requests else {
            return match loss_nats {
                Some(_) => Err(Error::input("--target-loss: nothing is served")
                    .hint("--inference-tokens TOKENS or --requests N --answer TOKENS")),
                None => Ok(None),
            };
        };
        let per_flop = match self.per_flop {
            Some(Costs::Given(given)) => given,
            None if results.is_empty() => PerFlop::EQUAL,
            None | Some(Costs::Measured) => measured(results)?,
        };
        let samples = self.samples.unwrap_or(1.0);
        Ok(Some(Demand {
            prompt: requests * self.prompt.unwrap_or(0.0),
            answer: requests * samples * self.answer.unwrap_or(0.0),
            per_flop,
            loss_nats,
        }))
    }
}

fn measured(results: &[PathBuf]) -> Result<PerFlop> {
    let none = || {
        Error::input("--per-flop: no trial in these files was both trained and served")
            .hint("--per-flop 1,1,50 gives what a FLOP of training, prompts and answers costs, and `equal` counts FLOPs")
    };
    match results {
        [] => Err(none()),
        _ => per_flop(&pool::read_all(results)?).ok_or_else(none),
    }
}

pub(super) fn positive(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err("write a positive plain number, such as 1e12".to_owned()),
    }
}

fn costs(text: &str) -> std::result::Result<Costs, String> {
    let parts: Vec<f64> = text
        .split(',')
        .filter_map(|part| positive(part.trim()).ok())
        .collect();
    match (text, parts.as_slice()) {
        ("measured", _) => Ok(Costs::Measured),
        ("equal", _) => Ok(Costs::Given(PerFlop::EQUAL)),
        (_, &[training, prompt, answer]) if text.matches(',').count() == 2 => {
            Ok(Costs::Given(PerFlop {
                training,
                prompt,
                answer,
            }))
        }
        _ => Err(
            "write three positive numbers, such as 1,1,50, or `measured`, or `equal`".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_tokens_at_their_price() {
        let given = costs("1, 2,50").unwrap();
        let args = ServingArgs {
            requests: Some(1e6),
            prompt: Some(70.0),
            answer: Some(215.0),
            samples: Some(4.0),
            per_flop: Some(given),
            ..ServingArgs::default()
        };
        let demand = args.demand(&[]).unwrap().unwrap();
        assert_eq!((demand.prompt, demand.answer), (70e6, 860e6));
        assert_eq!(demand.weighed(), 140e6 + 43e9);
        for bad in ["1,2", "1,2,3,4", "1,2,x", "0,1,1", ""] {
            assert!(costs(bad).is_err(), "{bad}");
        }
        let alone = ServingArgs {
            target_loss: Some(2.0),
            ..ServingArgs::default()
        };
        assert!(
            alone
                .demand(&[])
                .unwrap_err()
                .to_string()
                .contains("--requests")
        );
    }
}
