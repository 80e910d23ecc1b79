//! What the system is set to that bears on speed, as Linux tells it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What can be read below `root`; the words are the kernel's.
pub fn read(root: &Path) -> BTreeMap<String, String> {
    let text = |path: &str| {
        let found = fs::read_to_string(root.join(path)).ok()?;
        Some(found.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let cpu = "sys/devices/system/cpu";
    let on_or_off = |path: &str, on: &str| {
        let found = text(path)?;
        Some(if found == on { "on" } else { "off" }.to_owned())
    };
    let turbo = || {
        let of_intel = on_or_off(&format!("{cpu}/intel_pstate/no_turbo"), "0");
        of_intel.or_else(|| on_or_off(&format!("{cpu}/cpufreq/boost"), "1"))
    };
    let found = [
        (
            "governor",
            text(&format!("{cpu}/cpu0/cpufreq/scaling_governor")),
        ),
        ("turbo", turbo()),
        ("smt", on_or_off(&format!("{cpu}/smt/active"), "1")),
        (
            "numa_nodes",
            text("sys/devices/system/node/online").and_then(count),
        ),
        (
            "transparent_huge_pages",
            text("sys/kernel/mm/transparent_hugepage/enabled").and_then(|text| chosen(&text)),
        ),
        (
            "processors",
            text("proc/self/status").and_then(|text| allowed(&text)),
        ),
    ];
    let known = found
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    known.collect()
}

/// Of `always [madvise] never` the word in brackets.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(word, _)| word.to_owned())
}

/// How many numbers `0-1,3` names.
fn count(list: String) -> Option<String> {
    let of_part = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        (last + 1).checked_sub(first)
    };
    let all: Option<u64> = list.split(',').map(of_part).sum();
    all.map(|all| all.to_string())
}

fn allowed(status: &str) -> Option<String> {
    let mut lines = status.lines();
    let list = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(list.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::control_groups::tests::tree;

    #[test]
    fn what_is_set_is_told_and_what_is_not_is_left_out() {
        let cpu = "sys/devices/system/cpu";
        let files = [
            (
                format!("{cpu}/cpu0/cpufreq/scaling_governor"),
                "powersave\n",
            ),
            (format!("{cpu}/intel_pstate/no_turbo"), "1\n"),
            (format!("{cpu}/smt/active"), "1\n"),
            ("sys/devices/system/node/online".to_owned(), "0-1,4\n"),
            (
                "sys/kernel/mm/transparent_hugepage/enabled".to_owned(),
                "always [madvise] never\n",
            ),
            (
                "proc/self/status".to_owned(),
                "Name: x\nCpus_allowed_list:\t0-3,8\n",
            ),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), *b)).collect();
        let found = read(tree(&files).path());
        let expected = [
            ("governor", "powersave"),
            ("numa_nodes", "3"),
            ("processors", "0-3,8"),
            ("smt", "on"),
            ("transparent_huge_pages", "madvise"),
            ("turbo", "off"),
        ];
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        assert_eq!(found, expected);
        let amd = [("sys/devices/system/cpu/cpufreq/boost", "1\n")];
        assert_eq!(read(tree(&amd).path())["turbo"], "on");
        assert!(read(tree(&[]).path()).is_empty());
    }
}
