//! The law of the house, held as an ordinary test: who may name whom, who owns candle, the clock and the terminal.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use source::{File, report};

mod source;
mod budget;
mod folders;

/// Data flow, reading order and import law in one: a module names only modules before it.
const ORDER: [&str; 25] = [
    "error",
    "foreign",
    "unit",
    "stat",
    "stream",
    "reading",
    "checkpoint",
    "config",
    "data",
    "device",
    "ops",
    "model",
    "train",
    "infer",
    "measure",
    "record",
    "import",
    "trial",
    "law",
    "runner",
    "campaign",
    "analysis",
    "report",
    "cli",
    "main",
];

/// The right cone of the hourglass judges what the left cone made: it must be unable to ask it anything.
const RIGHT_CONE: [&str; 4] = ["record", "import", "analysis", "report"];
const RUNS: [&str; 9] = [
    "data", "device", "ops", "model", "train", "infer", "measure", "trial", "law",
];

/// These meet in `trial` and nowhere else.
const STRANGERS: [(&str, &str); 4] = [
    ("data", "model"),
    ("train", "infer"),
    ("measure", "train"),
    ("measure", "infer"),
];

/// Text that only the named modules may contain, and why.
const OWNERS: [(&[&str], &[&str], &str); 4] = [
    (
        &["candle_core", "candle_nn", "gemm::"],
        &[
            "device",
            "ops",
            "model",
            "train",
            "infer",
            "law",
            "trial/tests",
        ],
        "candle stays below `measure`: pass plain numbers, or a `Work`",
    ),
    (
        &[
            "Instant::now",
            "Instant}",
            "time::Instant",
            "SystemTime",
            "Timestamp::now",
        ],
        &["measure", "runner"],
        "only `measure` and `runner` read a clock: take a `&dyn Clock`",
    ),
    (
        &[
            "println!",
            "eprintln!",
            "print!(",
            "eprint!(",
            "process::exit",
            "ExitCode",
            "io::stdout",
            "io::stderr",
        ],
        &["cli", "runner", "main", "analysis/coverage"],
        "return a value or an `Error`; `cli` prints and exits",
    ),
    (
        &["env::var", "env::set_var", "env::args", "env::vars"],
        &["cli", "runner", "main"],
        "take a value; `cli` reads the environment",
    ),
];

/// Lines with their numbers, without comments, which may name anything; a list that opens with `crate::{` is one line.
fn code_lines(file: &File) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut depth = 0;
    for (k, line) in file
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
    {
        match lines.last_mut() {
            Some((_, list)) if depth > 0 => list.push_str(line.trim()),
            _ => lines.push((k + 1, line.to_owned())),
        }
        if depth > 0 || line.contains("crate::{") {
            depth += line.matches('{').count();
            depth -= line.matches('}').count().min(depth);
        }
    }
    lines
}

fn named(line: &str) -> Vec<String> {
    let word = |rest: &str| {
        rest.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let mut names: Vec<String> = line.split("crate::").skip(1).map(word).collect();
    if let Some((_, list)) = line.split_once("crate::{") {
        names.extend(list.split([',', '{', '}']).map(|item| word(item.trim())));
    }
    names.retain(|name| ORDER.contains(&name.as_str()));
    names
}

/// The library's files but for `lib.rs`, which is the map.
fn files() -> Vec<File> {
    let mut found = source::files("src");
    assert!(found.len() > 30, "the source tree was not found");
    found.retain(|file| file.name != "lib");
    found
}

#[test]
fn modules_look_only_down() {
    let place: BTreeMap<&str, usize> = ORDER
        .iter()
        .enumerate()
        .map(|(k, name)| (*name, k))
        .collect();
    let mut broken = Vec::new();
    for file in files() {
        let Some(&own) = place.get(file.module.as_str()) else {
            broken.push(format!(
                "src/{}.rs: no place in ORDER: add the module to tests/tidy.rs and src/lib.rs",
                file.name
            ));
            continue;
        };
        for (line, text) in code_lines(&file) {
            for name in named(&text)
                .iter()
                .filter(|name| place[name.as_str()] > own)
            {
                broken.push(format!(
                    "src/{}.rs:{line}: `{}` names `{name}`, which comes later: move what they share down, or the caller up",
                    file.name, file.module
                ));
            }
        }
    }
    report(&broken);
}

#[test]
fn the_judge_cannot_ask_the_runner() {
    let mut broken = Vec::new();
    for file in files()
        .iter()
        .filter(|file| RIGHT_CONE.contains(&file.module.as_str()))
    {
        for (line, text) in code_lines(file) {
            for name in named(&text).iter().filter(|n| {
                RUNS.contains(&n.as_str()) || ["runner", "campaign"].contains(&n.as_str())
            }) {
                broken.push(format!(
                    "src/{}.rs:{line}: names `{name}`: put the fact into the record, where the judge can read it",
                    file.name
                ));
            }
        }
    }
    report(&broken);
}

#[test]
fn siblings_are_strangers() {
    let mut broken = Vec::new();
    for file in files() {
        for (line, text) in code_lines(&file) {
            for (a, b) in STRANGERS {
                let other = if file.module == a {
                    b
                } else if file.module == b {
                    a
                } else {
                    continue;
                };
                if named(&text).iter().any(|name| name == other) {
                    broken.push(format!(
                        "src/{}.rs:{line}: names `{other}`: let them meet in `trial`",
                        file.name
                    ));
                }
            }
        }
    }
    report(&broken);
}

#[test]
fn candle_the_clock_and_the_terminal_have_owners() {
    let mut broken = Vec::new();
    for file in files() {
        for (line, text) in code_lines(&file) {
            for (words, owners, remedy) in OWNERS {
                let owned = owners
                    .iter()
                    .any(|owner| file.module == *owner || file.name == *owner);
                if !owned && words.iter().any(|word| text.contains(word)) {
                    broken.push(format!(
                        "src/{}.rs:{line}: {}: {remedy}",
                        file.name,
                        text.trim()
                    ));
                }
            }
        }
    }
    report(&broken);
}

#[test]
fn the_map_is_in_reading_order() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let listed: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let expected: Vec<&str> = ORDER
        .iter()
        .copied()
        .filter(|name| *name != "main")
        .collect();
    assert_eq!(
        listed, expected,
        "src/lib.rs lists its modules in the order of tests/tidy.rs"
    );
}

#[test]
fn names_say_what_a_file_is() {
    let vague = ["utils", "util", "common", "helpers", "helper", "misc"];
    let broken: Vec<String> = files()
        .iter()
        .filter(|file| file.name.split('/').any(|part| vague.contains(&part)))
        .map(|file| format!("src/{}.rs: name it after what it is", file.name))
        .collect();
    report(&broken);
}

#[test]
fn every_file_opens_by_saying_what_it_is() {
    let broken: Vec<String> = files()
        .iter()
        .filter(|file| !file.text.starts_with("//!"))
        .map(|file| format!("src/{}.rs: begin with `//! what this is`", file.name))
        .collect();
    report(&broken);
}
