//! `effbench completions`: a script that completes this command line in a shell.

use clap::{Args, Command};
use clap_complete::Shell;

use super::print::print;
use crate::error::Result;

/// Arguments of `effbench completions`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example:
  effbench completions bash > ~/.local/share/bash-completion/completions/effbench")]
pub struct CompletionsArgs {
    /// Which shell.
    pub shell: Shell,
}

/// Prints the script for a command line.
pub fn execute(args: &CompletionsArgs, of: &mut Command) -> Result<()> {
    // Into memory first: the generator itself panics on a broken pipe.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, of, "effbench", &mut script);
    print(String::from_utf8_lossy(&script).trim_end())
}
