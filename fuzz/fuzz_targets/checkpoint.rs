//! Any bytes as a model that others trained. `cargo +nightly fuzz run checkpoint`
#![no_main]

#[path = "../readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| readers::checkpoint(bytes));
