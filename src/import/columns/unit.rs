//! What a column's name says that its figures are counted in: `params_m`, `tokens (B)`, `total_gflops`, `C (PF-days)`.

use crate::import::quantity::Quantity;
use crate::record::loss::plain;

/// SI prefixes of FLOPs, in short and in full.
const PREFIXES: [(&str, &str, f64); 8] = [
    ("k", "kilo", 1e3),
    ("m", "mega", 1e6),
    ("g", "giga", 1e9),
    ("t", "tera", 1e12),
    ("p", "peta", 1e15),
    ("e", "exa", 1e18),
    ("z", "zetta", 1e21),
    ("y", "yotta", 1e24),
];
const SECONDS_OF_A_DAY: f64 = 86_400.0;
/// Units of losses, in the order in which an ending is looked for.
const OF_LOSSES: [&str; 13] = [
    "bits_per_token",
    "bits_per_character",
    "bits_per_char",
    "bits_per_byte",
    "bits_token",
    "bits_char",
    "bits_byte",
    "bits",
    "nats_per_token",
    "nats_token",
    "nats",
    "bpb",
    "bpc",
];
/// What counts are of, where a unit stands in front of it: `batch size (M tokens)`.
const COUNTED: [&str; 7] = [
    "tokens",
    "tok",
    "toks",
    "params",
    "parameters",
    "samples",
    "sequences",
];

/// The unit that a column of energies names, in joules.
pub fn energy_unit(column: &str) -> Option<f64> {
    let units = [
        ("kwh", 3.6e6),
        ("wh", 3600.0),
        ("kj", 1e3),
        ("joules", 1.0),
        ("j", 1.0),
        ("uj", 1e-6),
        ("microjoules", 1e-6),
    ];
    let name = plain(column);
    let last = name.rsplit('_').next().unwrap_or_default();
    units
        .iter()
        .find(|(unit, _)| *unit == last)
        .map(|(_, joules)| *joules)
}

/// The unit of power that a column names, in watts: `power_mw`, `draw (kW)`; watts where it names none.
pub fn power_unit(column: &str) -> f64 {
    let name = plain(column);
    match name.rsplit('_').next() {
        Some("mw") => 1e-3,
        Some("kw") => 1e3,
        _ => 1.0,
    }
}

/// What a column's name says that its figures are counted in: seconds of a duration (`train_time_ms`), ones of a count
/// (`tokens (B)`), FLOPs (`total_gflops`).
pub fn name_unit(column: &str, quantity: Quantity) -> Option<f64> {
    split(column, quantity).map(|(_, unit)| unit)
}

/// A name without the unit that it ends with, and that unit: `tokens` and 1e9 of `tokens (B)`, `total_flops` of `total_gflops`.
pub fn split(column: &str, quantity: Quantity) -> Option<(String, f64)> {
    let column = &raised(column);
    let words: Vec<&str> = column
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let small: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    let small: Vec<&str> = small.iter().map(String::as_str).collect();
    let (taken, kept, unit) = match quantity {
        Quantity::Duration => (1, None, duration(small.last()?)?),
        Quantity::Count => count(&small).or_else(|| power_of_ten(&small))?,
        Quantity::Flops => flops(&small).or_else(|| power_of_ten(&small))?,
        _ => return None,
    };
    let mut rest = words[..words.len() - taken].to_vec();
    while rest.last().is_some_and(|word| ["in", "x"].contains(word)) {
        rest.pop();
    }
    rest.extend(kept);
    Some((rest.join("_"), unit))
}

/// A name with raised digits written as a power is: `10^6` for `10⁶`.
fn raised(column: &str) -> String {
    const RAISED: &str = "⁰¹²³⁴⁵⁶⁷⁸⁹";
    let mut plain = String::with_capacity(column.len());
    let mut before = false;
    for c in column.chars() {
        let digit = RAISED.chars().zip('0'..).find(|(raised, _)| *raised == c);
        if digit.is_some() && !before {
            plain.push('^');
        }
        before = digit.is_some();
        plain.push(digit.map_or(c, |(_, digit)| digit));
    }
    plain
}

/// A name of a loss without the unit that it ends with.
pub fn split_loss(column: &str) -> Option<String> {
    let name = plain(column);
    let taken = OF_LOSSES
        .iter()
        .find(|unit| name.ends_with(&format!("_{unit}")))?;
    let words = taken.split('_').count();
    let mut rest: Vec<&str> = column
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    rest.truncate(rest.len().saturating_sub(words));
    if rest.last().is_some_and(|word| *word == "in") {
        rest.pop();
    }
    Some(rest.join("_"))
}

fn duration(last: &str) -> Option<f64> {
    match last {
        "us" => Some(1e-6),
        "ms" | "msec" | "millis" | "milliseconds" => Some(1e-3),
        "min" | "mins" | "minutes" => Some(60.0),
        "h" | "hr" | "hrs" | "hours" => Some(3600.0),
        "days" => Some(SECONDS_OF_A_DAY),
        _ => None,
    }
}

/// How many words a unit takes of a name, what of them belongs to the name all the same, and the unit.
type Ending = (usize, Option<&'static str>, f64);

fn count(words: &[&str]) -> Option<Ending> {
    // FLOPs of a token are no count, and `M` is what DeepSeek calls them.
    if words.iter().any(|word| ["flop", "flops"].contains(word)) {
        return None;
    }
    if let [before @ .., unit, of] = words
        && COUNTED.contains(of)
        && !before.is_empty()
        && !COUNTED.contains(unit)
    {
        let (taken, _, factor) = count(&[before, &[*unit]].concat())?;
        return Some((taken + 1, None, factor));
    }
    let last = words.last()?;
    // `B` is a batch and `T` are tokens where nothing stands before them.
    if words.len() == 1 && last.len() == 1 {
        return None;
    }
    let unit = match *last {
        "k" | "thousand" | "thousands" => 1e3,
        "m" | "mm" | "mn" | "mln" | "mio" | "million" | "millions" => 1e6,
        "b" | "bn" | "bln" | "billion" | "billions" => 1e9,
        "t" | "tn" | "trillion" | "trillions" => 1e12,
        _ => return None,
    };
    Some((1, None, unit))
}

/// `flops (1e18)`, `tokens (10^9)`.
fn power_of_ten(words: &[&str]) -> Option<Ending> {
    let whole = |text: &str| text.parse::<i32>().ok().filter(|e| (1..=30).contains(e));
    match words {
        [.., ten, exponent] if matches!(*ten, "10" | "x10") && words.len() > 2 => {
            Some((2, None, 10f64.powi(whole(exponent)?)))
        }
        [_, .., last] => {
            let exponent = last.trim_start_matches('x').strip_prefix("1e")?;
            Some((1, None, 10f64.powi(whole(exponent)?)))
        }
        _ => None,
    }
}

fn flops(words: &[&str]) -> Option<Ending> {
    let prefix = |text: &str| {
        let known = PREFIXES
            .iter()
            .find(|(short, long, _)| text == *short || text == *long)?;
        Some(known.2)
    };
    let fused = |word: &str, ends: &[&str]| {
        ends.iter()
            .find_map(|end| prefix(word.strip_suffix(end).filter(|left| !left.is_empty())?))
    };
    // PF-days, PFLOP/s-days, petaflop days.
    if let [before @ .., "day" | "days"] = words {
        let (before, per) = match before {
            [before @ .., "s"] => (before, 1),
            _ => (before, 0),
        };
        let second = fused(before.last()?, &["flops", "flop", "fs", "f"])?;
        return Some((2 + per, None, SECONDS_OF_A_DAY * second));
    }
    // `C (1e18 FLOPs)`
    if let [before @ .., "flop" | "flops"] = words
        && let Some((taken, kept, unit)) = power_of_ten(before)
    {
        return Some((taken + 1, kept, unit));
    }
    match words {
        [.., "flop" | "flops", short] => Some((1, None, prefix(short)?)),
        [.., last] => {
            let unit = fused(last, &["flops", "flop"])?;
            Some((1, Some("flops"), unit))
        }
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_its_figures_are_counted_in() {
        use Quantity::{Count, Duration, Flops, Plain};
        let rows: [(Quantity, &str, Option<(&str, f64)>); 40] = [
            (Flops, "C (1e18 FLOPs)", Some(("C", 1e18))),
            (Flops, "C [10^18 FLOPs]", Some(("C", 1e18))),
            (Flops, "Compute (x 1e18 FLOP)", Some(("Compute", 1e18))),
            (Flops, "training FLOPs", None),
            (Count, "Params ×10⁶", Some(("Params", 1e6))),
            (Count, "params (Mn)", Some(("params", 1e6))),
            (Count, "batch size (M tokens)", Some(("batch_size", 1e6))),
            (Count, "batch size (tokens)", None),
            (Count, "M tokens", None),
            (Count, "Non-embedding FLOPs/token M", None),
            (Count, "params_m", Some(("params", 1e6))),
            (Count, "N (B)", Some(("N", 1e9))),
            (Count, "Tokens [billions]", Some(("Tokens", 1e9))),
            (Count, "tokens in millions", Some(("tokens", 1e6))),
            (Count, "tokens (1e9)", Some(("tokens", 1e9))),
            (Count, "Tokens (x10^9)", Some(("Tokens", 1e9))),
            (Count, "tokens", None),
            (Count, "B", None),
            (Count, "T", None),
            (Count, "1e9", None),
            (Count, "top10_5", None),
            (
                Flops,
                "throughput/total_gflops",
                Some(("throughput_total_flops", 1e9)),
            ),
            (Flops, "Training ZFLOP", Some(("Training_flops", 1e21))),
            (Flops, "teraflops", Some(("flops", 1e12))),
            (Flops, "FLOPs (P)", Some(("FLOPs", 1e15))),
            (Flops, "FLOPs (1e18)", Some(("FLOPs", 1e18))),
            (Flops, "C (PF-days)", Some(("C", 8.64e19))),
            (Flops, "compute [PFLOP/s-days]", Some(("compute", 8.64e19))),
            (Flops, "petaflop_days", Some(("", 8.64e19))),
            (Flops, "compute_petaflops_days", Some(("compute", 8.64e19))),
            (Flops, "zettaflops", Some(("flops", 1e21))),
            (Flops, "total_flops", None),
            (Flops, "flops", None),
            (Flops, "days", None),
            (Flops, "gpu_days", None),
            (Flops, "m", None),
            (Duration, "train_time_ms", Some(("train_time", 1e-3))),
            (Duration, "hours", Some(("", 3600.0))),
            (Duration, "elapsed", None),
            (Plain, "lr_m", None),
        ];
        for (quantity, name, expected) in rows {
            let found = split(name, quantity);
            let expected = expected.map(|(stem, unit)| (stem.to_owned(), unit));
            assert_eq!(found, expected, "{quantity:?} {name}");
        }
        for (name, stem) in [
            ("loss_bits", Some("loss")),
            ("L (nats per token)", Some("L")),
            ("Loss (bits/token)", Some("Loss")),
            ("val loss [bits per char]", Some("val_loss")),
            ("val/loss in bits", Some("val_loss")),
            ("bits", None),
            ("loss", None),
        ] {
            assert_eq!(split_loss(name).as_deref(), stem, "{name}");
        }
    }
}
