//! From what the meters read to what is recorded: channels, joules per token, and reasons for doubt.

use crate::reading::{self, Absent, Method, Quality};
use crate::record::{Channel, Energy, Flag, PhaseEnergy, Severity};

/// A trial that an earlier process began: what that one took of energy went with it.
pub(super) const RESUMED: &str = "resumed";

/// The record's form of what the meters read.
pub fn energy(energy: &reading::Energy, resumed: bool) -> Energy {
    let measured = energy
        .measured_j()
        .map_err(Absent::code)
        .and_then(|j| if resumed { Err(RESUMED) } else { Ok(j) });
    Energy {
        channels: energy
            .channels
            .iter()
            .map(|one| {
                if resumed {
                    partly(channel(one))
                } else {
                    channel(one)
                }
            })
            .collect(),
        measured_j: measured.ok(),
        reason: measured.err().map(str::to_owned),
        poller_cpu_s: energy.poller_cpu_s,
    }
}

fn channel(channel: &reading::Channel) -> Channel {
    let is_read = channel.energy_j.is_ok();
    let code = |absent: Absent| absent.code().to_owned();
    Channel {
        id: channel.id.clone(),
        component: channel.component.to_owned(),
        method: if is_read {
            channel.method
        } else {
            Method::None
        },
        source: channel.source.clone(),
        quality: if is_read {
            channel.quality
        } else {
            Quality::Unavailable
        },
        energy_j: channel.energy_j.ok(),
        bounds_j: channel.bounds_j,
        window_s: channel.window_s,
        reason: channel
            .energy_j
            .err()
            .map(code)
            .or_else(|| channel.differs().map(|_| "differs_from_power".to_owned())),
        scope: Some(channel.scope.clone()).filter(|scope| !scope.is_empty()),
        update_period_s: channel.update_period_s,
        resolution_j: channel.resolution_j,
        wraps: channel.wraps,
        resets: channel.resets,
        overlaps: channel.overlaps.clone(),
        check_ratio: channel.check_ratio,
        phases: channel.phases.iter().map(phase).collect(),
    }
}

/// A channel of a process that only did the rest: what it read is not the trial's.
fn partly(channel: Channel) -> Channel {
    let reason = channel.reason.or_else(|| Some(RESUMED.to_owned()));
    Channel {
        method: Method::None,
        quality: Quality::Unavailable,
        energy_j: None,
        bounds_j: None,
        check_ratio: None,
        phases: Vec::new(),
        reason,
        ..channel
    }
}

fn phase(part: &reading::PhaseEnergy) -> PhaseEnergy {
    PhaseEnergy {
        phase: part.phase,
        energy_j: part.energy_j.ok(),
        window_s: part.window_s,
        reason: part.energy_j.err().map(|absent| absent.code().to_owned()),
    }
}

/// Joules of a prompt over its tokens.
pub(super) fn per_prompt_token(
    prompt_j: Result<f64, Absent>,
    tokens: f64,
) -> Result<f64, &'static str> {
    prompt_j.map(|joules| joules / tokens).map_err(Absent::code)
}

/// Joules of a generation less those of its prompt, over the tokens decoded.
pub(super) fn per_decoded_token(
    prompt_j: Result<f64, Absent>,
    whole_j: Result<f64, Absent>,
    tokens: f64,
) -> Result<f64, &'static str> {
    let rest_j = whole_j.map_err(Absent::code)? - prompt_j.map_err(Absent::code)?;
    match tokens > 0.0 {
        _ if rest_j <= 0.0 => Err("not distinguishable from the prompt's"),
        true => Ok(rest_j / tokens),
        false => Err("nothing was generated"),
    }
}

/// Reasons for doubt that the meters give.
pub(super) fn flags(energy: &reading::Energy) -> Vec<Flag> {
    let flag = |code: &str, severity, value: Option<f64>, limit| Flag {
        code: code.to_owned(),
        severity,
        value,
        limit,
    };
    let resets: u64 = energy
        .channels
        .iter()
        .filter_map(|channel| channel.resets)
        .sum();
    let differ = energy
        .channels
        .iter()
        .filter_map(reading::Channel::differs)
        .map(f64::abs)
        .reduce(f64::max);
    let reset = (resets > 0).then(|| {
        flag(
            "energy_counter_reset",
            Severity::Warn,
            Some(resets as f64),
            Some(0.0),
        )
    });
    let differ = differ.map(|most| {
        flag(
            "energy_meters_differ",
            Severity::Warn,
            Some(most),
            Some(reading::MOST_DIFFERENCE),
        )
    });
    reset.into_iter().chain(differ).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Phase;

    fn read() -> reading::Channel {
        reading::Channel {
            method: Method::Counter,
            quality: Quality::FirmwareModel,
            scope: "one package".to_owned(),
            energy_j: Ok(40.0),
            window_s: Some(4.0),
            phases: vec![reading::PhaseEnergy {
                phase: Phase::Train,
                window_s: 3.0,
                energy_j: Ok(30.0),
            }],
            wraps: Some(1),
            resets: Some(0),
            ..reading::Channel::missing("package-0", "cpu_package", "rapl.perf", Absent::NoSensor)
        }
    }

    #[test]
    fn a_reading_is_recorded_with_what_it_is_and_an_absence_with_its_reason() {
        let found = energy(
            &reading::Energy {
                channels: vec![read()],
                poller_cpu_s: Some(0.01),
            },
            false,
        );
        let channel = &found.channels[0];
        let words = (channel.method, channel.quality, channel.source.as_str());
        assert_eq!(
            words,
            (Method::Counter, Quality::FirmwareModel, "rapl.perf")
        );
        assert_eq!(
            (channel.energy_j, channel.wraps, channel.reason.as_deref()),
            (Some(40.0), Some(1), None)
        );
        assert_eq!(
            (channel.phases[0].phase, channel.phases[0].energy_j),
            (Phase::Train, Some(30.0))
        );
        assert_eq!(
            (found.measured_j, found.reason, found.poller_cpu_s),
            (Some(40.0), None, Some(0.01))
        );

        let resumed = energy(
            &reading::Energy {
                channels: vec![read()],
                poller_cpu_s: None,
            },
            true,
        );
        assert_eq!(
            (resumed.measured_j, resumed.reason.as_deref()),
            (None, Some("resumed"))
        );

        let broken = reading::Channel {
            energy_j: Err(Absent::Reset),
            resets: Some(2),
            ..read()
        };
        let broken = reading::Energy {
            channels: vec![broken],
            poller_cpu_s: None,
        };
        let found = energy(&broken, false);
        assert_eq!(
            (found.measured_j, found.reason.as_deref()),
            (None, Some("counter_reset"))
        );
        let channel = &found.channels[0];
        assert_eq!(
            (channel.method, channel.quality),
            (Method::None, Quality::Unavailable)
        );
        let flag = &flags(&broken)[0];
        assert_eq!(
            (flag.code.as_str(), flag.value, flag.limit),
            ("energy_counter_reset", Some(2.0), Some(0.0))
        );
    }

    #[test]
    fn instruments_that_differ_are_recorded_with_their_joules() {
        let channel = reading::Channel {
            check_ratio: Some(0.8),
            ..read()
        };
        let differing = reading::Energy {
            channels: vec![channel],
            poller_cpu_s: None,
        };
        let found = energy(&differing, false);
        assert_eq!(
            found.channels[0].reason.as_deref(),
            Some("differs_from_power")
        );
        assert_eq!(
            (found.measured_j, found.channels[0].check_ratio),
            (Some(40.0), Some(0.8))
        );
        let flag = &flags(&differing)[0];
        assert_eq!(
            (flag.code.as_str(), flag.limit),
            ("energy_meters_differ", Some(0.05))
        );
        assert!((flag.value.unwrap() - 0.2).abs() < 1e-12);
    }

    #[test]
    fn a_decoded_token_has_what_a_prompt_leaves() {
        let short = Err(Absent::WindowTooShort);
        assert_eq!(per_decoded_token(Ok(2.0), Ok(10.0), 16.0), Ok(0.5));
        assert_eq!(
            per_decoded_token(Ok(2.0), Ok(1.9), 16.0),
            Err("not distinguishable from the prompt's")
        );
        assert_eq!(
            per_decoded_token(Ok(2.0), Ok(3.0), 0.0),
            Err("nothing was generated")
        );
        assert_eq!(
            per_decoded_token(Ok(2.0), short, 16.0),
            Err("window_too_short")
        );
        assert_eq!(
            per_decoded_token(short, Ok(10.0), 16.0),
            Err("window_too_short")
        );
        assert_eq!(per_prompt_token(Ok(2.0), 4.0), Ok(0.5));
    }
}
