//! Whether the data say which group's loss gains more from scale.
//!
//! It is a claim about what was seen, not about an exponent: with E free a larger exponent comes with a larger E, and the curve
//! with both flattens sooner. One group gains more where (1) a doubling of compute buys it more nats at every compute that both
//! ran, and (2) it also falls faster where both have the same loss, so that its lead is no mere head start: two curves that are
//! one curve moved along ln C differ in (1) and are alike in (2). Each is an equality of two figures, tested by the least rise
//! of both objectives that makes them equal, each scaled by its own luck ([`super::luck`]), as t with Welch's degrees of
//! freedom; a pair's p is the largest of its tests (all must hold), and Holm's correction runs over all pairs.
//!
//! Beside it stands what one assumed E would claim about the exponents, for every value of it.

use serde::Serialize;

use super::fitting::Fitting;
use super::interval::{Bounds, Held, Inquiry};
use super::misfit::{self, Misfit};
use super::solve::Fitted;
use super::surface::Theta;
use crate::stat::interval::LEVEL;
use crate::stat::{Shift, holm, sd};

mod claim;

pub use claim::{Claim, Verdict};
use claim::{claim, freed, lowest_of, tried};

/// Steps of the path from one group's figure to the other's.
const STEPS: usize = 8;
/// Points of a line on which the least sum of both rises is looked for.
const FINE: usize = 200;
/// No step of a walk along a figure's profile is longer at first.
const LEAP: f64 = 0.3;
/// Places of a range where slopes are compared.
const PLACES: usize = 3;

/// Why two groups cannot be ranked whatever their figures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unranked {
    /// One has as many cells as parameters: nothing could speak against its law.
    Saturated,
    /// The law does not describe the runs of one, or neighbours miss it alike.
    Misfit,
    /// All runs of one are of one model size.
    OneSize,
    /// One has no interval to judge by.
    NoInterval,
    /// One has an interval narrower than the bootstrap's standard error.
    TooSure,
    /// They have no compute in common.
    NoCommonCompute,
    /// They have no loss in common.
    NoCommonLoss,
}

impl Unranked {
    /// In words, after `because`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Saturated => "one of them has as many budgets as the law has parameters",
            Self::Misfit => "the law does not describe the runs of one of them",
            Self::OneSize => {
                "the runs of one of them are all of one model size, which says nothing of scale"
            }
            Self::NoInterval => "one of them leaves nothing to judge by",
            Self::TooSure => "the interval of one of them is narrower than its bootstrap allows",
            Self::NoCommonCompute => "they share no range of compute",
            Self::NoCommonLoss => "they share no range of losses",
        }
    }
}

/// One comparison of two slopes, in nats per doubling of compute.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Slopes {
    /// The compute, or the loss, at which they are compared.
    pub at: f64,
    /// What a doubling buys each group there.
    pub nats_per_doubling: [f64; 2],
    /// Chance of figures so far apart, were they the same.
    pub p: f64,
}

impl Slopes {
    fn verdict(&self) -> Verdict {
        if self.nats_per_doubling[0] > self.nats_per_doubling[1] {
            Verdict::First
        } else {
            Verdict::Second
        }
    }
}

/// Whether two groups can be ranked by what they gain from scale.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranking {
    /// The groups.
    pub groups: [String; 2],
    /// What can be said after Holm's correction over all pairs.
    pub verdict: Verdict,
    /// Why nothing can be said whatever the figures are.
    pub unranked: Option<Unranked>,
    /// The largest p of the tests that must all hold; absent where nothing was tested.
    pub p: Option<f64>,
    /// The same after Holm's correction over all pairs.
    pub p_holm: Option<f64>,
    /// At the lowest compute that both ran, the middle and the highest.
    pub at_equal_compute: Vec<Slopes>,
    /// At the highest loss that both have, the middle and the lowest.
    pub at_equal_loss: Vec<Slopes>,
    /// The compute at which a doubling is worth the same to both, by the fits, where that lies among the runs and both sides of
    /// it are told.
    pub crossing_flops: Option<f64>,
    /// The compute at which both have the same loss, by the fits, where that lies among the runs.
    pub same_loss_at_flops: Option<f64>,
    /// The exponent of the first term, `a` or `alpha`, that the claims are about.
    pub parameter: &'static str,
    /// The exponents with each group's E free.
    pub exponents: [f64; 2],
    /// Their intervals.
    pub bounds: [Option<Bounds>; 2],
    /// What the exponents would claim with E as it was assumed or known; absent where it was free.
    pub with_e_held: Option<Verdict>,
    /// What each E would have claimed of the exponents; empty where many pairs are compared.
    pub claims: Vec<Claim>,
}

/// How two groups are compared.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The E that the fits hold, where they do.
    pub held_at: Option<f64>,
    /// Whether that E is known, not assumed: then the slopes are those of the fits as they are.
    pub known: bool,
    /// Whether to say what each E would claim.
    pub claims: bool,
}

/// Compares two groups; [`settle`] then gives the verdicts of all pairs.
pub fn rank(pair: [&Fitting; 2], terms: Terms) -> Ranking {
    let free = pair.map(freed);
    let index = 1;
    let bounds_of = |k: usize| {
        let inquiry = Inquiry::new(&pair[k].surface, free[k], &[], &pair[k].series).ok()?;
        Some(inquiry.bounds(index))
    };
    let lowest = lowest_of(pair[0]).min(lowest_of(pair[1]));
    let claims = if terms.claims {
        tried(pair, &free, lowest)
            .iter()
            .map(|&e| claim(pair, &free, index, e))
            .collect()
    } else {
        Vec::new()
    };
    let mut ranking = Ranking {
        groups: pair.map(|fitting| {
            fitting
                .points
                .first()
                .map_or(String::new(), |point| point.group.clone())
        }),
        verdict: Verdict::CannotTell,
        unranked: None,
        p: None,
        p_holm: None,
        at_equal_compute: Vec::new(),
        at_equal_loss: Vec::new(),
        crossing_flops: None,
        same_loss_at_flops: None,
        parameter: pair[0].law.terms[0].exponent,
        exponents: [0, 1].map(|k| free[k].theta[index]),
        bounds: [bounds_of(0), bounds_of(1)],
        with_e_held: terms.held_at.map(|e| claim(pair, &free, index, e).verdict),
        claims,
    };
    let as_judged: Vec<Fitting> = [0, 1]
        .map(|k| judged(pair[k], free[k], terms))
        .into_iter()
        .collect();
    ranking.unranked = compare([&as_judged[0], &as_judged[1]], &mut ranking).err();
    ranking
}

/// With an assumed E a claim must hold with E free.
fn judged(fitting: &Fitting, free: Fitted, terms: Terms) -> Fitting {
    if terms.known || fitting.held.is_empty() {
        return fitting.clone();
    }
    Fitting {
        end: free,
        held: Vec::new(),
        draws: Vec::new(),
        ..fitting.clone()
    }
}

/// Verdicts of all pairs, after Holm's correction over those that were tested.
pub fn settle(rankings: &mut [Ranking]) {
    let p: Vec<f64> = rankings.iter().filter_map(|ranking| ranking.p).collect();
    let mut adjusted = holm(&p).into_iter();
    for ranking in rankings.iter_mut().filter(|ranking| ranking.p.is_some()) {
        ranking.p_holm = adjusted.next();
        match ranking.p_holm.is_some_and(|p| p < 1.0 - LEVEL) {
            true if ranking.crossing_flops.is_none() => {
                ranking.verdict = ranking
                    .at_equal_compute
                    .first()
                    .map_or(Verdict::CannotTell, Slopes::verdict);
            }
            true => {}
            false => ranking.crossing_flops = None,
        }
    }
}

fn compare(pair: [&Fitting; 2], ranking: &mut Ranking) -> Result<(), Unranked> {
    pair.iter().try_for_each(|fitting| fit_to_rank(fitting))?;
    let [one, other] = pair.map(Fitting::flops);
    let common = [one[0].max(other[0]), one[1].min(other[1])];
    if common[0] >= common[1] {
        return Err(Unranked::NoCommonCompute);
    }
    let at = |flops: f64| {
        compared(pair, flops, |fitting, theta| {
            fitting.ln_doubling(theta, flops)
        })
    };
    ranking.at_equal_compute = places(common)
        .into_iter()
        .map(at)
        .collect::<Option<_>>()
        .ok_or(Unranked::NoInterval)?;
    ranking.same_loss_at_flops = crossing(common, |flops| {
        pair[0].loss_along(&pair[0].theta(), flops) - pair[1].loss_along(&pair[1].theta(), flops)
    });
    let ends = [
        &ranking.at_equal_compute[0],
        &ranking.at_equal_compute[PLACES - 1],
    ];
    if ends[0].verdict() != ends[1].verdict() {
        ranking.crossing_flops = crossing(common, |flops| {
            pair[0].ln_doubling(&pair[0].theta(), flops)
                - pair[1].ln_doubling(&pair[1].theta(), flops)
        });
        ranking.p = Some(ends[0].p.max(ends[1].p));
        return Ok(());
    }
    let losses =
        |k: usize| pair.map(|fitting| fitting.loss_along(&fitting.theta(), fitting.flops()[k]));
    let (highest, lowest) = (
        losses(0)[0].min(losses(0)[1]),
        losses(1)[0].max(losses(1)[1]),
    );
    if lowest >= highest {
        return Err(Unranked::NoCommonLoss);
    }
    let at = |loss: f64| {
        compared(pair, loss, |fitting, theta| {
            ln_slope_at(fitting, theta, loss)
        })
    };
    ranking.at_equal_loss = places([highest, lowest])
        .into_iter()
        .map(at)
        .collect::<Option<_>>()
        .ok_or(Unranked::NoInterval)?;
    let all = ranking
        .at_equal_compute
        .iter()
        .chain(&ranking.at_equal_loss);
    let one_way = all
        .clone()
        .all(|slopes| slopes.verdict() == ends[0].verdict());
    ranking.p = Some(if one_way {
        all.map(|slopes| slopes.p).fold(0.0, f64::max)
    } else {
        1.0
    });
    Ok(())
}

/// ln of the nats per doubling where the loss is `loss`: a (L - E) ln 2.
fn ln_slope_at(fitting: &Fitting, theta: &Theta, loss: f64) -> f64 {
    let law = fitting.frontier_of(theta);
    (law.exponent * (loss - law.irreducible) * std::f64::consts::LN_2).ln()
}

/// From one end to the other, equally far apart in logarithms.
fn places([from, to]: [f64; 2]) -> Vec<f64> {
    (0..PLACES)
        .map(|k| from * (to / from).powf(k as f64 / (PLACES - 1) as f64))
        .collect()
}

/// Where a function of compute changes its sign between two ends.
fn crossing([mut low, mut high]: [f64; 2], of: impl Fn(f64) -> f64) -> Option<f64> {
    if of(low) * of(high) >= 0.0 {
        return None;
    }
    for _ in 0..60 {
        let middle = (low * high).sqrt();
        if of(low) * of(middle) <= 0.0 {
            high = middle
        } else {
            low = middle
        }
    }
    Some((low * high).sqrt())
}

fn fit_to_rank(fitting: &Fitting) -> Result<(), Unranked> {
    if !fitting.tests_form() {
        return Err(Unranked::Saturated);
    }
    if misfit::misfit(fitting)
        .as_ref()
        .is_some_and(Misfit::is_clear)
        || fitting.series.alike
    {
        return Err(Unranked::Misfit);
    }
    if fitting
        .points
        .windows(2)
        .all(|pair| pair[0].params.is_some() && pair[0].params == pair[1].params)
    {
        return Err(Unranked::OneSize);
    }
    fitting.inquiry().map_err(|_| Unranked::NoInterval)?;
    let exponents: Vec<f64> = fitting
        .draws
        .iter()
        .map(|theta| fitting.frontier_of(theta).exponent.ln())
        .collect();
    let bounds = fitting.derived(|theta| fitting.frontier_of(theta).exponent.ln());
    let sure = bounds
        .zip(sd(&exponents))
        .is_some_and(|(bounds, sd)| 0.5 * (bounds.high - bounds.low) < sd);
    if sure { Err(Unranked::TooSure) } else { Ok(()) }
}

/// Sets the logarithms of one figure of two groups against each other; `None` where one has nothing to judge by.
fn compared(
    pair: [&Fitting; 2],
    at: f64,
    figure: impl Fn(&Fitting, &Theta) -> f64,
) -> Option<Slopes> {
    let values = pair.map(|fitting| figure(fitting, &fitting.theta()));
    let path = |k: usize| -> Option<Vec<Held>> {
        let (from, to) = (values[k], values[1 - k]);
        let targets: Vec<f64> = (1..=STEPS + 1)
            .map(|step| from + (to - from) * step as f64 / STEPS as f64)
            .collect();
        Some(
            pair[k]
                .inquiry()
                .ok()?
                .path(&|theta| figure(pair[k], theta), LEAP, &targets),
        )
    };
    let paths = [path(0)?, path(1)?];
    let nats_per_doubling = values.map(f64::exp);
    if values.iter().any(|value| !value.is_finite()) {
        return Some(Slopes {
            at,
            nats_per_doubling,
            p: 1.0,
        });
    }
    let risen = |k: usize, value: f64| rise(values[k], &paths[k], value);
    let sum = |value: f64| risen(0, value).powi(2) + risen(1, value).powi(2);
    let grid =
        (0..=FINE).map(|step| values[0] + (values[1] - values[0]) * step as f64 / FINE as f64);
    let least = grid.min_by(|a, b| sum(*a).total_cmp(&sum(*b)))?;
    let freedom = [0, 1].map(|k| {
        paths[k]
            .iter()
            .map(|held| held.freedom)
            .fold(f64::INFINITY, f64::min)
    });
    let variance = [0, 1].map(|k| ((values[k] - least) / risen(k, least)).powi(2));
    let parts = (0..2)
        .map(|k| variance[k].powi(2) / freedom[k])
        .sum::<f64>();
    let welch = (variance[0] + variance[1]).powi(2) / parts;
    let freedom = if welch.is_finite() {
        welch
    } else {
        freedom[0].min(freedom[1])
    };
    let p = Shift {
        value: sum(least).sqrt(),
        se: 1.0,
        freedom,
    }
    .p();
    Some(Slopes {
        at,
        nats_per_doubling,
        p,
    })
}

/// The statistic at a value, between the fit, where it is nothing, and the points of a path; beyond them by the last chord.
fn rise(from: f64, path: &[Held], value: f64) -> f64 {
    let far = |to: f64| (to - from).abs();
    let mut last = (0.0, 0.0);
    let mut slope = 0.0;
    for held in path.iter().filter(|held| held.value.is_finite()) {
        let (distance, statistic) = (far(held.value), held.statistic);
        if distance <= last.0 {
            continue;
        }
        slope = (statistic - last.1) / (distance - last.0);
        if distance >= far(value) {
            break;
        }
        last = (distance, statistic);
    }
    (last.1 + slope * (far(value) - last.0)).max(0.0)
}
