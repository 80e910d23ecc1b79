//! What the next doubling of compute buys, where it falls under the luck of one seed, and how much compute alone would need to
//! match another group's loss. All of it along the group's best splits, where L - E = k C^-c.

use serde::Serialize;

use super::allocation::frontier;
use super::fitting::Fitting;
use super::interval::Bounds;
use super::surface::{IRREDUCIBLE, Theta};
use crate::stat::Interval;

/// Diminishing returns of one group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Returns {
    /// At the largest compute seen ...
    pub flops: f64,
    /// ... a doubling lowers the loss by this much.
    pub doubling_nats: f64,
    /// Of that, by its own profile; absent where the data do not bound it on both sides.
    pub doubling_interval: Option<Interval>,
    /// Standard deviation between runs of one cell; absent where none is repeated: what the law misses is no luck.
    pub seed_sd_nats: Option<f64>,
    /// Above this compute a doubling buys less than one run's standard deviation.
    pub lost_in_noise_above_flops: Option<f64>,
    /// Whether that lies beyond every run.
    pub extrapolated: bool,
}

impl Fitting {
    /// ln of the nats that a doubling from `flops` buys along the best splits.
    pub(super) fn ln_doubling(&self, theta: &Theta, flops: f64) -> f64 {
        let (ln_k, c) = frontier(theta, self.surface.terms, self.per());
        ln_k - c * flops.ln() + (1.0 - (-c).exp2()).ln()
    }

    /// The loss at `flops` along the best splits.
    pub(super) fn loss_along(&self, theta: &Theta, flops: f64) -> f64 {
        let (ln_k, c) = frontier(theta, self.surface.terms, self.per());
        theta[IRREDUCIBLE].exp() + (ln_k - c * flops.ln()).exp()
    }

    /// ln of the compute at which a loss is reached along the best splits; infinite where it never is.
    fn ln_compute(&self, theta: &Theta, loss: f64) -> f64 {
        let (ln_k, c) = frontier(theta, self.surface.terms, self.per());
        let excess = loss - theta[IRREDUCIBLE].exp();
        if excess > 0.0 {
            (ln_k - excess.ln()) / c
        } else {
            f64::INFINITY
        }
    }
}

fn turned_back(logs: Interval) -> Interval {
    Interval {
        low: logs.low.exp(),
        high: logs.high.exp(),
        ..logs
    }
}

/// The returns at a group's largest compute; `None` where its loss does not fall.
pub fn returns(fitting: &Fitting) -> Option<Returns> {
    let theta = fitting.theta();
    let flops = fitting.largest_flops();
    let now = fitting.ln_doubling(&theta, flops);
    let (_, c) = frontier(&theta, fitting.surface.terms, fitting.per());
    if !now.is_finite() || c <= 0.0 {
        return None;
    }
    let seed = fitting.seed_sd();
    let lost = seed
        .map(|sd| (flops.ln() + (now - sd.ln()) / c).exp())
        .filter(|flops| flops.is_finite());
    Some(Returns {
        flops,
        doubling_nats: now.exp(),
        doubling_interval: fitting
            .derived(|theta| fitting.ln_doubling(theta, flops))
            .map(turned_back),
        seed_sd_nats: seed,
        lost_in_noise_above_flops: lost,
        extrapolated: lost.is_some_and(|lost| lost > flops),
    })
}

/// The compute that a group needs for another's loss.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Match {
    /// Needs more.
    pub behind: String,
    /// Needs less.
    pub ahead: String,
    /// What the one ahead spends: the largest compute that both have seen.
    pub flops: f64,
    /// The loss to match, by its law.
    pub loss: f64,
    /// How many times that compute the one behind needs; absent where its E is above that loss.
    pub times: Option<f64>,
    /// Of that; absent where the data do not bound it on both sides.
    pub interval: Option<Interval>,
    /// Whether that is more compute than the one behind was ever given.
    pub extrapolated: bool,
}

/// Which of two groups is behind at the largest compute both have seen, and by how much compute.
pub fn matching(one: &Fitting, other: &Fitting) -> Match {
    let flops = one.largest_flops().min(other.largest_flops());
    let at = |fitting: &Fitting| fitting.loss_along(&fitting.theta(), flops);
    let (behind, ahead) = if at(one) >= at(other) {
        (one, other)
    } else {
        (other, one)
    };
    let loss = at(ahead);
    let value = behind.ln_compute(&behind.theta(), loss) - flops.ln();
    let group = |fitting: &Fitting| {
        fitting
            .points
            .first()
            .map_or(String::new(), |point| point.group.clone())
    };
    Match {
        behind: group(behind),
        ahead: group(ahead),
        flops,
        loss,
        times: value.is_finite().then(|| value.exp()),
        interval: times_bounds(behind, ahead, flops)
            .and_then(|bounds| bounds.interval())
            .map(turned_back),
        extrapolated: value + flops.ln() > behind.largest_flops().ln() + 1e-9,
    }
}

/// ln of the times: how far the loss of the one ahead may be off, carried through the curve of the one behind, and how far that
/// curve may be off, each by its own profile, put together by the square root of squares on each side (MOVER, Zou and Donner
/// 2008, Statistics in Medicine 27). Luck that two groups share through their seeds makes it wider than need be.
fn times_bounds(behind: &Fitting, ahead: &Fitting, flops: f64) -> Option<Bounds> {
    let loss = ahead.loss_along(&ahead.theta(), flops);
    let needed = |loss: f64| behind.ln_compute(&behind.theta(), loss) - flops.ln();
    let value = needed(loss);
    let of_loss = ahead
        .bounds_of(|theta| ahead.loss_along(theta, flops).ln())?
        .map(f64::exp);
    let of_curve = behind.bounds_of(|theta| behind.ln_compute(theta, loss) - flops.ln())?;
    let together = |a: f64, b: f64| Some(a.hypot(b)).filter(|distance| distance.is_finite());
    let low = of_curve
        .low
        .zip(of_loss.high)
        .and_then(|(low, loss)| together(value - low, value - needed(loss)));
    let high = of_curve
        .high
        .zip(of_loss.low)
        .and_then(|(high, loss)| together(high - value, needed(loss) - value));
    Some(Bounds::around(
        value,
        low.map(|by| value - by),
        high.map(|by| value + by),
    ))
}
