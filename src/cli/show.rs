//! `effbench show`: a variant without training it.

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::out::OutArgs;
use super::print::to_json;
use crate::config::parse_set;
use crate::error::Result;
use crate::record::{Cost, RateSource};
use crate::report::listing::{self, Structure};
use crate::trial::{Registry, keys, settle};

/// Arguments of `effbench show`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench show modern
  effbench show gpt2 --scale w64 --set model.vocab=4096 --format json")]
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
    train_memory_bytes_guess: u64,
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
    let cell = variant.cell(args.scale.as_deref(), &sets)?;
    let settled = settle(registry, &cell.tree)?;
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
        train_memory_bytes_guess: settled.experiment.guess_bytes(),
        spec: &settled.spec,
    };
    let structure = Structure {
        title: &format!("{} at {scale}", variant.name),
        about: &variant.about,
        source: &variant.source,
        cost: &settled.cost,
        memory_guess_bytes: shown.train_memory_bytes_guess,
        lr_source: &cell.lr_source,
        spec: &settled.spec,
        keys: &keys(registry),
    };
    args.out.show(
        || Ok(listing::structure(&structure)),
        || Ok(Some(to_json(&shown)?)),
    )
}
