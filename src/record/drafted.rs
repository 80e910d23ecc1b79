//! What guessing tokens ahead brought while decoding, prompt by prompt.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Speculative decoding beside plain decoding of the same model, behind the same prompts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drafted {
    /// What guessed: `lookup`, or the name of a smaller model's file.
    pub draft: String,
    /// Tokens guessed at most before each pass.
    pub draft_tokens: u64,
    /// Tokens generated behind the first, of each prompt.
    pub generated: u64,
    /// What logits were divided by; 0 is greedy.
    pub temperature: f64,
    /// Tokens guessed, prompt by prompt.
    pub guessed: Vec<u64>,
    /// Those that the model took.
    pub taken: Vec<u64>,
    /// Passes through the model, those among them that only fed again what a recurrent state had to forget.
    pub passes: Vec<u64>,
    /// Prompts behind which every token is the one that plain greedy decoding takes; only where it is greedy.
    pub same: Option<u64>,
    /// FLOPs of a token by plain decoding.
    pub plain_flops: f64,
    /// FLOPs of a token here: the model's own.
    pub model_flops: f64,
    /// And those of the smaller model.
    pub draft_flops: f64,
    /// Bytes of the smaller model's weights and of its cache.
    pub draft_bytes: u64,
    /// Seconds of all tokens behind the first by plain decoding, prompt by prompt, again and again.
    pub plain_s: Vec<f64>,
    /// The same with guesses, each beside the plain one.
    pub drafted_s: Vec<f64>,
    /// Seconds in which the smaller model read a prompt and what was in the cache before it, on average.
    pub read_s: f64,
    /// FLOPs of that; files of before do not have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_flops: Option<f64>,
}

impl Drafted {
    /// Passes that judge, prompt by prompt: each brings what it takes of the guesses and one token more.
    pub fn judging(&self) -> impl Iterator<Item = u64> + '_ {
        let left = |taken: &u64| self.generated.saturating_sub(*taken);
        self.taken.iter().map(left)
    }

    /// Two prompts, 31 tokens behind the first of each.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self {
            draft: "lookup".to_owned(),
            draft_tokens: 4,
            generated: 31,
            temperature: 0.0,
            guessed: vec![16, 20],
            taken: vec![15, 16],
            passes: vec![16, 15],
            same: Some(2),
            plain_flops: 1e6,
            model_flops: 2e6,
            draft_flops: 0.0,
            draft_bytes: 0,
            plain_s: vec![0.2; 4],
            drafted_s: vec![0.1; 4],
            read_s: 0.0,
            read_flops: Some(0.0),
        }
    }
}
