//! Quantities as a person reads them: `3.1 GFLOP`, `12 k tok/s`, `85 MB`, `2 min 20 s`.
//!
//! Inside the program and in JSON a figure is a plain SI number with its unit in the name (`train_wall_s`); the types here
//! give it its unit when it is shown. Two or three digits: a table is for orientation, the result file holds all of them.

use std::fmt;

/// Steps of a thousand above one.
const LARGE: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
/// Steps of a thousand below one.
const SMALL: [&str; 4] = ["", "m", "µ", "n"];

macro_rules! quantity {
    ($name:ident, $unit:literal, $about:literal) => {
        #[doc = $about]
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
        pub struct $name(pub f64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&scaled(self.0, $unit))
            }
        }
    };
}

quantity!(Flops, "FLOP", "Floating-point operations: `3.1 GFLOP`.");
quantity!(
    FlopsPerSecond,
    "FLOP/s",
    "A rate of floating-point operations: `98 GFLOP/s`."
);
quantity!(Bytes, "B", "Memory, in decimal steps: `85 MB`.");
quantity!(Joules, "J", "Energy: `8.1 mJ`.");
quantity!(
    Count,
    "",
    "A number of things: `110 k` parameters, `640` steps."
);
quantity!(TokensPerSecond, " tok/s", "Throughput: `12 k tok/s`.");

/// A duration: `31 ms`, `2.4 s`, `2 min 20 s`, `1 h 05 min`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Seconds(pub f64);

const DAY_S: f64 = 86_400.0;
const TWO_DAYS_S: f64 = 2.0 * DAY_S;
const YEAR_S: f64 = 365.25 * DAY_S;

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0.round();
        let text = if !whole.is_finite() || whole < 60.0 {
            scaled(self.0, "s")
        } else if whole < 3600.0 {
            format!("{} min {:02} s", (whole / 60.0).floor(), whole % 60.0)
        } else if whole < TWO_DAYS_S {
            let minutes = (self.0 / 60.0).round();
            format!("{} h {:02} min", (minutes / 60.0).floor(), minutes % 60.0)
        } else if whole < YEAR_S {
            format!("{:.0} days", whole / DAY_S)
        } else {
            format!("{:.1} years", whole / YEAR_S)
        };
        f.pad(&text)
    }
}

/// A loss or a difference of losses in nats, without the word: `0.42`, `0.042`, `-1.30`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Nats(pub f64);

impl fmt::Display for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&fixed(self.0, 2))
    }
}

/// How many times more: `3.1`, `0.78`, `1.03`, `140`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Times(pub f64);

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if self.0 < 1.995 {
            fixed(self.0, 2)
        } else if self.0 < 9.95 {
            format!("{:.1}", self.0)
        } else {
            format!("{:.0}", self.0)
        };
        f.pad(&text)
    }
}

/// A share of a whole: `54.1%`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Share(pub f64);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.1}%", 100.0 * self.0))
    }
}

/// Money of some currency: `0.0043 USD`, `12.35 EUR`, `5.6 M USD`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Money<'a> {
    /// In the currency's unit.
    pub amount: f64,
    /// `USD`, or any other word.
    pub currency: &'a str,
}

impl fmt::Display for Money<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if self.amount.abs() < 999.5 {
            format!("{} {}", fixed(self.amount, 2), self.currency)
        } else {
            scaled(self.amount, &format!(" {}", self.currency))
        };
        f.pad(&text)
    }
}

/// Greenhouse gases as grams of CO2: `3.1 mgCO2e`, `14 kgCO2e`, `174 tCO2e`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct GramsCo2e(pub f64);

impl fmt::Display for GramsCo2e {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tonnes = self.0.abs() >= 999.5e3;
        f.pad(&if tonnes {
            scaled(self.0 / 1e6, "tCO2e")
        } else {
            scaled(self.0, "gCO2e")
        })
    }
}

/// `decimals` decimals, more where the figure is so small that fewer than two of its digits would show.
fn fixed(value: f64, decimals: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{:.decimals$}", value + 0.0);
    }
    let leading = (-value.abs().log10()).ceil().clamp(0.0, 12.0) as usize;
    format!("{value:.*}", decimals.max(leading + 1))
}

/// A value in steps of a thousand with its SI prefix; counts stay whole and take no prefix below one.
fn scaled(value: f64, unit: &str) -> String {
    // Of -0, the sum of no numbers, no sign is shown.
    let (mut figure, mut step) = (value + 0.0, 0);
    while figure.abs() >= 999.5 && figure.is_finite() && step + 1 < LARGE.len() {
        figure /= 1000.0;
        step += 1;
    }
    let mut prefix = LARGE[step];
    if !unit.is_empty() && figure != 0.0 {
        let mut small = 0;
        while figure.abs() < 0.9995 && small + 1 < SMALL.len() {
            figure *= 1000.0;
            small += 1;
        }
        prefix = if small == 0 { prefix } else { SMALL[small] };
    }
    let whole = figure.abs() >= 9.95 || (prefix.is_empty() && figure.fract() == 0.0);
    let number = if whole {
        format!("{figure:.0}")
    } else {
        format!("{figure:.1}")
    };
    let unit = if prefix.is_empty() {
        unit.trim_start()
    } else {
        unit
    };
    format!("{number} {prefix}{unit}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        let money = |amount: f64, currency: &str| Money { amount, currency }.to_string();
        let rows: [(String, &str); 42] = [
            (Flops(-0.0).to_string(), "0 FLOP"),
            (Nats(-0.0).to_string(), "0.00"),
            (Flops(3.14e9).to_string(), "3.1 GFLOP"),
            (Flops(0.0).to_string(), "0 FLOP"),
            (FlopsPerSecond(98e9).to_string(), "98 GFLOP/s"),
            (Bytes(84.6e6).to_string(), "85 MB"),
            (Bytes(999.6e6).to_string(), "1.0 GB"),
            (Bytes(9.96e6).to_string(), "10 MB"),
            (Joules(0.0081).to_string(), "8.1 mJ"),
            (TokensPerSecond(1234.0).to_string(), "1.2 k tok/s"),
            (TokensPerSecond(12.0).to_string(), "12 tok/s"),
            (Count(640.0).to_string(), "640"),
            (Count(3.0).to_string(), "3"),
            (Count(124_337_664.0).to_string(), "124 M"),
            (Count(f64::INFINITY).to_string(), "inf"),
            (Seconds(0.0314).to_string(), "31 ms"),
            (Seconds(2.44).to_string(), "2.4 s"),
            (Seconds(59.7).to_string(), "1 min 00 s"),
            (Seconds(140.0).to_string(), "2 min 20 s"),
            (Seconds(3900.0).to_string(), "1 h 05 min"),
            (Seconds(1.125e8).to_string(), "3.6 years"),
            (Seconds(345_600.0).to_string(), "4 days"),
            (Nats(0.421).to_string(), "0.42"),
            (Nats(-1.3).to_string(), "-1.30"),
            (Nats(0.0421).to_string(), "0.042"),
            (Nats(0.000_42).to_string(), "0.00042"),
            (Times(3.12).to_string(), "3.1"),
            (Times(0.781).to_string(), "0.78"),
            (Times(1.03).to_string(), "1.03"),
            (Times(1.999).to_string(), "2.0"),
            (Times(139.7).to_string(), "140"),
            (Times(0.012).to_string(), "0.012"),
            (Share(0.5412).to_string(), "54.1%"),
            (money(0.0, "USD"), "0.00 USD"),
            (money(0.004_31, "USD"), "0.0043 USD"),
            (money(12.345, "EUR"), "12.35 EUR"),
            (money(1234.0, "USD"), "1.2 k USD"),
            (money(5.576e6, "USD"), "5.6 M USD"),
            (GramsCo2e(0.0031).to_string(), "3.1 mgCO2e"),
            (GramsCo2e(13_975.0).to_string(), "14 kgCO2e"),
            (GramsCo2e(13.975e6).to_string(), "14 tCO2e"),
            (GramsCo2e(999_700.0).to_string(), "1.0 tCO2e"),
        ];
        for (shown, expected) in rows {
            assert_eq!(shown, expected);
        }
    }
}
