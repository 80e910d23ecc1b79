//! Kinds `copy` and `selective-copy`: symbols, and then the same once more.
//!
//! `copy` is a string, a mark, and the string again, of which each token is asked for with those before it given (Jelassi et al. 2024,
//! "Repeat After Me", arXiv 2402.01032). `selective-copy` scatters few symbols among blanks and asks for them in their order behind as
//! many marks, none of which says anything (Gu and Dao 2023, Mamba, arXiv 2312.00752, section 4.1.1).

use std::sync::Arc;

use super::exact::{Answer, Exact, For, Task};
use super::generated::Generated;
use super::{MOST_TOKEN_IDS, Source, SourceKind, VALIDATION_TOKENS};
use crate::config::knob::Whole;
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::stream::Stream;

const SYMBOLS: Knob<Whole> = Knob::count("symbols", "Tokens that are copied from.")
    .at_most(MOST_TOKEN_IDS)
    .default(16);
const LENGTH: Knob<Whole> = Knob::count(
    "length",
    "Tokens before the first mark in windows that train; those that judge have as many as fit the context.",
)
.unit("tokens")
.follows("as many as fit model.context");
const COUNT: Knob<Whole> = Knob::count("count", "Symbols among the blanks.")
    .follows("an eighth of model.context, at least 1");

/// The kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Whole,
    Selective,
}

impl Named for Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Whole => Copying::NAME,
            Self::Selective => Selective::NAME,
        }
    }

    fn about(&self) -> &'static str {
        match self {
            Self::Whole => "say a string again, token by token (Jelassi et al. 2024)",
            Self::Selective => {
                "say again, in their order, few symbols that stood among blanks (Gu and Dao 2023)"
            }
        }
    }

    fn knobs(&self) -> Declarations {
        match self {
            Self::Whole => &[&SYMBOLS, &LENGTH, &VALIDATION_TOKENS],
            Self::Selective => &[&SYMBOLS, &LENGTH, &COUNT, &VALIDATION_TOKENS],
        }
    }
}

impl SourceKind for Kind {
    fn settle(&self, knobs: &Knobs, context: usize) -> Result<Arc<dyn Source>> {
        let symbols = knobs.read(&SYMBOLS)?;
        let count = match self {
            Self::Whole => context / 2,
            Self::Selective => knobs.read_or(&COUNT, (context / 8).max(1))?,
        };
        let most = context.saturating_sub(count);
        if most == 0 || count == 0 || count > most {
            let why = format!("as many marks do not fit model.context, which is {context}");
            return Err(match self {
                Self::Whole => knobs.refuse_kind(&why),
                Self::Selective => knobs.refuse(&COUNT, &why),
            });
        }
        let least = match self {
            Self::Whole => 1,
            Self::Selective => count,
        };
        let most = match self {
            Self::Whole => count,
            Self::Selective => most,
        };
        let length = knobs.read_or(&LENGTH, most)?;
        if !(least..=most).contains(&length) {
            let why = format!("with the marks behind them {least} to {most} fit the window");
            return Err(knobs.refuse(&LENGTH, &why));
        }
        let validation_tokens = knobs.read(&VALIDATION_TOKENS)?;
        Ok(match self {
            Self::Whole => Arc::new(Generated {
                process: Exact(Copying {
                    symbols,
                    length,
                    most,
                }),
                validation_tokens,
            }),
            Self::Selective => Arc::new(Generated {
                process: Exact(Selective {
                    symbols,
                    length,
                    most,
                    count,
                }),
                validation_tokens,
            }),
        })
    }
}

/// The mark; symbols are the tokens behind it.
const MARK: u32 = 1;

fn symbol(symbols: usize, stream: &mut Stream) -> u32 {
    MARK + 1 + stream.below(symbols) as u32
}

struct Copying {
    symbols: usize,
    /// Of a string in training.
    length: usize,
    /// Of one that judges.
    most: usize,
}

impl Task for Copying {
    const NAME: &'static str = "copy";

    fn vocab(&self) -> usize {
        2 + self.symbols
    }

    fn goes_beyond(&self) -> bool {
        self.length < self.most
    }

    fn ask(&self, whom: For, stream: &mut Stream, inputs: &mut [u32]) {
        let length = match whom {
            For::Training => self.length,
            For::Judging => self.most,
        };
        let length = length.min(inputs.len() / 2);
        let string = inputs.iter_mut().take(length);
        string.for_each(|token| *token = symbol(self.symbols, stream));
        if length > 0 {
            inputs[length] = MARK;
            inputs.copy_within(0..length - 1, length + 1);
        }
    }

    fn answer(&self, inputs: &[u32], say: &mut dyn FnMut(Answer)) {
        let Some(mark) = inputs.iter().position(|&token| token == MARK) else {
            return;
        };
        let asking = mark..inputs.len().min(2 * mark);
        for (at, &token) in asking.zip(inputs) {
            let (beyond, octave) = (mark > self.length, 0);
            say(Answer {
                at,
                token,
                beyond,
                octave,
            });
        }
    }
}

struct Selective {
    symbols: usize,
    /// Symbols and blanks in training.
    length: usize,
    /// In windows that judge.
    most: usize,
    count: usize,
}

impl Task for Selective {
    const NAME: &'static str = "selective-copy";

    fn vocab(&self) -> usize {
        2 + self.symbols
    }

    fn goes_beyond(&self) -> bool {
        self.length < self.most
    }

    fn ask(&self, whom: For, stream: &mut Stream, inputs: &mut [u32]) {
        let length = match whom {
            For::Training => self.length,
            For::Judging => self.most,
        };
        let length = length.min(inputs.len().saturating_sub(self.count));
        let mut left = self.count.min(length);
        for (at, token) in inputs.iter_mut().enumerate().take(length) {
            // Each set of places is as likely as any other.
            if stream.below(length - at) < left {
                *token = symbol(self.symbols, stream);
                left -= 1;
            }
        }
        let marks = inputs.iter_mut().skip(length).take(self.count);
        marks.for_each(|token| *token = MARK);
    }

    fn answer(&self, inputs: &[u32], say: &mut dyn FnMut(Answer)) {
        let Some(mark) = inputs.iter().position(|&token| token == MARK) else {
            return;
        };
        let symbols = inputs[..mark].iter().filter(|&&token| token > MARK);
        let asking = (mark..inputs.len()).take_while(|&at| inputs[at] == MARK);
        for (at, &token) in asking.zip(symbols) {
            let (beyond, octave) = (mark > self.length, 0);
            say(Answer {
                at,
                token,
                beyond,
                octave,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::exact::testing::{asked, judged, task};
    use super::super::testing::refusal;
    use serde_json::json;

    #[test]
    fn what_is_asked_is_what_stood_there() {
        for (length, context) in [(5, 16), (8, 17), (1, 2)] {
            let source = task(json!({"kind": "copy", "length": length}), context);
            for (inputs, asked) in asked(&source.train(0, 1, 50, context)) {
                assert_eq!(inputs[length], 1, "the mark");
                let expected: Vec<_> = (0..length).map(|i| (length + i, inputs[i])).collect();
                assert_eq!(asked, expected);
                assert_eq!(inputs[length + 1..2 * length], inputs[..length - 1]);
                assert!(inputs[2 * length..].iter().all(|&token| token == 0));
            }
        }
        let source = task(
            json!({"kind": "selective-copy", "length": 9, "count": 3}),
            20,
        );
        for (inputs, asked) in asked(&source.train(0, 1, 50, 20)) {
            let symbols = inputs.iter().filter(|&&token| token > 1);
            let expected: Vec<_> = (9..12).zip(symbols.copied()).collect();
            assert_eq!(asked, expected);
            assert!(inputs[9..12] == [1, 1, 1] && inputs[12..].iter().all(|&token| token == 0));
        }
    }

    #[test]
    fn windows_that_judge_are_as_long_as_fits() {
        let source = task(json!({"kind": "copy", "length": 5}), 16);
        let (batch, labels) = judged(&source, 16);
        for ((_, asked), labels) in asked(&batch).into_iter().zip(labels.chunks(16)) {
            assert_eq!(asked.len(), 8);
            assert!(asked.iter().all(|&(at, _)| labels[at] == 1));
        }
        assert_eq!(source.labels().len(), 2);
        assert_eq!(task(json!({"kind": "copy"}), 16).labels().len(), 1);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = refusal(json!({"kind": "copy", "length": 9}), 16);
        assert!(refused.contains("1 to 8 fit the window"), "{refused}");
        let refused = refusal(json!({"kind": "selective-copy", "count": 9}), 16);
        assert!(refused.contains("do not fit model.context"), "{refused}");
    }
}
