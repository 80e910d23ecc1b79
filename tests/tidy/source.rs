//! The source tree as the tests of tidiness read it: files, and their words without comments and strings.

use std::fs;
use std::path::{Path, PathBuf};

/// One source file.
pub struct File {
    /// Path below the package's root, as it is written in a message: `src/stat/mod.rs`.
    pub path: String,
    /// Path below the folder it was searched in, without `.rs`.
    pub name: String,
    /// First component of `name`.
    pub module: String,
    /// All of it.
    pub text: String,
}

/// Every Rust file below a folder of the package.
pub fn files(folder: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut stack = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = stack.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                stack.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(file(&root, &path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn file(root: &Path, path: &PathBuf) -> File {
    let below = |root: &Path| {
        path.strip_prefix(root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    let name = below(root).trim_end_matches(".rs").to_owned();
    File {
        path: below(Path::new(env!("CARGO_MANIFEST_DIR"))),
        module: name.split('/').next().unwrap().to_owned(),
        text: fs::read_to_string(path).unwrap(),
        name,
    }
}

/// A word or a sign of the code, and the line it stands on, from 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// An identifier or number whole, `::` as one sign, every other sign alone.
    pub text: String,
    /// From 1.
    pub line: usize,
}

/// The code's words: no comments, and every string is the sign `"`.
pub fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let (mut k, mut line) = (0, 1);
    while k < chars.len() {
        let end = match chars[k] {
            c if c.is_whitespace() => k + 1,
            '/' if chars.get(k + 1) == Some(&'/') => end_of(&chars, k, "\n"),
            '/' if chars.get(k + 1) == Some(&'*') => end_of(&chars, k + 2, "*/"),
            '"' => after_string(&chars, k + 1),
            '\'' => after_quote(&chars, k),
            'r' | 'b' if raw_hashes(&chars, k).is_some() => {
                let (start, hashes) = raw_hashes(&chars, k).unwrap();
                end_of(&chars, start, &format!("\"{}", "#".repeat(hashes)))
            }
            c if is_word(c) => k + chars[k..].iter().take_while(|c| is_word(**c)).count(),
            ':' if chars.get(k + 1) == Some(&':') => k + 2,
            _ => k + 1,
        };
        let piece: String = chars[k..end].iter().collect();
        let lines = piece.matches('\n').count();
        let silent = piece.starts_with("//") || piece.starts_with("/*") || piece.trim().is_empty();
        if !silent {
            let string = piece.contains('"');
            let text = if string { "\"".to_owned() } else { piece };
            found.push(Token { text, line });
        }
        line += lines;
        k = end;
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where the text goes on after the next `mark`.
fn end_of(chars: &[char], from: usize, mark: &str) -> usize {
    let mark: Vec<char> = mark.chars().collect();
    (from..chars.len())
        .find(|k| chars[*k..].starts_with(&mark))
        .map_or(chars.len(), |k| k + mark.len())
}

fn after_string(chars: &[char], mut k: usize) -> usize {
    while k < chars.len() && chars[k] != '"' {
        k += if chars[k] == '\\' { 2 } else { 1 };
    }
    (k + 1).min(chars.len())
}

/// After a character such as `'x'` or `'\n'`, or after the mark alone where it opens a lifetime.
fn after_quote(chars: &[char], k: usize) -> usize {
    if chars.get(k + 1) == Some(&'\\') {
        return end_of(chars, k + 3, "'");
    }
    if chars.get(k + 2) == Some(&'\'') {
        k + 3
    } else {
        k + 1
    }
}

/// Where a raw string's text begins and how many `#` close it, if one begins here.
fn raw_hashes(chars: &[char], k: usize) -> Option<(usize, usize)> {
    let raw = k + usize::from(chars[k] == 'b') + 1;
    let hashes = chars.get(raw..)?.iter().take_while(|c| **c == '#').count();
    let prefixed = chars[raw - 1] == 'r' && !(k > 0 && is_word(chars[k - 1]));
    let quoted = chars.get(raw + hashes) == Some(&'"');
    (prefixed && quoted).then_some((raw + hashes + 1, hashes))
}

/// The token that closes what `open` at `from` opens.
pub fn closing(tokens: &[Token], from: usize) -> usize {
    let mut depth = 0;
    for (k, token) in tokens.iter().enumerate().skip(from) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return k;
        }
    }
    tokens.len() - 1
}

/// One message with everything that is broken.
pub fn report(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}
