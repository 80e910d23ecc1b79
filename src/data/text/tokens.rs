//! From text to token ids: characters, bytes, or a tokenizer of the `tokenizers` crate.

use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::tokenizer::Tokenizer;

use crate::checkpoint::tokenizer;

/// Bytes that are tokenized at a time, up to the end of a line: an encoding takes a hundred times the memory of its ids.
const PIECE_BYTES: usize = 1 << 20;

/// A map from text to token ids.
pub(super) enum Tokens {
    /// Every byte is a token.
    Byte,
    /// Every character is a token, numbered in the order of code points (nanoGPT's convention).
    Char(Vec<char>),
    /// Pieces of words.
    Pieces(Box<Tokenizer>),
}

impl Tokens {
    /// The characters that occur in a text.
    pub fn of_chars<'a>(documents: impl IntoIterator<Item = &'a str>) -> Self {
        let seen: std::collections::BTreeSet<char> =
            documents.into_iter().flat_map(str::chars).collect();
        Self::Char(seen.into_iter().collect())
    }

    /// Byte-level byte-pair encoding (Sennrich et al. 2016, as in GPT-2), trained on a text; smaller than `vocab` if the text
    /// has not enough pairs that occur twice. The error is a reason.
    pub fn train_bpe(text: &str, vocab: usize) -> Result<Self, String> {
        let trainer = BpeTrainer::builder()
            .vocab_size(vocab)
            .min_frequency(2)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let mut tokenizer = Tokenizer::new(BPE::default());
        tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        tokenizer.with_decoder(Some(ByteLevel::default()));
        tokenizer
            .train(&mut TrainerWrapper::from(trainer), pieces(text))
            .map_err(|error| error.to_string())?;
        Ok(Self::Pieces(Box::new(tokenizer)))
    }

    /// Reads a `tokenizer.json`, but for its truncation and padding, which belong to sentences. The error is a reason.
    pub fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let wrong = |error: tokenizers::Error| format!("not a tokenizer.json: {error}");
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(wrong)?;
        tokenizer
            .with_padding(None)
            .with_truncation(None)
            .map_err(wrong)?;
        Ok(Self::Pieces(Box::new(tokenizer)))
    }

    /// Token ids are below this.
    pub fn vocab(&self) -> usize {
        match self {
            Self::Byte => 256,
            Self::Char(chars) => chars.len(),
            Self::Pieces(tokenizer) => tokenizer
                .get_vocab(true)
                .values()
                .max()
                .map_or(0, |&id| id as usize + 1),
        }
    }

    /// A hash of what each id means: of the words, in the order of ids.
    pub fn hash(&self) -> String {
        let mut words: Vec<(u32, String)> = match self {
            Self::Byte => (0..).zip(tokenizer::byte_words()).collect(),
            Self::Char(chars) => (0..).zip(chars.iter().map(char::to_string)).collect(),
            Self::Pieces(tokenizer) => {
                let words = tokenizer.get_vocab(true).into_iter();
                words.map(|(word, id)| (id, word)).collect()
            }
        };
        words.sort_unstable();
        let mut hash = blake3::Hasher::new();
        for (id, word) in words {
            hash.update(&id.to_le_bytes()).update(word.as_bytes());
            hash.update(&[0]);
        }
        hash.finalize().to_hex().to_string()
    }

    /// The token that a text begins with, where the tokenizer puts one there.
    pub fn beginning(&self) -> Option<u32> {
        let Self::Pieces(tokenizer) = self else {
            return None;
        };
        let processor = serde_json::to_value(tokenizer.get_post_processor()?).ok()?;
        tokenizer::beginning(&processor)
    }

    /// Share of ids that say "unknown", where the tokenizer has a token for what it does not know.
    pub fn unknown_share(&self, ids: &[u32]) -> Option<f64> {
        let Self::Pieces(tokenizer) = self else {
            return None;
        };
        let unknown = unknown_id(tokenizer)?;
        let found = ids.iter().filter(|id| **id == unknown).count();
        Some(found as f64 / ids.len() as f64)
    }

    /// Whether ids give back the text they were made of: a tokenizer that lowercases or says "unknown" predicts less than
    /// the text, and its loss per byte would be too good.
    pub fn give_back(&self, ids: &[u32], text: &[u8]) -> bool {
        match self {
            Self::Byte | Self::Char(_) => true,
            Self::Pieces(tokenizer) => tokenizer
                .decode(ids, false)
                .is_ok_and(|decoded| decoded.as_bytes() == text),
        }
    }

    /// The ids of a text. The error is a reason.
    pub fn encode(&self, text: &[u8]) -> Result<Vec<u32>, String> {
        let utf8 = || std::str::from_utf8(text).map_err(|error| error.to_string());
        match self {
            Self::Byte => Ok(text.iter().map(|&byte| u32::from(byte)).collect()),
            Self::Char(chars) => {
                let id = |c: char| {
                    chars
                        .binary_search(&c)
                        .map(|id| id as u32)
                        .map_err(|_| format!("no token for {c:?}"))
                };
                utf8()?.chars().map(id).collect()
            }
            Self::Pieces(tokenizer) => {
                let mut ids = Vec::new();
                for piece in pieces(utf8()?) {
                    let encoding = tokenizer
                        .encode_fast(piece, false)
                        .map_err(|error| error.to_string())?;
                    ids.extend_from_slice(encoding.get_ids());
                }
                Ok(ids)
            }
        }
    }
}

/// The id for what a tokenizer does not know: its model's, by name or by number, as `tokenizer.json` has them.
fn unknown_id(tokenizer: &Tokenizer) -> Option<u32> {
    let model = serde_json::to_value(tokenizer.get_model()).ok()?;
    let by_number = || u32::try_from(model["unk_id"].as_u64()?).ok();
    let by_name = || tokenizer.token_to_id(model["unk_token"].as_str()?);
    by_name().or_else(by_number)
}

/// Cuts a text behind the first end of a line after every [`PIECE_BYTES`].
fn pieces(text: &str) -> impl Iterator<Item = &str> + Send {
    let mut rest = text;
    std::iter::from_fn(move || {
        let long = rest.as_bytes().get(PIECE_BYTES..);
        let end = long.and_then(|long| long.iter().position(|&byte| byte == b'\n'));
        let (piece, after) = rest.split_at(end.map_or(rest.len(), |end| PIECE_BYTES + end + 1));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story() -> String {
        (0..400)
            .map(|i| {
                format!(
                    "The number {i} is followed by the number {}, naïvely: {}.\n\n",
                    i + 1,
                    i * i
                )
            })
            .collect()
    }

    #[test]
    fn trained_pairs_decode_to_the_text_and_are_the_same_every_time() {
        let text = story();
        let ids = || {
            let tokens = Tokens::train_bpe(&text, 400).unwrap();
            assert_eq!(tokens.vocab(), 400);
            let ids = tokens.encode(text.as_bytes()).unwrap();
            let Tokens::Pieces(tokenizer) = tokens else {
                panic!("not pieces")
            };
            assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
            ids
        };
        let first = ids();
        assert!(
            first.len() * 2 < text.len(),
            "{} tokens for {} bytes",
            first.len(),
            text.len()
        );
        assert!(first.iter().all(|&id| id < 400));
        assert_eq!(first, ids());
        // What the training text does not hold is spelled in bytes.
        let Tokens::Pieces(tokenizer) = Tokens::train_bpe(&text, 300).unwrap() else {
            panic!("not pieces")
        };
        let ids = tokenizer.encode_fast("Zürich \u{1F600}", false).unwrap();
        assert_eq!(
            tokenizer.decode(ids.get_ids(), false).unwrap(),
            "Zürich \u{1F600}"
        );
    }

    #[test]
    fn a_saved_tokenizer_gives_the_same_ids() {
        let text = story();
        let trained = Tokens::train_bpe(&text, 320).unwrap();
        let Tokens::Pieces(tokenizer) = &trained else {
            panic!("not pieces")
        };
        let loaded = Tokens::from_json(tokenizer.to_string(false).unwrap().as_bytes()).unwrap();
        assert_eq!(loaded.vocab(), 320);
        assert_eq!(
            loaded.encode(text.as_bytes()),
            trained.encode(text.as_bytes())
        );
    }

    #[test]
    fn pieces_are_the_whole_text_cut_at_line_ends() {
        let line = "0123456789abcde\n";
        let text = line.repeat(3 * PIECE_BYTES / line.len()) + "no end";
        let all: Vec<&str> = pieces(&text).collect();
        assert_eq!(all.concat(), text);
        assert_eq!(all.len(), 3);
        assert!(all[0].ends_with('\n') && all[0].len() < PIECE_BYTES + 2 * line.len());
        assert_eq!(pieces("").count(), 0);
    }
}
