//! What a loss is counted in. Records hold nats; logs that say bits, bits per byte or perplexity are converted, and the record says
//! from what, so that answers can be told in the log's own unit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Above this no model that learned anything is: the uniform guess over a vocabulary of 160,000 tokens has 12 nats.
const MOST_NATS: f64 = 12.0;

/// Words that make a perplexity a loss in nats.
const LOGARITHMS: [&str; 5] = ["log", "ln", "loge", "logged", "logarithm"];
/// What bits per token or character are called.
const BITS: [&str; 8] = [
    "bits",
    "bpt",
    "bpc",
    "bits_per_token",
    "bits_per_character",
    "bits_per_char",
    "bits_token",
    "bits_char",
];

/// What a log's losses are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LossUnit {
    /// Natural logarithms, per token.
    #[default]
    Nats,
    /// Binary logarithms, per token.
    Bits,
    /// Binary logarithms, per byte of text: as nats they are nats per byte.
    BitsPerByte,
    /// The exponential of nats per token.
    Perplexity,
}

impl LossUnit {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Nats, Self::Bits, Self::BitsPerByte, Self::Perplexity];

    /// On the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::Bits => "bits",
            Self::BitsPerByte => "bits-per-byte",
            Self::Perplexity => "perplexity",
        }
    }

    /// The unit that a column's name tells, if it tells one.
    pub fn of_column(name: &str) -> Option<Self> {
        let name = plain(name);
        let any = |words: &[&str]| {
            words
                .iter()
                .any(|word| name == *word || name.ends_with(&format!("_{word}")))
        };
        // `Perplexity (Pile)`: what it is of may stand behind it.
        let has = |those: &[&str]| name.split('_').any(|word| those.contains(&word));
        let perplexity = has(&["ppl", "perplexity"]);
        match () {
            () if perplexity && has(&["log2"]) => Some(Self::Bits),
            () if perplexity && has(&LOGARITHMS) => Some(Self::Nats),
            () if perplexity => Some(Self::Perplexity),
            () if has(&["bpb"]) || name.contains("bits_per_byte") || any(&["bits_byte"]) => {
                Some(Self::BitsPerByte)
            }
            () if any(&BITS) => Some(Self::Bits),
            () if any(&["nats", "nll", "nats_token", "nats_per_token"]) => Some(Self::Nats),
            () => None,
        }
    }

    /// Whether a column's name says decimal logarithms of a perplexity, which are no unit here.
    pub fn is_decimal(name: &str) -> bool {
        let name = plain(name);
        let has = |those: &[&str]| name.split('_').any(|word| those.contains(&word));
        has(&["log10", "lg"]) && has(&["ppl", "perplexity"])
    }

    /// A figure in this unit as nats; not a number where it cannot be one: a perplexity below 1 is no perplexity.
    pub fn to_nats(self, figure: f64) -> f64 {
        match self {
            Self::Nats => figure,
            Self::Bits | Self::BitsPerByte => figure * std::f64::consts::LN_2,
            Self::Perplexity => figure.ln(),
        }
    }

    /// Nats in this unit.
    pub fn of_nats(self, nats: f64) -> f64 {
        match self {
            Self::Nats => nats,
            Self::Bits | Self::BitsPerByte => nats / std::f64::consts::LN_2,
            Self::Perplexity => nats.exp(),
        }
    }

    /// Whether a final loss in this unit is more than any model has that learned something: it is then in another unit.
    pub fn is_doubtful(self, nats: f64) -> bool {
        nats > MOST_NATS
    }

    /// Whether losses of two units can stand side by side.
    pub fn is_comparable_with(self, other: Self) -> bool {
        (self == Self::BitsPerByte) == (other == Self::BitsPerByte)
    }

    /// A loss, for prose: `3.28 nats`, `perplexity 26.6`.
    pub fn told(self, nats: f64) -> String {
        let figure = digits(self.of_nats(nats));
        match self {
            Self::Nats => format!("{figure} nats"),
            Self::Bits => format!("{figure} bits"),
            Self::BitsPerByte => format!("{figure} bits per byte"),
            Self::Perplexity => format!("perplexity {figure}"),
        }
    }
}

/// Up to four decimals and at least two: `3.28`, `3.2752`.
fn digits(figure: f64) -> String {
    let text = format!("{figure:.4}");
    let zeros = text.len() - text.trim_end_matches('0').len();
    text[..text.len() - zeros.min(2)].to_owned()
}

/// A name in small letters, with `_` for whatever stands between its words.
pub fn plain(name: &str) -> String {
    let words = name
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_goes_to_nats_and_back() {
        let rows = [
            (LossUnit::Nats, 3.28, 3.28),
            (LossUnit::Bits, 4.0, 2.772_588_722_239_781),
            (LossUnit::BitsPerByte, 1.0, std::f64::consts::LN_2),
            (LossUnit::Perplexity, 20.0, 2.995_732_273_553_991),
        ];
        for (unit, figure, nats) in rows {
            assert!((unit.to_nats(figure) - nats).abs() < 1e-12, "{unit:?}");
            assert!((unit.of_nats(nats) - figure).abs() < 1e-12, "{unit:?}");
        }
        assert!(LossUnit::Nats.is_doubtful(40.0) && !LossUnit::Nats.is_doubtful(10.9));
    }

    #[test]
    fn a_loss_is_told_with_the_digits_that_it_has() {
        let rows = [
            (LossUnit::Nats, 3.28, "3.28 nats"),
            (LossUnit::Nats, 3.2752, "3.2752 nats"),
            (LossUnit::Nats, 3.5, "3.50 nats"),
        ];
        for (unit, nats, told) in rows {
            assert_eq!(unit.told(nats), told);
        }
        assert_eq!(LossUnit::Perplexity.told(3.0), "perplexity 20.0855");
    }

    #[test]
    fn a_columns_name_tells_its_unit() {
        let rows = [
            ("val/ppl", Some(LossUnit::Perplexity)),
            ("Validation Perplexity", Some(LossUnit::Perplexity)),
            ("val_bpb", Some(LossUnit::BitsPerByte)),
            ("loss_bits", Some(LossUnit::Bits)),
            ("val_loss_nats", Some(LossUnit::Nats)),
            ("loss", None),
            ("appl", None),
            ("Loss (bits/token)", Some(LossUnit::Bits)),
            ("Loss (bits per char)", Some(LossUnit::Bits)),
            ("loss [bits/byte]", Some(LossUnit::BitsPerByte)),
            ("ln ppl", Some(LossUnit::Nats)),
            ("perplexity_log", Some(LossUnit::Nats)),
            ("log2 ppl", Some(LossUnit::Bits)),
        ];
        assert!(LossUnit::is_decimal("log10 ppl") && !LossUnit::is_decimal("log ppl"));
        for (name, unit) in rows {
            assert_eq!(LossUnit::of_column(name), unit, "{name}");
        }
    }
}
