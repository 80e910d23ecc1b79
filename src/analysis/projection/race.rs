//! Two who start level, and how far the follower's loss is behind the leader's.

use serde::Serialize;

use crate::analysis::law::PowerLaw;
use crate::error::{Error, Result};

/// Factors a year.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Growth {
    /// Effective compute from better algorithms, everybody's.
    pub algorithms: f64,
    /// Compute for the same money, everybody's.
    pub hardware: f64,
    /// The leader's money; the follower's stays what it is.
    pub spending: f64,
}

impl Growth {
    /// As "Meek Models" takes them: frontier compute grows fivefold a year, 1.4 of it from cheaper hardware.
    pub const MEEK: Self = Self {
        algorithms: 2.8,
        hardware: 1.4,
        spending: 5.0 / 1.4,
    };
}

/// Two who start with the same effective compute.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Race {
    /// Both spend it in year 0.
    pub start_flops: f64,
    /// From then on.
    pub growth: Growth,
}

/// The widest gap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Peak {
    /// Years from the start.
    pub year: f64,
    /// The follower's loss minus the leader's.
    pub nats: f64,
}

impl Race {
    /// Refuses a start without compute, progress that shrinks and a leader who does not lead.
    pub fn new(start_flops: f64, growth: Growth) -> Result<Self> {
        let Growth {
            algorithms,
            hardware,
            spending,
        } = growth;
        let refuse = |what: &str, value: f64, want: &str| {
            Err(Error::input(format!(
                "the projection's {what} is {value}: expected {want}"
            )))
        };
        let finite = |value: f64| value.is_finite();
        if !(start_flops > 0.0 && finite(start_flops)) {
            return refuse("start compute", start_flops, "a number above 0, in FLOP");
        }
        if !(algorithms > 0.0
            && hardware > 0.0
            && finite(algorithms * hardware)
            && algorithms * hardware > 1.0)
        {
            return refuse(
                "shared growth (algorithms x hardware)",
                algorithms * hardware,
                "a factor a year above 1",
            );
        }
        if !(spending > 1.0 && finite(spending)) {
            return refuse(
                "growth of spending",
                spending,
                "a factor a year above 1: it is what parts the two",
            );
        }
        Ok(Self {
            start_flops,
            growth,
        })
    }

    fn shared(&self) -> f64 {
        self.growth.algorithms * self.growth.hardware
    }

    /// Effective compute of the follower after some years, in FLOP.
    pub fn follower_flops(&self, year: f64) -> f64 {
        self.start_flops * self.shared().powf(year)
    }

    /// Effective compute of the leader after some years, in FLOP.
    pub fn leader_flops(&self, year: f64) -> f64 {
        self.follower_flops(year) * self.growth.spending.powf(year)
    }

    /// The follower's loss minus the leader's after some years, in nats.
    pub fn gap(&self, law: &PowerLaw, year: f64) -> f64 {
        law.reducible(self.follower_flops(year)) - law.reducible(self.leader_flops(year))
    }

    /// The widest gap, in closed form; `None` for a law that does not fall.
    pub fn peak(&self, law: &PowerLaw) -> Option<Peak> {
        if !(law.scale > 0.0 && law.exponent > 0.0) {
            return None;
        }
        let (shared, apart) = (self.shared().ln(), self.growth.spending.ln());
        let year = ((shared + apart) / shared).ln() / (law.exponent * apart);
        let nats = self.gap(law, year);
        (year.is_finite() && nats.is_finite() && nats > 0.0).then_some(Peak { year, nats })
    }

    /// The year from which the gap stays below `nats`, by bisection after the peak; 0 where it never is above, `None` for a
    /// law that does not fall and for no `nats` at all.
    pub fn closes(&self, law: &PowerLaw, nats: f64) -> Option<f64> {
        let peak = self.peak(law).filter(|_| nats > 0.0)?;
        if peak.nats < nats {
            return Some(0.0);
        }
        let (mut above, mut below) = (peak.year, 2.0 * peak.year);
        while self.gap(law, below) >= nats {
            (above, below) = (below, 2.0 * below);
        }
        // 60 halvings leave less than the rounding of a double.
        for _ in 0..60 {
            let middle = 0.5 * (above + below);
            if self.gap(law, middle) >= nats {
                above = middle
            } else {
                below = middle
            }
        }
        Some(below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The law of "Meek Models".
    const LAW: PowerLaw = PowerLaw {
        irreducible: 1.7,
        scale: 1070.0,
        exponent: 0.154,
    };

    fn race() -> Race {
        Race::new(1000.0 * 1e17, Growth::MEEK).unwrap()
    }

    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-6 * expected.abs().max(1.0),
            "{found} against {expected}"
        );
    }

    /// The notebook prints 3.4 years; the closed form, and SciPy 1.17's `minimize_scalar(lambda t: -gap(t))`, 3.358901.
    #[test]
    fn the_gap_of_meek_models_peaks_where_published() {
        let peak = race().peak(&LAW).unwrap();
        close(peak.year, 3.358_901_055_846_461);
        close(peak.nats, 0.211_768_865_573_314_42);
        for step in [-0.01, 0.01] {
            assert!(race().gap(&LAW, peak.year + step) < peak.nats);
        }
        assert_eq!(race().gap(&LAW, 0.0), 0.0);
        close(race().gap(&LAW, 1.0), 0.128_375_309_814_091_9);
        close(race().gap(&LAW, 10.0), 0.093_285_492_418_563_13);
        // scipy.optimize.brentq(lambda t: gap(t) - 0.05, peak, 100)
        close(race().closes(&LAW, 0.05).unwrap(), 13.323_413_023_367_29);
        assert_eq!(race().closes(&LAW, 0.3), Some(0.0));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let with = |change: fn(&mut Growth)| {
            let mut growth = Growth::MEEK;
            change(&mut growth);
            Race::new(1e20, growth).map_err(|error| error.message)
        };
        let rows = [
            (
                Race::new(0.0, Growth::MEEK).map_err(|e| e.message),
                "start compute is 0",
            ),
            (
                Race::new(f64::NAN, Growth::MEEK).map_err(|e| e.message),
                "start compute is NaN",
            ),
            (with(|g| g.spending = 1.0), "growth of spending is 1"),
            (
                with(|g| g.algorithms = 0.5),
                "(algorithms x hardware) is 0.7",
            ),
            (
                with(|g| g.hardware = f64::INFINITY),
                "(algorithms x hardware) is inf",
            ),
        ];
        for (found, says) in rows {
            assert!(
                found.as_ref().is_err_and(|message| message.contains(says)),
                "{found:?}"
            );
        }
    }
}
