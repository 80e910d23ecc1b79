//! Kind `running-sum`: digits, and their sum modulo 10, with the partial sums after every few digits written out before it as thoughts; or
//! the answer at once. That a chain of easy steps is learnt where the answer alone is not is the point of a scratchpad (Nye et al. 2021,
//! arXiv 2112.00114). Two controls have thoughts of the same length that cannot help: a constant token (Pfau et al. 2024, arXiv
//! 2404.15758, "filler tokens"), and the thoughts of another problem.

use std::sync::Arc;

use super::generated::{Generated, Process};
use super::problems::Problems;
use super::{HeldOut, IGNORE, Source, SourceKind, VALIDATION_TOKENS};
use crate::config::knob::{Whole, Word};
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::reading::Thoughts;
use crate::stream::{Stream, stream};

const DIGITS: Knob<Whole> = Knob::whole("digits", "Digits that are added up.")
    .within(4, 256)
    .default(12);
const THOUGHTS: Knob<Word> = Knob::word(
    "thoughts",
    "What is written before the answer: nothing, partial sums, as many constant tokens, or another problem's partial sums.",
    &Thoughts::WORDS,
)
.default("own");
const EVERY: Knob<Whole> = Knob::count(
    "every",
    "A partial sum is written for every so many digits.",
)
.default(1);

/// The kind `running-sum`.
pub(super) struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        RunningSum::NAME
    }

    fn about(&self) -> &'static str {
        "add up digits modulo 10, with partial sums written out or not: what thinking longer buys (Nye et al. 2021)"
    }

    fn knobs(&self) -> Declarations {
        &[&DIGITS, &THOUGHTS, &EVERY, &VALIDATION_TOKENS]
    }
}

impl SourceKind for Kind {
    fn settle(&self, knobs: &Knobs, context: usize) -> Result<Arc<dyn Source>> {
        let digits = knobs.read(&DIGITS)?;
        let thoughts = Thoughts::of(knobs.read(&THOUGHTS)?).unwrap_or(Thoughts::Own);
        // Nothing is written out where nothing is thought.
        let every = match thoughts {
            Thoughts::None => digits,
            _ => knobs.read(&EVERY)?,
        };
        if !digits.is_multiple_of(every) {
            let why = format!("data.digits = {digits} is no multiple of it");
            return Err(knobs.refuse(&EVERY, &why));
        }
        let process = RunningSum {
            digits,
            thoughts,
            every,
        };
        if context < process.length() {
            let why = format!(
                "a problem has {} tokens, and model.context is {context}",
                process.length()
            );
            return Err(knobs.refuse_kind(&why));
        }
        Ok(Arc::new(Generated {
            process,
            validation_tokens: knobs.read(&VALIDATION_TOKENS)?,
        }))
    }
}

/// Token 0 is nothing, those from 1 to 10 are the digits.
const EQUALS: u32 = 11;
const FILLER: u32 = 12;

/// Of so many problems one is for the test part, and one for the validation part.
const PARTS: u64 = 16;

struct RunningSum {
    digits: usize,
    thoughts: Thoughts,
    /// Digits between two partial sums.
    every: usize,
}

impl RunningSum {
    /// Tokens of a prompt: digits and `=`.
    fn prompt(&self) -> usize {
        self.digits + 1
    }

    /// Tokens of thought.
    fn thought(&self) -> usize {
        match self.thoughts {
            Thoughts::None => 0,
            _ => self.digits / self.every,
        }
    }

    /// Tokens of a problem with its answer.
    fn length(&self) -> usize {
        self.prompt() + self.thought() + 1
    }

    /// Whether a problem belongs to a part, or to training: by its digits alone, so that no problem is of two.
    fn is_of(digits: &[u32], part: Option<HeldOut>) -> bool {
        let mixed = digits.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &d| {
            (hash ^ u64::from(d)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let place = ((mixed >> 32) ^ mixed) % PARTS;
        match part {
            Some(HeldOut::Test) => place == 0,
            Some(HeldOut::Validation) => place == 1,
            Some(HeldOut::All) => place < 2,
            None => place > 1,
        }
    }

    /// The digits of a problem of that part, as tokens.
    fn draw(&self, part: Option<HeldOut>, stream: &mut Stream) -> Vec<u32> {
        loop {
            let digits: Vec<u32> = (0..self.digits)
                .map(|_| 1 + stream.below(10) as u32)
                .collect();
            if Self::is_of(&digits, part) {
                return digits;
            }
        }
    }

    /// Sums modulo 10 after every few digits, as tokens; the last is the answer.
    fn sums(&self, digits: &[u32]) -> Vec<u32> {
        let mut sum = 0;
        let add = |part: &[u32]| {
            // What a window has left over holds no digits.
            let digit = |token: &u32| token.wrapping_sub(1) % 10;
            sum += part.iter().map(digit).sum::<u32>();
            1 + sum % 10
        };
        digits.chunks(self.every).map(add).collect()
    }

    fn answer(&self, digits: &[u32]) -> u32 {
        self.sums(digits).last().copied().unwrap_or_default()
    }

    /// What is said after a prompt; `another` problem's digits are asked for where its thoughts are.
    fn said(&self, digits: &[u32], another: impl FnOnce() -> Vec<u32>) -> Vec<u32> {
        let mut said = match self.thoughts {
            Thoughts::None => Vec::new(),
            Thoughts::Own => self.sums(digits),
            Thoughts::Filler => vec![FILLER; self.thought()],
            Thoughts::Another => self.sums(&another()),
        };
        said.push(self.answer(digits));
        said
    }

    fn window(
        &self,
        part: Option<HeldOut>,
        stream: &mut Stream,
        inputs: &mut [u32],
        targets: &mut [u32],
    ) {
        inputs.fill(0);
        targets.fill(IGNORE);
        let (length, prompt) = (self.length(), self.prompt());
        for (inputs, targets) in inputs
            .chunks_exact_mut(length)
            .zip(targets.chunks_exact_mut(length))
        {
            let digits = self.draw(part, stream);
            let said = self.said(&digits, || self.draw(part, stream));
            inputs[..self.digits].copy_from_slice(&digits);
            inputs[self.digits] = EQUALS;
            inputs[prompt..].copy_from_slice(&said);
            targets[prompt - 1..length - 1].copy_from_slice(&said);
        }
    }
}

/// An index into the labels.
const ANSWER: u8 = 0;
const THOUGHT: u8 = 1;

impl Process for RunningSum {
    const NAME: &'static str = "running-sum";
    type State<'a> = ();

    fn vocab(&self) -> usize {
        1 + FILLER as usize
    }

    fn labels(&self) -> Vec<String> {
        ["answer", "thought"].map(str::to_owned).to_vec()
    }

    fn state(&self) {}

    fn write(&self, _: &mut (), stream: &mut Stream, inputs: &mut [u32], targets: &mut [u32]) {
        self.window(None, stream, inputs, targets);
    }

    fn write_unseen(
        &self,
        _: &mut (),
        part: HeldOut,
        stream: &mut Stream,
        inputs: &mut [u32],
        targets: &mut [u32],
    ) {
        self.window(Some(part), stream, inputs, targets);
    }

    fn judge(&self, _: &mut (), inputs: &[u32], targets: &[u32], say: &mut dyn FnMut(f64, u8)) {
        let (length, prompt) = (self.length(), self.prompt());
        for (inputs, targets) in inputs.chunks(length).zip(targets.chunks(length)) {
            let whole = inputs.get(..self.digits);
            let said = whole.map(|digits| self.said(digits, Vec::new));
            for (at, &target) in targets.iter().enumerate() {
                let place = (at + 1).checked_sub(prompt).filter(|_| target != IGNORE);
                let Some(place) = place else {
                    say(0.0, ANSWER);
                    continue;
                };
                let is_thought = place < self.thought();
                let right = match self.thoughts {
                    // Digits of another problem that nobody shows: every partial sum is as likely.
                    Thoughts::Another if is_thought => (1..=10).contains(&target),
                    Thoughts::Another => whole.is_some_and(|d| self.answer(d) == target),
                    _ => said.as_ref().and_then(|said| said.get(place)) == Some(&target),
                };
                let shared = self.thoughts == Thoughts::Another && is_thought;
                let nats = if shared { 10.0_f64.ln() } else { 0.0 };
                let nats = if right { nats } else { f64::INFINITY };
                say(nats, if is_thought { THOUGHT } else { ANSWER });
            }
        }
    }

    fn problems(&self) -> Option<&dyn Problems> {
        Some(self)
    }
}

impl Problems for RunningSum {
    fn task(&self) -> String {
        format!("running sum of {} digits", self.digits)
    }

    fn thoughts(&self) -> (Thoughts, usize) {
        (self.thoughts, self.thought())
    }

    fn prompts(&self, part: HeldOut, most: usize) -> Vec<Vec<u32>> {
        let prompt = |index: usize| {
            let mut stream = stream("data/running-sum/problems", 0, index as u64);
            let mut prompt = self.draw(Some(part), &mut stream);
            prompt.push(EQUALS);
            prompt
        };
        (0..most).map(prompt).collect()
    }

    fn answer_tokens(&self) -> usize {
        self.thought() + 1
    }

    fn is_right(&self, prompt: &[u32], said: &[u32]) -> bool {
        said.last() == Some(&self.answer(&prompt[..self.digits]))
    }

    fn vote<'a>(&self, said: &'a [u32]) -> Option<&'a [u32]> {
        said.len().checked_sub(1).map(|last| &said[last..])
    }

    fn chance(&self, _: &[u32]) -> f64 {
        0.1
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{refusal, source};
    use super::*;

    /// By hand: 3 + 9 + 4 + 8 is 24, after two digits 12.
    #[test]
    fn partial_sums_are_written_before_the_answer_and_only_the_answer_is_judged() {
        let sum = |thoughts, every| RunningSum {
            digits: 4,
            thoughts,
            every,
        };
        let digits = [4, 10, 5, 9];
        let other = || vec![1, 1, 2, 1];
        let rows: [(Thoughts, usize, &[u32]); 5] = [
            (Thoughts::None, 4, &[5]),
            (Thoughts::Own, 1, &[4, 3, 7, 5, 5]),
            (Thoughts::Own, 2, &[3, 5, 5]),
            (Thoughts::Filler, 2, &[FILLER, FILLER, 5]),
            (Thoughts::Another, 2, &[1, 2, 5]),
        ];
        for (thoughts, every, expected) in rows {
            let sum = sum(thoughts, every);
            assert_eq!(
                sum.said(&digits, other),
                expected,
                "{thoughts:?} every {every}"
            );
            assert_eq!(sum.answer_tokens(), expected.len());
            let prompt = [&digits[..], &[EQUALS]].concat();
            assert!(sum.is_right(&prompt, expected));
            let mut wrong = expected.to_vec();
            *wrong.last_mut().unwrap() = 6;
            assert!(!sum.is_right(&prompt, &wrong), "the thought is not scored");
            assert_eq!(sum.vote(&wrong), Some(&[6][..]));
        }
    }

    #[test]
    fn problems_that_judge_are_never_trained_on() {
        let source = source(json!({"kind": "running-sum", "digits": 4}), 10).unwrap();
        let problems = source.problems().unwrap();
        let trained = source.train(1, 0, 2000, 10);
        let trained: std::collections::HashSet<&[u32]> =
            trained.inputs.chunks(10).map(|w| &w[..5]).collect();
        let [test, validation] =
            [HeldOut::Test, HeldOut::Validation].map(|part| problems.prompts(part, 300));
        assert!(test.iter().all(|p| !trained.contains(&p[..])));
        assert!(test.iter().all(|p| !validation.contains(p)));
        assert_eq!(problems.prompts(HeldOut::Test, 300), test);
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        let refused = refusal(json!({"kind": "running-sum", "every": 5}), 64);
        assert!(refused.contains("no multiple of it"), "{refused}");
        let refused = refusal(json!({"kind": "running-sum"}), 16);
        assert!(refused.contains("a problem has 26 tokens"), "{refused}");
    }
}
