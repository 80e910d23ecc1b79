//! Speculative decoding: tokens guessed by a [`Drafter`] are judged by the model that is served, all in one pass (Leviathan, Kalman and
//! Matias 2023, arXiv 2211.17192, algorithm 1; Chen et al. 2023, arXiv 2302.01318).
//!
//! A guess x that was drawn from q is taken with probability min(1, p(x) / q(x)), p the model's own distribution there; where it is not,
//! a token is drawn from max(0, p - q), and what was guessed behind it is forgotten. Whatever is guessed, tokens then come as the model
//! alone would draw them; at temperature 0 they are those that it would take.

use candle_core::DType;

use super::drafter::{Drafter, Guesses};
use super::{Generator, Sampling};
use crate::error::Result;
use crate::model::Span;

/// Generates for one window.
pub struct Speculative<'a> {
    target: Generator<'a>,
    drafter: Box<dyn Drafter + 'a>,
    /// Guesses of a pass.
    most: usize,
    /// Everything until now.
    text: Vec<u32>,
    /// What was counted since the text before was read.
    pub counted: Counted,
}

/// What generating took.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counted {
    /// What went through the model that is served to be judged, pass by pass.
    pub passes: Vec<Span>,
    /// What went through it once more, behind a copy that it went back to.
    pub again: Vec<Span>,
    /// Tokens guessed.
    pub guessed: u64,
    /// Those of them that were taken.
    pub taken: u64,
}

impl<'a> Speculative<'a> {
    /// Nothing read yet but what the caches have seen of the text; at most `most` guesses a pass.
    pub fn new(target: Generator<'a>, drafter: Box<dyn Drafter + 'a>, most: usize) -> Self {
        Self {
            target,
            drafter,
            most,
            text: Vec::new(),
            counted: Counted::default(),
        }
    }

    /// Reads a text that has at least one token and that the drafter has read, and picks the token behind it.
    ///
    /// # Errors
    /// The operations'.
    pub fn begin(&mut self, text: &[u32], sampling: &mut Sampling) -> Result<u32> {
        let (last, before) = text.split_last().unwrap_or((&0, &[]));
        let seen = self.target.cache().seen();
        self.target.feed_long(&before[seen.min(before.len())..])?;
        let logits = self.target.feed(&[*last])?;
        self.text = text.to_vec();
        self.text.extend(sampling.pick(&logits)?);
        Ok(self.text[text.len()])
    }

    /// The next `count` tokens.
    ///
    /// # Errors
    /// The operations'.
    pub fn generate(&mut self, count: usize, sampling: &mut Sampling) -> Result<Vec<u32>> {
        let from = self.text.len();
        while self.text.len() < from + count {
            let left = from + count - self.text.len();
            self.step(self.most.min(left - 1), sampling)?;
        }
        Ok(self.text[from..].to_vec())
    }

    /// What went through the drafter's model, pass by pass.
    pub fn drafting(&self) -> &[Span] {
        self.drafter.passes()
    }

    /// One pass over guesses: the text grows by those that are taken, and one more.
    fn step(&mut self, most: usize, sampling: &mut Sampling) -> Result<()> {
        let guesses = self.drafter.guess(&self.text, most, sampling)?;
        let known = self.text.len();
        // Behind a copy that it went back to, what was taken then is fed once more.
        let seen = self.target.cache().seen();
        if seen + 1 < known {
            self.counted.again.push(self.span(known - 1 - seen));
            self.target.feed(&self.text[seen..known - 1])?;
        }
        let mark = self.target.mark()?;
        let mut ids = vec![self.text[known - 1]];
        ids.extend(&guesses.tokens);
        self.counted.passes.push(self.span(ids.len()));
        let logits = self.target.feed_all(&ids)?.to_dtype(DType::F32)?;
        self.judge(&guesses, &logits.to_vec2::<f32>()?, sampling);
        let taken = self.text.len() - 1;
        self.counted.guessed += guesses.tokens.len() as u64;
        self.counted.taken += (taken - known) as u64;
        self.target.back(mark, taken);
        self.drafter.keep(taken);
        Ok(())
    }

    fn span(&self, new: usize) -> Span {
        Span {
            seen: self.target.cache().seen() as u64,
            new: new as u64,
            learns: false,
        }
    }

    /// Appends the guesses that are taken, and the token behind them.
    fn judge(&mut self, guesses: &Guesses, logits: &[Vec<f32>], sampling: &mut Sampling) {
        let each = guesses.tokens.iter().zip(&guesses.chances).zip(logits);
        for ((&token, guessed), logits) in each {
            let own = sampling.chances(logits);
            let (p, q) = (own.of(token), guessed.of(token));
            if !sampling.happens(p / q) {
                let other = sampling.draw(&own.less(guessed));
                self.text.push(other);
                return;
            }
            self.text.push(token);
        }
        let own = sampling.chances(&logits[guesses.tokens.len()]);
        let next = sampling.draw(&own);
        self.text.push(next);
    }
}
