//! Where the kernel accounts for this process: its control groups, its own and all above it, in either version.

use std::path::{Path, PathBuf};

/// The folders of a controller's groups that hold this process, its own first and the mounted root last; `""` is version 2, which
/// has one tree for all controllers. `groups` is `/proc/self/cgroup`: `0::/path` (version 2) or `4:cpu,cpuacct:/path` (version 1).
/// Within a container the path may be the host's, of which the container sees the end alone: what is not there is left out by
/// whoever reads.
pub fn levels(root: &Path, groups: &str, controller: &str) -> Vec<PathBuf> {
    let own = groups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let found = controllers.split(',').any(|name| name == controller);
        found.then_some(path.trim_matches('/'))
    });
    let mounted = root.join("sys/fs/cgroup").join(controller);
    let Some(own) = own else {
        return Vec::new();
    };
    Path::new(own)
        .ancestors()
        .map(|path| mounted.join(path))
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use super::*;

    /// A root folder with files in it, as the kernel shows them.
    pub fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn groups_are_listed_upwards_in_either_version() {
        let check = |groups: &str, controller: &str, expected: &[&str]| {
            let found = levels(Path::new("/"), groups, controller);
            let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(found, expected, "{groups}");
        };
        let second = "0::/pod/container\n";
        let all = [
            "/sys/fs/cgroup/pod/container",
            "/sys/fs/cgroup/pod",
            "/sys/fs/cgroup",
        ];
        check(second, "", &all);
        check("0::/\n", "", &["/sys/fs/cgroup"]);
        let first = "9:name=systemd:/x\n3:cpuacct,cpu:/b\n0::/\n";
        check(
            first,
            "cpu",
            &["/sys/fs/cgroup/cpu/b", "/sys/fs/cgroup/cpu"],
        );
        check(first, "memory", &[]);
        check("torn", "", &[]);
    }
}
