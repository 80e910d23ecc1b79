//! Any bytes as a table of published runs. `cargo +nightly fuzz run table`
#![no_main]

#[path = "../readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| readers::table(bytes));
