//! What can be asked for by name: the variants, changes and suites compiled in, the data sources, and files of one's own, whose
//! path does wherever a name does.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use super::change::{Change, compose};
use super::field::Inner;
use super::knob::Declarations;
use super::load;
use super::names::{WITH, is_path, join_path, name_of, parts};
use super::price::Price;
use super::rate_surface::{self, RateSurface};
use super::suite::Suite;
use super::table::Table;
use super::tree::{Origin, Tree};
use super::variant::Variant;
use super::weights::{is_weights, of_weights};
use crate::checkpoint::{Checkpoint, tokenizer};
use crate::error::{Error, Result, near};
use crate::unit::{Bytes, Count};

macro_rules! shipped {
    ($folder:literal: $($name:literal)*) => {
        &[$(Shipped {
            name: $name,
            file: concat!("models/", $folder, "/", $name, ".toml"),
            text: include_str!(concat!("../../models/", $folder, "/", $name, ".toml")),
        }),*]
    };
}

/// In the order of reading: each after its base.
const VARIANTS: &[Shipped] = shipped!("variants": "gpt2" "llama" "modern" "transformer-2017" "lstm" "nanochat-small" "deepseek-small");

/// In the order in which they stand in a variant's name.
const CHANGES: &[Shipped] = shipped!("changes":
    "prenorm" "rope" "rmsnorm" "gqa" "mqa" "window" "mla" "differential" "hybrid" "linear" "retnet"
    "gla" "mamba2" "deltanet" "deltanet-negative" "gdn" "gdn-noconv" "gdn-negative" "kda" "gdn-hybrid" "mingru" "sink" "gated" "qknorm"
    "value-embeddings" "swiglu" "wide" "relu2" "geglu" "moe" "moe-aux" "moe-unbalanced" "sandwich"
    "parallel" "x0" "untied" "softcap" "zeroinit" "muon" "normuon" "polarexpress" "lion"
    "schedulefree" "cautious" "ademamix" "mars" "adafactor" "adam-mini" "shampoo" "soap" "sophia"
    "cosine" "wsd" "wsd-sqrt" "standard" "zloss" "mtp" "bf16" "fp8" "fp8-tensor" "fp8-outlier" "int8"
    "int8-tensor" "int8-outlier" "ternary" "lora" "rslora" "dora");

const SURFACE: Inner = Inner::rows(
    "surface",
    "Learning rates that sweeps chose, each row for a variant and a range of widths and steps.",
    rate_surface::FIELDS,
)
.required();

/// The fields of a file of learning rates.
pub(super) const RATES_FIELDS: Declarations = &[&SURFACE];

/// Learning rates of what ships, by kind of data.
const RATES: &[Shipped] = shipped!("rates": "language-easy" "language-rich" "text-byte");

const SUITES: &[Shipped] = shipped!("suites":
    "quick" "ci" "gain" "gain-text" "gain-night" "frontier" "frontier-small" "frontier-text" "ladder" "isoflop" "origin"
    "origin-wide" "zoo" "challenge" "mixers" "precision" "deepseek" "skills" "serve" "serve-depth" "think" "reuse" "lora" "distill" "scarce" "mixture" "throughput" "nanogpt-char" "tune-quick" "transfer" "gain-gpu" "ladder-gpu" "throughput-gpu");

const PRICES: &[Shipped] = shipped!("prices": "default");

/// Data sources and presets that `--data` knows by name.
const DATA: &[&str] = &[
    "language",
    "language/easy",
    "language/rich",
    "markov",
    "mqar",
    "copy",
    "selective-copy",
    "parity",
    "permutation",
    "modular-addition",
    "addition",
    "uniform",
];

/// A file compiled in.
struct Shipped {
    name: &'static str,
    file: &'static str,
    text: &'static str,
}

/// All that has a name, and a reader for paths.
#[derive(Debug, Clone)]
pub struct Library {
    data: Vec<String>,
}

/// A file as it was found.
struct Found {
    name: String,
    /// For messages.
    file: String,
    text: Cow<'static, str>,
    folder: PathBuf,
    /// The same for the same file, however it was named.
    identity: PathBuf,
}

impl Library {
    /// What ships with the program.
    pub fn builtin() -> Self {
        Self {
            data: DATA.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// With one more data source that `--data` knows.
    #[must_use]
    pub fn with_data(mut self, name: &str) -> Self {
        self.data.push(name.to_owned());
        self
    }

    /// A variant by name or path, its bases laid below it; with changes behind it, also by name or path: `gpt2+rope+muon`.
    pub fn variant(&self, reference: &str) -> Result<Variant> {
        let mut variant = resolved(reference, Path::new(""), None, &mut Vec::new())?;
        let shipped = rates()?.iter().filter(|(of, _)| *of == variant.name);
        variant.surfaces.extend(shipped.map(|(_, row)| row.clone()));
        Ok(variant)
    }

    /// All changes that ship.
    pub fn changes(&self) -> Result<Vec<Change>> {
        CHANGES.iter().map(|shipped| change(shipped.name)).collect()
    }

    /// A suite by name or path.
    pub fn suite(&self, reference: &str) -> Result<Suite> {
        let found = find("suite", SUITES, reference)?;
        Suite::parse(found.name, &found.file, &found.text, &found.folder)
    }

    /// All variants that ship, each after its base.
    pub fn variants(&self) -> Result<Vec<Variant>> {
        VARIANTS
            .iter()
            .map(|shipped| self.variant(shipped.name))
            .collect()
    }

    /// All variants that ship, and each change over the first of them that it changes.
    pub fn compositions(&self) -> Result<Vec<Variant>> {
        let mut all = self.variants()?;
        let plain = all.len();
        for change in CHANGES {
            let over =
                |k: usize| self.variant(&format!("{}{WITH}{}", VARIANTS[k].name, change.name));
            all.extend((0..plain).find_map(|k| over(k).ok()));
        }
        Ok(all)
    }

    /// All suites that ship.
    pub fn suites(&self) -> Result<Vec<Suite>> {
        SUITES
            .iter()
            .map(|shipped| self.suite(shipped.name))
            .collect()
    }

    /// Prices by name or path; what a file leaves out is taken from those that ship as `default`.
    pub fn price(&self, reference: &str) -> Result<Price> {
        let shipped = find("price", PRICES, "default")?;
        let shipped = Price::parse(shipped.name, &shipped.file, &shipped.text, None)?;
        if reference == "default" {
            return Ok(shipped);
        }
        let found = find("price", PRICES, reference)?;
        Price::parse(found.name, &found.file, &found.text, Some(&shipped))
    }

    /// All prices that ship.
    pub fn prices(&self) -> Result<Vec<Price>> {
        PRICES
            .iter()
            .map(|shipped| self.price(shipped.name))
            .collect()
    }

    /// The spec keys that `--data NAME|PATH` means.
    pub fn data(&self, text: &str) -> Result<Tree> {
        let origin = Origin::named("--data");
        let mut tree = Tree::default();
        let mut insert =
            |key: &str, value: &str| tree.insert(key, Value::from(value), origin.clone());
        let (kind, preset) = text
            .split_once('/')
            .map_or((text, None), |(kind, preset)| (kind, Some(preset)));
        if self.data.iter().any(|name| name == text) {
            insert("data.kind", kind);
            preset
                .into_iter()
                .for_each(|preset| insert("data.preset", preset));
        } else {
            let meant_as_name = preset.is_none() || self.data.iter().any(|name| name == kind);
            if meant_as_name && !Path::new(text).exists() {
                let message = format!("--data {text}: neither a data source nor a file");
                let names = self.data.iter().map(String::as_str);
                let meant = near(text, names.clone());
                let meant = meant.map(|meant| format!("did you mean `{meant}`? "));
                return Err(Error::input(message).hint(format!(
                    "{}there is: {}, and any text file; `effbench data list` names corpora to fetch",
                    meant.unwrap_or_default(),
                    names.collect::<Vec<_>>().join(", ")
                )));
            }
            insert("data.kind", "text");
            insert("data.path", text);
        }
        Ok(tree)
    }
}

/// A variant with its bases below it and its changes over it, by a reference in a file of `folder` that stands `at` a line of
/// it; `chain` is what led here.
fn resolved(
    reference: &str,
    folder: &Path,
    at: Option<&Origin>,
    chain: &mut Vec<(PathBuf, String)>,
) -> Result<Variant> {
    let (plain, changes) = parts(reference);
    let blame = |error: Error| match at {
        Some(origin) => origin.blame(error),
        None => error,
    };
    let path = join_path(folder, plain);
    if is_path(&path) && Checkpoint::is_one(Path::new(&path)) {
        let variant = of_checkpoint(&path).map_err(blame)?;
        return with_changes(variant, folder, &changes).map_err(blame);
    }
    let found = find("variant", VARIANTS, &path).map_err(blame)?;
    let seen = chain
        .iter()
        .any(|(identity, _)| *identity == found.identity);
    chain.push((found.identity.clone(), found.name.clone()));
    if seen {
        let names: Vec<&str> = chain.iter().map(|(_, name)| name.as_str()).collect();
        let message = format!(
            "base = \"{reference}\": bases go round in a circle: {}",
            names.join(" -> ")
        );
        let error = Error::input(message).hint("the last base has none of its own");
        return Err(blame(error));
    }
    let (mut variant, base) = Variant::parse(found.name, &found.file, &found.text)?;
    if let Some((reference, origin)) = base {
        let base = resolved(&reference, &found.folder, Some(&origin), chain)?;
        variant.tree = base.tree;
        variant.tree.overlay(&variant.own);
        variant.base = Some(base.name);
    }
    with_changes(variant, folder, &changes).map_err(blame)
}

fn with_changes(variant: Variant, folder: &Path, changes: &[&str]) -> Result<Variant> {
    if changes.is_empty() {
        return Ok(variant);
    }
    let changes: Result<Vec<Change>> = changes
        .iter()
        .map(|name| change(&join_path(folder, name)))
        .collect();
    compose(variant, &changes?)
}

/// A model that others trained, as a variant: its nearest one here with its own sizes, starting with its weights.
fn of_checkpoint(path: &str) -> Result<Variant> {
    let name = file_name(path, "variant")?;
    let found = Checkpoint::open(Path::new(path))?;
    let base = resolved(found.base, Path::new(""), None, &mut Vec::new())?;
    let origin = Origin::named(path);
    let (mut own, mut tree) = (Tree::default(), base.tree);
    for (key, value) in &found.keys {
        // How long windows are is a suite's to say, no part of what the model is.
        match *key {
            "model.context" => tree.set(key, value.clone(), origin.clone()),
            _ => own.insert(key, value.clone(), origin.clone()),
        }
    }
    own.insert("model.from", path.into(), origin.clone());
    if let Some(tokenizer) = tokenizer::of(&found.path) {
        let tokenizer = tokenizer.to_string_lossy().into_owned();
        own.insert("data.tokenizer", tokenizer.into(), origin.clone());
        if tokenizer::begins(&found.path, &found.facts) {
            own.insert("data.bos", true.into(), origin);
        }
    }
    tree.overlay(&own);
    Ok(Variant {
        about: format!(
            "{}: {} parameters in {}, {}.",
            found.title.as_deref().unwrap_or(&name),
            Count(found.params() as f64),
            Bytes(found.bytes() as f64),
            found.format
        ),
        source: name.clone(),
        base: Some(base.name),
        name,
        tree,
        own,
        tuned: Vec::new(),
        surfaces: Vec::new(),
    })
}

/// The name that a file gives to what is in it.
fn file_name(reference: &str, what: &str) -> Result<String> {
    let name = name_of(reference);
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || !name.chars().all(fits) {
        return Err(Error::input(format!(
            "{reference}: the file's name becomes the {what}'s name"
        ))
        .hint("letters, digits, `-`, `_` and `.` will do"));
    }
    Ok(name)
}

/// A change by name or path.
fn change(reference: &str) -> Result<Change> {
    let found = find("change", CHANGES, reference)?;
    Change::parse(found.name, &found.file, &found.text)
}

/// The surfaces of learning rates that ship, each with the variant that it is of.
fn rates() -> Result<&'static [(String, RateSurface)]> {
    static ALL: OnceLock<Result<Vec<(String, RateSurface)>>> = OnceLock::new();
    let read = |shipped: &Shipped| -> Result<Vec<(String, RateSurface)>> {
        let table = load::parse(shipped.file, shipped.text)?;
        let row = |row: &Table| {
            let missing = || row.missing(&rate_surface::VARIANT);
            let variant = RateSurface::variant(row)?.ok_or_else(missing)?;
            Ok((variant, RateSurface::parse(row)?))
        };
        let rows = table.fields(RATES_FIELDS)?.rows(&SURFACE)?;
        rows.iter().map(row).collect()
    };
    let all = ALL.get_or_init(|| {
        let files: Result<Vec<_>> = RATES.iter().map(read).collect();
        Ok(files?.into_iter().flatten().collect())
    });
    match all {
        Ok(rows) => Ok(rows),
        Err(error) => Err(error.clone()),
    }
}

/// The composition that a name with dashes means, as files of before have it: `gpt2-rope-muon` is `gpt2+rope+muon`.
fn dashed(reference: &str) -> Option<String> {
    VARIANTS.iter().find_map(|variant| {
        let rest = reference.strip_prefix(variant.name)?.strip_prefix('-')?;
        let known = |part: &str| CHANGES.iter().any(|change| change.name == part);
        rest.split('-')
            .all(known)
            .then(|| format!("{}{WITH}{}", variant.name, rest.replace('-', "+")))
    })
}

/// What a name that is not on a shelf stands for all the same: a composition, a change over the first variant, a file here.
fn meant(what: &str, reference: &str) -> Option<String> {
    let file = format!("{reference}.toml");
    if Path::new(&file).is_file() {
        return Some(file);
    }
    let change = CHANGES.iter().find(|change| change.name == reference);
    let over_first = |_: &Shipped| format!("{}{WITH}{reference}", VARIANTS[0].name);
    let composed = dashed(reference).or_else(|| change.map(over_first));
    composed.filter(|_| what == "variant")
}

/// Why a folder is nothing of the kind, and what of it may have been meant.
fn of_folder(what: &str, folder: &Path) -> Error {
    let shown = folder.display();
    let error = Error::input(format!(
        "cannot read the {what} {shown}: it is a folder, and none of a model, which has a config.json"
    ));
    let named = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.ok()?.path();
        let ends = |kind: &str| path.extension().is_some_and(|ends| ends == kind);
        let own = ends("toml") && is_of_kind(what, &path) || what == "variant" && ends("gguf");
        own.then(|| path.display().to_string())
    };
    let files = std::fs::read_dir(folder).into_iter().flatten();
    match files.filter_map(named).min() {
        Some(first) => error.hint(format!("name a file in it, such as `{first}`")),
        None => error.hint(format!(
            "`effbench list {what}s` shows the names that need no file"
        )),
    }
}

/// Whether a file holds a thing of the kind: a folder of somebody's has others that end in .toml.
fn is_of_kind(what: &str, path: &Path) -> bool {
    let shown = path.display().to_string();
    let Some(text) = std::fs::read_to_string(path).ok() else {
        return false;
    };
    let (name, folder) = (name_of(&shown), path.parent().unwrap_or(Path::new("")));
    match what {
        "variant" => Variant::parse(name, &shown, &text).is_ok(),
        "change" => Change::parse(name, &shown, &text).is_ok(),
        "suite" => Suite::parse(name, &shown, &text, folder).is_ok(),
        _ => load::parse(&shown, &text).is_ok(),
    }
}

/// A file that is nothing of the kind, by what it holds.
fn other(what: &str, reference: &str, text: &str) -> Error {
    let kind = match what {
        "variant" => "a model's .gguf or folder, or a .toml file that says what a variant changes",
        _ => "a .toml file",
    };
    let hint = match serde_json::from_str::<Value>(text).is_ok() {
        true => format!("what a result file holds is told by `effbench summary {reference}`"),
        false => format!("`effbench list {what}s` shows the names that need no file"),
    };
    Error::input(format!(
        "{reference}: the file is no {what}, which is {kind}"
    ))
    .hint(hint)
}

fn find(what: &str, shelf: &[Shipped], reference: &str) -> Result<Found> {
    if !is_path(reference) {
        let names = shelf.iter().map(|shipped| shipped.name);
        let unknown = || {
            let error = Error::input(format!("unknown {what} `{reference}`"));
            match meant(what, reference) {
                Some(meant) => error.hint(format!("did you mean `{meant}`?")),
                None if matches!(reference, "." | "..") => of_folder(what, Path::new(reference)),
                None if Path::new(reference).is_dir() => {
                    error.hint(format!("the folder of that name is `./{reference}/`"))
                }
                None if is_weights(Path::new(reference)) => of_weights(what, reference),
                None if Path::new(reference).is_file() => {
                    let text = std::fs::read_to_string(reference);
                    other(what, reference, &text.unwrap_or_default())
                }
                None => error.suggest(reference, names),
            }
        };
        let shipped = shelf
            .iter()
            .find(|shipped| shipped.name == reference)
            .ok_or_else(unknown)?;
        return Ok(Found {
            name: shipped.name.to_owned(),
            file: shipped.file.to_owned(),
            text: Cow::Borrowed(shipped.text),
            folder: PathBuf::new(),
            identity: PathBuf::from(shipped.name),
        });
    }
    let name = file_name(reference, what)?;
    let unreadable = |error: std::io::Error| {
        Error::input(format!("cannot read the {what} {reference}: {error}")).hint(format!(
            "`effbench list {what}s` shows the names that need no file"
        ))
    };
    let path = Path::new(reference);
    if path.is_dir() {
        return Err(of_folder(what, path));
    }
    if is_weights(path) {
        return Err(of_weights(what, reference));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let text = crate::foreign::decoded(reference, bytes)?;
    if !reference.ends_with(".toml") && load::parse(reference, &text).is_err() {
        return Err(other(what, reference, &text));
    }
    Ok(Found {
        name,
        file: reference.to_owned(),
        text: Cow::Owned(text),
        folder: path.parent().unwrap_or(Path::new("")).to_owned(),
        identity: path.canonicalize().map_err(unreadable)?,
    })
}

#[cfg(test)]
mod tests;
