//! `effbench schema`: the JSON Schema of what is written for programs.

use clap::{Args, ValueEnum};

use crate::error::Result;
use crate::{record, report};

/// Arguments of `effbench schema`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench schema > result.schema.json
  effbench schema comparison > compare.schema.json")]
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
}

/// Prints the schema.
pub fn execute(args: &SchemaArgs) -> Result<()> {
    super::print::print_json(&match args.of {
        Written::Result => record::json_schema(),
        Written::Comparison => report::compare::json_schema(),
    })
}
