//! A model of a file whose matrices stay in the blocks that they have there.

use std::path::{Path, PathBuf};

use super::quantized::{GgmlDType, QTensor, gguf_file};
use super::*;
use crate::model::Packing;
use crate::record::metric as name;

const HEADS: usize = 2;
const KV_HEADS: usize = 1;
const HEAD: usize = 32;
const WIDTH: usize = HEADS * HEAD;
const HIDDEN: usize = 96;

/// A Llama of two layers over bytes, every matrix in another format.
fn gguf(folder: &Path, tied: bool) -> PathBuf {
    let path = folder.join("small.gguf");
    let count = |n: usize| gguf_file::Value::U32(n as u32);
    let facts = [
        (
            "general.architecture",
            gguf_file::Value::String("llama".to_owned()),
        ),
        ("llama.embedding_length", count(WIDTH)),
        ("llama.block_count", count(2)),
        ("llama.attention.head_count", count(HEADS)),
        ("llama.attention.head_count_kv", count(KV_HEADS)),
        ("llama.feed_forward_length", count(HIDDEN)),
        ("llama.context_length", count(256)),
        (
            "llama.attention.layer_norm_rms_epsilon",
            gguf_file::Value::F32(1e-5),
        ),
        // What the untied one has, the tied one has not.
        (
            "tokenizer.ggml.add_bos_token",
            gguf_file::Value::Bool(!tied),
        ),
        ("tokenizer.ggml.bos_token_id", count(7)),
    ];
    let facts: Vec<(&str, &gguf_file::Value)> = facts.iter().map(|(key, v)| (*key, v)).collect();
    let mut tensors: Vec<(String, QTensor)> = Vec::new();
    let mut put = |name: &str, rows: usize, columns: usize, format: GgmlDType| {
        let seed = tensors.len() as f32 + 1.0;
        let n = rows * columns;
        let numbers = (0..n).map(|i| ((i as f32 * 0.37 * seed).sin() + 0.01) * 0.3);
        let shape: &[usize] = if rows == 1 {
            &[columns]
        } else {
            &[rows, columns]
        };
        let numbers: Vec<f32> = numbers.collect();
        let tensor = Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap();
        tensors.push((name.to_owned(), QTensor::quantize(&tensor, format).unwrap()));
    };
    put("token_embd.weight", 256, WIDTH, GgmlDType::Q8_0);
    put("output_norm.weight", 1, WIDTH, GgmlDType::F32);
    if !tied {
        put("output.weight", 256, WIDTH, GgmlDType::Q5_1);
    }
    for layer in 0..2 {
        let name = |name: &str| format!("blk.{layer}.{name}.weight");
        put(&name("attn_norm"), 1, WIDTH, GgmlDType::F32);
        put(&name("attn_q"), WIDTH, WIDTH, GgmlDType::Q4_1);
        put(&name("attn_k"), HEAD * KV_HEADS, WIDTH, GgmlDType::Q5_0);
        put(&name("attn_v"), HEAD * KV_HEADS, WIDTH, GgmlDType::Q8_0);
        put(&name("attn_output"), WIDTH, WIDTH, GgmlDType::Q4_0);
        put(&name("ffn_norm"), 1, WIDTH, GgmlDType::F32);
        put(&name("ffn_gate"), HIDDEN, WIDTH, GgmlDType::Q4_1);
        put(&name("ffn_up"), HIDDEN, WIDTH, GgmlDType::Q4_1);
        // Numbers that no product here takes as they are.
        let down = if layer == 0 {
            GgmlDType::Q5_1
        } else {
            GgmlDType::F16
        };
        put(&name("ffn_down"), WIDTH, HIDDEN, down);
    }
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let mut file = std::fs::File::create(&path).unwrap();
    gguf_file::write(&mut file, &facts, &tensors).unwrap();
    path
}

fn text(folder: &Path) -> PathBuf {
    let path = folder.join("text.txt");
    let words = (0..70).map(|k| format!("{} little words, and then ", k * k));
    std::fs::write(&path, words.collect::<String>()).unwrap();
    path
}

fn settled(folder: &Path, model: &Path, extra: Value) -> Result<Prepared> {
    let sets = json!({
        "model": {"context": 16},
        "train": {"steps": 0, "batch": 4},
        "data": {"kind": "text", "path": text(folder), "tokenizer": "byte", "bos": false, "val_fraction": 1.0, "held_out": "all"},
        "measure": {"window_s": 0.01},
    });
    let library = Library::builtin();
    let mut tree = library.variant(model.to_str().unwrap()).unwrap().tree;
    for layer in [sets, extra] {
        tree.overlay(&Tree::from_json(&layer, &Origin::named("test")).unwrap());
    }
    settle(&Registry::builtin(), &tree)
}

#[test]
fn blocks_stay_as_they_are_and_mean_the_same_numbers() {
    let folder = tempfile::tempdir().unwrap();
    for tied in [true, false] {
        let path = gguf(folder.path(), tied);
        let of = |word: &str| settled(folder.path(), &path, json!({"infer": {"weights": word}}));
        let (kept, plain) = (
            of("file").unwrap().experiment,
            of("f32").unwrap().experiment,
        );
        let (kept_params, plain_params) = (trainer(&kept, 1), trainer(&plain, 1));
        let (kept_params, plain_params) = (kept_params.params(), plain_params.params());
        for (k, decl) in kept.model.decls().iter().enumerate() {
            let held = kept_params.vars()[k].elem_count() as u64;
            // Norms, and the one matrix that is in no blocks.
            let as_f32 = decl.shape.len() == 1 || decl.name == "blocks.01.ffn.down";
            let expected = if as_f32 { decl.count() } else { 0 };
            assert_eq!(held, expected, "{}", decl.name);
        }
        let tokens = batch_of(&kept);
        let ids = Tensor::from_slice(&tokens, tokens.len(), &Device::Cpu).unwrap();
        let logits = |experiment: &Experiment, params: &crate::model::Params| {
            let packing = experiment.infer.weights;
            let weights = experiment.model.serving(params, packing).unwrap();
            let found =
                experiment
                    .model
                    .logits(&weights, &ids, tokens.len() / 16, 16, experiment.ops);
            values(&found.unwrap())
        };
        let (a, b) = (logits(&kept, kept_params), logits(&plain, plain_params));
        let off = a.iter().zip(&b).map(|(a, b)| (a - b).abs());
        assert!(off.fold(0.0, f32::max) < 1e-4);
        assert!(kept.model.packed_bytes() < 4 * kept.model.params_total() / 3);
        assert!(kept.guess_bytes() < plain.guess_bytes());
    }
}

/// What trains nothing holds parameters, and what serves behind a long text its cache too.
#[test]
fn a_plan_to_serve_counts_what_serving_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = gguf(folder.path(), true);
    let of = |extra: Value| settled(folder.path(), &path, extra).unwrap();
    let plain = of(json!({"infer": {"weights": "f32"}}));
    assert_eq!(
        plain.cost.state_bytes,
        4 * plain.experiment.model.params_total()
    );
    let kept = of(json!({"infer": {"weights": "file"}}));
    assert_eq!(kept.cost.state_bytes, kept.experiment.model.packed_bytes());
    let deep = of(json!({"infer": {"weights": "file", "depth": 1000, "batch": 2}}));
    let model = &deep.experiment.model;
    let more = 2 * model.state_scalars(1016) - model.state_scalars(16);
    let guesses = [&deep, &kept].map(|plan| plan.experiment.guess_bytes());
    assert_eq!(guesses[0] - guesses[1], 2 * 4 * more);
    assert!(
        of(json!({"train": {"steps": 1}, "data": {"val_fraction": 0.1, "held_out": "validation"}}))
            .cost
            .state_bytes
            > 3 * plain.cost.state_bytes
    );
}

fn batch_of(experiment: &Experiment) -> Vec<u32> {
    let held_out = experiment.source.held_out(experiment.held_out, 3, 16);
    held_out.unwrap()[0].batch.inputs.clone()
}

#[test]
fn a_file_is_measured_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = gguf(folder.path(), true);
    let of = |extra: Value| {
        let prepared = settled(folder.path(), &path, extra).unwrap();
        let weights = folder.path().join("kept.safetensors");
        let job = Job {
            keep_weights: Some(weights.clone()),
            ..job(&prepared)
        };
        let trial = run(&Registry::builtin(), &job, &mut |_| {}).unwrap();
        (trial, std::fs::read(weights).unwrap())
    };
    let (kept, kept_bytes) = of(json!({"infer": {"weights": "file"}}));
    let (plain, plain_bytes) = of(json!({}));
    let value = |trial: &Trial, name: &str| trial.metrics[name].value.unwrap();
    for name in [name::VAL_LOSS_NATS, name::PERPLEXITY] {
        let (a, b) = (value(&kept, name), value(&plain, name));
        assert!((a / b - 1.0).abs() < 1e-6, "{name}: {a} {b}");
    }
    // What is kept is unpacked, to the bit.
    assert!(kept_bytes == plain_bytes);
    let ratio = value(&kept, name::WEIGHTS_READ_BYTES) / value(&plain, name::WEIGHTS_READ_BYTES);
    assert!((0.2..0.35).contains(&ratio), "{ratio}");
    let reason = |trial: &Trial| trial.metrics[name::PACKED_KL_NATS].reason.clone();
    let (kept, plain) = (reason(&kept).unwrap(), reason(&plain).unwrap());
    assert_eq!(kept, "the weights serve as their file has them");
    assert_eq!(plain, "the weights serve as they were trained");
}

/// What rounding activations does is measured against the same weights with activations as they are.
#[test]
fn rounded_activations_have_their_quality_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = gguf(folder.path(), true);
    let of = |extra: Value| settled(folder.path(), &path, extra);
    let prepared = of(json!({"infer": {"weights": "file", "activations": "int8"}})).unwrap();
    let trial = run(&Registry::builtin(), &job(&prepared), &mut |_| {}).unwrap();
    let value = |name: &str| trial.metrics[name].value.unwrap();
    let divergence = value(name::PACKED_KL_NATS);
    assert!(0.0 < divergence && divergence < 1e-2, "{divergence}");
    // Numbers that are no language's have many first places nearly tied.
    let same_first = value(name::PACKED_TOP1_AGREEMENT);
    assert!((0.5..=1.0).contains(&same_first), "{same_first}");
    assert!(value(name::PACKED_EXCESS_NATS).abs() < 1e-2);
    // The perplexity of both: nearly the same, and not the same number twice.
    let ratio = value(name::PACKED_PERPLEXITY) / value(name::PERPLEXITY);
    assert!(ratio != 1.0 && (ratio - 1.0).abs() < 5e-2, "{ratio}");
    let refused = of(json!({"infer": {"weights": "f32", "activations": "int8"}}));
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("no matrix is packed"), "{refused}");
}

/// After training the file's formats hold other numbers, and what rounding them costs is said.
#[test]
fn trained_further_it_serves_in_the_formats_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = gguf(folder.path(), true);
    let extra = json!({
        "train": {"steps": 2, "optimizer": {"lr": 1e-3}}, "data": {"val_fraction": 0.5}, "infer": {"weights": "file"},
    });
    let prepared = settled(folder.path(), &path, extra).unwrap();
    let experiment = &prepared.experiment;
    assert_eq!(experiment.infer.weights, Some(Packing::AsInFile));
    let params = experiment.model.start(1, &Device::Cpu).unwrap();
    let weights = experiment.model.serving(&params, experiment.infer.weights);
    let read = experiment.model.bytes_read(&weights.unwrap(), 1);
    let started = experiment.model.start_packed(1).unwrap();
    let started = experiment.model.serving(&started, experiment.infer.weights);
    assert_eq!(read, experiment.model.bytes_read(&started.unwrap(), 1));
    let trial = run(&Registry::builtin(), &job(&prepared), &mut |_| {}).unwrap();
    assert!(trial.metrics[name::PACKED_KL_NATS].value.unwrap() > 0.0);
}

/// Chunk by chunk as llama.cpp has it: the second half of each, but for what its last token predicts.
#[test]
fn perplexity_is_of_the_second_half_of_whole_windows() {
    let folder = tempfile::tempdir().unwrap();
    let path = gguf(folder.path(), true);
    let prepared = settled(folder.path(), &path, json!({})).unwrap();
    let trial = run(&Registry::builtin(), &job(&prepared), &mut |_| {}).unwrap();
    let bytes = std::fs::read(folder.path().join("text.txt")).unwrap();
    let tokens: Vec<u32> = bytes.into_iter().map(u32::from).collect();
    let (experiment, mut nats) = (&prepared.experiment, Vec::new());
    let params = experiment.model.start(1, &Device::Cpu).unwrap();
    for chunk in tokens.as_chunks::<16>().0 {
        let ids = Tensor::from_slice(chunk, 16, &Device::Cpu).unwrap();
        let logits = experiment
            .model
            .logits(&params.detached(), &ids, 1, 16, experiment.ops);
        let logits = logits.unwrap().to_vec2::<f32>().unwrap();
        for at in 8..15 {
            let sum: f64 = logits[at].iter().map(|&x| f64::from(x).exp()).sum();
            nats.push(sum.ln() - f64::from(logits[at][chunk[at + 1] as usize]));
        }
    }
    assert!(!tokens.len().is_multiple_of(16), "a tail to drop");
    let expected = (nats.iter().sum::<f64>() / nats.len() as f64).exp();
    let found = &trial.metrics[name::PERPLEXITY];
    assert_eq!(found.n, Some(nats.len() as u64));
    let off = found.value.unwrap() / expected - 1.0;
    assert!(off.abs() < 1e-5, "{off}");
}

/// A token that texts begin with comes along with the tokenizer that it is one of, and goes with it.
#[test]
fn a_first_token_comes_with_its_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    let library = Library::builtin();
    let suite = library.suite("serve").unwrap();
    let of = |tied: bool, sets: Vec<(String, Value)>| {
        let path = gguf(folder.path(), tied);
        let overrides = crate::config::Overrides {
            variants: Some(vec![path.to_str().unwrap().to_owned()]),
            sets,
            ..Default::default()
        };
        let cells = suite.cells(&library, &overrides).unwrap();
        let first = cells[0].tree.get("data.bos");
        first.map(|entry| entry.value.clone())
    };
    assert_eq!(of(true, Vec::new()), None);
    assert_eq!(of(false, Vec::new()), Some(json!(true)));
    let byte = vec![("data.tokenizer".to_owned(), json!("byte"))];
    assert_eq!(of(false, byte), None);
    let no_text = vec![("data.kind".to_owned(), json!("markov"))];
    assert_eq!(of(false, no_text), None);
}

#[test]
fn what_is_in_no_file_is_refused() {
    let library = Library::builtin();
    let suite = library.suite("serve").unwrap();
    let cells = suite.cells(&library, &crate::config::Overrides::default());
    let error = settle(&Registry::builtin(), &cells.unwrap()[0].tree)
        .err()
        .unwrap();
    let said = error.to_string();
    assert!(said.contains("this model has learnt nothing yet"), "{said}");
    assert!(said.contains("hint: `--variants FILE.gguf`"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    let path = gguf(folder.path(), true);
    let extra = json!({"infer": {"weights": "file"}, "model": {"linear": {"kind": "fp8"}}});
    let error = settled(folder.path(), &path, extra)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("would be rounded twice"), "{error}");
}

/// Blocks that stay, with low-rank changes that train beside them (QLoRA), learn as their numbers do in f32, and go on from a snapshot.
#[test]
fn changes_train_beside_blocks_that_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = gguf(folder.path(), true);
    let of = |kind: &str, base: &str| {
        let extra = json!({
            "model": {"linear": {"kind": kind, "base": base}}, "data": {"val_fraction": 0.5},
            "train": {"steps": 2, "optimizer": {"lr": 1e-2}},
        });
        settled(folder.path(), &path, extra).unwrap()
    };
    for kind in ["lora", "dora"] {
        let (kept, plain) = (of(kind, "file"), of(kind, "f32"));
        let spared = plain.cost.state_bytes - kept.cost.state_bytes;
        let model = &kept.experiment.model;
        assert_eq!(Some(spared), model.spared_by_blocks());
        let [mut in_blocks, mut in_f32] = [&kept, &plain].map(|of| trainer(&of.experiment, 1));
        let held = |trainer: &Trainer| -> usize {
            let all = trainer.params().vars().iter();
            all.map(|var| 4 * var.elem_count()).sum()
        };
        // Seven matrices of two layers in some 5 bits of 32, but for the one that is in none.
        assert!(
            held(&in_blocks) < held(&in_f32) && spared > 150_000,
            "{spared}"
        );
        for step in 0..2 {
            let batch = batch(&kept.experiment, step);
            let ((a, of_a), (b, of_b)) = (
                in_blocks.gradient(&batch).unwrap(),
                in_f32.gradient(&batch).unwrap(),
            );
            assert!((a - b).abs() < 1e-5, "{kind} {step}: {a} {b}");
            let mut off = 0.0;
            for (a, b) in of_a.tensors.iter().zip(&of_b.tensors) {
                let pairs = values(a).into_iter().zip(values(b));
                off += pairs
                    .map(|(a, b)| f64::from((a - b) * (a - b)))
                    .sum::<f64>();
            }
            assert!(
                off.sqrt() < 1e-5 * of_b.norm.max(1.0),
                "{kind} {step}: {off}"
            );
            let snapshot = in_blocks.snapshot().unwrap().unwrap();
            in_blocks.restore(&snapshot).unwrap();
            in_blocks.step(&batch).unwrap();
            in_f32.step(&batch).unwrap();
        }
        let [a, b] = [&in_blocks, &in_f32].map(|of| model.merged(of.params()).unwrap());
        for ((decl, a), b) in model.decls().iter().zip(a.vars()).zip(b.vars()) {
            let far = values(a)
                .into_iter()
                .zip(values(b))
                .map(|(a, b)| (a - b).abs());
            assert!(far.fold(0.0, f32::max) < 1e-4, "{kind} {}", decl.name);
        }
    }
    let trial = run(&Registry::builtin(), &job(&of("lora", "file")), &mut |_| {}).unwrap();
    assert_eq!(trial.status, Status::Ok);
}

#[test]
fn blocks_that_are_not_there_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = gguf(folder.path(), true);
    let on_a_gpu = json!({
        "model": {"linear": {"kind": "lora", "base": "file"}}, "compute": {"device": "cuda"},
    });
    let refused = settled(folder.path(), &path, on_a_gpu).err().unwrap();
    assert!(
        refused.to_string().contains("on the CPU alone"),
        "{refused}"
    );
    let mut tree = Library::builtin().variant("gpt2+lora").unwrap().tree;
    tree.set("model.linear.base", json!("file"), Origin::named("test"));
    let refused = settle(&Registry::builtin(), &tree).err().unwrap();
    assert!(refused.to_string().contains("names no file"), "{refused}");
}
