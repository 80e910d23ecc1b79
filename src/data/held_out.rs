//! The parts of what no training sees.

/// Which of the windows that no training sees: what chooses something must not be what judges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldOut {
    /// What sweeps look at, to choose learning rates.
    Validation,
    /// What trials that judge are judged by; no sweep ever sees it.
    Test,
    /// Both together: what published runs evaluate that chose nothing.
    All,
}

impl HeldOut {
    /// Its words for the knob `data.held_out`.
    pub const WORDS: [&str; 3] = ["validation", "test", "all"];

    /// The part of a word among [`Self::WORDS`].
    pub fn of(word: &str) -> Option<Self> {
        let parts = [Self::Validation, Self::Test, Self::All];
        Self::WORDS
            .iter()
            .zip(parts)
            .find(|(name, _)| **name == word)
            .map(|(_, part)| part)
    }
}
