//! From accounts to channels: what was read, what lies within what, and whether two instruments agree.

use super::account::Account;
use super::meter::{About, Found, Law, Meter, Missing};
use crate::reading::{Absent, Channel, Method};

/// The channel of a meter that was open.
pub(super) fn measured(about: &About, account: &Account) -> Channel {
    let is_counter = matches!(about.law, Law::Counter { .. });
    Channel {
        id: about.id.clone(),
        component: about.component,
        source: about.source.to_owned(),
        method: if is_counter {
            Method::Counter
        } else {
            Method::Sampled
        },
        quality: about.quality,
        scope: about.scope.clone(),
        energy_j: account.energy_j(),
        bounds_j: bounds_j(about, account),
        window_s: Some(account.window_s()),
        phases: account.phases(),
        update_period_s: Some(about.update_s),
        resolution_j: about.resolution_j,
        wraps: is_counter.then(|| account.wraps()),
        resets: is_counter.then(|| account.resets()),
        overlaps: about.overlaps.clone(),
        check_ratio: None,
    }
}

/// What the instrument leaves open: a value that it shows is up to one update old, at the beginning and at the end, and is a
/// multiple of its step. What it gets wrong itself is not in it.
fn bounds_j(about: &About, account: &Account) -> Option<[f64; 2]> {
    let (joules, seconds) = (account.energy_j().ok()?, account.window_s());
    if seconds <= 0.0 {
        return None;
    }
    let stale_j = about.update_s.min(seconds) * joules / seconds;
    let error_j = stale_j + about.resolution_j.unwrap_or(0.0);
    Some([(joules - error_j).max(0.0), joules + error_j])
}

/// Compares instruments on the same component, and lets a whole machine's meter, where it read anything, hold all others.
pub(super) fn relate(channels: &mut [Channel]) {
    for index in 0..channels.len() {
        let Ok(joules) = channels[index].energy_j else {
            continue;
        };
        let same = |other: &&Channel| {
            other.overlaps.as_ref() == Some(&channels[index].id)
                && other.component == channels[index].component
        };
        let check = channels
            .iter()
            .find(same)
            .and_then(|other| other.energy_j.ok());
        channels[index].check_ratio = check
            .filter(|check| *check > 0.0)
            .map(|check| joules / check);
    }
    let machine = channels
        .iter()
        .find(|c| c.component == "machine" && c.energy_j.is_ok())
        .map(|c| c.id.clone());
    if let Some(machine) = machine {
        for channel in channels
            .iter_mut()
            .filter(|c| c.id != machine && c.method != Method::Modelled)
        {
            channel.overlaps.get_or_insert_with(|| machine.clone());
        }
    }
}

/// Of all that was found the meters to read, one for each component's id in the catalog's order, and what is missing: of a
/// component that nothing reads, one row, a refusal before an absence.
pub(super) fn choose(found: Vec<Found>) -> (Vec<Box<dyn Meter>>, Vec<Missing>) {
    let mut open: Vec<Box<dyn Meter>> = Vec::new();
    let mut missing: Vec<Missing> = Vec::new();
    for found in found {
        match found {
            Found::Open(meter)
                if open
                    .iter()
                    .any(|other| other.about().id == meter.about().id) => {}
            Found::Open(meter) => open.push(meter),
            Found::Missing(row) => missing.push(row),
        }
    }
    let read: Vec<&About> = open.iter().map(|meter| meter.about()).collect();
    missing.retain(|row| {
        !read
            .iter()
            .any(|about| row.same(&about.id, about.component))
    });
    let mut rows: Vec<Missing> = Vec::new();
    for row in missing {
        match rows.iter_mut().find(|other| {
            row.same(&other.id, other.component) || other.same(&row.id, row.component)
        }) {
            Some(other) if other.absent == Absent::NoPermission => {}
            Some(other) => *other = row,
            None => rows.push(row),
        }
    }
    (open, rows)
}

impl Missing {
    /// Whether it is the same thing that is missing; `cpu` stands for every package.
    fn same(&self, id: &str, component: &str) -> bool {
        self.component == component && (self.id == id || self.id == "cpu")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(id: &str, source: &'static str, absent: Absent) -> Found {
        let (why, remedy) = (String::new(), String::new());
        Found::Missing(Missing {
            id: id.to_owned(),
            component: "cpu_package",
            source,
            absent,
            why,
            remedy,
        })
    }

    #[test]
    fn a_refusal_goes_before_an_absence_and_one_row_stands_for_a_component() {
        let check = |found: Vec<Found>, expected: &[(&str, Absent)]| {
            let rows = choose(found).1;
            let rows: Vec<(&str, Absent)> =
                rows.iter().map(|row| (row.source, row.absent)).collect();
            assert_eq!(rows, expected);
        };
        let virtual_machine = Absent::VirtualMachine;
        check(
            vec![
                missing("cpu", "rapl.perf", virtual_machine),
                missing("cpu", "rapl.powercap", virtual_machine),
            ],
            &[("rapl.powercap", virtual_machine)],
        );
        check(
            vec![
                missing("package-0", "rapl.perf", Absent::NoPermission),
                missing("cpu", "rapl.powercap", Absent::NoSensor),
            ],
            &[("rapl.perf", Absent::NoPermission)],
        );
    }

    #[test]
    fn a_meter_of_the_whole_machine_holds_all_others() {
        let channel = |id: &str, component, energy_j| Channel {
            energy_j,
            ..Channel::missing(id, component, "test", Absent::NoSensor)
        };
        let both = |machine| {
            let mut channels = vec![
                channel("package-0", "cpu_package", Ok(40.0)),
                channel("machine", "machine", machine),
            ];
            relate(&mut channels);
            crate::reading::Energy {
                channels,
                poller_cpu_s: None,
            }
            .measured_j()
        };
        assert_eq!(both(Ok(90.0)), Ok(90.0));
        assert_eq!(both(Err(Absent::NotCovered)), Ok(40.0));
    }
}
