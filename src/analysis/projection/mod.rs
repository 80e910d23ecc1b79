//! Leader and follower: if everybody's algorithms and hardware improve and only the leader's spending grows, how far does the
//! follower fall behind, and until when? After "Meek Models Shall Inherit the Earth" (Gundlach, Lynch, Thompson 2025, arXiv
//! 2507.07931).
//!
//! Effective compute grows by g = algorithms x hardware a year for both, and by k = spending more for the leader, both from
//! C0. With L(C) = E + A C^-a the gap is A C0^-a g^(-a t) (1 - k^(-a t)): it opens as the spending parts them, and closes as
//! the law flattens under both. Its peak is at t* = ln(ln(g k) / ln g) / (a ln k). E drops out of it.

use serde::Serialize;

use super::Caveat;
use super::fit::Study;
use super::law::PowerLaw;
use crate::error::{Error, Result};
use crate::stat::Interval;
use crate::unit::Times;

mod meaning;
mod race;

pub use meaning::{Accuracy, tokens_to_tell};
pub use race::{Growth, Peak, Race};

/// The years of the table.
pub const YEARS: [f64; 8] = [0.0, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0];

/// The gap called small where nobody says another: a convention, not a finding.
pub const SMALL_NATS: f64 = 0.05;

/// Chance of naming the wrong one of two models.
const ERROR: f64 = 0.05;

/// How far a law may be off.
#[derive(Debug, Clone, Copy)]
pub enum Spread<'a> {
    /// The law is assumed, or its fit leaves nothing to judge by.
    Unknown,
    /// It was fitted: each figure is profiled.
    Fitted(&'a Study),
}

/// What a projection starts from.
#[derive(Debug, Clone, Copy)]
pub struct Assumptions<'a> {
    /// Who starts where and grows how fast.
    pub race: Race,
    /// The loss law; effective compute in FLOP.
    pub law: PowerLaw,
    /// How far the law may be off.
    pub spread: Spread<'a>,
    /// The largest compute that the law was fitted to, where it was.
    pub fitted_to_flops: Option<f64>,
    /// Years of the table.
    pub years: &'a [f64],
    /// The gap called small.
    pub small_nats: f64,
}

/// One year of the table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Row {
    /// From the start.
    pub year: f64,
    /// Effective compute.
    pub leader_flops: f64,
    /// Effective compute.
    pub follower_flops: f64,
    /// Loss.
    pub leader_nats: f64,
    /// Loss.
    pub follower_nats: f64,
    /// Their difference.
    pub gap_nats: f64,
    /// By its profile.
    pub gap_interval: Option<Interval>,
    /// For telling the two apart at 5% error; absent without a gap.
    pub tokens_to_tell: Option<f64>,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Projection {
    /// Assumed.
    pub race: Race,
    /// Assumed, or fitted.
    pub law: PowerLaw,
    /// The widest gap.
    pub peak: Peak,
    /// Of its year, by its profile.
    pub peak_year_interval: Option<Interval>,
    /// Of its height, by its profile.
    pub peak_nats_interval: Option<Interval>,
    /// The gap called small.
    pub small_nats: f64,
    /// From this year on the gap is small.
    pub closes_year: f64,
    /// By its profile.
    pub closes_interval: Option<Interval>,
    /// Year by year.
    pub rows: Vec<Row>,
    /// Reasons for doubt.
    pub caveats: Vec<Caveat>,
}

/// Projects; refuses a law that does not fall.
pub fn project(given: &Assumptions) -> Result<Projection> {
    let Assumptions {
        race,
        law,
        small_nats,
        ..
    } = *given;
    let interval = |figure: &dyn Fn(&PowerLaw) -> Option<f64>| interval(given, figure);
    let flat = || {
        let PowerLaw {
            scale, exponent, ..
        } = law;
        Error::input(format!(
            "a law with scale {scale} and exponent {exponent} does not fall with compute"
        ))
        .hint("nothing can be projected from it: fit more budgets, further apart")
    };
    if !(small_nats > 0.0 && small_nats.is_finite()) {
        return Err(Error::input(format!(
            "a gap of {small_nats} nats cannot be called small: expected a number above 0"
        )));
    }
    let peak = race.peak(&law).ok_or_else(flat)?;
    Ok(Projection {
        race,
        law,
        peak,
        peak_year_interval: interval(&|law| Some(race.peak(law)?.year)),
        peak_nats_interval: interval(&|law| Some(race.peak(law)?.nats)),
        small_nats,
        closes_year: race.closes(&law, small_nats).ok_or_else(flat)?,
        closes_interval: interval(&|law| race.closes(law, small_nats)),
        rows: given.years.iter().map(|year| row(given, *year)).collect(),
        caveats: caveats(given),
    })
}

fn row(given: &Assumptions, year: f64) -> Row {
    let Assumptions { race, law, .. } = given;
    let (leader_flops, follower_flops) = (race.leader_flops(year), race.follower_flops(year));
    let gap_nats = race.gap(law, year);
    Row {
        year,
        leader_flops,
        follower_flops,
        leader_nats: law.at(leader_flops),
        follower_nats: law.at(follower_flops),
        gap_nats,
        gap_interval: interval(given, |law| Some(race.gap(law, year))),
        tokens_to_tell: (gap_nats > 0.0).then(|| tokens_to_tell(gap_nats, ERROR)),
    }
}

/// By the figure's own profile; none where the runs do not bound it.
fn interval(given: &Assumptions, figure: impl Fn(&PowerLaw) -> Option<f64>) -> Option<Interval> {
    match given.spread {
        Spread::Unknown => None,
        Spread::Fitted(study) => study.interval_of(|law| figure(law).unwrap_or(f64::NAN)),
    }
}

fn caveats(given: &Assumptions) -> Vec<Caveat> {
    [
        Some(assumed(&given.race.growth)),
        extrapolated(given),
        uncertain(given),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn assumed(growth: &Growth) -> Caveat {
    let Growth {
        algorithms,
        hardware,
        spending,
    } = growth;
    Caveat {
        code: "growth_assumed",
        message: format!(
            "the growth rates are assumptions, held for ever: algorithms x {algorithms:.2}, hardware x {hardware:.2}, the \
             leader's spending x {spending:.2} a year"
        ),
        remedy: "try others: the peak's year moves with all three".to_owned(),
    }
}

fn extrapolated(given: &Assumptions) -> Option<Caveat> {
    let (end, last) = (
        given.fitted_to_flops?,
        given.years.iter().copied().fold(0.0, f64::max),
    );
    let reach = given.race.leader_flops(last);
    let far = reach / end;
    (far > 1.0).then(|| Caveat {
        code: "extrapolated",
        message: format!(
            "the law was fitted up to {end:.1e} FLOP and is read up to {reach:.1e}, {} times as far",
            if far < 1000.0 { Times(far).to_string() } else { format!("{far:.0e}") }
        ),
        remedy: "read the shape, not the figures; runs at larger budgets bring the two closer".to_owned(),
    })
}

fn uncertain(given: &Assumptions) -> Option<Caveat> {
    let message = match given.spread {
        Spread::Unknown => "no interval: the law came without the runs it was fitted to",
        Spread::Fitted(study) if !study.describes() => {
            "no interval: the law does not describe the runs it was fitted to"
        }
        Spread::Fitted(_) if interval(given, |law| Some(given.race.peak(law)?.nats)).is_none() => {
            "no interval for the peak: its runs do not bound it, so its year and height are one of many that fit them as well"
        }
        Spread::Fitted(_) => return None,
    };
    let remedy = "a law fitted to more runs, over a wider range of compute".to_owned();
    Some(Caveat {
        code: "no_interval",
        message: message.to_owned(),
        remedy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fit::{Findings, Plan, Point, Points, fit, power};

    /// The law of "Meek Models".
    const LAW: PowerLaw = PowerLaw {
        irreducible: 1.7,
        scale: 1070.0,
        exponent: 0.154,
    };

    fn race() -> Race {
        Race::new(1000.0 * 1e17, Growth::MEEK).unwrap()
    }

    fn given(spread: Spread<'_>) -> Assumptions<'_> {
        Assumptions {
            race: race(),
            law: LAW,
            spread,
            fitted_to_flops: None,
            years: &YEARS,
            small_nats: SMALL_NATS,
        }
    }

    /// Runs of the law with 0.1% of luck, `budgets` of them a factor of eight apart.
    fn fitted(budgets: i32) -> Findings {
        let point = |k: i32| {
            let flops = 1e17 * 8f64.powi(k);
            Point::new(
                "a".to_owned(),
                flops,
                LAW.at(flops) * (1.0 + 0.001 * f64::from((k * 7 % 5) - 2)),
            )
        };
        let points = Points {
            points: (0..budgets).map(point).collect(),
            notes: Vec::new(),
        };
        fit(
            &power::LAW,
            &points,
            &Plan {
                irreducible: None,
                drop_highest: 0,
                draws: 0,
            },
        )
        .unwrap()
    }

    #[test]
    fn figures_of_a_fitted_law_are_profiled() {
        let findings = fitted(12);
        let study = &findings.groups[0];
        let found = project(&Assumptions {
            law: study.along,
            ..given(Spread::Fitted(study))
        })
        .unwrap();
        // The year is a constant over the exponent: its interval is the exponent's, turned over.
        let exponent = study.parameters[2].interval.unwrap();
        let Interval { low, high, level } = found.peak_year_interval.unwrap();
        let constant = found.peak.year * study.along.exponent;
        for (found, expected) in [
            (low, constant / exponent.high.unwrap()),
            (high, constant / exponent.low.unwrap()),
        ] {
            assert!(
                (found / expected - 1.0).abs() < 1e-3,
                "{found} against {expected}"
            );
        }
        assert_eq!((level, found.rows.len()), (0.95, YEARS.len()));
        let Interval { low, high, .. } = found.peak_nats_interval.unwrap();
        assert!(low < found.peak.nats && found.peak.nats < high);
        assert!(found.rows[0].gap_interval.is_none() && found.rows[0].tokens_to_tell.is_none());
        assert!(found.closes_interval.unwrap().low < found.closes_year);
        assert_eq!(
            found.caveats.iter().map(|c| c.code).collect::<Vec<_>>(),
            ["growth_assumed"]
        );
    }

    #[test]
    fn doubt_is_said() {
        let codes = |given: &Assumptions| {
            project(given)
                .unwrap()
                .caveats
                .iter()
                .map(|c| c.code)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            codes(&given(Spread::Unknown)),
            ["growth_assumed", "no_interval"]
        );
        let far = Assumptions {
            fitted_to_flops: Some(1e17),
            ..given(Spread::Unknown)
        };
        assert_eq!(
            codes(&far),
            ["growth_assumed", "extrapolated", "no_interval"]
        );
        let findings = fitted(3);
        let study = &findings.groups[0];
        let found = project(&Assumptions {
            law: study.along,
            ..given(Spread::Fitted(study))
        })
        .unwrap();
        assert_eq!(
            (found.peak_year_interval, found.closes_interval),
            (None, None)
        );
        assert!(
            found.caveats[1].message.contains("do not bound it"),
            "{:?}",
            found.caveats
        );
    }

    #[test]
    fn what_cannot_be_projected_is_refused() {
        let nothing = Assumptions {
            small_nats: 0.0,
            ..given(Spread::Unknown)
        };
        assert!(
            project(&nothing)
                .unwrap_err()
                .message
                .contains("cannot be called small")
        );
        let rising = Assumptions {
            law: PowerLaw {
                exponent: -0.1,
                ..LAW
            },
            ..given(Spread::Unknown)
        };
        assert!(
            project(&rising)
                .unwrap_err()
                .message
                .contains("does not fall with compute")
        );
    }
}
