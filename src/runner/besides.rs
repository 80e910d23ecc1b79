//! What a trial does beside training, as a plan counts it.

/// What a trial does beside training.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Besides {
    /// Seconds that settling took here, which each trial does again: reading a text, training a tokenizer.
    pub settle_s: f64,
    /// Tokens of all evaluations.
    pub evaluated_tokens: f64,
    /// Tokens that are put into a cache, prompted and generated at the least.
    pub served_tokens: f64,
    /// What serving takes.
    pub served: Served,
    /// What guessing tokens ahead takes beside that.
    pub drafted: Drafting,
    /// What answering problems takes.
    pub asked: Decoded,
}

/// Prompts and what is generated behind them, again and again.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Served {
    /// FLOPs of what is put into the cache once.
    pub fill_flops: f64,
    /// FLOPs of the prompts of all sequences.
    pub prompt_flops: f64,
    /// What follows them.
    pub decoded: Decoded,
    /// Repetitions at the least.
    pub least: f64,
    /// Seconds for which it is repeated.
    pub window_s: f64,
}

/// Several prompts, each continued with guesses and without, again and again.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Drafting {
    /// How many.
    pub prompts: f64,
    /// FLOPs of what is put into both models' caches, once for each.
    pub fill_flops: f64,
    /// What follows by the model that is served, each way.
    pub decoded: Decoded,
    /// What follows by the smaller model.
    pub guessed: Decoded,
    /// Seconds for which it is repeated.
    pub window_s: f64,
}

/// Steps of decoding, a token of every sequence each.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Decoded {
    /// How many.
    pub steps: f64,
    /// FLOPs of one.
    pub step_flops: f64,
    /// Bytes of weights and cache that one reads.
    pub step_bytes: f64,
}
