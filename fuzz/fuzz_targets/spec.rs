//! Any bytes as a variant, a suite and a price. `cargo +nightly fuzz run spec`
#![no_main]

use effbench::config::Library;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("any.toml");
    std::fs::write(&path, bytes).expect("a file");
    let (library, name) = (Library::builtin(), path.to_string_lossy());
    let errors = [library.variant(&name).err(), library.suite(&name).err(), library.price(&name).err()];
    for error in errors.into_iter().flatten() {
        assert!(error.to_string().contains("any.toml"), "{error}");
    }
});
