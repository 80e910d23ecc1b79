//! What things are called: files by their stems, variants with changes by theirs, scales by their widths, data by kind and preset.

use std::path::Path;

use super::tree::Tree;

/// What stands between a variant and its changes in a name.
pub const WITH: char = '+';

/// What stands between a variant and its stage in a name.
const IN: char = ':';

/// The name of a reference in a stage: of `gpt2+muon` in `tuned` it is `gpt2:tuned+muon`, so that changes within a stage are changes
/// of what the stage has without them.
pub(super) fn staged(reference: &str, stage: Option<&str>) -> String {
    let name = name_of(reference);
    let Some(stage) = stage else {
        return name;
    };
    match name.split_once(WITH) {
        Some((plain, changes)) => format!("{plain}{IN}{stage}{WITH}{changes}"),
        None => format!("{name}{IN}{stage}"),
    }
}

/// A reference without the stage that it names, and that: `gpt2:tuned+lora` is `gpt2+lora` in `tuned`. No path names one.
pub(super) fn of_stage(reference: &str) -> (String, Option<String>) {
    let (plain, changes) = reference.split_once(WITH).unwrap_or((reference, ""));
    let Some((variant, stage)) = plain.split_once(IN).filter(|_| !is_path(plain)) else {
        return (reference.to_owned(), None);
    };
    let with = if changes.is_empty() { "" } else { "+" };
    (format!("{variant}{with}{changes}"), Some(stage.to_owned()))
}

/// Changes that ship, in the order in which they stand in a variant's name.
pub(super) const CHANGES: [&str; 68] = [
    "prenorm",
    "rope",
    "rmsnorm",
    "gqa",
    "mqa",
    "window",
    "mla",
    "differential",
    "hybrid",
    "linear",
    "retnet",
    "gla",
    "mamba2",
    "deltanet",
    "deltanet-negative",
    "gdn",
    "gdn-noconv",
    "gdn-negative",
    "kda",
    "gdn-hybrid",
    "mingru",
    "sink",
    "gated",
    "qknorm",
    "value-embeddings",
    "swiglu",
    "wide",
    "relu2",
    "geglu",
    "moe",
    "moe-aux",
    "moe-unbalanced",
    "sandwich",
    "parallel",
    "x0",
    "untied",
    "softcap",
    "zeroinit",
    "muon",
    "normuon",
    "polarexpress",
    "lion",
    "schedulefree",
    "cautious",
    "ademamix",
    "mars",
    "adafactor",
    "adam-mini",
    "shampoo",
    "soap",
    "sophia",
    "cosine",
    "wsd",
    "wsd-sqrt",
    "standard",
    "zloss",
    "mtp",
    "bf16",
    "fp8",
    "fp8-tensor",
    "fp8-outlier",
    "int8",
    "int8-tensor",
    "int8-outlier",
    "ternary",
    "lora",
    "rslora",
    "dora",
];

/// Whether a reference is a path rather than a name.
pub(super) fn is_path(reference: &str) -> bool {
    let ending = [".toml", ".gguf"]
        .iter()
        .any(|ending| reference.ends_with(ending));
    ending || reference.contains(std::path::is_separator)
}

/// A reference written in a file of `folder`, as it holds from the working directory: each of its parts that is a path.
pub(super) fn join_path(folder: &Path, reference: &str) -> String {
    let part = |part: &str| match is_path(part) {
        true => folder.join(part).to_string_lossy().into_owned(),
        false => part.to_owned(),
    };
    let parts: Vec<String> = reference.split(WITH).map(part).collect();
    parts.join(&WITH.to_string())
}

/// A variant's reference without its changes, and these: those that ship in their order, for `gpt2+muon+rope` is
/// `gpt2+rope+muon`, then others.
pub(super) fn parts(reference: &str) -> (&str, Vec<&str>) {
    let mut parts = reference.split(WITH);
    let plain = parts.next().unwrap_or_default();
    let mut changes: Vec<&str> = parts.collect();
    let place = |name: &&str| CHANGES.iter().position(|shipped| shipped == name);
    changes.sort_by_key(|name| place(name).unwrap_or(CHANGES.len()));
    (plain, changes)
}

/// The name that a reference gives to what it refers to: itself, or the file's stem; changes in their order.
pub(super) fn name_of(reference: &str) -> String {
    let (plain, changes) = parts(reference);
    if !changes.is_empty() {
        let names: Vec<String> = std::iter::once(plain).chain(changes).map(name_of).collect();
        return names.join(&WITH.to_string());
    }
    if !is_path(reference) {
        return reference.to_owned();
    }
    let file = Path::new(reference)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let stem = file.strip_suffix(".toml").or(file.strip_suffix(".gguf"));
    stem.unwrap_or(&file).to_owned()
}

/// The width that a scale's name means: 32 for `w32`.
pub fn width_of(scale: &str) -> Option<u64> {
    scale
        .strip_prefix('w')
        .filter(|digits| digits.starts_with(|c: char| ('1'..='9').contains(&c)))?
        .parse()
        .ok()
}

/// The tokenizer of a text that nobody chose one for: it takes any file, and rates were swept for it.
pub const TOKENIZER: &str = "byte";

/// What a tree's data is called in tuned rows and surfaces: the kind, and its preset (`language/easy`) or, of a text, its
/// tokenizer (`text/byte`) where it has one.
pub fn data_label(tree: &Tree) -> String {
    let text = |key| tree.get(key).and_then(|entry| entry.value.as_str());
    let kind = text("data.kind").unwrap_or("language");
    let default = match kind {
        "language" => Some("easy"),
        "text" => Some(TOKENIZER),
        _ => None,
    };
    match text(if kind == "text" {
        "data.tokenizer"
    } else {
        "data.preset"
    })
    .or(default)
    {
        Some(part) => format!("{kind}/{part}"),
        None => kind.to_owned(),
    }
}
