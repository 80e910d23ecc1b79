//! Weights out to files that others read: they come back through the reader of such files to the same bits, and what others do not know
//! is refused by name.

use std::path::Path;

use super::*;
use crate::trial::export::export;
use crate::trial::kept::beside;

/// A trial's weights, with the spec beside them.
fn kept(folder: &Path, variant: &str, sets: Value) -> (Prepared, std::path::PathBuf) {
    let small = json!({
        "model": {"context": 12},
        "train": {"batch": 2, "steps": 3},
        "data": {"kind": "markov", "states": 11, "validation_tokens": 96},
        "measure": {"window_s": 0.01},
    });
    let mut tree = Library::builtin().variant(variant).unwrap().tree;
    for layer in [small, sets] {
        tree.overlay(&Tree::from_json(&layer, &Origin::named("test")).unwrap());
    }
    let prepared = settle(&Registry::builtin(), &tree).unwrap();
    let path = folder.join(format!("{variant}.safetensors"));
    let job = Job {
        keep_weights: Some(path.clone()),
        ..job(&prepared)
    };
    let trial = run(&Registry::builtin(), &job, &mut |_| {}).unwrap();
    assert_eq!(trial.status, Status::Ok);
    (prepared, path)
}

fn out(weights: &Path, to: &Path) -> Result<&'static str> {
    let opened = device::open("cpu").unwrap();
    export(&Registry::builtin(), weights, to, &opened)
}

/// Logits of one window by the weights that a spec names.
fn logits(tree: &Tree) -> Vec<f32> {
    let experiment = settle(&Registry::builtin(), tree).unwrap().experiment;
    let params = experiment.model.start(7, &Device::Cpu).unwrap();
    let ids: Vec<u32> = (0..12).map(|k| (k * 5 + 3) % 11).collect();
    let ids = Tensor::from_slice(&ids, 12, &Device::Cpu).unwrap();
    let found = experiment
        .model
        .logits(&params.detached(), &ids, 1, 12, experiment.ops);
    values(&found.unwrap())
}

/// Of a file that others read.
fn of_file(path: &Path) -> Vec<f32> {
    let mut tree = Library::builtin()
        .variant(path.to_str().unwrap())
        .unwrap()
        .tree;
    tree.remove("data.tokenizer");
    let sets = json!({"data": {"kind": "markov", "states": 11}, "model": {"context": 12}});
    tree.overlay(&Tree::from_json(&sets, &Origin::named("test")).unwrap());
    logits(&tree)
}

/// Widths and depths that muP multiplies logits and branches at, by powers of two, which round nothing.
#[test]
fn what_goes_out_comes_back_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [
        (
            "llama",
            "llama",
            json!({"model": {"width": 64, "heads": 4, "kv_heads": 2, "layers": 4}}),
        ),
        (
            "llama",
            "llama",
            json!({"model": {"width": 32, "head_width": 12, "head": {"tied": false}}}),
        ),
        ("gpt2", "gpt2", json!({"model": {"width": 64, "layers": 4}})),
    ];
    for (k, (variant, architecture, sets)) in rows.into_iter().enumerate() {
        let (prepared, weights) = kept(folder.path(), variant, sets);
        let mut tree = Tree::from_json(&prepared.spec, &Origin::named("test")).unwrap();
        tree.set("model.from", json!(weights), Origin::named("test"));
        let own = logits(&tree);
        for ending in [".gguf", ""] {
            let to = folder.path().join(format!("{k}{ending}"));
            assert_eq!(out(&weights, &to).unwrap(), architecture, "{variant}");
            assert!(of_file(&to) == own, "{variant}{ending} is another model");
        }
    }
    let left = std::fs::read_dir(folder.path()).unwrap();
    let unfinished = left.filter(|e| {
        e.as_ref()
            .unwrap()
            .path()
            .to_string_lossy()
            .contains("unfinished")
    });
    assert_eq!(unfinished.count(), 0);
}

/// Bytes have a vocabulary of their own, which cuts a text into its bytes.
#[test]
fn a_tokenizer_of_bytes_goes_along() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.txt");
    let words: String = (0..200).map(|k| format!("{k} naïve cats\n")).collect();
    std::fs::write(&text, &words).unwrap();
    let data = json!({"kind": "text", "path": text, "tokenizer": "byte"});
    let (_, weights) = kept(
        folder.path(),
        "llama",
        json!({"data": data, "model": {"width": 32}}),
    );
    let to = folder.path().join("bytes.gguf");
    out(&weights, &to).unwrap();
    // llama.cpp takes merges that are texts, and kinds of tokens that are counts with a sign, and nothing else.
    let bytes = std::fs::read(&to).unwrap();
    for (key, kind) in [("merges", 8), ("token_type", 5)] {
        let key = [b"tokenizer.ggml.", key.as_bytes()].concat();
        let at = bytes.windows(key.len()).position(|at| at == key).unwrap() + key.len();
        let said = [bytes[at], bytes[at + 4]];
        assert_eq!(said, [9, kind], "{}", String::from_utf8_lossy(&key));
    }
    let mut tree = Library::builtin()
        .variant(to.to_str().unwrap())
        .unwrap()
        .tree;
    let sets = json!({"data": {"kind": "text", "path": text}, "model": {"context": 12}});
    tree.overlay(&Tree::from_json(&sets, &Origin::named("test")).unwrap());
    let experiment = settle(&Registry::builtin(), &tree).unwrap().experiment;
    let tokens = experiment.source.validation_tokens().unwrap();
    let bytes = experiment.source.bytes_per_token().unwrap();
    assert_eq!((bytes, tokens > 100), (1.0, true));
}

#[test]
fn what_others_do_not_know_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("no.gguf");
    for (variant, sets, said) in [
        ("lstm", json!({}), "no feed-forward layer"),
        ("gpt2+swiglu", json!({}), "has no place in a gpt2"),
        ("llama+window", json!({}), "model."),
        (
            "llama",
            json!({"model": {"head": {"softcap": 15.0}}}),
            "model.head.softcap is 15.0",
        ),
    ] {
        let mut sets = sets;
        sets["model"]["width"] = json!(32);
        let (_, weights) = kept(folder.path(), variant, sets);
        let refused = out(&weights, &to).unwrap_err().to_string();
        assert!(
            refused.contains("no file of others holds this model"),
            "{refused}"
        );
        assert!(refused.contains(said), "{variant}: {refused}");
        assert!(!to.exists());
        std::fs::remove_file(beside(&weights)).unwrap();
        let refused = out(&weights, &to).unwrap_err().to_string();
        assert!(refused.contains("--keep-weights"), "{refused}");
    }
}
