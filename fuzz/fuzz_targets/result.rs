//! Any bytes as a result file. `cargo +nightly fuzz run result`
#![no_main]

use effbench::record::pool;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("any.json");
    std::fs::write(&path, bytes).expect("a file");
    if let Err(error) = pool::read_all(std::slice::from_ref(&path)) {
        assert!(error.to_string().contains("any.json"), "{error}");
    }
});
