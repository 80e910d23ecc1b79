//! Where this program keeps what can be had again: corpora, and how fast this machine is.

use std::path::PathBuf;

/// `$XDG_CACHE_HOME/effbench`, or `~/.cache/effbench` (XDG Base Directory Specification: relative ones are ignored).
pub fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let caches = named.or_else(|| Some(std::env::home_dir()?.join(".cache")))?;
    Some(caches.join("effbench"))
}
