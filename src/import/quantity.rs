//! Figures with what people write behind them: `124M`, `1.5 GFLOP`, `0:01:40`, `85%`, `0.067 kWh`, `12.3k tok/s`. Which endings mean
//! something depends on what the figure is; one that means nothing there is refused, not dropped.

use super::figures::{Marks, number, unmarked};

/// What a figure is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// A number and no more.
    Plain,
    /// Parameters, tokens, steps: thousands, millions, billions.
    Count,
    /// FLOPs, with SI prefixes.
    Flops,
    /// In seconds.
    Duration,
    /// In joules.
    Energy,
    /// In watts.
    Power,
    /// Per second.
    Rate,
    /// Of a whole.
    Share,
}

/// Magnitudes of counts; `b` and `g` are both billions.
const MAGNITUDES: [(&str, f64); 8] = [
    ("million", 1e6),
    ("billion", 1e9),
    ("trillion", 1e12),
    ("k", 1e3),
    ("m", 1e6),
    ("b", 1e9),
    ("g", 1e9),
    ("t", 1e12),
];
/// SI prefixes of FLOPs.
const PREFIXES: [(&str, f64); 8] = [
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
    ("Z", 1e21),
    ("Y", 1e24),
];
/// Units of energy in joules.
const ENERGIES: [(&str, f64); 9] = [
    ("kWh", 3.6e6),
    ("kwh", 3.6e6),
    ("KWH", 3.6e6),
    ("MWh", 3.6e9),
    ("mWh", 3.6),
    ("Wh", 3600.0),
    ("kJ", 1e3),
    ("MJ", 1e6),
    ("J", 1.0),
];
/// Units of power in watts.
const POWERS: [(&str, f64); 4] = [("mW", 1e-3), ("kW", 1e3), ("Watts", 1.0), ("W", 1.0)];
/// How tokens per second are spelt.
const RATES: [&str; 8] = [
    "tokens/sec",
    "tokens/s",
    "tok/sec",
    "tok/s",
    "toks/s",
    "t/s",
    "tps",
    "/s",
];

/// The figure of a text, in the unit that its kind is counted in; the column's marks say how it writes its numbers.
pub fn read(text: &str, marks: Marks, quantity: Quantity) -> Option<f64> {
    // What stands behind `±` is how far the figure may be off.
    let text = unmarked(text.split('±').next().unwrap_or(text).trim_end());
    let plain = |text: &str| number(text, marks);
    if let Some(value) = plain(text) {
        return Some(value);
    }
    let counted = |text: &str| {
        let found = MAGNITUDES
            .iter()
            .find_map(|(word, size)| Some((ending(text, word)?, size)));
        found
            .and_then(|(figure, size)| Some(plain(figure)? * size))
            .or_else(|| plain(text))
    };
    match quantity {
        Quantity::Plain => None,
        Quantity::Count => counted(text),
        Quantity::Flops => {
            let bare = ["FLOPs", "FLOP"].iter().find_map(|unit| ending(text, unit));
            let bare = bare.unwrap_or(text);
            let by_prefix = PREFIXES.iter().find_map(|(prefix, size)| {
                Some(plain(bare.strip_suffix(prefix)?.trim_end())? * size)
            });
            by_prefix.or_else(|| plain(bare))
        }
        Quantity::Duration => clock(text, marks)
            .or_else(|| spelt(text, marks))
            .or_else(|| moment(text)),
        Quantity::Energy | Quantity::Power => {
            let units: &[(&str, f64)] = match quantity {
                Quantity::Energy => &ENERGIES,
                _ => &POWERS,
            };
            let of = |(unit, size): &(&str, f64)| {
                Some(plain(text.strip_suffix(unit)?.trim_end())? * size)
            };
            units.iter().find_map(of)
        }
        Quantity::Rate => {
            let bare = RATES.iter().find_map(|unit| ending(text, unit));
            counted(bare.unwrap_or(text))
        }
        Quantity::Share => Some(plain(text.strip_suffix('%')?.trim_end())? / 100.0),
    }
}

/// What stands before an ending, whatever its case.
fn ending<'t>(text: &'t str, known: &str) -> Option<&'t str> {
    let at = text.len().checked_sub(known.len())?;
    let (figure, ending) = (text.get(..at)?, text.get(at..)?);
    let is = ending.eq_ignore_ascii_case(known);
    is.then_some(figure.trim_end())
}

/// A date with its time of day, `2025-01-31 12:00:00.5`, `2025/01/31 12:00:00`, `2025-01-31T12:00:00Z`, in seconds since 1970; without
/// an offset it is taken for UTC's, as only differences count.
pub fn moment(text: &str) -> Option<f64> {
    let plain = text.trim().trim_end_matches(" UTC").replace('/', "-");
    let told: Option<jiff::Timestamp> = plain.parse().ok();
    let at = told.or_else(|| {
        // Python prints milliseconds behind a comma.
        let civil: jiff::civil::DateTime = plain.replace(',', ".").parse().ok()?;
        let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        (plain.contains(':')).then(|| zoned.timestamp())
    })?;
    Some(at.as_microsecond() as f64 / 1e6)
}

/// `1:40`, `0:01:40`, `0:01:40.5`, `1 day, 2:03:04` as Python prints them, `2-03:04:05` as Slurm does; in seconds.
fn clock(text: &str, marks: Marks) -> Option<f64> {
    let spelt = text.split_once(", ").or_else(|| {
        let (days, clock) = text.rsplit_once(' ')?;
        days.contains("day").then_some((days, clock))
    });
    let (days, clock) = match spelt.or_else(|| text.split_once('-')) {
        Some((days, clock)) => (
            days.trim_end_matches('s').trim_end_matches("day").trim(),
            clock,
        ),
        None => ("0", text),
    };
    let parts: Vec<&str> = clock.trim().split(':').collect();
    let days: f64 = days.parse::<u32>().ok()?.into();
    let (whole, last) = match parts.as_slice() {
        [minutes, seconds] if days == 0.0 => (vec![*minutes], *seconds),
        [hours, minutes, seconds] => (vec![*hours, *minutes], *seconds),
        _ => return None,
    };
    let seconds = number(last, marks).filter(|s| (0.0..60.0).contains(s))?;
    let mut total = 0.0;
    for (place, part) in whole.iter().enumerate() {
        let part: u32 = part.trim().parse().ok()?;
        if place > 0 && part > 59 {
            return None;
        }
        total = 60.0 * total + f64::from(part);
    }
    Some(86_400.0 * days + 60.0 * total + seconds)
}

/// `387ms`, `2 min`, `1h 23m 45s`, in seconds.
fn spelt(text: &str, marks: Marks) -> Option<f64> {
    // Whose comma sets thousands apart, and whose decimals, the column says.
    if text.contains(',') {
        let unit = text.find(char::is_alphabetic)?;
        let (figure, unit) = text.split_at(unit);
        let one = spelt(&format!("1{unit}"), marks).filter(|_| !unit.contains(','))?;
        return Some(one * number(figure.trim(), marks)?);
    }
    // With colons it is a clock's, whose minutes end at 59.
    let span: jiff::Span = Some(text)
        .filter(|text| !text.contains(':'))?
        .parse()
        .ok()?;
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    span.total((jiff::Unit::Second, days))
        .ok()
        .filter(|s| *s >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_with_what_stands_behind_them() {
        use Quantity::{Count, Duration, Energy, Flops, Plain, Power, Rate, Share};
        let rows: [(Quantity, &str, Option<f64>); 51] = [
            (Plain, "1.5e9", Some(1.5e9)),
            (Duration, "11,200ms", None),
            (Plain, "16 450 387", Some(16_450_387.0)),
            (Plain, "16\u{202f}450\u{202f}387.5", Some(16_450_387.5)),
            (Plain, "1_000_000", Some(1e6)),
            (Plain, "1'234.5", Some(1234.5)),
            (Plain, "1 2", None),
            (Plain, "12 34", None),
            (Plain, "124M", None),
            (Count, "124M", Some(124e6)),
            (Count, "1.5 B", Some(1.5e9)),
            (Count, "350m", Some(350e6)),
            (Count, "2.5 billion", Some(2.5e9)),
            (Count, "10k", Some(1e4)),
            (Count, "1 024", Some(1024.0)),
            (Count, "12x", None),
            (Count, "M", None),
            (Flops, "1.2 EFLOPs", Some(1.2e18)),
            (Flops, "300GFLOP", Some(3e11)),
            (Flops, "3e18 flop", Some(3e18)),
            (Flops, "5P", Some(5e15)),
            (Flops, "5p", None),
            (Duration, "0:01:40", Some(100.0)),
            (Duration, "1:40", Some(100.0)),
            (Duration, "0:01:40.5", Some(100.5)),
            (Duration, "1 day, 2:03:04", Some(93_784.0)),
            (Duration, "3 days, 0:00:01", Some(259_201.0)),
            (Duration, "2-03:04:05", Some(183_845.0)),
            (Duration, "1:75:00", None),
            (Duration, "1:99", None),
            (Duration, "387ms", Some(0.387)),
            (Duration, "12.5 s", Some(12.5)),
            (Duration, "2min", Some(120.0)),
            (Duration, "1.5h", Some(5400.0)),
            (Duration, "1h 23m 45s", Some(5025.0)),
            (Duration, "1h23m", Some(4980.0)),
            (Duration, "3 days", Some(259_200.0)),
            (Duration, "soon", None),
            (Energy, "0.0673 kWh", Some(242_280.0)),
            (Energy, "12 J", Some(12.0)),
            (Energy, "1.5MJ", Some(1.5e6)),
            (Energy, "3 apples", None),
            (Power, "111.2 W", Some(111.2)),
            (Power, "45 mW", Some(0.045)),
            (Duration, "2001-09-09 01:46:41.5", Some(1_000_000_001.5)),
            (Duration, "2001/09/09 01:46:41,500", Some(1_000_000_001.5)),
            (Duration, "2001-09-09T03:46:41+02:00", Some(1_000_000_001.0)),
            (Duration, "2001-09-09", None),
            (Rate, "12.3k tok/s", Some(12_300.0)),
            (Share, "85%", Some(0.85)),
            (Share, "0.41", Some(0.41)),
        ];
        for (quantity, text, expected) in rows {
            let found = read(text, Marks::Plain, quantity);
            let near = match (found, expected) {
                (Some(a), Some(b)) => (a / b - 1.0).abs() < 1e-12,
                (a, b) => a == b,
            };
            assert!(near, "{quantity:?} {text}: {found:?}");
        }
        assert_eq!(read("1,5M", Marks::Comma, Count), Some(1.5e6));
        assert_eq!(read("12,000ms", Marks::Point, Duration), Some(12.0));
        assert_eq!(read("12,5 ms", Marks::Comma, Duration), Some(0.0125));
    }
}
