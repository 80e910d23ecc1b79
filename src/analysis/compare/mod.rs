//! Is the new side worse? Every metric of every cell that both sides have, with an interval, a margin and a verdict, and a verdict of
//! the whole suite beside them.
//!
//! The trial is the replicate: samples within one process share its luck. What was run in turn in one session is compared by
//! repeat, everything else by Welch's test; counted work by equality. Noise is pooled over cells ([`suite`]). Holm's correction is
//! over what is gated, cells and suite in one family, so that a suite of unchanged cells alarms in at most one comparison of
//! twenty (far fewer, as the point must pass a margin too). The rates that this gives are simulated in `simulate.rs`.
//!
//! A cell is its settled spec ([`identity`](crate::record::identity)): one name for two cells is not compared, and what the base has and
//! the new side has not is said first.
//!
//! ```
//! # fn main() -> effbench::error::Result<()> {
//! use effbench::analysis::compare::{Options, Side, Verdict, compare};
//! use effbench::record::folder;
//! use effbench::record::store::read_valid;
//!
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/quick.json");
//! let read = |path: &str| -> effbench::error::Result<Vec<_>> {
//!     let paths = folder::results(std::path::Path::new(path))?;
//!     paths.iter().map(|path| Ok((path.display().to_string(), read_valid(path)?))).collect()
//! };
//! let (base, new) = (read(path)?, read(path)?);
//! let found = compare(&Side::new("base", &base, None), &Side::new("new", &new, None), &Options::default());
//! for row in found.gated().filter(|row| row.verdict == Verdict::Regressed) {
//!     println!("{}: {} regressed", row.cell, row.metric);
//! }
//! # assert!(found.cells > 0);
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;

pub mod matching;
pub mod measure;
pub mod effect;
pub mod history;
mod noise;
pub mod past;
pub mod residue;
pub mod verdict;
pub mod decide;
pub mod row;
mod figures;
mod gate;
mod comparison;
mod quality;
mod relative;
pub mod self_test;
pub mod stages;
pub mod suite;
#[cfg(test)]
mod simulate;

pub use crate::config::Gate;
pub use comparison::{Comparison, SCHEMA};
pub use gate::{Accept, Code};
pub use matching::{Matched, Seen, Setting, Side, Unlike, matched};
pub use measure::{Group, Measure, Scale, catalog};
pub use past::Past;
pub use residue::Difference;
pub use row::{Figures, Margin, Row};
pub use verdict::Verdict;

use decide::{Decision, Why, decide};
use effect::{ALPHA, Effect, FEWEST, Method};
use matching::Match;

use crate::record::metric;
use crate::stat::holm;
use crate::stat::power::{NORMAL_POWER, Sight};

/// Quality on another kind of machine: kernels differ, so bits do, and losses by more than seeds would have them.
const ACROSS_MACHINES: f64 = 4.0;

/// More repeats than this are no advice.
pub const MOST_ADVISED: usize = 30;

/// What is asked of a comparison.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// What the exit code is about.
    pub gate: Gate,
    /// Metrics that are gated instead of the usual ones.
    pub metrics: Vec<String>,
    /// Margins by metric: a share, or in the unit of a loss or an accuracy.
    pub margins: BTreeMap<String, f64>,
    /// Changes that are meant.
    pub accepted: Vec<Accept>,
    /// The variant that time and energy are set against inside each machine, where machines differ.
    pub reference: Option<String>,
    /// What earlier sessions say of how far two lie apart.
    pub past: Past,
}

/// Compares two sides.
pub fn compare(base: &Side, new: &Side, options: &Options) -> Comparison {
    let Matched {
        cells,
        alone,
        unlike,
        renamed,
    } = matched(base, new);
    let catalog = catalog();
    let mut rows: Vec<Row> = cells
        .iter()
        .flat_map(|cell| {
            catalog
                .iter()
                .filter_map(|measure| one(cell, measure, options))
        })
        .collect();
    relative::fill(&mut rows, base, new, options.reference.as_deref());
    gate::mark(&mut rows, &options.accepted);
    let mut suite = judge(&mut rows, &cells, options);
    gate::mark(&mut suite, &options.accepted);
    quality::fill_equivalents(&mut rows, base, &cells);
    quality::hold_back_gains(&mut rows, &mut suite);
    let unused = gate::unused(rows.iter().chain(&suite), &options.accepted);
    let failed = gate::failed(&cells);
    let trials = [0, 1].map(|side| cells.iter().map(|cell| cell.sides[side].len()).sum());
    let mut found = Comparison {
        schema: SCHEMA,
        base: base.name.clone(),
        new: new.name.clone(),
        verdict: Verdict::Equivalent,
        exit_code: Code::Fine,
        gate: options.gate,
        cells: cells.len(),
        trials,
        failed,
        alone,
        renamed,
        unlike,
        rows,
        suite,
        residue: residue::residue(&cells),
        unused,
        of_variants: base.variant.is_some() || new.variant.is_some(),
    };
    found.settle();
    found
}

/// A row with its margin as asked, and whether it is gated.
fn one(cell: &Match<'_>, measure: &Measure, options: &Options) -> Option<Row> {
    let mut row = figures::row(cell, measure)?;
    let given = options.margins.get(measure.name).copied();
    row.margin = Margin {
        given: given.is_some(),
        ..Margin::usual(given.unwrap_or(measure.margin))
    };
    let chosen = options.metrics.iter().any(|name| name == measure.name);
    let without_loss = |seen: &Seen| {
        let stated = seen.trial.stated.is_some();
        stated && seen.trial.metric(metric::VAL_LOSS_NATS).is_none()
    };
    let of_tables = measure.is_of_tables() && cell.sides.iter().flatten().all(without_loss);
    let usual = options.metrics.is_empty() && (measure.is_headline() || of_tables);
    // Another variant does other work by design, and so does another kind of device; and what an older build did not count yet is
    // no doubt about this one.
    let unknown = |side: &Vec<Seen>| {
        side.iter()
            .all(|seen| !seen.trial.metrics.contains_key(measure.name))
    };
    let excused =
        cell.sides.iter().any(unknown) || figures::unlike_devices(cell, measure).is_some();
    let told = !measure::STEP_WORK.contains(&measure.name) || !excused;
    row.gated = chosen || (usual && (measure.group != Group::Exact || (cell.same_name && told)));
    if measure.group == Group::Exact {
        forgive(&mut row);
    }
    Some(row)
}

/// A margin that was asked for holds for counted work too.
fn forgive(row: &mut Row) {
    let small = row
        .change
        .is_some_and(|change| (change.value - 1.0).abs() <= row.margin.asked);
    if small && matches!(row.verdict, Verdict::Regressed | Verdict::Improved) {
        row.verdict = Verdict::Equivalent;
        row.beyond_margin = false;
    }
}

/// Margins, noise, correction, verdicts: what takes all rows together. Returns the whole suite's rows.
fn judge(rows: &mut [Row], cells: &[Match], options: &Options) -> Vec<Row> {
    let drifts: BTreeMap<&str, (f64, Seen)> = cells
        .iter()
        .filter(|cell| cell.setting == Setting::Separate)
        .map(|cell| {
            (
                cell.cell.as_str(),
                (noise::drift(&cell.sides), cell.sides[0][0]),
            )
        })
        .collect();
    for row in rows.iter_mut().filter(|row| row.effect.is_some()) {
        let drift = drifts.get(row.cell.as_str()).filter(|_| row.group.drifts());
        let past = drift.and_then(|(_, seen)| options.past.fence(seen, row.metric));
        row.margin = raised(
            row,
            [
                ("sessions", drift.map(|(size, _)| *size)),
                ("history", past),
            ],
        );
    }
    suite::pool_noise(rows);
    let mut suite = suite::rows(rows);
    correct(&mut rows.iter_mut().chain(&mut suite).collect::<Vec<_>>());
    let tested = rows
        .iter()
        .chain(&suite)
        .filter(|row| is_tested(row))
        .count();
    let mut sight = Sight::default();
    rows.iter_mut()
        .chain(&mut suite)
        .for_each(|row| conclude(row, tested, &mut sight));
    suite
}

/// The margin as asked, or wider: for another kind of machine where nobody asked, for the drift between sessions as their
/// calibrations or earlier sessions show it; each by its name, on the scale that is computed on.
fn raised(row: &Row, floors: [(&'static str, Option<f64>); 2]) -> Margin {
    let asked = row.margin.asked;
    let across = if row.setting == Setting::OtherMachine && !row.margin.given {
        ACROSS_MACHINES
    } else {
        1.0
    };
    let same = across * asked;
    let mut margin = Margin {
        same,
        used: same,
        raised_by: (across > 1.0).then_some("machines"),
        ..row.margin
    };
    for (by, wider) in floors {
        let wider = wider.map_or(0.0, |wider| row.shown(wider));
        if wider > margin.used {
            margin = Margin {
                used: wider,
                raised_by: Some(by),
                ..margin
            };
        }
    }
    margin
}

/// Whether chance decides a gated row: not where every bit is the same, nor where trials never arrive.
fn is_tested(row: &Row) -> bool {
    row.gated && row.p.is_some() && !row.identical && row.method != Method::Ranks
}

/// Holm's correction over what is gated, the whole suite's tests among them; what is only shown keeps its own p.
fn correct(rows: &mut [&mut Row]) {
    let places: Vec<usize> = (0..rows.len()).filter(|k| is_tested(rows[*k])).collect();
    let p: Vec<f64> = places.iter().filter_map(|k| rows[*k].p).collect();
    for (place, adjusted) in places.into_iter().zip(holm(&p)) {
        rows[place].adjusted_p = Some(adjusted);
    }
}

fn conclude(row: &mut Row, tested: usize, sight: &mut Sight) {
    let Some(mut effect) = row.effect else { return };
    if row.group.drifts() && effect.least() < 2 {
        // One reading that equals another is a copy of it, or rounding: what drifts never repeats itself.
        effect.identical = false;
        row.set_effect(effect);
    }
    if !row.newly_diverged.is_empty() {
        (row.verdict, row.why) = (Verdict::Regressed, Some(Why::Diverged));
        row.reason = reason(row, Why::Diverged);
        return;
    }
    let drift = row.setting == Setting::Separate && row.group.drifts();
    let margin = row.on_scale(row.margin.used);
    let Decision { verdict, why } = decide(
        &effect,
        row.worse(),
        row.limits(),
        row.adjusted_p.or(row.p),
        drift,
    );
    // The first step of Holm's correction is what a single change among unchanged cells must pass.
    let alpha = if row.gated {
        ALPHA / tested.max(1) as f64
    } else {
        ALPHA
    };
    row.detectable = seen_at(&effect, alpha, margin, drift, sight).map(|value| row.shown(value));
    let telling = verdict == Verdict::Inconclusive && !drift;
    row.need = effect
        .sd
        .filter(|_| telling)
        .and_then(|sd| sight.repeats_for(row.on_scale(row.margin.asked), sd, alpha));
    row.need = row.need.filter(|need| *need <= MOST_ADVISED);
    if why == Why::TooFew {
        row.need = Some(row.need.unwrap_or(FEWEST).max(FEWEST));
    }
    (row.verdict, row.why, row.beyond_margin) = (verdict, Some(why), why == Why::BeyondMargin);
    row.reason = reason(row, why);
}

/// The smallest change that is called one with a chance of 80%: the test must see it and the point must pass the margin, between
/// sessions the whole interval.
fn seen_at(
    effect: &Effect,
    alpha: f64,
    margin: f64,
    drift: bool,
    sight: &mut Sight,
) -> Option<f64> {
    let shift = effect
        .shift
        .filter(|_| effect.method != Method::Ranks && effect.is_enough())?;
    if drift {
        return Some(margin + sight.detectable(shift.freedom, ALPHA)? * shift.se);
    }
    let by_test = sight.detectable(shift.freedom, alpha)? * shift.se;
    Some(by_test.max(margin + NORMAL_POWER * shift.se))
}

fn reason(row: &Row, why: Why) -> Option<String> {
    let need = match row.need {
        Some(need) => format!(": n = {need} would show a change as large as the margin"),
        None if row.effect.is_some_and(|effect| effect.sd.is_some()) => format!(
            ": more than {MOST_ADVISED} repeats would be needed for a change as large as the margin, so a quieter machine or a wider margin"
        ),
        None => String::new(),
    };
    Some(match why {
        Why::Identical => "identical".to_owned(),
        Why::BeyondMargin | Why::Told | Why::WithinMargin => return unreached(row),
        Why::TooFew => format!("too few: need {}", row.need.unwrap_or(FEWEST)),
        Why::Wide if row.method == Method::Ranks => unreached(row)?,
        Why::Wide => format!("the interval is too wide{need}"),
        Why::TestsDisagree => "the exact test does not agree with the t test".to_owned(),
        Why::Drift => {
            "separate sessions: they may differ by as much for no reason in the program".to_owned()
        }
        Why::Diverged => {
            let seeds: Vec<String> = row.newly_diverged.iter().map(u64::to_string).collect();
            format!(
                "diverges at seed {}, where the base finished",
                seeds.join(", ")
            )
        }
    })
}

fn unreached(row: &Row) -> Option<String> {
    let side = |side: &Figures| format!("{} of {}", side.unreached, side.n + side.unreached);
    (row.method == Method::Ranks).then(|| {
        format!(
            "diverged: {} before, {} now",
            side(&row.base),
            side(&row.new)
        )
    })
}
