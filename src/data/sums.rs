//! Kind `modular-addition`: `a b =` asks for the sum modulo a number, problem after problem (Power et al. 2022, "Grokking", arXiv
//! 2201.02177). Training sees a part of all pairs; windows that judge ask for the others.

use std::sync::Arc;

use super::exact::{Answer, Exact, For, Task};
use super::generated::Generated;
use super::{Source, SourceKind, VALIDATION_TOKENS};
use crate::config::knob::{Number, Whole};
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::stream::{Stream, stream};

const MODULUS: Knob<Whole> = Knob::whole("modulus", "What sums are taken modulo.")
    .within(2, 1024)
    .default(97);
const TRAINED: Knob<Number> = Knob::number(
    "trained",
    "Share of the pairs that training sees; where it is 1, those that judge are of the same.",
)
.within(0.01, 1.0)
.default(0.5);

/// The kind `modular-addition`.
pub(super) struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        Sums::NAME
    }

    fn about(&self) -> &'static str {
        "say the sum of two numbers modulo a third, of pairs that training did not see (Power et al. 2022)"
    }

    fn knobs(&self) -> Declarations {
        &[&MODULUS, &TRAINED, &VALIDATION_TOKENS]
    }
}

impl SourceKind for Kind {
    fn settle(&self, knobs: &Knobs, context: usize) -> Result<Arc<dyn Source>> {
        if context < PROBLEM {
            let why = format!("a problem has {PROBLEM} tokens, and model.context is {context}");
            return Err(knobs.refuse_kind(&why));
        }
        let modulus = knobs.read(&MODULUS)?;
        let share = knobs.read(&TRAINED)?;
        let mut pairs: Vec<usize> = (0..modulus * modulus).collect();
        stream("data/modular-addition/pairs", 0, modulus as u64).shuffle(&mut pairs);
        let trained = (share * pairs.len() as f64).round() as usize;
        let trained = trained.clamp(1, pairs.len());
        let mut is_trained = vec![false; pairs.len()];
        pairs[..trained]
            .iter()
            .for_each(|&pair| is_trained[pair] = true);
        Ok(Arc::new(Generated {
            process: Exact(Sums {
                modulus,
                pairs,
                trained,
                is_trained,
            }),
            validation_tokens: knobs.read(&VALIDATION_TOKENS)?,
        }))
    }
}

/// Tokens of `a b =`.
const PROBLEM: usize = 3;

/// Tokens from 1 on are numbers from 0 on, the last says `=`.
struct Sums {
    modulus: usize,
    /// All, `a` times the modulus and `b`: first those of training.
    pairs: Vec<usize>,
    trained: usize,
    is_trained: Vec<bool>,
}

impl Task for Sums {
    const NAME: &'static str = "modular-addition";

    fn vocab(&self) -> usize {
        2 + self.modulus
    }

    fn goes_beyond(&self) -> bool {
        self.trained < self.pairs.len()
    }

    fn ask(&self, whom: For, stream: &mut Stream, inputs: &mut [u32]) {
        let pairs = match whom {
            For::Judging if self.goes_beyond() => &self.pairs[self.trained..],
            _ => &self.pairs[..self.trained],
        };
        for problem in inputs.chunks_exact_mut(PROBLEM) {
            let pair = pairs[stream.below(pairs.len())];
            let [a, b] = [pair / self.modulus, pair % self.modulus];
            problem.copy_from_slice(&[a, b, self.modulus].map(|token| 1 + token as u32));
        }
    }

    fn answer(&self, inputs: &[u32], say: &mut dyn FnMut(Answer)) {
        let number = |token: u32| (token as usize).wrapping_sub(1);
        for (k, problem) in inputs.chunks_exact(PROBLEM).enumerate() {
            let [a, b] = [problem[0], problem[1]].map(number);
            if a < self.modulus && b < self.modulus {
                say(Answer {
                    at: PROBLEM * k + 2,
                    token: 1 + ((a + b) % self.modulus) as u32,
                    beyond: !self.is_trained[a * self.modulus + b],
                    octave: 0,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Batch;
    use super::super::exact::testing::{asked, judged, task};
    use serde_json::json;
    use std::collections::BTreeSet;

    #[test]
    fn sums_are_right_and_pairs_that_judge_are_others() {
        let source = task(
            json!({"kind": "modular-addition", "modulus": 7, "trained": 0.6}),
            13,
        );
        let pairs = |batch: &Batch| -> BTreeSet<(u32, u32)> {
            let mut seen = BTreeSet::new();
            for (inputs, asked) in asked(batch) {
                assert_eq!(asked.len(), 4);
                for (at, answer) in asked {
                    let (a, b) = (inputs[at - 2] - 1, inputs[at - 1] - 1);
                    assert_eq!((inputs[at], answer), (8, 1 + (a + b) % 7));
                    seen.insert((a, b));
                }
            }
            seen
        };
        let trained = pairs(&source.train(0, 0, 400, 13));
        let (batch, labels) = judged(&source, 13);
        let judged = pairs(&batch);
        assert_eq!((trained.len(), judged.len()), (29, 20), "of 49");
        assert!(trained.is_disjoint(&judged));
        assert!(labels[2] == 1 && source.labels().len() == 2);
        let all = task(json!({"kind": "modular-addition", "trained": 1}), 6);
        assert_eq!(all.labels().len(), 1);
    }
}
