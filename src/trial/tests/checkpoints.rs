//! Models that others trained, by small ones with random weights and the logits that `transformers` gives for them
//! (`tests/fixtures/checkpoints/make.py`).

use std::path::{Path, PathBuf};

use super::*;
use crate::model::{Model, Weights};
use crate::ops::Ops;

const NAMES: [&str; 6] = ["llama3", "mistral", "qwen2", "qwen3", "olmo2", "gemma3"];
/// A folder, and the GGUF file in it.
const FORMS: [&str; 2] = ["", "model.gguf"];

fn fixture(name: &str, form: &str) -> PathBuf {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints");
    match form {
        "" => all.join(name),
        file => all.join(name).join(file),
    }
}

/// A checkpoint as a model.
fn settled(path: &Path, sets: Value) -> Result<Experiment> {
    let mut tree = Library::builtin().variant(path.to_str().unwrap())?.tree;
    tree.remove("data.tokenizer");
    let data = json!({"data": {"kind": "uniform", "vocab": 64}});
    for layer in [data, sets] {
        tree.overlay(&Tree::from_json(&layer, &Origin::named("test")).unwrap());
    }
    Ok(settle(&Registry::builtin(), &tree)?.experiment)
}

/// The same of a fixture, with its weights.
fn opened(name: &str, form: &str, sets: Value) -> (Experiment, Weights) {
    let experiment = settled(&fixture(name, form), sets).unwrap();
    let params = experiment.model.start(1, &Device::Cpu).unwrap();
    (experiment, params.detached())
}

/// The tokens of one window, and its logits.
fn expected(name: &str) -> (Vec<u32>, Vec<f32>) {
    let file = std::fs::read(fixture(name, "expected.safetensors")).unwrap();
    let (length, rest) = file.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header: Value = serde_json::from_slice(header).unwrap();
    let bytes = |name: &str| {
        let at = |i: usize| header[name]["data_offsets"][i].as_u64().unwrap() as usize;
        &data[at(0)..at(1)]
    };
    let ids = bytes("ids").iter().map(|&id| u32::from(id)).collect();
    let (logits, _) = bytes("logits").as_chunks();
    let logits = logits.iter().map(|&bytes| f32::from_le_bytes(bytes));
    (ids, logits.collect())
}

fn logits(model: &Model, weights: &Weights, ids: &[u32], ops: Ops) -> Vec<f32> {
    let ids = Tensor::from_slice(ids, ids.len(), &Device::Cpu).unwrap();
    let time = ids.elem_count();
    values(&model.logits(weights, &ids, 1, time, ops).unwrap())
}

fn off(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().zip(b);
    pairs.fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

#[test]
fn logits_are_those_of_transformers_in_either_format() {
    for name in NAMES {
        let (ids, want) = expected(name);
        for form in FORMS {
            let (experiment, weights) = opened(name, form, json!({}));
            for ops in [experiment.ops, Ops::reference()] {
                let off = off(&logits(&experiment.model, &weights, &ids, ops), &want);
                assert!(off <= 1e-4, "{name} {form}: {off}");
            }
        }
    }
}

#[test]
fn decoding_with_a_cache_is_the_forward_pass() {
    for name in NAMES {
        let (experiment, weights) = opened(name, "", json!({}));
        let (model, (ids, want)) = (&experiment.model, expected(name));
        let mut cache = model.cache(1, ids.len());
        let mut seen = 0;
        // A prompt longer than every window, tokens one by one, some together.
        for new in [9, 1, 1, 1, 4, 1, 6, 1] {
            let ids = Tensor::from_slice(&ids[seen..seen + new], new, &Device::Cpu).unwrap();
            let last = model.advance(&weights, &ids, &mut cache, experiment.ops);
            seen += new;
            let want = &want[(seen - 1) * 64..seen * 64];
            let off = off(&values(&last.unwrap()), want);
            assert!(off <= 1e-4, "{name} after {seen}: {off}");
        }
        assert_eq!(seen, ids.len());
    }
}

/// What sets an architecture apart shows in the logits of its fixture, or the fixture would prove nothing.
#[test]
fn what_is_left_out_shows() {
    for (name, left_out) in [
        ("llama3", json!({"position": {"scaling_factor": 1.0}})),
        ("llama3", json!({"position": {"scaling_high": 2.0}})),
        ("mistral", json!({"position": {"scaling_factor": 1.0}})),
        (
            "mistral",
            json!({"layer": {"sliding": {"mixer": {"window": 8}}}}),
        ),
        ("qwen3", json!({"mixer": {"qk_norm_eps": 0.1}})),
        ("olmo2", json!({"mixer": {"qk_norm_eps": 0.1}})),
        ("gemma3", json!({"embedding_scale": 1.0})),
        ("gemma3", json!({"mixer": {"score_scale": 0.3}})),
        (
            "gemma3",
            json!({"ffn": {"kind": "swiglu", "ratio": 40.0 / 24.0}}),
        ),
        (
            "gemma3",
            json!({"layer": {"sliding": {"mixer": {"theta": 1e4}}}}),
        ),
    ] {
        let (ids, want) = expected(name);
        let sets = json!({"model": left_out});
        let (experiment, weights) = opened(name, "", sets.clone());
        let off = off(
            &logits(&experiment.model, &weights, &ids, experiment.ops),
            &want,
        );
        assert!(off > 1e-2, "{name} {sets}: {off}");
    }
}

#[test]
fn whatever_a_configuration_says_it_is_refused_in_a_sentence_or_a_model() {
    let strange = [
        json!(null),
        json!(-1),
        json!(1e300),
        json!(u32::MAX),
        json!([{}]),
        json!("x"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut models = 0;
    for name in NAMES {
        let from = fixture(name, "");
        let weights = "model.safetensors";
        std::fs::copy(from.join(weights), folder.path().join(weights)).unwrap();
        let config = std::fs::read(from.join("config.json")).unwrap();
        let config: serde_json::Map<String, Value> = serde_json::from_slice(&config).unwrap();
        for key in config.keys() {
            for value in &strange {
                let mut other = config.clone();
                other.insert(key.clone(), value.clone());
                let text = Value::Object(other).to_string();
                std::fs::write(folder.path().join("config.json"), text).unwrap();
                match settled(folder.path(), json!({})) {
                    Ok(_) => models += 1,
                    Err(error) => {
                        let message = error.message;
                        assert!(message.len() < 600, "{name} {key} = {value}: {message}");
                    }
                }
            }
        }
    }
    // Most keys say nothing of what a model computes.
    assert!(models > 100, "{models}");
}
