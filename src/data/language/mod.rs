//! Kind `language`: a generated language whose exact next-token probabilities are known (an s-grammar: Korenjak and
//! Hopcroft 1966), so that a model's loss splits into what nobody could know and what the model has not learnt, skill by
//! skill.
//!
//! A document is sentences until the window ends, each a separator and a tree. Every rule of a category opens with a
//! terminal that no other rule of that category opens with (other categories' rules may), so that the tokens so far always
//! say where in which tree the next one stands. What is to be learnt: how likely each rule is and how it goes on (Zipf
//! weights: knowledge with a tail), the stack of what is still open, features that a rule chooses early and repeats behind
//! its sub-phrases (agreement), and names that recur within a document (a Pitman-Yor urn).
//!
//! Every token is labelled by what predicting it takes, and the label too is a function of the tokens before it.

mod grammar;
#[cfg(test)]
mod truth;
mod urn;
mod walk;

use std::sync::Arc;

use self::grammar::{Grammar, Shape};
use self::urn::Habit;
use self::walk::{LABELS, Walk};
use super::generated::{Generated, Process};
use super::{Source, SourceKind};
use crate::config::{Knobs, Named};
use crate::error::Result;
use crate::stream::Stream;

/// The kind `language`.
pub(super) struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "language"
    }

    fn about(&self) -> &'static str {
        "a generated language with an exact oracle: rules, nesting, agreement, recurring names; presets easy and rich"
    }
}

impl SourceKind for Kind {
    fn settle(&self, knobs: &Knobs, _context: usize) -> Result<Arc<dyn Source>> {
        let (language, validation_tokens) = read(knobs)?;
        Ok(Arc::new(Generated {
            process: language,
            validation_tokens,
        }))
    }
}

/// The defaults of `easy` (small suites: learnt far in minutes) and of `rich` (a long tail, for ladders over compute).
struct Preset {
    categories: usize,
    rules: usize,
    zipf: f64,
    vocab: usize,
    fill: usize,
    names: usize,
    name_share: f64,
    validation_tokens: usize,
}

const EASY: Preset = Preset {
    categories: 64,
    rules: 12,
    zipf: 1.0,
    vocab: 128,
    fill: 2,
    names: 16,
    name_share: 0.15,
    validation_tokens: 32_768,
};

const RICH: Preset = Preset {
    categories: 128,
    rules: 400,
    zipf: 1.4,
    vocab: 512,
    fill: 2,
    names: 64,
    name_share: 0.05,
    validation_tokens: 65_536,
};

/// Reads every knob, refuses what cannot be, draws the grammar.
fn read(knobs: &Knobs) -> Result<(Language, usize)> {
    let preset = if knobs.choice("preset", "easy", &["easy", "rich"])? == "easy" {
        EASY
    } else {
        RICH
    };
    let shape = Shape {
        categories: knobs.count("categories", preset.categories)?,
        rules: knobs.count("rules", preset.rules)?,
        zipf: knobs.f64_in("zipf", preset.zipf, 0.0, 4.0)?,
        vocab: knobs.count("vocab", preset.vocab)?,
        depth: knobs.usize("depth", 6)?,
        offspring: knobs.f64_in("offspring", 0.96, 0.0, 1.5)?,
        fill: knobs.usize("fill", preset.fill)?,
        names: knobs.usize("names", preset.names)?,
        name_share: knobs.f64_in("name_share", preset.name_share, 0.0, 1.0)?,
        features: knobs.usize("features", 4)?,
        agreement: knobs.f64_in("agreement", 0.25, 0.0, 1.0)?,
    };
    let habit = Habit {
        theta: knobs.f64_in("theta", 1.0, 1e-3, 1e6)?,
        discount: knobs.f64_in("discount", 0.5, 0.0, 0.95)?,
    };
    let grammar_seed = knobs.usize("grammar_seed", 0)? as u64;
    let validation_tokens = knobs.count("validation_tokens", preset.validation_tokens)?;
    if let Some((knob, why)) = shape.flaw() {
        return Err(knobs.refuse(knob, &why));
    }
    Ok((
        Language {
            grammar: Grammar::draw(&shape, grammar_seed),
            habit,
        },
        validation_tokens,
    ))
}

/// A grammar and the habit of its authors with names.
struct Language {
    grammar: Grammar,
    habit: Habit,
}

impl Process for Language {
    const NAME: &'static str = "language";
    type State<'a> = Walk<'a>;

    fn vocab(&self) -> usize {
        self.grammar.vocab
    }

    fn labels(&self) -> Vec<String> {
        LABELS.map(str::to_owned).to_vec()
    }

    fn state(&self) -> Walk<'_> {
        Walk::new(&self.grammar, self.habit)
    }

    fn write(&self, walk: &mut Walk, stream: &mut Stream, inputs: &mut [u32], targets: &mut [u32]) {
        let mut token = walk.restart();
        for (input, target) in inputs.iter_mut().zip(targets) {
            *input = token;
            token = walk.draw(stream);
            walk.take(token);
            *target = token;
        }
    }

    fn judge(&self, walk: &mut Walk, _: &[u32], targets: &[u32], say: &mut dyn FnMut(f64, u8)) {
        walk.restart();
        let mut possible = true;
        for &target in targets {
            let nats = if possible {
                walk.nats(target)
            } else {
                f64::INFINITY
            };
            say(nats, walk.label());
            possible = nats.is_finite();
            if possible {
                walk.take(target);
            }
        }
    }
}
