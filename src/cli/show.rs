//! `effbench show`: a variant without training it.

use clap::Args;

use super::Format;
#[cfg(feature = "run")]
use crate::error::Error;
use crate::error::Result;

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
    /// How to say what was found.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Shows a variant.
#[cfg(not(feature = "run"))]
pub fn execute(_args: &ShowArgs) -> Result<()> {
    Err(super::judge_only("show"))
}

/// Shows a variant.
#[cfg(feature = "run")]
pub fn execute(_args: &ShowArgs) -> Result<()> {
    Err(Error::internal("`show` is not joined to the catalogs"))
}
