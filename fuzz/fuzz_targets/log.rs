//! Any bytes as another program's log. `cargo +nightly fuzz run log`
#![no_main]

#[path = "../readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| readers::training_log(bytes));
