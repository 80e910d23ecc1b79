//! Meters that are read while a trial runs: once a second beside it, and at every turn from one phase to the next.
//!
//! The poll is there for wraps and for samples of power; joules of a phase come from readings at its own beginning and end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::account::{Account, MOST_GAP_S};
use super::meter::{About, Meter};
use crate::measure::clock::Clock;
use crate::measure::poll::Poller;
use crate::measure::processor;
use crate::reading::Phase;

/// How often meters are read: far below the 16 s in which a 32-bit counter of 2^-16 J can pass its range at
/// [`MOST_W`](super::account::MOST_W).
pub const EVERY: Duration = Duration::from_secs(1);

const _: () = assert!(EVERY.as_secs_f64() * 4.0 < MOST_GAP_S);

/// A clock that two threads can read.
pub type SharedClock = Arc<dyn Clock + Send + Sync>;

/// A stretch of time in one phase.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// Doing what.
    pub phase: Phase,
    /// From.
    pub from_s: f64,
    /// To.
    pub to_s: f64,
}

/// From and to of every stretch of each phase that is one.
pub fn by_phase(stretches: &[Stretch]) -> BTreeMap<Phase, Vec<(f64, f64)>> {
    let mut phases: BTreeMap<Phase, Vec<(f64, f64)>> = BTreeMap::new();
    for stretch in stretches
        .iter()
        .filter(|stretch| stretch.phase != Phase::Other)
    {
        phases
            .entry(stretch.phase)
            .or_default()
            .push((stretch.from_s, stretch.to_s));
    }
    phases
}

/// What a session leaves behind.
#[derive(Debug)]
pub struct Ended {
    /// Every meter's account.
    pub accounts: Vec<(About, Account)>,
    /// Phases in order, without a gap, in seconds of the session's clock.
    pub stretches: Vec<Stretch>,
    /// Processor seconds of the whole process meanwhile.
    pub busy_s: Option<f64>,
    /// Processor seconds of the poll alone.
    pub poller_cpu_s: Option<f64>,
}

/// Open meters and the thread that reads them.
pub struct Session {
    poller: Poller<State>,
    busy_from_s: Option<f64>,
}

struct State {
    clock: SharedClock,
    meters: Vec<(Box<dyn Meter>, Account)>,
    /// When each phase began.
    turns: Vec<(f64, Phase)>,
}

impl Session {
    /// Reads every meter for the first time, and then `every` so often; without a meter there is no thread.
    pub fn start(meters: Vec<Box<dyn Meter>>, clock: SharedClock, every: Duration) -> Self {
        let accounts = meters.into_iter().map(|meter| {
            let about = meter.about();
            let account = Account::new(about.law, about.update_s, about.least_s);
            (meter, account)
        });
        let poller = Poller::new(State {
            clock,
            meters: accounts.collect(),
            turns: Vec::new(),
        });
        let mut session = Self {
            poller,
            busy_from_s: processor::process_s(),
        };
        session.begin(Phase::Other);
        if session.is_open() {
            // Without the thread the turns between phases are still read, and the account knows what it missed.
            session.poller.start("meters", every, State::read);
        }
        session
    }

    /// Ends the phase before, and begins this one.
    pub fn begin(&self, phase: Phase) {
        self.poller.with(|state| {
            let at_s = state.clock.now_s();
            state.read();
            state
                .meters
                .iter_mut()
                .for_each(|(_, account)| account.enter(phase));
            state.turns.push((at_s, phase));
        });
    }

    /// Joules of a phase until now, by every meter that counts; `None` where one of them cannot tell, or none is open.
    pub fn so_far_j(&self, phase: Phase) -> Option<f64> {
        self.poller.with(|state| {
            state.read();
            let own = state
                .meters
                .iter()
                .filter(|(meter, _)| meter.about().overlaps.is_none());
            own.map(|(_, account)| account.so_far_j(phase).ok())
                .reduce(|a, b| Some(a? + b?))
                .flatten()
        })
    }

    /// Whether any meter is read.
    pub fn is_open(&self) -> bool {
        self.poller.with(|state| !state.meters.is_empty())
    }

    /// Reads every meter for the last time.
    pub fn end(mut self) -> Ended {
        let poller_cpu_s = self.poller.stop();
        let busy_s = processor::process_s()
            .zip(self.busy_from_s)
            .map(|(to_s, from_s)| to_s - from_s);
        self.poller.with(|state| {
            let at_s = state.clock.now_s();
            state.read();
            Ended {
                stretches: state.stretches(at_s),
                accounts: state
                    .meters
                    .drain(..)
                    .map(|(meter, account)| (meter.about().clone(), account))
                    .collect(),
                busy_s,
                poller_cpu_s,
            }
        })
    }
}

impl State {
    fn read(&mut self) {
        for (meter, account) in &mut self.meters {
            account.read(self.clock.now_s(), meter.read());
        }
    }

    /// Every phase from its turn to the next, the last until `at_s`.
    fn stretches(&self, at_s: f64) -> Vec<Stretch> {
        let ends = self
            .turns
            .iter()
            .skip(1)
            .map(|(at_s, _)| *at_s)
            .chain([at_s]);
        let stretch = |((from_s, phase), to_s): (&(f64, Phase), f64)| Stretch {
            phase: *phase,
            from_s: *from_s,
            to_s,
        };
        self.turns.iter().zip(ends).map(stretch).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::measure::Monotonic;
    use crate::measure::energy::meter::{Law, Value};
    use crate::reading::{Absent, Quality};

    /// Whole seconds, set by hand.
    struct Scripted(Mutex<f64>);

    impl Clock for Scripted {
        fn now_s(&self) -> f64 {
            *self.0.lock().unwrap()
        }
    }

    /// A counter of millijoules that runs with a clock.
    struct Steady {
        about: About,
        watts: f64,
        clock: SharedClock,
    }

    impl Meter for Steady {
        fn about(&self) -> &About {
            &self.about
        }

        fn read(&mut self) -> Result<Value, Absent> {
            Ok(Value::Count((self.clock.now_s() * self.watts * 1e3) as u64))
        }
    }

    fn steady(watts: f64, clock: SharedClock) -> Box<dyn Meter> {
        let about = About {
            id: "package-0".to_owned(),
            component: "cpu_package",
            source: "test",
            quality: Quality::Sensor,
            scope: String::new(),
            overlaps: None,
            law: Law::Counter {
                per_joule: 1e3,
                wraps_at: None,
            },
            update_s: 1e-3,
            resolution_j: Some(1e-3),
            least_s: 0.2,
        };
        Box::new(Steady {
            about,
            watts,
            clock,
        })
    }

    #[test]
    fn phases_have_the_joules_of_their_own_time() {
        let script = Arc::new(Scripted(Mutex::new(100.0)));
        let clock: SharedClock = script.clone();
        // No poll in between: only the turns are read.
        let session = Session::start(
            vec![steady(50.0, clock.clone())],
            clock,
            Duration::from_secs(3600),
        );
        let at = |at_s: f64, phase| {
            *script.0.lock().unwrap() = at_s;
            session.begin(phase);
        };
        at(101.0, Phase::Train);
        *script.0.lock().unwrap() = 103.0;
        assert_eq!(session.so_far_j(Phase::Train), Some(100.0));
        at(111.0, Phase::Evaluate);
        at(113.0, Phase::Train);
        at(114.0, Phase::Other);
        *script.0.lock().unwrap() = 114.5;
        assert!(session.is_open());
        let ended = session.end();
        let account = &ended.accounts[0].1;
        assert_eq!((account.energy_j(), account.window_s()), (Ok(725.0), 14.5));
        let phases: Vec<_> = account
            .phases()
            .iter()
            .map(|p| (p.phase, p.window_s, p.energy_j))
            .collect();
        assert_eq!(
            phases,
            [
                (Phase::Train, 11.0, Ok(550.0)),
                (Phase::Evaluate, 2.0, Ok(100.0))
            ]
        );
        let stretches: Vec<_> = ended
            .stretches
            .iter()
            .map(|s| (s.phase, s.from_s, s.to_s))
            .collect();
        assert_eq!(stretches[0], (Phase::Other, 100.0, 101.0));
        assert_eq!(stretches[4], (Phase::Other, 114.0, 114.5));
    }

    #[test]
    fn the_poll_reads_by_itself_and_its_own_time_is_known() {
        let clock: SharedClock = Arc::new(Monotonic::start());
        let session = Session::start(
            vec![steady(80.0, clock.clone())],
            clock,
            Duration::from_millis(5),
        );
        std::thread::sleep(Duration::from_millis(300));
        let ended = session.end();
        let account = &ended.accounts[0].1;
        let joules = account.energy_j().unwrap();
        assert!(
            (joules / (80.0 * account.window_s()) - 1.0).abs() < 0.05,
            "{joules} J in {} s",
            account.window_s()
        );
        assert!(ended.poller_cpu_s.unwrap() < 0.1 && ended.busy_s.is_some());
    }

    #[test]
    fn without_a_meter_there_is_no_thread_and_still_a_window() {
        let session = Session::start(Vec::new(), Arc::new(Monotonic::start()), EVERY);
        assert!(!session.is_open());
        let ended = session.end();
        assert_eq!(
            (
                ended.accounts.len(),
                ended.stretches.len(),
                ended.poller_cpu_s
            ),
            (0, 1, None)
        );
    }
}
