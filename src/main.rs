//! Argv in, exit code out.

use std::process::ExitCode;

#[cfg(feature = "run")]
fn main() -> ExitCode {
    effbench::cli::main(effbench::trial::Registry::builtin())
}

#[cfg(not(feature = "run"))]
fn main() -> ExitCode {
    effbench::cli::main()
}
