//! The order within a folder: a file names only files above it in the order of `mod` lines, and there are no circles.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Token, closing, files, report, tokens};

/// The folder's own file, `mod.rs`, among its children.
const SELF: &str = "mod";

/// What one file of the library says about others.
#[derive(Default)]
struct Module {
    /// Its path below src, as it is written in a message.
    file: String,
    /// The modules it declares, in that order, but for inline ones.
    children: Vec<String>,
    /// Names that it passes on, and the child they come from.
    passed_on: BTreeMap<String, String>,
    /// Absolute paths it names outside tests, and where.
    named: Vec<(Vec<String>, usize)>,
}

/// Which file names which within a folder, and where it does.
type Arrows = BTreeMap<(String, String), String>;

/// All modules by their paths, without those of tests.
fn modules() -> BTreeMap<Vec<String>, Module> {
    let mut modules = BTreeMap::new();
    for file in files("src") {
        let mut path: Vec<String> = file.name.split('/').map(str::to_owned).collect();
        if path.last().is_some_and(|last| last == "mod") {
            path.pop();
        }
        let test = |part: &String| ["tests", "testing"].contains(&part.as_str());
        if file.module != "main" && !path.iter().any(test) {
            let module = read(file.path, &path, &without_tests(tokens(&file.text)));
            modules.insert(path, module);
        }
    }
    modules
}

/// The words without every item that stands below `#[cfg(test)]`.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let words = |from: usize, to: usize| -> String {
        let range = from..to.min(tokens.len());
        tokens[range]
            .iter()
            .map(|token| token.text.as_str())
            .collect()
    };
    let mut kept = Vec::new();
    let mut k = 0;
    while k < tokens.len() {
        if tokens[k].text == "#" && words(k, k + 7) == "#[cfg(test)]" {
            k += 7;
            while !["{", ";"].contains(&tokens[k].text.as_str()) {
                let nested = ["(", "["].contains(&tokens[k].text.as_str());
                k = if nested {
                    closing(&tokens, k) + 1
                } else {
                    k + 1
                };
            }
            k = if tokens[k].text == "{" {
                closing(&tokens, k) + 1
            } else {
                k + 1
            };
        } else {
            kept.push(tokens[k].clone());
            k += 1;
        }
    }
    kept
}

fn read(file: String, own: &[String], tokens: &[Token]) -> Module {
    let text = |k: usize| tokens.get(k).map_or("", |token| token.text.as_str());
    let mut module = Module {
        file,
        ..Module::default()
    };
    for k in 0..tokens.len() {
        if text(k) == "mod" && text(k + 2) == ";" {
            module.children.push(text(k + 1).to_owned());
        }
    }
    // Inline modules that the place is in, and where they end.
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut k = 0;
    while k < tokens.len() {
        inline.retain(|(_, end)| k < *end);
        let within: Vec<String> = inline.iter().map(|(name, _)| name.clone()).collect();
        let place = [own, &within].concat();
        match text(k) {
            "mod" if text(k + 2) == "{" => {
                inline.push((text(k + 1).to_owned(), closing(tokens, k + 2)));
            }
            "use" => {
                let end = (k..tokens.len()).find(|at| text(*at) == ";").unwrap();
                let public = k > 0 && ["pub", ")"].contains(&text(k - 1));
                for (path, line) in tree(&tokens[k + 1..end]) {
                    module.uses(own, &place, &path, line, public);
                }
                k = end;
            }
            // `pub(in path)` gives leave to look, and looks at nothing.
            _ if !["::", ".", "fn", "mod", "in"].contains(&text(k.max(1) - 1)) => {
                let path = path_at(tokens, k);
                module.names(own, &place, &path, tokens[k].line, text(k + 1) == "(");
            }
            _ => {}
        }
        k += 1;
    }
    module
}

/// The path that begins at a word: `a::b::c`.
fn path_at(tokens: &[Token], start: usize) -> Vec<String> {
    let text = |k: usize| tokens.get(k).map_or("", |token| token.text.as_str());
    let is_name = |k: usize| text(k).starts_with(|c: char| c.is_alphabetic() || c == '_');
    let mut path = vec![text(start).to_owned()];
    let mut at = start;
    while text(at + 1) == "::" && is_name(at + 2) {
        at += 2;
        path.push(text(at).to_owned());
    }
    path
}

impl Module {
    /// One path of a `use`: passed on where it is public, else named.
    fn uses(
        &mut self,
        own: &[String],
        place: &[String],
        path: &[String],
        line: usize,
        public: bool,
    ) {
        let Some(path) = absolute(place, path, &self.children) else {
            return;
        };
        if public && path.len() > own.len() + 1 && path.starts_with(own) {
            let name = path[path.len() - 1].clone();
            self.passed_on.insert(name, path[own.len()].clone());
        } else {
            self.named.push((path, line));
        }
    }

    /// One path in the code. What this file passes on it may use by its bare name: a type, or a function that is called.
    fn names(
        &mut self,
        own: &[String],
        place: &[String],
        path: &[String],
        line: usize,
        called: bool,
    ) {
        let is_type = path[0].starts_with(|c: char| c.is_uppercase());
        if let Some(child) = self.passed_on.get(&path[0]).filter(|_| is_type || called) {
            let path = own.iter().chain([child]).chain(path).cloned().collect();
            self.named.push((path, line));
        } else if path.len() > 1
            && let Some(path) = absolute(place, path, &self.children)
        {
            self.named.push((path, line));
        }
    }
}

/// Every path of a `use`: `a::{b, c::d as e}` is `a::b` and `a::c::d`.
fn tree(tokens: &[Token]) -> Vec<(Vec<String>, usize)> {
    let mut found = Vec::new();
    let mut prefix: Vec<String> = Vec::new();
    let mut k = 0;
    while k < tokens.len() {
        match tokens[k].text.as_str() {
            "{" => {
                let end = closing(tokens, k);
                let parts = tree(&tokens[k + 1..end]);
                found.extend(parts.into_iter().map(|(path, line)| {
                    let path = prefix
                        .iter()
                        .cloned()
                        .chain(path)
                        .filter(|part| part != "self");
                    (path.collect(), line)
                }));
                prefix.clear();
                k = end;
            }
            "," => {
                if !prefix.is_empty() {
                    found.push((std::mem::take(&mut prefix), tokens[k - 1].line));
                }
            }
            "as" => k += 1,
            "::" => {}
            word => prefix.push(word.to_owned()),
        }
        k += 1;
    }
    if !prefix.is_empty() {
        found.push((prefix, tokens[tokens.len() - 1].line));
    }
    found
}

/// A path from the crate's root, or none where it is about another crate or a local name.
fn absolute(own: &[String], path: &[String], children: &[String]) -> Option<Vec<String>> {
    let mut base = own.to_vec();
    let mut rest = path;
    match path[0].as_str() {
        "crate" => base.clear(),
        "self" => {}
        "super" => {
            base.pop();
        }
        first if children.iter().any(|child| child == first) => {
            return Some(own.iter().chain(path).cloned().collect());
        }
        _ => return None,
    }
    rest = &rest[1..];
    while rest.first().is_some_and(|part| part == "super") {
        base.pop();
        rest = &rest[1..];
    }
    base.extend_from_slice(rest);
    Some(base)
}

/// Which of the folder's files a path leads to: a child, or the folder's own file.
fn member(module: &Module, next: Option<&String>) -> String {
    match next {
        Some(part) if module.children.contains(part) => part.clone(),
        Some(part) => module
            .passed_on
            .get(part)
            .cloned()
            .unwrap_or(SELF.to_owned()),
        None => SELF.to_owned(),
    }
}

/// The arrows within every folder, from the paths that its files name.
fn arrows(modules: &BTreeMap<Vec<String>, Module>) -> BTreeMap<Vec<String>, Arrows> {
    let mut found: BTreeMap<Vec<String>, Arrows> = BTreeMap::new();
    for (own, module) in modules {
        for (path, line) in &module.named {
            let shared = own.iter().zip(path).take_while(|(a, b)| a == b).count();
            let Some(folder) = modules.get(&own[..shared]).filter(|_| shared > 0) else {
                continue;
            };
            let from = own.get(shared).cloned().unwrap_or(SELF.to_owned());
            let to = member(folder, path.get(shared));
            if from != to {
                found
                    .entry(own[..shared].to_vec())
                    .or_default()
                    .entry((from, to))
                    .or_insert(format!("{}:{line}", module.file));
            }
        }
    }
    found
}

/// Everything that can be reached from `start`, which is itself among it only where a circle leads back.
fn reached(arrows: &Arrows, start: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![start.to_owned()];
    while let Some(at) = open.pop() {
        for (_, to) in arrows.keys().filter(|(from, _)| *from == at) {
            if found.insert(to.clone()) {
                open.push(to.clone());
            }
        }
    }
    found
}

#[test]
fn a_file_names_only_files_above_it() {
    let modules = modules();
    let mut broken = Vec::new();
    for (folder, arrows) in &arrows(&modules) {
        let children = &modules[folder].children;
        let place = |name: &String| children.iter().position(|child| child == name);
        for ((from, to), at) in arrows {
            if let (Some(own), Some(other)) = (place(from), place(to))
                && own < other
            {
                broken.push(format!(
                    "{at}: `{from}` names `{to}`, which stands below it in {}: move the `mod` line, or what they share up",
                    modules[folder].file
                ));
            }
        }
    }
    report(&broken);
}

#[test]
fn a_folder_has_no_circle_through_its_own_file() {
    let modules = modules();
    let mut broken = Vec::new();
    for (folder, arrows) in &arrows(&modules) {
        let below = reached(arrows, SELF);
        for ((from, to), at) in arrows {
            if to == SELF && below.contains(from) {
                broken.push(format!(
                    "{at}: `{from}` names what is in {}, which names `{from}` or what does: give what they share a file \
                     of its own above both",
                    modules[folder].file
                ));
            }
        }
    }
    report(&broken);
}

#[test]
fn paths_are_read_as_the_compiler_reads_them() {
    let code = "use super::{b::{self, C as D}, e};\nfn f() { super::super::g::h(); crate::i::J }\n\
                mod inner { use super::K; }";
    let module = read(String::new(), &["x".into(), "y".into()], &tokens(code));
    let named: Vec<String> = module
        .named
        .iter()
        .map(|(path, _)| path.join("::"))
        .collect();
    assert_eq!(
        named,
        ["x::b", "x::b::C", "x::e", "g::h", "i::J", "x::y::K"]
    );
}
