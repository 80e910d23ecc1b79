//! Speed and quality together: a gain in speed, memory, energy or work counts only where quality is kept, and a difference in
//! loss is worth so much compute.

use std::collections::BTreeMap;

use super::decide::not_worse;
use super::matching::{Match, Seen, Side};
use super::measure::Group;
use super::row::{Bound, Equivalent, Row};
use super::verdict::Verdict;
use crate::record::metric;
use crate::stat::{Falling, Interval, Solution, mean};

/// Takes back every improvement in cells whose gated quality may be worse by more than its margin, and says so; of the whole suite
/// where that is so in any of them.
pub(super) fn hold_back_gains(rows: &mut [Row], suite: &mut [Row]) {
    let mut doubts: BTreeMap<String, String> = BTreeMap::new();
    for row in rows
        .iter()
        .filter(|row| row.group == Group::Quality && row.gated && !kept(row))
    {
        let how = if row.verdict == Verdict::Regressed {
            "is worse"
        } else {
            "is not shown to be kept"
        };
        doubts
            .entry(row.cell.clone())
            .or_insert_with(|| format!("{} {how}", row.metric));
    }
    let any = doubts
        .first_key_value()
        .map(|(cell, doubt)| format!("in {cell} {doubt}"));
    let better = |row: &&mut Row| row.group != Group::Quality && row.verdict == Verdict::Improved;
    for row in rows.iter_mut().chain(suite).filter(better) {
        if let Some(doubt) = if row.is_whole() {
            any.as_ref()
        } else {
            doubts.get(&row.cell)
        } {
            row.verdict = Verdict::Inconclusive;
            row.held_back = true;
            row.reason = Some(format!("better, but it does not count: {doubt}"));
        }
    }
}

/// Whether quality is for sure not worse by more than its margin. What nobody measured on either side has no row and no say.
fn kept(row: &Row) -> bool {
    let margin = row.limits().same;
    let good = matches!(row.verdict, Verdict::Improved | Verdict::Equivalent);
    good || row
        .effect
        .as_ref()
        .is_some_and(|effect| not_worse(effect, row.worse(), margin))
}

/// The compute equivalent of each cell's loss: where the base has the variant at several budgets, its own losses make a
/// falling curve of loss against training FLOPs, which is solved for the new side's loss. Never read beyond its ends.
pub(super) fn fill_equivalents(rows: &mut [Row], base: &Side, cells: &[Match]) {
    let curves = curves(base);
    let places: BTreeMap<&str, &Match> = cells
        .iter()
        .map(|cell| (cell.cell.as_str(), cell))
        .collect();
    for row in rows
        .iter_mut()
        .filter(|row| row.metric == metric::VAL_LOSS_NATS && !row.identical)
    {
        let Some(first) = places
            .get(row.cell.as_str())
            .and_then(|cell| cell.sides[0].first())
        else {
            continue;
        };
        let key = (first.trial.variant.as_str(), first.trial.scale.as_str());
        row.equivalent = curves.get(&key).and_then(|curve| equivalent(row, curve));
    }
}

/// One curve for each variant and scale with at least two budgets.
fn curves<'a>(base: &Side<'a>) -> BTreeMap<(&'a str, &'a str), Falling> {
    type Losses<'a> = BTreeMap<&'a str, (f64, Vec<f64>)>;
    let mut points: BTreeMap<(&str, &str), Losses> = BTreeMap::new();
    for seen in base.trials.iter().filter(|seen| seen.counts()) {
        let Some((flops, loss)) = spent(seen) else {
            continue;
        };
        let of = points
            .entry((&seen.trial.variant, &seen.trial.scale))
            .or_default();
        of.entry(&seen.trial.cell)
            .or_insert((flops, Vec::new()))
            .1
            .push(loss);
    }
    let through = |losses: &Losses| {
        let points = losses
            .values()
            .filter_map(|(flops, losses)| Some((flops.ln(), mean(losses)?)));
        Falling::through(&points.collect::<Vec<_>>())
    };
    points
        .iter()
        .filter_map(|(key, losses)| Some((*key, through(losses)?)))
        .collect()
}

fn spent(seen: &Seen) -> Option<(f64, f64)> {
    let flops = seen.trial.train_flops().filter(|flops| *flops > 0.0)?;
    Some((flops, seen.trial.metric(metric::VAL_LOSS_NATS)?))
}

fn equivalent(row: &Row, curve: &Falling) -> Option<Equivalent> {
    let (base, change) = (row.base.mean?, row.change?);
    let Solution::At(own) = curve.solve(base) else {
        return None;
    };
    let times = |difference: f64| (curve.solve(base + difference).x() - own).exp();
    let solved = curve.solve(base + change.value);
    // More loss is less compute, so that the ends change places.
    let interval = change.interval.map(|i| Interval {
        low: times(i.high),
        high: times(i.low),
        level: i.level,
    });
    let bound = match solved {
        Solution::At(_) => None,
        Solution::Before(_) => Some(Bound::LessThan),
        Solution::After(_) => Some(Bound::MoreThan),
    };
    Some(Equivalent {
        times: times(change.value),
        interval,
        bound,
    })
}
