//! Which cell each run belongs to: its scale, which arms must share to be compared, and its budget.

use std::collections::{BTreeMap, BTreeSet};

use super::logged::LoggedRun;
use super::outcome::{flops_of, last, outcome};
use super::role::Role;

/// Sizes of two variants whose ratio is below this are one scale: another optimizer or norm moves the count a little.
const SAME_SIZE: f64 = 1.05;
/// Units of a budget that is counted in FLOPs: u64 ends at 1.8e19.
const FLOPS: [(&str, f64); 4] = [
    ("GFLOP", 1e9),
    ("MFLOP", 1e6),
    ("kFLOP", 1e3),
    ("FLOP", 1.0),
];
/// The smallest budget in the unit chosen, so that rounding moves none by more than half a thousandth.
const LEAST_UNITS: f64 = 1e3;
/// Above this a budget does not fit.
const MOST_UNITS: f64 = 1e19;
/// Scales that a sentence names.
const NAMED: usize = 3;
/// Fewer sizes are no ladder.
const RUNGS: usize = 3;
/// The scale of a ladder.
const LADDER: &str = "ladder";

/// What is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// `adam/w64@5100`.
    pub name: String,
    /// `w64`; without one from the log the number of parameters where a variant has several, `ladder` where each size has one
    /// budget of its own, else `all`.
    pub scale: String,
    /// In `budget_in`.
    pub budget: Option<u64>,
    /// `steps`, `tokens`, `MFLOP` ...
    pub budget_in: Option<&'static str>,
}

/// The cells of all runs, and what was decided about them.
pub struct Cells {
    /// One a run.
    pub cells: Vec<Cell>,
    /// A sentence each.
    pub notes: Vec<String>,
}

/// The cell of each run; sizes that stand for one another are called after `base`'s.
pub fn cells(runs: &[LoggedRun], base: Option<&str>) -> Cells {
    let mut sizes: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.identity.scale.is_none()) {
        sizes
            .entry(&run.identity.variant)
            .or_default()
            .extend(run.identity.params);
    }
    let several = sizes.values().any(|sizes| sizes.len() > 1);
    let same = if several {
        same_sizes(runs, base)
    } else {
        BTreeMap::new()
    };
    let ladder = several && is_ladder(runs);
    let unit = flops_unit(runs, ladder);
    let scale =
        |run: &LoggedRun| match (&run.identity.scale, run.identity.params.filter(|_| several)) {
            (Some(scale), _) => scale.clone(),
            (None, Some(_)) if ladder => LADDER.to_owned(),
            (None, Some(params)) => format!("n{}", same.get(&params).copied().unwrap_or(params)),
            (None, None) => "all".to_owned(),
        };
    let axis = |run: &LoggedRun| {
        if ladder && run.identity.scale.is_none() {
            Some(Role::Flops)
        } else {
            run.axis
        }
    };
    let mut finished: BTreeMap<(&str, String), BTreeSet<u64>> = BTreeMap::new();
    for run in runs.iter().filter(|run| outcome(run).is_ok()) {
        finished
            .entry((&run.identity.variant, scale(run)))
            .or_default()
            .extend(budget(run, axis(run), unit));
    }
    let cell = |run: &LoggedRun| {
        let scale = scale(run);
        // A run that diverged was meant to go as far as the others did, where those agree.
        let others = finished
            .get(&(run.identity.variant.as_str(), scale.clone()))
            .filter(|all| all.len() == 1);
        let meant = others
            .and_then(|all| all.first().copied())
            .filter(|_| outcome(run).is_err());
        let budget = run
            .identity
            .budget
            .filter(|_| axis(run) == run.axis)
            .or(meant);
        let budget = budget.or_else(|| self::budget(run, axis(run), unit));
        let at = budget
            .map(|budget| format!("@{budget}"))
            .unwrap_or_default();
        let budget_in = budget.and_then(|_| counted_in(run, axis(run), unit));
        Cell {
            name: format!("{}/{scale}{at}", run.identity.variant),
            scale,
            budget,
            budget_in,
        }
    };
    Cells {
        cells: runs.iter().map(cell).collect(),
        notes: notes(runs, &same, ladder),
    }
}

/// What a budget is counted in.
fn counted_in(
    run: &LoggedRun,
    axis: Option<Role>,
    unit: (&'static str, f64),
) -> Option<&'static str> {
    match axis? {
        Role::Flops => Some(unit.0),
        _ if run.identity.budget.is_some() => Some("steps"),
        Role::Step => Some("steps"),
        other => Some(other.name()),
    }
}

/// How far a run went.
fn budget(run: &LoggedRun, axis: Option<Role>, unit: (&'static str, f64)) -> Option<u64> {
    let end = last(run).or(run.points.last())?;
    match axis? {
        Role::Flops => flops_of(run, end).map(|flops| (flops / unit.1).round() as u64),
        _ if run.identity.budget.is_some() => run.identity.budget,
        axis => end.on(axis).map(|value| value.round() as u64),
    }
}

/// Sizes that are called by another one's number: those of other variants within [`SAME_SIZE`]. A variant's own sizes are never
/// put together.
fn same_sizes(runs: &[LoggedRun], base: Option<&str>) -> BTreeMap<u64, u64> {
    let mut variants: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for run in runs {
        run.identity
            .params
            .into_iter()
            .for_each(|n| _ = variants.entry(n).or_default().insert(&run.identity.variant));
    }
    let mut groups: Vec<(Vec<u64>, BTreeSet<&str>)> = Vec::new();
    for (size, of) in variants {
        let fits = |(sizes, known): &&mut (Vec<u64>, BTreeSet<&str>)| {
            size as f64 <= SAME_SIZE * sizes[0] as f64 && known.is_disjoint(&of)
        };
        match groups.last_mut().filter(fits) {
            Some((sizes, known)) => {
                sizes.push(size);
                known.extend(of);
            }
            None => groups.push((vec![size], of)),
        }
    }
    let rank = |size: &u64| {
        let first = runs
            .iter()
            .position(|run| run.identity.params == Some(*size));
        let of_base = runs
            .iter()
            .any(|r| r.identity.params == Some(*size) && Some(r.identity.variant.as_str()) == base);
        (!of_base, first)
    };
    let named = |(sizes, _): (Vec<u64>, _)| {
        let name = sizes.iter().copied().min_by_key(rank).unwrap_or_default();
        sizes.into_iter().map(move |size| (size, name))
    };
    groups.into_iter().flat_map(named).collect()
}

/// Whether each size has one budget of its own, as on a compute-optimal ray: then sizes and budgets grow together along one
/// curve, and no size could be compared with itself at another budget.
fn is_ladder(runs: &[LoggedRun]) -> bool {
    let mut rungs: BTreeMap<(&str, u64), BTreeSet<u64>> = BTreeMap::new();
    for run in runs
        .iter()
        .filter(|run| run.identity.scale.is_none() && outcome(run).is_ok())
    {
        let flops = last(run).and_then(|end| flops_of(run, end));
        let (Some(params), Some(flops)) = (run.identity.params, flops) else {
            return false;
        };
        // To a tenth of a percent: repeats of one rung may round differently.
        rungs
            .entry((&run.identity.variant, params))
            .or_default()
            .insert((1e3 * flops.ln()).round() as u64);
    }
    let variants: BTreeSet<&str> = rungs.keys().map(|(variant, _)| *variant).collect();
    let rising = |variant: &&str| {
        let of = rungs
            .range((*variant, 0)..=(*variant, u64::MAX))
            .map(|(_, flops)| flops.first().copied());
        let of: Vec<Option<u64>> = of.collect();
        (of.windows(2).all(|two| two[0] < two[1]), of.len())
    };
    let one_each = rungs.values().all(|flops| flops.len() == 1);
    one_each
        && variants.iter().all(|v| rising(v).0)
        && variants.iter().any(|v| rising(v).1 >= RUNGS)
}

/// The largest unit in which the smallest budget is still told from its neighbours.
fn flops_unit(runs: &[LoggedRun], ladder: bool) -> (&'static str, f64) {
    let counted = runs
        .iter()
        .filter(|run| ladder || run.axis == Some(Role::Flops));
    let ends = counted
        .filter_map(|run| flops_of(run, last(run)?))
        .filter(|flops| *flops > 0.0);
    let (least, most) = ends.fold((f64::INFINITY, 0.0_f64), |(a, b), flops| {
        (a.min(flops), b.max(flops))
    });
    let fine = FLOPS
        .into_iter()
        .find(|(_, unit)| least / unit >= LEAST_UNITS)
        .unwrap_or(FLOPS[3]);
    if most / fine.1 <= MOST_UNITS {
        fine
    } else {
        FLOPS[0]
    }
}

fn notes(runs: &[LoggedRun], same: &BTreeMap<u64, u64>, ladder: bool) -> Vec<String> {
    if ladder {
        return vec![format!(
            "each size has one budget of its own: the runs of a variant are one ladder (scale `{LADDER}`, budgets in FLOPs; \
             --let scale=NAME says otherwise)"
        )];
    }
    let other: Vec<(&u64, &u64)> = same.iter().filter(|(size, name)| size != name).collect();
    if other.is_empty() {
        return Vec::new();
    }
    let variant = |size: u64| {
        runs.iter()
            .find(|run| run.identity.params == Some(size))
            .map_or("", |run| &run.identity.variant)
    };
    let told = |(size, name): &(&u64, &u64)| format!("{} {size} as n{name}", variant(**size));
    let list: Vec<String> = other.iter().take(NAMED).map(told).collect();
    let rest = if other.len() > NAMED {
        format!(" and {} more", other.len() - NAMED)
    } else {
        String::new()
    };
    vec![format!(
        "sizes of two variants within 5% are one scale: {}{rest} (--map scale=COLUMN says otherwise)",
        list.join(", ")
    )]
}
