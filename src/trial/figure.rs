//! One observation as one metric.

use super::quality::{Mean, Quality};
use crate::record::Metric;

/// A figure, or why there is none.
pub(super) fn known(name: &str, value: Result<f64, &str>) -> Metric {
    match value {
        Ok(value) => Metric::value(name, value),
        Err(reason) => Metric::absent(name, reason),
    }
}

/// A mean over tokens with its standard error.
pub(super) fn mean(name: &str, mean: &Mean) -> Metric {
    Metric::mean(name, mean.mean, mean.se.unwrap_or(f64::NAN), mean.n).over(mean.parts)
}

/// The clock's own resolution is coarser than the digits of a double; results need not carry them.
pub(super) fn to_tenth_us(seconds: f64) -> f64 {
    (seconds * 1e7).round() / 1e7
}

/// As llama.cpp defines it, of a text.
pub(super) fn perplexity(name: &str, is_text: bool, quality: &Quality) -> Metric {
    match quality.second_half.filter(|_| is_text) {
        Some(half) => {
            let value = half.mean.exp();
            // By the delta method.
            let perplexity = Mean {
                mean: value,
                se: half.se.map(|se| value * se),
                ..half
            };
            mean(name, &perplexity)
        }
        None if is_text => Metric::absent(name, "the text has no whole window"),
        None => Metric::absent(name, "tokens are not text"),
    }
}
