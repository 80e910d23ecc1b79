//! Whole variants on a real GPU against the CPU, where there is one; on an emulated one that is the law's.

use super::*;
#[cfg(feature = "cuda")]
use crate::ops::Narrowed;
use crate::ops::{DType, Ops};
use std::sync::OnceLock;

/// Where a variant is tried.
struct Place {
    device: &'static str,
    ops: fn(DType) -> Option<Ops<'static>>,
    steps: u64,
    #[cfg(feature = "cuda")]
    shapes: &'static [(usize, usize)],
}

const EMULATED: Place = Place {
    device: "cpu",
    ops: Ops::emulated,
    #[cfg(feature = "cuda")]
    shapes: &[SHAPES[0]],
    steps: 2,
};

#[cfg(feature = "cuda")]
const REAL: Place = Place {
    device: "cuda",
    ops: |dtype| Some(Ops::fused().with_dtype(dtype)),
    shapes: &SHAPES,
    steps: 100,
};

/// Heads that fit tensor cores, and heads that do not.
const SHAPES: [(usize, usize); 2] = [(32, 2), (24, 3)];

fn of_shape(variant: &str, (width, heads): (usize, usize)) -> Experiment {
    let sets = json!({
        "model": {"layers": 2, "width": width, "heads": heads, "context": 10},
        "train": {"batch": 3, "steps": 200, "optimizer": {"lr": 0.01}},
        "data": {"kind": "markov", "states": 11},
        "compute": {"shards": 1},
    });
    prepared(variant, sets).experiment
}

/// The mean of the last fifth.
#[cfg(feature = "cuda")]
fn late(losses: &[f64]) -> f64 {
    let last = &losses[losses.len() * 4 / 5..];
    last.iter().sum::<f64>() / last.len() as f64
}

impl Place {
    fn experiment(&self, variant: &str, shape: (usize, usize), dtype: DType) -> Option<Experiment> {
        Some(Experiment {
            ops: (self.ops)(dtype)?,
            ..of_shape(variant, shape)
        })
    }

    /// Opened once: two handles of one GPU are two devices.
    fn opened(&self) -> device::Opened {
        static GPU: OnceLock<device::Opened> = OnceLock::new();
        match self.device {
            "cpu" => device::open("cpu").unwrap(),
            name => GPU.get_or_init(|| device::open(name).unwrap()).clone(),
        }
    }

    fn trainer(&self, experiment: &Experiment, seed: u64) -> Trainer {
        experiment.trainer(seed, &self.opened()).unwrap()
    }

    fn losses(&self, experiment: &Experiment, seed: u64) -> Vec<f64> {
        let mut trainer = self.trainer(experiment, seed);
        (0..self.steps)
            .map(|step| trainer.step(&batch(experiment, step)).unwrap().loss)
            .collect()
    }

    /// The loss of every variant goes the CPU's way: step by step in f32, and in bf16 first so and later as near as another seed's.
    #[cfg(feature = "cuda")]
    fn every_variant_learns_the_same(&self) {
        for_every_variant(|name, _| {
            for &shape in self.shapes {
                let cpu = |seed| {
                    Place {
                        device: "cpu",
                        ..*self
                    }
                    .losses(&of_shape(name, shape), seed)
                };
                let truth = cpu(7);
                for (dtype, near, of_steps) in
                    [(DType::F32, 1e-3, self.steps), (DType::BF16, 3e-2, 2)]
                {
                    let Some(experiment) = self.experiment(name, shape, dtype) else {
                        return;
                    };
                    let losses = self.losses(&experiment, 7);
                    for (step, (loss, truth)) in losses
                        .iter()
                        .zip(&truth)
                        .enumerate()
                        .take(of_steps as usize)
                    {
                        assert!(
                            (loss - truth).abs() < near,
                            "{name} in {dtype:?}, step {step}: {loss} and {truth}"
                        );
                    }
                    if dtype == DType::BF16 && self.steps >= 100 {
                        let seeds: Vec<f64> = (8..16).map(|seed| late(&cpu(seed))).collect();
                        let (far, spread) = (
                            late(&losses) - late(&truth),
                            crate::stat::sd(&seeds).unwrap(),
                        );
                        assert!(
                            far.abs() < 3.0 * spread,
                            "{name} in bf16: {far} from f32, seeds spread by {spread}"
                        );
                    }
                }
            }
        });
    }

    /// The same run gives the same bits again.
    fn runs_repeat_to_the_bit(&self) {
        for dtype in [DType::F32, DType::BF16] {
            let Some(experiment) = self.experiment("modern", SHAPES[0], dtype) else {
                return;
            };
            assert_eq!(
                self.losses(&experiment, 7),
                self.losses(&experiment, 7),
                "{dtype:?}"
            );
        }
    }

    /// What decoding gives for the last token of a window is what the whole window gives.
    #[cfg(feature = "cuda")]
    fn decoding_is_the_forward_pass(&self) {
        for_every_variant(|name, _| {
            for (dtype, near) in [(DType::F32, 1e-4), (DType::BF16, 5e-2)] {
                let Some(experiment) = self.experiment(name, SHAPES[0], dtype) else {
                    return;
                };
                let opened = self.opened();
                let trainer = self.trainer(&experiment, 3);
                let weights = trainer.params().detached();
                let inputs = &batch(&experiment, 0).inputs[..10];
                let narrowed = Narrowed::default();
                let ops = experiment
                    .ops
                    .for_device(&opened.device)
                    .unwrap()
                    .keeping(&narrowed);
                let ids = Tensor::from_slice(inputs, inputs.len(), &opened.device).unwrap();
                let whole = values(&experiment.model.logits(&weights, &ids, 1, 10, ops).unwrap());
                let mut generator =
                    Generator::new(&experiment.model, &weights, ops, &opened.device, 1);
                let mut last = generator.feed(&inputs[..4]).unwrap();
                for token in &inputs[4..] {
                    last = generator.feed(&[*token]).unwrap();
                }
                let last = values(&last);
                for (a, b) in last.iter().zip(&whole[whole.len() - last.len()..]) {
                    assert!((a - b).abs() < near, "{name} in {dtype:?}: {a} and {b}");
                }
            }
        });
    }
}

#[cfg(feature = "cuda")]
#[test]
#[ignore = "needs a GPU"]
fn on_the_gpu_variants_learn_as_on_the_cpu() {
    REAL.every_variant_learns_the_same();
}

#[test]
fn runs_on_an_emulated_gpu_repeat_to_the_bit() {
    EMULATED.runs_repeat_to_the_bit();
}

#[cfg(feature = "cuda")]
#[test]
#[ignore = "needs a GPU"]
fn on_the_gpu_runs_repeat_to_the_bit() {
    REAL.runs_repeat_to_the_bit();
}

#[cfg(feature = "cuda")]
#[test]
#[ignore = "needs a GPU"]
fn on_the_gpu_decoding_is_the_forward_pass() {
    REAL.decoding_is_the_forward_pass();
}

/// Seconds since the first call.
fn now_s() -> f64 {
    static CLOCK: OnceLock<Monotonic> = OnceLock::new();
    Clock::now_s(CLOCK.get_or_init(Monotonic::start))
}

/// Kernels and products of a step, the longest first: milliseconds, share of all, runs.
fn profile_of_a_step(experiment: Experiment, opened: &device::Opened) -> String {
    let (ops, profile) = experiment.ops.profiled(&opened.device, now_s).unwrap();
    let experiment = Experiment { ops, ..experiment };
    let mut trainer = experiment.trainer(7, opened).unwrap();
    for step in 0..2 {
        trainer.step(&batch(&experiment, step)).unwrap();
    }
    profile.take();
    trainer.step(&batch(&experiment, 2)).unwrap();
    let mut rows: Vec<_> = profile.take().into_iter().collect();
    rows.sort_by(|(_, a), (_, b)| b.0.total_cmp(&a.0));
    let all_s: f64 = rows.iter().map(|(_, (seconds, _))| seconds).sum();
    let row = |(name, (seconds, runs)): &(String, (f64, u32))| {
        format!(
            "{:9.3} ms {:5.1}% {runs:5} x  {name}\n",
            1e3 * seconds,
            100.0 * seconds / all_s
        )
    };
    format!(
        "{:9.3} ms in all, each waited for\n{}",
        1e3 * all_s,
        rows.iter().map(row).collect::<String>()
    )
}

#[test]
fn a_profile_names_kernels_and_products() {
    let Some(experiment) = EMULATED.experiment("gpt2", SHAPES[0], DType::BF16) else {
        return;
    };
    let profile = profile_of_a_step(experiment, &EMULATED.opened());
    for name in [
        "attention_16",
        "attention_keys_16",
        "product 30 x 32 x 11",
        "norm_forward_bf16_8",
    ] {
        assert!(profile.contains(name), "{name} is not in\n{profile}");
    }
}

/// Writes `step-profile.txt` into the current folder.
#[cfg(feature = "cuda")]
#[test]
#[ignore = "needs a GPU"]
fn on_the_gpu_where_a_step_goes() {
    let sets = json!({
        "model": {"layers": 12, "width": 768, "heads": 12, "context": 1024, "bias": false, "head": {"tied": false}},
        "train": {"batch": 16, "steps": 10},
        "data": {"kind": "uniform", "vocab": 50257},
        "compute": {"device": "cuda"},
    });
    let profiles = ["gpt2", "llama", "modern"].map(|name| {
        let experiment = prepared(name, sets.clone()).experiment;
        format!(
            "{name}\n{}\n",
            profile_of_a_step(experiment, &REAL.opened())
        )
    });
    std::fs::write("step-profile.txt", profiles.concat()).unwrap();
}
