//! What the next doubling of compute buys, where it falls under the luck of one seed, and how much compute alone would need to
//! match another group's loss. All of it along the group's best splits, where L - E = k C^-c.

use serde::Serialize;

use super::allocation::frontier;
use super::fitting::Fitting;
use super::surface::{IRREDUCIBLE, Theta};
use crate::stat::Interval;

/// Diminishing returns of one group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Returns {
    /// At the largest compute seen ...
    pub flops: f64,
    /// ... a doubling lowers the loss by this much.
    pub doubling_nats: f64,
    /// Of that.
    pub doubling_interval: Option<Interval>,
    /// Standard deviation of one run.
    pub seed_sd_nats: Option<f64>,
    /// Where that is from.
    pub seed_sd_source: Option<&'static str>,
    /// Above this compute a doubling buys less than one run's standard deviation.
    pub lost_in_noise_above_flops: Option<f64>,
    /// Whether that lies beyond every run.
    pub extrapolated: bool,
}

/// ln of what a doubling at `ln_flops` buys.
fn ln_doubling(theta: &Theta, terms: usize, ln_flops: f64) -> f64 {
    let (ln_k, c) = frontier(theta, terms);
    ln_k - c * ln_flops + (1.0 - (-c).exp2()).ln()
}

/// The returns at a group's largest compute; `None` where its loss does not fall.
pub fn returns(fitting: &Fitting) -> Option<Returns> {
    let (theta, terms) = (fitting.theta(), fitting.surface.terms);
    let flops = fitting.largest_flops();
    let now = ln_doubling(&theta, terms, flops.ln());
    let (_, c) = frontier(&theta, terms);
    if !now.is_finite() || c <= 0.0 {
        return None;
    }
    let logs = fitting.derived(|theta| ln_doubling(theta, terms, flops.ln()));
    let seed = fitting.seed_sd();
    let lost = seed.filter(|(sd, _)| *sd > 0.0).map(|(sd, _)| (flops.ln() + (now - sd.ln()) / c).exp());
    Some(Returns {
        flops,
        doubling_nats: now.exp(),
        doubling_interval: logs.map(|i| Interval { low: i.low.exp(), high: i.high.exp(), ..i }),
        seed_sd_nats: seed.map(|(sd, _)| sd),
        seed_sd_source: seed.map(|(_, source)| source),
        lost_in_noise_above_flops: lost.filter(|flops| flops.is_finite()),
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
    /// Of that.
    pub interval: Option<Interval>,
    /// Whether that is more compute than the one behind was ever given.
    pub extrapolated: bool,
}

/// ln of the compute at which a law reaches a loss; infinite where it never does.
fn ln_compute(theta: &Theta, terms: usize, loss: f64) -> f64 {
    let (ln_k, c) = frontier(theta, terms);
    let excess = loss - theta[IRREDUCIBLE].exp();
    if excess > 0.0 { (ln_k - excess.ln()) / c } else { f64::INFINITY }
}

fn loss_at(theta: &Theta, terms: usize, ln_flops: f64) -> f64 {
    let (ln_k, c) = frontier(theta, terms);
    theta[IRREDUCIBLE].exp() + (ln_k - c * ln_flops).exp()
}

/// Which of two groups is behind at the largest compute both have seen, and by how much compute.
pub fn matching(one: &Fitting, other: &Fitting) -> Match {
    let terms = one.surface.terms;
    let flops = one.largest_flops().min(other.largest_flops());
    let at = |fitting: &Fitting| loss_at(&fitting.theta(), terms, flops.ln());
    let (behind, ahead) = if at(one) >= at(other) { (one, other) } else { (other, one) };
    let ln_times =
        |behind: &Theta, ahead: &Theta| ln_compute(behind, terms, loss_at(ahead, terms, flops.ln())) - flops.ln();
    let value = ln_times(&behind.theta(), &ahead.theta());
    // Draw k resampled the same repeats in both groups.
    let drawn: Vec<f64> = behind.draws.iter().zip(&ahead.draws).map(|(b, a)| ln_times(b, a)).collect();
    let logs = behind.around(value, &drawn);
    let group = |fitting: &Fitting| fitting.points.first().map_or(String::new(), |point| point.group.clone());
    Match {
        behind: group(behind),
        ahead: group(ahead),
        flops,
        loss: at(ahead),
        times: value.is_finite().then(|| value.exp()),
        interval: logs.map(|i| Interval { low: i.low.exp(), high: i.high.exp(), ..i }),
        extrapolated: value + flops.ln() > behind.largest_flops().ln() + 1e-9,
    }
}
