//! What a trial did cost, by instrument. Unknown is an absence with its reason, never a 0.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a meter gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// A hypervisor hides the counters.
    VirtualMachine,
    /// A counter is there, and this user may not read it.
    NoPermission,
    /// The machine has no such counter.
    NoSensor,
    /// Something is there, and it says what this version does not understand.
    Unsupported,
    /// No rated power is known of this processor or GPU.
    UnknownModel,
    /// Several GPUs, and none is known to be the one that was used.
    NotIdentified,
    /// The driver does not show which of a GPU's processes is this one, as in many containers.
    ProcessesHidden,
    /// It could be read at first, and not later.
    Vanished,
    /// The counter fell, or leapt, as no power and no wrap explain.
    Reset,
    /// The counter stood still under load.
    Frozen,
    /// Readings lie so far apart that the counter may have wrapped unseen.
    WrapUncertain,
    /// Too few updates of the meter for a figure.
    WindowTooShort,
    /// Samples of power lie too far apart.
    Gap,
    /// Something else ran, or nobody knows, while power at rest was measured.
    NotIdle,
    /// The meter's log does not reach over the whole window.
    NotCovered,
}

impl Absent {
    /// The word that result files use.
    pub fn code(self) -> &'static str {
        match self {
            Self::VirtualMachine => "virtual_machine",
            Self::NoPermission => "no_permission",
            Self::NoSensor => "no_sensor",
            Self::Unsupported => "unsupported",
            Self::UnknownModel => "unknown_model",
            Self::NotIdentified => "gpu_not_identified",
            Self::ProcessesHidden => "processes_hidden",
            Self::Vanished => "meter_vanished",
            Self::Reset => "counter_reset",
            Self::Frozen => "counter_frozen",
            Self::WrapUncertain => "window_longer_than_wrap_period",
            Self::WindowTooShort => "window_too_short",
            Self::Gap => "gap_in_readings",
            Self::NotIdle => "machine_not_idle",
            Self::NotCovered => "window_not_covered",
        }
    }

    /// Whether a meter was there and failed, so that a sum without it would be a part taken for the whole.
    fn broke(self) -> bool {
        use Absent::{Frozen, Gap, NotCovered, Reset, Vanished, WindowTooShort, WrapUncertain};
        matches!(
            self,
            Vanished | Reset | Frozen | WrapUncertain | WindowTooShort | Gap | NotCovered
        )
    }
}

/// How joules come about.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A counter of energy, read twice.
    Counter,
    /// Samples of power, integrated.
    Sampled,
    /// Rated power and utilisation: no instrument.
    Modelled,
    /// There are none.
    #[default]
    None,
}

impl Method {
    /// The word that result files use.
    pub fn code(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Sampled => "sampled",
            Self::Modelled => "modelled",
            Self::None => "none",
        }
    }

    /// Whether an instrument is behind it.
    pub fn is_instrument(self) -> bool {
        matches!(self, Self::Counter | Self::Sampled)
    }
}

/// What stands behind a figure.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Current and voltage.
    Sensor,
    /// The processor's own account, on some parts a model inside its firmware.
    FirmwareModel,
    /// A guess with bounds.
    Estimate,
    /// There is no figure.
    #[default]
    Unavailable,
}

impl Quality {
    /// The word that result files use.
    pub fn code(self) -> &'static str {
        match self {
            Self::Sensor => "sensor",
            Self::FirmwareModel => "firmware_model",
            Self::Estimate => "estimate",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What is generated between a problem and its answer.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Thoughts {
    /// Nothing.
    None,
    /// Steps towards its answer.
    Own,
    /// A constant token, as often: the same FLOPs and no information.
    Filler,
    /// Steps towards another problem's answer: as much information, and none that helps.
    Another,
}

impl Thoughts {
    /// Their words in specs and result files.
    pub const WORDS: [&str; 4] = ["none", "own", "filler", "another"];

    /// That of a word.
    pub fn of(word: &str) -> Option<Self> {
        let kinds = [Self::None, Self::Own, Self::Filler, Self::Another];
        let mut named = Self::WORDS.iter().zip(kinds);
        named.find(|(name, _)| **name == word).map(|(_, kind)| kind)
    }
}

/// What a trial is doing.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Making ready.
    Other,
    /// Optimizer steps, the making of their batches included.
    Train,
    /// Validation.
    Evaluate,
    /// Nothing but prompts.
    Prefill,
    /// Whole generations: a prompt and the tokens after it.
    Generate,
    /// Tokens behind a prompt, some of them guessed ahead.
    Draft,
}

/// One phase's joules by one meter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhaseEnergy {
    /// Which.
    pub phase: Phase,
    /// Seconds of all its stretches together.
    pub window_s: f64,
    /// Joules, or why there are none.
    pub energy_j: Result<f64, Absent>,
}

/// A relative difference between two instruments on one component, a counter and the integral of power, above this is a reason
/// for doubt: what the two have in common is the component.
pub const MOST_DIFFERENCE: f64 = 0.05;

/// One energy meter's reading of one component.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// `package-0`, `gpu0`.
    pub id: String,
    /// `cpu_package`, `dram`, `gpu`, `platform`, `machine`.
    pub component: &'static str,
    /// Which instrument: `rapl.powercap`, `nvml.total_energy`.
    pub source: String,
    /// How joules come about.
    pub method: Method,
    /// What stands behind them.
    pub quality: Quality,
    /// What the joules cover, in words.
    pub scope: String,
    /// Joules of the whole window, or why there are none.
    pub energy_j: Result<f64, Absent>,
    /// Range of an estimate; of a reading, what the age and the step of its values leave open.
    pub bounds_j: Option<[f64; 2]>,
    /// Seconds that the reading covers.
    pub window_s: Option<f64>,
    /// The same by phase.
    pub phases: Vec<PhaseEnergy>,
    /// Seconds between two updates of the instrument.
    pub update_period_s: Option<f64>,
    /// Smallest step of the instrument.
    pub resolution_j: Option<f64>,
    /// Times that the counter passed its range, where it has one.
    pub wraps: Option<u64>,
    /// Times that the counter lost its count.
    pub resets: Option<u64>,
    /// The channel whose joules hold these: they are not added up.
    pub overlaps: Option<String>,
    /// These joules over those of another instrument on the same component, where there is one.
    pub check_ratio: Option<f64>,
}

impl Channel {
    /// A channel without a reading.
    pub fn missing(id: &str, component: &'static str, source: &str, absent: Absent) -> Self {
        Self {
            id: id.to_owned(),
            component,
            source: source.to_owned(),
            method: Method::Counter,
            quality: Quality::Sensor,
            scope: String::new(),
            energy_j: Err(absent),
            bounds_j: None,
            window_s: None,
            phases: Vec::new(),
            update_period_s: None,
            resolution_j: None,
            wraps: None,
            resets: None,
            overlaps: None,
            check_ratio: None,
        }
    }

    /// Relative difference from another instrument on the same component, where it is a reason for doubt.
    pub fn differs(&self) -> Option<f64> {
        self.check_ratio
            .map(|ratio| ratio - 1.0)
            .filter(|difference| difference.abs() > MOST_DIFFERENCE)
    }

    /// Whether it is an instrument whose joules are its own: no estimate, and not held by another channel.
    fn counts(&self) -> bool {
        // Many GPUs show a DRAM zone that never moves: there is no sensor behind it.
        let no_sensor = self.component == "dram" && self.energy_j == Err(Absent::Frozen);
        self.method != Method::Modelled && self.overlaps.is_none() && !no_sensor
    }

    fn of(&self, phase: Phase) -> Result<f64, Absent> {
        match self.phases.iter().find(|part| part.phase == phase) {
            Some(part) => part.energy_j,
            None => Err(self.energy_j.err().unwrap_or(Absent::WindowTooShort)),
        }
    }
}

/// All meters of a machine over one window.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Energy {
    /// One per meter and component.
    pub channels: Vec<Channel>,
    /// Processor seconds that reading the meters took beside the trial.
    pub poller_cpu_s: Option<f64>,
}

impl Energy {
    /// Sum of what was measured and does not overlap; estimates are never in it. Where a meter failed on the way there is no
    /// sum but its reason: the rest is not the whole.
    pub fn measured_j(&self) -> Result<f64, Absent> {
        self.sum(|channel| channel.energy_j)
    }

    /// The same for one phase.
    pub fn phase_j(&self, phase: Phase) -> Result<f64, Absent> {
        self.sum(|channel| channel.of(phase))
    }

    fn sum(&self, joules: impl Fn(&Channel) -> Result<f64, Absent>) -> Result<f64, Absent> {
        let counted = || self.channels.iter().filter(|channel| channel.counts());
        // A wattmeter at the wall measures what the others measure too: without it they are still whole.
        let parts = || {
            counted()
                .filter(|channel| channel.component != "machine")
                .map(&joules)
        };
        let failed = parts().find_map(|joules| joules.err().filter(|absent| absent.broke()));
        let sum = counted()
            .filter_map(|channel| joules(channel).ok())
            .reduce(|a, b| a + b);
        let wall = counted()
            .filter(|channel| channel.component == "machine")
            .map(&joules);
        match (failed, sum) {
            (Some(absent), _) => Err(absent),
            (None, Some(joules)) => Ok(joules),
            (None, None) => Err(wall
                .chain(parts())
                .find_map(Result::err)
                .unwrap_or(Absent::NoSensor)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(energy_j: Result<f64, Absent>) -> Channel {
        Channel {
            energy_j,
            ..Channel::missing("cpu", "cpu_package", "rapl.powercap", Absent::NoSensor)
        }
    }

    #[test]
    fn nothing_measured_is_an_absence_with_a_reason() {
        for (readings, sum) in [
            (vec![], Err(Absent::NoSensor)),
            (vec![Err(Absent::NoPermission)], Err(Absent::NoPermission)),
            (vec![Err(Absent::NoPermission), Ok(2.0), Ok(1.0)], Ok(3.0)),
            // One package of two lost its count: the other's joules are not the machine's.
            (vec![Ok(2.0), Err(Absent::Reset)], Err(Absent::Reset)),
        ] {
            let energy = Energy {
                channels: readings.into_iter().map(channel).collect(),
                poller_cpu_s: None,
            };
            assert_eq!(energy.measured_j(), sum);
        }
    }

    #[test]
    fn estimates_and_overlaps_are_not_added_and_a_dead_dram_zone_is_no_meter() {
        let guess = Channel {
            method: Method::Modelled,
            ..channel(Ok(90.0))
        };
        let platform = Channel {
            overlaps: Some("cpu".into()),
            ..channel(Ok(70.0))
        };
        let dram = Channel {
            component: "dram",
            ..channel(Err(Absent::Frozen))
        };
        let energy = |channels: &[&Channel]| {
            let channels = channels.iter().map(|&channel| channel.clone()).collect();
            Energy {
                channels,
                poller_cpu_s: None,
            }
            .measured_j()
        };
        assert_eq!(
            energy(&[&guess, &platform, &dram, &channel(Ok(40.0))]),
            Ok(40.0)
        );
        assert_eq!(energy(&[&guess, &platform]), Err(Absent::NoSensor));
        assert_eq!(
            energy(&[&guess, &channel(Err(Absent::VirtualMachine))]),
            Err(Absent::VirtualMachine)
        );
    }

    #[test]
    fn a_wattmeter_that_fails_leaves_the_others_whole() {
        let wall = Channel {
            component: "machine",
            ..channel(Err(Absent::NotCovered))
        };
        let sum = |other| {
            Energy {
                channels: vec![channel(other), wall.clone()],
                poller_cpu_s: None,
            }
            .measured_j()
        };
        assert_eq!(sum(Ok(40.0)), Ok(40.0));
        assert_eq!(sum(Err(Absent::VirtualMachine)), Err(Absent::NotCovered));
    }

    #[test]
    fn a_phase_has_joules_of_its_own() {
        let part = |phase, energy_j| PhaseEnergy {
            phase,
            window_s: 1.0,
            energy_j,
        };
        let phases = vec![
            part(Phase::Train, Ok(5.0)),
            part(Phase::Prefill, Err(Absent::WindowTooShort)),
        ];
        let energy = Energy {
            channels: vec![Channel {
                phases,
                ..channel(Ok(9.0))
            }],
            poller_cpu_s: None,
        };
        assert_eq!(energy.phase_j(Phase::Train), Ok(5.0));
        assert_eq!(energy.phase_j(Phase::Prefill), Err(Absent::WindowTooShort));
        assert_eq!(energy.phase_j(Phase::Generate), Err(Absent::WindowTooShort));
        let none = Energy {
            channels: vec![channel(Err(Absent::NoSensor))],
            poller_cpu_s: None,
        };
        assert_eq!(none.phase_j(Phase::Train), Err(Absent::NoSensor));
    }
}
