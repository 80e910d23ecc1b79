//! Which of two lines T + Q c lies lower, at which Q, and how surely.

use serde::Serialize;

use crate::stat::interval::LEVEL;
use crate::stat::{Fieller, mean};

/// One of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

impl Side {
    /// The cheaper one, where `difference` is the first's cost less the second's; of equal costs the second.
    fn cheaper(difference: f64) -> Self {
        match difference < 0.0 {
            true => Self::A,
            false => Self::B,
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// 0 or 1.
    pub fn place(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }
}

/// Numbers of requests over which one is known to cost less.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Range {
    /// From so many on.
    pub low: f64,
    /// Up to so many; absent for without end.
    pub high: Option<f64>,
    /// Which.
    pub cheaper: Side,
}

/// Which costs less.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Verdict {
    /// One up to so many requests, the other from there on.
    BreakEven {
        /// Requests.
        at: f64,
        /// At least so many, at 95%; 0 where that one costs less at first is not known.
        low: f64,
        /// At most so many, at 95%; absent where nothing bounds them.
        high: Option<f64>,
        /// Which costs less beyond.
        then: Side,
    },
    /// One at every number of requests, at 95%.
    Dominates {
        /// Which.
        cheaper: Side,
    },
    /// At 95% the data do not say which, or only over a range.
    CannotTell {
        /// Where the means break even, if they do.
        at: Option<f64>,
        /// Where it is known nevertheless.
        known: Option<Range>,
    },
    /// One repeat says this, and nothing says how sure it is.
    Unsure {
        /// Where it breaks even, if it does.
        at: Option<f64>,
        /// Which costs less beyond that, or everywhere.
        then: Side,
    },
    /// Both cost the same in every repeat.
    Same,
}

/// Judges the differences `training` = T_a - T_b and `request` = c_b - c_a, repeat by repeat: `a` is cheaper where T - Q c < 0. `exact`
/// says that they were counted, so that one repeat is enough. `None` without a repeat.
pub(super) fn judge(training: &[f64], request: &[f64], exact: bool) -> Option<Verdict> {
    let (t, c) = (mean(training)?, mean(request)?);
    if training.iter().chain(request).all(|gap| *gap == 0.0) {
        return Some(Verdict::Same);
    }
    let at = Some(t / c).filter(|at| at.is_finite() && *at > 0.0);
    // The slope decides in the end, where there is one.
    let last = |t: f64, c: f64| Side::cheaper(if c == 0.0 { t } else { -c });
    let Some(set) = Fieller::of(training, request, exact, LEVEL) else {
        let then = last(t, c);
        return Some(Verdict::Unsure { at, then });
    };
    let first = Side::cheaper(if t == 0.0 { -c } else { t });
    Some(match set {
        Fieller::Empty => Verdict::Dominates { cheaper: first },
        Fieller::Within(_, high) if high <= 0.0 => Verdict::Dominates {
            cheaper: last(t, c),
        },
        Fieller::Within(low, high) => match at {
            Some(at) => Verdict::BreakEven {
                at,
                low: low.max(0.0),
                high: Some(high).filter(|high| high.is_finite()),
                then: last(t, c),
            },
            None => Verdict::CannotTell {
                at,
                known: high.is_finite().then_some(Range {
                    low: high,
                    high: None,
                    cheaper: last(t, c),
                }),
            },
        },
        Fieller::Outside(low, high) if low < 0.0 && high > 0.0 => match at {
            Some(at) => Verdict::BreakEven {
                at,
                low: high,
                high: None,
                then: last(t, c),
            },
            None => Verdict::CannotTell {
                at,
                known: Some(Range {
                    low: 0.0,
                    high: Some(high),
                    cheaper: first,
                }),
            },
        },
        Fieller::Outside(low, high) if low >= 0.0 => {
            let between = 0.5 * (low + high);
            Verdict::CannotTell {
                at,
                known: Some(Range {
                    low,
                    high: Some(high),
                    cheaper: Side::cheaper(t - between * c),
                }),
            }
        }
        Fieller::Outside(..) | Fieller::All => Verdict::CannotTell { at, known: None },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(training: [f64; 4], request: [f64; 4]) -> Verdict {
        judge(&training, &request, false).unwrap()
    }

    /// What is said to be cheaper at a number of requests is so at 95% by the t interval of the differences there.
    #[test]
    fn what_is_said_at_a_number_of_requests_is_what_the_interval_there_says() {
        let spread = [-0.9, 0.2, 0.4, 0.3];
        let trainings = [8.0, -8.0, 0.3, -0.3, 0.0];
        let requests = [0.8, -0.8, 0.05, -0.05, 0.0];
        for t in trainings {
            for c in requests {
                for (noise_t, noise_c) in [(0.1, 0.01), (1.0, 0.1), (0.1, 0.2), (4.0, 0.01)] {
                    let training = spread.map(|e| t + noise_t * e);
                    let request = [spread[2], spread[0], spread[3], spread[1]];
                    let request = request.map(|e| c + noise_c * e);
                    let verdict = judge(&training, &request, false).unwrap();
                    for q in [0.01, 0.5, 3.0, 9.0, 11.0, 40.0, 1e3, 1e7] {
                        agrees(&verdict, &training, &request, q);
                    }
                }
            }
        }
    }

    fn agrees(verdict: &Verdict, training: &[f64], request: &[f64], q: f64) {
        let gaps: Vec<f64> = training
            .iter()
            .zip(request)
            .map(|(t, c)| t - q * c)
            .collect();
        let around = crate::stat::mean_estimate(&gaps, 0.95).unwrap();
        let around = around.interval.unwrap();
        let told = match around {
            i if i.high < 0.0 => Some(Side::A),
            i if i.low > 0.0 => Some(Side::B),
            _ => None,
        };
        let said = match *verdict {
            Verdict::Dominates { cheaper } => Some(cheaper),
            Verdict::BreakEven { low, .. } if q < low => verdict_first(verdict),
            Verdict::BreakEven {
                high: Some(high),
                then,
                ..
            } if q > high => Some(then),
            Verdict::CannotTell {
                known: Some(range), ..
            } if q > range.low && range.high.is_none_or(|high| q < high) => Some(range.cheaper),
            _ => None,
        };
        assert_eq!(said, told, "{verdict:?} at {q}: {training:?} {request:?}");
    }

    fn verdict_first(verdict: &Verdict) -> Option<Side> {
        match verdict {
            Verdict::BreakEven { then, .. } => Some(then.other()),
            _ => None,
        }
    }

    #[test]
    fn lines_that_cross_break_even_and_others_do_not() {
        let sure = judged([100.0, 101.0, 99.0, 100.0], [2.0, 2.01, 1.99, 2.0]);
        let Verdict::BreakEven {
            at,
            low,
            high,
            then,
        } = sure
        else {
            panic!("{sure:?}")
        };
        // The first costs more to train and less to ask.
        assert!((at - 50.0).abs() < 1e-9 && then == Side::A);
        assert!(low > 48.0 && low < at && high.unwrap() > at && high.unwrap() < 52.0);
        let never = judged([100.0, 101.0, 99.0, 100.0], [-2.0, -2.01, -1.99, -2.0]);
        assert_eq!(never, Verdict::Dominates { cheaper: Side::B });
        let same_training = judged([0.0; 4], [2.0, 2.1, 1.9, 2.0]);
        assert_eq!(same_training, Verdict::Dominates { cheaper: Side::A });
        let same_request = judged([-3.0, -3.1, -2.9, -3.0], [0.0; 4]);
        assert_eq!(same_request, Verdict::Dominates { cheaper: Side::A });
        assert_eq!(judged([0.0; 4], [0.0; 4]), Verdict::Same);
        let luck = judged([1.0, -1.0, 0.5, -0.6], [0.1, -0.1, 0.2, -0.1]);
        assert!(
            matches!(luck, Verdict::CannotTell { known: None, .. }),
            "{luck:?}"
        );
    }

    #[test]
    fn one_repeat_is_no_proof_unless_it_was_counted() {
        let one = |exact| judge(&[10.0], &[2.0], exact).unwrap();
        let counted = Verdict::BreakEven {
            at: 5.0,
            low: 5.0,
            high: Some(5.0),
            then: Side::A,
        };
        assert_eq!(one(true), counted);
        assert_eq!(
            one(false),
            Verdict::Unsure {
                at: Some(5.0),
                then: Side::A
            }
        );
        assert_eq!(judge(&[], &[], true), None);
    }
}
