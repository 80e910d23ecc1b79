//! Models that others trained: what a file of weights says of itself, before one of its numbers is read.
//!
//! A checkpoint is a GGUF file (llama.cpp) or a folder as Hugging Face's `transformers` writes it (`config.json`, safetensors).
//! [`Checkpoint::open`] reads its header alone and answers with the spec that describes the same model here, and for each
//! parameter of that model the tensors that it is made of. Nothing is taken on trust: a file may be cut, or made to harm.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

mod bytes;
pub mod kind;
mod stored;
mod facts;
mod gguf;
mod huggingface;
pub mod architecture;
pub mod outward;
mod sentencepiece;
mod cuts;
pub mod tokenizer;

pub use facts::Facts;
pub use kind::Kind;
pub use stored::{Piece, Stored, Turn};

use architecture::{Architecture, Described, Keys};

/// A model in a file.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Where it is.
    pub path: PathBuf,
    /// `GGUF` or `safetensors`.
    pub format: &'static str,
    /// What it calls its architecture.
    pub architecture: &'static str,
    /// What it calls itself, where it does.
    pub title: Option<String>,
    /// The variant that is nearest, whose keys are below these.
    pub base: &'static str,
    /// The keys of a spec that describe it.
    pub keys: Keys,
    /// Each parameter, by its name here, and the tensors that it is made of, one below the other.
    pub parts: BTreeMap<String, Vec<Piece>>,
    /// The tensors, by their names there.
    pub tensors: BTreeMap<String, Stored>,
    /// All that a header says.
    pub facts: Facts,
}

impl Checkpoint {
    /// Whether a path looks like a checkpoint: a GGUF file by its ending, or a folder with a `config.json`.
    pub fn is_one(path: &Path) -> bool {
        let gguf = path
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("gguf"));
        gguf || path.join("config.json").is_file()
    }

    /// Reads what a file or a folder says of itself.
    ///
    /// # Errors
    /// Where it cannot be read, is no checkpoint, holds numbers or an architecture that are not known here, or contradicts itself.
    pub fn open(path: &Path) -> Result<Self> {
        let refuse = |why: String| Error::input(format!("{}: {}", path.display(), shown(&why)));
        let unreadable = |why: String| refuse(why).hint(TAKES);
        let known = |facts: &Facts| known(facts).map_err(|(why, hint)| refuse(why).hint(hint));
        let (facts, mut tensors) = match path.is_dir() {
            // What is not known is told even where its weights are missing.
            true => {
                let facts = huggingface::facts(path).map_err(unreadable)?;
                known(&facts)?;
                (facts, huggingface::tensors(path).map_err(unreadable)?)
            }
            false => gguf::read(path).map_err(unreadable)?,
        };
        let known = known(&facts)?;
        let Described { base, keys, parts } =
            (known.describe)(&facts, &mut tensors).map_err(|why| refuse(why).hint(SO_FAR))?;
        all_are_used(&parts, &tensors).map_err(|why| refuse(why).hint(SO_FAR))?;
        Ok(Self {
            path: path.to_owned(),
            format: facts.format(),
            architecture: known.name,
            title: facts.title(),
            base,
            keys,
            parts,
            tensors,
            facts,
        })
    }

    /// Numbers in all tensors.
    pub fn params(&self) -> u64 {
        let count = |t: &Stored| t.shape.iter().map(|&n| n as u64).product::<u64>();
        self.tensors.values().map(count).sum()
    }

    /// Bytes of all tensors as they are stored.
    pub fn bytes(&self) -> u64 {
        self.tensors.values().map(|tensor| tensor.bytes).sum()
    }

    /// The files that it lies in, in order of their names.
    pub fn files(&self) -> BTreeSet<&Path> {
        self.tensors.values().map(|t| t.file.as_path()).collect()
    }
}

/// A reason that a file has a part in: of names as long as a page the beginning, and nothing that moves a terminal's cursor.
fn shown(why: &str) -> String {
    let plain = why.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MOST_SHOWN).collect()
}

const MOST_SHOWN: usize = 400;
const TAKES: &str = "a GGUF file, or a folder with config.json and safetensors";
const SO_FAR: &str =
    "what is not described exactly is refused: another checkpoint of a known architecture";

/// The architecture that a header names, or why not, and what would do.
fn known(facts: &Facts) -> std::result::Result<&'static Architecture, (String, String)> {
    architecture::find(facts.architecture()).ok_or_else(|| {
        let names = architecture::ALL.iter().map(|known| known.name);
        let hint = format!("it reads {}", names.collect::<Vec<_>>().join(", "));
        let why = format!("architecture `{}` is not known here", facts.architecture());
        (why, hint)
    })
}

/// Refuses tensors that no parameter is made of, and parameters of tensors that are not there.
fn all_are_used(
    parts: &BTreeMap<String, Vec<Piece>>,
    tensors: &BTreeMap<String, Stored>,
) -> std::result::Result<(), String> {
    let mut used = BTreeSet::new();
    for (name, pieces) in parts {
        for piece in pieces {
            if !tensors.contains_key(&piece.tensor) {
                return Err(format!(
                    "it has no tensor `{}`, of which `{name}` is made",
                    piece.tensor
                ));
            }
            used.insert(piece.tensor.as_str());
        }
    }
    match tensors.keys().find(|name| !used.contains(name.as_str())) {
        Some(name) => Err(format!(
            "its tensor `{name}` has no place in this architecture as it is known here"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
