//! Architectures of checkpoints that can be described exactly as a model here: one file and one row each.

use std::collections::BTreeMap;

use super::facts::Facts;
use super::stored::Stored;

mod described;
mod gpt2;
mod llama;

pub use described::Described;

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
pub const ALL: [Architecture; 3] = [
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
        name: "gpt2",
        about: "GPT-2",
        describe: gpt2::describe,
    },
];

/// By the name that a file has for it.
pub fn find(name: &str) -> Option<&'static Architecture> {
    ALL.iter().find(|known| known.name == name)
}
