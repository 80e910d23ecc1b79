//! Kinds `parity` and `permutation`: elements of a finite group, uniformly drawn, and after each the product of all so far, from left to
//! right (Merrill et al. 2024, "The Illusion of State", arXiv 2404.08819). Parity is the group of two elements. Of the others A5 and S5
//! are not solvable: no fixed number of layers without a recurrence tracks them over any length, if TC0 is not NC1.

use std::sync::Arc;

use super::exact::{Answer, Exact, For, Task};
use super::generated::Generated;
use super::{Source, SourceKind, VALIDATION_TOKENS};
use crate::config::knob::{Whole, Word};
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::stream::Stream;

const GROUP: Knob<Word> = Knob::word(
    "group",
    "Whose products are asked for: permutations of 3 or 5 things, even ones of 5, or sums modulo 60.",
    &["s3", "s5", "a5", "z60"],
)
.default("s5");
const LENGTH: Knob<Whole> = Knob::count(
    "length",
    "Elements in windows that train; those that judge go on to the end of the context.",
)
.unit("tokens")
.follows("model.context");

/// The kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Parity,
    Permutation,
}

impl Named for Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Parity => "parity",
            Self::Permutation => "permutation",
        }
    }

    fn about(&self) -> &'static str {
        match self {
            Self::Parity => "say after each bit whether the ones so far are odd: state of one bit",
            Self::Permutation => {
                "say the product of all group elements so far, as for S5 (Merrill et al. 2024)"
            }
        }
    }

    fn knobs(&self) -> Declarations {
        match self {
            Self::Parity => &[&LENGTH, &VALIDATION_TOKENS],
            Self::Permutation => &[&GROUP, &LENGTH, &VALIDATION_TOKENS],
        }
    }
}

impl SourceKind for Kind {
    fn settle(&self, knobs: &Knobs, context: usize) -> Result<Arc<dyn Source>> {
        let group = match self {
            Self::Parity => Group::sums(2),
            Self::Permutation => match knobs.read(&GROUP)? {
                "s3" => Group::permutations(3, false),
                "a5" => Group::permutations(5, true),
                "z60" => Group::sums(60),
                _ => Group::permutations(5, false),
            },
        };
        let length = knobs.read_or(&LENGTH, context)?;
        if length > context {
            let why = format!("more than model.context, which is {context}");
            return Err(knobs.refuse(&LENGTH, &why));
        }
        let words = Words {
            group,
            length,
            context,
        };
        let validation_tokens = knobs.read(&VALIDATION_TOKENS)?;
        Ok(match self {
            Self::Parity => Arc::new(Generated {
                process: Exact(OfTwo(words)),
                validation_tokens,
            }),
            Self::Permutation => Arc::new(Generated {
                process: Exact(words),
                validation_tokens,
            }),
        })
    }
}

/// A finite group by its table of products; element 0 is the neutral one.
struct Group {
    order: usize,
    /// Row a, column b: a, then b.
    products: Vec<usize>,
}

impl Group {
    fn of(order: usize, product: impl Fn(usize, usize) -> usize) -> Self {
        let pairs = (0..order).flat_map(|a| (0..order).map(move |b| (a, b)));
        Self {
            order,
            products: pairs.map(|(a, b)| product(a, b)).collect(),
        }
    }

    /// Sums modulo a number.
    fn sums(modulus: usize) -> Self {
        Self::of(modulus, |a, b| (a + b) % modulus)
    }

    /// Permutations of so many things, or the even ones.
    fn permutations(things: usize, even: bool) -> Self {
        let mut all = vec![Vec::new()];
        for _ in 0..things {
            let longer = all.iter().flat_map(|start: &Vec<usize>| {
                let left = (0..things).filter(|thing| !start.contains(thing));
                left.map(|thing| [start.as_slice(), &[thing]].concat())
            });
            all = longer.collect();
        }
        let inversions = |p: &[usize]| {
            let later = |(i, x): (usize, &usize)| p[i..].iter().filter(|y| *y < x).count();
            p.iter().enumerate().map(later).sum::<usize>()
        };
        all.retain(|p| !even || inversions(p).is_multiple_of(2));
        Self::of(all.len(), |a, b| {
            let both: Vec<usize> = all[a].iter().map(|&thing| all[b][thing]).collect();
            all.iter().position(|p| *p == both).unwrap_or_default()
        })
    }
}

struct Words {
    group: Group,
    /// In training.
    length: usize,
    context: usize,
}

impl Words {
    fn ask(&self, whom: For, stream: &mut Stream, inputs: &mut [u32]) {
        let length = match whom {
            For::Training => self.length,
            For::Judging => self.context,
        };
        let asking = inputs.iter_mut().take(length);
        asking.for_each(|token| *token = 1 + stream.below(self.group.order) as u32);
    }

    fn answer(&self, inputs: &[u32], say: &mut dyn FnMut(Answer)) {
        let mut product = 0;
        let word = inputs.iter().take_while(|&&token| token > 0);
        for (at, &token) in word.enumerate() {
            product = self.group.products[product * self.group.order + token as usize - 1];
            say(Answer {
                at,
                token: 1 + product as u32,
                beyond: at >= self.length,
                octave: (at + 1).ilog2() as usize,
            });
        }
    }
}

impl Task for Words {
    const NAME: &'static str = "permutation";

    fn vocab(&self) -> usize {
        1 + self.group.order
    }

    fn goes_beyond(&self) -> bool {
        self.length < self.context
    }

    fn octaves(&self) -> usize {
        self.context.ilog2() as usize + 1
    }

    fn ask(&self, whom: For, stream: &mut Stream, inputs: &mut [u32]) {
        Words::ask(self, whom, stream, inputs);
    }

    fn answer(&self, inputs: &[u32], say: &mut dyn FnMut(Answer)) {
        Words::answer(self, inputs, say);
    }
}

/// Words over two elements, under a name of their own.
struct OfTwo(Words);

impl Task for OfTwo {
    const NAME: &'static str = "parity";

    fn vocab(&self) -> usize {
        self.0.vocab()
    }

    fn goes_beyond(&self) -> bool {
        self.0.goes_beyond()
    }

    fn octaves(&self) -> usize {
        self.0.octaves()
    }

    fn ask(&self, whom: For, stream: &mut Stream, inputs: &mut [u32]) {
        self.0.ask(whom, stream, inputs);
    }

    fn answer(&self, inputs: &[u32], say: &mut dyn FnMut(Answer)) {
        self.0.answer(inputs, say);
    }
}

#[cfg(test)]
mod tests {
    use super::super::exact::testing::{asked, judged, task};
    use super::super::testing::refusal;
    use super::*;
    use serde_json::json;

    #[test]
    fn groups_are_groups_of_their_order() {
        for (group, order, commutes) in [
            (Group::permutations(3, false), 6, false),
            (Group::permutations(5, false), 120, false),
            (Group::permutations(5, true), 60, false),
            (Group::sums(60), 60, true),
        ] {
            assert_eq!(group.order, order);
            let times = |a: usize, b: usize| group.products[a * order + b];
            for a in 0..order {
                assert_eq!((times(0, a), times(a, 0)), (a, a), "neutral");
                let row = (0..order).map(|b| times(a, b));
                assert_eq!(row.collect::<std::collections::BTreeSet<_>>().len(), order);
                for b in (0..order).step_by(7) {
                    let c = (3 * a + 5 * b) % order;
                    assert_eq!(times(times(a, b), c), times(a, times(b, c)));
                }
            }
            let mut pairs = (0..order).flat_map(|a| (0..order).map(move |b| (a, b)));
            assert_eq!(pairs.all(|(a, b)| times(a, b) == times(b, a)), commutes);
        }
    }

    #[test]
    fn every_prefix_is_asked_and_longer_ones_when_judging() {
        let source = task(json!({"kind": "parity", "length": 6}), 10);
        for (inputs, asked) in asked(&source.train(0, 1, 50, 10)) {
            let ones = |at: usize| inputs[..=at].iter().filter(|&&bit| bit == 2).count() as u32;
            let expected: Vec<_> = (0..6).map(|at| (at, 1 + ones(at) % 2)).collect();
            assert_eq!(asked, expected);
            assert!(inputs[6..].iter().all(|&token| token == 0));
        }
        let (batch, labels) = judged(&source, 10);
        assert!(asked(&batch).iter().all(|(_, asked)| asked.len() == 10));
        let named = |label: &u8| source.labels()[usize::from(*label)].clone();
        let named: Vec<String> = labels[..10].iter().map(named).collect();
        assert_eq!(named[0], "1 to 1, as trained");
        assert_eq!(named[5], "4 to 7, as trained");
        assert_eq!(named[6], "4 to 7, beyond training");
        assert_eq!(named[9], "8 to 15, beyond training");
        // Swapping the first two and then the last two of three is another product than the other way round.
        let words = Words {
            group: Group::permutations(3, false),
            length: 2,
            context: 2,
        };
        let of = |a, b| {
            let mut last = 0;
            words.answer(&[a, b], &mut |answer| last = answer.token);
            last
        };
        // In their order: 012, 021, 102, 120, 201, 210.
        assert_eq!((of(3, 2), of(2, 3)), (5, 4));
        let refused = refusal(json!({"kind": "permutation", "length": 11}), 10);
        assert!(refused.contains("model.context, which is 10"), "{refused}");
    }
}
