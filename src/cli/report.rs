//! `effbench report`: what result files say, as a page, as Markdown or in the terminal.

use std::path::PathBuf;

use clap::Args;

use super::out::OutArgs;
use super::price::PriceArgs;
use crate::error::Result;
use crate::record::pool;
use crate::report::report as page;

/// Arguments of `effbench report`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench report results/quick.json                     in the terminal
  effbench report results/*.json --out report.html       one file for a browser
  effbench report results/quick.json --out report.md     Markdown
  effbench report results/quick.json --out answer.svg    its first plot; --plot NAME takes another
  effbench report results/quick.json --out plots/        all of its plots, a file each
  effbench report results/quick.json --out cells.csv     its table of all figures")]
pub struct ReportArgs {
    /// Result files, or folders of them, reported as one.
    #[arg(required = true, value_name = "RESULT")]
    pub files: Vec<PathBuf>,
    // A doc comment here would replace the command's own words.
    #[command(flatten)]
    #[allow(missing_docs)]
    pub out: OutArgs,
    /// The report's own title.
    #[arg(long)]
    pub title: Option<String>,
    // A doc comment here would replace the command's own words.
    #[command(flatten)]
    #[allow(missing_docs)]
    pub price: PriceArgs,
}

/// Reads, finds, shows.
pub fn execute(args: &ReportArgs) -> Result<()> {
    let medium = args.out.medium()?;
    let page = page(
        &pool::read_all(&args.files)?,
        Some(&args.price.load()?),
        args.title.as_deref(),
    );
    args.out.page(&page, medium)
}
