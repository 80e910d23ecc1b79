//! What is read of a settled spec after it has been recorded, each key spelt in one place. A spec of another program, or of a build
//! before, may not say it.

use serde_json::Value;

use super::Trial;

/// A settled spec, to be asked for single keys.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a>(&'a Value);

impl<'a> Asked<'a> {
    /// Of this spec.
    pub fn of(spec: &'a Value) -> Self {
        Self(spec)
    }

    fn at(self, pointer: &str) -> Option<&'a Value> {
        self.0.pointer(pointer)
    }

    fn text(self, pointer: &str) -> Option<&'a str> {
        self.at(pointer)?.as_str()
    }

    fn positive(self, pointer: &str) -> Option<f64> {
        self.at(pointer)?.as_f64().filter(|value| *value > 0.0)
    }

    /// Everything about its data.
    pub fn data(self) -> Option<&'a Value> {
        self.at("/data")
    }

    /// The kind of data: `language`, `text`.
    pub fn data_kind(self) -> Option<&'a str> {
        self.text("/data/kind")
    }

    /// The hash of a text's contents.
    pub fn data_hash(self) -> Option<&'a str> {
        self.text("/data/blake3")
    }

    /// Channels of the model.
    pub fn width(self) -> Option<f64> {
        self.positive("/model/width")
    }

    /// Tokens of a window.
    pub fn context(self) -> Option<f64> {
        self.positive("/model/context")
    }

    /// Windows of a step.
    pub fn batch(self) -> Option<f64> {
        self.positive("/train/batch")
    }

    /// Windows served at once; 1 where it does not say.
    pub fn served_batch(self) -> f64 {
        self.positive("/infer/batch").unwrap_or(1.0)
    }

    /// Tokens in the cache before each prompt; 0 where it does not say.
    pub fn served_depth(self) -> f64 {
        self.positive("/infer/depth").unwrap_or(0.0)
    }

    /// Tokens of each prompt that is served.
    pub fn served_prompt(self) -> Option<f64> {
        self.positive("/infer/prompt")
    }

    /// Tokens that are generated behind each prompt.
    pub fn generated(self) -> Option<f64> {
        self.positive("/infer/generate")
    }

    /// What weights serve in, where they do not as they were trained: `q8_0`, `file`.
    pub fn served_weights(self) -> Option<&'a str> {
        self.text("/infer/weights")
    }

    /// The learning rate at the schedule's peak.
    pub fn lr(self) -> Option<f64> {
        self.at("/train/optimizer/lr")?.as_f64()
    }

    /// Everything about where and in what it is computed.
    pub fn compute(self) -> Option<&'a Value> {
        self.at("/compute")
    }

    /// `cpu`, `cuda:0`.
    pub fn device(self) -> Option<&'a str> {
        self.text("/compute/device")
    }

    /// What activations are in: `f32`, `bf16`.
    pub fn dtype(self) -> Option<&'a str> {
        self.text("/compute/dtype")
    }

    /// Whether products of f32 are rounded to tf32.
    pub fn tf32(self) -> bool {
        self.at("/compute/tf32").and_then(Value::as_bool) == Some(true)
    }

    /// What factors of products on a CPU are rounded to, where they are: `bf16`.
    pub fn products(self) -> Option<&'a str> {
        self.text("/compute/products")
    }

    /// What it multiplies in: `f32`, `bf16`, or `tf32` where products of f32 are rounded to that.
    pub fn multiplies_in(self) -> &'a str {
        if self.tf32() {
            return "tf32";
        }
        self.products().or(self.dtype()).unwrap_or("f32")
    }

    /// Threads of its own, where it asks for a number of them.
    pub fn threads(self) -> Option<usize> {
        let threads = self.at("/compute/threads")?.as_u64().filter(|n| *n > 0)?;
        usize::try_from(threads).ok()
    }

    /// Whether another program's log is all that there is of it.
    pub fn is_imported(self) -> bool {
        self.at("/imported").is_some()
    }
}

impl Trial {
    /// What was asked for.
    pub fn asked(&self) -> Asked<'_> {
        Asked(&self.spec)
    }
}
