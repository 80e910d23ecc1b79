//! `effbench list`: what there is, one sentence each.

use clap::Args;

use super::Format;
#[cfg(feature = "run")]
use crate::error::Error;
use crate::error::Result;

/// Arguments of `effbench list`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench list
  effbench list variants")]
pub struct ListArgs {
    /// Only these: variants, suites, data, mixers, optimizers ... [default: all].
    pub what: Option<String>,
    /// How to say what there is.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Lists what there is.
#[cfg(not(feature = "run"))]
pub fn execute(_args: &ListArgs) -> Result<()> {
    Err(super::judge_only("list"))
}

/// Lists what there is.
#[cfg(feature = "run")]
pub fn execute(_args: &ListArgs) -> Result<()> {
    Err(Error::internal("`list` is not joined to the catalogs"))
}
