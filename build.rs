//! Asks git and the compiler what is being built. All of it may be absent: outside a checkout, without git.

use std::path::Path;
use std::process::Command;

fn main() {
    // What can make a build differ, and where git notes a new commit.
    for path in ["build.rs", "src", "models", "Cargo.toml", "Cargo.lock"] {
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rerun-if-env-changed=RUSTC");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    set("EFFBENCH_RUSTC", output(&rustc, &["--version"]));
    if !is_own_checkout() {
        return;
    }
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = output("git", &["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    set("EFFBENCH_COMMIT", output("git", &["rev-parse", "HEAD"]));
    let changes = output("git", &["status", "--porcelain", "--untracked-files=no"]);
    set("EFFBENCH_DIRTY", changes.map(|changes| (!changes.is_empty()).to_string()));
}

/// Whether git's answers are about this package, and not about a repository that somebody unpacked it into.
fn is_own_checkout() -> bool {
    let top = output("git", &["rev-parse", "--show-toplevel"]).map(std::fs::canonicalize);
    let here = std::env::var("CARGO_MANIFEST_DIR").map(std::fs::canonicalize);
    matches!((top, here), (Some(Ok(top)), Ok(Ok(here))) if top == here)
}

fn set(name: &str, value: Option<String>) {
    if let Some(value) = value {
        println!("cargo::rustc-env={name}={value}");
    }
}

/// A command's standard output, if it succeeds.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}
