//! Where a cell's learning rate comes from: the variant's tuned rows, the nearest of them, or a sentence that says it
//! was not tuned. An untuned base is how false gains are made, so the source goes into the record with the trial.

use std::cmp::Ordering;

use super::knobs::whole;
use super::rate_source::RateSource;
use super::suite::width_of;
use super::table::Table;
use super::tree::{Origin, Tree};
use crate::error::Result;

/// The key that all this is about.
pub const LR: &str = "train.optimizer.lr";

/// One row of a variant's `[[tuned]]` table: the best learning rate of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuned {
    /// The data it was tuned on, as [`data_label`] names it.
    pub data: String,
    /// `w32`.
    pub scale: String,
    /// Optimizer steps.
    pub steps: u64,
    /// `train.batch` x `model.context` of the sweep, where the row says so: at another the row is near, not exact.
    pub tokens_per_step: Option<u64>,
    /// The best one found.
    pub lr: f64,
    /// The best one was the grid's first or last, so a better one may lie outside.
    pub edge: bool,
    /// The result file of the sweep.
    pub from: String,
    /// Where the row stands.
    pub origin: Origin,
}

/// A learning rate and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Rate {
    /// To use.
    pub lr: f64,
    /// For the record.
    pub source: RateSource,
    /// The row's.
    pub origin: Origin,
}

impl Tuned {
    /// Reads one row.
    pub fn parse(row: &Table) -> Result<Self> {
        row.check(&["data", "scale", "steps", "tokens_per_step", "lr", "edge", "from"])?;
        let scale = row.need("scale", row.text("scale")?)?;
        if width_of(&scale).is_none() {
            return Err(row.refuse("scale", "expected a width").hint("for example \"w32\""));
        }
        Ok(Self {
            data: row.need("data", row.text("data")?)?,
            scale,
            steps: row.need("steps", row.count("steps")?)?,
            tokens_per_step: row.count("tokens_per_step")?,
            lr: row.need("lr", row.positive("lr")?)?,
            edge: row.bool("edge")?.unwrap_or(false),
            from: row.need("from", row.text("from")?)?,
            origin: row.origin("lr"),
        })
    }
}

/// What a tree's data is called in tuned rows: the kind, and its preset where it has one (`language/easy`).
pub fn data_label(tree: &Tree) -> String {
    let text = |key| tree.get(key).and_then(|entry| entry.value.as_str());
    let kind = text("data.kind").unwrap_or("language");
    match text("data.preset").or((kind == "language").then_some("easy")) {
        Some(preset) => format!("{kind}/{preset}"),
        None => kind.to_owned(),
    }
}

/// The rate that `tuned` has for a tree: the row of its data, width and steps, else the row of its data that is nearest
/// in |ln width ratio| + |ln steps ratio| (of two as near, the lower rate). `altered` says that the command line changed
/// the model, its training or its data otherwise: then no row was tuned for exactly this.
pub fn tuned_rate(tuned: &[Tuned], tree: &Tree, altered: bool) -> Option<Rate> {
    let label = data_label(tree);
    let (width, steps) = (number(tree, "model.width"), steps(tree));
    let distance = |row: &Tuned| {
        let ratio = |a: Option<f64>, b: Option<f64>| a.zip(b).map_or(0.0, |(a, b)| (a / b).ln().abs());
        ratio(width, width_of(&row.scale).map(|w| w as f64)) + ratio(steps, Some(row.steps as f64))
    };
    let nearer = |a: &&Tuned, b: &&Tuned| match distance(a).total_cmp(&distance(b)) {
        Ordering::Equal => a.lr.total_cmp(&b.lr),
        order => order,
    };
    let row = tuned.iter().filter(|row| row.data == label).min_by(nearer)?;
    let same_step = row.tokens_per_step.is_none_or(|tokens| tokens_per_step(tree) == Some(tokens as f64));
    let exact = !altered && same_step && width.is_some() && steps.is_some() && distance(row) == 0.0;
    let source = RateSource::Tuned {
        from: row.from.clone(),
        exact,
        scale: Some(row.scale.clone()),
        steps: Some(row.steps),
        edge: row.edge,
    };
    Some(Rate { lr: row.lr, source, origin: row.origin.clone() })
}

fn number(tree: &Tree, key: &str) -> Option<f64> {
    tree.get(key).and_then(|entry| whole(&entry.value)).filter(|v| *v > 0).map(|v| v as f64)
}

fn steps(tree: &Tree) -> Option<f64> {
    let tokens = || Some(number(tree, "train.tokens")? / tokens_per_step(tree)?);
    number(tree, "train.steps").or_else(tokens)
}

fn tokens_per_step(tree: &Tree) -> Option<f64> {
    Some(number(tree, "train.batch")? * number(tree, "model.context")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_nearest_row_of_the_same_data_is_found_and_named() {
        let row = |data: &str, scale: &str, steps, lr, edge| Tuned {
            data: data.to_owned(),
            scale: scale.to_owned(),
            steps,
            tokens_per_step: (steps == 1600).then_some(1024),
            lr,
            edge,
            from: "sweep.json".to_owned(),
            origin: Origin::named("v.toml"),
        };
        let rows = [
            row("language/easy", "w32", 400, 0.016, false),
            row("language/easy", "w32", 1600, 0.008, false),
            row("language/easy", "w48", 400, 0.004, true),
            row("text", "w32", 400, 0.5, false),
        ];
        let check = |tree: serde_json::Value, altered: bool, want: Option<(f64, &str)>| {
            let tree = Tree::from_json(&tree, &Origin::named("test")).unwrap();
            let found = tuned_rate(&rows, &tree, altered);
            assert_eq!(
                found.map(|rate| (rate.lr, rate.source.to_string())),
                want.map(|(lr, words)| (lr, words.to_owned()))
            );
        };
        let at = |width: u64, steps: u64| json!({"model": {"width": width}, "train": {"steps": steps}});
        check(at(32, 400), false, Some((0.016, "tuned: sweep.json")));
        check(at(32, 400), true, Some((0.016, "nearest tuned row (w32@400), sweep.json")));
        check(at(48, 400), false, Some((0.004, "tuned: sweep.json (at its grid's edge)")));
        check(at(32, 800), false, Some((0.008, "nearest tuned row (w32@1600), sweep.json")));
        check(at(64, 400), false, Some((0.004, "nearest tuned row (w48@400), sweep.json (at its grid's edge)")));
        check(json!({"data": {"kind": "markov"}}), false, None);
        check(json!({"data": {"kind": "language", "preset": "rich"}}), false, None);
        check(json!({"data": {"kind": "text"}}), false, Some((0.5, "nearest tuned row (w32@400), sweep.json")));
        check(
            json!({"model": {"width": 32, "context": 64}, "train": {"batch": 16, "tokens": 1_638_400}}),
            false,
            Some((0.008, "tuned: sweep.json")),
        );
        check(
            json!({"model": {"width": 32, "context": 64}, "train": {"batch": 32, "steps": 1600}}),
            false,
            Some((0.008, "nearest tuned row (w32@1600), sweep.json")),
        );
    }
}
