//! What guesses the next tokens of a text cheaply, for the model that is served to judge: a smaller model, or the text itself.

use super::sampling::Chances;
use super::{Generator, Sampling};
use crate::error::Result;
use crate::model::{Mark, Span};

/// Guesses the next tokens of a text.
pub trait Drafter {
    /// Takes in the text before generation begins, but what it has seen of it.
    ///
    /// # Errors
    /// The operations'.
    fn read(&mut self, text: &[u32]) -> Result<()>;

    /// At most so many tokens that may come next, each with how likely the guess was to be any token.
    ///
    /// # Errors
    /// The operations'.
    fn guess(&mut self, text: &[u32], most: usize, sampling: &mut Sampling) -> Result<Guesses>;

    /// Of the text and what was guessed behind it so many tokens stay.
    fn keep(&mut self, tokens: usize);

    /// What went through its model since it had read, pass by pass.
    fn passes(&self) -> &[Span];
}

/// Tokens that may come next.
#[derive(Debug, Clone, Default)]
pub struct Guesses {
    pub(super) tokens: Vec<u32>,
    /// What each was drawn from.
    pub(super) chances: Vec<Chances>,
}

impl Guesses {
    fn push(&mut self, token: u32, chances: Chances) {
        self.tokens.push(token);
        self.chances.push(chances);
    }
}

/// The longest end of the text that is looked up.
const LONGEST: usize = 3;

/// What followed when the text last ended as it does now: of its last 3 tokens, else of 2, else of the last ("prompt lookup decoding",
/// Saxena 2023; there too the longest match goes first). Costs no model.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lookup;

impl Lookup {
    /// Where what may come next begins in the text.
    fn find(text: &[u32]) -> Option<usize> {
        let mut lengths = (1..=LONGEST.min(text.len().saturating_sub(1))).rev();
        lengths.find_map(|length| {
            let (before, end) = (&text[..text.len() - 1], &text[text.len() - length..]);
            let found = before.windows(length).rposition(|some| some == end)?;
            Some(found + length)
        })
    }
}

impl Drafter for Lookup {
    fn read(&mut self, _: &[u32]) -> Result<()> {
        Ok(())
    }

    fn guess(&mut self, text: &[u32], most: usize, _: &mut Sampling) -> Result<Guesses> {
        let mut guesses = Guesses::default();
        let from = Self::find(text).unwrap_or(text.len());
        for &token in text[from..].iter().take(most) {
            guesses.push(token, Chances::of_one(token));
        }
        Ok(guesses)
    }

    fn keep(&mut self, _: usize) {}

    fn passes(&self) -> &[Span] {
        &[]
    }
}

/// A smaller model that goes on from the text token by token.
pub struct Drafting<'a> {
    generator: Generator<'a>,
    /// Where the text ended that it last guessed behind.
    mark: Option<Mark>,
    passes: Vec<Span>,
}

impl<'a> Drafting<'a> {
    /// With a cache that has seen nothing, or the beginning of the text.
    pub fn new(generator: Generator<'a>) -> Self {
        Self {
            generator,
            mark: None,
            passes: Vec::new(),
        }
    }

    fn feed(&mut self, ids: &[u32]) -> Result<Vec<f32>> {
        self.passes.push(Span {
            seen: self.generator.cache().seen() as u64,
            new: ids.len() as u64,
            learns: false,
        });
        let logits = self.generator.feed(ids)?;
        Ok(logits
            .to_dtype(candle_core::DType::F32)?
            .flatten_all()?
            .to_vec1()?)
    }
}

impl Drafter for Drafting<'_> {
    fn read(&mut self, text: &[u32]) -> Result<()> {
        let seen = self.generator.cache().seen();
        self.generator.feed_long(&text[seen.min(text.len())..])
    }

    fn guess(&mut self, text: &[u32], most: usize, sampling: &mut Sampling) -> Result<Guesses> {
        let mut guesses = Guesses::default();
        if most == 0 {
            return Ok(guesses);
        }
        let seen = self.generator.cache().seen();
        let mut logits = self.feed(&text[seen..])?;
        self.mark = Some(self.generator.mark()?);
        for k in 0..most {
            let chances = sampling.chances(&logits);
            let token = sampling.draw(&chances);
            guesses.push(token, chances);
            if k + 1 < most {
                logits = self.feed(&[token])?;
            }
        }
        Ok(guesses)
    }

    fn keep(&mut self, tokens: usize) {
        if let Some(mark) = self.mark.take() {
            self.generator.back(mark, tokens);
        }
    }

    fn passes(&self) -> &[Span] {
        &self.passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_the_longest_known_end_is_guessed() {
        let guess = |text: &[u32], most| {
            let mut sampling = Sampling::new(0.0, 0, 1);
            Lookup.guess(text, most, &mut sampling).unwrap().tokens
        };
        assert_eq!(guess(&[1, 2, 3, 9, 1, 2, 3], 4), [9, 1, 2, 3]);
        assert_eq!(guess(&[1, 2, 3, 9, 1, 2, 3], 1), [9]);
        // The last of several places, and the longer end before the later place.
        assert_eq!(guess(&[5, 7, 5, 8, 5], 1), [8]);
        assert_eq!(guess(&[4, 5, 7, 5, 8, 4, 5], 1), [7]);
        // An end may overlap what it is found in.
        assert_eq!(guess(&[6, 6, 6, 6], 2), [6]);
        for text in [&[1, 2, 3][..], &[1], &[]] {
            assert!(guess(text, 4).is_empty());
        }
    }
}
