//! Which build of effbench this is: trials of two builds are never taken for one another.

use crate::record::Build;

/// Facts that were known when this program was compiled; `build.rs` asks git and the compiler for them.
pub fn build_info() -> Build {
    let known = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    let features = [
        ("run", cfg!(feature = "run")),
        ("cuda", cfg!(feature = "cuda")),
    ];
    Build {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: known(option_env!("EFFBENCH_COMMIT")),
        dirty: option_env!("EFFBENCH_DIRTY").and_then(|dirty| dirty.parse().ok()),
        features: names(&features),
        rustc: known(option_env!("EFFBENCH_RUSTC")),
        profile: if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        }
        .to_owned(),
        target_features: names(&target_features()),
        executable_id: executable_id(),
    }
}

/// 16 hexadecimal digits of a hash of this program's file, where it can be read.
fn executable_id() -> Option<String> {
    let mut file = std::fs::File::open(std::env::current_exe().ok()?).ok()?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&mut file).ok()?;
    Some(hasher.finalize().to_hex()[..16].to_owned())
}

fn names(flags: &[(&str, bool)]) -> Vec<String> {
    flags
        .iter()
        .filter(|(_, on)| *on)
        .map(|(name, _)| (*name).to_owned())
        .collect()
}

/// Those that decide the speed of vector code and that the compiler may take for granted.
fn target_features() -> Vec<(&'static str, bool)> {
    vec![
        ("sse4.2", cfg!(target_feature = "sse4.2")),
        ("avx", cfg!(target_feature = "avx")),
        ("avx2", cfg!(target_feature = "avx2")),
        ("fma", cfg!(target_feature = "fma")),
        ("f16c", cfg!(target_feature = "f16c")),
        ("avx512f", cfg!(target_feature = "avx512f")),
        ("avx512bf16", cfg!(target_feature = "avx512bf16")),
        ("neon", cfg!(target_feature = "neon")),
        ("dotprod", cfg!(target_feature = "dotprod")),
        ("sve", cfg!(target_feature = "sve")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_knows_its_compiler_and_features() {
        let build = build_info();
        assert!(build.features.contains(&"run".to_owned()));
        assert!(build.rustc.is_some_and(|rustc| rustc.starts_with("rustc ")));
        assert!(build.executable_id.is_some_and(|id| id.len() == 16));
        assert!(build.commit.is_none_or(|commit| commit.len() >= 40));
    }
}
