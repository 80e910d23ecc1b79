//! Architectures of checkpoints that can be described exactly as a model here: one file and one row each.

use std::collections::BTreeMap;

use super::facts::Facts;
use super::stored::Stored;

mod described;
mod rotation;
mod windows;
mod decoder;
mod gpt2;
mod llama;
mod qwen2;
mod qwen3;
mod olmo2;
mod gemma3;

pub use described::{Described, Keys};

/// What a header and its tensors are a model of, or why that cannot be said.
pub type Describe = fn(&Facts, &mut BTreeMap<String, Stored>) -> Result<Described, String>;

/// An architecture by the names that files have for it.
#[derive(Debug, Clone, Copy)]
pub struct Architecture {
    /// As files call it.
    pub name: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// What a file of it is.
    pub describe: Describe,
}

/// All that are known.
pub const ALL: [Architecture; 8] = [
    Architecture {
        name: "llama",
        about: "Llama, SmolLM2, TinyLlama and their kin",
        describe: llama::describe,
    },
    Architecture {
        name: "mistral",
        about: "Mistral: Llama with a window",
        describe: llama::describe,
    },
    Architecture {
        name: "qwen2",
        about: "Qwen2 and Qwen2.5: Llama with biases on queries, keys and values",
        describe: qwen2::describe,
    },
    Architecture {
        name: "qwen3",
        about: "Qwen3: Llama with normed heads of queries and keys",
        describe: qwen3::describe,
    },
    Architecture {
        name: "olmo2",
        about: "OLMo 2: Llama with norms behind its branches, and normed queries and keys",
        describe: olmo2::describe,
    },
    Architecture {
        name: "gemma3",
        about: "Gemma 3 of text, in GGUF",
        describe: gemma3::describe,
    },
    Architecture {
        name: "gemma3_text",
        about: "Gemma 3 of text, in folders of Hugging Face's",
        describe: gemma3::describe,
    },
    Architecture {
        name: "gpt2",
        about: "GPT-2",
        describe: gpt2::describe,
    },
];

/// By the name that a file has for it.
pub fn find(name: &str) -> Option<&'static Architecture> {
    ALL.iter().find(|known| known.name == name)
}
