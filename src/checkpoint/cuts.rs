//! How byte-level pair encodings cut a text before they merge, by the name that a GGUF file has for it (`tokenizer.ggml.pre`).
//!
//! Which names cut alike, which of them look a piece up before they merge, and which begin texts with a token is llama.cpp's
//! `src/llama-vocab.cpp` of 2026; the patterns are those of the models' own `tokenizer.json`, which that file names beside its own.

use serde_json::{Value, json};

/// One way.
pub(super) struct Cut {
    pub pre_tokenizer: Value,
    /// A piece that is a token is that token, whatever merges would make of it.
    pub ignores_merges: bool,
    /// Texts begin with the token for a beginning, unless the file says otherwise.
    pub begins: bool,
}

/// Patterns, applied one after the other, each piece that one finds cut further by the next; then bytes are written as characters.
fn by(patterns: &[&str]) -> Value {
    let split = |pattern: &&str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    let mut all: Vec<Value> = patterns.iter().map(split).collect();
    all.push(bytes(false));
    json!({"type": "Sequence", "pretokenizers": all})
}

fn bytes(by_gpt2: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": by_gpt2})
}

/// The way of that name.
pub(super) fn named(name: &str) -> Option<Cut> {
    let cut = |pre_tokenizer: Value| {
        Some(Cut {
            pre_tokenizer,
            ignores_merges: false,
            begins: false,
        })
    };
    match name {
        "gpt-2" | "gpt2" | "default" | "phi-2" | "mpt" | "olmo" | "jais" | "trillion"
        | "granite-docling" | "gigachat" | "a.x-4.0" | "mellum" | "exaone4" => cut(bytes(true)),
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone" | "minerva-7b" => {
            let digits = json!({"type": "Digits", "individual_digits": true});
            cut(json!({"type": "Sequence", "pretokenizers": [digits, bytes(true)]}))
        }
        "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "falcon-h1" | "pixtral" | "midm-2.0"
        | "lfm2" => Some(Cut {
            pre_tokenizer: by(&[LLAMA3]),
            ignores_merges: true,
            begins: true,
        }),
        "dbrx" | "smaug-bpe" => cut(by(&[LLAMA3])),
        "qwen2" | "deepseek-r1-qwen" | "kormo" | "stablelm2" | "megrez" | "hunyuan" | "grok-2"
        | "solar-open" => cut(by(&[QWEN2])),
        "qwen35" => cut(by(&[QWEN35])),
        "seed-coder" => cut(by(&[SEED_CODER])),
        "tekken" => Some(Cut {
            pre_tokenizer: by(&[TEKKEN]),
            ignores_merges: true,
            begins: true,
        }),
        "gpt-4o" | "llama4" | "kanana2" => cut(by(&[GPT4O])),
        "deepseek-coder" => cut(by(&["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", HAN, r"\p{N}"])),
        "deepseek-v3" | "hunyuan-dense" => cut(by(&[r"\p{N}{1,3}", HAN_AND_KANA, DEEPSEEK3])),
        _ => None,
    }
}

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Llama 3's but for digits one by one.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen2's, where marks belong to their letters.
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const SEED_CODER: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Mistral Nemo's.
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const HAN: &str = "[一-龥ࠀ-一가-퟿]+";
const HAN_AND_KANA: &str = "[一-龥぀-ゟ゠-ヿ]+";
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;

#[cfg(all(test, feature = "run"))]
mod tests {
    use super::*;
    use tokenizers::{
        OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, PreTokenizerWrapper,
    };

    /// Where the ways differ: contractions, digits, marks, line ends, spaces, capitals, another script.
    const TEXT: &str = "It's 12345 x_y\r\n\n  DON'T HTMLPage/a\u{301}b 漢字.";

    /// Cut by Python's `regex` module with the same patterns, a bar between pieces.
    #[test]
    fn a_text_is_cut_as_each_tokenizer_does() {
        let after_words = "x|_y|\r\n\n| | DON|'T| HTMLPage|/a|\u{301}b| 漢字|.";
        let marked = "x|_y|\r\n\n| | DON|'T| HTMLPage|/a\u{301}b| 漢字|.";
        let by_gpt2 = "x|_|y|\r\n\n | DON|'|T| HTMLPage|/|a|\u{301}|b| 漢字|.";
        let one_by_one = "It|'s| |1|2|3|4|5| ";
        let by_three = "It|'s| |123|45| ";
        for (name, first, rest) in [
            ("gpt-2", "It|'s| 12345| ", by_gpt2),
            ("smollm", one_by_one, by_gpt2),
            ("llama-bpe", by_three, after_words),
            ("dbrx", by_three, after_words),
            ("qwen2", one_by_one, after_words),
            ("seed-coder", one_by_one, after_words),
            ("qwen35", one_by_one, marked),
            ("tekken", one_by_one, marked),
            (
                "gpt-4o",
                "It's| |123|45| ",
                "x|_y|\r\n\n| | DON'T| HTMLPage|/a\u{301}b| 漢字|.",
            ),
            (
                "deepseek-coder",
                "It|'|s| |1|2|3|4|5| ",
                "x|_|y|\r|\n|\n| | DON|'|T| HTMLPage|/|a|\u{301}|b| |漢字|.",
            ),
            (
                "deepseek-v3",
                by_three,
                "x|_y|\r\n\n| | DON|'T| HTMLPage|/a|\u{301}b| |漢字|.",
            ),
        ] {
            let cut = named(name).unwrap();
            let by: PreTokenizerWrapper = serde_json::from_value(cut.pre_tokenizer).unwrap();
            let mut text = PreTokenizedString::from(TEXT);
            by.pre_tokenize(&mut text).unwrap();
            let splits = text.get_splits(OffsetReferential::Original, OffsetType::Byte);
            let pieces = splits.iter().map(|(_, (from, to), _)| &TEXT[*from..*to]);
            let pieces = pieces.filter(|piece| !piece.is_empty());
            let found = pieces.collect::<Vec<_>>().join("|");
            assert_eq!(found, format!("{first}{rest}"), "{name}");
        }
    }
}
