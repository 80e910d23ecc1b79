//! The terms of the report, for a reader who meets them here first.

use crate::analysis::findings::Findings;
use crate::report::page::Block;

const WORDS: [(&str, &str); 9] = [
    (
        "variant",
        "an algorithm: architecture, optimizer and schedule together",
    ),
    ("scale", "the size of a model, by its width: w32 is 32 wide"),
    (
        "cell",
        "variant, scale and number of training steps: gpt2/w32@400; what is repeated",
    ),
    (
        "repeat",
        "the same cells once more with another seed, all variants of a repeat on the same data",
    ),
    (
        "nat",
        "the unit of loss, 1.44 bits: -ln of the probability given to the token that came",
    ),
    (
        "oracle",
        "the exact probabilities of the data’s own source; no model can have a lower loss",
    ),
    (
        "gain",
        "compute-equivalent gain: how many times the variant's compute the base needs to reach the same loss; 1 is no gain; model FLOPs unless a table says otherwise",
    ),
    (
        "MFU",
        "model FLOPs utilisation: the model’s arithmetic over the best that the machine’s matrix product did around the run",
    ),
    (
        "MBU",
        "memory bandwidth utilisation: bytes that a step of decoding reads a second, over the best copy in memory around the run",
    ),
];

pub(super) fn build(_: &Findings) -> Option<Vec<Block>> {
    Some(vec![Block::Facts(
        WORDS
            .map(|(word, meaning)| (word.to_owned(), meaning.to_owned()))
            .to_vec(),
    )])
}
