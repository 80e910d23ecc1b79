//! `effbench history`: a metric of one cell over time.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::compare::{known_metric, read};
use super::out::OutArgs;
use crate::analysis::compare::catalog;
use crate::analysis::compare::history::histories;
use crate::error::{Error, Result};
use crate::record::metric;
use crate::report::compare::history as shown;

/// Arguments of `effbench history`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench history results/*.json --cell gpt2/w32@400
  effbench history nightly/ --cell gpt2/w32@400 --metric val_loss_nats --format json")]
pub struct HistoryArgs {
    /// Result files, or folders of them, in any order.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The cell.
    #[arg(long)]
    pub cell: String,
    /// The metric.
    #[arg(long, default_value = metric::TRAIN_TOKENS_PER_S)]
    pub metric: String,
    // A doc comment here would replace the command's own words.
    #[command(flatten)]
    #[allow(missing_docs)]
    pub out: OutArgs,
}

/// Shows one history for each kind of machine.
pub fn execute(args: &HistoryArgs) -> Result<()> {
    known_metric("--metric", &args.metric)?;
    let mut files = Vec::new();
    for path in &args.files {
        files.extend(read(path)?);
    }
    let mut cells: Vec<&str> = files
        .iter()
        .flat_map(|(_, file)| &file.trials)
        .map(|t| t.cell.as_str())
        .collect();
    cells.sort_unstable();
    cells.dedup();
    if !cells.contains(&args.cell.as_str()) {
        return Err(
            Error::input(format!("--cell {}: no trial of that cell", args.cell))
                .suggest(&args.cell, cells),
        );
    }
    let catalog = catalog();
    let measure = catalog.iter().find(|measure| measure.name == args.metric);
    let found = measure
        .map(|measure| histories(&files, &args.cell, measure))
        .unwrap_or_default();
    if found.is_empty() {
        return Err(
            Error::input(format!("no trial of {} has {}", args.cell, args.metric))
                .hint("`effbench report FILE` shows what was measured, and why the rest was not"),
        );
    }
    args.out.show(
        || Ok(shown(&found)),
        || {
            Ok(Some(
                json!({ "schema": "effbench.history/1", "histories": found }),
            ))
        },
    )
}
