//! Every command of the README is run here; those that train get `--dry-run`.
#![cfg(feature = "run")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Commands in the README's console blocks, without their comments.
fn commands(readme: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut in_console = false;
    for line in readme.lines() {
        if line.starts_with("```") {
            in_console = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| in_console) {
            commands.push(
                command
                    .split(" # ")
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .to_owned(),
            );
        }
    }
    commands
}

/// The program a command stands for, and its arguments; `None` for building and testing, which is what runs this.
fn as_built(command: &str) -> Option<(PathBuf, String)> {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_effbench"));
    let example = program.parent().unwrap().join("examples/own_mixer");
    let rows = [
        ("cargo run --release --example own_mixer -- ", &example),
        ("cargo run --release -- ", &program),
        ("effbench ", &program),
    ];
    rows.iter().find_map(|(prefix, path)| {
        Some(((*path).clone(), command.strip_prefix(prefix)?.to_owned()))
    })
}

#[test]
fn every_command_of_the_readme_does_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let commands = commands(&readme);
    assert!(commands.len() >= 8, "{commands:?}");
    for command in &commands {
        let Some((program, mut args)) = as_built(command) else {
            assert!(
                command.starts_with("cargo build") || command.starts_with("cargo test"),
                "{command} is not run"
            );
            continue;
        };
        if args.starts_with("run") && !args.contains("--dry-run") {
            args.push_str(" --dry-run");
        }
        // A shell, because the README's readers have one: it expands `results/*.json`.
        let line = format!("'{}' {args}", program.display());
        let output = Command::new("sh")
            .args(["-c", &line])
            .current_dir(root)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {said}");
        assert!(!output.stdout.is_empty(), "{command} prints nothing");
    }
}
