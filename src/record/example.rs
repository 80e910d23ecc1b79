//! A made-up study for tests: `gpt2` and `modern` at width 32 on a language with an oracle, with losses of one's choice.

use std::collections::BTreeMap;

use serde_json::json;

use super::metric::{self, Metric};
use super::{
    Answers, At, Build, Calibration, Channel, Cost, Cpu, Curve, Energy, Headline, Machine,
    RateSource, ResultFile, Run, SCHEMA, Skill, Status, Trial, spec_sha256,
};
use crate::reading::{Method, Quality, Thoughts};

/// Variant and steps of each cell, in the order run.
pub const CELLS: [(&str, u64); 5] = [
    ("gpt2", 400),
    ("gpt2", 800),
    ("gpt2", 1600),
    ("modern", 400),
    ("modern", 800),
];

/// Four repeats in which `modern` is worth about three times the compute of `gpt2`.
pub fn example() -> ResultFile {
    let luck = [0.012, -0.009, 0.004, -0.007];
    let mut file = study(4, |variant, steps, repeat| {
        let worth = if variant == "modern" { 3.1 } else { 1.0 };
        let jitter = 0.3 * luck[(repeat as usize + steps as usize / 400) % luck.len()];
        Some(
            1.4 * (worth * steps as f64 / 400.0).powf(-0.3)
                + luck[repeat as usize % luck.len()]
                + jitter,
        )
    });
    file.run.headline = Some(Headline {
        variant: "modern".to_owned(),
        scale: "w32".to_owned(),
        budget: 400,
    });
    file
}

/// A study, its headline at 800 steps, whose final excess losses are given by variant, steps and repeat; `None` diverged.
pub fn study(repeats: u64, excess: impl Fn(&str, u64, u64) -> Option<f64>) -> ResultFile {
    study_of(&CELLS, repeats, excess)
}

/// The same of other cells.
pub fn study_of(
    cells: &[(&str, u64)],
    repeats: u64,
    excess: impl Fn(&str, u64, u64) -> Option<f64>,
) -> ResultFile {
    let cells = (0..repeats).flat_map(|repeat| {
        cells
            .iter()
            .map(move |(variant, steps)| (*variant, *steps, repeat))
    });
    let trials = cells
        .enumerate()
        .map(|(order, (variant, steps, repeat))| {
            trial(
                order as u64,
                variant,
                steps,
                repeat,
                excess(variant, steps, repeat),
            )
        })
        .collect();
    ResultFile {
        schema: SCHEMA.to_owned(),
        run: Run {
            suite: "quick".to_owned(),
            command: "effbench run quick".to_owned(),
            base: Some("gpt2".to_owned()),
            headline: Some(Headline {
                variant: "modern".to_owned(),
                scale: "w32".to_owned(),
                budget: 800,
            }),
            data: "synthetic language".to_owned(),
            repeats,
            started_at: "2026-11-21T10:00:00Z".to_owned(),
            finished_at: Some("2026-11-21T10:03:00Z".to_owned()),
            interleaved: None,
        },
        builds: vec![build()],
        machines: vec![machine()],
        calibrations: [At::Before, At::After].map(calibration).to_vec(),
        trials,
    }
}

fn trial(order: u64, variant: &str, steps: u64, repeat: u64, excess: Option<f64>) -> Trial {
    let cell = format!("{variant}/w32@{steps}");
    let spec = json!({
        "compute": {"device": "cpu", "dtype": "f32", "ops": "fused", "threads": 2},
        "data": {"kind": "language", "vocab": 128},
        "model": {"context": 64, "width": 32},
        "train": {"batch": 16, "optimizer": {"kind": if variant == "modern" { "muon" } else { "adamw" }}, "steps": steps},
    });
    Trial {
        id: format!("{}-{repeat}", cell.replace(['/', '@'], "-")),
        arm: cell.clone(),
        cell,
        repeat,
        order,
        variant: variant.to_owned(),
        scale: "w32".to_owned(),
        budget: Some(steps),
        seed: repeat,
        lr_source: RateSource::of_words("tuned: quick-lr.json"),
        status: if excess.is_some() {
            Status::Ok
        } else {
            Status::Diverged
        },
        reason: excess
            .is_none()
            .then(|| "the loss is not finite at step 37".to_owned()),
        started_at: format!("2026-11-21T10:{:02}:00Z", order % 60),
        spec_sha256: spec_sha256(&spec),
        spec,
        cost: Some(cost(variant, steps)),
        curve: excess.map_or_else(Curve::default, |excess| curve(variant, steps, excess)),
        metrics: metrics(variant, steps, excess),
        skills: excess.map_or_else(Vec::new, skills),
        energy: Energy {
            channels: vec![Channel {
                id: "cpu".to_owned(),
                component: "cpu_package".to_owned(),
                method: Method::None,
                source: "rapl.powercap".to_owned(),
                quality: Quality::Unavailable,
                energy_j: None,
                bounds_j: None,
                window_s: None,
                reason: Some("virtual_machine".to_owned()),
                ..Channel::default()
            }],
            measured_j: None,
            reason: Some("virtual_machine".to_owned()),
            poller_cpu_s: None,
        },
        ..Trial::blank()
    }
}

/// Adds a variant at 800 steps to a study: `gpt2`'s trials with other settings, worth `worth(repeat)` times its steps under
/// the law that excess is `2 (steps / 400)^-0.3`, as the study's own trials of `gpt2` must be.
pub fn add_variant(
    file: &mut ResultFile,
    variant: &str,
    set: &[(&str, &str, &str)],
    worth: impl Fn(u64) -> f64,
) {
    let models: Vec<Trial> = file
        .trials
        .iter()
        .filter(|t| t.variant == "gpt2" && t.budget == Some(800))
        .cloned()
        .collect();
    for model in models {
        let excess = 2.0 * (2.0 * worth(model.repeat)).powf(-0.3);
        let mut trial = trial(
            file.trials.len() as u64,
            "gpt2",
            800,
            model.repeat,
            Some(excess),
        );
        trial.variant = variant.to_owned();
        trial.cell = format!("{variant}/w32@800");
        trial.arm = trial.cell.clone();
        trial.id = format!("{variant}-800-{}", trial.repeat);
        for (table, part, value) in set {
            trial.spec[*table][*part] = json!({ "kind": value });
        }
        trial.spec_sha256 = spec_sha256(&trial.spec);
        file.trials.push(trial);
    }
}

/// A model trained ever longer, each time with twice the compute, and then asked 20 problems that are all alike: a
/// share `p(times, repeat)` of 4096 samples is right.
pub fn asked(repeats: u64, trainings: u64, p: impl Fn(f64, u64) -> f64) -> ResultFile {
    let cells: Vec<(&str, u64)> = (0..trainings).map(|k| ("gpt2", 100 << k)).collect();
    let mut file = study_of(&cells, repeats, |_, _, _| Some(1.0));
    file.run.headline = None;
    file.run.base = None;
    for trial in &mut file.trials {
        let times = trial.budget.map_or(1.0, |steps| steps as f64 / 100.0);
        trial.answers = Some(answers(p(times, trial.repeat)));
    }
    file
}

/// The same file with prompts and decoding measured: `modern` decodes at four fifths of the others' rate.
pub fn served(mut file: ResultFile) -> ResultFile {
    for trial in &mut file.trials {
        let luck = 1.0 + 0.004 * ((trial.repeat + trial.order) % 3) as f64;
        let rate = if trial.variant == "modern" { 0.8 } else { 1.0 };
        trial.spec["infer"] = json!({"batch": 1, "generate": 33, "prompt": 32});
        trial.spec_sha256 = spec_sha256(&trial.spec);
        for (name, tokens_per_s) in [
            (metric::PREFILL_TOKENS_PER_S, 40_000.0 * luck),
            (metric::DECODE_TOKENS_PER_S, 4_000.0 * rate * luck),
        ] {
            let figure = Metric::value(name, tokens_per_s);
            trial.metrics.insert(name.to_owned(), figure);
        }
    }
    file
}

fn answers(p: f64) -> Answers {
    let samples = 4096;
    let right = (p * samples as f64).round() as u64;
    Answers {
        task: "made up".to_owned(),
        thoughts: Thoughts::None,
        thought_tokens: 0,
        prompt_tokens: 4,
        answer_tokens: 7,
        samples,
        temperature: 1.0,
        greedy: vec![0; 20],
        right: vec![right; 20],
        votes: None,
        chance: vec![0.1],
        generated_tokens: 20 * 7 * (samples + 1),
        prompt_flops: 0.0,
        sample_flops: 1e6,
        greedy_s: 0.1,
        samples_s: 1.0,
    }
}

/// FLOPs of one step: the variant's model costs a little more, its optimizer a lot.
fn step_flops(variant: &str) -> (f64, f64) {
    if variant == "modern" {
        (8.0e7, 9.0e6)
    } else {
        (7.7e7, 3.0e5)
    }
}

fn step_s(variant: &str) -> f64 {
    if variant == "modern" { 0.0052 } else { 0.0031 }
}

fn cost(variant: &str, steps: u64) -> Cost {
    let (model, optimizer) = step_flops(variant);
    let params = if variant == "modern" { 31_000 } else { 29_500 };
    Cost {
        params_total: params,
        params_non_embedding: params - 6_144,
        params_active: params,
        params_by_part: BTreeMap::from([
            ("embedding".to_owned(), 6_144),
            ("mixer".to_owned(), params - 6_144),
        ]),
        embedding_share: 6_144.0 / params as f64,
        forward_flops_per_token: model / 1024.0 / 3.0,
        train_flops_per_token: model / 1024.0,
        train_flops_per_sequence: (model / 16.0) as u64,
        train_flops_per_sequence_causal: None,
        six_n_flops_per_token: 6.0 * params as f64,
        train_flops: model * steps as f64,
        train_flops_full_square: Some(1.05 * model * steps as f64),
        optimizer_flops: optimizer * steps as f64,
        train_labels: None,
        tuning_flops: None,
        train_tokens: 1024 * steps,
        kv_bytes_per_token: 512,
        cache_bytes_per_window: None,
        token_flops: None,
        state_bytes: 16 * params,
    }
}

fn curve(variant: &str, steps: u64, excess: f64) -> Curve {
    let step = vec![steps / 2, steps];
    Curve {
        tokens: step.iter().map(|s| s * 1024).collect(),
        train_flops: step
            .iter()
            .map(|s| *s as f64 * step_flops(variant).0)
            .collect(),
        wall_s: step.iter().map(|s| *s as f64 * step_s(variant)).collect(),
        energy_j: None,
        train_loss_nats: vec![Some(2.4 + excess), Some(1.9 + excess)],
        val_loss_nats: vec![None, Some(1.875 + excess)],
        max_violation: Vec::new(),
        step,
    }
}

fn metrics(variant: &str, steps: u64, excess: Option<f64>) -> BTreeMap<String, Metric> {
    let mut metrics = BTreeMap::new();
    let mut put = |name: &str, metric: Metric| metrics.insert(name.to_owned(), metric);
    let Some(excess) = excess else {
        put(
            metric::EXCESS_LOSS_NATS,
            Metric::absent(metric::EXCESS_LOSS_NATS, "diverged"),
        );
        return metrics;
    };
    let step = step_s(variant);
    put(
        metric::TRAIN_STEP_S,
        Metric::samples(
            metric::TRAIN_STEP_S,
            step,
            vec![0.98 * step, step, 1.02 * step],
        ),
    );
    put(
        metric::TRAIN_TOKENS_PER_S,
        Metric::value(metric::TRAIN_TOKENS_PER_S, 1024.0 / step),
    );
    put(
        metric::MFU,
        Metric::value(metric::MFU, step_flops(variant).0 / step / 1.5e11),
    );
    put(
        metric::PEAK_MEMORY_BYTES,
        Metric::value(metric::PEAK_MEMORY_BYTES, 84.6e6),
    );
    put(
        metric::TRAIN_WALL_S,
        Metric::value(metric::TRAIN_WALL_S, step * steps as f64),
    );
    put(
        metric::ORACLE_LOSS_NATS,
        Metric::value(metric::ORACLE_LOSS_NATS, 1.875),
    );
    put(
        metric::VAL_LOSS_NATS,
        Metric::mean(metric::VAL_LOSS_NATS, 1.875 + excess, 0.004, 65_536),
    );
    put(
        metric::EXCESS_LOSS_NATS,
        Metric::mean(metric::EXCESS_LOSS_NATS, excess, 0.003, 65_536),
    );
    put(
        metric::NEXT_TOKEN_ACCURACY,
        Metric::mean(
            metric::NEXT_TOKEN_ACCURACY,
            0.6 - 0.2 * excess,
            0.002,
            65_536,
        ),
    );
    put(
        metric::VAL_BITS_PER_BYTE,
        Metric::absent(metric::VAL_BITS_PER_BYTE, "the tokens are not text"),
    );
    metrics
}

fn skills(excess: f64) -> Vec<Skill> {
    let skill = |label: &str, tokens, oracle_nats: f64, excess_nats: f64| Skill {
        label: label.to_owned(),
        tokens,
        loss_nats: oracle_nats + excess_nats,
        oracle_nats,
        excess_nats,
        excess_se_nats: Some(0.01),
        accuracy: None,
    };
    vec![
        skill("rule", 40_000, 2.1, 0.8 * excess),
        skill("recall", 25_536, 1.5, 1.3 * excess),
    ]
}

fn build() -> Build {
    Build {
        version: "0.1.0".to_owned(),
        commit: None,
        dirty: None,
        features: vec!["run".to_owned()],
        rustc: Some("1.95.0".to_owned()),
        profile: "release".to_owned(),
        target_features: vec!["avx2".to_owned(), "fma".to_owned()],
        executable_id: Some("00112233aabbccdd".to_owned()),
    }
}

fn machine() -> Machine {
    Machine {
        class_id: "epyc-2c-linux".to_owned(),
        strict_id: "5b1c".to_owned(),
        cpu: Cpu {
            model: "AMD EPYC".to_owned(),
            arch: "x86_64".to_owned(),
            cores: Some(1),
            threads: Some(2),
            features: vec!["avx2".to_owned()],
            cache_bytes: vec![32_768, 1_048_576],
        },
        memory_bytes: Some(16_000_000_000),
        gpus: Vec::new(),
        os: Some("Debian GNU/Linux 13".to_owned()),
        kernel: Some("6.12".to_owned()),
        virtualization: Some("kvm".to_owned()),
        threads: Some(2),
        allocator: "mimalloc".to_owned(),
        environment: BTreeMap::from([("RAYON_NUM_THREADS".to_owned(), "2".to_owned())]),
        settings: BTreeMap::new(),
    }
}

fn calibration(at: At) -> Calibration {
    Calibration {
        gemm_f32_flops_per_s: Some(1.5e11),
        stream_bytes_per_s: Some(2.1e10),
        ..Calibration::empty(0, at, "cpu")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/quick.json");

    #[test]
    fn the_fixture_is_the_example() {
        let fixture = crate::record::store::read_valid(Path::new(FIXTURE)).unwrap();
        assert!(
            fixture == example(),
            "mend with `cargo test write_the_fixture -- --ignored`"
        );
    }

    #[test]
    #[ignore = "writes tests/fixtures/quick.json"]
    fn write_the_fixture() {
        crate::record::store::write(Path::new(FIXTURE), &example()).unwrap();
    }
}
