//! What else happened on the machine while something was timed: time stolen by other guests, other programs, swapping,
//! throttling. Counters of Linux are read before and after; where a counter is not there, nothing is said about it.

use std::fs;
use std::path::Path;

use super::control_groups;

/// Counters at one moment; absent where the system does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Snapshot {
    /// Seconds since some moment, by the caller's clock.
    pub at_s: f64,
    /// Processor seconds of this process.
    pub own_s: Option<f64>,
    /// Processor seconds of the whole machine, by what they went to.
    pub processors: Option<Processors>,
    /// Pages swapped in or out since the start.
    pub swapped_pages: Option<f64>,
    /// Seconds for which the control group's quota held this process back.
    pub held_back_s: Option<f64>,
    /// Times a processor slowed itself down for heat.
    pub throttled: Option<f64>,
}

/// `/proc/stat`, first line, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Processors {
    /// Spent on any program.
    pub busy_s: f64,
    /// Taken by the hypervisor for other guests.
    pub stolen_s: f64,
    /// All of it, idle time included.
    pub total_s: f64,
}

/// One kind of disturbance, told when its value is above its limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Disturbance {
    /// `cpu_steal`, `foreign_load`, `swapping`, `quota_throttled`, `thermal_throttled`.
    pub code: &'static str,
    /// A share of time, or a count.
    pub value: f64,
    /// Above this it is told.
    pub limit: f64,
    /// Above this the timings mean nothing.
    pub severe: f64,
    /// Whether it is good to know and no more: the machine's own way, or a setting.
    pub is_note: bool,
}

/// Share of processor time stolen by other guests: 2% is what shared machines have on a good day.
const STEAL: f64 = 0.02;
/// With half of the time stolen a duration is the neighbours', not the program's.
const SEVERE_STEAL: f64 = 0.5;
/// Share of processor time that other programs took.
const FOREIGN: f64 = 0.1;
/// Pages swapped, one megabyte.
const SWAPPED_PAGES: f64 = 256.0;
/// Share of the time for which the quota held the process back.
const HELD_BACK: f64 = 0.01;

/// What a machine's counters can tell of, by its word.
const CODES: [&str; 5] = [
    "cpu_steal",
    "foreign_load",
    "swapping",
    "quota_throttled",
    "thermal_throttled",
];
/// Why something was not seen: the system, or this machine, has no counter of it.
pub const NO_COUNTER: &str = "no_counter";

/// Looks at this machine.
pub fn snapshot(at_s: f64) -> Snapshot {
    Snapshot {
        at_s,
        own_s: own_processor_s(),
        ..look(Path::new("/"), ticks_per_s())
    }
}

/// The counters below a root folder, which is `/` but for tests.
fn look(root: &Path, ticks_per_s: f64) -> Snapshot {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    Snapshot {
        processors: read("proc/stat").and_then(|text| processors(&text, ticks_per_s)),
        swapped_pages: read("proc/vmstat")
            .and_then(|text| Some(field(&text, "pswpin")? + field(&text, "pswpout")?)),
        held_back_s: read("proc/self/cgroup").and_then(|text| held_back_s(root, &text)),
        throttled: throttled(&root.join("sys/devices/system/cpu")),
        ..Snapshot::default()
    }
}

/// `cpu  user nice system idle iowait irq softirq steal guest guest_nice`, in ticks; guests' time is in user's already.
fn processors(text: &str, ticks_per_s: f64) -> Option<Processors> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<f64> = line
        .split_whitespace()
        .map(|word| word.parse().ok())
        .collect::<Option<_>>()?;
    let [user, nice, system, idle, iowait, irq, softirq, steal, ..] = ticks[..] else {
        return None;
    };
    let busy = user + nice + system + irq + softirq;
    let total = busy + idle + iowait + steal;
    Some(Processors {
        busy_s: busy / ticks_per_s,
        stolen_s: steal / ticks_per_s,
        total_s: total / ticks_per_s,
    })
}

/// `throttled_usec` of version 2, `throttled_time` in nanoseconds of version 1, of this process' own group and of all above it: a
/// pod's, a task's or a slice's quota stands above the container's group.
fn held_back_s(root: &Path, groups: &str) -> Option<f64> {
    let of = |controller, name, unit_s: f64| {
        let levels = control_groups::levels(root, groups, controller);
        let seconds = levels.into_iter().filter_map(|folder| {
            let text = fs::read_to_string(folder.join("cpu.stat")).ok()?;
            Some(unit_s * field(&text, name)?)
        });
        seconds.reduce(|a, b| a + b)
    };
    of("", "throttled_usec", 1e-6).or_else(|| of("cpu", "throttled_time", 1e-9))
}

/// Sum over the processors' own counts; a package's count stands at each of its processors.
fn throttled(cpus: &Path) -> Option<f64> {
    let counts = fs::read_dir(cpus).ok()?.flatten().filter_map(|entry| {
        let text =
            fs::read_to_string(entry.path().join("thermal_throttle/core_throttle_count")).ok()?;
        text.trim().parse::<f64>().ok()
    });
    counts.reduce(|a, b| a + b)
}

/// The number behind a word at a line's start.
fn field(text: &str, name: &str) -> Option<f64> {
    let of = |line: &str| {
        line.strip_prefix(name)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    };
    text.lines().find_map(of)
}

fn ticks_per_s() -> f64 {
    #[cfg(unix)]
    {
        // SAFETY: sysconf takes a number and returns one.
        let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
        if ticks > 0 { ticks as f64 } else { 100.0 }
    }
    #[cfg(not(unix))]
    100.0
}

/// User and system seconds of all threads of this process.
fn own_processor_s() -> Option<f64> {
    #[cfg(unix)]
    {
        // SAFETY: `getrusage` fills the struct it is given and keeps no reference to it; a zeroed `rusage` is valid.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            (libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) == 0).then_some(usage)
        }?;
        let seconds = |time: libc::timeval| time.tv_sec as f64 + 1e-6 * time.tv_usec as f64;
        Some(seconds(usage.ru_utime) + seconds(usage.ru_stime))
    }
    #[cfg(not(unix))]
    None
}

/// Every disturbance between two moments, whether above its limit or not; what no counter tells is left out.
pub fn between(before: &Snapshot, after: &Snapshot) -> Vec<Disturbance> {
    let rise = |of: fn(&Snapshot) -> Option<f64>| Some((of(after)? - of(before)?).max(0.0));
    let total_s = rise(|s| Some(s.processors?.total_s)).filter(|s| *s > 0.0);
    let share = |part_s: Option<f64>| Some((part_s? / total_s?).clamp(0.0, 1.0));
    let foreign_s = || Some(rise(|s| Some(s.processors?.busy_s))? - rise(|s| s.own_s)?);
    let wall_s = (after.at_s - before.at_s).max(f64::MIN_POSITIVE);
    let never = f64::INFINITY;
    let rows = [
        (
            "cpu_steal",
            share(rise(|s| Some(s.processors?.stolen_s))),
            STEAL,
            SEVERE_STEAL,
        ),
        ("foreign_load", share(foreign_s()), FOREIGN, never),
        ("swapping", rise(|s| s.swapped_pages), SWAPPED_PAGES, never),
        (
            "quota_throttled",
            rise(|s| s.held_back_s).map(|s| s / wall_s),
            HELD_BACK,
            never,
        ),
        ("thermal_throttled", rise(|s| s.throttled), 0.0, never),
    ];
    rows.into_iter()
        .filter_map(|(code, value, limit, severe)| {
            Some(Disturbance {
                code,
                value: value?,
                limit,
                severe,
                is_note: false,
            })
        })
        .collect()
}

/// What no counter told of, by its word: that it was not found says nothing.
pub fn unseen(found: &[Disturbance]) -> Vec<&'static str> {
    CODES
        .into_iter()
        .filter(|code| found.iter().all(|seen| seen.code != *code))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::control_groups::tests::tree;

    #[test]
    fn counters_are_read_where_they_are() {
        let stat = "cpu  100 20 30 400 50 1 9 40 60 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n";
        let root = tree(&[
            ("proc/stat", stat),
            ("proc/vmstat", "pswpin 3\npswpout 4\npswpin_more 9\n"),
            ("proc/self/cgroup", "4:memory:/a\n0::/run/x\n"),
            (
                "sys/fs/cgroup/run/x/cpu.stat",
                "usage_usec 5\nthrottled_usec 2500000\n",
            ),
            (
                "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count",
                "2\n",
            ),
            (
                "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count",
                "5\n",
            ),
        ]);
        let seen = look(root.path(), 100.0);
        assert_eq!(
            seen.processors,
            Some(Processors {
                busy_s: 1.6,
                stolen_s: 0.4,
                total_s: 6.5
            })
        );
        assert_eq!(
            (seen.swapped_pages, seen.held_back_s, seen.throttled),
            (Some(7.0), Some(2.5), Some(7.0))
        );

        let old = tree(&[
            ("proc/self/cgroup", "3:cpu,cpuacct:/b\n0::/\n"),
            (
                "sys/fs/cgroup/cpu/b/cpu.stat",
                "nr_throttled 1\nthrottled_time 500000000\n",
            ),
        ]);
        assert_eq!(
            look(old.path(), 100.0),
            Snapshot {
                held_back_s: Some(0.5),
                ..Snapshot::default()
            }
        );
        // The quota of a pod holds its containers back, whose own groups have none.
        let pod = tree(&[
            ("proc/self/cgroup", "0::/pod/container\n"),
            ("sys/fs/cgroup/cpu.stat", "usage_usec 5\n"),
            ("sys/fs/cgroup/pod/cpu.stat", "throttled_usec 600000\n"),
            (
                "sys/fs/cgroup/pod/container/cpu.stat",
                "throttled_usec 100000\n",
            ),
        ]);
        assert_eq!(look(pod.path(), 100.0).held_back_s, Some(0.7));
        let nothing = tree(&[("proc/stat", "cpu  1 2 x\n"), ("proc/vmstat", "pswpin 1\n")]);
        assert_eq!(look(nothing.path(), 100.0), Snapshot::default());
    }

    #[test]
    fn what_took_time_is_told_as_a_share() {
        let at = |at_s, own_s, busy_s, stolen_s, total_s| Snapshot {
            at_s,
            own_s: Some(own_s),
            processors: Some(Processors {
                busy_s,
                stolen_s,
                total_s,
            }),
            held_back_s: Some(0.1 * at_s),
            ..Snapshot::default()
        };
        let found = between(
            &at(10.0, 5.0, 100.0, 7.0, 1000.0),
            &at(20.0, 15.0, 116.0, 8.0, 1020.0),
        );
        let rows: Vec<(&str, f64)> = found
            .iter()
            .map(|d| (d.code, (1e9 * d.value).round() / 1e9))
            .collect();
        assert_eq!(
            rows,
            [
                ("cpu_steal", 0.05),
                ("foreign_load", 0.3),
                ("quota_throttled", 0.1)
            ]
        );
        // Rounding of ticks can make others' time negative: that is none.
        let found = between(&at(0.0, 0.0, 0.0, 0.0, 0.0), &at(1.0, 1.0, 0.99, 0.0, 2.0));
        assert_eq!(found[1].value, 0.0);
        // What no counter tells is never a 0.
        assert_eq!(unseen(&found), ["swapping", "thermal_throttled"]);
        let nothing = between(&Snapshot::default(), &Snapshot::default());
        assert!(nothing.is_empty() && unseen(&nothing) == CODES);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_counters() {
        let before = snapshot(0.0);
        assert!(before.processors.unwrap().total_s > 0.0 && before.own_s.unwrap() > 0.0);
    }
}
