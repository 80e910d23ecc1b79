//! The logical processors that this process, and all that it starts, may run on.

use crate::error::{Error, Result};

/// More than any machine numbers, and as many as the system's own mask holds.
const MOST: usize = 1024;

/// The numbers that `0-3,8` names, rising.
fn numbers(list: &str) -> Option<Vec<usize>> {
    let of_part = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first <= last && last < MOST).then(|| (first..=last).collect::<Vec<usize>>())
    };
    let parts: Option<Vec<Vec<usize>>> = list.split(',').map(of_part).collect();
    let mut all = parts?.concat();
    all.sort_unstable();
    all.dedup();
    Some(all)
}

/// Runs on these processors alone from now on.
///
/// # Errors
/// A list that is none, processors that are not there or not this process's to use, a system that has no such masks.
pub fn to(list: &str) -> Result<()> {
    let numbers = numbers(list).ok_or_else(|| {
        let what = format!("--pin {}: no list of processors", list.escape_debug());
        Error::input(what).hint("numbers and ranges, such as `--pin 0-3,8`")
    })?;
    set(&numbers).map_err(|why| {
        Error::input(format!("--pin {list}: {why}"))
            .hint("`effbench doctor` says how many processors this process may use")
    })
}

#[cfg(target_os = "linux")]
fn set(numbers: &[usize]) -> std::result::Result<(), String> {
    // SAFETY: a `cpu_set_t` is a plain array of bits, for which all zeros is the empty set.
    let mut mask: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &number in numbers {
        // SAFETY: `numbers` are below `MOST`, the size of the set.
        unsafe { libc::CPU_SET(number, &mut mask) };
    }
    // SAFETY: the mask is a whole `cpu_set_t` of this function's, and 0 is the calling thread: everything starts from it.
    let failed = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &mask) } != 0;
    if failed {
        return Err("none of these processors can be used here".to_owned());
    }
    let allowed = std::thread::available_parallelism().map_or(0, usize::from);
    match allowed < numbers.len() {
        true => Err(format!(
            "{allowed} of these {} processors can be used here",
            numbers.len()
        )),
        false => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn set(_numbers: &[usize]) -> std::result::Result<(), String> {
    Err("this system has no masks of processors".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_the_system_writes_them() {
        let check = |list: &str, expected: Option<&[usize]>| {
            assert_eq!(numbers(list).as_deref(), expected, "{list}");
        };
        check("0", Some(&[0]));
        check("0-3,8", Some(&[0, 1, 2, 3, 8]));
        check("2, 0-1 ,1", Some(&[0, 1, 2]));
        for none in ["", "a", "3-1", "0-5000", "1,,2", "-1"] {
            check(none, None);
        }
        let error = to("x").unwrap_err();
        assert_eq!(error.message, "--pin x: no list of processors");
    }
}
