//! How far a parameter, or a figure that follows from the parameters, can be trusted: the values that the data do not refuse.
//!
//! A value is held, everything else is refitted, and the rise of the objective is set against what luck alone makes of it
//! ([`super::luck`]): sqrt(2 rise / lambda) against Student's t. The interval is all values within, found by walking outward
//! from the estimate, so it contains the estimate whatever the data are; it may be open, where the objective never rises enough
//! however far one goes. At E = 0 the others' refits keep to E >= 0 (the profile's own boundary; nothing is refitted below it).
//!
//! For single runs under least squares that is the profile likelihood ratio, F with 1 and n - p degrees of freedom; for Huber's
//! loss and for repeats the quasi-likelihood ratio scaled by the sandwich (Kent 1982, Biometrika 69, eq. 4; Rotnitzky and
//! Jewell 1990, Biometrika 77). Its rise grows with distance, so that the set has no holes.
//!
//! `tests/coverage.rs` measures the share of simulated studies whose interval contains the truth.

use serde::Serialize;

use super::luck::{self, Luck, Scale, Silence};
use super::series::Series;
use super::solve::{self, Coordinates, EXPONENTS, Fitted, Pull};
use super::surface::{IRREDUCIBLE, NOTHING, SCALE, Surface, Theta};
use crate::stat::critical;
use crate::stat::interval::LEVEL;

/// Steps outward, each half as long again as the one before.
const STEPS: usize = 30;
/// Halvings of the last step, at most.
const HALVINGS: usize = 30;
/// An end is known to this share of its distance from the estimate.
const CLOSE: f64 = 2e-4;
/// A step that moves less than this share of the unit is stuck at a bound.
const STUCK: f64 = 1e-7;
/// Logarithms of coefficients beyond this are as good as infinite.
const LARGEST_LOG: f64 = 250.0;

/// The values not refused; an end that is absent is open.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bounds {
    /// Lower end.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Coverage, `0.95`.
    pub level: f64,
}

impl Bounds {
    /// Around an estimate. An interval that leaves out what it is about, or that has no width, says nothing: it is open.
    pub fn around(value: f64, low: Option<f64>, high: Option<f64>) -> Self {
        let low = low.filter(|low| *low <= value);
        let high = high.filter(|high| *high >= value);
        let narrow = matches!((low, high), (Some(low), Some(high)) if low >= high);
        if narrow || !value.is_finite() {
            return Self {
                low: None,
                high: None,
                level: LEVEL,
            };
        }
        Self {
            low,
            high,
            level: LEVEL,
        }
    }

    /// Whether both ends are closed: only then is the parameter identified.
    pub fn closed(&self) -> bool {
        self.low.is_some() && self.high.is_some()
    }

    /// Whether a value is among them.
    pub fn contains(&self, value: f64) -> bool {
        self.low.is_none_or(|low| low <= value) && self.high.is_none_or(|high| value <= high)
    }

    /// Both ends through a rising function.
    pub fn map(&self, of: impl Fn(f64) -> f64) -> Self {
        Self {
            low: self.low.map(&of),
            high: self.high.map(&of),
            level: self.level,
        }
    }

    /// Both ends, where there are two.
    pub fn interval(&self) -> Option<crate::stat::Interval> {
        Some(crate::stat::Interval {
            low: self.low?,
            high: self.high?,
            level: self.level,
        })
    }
}

/// The fit with a parameter or a figure held at one value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Held {
    /// Where it was held.
    pub value: f64,
    /// The objective there, everything else refitted.
    pub objective: f64,
    /// The test statistic, as t.
    pub statistic: f64,
    /// Degrees of freedom of that.
    pub freedom: f64,
    /// Whether the data refuse it.
    pub refused: bool,
    /// The other parameters: ln A, alpha, ln B, beta, ln E, centred.
    #[serde(skip)]
    pub theta: Theta,
}

/// What is asked about.
#[derive(Clone, Copy)]
enum Asked<'a> {
    /// E itself, an exponent, or a centred coefficient's logarithm.
    Parameter(usize),
    /// A figure of ln A, alpha, ln B, beta, ln E.
    Figure(&'a dyn Fn(&Theta) -> f64),
}

/// Asks a fit about values of its parameters and of what follows from them.
pub struct Inquiry<'a> {
    surface: &'a Surface,
    fit: Fitted,
    /// Held by the user.
    held: Vec<usize>,
    luck: Luck,
}

impl<'a> Inquiry<'a> {
    /// For a fit in the surface's coordinates; an error where there is nothing to judge by.
    pub fn new(
        surface: &'a Surface,
        fit: Fitted,
        held: &[usize],
        series: &Series,
    ) -> Result<Self, Silence> {
        let luck = Luck::new(surface, &fit, held, series)?;
        Ok(Self {
            surface,
            fit,
            held: held.to_vec(),
            luck,
        })
    }

    /// Refits with parameter `index` held at `theta`'s value, and asks whether the data refuse it.
    pub fn hold(&self, theta: &Theta, index: usize) -> Held {
        let held: Vec<usize> = self.held.iter().copied().chain([index]).collect();
        let end = solve::from(self.surface, theta, &held);
        self.judged(Asked::Parameter(index), end)
    }

    fn judged(&self, asked: Asked, end: Fitted) -> Held {
        let value = self.value(asked, &end.theta);
        let rise = (end.objective - self.fit.objective).max(0.0);
        let scale = self.scale(asked, &end.theta);
        // Where nothing tells how much luck moves a figure, nothing is refused.
        let (statistic, freedom) = scale.map_or((0.0, 1.0), |scale| {
            ((2.0 * rise / scale.lambda).sqrt(), scale.freedom)
        });
        let refused = critical(freedom, LEVEL).is_some_and(|critical| statistic > critical);
        Held {
            value,
            objective: end.objective,
            statistic,
            freedom,
            refused,
            theta: end.theta,
        }
    }

    fn value(&self, asked: Asked, theta: &Theta) -> f64 {
        match asked {
            Asked::Parameter(IRREDUCIBLE) => {
                if theta[IRREDUCIBLE] <= NOTHING {
                    0.0
                } else {
                    theta[IRREDUCIBLE].exp()
                }
            }
            Asked::Parameter(index) => theta[index],
            Asked::Figure(figure) => figure(&self.surface.outward(theta)),
        }
    }

    /// What luck makes of the figure at these parameters.
    fn scale(&self, asked: Asked, theta: &Theta) -> Option<Scale> {
        let parameter = if let Asked::Parameter(index) = asked {
            Some(index)
        } else {
            None
        };
        let (free, columns) = luck::columns(self.surface, theta, &self.held, parameter);
        let gradient: Vec<f64> = match asked {
            Asked::Parameter(index) => free.iter().map(|&k| f64::from(k == index)).collect(),
            Asked::Figure(figure) => {
                let others: Vec<usize> = (0..5).filter(|k| !free.contains(k)).collect();
                let coordinates = Coordinates::new(self.surface, theta, &others);
                coordinates.slopes(|theta| figure(&self.surface.outward(theta)))
            }
        };
        self.luck.along(&self.luck.direction(&columns, &gradient)?)
    }

    /// The interval of a parameter: of E itself, of an exponent, or of a centred coefficient's logarithm.
    pub fn bounds(&self, index: usize) -> Bounds {
        let unit = match index {
            IRREDUCIBLE => 0.2 * self.surface.range().0,
            1 | 3 => 0.3 * self.fit.theta[index].abs().max(0.1),
            _ => 1.0,
        };
        self.around(Asked::Parameter(index), unit)
    }

    /// The interval of a figure of ln A, alpha, ln B, beta, ln E. No step from its estimate is longer than `unit` at first.
    pub fn bounds_of(&self, figure: &dyn Fn(&Theta) -> f64, unit: f64) -> Bounds {
        self.around(Asked::Figure(figure), unit)
    }

    fn around(&self, asked: Asked, unit: f64) -> Bounds {
        let value = self.value(asked, &self.fit.theta);
        if !value.is_finite() {
            return Bounds {
                low: None,
                high: None,
                level: LEVEL,
            };
        }
        Bounds::around(
            value,
            self.end(asked, unit, -1.0),
            self.end(asked, unit, 1.0),
        )
    }

    /// Walks outward until the data refuse, then closes in; `None` where they never do.
    fn end(&self, asked: Asked, unit: f64, side: f64) -> Option<f64> {
        let start = self.value(asked, &self.fit.theta);
        let (weight, mut step) = self.paces(asked, unit);
        let mut inside = Reached {
            target: start,
            value: start,
            excess: -1.0,
            theta: self.fit.theta,
        };
        let mut target = start;
        for k in 0..STEPS {
            target += side * step;
            let (clipped, last) = self.within(asked, target);
            let reached = self.reach(asked, clipped, weight, &inside.theta);
            if reached.excess > 0.0 {
                return self.closed_in(asked, weight, inside, reached);
            }
            let stuck = k > 4 && (reached.value - inside.value).abs() < STUCK * unit;
            if last || stuck {
                return None;
            }
            (inside, step) = (reached, 1.5 * step);
        }
        None
    }

    /// How strongly a search is drawn to a value, and the first step outward: a standard error, where that is no leap.
    fn paces(&self, asked: Asked, unit: f64) -> (f64, f64) {
        let Some(scale) = self.scale(asked, &self.fit.theta) else {
            return (SCALE / (unit * unit), 0.1 * unit);
        };
        let error = scale.variance.sqrt().clamp(1e-6 * unit, unit);
        // A hundred times as steep as the profile there, and so steep that a tenth of the unit is refused.
        let own = 100.0 * SCALE * scale.lambda / scale.variance;
        (
            own.max(SCALE * 4.0 * scale.lambda / (0.1 * unit).powi(2)),
            error,
        )
    }

    /// The fit with the value asked about held at `target`, or drawn there.
    fn reach(&self, asked: Asked, target: f64, weight: f64, from: &Theta) -> Reached {
        let held = match asked {
            Asked::Parameter(index) => self.hold(&self.at(from, index, target), index),
            Asked::Figure(figure) => {
                let pull = Pull {
                    figure,
                    target,
                    weight,
                };
                self.judged(asked, solve::drawn(self.surface, from, &self.held, &pull))
            }
        };
        let critical = critical(held.freedom, LEVEL).unwrap_or(f64::INFINITY);
        let value = if held.value.is_finite() {
            held.value
        } else {
            target
        };
        Reached {
            target,
            value,
            excess: held.statistic / critical - 1.0,
            theta: held.theta,
        }
    }

    /// The value at which the data just refuse, between one that they do not refuse and one that they do: by the chord of the
    /// statistic, which is nearly straight, and by halves where that does not close in (the Illinois rule). `None` where an
    /// exponent is at its bound there: then it is the bound that refuses, not the data.
    fn closed_in(
        &self,
        asked: Asked,
        weight: f64,
        mut inside: Reached,
        mut outside: Reached,
    ) -> Option<f64> {
        let start = self.value(asked, &self.fit.theta);
        let (mut low, mut high) = (inside.excess, outside.excess.min(1e3));
        let mut last_inside = None;
        for _ in 0..HALVINGS {
            if (outside.value - inside.value).abs() <= CLOSE * (outside.value - start).abs() {
                break;
            }
            let share = (-low / (high - low)).clamp(0.05, 0.95);
            let target = inside.target + share * (outside.target - inside.target);
            let reached = self.reach(asked, target, weight, &inside.theta);
            let is_inside = reached.excess <= 0.0;
            if is_inside {
                (inside, low) = (reached, reached.excess);
                high *= if last_inside == Some(true) { 0.5 } else { 1.0 };
            } else {
                (outside, high) = (reached, reached.excess.min(1e3));
                low *= if last_inside == Some(false) { 0.5 } else { 1.0 };
            }
            last_inside = Some(is_inside);
            if reached.excess.abs() < 1e-4 {
                return (!self.bound(asked, &reached.theta)).then_some(reached.value);
            }
        }
        (!self.bound(asked, &inside.theta)).then_some(0.5 * (inside.value + outside.value))
    }

    /// Whether an exponent that was not asked about is as good as infinite, or as good as nothing.
    fn bound(&self, asked: Asked, theta: &Theta) -> bool {
        let free = self
            .surface
            .free(&self.held)
            .into_iter()
            .filter(|index| [1, 3].contains(index));
        let mut others =
            free.filter(|index| !matches!(asked, Asked::Parameter(own) if own == *index));
        others
            .any(|index| theta[index] <= 1.01 * EXPONENTS[0] || theta[index] >= 0.99 * EXPONENTS[1])
    }

    /// The value clipped to what makes sense, and whether that is as far as one can go.
    fn within(&self, asked: Asked, value: f64) -> (f64, bool) {
        let [low, high] = match asked {
            Asked::Parameter(IRREDUCIBLE) => [0.0, self.surface.range().1],
            Asked::Parameter(1 | 3) => EXPONENTS,
            Asked::Parameter(_) => [-LARGEST_LOG, LARGEST_LOG],
            Asked::Figure(_) => return (value, false),
        };
        (value.clamp(low, high), value <= low || value >= high)
    }

    fn at(&self, theta: &Theta, index: usize, value: f64) -> Theta {
        let mut theta = *theta;
        theta[index] = if index == IRREDUCIBLE {
            value.ln().max(NOTHING)
        } else {
            value
        };
        theta
    }

    /// Refits along a row of values from the fit outward, so that each search starts beside its end.
    pub fn profile(&self, index: usize, values: &[f64]) -> Vec<Held> {
        let start = self.value(Asked::Parameter(index), &self.fit.theta);
        let mut held = Vec::new();
        let (below, above): (Vec<f64>, Vec<f64>) = values.iter().partition(|value| **value < start);
        for side in [below.into_iter().rev().collect::<Vec<f64>>(), above] {
            let mut theta = self.fit.theta;
            for value in side {
                let found = self.hold(&self.at(&theta, index, value), index);
                theta = found.theta;
                held.push(found);
            }
        }
        held.sort_by(|a, b| a.value.total_cmp(&b.value));
        held
    }

    /// The figure drawn to each of a row of targets, one after the other from the fit: a path along which no other parameters
    /// fit better.
    pub fn path(&self, figure: &dyn Fn(&Theta) -> f64, unit: f64, targets: &[f64]) -> Vec<Held> {
        let (weight, _) = self.paces(Asked::Figure(figure), unit);
        let mut theta = self.fit.theta;
        let mut path = Vec::new();
        for &target in targets {
            let pull = Pull {
                figure,
                target,
                weight,
            };
            let held = self.judged(
                Asked::Figure(figure),
                solve::drawn(self.surface, &theta, &self.held, &pull),
            );
            theta = held.theta;
            path.push(held);
        }
        path
    }
}

/// A step of a walk.
#[derive(Clone, Copy)]
struct Reached {
    target: f64,
    value: f64,
    /// The statistic over the critical one, less 1.
    excess: f64,
    theta: Theta,
}

#[cfg(test)]
mod tests;
