//! Specs, suites, prices, result files, journals, logs and tables that somebody broke: no panic, no hang, and an error that
//! says where. Broken by taking sound ones apart at random; `fuzz/` has a target for each reader that goes on for as long as one
//! likes, and what it once found is read again here.

use std::fs;

use effbench::config::Library;
use effbench::record::{journal, pool, store};
use proptest::prelude::*;

#[path = "../fuzz/readers.rs"]
mod readers;

const RESULT: &str = include_str!("fixtures/quick.json");
const VARIANT: &str = include_str!("../models/variants/modern.toml");
const SUITE: &str = include_str!("../models/suites/gain.toml");
const PRICE: &str = include_str!("../models/prices/default.toml");

/// A cut, a span taken out, bytes overwritten, or a piece repeated.
#[derive(Debug, Clone)]
enum Damage {
    Cut(f64),
    Drop(f64, usize),
    Overwrite(f64, Vec<u8>),
    Repeat(f64, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = 0.0..1.0f64;
    prop_oneof![
        at.clone().prop_map(Damage::Cut),
        (at.clone(), 1usize..40).prop_map(|(at, n)| Damage::Drop(at, n)),
        (at.clone(), prop::collection::vec(any::<u8>(), 1..12))
            .prop_map(|(at, bytes)| Damage::Overwrite(at, bytes)),
        (
            at.clone(),
            prop::sample::select(vec![
                "-", "1e999", "null", "\"", "[", "}", "=", "\n", "NaN", "0x", "\u{202e}"
            ])
        )
            .prop_map(|(at, text)| Damage::Overwrite(at, text.as_bytes().to_vec())),
        (at, 1usize..200).prop_map(|(at, n)| Damage::Repeat(at, n)),
    ]
}

fn damaged(text: &str, damage: &[Damage]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for one in damage {
        let place = |at: &f64| (at * bytes.len() as f64) as usize;
        match one {
            Damage::Cut(at) => bytes.truncate(place(at)),
            Damage::Drop(at, n) => drop(bytes.drain(place(at)..(place(at) + n).min(bytes.len()))),
            Damage::Overwrite(at, with) => {
                let (from, to) = (place(at), (place(at) + with.len()).min(bytes.len()));
                bytes.splice(from..to, with.iter().copied());
            }
            Damage::Repeat(at, n) => {
                let (from, to) = (place(at), (place(at) + n).min(bytes.len()));
                let piece = bytes[from..to].to_vec();
                bytes.splice(to..to, piece);
            }
        }
    }
    bytes
}

/// Whoever reads it is told the file's name, and not in a whole page.
fn is_told<T>(outcome: effbench::error::Result<T>, name: &str) {
    if let Err(error) = outcome {
        assert!(error.to_string().contains(name), "{error}");
        assert!(error.to_string().len() < 2000, "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_broken_result_file_is_an_error_that_names_it(
        damage in prop::collection::vec(damage(), 1..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.json");
        fs::write(&path, damaged(RESULT, &damage)).unwrap();
        is_told(pool::read_all(std::slice::from_ref(&path)), "broken.json");
    }

    #[test]
    fn a_broken_journal_is_set_aside_and_named(damage in prop::collection::vec(damage(), 1..4)) {
        let folder = tempfile::tempdir().unwrap();
        let whole: effbench::record::ResultFile = serde_json::from_str(RESULT).unwrap();
        journal::journal_trial(folder.path(), &whole.trials[0]).unwrap();
        let other = serde_json::to_string(&whole.trials[1]).unwrap();
        fs::write(folder.path().join("other.trial.json"), damaged(&other, &damage)).unwrap();
        let journal = journal::read_journal(folder.path()).unwrap();
        prop_assert!(journal.trials.contains(&whole.trials[0]));
        prop_assert_eq!(journal.trials.len() + journal.rejected.len(), 2);
    }

    #[test]
    fn a_broken_spec_is_an_error_that_names_it(
        which in 0..3usize,
        damage in prop::collection::vec(damage(), 1..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.toml");
        let name = path.to_string_lossy().into_owned();
        fs::write(&path, damaged([VARIANT, SUITE, PRICE][which], &damage)).unwrap();
        let library = Library::builtin();
        match which {
            0 => is_told(library.variant(&name), "broken.toml"),
            1 => is_told(library.suite(&name), "broken.toml"),
            _ => is_told(library.price(&name), "broken.toml"),
        }
    }
}

#[test]
fn an_unbroken_one_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole.json");
    store::write_whole(&path, RESULT.as_bytes()).unwrap();
    pool::read_all(&[path]).unwrap();
}

/// What fuzzing found and what it began with: `fuzz/corpus/<target>/`.
#[test]
fn every_input_that_is_kept_is_read() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus");
    for (name, reader) in readers::READERS {
        let inputs = fs::read_dir(format!("{corpus}/{name}")).unwrap();
        let mut count = 0;
        for input in inputs {
            reader(&fs::read(input.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "{name} has no input");
    }
}
