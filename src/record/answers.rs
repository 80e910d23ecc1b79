//! What a trained model said when it was asked: problems that no training saw, answered by generating and verified. Samples of one
//! problem are drawn alike, so that how many were right, and how many said the same, is all there is to know of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reading::Thoughts;

/// Answers to the problems of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answers {
    /// What was asked: `running sum of 12 digits`.
    pub task: String,
    /// What is generated before an answer.
    pub thoughts: Thoughts,
    /// In how many tokens.
    pub thought_tokens: u64,
    /// Tokens of a problem.
    pub prompt_tokens: u64,
    /// Tokens generated in a sample, thoughts among them.
    pub answer_tokens: u64,
    /// Samples of each problem.
    pub samples: u64,
    /// What their logits were divided by; at 0 every sample is the likeliest answer.
    pub temperature: f64,
    /// By problem: 1 where the likeliest answer, token by token, is right.
    pub greedy: Vec<u64>,
    /// By problem: right samples.
    pub right: Vec<u64>,
    /// By problem, where it has one right answer: samples that said that, then those that said each of the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub votes: Option<Vec<Vec<u64>>>,
    /// Mean over the problems of the probability that at least one of 1, 2, 4 ... guesses is right, each among well-formed answers.
    pub chance: Vec<f64>,
    /// Tokens generated in all, greedy answers and samples.
    pub generated_tokens: u64,
    /// FLOPs of one prompt, which its samples share.
    pub prompt_flops: f64,
    /// FLOPs of one sample after it, each token at its depth.
    pub sample_flops: f64,
    /// Seconds of all problems with one greedy answer each.
    pub greedy_s: f64,
    /// Seconds of all problems with all samples of each.
    pub samples_s: f64,
}

impl Answers {
    /// Problems asked.
    pub fn problems(&self) -> usize {
        self.greedy.len()
    }

    /// FLOPs of a problem with `k` samples.
    pub fn flops(&self, k: f64) -> f64 {
        self.prompt_flops + k * self.sample_flops
    }

    /// Everything that is wrong with it: where, and what.
    pub(super) fn problems_of_record(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut that = |holds: bool, part, otherwise: &dyn Fn() -> String| {
            if !holds {
                found.push((part, otherwise()));
            }
        };
        let (asked, n) = (self.problems(), self.samples);
        that(asked > 0 && n > 0, "greedy", &|| {
            format!("{asked} problems with {n} samples each")
        });
        that(
            self.greedy.iter().all(|right| *right <= 1),
            "greedy",
            &|| "holds what is neither 0 nor 1".to_owned(),
        );
        that(self.right.len() == asked, "right", &|| {
            format!("{} problems beside {asked}", self.right.len())
        });
        that(self.right.iter().all(|right| *right <= n), "right", &|| {
            format!("more than {n} samples")
        });
        if let Some(votes) = &self.votes {
            let fits = |(votes, right): (&Vec<u64>, &u64)| {
                votes.first() == Some(right) && votes.iter().sum::<u64>() == n
            };
            let whole = votes.len() == asked && votes.iter().zip(&self.right).all(fits);
            that(whole, "votes", &|| {
                format!("not {n} votes of each problem, those of the right answer first")
            });
        }
        let shares = self.chance.iter().all(|share| (0.0..=1.0).contains(share));
        that(shares && self.chance.is_sorted(), "chance", &|| {
            "no shares that rise".to_owned()
        });
        let tokens = asked as u64 * self.answer_tokens * (n + 1);
        that(self.generated_tokens == tokens, "generated_tokens", &|| {
            format!("{} where the answers have {tokens}", self.generated_tokens)
        });
        that(
            self.thought_tokens < self.answer_tokens,
            "thought_tokens",
            &|| format!("{} of {}", self.thought_tokens, self.answer_tokens),
        );
        for (part, value) in [
            ("temperature", self.temperature),
            ("prompt_flops", self.prompt_flops),
            ("sample_flops", self.sample_flops),
            ("greedy_s", self.greedy_s),
            ("samples_s", self.samples_s),
        ] {
            that(value.is_finite() && value >= 0.0, part, &|| {
                format!("{value} is no number of at least 0")
            });
        }
        found
    }
}
