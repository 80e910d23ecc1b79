//! Fake trees of powercap, as the kernel lays them out on the machines named.

use tempfile::TempDir;

use super::*;
use crate::measure::energy::account::Account;
use crate::measure::energy::meter::Gpus;

/// 32 bits of 2^-16 J, as servers have them, and of 2^-14 J, as desktops do.
const SERVER: &str = "65532610987";
const DESKTOP: &str = "262143328850";

/// A root with zones: number, name, microjoules.
fn tree(zones: &[(&str, &str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (number, name, energy_uj) in zones {
        let folder = root.path().join("sys/class/powercap").join(number);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("name"), format!("{name}\n")).unwrap();
        fs::write(folder.join("max_energy_range_uj"), format!("{SERVER}\n")).unwrap();
        fs::write(folder.join("energy_uj"), format!("{energy_uj}\n")).unwrap();
    }
    root
}

fn find(root: &TempDir, is_virtual: bool) -> Vec<Found> {
    Kind.find(&Place {
        root: root.path().to_owned(),
        is_virtual,
        gpus: Gpus::None,
    })
}

/// `id: first reading` of what opened, `id: why not` of what did not.
fn seen(root: &TempDir, is_virtual: bool) -> Vec<String> {
    let say = |found: Found| match found {
        Found::Open(mut meter) => match meter.read() {
            Ok(Value::Count(count)) => format!("{}: {count}", meter.about().id),
            other => panic!("{other:?}"),
        },
        Found::Missing(missing) => format!("{}: {}", missing.id, missing.absent.code()),
    };
    find(root, is_virtual).into_iter().map(say).collect()
}

#[test]
fn zones_are_chosen_by_name_and_none_is_counted_twice() {
    let check = |zones: &[(&str, &str, &str)], expected: &[&str]| {
        assert_eq!(seen(&tree(zones), false), expected)
    };
    // A desktop: core and uncore are parts of the package; psys holds it.
    check(
        &[
            ("intel-rapl:0", "package-0", "11"),
            ("intel-rapl:0:0", "core", "12"),
            ("intel-rapl:0:1", "uncore", "13"),
            ("intel-rapl:1", "psys", "14"),
        ],
        &["package-0: 11", "psys: 14"],
    );
    // A server of two packages whose zones are numbered the other way round.
    check(
        &[
            ("intel-rapl:0", "package-1", "11"),
            ("intel-rapl:0:0", "dram", "12"),
            ("intel-rapl:1", "package-0", "21"),
            ("intel-rapl:1:0", "dram", "22"),
        ],
        &["dram-0: 22", "dram-1: 12", "package-0: 21", "package-1: 11"],
    );
    // Two dies in a package.
    check(
        &[
            ("intel-rapl:0", "package-0-die-0", "11"),
            ("intel-rapl:1", "package-0-die-1", "21"),
            ("intel-rapl:1:0", "dram", "22"),
        ],
        &[
            "dram-0-die-1: 22",
            "package-0-die-0: 11",
            "package-0-die-1: 21",
        ],
    );
    // The same register twice: through the processor and through memory.
    check(
        &[
            ("intel-rapl-mmio:0", "package-0", "12"),
            ("intel-rapl:0", "package-0", "11"),
            ("intel-rapl-mmio:0:0", "dram", "14"),
        ],
        &["dram-0: 14", "package-0: 11"],
    );
    check(
        &[("intel-rapl-mmio:0", "package-0", "12")],
        &["package-0: 12"],
    );
    // AMD, under the intel name.
    check(
        &[
            ("intel-rapl:0", "package-0", "11"),
            ("intel-rapl:0:0", "core", "12"),
            ("intel-rapl:1", "package-1", "21"),
            ("intel-rapl:1:0", "core", "22"),
        ],
        &["package-0: 11", "package-1: 21"],
    );
    check(
        &[("intel-rapl:0", "package-0", "no number")],
        &["package-0: unsupported"],
    );
}

#[test]
fn nothing_to_read_says_why() {
    let none = tempfile::tempdir().unwrap();
    assert_eq!(seen(&none, true), ["cpu: virtual_machine"]);
    assert_eq!(seen(&none, false), ["cpu: no_sensor"]);
    let root = tree(&[("intel-rapl:0", "package-0", "11")]);
    fs::remove_file(
        root.path()
            .join("sys/class/powercap/intel-rapl:0/energy_uj"),
    )
    .unwrap();
    assert_eq!(seen(&root, false), ["package-0: no_sensor"]);
    // What a refused file is taken for; a test that runs as root is refused nothing.
    assert_eq!(
        absent(&ErrorKind::PermissionDenied.into()),
        Absent::NoPermission
    );
    let zone = Zone {
        id: "package-0".to_owned(),
        component: "cpu_package",
        mirror: false,
        folder: root.path().to_owned(),
    };
    let remedy = zone.missing(Absent::NoPermission).remedy;
    assert_eq!(
        remedy,
        "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj"
    );
}

/// Inside some containers only the devices are there, one zone within the other.
#[test]
fn the_devices_do_where_the_class_is_hidden() {
    let root = tempfile::tempdir().unwrap();
    let package = root
        .path()
        .join("sys/devices/virtual/powercap/intel-rapl/intel-rapl:0");
    for (folder, name, count) in [
        (package.clone(), "package-0", "11"),
        (package.join("intel-rapl:0:0"), "dram", "12"),
    ] {
        fs::create_dir_all(&folder).unwrap();
        for (file, text) in [
            ("name", name),
            ("energy_uj", count),
            ("max_energy_range_uj", DESKTOP),
        ] {
            fs::write(folder.join(file), text).unwrap();
        }
    }
    assert_eq!(seen(&root, false), ["dram-0: 12", "package-0: 11"]);
    let Some(Found::Open(meter)) = find(&root, false).pop() else {
        panic!("package-0 does not open")
    };
    // 2^-14 J.
    assert!((meter.about().resolution_j.unwrap() / 6.103_515_625e-5 - 1.0).abs() < 1e-4);
}

/// A whole story on files: two packages, a wrap on one, a zone that vanishes on the other; time is a list of numbers.
#[test]
fn files_become_joules() {
    let root = tree(&[
        ("intel-rapl:0", "package-0", "65532000000"),
        ("intel-rapl:1", "package-1", "1000000"),
    ]);
    let mut meters: Vec<(Box<dyn Meter>, Account)> = find(&root, false)
        .into_iter()
        .map(|found| {
            let Found::Open(meter) = found else {
                panic!("a zone does not open")
            };
            let about = meter.about();
            let account = Account::new(about.law, about.update_s, about.least_s);
            (meter, account)
        })
        .collect();
    let file = |zone: u32| {
        root.path()
            .join(format!("sys/class/powercap/intel-rapl:{zone}/energy_uj"))
    };
    for (at_s, first, second) in [
        (0.0, "65532000000", Some("1000000")),
        (1.0, "99389013", Some("61000000")),
    ]
    .into_iter()
    .chain([
        (2.0, "199389013", Some("121000000")),
        (3.0, "299389013", None),
    ]) {
        fs::write(file(0), first).unwrap();
        match second {
            Some(text) => fs::write(file(1), text).unwrap(),
            None => fs::remove_dir_all(file(1).parent().unwrap()).unwrap(),
        }
        for (meter, account) in &mut meters {
            account.read(at_s, meter.read());
        }
    }
    // 610 987 µJ up to the range, 99 389 013 after it, then 100 J twice.
    assert_eq!(
        (meters[0].1.energy_j(), meters[0].1.wraps()),
        (Ok(300.0), 1)
    );
    assert_eq!(meters[1].1.energy_j(), Err(Absent::Vanished));
}
