//! Reading a document from left to right: what may come next, how likely each token is, and what predicting it takes.
//! Constant time for each token, without allocation: the grammar makes the parser's state a function of the tokens so far.

use super::grammar::{Grammar, SEPARATOR, Symbol};
use super::urn::{Habit, Urn};
use crate::stream::Stream;

/// What predicting a token takes.
pub(super) const LABELS: [&str; 8] = [
    "rule depth 0",
    "rule depth 1",
    "rule depth 2",
    "rule depth 3+",
    "forced",
    "feature",
    "agreement",
    "name",
];

/// The place that the next token fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// The opener of one of a category's rules, at a depth.
    Rule { category: u32, depth: u32 },
    /// This token and no other.
    Forced(u32),
    /// Any feature.
    Feature,
    /// The feature that the same rule chose before its sub-phrases.
    Agreement(u32),
    /// Any name.
    Name,
}

/// A rule being written.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// The next place, in [`Grammar::symbols`].
    next: u32,
    end: u32,
    /// What it chose at its [`Symbol::Choice`].
    feature: u32,
}

/// A reader's, or a writer's, position in a document.
#[derive(Debug, Clone)]
pub(super) struct Walk<'a> {
    grammar: &'a Grammar,
    /// The sentence's own frame, then the open rules, outermost first. Rules that wait only for their last sub-phrase to end
    /// stay, so that a phrase's depth is the number of rules around it.
    frames: Vec<Frame>,
    urn: Urn,
}

impl<'a> Walk<'a> {
    /// Before a document.
    pub fn new(grammar: &'a Grammar, habit: Habit) -> Self {
        Self {
            grammar,
            frames: Vec::new(),
            urn: Urn::new(grammar.names.len(), habit),
        }
    }

    /// Begins a new document and says its first token, the separator, which is already taken.
    pub fn restart(&mut self) -> u32 {
        self.frames.clear();
        self.urn.clear();
        self.take(SEPARATOR);
        SEPARATOR
    }

    /// The place that the next token fills.
    pub fn slot(&self) -> Slot {
        let Some(frame) = self.frames.last() else {
            return Slot::Forced(SEPARATOR);
        };
        match self.grammar.symbols[frame.next as usize] {
            Symbol::Terminal(token) => Slot::Forced(token),
            Symbol::Category(category) => Slot::Rule {
                category,
                depth: self.frames.len() as u32 - 1,
            },
            Symbol::Name => Slot::Name,
            Symbol::Choice => Slot::Feature,
            Symbol::Copy => Slot::Agreement(frame.feature),
        }
    }

    /// Index into [`LABELS`] of what predicting the next token takes.
    pub fn label(&self) -> u8 {
        match self.slot() {
            Slot::Rule { depth, .. } => depth.min(3) as u8,
            Slot::Forced(_) => 4,
            Slot::Feature => 5,
            Slot::Agreement(_) => 6,
            Slot::Name => 7,
        }
    }

    /// -ln of the probability that this token comes next; infinite where it cannot.
    pub fn nats(&self, token: u32) -> f64 {
        let grammar = self.grammar;
        match self.slot() {
            Slot::Forced(only) | Slot::Agreement(only) if token == only => 0.0,
            Slot::Rule { category, depth } => {
                grammar
                    .opened_by(category, token)
                    .map_or(f64::INFINITY, |rule| {
                        if depth >= grammar.depth {
                            rule.deepest_nats
                        } else {
                            rule.nats
                        }
                    })
            }
            Slot::Feature if grammar.features.contains(&token) => {
                (grammar.features.len() as f64).ln()
            }
            Slot::Name if grammar.names.contains(&token) => {
                self.urn.nats(token - grammar.names.start)
            }
            _ => f64::INFINITY,
        }
    }

    /// Draws the next token, which must then be [taken](Self::take).
    pub fn draw(&mut self, stream: &mut Stream) -> u32 {
        let grammar = self.grammar;
        match self.slot() {
            Slot::Forced(token) | Slot::Agreement(token) => token,
            Slot::Rule { category, depth } => grammar.draw_opener(category, depth, stream),
            Slot::Feature => grammar.features.start + stream.below(grammar.features.len()) as u32,
            Slot::Name => grammar.names.start + self.urn.draw(stream),
        }
    }

    /// Moves past the next token, which must be a possible one.
    pub fn take(&mut self, token: u32) {
        let slot = self.slot();
        if let Some(frame) = self.frames.last_mut() {
            frame.next += 1;
            if slot == Slot::Feature {
                frame.feature = token;
            }
        }
        match slot {
            Slot::Forced(SEPARATOR) => self.frames.push(Frame {
                next: 0,
                end: 1,
                feature: 0,
            }),
            Slot::Rule { category, .. } => {
                if let Some(rule) = self.grammar.opened_by(category, token) {
                    self.frames.push(Frame {
                        next: rule.body.start,
                        end: rule.body.end,
                        feature: 0,
                    });
                }
            }
            Slot::Name => self.urn.take(token - self.grammar.names.start),
            _ => {}
        }
        while self
            .frames
            .pop_if(|frame| frame.next == frame.end)
            .is_some()
        {}
    }
}
