//! A variant's shipped surfaces of learning rates: what a sweep over steps and widths found for its data and batch.
//!
//! ```toml
//! [[surface]]
//! variant = "gpt2"           # in models/rates/; in a variant's own file it is left out
//! data = "language/easy"
//! tokens_per_step = 512
//! steps = [100, 1600]          # what was swept: beyond it the surface says nothing
//! widths = [32, 128]
//! rates = [0.0025, 0.08]       # lowest and highest that finished
//! centre = [400.0, 32.0]       # steps and width of the first coefficient
//! coefficients = [-4.1, -0.3, 0.0]                        # ln lr there, its slopes over ln steps and ln width
//! covariance = [0.01, 0.0, 0.004, 0.0, 0.0, 0.0]          # of them, row by row up to the diagonal
//! freedom = 5.0
//! scatter = 0.2                # of single cells' best rates around it, in ln lr
//! valley = [0.05, 0.08]        # nats per squared ln lr, below and above the best rate
//! cells = [5, 0]               # swept, and of these best at an edge of their rates
//! from = "results/gain-epyc-19h-2c-linux.json"
//! ```

use super::knob::{Declarations, Knob, List, Number, Text, Whole};
use super::table::{Fields, Table};
use super::tree::Origin;
use crate::error::Result;
use crate::stat::surface::{Support, Surface, Valley};

/// One `[[surface]]` of a variant's file, or of `models/rates/`.
#[derive(Debug, Clone, PartialEq)]
pub struct RateSurface {
    /// The data it was swept on, as [`super::names::data_label`] names it.
    pub data: String,
    /// `train.batch` x `model.context` of the sweep: another batch has other rates.
    pub tokens_per_step: u64,
    /// Over ln steps and ln width.
    pub surface: Surface,
    /// The result file of the sweep.
    pub from: String,
    /// Where it stands.
    pub origin: Origin,
}

/// Whose it is, where that is not the file's own variant.
pub(super) const VARIANT: Knob<Text> = Knob::text(
    "variant",
    "The variant that it is of: in models/rates/ alone, as a variant's own file has its own.",
)
.optional();
const DATA: Knob<Text> = Knob::text(
    "data",
    "The data it was swept on: a kind and its preset or tokenizer, as `language/easy`, or a kind alone.",
);
const TOKENS_PER_STEP: Knob<Whole> = Knob::count(
    "tokens_per_step",
    "Tokens of an optimizer step in the sweep, batch times context: another batch has other rates.",
)
.unit("tokens");
const STEPS: Knob<List<Number>> =
    Knob::number("steps", "Fewest and most optimizer steps that were swept.").exactly(2);
const WIDTHS: Knob<List<Number>> =
    Knob::number("widths", "Smallest and largest width that was swept.").exactly(2);
const RATES: Knob<List<Number>> =
    Knob::number("rates", "Lowest and highest learning rate that was swept.").exactly(2);
const CENTRE: Knob<List<Number>> = Knob::number(
    "centre",
    "Steps and width that the fitted surface is centred on.",
)
.exactly(2);
const COEFFICIENTS: Knob<List<Number>> = Knob::number(
    "coefficients",
    "Natural logarithm of the best rate at the centre, and its slopes over those of steps and width.",
)
.exactly(3);
const COVARIANCE: Knob<List<Number>> = Knob::number(
    "covariance",
    "Covariance of those three, row by row up to the diagonal.",
)
.exactly(6);
const FREEDOM: Knob<Number> =
    Knob::number("freedom", "Degrees of freedom that were left for it.").above(0.0);
const SCATTER: Knob<Number> = Knob::number(
    "scatter",
    "Standard deviation of single cells' best rates around it, in their natural logarithm.",
)
.at_least(0.0);
const VALLEY: Knob<List<Number>> = Knob::number(
    "valley",
    "How steeply the loss rises below and above the best rate, in nats per squared natural logarithm of the rate.",
)
.exactly(2);
const CELLS: Knob<List<Number>> = Knob::number(
    "cells",
    "Cells that were swept, and of these the ones whose best rate was the lowest or highest tried.",
)
.exactly(2);
const FROM: Knob<Text> = Knob::text("from", "The result file of the sweep.");

/// The fields of a `[[surface]]`.
pub(super) const FIELDS: Declarations = &[
    &VARIANT,
    &DATA,
    &TOKENS_PER_STEP,
    &STEPS,
    &WIDTHS,
    &RATES,
    &CENTRE,
    &COEFFICIENTS,
    &COVARIANCE,
    &FREEDOM,
    &SCATTER,
    &VALLEY,
    &CELLS,
    &FROM,
];

impl RateSurface {
    /// The variant that a row says it is of.
    pub(super) fn variant(row: &Table) -> Result<Option<String>> {
        row.fields(FIELDS)?.find(&VARIANT)
    }

    /// Reads one row.
    pub fn parse(row: &Table) -> Result<Self> {
        let row = &row.fields(FIELDS)?;
        let range = |knob: &Knob<List<Number>>| -> Result<[f64; 2]> {
            let [low, high] = exactly(row, knob)?;
            if low > 0.0 && low <= high {
                Ok([low.ln(), high.ln()])
            } else {
                Err(row.refuse(knob, "expected two numbers above 0, the lower first"))
            }
        };
        let [aa, ba, bb, ca, cb, cc] = exactly(row, &COVARIANCE)?;
        if [aa, bb, cc].iter().any(|variance| *variance < 0.0) {
            return Err(row.refuse(&COVARIANCE, "a variance is below 0"));
        }
        let [left, right] = exactly(row, &VALLEY)?;
        if left < 0.0 || right < 0.0 {
            return Err(row.refuse(&VALLEY, "expected two numbers of at least 0"));
        }
        let [cells, at_edge] = exactly(row, &CELLS)?;
        let [steps, width] = exactly(row, &CENTRE)?;
        if !(steps > 0.0 && width > 0.0) {
            return Err(row.refuse(&CENTRE, "expected steps and a width above 0"));
        }
        let surface = Surface {
            coefficients: exactly(row, &COEFFICIENTS)?,
            covariance: [[aa, ba, ca], [ba, bb, cb], [ca, cb, cc]],
            centre: [steps.ln(), width.ln()],
            freedom: row.read(&FREEDOM)?,
            scatter: row.read(&SCATTER)?,
            valley: Valley { left, right },
            support: Support {
                ln_steps: range(&STEPS)?,
                ln_size: range(&WIDTHS)?,
                ln_lr: range(&RATES)?,
            },
            cells: cells as usize,
            at_edge: at_edge as usize,
        };
        Ok(Self {
            data: row.read(&DATA)?,
            tokens_per_step: row.read(&TOKENS_PER_STEP)? as u64,
            surface,
            from: row.read(&FROM)?,
            origin: row.origin(&DATA),
        })
    }

    /// The row as it stands in a variant's file.
    pub fn to_toml(&self) -> String {
        let Surface {
            coefficients,
            covariance: v,
            centre,
            freedom,
            scatter,
            valley,
            support,
            cells,
            at_edge,
        } = &self.surface;
        let list = |values: &[f64]| {
            values
                .iter()
                .map(|value| rounded(*value))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let plain = |[low, high]: [f64; 2]| list(&[low.exp(), high.exp()]);
        format!(
            "[[surface]]\ndata = \"{}\"\ntokens_per_step = {}\nsteps = [{}]\nwidths = [{}]\nrates = [{}]\ncentre = \
             [{}]\ncoefficients = [{}]\ncovariance = [{}]\nfreedom = {}\nscatter = {}\nvalley = [{}]\ncells = \
             [{cells}, {at_edge}]\nfrom = \"{}\"\n",
            self.data,
            self.tokens_per_step,
            plain(support.ln_steps),
            plain(support.ln_size),
            plain(support.ln_lr),
            plain(*centre),
            list(coefficients),
            list(&[v[0][0], v[1][0], v[1][1], v[2][0], v[2][1], v[2][2]]),
            rounded(*freedom),
            rounded(*scatter),
            list(&[valley.left, valley.right]),
            self.from,
        )
    }
}

/// Five significant digits: a fit's standard error is in the second.
fn rounded(value: f64) -> String {
    let short: f64 = format!("{value:.4e}").parse().unwrap_or(value);
    format!("{short:?}")
}

/// A list that is declared to hold exactly so many.
fn exactly<const N: usize>(row: &Fields, knob: &Knob<List<Number>>) -> Result<[f64; N]> {
    let found = row.read(knob)?;
    found
        .try_into()
        .map_err(|_| row.refuse(knob, &format!("expected {N} numbers")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::field::Inner;
    use crate::config::load::parse;

    const SURFACES: Inner = Inner::rows("surface", "A row.", FIELDS);

    const ROW: &str = "[[surface]]\ndata = \"language/easy\"\ntokens_per_step = 512\nsteps = [100.0, 1600.0]\nwidths = \
                       [32.0, 128.0]\nrates = [0.0025, 0.08]\ncentre = [400.0, 32.0]\ncoefficients = [-4.1, -0.3, \
                       0.0]\ncovariance = [0.01, 0.001, 0.004, 0.0, 0.0, 0.0]\nfreedom = 5.0\nscatter = 0.2\nvalley = \
                       [0.05, 0.08]\ncells = [5, 1]\nfrom = \"results/x.json\"\n";

    fn row(text: &str) -> Result<RateSurface> {
        let table = parse("v.toml", text)?;
        RateSurface::parse(&table.fields(&[&SURFACES])?.rows(&SURFACES)?[0])
    }

    #[test]
    fn a_surface_is_read_as_it_was_written() {
        let found = row(ROW).unwrap();
        assert_eq!(found.to_toml(), ROW);
        assert_eq!(row(&found.to_toml()).unwrap(), found);
        let place = found.surface.at(400f64.ln(), 32f64.ln());
        assert!(
            (place.ln_lr + 4.1).abs() < 1e-12 && (place.se - 0.1).abs() < 1e-12 && place.inside
        );
        assert!(!found.surface.at(400f64.ln(), 256f64.ln()).inside);
    }

    #[test]
    fn one_that_makes_no_sense_is_refused_with_its_line() {
        let check = |from: &str, to: &str, want: &str| {
            assert!(ROW.contains(from));
            let found = row(&ROW.replace(from, to)).unwrap_err().to_string();
            assert!(found.contains(want), "{found}");
        };
        check(
            "steps = [100.0, 1600.0]",
            "steps = [1600, 100]",
            "v.toml:4: surface.steps = [1600,100]: expected two numbers above 0",
        );
        check("[-4.1, -0.3, 0.0]", "[-4.1, -0.3]", "expected 3 numbers");
        check("[0.01, 0.001,", "[-0.01, 0.001,", "a variance is below 0");
        check("freedom = 5.0\n", "", "`surface.freedom` is missing");
        check("from =", "form =", "unknown field `surface.form`");
    }
}
