//! What `config.json` alone says of a model, in its words of today and of before; and headers of GGUF with a byte that is another.

use super::*;

/// A folder with that configuration and no weights.
fn configured(config: Value) -> Error {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    Checkpoint::open(folder.path()).expect_err("it has no weights")
}

#[test]
fn an_unknown_architecture_is_told_before_missing_weights() {
    let error = configured(json!({"model_type": "mamba"}));
    let why = "architecture `mamba` is not known here";
    assert!(error.message.contains(why), "{}", error.message);
    let error = configured(json!({"model_type": "qwen3"}));
    assert!(error.message.contains("neither"), "{}", error.message);
}

/// What a configuration alone makes of an architecture.
fn described(config: &Value) -> std::result::Result<Described, String> {
    let config = serde_json::from_value(config.clone()).unwrap();
    let facts = Facts::of_config(config)?;
    let table = Stored {
        file: PathBuf::new(),
        kind: Kind::of_name("F32").unwrap(),
        shape: vec![5, 8],
        offset: 0,
        bytes: 160,
    };
    let names = (0..6).map(|layer| format!("model.layers.{layer}.input_layernorm.weight"));
    let names = names.chain(["model.embed_tokens.weight".to_owned()]);
    let mut tensors = names.map(|name| (name, table.clone())).collect();
    let known = architecture::find(facts.architecture()).unwrap();
    (known.describe)(&facts, &mut tensors)
}

fn config(architecture: &str, more: Value) -> Value {
    let mut config = json!({
        "model_type": architecture, "hidden_size": 8, "num_hidden_layers": 6, "num_attention_heads": 2,
        "intermediate_size": 24, "max_position_embeddings": 2048,
    });
    let more = more.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(more);
    config
}

#[test]
fn configurations_of_before_say_the_same() {
    let check = |architecture: &str, more: Value, want: &[(&str, Value)]| {
        let found = described(&config(architecture, more)).unwrap();
        for (name, value) in want {
            let mut keys = found.keys.iter().filter(|(key, _)| key == name);
            let (last, more) = (keys.next(), keys.next());
            assert_eq!(last.map(|(_, value)| value), Some(value), "{name}");
            assert_eq!(more, None, "{name}");
        }
    };
    let scaling = json!({
        "type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    });
    check(
        "llama",
        json!({"rope_theta": 5e5, "rope_scaling": scaling}),
        &[
            ("model.position.theta", json!(5e5)),
            ("model.position.scaling", json!("llama3")),
            ("model.position.scaling_factor", json!(32.0)),
            ("model.position.scaling_context", json!(8192)),
        ],
    );
    let windows = json!({"sliding_window": 4, "use_sliding_window": true, "max_window_layers": 5});
    check(
        "qwen2",
        windows,
        &[
            (
                "model.pattern",
                json!([
                    "attention",
                    "attention",
                    "attention",
                    "attention",
                    "attention",
                    "sliding"
                ]),
            ),
            ("model.layer.sliding.mixer.window", json!(4)),
        ],
    );
    check("qwen3", json!({}), &[("model.head_width", json!(128))]);
    let gemma = json!({
        "head_dim": 4, "rope_theta": 1e6, "rope_local_base_freq": 1e4, "sliding_window": 3, "sliding_window_pattern": 3,
        "query_pre_attn_scalar": 16, "rope_scaling": {"rope_type": "linear", "factor": 8.0}, "final_logit_softcapping": 30.0,
    });
    check(
        "gemma3_text",
        gemma,
        &[
            ("model.pattern", json!(["sliding", "sliding", "attention"])),
            ("model.layer.sliding.mixer.theta", json!(1e4)),
            ("model.position.theta", json!(1e6)),
            ("model.position.scaling_factor", json!(8.0)),
            ("model.mixer.score_scale", json!(0.25)),
            ("model.embedding_scale", json!(8f64.sqrt())),
            ("model.head.softcap", json!(30.0)),
        ],
    );
}

#[test]
fn half_known_configurations_are_refused_in_a_sentence() {
    let check = |architecture: &str, more: Value, why: &str| {
        let error = described(&config(architecture, more)).expect_err(why);
        assert!(error.contains(why), "{error}");
    };
    check("llama", json!({"attention_bias": true}), "it has biases");
    check(
        "llama",
        json!({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}),
        "its rotation is scaled (yarn)",
    );
    check(
        "llama",
        json!({"rope_parameters": {"rope_type": "llama3", "factor": 4.0}}),
        "does not say what it is scaled from",
    );
    check(
        "llama",
        json!({"rope_parameters": {"rope_type": "linear", "factor": "4"}}),
        "no number",
    );
    check(
        "qwen2",
        json!({"rope_parameters": {"partial_rotary_factor": 0.5}}),
        "a part of each head",
    );
    check("gemma3", json!({}), "it is of pictures and text");
    check(
        "gemma3_text",
        json!({"attn_logit_softcapping": 50.0}),
        "its scores are capped",
    );
    check(
        "gemma3_text",
        json!({"query_pre_attn_scalar": -1}),
        "has no root",
    );
    check(
        "qwen3",
        json!({"layer_types": ["full_attention"], "sliding_window": 4}),
        "its layer_types are 1, and its layers 6",
    );
    check("olmo2", json!({"sliding_window": 4}), "as OLMo 3 has");
    check("qwen3", json!({"hidden_act": "gelu"}), "gated by gelu");
    check("mistral", json!({"sliding_window": "all"}), "no count");
}

#[test]
fn whatever_byte_of_a_header_is_another_nothing_breaks() {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints");
    for name in ["llama3", "mistral", "qwen2", "qwen3", "olmo2", "gemma3"] {
        let whole = fs::read(all.join(name).join("model.gguf")).unwrap();
        assert!(opened(&whole).is_ok(), "{name}");
        for at in (24..2500).step_by(11) {
            let mut other = whole.clone();
            other[at] ^= 0x55;
            if let Err(error) = opened(&other) {
                assert!(error.message.len() < 600, "{}", error.message);
            }
        }
    }
}
