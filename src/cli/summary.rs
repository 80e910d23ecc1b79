//! `effbench summary`: what a run ended with, said again from its result file.

use std::path::PathBuf;

use clap::Args;

use super::out::OutArgs;
use super::price::PriceArgs;
use crate::error::Result;
use crate::record::store::read_valid;
use crate::report::{summary, summary_json};

/// Arguments of `effbench summary`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench summary results/quick.json
  effbench summary results/quick.json --out answer.svg     its plot
  effbench summary results/quick.json --format markdown    for a pull request")]
pub struct SummaryArgs {
    /// A result file.
    #[arg(value_name = "RESULT")]
    pub result: PathBuf,
    // A doc comment here would replace the command's own words.
    #[command(flatten)]
    #[allow(missing_docs)]
    pub price: PriceArgs,
    // As above.
    #[command(flatten)]
    #[allow(missing_docs)]
    pub out: OutArgs,
}

/// Says it again.
pub fn execute(args: &SummaryArgs) -> Result<()> {
    let file = read_valid(&args.result)?;
    let (price, path) = (args.price.load()?, args.result.display().to_string());
    args.out.show(
        || Ok(summary(&file, &path, &price)),
        || Ok(Some(summary_json(&file, &path))),
    )
}
