//! Kind `countdown`: make a target of three numbers with +, - and x, all of them used once (the numbers game of "Countdown"; Gandhi et al.
//! 2024, arXiv 2404.03683, train on a larger one). An answer is two steps with the first one's result written out, `5 x 4 20 20 - 3`; in
//! each the larger number stands first and results are positive. A problem has several answers, all of them found by going through all
//! steps there are, so that a verifier is exact and so is the oracle.
//!
//! Problems are held out by their canonical form, the sorted numbers and the target.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::generated::{Generated, Process};
use super::problems::Problems;
use super::{HeldOut, IGNORE, Source, SourceKind, VALIDATION_TOKENS};
use crate::config::knob::Whole;
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::reading::Thoughts;
use crate::stream::{Stream, stream};

const LARGEST: Knob<Whole> = Knob::whole("largest", "The largest number that is given.")
    .within(4, 30)
    .default(12);
const TARGETS: Knob<Whole> = Knob::whole("targets", "Targets are from 1 to this.")
    .within(10, 999)
    .default(99);

/// The kind `countdown`.
pub(super) struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        Countdown::NAME
    }

    fn about(&self) -> &'static str {
        "make a target of three numbers with +, - and x: what many samples and a verifier buy (after Gandhi et al. 2024)"
    }

    fn knobs(&self) -> Declarations {
        &[&LARGEST, &TARGETS, &VALIDATION_TOKENS]
    }
}

impl SourceKind for Kind {
    fn settle(&self, knobs: &Knobs, context: usize) -> Result<Arc<dyn Source>> {
        if context < LENGTH {
            let why = format!("a problem has {LENGTH} tokens, and model.context is {context}");
            return Err(knobs.refuse_kind(&why));
        }
        Ok(Arc::new(Generated {
            process: Countdown::new(knobs.read(&LARGEST)? as u32, knobs.read(&TARGETS)? as u32),
            validation_tokens: knobs.read(&VALIDATION_TOKENS)?,
        }))
    }
}

/// Three numbers and the target.
const PROMPT: usize = 4;
/// `a op b result x op y`.
const ANSWER: usize = 7;
const LENGTH: usize = PROMPT + ANSWER;

/// Of all problems one in so many is in the test part, and one in twice as many in the validation part.
const TEST: usize = 10;

type Answer = [u32; ANSWER];

/// +, - and x.
const OPERATIONS: [fn(u32, u32) -> Option<u32>; 3] = [
    |a, b| a.checked_add(b),
    |a, b| a.checked_sub(b).filter(|result| *result > 0),
    |a, b| a.checked_mul(b),
];

/// Sorted numbers and the target.
type Canonical = ([u32; 3], u32);

struct Problem {
    canonical: Canonical,
    /// In order.
    answers: Vec<Answer>,
    /// Well-formed answers from these numbers, whatever they come to.
    well_formed: usize,
}

/// A number is its own token, the three operations come behind the largest.
struct Countdown {
    /// The token of +.
    plus: u32,
    /// First the test part, then the validation part, then what training sees.
    problems: Vec<Problem>,
    place: BTreeMap<Canonical, usize>,
}

impl Countdown {
    fn new(largest: u32, targets: u32) -> Self {
        let plus = targets.max(largest * largest) + 1;
        let mut problems = Vec::new();
        for a in 1..=largest {
            for b in a..=largest {
                for c in b..=largest {
                    let found = answers([a, b, c], plus);
                    let mut by_target: BTreeMap<u32, Vec<Answer>> = BTreeMap::new();
                    for (answer, value) in &found {
                        by_target.entry(*value).or_default().push(*answer);
                    }
                    let of_target = by_target.into_iter().map(|(target, answers)| Problem {
                        canonical: ([a, b, c], target),
                        answers,
                        well_formed: found.len(),
                    });
                    problems.extend(of_target.take_while(|p| p.canonical.1 <= targets));
                }
            }
        }
        stream("data/countdown/problems", 0, u64::from(largest)).shuffle(&mut problems);
        let canonical = problems.iter().map(|problem| problem.canonical);
        let place = canonical.zip(0..).collect();
        Self {
            plus,
            problems,
            place,
        }
    }

    /// The problems of a part, or those of training.
    fn part(&self, part: Option<HeldOut>) -> &[Problem] {
        let n = self.problems.len();
        let (test, both) = (n / TEST, n / TEST + n / (2 * TEST));
        match part {
            Some(HeldOut::Test) => &self.problems[..test],
            Some(HeldOut::Validation) => &self.problems[test..both],
            Some(HeldOut::All) => &self.problems[..both],
            None => &self.problems[both..],
        }
    }

    fn find(&self, prompt: &[u32]) -> Option<&Problem> {
        let mut numbers = [*prompt.first()?, *prompt.get(1)?, *prompt.get(2)?];
        numbers.sort_unstable();
        let place = self.place.get(&(numbers, *prompt.get(3)?))?;
        Some(&self.problems[*place])
    }

    /// A problem's prompt, its numbers in any order.
    fn prompt(problem: &Problem, stream: &mut Stream) -> [u32; PROMPT] {
        let (mut numbers, target) = problem.canonical;
        stream.shuffle(&mut numbers);
        [numbers[0], numbers[1], numbers[2], target]
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
        let problems = self.part(part);
        for (inputs, targets) in inputs
            .chunks_exact_mut(LENGTH)
            .zip(targets.chunks_exact_mut(LENGTH))
        {
            let problem = &problems[stream.below(problems.len())];
            let answer = &problem.answers[stream.below(problem.answers.len())];
            inputs[..PROMPT].copy_from_slice(&Self::prompt(problem, stream));
            inputs[PROMPT..].copy_from_slice(answer);
            targets[PROMPT - 1..LENGTH - 1].copy_from_slice(answer);
        }
    }

    /// What an operation's token makes of two numbers.
    fn apply(&self, a: u32, operation: u32, b: u32) -> Option<u32> {
        let operation = operation.checked_sub(self.plus)? as usize;
        OPERATIONS.get(operation).and_then(|apply| apply(a, b))
    }

    /// What the steps come to, where they are right and use all numbers once.
    fn value(&self, numbers: &[u32], said: &[u32]) -> Option<u32> {
        let &[a, first, b, result, x, second, y] = said else {
            return None;
        };
        let mut left = numbers.to_vec();
        let mut take = |number: u32| {
            let at = left.iter().position(|known| *known == number)?;
            Some(left.swap_remove(at))
        };
        let (a, b) = (take(a)?, take(b)?);
        if self.apply(a, first, b)? != result {
            return None;
        }
        left.push(result);
        let mut take = |number: u32| {
            let at = left.iter().position(|known| *known == number)?;
            Some(left.swap_remove(at))
        };
        let (x, y) = (take(x)?, take(y)?);
        self.apply(x, second, y)
    }
}

/// All two-step answers from three numbers, with what they come to.
fn answers([a, b, c]: [u32; 3], plus: u32) -> BTreeSet<(Answer, u32)> {
    let mut found = BTreeSet::new();
    for (one, other, last) in [(a, b, c), (a, c, b), (b, c, a)] {
        let (one, other) = (one.max(other), one.min(other));
        for (first, result) in results(one, other) {
            let (x, y) = (result.max(last), result.min(last));
            for (second, value) in results(x, y) {
                let answer = [one, plus + first, other, result, x, plus + second, y];
                found.insert((answer, value));
            }
        }
    }
    found
}

/// What each operation makes of two numbers, where that is positive.
fn results(a: u32, b: u32) -> impl Iterator<Item = (u32, u32)> {
    let each = OPERATIONS.iter().zip(0..);
    each.filter_map(move |(apply, operation)| Some((operation, apply(a, b)?)))
}

impl Process for Countdown {
    const NAME: &'static str = "countdown";
    type State<'a> = ();

    fn vocab(&self) -> usize {
        self.plus as usize + OPERATIONS.len()
    }

    fn labels(&self) -> Vec<String> {
        vec!["answer".to_owned()]
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
        for (inputs, targets) in inputs.chunks(LENGTH).zip(targets.chunks(LENGTH)) {
            let problem = self.find(inputs);
            for (at, &target) in targets.iter().enumerate() {
                if target == IGNORE {
                    say(0.0, 0);
                    continue;
                }
                let said = inputs.get(PROMPT..=at).unwrap_or_default();
                let going_on = problem.iter().flat_map(|problem| &problem.answers);
                let going_on = going_on.filter(|answer| answer.starts_with(said));
                let next: Vec<u32> = going_on
                    .filter_map(|answer| answer.get(said.len()).copied())
                    .collect();
                let same = next.iter().filter(|token| **token == target).count();
                let nats = (next.len() as f64 / same as f64).ln();
                say(if same > 0 { nats } else { f64::INFINITY }, 0);
            }
        }
    }

    fn problems(&self) -> Option<&dyn Problems> {
        Some(self)
    }
}

impl Problems for Countdown {
    fn task(&self) -> String {
        "Countdown with 3 numbers".to_owned()
    }

    fn thoughts(&self) -> (Thoughts, usize) {
        (Thoughts::None, 0)
    }

    fn prompts(&self, part: HeldOut, most: usize) -> Vec<Vec<u32>> {
        let problems = self.part(Some(part)).iter().zip(0..).take(most);
        let prompt = |(problem, index): (&Problem, u64)| {
            let mut stream = stream("data/countdown/prompts", 0, index);
            Self::prompt(problem, &mut stream).to_vec()
        };
        problems.map(prompt).collect()
    }

    fn answer_tokens(&self) -> usize {
        ANSWER
    }

    fn is_right(&self, prompt: &[u32], said: &[u32]) -> bool {
        self.value(&prompt[..3], said) == Some(prompt[3])
    }

    fn vote<'a>(&self, _: &'a [u32]) -> Option<&'a [u32]> {
        None
    }

    fn chance(&self, prompt: &[u32]) -> f64 {
        self.find(prompt).map_or(0.0, |problem| {
            problem.answers.len() as f64 / problem.well_formed as f64
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4,004 by a few lines of Python that try every order, bracket and operation.
    #[test]
    fn all_problems_are_found_and_every_answer_is_right() {
        let game = Countdown::new(12, 99);
        assert_eq!(game.problems.len(), 4004);
        assert_eq!((game.plus, game.vocab()), (145, 148));
        for problem in &game.problems {
            let (numbers, target) = problem.canonical;
            let prompt = [&numbers[..], &[target]].concat();
            assert!(problem.answers.iter().all(|a| game.is_right(&prompt, a)));
            assert!(problem.answers.is_sorted() && problem.well_formed <= 27);
            let chance = game.chance(&prompt);
            assert!(chance > 0.0 && chance <= 1.0);
        }
    }

    #[test]
    fn the_verifier_is_exact() {
        let game = Countdown::new(12, 99);
        let [add, sub, mul] = [145, 146, 147];
        let rows: [(&[u32], bool); 9] = [
            (&[5, mul, 4, 20, 20, sub, 3], true),
            (&[4, mul, 5, 20, 20, sub, 3], true),
            // The result is wrong, a number is used twice, one is not given, the target is missed.
            (&[5, mul, 4, 21, 20, sub, 3], false),
            (&[5, mul, 4, 20, 20, sub, 5], false),
            (&[5, mul, 6, 30, 30, sub, 3], false),
            (&[5, add, 4, 9, 9, add, 3], false),
            // No operation, too short, results that are not positive.
            (&[5, 5, 4, 20, 20, sub, 3], false),
            (&[5, mul, 4, 20], false),
            (&[4, sub, 5, 0, 3, add, 0], false),
        ];
        for (said, right) in rows {
            assert_eq!(game.is_right(&[3, 4, 5, 17], said), right, "{said:?}");
        }
    }

    #[test]
    fn parts_share_no_problem_and_prompts_are_those_of_their_part() {
        let game = Countdown::new(12, 99);
        let parts = [Some(HeldOut::Test), Some(HeldOut::Validation), None];
        assert_eq!(
            parts.map(|part| game.part(part).len()),
            [400, 200, 3404],
            "of 4004"
        );
        let prompts = game.prompts(HeldOut::Test, 1000);
        assert_eq!(prompts.len(), 400);
        for prompt in prompts {
            let found = game.find(&prompt).unwrap().canonical;
            assert!(
                game.part(Some(HeldOut::Test))
                    .iter()
                    .any(|p| p.canonical == found)
            );
        }
    }
}
