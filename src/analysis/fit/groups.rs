//! Points by group: without copies and without those that lack what a law needs, and no more than are fitted in reasonable time.

use std::collections::{BTreeMap, BTreeSet};

use super::points::{Point, Variable};

/// More runs than this of one group are fitted by as many of them, evenly from all: the figures stay, and the time.
const MOST: usize = 3000;

/// Groups without the points that lack what others of the group have, and a law needs.
pub(super) fn complete(
    groups: Vec<Vec<Point>>,
    needs: &[Variable],
    notes: &mut Vec<String>,
) -> Vec<Vec<Point>> {
    let mut kept = groups;
    for needed in needs {
        for group in &mut kept {
            let lacking = group
                .iter()
                .filter(|point| point.get(*needed).is_none())
                .count();
            if (1..group.len()).contains(&lacking) {
                group.retain(|point| point.get(*needed).is_some());
                notes.push(format!(
                    "{lacking} rows lack `{}` and are left out",
                    needed.name()
                ));
            }
        }
    }
    kept
}

/// The points of each group, in the order of their first. A row that stands twice to the digit counts once: a copy brings no luck
/// of its own.
pub(super) fn grouped(points: &[Point], notes: &mut Vec<String>) -> Vec<Vec<Point>> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut groups: Vec<Vec<Point>> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut copies = 0;
    for point in points {
        let next = places.len();
        let place = *places.entry(&point.group).or_insert(next);
        if place == groups.len() {
            groups.push(Vec::new());
        }
        let settings = [point.unique_tokens, point.rate, point.batch]
            .map(|value| value.unwrap_or(0.0).to_bits());
        if seen.insert((
            place,
            point.repeat,
            point.run,
            point.cell(),
            settings,
            point.loss.to_bits(),
        )) {
            groups[place].push(point.clone());
        } else {
            copies += 1;
        }
    }
    if copies > 0 {
        notes.push(format!(
            "{copies} of {} rows are copies of another to the last digit and count once (runs of their own have a `repeat`)",
            points.len()
        ));
    }
    groups
}

/// As many points as are fitted in reasonable time, evenly from all in the order of their cells.
pub(super) fn thinned(mut group: Vec<Point>, notes: &mut Vec<String>) -> Vec<Point> {
    let n = group.len();
    if n <= MOST {
        return group;
    }
    let key = |p: &Point| (p.params.unwrap_or(0.0), p.tokens.unwrap_or(p.flops));
    group.sort_by(|a, b| {
        let ((n, d), (m, e)) = (key(a), key(b));
        n.total_cmp(&m).then(d.total_cmp(&e))
    });
    notes.push(format!(
        "{}: {MOST} of its {n} rows are fitted, evenly from all sizes and budgets",
        group[0].group
    ));
    // A stride and a half keeps step with no regular table.
    let golden = 0.618_033_988_75;
    let at =
        |k: usize| ((k as f64 + (k as f64 * golden).fract()) * n as f64 / MOST as f64) as usize;
    (0..MOST).map(|k| group[at(k).min(n - 1)].clone()).collect()
}

/// The points without those of the `n` highest losses, in their order, and those.
pub(super) fn split_highest(points: Vec<Point>, n: usize) -> (Vec<Point>, Vec<Point>) {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| points[b].loss.total_cmp(&points[a].loss));
    let highest: BTreeSet<usize> = order.into_iter().take(n).collect();
    let (dropped, kept): (Vec<_>, Vec<_>) = points
        .into_iter()
        .enumerate()
        .partition(|(index, _)| highest.contains(index));
    let bare = |points: Vec<(usize, Point)>| points.into_iter().map(|(_, point)| point).collect();
    (bare(kept), bare(dropped))
}
