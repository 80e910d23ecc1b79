//! Energy: the catalog of meters, and what they read while a trial runs.
//!
//! [`meter`] says what a meter is and [`account`] makes joules of its values; `powercap`, `perf` and `nvml` are the
//! instruments, one file each; [`external`] reads a wattmeter's log. [`session`] reads what is open, once a second and at
//! every phase's turn, [`idle`] what is drawn at rest, and `channels` says what was read, what lies within what, and what is missing. Where nothing is
//! measured, [`modelled`] bounds it by the [`rated`] power of the part, and says so.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Catalog;
use crate::measure::gpu::Own;
use crate::measure::{clock, processor, virtualization};
use crate::reading::{Channel, Energy, Phase};

pub mod meter;
pub mod account;
mod channels;
mod nvml;
mod powercap;
mod perf;
pub mod rated;
pub mod session;
pub mod external;
pub mod idle;
pub mod modelled;

pub use external::External;
pub use meter::{Found, Meter, MeterKind, Missing};

use meter::{Gpus, Place};
use session::{EVERY, Session, SharedClock, Stretch};

/// The meters that ship, in the order of trust: of two instruments on one component the first that opens is read.
pub fn kinds() -> Catalog<dyn MeterKind> {
    Catalog::new(
        "meters",
        None,
        vec![
            Arc::new(perf::Kind),
            Arc::new(powercap::Kind),
            Arc::new(nvml::Kind),
        ],
    )
}

/// Everything that could be metered on this machine, open or not.
pub fn look(kinds: &Catalog<dyn MeterKind>) -> Vec<Found> {
    find(kinds, Gpus::All)
}

fn find(kinds: &Catalog<dyn MeterKind>, gpus: Gpus) -> Vec<Found> {
    let place = Place {
        root: PathBuf::from("/"),
        is_virtual: virtualization::is_virtual(),
        gpus,
    };
    kinds.iter().flat_map(|kind| kind.find(&place)).collect()
}

/// The meters to read, one for each component, of the processor and where `gpu` says which of the GPU that this process
/// computes on; and what is missing.
pub fn open(
    kinds: &Catalog<dyn MeterKind>,
    gpu: Option<Own>,
) -> (Vec<Box<dyn Meter>>, Vec<Missing>) {
    channels::choose(find(kinds, gpu.map_or(Gpus::None, Gpus::Used)))
}

/// What a trial's meters are asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// How it is known on the GPU that it computes on, where it does.
    pub gpu: Option<Own>,
    /// A wattmeter's log.
    pub external: Option<External>,
}

/// Meters at work.
pub struct Metering {
    plan: Plan,
    session: Session,
    missing: Vec<Missing>,
    clock: SharedClock,
}

impl Metering {
    /// Opens what there is; the device must be open already, since a GPU is known by who computes on it.
    pub fn start(kinds: &Catalog<dyn MeterKind>, plan: Plan, clock: SharedClock) -> Self {
        let (open, missing) = open(kinds, plan.gpu.clone());
        let session = Session::start(open, clock.clone(), EVERY);
        Self {
            plan,
            session,
            missing,
            clock,
        }
    }

    /// Ends the phase before, and begins this one.
    pub fn begin(&self, phase: Phase) {
        self.session.begin(phase);
    }

    /// Joules of a phase until now, by every meter that counts; `None` where one of them cannot tell, or none is open.
    pub fn so_far_j(&self, phase: Phase) -> Option<f64> {
        self.session.so_far_j(phase)
    }

    /// Whether any meter is read.
    pub fn is_open(&self) -> bool {
        self.session.is_open()
    }

    /// Reads every meter for the last time, and says what all of it was.
    pub fn end(self) -> Energy {
        let ended = self.session.end();
        let mut channels: Vec<Channel> = ended
            .accounts
            .iter()
            .map(|(about, account)| channels::measured(about, account))
            .collect();
        channels.extend(self.missing.iter().map(Missing::channel));
        if let Some(external) = &self.plan.external {
            let began_s = clock::unix_s() - self.clock.now_s();
            let utc = |s: &Stretch| Stretch {
                from_s: began_s + s.from_s,
                to_s: began_s + s.to_s,
                ..*s
            };
            channels.push(external::channel(
                external,
                &ended.stretches.iter().map(utc).collect::<Vec<_>>(),
            ));
        }
        channels::relate(&mut channels);
        let window_s = ended
            .stretches
            .last()
            .map_or(0.0, |last| last.to_s - ended.stretches[0].from_s);
        let modelled = model(&channels, self.plan.gpu.is_some(), window_s, ended.busy_s);
        channels.extend(
            modelled
                .into_iter()
                .map(|channel| modelled::by_phase(channel, &ended.stretches)),
        );
        Energy {
            channels,
            poller_cpu_s: ended.poller_cpu_s,
        }
    }
}

/// An estimate of each component that a trial used and nothing measured.
fn model(channels: &[Channel], gpu: bool, window_s: f64, busy_s: Option<f64>) -> Vec<Channel> {
    let read = |component: &str| {
        channels
            .iter()
            .any(|c| c.energy_j.is_ok() && (c.component == component || c.component == "machine"))
    };
    let mut modelled = Vec::new();
    if !read("cpu_package") {
        let load = modelled::Load {
            window_s,
            busy_s,
            ..here()
        };
        modelled.push(modelled::processor(
            &processor::brand().unwrap_or_default(),
            &load,
        ));
    }
    if gpu && !read("gpu") {
        let models = nvml::models();
        let same = models
            .first()
            .filter(|first| models.iter().all(|model| model == *first));
        modelled.push(modelled::gpu(same.map_or("", String::as_str), window_s));
    }
    modelled
}

/// This machine for a second, its load not known.
fn here() -> modelled::Load {
    modelled::Load {
        window_s: 1.0,
        threads: u32::try_from(processor::threads()).unwrap_or(u32::MAX),
        busy_s: None,
        is_virtual: virtualization::is_virtual(),
    }
}

/// Watts that this machine's processor may take, from idle to busy, where nothing measures it.
pub fn modelled_processor() -> Channel {
    modelled::processor(&processor::brand().unwrap_or_default(), &here())
}

impl Missing {
    fn channel(&self) -> Channel {
        Channel::missing(&self.id, self.component, self.source, self.absent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Named;
    use crate::measure::Monotonic;
    use crate::reading::{Absent, Method};

    #[test]
    fn every_kind_says_what_it_is() {
        let kinds = kinds();
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        assert_eq!(names, ["rapl.perf", "rapl.powercap", "nvml"]);
        assert!(kinds.iter().all(|kind| kind.about().len() > 20));
    }

    /// Whatever this machine has: joules above 0, or a reason and a remedy.
    #[test]
    fn this_machine_gives_joules_or_reasons() {
        for found in look(&kinds()) {
            if let Found::Missing(missing) = found {
                assert!(
                    !missing.why.is_empty() && !missing.remedy.is_empty(),
                    "{missing:?}"
                );
            }
        }
        let metering = Metering::start(&kinds(), Plan::default(), Arc::new(Monotonic::start()));
        metering.begin(Phase::Train);
        let energy = metering.end();
        assert!(!energy.channels.is_empty());
        assert!(
            energy
                .channels
                .iter()
                .all(|c| c.energy_j.is_err() || c.energy_j.is_ok_and(|joules| joules > 0.0))
        );
        if virtualization::is_virtual() {
            assert_eq!(energy.measured_j(), Err(Absent::VirtualMachine));
            assert!(
                energy
                    .channels
                    .iter()
                    .any(|channel| channel.method == Method::Modelled)
            );
        }
    }

    /// A kind of somebody's own: nothing to find.
    #[test]
    fn a_catalog_can_be_extended() {
        struct Empty;
        impl Named for Empty {
            fn name(&self) -> &'static str {
                "empty"
            }
            fn about(&self) -> &'static str {
                "no meter at all"
            }
        }
        impl MeterKind for Empty {
            fn find(&self, _place: &Place) -> Vec<Found> {
                Vec::new()
            }
        }
        let mut kinds = kinds();
        kinds.add(Arc::new(Empty));
        assert_eq!(kinds.iter().count(), 4);
    }
}
