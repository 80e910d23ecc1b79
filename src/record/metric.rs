//! The one registry of metrics: name, unit, direction, kind, and one sentence about each.
//!
//! Everything that writes a metric goes through the constructors of [`Metric`], so that a figure that is not a number becomes
//! an absent one with a reason, and no name is spelled two ways.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::stat;

/// Training throughput over all seconds after the warm-up.
pub const TRAIN_TOKENS_PER_S: &str = "train_tokens_per_s";
/// Duration of one optimizer step.
pub const TRAIN_STEP_S: &str = "train_step_s";
/// Model FLOPs utilisation.
pub const MFU: &str = "mfu";
/// Peak memory of the trial's process or device.
pub const PEAK_MEMORY_BYTES: &str = "peak_memory_bytes";
/// Duration of all training.
pub const TRAIN_WALL_S: &str = "train_wall_s";
/// Training loss at the end.
pub const TRAIN_LOSS_NATS: &str = "train_loss_nats";
/// Validation loss at the end.
pub const VAL_LOSS_NATS: &str = "val_loss_nats";
/// Validation loss on the data of the cell that it began with.
pub const VAL_LOSS_BEFORE_NATS: &str = "val_loss_before_nats";
/// Validation loss on the data that were mixed into those that it was trained on.
pub const VAL_LOSS_MIXED_NATS: &str = "val_loss_mixed_nats";
/// Validation loss per byte of text.
pub const VAL_BITS_PER_BYTE: &str = "val_bits_per_byte";
/// What llama.cpp's perplexity is.
pub const PERPLEXITY: &str = "perplexity";
/// The source's own loss on the validation tokens.
pub const ORACLE_LOSS_NATS: &str = "oracle_loss_nats";
/// Validation loss above the oracle's.
pub const EXCESS_LOSS_NATS: &str = "excess_loss_nats";
/// Share of validation tokens predicted first.
pub const NEXT_TOKEN_ACCURACY: &str = "next_token_accuracy";
/// Share of a task's answers that are right.
pub const TASK_ACCURACY: &str = "task_accuracy";
/// Share of generated answers that are right, the likeliest to each problem.
pub const ANSWER_ACCURACY: &str = "answer_accuracy";
/// The same of samples.
pub const SAMPLE_ACCURACY: &str = "sample_accuracy";
/// Share of problems that any sample solves.
pub const COVERAGE: &str = "coverage";
/// Share of questions whose likeliest answer is right.
pub const CHOICE_ACCURACY: &str = "choice_accuracy";
/// The same by the character.
pub const CHOICE_ACCURACY_NORM: &str = "choice_accuracy_norm";
/// How unevenly experts are loaded.
pub const MAX_VIOLATION: &str = "max_violation";
/// Prompt processing.
pub const PREFILL_TOKENS_PER_S: &str = "prefill_tokens_per_s";
/// Generation.
pub const DECODE_TOKENS_PER_S: &str = "decode_tokens_per_s";
/// Time to first token.
pub const TTFT_S: &str = "ttft_s";
/// What a decoded token reads of weights.
pub const WEIGHTS_READ_BYTES: &str = "weights_read_bytes";
/// What packing costs in quality.
pub const PACKED_EXCESS_NATS: &str = "packed_excess_nats";
/// What is served, by llama.cpp's rule.
pub const PACKED_PERPLEXITY: &str = "packed_perplexity";
/// What packing does to every distribution.
pub const PACKED_KL_NATS: &str = "packed_kl_nats";
/// How often packing leaves the first place as it was.
pub const PACKED_TOP1_AGREEMENT: &str = "packed_top1_agreement";
/// What a decoded token reads of the cache.
pub const CACHE_READ_BYTES: &str = "cache_read_bytes";
/// Generation with tokens guessed ahead.
pub const SPECULATIVE_TOKENS_PER_S: &str = "speculative_tokens_per_s";
/// That over generation without.
pub const SPECULATIVE_SPEEDUP: &str = "speculative_speedup";
/// How often a guess is taken.
pub const DRAFT_ACCEPTANCE: &str = "draft_acceptance";
/// What a pass brings.
pub const TOKENS_PER_PASS: &str = "tokens_per_pass";
/// Measured energy of generation with tokens guessed ahead.
pub const ENERGY_J_PER_SPECULATIVE_TOKEN: &str = "energy_j_per_speculative_token";
/// Model bandwidth utilisation.
pub const MBU: &str = "mbu";
/// Fused ops of one training step.
pub const STEP_OPS: &str = "step_ops";
/// What those ops make.
pub const STEP_TENSOR_BYTES: &str = "step_tensor_bytes";
/// One iteration of a benchmark; only imported ones have it.
pub const ITERATION_S: &str = "iteration_s";
/// Measured energy of training.
pub const ENERGY_J_PER_TRAIN_TOKEN: &str = "energy_j_per_train_token";
/// Measured energy of prompts.
pub const ENERGY_J_PER_PREFILL_TOKEN: &str = "energy_j_per_prefill_token";
/// Energy of an imported run.
pub const TRAIN_ENERGY_J: &str = "train_energy_j";
/// Measured energy of generation.
pub const ENERGY_J_PER_DECODE_TOKEN: &str = "energy_j_per_decode_token";

/// A row of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// As in JSON.
    pub name: &'static str,
    /// Unit of value, sd, se and samples; `1` for a share.
    pub unit: &'static str,
    /// Direction.
    pub better: Better,
    /// Repeatability.
    pub kind: Kind,
    /// One sentence.
    pub about: &'static str,
}

macro_rules! registry {
    ($($name:ident, $unit:literal, $better:ident, $kind:ident, $about:literal;)*) => {
        /// Every metric there is.
        pub const REGISTRY: &[Info] = &[
            $(Info {
                name: $name,
                unit: $unit,
                better: Better::$better,
                kind: Kind::$kind,
                about: $about,
            },)*
        ];
    };
}

registry! {
    TRAIN_TOKENS_PER_S, "tokens/s", Higher, Sampled, "Training tokens over all seconds of the window after the warm-up, data among them.";
    TRAIN_STEP_S, "s", Lower, Sampled, "Median duration of one optimizer step after the warm-up, its data among it.";
    MFU, "1", Higher, Sampled, "FLOPs of the model's matrix products, as executed, per second over the best GEMM peak measured around the run.";
    PEAK_MEMORY_BYTES, "bytes", Lower, Sampled, "Peak memory of the trial's own process while it trains; where nothing is trained, of all that it does, serving among it.";
    TRAIN_WALL_S, "s", Lower, Sampled, "Seconds of training, data among them; evaluation and checkpoints left out.";
    TRAIN_LOSS_NATS, "nats", Lower, Seeded, "Mean training loss over the last tenth of the steps.";
    VAL_LOSS_NATS, "nats", Lower, Seeded, "Mean loss per token on the held-out sequences (data.held_out: the test part, but for a sweep) at the end of training.";
    VAL_LOSS_BEFORE_NATS, "nats", Lower, Seeded, "Validation loss, after this training, on the data of the cell whose weights it began with: what it has kept of those.";
    VAL_LOSS_MIXED_NATS, "nats", Lower, Seeded, "Validation loss on the data that were mixed into those that it was trained on (mixed.data).";
    VAL_BITS_PER_BYTE, "bits/byte", Lower, Seeded, "Validation loss in bits per byte of the text, whatever the tokenizer.";
    PERPLEXITY, "1", Lower, Seeded, "exp of the mean loss over n targets, those of the second half of each whole window of model.context tokens of a text, as llama.cpp's llama-perplexity has it.";
    ORACLE_LOSS_NATS, "nats", Lower, Seeded, "The source's own mean -ln p on the same tokens: the lowest loss any model can have.";
    EXCESS_LOSS_NATS, "nats", Lower, Seeded, "Validation loss minus the oracle's on the same tokens.";
    NEXT_TOKEN_ACCURACY, "1", Higher, Seeded, "Share of validation tokens that the model ranks first.";
    TASK_ACCURACY, "1", Higher, Seeded, "Share of a task's answers that are exactly right.";
    ANSWER_ACCURACY, "1", Higher, Seeded, "Share of unseen problems that the model solves by generating one answer greedily, verified.";
    SAMPLE_ACCURACY, "1", Higher, Seeded, "Share of sampled answers that are right (pass@1), at infer.temperature.";
    COVERAGE, "1", Higher, Seeded, "Share of unseen problems that at least one of infer.samples sampled answers solves (pass@k at all of them).";
    CHOICE_ACCURACY, "1", Higher, Seeded, "Share of the questions of data.choices of whose answers the right one has the likeliest tokens (lm-evaluation-harness's acc); ties are shared.";
    CHOICE_ACCURACY_NORM, "1", Higher, Seeded, "The same by log-likelihood over the answer's characters (lm-evaluation-harness's acc_norm).";
    MAX_VIOLATION, "1", Lower, Seeded, "The largest load of an expert over the mean load, less 1, over all validation tokens, in the layer where it is largest.";
    PREFILL_TOKENS_PER_S, "tokens/s", Higher, Sampled, "Prompt tokens processed per second.";
    DECODE_TOKENS_PER_S, "tokens/s", Higher, Sampled, "Tokens generated per second with a KV cache, all sequences of the batch together.";
    SPECULATIVE_TOKENS_PER_S, "tokens/s", Higher, Sampled, "Tokens generated per second where infer.draft guesses ahead, the smaller model's time among it; reading the prompt is not.";
    SPECULATIVE_SPEEDUP, "1", Higher, Sampled, "All seconds of plain decoding over all those with infer.draft, of the same model behind the same prompts, one beside the other; of none where nothing was guessed.";
    DRAFT_ACCEPTANCE, "1", Higher, Seeded, "Share of the tokens that infer.draft guessed which the model took; standard error over prompts.";
    TOKENS_PER_PASS, "1", Higher, Seeded, "Tokens generated for each pass that judges what infer.draft guessed, 1 where it guessed nothing; passes that only feed a recurrent state again are not among them.";
    TTFT_S, "s", Lower, Sampled, "From the prompt's arrival to the first generated token.";
    WEIGHTS_READ_BYTES, "bytes", Lower, Exact, "Bytes of weights that a step of decoding reads: of every matrix, packed or not, of experts those that infer.batch tokens are expected to choose, and a row of each table.";
    PACKED_EXCESS_NATS, "nats", Lower, Seeded, "Validation loss with packed weights (infer.weights) minus that with the trained ones, on the same tokens.";
    PACKED_PERPLEXITY, "1", Lower, Seeded, "Perplexity with what serves: packed weights (infer.weights), and rounded activations (infer.activations) where they are; what llama.cpp's llama-perplexity measures.";
    PACKED_KL_NATS, "nats", Lower, Seeded, "Mean Kullback-Leibler divergence of what packed weights predict from what the trained ones do, over the validation tokens.";
    PACKED_TOP1_AGREEMENT, "1", Higher, Seeded, "Share of validation tokens at which packed weights and the trained ones rank the same token first.";
    CACHE_READ_BYTES, "bytes", Lower, Exact, "Bytes of what is kept of the tokens before that a step of decoding reads, of all windows, half way through the generated tokens.";
    MBU, "1", Higher, Sampled, "Bytes of weights and cache that a step of decoding reads, over its median time, over the best bandwidth of a copy measured around the run.";
    STEP_OPS, "ops", Lower, Exact, "Fused ops that one training step dispatches forward, in all of its shards.";
    STEP_TENSOR_BYTES, "bytes", Lower, Exact, "Bytes of the tensors that those ops make and the step keeps for its way back.";
    ITERATION_S, "s", Lower, Sampled, "Median duration of one iteration of an imported benchmark.";
    TRAIN_ENERGY_J, "J", Lower, Sampled, "Joules of training, as the log of an imported run states them.";
    ENERGY_J_PER_TRAIN_TOKEN, "J/token", Lower, Sampled, "Measured joules per training token.";
    ENERGY_J_PER_PREFILL_TOKEN, "J/token", Lower, Sampled, "Measured joules per prompt token.";
    ENERGY_J_PER_DECODE_TOKEN, "J/token", Lower, Sampled, "Measured joules per generated token.";
    ENERGY_J_PER_SPECULATIVE_TOKEN, "J/token", Lower, Sampled, "Measured joules per generated token where infer.draft guesses ahead, both models' among them.";
}

/// The registry's row of a name.
pub fn info(name: &str) -> Option<&'static Info> {
    REGISTRY.iter().find(|row| row.name == name)
}

/// Which way is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// What a metric repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The same everywhere.
    Exact,
    /// The same for a seed and a machine type.
    Seeded,
    /// Noisy.
    Sampled,
}

/// One figure with its samples; made by the constructors, which take unit, direction and kind from the registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// `null` beside a reason where it is not known.
    pub value: Option<f64>,
    /// SI unit.
    pub unit: String,
    /// Direction.
    pub better: Better,
    /// Repeatability.
    pub kind: Kind,
    /// Samples, or tokens evaluated.
    pub n: Option<u64>,
    /// Standard deviation of the samples.
    pub sd: Option<f64>,
    /// Standard error of the value, where it is a mean over `n` items.
    pub se: Option<f64>,
    /// Parts that `se` takes as independent: windows, of a text blocks of neighbouring windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub se_parts: Option<u64>,
    /// Raw samples in the order taken.
    pub samples: Vec<f64>,
    /// Why the value is absent.
    pub reason: Option<String>,
}

/// # Panics
///
/// All constructors panic for a name that is not in the registry: that is a mistake in the program, not in its input.
impl Metric {
    /// A figure measured once.
    pub fn value(name: &str, value: f64) -> Self {
        let mut metric = Self::blank(name);
        if value.is_finite() {
            // The sum of no numbers is -0, which nobody means.
            metric.value = Some(value + 0.0);
        } else {
            metric.reason = Some(format!("not a finite number ({value})"));
        }
        metric
    }

    /// A figure drawn from raw samples, which are kept in the order taken; `value` is usually their median.
    pub fn samples(name: &str, value: f64, samples: Vec<f64>) -> Self {
        if let Some(bad) = samples.iter().find(|sample| !sample.is_finite()) {
            return Self::absent(name, &format!("a sample is not a finite number ({bad})"));
        }
        let mut metric = Self::value(name, value);
        metric.n = Some(samples.len() as u64);
        metric.sd = stat::sd(&samples);
        metric.samples = samples;
        metric
    }

    /// A mean over `n` items (tokens evaluated, windows) with its standard error.
    pub fn mean(name: &str, mean: f64, se: f64, n: u64) -> Self {
        let mut metric = Self::value(name, mean);
        metric.n = Some(n);
        metric.se = finite(se);
        metric
    }

    /// Whose standard error takes so many parts as independent.
    #[must_use]
    pub fn over(mut self, parts: u64) -> Self {
        self.se_parts = Some(parts).filter(|_| self.se.is_some());
        self
    }

    /// A figure that could not be had, and why.
    pub fn absent(name: &str, reason: &str) -> Self {
        Self {
            reason: Some(reason.to_owned()),
            ..Self::blank(name)
        }
    }

    fn blank(name: &str) -> Self {
        let Some(info) = info(name) else {
            panic!("`{name}` is not in the registry of metrics")
        };
        Self {
            value: None,
            unit: info.unit.to_owned(),
            better: info.better,
            kind: info.kind,
            n: None,
            sd: None,
            se: None,
            se_parts: None,
            samples: Vec::new(),
            reason: None,
        }
    }
}

/// A figure for a column that may have gaps: JSON knows no NaN and no infinity.
pub fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_end_in_their_unit() {
        for (index, row) in REGISTRY.iter().enumerate() {
            assert!(
                REGISTRY[..index].iter().all(|other| other.name != row.name),
                "{} stands twice",
                row.name
            );
            let ending = match row.unit {
                "tokens/s" => "_tokens_per_s",
                "s" => "_s",
                "bytes" => "_bytes",
                "nats" => "_nats",
                "bits/byte" => "_bits_per_byte",
                "J/token" => "_token",
                "J" => "_j",
                _ => "",
            };
            assert!(
                row.name.ends_with(ending),
                "{} does not end in {ending}",
                row.name
            );
            assert!(row.about.ends_with('.'), "{}: one sentence", row.name);
        }
    }

    #[test]
    fn what_is_not_a_number_becomes_absent_with_a_reason() {
        let bad = [
            Metric::value(VAL_LOSS_NATS, f64::NAN),
            Metric::samples(TRAIN_STEP_S, 0.1, vec![0.1, f64::INFINITY]),
            Metric::mean(VAL_LOSS_NATS, f64::INFINITY, 0.1, 10),
            Metric::absent(VAL_BITS_PER_BYTE, "tokens are not text"),
        ];
        for metric in bad {
            assert_eq!(metric.value, None);
            assert!(metric.reason.is_some());
            assert!(metric.samples.iter().all(|sample| sample.is_finite()));
        }
        let good = Metric::samples(TRAIN_STEP_S, 0.2, vec![0.1, 0.2, 0.3]);
        assert_eq!(
            (good.value, good.n, good.reason),
            (Some(0.2), Some(3), None)
        );
        assert!((good.sd.unwrap() - 0.1).abs() < 1e-12);
        assert_eq!(Metric::mean(VAL_LOSS_NATS, 1.5, f64::NAN, 10).se, None);
    }
}
