//! `effbench show`: a variant without training it.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::out::OutArgs;
use super::print::to_json;
use crate::config::{Origin, Tree, parse_set};
use crate::error::Result;
use crate::model::Packing;
use crate::record::{Cost, RateSource};
use crate::report::listing::{self, Structure};
use crate::trial::{Experiment, Registry, keys, settle};

/// Arguments of `effbench show`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench show modern
  effbench show gpt2 --scale w64 --set model.vocab=4096 --format json
  effbench show SmolLM2-135M.gguf                        what serving a model that exists takes")]
pub struct ShowArgs {
    /// A variant's name (`effbench list variants`) or a path to one's own.
    pub variant: String,
    /// The size dial: the model's width, such as w64.
    #[arg(long, value_name = "wN")]
    pub scale: Option<String>,
    /// Sets a key of the spec, such as model.layers=12; may be given again.
    #[arg(long, value_name = "KEY=VALUE", value_parser = super::run::assignment)]
    pub set: Vec<String>,
    // A doc comment here would replace the command's own words.
    #[command(flatten)]
    #[allow(missing_docs)]
    pub out: OutArgs,
}

/// What `--format json` prints.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    variant: &'a str,
    scale: &'a str,
    about: &'a str,
    source: &'a str,
    base: Option<&'a str>,
    lr_source: &'a RateSource,
    /// The same figures as in a result file.
    #[serde(flatten)]
    cost: &'a Cost,
    /// Which pairs the FLOP figures count.
    flops_convention: &'static str,
    /// A guess, for plans.
    #[serde(skip_serializing_if = "Option::is_none")]
    train_memory_bytes_guess: Option<u64>,
    /// Of a model that exists, a guess too.
    #[serde(skip_serializing_if = "Option::is_none")]
    serve_memory_bytes_guess: Option<u64>,
    /// Of a model that exists, as it serves: in its file's blocks where it has such.
    #[serde(skip_serializing_if = "Option::is_none")]
    weights_bytes_by_part: Option<&'a BTreeMap<String, u64>>,
    spec: &'a Value,
}

/// Settles one variant without running anything.
pub fn execute(args: &ShowArgs, registry: &Registry) -> Result<()> {
    let variant = registry.library().variant(&args.variant)?;
    let sets = args
        .set
        .iter()
        .map(|text| parse_set(text))
        .collect::<Result<Vec<_>>>()?;
    let mut cell = variant.cell(args.scale.as_deref(), &sets)?;
    let serves = cell.tree.get("model.from").is_some()
        && !sets.iter().any(|(key, _)| key.starts_with("train."));
    if serves {
        as_suite_serve(&mut cell.tree);
    }
    let settled = settle(registry, &cell.tree)?;
    let guess = settled.experiment.guess_bytes();
    let bytes = Some(&settled.experiment)
        .filter(|_| serves)
        .and_then(by_part);
    let scale = format!("w{}", settled.experiment.model.shape.width);
    let shown = Shown {
        variant: &variant.name,
        scale: &scale,
        about: &variant.about,
        source: &variant.source,
        base: variant.base.as_deref(),
        lr_source: &cell.lr_source,
        cost: &settled.cost,
        flops_convention: "matrix products as executed, a multiply-add is 2: attention's over the pairs that its mask leaves, what is \
                           computed again backwards counted again; *_full_square is PaLM's convention (appendix B)",
        train_memory_bytes_guess: (!serves).then_some(guess),
        serve_memory_bytes_guess: serves.then_some(guess),
        weights_bytes_by_part: bytes.as_ref(),
        spec: &settled.spec,
    };
    let structure = Structure {
        title: &format!("{} at {scale}", variant.name),
        about: &variant.about,
        source: &variant.source,
        cost: &settled.cost,
        memory_guess_bytes: guess,
        serves,
        bytes: bytes.as_ref(),
        lr_source: &cell.lr_source,
        spec: &settled.spec,
        keys: &keys(registry),
    };
    args.out.show(
        || Ok(listing::structure(&structure)),
        || Ok(Some(to_json(&shown)?)),
    )
}

/// A model that exists, and of which nothing is asked that trains it, is shown as suite `serve` runs it.
fn as_suite_serve(tree: &mut Tree) {
    let origin = || Origin::named("a model that exists");
    tree.set("train.steps", 0.into(), origin());
    if tree.get("infer.weights").is_none() {
        tree.set("infer.weights", "file".into(), origin());
    }
}

/// Bytes of the weights that serve, by part; of what is packed anew nothing is said.
fn by_part(experiment: &Experiment) -> Option<BTreeMap<String, u64>> {
    let model = &experiment.model;
    let parts = match experiment.infer.weights {
        Some(Packing::AsInFile) => model.packed_bytes_by_part(),
        Some(Packing::To(_)) => return None,
        None => model
            .params_by_part()
            .into_iter()
            .map(|(part, n)| (part, 4 * n))
            .collect(),
    };
    let named = parts
        .into_iter()
        .map(|(part, bytes)| (part.name().to_owned(), bytes));
    Some(named.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_exists_is_shown_for_serving() {
        let folder = tempfile::tempdir().unwrap();
        let shown = |set: &[&str], name: &str| -> Value {
            let out = folder.path().join(name);
            let args = ShowArgs {
                variant: "tests/fixtures/checkpoints/llama3/model.gguf".to_owned(),
                scale: None,
                set: ["data.kind=uniform", "data.vocab=64"]
                    .iter()
                    .chain(set)
                    .map(|text| (*text).to_owned())
                    .collect(),
                out: OutArgs {
                    out: Some(out.clone()),
                    ..OutArgs::default()
                },
            };
            execute(&args, &Registry::builtin()).unwrap();
            let text = std::fs::read_to_string(out).unwrap();
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        };
        let serves = shown(&[], "serves.json");
        let bytes = serves["weights_bytes_by_part"].as_object().unwrap();
        let all: u64 = bytes.values().filter_map(Value::as_u64).sum();
        assert!(all > 0 && all <= 4 * serves["params_total"].as_u64().unwrap());
        assert!(serves["serve_memory_bytes_guess"].as_u64() >= Some(all));
        assert!(serves["train_memory_bytes_guess"].is_null());
        let trains = shown(&["train.steps=10"], "trains.json");
        assert!(trains["weights_bytes_by_part"].is_null());
        assert!(trains["train_memory_bytes_guess"].is_u64());
        let text = shown(&[], "serves.txt");
        let text = text.as_str().unwrap();
        assert!(
            text.contains("cache per token") && !text.contains("training FLOPs"),
            "{text}"
        );
    }
}
