//! `effbench schema`: the JSON Schema of result files.

use clap::Args;

use crate::error::Result;
use crate::record::json_schema;

/// Arguments of `effbench schema`: none.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example:
  effbench schema > result.schema.json")]
pub struct SchemaArgs {}

/// Prints the schema.
pub fn execute(_args: &SchemaArgs) -> Result<()> {
    super::print_json(&json_schema())
}
