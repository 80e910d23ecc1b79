//! What each fuzz target does with any bytes, in one place: the targets run it for as long as one likes, `tests/fuzz.rs` once over
//! every input that is kept. A reader returns, with a value or with an error that names the file in at most a page.

use std::fs;
use std::path::Path;

use effbench::analysis::fit::csv;
use effbench::checkpoint::{Checkpoint, tokenizer};
use effbench::config::Library;
use effbench::error::Result;
use effbench::import::{About, Mapping, import, log, previews};
use effbench::record::{journal, pool};

/// A reader by its name.
pub type Reader = (&'static str, fn(&[u8]));

/// Every reader, in the order of the targets.
pub const READERS: [Reader; 6] = [
    ("result", result),
    ("journal", journal_trial),
    ("spec", spec),
    ("log", training_log),
    ("table", table),
    ("checkpoint", checkpoint),
];

/// Endings by which logs are told apart; the first byte chooses one.
const ENDINGS: [&str; 8] = ["csv", "tsv", "json", "jsonl", "log", "txt", "gz", "zst"];

fn told<T>(outcome: Result<T>, name: &str) {
    if let Err(error) = outcome {
        let text = error.to_string();
        assert!(text.contains(name), "{error}");
        assert!(text.len() < 4000, "{error}");
    }
}

/// Any bytes as a result file.
pub fn result(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("any.json");
    fs::write(&path, bytes).expect("a file");
    told(pool::read_all(std::slice::from_ref(&path)), "any.json");
}

/// Any bytes as a journal's trial: it is read, or set aside by name.
pub fn journal_trial(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("0123456789abcdef.trial.json"), bytes).expect("a file");
    let journal = journal::read_journal(folder.path()).expect("a folder that can be read");
    assert_eq!(journal.trials.len() + journal.rejected.len(), 1);
}

/// Any bytes as a variant, a suite and a price.
pub fn spec(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("any.toml");
    fs::write(&path, bytes).expect("a file");
    let (library, name) = (Library::builtin(), path.to_string_lossy());
    told(library.variant(&name), "any.toml");
    told(library.suite(&name), "any.toml");
    told(library.price(&name), "any.toml");
}

/// Any bytes as another program's log.
pub fn training_log(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let ending = ENDINGS[usize::from(*first) % ENDINGS.len()];
    let path = folder.path().join(format!("any.{ending}"));
    fs::write(&path, rest).expect("a file");
    told(imported(&path), "any.");
}

fn imported(path: &Path) -> Result<()> {
    let logs = [log::read(path, None)?];
    let mapping = Mapping::parse(&[], &["variant=a".to_owned()], &[])?;
    previews(&logs, &mapping)?;
    import(&logs, &mapping, About::default()).map(drop)
}

/// Any text as a table of published runs.
pub fn table(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        told(
            csv::points(text, "any.csv", &[], &csv::Units::default()),
            "any.csv",
        );
    }
}

/// Any bytes as a GGUF file with its tokenizer, and as the weights of a folder of Hugging Face's.
pub fn checkpoint(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("any.gguf");
    fs::write(&path, bytes).expect("a file");
    let found = Checkpoint::open(&path);
    if let Ok(found) = &found {
        assert!(tokenizer::of_gguf(&found.facts).map_or_else(|why| why.len(), |_| 0) < 4000);
    }
    told(found, "any.gguf");
    let folder = folder.path().join("any");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("config.json"), CONFIG).expect("a file");
    fs::write(folder.join("model.safetensors"), bytes).expect("a file");
    told(Checkpoint::open(&folder), "any");
}

const CONFIG: &str = r#"{"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
"intermediate_size": 24, "max_position_embeddings": 64}"#;
