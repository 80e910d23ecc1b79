//! Argv in, exit code out.

fn main() -> std::process::ExitCode {
    effbench::cli::main()
}
