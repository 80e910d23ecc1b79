//! Faulty data sources and meters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use effbench::config::{Declarations, Knobs, Named};
use effbench::data::{Batch, HeldOut, Oracle, Source, SourceKind, Validation};
use effbench::error::Result;
use effbench::law;
use effbench::measure::energy::meter::{About, Gpus, Law, Place, Value};
use effbench::measure::energy::{Found, Meter, MeterKind, Missing};
use effbench::reading::{Absent, Quality};
use effbench::trial::Registry;

use crate::caught;

const NAME: &str = "faulty";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    PartsOverlap,
    TrainsOnTheTest,
    TooSmallAVocabulary,
    OtherEveryTime,
    SameForAllSeeds,
    HalfTheNats,
    TooSure,
    KnowsNothing,
    NoOracleOfOthers,
}

struct Faulty(Fault);

impl Named for Faulty {
    fn name(&self) -> &'static str {
        NAME
    }
    fn about(&self) -> &'static str {
        "a Markov chain with one thing wrong"
    }
    fn knobs(&self) -> Declarations {
        let sources = Registry::builtin().sources;
        sources.find("markov").expect("it ships").knobs()
    }
}

struct Wrong {
    fault: Fault,
    inner: Arc<dyn Source>,
    calls: AtomicU64,
}

impl SourceKind for Faulty {
    fn settle(&self, knobs: &Knobs, context: usize) -> Result<Arc<dyn Source>> {
        let kinds = Registry::builtin().sources;
        let markov = kinds.find("markov").expect("it ships").clone();
        Ok(Arc::new(Wrong {
            fault: self.0,
            inner: markov.settle(knobs, context)?,
            calls: AtomicU64::new(0),
        }))
    }
}

impl Wrong {
    /// A probability as this source has it.
    fn nats(&self, nats: f64) -> f64 {
        let vocab = self.inner.vocab() as f64;
        match self.fault {
            Fault::HalfTheNats => nats / 2.0,
            // Half of what is true, and half of no knowledge: a probability, but not the true one.
            Fault::TooSure => -(0.5 * (-nats).exp() + 0.5 / vocab).ln(),
            Fault::KnowsNothing => vocab.ln(),
            _ => nats,
        }
    }

    fn changed(&self, oracle: Oracle) -> Oracle {
        Oracle {
            nats: oracle.nats.into_iter().map(|n| self.nats(n)).collect(),
            ..oracle
        }
    }
}

impl Source for Wrong {
    fn vocab(&self) -> usize {
        match self.fault {
            Fault::TooSmallAVocabulary => self.inner.vocab() - 1,
            _ => self.inner.vocab(),
        }
    }

    fn train(&self, seed: u64, step: u64, rows: usize, context: usize) -> Batch {
        match self.fault {
            Fault::TrainsOnTheTest if step == 7 => {
                let test = self.inner.held_out(HeldOut::Test, rows, context);
                test.expect("it has one").swap_remove(0).batch
            }
            Fault::OtherEveryTime => {
                let call = self.calls.fetch_add(1, Ordering::Relaxed);
                self.inner.train(seed, 1000 + call, rows, context)
            }
            Fault::SameForAllSeeds => self.inner.train(0, step, rows, context),
            _ => self.inner.train(seed, step, rows, context),
        }
    }

    fn validation(&self, rows: usize, context: usize) -> Result<Vec<Validation>> {
        self.held_out(HeldOut::Validation, rows, context)
    }

    fn held_out(&self, part: HeldOut, rows: usize, context: usize) -> Result<Vec<Validation>> {
        let held = |part| self.inner.held_out(part, rows, context);
        let all = match (self.fault, part) {
            (Fault::PartsOverlap, HeldOut::Test) => held(HeldOut::Validation)?,
            (Fault::PartsOverlap, HeldOut::All) => {
                [held(HeldOut::Validation)?, held(HeldOut::Validation)?].concat()
            }
            (_, part) => held(part)?,
        };
        let changed = |v: Validation| Validation {
            oracle: v.oracle.map(|oracle| self.changed(oracle)),
            ..v
        };
        Ok(all.into_iter().map(changed).collect())
    }

    fn labels(&self) -> Vec<String> {
        self.inner.labels()
    }

    fn oracle(&self, batch: &Batch) -> Option<Oracle> {
        match self.fault {
            Fault::NoOracleOfOthers => None,
            _ => Some(self.changed(self.inner.oracle(batch)?)),
        }
    }
}

#[test]
fn faulty_sources() {
    const APART: &str = "what is trained on judges nothing";
    const ORACLE: &str = "an oracle is a probability";
    const MEAN: &str = "an oracle's mean is its entropy";
    let check = |fault: Fault, by: &[&str]| {
        let broken = law::source(&Registry::builtin().source(Faulty(fault)), NAME);
        caught(&format!("{fault:?}"), &broken, by);
    };
    check(Fault::None, &[]);
    check(Fault::PartsOverlap, &[APART]);
    check(Fault::TrainsOnTheTest, &[APART]);
    check(
        Fault::OtherEveryTime,
        &["a batch is a function of seed and step"],
    );
    check(
        Fault::SameForAllSeeds,
        &["a batch is a function of seed and step"],
    );
    check(Fault::HalfTheNats, &[ORACLE, MEAN]);
    check(
        Fault::TooSure,
        &[MEAN, "no table of pairs beats the oracle"],
    );
    check(Fault::KnowsNothing, &["no table of pairs beats the oracle"]);
    check(Fault::NoOracleOfOthers, &[ORACLE, MEAN]);
    let small = law::source(
        &Registry::builtin().source(Faulty(Fault::TooSmallAVocabulary)),
        NAME,
    );
    assert_eq!(small[0].rule, "tokens are of the vocabulary");
}

/// What a meter reads, one value after the other; the last stays.
#[derive(Clone)]
struct Scripted {
    law: Law,
    update_s: f64,
    values: Vec<Value>,
    says_why: bool,
    everywhere: bool,
}

const RANGE: u64 = 65_532_610_987;

/// A processor's counter of microjoules that rises.
fn counter() -> Scripted {
    Scripted {
        law: Law::Counter {
            per_joule: 1e6,
            wraps_at: Some(RANGE),
        },
        update_s: 1e-3,
        values: vec![Value::Count(5), Value::Count(9), Value::Count(12)],
        says_why: true,
        everywhere: false,
    }
}

impl Named for Scripted {
    fn name(&self) -> &'static str {
        NAME
    }
    fn about(&self) -> &'static str {
        "a meter that reads from a script"
    }
}

impl MeterKind for Scripted {
    fn find(&self, place: &Place) -> Vec<Found> {
        if place.gpus == Gpus::None && !self.everywhere {
            let said = |text: &str| if self.says_why { text } else { "" }.to_owned();
            return vec![Found::Missing(Missing {
                id: "cpu".to_owned(),
                component: "cpu_package",
                source: NAME,
                absent: Absent::NoSensor,
                why: said("there is none"),
                remedy: said("none known"),
            })];
        }
        let about = About {
            id: "package-0".to_owned(),
            component: "cpu_package",
            source: NAME,
            quality: Quality::Sensor,
            scope: "one package".to_owned(),
            overlaps: None,
            law: self.law,
            update_s: self.update_s,
            resolution_j: None,
            least_s: 0.2,
        };
        let values = self.values.clone();
        vec![Found::Open(Box::new(Reader { about, values }))]
    }
}

struct Reader {
    about: About,
    values: Vec<Value>,
}

impl Meter for Reader {
    fn about(&self) -> &About {
        &self.about
    }

    fn read(&mut self) -> std::result::Result<Value, Absent> {
        if self.values.len() > 1 {
            return Ok(self.values.remove(0));
        }
        self.values.first().copied().ok_or(Absent::Vanished)
    }
}

#[test]
fn faulty_meters() {
    const SAYS: &str = "an open meter says what it is";
    let check = |fault: &str, meter: Scripted, by: &[&str]| {
        let broken = law::meter(&Registry::builtin().meter(meter), NAME);
        caught(fault, &broken, by);
    };
    let reads = |values: &[u64]| Scripted {
        values: values.iter().map(|&count| Value::Count(count)).collect(),
        ..counter()
    };
    check("none", counter(), &[]);
    check("wraps", reads(&[RANGE - 3, 2]), &[]);
    check(
        "no reason",
        Scripted {
            says_why: false,
            ..counter()
        },
        &["what is missing has a reason and a remedy"],
    );
    check(
        "there where nothing is",
        Scripted {
            everywhere: true,
            ..counter()
        },
        &["what is missing has a reason and a remedy"],
    );
    check("falls", reads(&[RANGE / 2, 5]), &["a counter rises"]);
    check("above its range", reads(&[RANGE + 9]), &[SAYS]);
    check(
        "no time between updates",
        Scripted {
            update_s: 0.0,
            ..counter()
        },
        &[SAYS],
    );
    check(
        "watts of a counter",
        Scripted {
            values: vec![Value::Watts(9.0)],
            ..counter()
        },
        &[SAYS],
    );
    check(
        "a range of a second's power",
        Scripted {
            law: Law::Counter {
                per_joule: 1e6,
                wraps_at: Some(2_000_000_000),
            },
            ..counter()
        },
        &["a wrap is told from a reset"],
    );
}
