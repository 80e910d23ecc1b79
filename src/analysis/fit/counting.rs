//! What a parameter and a token cost together in the runs fitted.

use serde::Serialize;

use super::points::Point;

/// FLOPs of a parameter and a token, forward and back (Kaplan et al. 2020, arXiv 2001.08361, section 2.1).
pub(super) const SIX: f64 = 6.0;
/// Further from six, or further spread, is worth a word.
const WORTH_A_WORD: f64 = 0.02;
/// Further from six by this factor, C is in another unit or counts other things.
const FAR: f64 = 1.5;
/// D / N that varies by less than this factor is one ray.
const RAY: f64 = 1.1;

/// What a parameter and a token cost together in the runs fitted: C / (N D).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Counting {
    /// Geometric mean.
    pub per_parameter_and_token: f64,
    /// Smallest and largest.
    pub range: [f64; 2],
    /// Smallest and largest D / N.
    pub tokens_per_parameter: [f64; 2],
}

impl Counting {
    /// Of points that all have N and D.
    pub fn of(points: &[Point]) -> Option<Self> {
        let pairs = points
            .iter()
            .map(|p| Some((p.flops, p.params?, p.tokens?)))
            .collect::<Option<Vec<_>>>()?;
        let logs: Vec<f64> = pairs.iter().map(|(c, n, d)| (c / (n * d)).ln()).collect();
        let range = |logs: &mut dyn Iterator<Item = f64>| {
            let ends = logs.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], x| {
                [low.min(x), high.max(x)]
            });
            ends.map(f64::exp)
        };
        Some(Self {
            per_parameter_and_token: crate::stat::mean(&logs)?.exp(),
            range: range(&mut logs.iter().copied()),
            tokens_per_parameter: range(&mut pairs.iter().map(|(_, n, d)| (d / n).ln())),
        })
    }

    /// Whether C is something else than 6 N D.
    pub fn differs(&self) -> bool {
        let [low, high] = self.range;
        (self.per_parameter_and_token / SIX).ln().abs() > WORTH_A_WORD
            || (high / low).ln() > 2.0 * WORTH_A_WORD
    }

    /// Whether C is far from 6 N D.
    pub fn far(&self) -> bool {
        (self.per_parameter_and_token / SIX).ln().abs() > FAR.ln()
    }

    /// Whether all runs have the same tokens a parameter, so that nothing tells N's share from D's.
    pub fn one_ray(&self) -> bool {
        let [low, high] = self.tokens_per_parameter;
        high / low < RAY
    }
}
