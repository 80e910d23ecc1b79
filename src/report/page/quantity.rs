//! What is counted along an axis or down a column, and how a reader is told.

use serde::Serialize;

use crate::unit::{Bytes, Count, Flops, Joules, Nats, Seconds, Share, Times};

/// A quantity that plots and tables show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Loss, in nats per token.
    Nats,
    /// Floating-point operations.
    Flops,
    /// Durations.
    Seconds,
    /// Memory.
    Bytes,
    /// Rates, without the unit, which stands in the label.
    TokensPerSecond,
    /// Energy.
    Joules,
    /// Ratios.
    Times,
    /// Parts of a whole.
    Share,
    /// Optimizer steps, tokens per parameter.
    Count,
    /// Learning rates.
    Rate,
    /// A figure whose unit stands in the label.
    Plain,
}

impl Quantity {
    /// Beside a tick: as short as it can be.
    pub fn tick(self, value: f64) -> String {
        match self {
            Self::Nats | Self::Times | Self::Rate => plain(value),
            // Ticks that lie close together differ in their third digit and beyond.
            Self::Plain if value.abs() < 1000.0 => plain(value),
            Self::Share => format!("{}%", plain(100.0 * value)),
            Self::Seconds if (1.0..10_000.0).contains(&value) => format!("{} s", plain(value)),
            _ => self.cell(value),
        }
    }

    /// In a table.
    pub fn cell(self, value: f64) -> String {
        match self {
            Self::Nats if value.abs() < 0.001 && value != 0.0 => Nats(value).to_string(),
            Self::Nats => format!("{value:.3}"),
            Self::Flops => Flops(value).to_string(),
            Self::Seconds => Seconds(value).to_string(),
            Self::Bytes => Bytes(value).to_string(),
            Self::TokensPerSecond | Self::Count | Self::Plain => Count(value).to_string(),
            Self::Joules => Joules(value).to_string(),
            Self::Times => Times(value).to_string(),
            Self::Share => Share(value).to_string(),
            Self::Rate => plain(value),
        }
    }
}

/// Up to four decimals, without the zeros that say nothing.
fn plain(value: f64) -> String {
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_shorter_than_a_cell() {
        let rows = [
            (Quantity::Seconds, 100.0, "100 s", "1 min 40 s"),
            (Quantity::Nats, 2.5, "2.5", "2.500"),
            (Quantity::Nats, -0.0, "0", "-0.000"),
            (Quantity::Nats, 0.000_42, "0.0004", "0.00042"),
            (Quantity::Times, 0.5, "0.5", "0.50"),
            (Quantity::Times, 20.0, "20", "20"),
            (Quantity::Share, 0.05, "5%", "5.0%"),
            (Quantity::Flops, 5e10, "50 GFLOP", "50 GFLOP"),
            (Quantity::Plain, 3.4341, "3.4341", "3.4"),
            (Quantity::Count, 1600.0, "1.6 k", "1.6 k"),
        ];
        for (quantity, value, tick, cell) in rows {
            assert_eq!(
                (quantity.tick(value).as_str(), quantity.cell(value).as_str()),
                (tick, cell)
            );
        }
    }
}
