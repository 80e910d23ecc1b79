//! Any bytes as a result file. `cargo +nightly fuzz run result`
#![no_main]

#[path = "../readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| readers::result(bytes));
