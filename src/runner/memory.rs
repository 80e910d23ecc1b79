//! The memory that this process may use, and how often the kernel's out-of-memory killer has struck: what tells its SIGKILL from
//! anybody else's.

use std::fs;
use std::path::Path;

use crate::measure::control_groups;

/// Bytes that this process may use at most: the least limit of its control groups, where one of them has any.
pub fn limit_bytes() -> Option<u64> {
    limit(Path::new("/"))
}

fn limit(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = [("", "memory.max"), ("memory", "memory.limit_in_bytes")];
    let limits = limits.into_iter().flat_map(|(controller, name)| {
        let levels = control_groups::levels(root, &groups, controller);
        levels.into_iter().map(move |folder| folder.join(name))
    });
    // Without a limit version 2 says `max`, and version 1 a number near 2^63, which no least with a machine's memory comes to.
    limits
        .filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
        .min()
}

/// Kills counted so far in this process's control groups and on the whole machine, added up: only a difference means
/// something. 0 where nothing is counted.
pub fn oom_kills() -> u64 {
    count(Path::new("/"))
}

fn count(root: &Path) -> u64 {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let read = |file| field(&fs::read_to_string(file).ok()?);
    let counters = [("", "memory.events"), ("memory", "memory.oom_control")];
    let nearest = counters.into_iter().filter_map(|(controller, name)| {
        control_groups::levels(root, &groups, controller)
            .into_iter()
            .find_map(|folder| read(folder.join(name)))
    });
    let whole = read(root.join("proc/vmstat"));
    nearest.chain(whole).sum()
}

fn field(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::control_groups::tests::tree;

    #[test]
    fn the_least_limit_of_all_groups_counts() {
        let check = |files: &[(&str, &str)], expected| {
            assert_eq!(limit(tree(files).path()), expected, "{files:?}");
        };
        check(&[], None);
        let own = ("proc/self/cgroup", "0::/pod/one\n");
        check(&[own, ("sys/fs/cgroup/pod/one/memory.max", "max\n")], None);
        check(
            &[
                own,
                ("sys/fs/cgroup/pod/one/memory.max", "max\n"),
                ("sys/fs/cgroup/pod/memory.max", "2000\n"),
            ],
            Some(2000),
        );
        check(
            &[
                ("proc/self/cgroup", "4:memory:/not/seen/from/within\n"),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "3000\n"),
            ],
            Some(3000),
        );
    }

    #[test]
    fn kills_are_counted_in_either_version_of_control_groups() {
        let check = |files: &[(&str, &str)], expected| {
            assert_eq!(count(tree(files).path()), expected, "{files:?}");
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
