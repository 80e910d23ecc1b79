//! Problems that a trained model solves by generating: prompts that no training saw, and a verifier. What stands in an answer before its
//! end may be thought: tokens that are generated like any others, and paid for like any others.

use super::held_out::HeldOut;
use crate::reading::Thoughts;

/// A task whose answers are generated and verified, never teacher-forced.
pub trait Problems: Send + Sync {
    /// What is asked, in a few words, whatever is thought on the way: `running sum of 12 digits`.
    fn task(&self) -> String;

    /// What is thought before the answer, and in how many tokens.
    fn thoughts(&self) -> (Thoughts, usize);

    /// At most so many prompts, all of one length, of a part that no training sees; the same for every seed and model.
    fn prompts(&self, part: HeldOut, most: usize) -> Vec<Vec<u32>>;

    /// Tokens that are generated after a prompt, thoughts among them.
    fn answer_tokens(&self) -> usize;

    /// Whether what was said solves the problem.
    fn is_right(&self, prompt: &[u32], said: &[u32]) -> bool;

    /// What of it is the answer that a majority can form on; `None` where a problem has several right answers.
    fn vote<'a>(&self, said: &'a [u32]) -> Option<&'a [u32]>;

    /// The probability that a guess among well-formed answers is right.
    fn chance(&self, prompt: &[u32]) -> f64;
}
