//! Tokenizers that a GGUF file carries.

use super::*;

/// A Llama whose tokenizer is SentencePiece's: bytes, and a word of three letters.
fn with_pieces() -> File {
    let bytes = (0..=255).map(|byte| format!("<0x{byte:02X}>"));
    let learnt = ["\u{2581}", "a", "b", "ab", "\u{2581}ab", "ba"].map(str::to_owned);
    let named = ["<unk>", "<s>", "</s>"].map(str::to_owned);
    let tokens: Vec<String> = named.into_iter().chain(bytes).chain(learnt).collect();
    let kinds: Vec<u32> = [2, 3, 3]
        .into_iter()
        .chain([6; 256])
        .chain([1; 6])
        .collect();
    let scores: Vec<f32> = [0.0; 259]
        .into_iter()
        .chain([-9.0, -8.0, -7.0, -2.0, -3.0, -1.0])
        .collect();
    let mut file = llama();
    file.word("tokenizer.ggml.model", "llama")
        .list("tokenizer.ggml.tokens", 8, &tokens, |all, it| text(all, it))
        .list("tokenizer.ggml.scores", 6, &scores, |all, it| {
            all.extend(it.to_le_bytes());
        })
        .list("tokenizer.ggml.token_type", 5, &kinds, |all, it| {
            all.extend(it.to_le_bytes());
        })
        .count("tokenizer.ggml.bos_token_id", 1);
    file
}

#[test]
fn sentencepieces_are_merged_by_score_and_the_rest_is_bytes() {
    let found = opened(&with_pieces().bytes()).unwrap();
    assert!(tokenizer::begins(&found.path, &found.facts));
    let document = tokenizer::of_gguf(&found.facts).unwrap();
    let tokens = tokenizers::Tokenizer::from_bytes(document.as_bytes()).unwrap();
    let check = |text: &str, want: &[u32]| {
        let found = tokens.encode(text, false).unwrap();
        assert_eq!(found.get_ids(), want, "{text:?}");
        assert_eq!(tokens.decode(want, false).unwrap(), text);
    };
    let (space, a, b, ab, space_ab, ba) = (259, 260, 261, 262, 263, 264);
    let byte = |byte: u8| 3 + u32::from(byte);
    // A space stands before; `ba` scores highest of all pairs.
    check("ab", &[space_ab]);
    check("abab", &[space, a, ba, b]);
    check("ab  ab", &[space_ab, space, space_ab]);
    let end = b"</s>".map(byte);
    let bytes = [space, byte(0xc3), byte(0xa9), ab].into_iter().chain(end);
    check("éab</s>", &bytes.collect::<Vec<u32>>());
    let whole = tokens.encode("ab", true).unwrap();
    assert_eq!(whole.get_ids(), [1, space_ab]);
    let mut without = with_pieces();
    without.flag("tokenizer.ggml.add_bos_token", false);
    let found = opened(&without.bytes()).unwrap();
    assert!(!tokenizer::begins(&found.path, &found.facts));
}

#[test]
fn a_tokenizer_that_contradicts_itself_is_refused() {
    let refused = |change: fn(&mut File), why: &str| {
        let mut file = llama();
        file.word("tokenizer.ggml.model", "llama");
        change(&mut file);
        let found = opened(&file.bytes()).unwrap();
        let error = tokenizer::of_gguf(&found.facts).expect_err(why);
        assert!(error.contains(why), "{error}");
    };
    refused(|_| {}, "it has no tokenizer.ggml.tokens");
    refused(
        |file| {
            file.list("tokenizer.ggml.tokens", 8, &["a"], |all, it| text(all, it));
        },
        "it has no tokenizer.ggml.scores",
    );
    refused(
        |file| {
            file.list("tokenizer.ggml.tokens", 8, &["a"], |all, it| text(all, it));
            file.list("tokenizer.ggml.scores", 6, &[0f32; 2], |all, it| {
                all.extend(it.to_le_bytes());
            });
        },
        "tokenizer.ggml.scores are 2, and its tokens 1",
    );
    refused(
        |file| {
            file.list("tokenizer.ggml.tokens", 8, &["a"], |all, it| text(all, it));
            file.list("tokenizer.ggml.scores", 6, &[0f32], |all, it| {
                all.extend(it.to_le_bytes());
            });
            file.count("tokenizer.ggml.bos_token_id", 7);
        },
        "begin with token 7, which it has not",
    );
}
