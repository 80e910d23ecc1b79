//! Joules of one optimizer step of the shipped recipes, by the processor's own counters.
//!
//! `cargo bench --bench joules`; where no counter can be read it says why and measures nothing: `effbench doctor` has the remedy.

#![expect(
    clippy::print_stderr,
    reason = "a bench without a counter has nobody else to say so"
)]

use std::cell::RefCell;
use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Criterion, SamplingMode, Throughput};
use effbench::config::{Library, Origin, Tree};
use effbench::measure::energy::account::Account;
use effbench::measure::energy::{Meter, kinds, open};
use effbench::measure::{Clock, Monotonic};
use effbench::reading::Phase;
use effbench::trial::{Experiment, Registry, settle};
use serde_json::json;

/// Every open counter, read before and after.
struct Counters {
    meters: RefCell<Vec<Box<dyn Meter>>>,
    clock: Monotonic,
}

impl Counters {
    fn read(&self, accounts: &mut [Account]) {
        for (meter, account) in self.meters.borrow_mut().iter_mut().zip(accounts) {
            account.read(self.clock.now_s(), meter.read());
        }
    }
}

impl Measurement for Counters {
    type Intermediate = Vec<Account>;
    type Value = f64;

    fn start(&self) -> Vec<Account> {
        let meters = self.meters.borrow();
        let abouts = meters.iter().map(|meter| meter.about());
        let mut accounts: Vec<Account> = abouts
            .map(|a| Account::new(a.law, a.update_s, a.least_s))
            .collect();
        drop(meters);
        self.read(&mut accounts);
        accounts
    }

    fn end(&self, mut accounts: Vec<Account>) -> f64 {
        self.read(&mut accounts);
        // What overlaps another meter (psys holds the packages) would be counted twice.
        let meters = self.meters.borrow();
        let own = meters.iter().map(|meter| meter.about().overlaps.is_none());
        let joules = accounts
            .iter()
            .zip(own)
            .filter(|(_, own)| *own)
            .map(|(account, _)| account.so_far_j(Phase::Other));
        joules
            .sum::<Result<f64, _>>()
            .unwrap_or_else(|absent| panic!("no joules: {}", absent.code()))
    }

    fn add(&self, a: &f64, b: &f64) -> f64 {
        a + b
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, joules: &f64) -> f64 {
        *joules
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &Joules
    }
}

struct Joules;

impl ValueFormatter for Joules {
    fn scale_values(&self, typical_j: f64, values: &mut [f64]) -> &'static str {
        let (factor, unit) = match typical_j {
            j if j < 1e-3 => (1e6, "µJ"),
            j if j < 1.0 => (1e3, "mJ"),
            _ => (1.0, "J"),
        };
        values.iter_mut().for_each(|value| *value *= factor);
        unit
    }

    fn scale_throughputs(
        &self,
        _typical_j: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        let (amount, unit) = match throughput {
            Throughput::Elements(n) | Throughput::ElementsAndBytes { elements: n, .. } => {
                (*n, "tokens/J")
            }
            Throughput::Bytes(n) | Throughput::BytesDecimal(n) => (*n, "bytes/J"),
            Throughput::Bits(n) => (*n, "bits/J"),
        };
        values
            .iter_mut()
            .for_each(|value| *value = amount as f64 / *value);
        unit
    }

    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        "J"
    }
}

fn experiment(variant: &str) -> Experiment {
    let sets = json!({
        "model": {"layers": 4, "width": 128, "heads": 4, "context": 128},
        "train": {"batch": 16, "steps": 1_000_000, "schedule": {"kind": "constant"}},
        "data": {"kind": "uniform", "vocab": 256},
    });
    let mut tree = Library::builtin()
        .variant(variant)
        .expect("a shipped variant")
        .tree;
    tree.overlay(&Tree::from_json(&sets, &Origin::named("bench")).expect("an object"));
    settle(&Registry::builtin(), &tree)
        .expect("a valid spec")
        .experiment
}

fn train_step(criterion: &mut Criterion<Counters>) {
    let opened = effbench::device::open("cpu").expect("a CPU");
    let mut group = criterion.benchmark_group("joules/train_step");
    // A second a sample: a hundred times what the counters' last update may miss.
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .measurement_time(Duration::from_secs(10));
    for variant in ["gpt2", "llama", "modern"] {
        let experiment = experiment(variant);
        let mut trainer = experiment.trainer(1, &opened).expect("memory");
        let context = experiment.model.shape.context;
        let batch = experiment.source.train(1, 0, experiment.batch, context);
        group.throughput(Throughput::Elements((experiment.batch * context) as u64));
        group.bench_function(variant, |bencher| {
            bencher.iter(|| trainer.step(black_box(&batch)).expect("a step"));
        });
    }
    group.finish();
}

fn main() {
    let (meters, missing) = open(&kinds(), None);
    if meters.is_empty() {
        let why: Vec<String> = missing
            .iter()
            .map(|row| format!("{}: {}", row.source, row.why))
            .collect();
        eprintln!(
            "no joules are measured here ({}); `effbench doctor` has the remedy",
            why.join("; ")
        );
        return;
    }
    let counters = Counters {
        meters: RefCell::new(meters),
        clock: Monotonic::start(),
    };
    let mut criterion = Criterion::default()
        .with_measurement(counters)
        .configure_from_args();
    train_step(&mut criterion);
    criterion.final_summary();
}
