//! A comparison for programs: CSV, and the new side's figures for two services that keep histories. What is not known is an
//! empty field or no entry, never 0.

use serde_json::{Map, Value, json};

use crate::analysis::compare::{Comparison, Group, Row};
use crate::record::Better;

/// Columns of the CSV: each of [`values`].
const COLUMNS: &str = "cell,metric,unit,group,gated,setting,method,base_n,new_n,base_mean,new_mean,scale,change,low,high,\
                       margin,detectable,p,adjusted_p,exact_p,verdict,accepted,reason";

/// Every row as a line, RFC 4180.
pub fn csv(found: &Comparison) -> String {
    let mut text = COLUMNS.to_owned();
    for row in found.rows.iter().chain(&found.suite) {
        text.push('\n');
        text.push_str(&values(row).map(|value| quoted(&value)).join(","));
    }
    text
}

fn values(row: &Row) -> [String; 23] {
    let number = |value: Option<f64>| {
        value
            .filter(|v| v.is_finite())
            .map(|v| v.to_string())
            .unwrap_or_default()
    };
    let word = |value: &dyn erased::Word| value.word();
    let interval = row.change.and_then(|change| change.interval);
    [
        row.cell.clone(),
        row.metric.to_owned(),
        row.unit.to_owned(),
        word(&row.group),
        row.gated.to_string(),
        word(&row.setting),
        word(&row.method),
        row.base.n.to_string(),
        row.new.n.to_string(),
        number(row.base.mean),
        number(row.new.mean),
        word(&row.scale),
        number(row.change.map(|change| change.value)),
        number(interval.map(|i| i.low)),
        number(interval.map(|i| i.high)),
        number(Some(row.margin.used)),
        number(row.detectable),
        number(row.p),
        number(row.adjusted_p),
        number(row.exact_p),
        word(&row.verdict),
        row.accepted.clone().unwrap_or_default(),
        row.reason.clone().unwrap_or_default(),
    ]
}

/// The word that JSON uses for a value of an enum.
mod erased {
    use serde::Serialize;

    pub(super) trait Word {
        fn word(&self) -> String;
    }

    impl<T: Serialize> Word for T {
        fn word(&self) -> String {
            let value = serde_json::to_value(self).unwrap_or_default();
            value.as_str().unwrap_or_default().to_owned()
        }
    }
}

fn quoted(value: &str) -> String {
    if value.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}

/// What is measured and gated, of the new side.
fn measured(found: &Comparison) -> impl Iterator<Item = (&Row, f64)> {
    let rows = found
        .rows
        .iter()
        .filter(|row| row.gated && row.group != Group::Exact);
    rows.filter_map(|row| Some((row, row.new.mean?)))
}

/// Bencher Metric Format (<https://bencher.dev/docs/reference/bencher-metric-format>): a benchmark a cell, a measure a metric.
pub fn bencher(found: &Comparison) -> Value {
    let mut cells = Map::new();
    for (row, mean) in measured(found) {
        let mut value = json!({ "value": mean });
        if let Some(interval) = row.new.interval {
            value["lower_value"] = interval.low.into();
            value["upper_value"] = interval.high.into();
        }
        cells.entry(row.cell.clone()).or_insert_with(|| json!({}))[row.metric] = value;
    }
    Value::Object(cells)
}

/// What github-action-benchmark reads with `tool: customSmallerIsBetter`: rates become durations and accuracies errors, as
/// one file has one direction.
pub fn github_action_benchmark(found: &Comparison) -> Value {
    let entry = |(row, mean): (&Row, f64)| {
        let (name, unit, value, share): (String, String, f64, f64) = match (row.better, row.unit) {
            (Better::Lower, unit) => (row.metric.to_owned(), unit.to_owned(), mean, half(row, 1.0)),
            (Better::Higher, "1") => (
                format!("1 - {}", row.metric),
                "1".to_owned(),
                1.0 - mean,
                half(row, 1.0),
            ),
            (Better::Higher, _) => (
                format!("1 / {}", row.metric),
                "s".to_owned(),
                1.0 / mean,
                half(row, 1.0 / mean / mean),
            ),
        };
        let mut entry =
            json!({ "name": format!("{}: {name}", row.cell), "unit": unit, "value": value });
        if row.new.interval.is_some() {
            entry["range"] = format!("± {share:.3e}").into();
        }
        entry["extra"] = format!("n = {}, {}", row.new.n, row.verdict.words()).into();
        entry
    };
    Value::Array(measured(found).map(entry).collect())
}

/// Half the interval's width, stretched.
fn half(row: &Row, stretch: f64) -> f64 {
    row.new
        .interval
        .map_or(0.0, |i| 0.5 * (i.high - i.low) * stretch)
}
