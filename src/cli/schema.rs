//! `effbench schema`: JSON Schemas of what is written for programs, and of the files that describe runs.

use clap::{Args, ValueEnum};

use crate::config::Key;
use crate::config::schema::{File, schema};
use crate::error::Result;
use crate::{record, report};

/// Arguments of `effbench schema`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench schema > result.schema.json
  effbench schema comparison > compare.schema.json
  effbench schema variant > variant.schema.json     for an editor that completes TOML")]
pub struct SchemaArgs {
    /// What to print the schema of.
    #[arg(value_enum, default_value_t)]
    pub of: Written,
}

/// What has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Written {
    /// Result files.
    #[default]
    Result,
    /// What `compare --format json` prints.
    Comparison,
    /// A variant's TOML file.
    #[cfg(feature = "run")]
    Variant,
    /// A change's TOML file.
    #[cfg(feature = "run")]
    Change,
    /// A suite's TOML file.
    #[cfg(feature = "run")]
    Suite,
    /// A price file.
    Price,
    /// A file of learning rates, as in `models/rates/`.
    Rates,
}

/// Prints the schema; `keys` are those that a spec can have.
pub fn execute(args: &SchemaArgs, keys: impl FnOnce() -> Vec<Key>) -> Result<()> {
    let file = match args.of {
        Written::Result => return super::print::print_json(&record::json_schema()),
        Written::Comparison => return super::print::print_json(&report::compare::json_schema()),
        #[cfg(feature = "run")]
        Written::Variant => File::Variant,
        #[cfg(feature = "run")]
        Written::Change => File::Change,
        #[cfg(feature = "run")]
        Written::Suite => File::Suite,
        Written::Price => File::Price,
        Written::Rates => File::Rates,
    };
    super::print::print_json(&schema(file, &keys()))
}
