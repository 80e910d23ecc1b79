//! Fake trees of the PMU `power`, and a kernel that opens what it is told to.

use tempfile::TempDir;

use super::*;
use crate::measure::energy::account::Account;
use crate::measure::energy::meter::Gpus;

/// 2^-32 J, as the kernel writes it.
const SCALE: &str = "2.3283064365386962890625e-10";

fn tree(cpumask: &str, events: &[(&str, &str)], topology: &[(u32, &str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let device = root.path().join(DEVICE);
    fs::create_dir_all(device.join("events")).unwrap();
    let write = |name: &str, text: &str| fs::write(device.join(name), format!("{text}\n")).unwrap();
    write("type", "22");
    write("cpumask", cpumask);
    for (name, code) in events {
        write(&format!("events/{name}"), code);
        write(&format!("events/{name}.scale"), SCALE);
        write(&format!("events/{name}.unit"), "Joules");
    }
    for (cpu, package, die) in topology {
        let folder = root
            .path()
            .join(format!("sys/devices/system/cpu/cpu{cpu}/topology"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("physical_package_id"), package).unwrap();
        fs::write(folder.join("die_id"), die).unwrap();
    }
    root
}

fn place(root: &TempDir, is_virtual: bool) -> Place {
    Place {
        root: root.path().to_owned(),
        is_virtual,
        gpus: Gpus::None,
    }
}

/// `id: type, code, processor` of what opened, `id: why not` of what did not.
fn seen(root: &TempDir, is_virtual: bool, error: Option<i32>) -> Vec<String> {
    let open = |kind: u32, config: u64, cpu: u32| -> io::Result<Count> {
        match error {
            Some(code) => Err(io::Error::from_raw_os_error(code)),
            None => Ok(Box::new(move || {
                Ok(u64::from(kind) * 10_000 + config * 100 + u64::from(cpu))
            })),
        }
    };
    let say = |found: Found| match found {
        Found::Open(mut meter) => {
            let value = meter.read().unwrap();
            format!("{}: {value:?}", meter.about().id)
        }
        Found::Missing(missing) => format!("{}: {}", missing.id, missing.absent.code()),
    };
    find(&place(root, is_virtual), &open)
        .into_iter()
        .map(say)
        .collect()
}

#[test]
fn events_are_opened_once_a_package() {
    let desktop = [
        ("energy-cores", "event=0x01"),
        ("energy-pkg", "event=0x02"),
        ("energy-psys", "event=0x05"),
    ];
    assert_eq!(
        seen(&tree("0", &desktop, &[]), false, None),
        ["package-0: Count(220200)", "psys: Count(220500)"]
    );
    let server = [
        ("energy-pkg", "event=0x02"),
        ("energy-ram", "event=0x03"),
        ("energy-psys", "event=0x05"),
    ];
    let two = tree("0,18", &server, &[(0, "0", "0"), (18, "1", "0")]);
    assert_eq!(
        seen(&two, false, None),
        [
            "package-0: Count(220200)",
            "package-1: Count(220218)",
            "dram-0: Count(220300)",
            "dram-1: Count(220318)",
            "psys: Count(220500)",
        ]
    );
    let dies = tree(
        "0-1",
        &[("energy-pkg", "event=0x02")],
        &[(0, "0", "0"), (1, "0", "1")],
    );
    let expected = [
        "package-0-die-0: Count(220200)",
        "package-0-die-1: Count(220201)",
    ];
    assert_eq!(seen(&dies, false, None), expected);
}

#[test]
fn a_refusal_says_why_and_what_would_do() {
    let package = [("energy-pkg", "event=0x02")];
    let tree_of_one = tree("0", &package, &[]);
    let check =
        |error, expected: &str| assert_eq!(seen(&tree_of_one, false, Some(error)), [expected]);
    check(libc::EACCES, "package-0: no_permission");
    check(libc::EPERM, "package-0: no_permission");
    check(libc::ENOENT, "package-0: no_sensor");
    check(libc::EINVAL, "package-0: no_sensor");
    let denied = |_: u32, _: u64, _: u32| -> io::Result<Count> {
        Err(io::Error::from_raw_os_error(libc::EACCES))
    };
    let Some(Found::Missing(missing)) = find(&place(&tree_of_one, false), &denied).pop() else {
        panic!("it opened")
    };
    assert!(
        missing.remedy.contains("cap_perfmon+ep")
            && missing.remedy.contains("perf_event_paranoid=-1")
    );

    let none = tempfile::tempdir().unwrap();
    assert_eq!(seen(&none, true, None), ["cpu: virtual_machine"]);
    assert_eq!(seen(&none, false, None), ["cpu: no_sensor"]);
    assert_eq!(
        seen(
            &tree("0", &[("energy-cores", "event=0x01")], &[]),
            false,
            None
        ),
        ["cpu: no_sensor"]
    );
    for (file, text) in [
        ("type", "x"),
        ("cpumask", "a"),
        ("events/energy-pkg", "event=2"),
        ("events/energy-pkg.unit", "mJ"),
    ] {
        let root = tree("0", &package, &[]);
        fs::write(root.path().join(DEVICE).join(file), text).unwrap();
        assert_eq!(seen(&root, false, None), ["cpu: unsupported"], "{file}");
    }
}

/// Counts of 2^-32 J: 2^38 of them are 64 J, exactly.
#[test]
fn counts_become_exact_joules() {
    let root = tree("0", &[("energy-pkg", "event=0x02")], &[]);
    let mut counts = [7, 7 + (1 << 38), 7 + (1 << 39)].into_iter();
    let counts = std::sync::Mutex::new(std::iter::from_fn(move || counts.next()));
    let counts = std::sync::Arc::new(counts);
    let open = move |_: u32, _: u64, _: u32| -> io::Result<Count> {
        let counts = counts.clone();
        Ok(Box::new(move || {
            counts
                .lock()
                .unwrap()
                .next()
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        }))
    };
    let Some(Found::Open(mut meter)) = find(&place(&root, false), &open).pop() else {
        panic!("it does not open")
    };
    let about = meter.about();
    let mut account = Account::new(about.law, about.update_s, about.least_s);
    for at_s in [0.0, 1.0, 2.0] {
        account.read(at_s, meter.read());
    }
    assert_eq!(account.energy_j(), Ok(128.0));
    account.read(3.0, meter.read());
    assert_eq!(account.energy_j(), Err(Absent::Vanished));
}

/// Whatever this machine is, asking it does no harm.
#[test]
fn this_machine_can_be_asked() {
    let found = Kind.find(&Place {
        root: "/".into(),
        is_virtual: true,
        gpus: Gpus::None,
    });
    assert!(!found.is_empty());
}

/// The call itself, on an event that every kernel has: a processor's clock (PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK).
/// A sandbox may refuse it; what must not happen is that the kernel finds it malformed.
#[cfg(target_os = "linux")]
#[test]
fn the_kernel_understands_the_call() {
    match kernel::open(1, 0, 0) {
        Ok(mut count) => {
            let first = count().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(2));
            assert!(count().unwrap() > first);
        }
        Err(error) => assert!(
            ![Some(libc::EINVAL), Some(libc::E2BIG)].contains(&error.raw_os_error()),
            "{error}"
        ),
    }
}
