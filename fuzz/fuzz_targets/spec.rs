//! Any bytes as a variant, a suite and a price. `cargo +nightly fuzz run spec`
#![no_main]

#[path = "../readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| readers::spec(bytes));
