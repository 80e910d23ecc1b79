//! How long a function, a file and a line may be.

use std::collections::BTreeSet;

use crate::source::{File, closing, files, report, tokens};

const FUNCTION: usize = 70;
const FILE: usize = 500;
const LINE: usize = 100;

fn measured() -> Vec<File> {
    ["src", "tests", "benches", "examples"]
        .into_iter()
        .flat_map(files)
        .collect()
}

/// Every function with a body: its name, its first line and how many it has.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    for k in 0..tokens.len().saturating_sub(2) {
        if tokens[k].text != "fn" || tokens[k + 1].text == "(" {
            continue;
        }
        let mut at = k + 2;
        while at < tokens.len() && !["{", ";"].contains(&tokens[at].text.as_str()) {
            let nested = ["(", "["].contains(&tokens[at].text.as_str());
            at = if nested {
                closing(&tokens, at) + 1
            } else {
                at + 1
            };
        }
        if tokens.get(at).is_some_and(|token| token.text == "{") {
            let lines = tokens[closing(&tokens, at)].line - tokens[k].line + 1;
            found.push((tokens[k + 1].text.clone(), tokens[k].line, lines));
        }
    }
    found
}

#[test]
fn a_function_fits_on_a_screen() {
    let mut broken = Vec::new();
    for file in measured() {
        for (name, line, lines) in functions(&file.text) {
            if lines > FUNCTION {
                broken.push(format!(
                    "{}:{line}: `{name}` has {lines} lines, at most {FUNCTION}: give a part of it its own name, or make \
                     its cases rows of a table",
                    file.path
                ));
            }
        }
    }
    report(&broken);
}

#[test]
fn a_file_is_read_in_one_sitting() {
    let broken: Vec<String> = measured()
        .iter()
        .map(|file| (&file.path, file.text.lines().count()))
        .filter(|(_, lines)| *lines > FILE)
        .map(|(path, lines)| {
            format!("{path}: {lines} lines, at most {FILE}: make two files of it, each about one subject")
        })
        .collect();
    report(&broken);
}

/// Sentences, in comments and strings, are not broken by rustfmt and may be longer.
#[test]
fn a_line_of_code_is_not_wider_than_rustfmt_makes_it() {
    let mut broken = Vec::new();
    for file in measured() {
        // A line with no word of code in it lies within a string.
        let code: BTreeSet<usize> = tokens(&file.text).iter().map(|token| token.line).collect();
        for (k, line) in file.text.lines().enumerate() {
            let sentence = line.trim_start().starts_with("//")
                || line.contains('"')
                || !code.contains(&(k + 1));
            if line.chars().count() > LINE && !sentence && !line.ends_with('\\') {
                broken.push(format!(
                    "{}:{}: wider than {LINE}: where rustfmt gives up, in a macro or a long chain, break it by hand",
                    file.path,
                    k + 1
                ));
            }
        }
    }
    report(&broken);
}
