//! Text corpora that `effbench data get` knows: where each is, how it is packed, and what its bytes hash to. Nothing here
//! touches the network: `runner::fetch` does, and only when asked.
//!
//! A corpus stands here only with sizes and SHA-256 hashes that were computed from its file, or that several people who did
//! so publish alike; `evidence` says which.

/// How a download holds its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// It is the text.
    Plain,
    /// A ZIP archive whose first member is the text, deflated.
    Zip,
}

/// The bytes of a file by size and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Size.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: &'static str,
}

/// One corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corpus {
    /// As on the command line.
    pub name: &'static str,
    /// The name of its file once unpacked.
    pub file: &'static str,
    /// One sentence: what it is.
    pub about: &'static str,
    /// Whose it is, and under which terms.
    pub licence: &'static str,
    /// Where it is fetched from, tried in this order.
    pub urls: &'static [&'static str],
    /// What is fetched.
    pub download: Content,
    /// How that holds the text.
    pub packing: Packing,
    /// The text.
    pub text: Content,
    /// `data.tokenizer` that suits it.
    pub tokenizer: &'static str,
    /// Where sizes and hashes come from.
    pub evidence: &'static str,
}

/// Every corpus, the smallest first.
pub const CORPORA: [Corpus; 3] = [
    Corpus {
        name: "tinyshakespeare",
        file: "tinyshakespeare.txt",
        about: "Shakespeare's plays, 1.1 MB: the first text of many a character-level model (Karpathy 2015).",
        licence: "public domain; collected in karpathy/char-rnn, MIT",
        urls: &[
            "https://raw.githubusercontent.com/karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt",
        ],
        download: SHAKESPEARE,
        packing: Packing::Plain,
        text: SHAKESPEARE,
        tokenizer: "char",
        evidence: "computed from the file; many repositories state the same",
    },
    Corpus {
        name: "text8",
        file: "text8",
        about: "English Wikipedia of 2006 cleaned to a-z and blanks, 100 MB (Mahoney).",
        licence: "Wikipedia's contributors, CC BY-SA 3.0 and GFDL",
        urls: &[
            "https://mattmahoney.net/dc/text8.zip",
            "http://mattmahoney.net/dc/text8.zip",
        ],
        download: Content {
            bytes: 31_344_016,
            sha256: "a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
        },
        packing: Packing::Zip,
        text: Content {
            bytes: 100_000_000,
            sha256: "6e890197040d37d85beb962ae1f041ff1d9a9ca8d20c7d99c85027eebf51dca7",
        },
        tokenizer: "char",
        evidence: "published alike by several projects that pin it, archive and text",
    },
    Corpus {
        name: "enwik8",
        file: "enwik8",
        about: "The first 100 MB of an English Wikipedia dump of 2006, markup and all (Mahoney, Hutter Prize).",
        licence: "Wikipedia's contributors, CC BY-SA 3.0 and GFDL",
        urls: &[
            "https://mattmahoney.net/dc/enwik8.zip",
            "http://mattmahoney.net/dc/enwik8.zip",
            "https://data.deepai.org/enwik8.zip",
        ],
        download: Content {
            bytes: 36_445_475,
            sha256: "547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc",
        },
        packing: Packing::Zip,
        text: Content {
            bytes: 100_000_000,
            sha256: "2b49720ec4d78c3c9fabaee6e4179a5e997302b3a70029f30f2d582218c024a8",
        },
        tokenizer: "byte",
        evidence: "published alike by several projects that pin it, archive and text",
    },
];

const SHAKESPEARE: Content = Content {
    bytes: 1_115_394,
    sha256: "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
};

/// The corpus of a name.
pub fn corpus(name: &str) -> Option<&'static Corpus> {
    CORPORA.iter().find(|corpus| corpus.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_keeps_its_law() {
        for (index, corpus) in CORPORA.iter().enumerate() {
            assert!(
                CORPORA[..index]
                    .iter()
                    .all(|other| other.name != corpus.name && other.file != corpus.file)
            );
            assert!(
                !corpus.urls.is_empty() && corpus.urls.iter().all(|url| url.starts_with("http"))
            );
            for content in [corpus.download, corpus.text] {
                let hexadecimal = content
                    .sha256
                    .chars()
                    .all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
                assert!(
                    content.sha256.len() == 64 && hexadecimal && content.bytes > 0,
                    "{}",
                    corpus.name
                );
            }
            assert_eq!(
                corpus.packing == Packing::Plain,
                corpus.download == corpus.text,
                "{}",
                corpus.name
            );
            assert!(
                corpus.about.ends_with('.')
                    && !corpus.licence.is_empty()
                    && !corpus.evidence.is_empty()
            );
            assert!(["char", "byte"].contains(&corpus.tokenizer));
            assert!(
                corpus
                    .file
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '.'),
                "a plain file name"
            );
        }
        assert!(corpus("enwik8").is_some() && corpus("nothing").is_none());
    }
}
