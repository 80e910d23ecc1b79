//! Weights that a run kept, as a file that others read: the model is settled from the spec that lies beside them, written, and read again,
//! and what a reader would take for another model is not left there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::Registry;
use super::kept::{beside, kept, own_keys};
use super::settle::{Experiment, settle};
use crate::config::{Origin, Tree};
use crate::device::Opened;
use crate::error::{Error, Result};
use crate::model::outward::{Besides, write};

/// What starts and learning rates follow from, which no file of weights says; the feed-forward layers' width is in their shapes.
const NOT_WRITTEN: [&str; 10] = [
    "from",
    "from_blake3",
    "from_cell",
    "from_spec",
    "init_std",
    "zero_init",
    "scaling",
    "ffn.ratio",
    "ffn.hidden",
    "vocab",
];

/// Writes kept weights to a GGUF file, where the path ends so, or to a folder for `transformers`; says which architecture it is.
///
/// # Errors
/// A file without its spec or of another model than that, and a model that has no kind among those that others know.
pub fn export(
    registry: &Registry,
    weights: &Path,
    to: &Path,
    opened: &Opened,
) -> Result<&'static str> {
    let broken = |why: String| Error::input(format!("{}: {why}", beside(weights).display()));
    let document = kept(weights)?;
    let (cell, spec) = (&document["cell"], &document["spec"]);
    let Some(model) = spec.get("model").and_then(Value::as_object) else {
        return Err(broken("it has no table `spec.model`".to_owned()));
    };
    refuse_scores(model)?;
    let own = settled(registry, model_of(model, weights)?)?;
    let params = own.model.start(0, &opened.device)?;
    let beside = Besides {
        model: &json!(model),
        title: cell.as_str().unwrap_or("effbench"),
        bytes: spec.pointer("/data/tokenizer") == Some(&json!("byte")),
    };
    let unfinished = unfinished(to);
    let shape = &own.model.shape;
    let written = write(&unfinished, own.model.decls(), &params, shape, &beside);
    let read = written.and_then(|()| reads(registry, &unfinished, model));
    let moved = read.and_then(|architecture| {
        let failed = |e: std::io::Error| Error::input(format!("{}: {e}", to.display()));
        std::fs::rename(&unfinished, to).map_err(failed)?;
        Ok(architecture)
    });
    if moved.is_err() {
        // Of the two one is there, if any.
        let _ = std::fs::remove_file(&unfinished);
        let _ = std::fs::remove_dir_all(&unfinished);
    }
    moved
}

/// Beside its place, with the same ending.
fn unfinished(to: &Path) -> PathBuf {
    let ending = to.extension().map(|e| e.to_string_lossy().into_owned());
    to.with_extension(ending.map_or("unfinished".to_owned(), |e| format!("unfinished.{e}")))
}

/// Scores that muP scales otherwise have no place in a header.
fn refuse_scores(model: &Map<String, Value>) -> Result<()> {
    let number = |place: &str| {
        Value::Object(model.clone())
            .pointer(place)
            .and_then(Value::as_u64)
    };
    let width = number("/width").unwrap_or(0) / number("/heads").unwrap_or(1).max(1);
    let own = number("/head_width").unwrap_or(width);
    match number("/scaling/base_head_width") {
        Some(base) if base != own => Err(Error::input(format!(
            "no file of others holds this model: model.scaling.base_head_width = {base} scales scores of heads of {own} channels otherwise"
        ))),
        _ => Ok(()),
    }
}

/// A model alone, on tokens that nobody reads.
fn model_of(model: &Map<String, Value>, weights: &Path) -> Result<Tree> {
    let mut tree = own_keys(model, weights)?;
    let data = json!({"data": alone(model)});
    tree.overlay(&Tree::from_json(&data, &Origin::named("effbench export"))?);
    Ok(tree)
}

fn alone(model: &Map<String, Value>) -> Value {
    json!({"kind": "uniform", "vocab": model.get("vocab").cloned().unwrap_or(json!(256))})
}

fn settled(registry: &Registry, tree: Tree) -> Result<Experiment> {
    Ok(settle(registry, &tree)?.experiment)
}

/// Reads what was written and holds its model against the one that it is to be; the architecture that it is read as.
fn reads(registry: &Registry, path: &Path, model: &Map<String, Value>) -> Result<&'static str> {
    // A name alone would be looked up among variants.
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let shown = whole.to_string_lossy();
    let architecture = crate::checkpoint::Checkpoint::open(path)?.architecture;
    let mut tree = registry.library().variant(&shown)?.tree;
    tree.remove("data.tokenizer");
    tree.remove("data.bos");
    let sets = json!({
        "data": alone(model), "model": {"context": model.get("context").cloned().unwrap_or(json!(64))},
    });
    tree.overlay(&Tree::from_json(&sets, &Origin::named("effbench export"))?);
    let found = settle(registry, &tree)?.spec;
    let (mut there, mut here) = (BTreeMap::new(), BTreeMap::new());
    flatten("", &found["model"], &mut there);
    flatten("", &json!(model), &mut here);
    let written = |key: &&String| {
        let within = |name: &&str| key.as_str() == *name || key.starts_with(&format!("{name}."));
        !NOT_WRITTEN.iter().any(within)
    };
    let mut keys: Vec<&String> = here.keys().chain(there.keys()).filter(written).collect();
    keys.sort_unstable();
    let differs = keys
        .into_iter()
        .find(|key| !alike(here.get(*key), there.get(*key)));
    let Some(key) = differs else {
        return Ok(architecture);
    };
    let said = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
    Err(Error::input(format!(
        "no file of others holds this model: its model.{key} is {}, and a {architecture} has {}",
        said(here.get(key)),
        said(there.get(key))
    ))
    .hint("llama (rmsnorm, rope, swiglu, no biases) and gpt2 (layernorm, learned positions, gelu, biases) go out"))
}

fn flatten(key: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    let below = |name: &str| match key {
        "" => name.to_owned(),
        key => format!("{key}.{name}"),
    };
    match value {
        Value::Object(table) => table
            .iter()
            .for_each(|(name, value)| flatten(&below(name), value, into)),
        value => drop(into.insert(key.to_owned(), value.clone())),
    }
}

/// Equal but for what an f32 rounds.
fn alike(a: Option<&Value>, b: Option<&Value>) -> bool {
    let number = |value: Option<&Value>| value.and_then(Value::as_f64);
    match (number(a), number(b)) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-6 * a.abs().max(b.abs()),
        _ => a == b,
    }
}
