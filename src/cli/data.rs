//! `effbench data`: known text corpora, fetched only when asked.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::out::OutArgs;
use super::print::{print, say};
use crate::data::corpus::{CORPORA, Corpus, corpus};
use crate::error::{Error, Result, quoted};
use crate::report::listing::{self, Listed};
use crate::runner::cache;
use crate::runner::fetch::{Fetched, fetch};
use crate::unit::Bytes;

/// Arguments of `effbench data`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench data list
  effbench data get tinyshakespeare
  effbench run quick --data \"$(effbench data get text8)\"")]
pub struct DataArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DataCommand,
}

/// What can be done with corpora.
#[derive(Debug, Clone, Subcommand)]
pub enum DataCommand {
    /// Say which corpora are known; touches no network.
    List {
        // A doc comment here would replace the command's own words.
        #[command(flatten)]
        #[allow(missing_docs)]
        out: OutArgs,
    },
    /// Fetch a corpus, check it, and print its path; what is there already is only checked.
    Get {
        /// Its name: `effbench data list`.
        name: String,
        /// Where to put it [default: $XDG_CACHE_HOME/effbench/data or ~/.cache/effbench/data].
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// Another address of the same file.
        #[arg(long, value_name = "URL")]
        from: Option<String>,
    },
}

/// Lists the corpora, or fetches one.
pub fn execute(args: &DataArgs) -> Result<()> {
    match &args.command {
        DataCommand::List { out } => out.show(
            || Ok(listing::listing(&[&listed()])),
            || {
                let corpora: Vec<_> = CORPORA.iter().map(document).collect();
                Ok(Some(json!({ "corpora": corpora })))
            },
        ),
        DataCommand::Get { name, dir, from } => get(name, dir.clone(), from.as_deref()),
    }
}

fn listed() -> Listed {
    let row = |corpus: &Corpus| {
        let size = Bytes(corpus.download.bytes as f64);
        let about = format!(
            "{} {size} to fetch. {}. Hashes: {}.",
            corpus.about, corpus.licence, corpus.evidence
        );
        (corpus.name.to_owned(), about)
    };
    Listed {
        what: "corpora".to_owned(),
        rows: CORPORA.iter().map(row).collect(),
    }
}

fn document(corpus: &Corpus) -> serde_json::Value {
    json!({
        "name": corpus.name,
        "about": corpus.about,
        "licence": corpus.licence,
        "urls": corpus.urls,
        "download_bytes": corpus.download.bytes,
        "download_sha256": corpus.download.sha256,
        "bytes": corpus.text.bytes,
        "sha256": corpus.text.sha256,
        "hashes_from": corpus.evidence,
    })
}

fn get(name: &str, dir: Option<PathBuf>, from: Option<&str>) -> Result<()> {
    let known = corpus(name).ok_or_else(|| {
        Error::input(format!("no corpus `{}`", name.escape_debug()))
            .suggest(name, CORPORA.iter().map(|c| c.name))
    })?;
    let folder = dir.or_else(cache).ok_or_else(|| {
        Error::input("no folder for corpora: neither XDG_CACHE_HOME nor a home folder is known")
            .hint("name one: --dir DIR")
    })?;
    // Draws on a terminal only.
    let bar = ProgressBar::new(known.download.bytes);
    let look = "{prefix} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
    bar.set_style(
        ProgressStyle::with_template(look).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar.set_prefix(known.name);
    let fetched = fetch(known, &folder, from, &mut |done, _| bar.set_position(done));
    bar.finish_and_clear();
    let Fetched { path, already } = fetched?;
    say(&format!(
        "{}: {}, SHA-256 as expected",
        known.name,
        if already { "already there" } else { "fetched" }
    ));
    let path = path.display().to_string();
    say(&format!(
        "use it: effbench run quick --data {}{}",
        quoted(&path),
        tokenizer(known)
    ));
    print(&path)
}

/// What `run` must be told where its default, characters, does not suit.
fn tokenizer(corpus: &Corpus) -> String {
    if corpus.tokenizer == "char" {
        String::new()
    } else {
        format!(" --set data.tokenizer={}", corpus.tokenizer)
    }
}

/// Where corpora go that nobody said where to put.
fn cache() -> Option<PathBuf> {
    Some(cache::folder()?.join("data"))
}
