//! Questions with answers to choose from, as tokens: the answer that a model finds likeliest is the one that it chooses.

/// One answer behind its question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Question and answer, cut from the left to the context and one more.
    pub tokens: Vec<u32>,
    /// How many of them, at the end, are the answer's.
    pub asked: usize,
    /// Characters of the answer's text.
    pub characters: usize,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// At least two.
    pub choices: Vec<Choice>,
    /// Which of them is right.
    pub gold: usize,
    /// Whether a part of it was cut off.
    pub cut: bool,
}

/// Questions of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Questions {
    /// In the order of the file.
    pub questions: Vec<Question>,
}

impl Questions {
    /// What guessing gives: the mean of one over the number of choices.
    pub fn chance(&self) -> f64 {
        let each = self.questions.iter().map(|q| 1.0 / q.choices.len() as f64);
        each.sum::<f64>() / self.questions.len() as f64
    }
}
