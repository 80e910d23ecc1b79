//! Any bytes as a journal's trial. `cargo +nightly fuzz run journal`
#![no_main]

#[path = "../readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| readers::journal_trial(bytes));
