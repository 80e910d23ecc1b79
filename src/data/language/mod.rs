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

use self::grammar::{Changed, Grammar, Shape};
use self::urn::Habit;
use self::walk::{LABELS, Walk};
use super::generated::{Generated, Process};
use super::{MOST_TOKEN_IDS, Source, SourceKind, VALIDATION_TOKENS};
use crate::config::knob::{Number, Whole, Word};
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::stream::Stream;

const PRESET: Knob<Word> = Knob::word(
    "preset",
    "Defaults of the other keys: easy is learnt far within minutes, rich has a long tail of rare rules.",
    &["easy", "rich"],
)
.default("easy");
const CATEGORIES: Knob<Whole> = Knob::count(
    "categories",
    "Kinds of phrases, each with rules of its own.",
)
.follows("64 in easy, 128 in rich");
const RULES: Knob<Whole> = Knob::count(
    "rules",
    "Ways to write a phrase of one kind, each opened by another token.",
)
.follows("12 in easy, 400 in rich");
const ZIPF: Knob<Number> = Knob::number(
    "zipf",
    "How unequally likely rules are: the k-th has weight k^-zipf; 0 is equally.",
)
.within(0.0, 4.0)
.follows("1 in easy, 1.4 in rich");
const VOCAB: Knob<Whole> = Knob::count("vocab", "Tokens of the language.")
    .at_most(MOST_TOKEN_IDS)
    .follows("128 in easy, 512 in rich");
const DEPTH: Knob<Whole> = Knob::whole(
    "depth",
    "How deep phrases nest; the deepest have no sub-phrases.",
)
.default(6);
const OFFSPRING: Knob<Number> = Knob::number(
    "offspring",
    "Mean number of sub-phrases in a rule: the larger, the longer sentences are.",
)
.within(0.0, 1.5)
.default(0.96);
const FILL: Knob<Whole> = Knob::whole(
    "fill",
    "Most tokens and names in a rule beside its opener and sub-phrases.",
)
.follows("2 in both presets");
const NAMES: Knob<Whole> = Knob::whole(
    "names",
    "Tokens that are names and recur within a document.",
)
.follows("16 in easy, 64 in rich");
const NAME_SHARE: Knob<Number> = Knob::number(
    "name_share",
    "Chance that one of those is a place for a name.",
)
.within(0.0, 1.0)
.follows("0.15 in easy, 0.05 in rich");
const FEATURES: Knob<Whole> = Knob::whole(
    "features",
    "Tokens of which a rule chooses one and must repeat it later, as in grammatical agreement.",
)
.default(4);
const AGREEMENT: Knob<Number> =
    Knob::number("agreement", "Chance that a rule with sub-phrases does so.")
        .within(0.0, 1.0)
        .default(0.25);
const THETA: Knob<Number> = Knob::number(
    "theta",
    "How readily a document takes up a new name (concentration of a Pitman-Yor process).",
)
.within(1e-3, 1e6)
.default(1.0);
const DISCOUNT: Knob<Number> = Knob::number(
    "discount",
    "How heavy the tail of rare names is (discount of a Pitman-Yor process).",
)
.within(0.0, 0.95)
.default(0.5);
const GRAMMAR_SEED: Knob<Whole> =
    Knob::whole("grammar_seed", "The seed that the grammar is drawn with.").default(0);
const CHANGED: Knob<Number> = Knob::number(
    "changed",
    "Share of the kinds of phrases whose rules are another grammar's, drawn with changed_seed: what a model of the language without \
     this key knows of this one is known.",
)
.within(0.0, 1.0)
.optional();
const CHANGED_SEED: Knob<Whole> =
    Knob::whole("changed_seed", "The seed of that other grammar.").follows("grammar_seed + 1");
const UNSEEN: Knob<Whole> = VALIDATION_TOKENS.follows("32768 in easy, 65536 in rich");

const KNOBS: Declarations = &[
    &PRESET,
    &CATEGORIES,
    &RULES,
    &ZIPF,
    &VOCAB,
    &DEPTH,
    &OFFSPRING,
    &FILL,
    &NAMES,
    &NAME_SHARE,
    &FEATURES,
    &AGREEMENT,
    &THETA,
    &DISCOUNT,
    &GRAMMAR_SEED,
    &CHANGED,
    &CHANGED_SEED,
    &UNSEEN,
];

/// The kind `language`.
pub(super) struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "language"
    }

    fn about(&self) -> &'static str {
        "a generated language with an exact oracle: rules, nesting, agreement, recurring names; presets easy and rich"
    }

    fn knobs(&self) -> Declarations {
        KNOBS
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
    let preset = if knobs.read(&PRESET)? == "easy" {
        EASY
    } else {
        RICH
    };
    let shape = Shape {
        categories: knobs.read_or(&CATEGORIES, preset.categories)?,
        rules: knobs.read_or(&RULES, preset.rules)?,
        zipf: knobs.read_or(&ZIPF, preset.zipf)?,
        vocab: knobs.read_or(&VOCAB, preset.vocab)?,
        depth: knobs.read(&DEPTH)?,
        offspring: knobs.read(&OFFSPRING)?,
        fill: knobs.read_or(&FILL, preset.fill)?,
        names: knobs.read_or(&NAMES, preset.names)?,
        name_share: knobs.read_or(&NAME_SHARE, preset.name_share)?,
        features: knobs.read(&FEATURES)?,
        agreement: knobs.read(&AGREEMENT)?,
    };
    let habit = Habit {
        theta: knobs.read(&THETA)?,
        discount: knobs.read(&DISCOUNT)?,
    };
    let grammar_seed = knobs.read(&GRAMMAR_SEED)? as u64;
    let changed = match knobs.find(&CHANGED)? {
        Some(share) => Some(Changed {
            share,
            seed: knobs.read_or(&CHANGED_SEED, (grammar_seed as usize).saturating_add(1))? as u64,
        }),
        None => None,
    };
    let validation_tokens = knobs.read_or(&UNSEEN, preset.validation_tokens)?;
    if let Some((name, why)) = shape.flaw()
        && let Some(knob) = KNOBS.iter().find(|knob| knob.name() == name)
    {
        return Err(knobs.refuse(*knob, &why));
    }
    Ok((
        Language {
            grammar: Grammar::draw(&shape, grammar_seed, changed),
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
