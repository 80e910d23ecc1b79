//! How often the kernel's out-of-memory killer has struck: what tells its SIGKILL from anybody else's.

use std::fs;
use std::path::{Path, PathBuf};

/// Kills counted so far in this process's control groups and on the whole machine, added up: only a difference means
/// something. 0 where nothing is counted.
pub fn oom_kills() -> u64 {
    count(Path::new("/"))
}

fn count(root: &Path) -> u64 {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut files = vec![root.join("proc/vmstat")];
    files.extend(groups.lines().filter_map(|line| counter(root, line)));
    files
        .iter()
        .filter_map(|file| field(&fs::read_to_string(file).ok()?))
        .sum()
}

/// The file that counts for one line of `/proc/self/cgroup`: `0::/path` (version 2) or `4:memory:/path` (version 1).
fn counter(root: &Path, line: &str) -> Option<PathBuf> {
    let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
    let path = path.trim_start_matches('/');
    let mounted = root.join("sys/fs/cgroup");
    match controllers {
        "" => Some(mounted.join(path).join("memory.events")),
        "memory" => Some(mounted.join("memory").join(path).join("memory.oom_control")),
        _ => None,
    }
}

fn field(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_counted_in_either_version_of_control_groups() {
        let check = |files: &[(&str, &str)], expected| {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = root.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            assert_eq!(count(root.path()), expected, "{files:?}");
        };
        check(&[], 0);
        check(&[("proc/vmstat", "pgfault 7\noom_kill 3\n")], 3);
        check(
            &[
                ("proc/self/cgroup", "0::/a/b\n"),
                ("sys/fs/cgroup/a/b/memory.events", "oom 9\noom_kill 2\n"),
            ],
            2,
        );
        check(
            &[
                ("proc/self/cgroup", "9:name=systemd:/\n4:memory:/a\n"),
                (
                    "sys/fs/cgroup/memory/a/memory.oom_control",
                    "under_oom 0\noom_kill 5\n",
                ),
            ],
            5,
        );
        check(
            &[
                ("proc/self/cgroup", "torn"),
                ("proc/vmstat", "oom_kill many\n"),
            ],
            0,
        );
    }
}
