//! SentencePiece's byte-pair encodings (Kudo and Richardson 2018, arXiv 1808.06226) as GGUF keeps them
//! (`tokenizer.ggml.model = "llama"`): pieces with scores, spaces written as U+2581.
//!
//! Of the pieces that lie side by side those two are merged first whose whole scores highest, so that every way to cut a piece in two
//! that are pieces is a merge, ranked by the score of the whole. Characters that are no piece are written byte by byte.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::Facts;

const SPACE: &str = "\u{2581}";
const UNKNOWN: u64 = 2;
/// The longest piece that is cut; those that were learnt have up to a few dozen characters.
const LONGEST: usize = 256;

/// The merges of pieces with these scores, the first first.
fn merges<'t>(tokens: &[&'t str], scores: &[f64]) -> Vec<[&'t str; 2]> {
    let pieces: HashSet<&str> = tokens.iter().copied().collect();
    let mut all: Vec<(usize, [&str; 2])> = Vec::new();
    for (id, token) in tokens
        .iter()
        .enumerate()
        .filter(|(_, t)| t.len() <= LONGEST)
    {
        let cuts = token.char_indices().skip(1);
        let halves = cuts.map(|(at, _)| token.split_at(at));
        let known = halves.filter(|(a, b)| pieces.contains(a) && pieces.contains(b));
        all.extend(known.map(|(a, b)| (id, [a, b])));
    }
    all.sort_by(|(a, _), (b, _)| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    all.into_iter().map(|(_, halves)| halves).collect()
}

/// The parts of a `tokenizer.json` that such an encoding has of its own: normalizer, decoder, merges and the like.
pub(super) fn parts(facts: &Facts, tokens: &[&str]) -> Result<Value, String> {
    let scores = numbers(facts, "tokenizer.ggml.scores", tokens.len())?;
    let kinds = facts.named("tokenizer.ggml.token_type");
    let kind = |id: &usize| kinds?.as_array()?.get(*id)?.as_u64();
    let unknown = (0..tokens.len()).find(|id| kind(id) == Some(UNKNOWN));
    let said = facts
        .named("tokenizer.ggml.unknown_token_id")
        .and_then(Value::as_u64);
    let unknown = said
        .map(|id| id as usize)
        .or(unknown)
        .and_then(|id| tokens.get(id));
    // llama.cpp puts a space before a text unless a file says otherwise.
    let prefix = facts
        .named("tokenizer.ggml.add_space_prefix")
        .and_then(Value::as_bool);
    let prefix = prefix.unwrap_or(true);
    let spaces = |from: &str, to: &str| json!({"type": "Replace", "pattern": {"String": from}, "content": to});
    let mut normalizers = vec![spaces(" ", SPACE)];
    let mut decoders = vec![
        spaces(SPACE, " "),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if prefix {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": SPACE}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    Ok(json!({
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": null,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "unk_token": unknown,
        "merges": merges(tokens, &scores),
    }))
}

fn numbers(facts: &Facts, key: &str, count: usize) -> Result<Vec<f64>, String> {
    let all = facts.named(key).and_then(Value::as_array);
    let all = all.ok_or_else(|| format!("it has no {key}"))?;
    let numbers: Option<Vec<f64>> = all.iter().map(Value::as_f64).collect();
    let numbers = numbers.ok_or_else(|| format!("{key} are no numbers"))?;
    match numbers.len() == count {
        true => Ok(numbers),
        false => Err(format!(
            "{key} are {}, and its tokens {count}",
            numbers.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_cut_a_piece_is_a_merge_by_the_score_of_the_whole() {
        let tokens = ["a", "b", "ab", "aba", "ba", "é", "bé", "lone"];
        let scores = [-9.0, -9.0, -1.0, -3.0, -2.0, -9.0, -4.0, 0.0];
        let want = [["a", "b"], ["b", "a"], ["a", "ba"], ["ab", "a"], ["b", "é"]];
        assert_eq!(merges(&tokens, &scores), want);
    }
}
