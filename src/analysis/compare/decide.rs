//! From a change to a verdict: a test says whether there is one, a margin whether it matters.
//!
//! - *Regressed*: the adjusted test excludes no change and the point is worse than the margin; *improved* likewise. Asking for
//!   the whole interval beyond the margin would miss almost everything of practical size at five repeats.
//! - *Equivalent*: the 90% interval lies within the margin as asked (two one-sided tests of 5%), or every value is the same bit by
//!   bit. A margin that noise has widened condemns less, and does not make more the same.
//! - *Cannot tell*: everything else, below three trials always, and where the exact test disagrees.
//!
//! Two sessions drift apart by themselves. Between them the whole interval must lie beyond a margin that is as wide as the
//! drift, and what lies within is never called equivalent: nobody can know.

use super::effect::{ALPHA, Effect, Method};
use super::verdict::Verdict;
use crate::stat::interval::LEVEL;

/// The level of the interval that two one-sided tests at 5% make.
const EQUIVALENCE_LEVEL: f64 = 0.9;

/// Why a verdict is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Every value is the same.
    Identical,
    /// The test tells it and the point is past the margin.
    Told,
    /// The same, with the whole interval past the margin.
    BeyondMargin,
    /// The interval lies within the margin.
    WithinMargin,
    /// Fewer than three.
    TooFew,
    /// The interval reaches too far.
    Wide,
    /// The exact test sees nothing where the t test does.
    TestsDisagree,
    /// The sessions may differ by as much.
    Drift,
    /// A seed that finished does not any more.
    Diverged,
}

/// A verdict with its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What is said.
    pub verdict: Verdict,
    /// Why.
    pub why: Why,
}

/// What a change must pass to matter, on its own scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// To be a change: as asked, or wider by the machine's noise.
    pub change: f64,
    /// To be none: as asked.
    pub same: f64,
}

impl Limits {
    /// The same for both.
    pub fn both(margin: f64) -> Self {
        Self {
            change: margin,
            same: margin,
        }
    }
}

/// Judges a change: `worse` is 1 where more is worse and -1 where less is, `p` is
/// adjusted for everything gated with it, and `drift` says that the sides come from separate sessions of what drifts.
pub fn decide(
    effect: &Effect,
    worse: f64,
    limits: Limits,
    p: Option<f64>,
    drift: bool,
) -> Decision {
    let margin = limits.change;
    let said = |verdict, why| Decision { verdict, why };
    let harm = worse * effect.value;
    let direction = if harm > 0.0 {
        Verdict::Regressed
    } else {
        Verdict::Improved
    };
    if effect.identical {
        return said(Verdict::Equivalent, Why::Identical);
    }
    let Some(p) = p.filter(|_| effect.is_enough()) else {
        return said(Verdict::Inconclusive, Why::TooFew);
    };
    if effect.method == Method::Ranks {
        // A discrete test can never pass a correction over many, and that nothing arrives any more is no luck.
        let told = effect.apart || p <= ALPHA;
        return if told {
            said(direction, Why::Told)
        } else {
            said(Verdict::Inconclusive, Why::Wide)
        };
    }
    let beyond = effect
        .interval(LEVEL)
        .is_some_and(|i| i.low.max(-i.high) > margin);
    if drift {
        let told = p <= ALPHA && beyond;
        return if told {
            said(direction, Why::BeyondMargin)
        } else {
            said(Verdict::Inconclusive, Why::Drift)
        };
    }
    if p <= ALPHA && harm.abs() > margin {
        let agreed = effect.exact_p.is_none_or(|exact| exact <= ALPHA);
        return match (agreed, beyond) {
            (false, _) => said(Verdict::Inconclusive, Why::TestsDisagree),
            (true, true) => said(direction, Why::BeyondMargin),
            (true, false) => said(direction, Why::Told),
        };
    }
    match effect.interval(EQUIVALENCE_LEVEL) {
        Some(i) if i.low >= -limits.same && i.high <= limits.same => {
            said(Verdict::Equivalent, Why::WithinMargin)
        }
        _ => said(Verdict::Inconclusive, Why::Wide),
    }
}

/// Whether a change is at most `margin` worse, for sure: non-inferiority, one-sided at 5%.
pub fn not_worse(effect: &Effect, worse: f64, margin: f64) -> bool {
    let far = effect
        .interval(EQUIVALENCE_LEVEL)
        .map(|i| if worse > 0.0 { i.high } else { -i.low });
    effect.identical || far.is_some_and(|far| effect.is_enough() && far <= margin)
}

#[cfg(test)]
mod tests {
    use super::super::effect::{paired, unpaired};
    use super::super::measure::Scale;
    use super::*;

    /// Pairs around 1 whose second is so many times the first.
    fn pairs(ratios: &[f64]) -> Vec<(f64, f64)> {
        ratios
            .iter()
            .enumerate()
            .map(|(k, ratio)| (1.0 + 0.3 * k as f64, (1.0 + 0.3 * k as f64) * ratio))
            .collect()
    }

    const EVEN: [f64; 5] = [1.12, 1.11, 1.13, 1.12, 1.12];

    /// Ratios, the sign of worse, whether sessions drift, and what follows.
    const VERDICTS: [(&[f64], f64, bool, Verdict, Why); 12] = [
        (&EVEN, 1.0, false, Verdict::Regressed, Why::BeyondMargin),
        (&EVEN, -1.0, false, Verdict::Improved, Why::BeyondMargin),
        (
            &[1.03, 1.01, 1.04, 1.02, 1.03],
            1.0,
            false,
            Verdict::Regressed,
            Why::Told,
        ),
        (
            &[1.001, 0.999, 1.0, 1.002, 0.998],
            1.0,
            false,
            Verdict::Equivalent,
            Why::WithinMargin,
        ),
        (
            &[1.2, 0.9, 1.1, 0.8, 1.0],
            1.0,
            false,
            Verdict::Inconclusive,
            Why::Wide,
        ),
        (
            &[1.012, 1.011, 1.013, 1.012, 1.012],
            1.0,
            false,
            Verdict::Equivalent,
            Why::WithinMargin,
        ),
        (
            &[1.12, 1.12],
            1.0,
            false,
            Verdict::Inconclusive,
            Why::TooFew,
        ),
        (&[1.12], 1.0, false, Verdict::Inconclusive, Why::TooFew),
        (
            &[1.0, 1.0, 1.0],
            1.0,
            true,
            Verdict::Equivalent,
            Why::Identical,
        ),
        (&[1.0], 1.0, false, Verdict::Equivalent, Why::Identical),
        (
            &[1.001, 0.999, 1.0, 1.002, 0.998],
            1.0,
            true,
            Verdict::Inconclusive,
            Why::Drift,
        ),
        (&EVEN, 1.0, true, Verdict::Regressed, Why::BeyondMargin),
    ];

    #[test]
    fn every_verdict_has_its_reason() {
        for (ratios, worse, drift, verdict, why) in VERDICTS {
            let effect = paired(Scale::Ratio, &pairs(ratios)).unwrap();
            let found = decide(
                &effect,
                worse,
                Limits::both(1.02_f64.ln()),
                effect.p(),
                drift,
            );
            assert_eq!(
                found,
                Decision { verdict, why },
                "{ratios:?} {worse} {drift}"
            );
        }
    }

    /// One wild pair moves the mean and not the signs.
    #[test]
    fn a_t_test_alone_does_not_condemn() {
        let mut effect =
            paired(Scale::Ratio, &pairs(&[1.05, 1.06, 1.05, 1.04, 1.05, 1.06])).unwrap();
        assert_eq!(
            decide(&effect, 1.0, Limits::both(0.02), effect.p(), false).verdict,
            Verdict::Regressed
        );
        effect.exact_p = Some(0.06);
        assert_eq!(
            decide(&effect, 1.0, Limits::both(0.02), effect.p(), false).why,
            Why::TestsDisagree
        );
    }

    /// Noise of three percent: a margin as wide condemns nothing below it, and calls nothing the same.
    #[test]
    fn a_widened_margin_makes_nothing_the_same() {
        let effect = paired(Scale::Ratio, &pairs(&[1.03, 0.98, 1.02, 0.97, 1.01])).unwrap();
        let limits = Limits {
            change: 0.2,
            same: 0.01,
        };
        assert_eq!(
            decide(&effect, 1.0, limits, effect.p(), false).verdict,
            Verdict::Inconclusive
        );
        assert_eq!(
            decide(&effect, 1.0, Limits::both(0.2), effect.p(), false).verdict,
            Verdict::Equivalent
        );
    }

    #[test]
    fn not_worse_is_asked_of_one_side_only() {
        let rows = [
            ([2.0, 2.01, 1.99], [2.0, 2.01, 1.99], true),
            ([2.0, 2.01, 1.99], [1.5, 1.51, 1.49], true),
            ([2.0, 2.01, 1.99], [2.1, 2.11, 2.09], false),
            ([2.0, 2.5, 1.5], [2.1, 2.4, 1.4], false),
        ];
        for (base, new, expected) in rows {
            let effect = unpaired(Scale::Difference, &base, &new).unwrap();
            let found = not_worse(&effect, 1.0, 0.03);
            // Three of three are the same bits only where the pairs say so.
            let by_pairs = paired(
                Scale::Difference,
                &std::array::from_fn::<_, 3, _>(|k| (base[k], new[k])),
            )
            .unwrap();
            assert_eq!(
                found || not_worse(&by_pairs, 1.0, 0.03),
                expected,
                "{new:?}"
            );
        }
    }
}
