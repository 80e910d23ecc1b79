//! Kind `markov`: a stationary Markov chain of order 1. The last token says all there is to know, so the oracle's mean is
//! the chain's entropy rate h = sum_i pi_i H(P_i), at any window.

use std::sync::Arc;

use super::chance::{Alias, Pack, zipf};
use super::generated::{Generated, Process};
use super::{Source, SourceKind, VALIDATION_TOKENS};
use crate::config::knob::{Number, Whole, Word};
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::stream::{Stream, stream};

/// The most states: the table of transitions is square.
const MOST_STATES: usize = 4096;

const CHAIN: Knob<Word> = Knob::word(
    "chain",
    "A chain drawn at random, or the golden mean shift: two states, of which one never follows itself.",
    &["random", "golden_mean"],
)
.default("random");
const STATES: Knob<Whole> = Knob::count("states", "States of a random chain, each a token.")
    .at_most(MOST_STATES)
    .default(64);
const BRANCHES: Knob<Whole> = Knob::count(
    "branches",
    "States that can follow a state of a random chain.",
)
.follows("8, or all states where there are fewer");
const ZIPF: Knob<Number> = Knob::number(
    "zipf",
    "How unequally likely those are: the k-th has weight k^-zipf; 0 is equally.",
)
.within(0.0, 4.0)
.default(1.0);
const CHAIN_SEED: Knob<Whole> =
    Knob::whole("chain_seed", "The seed that a random chain is drawn with.").default(0);

/// The kind `markov`.
pub(super) struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "markov"
    }

    fn about(&self) -> &'static str {
        "a Markov chain of order 1 whose entropy rate is known exactly"
    }

    fn knobs(&self) -> Declarations {
        &[
            &CHAIN,
            &STATES,
            &BRANCHES,
            &ZIPF,
            &CHAIN_SEED,
            &VALIDATION_TOKENS,
        ]
    }
}

impl SourceKind for Kind {
    fn settle(&self, knobs: &Knobs, _context: usize) -> Result<Arc<dyn Source>> {
        let chain = match knobs.read(&CHAIN)? {
            "golden_mean" => Chain::new(golden_mean()),
            _ => Chain::new(random(knobs)?),
        };
        let validation_tokens = knobs.read(&VALIDATION_TOKENS)?;
        Ok(Arc::new(Generated {
            process: chain,
            validation_tokens,
        }))
    }
}

/// Reads the knobs of a random chain and draws its transitions: each state has `branches` successors with Zipf weights,
/// one of them the next state on a ring, so that every state can be reached.
fn random(knobs: &Knobs) -> Result<Vec<Vec<f64>>> {
    let states = knobs.read(&STATES)?;
    let branches = knobs.read_or(&BRANCHES, 8.min(states))?;
    if branches > states {
        return Err(knobs.refuse(
            &BRANCHES,
            &format!("a state cannot have more successors than there are states ({states})"),
        ));
    }
    let weights = zipf(branches, knobs.read(&ZIPF)?);
    let mut stream = stream("data/markov/chain", knobs.read(&CHAIN_SEED)? as u64, 0);
    let mut others = Pack::new(states);
    let row = |state: usize| {
        let next = ((state + 1) % states) as u32;
        let mut successors = vec![next];
        while let Some(other) = others
            .deal(&mut stream)
            .filter(|_| successors.len() < branches)
        {
            if other != next {
                successors.push(other);
            }
        }
        others.gather();
        stream.shuffle(&mut successors);
        let mut row = vec![0.0; states];
        successors
            .iter()
            .zip(&weights)
            .for_each(|(&to, &weight)| row[to as usize] = weight);
        row
    };
    Ok((0..states).map(row).collect())
}

/// A 1 is never followed by a 1; otherwise a fair coin: h = 2/3 bit.
fn golden_mean() -> Vec<Vec<f64>> {
    vec![vec![0.5, 0.5], vec![1.0, 0.0]]
}

/// A chain, ready to draw from.
struct Chain {
    start: Alias,
    rows: Vec<Alias>,
    /// -ln P(to | from) at `from * states + to`.
    nats: Vec<f64>,
}

impl Chain {
    /// From a transition matrix whose rows sum to 1 and in which every state can be reached from every other.
    fn new(matrix: Vec<Vec<f64>>) -> Self {
        Self {
            start: Alias::new(&stationary(&matrix)),
            rows: matrix.iter().map(|row| Alias::new(row)).collect(),
            nats: matrix.iter().flatten().map(|p| -p.ln()).collect(),
        }
    }
}

/// The stationary distribution, by power iteration on the lazy chain (I + P) / 2, which has the same one and no period.
fn stationary(matrix: &[Vec<f64>]) -> Vec<f64> {
    const ROUNDS: usize = 100_000;
    let states = matrix.len();
    let mut pi = vec![1.0 / states as f64; states];
    for _ in 0..ROUNDS {
        let mut next: Vec<f64> = pi.iter().map(|p| p / 2.0).collect();
        for (mass, row) in pi.iter().zip(matrix) {
            row.iter()
                .zip(&mut next)
                .for_each(|(p, to)| *to += mass * p / 2.0);
        }
        let change: f64 = pi.iter().zip(&next).map(|(a, b)| (a - b).abs()).sum();
        pi = next;
        if change < 1e-15 {
            break;
        }
    }
    pi
}

impl Process for Chain {
    const NAME: &'static str = "markov";
    type State<'a> = ();

    fn vocab(&self) -> usize {
        self.rows.len()
    }

    fn labels(&self) -> Vec<String> {
        vec!["markov".to_owned()]
    }

    fn state(&self) {}

    fn write(&self, _: &mut (), stream: &mut Stream, inputs: &mut [u32], targets: &mut [u32]) {
        let mut token = self.start.draw(stream);
        for (input, target) in inputs.iter_mut().zip(targets) {
            *input = token;
            token = self.rows[token as usize].draw(stream);
            *target = token;
        }
    }

    fn judge(&self, _: &mut (), inputs: &[u32], targets: &[u32], say: &mut dyn FnMut(f64, u8)) {
        for (&from, &to) in inputs.iter().zip(targets) {
            say(self.nats[from as usize * self.rows.len() + to as usize], 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{mean_nats, refusal, source};
    use serde_json::json;

    fn entropy_rate(matrix: &[Vec<f64>]) -> f64 {
        let entropy = |row: &Vec<f64>| {
            row.iter()
                .filter(|&&p| p > 0.0)
                .map(|p| -p * p.ln())
                .sum::<f64>()
        };
        stationary(matrix)
            .iter()
            .zip(matrix)
            .map(|(pi, row)| pi * entropy(row))
            .sum()
    }

    #[test]
    fn the_golden_mean_chain_has_its_known_entropy_rate() {
        assert!((entropy_rate(&golden_mean()) - 0.462098).abs() < 1e-6);
        let source = source(
            json!({"kind": "markov", "chain": "golden_mean", "validation_tokens": 400_000}),
            100,
        )
        .unwrap();
        let (mean, error) = mean_nats(&*source, 100);
        assert!((mean - 0.462098).abs() < 4.0 * error, "{mean} +- {error}");
        assert_eq!(source.vocab(), 2);
    }

    #[test]
    fn a_random_chain_is_stationary_and_its_oracle_means_its_rate() {
        let spec =
            json!({"kind": "markov", "states": 20, "branches": 5, "validation_tokens": 400_000});
        let source = source(spec, 100).unwrap();
        // Every row has the same Zipf weights, so the rate is their entropy, whatever the stationary distribution.
        let rate: f64 = zipf(5, 1.0).iter().map(|p| -p * p.ln()).sum();
        let (mean, error) = mean_nats(&*source, 100);
        assert!(
            (mean - rate).abs() < 4.0 * error,
            "{mean} +- {error}, want {rate}"
        );
        // Stationary: the first token is distributed like the last.
        let batch = source.train(3, 0, 20_000, 3);
        for state in 0..20u32 {
            let count = |at: usize| {
                batch
                    .targets
                    .iter()
                    .skip(at)
                    .step_by(3)
                    .filter(|&&t| t == state)
                    .count() as f64
            };
            let first = batch
                .inputs
                .iter()
                .step_by(3)
                .filter(|&&t| t == state)
                .count() as f64;
            assert!(
                (first - count(2)).abs() < 5.0 * (first + count(2)).sqrt(),
                "state {state}"
            );
        }
    }

    #[test]
    fn impossible_chains_are_refused() {
        assert!(
            refusal(json!({"kind": "markov", "states": 4, "branches": 5}), 8)
                .contains("more successors")
        );
        assert!(refusal(json!({"kind": "markov", "states": 5000}), 8).contains("from 1 to 4096"));
    }
}
