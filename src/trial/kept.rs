//! Weights that a run kept (`--keep-weights`), and the file beside them that says what they are weights of.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::config::{Origin, Tree};
use crate::error::{Error, Result};
use crate::foreign;
use crate::record::store::write_whole;

/// Kinds of products that are merged before they serve.
const LOW_RANK: [&str; 2] = ["lora", "dora"];

/// The file beside kept weights that says what they are weights of.
pub fn beside(weights: &Path) -> PathBuf {
    weights.with_extension("spec")
}

/// Writes it.
///
/// # Errors
/// Where it cannot be written.
pub(super) fn keep(weights: &Path, cell: &str, spec: &Value) -> Result<()> {
    let document = json!({"cell": cell, "spec": merged(spec)});
    write_whole(&beside(weights), format!("{document:#}\n").as_bytes())
}

/// The spec of what is kept, in which low-rank changes are merged into their matrices.
fn merged(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let is_low_rank = |model: &Value| {
        let kind = model.pointer("/linear/kind").and_then(Value::as_str);
        kind.is_some_and(|kind| LOW_RANK.contains(&kind))
    };
    if is_low_rank(&spec["model"]) {
        spec["model"]["linear"] = json!({"kind": "dense"});
    }
    spec
}

/// What it says: `cell` and `spec`.
///
/// # Errors
/// Where the weights or the spec are not there, or it is no JSON.
pub(super) fn kept(weights: &Path) -> Result<Value> {
    let refuse = |why: &str| Error::input(format!("{}: {why}", weights.display()));
    if weights.is_dir() {
        let refused = refuse("a folder, and kept weights are a file");
        return Err(refused.hint("`effbench run --keep-weights DIR` writes one a trial"));
    }
    if !weights.exists() {
        return Err(refuse("no such file"));
    }
    let said = beside(weights);
    if !said.exists() {
        let refused = refuse("no .spec lies beside it, which says what it has weights of");
        return Err(refused.hint("`effbench run --keep-weights DIR` writes both"));
    }
    let text = foreign::text(&said)?;
    let broken = |why: String| Error::input(format!("{}: {why}", said.display()));
    serde_json::from_str(&text).map_err(|error| broken(error.to_string()))
}

/// The keys of a model that starts with these weights.
pub(super) fn own_keys(model: &Map<String, Value>, weights: &Path) -> Result<Tree> {
    let mut own = model.clone();
    for key in ["from_blake3", "from_cell", "from_spec"] {
        own.remove(key);
    }
    let from = weights
        .to_str()
        .ok_or_else(|| Error::input(format!("{} is not valid UTF-8", weights.display())))?;
    own.insert("from".to_owned(), from.into());
    let origin = Origin::named("the spec beside the weights");
    Tree::from_json(&json!({"model": own}), &origin)
}
