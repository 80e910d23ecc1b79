//! Leader and follower: if everybody's algorithms and hardware improve and only the leader's spending grows, how far does the
//! follower fall behind, and until when? After "Meek Models Shall Inherit the Earth" (Gundlach, Lynch, Thompson 2025, arXiv
//! 2507.07931).
//!
//! Effective compute grows by g = algorithms x hardware a year for both, and by k = spending more for the leader, both from
//! C0. With L(C) = E + A C^-a the gap is A C0^-a g^(-a t) (1 - k^(-a t)): it opens as the spending parts them, and closes as
//! the law flattens under both. Its peak is at t* = ln(ln(g k) / ln g) / (a ln k). E drops out of it.

use serde::Serialize;

use super::Caveat;
use super::fit::spread_of;
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

/// What a projection starts from.
#[derive(Debug, Clone, Copy)]
pub struct Assumptions<'a> {
    /// Who starts where and grows how fast.
    pub race: Race,
    /// The loss law; effective compute in FLOP.
    pub law: PowerLaw,
    /// The law refitted to resampled data; empty where that was not done.
    pub draws: &'a [PowerLaw],
    /// Half an interval in standard deviations of the draws, which depends on how many runs were resampled.
    pub reach: f64,
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
    /// Over the law's draws.
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
    /// Of its year, over the law's draws.
    pub peak_year_interval: Option<Interval>,
    /// Of its height, over the law's draws.
    pub peak_nats_interval: Option<Interval>,
    /// The gap called small.
    pub small_nats: f64,
    /// From this year on the gap is small.
    pub closes_year: f64,
    /// Over the law's draws.
    pub closes_interval: Option<Interval>,
    /// How many draws the intervals are over.
    pub draws: usize,
    /// Year by year.
    pub rows: Vec<Row>,
    /// Reasons for doubt.
    pub caveats: Vec<Caveat>,
}

/// Projects; refuses a law that does not fall.
pub fn project(given: &Assumptions) -> Result<Projection> {
    let Assumptions { race, law, draws, small_nats, .. } = *given;
    let interval = |figure: &dyn Fn(&PowerLaw) -> Option<f64>| interval(given, figure);
    let flat = || {
        let PowerLaw { scale, exponent, .. } = law;
        Error::input(format!("a law with scale {scale} and exponent {exponent} does not fall with compute"))
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
        draws: draws.len(),
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

/// By the spread over the draws; none where there are too few, or where one of them gives no figure: leaving those out would
/// make the interval look surer than it is.
fn interval(given: &Assumptions, figure: impl Fn(&PowerLaw) -> Option<f64>) -> Option<Interval> {
    let enough = given.draws.len() >= FEW_DRAWS;
    enough.then(|| spread_of(&given.law, given.draws, given.reach, |law| figure(law).unwrap_or(f64::NAN)))?
}

/// Fewer draws do not tell their spread.
const FEW_DRAWS: usize = 40;

fn caveats(given: &Assumptions) -> Vec<Caveat> {
    [Some(assumed(&given.race.growth)), extrapolated(given), uncertain(given)].into_iter().flatten().collect()
}

fn assumed(growth: &Growth) -> Caveat {
    let Growth { algorithms, hardware, spending } = growth;
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
    let (end, last) = (given.fitted_to_flops?, given.years.iter().copied().fold(0.0, f64::max));
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
    let flat = given.draws.iter().filter(|draw| given.race.peak(draw).is_none()).count();
    let n = given.draws.len();
    let message = match (n, flat) {
        (n, _) if n < FEW_DRAWS => {
            format!("no interval: the law came with {n} draws, and fewer than {FEW_DRAWS} do not tell a spread")
        }
        (_, 0) => return None,
        _ => format!("no interval for the peak: {flat} of {n} draws of the law do not fall with compute"),
    };
    let remedy = "a law fitted to more runs, with its bootstrap".to_owned();
    Some(Caveat { code: "no_interval", message, remedy })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The law of "Meek Models".
    const LAW: PowerLaw = PowerLaw { irreducible: 1.7, scale: 1070.0, exponent: 0.154 };

    fn race() -> Race {
        Race::new(1000.0 * 1e17, Growth::MEEK).unwrap()
    }

    fn given(draws: &[PowerLaw]) -> Assumptions<'_> {
        let (race, reach, years) = (race(), 1.96, &YEARS);
        Assumptions { race, law: LAW, draws, reach, fitted_to_flops: None, years, small_nats: SMALL_NATS }
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0), "{found} against {expected}");
    }

    #[test]
    fn draws_of_the_law_give_intervals() {
        let draws: Vec<PowerLaw> =
            (0..=100).map(|k| PowerLaw { exponent: 0.144 + 0.0002 * f64::from(k), ..LAW }).collect();
        let found = project(&given(&draws)).unwrap();
        // The year is a constant over the exponent: the logarithms of both are equally spread.
        let logs: Vec<f64> = draws.iter().map(|law| law.exponent.ln()).collect();
        let Interval { low, high, level } = found.peak_year_interval.unwrap();
        close(low, found.peak.year * (-1.96 * crate::stat::sd(&logs).unwrap()).exp());
        close(low * high, found.peak.year.powi(2));
        assert_eq!((level, found.draws, found.rows.len()), (0.95, 101, YEARS.len()));
        let Interval { low, high, .. } = found.peak_nats_interval.unwrap();
        assert!(low < found.peak.nats && found.peak.nats < high);
        assert!(found.rows[0].gap_interval.is_none() && found.rows[0].tokens_to_tell.is_none());
        assert!(found.closes_interval.unwrap().low < 13.3);
        assert_eq!(found.caveats.iter().map(|c| c.code).collect::<Vec<_>>(), ["growth_assumed"]);
    }

    #[test]
    fn doubt_is_said() {
        let codes = |given: &Assumptions| project(given).unwrap().caveats.iter().map(|c| c.code).collect::<Vec<_>>();
        assert_eq!(codes(&given(&[])), ["growth_assumed", "no_interval"]);
        let far = Assumptions { fitted_to_flops: Some(1e17), ..given(&[]) };
        assert_eq!(codes(&far), ["growth_assumed", "extrapolated", "no_interval"]);
        let mut draws = vec![LAW; 60];
        draws[7].exponent = -0.01;
        let found = project(&given(&draws)).unwrap();
        assert_eq!((found.peak_year_interval, found.closes_interval), (None, None));
        assert!(found.caveats[1].message.contains("1 of 60 draws"), "{:?}", found.caveats);
    }

    #[test]
    fn what_cannot_be_projected_is_refused() {
        let nothing = Assumptions { small_nats: 0.0, ..given(&[]) };
        assert!(project(&nothing).unwrap_err().message.contains("cannot be called small"));
        let rising = Assumptions { law: PowerLaw { exponent: -0.1, ..LAW }, ..given(&[]) };
        assert!(project(&rising).unwrap_err().message.contains("does not fall with compute"));
    }
}
