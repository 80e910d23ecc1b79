//! Ratios of two arms' costs over their seeds, where some runs are only bounded.
//!
//! Logarithms are subtracted seed by seed where both arms ran the same seeds, else mean from mean (Welch). A run that did not reach
//! its target costs at least what it spent: with that standing in, the mean errs to a known side, and what is told is the end of a
//! one-sided 95% interval on that side, never the mean itself.

use serde::Serialize;

use crate::stat::interval::{Interval, LEVEL, critical};
use crate::stat::mean;
use crate::stat::student::{Shift, paired, welch};

/// The cost of one run: its logarithm, and on which side of it the truth may lie.
#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    /// What tells seeds apart; `None` where nobody knows the seed.
    pub seed: Option<(u64, u64, u64)>,
    /// Logarithm of the cost.
    pub log: f64,
    /// How it is to be read.
    pub bound: Bound,
}

/// How a cost is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// As it stands.
    Exact,
    /// It is more: the run ended before.
    More,
    /// It is this or less: the first evaluation was there already.
    Less,
}

impl Side {
    /// Whether the run ended before its target.
    pub fn is_beyond(&self) -> bool {
        self.bound == Bound::More
    }
}

/// How many times as much the base spends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ratio {
    /// Every run of both arms reached the target.
    Known {
        /// Geometric mean.
        value: f64,
        /// 95%; absent where an arm has one run.
        interval: Option<Interval>,
        /// Pairs, or runs of the smaller arm.
        n: usize,
        /// Whether seeds are paired.
        paired: bool,
    },
    /// Runs of the base did not reach it: at least this.
    MoreThan {
        /// Lower end of a one-sided 95% interval; of one run an arm the bound itself.
        bound: f64,
        /// Pairs or runs that are bounds.
        bounded: usize,
        /// Pairs, or runs of the smaller arm.
        n: usize,
    },
    /// Runs of the variant did not reach it: at most this.
    LessThan {
        /// Upper end of a one-sided 95% interval; of one run an arm the bound itself.
        bound: f64,
        /// Pairs or runs that are bounds.
        bounded: usize,
        /// Pairs, or runs of the smaller arm.
        n: usize,
    },
    /// Bounds on both sides: runs of both arms did not reach it.
    Unknown {
        /// Pairs, or runs of the smaller arm.
        n: usize,
    },
}

impl Ratio {
    /// The ratio, or the bound that stands for it.
    pub fn value(&self) -> Option<f64> {
        match *self {
            Self::Known { value, .. } => Some(value),
            Self::MoreThan { bound, .. } | Self::LessThan { bound, .. } => Some(bound),
            Self::Unknown { .. } => None,
        }
    }
}

/// The logarithms of both arms as they are to be subtracted.
enum Matched {
    /// Differences, each with its reading.
    Pairs(Vec<(f64, Bound)>),
    /// Both arms.
    Apart([Vec<(f64, Bound)>; 2]),
}

/// Pairs where all seeds of the smaller arm, at least two, are known and the other arm has them too.
fn matched(base: &[Side], variant: &[Side]) -> Matched {
    let partner = |side: &Side, others: &[Side]| {
        let of = |other: &&Side| side.seed.is_some() && other.seed == side.seed;
        others.iter().find(of).map(|other| (other.log, other.bound))
    };
    let swap = base.len() < variant.len();
    let (few, many) = if swap {
        (base, variant)
    } else {
        (variant, base)
    };
    let pairs: Option<Vec<((f64, Bound), (f64, Bound))>> = few
        .iter()
        .map(|side| Some(((side.log, side.bound), partner(side, many)?)))
        .collect();
    match pairs.filter(|pairs| pairs.len() > 1) {
        Some(pairs) => Matched::Pairs(
            pairs
                .into_iter()
                .map(|(few, many)| {
                    if swap {
                        minus(few, many)
                    } else {
                        minus(many, few)
                    }
                })
                .collect(),
        ),
        None => Matched::Apart(
            [base, variant].map(|arm| arm.iter().map(|side| (side.log, side.bound)).collect()),
        ),
    }
}

/// A base's cost less a variant's; bounds that oppose each other leave nothing known, which is read as both.
fn minus(base: (f64, Bound), variant: (f64, Bound)) -> (f64, Bound) {
    let flipped = match variant.1 {
        Bound::Exact => Bound::Exact,
        Bound::More => Bound::Less,
        Bound::Less => Bound::More,
    };
    let bound = match (base.1, flipped) {
        (a, Bound::Exact) => a,
        (Bound::Exact, b) => b,
        (a, b) if a == b => a,
        _ => return (f64::NAN, Bound::Exact),
    };
    (base.0 - variant.0, bound)
}

/// The mean difference of the logarithms with all that is only a bound standing in, how it is to be read, how many are bounds,
/// and how many pairs or runs there are.
struct Judged {
    value: f64,
    shift: Option<Shift>,
    bound: Option<Bound>,
    bounded: usize,
    n: usize,
    paired: bool,
}

/// `None` where bounds oppose one another.
fn judged(base: &[Side], variant: &[Side]) -> Option<Judged> {
    let (value, shift, readings, n, is_paired) = match matched(base, variant) {
        Matched::Pairs(pairs) => {
            let logs: Vec<f64> = pairs.iter().map(|pair| pair.0).collect();
            let readings: Vec<Bound> = pairs.iter().map(|pair| pair.1).collect();
            (mean(&logs)?, paired(&logs), readings, pairs.len(), true)
        }
        Matched::Apart([of_base, of_variant]) => {
            let logs = |arm: &[(f64, Bound)]| arm.iter().map(|one| one.0).collect::<Vec<f64>>();
            let (a, b) = (logs(&of_variant), logs(&of_base));
            let none = (0.0, Bound::Exact);
            let readings = of_base.iter().map(|one| minus(*one, none).1);
            let readings = readings
                .chain(of_variant.iter().map(|one| minus(none, *one).1))
                .collect();
            (
                mean(&b)? - mean(&a)?,
                welch(&a, &b),
                readings,
                a.len().min(b.len()),
                false,
            )
        }
    };
    let any = |wanted: Bound| readings.contains(&wanted);
    if !value.is_finite() || (any(Bound::More) && any(Bound::Less)) {
        return None;
    }
    let bound = readings
        .iter()
        .copied()
        .find(|bound| *bound != Bound::Exact);
    let bounded = readings
        .iter()
        .filter(|bound| **bound != Bound::Exact)
        .count();
    Some(Judged {
        value,
        shift,
        bound,
        bounded,
        n,
        paired: is_paired,
    })
}

/// The base's costs over the variant's.
pub fn ratio(base: &[Side], variant: &[Side]) -> Ratio {
    let Some(judged) = judged(base, variant) else {
        return Ratio::Unknown {
            n: base.len().min(variant.len()),
        };
    };
    let Judged {
        value,
        shift,
        bound,
        bounded,
        n,
        paired,
    } = judged;
    // A one-sided level is the end of a two-sided interval with twice the rest outside.
    let half = shift
        .and_then(|shift| Some(critical(shift.freedom, 2.0 * LEVEL - 1.0)? * shift.se))
        .unwrap_or(0.0);
    match bound {
        None => {
            let interval = shift.map(|shift| shift.interval(LEVEL));
            let interval = interval.map(|i| Interval {
                low: i.low.exp(),
                high: i.high.exp(),
                level: LEVEL,
            });
            Ratio::Known {
                value: value.exp(),
                interval,
                n,
                paired,
            }
        }
        Some(Bound::Less) => Ratio::LessThan {
            bound: (value + half).exp(),
            bounded,
            n,
        },
        Some(_) => Ratio::MoreThan {
            bound: (value - half).exp(),
            bounded,
            n,
        },
    }
}

/// The chance of a ratio at least as far above a constant where it is the constant, one-sided; `None` where an arm has one run, or
/// where bounds could hide the answer: costs of the base that are more only make the test harder to pass, not easier.
pub fn p_against(base: &[Side], variant: &[Side], constant: f64) -> Option<f64> {
    let judged = judged(base, variant)?;
    let shift = judged.shift.filter(|_| judged.bound != Some(Bound::Less))?;
    let away = Shift {
        value: shift.value - constant.ln(),
        ..shift
    };
    let half = 0.5 * away.p();
    Some(if away.value > 0.0 { half } else { 1.0 - half })
}

/// The base's losses less the variant's, with a 95% interval.
pub fn difference(base: &[Side], variant: &[Side]) -> Option<(f64, Option<[f64; 2]>)> {
    let judged = judged(base, variant)?;
    let interval = judged.shift.map(|shift| shift.interval(LEVEL));
    Some((judged.value, interval.map(|i| [i.low, i.high])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sides(logs: &[(u64, f64, Bound)], known: bool) -> Vec<Side> {
        logs.iter()
            .map(|(seed, log, bound)| Side {
                seed: known.then_some((*seed, 0, 0)),
                log: *log,
                bound: *bound,
            })
            .collect()
    }

    fn exact(logs: &[f64], known: bool) -> Vec<Side> {
        let rows: Vec<(u64, f64, Bound)> = logs
            .iter()
            .enumerate()
            .map(|(k, x)| (k as u64, *x, Bound::Exact))
            .collect();
        sides(&rows, known)
    }

    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-9,
            "{found} against {expected}"
        );
    }

    const BASE: [f64; 4] = [8.52, 8.47, 8.55, 8.50];
    const VARIANT: [f64; 4] = [8.21, 8.19, 8.26, 8.17];

    /// Of SciPy 1.17's `scipy.stats`.
    #[test]
    fn known_ratios_agree_with_scipy() {
        for (known, low, high) in [(true, PAIRED[0], PAIRED[1]), (false, WELCH[0], WELCH[1])] {
            let found = ratio(&exact(&BASE, known), &exact(&VARIANT, known));
            let Ratio::Known {
                value,
                interval: Some(interval),
                n: 4,
                paired,
            } = found
            else {
                panic!("{found:?}")
            };
            assert_eq!(paired, known);
            close(value.ln(), 0.3025);
            close(interval.low.ln(), low);
            close(interval.high.ln(), high);
        }
        let p = p_against(&exact(&BASE, true), &exact(&VARIANT, true), 1.3).unwrap();
        close(p, AGAINST);
        assert_eq!(
            p_against(&exact(&BASE[..1], true), &exact(&VARIANT[..1], true), 1.3),
            None
        );
    }

    /// `ttest_rel(b, v).confidence_interval()`.
    const PAIRED: [f64; 2] = [0.2672169214106943, 0.3377830785893061];
    /// `ttest_ind(b, v, equal_var=False).confidence_interval()`.
    const WELCH: [f64; 2] = [0.23953230192822517, 0.3654676980717788];
    /// `ttest_1samp(b - v - log(1.3), 0, alternative="greater").pvalue`.
    const AGAINST: f64 = 0.018121862246261135;

    /// A run that did not get there bounds the ratio from its own side, and is never dropped.
    #[test]
    fn bounds_stay_bounds() {
        use Bound::{Exact, Less, More};
        let base = |bound| sides(&[(0, 8.5, bound), (1, 8.6, Exact)], true);
        let rows = [
            (base(More), base(Exact), "more"),
            (base(Exact), base(More), "less"),
            (base(Less), base(Exact), "less"),
            (base(Exact), base(Less), "more"),
            (base(More), base(More), "unknown"),
            (
                sides(&[(0, 8.5, More), (1, 8.6, Exact)], true),
                sides(&[(0, 8.5, Exact), (1, 8.6, More)], true),
                "unknown",
            ),
            (
                sides(&[(0, 8.5, More)], false),
                exact(&[8.0], false),
                "more",
            ),
        ];
        for (base, variant, expected) in rows {
            let found = ratio(&base, &variant);
            let kind = serde_json::to_value(found).unwrap()["kind"]
                .as_str()
                .unwrap()
                .to_owned();
            let told = match kind.as_str() {
                "more_than" => "more",
                "less_than" => "less",
                other => other,
            };
            assert_eq!(told, expected, "{found:?}");
        }
        // Of one run an arm the bound is what was run; of several it is what 95% of such samples stay above.
        assert_eq!(
            ratio(&sides(&[(0, 2.0, More)], false), &exact(&[1.5], false)),
            Ratio::MoreThan {
                bound: 0.5_f64.exp(),
                bounded: 1,
                n: 1
            }
        );
        let found = ratio(
            &sides(&[(0, 2.0, More), (1, 2.1, Exact), (2, 2.2, Exact)], true),
            &exact(&[1.5; 3], true),
        );
        let Ratio::MoreThan {
            bound,
            bounded: 1,
            n: 3,
        } = found
        else {
            panic!("{found:?}")
        };
        // scipy.stats.t.ppf(0.95, 2) * 0.1 / sqrt(3) below the mean of 0.6.
        close(bound.ln(), 0.6 - 2.919985580353726 * 0.1 / 3.0_f64.sqrt());
    }

    /// Seeds pair whatever their order; one that has no partner leaves both arms as they are.
    #[test]
    fn only_the_same_seeds_pair() {
        let base = sides(
            &[
                (7, 2.0, Bound::Exact),
                (8, 3.0, Bound::Exact),
                (9, 4.0, Bound::Exact),
            ],
            true,
        );
        let same = sides(&[(9, 3.0, Bound::Exact), (7, 1.0, Bound::Exact)], true);
        let Ratio::Known {
            value,
            n: 2,
            paired: true,
            interval,
        } = ratio(&base, &same)
        else {
            panic!()
        };
        close(value.ln(), 1.0);
        assert_eq!(
            interval.map(|i| (i.low, i.high)),
            Some((1.0_f64.exp(), 1.0_f64.exp())),
            "no spread between pairs"
        );
        let other = sides(&[(9, 3.0, Bound::Exact), (5, 1.0, Bound::Exact)], true);
        assert!(matches!(
            ratio(&base, &other),
            Ratio::Known {
                paired: false,
                n: 2,
                ..
            }
        ));
        let blind = sides(&[(9, 3.0, Bound::Exact), (7, 1.0, Bound::Exact)], false);
        assert!(matches!(
            ratio(&base, &blind),
            Ratio::Known { paired: false, .. }
        ));
    }
}
