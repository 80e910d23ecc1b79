//! Any bytes as a journal's trial: it is read, or set aside by name. `cargo +nightly fuzz run journal`
#![no_main]

use effbench::record::journal;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("0123456789abcdef.trial.json"), bytes).expect("a file");
    let journal = journal::read_journal(folder.path()).expect("a folder that can be read");
    assert_eq!(journal.trials.len() + journal.rejected.len(), 1);
});
