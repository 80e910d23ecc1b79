//! What guesses tokens ahead while decoding: `infer.draft`, settled. A smaller model stands in its own file; it is settled by itself, and
//! what the spec holds of it is the file's name and hash.

use std::path::Path;

use serde_json::{Value, json};

use super::Registry;
use super::kept::{kept, own_keys};
use super::keys::{DRAFT, DRAFT_BLAKE3, DRAFT_TOKENS, INFER, keys};
use crate::checkpoint::Checkpoint;
use crate::config::{Knobs, Origin, Spec, Tree, knobs};
use crate::data::{Source, byte_tokenizer, tokenizer_of};
use crate::error::{Error, Result};
use crate::model::{Model, Packing};

/// Prompts at most that are continued with guesses and without: acceptance is over several texts.
pub const PROMPTS: usize = 8;

/// `infer.draft`
pub struct Draft {
    /// As the spec has it.
    pub name: String,
    /// Tokens guessed at most before each pass.
    pub tokens: usize,
    /// What guesses.
    pub by: By,
}

/// What guesses.
pub enum By {
    /// What followed in the text before.
    Lookup,
    /// A smaller model.
    Model {
        /// Settled, without numbers.
        model: Box<Model>,
        /// What its matrices serve in.
        packing: Option<Packing>,
    },
}

impl Draft {
    /// Bytes of the smaller model's weights; none of the text itself.
    pub fn bytes(&self) -> u64 {
        match &self.by {
            By::Lookup => 0,
            By::Model { model, packing } => match packing {
                Some(_) => model.packed_bytes(),
                None => 4 * model.params_total(),
            },
        }
    }
}

/// The word for the text itself.
const LOOKUP: &str = "lookup";

/// Reads `infer.draft` and what belongs to it; `longest` is how many tokens a window may have when it is served.
pub(super) fn settle(
    registry: &Registry,
    spec: &Spec,
    target: &Model,
    source: &dyn Source,
    (longest, batch, device): (usize, usize, &str),
) -> Result<Option<Draft>> {
    let knobs = spec.at(&INFER);
    let Some(name) = knobs.find(&DRAFT)? else {
        return match knobs.given(&DRAFT_TOKENS) {
            true => Err(knobs.refuse(&DRAFT_TOKENS, "infer.draft does not say what guesses")),
            false => Ok(None),
        };
    };
    if batch > 1 {
        let why = "windows of a batch would take different numbers of guesses";
        return Err(knobs.refuse(&DRAFT, why).hint("infer.batch = 1"));
    }
    let tokens = knobs.read(&DRAFT_TOKENS)?;
    if name == LOOKUP {
        let by = By::Lookup;
        return Ok(Some(Draft { name, tokens, by }));
    }
    let path = Path::new(&name);
    if !path.exists() {
        return Err(not_there(&knobs, &name));
    }
    let refuse = |why: String| {
        let refused = knobs.refuse(&DRAFT, &why);
        refused.hint("lookup, or a smaller model that the same tokenizer was used with")
    };
    let (tree, other) = match Checkpoint::is_one(path) {
        true => of_checkpoint(registry, &name, target, source)?,
        false if path.is_dir() => return Err(refuse("a folder without a config.json".to_owned())),
        false => of_kept(spec, source, path).map_err(|error| {
            let own = format!("{}: ", path.display());
            let why = error.message.strip_prefix(&own).unwrap_or(&error.message);
            refuse(why.to_owned())
        })?,
    };
    if let Some(why) = other {
        return Err(refuse(why));
    }
    let vocab = target.shape.vocab;
    let settled = knobs::settle(
        &tree,
        || keys(registry),
        |spec| Model::settle(spec, &registry.slots, vocab),
    );
    let (model, own) = settled.map_err(|error| refuse(error.message))?;
    if model.shape.vocab != vocab {
        let theirs = model.shape.vocab;
        return Err(refuse(format!(
            "it has {theirs} tokens, and the model {vocab}"
        )));
    }
    if let Some(most) = model.longest().filter(|most| *most < longest) {
        let why = format!("it can number {most} tokens of a window, and {longest} are served");
        return Err(refuse(why));
    }
    named(&knobs, path, own.get("model.from_blake3"))?;
    let by = By::Model {
        model: Box::new(model),
        // On a GPU the numbers of a file's blocks serve as f32.
        packing: (device == "cpu").then_some(Packing::AsInFile),
    };
    let name = file_name(path);
    Ok(Some(Draft { name, tokens, by }))
}

fn not_there(knobs: &Knobs, name: &str) -> Error {
    let refused = knobs.refuse(&DRAFT, "no such file or folder");
    let file = "a smaller model's .gguf, folder or kept .safetensors";
    match LOOKUP.eq_ignore_ascii_case(name) {
        true => refused.hint("did you mean `lookup`?"),
        false => refused.suggest(name, [LOOKUP, file]),
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Writes the file as its name with the hash of its contents beside it.
fn named(knobs: &Knobs, path: &Path, hash: Option<&Value>) -> Result<()> {
    let hash = hash.and_then(Value::as_str).unwrap_or_default();
    let expected = knobs.read_or(&DRAFT_BLAKE3, hash.to_owned())?;
    if expected != hash {
        let why = format!("the contents of the file are others: their blake3 is {hash}");
        let refused = knobs.refuse(&DRAFT_BLAKE3, &why);
        return Err(refused.hint("put the old contents back, or drop `draft_blake3`"));
    }
    knobs.write(&DRAFT, json!(file_name(path)));
    Ok(())
}

/// A model's own keys, and why its tokens are others where they are.
type Found = (Tree, Option<String>);

/// Of a file that others wrote, which brings its tokenizer. A folder that has none is taken to have the tokens of the model it guesses
/// for: what is guessed is judged, whatever it means.
fn of_checkpoint(
    registry: &Registry,
    name: &str,
    target: &Model,
    source: &dyn Source,
) -> Result<Found> {
    // A name alone would be looked up among variants.
    let whole = std::path::absolute(name).unwrap_or_else(|_| name.into());
    let variant = registry.library().variant(&whole.to_string_lossy())?;
    let mut tree = Tree::default();
    let own = |key: &str| key.starts_with("model.") || key.starts_with("shape.");
    for (key, entry) in variant.tree.iter().filter(|(key, _)| own(key)) {
        tree.insert(key, entry.value.clone(), entry.origin.clone());
    }
    let context = target.shape.context.into();
    tree.insert("model.context", context, Origin::named("infer.draft"));
    // Of data whose tokens are numbers and no text there is none to ask for.
    let other = match source.tokenizer() {
        Some(ours) => tokenizer_of(&whole)?.is_some_and(|theirs| ours != theirs),
        None => false,
    };
    Ok((tree, other.then(|| OTHER.to_owned())))
}

const OTHER: &str = "its tokenizer is another: the same token would not mean the same to both";

/// Keys of data that say what a token means: what kind they are of, a tokenizer's file by its hash, and the text that one was made from.
const OF_TOKENS: [&str; 2] = ["kind", "tokenizer"];
const OF_FILE: [&str; 2] = ["kind", "tokenizer_blake3"];
const OF_TEXT: [&str; 5] = ["kind", "tokenizer", "blake3", "val_fraction", "bpe_vocab"];

/// Of weights that a run kept, with their spec beside them.
fn of_kept(spec: &Spec, source: &dyn Source, path: &Path) -> Result<Found> {
    let kept = kept(path)?;
    let model = kept.pointer("/spec/model").and_then(Value::as_object);
    let model =
        model.ok_or_else(|| Error::input("the spec beside it has no table `spec.model`"))?;
    let tree = own_keys(model, path)?;
    let ours = |key: &str| spec.settled(&format!("data.{key}"));
    let theirs = |key: &str| kept.pointer(&format!("/spec/data/{key}")).cloned();
    let both_have = |key: &str| ours(key).is_some() && theirs(key).is_some();
    let keys: &[&str] = match theirs("tokenizer").as_ref().and_then(Value::as_str) {
        // Bytes are bytes, whichever file says so.
        Some("byte") if source.tokenizer() == Some(byte_tokenizer()) => &[],
        Some("char" | "bpe") => &OF_TEXT,
        _ if both_have("tokenizer_blake3") => &OF_FILE,
        _ => &OF_TOKENS,
    };
    let mut differing = keys.iter().filter(|key| ours(key) != theirs(key));
    let why = differing.next().map(|key| {
        let said = |value: Option<Value>| value.map_or("nothing".to_owned(), |v| v.to_string());
        let (theirs, ours) = (said(theirs(key)), said(ours(key)));
        format!("it was trained with data.{key} = {theirs}, and here it is {ours}")
    });
    Ok((tree, why))
}
