//! Where a cell's learning rate comes from: the variant's tuned rows, its surfaces, or a refusal. An untuned base is how
//! false gains are made, so the source goes into the record with the trial, and what no sweep speaks for is run only where
//! that is asked for by name.

use std::cmp::Ordering;

use super::holds::whole;
use super::knob::{Declarations, Flag, Knob, Number, Text, Whole};
use super::names::{data_label, width_of};
use super::rate_source::RateSource;
use super::rate_surface::RateSurface;
use super::table::Table;
use super::tree::{Origin, Tree};
use crate::error::{Error, Result};
use crate::stat::surface::Support;

/// The key that all this is about.
pub const LR: &str = "train.optimizer.lr";

const DATA: Knob<Text> = Knob::text(
    "data",
    "The data it was tuned on: a kind and its preset or tokenizer, as `language/easy`.",
);
const SCALE: Knob<Text> = Knob::text("scale", "The width it was tuned at, as `w32`.");
const STEPS: Knob<Whole> = Knob::count("steps", "The optimizer steps it was tuned for.");
const TOKENS_PER_STEP: Knob<Whole> = Knob::count(
    "tokens_per_step",
    "Tokens of an optimizer step in the sweep, batch times context: at another the row is near, not exact.",
)
.unit("tokens")
.optional();
const RATE: Knob<Number> =
    Knob::number("lr", "The best learning rate that the sweep found.").above(0.0);
const EDGE: Knob<Flag> = Knob::flag(
    "edge",
    "Whether that was the lowest or highest one tried, so that a better one may lie outside.",
)
.default(false);
const FROM: Knob<Text> = Knob::text("from", "The result file of the sweep.");

/// The fields of a `[[tuned]]` row.
pub(super) const FIELDS: Declarations =
    &[&DATA, &SCALE, &STEPS, &TOKENS_PER_STEP, &RATE, &EDGE, &FROM];

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

/// A learning rate, where it comes from, and what speaks against using it.
#[derive(Debug, Clone, PartialEq)]
pub struct Rate {
    /// To use; `None` where the tree's own stands.
    pub lr: Option<f64>,
    /// For the record.
    pub source: RateSource,
    /// Where it was written.
    pub origin: Origin,
    /// What each of three standard normal numbers adds to ln lr in a repeat; nothing where every repeat has the same rate.
    pub loadings: [f64; 3],
    /// No sweep speaks for this place: why it is not run unless that is asked for by name.
    pub refusal: Option<Error>,
}

impl Rate {
    /// The tree's own rate, which nobody has to look for.
    pub fn given(source: RateSource) -> Self {
        Self {
            lr: None,
            source,
            origin: Origin::named("given"),
            loadings: [0.0; 3],
            refusal: None,
        }
    }
}

impl Tuned {
    /// Reads one row.
    pub fn parse(row: &Table) -> Result<Self> {
        let row = row.fields(FIELDS)?;
        let scale = row.read(&SCALE)?;
        if width_of(&scale).is_none() {
            return Err(row
                .refuse(&SCALE, "expected a width")
                .hint("for example \"w32\""));
        }
        Ok(Self {
            data: row.read(&DATA)?,
            scale,
            steps: row.read(&STEPS)? as u64,
            tokens_per_step: row.find(&TOKENS_PER_STEP)?.map(|tokens| tokens as u64),
            lr: row.read(&RATE)?,
            edge: row.read(&EDGE)?,
            from: row.read(&FROM)?,
            origin: row.origin(&RATE),
        })
    }
}

/// A row serves the widths and steps within this factor of its own, both together.
const ROW_REACH: f64 = 2.0;

/// The rate of a variant for a tree. In this order: the `[[tuned]]` row of its very data, width, steps and batch; the
/// `[[surface]]` of its data and batch, within what was swept; the nearest row of its data within `ROW_REACH`. What none of
/// them speaks for gets the surface's, the nearest row's or the variant's own rate and a refusal. `altered` says that the
/// command line changed the model, its training or its data otherwise: then nothing was swept for exactly this.
pub fn rate_of(
    variant: &str,
    tuned: &[Tuned],
    surfaces: &[RateSurface],
    tree: &Tree,
    altered: bool,
) -> Rate {
    let label = data_label(tree);
    let near = nearest(tuned, &label, tree, altered);
    if let Some((row, exact @ true, _)) = near {
        return row.rate(exact, None);
    }
    let of_data = || {
        surfaces
            .iter()
            .filter(|surface| surface.data == label || surface.data == kind_of(&label))
    };
    let (width, steps, per_step) = (
        number(tree, "model.width"),
        steps(tree),
        tokens_per_step(tree),
    );
    if let (Some(width), Some(steps)) = (width, steps)
        && let Some(found) =
            of_data().find(|surface| per_step == Some(surface.tokens_per_step as f64))
    {
        return found.rate(variant, steps, width, altered);
    }
    match near {
        Some((row, exact, far)) => {
            let refusal = format!(
                "the learning rate of {variant} on {label} was tuned at {}@{} ({}), and this is further off than a factor of {ROW_REACH}",
                row.scale, row.steps, row.from
            );
            row.rate(
                exact,
                (far > ROW_REACH.ln() + 1e-9).then(|| refused(refusal, row.lr)),
            )
        }
        None => {
            let batch =
                per_step.map_or_else(String::new, |tokens| format!(" at {tokens} tokens a step"));
            let message = match steps {
                Some(_) => {
                    format!("no sweep has chosen a learning rate for {variant} on {label}{batch}")
                }
                None => {
                    format!(
                        "no learning rate of {variant} without a number of steps (train.steps or train.tokens)"
                    )
                }
            };
            let swept = of_data().next().map(|surface| {
                format!(
                    "{} tokens a step were swept (train.batch); ",
                    surface.tokens_per_step
                )
            });
            let hint = format!(
                "{}`--set {LR}=...` says which, `--untuned` takes the variant's own, a suite with `tune` looks for it",
                swept.unwrap_or_default()
            );
            Rate {
                refusal: Some(Error::input(message).hint(hint)),
                ..Rate::given(RateSource::Untuned)
            }
        }
    }
}

fn refused(message: String, lr: f64) -> Error {
    Error::input(message).hint(format!(
        "`--set {LR}=...` says which, `--untuned` takes {lr:.2e}, a suite with `tune` looks for it"
    ))
}

/// `text` of `text/byte`: a label of old rows.
fn kind_of(label: &str) -> &str {
    label.split('/').next().unwrap_or(label)
}

/// The row of the data that is nearest in |ln width ratio| + |ln steps ratio| (of two as near, the lower rate), whether it is
/// for this very place, and how far it is.
fn nearest<'a>(
    tuned: &'a [Tuned],
    label: &str,
    tree: &Tree,
    altered: bool,
) -> Option<(&'a Tuned, bool, f64)> {
    let (width, steps) = (number(tree, "model.width"), steps(tree));
    let distance = |row: &Tuned| {
        let ratio =
            |a: Option<f64>, b: Option<f64>| a.zip(b).map_or(0.0, |(a, b)| (a / b).ln().abs());
        ratio(width, width_of(&row.scale).map(|w| w as f64)) + ratio(steps, Some(row.steps as f64))
    };
    let nearer = |a: &&Tuned, b: &&Tuned| match distance(a).total_cmp(&distance(b)) {
        Ordering::Equal => a.lr.total_cmp(&b.lr),
        order => order,
    };
    let of_data =
        |row: &&Tuned| row.data == label || row.data == "text" && kind_of(label) == "text";
    let row = tuned.iter().filter(of_data).min_by(nearer)?;
    let same_step = row
        .tokens_per_step
        .is_none_or(|tokens| tokens_per_step(tree) == Some(tokens as f64));
    let far = distance(row);
    Some((
        row,
        !altered && same_step && width.is_some() && steps.is_some() && far == 0.0,
        far,
    ))
}

impl Tuned {
    fn rate(&self, exact: bool, refusal: Option<Error>) -> Rate {
        let source = RateSource::Tuned {
            from: self.from.clone(),
            exact,
            scale: Some(self.scale.clone()),
            steps: Some(self.steps),
            edge: self.edge,
        };
        Rate {
            lr: Some(self.lr),
            source,
            origin: self.origin.clone(),
            loadings: [0.0; 3],
            refusal,
        }
    }
}

impl RateSurface {
    fn rate(&self, variant: &str, steps: f64, width: f64, altered: bool) -> Rate {
        let place = self.surface.at(steps.ln(), width.ln());
        let lr = four_digits(place.ln_lr.exp());
        let swept = |[low, high]: [f64; 2]| format!("{:.0} to {:.0}", low.exp(), high.exp());
        let refusal = || {
            let Support {
                ln_steps, ln_size, ..
            } = self.surface.support;
            let message = format!(
                "the learning rate of {variant} on {} was swept at {} steps and is carried to widths of {} ({}), and this is {steps:.0} steps at width {width:.0}",
                self.data,
                swept(ln_steps),
                swept(ln_size),
                self.from
            );
            refused(message, lr)
        };
        Rate {
            lr: Some(lr),
            source: RateSource::Surface {
                from: Some(self.from.clone()),
                ln_lr: place.ln_lr,
                se: place.se,
                draw: 0.0,
                cost_nats: place.cost_nats,
                edge: place.edge,
                beyond: altered || !place.inside,
            },
            origin: self.origin.clone(),
            loadings: self.surface.loadings(steps.ln(), width.ln()),
            refusal: (!place.inside).then(refusal),
        }
    }
}

/// More digits would say more than a sweep can.
pub fn four_digits(lr: f64) -> f64 {
    format!("{lr:.3e}").parse().unwrap_or(lr)
}

fn number(tree: &Tree, key: &str) -> Option<f64> {
    tree.get(key)
        .and_then(|entry| whole(&entry.value))
        .filter(|v| *v > 0)
        .map(|v| v as f64)
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

    fn rows() -> [Tuned; 4] {
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
        [
            row("language/easy", "w32", 400, 0.016, false),
            row("language/easy", "w32", 1600, 0.008, false),
            row("language/easy", "w48", 400, 0.004, true),
            row("text", "w32", 400, 0.5, false),
        ]
    }

    #[test]
    fn the_nearest_row_of_the_same_data_is_found_and_named() {
        let rows = rows();
        let check = |tree: serde_json::Value, altered: bool, want: Option<(f64, &str)>| {
            let tree = Tree::from_json(&tree, &Origin::named("test")).unwrap();
            let found = rate_of("v", &rows, &[], &tree, altered);
            let said = found.lr.zip(Some(found.source.to_string()));
            assert_eq!(said, want.map(|(lr, words)| (lr, words.to_owned())));
            assert_eq!(
                found.refusal.is_some(),
                want.is_none(),
                "{:?}",
                found.refusal
            );
        };
        let at =
            |width: u64, steps: u64| json!({"model": {"width": width}, "train": {"steps": steps}});
        check(at(32, 400), false, Some((0.016, "tuned: sweep.json")));
        check(
            at(32, 400),
            true,
            Some((0.016, "nearest tuned row (w32@400), sweep.json")),
        );
        check(
            at(48, 400),
            false,
            Some((0.004, "tuned: sweep.json (at its grid's edge)")),
        );
        check(
            at(32, 800),
            false,
            Some((0.008, "nearest tuned row (w32@1600), sweep.json")),
        );
        check(
            at(64, 400),
            false,
            Some((
                0.004,
                "nearest tuned row (w48@400), sweep.json (at its grid's edge)",
            )),
        );
        check(json!({"data": {"kind": "markov"}}), false, None);
        check(
            json!({"data": {"kind": "language", "preset": "rich"}}),
            false,
            None,
        );
        check(
            json!({"data": {"kind": "text"}}),
            false,
            Some((0.5, "nearest tuned row (w32@400), sweep.json")),
        );
        let far = Tree::from_json(&at(32, 6400), &Origin::named("test")).unwrap();
        let refused = rate_of("v", &rows, &[], &far, false);
        assert_eq!(
            (refused.lr, refused.refusal.is_some()),
            (Some(0.008), true),
            "a row four times as short"
        );
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

    fn surface() -> RateSurface {
        let surface = crate::stat::Surface {
            coefficients: [-4.0, -0.5, 0.0],
            covariance: [[0.01, 0.0, 0.0], [0.0, 0.04, 0.0], [0.0; 3]],
            centre: [400f64.ln(), 32f64.ln()],
            freedom: 5.0,
            scatter: 0.2,
            valley: crate::stat::surface::Valley {
                left: 0.05,
                right: 0.1,
            },
            support: Support {
                ln_steps: [100f64.ln(), 1600f64.ln()],
                ln_size: [32f64.ln(), 128f64.ln()],
                ln_lr: [0.001f64.ln(), 0.1f64.ln()],
            },
            cells: 5,
            at_edge: 0,
        };
        let (from, origin) = ("s.json".to_owned(), Origin::named("v.toml"));
        RateSurface {
            data: "text/byte".to_owned(),
            tokens_per_step: 512,
            surface,
            from,
            origin,
        }
    }

    #[test]
    fn a_surface_serves_what_was_swept_and_an_exact_row_stands_before_it() {
        let surface = surface();
        let at = |width: u64, steps: u64, batch: u64, tokenizer: &str| {
            let tree = json!({
                "data": {"kind": "text", "tokenizer": tokenizer},
                "model": {"width": width, "context": 64},
                "train": {"steps": steps, "batch": batch},
            });
            let tree = Tree::from_json(&tree, &Origin::named("test")).unwrap();
            rate_of("v", &[], std::slice::from_ref(&surface), &tree, false)
        };
        let found = at(64, 800, 8, "byte");
        let RateSource::Surface {
            ln_lr,
            se,
            draw,
            edge,
            beyond,
            ..
        } = found.source
        else {
            panic!("{found:?}")
        };
        assert!(
            (ln_lr - (-4.0 - 0.5 * 2f64.ln())).abs() < 1e-12
                && (draw, edge, beyond) == (0.0, false, false)
        );
        assert_eq!(found.lr, Some(four_digits(ln_lr.exp())));
        let variance: f64 = found.loadings.iter().map(|l| l * l).sum();
        assert!((variance.sqrt() - se).abs() < 1e-12 && found.refusal.is_none());
        for (width, steps, batch, tokenizer, want) in [
            (
                256,
                400,
                8,
                "byte",
                "was swept at 100 to 1600 steps and is carried to widths of 32 to 128 (s.json), and this is 400 steps at width 256",
            ),
            (32, 3200, 8, "byte", "and this is 3200 steps at width 32"),
            (
                32,
                400,
                16,
                "byte",
                "no sweep has chosen a learning rate for v on text/byte at 1024 tokens a step",
            ),
            (
                32,
                400,
                8,
                "char",
                "no sweep has chosen a learning rate for v on text/char",
            ),
        ] {
            let refusal = at(width, steps, batch, tokenizer).refusal.unwrap();
            assert!(refusal.message.contains(want), "{refusal}");
            assert!(refusal.hint.is_some_and(|hint| hint.contains("--untuned")));
        }
    }
}
