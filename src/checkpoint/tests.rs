//! Checkpoints made by hand: what they say, and what is refused.

use std::fs;

use serde_json::{Value, json};

use super::*;

mod configurations;
#[cfg(feature = "run")]
mod pieces;

/// A GGUF file by hand.
struct File {
    facts: Vec<u8>,
    entries: u64,
    tensors: Vec<(String, Vec<u64>, u32, u64)>,
    data: Vec<u8>,
}

fn text(all: &mut Vec<u8>, text: &str) {
    all.extend((text.len() as u64).to_le_bytes());
    all.extend(text.as_bytes());
}

impl File {
    fn new() -> Self {
        Self {
            facts: Vec::new(),
            entries: 0,
            tensors: Vec::new(),
            data: Vec::new(),
        }
    }

    fn word(&mut self, key: &str, value: &str) -> &mut Self {
        text(&mut self.facts, key);
        self.facts.extend(8_u32.to_le_bytes());
        text(&mut self.facts, value);
        self.entries += 1;
        self
    }

    fn count(&mut self, key: &str, value: u32) -> &mut Self {
        text(&mut self.facts, key);
        self.facts.extend(4_u32.to_le_bytes());
        self.facts.extend(value.to_le_bytes());
        self.entries += 1;
        self
    }

    fn single(&mut self, key: &str, value: f32) -> &mut Self {
        text(&mut self.facts, key);
        self.facts.extend(6_u32.to_le_bytes());
        self.facts.extend(value.to_le_bytes());
        self.entries += 1;
        self
    }

    #[cfg(feature = "run")]
    fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        text(&mut self.facts, key);
        self.facts.extend(7_u32.to_le_bytes());
        self.facts.push(u8::from(value));
        self.entries += 1;
        self
    }

    #[cfg(feature = "run")]
    /// A list of a kind of values, each written by `each`.
    fn list<T>(
        &mut self,
        key: &str,
        kind: u32,
        all: &[T],
        each: fn(&mut Vec<u8>, &T),
    ) -> &mut Self {
        text(&mut self.facts, key);
        self.facts.extend(9_u32.to_le_bytes());
        self.facts.extend(kind.to_le_bytes());
        self.facts.extend((all.len() as u64).to_le_bytes());
        all.iter().for_each(|value| each(&mut self.facts, value));
        self.entries += 1;
        self
    }

    /// Of f32, rows first.
    fn tensor(&mut self, name: &str, shape: &[u64]) -> &mut Self {
        let count: u64 = shape.iter().product();
        let (reversed, at) = (
            shape.iter().rev().copied().collect(),
            self.data.len() as u64,
        );
        self.tensors.push((name.to_owned(), reversed, 0, at));
        let numbers = (0..count).flat_map(|i| (i as f32).to_le_bytes());
        self.data.extend(numbers);
        self.data.resize(self.data.len().next_multiple_of(32), 0);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut all = b"GGUF".to_vec();
        all.extend(3_u32.to_le_bytes());
        all.extend((self.tensors.len() as u64).to_le_bytes());
        all.extend(self.entries.to_le_bytes());
        all.extend(&self.facts);
        for (name, shape, kind, offset) in &self.tensors {
            text(&mut all, name);
            all.extend((shape.len() as u32).to_le_bytes());
            shape.iter().for_each(|n| all.extend(n.to_le_bytes()));
            all.extend(kind.to_le_bytes());
            all.extend(offset.to_le_bytes());
        }
        all.resize(all.len().next_multiple_of(32), 0);
        all.extend(&self.data);
        all
    }
}

/// A Llama of one layer, 8 channels, 2 heads of which 1 for keys.
fn llama() -> File {
    let mut file = File::new();
    file.word("general.architecture", "llama")
        .word("general.name", "a small one")
        .count("llama.embedding_length", 8)
        .count("llama.block_count", 1)
        .count("llama.attention.head_count", 2)
        .count("llama.attention.head_count_kv", 1)
        .count("llama.feed_forward_length", 24)
        .count("llama.context_length", 128)
        .single("llama.attention.layer_norm_rms_epsilon", 1e-5)
        .single("llama.rope.freq_base", 1e5)
        .tensor("token_embd.weight", &[5, 8])
        .tensor("output_norm.weight", &[8])
        .tensor("blk.0.attn_norm.weight", &[8])
        .tensor("blk.0.attn_q.weight", &[8, 8])
        .tensor("blk.0.attn_k.weight", &[4, 8])
        .tensor("blk.0.attn_v.weight", &[4, 8])
        .tensor("blk.0.attn_output.weight", &[8, 8])
        .tensor("blk.0.ffn_norm.weight", &[8])
        .tensor("blk.0.ffn_gate.weight", &[24, 8])
        .tensor("blk.0.ffn_up.weight", &[24, 8])
        .tensor("blk.0.ffn_down.weight", &[8, 24]);
    file
}

fn opened(bytes: &[u8]) -> Result<Checkpoint> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("it.gguf");
    fs::write(&path, bytes).expect("written");
    Checkpoint::open(&path)
}

fn key(found: &Checkpoint, key: &str) -> Value {
    let mut keys = found.keys.iter();
    let (_, value) = keys.find(|(known, _)| *known == key).expect(key);
    value.clone()
}

#[test]
fn a_header_says_what_model_it_is() {
    let found = opened(&llama().bytes()).unwrap();
    assert_eq!(
        (found.architecture, found.format, found.base),
        ("llama", "GGUF", "llama")
    );
    assert_eq!(found.title.as_deref(), Some("a small one"));
    for (name, value) in [
        ("model.width", json!(8)),
        ("model.kv_heads", json!(1)),
        ("model.vocab", json!(5)),
        ("model.context", json!(128)),
        ("model.norm.eps", json!(1e-5)),
        ("model.position.theta", json!(1e5)),
        ("model.ffn.ratio", json!(3.0)),
        ("model.head.tied", json!(true)),
    ] {
        assert_eq!(key(&found, name), value, "{name}");
    }
    let q = &found.parts["blocks.00.mixer.qkv"][0];
    assert_eq!(q.turn, Turn::Pairs { heads: 2 });
    assert_eq!(found.tensors["blk.0.ffn_down.weight"].shape, [8, 24]);
    assert_eq!(found.params(), 40 + 3 * 8 + 64 + 32 + 32 + 64 + 3 * 192);
}

#[test]
fn a_file_that_is_cut_or_lies_is_refused_in_a_sentence() {
    let whole = llama().bytes();
    // Wherever it is cut.
    for end in (0..whole.len() - 1).step_by(7) {
        let error = opened(&whole[..end]).expect_err("it is cut");
        assert!(error.message.len() < 300, "{}", error.message);
    }
    // Whatever byte of its header is another.
    let header = whole.len() - llama().data.len();
    for at in (0..header).step_by(3) {
        let mut other = whole.clone();
        other[at] ^= 0xff;
        let _ = opened(&other);
    }
    let refused = |file: &File, why: &str| {
        let error = opened(&file.bytes()).expect_err(why);
        assert!(error.message.contains(why), "{}", error.message);
    };
    let mut overlapping = llama();
    overlapping.tensors[3].3 = overlapping.tensors[4].3;
    refused(&overlapping, "overlap");
    let mut outside = llama();
    outside.tensors[3].3 = 1 << 40;
    refused(&outside, "it is cut: tensor");
    let mut huge = llama();
    huge.tensors[3].1 = vec![1 << 31, 1 << 31, 1 << 31];
    refused(&huge, "no whole blocks");
    let mut unknown = llama();
    unknown.tensors[3].2 = 23;
    refused(&unknown, "of kind 23, which is not read here");
    let mut twice = llama();
    twice.tensor("output_norm.weight", &[8]);
    refused(&twice, "twice");
    let mut more = llama();
    more.tensor("blk.0.attn_q.bias", &[8]);
    refused(&more, "`blk.0.attn_q.bias` has no place");
    let mut scaled = llama();
    scaled.word("llama.rope.scaling.type", "yarn");
    refused(&scaled, "its rotation is scaled (yarn)");
    let mut wider = llama();
    wider.count("llama.attention.key_length", 8);
    wider.count("llama.attention.value_length", 6);
    refused(&wider, "heads of values are 6");
    let mut partly = llama();
    partly.count("llama.rope.dimension_count", 2);
    refused(&partly, "what is rotated of them is 2");
    let mut negative = llama();
    negative.tensor("rope_freqs.weight", &[2]);
    refused(&negative, "angles cannot be divided by 0");
    let mut square = llama();
    square.tensor("rope_freqs.weight", &[2, 2]);
    refused(&square, "not a short vector of F32");
    let mut other = File::new();
    other.word("general.architecture", "rwkv7");
    refused(&other, "architecture `rwkv7` is not known here");
}

#[test]
fn counts_are_not_believed() {
    let mut claims = b"GGUF".to_vec();
    claims.extend(3_u32.to_le_bytes());
    claims.extend(0_u64.to_le_bytes());
    claims.extend(1_u64.to_le_bytes());
    text(&mut claims, "tokenizer.ggml.tokens");
    claims.extend(9_u32.to_le_bytes());
    claims.extend(8_u32.to_le_bytes());
    claims.extend((1_u64 << 60).to_le_bytes());
    let error = opened(&claims).expect_err("no file has so many");
    assert!(error.message.contains("claims"), "{}", error.message);
}

#[test]
fn folders_are_read_by_their_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let config = json!({
        "model_type": "llama", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
        "intermediate_size": 24, "max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "rope_theta": 500000.0,
        "hidden_act": "silu", "attention_bias": false, "sliding_window": null,
    });
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let shapes: [(&str, &[usize]); 11] = [
        ("model.embed_tokens.weight", &[5, 8]),
        ("model.norm.weight", &[8]),
        ("model.layers.0.input_layernorm.weight", &[8]),
        ("model.layers.0.self_attn.q_proj.weight", &[8, 8]),
        ("model.layers.0.self_attn.k_proj.weight", &[4, 8]),
        ("model.layers.0.self_attn.v_proj.weight", &[4, 8]),
        ("model.layers.0.self_attn.o_proj.weight", &[8, 8]),
        ("model.layers.0.post_attention_layernorm.weight", &[8]),
        ("model.layers.0.mlp.gate_proj.weight", &[24, 8]),
        ("model.layers.0.mlp.up_proj.weight", &[24, 8]),
        ("model.layers.0.mlp.down_proj.weight", &[8, 24]),
    ];
    let mut header = serde_json::Map::new();
    let mut at = 0;
    for (name, shape) in shapes {
        let ends = at + 2 * shape.iter().product::<usize>();
        header.insert(
            name.to_owned(),
            json!({"dtype": "BF16", "shape": shape, "data_offsets": [at, ends]}),
        );
        at = ends;
    }
    let header = Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.resize(file.len() + at, 0);
    let path = folder.path().join("model.safetensors");
    fs::write(&path, &file).unwrap();
    assert!(Checkpoint::is_one(folder.path()));
    let found = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(key(&found, "model.position.theta"), json!(500_000.0));
    assert_eq!(key(&found, "model.context"), json!(512));
    assert_eq!(found.parts["blocks.00.mixer.qkv"][0].turn, Turn::AsIs);
    fs::write(&path, &file[..file.len() - 1]).unwrap();
    let error = Checkpoint::open(folder.path()).expect_err("it is cut");
    assert!(error.message.contains("it is cut"), "{}", error.message);
}
