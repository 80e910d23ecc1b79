//! `effbench lifecycle`: what models cost over their lives, training once and requests again and again, and where two of them break even.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::out::OutArgs;
use super::price::PriceArgs;
use crate::analysis::lifecycle::{Asked, compared};
use crate::error::Result;
use crate::record::pool;
use crate::report::lifecycle;

/// Arguments of `effbench lifecycle`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench lifecycle results/gain.json                                        every cell against the base's of nearest loss
  effbench lifecycle results/gain.json --a modern/w32@800 --b gpt2/w32@1600   two cells: the break-even, in every unit
  effbench lifecycle results/gain.json --a modern/w32@800 --answer 500        longer answers
  effbench lifecycle results/gain.json --a modern/w32@800 --out life.svg      cost against requests

What was neither measured nor counted is not told. Cells that ran on different machines or data are not compared.")]
pub struct LifecycleArgs {
    /// Result files, or folders of them, taken as one.
    #[arg(required = true, value_name = "RESULT")]
    pub files: Vec<PathBuf>,
    /// A cell, by the name that `effbench report` lists [default: every one].
    #[arg(long, value_name = "CELL")]
    pub a: Option<String>,
    /// The cell that it is held against [default: the base's whose loss is nearest].
    #[arg(long, value_name = "CELL")]
    pub b: Option<String>,
    /// Tokens of a request's prompt [default: as many as were measured].
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(1..=MOST))]
    pub prompt: Option<u64>,
    /// Tokens of its answer [default: as many as were measured].
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(1..=MOST))]
    pub answer: Option<u64>,
    // A doc comment here would replace the command's own words.
    #[command(flatten)]
    #[allow(missing_docs)]
    pub price: PriceArgs,
    // A doc comment here would replace the command's own words.
    #[command(flatten)]
    #[allow(missing_docs)]
    pub out: OutArgs,
}

/// Tokens of a request are counted one by one.
const MOST: u64 = 10_000_000;

/// Reads, compares, shows.
pub fn execute(args: &LifecycleArgs) -> Result<()> {
    let file = pool::read_all(&args.files)?;
    let price = args.price.load()?;
    let asked = Asked {
        a: args.a.clone(),
        b: args.b.clone(),
        prompt: args.prompt,
        answer: args.answer,
    };
    let found = compared(&file, Some(&price), &asked)?;
    args.out.show(
        || Ok(lifecycle::page(&found, &price)),
        || {
            let said = found.iter().map(|one| lifecycle::sentence(one, &price));
            Ok(Some(json!({
                "schema": "effbench.lifecycle/1",
                "sentences": said.collect::<Vec<_>>(),
                "comparisons": found,
                "price": price.name,
            })))
        },
    )
}
