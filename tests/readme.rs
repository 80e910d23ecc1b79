//! Every command of the README and of docs/ is run here; those that train get `--dry-run`. Their links lead somewhere.
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

/// The table of what the committed results say.
const CLAIMS: &str = "results/README.md";

/// The pages at the top and those of docs/, with their paths below the root.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let of_docs = std::fs::read_dir(root.join("docs")).unwrap();
    let mut paths: Vec<PathBuf> = of_docs.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "md"));
    let others = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", CLAIMS];
    paths.extend(others.map(|name| root.join(name)));
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// Every sentence that the results are claimed to say is printed by the command beside it.
#[test]
fn what_results_are_said_to_say_they_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join(CLAIMS)).unwrap();
    let rows = text.lines().filter(|line| line.ends_with("` |"));
    let claims: Vec<[&str; 2]> = rows
        .filter_map(|row| {
            let (before, command) = row.trim_end_matches("` |").rsplit_once("| `effbench ")?;
            Some([before.trim().rsplit_once("| ")?.1, command])
        })
        .collect();
    assert!(claims.len() > 15, "{claims:?}");
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let run = |[said, command]: [&str; 2]| {
            let mut program = Command::new(env!("CARGO_BIN_EXE_effbench"));
            let args: Vec<&str> = command.split_whitespace().collect();
            let output = program.args(args).current_dir(root).output().unwrap();
            let printed = String::from_utf8(output.stdout).unwrap();
            let said_so = printed.contains(said.trim());
            (!said_so).then(|| format!("`effbench {command}` does not say: {said}"))
        };
        let runs: Vec<_> = claims
            .iter()
            .map(|claim| scope.spawn(move || run(*claim)))
            .collect();
        runs.into_iter()
            .filter_map(|run| run.join().unwrap())
            .collect()
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_link_to_a_file_leads_there() {
    for (path, text) in pages() {
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let file = link.split('#').next().unwrap_or(link);
            let there = path.parent().unwrap().join(file).exists();
            assert!(there, "{}: {link} leads nowhere", path.display());
        }
    }
}

/// A path that a page names is there: `src/...`, `tests/...`, `models/...`, `docs/...`.
#[test]
fn every_path_of_the_pages_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [
        "src/",
        "tests/",
        "models/",
        "docs/",
        "examples/",
        "benches/",
    ];
    let mut seen = 0;
    for (page, text) in pages() {
        let quoted = text.split('`').skip(1).step_by(2);
        let plain = |path: &&str| !path.contains([' ', '*', '{', '\n']);
        for path in quoted.filter(plain) {
            if folders.iter().any(|folder| path.starts_with(folder)) {
                seen += 1;
                assert!(root.join(path).exists(), "{}: no {path}", page.display());
            }
        }
    }
    assert!(seen > 10, "{seen} paths");
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

/// Builds the example where `cargo test` was told to run this file alone.
fn build_example(program: &Path) {
    let folder = program.parent().unwrap();
    let example = folder.join("examples/own_mixer");
    if example.exists() {
        return;
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--locked",
        "--example",
        "own_mixer",
        "--target-dir",
    ]);
    cargo.arg(folder.parent().unwrap());
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status();
    assert!(built.unwrap().success() && example.exists());
}

#[test]
fn every_command_of_the_pages_does_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    build_example(Path::new(env!("CARGO_BIN_EXE_effbench")));
    let mut commands: Vec<String> = pages()
        .iter()
        .flat_map(|(_, text)| commands(text))
        .collect();
    commands.sort();
    commands.dedup();
    assert!(commands.len() >= 12, "{commands:?}");
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

/// The variant and the suite that docs/suites.md writes are files that a run takes.
#[test]
fn the_suite_of_the_page_is_planned() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/suites.md");
    let page = std::fs::read_to_string(page).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let blocks = page.split("```toml\n").skip(1);
    for block in blocks.filter_map(|rest| rest.split("```").next()) {
        let name = block.lines().next().unwrap().trim_start_matches("# ");
        std::fs::write(folder.path().join(name), block).unwrap();
    }
    let text = "It was the best of times, it was the worst of times.\n".repeat(4000);
    std::fs::write(folder.path().join("book.txt"), text).unwrap();
    for line in [
        "run mysuite.toml --data book.txt --dry-run",
        "run quick --variants gpt2,mine.toml --dry-run",
        "show mine.toml",
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_effbench"))
            .args(line.split(' '))
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
    }
}

/// The README shows how a run ends, with the words of today's program.
#[test]
fn the_sample_is_what_the_program_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let sample = readme.split("```text\n").nth(1).unwrap();
    let sample = sample.split("\n```").next().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_effbench"))
        .args(["summary", "results/quick-epyc-19h-2c-linux.json"])
        .current_dir(root)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with(sample), "{said}");
}

/// The page for who reads nothing else is what the program makes of the files that results/README.md names.
#[test]
fn the_page_of_results_is_what_the_program_makes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let claims = std::fs::read_to_string(root.join(CLAIMS)).unwrap();
    let (_, rest) = claims.split_once("`effbench report results/").unwrap();
    let (files, _) = rest
        .split_once(" --overview --out results/index.html`")
        .unwrap();
    let files = format!("results/{files}");
    let output = Command::new(env!("CARGO_BIN_EXE_effbench"))
        .arg("report")
        .args(files.split(' '))
        .args(["--overview", "--format", "html"])
        .current_dir(root)
        .output()
        .unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    let committed = std::fs::read_to_string(root.join("results/index.html")).unwrap();
    assert!(
        page == committed,
        "results/index.html is another: run the command of {CLAIMS} again"
    );
    for asked in ["<script", "src=\"http", "href=\"http", "url(http"] {
        assert!(!page.contains(asked), "{asked}");
    }
}
