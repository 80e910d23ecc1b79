//! The kind `text` from its knobs to its batches.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::data::testing::{refusal, settled, source};
use crate::data::{IGNORE, Source};

/// A folder that goes away with the test, and a file in it.
fn file(contents: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("story.txt");
    fs::write(&path, contents).unwrap();
    (folder, path)
}

fn letters(n: usize) -> Vec<u8> {
    (0..n)
        .map(|i| b"hello world, how are you?\n"[i * 7 % 26])
        .collect()
}

/// All targets of the validation set, in order.
fn validation_targets(source: &dyn Source, rows: usize, context: usize) -> Vec<u32> {
    let batches = source.validation(rows, context).unwrap();
    assert!(
        batches
            .iter()
            .all(|v| v.batch.rows <= rows && v.oracle.is_none())
    );
    batches
        .iter()
        .flat_map(|v| v.batch.targets.clone())
        .filter(|&t| t != IGNORE)
        .collect()
}

#[test]
fn the_whole_tail_is_predicted_exactly_once() {
    let check = |bytes: usize, context: usize| {
        let text: Vec<u8> = (0..bytes).map(|i| (i * 31 % 251) as u8).collect();
        let (_folder, path) = file(&text);
        let source = source(json!({"kind": "text", "path": path}), context).unwrap();
        let tail: Vec<u32> = text[bytes * 9 / 10 + 1..]
            .iter()
            .map(|&b| u32::from(b))
            .collect();
        assert_eq!(validation_targets(&*source, 3, context), tail);
        assert_eq!(source.train_tokens(), Some(bytes as u64 * 9 / 10));
        assert_eq!(source.bytes_per_token(), Some(1.0));
        for v in source.validation(3, context).unwrap() {
            let follows = |at: usize| {
                (at + 1).is_multiple_of(context) || v.batch.targets[at] == v.batch.inputs[at + 1]
            };
            assert!(
                (0..v.batch.inputs.len()).all(|at| v.batch.targets[at] == IGNORE || follows(at))
            );
        }
    };
    check(1000, 8);
    check(1000, 49);
    check(1010, 10);
    check(1010, 50);
    check(340, 16);
}

#[test]
fn training_windows_lie_in_the_training_part_and_depend_on_seed_and_step_alone() {
    let (_folder, path) = file(&letters(5000));
    let source = source(
        json!({"kind": "text", "path": path, "tokenizer": "char"}),
        16,
    )
    .unwrap();
    let batch = source.train(1, 2, 4, 16);
    assert_eq!(batch, source.train(1, 2, 4, 16));
    assert_ne!(batch, source.train(1, 3, 4, 16));
    assert_ne!(batch, source.train(2, 2, 4, 16));
    assert_eq!(batch.inputs[1..16], batch.targets[..15]);
    // The same windows in the same order, whatever the batch size.
    assert_eq!(source.train(1, 1, 8, 16).inputs[..64], batch.inputs[..]);
}

#[test]
fn characters_are_numbered_in_order_and_bytes_reach_255() {
    let (_folder, path) = file("baß\nbaß\nbaß\nbaß\nbaß\n".as_bytes());
    let spec = json!({"kind": "text", "path": path, "tokenizer": "char", "val_fraction": 0.4});
    let (chars, knobs) = settled(spec, 4).unwrap();
    assert_eq!(chars.vocab(), 4);
    // 20 characters, the last 8 for validation: "baß\nbaß\n", 10 bytes.
    assert_eq!(validation_targets(&*chars, 1, 4), [1, 3, 0, 2, 1, 3, 0]);
    assert_eq!(chars.bytes_per_token(), Some(10.0 / 8.0));
    assert_eq!(knobs.get("data.path"), Some(&json!("story.txt")));

    let (_folder, path) = file(&[255; 100]);
    let bytes = source(
        json!({"kind": "text", "path": path, "tokenizer": "byte"}),
        4,
    )
    .unwrap();
    assert_eq!(bytes.vocab(), 256);
    assert!(
        bytes
            .train(0, 0, 2, 4)
            .targets
            .iter()
            .all(|&token| token == 255)
    );
}

#[test]
fn a_folder_is_its_files_in_order_but_hidden_ones() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("b")).unwrap();
    for (name, text) in [
        ("c.txt", "cccccccc"),
        ("b/x.txt", "bbbbbbbb"),
        ("a.txt", "aaaaaaaa"),
        (".hidden", "zzzz"),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let spec =
        json!({"kind": "text", "path": folder.path(), "tokenizer": "char", "val_fraction": 0.5});
    let source = source(spec.clone(), 2).unwrap();
    assert_eq!(source.vocab(), 3);
    assert_eq!(
        validation_targets(&*source, 9, 2),
        [1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]
    );
    let hash = settled(spec.clone(), 2).unwrap().1;
    fs::write(folder.path().join("c.txt"), "cccccccd").unwrap();
    let other = settled(spec, 2).unwrap().1;
    assert_ne!(hash.get("data.blake3"), other.get("data.blake3"));
}

#[test]
fn a_settled_spec_settles_again_with_its_path_put_back_and_changed_contents_are_refused() {
    let (_folder, path) = file(&letters(3000));
    let spec = json!({"kind": "text", "path": path, "tokenizer": "bpe", "bpe_vocab": 270, "split": "content", "val_fraction": 0.3});
    let text: String = (0..300)
        .map(|i| format!("paragraph number {i}\nin two lines\n\n"))
        .collect();
    fs::write(&path, &text).unwrap();
    let (first, knobs) = settled(spec, 8).unwrap();
    let mut again = knobs.to_json()["data"].clone();
    again["path"] = json!(path);
    let (second, knobs_again) = settled(again.clone(), 8).unwrap();
    assert_eq!(knobs, knobs_again);
    assert_eq!(first.train(0, 0, 2, 8), second.train(0, 0, 2, 8));
    assert!(first.vocab() <= 270 && first.bytes_per_token().unwrap() > 1.0);
    fs::write(&path, text + "more").unwrap();
    assert!(refusal(again, 8).contains("the contents of `story.txt` are others"));
}

#[test]
fn a_tokenizer_file_is_loaded_and_recorded_by_name_and_hash() {
    let (folder, path) = file(&letters(3000));
    let tokenizer = folder.path().join("mine.json");
    let words = r#"{"version":"1.0","model":{"type":"WordLevel","unk_token":"?","vocab":{"?":0,"hello":1,"you":7}},
        "added_tokens":[],"normalizer":null,"pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
        "truncation":{"max_length":3,"strategy":"LongestFirst","stride":0,"direction":"Right"},"padding":null}"#;
    fs::write(&tokenizer, words).unwrap();
    fs::write(&path, "hello you\n".repeat(50)).unwrap();
    let (source, knobs) = settled(
        json!({"kind": "text", "path": path, "tokenizer": tokenizer}),
        4,
    )
    .unwrap();
    assert_eq!(source.vocab(), 8);
    assert_eq!(source.train_tokens(), Some(90));
    assert_eq!(
        source.bytes_per_token(),
        None,
        "a tokenizer that drops line ends does not give the text back"
    );
    assert_eq!(knobs.get("data.tokenizer"), Some(&json!("mine.json")));
    assert!(knobs.get("data.tokenizer_blake3").is_some());
}

#[test]
fn windows_begin_with_the_token_that_a_tokenizer_puts_before_a_text() {
    let (folder, path) = file(b"");
    fs::write(&path, "ab".repeat(200)).unwrap();
    let tokenizer = folder.path().join("mine.json");
    let write = |processor: Value| {
        let document = json!({
            "version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null, "decoder": {"type": "Fuse"},
            "truncation": null, "padding": null, "post_processor": processor,
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "<s>": 2}, "merges": []},
        });
        fs::write(&tokenizer, document.to_string()).unwrap();
    };
    let (token, text) = (
        json!({"SpecialToken": {"id": "<s>", "type_id": 0}}),
        json!({"Sequence": {"id": "A", "type_id": 0}}),
    );
    let template = json!({
        "type": "TemplateProcessing", "single": [token, text], "pair": [text, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [2], "tokens": ["<s>"]}},
    });
    write(template);
    let spec = json!({"kind": "text", "path": path, "tokenizer": tokenizer, "bos": true});
    let source = source(spec.clone(), 6).unwrap();
    // Of the 40 tokens of the tail all but the first are asked for.
    let tail: Vec<u32> = (1..40).map(|i| i % 2).collect();
    assert_eq!(validation_targets(&*source, 4, 6), tail);
    for v in source.validation(4, 6).unwrap() {
        for (inputs, targets) in v.batch.inputs.chunks(6).zip(v.batch.targets.chunks(6)) {
            let known = targets.iter().position(|t| *t != IGNORE).unwrap();
            assert_eq!(inputs[0], 2);
            assert_eq!(inputs[known + 1..], targets[known..5]);
        }
    }
    let batch = source.train(1, 2, 3, 6);
    for (inputs, targets) in batch.inputs.chunks(6).zip(batch.targets.chunks(6)) {
        assert_eq!((inputs[0], &inputs[1..]), (2, &targets[..5]));
    }
    write(Value::Null);
    assert!(refusal(spec, 6).contains("the tokenizer puts no token before a text"));
}

#[test]
fn words_that_a_tokenizer_does_not_know_are_counted_and_too_many_are_refused() {
    let (folder, path) = file(b"");
    let tokenizer = folder.path().join("mine.json");
    let words = |unknown: &str, model: &str| {
        let text = format!(
            r#"{{"version":"1.0","model":{{{model}}},"added_tokens":[],"normalizer":null,"post_processor":null,
            "pre_tokenizer":{{"type":"Whitespace"}},"decoder":null,"truncation":null,"padding":null}}"#
        );
        fs::write(&tokenizer, text).unwrap();
        fs::write(&path, format!("hello you you {unknown}\n").repeat(60)).unwrap();
        json!({"kind": "text", "path": path, "tokenizer": tokenizer})
    };
    let by_name = r#""type":"WordLevel","unk_token":"?","vocab":{"?":0,"hello":1,"you":7}"#;
    let by_number =
        r#""type":"Unigram","unk_id":0,"vocab":[["?",-9.0],["hello",-1.0],["you",-1.0]]"#;
    for model in [by_name, by_number] {
        let share = |unknown| source(words(unknown, model), 4).unwrap().unknown_share();
        assert_eq!(share("hello"), Some(0.0));
        assert_eq!(share("x"), Some(0.25));
        let refused = refusal(words("x y z q w u v", model), 4);
        assert!(
            refused.contains("70.0% of the text's tokens are unknown to it"),
            "{refused}"
        );
    }
    let bytes = source(json!({"kind": "text", "path": path}), 4).unwrap();
    assert_eq!(bytes.unknown_share(), None);
}

#[test]
fn a_text_is_the_same_however_it_is_packed_and_marked() {
    use std::io::Write;

    let text = "hello world, how are you?\n".repeat(40);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let wide: Vec<u8> = format!("\u{feff}{text}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let hash = |bytes: &[u8]| {
        let (_folder, path) = file(bytes);
        let (_, knobs) = settled(json!({"kind": "text", "path": path}), 8).unwrap();
        knobs.get("data.blake3").cloned()
    };
    let plain = hash(text.as_bytes());
    let others = [
        gzip.finish().unwrap(),
        format!("\u{feff}{text}").into_bytes(),
        wide,
    ];
    for other in others {
        assert_eq!(hash(&other), plain);
    }
}

#[test]
#[cfg(unix)]
fn what_can_be_read_only_once_is_refused() {
    for path in ["/dev/stdin", "/dev/null", "/proc/self/fd/0"] {
        let refused = refusal(json!({"kind": "text", "path": path}), 8);
        assert!(
            refused.contains("a pipe or a stream is read once"),
            "{refused}"
        );
    }
}

fn refuses(contents: &[u8], change: Value, want: &str) {
    let (_folder, path) = file(contents);
    let mut spec = json!({"kind": "text", "path": path});
    change
        .as_object()
        .unwrap()
        .iter()
        .for_each(|(knob, value)| spec[knob.as_str()] = value.clone());
    let found = refusal(spec, 16);
    assert!(found.contains(want), "{change}: {found}");
    assert!(
        found.lines().count() <= 2,
        "one sentence and a hint: {found}"
    );
}

#[test]
fn what_is_no_text_is_refused_in_one_sentence() {
    let text = letters(3000);
    refuses(
        &text,
        json!({"path": "/no/such/file.txt"}),
        "cannot be read: no such file",
    );
    refuses(b"", json!({}), "the file is empty");
    refuses(
        b"abc\0def",
        json!({"tokenizer": "char"}),
        "`story.txt` is not text: a NUL at byte 3\nhint: data.tokenizer = \"byte\"",
    );
    refuses(
        b"abc\xffdef",
        json!({"tokenizer": "bpe"}),
        "not UTF-8 at byte 3",
    );
    refuses(
        &letters(160),
        json!({}),
        "its validation part has 16 tokens, and a window takes 17",
    );
    refuses(
        &letters(160),
        json!({"tokenizer": "byte", "val_fraction": 0.9}),
        "its training part has 15 tokens",
    );
    refuses(&text, json!({"tokenizer": "bytes"}), "did you mean `byte`?");
    refuses(
        &text,
        json!({"tokenizer": "/no/tokenizer.json"}),
        "neither a tokenizer nor a file",
    );
    refuses(
        &text,
        json!({"tokenizer": "bpe", "bpe_vocab": 255}),
        "of at least 256",
    );
    refuses(&text, json!({"split": "middle"}), "data.split = \"middle\"");
    refuses(
        &text,
        json!({"val_fraction": 1.5}),
        "expected a number from",
    );
    refuses(
        &text,
        json!({"blake3": "00"}),
        "the contents of `story.txt` are others",
    );
    refuses(
        &text,
        json!({"seperator": 1}),
        "unknown key `data.seperator`",
    );
    let (_folder, path) = file(&text);
    let not_json = json!({"kind": "text", "path": path, "tokenizer": path});
    assert!(refusal(not_json, 16).contains("not a tokenizer.json"));
    assert!(refusal(json!({"kind": "text"}), 16).contains("`data.path` is missing"));
    let empty = tempfile::tempdir().unwrap();
    assert!(
        refusal(json!({"kind": "text", "path": empty.path()}), 16)
            .contains("the folder holds no text")
    );
}
