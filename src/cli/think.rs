//! `effbench think`: what thinking longer buys, from result files whose models were asked.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::out::OutArgs;
use crate::analysis::think::tasks;
use crate::error::{Error, Result};
use crate::record::pool;
use crate::report::think;

/// Arguments of `effbench think`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench think results/think.json                   the exchange rate, the front, every cell
  effbench think results/think.json --out think.svg   accuracy against FLOPs of a problem")]
pub struct ThinkArgs {
    /// Result files, or folders of them, taken as one.
    #[arg(required = true, value_name = "RESULT")]
    pub files: Vec<PathBuf>,
    // A doc comment here would replace the command's own words.
    #[command(flatten)]
    #[allow(missing_docs)]
    pub out: OutArgs,
}

/// Reads, finds, shows.
pub fn execute(args: &ThinkArgs) -> Result<()> {
    let file = pool::read_all(&args.files)?;
    let page = think::page(&file).ok_or_else(|| {
        Error::input("no trial in these files was asked anything")
            .hint("`effbench run think` asks; so does --set infer.samples=16 where the data have problems")
    })?;
    args.out.show(
        || Ok(page),
        || {
            let found = tasks(&file);
            let said: Vec<String> = found.iter().map(think::sentence).collect();
            Ok(Some(json!({
                "schema": "effbench.think/1",
                "sentences": said,
                "tasks": found,
            })))
        },
    )
}
