//! No meter: rated power and utilisation as a range. Always `modelled`, always an estimate, never in a sum of measurements.
//!
//! The bounds are wide because the model is poor. Below: an idle part takes at least a tenth of its rated power, and a busy one
//! at least half. Above: an idle part takes at most half (CodeCarbon's assumption for a part of unknown load), and a busy one
//! all that its vendor states. Between idle and busy power is taken to grow with utilisation. A virtual machine that sees
//! k of a part's n hardware threads takes k / n of it, and a machine that sees more threads than one part has holds several.

use super::rated::{self, Rated};
use super::session::{self, Stretch};
use crate::reading::{Absent, Channel, Method, Phase, PhaseEnergy, Quality};

/// Share of rated power that an idle part takes at least, and a busy one.
const LOW: [f64; 2] = [0.1, 0.5];
/// Share of the highest stated power that an idle part takes at most, and a busy one.
const HIGH: [f64; 2] = [0.5, 1.0];

/// The name of the method's source in records.
pub const SOURCE: &str = "rated_power_x_utilisation";

/// What a trial did on a machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// How long.
    pub window_s: f64,
    /// Hardware threads that the machine shows.
    pub threads: u32,
    /// Processor seconds that the trial took, where the system tells.
    pub busy_s: Option<f64>,
    /// Whether the threads may be a share of a part's.
    pub is_virtual: bool,
}

/// Bounds in watts of a part of which `share` is in use, `utilisation` of it busy; the widest where that is not known.
pub fn bounds_w(rated: &Rated, share: f64, utilisation: Option<f64>) -> [f64; 2] {
    let at = |[idle, busy]: [f64; 2], utilisation: f64| {
        idle + (busy - idle) * utilisation.clamp(0.0, 1.0)
    };
    let low = rated.watts[0] * share * at(LOW, utilisation.unwrap_or(0.0));
    let high = rated.watts[1] * share * at(HIGH, utilisation.unwrap_or(1.0));
    [low, high]
}

/// How many of a part's rated watts a machine that shows so many threads has.
pub fn share(rated: &Rated, threads: u32, is_virtual: bool) -> f64 {
    let parts = f64::from(threads) / f64::from(rated.threads);
    // Threads switched off save no package.
    if is_virtual || rated.threads == 1 {
        parts
    } else {
        parts.ceil()
    }
}

/// The processor's channel.
pub fn processor(model: &str, load: &Load) -> Channel {
    let Some(rated) = rated::processor(model) else {
        return unknown("cpu-model", "cpu_package");
    };
    let capacity_s = load.window_s * f64::from(load.threads);
    let utilisation = load
        .busy_s
        .filter(|_| capacity_s > 0.0)
        .map(|busy_s| busy_s / capacity_s);
    let share = share(rated, load.threads, load.is_virtual);
    let scope = match utilisation {
        Some(utilisation) => format!(
            "this trial's share of the processor: {} threads, {:.0}% busy with it",
            load.threads,
            100.0 * utilisation.clamp(0.0, 1.0)
        ),
        None => format!("the processor: {} threads, load not known", load.threads),
    };
    estimate(
        "cpu-model",
        "cpu_package",
        rated,
        bounds_w(rated, share, utilisation),
        scope,
        load.window_s,
    )
}

/// A GPU's channel; its utilisation is not known.
pub fn gpu(model: &str, window_s: f64) -> Channel {
    let Some(rated) = rated::gpu(model) else {
        return unknown("gpu-model", "gpu");
    };
    let bounds_w = bounds_w(rated, 1.0, None);
    estimate(
        "gpu-model",
        "gpu",
        rated,
        bounds_w,
        "the whole GPU, load not known".to_owned(),
        window_s,
    )
}

fn unknown(id: &str, component: &'static str) -> Channel {
    let blank = Channel::missing(id, component, SOURCE, Absent::UnknownModel);
    Channel {
        method: Method::Modelled,
        quality: Quality::Estimate,
        ..blank
    }
}

fn estimate(
    id: &str,
    component: &'static str,
    rated: &Rated,
    bounds_w: [f64; 2],
    scope: String,
    window_s: f64,
) -> Channel {
    let bounds_j = bounds_w.map(|watts| watts * window_s);
    Channel {
        source: format!("{SOURCE}: {} ({})", rated.name, rated.source),
        scope,
        // Something to draw a bar with; the bounds are the statement.
        energy_j: Ok((bounds_j[0] + bounds_j[1]) / 2.0),
        bounds_j: Some(bounds_j),
        window_s: Some(window_s),
        ..unknown(id, component)
    }
}

/// The same estimate by phase: power is taken to be the same in all of them.
pub(super) fn by_phase(mut channel: Channel, stretches: &[Stretch]) -> Channel {
    if let (Ok(joules), Some(window_s)) = (channel.energy_j, channel.window_s) {
        let part = |(phase, own): (Phase, Vec<(f64, f64)>)| {
            let seconds: f64 = own.iter().map(|(from_s, to_s)| to_s - from_s).sum();
            PhaseEnergy {
                phase,
                window_s: seconds,
                energy_j: Ok(joules * seconds / window_s),
            }
        };
        channel.phases = session::by_phase(stretches).into_iter().map(part).collect();
    }
    channel
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Energy;

    /// Bounds in ten seconds, or why there are none; never measured.
    fn check(
        model: &str,
        threads: u32,
        busy_s: Option<f64>,
        is_virtual: bool,
        expected: Result<[f64; 2], Absent>,
    ) {
        let channel = processor(
            model,
            &Load {
                window_s: 10.0,
                threads,
                busy_s,
                is_virtual,
            },
        );
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9 * b;
        match (channel.bounds_j, expected) {
            (Some([low, high]), Ok([least, most])) => {
                assert!(
                    near(low, least) && near(high, most),
                    "{model}: {low} to {high}"
                );
                assert!(
                    near(channel.energy_j.unwrap(), (least + most) / 2.0),
                    "{model}"
                );
            }
            (None, Err(absent)) => assert_eq!(channel.energy_j, Err(absent), "{model}"),
            other => panic!("{model}: {other:?}"),
        }
        assert_eq!(
            (channel.method, channel.quality),
            (Method::Modelled, Quality::Estimate)
        );
        assert!(
            Energy {
                channels: vec![channel],
                poller_cpu_s: None
            }
            .measured_j()
            .is_err()
        );
    }

    #[test]
    fn rated_power_and_utilisation_are_a_range() {
        let milan = "AMD EPYC 7763 64-Core Processor";
        // All of 128 threads busy: half of 280 W to all of it.
        check(milan, 128, Some(1280.0), false, Ok([1400.0, 2800.0]));
        // Idle: a tenth to half.
        check(milan, 128, Some(0.0), false, Ok([280.0, 1400.0]));
        // Half busy: between.
        check(milan, 128, Some(640.0), false, Ok([840.0, 2100.0]));
        // Not known: the widest.
        check(milan, 128, None, false, Ok([280.0, 2800.0]));
        // A virtual machine with 2 of 128 threads, a machine of two packages, and one with half of its threads off.
        check(milan, 2, Some(20.0), true, Ok([21.875, 43.75]));
        check(milan, 256, Some(2560.0), false, Ok([2800.0, 5600.0]));
        check(milan, 64, Some(640.0), false, Ok([1400.0, 2800.0]));
        // Base and turbo.
        check(
            "Intel(R) Core(TM) i9-13900K",
            32,
            Some(320.0),
            false,
            Ok([625.0, 2530.0]),
        );
        // More seconds than there are: the clocks of threads are not the wall's.
        check(milan, 128, Some(1281.0), false, Ok([1400.0, 2800.0]));
        check(
            "Apple M2 Pro",
            10,
            Some(1.0),
            false,
            Err(Absent::UnknownModel),
        );
    }

    #[test]
    fn an_estimate_has_phases_by_their_time() {
        let stretch = |phase, from_s, to_s| Stretch {
            phase,
            from_s,
            to_s,
        };
        let stretches = [
            stretch(Phase::Other, 0.0, 2.0),
            stretch(Phase::Train, 2.0, 8.0),
        ];
        let channel = by_phase(gpu("NVIDIA H100 80GB HBM3", 8.0), &stretches);
        assert_eq!(channel.energy_j, Ok(3080.0));
        assert_eq!(
            channel.phases,
            [PhaseEnergy {
                phase: Phase::Train,
                window_s: 6.0,
                energy_j: Ok(2310.0)
            }]
        );
    }

    #[test]
    fn a_hidden_model_gives_a_wide_range_and_its_source() {
        let channel = processor(
            "AMD EPYC",
            &Load {
                window_s: 1.0,
                threads: 2,
                busy_s: Some(2.0),
                is_virtual: true,
            },
        );
        let [low, high] = channel.bounds_j.unwrap();
        assert!(
            (low - 1.3).abs() < 1e-12 && (high - 22.6).abs() < 1e-12,
            "{low} {high}"
        );
        assert!(
            channel
                .source
                .starts_with("rated_power_x_utilisation: AMD EPYC (AMD's Default TDP of EPYC")
        );
        assert_eq!(
            channel.scope,
            "this trial's share of the processor: 2 threads, 100% busy with it"
        );
        assert_eq!(
            gpu("NVIDIA H100 80GB HBM3", 2.0).bounds_j,
            Some([140.0, 1400.0])
        );
        assert_eq!(gpu("NVIDIA A10G", 2.0).energy_j, Err(Absent::UnknownModel));
    }
}
