//! `effbench report`: what result files say, as a page, as Markdown or in the terminal.

use std::path::PathBuf;

use clap::Args;

use super::out::OutArgs;
use super::price::PriceArgs;
use crate::error::{Error, Result};
use crate::record::pool;
use crate::report::{overview, report as page};

/// Arguments of `effbench report`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench report results/quick.json                     in the terminal
  effbench report results/*.json --out report.html       one file for a browser
  effbench report results/quick.json --out report.md     Markdown
  effbench report results/quick.json --out answer.svg    its first plot; --plot NAME takes another
  effbench report results/quick.json --out plots/        all of its plots, a file each
  effbench report results/quick.json --out cells.csv     its table of all figures
  effbench report a.json b.json --overview --out index.html   of each its question, a sentence, a picture")]
pub struct ReportArgs {
    /// Result files, or folders of them, reported as one.
    #[arg(required = true, value_name = "RESULT")]
    pub files: Vec<PathBuf>,
    // A doc comment here would replace the command's own words.
    #[command(flatten)]
    #[allow(missing_docs)]
    pub out: OutArgs,
    /// As text: print everything, not only the main findings.
    #[arg(long)]
    pub full: bool,
    /// Each file for itself, by its question, one sentence and one picture: a page for who reads nothing else.
    #[arg(long)]
    pub overview: bool,
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
    let (medium, price) = (args.out.medium()?, args.price.load()?);
    let title = args.title.as_deref();
    if !args.overview {
        let file = pool::read_all(&args.files)?;
        let out = args.out.clone().in_brief(!args.full);
        return out.page(&page(&file, Some(&price), title), medium);
    }
    let files = pool::read_each(&args.files)?;
    if files.len() > overview::MOST {
        let why = format!(
            "--overview: {} files, and a page is of at most {}",
            files.len(),
            overview::MOST
        );
        return Err(Error::input(why).hint("name those that a reader should see"));
    }
    let mut page = overview::page(&files, &price);
    if let Some(title) = title {
        title.clone_into(&mut page.title);
    }
    args.out.page(&page, medium)
}
