//! Speculative decoding: tokens come as the model alone would give them, whoever guesses and whatever its layers keep.

use std::path::{Path, PathBuf};

use super::*;
use crate::infer::{Drafter, Drafting, Generator, Lookup, Sampling, Speculative};
use crate::model::{Model, Weights};
use crate::record::metric as name;

const CONTEXT: usize = 32;
const PROMPT: [u32; 5] = [3, 1, 4, 1, 5];

/// A tiny model whose weights are large enough to prefer some tokens.
fn model(mixer: &str, width: usize, vocab: usize) -> Experiment {
    let sets = json!({
        "model": {"layers": 2, "width": width, "heads": 2, "context": CONTEXT, "init_std": 0.5, "mixer": {"kind": mixer}},
        "data": {"kind": "uniform", "vocab": vocab},
    });
    prepared("llama", sets).experiment
}

fn weights(experiment: &Experiment, seed: u64) -> Weights {
    experiment
        .model
        .start(seed, &Device::Cpu)
        .unwrap()
        .detached()
}

fn generator<'a>(experiment: &'a Experiment, weights: &'a Weights) -> Generator<'a> {
    let model: &Model = &experiment.model;
    Generator::new(model, weights, experiment.ops, &Device::Cpu, 1)
}

fn plain(
    experiment: &Experiment,
    weights: &Weights,
    count: usize,
    sampling: &mut Sampling,
) -> Vec<u32> {
    let rows = generator(experiment, weights).generate(&PROMPT, count, sampling);
    rows.unwrap().concat()
}

fn guessed<'a>(
    target: Generator<'a>,
    mut drafter: Box<dyn Drafter + 'a>,
    (most, count): (usize, usize),
    sampling: &mut Sampling,
) -> (Vec<u32>, Speculative<'a>) {
    drafter.read(&PROMPT).unwrap();
    let mut speculative = Speculative::new(target, drafter, most);
    let mut tokens = vec![speculative.begin(&PROMPT, sampling).unwrap()];
    tokens.extend(speculative.generate(count - 1, sampling).unwrap());
    (tokens, speculative)
}

/// Full attention, a window that is a ring by then, latents, two looks, and states that only a copy brings back; the draft is another
/// model, the same one, or the text.
#[test]
fn greedy_tokens_are_those_of_plain_decoding() {
    let greedy = || Sampling::new(0.0, 0, 1);
    let count = CONTEXT - PROMPT.len();
    for mixer in [
        "attention",
        "sliding",
        "mla",
        "differential",
        "gated-deltanet",
        "mingru",
    ] {
        let (target, other) = (model(mixer, 16, 12), model(mixer, 8, 12));
        let (own, theirs) = (weights(&target, 5), weights(&other, 6));
        let expected = plain(&target, &own, count, &mut greedy());
        for (k, most) in [1, 3, 7].into_iter().enumerate() {
            let drafters: [Box<dyn Drafter>; 3] = [
                Box::new(Drafting::new(generator(&other, &theirs))),
                Box::new(Drafting::new(generator(&target, &own))),
                Box::new(Lookup),
            ];
            for (d, drafter) in drafters.into_iter().enumerate() {
                let (tokens, done) = guessed(
                    generator(&target, &own),
                    drafter,
                    (most, count),
                    &mut greedy(),
                );
                assert_eq!(tokens, expected, "{mixer}, at most {most}, drafter {d}");
                let counted = &done.counted;
                assert!(counted.taken <= counted.guessed, "{counted:?}");
                let rows: u64 = counted.passes.iter().map(|pass| pass.new).sum();
                assert_eq!(rows, counted.guessed + counted.passes.len() as u64);
                if d == 1 {
                    // What guesses as it judges is always right.
                    assert_eq!(counted.taken, counted.guessed, "{mixer} {k}");
                    assert_eq!(counted.passes.len(), (count - 1).div_ceil(most + 1));
                    assert!(counted.again.is_empty());
                }
            }
        }
    }
}

/// A text with every token, so that whichever comes first has been there before.
const ALL: [u32; 7] = [0, 1, 2, 3, 0, 2, 1];

/// Pairs of tokens behind the likeliest first one against the model's own chances of them: a chi-square test of 15 degrees of freedom,
/// whose 99.9% point is 37.7; guesses that were taken unjudged would be far beyond it.
#[test]
fn samples_are_distributed_as_the_models_own() {
    const N: usize = 600;
    let (target, other) = (model("attention", 8, 4), model("attention", 4, 4));
    let (own, theirs) = (weights(&target, 2), weights(&other, 9));
    let (expected, of_draft) = (
        chances(&target, &own, &target, &own),
        chances(&other, &theirs, &target, &own),
    );
    let chi = |found: &[f64]| -> f64 {
        let each = found.iter().zip(&expected);
        each.map(|(found, p)| (found - p * N as f64).powi(2) / (p * N as f64))
            .sum()
    };
    let unjudged: Vec<f64> = of_draft.iter().map(|q| q * N as f64).collect();
    assert!(chi(&unjudged) > 100.0, "{}", chi(&unjudged));
    for lookup in [false, true] {
        let (mut greedy, mut sampling) = (Sampling::new(0.0, 0, 1), Sampling::new(1.0, 0, 7));
        let mut found = vec![0.0; 16];
        for _ in 0..N {
            let mut drafter: Box<dyn Drafter> = match lookup {
                true => Box::new(Lookup),
                false => Box::new(Drafting::new(generator(&other, &theirs))),
            };
            drafter.read(&ALL).unwrap();
            let mut all = Speculative::new(generator(&target, &own), drafter, 2);
            all.begin(&ALL, &mut greedy).unwrap();
            let rest = all.generate(2, &mut sampling).unwrap();
            found[(rest[0] * 4 + rest[1]) as usize] += 1.0;
        }
        assert!(chi(&found) < 37.7, "lookup {lookup}: {}", chi(&found));
    }
}

/// By one model, the chance of each two tokens behind the text and the other's likeliest first one.
fn chances(of: &Experiment, weights: &Weights, first: &Experiment, own: &Weights) -> Vec<f64> {
    let likeliest = generator(first, own).generate(&ALL, 1, &mut Sampling::new(0.0, 0, 1));
    let text = [&ALL[..], &likeliest.unwrap()[0]].concat();
    let after = |text: &[u32]| -> Vec<f64> {
        let logits = generator(of, weights).feed(text).unwrap();
        let e: Vec<f64> = values(&logits)
            .iter()
            .map(|&x| f64::from(x).exp())
            .collect();
        let total: f64 = e.iter().sum();
        e.iter().map(|e| e / total).collect()
    };
    let second = after(&text);
    let pairs = (0..4u32).flat_map(|b| {
        let third = after(&[&text[..], &[b]].concat());
        third.into_iter().map(move |p| (b, p))
    });
    pairs.map(|(b, p)| second[b as usize] * p).collect()
}

fn text(folder: &Path) -> PathBuf {
    let path = folder.join("text.txt");
    let words = (0..90).map(|k| format!("{} little words, and then ", k * k));
    std::fs::write(&path, words.collect::<String>()).unwrap();
    path
}

fn small(folder: &Path, width: usize, infer: Value) -> Result<Prepared> {
    cut_by(folder, width, infer, Path::new("byte"))
}

fn cut_by(folder: &Path, width: usize, infer: Value, tokenizer: &Path) -> Result<Prepared> {
    let sets = json!({
        "model": {"layers": 1, "width": width, "heads": 2, "context": 24},
        "train": {"steps": 3, "batch": 2},
        "data": {"kind": "text", "path": text(folder), "tokenizer": tokenizer},
        "measure": {"window_s": 0.01},
        "infer": infer,
    });
    let mut tree = Library::builtin().variant("llama").unwrap().tree;
    tree.overlay(&Tree::from_json(&sets, &Origin::named("test")).unwrap());
    settle(&Registry::builtin(), &tree)
}

/// A cell whose weights were kept guesses for a larger one; the spec holds its name and hash, and what was seen is recorded.
#[test]
fn a_kept_cell_guesses_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("small.safetensors");
    let first = small(folder.path(), 8, json!({"prompt": 8, "generate": 8})).unwrap();
    let mut one = job(&first);
    one.keep_weights = Some(kept.clone());
    run(&Registry::builtin(), &one, &mut |_| {}).unwrap();
    let infer = json!({"prompt": 8, "generate": 8, "draft": kept, "draft_tokens": 3});
    let second = small(folder.path(), 16, infer).unwrap();
    assert_eq!(second.spec["infer"]["draft"], "small.safetensors");
    assert_eq!(second.paths["infer.draft"], kept);
    let trial = run(&Registry::builtin(), &job(&second), &mut |_| {}).unwrap();
    let drafted = trial.drafted.clone().unwrap();
    assert_eq!((drafted.generated, drafted.draft_tokens), (7, 3));
    let prompts = drafted.passes.len() as u64;
    assert_eq!(drafted.same, Some(prompts));
    assert!(drafted.model_flops >= drafted.plain_flops && drafted.draft_flops > 0.0);
    assert!(drafted.draft_bytes > 4 * first.cost.params_total);
    for name in [
        name::DRAFT_ACCEPTANCE,
        name::TOKENS_PER_PASS,
        name::SPECULATIVE_SPEEDUP,
    ] {
        assert!(trial.metrics[name].value.is_some(), "{name}");
    }
    let joules = &trial.metrics[name::ENERGY_J_PER_SPECULATIVE_TOKEN];
    assert!(joules.value.is_some() != joules.reason.is_some());
}

/// Bytes are bytes: the same small model guesses for the larger one as it was kept, as a GGUF file, and as a folder that has no tokenizer;
/// and it guesses as well for a model whose tokenizer is a file of bytes.
#[test]
fn kept_weights_guess_in_whatever_form_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut one = job(&small(folder.path(), 8, json!({"prompt": 8, "generate": 8})).unwrap());
    one.keep_weights = Some(at("small.safetensors"));
    let registry = Registry::builtin();
    run(&registry, &one, &mut |_| {}).unwrap();
    let opened = device::open("cpu").unwrap();
    for to in ["small.gguf", "small"] {
        crate::trial::export::export(&registry, &at("small.safetensors"), &at(to), &opened)
            .unwrap();
    }
    for draft in ["small.safetensors", "small.gguf", "small"] {
        let infer = json!({"prompt": 8, "generate": 8, "draft": at(draft)});
        let prepared = small(folder.path(), 16, infer).unwrap();
        assert_eq!(prepared.spec["infer"]["draft"], draft);
    }
    let infer = json!({"prompt": 8, "generate": 8, "draft": at("small.safetensors")});
    let by_file = cut_by(folder.path(), 16, infer, &at("small.gguf")).unwrap();
    assert_eq!(by_file.spec["data"]["tokenizer"], "small.gguf");
}

/// Continuing every prompt once is what a window of nothing asks for, and caches that are filled once are what empty ones give.
#[test]
fn prompts_behind_a_filled_cache_are_continued_as_by_plain_decoding() {
    let folder = tempfile::tempdir().unwrap();
    let infer = json!({"depth": 40, "prompt": 8, "generate": 8, "draft": "lookup"});
    let prepared = small(folder.path(), 8, infer).unwrap();
    let trial = run(&Registry::builtin(), &job(&prepared), &mut |_| {}).unwrap();
    let drafted = trial.drafted.clone().unwrap();
    let prompts = drafted.passes.len();
    assert_eq!(drafted.same, Some(prompts as u64));
    // Each prompt as often as the others, and each pass that judges brings a token and what it took.
    assert_eq!(drafted.plain_s.len() % prompts, 0);
    assert_eq!(drafted.plain_s.len(), drafted.drafted_s.len());
    assert!(drafted.judging().eq(drafted.passes.iter().copied()));
    assert_eq!((drafted.read_s, drafted.read_flops), (0.0, Some(0.0)));
}

#[test]
fn what_cannot_guess_is_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |infer: Value| small(folder.path(), 8, infer).err().unwrap().message;
    let kept = folder.path().join("small.safetensors");
    let said = refused(json!({"draft": "lookup", "batch": 2}));
    assert!(
        said.contains("windows of a batch would take different numbers"),
        "{said}"
    );
    let said = refused(json!({"draft_tokens": 2}));
    assert!(
        said.contains("infer.draft does not say what guesses"),
        "{said}"
    );
    for generate in [1, 2] {
        let said = refused(json!({"draft": "lookup", "prompt": 8, "generate": generate}));
        assert!(
            said.contains("leaves infer.draft nothing to guess"),
            "{said}"
        );
    }
    // What is not there is told by its own name, and a word by the one that was meant.
    let said = refused(json!({"draft": kept}));
    assert!(
        said.contains("small.safetensors\": no such file or folder"),
        "{said}"
    );
    let said = small(folder.path(), 8, json!({"draft": "Lookup"}))
        .err()
        .unwrap();
    assert_eq!(said.hint.unwrap(), "did you mean `lookup`?");
    let said = refused(json!({"draft": folder.path()}));
    assert!(
        said.contains("a folder without a config.json") && !said.contains(".spec"),
        "{said}"
    );
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints/llama3");
    let said = refused(json!({"draft": fixture}));
    assert!(said.contains("the data have 256 tokens"), "{said}");
    // Other data, other tokens.
    let mut one = job(&small(folder.path(), 8, json!({})).unwrap());
    one.keep_weights = Some(kept.clone());
    run(&Registry::builtin(), &one, &mut |_| {}).unwrap();
    let spec = kept.with_extension("spec");
    let other = std::fs::read_to_string(&spec)
        .unwrap()
        .replace("\"byte\"", "\"char\"");
    std::fs::write(&spec, other).unwrap();
    let said = refused(json!({"draft": kept}));
    std::fs::remove_file(kept.with_extension("spec")).unwrap();
    let bare = refused(json!({"draft": kept}));
    assert!(bare.contains("no .spec lies beside it"), "{bare}");
    assert!(
        said.contains("it was trained with data.tokenizer = \"char\""),
        "{said}"
    );
}
