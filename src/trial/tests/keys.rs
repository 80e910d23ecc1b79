//! What is declared is what is read: settled over specs that between them reach every branch, no key is missing from the list
//! of keys, and none stands there for nothing.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

/// Specs beside the defaults of every kind, which reach the keys that those leave out.
fn branches(folder: &Path) -> Vec<Value> {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let text = write("a.txt", &"To be, or not to be.\n".repeat(200));
    let watts = write("watts.csv", "t_utc,w\n2026-11-21T10:00:00Z,84.5\n");
    let tokenizer = write(
        "words.json",
        r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
        "pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
        "model":{"type":"WordLevel","vocab":{"?":0,"To":1,"be":2,"or":3,"not":4,"to":5},"unk_token":"?"}}"#,
    );
    let weights = folder.join("w.safetensors");
    let plain = settle(&Registry::builtin(), &Tree::default()).unwrap();
    let params = plain.experiment.model.start(1, &Device::Cpu).unwrap();
    crate::model::weights::write(&weights, plain.experiment.model.decls(), &params).unwrap();
    let of_text =
        |tokenizer: Value| json!({"data": {"kind": "text", "path": text, "tokenizer": tokenizer}});
    let attends = json!({
        "qk_norm": true, "qk_norm_over": "projection", "qkv_bias": true, "gate": "head", "sink": true, "value_embedding": true,
        "score_scale": 0.3, "theta": 50.0,
    });
    let hidden = ["gelu", "relu", "relu2", "swiglu", "geglu"]
        .map(|kind| json!({"model": {"ffn": {"kind": kind, "hidden": 24}}}));
    let mut of_no_beginning = of_text(json!("byte"));
    of_no_beginning["data"]["bos"] = json!(false);
    let question = r#"{"context": "2 + 2 =", "choices": ["3", "4"], "gold": 1}"#;
    of_no_beginning["data"]["choices"] = json!(write("choices.jsonl", question));
    let mut slides = attends.clone();
    slides["kind"] = json!("sliding");
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints/llama3");
    let drafted = json!({
        "data": {"kind": "uniform", "vocab": 64}, "model": {"context": 16},
        "infer": {"draft": model.join("model.gguf"), "prompt": 4, "generate": 8},
    });
    let mut specs = vec![
        of_no_beginning,
        json!({"model": {"head_width": 8, "embedding_scale": 2.0}}),
        json!({"model": {"ffn": {"kind": "moe", "bias_step": 1e-3}}}),
        json!({"infer": {"depth": 4, "prompt": 8, "generate": 4}}),
        json!({"data": {"kind": "countdown"}, "infer": {"samples": 2, "problems": 4}}),
        json!({"infer": {"draft": "lookup"}}),
        json!({"data": {"changed": 0.5}, "mixed": {"data": {"kind": "language"}, "share": 0.25}}),
        drafted,
        json!({"train": {"tokens": 5000}}),
        json!({"train": {"tokens_per_param": 20}}),
        json!({"compute": {"device": "cuda", "dtype": "f32"}}),
        json!({"compute": {"products": "bf16"}}),
        json!({"measure": {"external_meter": watts}}),
        json!({"model": {"mixer": attends, "x0": true, "zero_init": true}}),
        json!({"model": {"mixer": slides, "head": {"zero_init": false}}}),
        json!({"shape": {"queries_per_kv": 2}}),
        json!({"model": {"pattern": ["attention"]}}),
        json!({"train": {"freeze": ["embedding"]}}),
        json!({"train": {"loss": {"z-loss": {"weight": 1}, "multi-token": {"weight": 1}}}}),
        json!({"model": {"from": weights}}),
        json!({"model": {"from_cell": "gpt2/w32", "from_spec": "0"}}),
        json!({"teacher": {"model": {"from_cell": "gpt2/w64", "from_spec": "0", "width": 64}}}),
        json!({"data": {"changed": 0.5, "unique_tokens": 4096}}),
        of_text(json!("byte")),
        of_text(json!("bpe")),
        of_text(json!(tokenizer)),
    ];
    specs.extend(hidden);
    specs
}

/// The keys of a settled spec, each with the kind of its table where it is a kind's.
fn read(spec: &Value) -> BTreeSet<(String, String)> {
    let settled = Tree::from_json(spec, &Origin::named("settled")).unwrap();
    let kinds = keys(&Registry::builtin());
    let of_kind = |key: &str| {
        let mut declared = kinds.iter().filter(|known| known.key == key);
        let table = declared.find(|known| !known.kinds.is_empty())?.table;
        Some(
            settled
                .get(&format!("{table}.kind"))?
                .value
                .as_str()?
                .to_owned(),
        )
    };
    // What a suite writes into a spec of other cells' is listed where it is theirs.
    let others = ["teacher.", "before.", "mixed.data."];
    let of_others = |key: &str| others.iter().any(|table| key.starts_with(table));
    let keys = settled.iter().map(|(key, _)| key.to_owned());
    let keys = keys.filter(|key| !of_others(key));
    keys.map(|key| (key.clone(), of_kind(&key).unwrap_or_default()))
        .collect()
}

#[test]
fn the_keys_that_are_listed_are_those_that_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::builtin();
    let listed = keys(&registry);
    let mut specs = branches(folder.path());
    // Every kind of every catalog, and every other choice of few words.
    for key in &listed {
        let words = key.facts.schema.get("enum").and_then(Value::as_array);
        for word in words.into_iter().flatten() {
            let own = |name: String, value: Value| json!({name: value});
            let mut spec = key
                .key
                .rsplit('.')
                .fold(word.clone(), |inner, name| own(name.to_owned(), inner));
            let needs_a_file = key.key == "data.kind" && word == "text";
            let kind = key
                .kinds
                .first()
                .filter(|_| key.table != "data" || word != "text");
            if let (Some(kind), false) = (kind, needs_a_file) {
                let at = format!("/{}", key.table.replace('.', "/"));
                spec.pointer_mut(&at).unwrap()["kind"] = json!(kind);
            }
            if !needs_a_file && kind != Some(&"text") {
                specs.push(spec);
            }
        }
    }
    let mut found = BTreeSet::new();
    for spec in specs {
        let tree = Tree::from_json(&spec, &Origin::named("test")).unwrap();
        match settle(&registry, &tree) {
            Ok(prepared) => found.extend(read(&prepared.spec)),
            // A choice that goes with no other default, as bf16 without a GPU, reads nothing more.
            Err(error) => assert_eq!(error.kind, crate::error::Kind::Input, "{spec}: {error}"),
        }
    }
    let mut declared = BTreeSet::new();
    for key in &listed {
        let kinds = key.kinds.iter().map(|kind| (*kind).to_owned());
        let none = key.kinds.is_empty().then(String::new);
        declared.extend(kinds.chain(none).map(|kind| (key.key.clone(), kind)));
    }
    let unread: Vec<_> = declared.difference(&found).collect();
    let unlisted: Vec<_> = found.difference(&declared).collect();
    assert!(unread.is_empty(), "declared and never read: {unread:?}");
    assert!(unlisted.is_empty(), "read and not listed: {unlisted:?}");
}

#[test]
fn every_key_is_explained_in_a_sentence_and_stands_with_its_table() {
    let listed = keys(&Registry::builtin());
    let mut tables: Vec<&str> = listed.iter().map(|key| key.table).collect();
    tables.dedup();
    let distinct: BTreeSet<&str> = tables.iter().copied().collect();
    assert_eq!(
        tables.len(),
        distinct.len(),
        "a table is in one piece: {tables:?}"
    );
    for key in &listed {
        let about = &key.facts.about;
        let sentence = about.split_whitespace().count() >= 3 && about.ends_with('.');
        assert!(sentence && !about.contains('\n'), "{}: {about}", key.key);
    }
}
