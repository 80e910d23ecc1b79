//! `effbench export`: weights that a run kept, as a file that llama.cpp or `transformers` reads.

use std::path::PathBuf;

use clap::Args;

use super::print::print;
use crate::device;
use crate::error::{Error, Result};
use crate::record::store::check_new;
use crate::trial::{Registry, export};

/// Arguments of `effbench export`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench run quick --keep-weights kept
  effbench export kept/llama-w32@800-0-1a2b3c4d.safetensors --to model.gguf    for llama.cpp
  effbench export kept/llama-w32@800-0-1a2b3c4d.safetensors --to model/        for transformers

Only what others know goes out: llama (rmsnorm, rope, swiglu, no biases) and gpt2 (layernorm, learned positions, gelu, biases),
all numbers in f32. A vocabulary of bytes goes along; other tokenizers do not.")]
pub struct ExportArgs {
    /// A safetensors file that `effbench run --keep-weights DIR` wrote, with the .spec beside it.
    #[arg(value_name = "WEIGHTS")]
    pub weights: PathBuf,
    /// Where to: a name that ends in .gguf, or a folder.
    #[arg(long, value_name = "FILE.gguf|FOLDER")]
    pub to: PathBuf,
    /// Replace a file that is there already.
    #[arg(long)]
    pub force: bool,
}

/// Reads, writes, reads again.
pub fn execute(args: &ExportArgs, registry: &Registry) -> Result<()> {
    if args.to.is_dir() {
        let there = format!("{} is there already", args.to.display());
        return Err(Error::input(there).hint("another name: a folder is never replaced"));
    }
    check_new(&args.to, args.force)?;
    let opened = device::open("cpu")?;
    let architecture = export::export(registry, &args.weights, &args.to, &opened)?;
    print(&format!("{}: a {architecture} in f32", args.to.display()))
}
