//! One optimizer step of the shipped recipes at the speed shapes, fused against reference arithmetic.
//!
//! `cargo bench --bench train_step`; throughput is in training tokens.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use effbench::config::{Library, Origin, Tree};
use effbench::trial::{Experiment, Registry, settle};
use serde_json::json;

/// Name, layers, width, heads, context, batch, vocabulary.
const SHAPES: [(&str, [usize; 6]); 3] = [
    ("quick", [2, 32, 2, 64, 16, 128]),
    ("s", [4, 128, 4, 128, 16, 256]),
    ("m", [6, 384, 6, 256, 8, 256]),
];

fn experiment(
    variant: &str,
    ops: &str,
    [layers, width, heads, context, batch, vocab]: [usize; 6],
) -> Experiment {
    let sets = json!({
        "model": {"layers": layers, "width": width, "heads": heads, "context": context, "bias": false, "head": {"tied": false}},
        "train": {"batch": batch, "steps": 1_000_000, "clip": 0.0, "schedule": {"kind": "constant"}},
        "data": {"kind": "uniform", "vocab": vocab},
        "compute": {"ops": ops},
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

fn train_step(criterion: &mut Criterion) {
    let opened = effbench::device::open("cpu").expect("a CPU");
    for (name, shape) in SHAPES {
        let mut group = criterion.benchmark_group(format!("train_step/{name}"));
        group
            .sample_size(10)
            .warm_up_time(Duration::from_secs(1))
            .measurement_time(Duration::from_secs(3));
        group.throughput(Throughput::Elements((shape[3] * shape[4]) as u64));
        for variant in ["gpt2", "llama", "modern"] {
            for ops in ["fused", "reference"] {
                let experiment = experiment(variant, ops, shape);
                let mut trainer = experiment.trainer(1, &opened).expect("memory");
                let batch =
                    experiment
                        .source
                        .train(1, 0, experiment.batch, experiment.model.shape.context);
                group.bench_function(format!("{variant}/{ops}"), |bencher| {
                    bencher.iter(|| trainer.step(black_box(&batch)).expect("a step"));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, train_step);
criterion_main!(benches);
