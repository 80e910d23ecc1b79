//! Kind `addition`: `a + b = c` digit by digit, problem after problem, both numbers of one count of digits and the sum of one more, with
//! zeros before it; plain, or the sum from its last digit on, where each digit needs what is near (Lee et al. 2023, "Teaching Arithmetic to
//! Small Transformers", arXiv 2307.03381).

use std::sync::Arc;

use super::exact::{Answer, Exact, For, Task};
use super::generated::Generated;
use super::{Source, SourceKind, VALIDATION_TOKENS};
use crate::config::knob::{Flag, Whole};
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::stream::Stream;

const DIGITS: Knob<Whole> =
    Knob::count("digits", "Digits of the numbers that training adds.").default(3);
const TEST_DIGITS: Knob<Whole> = Knob::count(
    "test_digits",
    "Digits of the numbers in windows that judge.",
)
.follows("data.digits");
const REVERSED: Knob<Flag> = Knob::flag(
    "reversed",
    "Whether sums are said from their last digit on.",
)
.default(false);

/// The kind `addition`.
pub(super) struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        Addition::NAME
    }

    fn about(&self) -> &'static str {
        "say the sum of two numbers of several digits, digit by digit (Lee et al. 2023)"
    }

    fn knobs(&self) -> Declarations {
        &[&DIGITS, &TEST_DIGITS, &REVERSED, &VALIDATION_TOKENS]
    }
}

impl SourceKind for Kind {
    fn settle(&self, knobs: &Knobs, context: usize) -> Result<Arc<dyn Source>> {
        let digits = knobs.read(&DIGITS)?;
        let test_digits = knobs.read_or(&TEST_DIGITS, digits)?;
        let most = (context / 3).saturating_sub(1);
        for (knob, found) in [(&DIGITS, digits), (&TEST_DIGITS, test_digits)] {
            if found > most {
                let why =
                    format!("a problem has 3 x digits + 3 tokens, and model.context is {context}");
                return Err(knobs.refuse(knob, &why));
            }
        }
        Ok(Arc::new(Generated {
            process: Exact(Addition {
                digits,
                test_digits,
                reversed: knobs.read(&REVERSED)?,
            }),
            validation_tokens: knobs.read(&VALIDATION_TOKENS)?,
        }))
    }
}

const PLUS: u32 = 11;
const EQUALS: u32 = 12;

/// Tokens from 1 to 10 are the digits.
struct Addition {
    digits: usize,
    test_digits: usize,
    reversed: bool,
}

impl Addition {
    /// The digits of a sum, as they are said; numbers are given as tokens, their first digit first.
    fn sum(&self, a: &[u32], b: &[u32]) -> Vec<u32> {
        let mut carry = 0;
        let mut said = Vec::with_capacity(a.len() + 1);
        for (a, b) in a.iter().rev().zip(b.iter().rev()) {
            let digit = |token: u32| token.wrapping_sub(1) % 10;
            let sum = digit(*a) + digit(*b) + carry;
            said.push(1 + sum % 10);
            carry = sum / 10;
        }
        said.push(1 + carry);
        if !self.reversed {
            said.reverse();
        }
        said
    }
}

impl Task for Addition {
    const NAME: &'static str = "addition";

    fn vocab(&self) -> usize {
        1 + EQUALS as usize
    }

    fn goes_beyond(&self) -> bool {
        self.test_digits > self.digits
    }

    fn ask(&self, whom: For, stream: &mut Stream, inputs: &mut [u32]) {
        let digits = match whom {
            For::Training => self.digits,
            For::Judging => self.test_digits,
        };
        let mut number =
            || -> Vec<u32> { (0..digits).map(|_| 1 + stream.below(10) as u32).collect() };
        for problem in inputs.chunks_exact_mut(3 * digits + 3) {
            let (a, b) = (number(), number());
            let sum = self.sum(&a, &b);
            problem.copy_from_slice(&[&a, &[PLUS][..], &b, &[EQUALS], &sum].concat());
        }
    }

    fn answer(&self, inputs: &[u32], say: &mut dyn FnMut(Answer)) {
        let Some(digits) = inputs.iter().position(|&token| token == PLUS) else {
            return;
        };
        let length = 3 * digits + 3;
        let equals = 2 * digits + 1;
        for (k, problem) in inputs.chunks(length).enumerate() {
            if problem.get(equals) != Some(&EQUALS) {
                break;
            }
            let sum = self.sum(&problem[..digits], &problem[digits + 1..equals]);
            for (at, token) in (equals..problem.len()).zip(sum) {
                say(Answer {
                    at: k * length + at,
                    token,
                    beyond: digits > self.digits,
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
    use super::super::testing::refusal;
    use serde_json::json;

    fn number(tokens: &[u32]) -> u64 {
        tokens
            .iter()
            .fold(0, |n, &token| 10 * n + u64::from(token - 1))
    }

    #[test]
    fn sums_are_right_and_of_more_digits_when_judging() {
        for reversed in [false, true] {
            let source = task(
                json!({"kind": "addition", "digits": 2, "test_digits": 4, "reversed": reversed}),
                20,
            );
            let check = |batch: &Batch, digits: usize| {
                for (inputs, asked) in asked(batch) {
                    let problems = 20 / (3 * digits + 3);
                    assert_eq!(asked.len(), problems * (digits + 1));
                    for (inputs, asked) in inputs
                        .chunks_exact(3 * digits + 3)
                        .zip(asked.chunks_exact(digits + 1))
                    {
                        let (a, b) = (&inputs[..digits], &inputs[digits + 1..2 * digits + 1]);
                        let mut said: Vec<u32> = asked.iter().map(|&(_, token)| token).collect();
                        assert_eq!(said[..digits], inputs[2 * digits + 2..3 * digits + 2]);
                        if reversed {
                            said.reverse();
                        }
                        assert_eq!(number(a) + number(b), number(&said));
                    }
                }
            };
            check(&source.train(0, 1, 30, 20), 2);
            let (batch, labels) = judged(&source, 20);
            check(&batch, 4);
            assert_eq!(labels[9..14], [1; 5]);
        }
        let refused = refusal(json!({"kind": "addition", "digits": 6}), 20);
        assert!(refused.contains("model.context is 20"), "{refused}");
    }
}
