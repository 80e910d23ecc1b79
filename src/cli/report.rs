//! `effbench report`: what result files say, as a page, as Markdown or in the terminal.

use std::path::{Path, PathBuf};

use clap::Args;

use super::price::PriceArgs;
use super::{print, style};
use crate::error::{Error, Result};
use crate::record::{pool, store};
use crate::report::page;
use crate::report::page::{Page, html::html, markdown::markdown, text::text};

/// Arguments of `effbench report`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench report results/quick.json                     in the terminal
  effbench report results/*.json --out report.html       one file for a browser, without network or scripts
  effbench report results/quick.json --out report.md     Markdown")]
pub struct ReportArgs {
    /// Result files, reported as one.
    #[arg(required = true, value_name = "RESULT")]
    pub files: Vec<PathBuf>,
    /// Where to write it: a name ending in `.html` or `.md`; without it the report goes to the terminal.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
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
    let show = args.out.as_deref().map(renderer).transpose()?;
    let page = page(
        &pool::read_all(&args.files)?,
        Some(&args.price.load()?),
        args.title.as_deref(),
    );
    match (&args.out, show) {
        (Some(out), Some(show)) => store::write_whole(out, show(&page).as_bytes()),
        _ => print(&text(&page, style())),
    }
}

/// Turns a report into the text of a file.
type Renderer = fn(&Page) -> String;

/// What the name of the file asks for.
fn renderer(out: &Path) -> Result<Renderer> {
    let ending = out
        .extension()
        .map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("html" | "htm") => Ok(html),
        Some("md" | "markdown") => Ok(markdown),
        _ => Err(Error::input(format!(
            "--out {}: a report is written as HTML or Markdown",
            out.display()
        ))
        .hint("name it `report.html` or `report.md`; without --out it is printed")),
    }
}
