//! Power at rest: what the meters read while nothing runs. Gross joules come first; what a machine would have taken anyway is
//! only told beside them, and only where it was known to be at rest.

use std::thread;
use std::time::Duration;

use super::meter::MeterKind;
use super::session::SharedClock;
use super::{Metering, Plan};
use crate::config::Catalog;
use crate::measure::gpu::Own;
use crate::reading::{Absent, Energy};

/// How long: as many updates as the slowest counter needs, and one more second.
pub const IDLE_S: f64 = 6.0;
/// Share of the processors' time above which a machine is not at rest.
pub const MOST_BUSY: f64 = 0.05;

/// Watts at rest by all meters that count, for [`IDLE_S`] seconds of doing nothing. Nothing is waited for, and `None`, where no
/// meter is open.
pub fn power_w(
    kinds: &Catalog<dyn MeterKind>,
    gpu: Option<Own>,
    clock: SharedClock,
) -> Option<Result<f64, Absent>> {
    let meters = Metering::start(
        kinds,
        Plan {
            gpu,
            external: None,
        },
        clock,
    );
    if !meters.is_open() {
        return None;
    }
    let before = ticks();
    thread::sleep(Duration::from_secs_f64(IDLE_S));
    let busy = before
        .zip(ticks())
        .and_then(|(before, after)| busy_share(before, after));
    Some(at_rest(&meters.end(), busy))
}

fn at_rest(energy: &Energy, busy: Option<f64>) -> Result<f64, Absent> {
    let window_s = energy
        .channels
        .iter()
        .filter_map(|channel| channel.window_s)
        .fold(0.0, f64::max);
    match (busy, energy.measured_j()) {
        (_, Err(absent)) => Err(absent),
        (Some(busy), Ok(joules)) if busy <= MOST_BUSY => Ok(joules / window_s),
        _ => Err(Absent::NotIdle),
    }
}

/// Time of all processors since the start: all of it, and that at work.
type Ticks = (u64, u64);

/// From `/proc/stat`; `None` elsewhere than on Linux.
fn ticks() -> Option<Ticks> {
    parse(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// `cpu  user nice system idle iowait irq softirq steal ...`; guests are counted in user already.
fn parse(stat: &str) -> Option<Ticks> {
    let fields = stat
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_whitespace()
        .take(8);
    let fields: Vec<u64> = fields
        .map(|field| field.parse().ok())
        .collect::<Option<_>>()?;
    let [_, _, _, idle, waiting, ..] = fields[..] else {
        return None;
    };
    let all: u64 = fields.iter().sum();
    Some((all, all - idle - waiting))
}

fn busy_share((all_before, busy_before): Ticks, (all_after, busy_after): Ticks) -> Option<f64> {
    let all = all_after.checked_sub(all_before).filter(|all| *all > 0)?;
    Some(busy_after.checked_sub(busy_before)? as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Channel;

    #[test]
    fn the_kernels_ticks_give_a_share() {
        let before = parse("cpu  100 0 50 800 50 0 0 0 30 0\ncpu0 1 2 3 4\n").unwrap();
        assert_eq!(before, (1000, 150));
        let after = parse("cpu  104 0 52 996 48 0 0 0 30 0\n").unwrap();
        assert_eq!(busy_share(before, after), Some(0.03));
        assert_eq!(busy_share(after, after), None);
        assert_eq!(busy_share(after, before), None);
        for text in ["", "cpu0 1 2 3 4 5", "cpu  1 2 3", "cpu  1 2 3 x 5"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn power_at_rest_needs_a_machine_at_rest() {
        let energy = |energy_j| {
            let blank = Channel::missing("package-0", "cpu_package", "test", Absent::NoSensor);
            Energy {
                channels: vec![Channel {
                    energy_j,
                    window_s: Some(6.0),
                    ..blank
                }],
                poller_cpu_s: None,
            }
        };
        assert_eq!(at_rest(&energy(Ok(120.0)), Some(0.03)), Ok(20.0));
        assert_eq!(
            at_rest(&energy(Ok(120.0)), Some(0.06)),
            Err(Absent::NotIdle)
        );
        assert_eq!(at_rest(&energy(Ok(120.0)), None), Err(Absent::NotIdle));
        assert_eq!(
            at_rest(&energy(Err(Absent::Frozen)), Some(0.0)),
            Err(Absent::Frozen)
        );
    }
}
