//! Kind `text`: files of one's own. Training windows lie at random offsets of the training part; validation is the whole of
//! the validation part, every token but its first predicted exactly once.

mod read;
mod split;
mod tokens;
mod choices;

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use self::read::{Corpus, file_name, read};
use self::split::{Parts, Split, cut, split};
use self::tokens::Tokens;
use super::{Batch, IGNORE, Questions, Source, SourceKind, Validation};
use crate::checkpoint::{Checkpoint, tokenizer};
use crate::config::knob::{Declared as _, Flag, Number, Text as AnyText, Whole, Word};
use crate::config::names::TOKENIZER;
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::{Error, Result};
use crate::foreign;
use crate::stream::stream;
use crate::unit::Share;

const PATH: Knob<AnyText> = Knob::text(
    "path",
    "A text file or a folder of them; `--data` sets it. Settled as the name alone.",
);
const BLAKE3: Knob<AnyText> = Knob::text(
    "blake3",
    "Hash of the contents; another one is refused, so that a result names its data.",
)
.follows("computed from the contents");
const TOKENIZED_BY: Knob<AnyText> = Knob::text(
    "tokenizer",
    "`byte`, `char`, `bpe` (trained here on the training part), or a path to a tokenizer.json, or to a GGUF file that has one.",
)
.such_as(&["byte", "char", "bpe"])
.default(TOKENIZER);
const TOKENIZER_BLAKE3: Knob<AnyText> = Knob::text(
    "tokenizer_blake3",
    "Hash of that tokenizer.json; another one is refused.",
)
.follows("computed from the file, where there is one");
const BOS: Knob<Flag> = Knob::flag(
    "bos",
    "Whether every window begins with the token that the tokenizer puts before a text, in place of its own first one; of a checkpoint whose tokenizer does so it is set.",
)
.default(false);
const BPE_VOCAB: Knob<Whole> = Knob::whole(
    "bpe_vocab",
    "Tokens that data.tokenizer = \"bpe\" learns; every byte is one.",
)
.within(256, usize::MAX)
.default(1024);
const VAL_FRACTION: Knob<Number> = Knob::number(
    "val_fraction",
    "Share of the text that is kept from training and that losses are measured on.",
)
.within(1e-6, 1.0)
.default(0.1);
const SPLIT: Knob<Word> = Knob::word(
    "split",
    "Which part that is: the text's end, or paragraphs chosen by a hash of their contents.",
    &["tail", "content"],
)
.default("tail");

const CHOICES: Knob<AnyText> = Knob::text(
    "choices",
    "Questions that the trained model answers by likelihood: a file of JSON objects, one a line, with `context`, `choices` and `gold`. Settled as the name alone.",
)
.optional();
const CHOICES_BLAKE3: Knob<AnyText> = Knob::text(
    "choices_blake3",
    "Hash of those questions; others are refused.",
)
.follows("computed from the file, where there is one");

/// With a larger share of unknown tokens there is nothing to learn but that word.
const MOST_UNKNOWN: f64 = 0.5;

/// The kind `text`.
pub(super) struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "text"
    }

    fn about(&self) -> &'static str {
        "a text file or a folder of them, in characters, bytes or pieces of words"
    }

    fn knobs(&self) -> Declarations {
        &[
            &PATH,
            &BLAKE3,
            &TOKENIZED_BY,
            &TOKENIZER_BLAKE3,
            &BOS,
            &BPE_VOCAB,
            &VAL_FRACTION,
            &SPLIT,
            &CHOICES,
            &CHOICES_BLAKE3,
        ]
    }
}

impl SourceKind for Kind {
    /// Paths are settled as file names beside a hash of the contents: whoever settles the settled spec again must put
    /// `data.path` (and `data.tokenizer`, where it is a path) back, and contents that have changed are refused.
    fn settle(&self, knobs: &Knobs, context: usize) -> Result<Arc<dyn Source>> {
        let path = knobs
            .read(&PATH)
            .map_err(|error| error.hint("`--data FILE` names a text file or a folder"))?;
        let corpus = read(Path::new(&path)).map_err(|why| knobs.refuse(&PATH, &why))?;
        settle_file(knobs, &PATH, &BLAKE3, Path::new(&path), &corpus.blake3)?;

        let fraction = knobs.read(&VAL_FRACTION)?;
        let how = match knobs.read(&SPLIT)? {
            "tail" => Split::Tail,
            _ => Split::Content,
        };
        let (tokens, parts) = divide(knobs, &corpus, how, fraction)?;
        let encode = |part: &[u8]| {
            tokens
                .encode(part)
                .map_err(|why| knobs.refuse(&TOKENIZED_BY, &why))
        };
        let validation = encode(&parts.validation)?;
        let lossless = tokens.give_back(&validation, &parts.validation);
        let bos = beginning(knobs, &tokens)?;
        let text = Text {
            vocab: tokens.vocab(),
            tokenizer: tokens.hash(),
            choices: asked(knobs, &tokens, bos, context)?,
            bos,
            train: encode(&parts.train)?,
            validation_bytes: lossless.then_some(parts.validation.len()),
            unknown_share: tokens.unknown_share(&validation),
            validation,
        };
        if let Some(share) = text.unknown_share.filter(|share| *share > MOST_UNKNOWN) {
            let why = format!("{} of the text's tokens are unknown to it", Share(share));
            return Err(knobs
                .refuse(&TOKENIZED_BY, &why)
                .hint("a tokenizer made for this text: `byte` and `bpe` fit any"));
        }
        for (part, found) in [
            ("training", text.train.len()),
            ("validation", text.validation.len()),
        ] {
            // All of it is for losses: nothing is to be trained, which the trial holds.
            if found <= context && !(part == "training" && fraction == 1.0) {
                let why = format!(
                    "too short: its {part} part has {found} tokens, and a window takes {}",
                    context + 1
                );
                return Err(knobs
                    .refuse(&PATH, &why)
                    .hint("give more text, or a smaller model.context"));
            }
        }
        if text.validation.len() == context + 1 && fraction < 1.0 {
            let why = "too short: its validation part is a single window, and a sweep and its judge need one each";
            return Err(knobs
                .refuse(&PATH, why)
                .hint("give more text, or a smaller model.context"));
        }
        Ok(Arc::new(text))
    }
}

/// Reads `bos`, silent where it is not said: the token that windows begin with.
fn beginning(knobs: &Knobs, tokens: &Tokens) -> Result<Option<u32>> {
    if !knobs.find(&BOS)?.unwrap_or(false) {
        return Ok(None);
    }
    let why = "the tokenizer puts no token before a text";
    let refuse = || knobs.refuse(&BOS, why).hint("data.bos = false");
    tokens.beginning().ok_or_else(refuse).map(Some)
}

/// Reads `choices`, silent where it is not said.
fn asked(
    knobs: &Knobs,
    tokens: &Tokens,
    bos: Option<u32>,
    context: usize,
) -> Result<Option<Questions>> {
    let Some(name) = knobs.find(&CHOICES)? else {
        return Ok(None);
    };
    let path = Path::new(&name);
    let refuse = |why: &str| {
        let refused = knobs.refuse(&CHOICES, why);
        refused.hint(r#"{"context": "2 + 2 =", "choices": ["3", "4"], "gold": 1}, one a line"#)
    };
    let text = foreign::text(path).map_err(|error| refuse(&error.message))?;
    let cutting = choices::Cutting {
        tokens,
        bos,
        context,
    };
    let found = choices::questions(&text, &cutting).map_err(|why| refuse(&why))?;
    let hash = blake3::hash(text.as_bytes()).to_hex();
    settle_file(knobs, &CHOICES, &CHOICES_BLAKE3, path, hash.as_str())?;
    Ok(Some(found))
}

/// Settles a file's knob as its name, and the hash of its contents beside it, refusing a hash given before that differs.
fn settle_file(
    knobs: &Knobs,
    knob: &Knob<AnyText>,
    hash_knob: &Knob<AnyText>,
    path: &Path,
    hash: &str,
) -> Result<()> {
    let expected = knobs.read_or(hash_knob, hash.to_owned())?;
    if expected != hash {
        let why = format!(
            "the contents of `{}` are others: their blake3 is {hash}",
            file_name(path)
        );
        return Err(knobs.refuse(hash_knob, &why).hint(format!(
            "put the old contents back, or drop `{}`",
            hash_knob.name()
        )));
    }
    knobs.write(knob, json!(file_name(path)));
    Ok(())
}

/// Makes the tokenizer that the knobs ask for, and the two parts of the text.
fn divide(
    knobs: &Knobs,
    corpus: &Corpus,
    how: Split,
    fraction: f64,
) -> Result<(Tokens, Parts<Vec<u8>>)> {
    let documents: Vec<&[u8]> = corpus
        .documents
        .iter()
        .map(|document| &document.bytes[..])
        .collect();
    let name = knobs.read(&TOKENIZED_BY)?;
    if name == "byte" {
        let bytes = documents.iter().map(|document| document.len()).sum();
        return Ok((
            Tokens::Byte,
            split(&documents, how, fraction, cut(bytes, fraction)),
        ));
    }
    let pretrained = if ["char", "bpe"].contains(&name.as_str()) {
        None
    } else {
        Some(load(knobs, &name)?)
    };
    let texts = corpus.documents.iter().map(|document| document.text());
    let not_text = |why: String| {
        knobs
            .refuse(&PATH, &why)
            .hint("data.tokenizer = \"byte\" takes any file")
    };
    let texts = texts
        .collect::<std::result::Result<Vec<&str>, String>>()
        .map_err(not_text)?;
    let chars = texts.iter().map(|text| text.chars().count()).sum();
    let parts = split(
        &documents,
        how,
        fraction,
        byte_of_char(&texts, cut(chars, fraction)),
    );
    let tokens = match (pretrained, name.as_str()) {
        (Some(tokens), _) => tokens,
        (None, "char") => Tokens::of_chars(texts),
        (None, _) => {
            let vocab = knobs.read(&BPE_VOCAB)?;
            let train = String::from_utf8_lossy(&parts.train);
            Tokens::train_bpe(&train, vocab).map_err(|why| knobs.refuse(&TOKENIZED_BY, &why))?
        }
    };
    Ok((tokens, parts))
}

/// Loads a `tokenizer.json` by its path.
fn load(knobs: &Knobs, name: &str) -> Result<Tokens> {
    let path = Path::new(name);
    let Ok(bytes) = std::fs::read(path) else {
        return Err(knobs
            .refuse(
                &TOKENIZED_BY,
                "neither a tokenizer nor a file that can be read",
            )
            .suggest(name, ["char", "byte", "bpe", "PATH to a tokenizer.json"]));
    };
    let refuse = |why: String| knobs.refuse(&TOKENIZED_BY, &why);
    let (tokens, bytes) = tokenizer_in(path, bytes).map_err(refuse)?;
    settle_file(
        knobs,
        &TOKENIZED_BY,
        &TOKENIZER_BLAKE3,
        path,
        blake3::hash(&bytes).to_hex().as_str(),
    )?;
    Ok(tokens)
}

/// The tokenizer of a GGUF file or a `tokenizer.json` that has these bytes, and those that it is read from.
fn tokenizer_in(path: &Path, bytes: Vec<u8>) -> std::result::Result<(Tokens, Vec<u8>), String> {
    let json = match bytes.starts_with(b"GGUF") {
        true => {
            let found = Checkpoint::open(path).map_err(|error| error.message)?;
            tokenizer::of_gguf(&found.facts)?.into_bytes()
        }
        false => bytes,
    };
    Ok((Tokens::from_json(&json)?, json))
}

/// What [`Source::tokenizer`] is of a text that a checkpoint's own tokenizer cuts; nothing of a folder that brings none.
///
/// # Errors
/// Where it cannot be read, or is none that is known here.
pub fn tokenizer_of(checkpoint: &Path) -> Result<Option<String>> {
    let refuse = |why: String| Error::input(format!("{}: {why}", checkpoint.display()));
    let Some(path) = tokenizer::of(checkpoint) else {
        return Ok(None);
    };
    let bytes = std::fs::read(&path).map_err(|error| refuse(error.to_string()))?;
    let (tokens, _) = tokenizer_in(&path, bytes).map_err(refuse)?;
    Ok(Some(tokens.hash()))
}

/// What it is of a text in bytes.
pub fn byte_tokenizer() -> String {
    Tokens::Byte.hash()
}

/// The byte at which character number `at` of the concatenated texts begins.
fn byte_of_char(texts: &[&str], at: usize) -> usize {
    texts
        .iter()
        .flat_map(|text| text.chars())
        .take(at)
        .map(char::len_utf8)
        .sum()
}

/// Tokenized text.
struct Text {
    vocab: usize,
    tokenizer: String,
    /// What every window begins with.
    bos: Option<u32>,
    train: Vec<u32>,
    validation: Vec<u32>,
    /// `None` where the tokenizer does not give the text back.
    validation_bytes: Option<usize>,
    unknown_share: Option<f64>,
    choices: Option<Questions>,
}

impl Text {
    /// What goes into the window at a place of `tokens`, and what is asked for: the token behind each. Where windows begin with a token
    /// of their own it stands in the first one's place, as in llama.cpp's perplexity.
    fn window<'t>(
        &self,
        tokens: &'t [u32],
        at: usize,
        context: usize,
    ) -> (impl Iterator<Item = u32> + use<'t>, &'t [u32]) {
        let first = self.bos.unwrap_or(tokens[at]);
        let inputs = std::iter::once(first).chain(tokens[at + 1..at + context].iter().copied());
        (inputs, &tokens[at + 1..at + 1 + context])
    }
}

impl Source for Text {
    fn vocab(&self) -> usize {
        self.vocab
    }

    fn tokenizer(&self) -> Option<String> {
        Some(self.tokenizer.clone())
    }

    fn train(&self, seed: u64, step: u64, rows: usize, context: usize) -> Batch {
        let mut batch = Batch {
            rows,
            context,
            inputs: Vec::new(),
            targets: Vec::new(),
        };
        for row in 0..rows as u64 {
            let mut stream = stream(
                "data/text/train",
                seed,
                step.wrapping_mul(rows as u64).wrapping_add(row),
            );
            let start = stream.below(self.train.len() - context);
            let window = self.window(&self.train, start, context);
            batch.inputs.extend(window.0);
            batch.targets.extend_from_slice(window.1);
        }
        batch
    }

    /// Consecutive windows. The last one begins early enough to be full, and its targets that an earlier window has covered
    /// are ignored.
    fn validation(&self, rows: usize, context: usize) -> Result<Vec<Validation>> {
        let targets = self.validation.len() - 1;
        if targets < context {
            let message = format!(
                "the validation part has {} tokens, and a window takes {}",
                targets + 1,
                context + 1
            );
            return Err(Error::input(message).hint("give more text, or a smaller model.context"));
        }
        let windows: Vec<usize> = (0..targets).step_by(context).collect();
        let batches = windows.chunks(rows).map(|starts| {
            let mut batch = Batch {
                rows: starts.len(),
                context,
                inputs: Vec::new(),
                targets: Vec::new(),
            };
            for &start in starts {
                let from = start.min(targets - context);
                let (inputs, asked) = self.window(&self.validation, from, context);
                let known = start - from;
                batch.inputs.extend(inputs);
                batch.targets.extend(std::iter::repeat_n(IGNORE, known));
                batch.targets.extend_from_slice(&asked[known..]);
            }
            Validation {
                batch,
                oracle: None,
            }
        });
        Ok(batches.collect())
    }

    fn bytes_per_token(&self) -> Option<f64> {
        Some(self.validation_bytes? as f64 / self.validation.len() as f64)
    }

    fn validation_tokens(&self) -> Option<u64> {
        Some(self.validation.len() as u64)
    }

    fn unknown_share(&self) -> Option<f64> {
        self.unknown_share
    }

    fn is_text(&self) -> bool {
        true
    }

    fn choices(&self) -> Option<&Questions> {
        self.choices.as_ref()
    }

    fn train_tokens(&self) -> Option<u64> {
        Some(self.train.len() as u64)
    }
}

#[cfg(test)]
mod tests;
