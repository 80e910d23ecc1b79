//! The gain as a function of compute: CEG_v(C) = ((L_v(C) - E) / A_0)^(-1/a_0) / C (Gundlach et al. 2025, arXiv 2511.21622,
//! section 2), C the variant's own compute. E cancels: only where the two reducible losses are equal matters, so that the gain
//! moves by 2^(a_v/a_0 - 1) with each doubling of C, everywhere by the same factor.
//!
//! It is told where the variant ran and the base's compute for the same loss lies within what the base ran, and nowhere else.

use serde::Serialize;

use super::arm::Arm;
use super::band::{DIRECTION, Figure, Fitted, Test};
use super::profile::{At, Curve};
use crate::stat::Interval;
use crate::stat::interval::LEVEL;
use crate::stat::student::Shift;

/// Places along a band.
const PLACES: usize = 25;
/// A measured gain this unlikely under the law, over all of a variant's, speaks against the law.
const DISAGREES: f64 = 0.01;
/// Something is claimed of a variant below this chance, after Holm over variants: either way by luck in one of 40 studies.
pub const CLAIMED: f64 = 0.025;

/// What a variant is worth over the base, as a function of its compute.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Along {
    /// The variant.
    pub variant: String,
    /// C, in FLOP of the variant, between which its gain is told.
    pub flops: Option<[f64; 2]>,
    /// Where it ran and the gain is not told.
    pub limits: Vec<Limit>,
    /// The law's gain with a band that holds at all places at once.
    pub curve: Vec<Place>,
    /// Half the band in standard errors.
    pub critical: f64,
    /// Gains read off the runs themselves, without the law.
    pub measured: Vec<Measured>,
    /// By what the gain is multiplied when compute doubles.
    pub per_doubling: f64,
    /// Its interval.
    pub per_doubling_interval: Interval,
    /// Whether a_v = a_0, so that the gain is the same at every C.
    pub equal_exponents: Test,
    /// Its chance after Holm over variants.
    pub equal_exponents_holm: f64,
    /// Whether L_v = L_0 at every C.
    pub equal_laws: Test,
    /// Its chance after Holm over variants.
    pub equal_laws_holm: f64,
    /// In the middle of the range, the gain over every E that the runs allow.
    pub over_irreducible: Option<[f64; 2]>,
    /// Whether the gain is told from 1.
    pub side: Side,
    /// Whether it is told to change with compute.
    pub trend: Trend,
}

/// The gain at some compute.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Place {
    /// C, in FLOP of the variant.
    pub flops: f64,
    /// Times that the base must spend.
    pub gain: f64,
    /// The band there.
    pub interval: Interval,
}

/// Where the base did not run as far as the answer needs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Limit {
    /// From here on the base would need more than it ran.
    Above {
        /// C, in FLOP of the variant.
        flops: f64,
        /// At the variant's largest run the gain is more than this.
        more_than: f64,
    },
    /// Up to here the base's smallest run is ahead.
    Below {
        /// C, in FLOP of the variant.
        flops: f64,
        /// At the variant's smallest run the gain is less than this.
        less_than: f64,
    },
}

/// A gain read between the base's own runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measured {
    /// C, in FLOP of the variant's cell.
    pub flops: f64,
    /// Times that the base must spend.
    pub gain: f64,
    /// By the scatter of cells about the law.
    pub interval: Interval,
    /// What the law says there.
    pub law: f64,
    /// Whether the two agree.
    pub agrees: bool,
}

/// On which side of 1 a gain lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Above at all compute told.
    More,
    /// Below at all compute told.
    Less,
    /// Told from 1 over a part of the range.
    Partly,
    /// Not told from 1, or nowhere told.
    Unclear,
}

/// How a gain changes with compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trend {
    /// It grows.
    Grows,
    /// It fades.
    Fades,
    /// It cannot be told.
    Unclear,
}

/// The base is the first arm; `variant` is the place of another.
pub struct Asked<'a> {
    /// The law.
    pub fitted: &'a Fitted,
    /// In the law's order.
    pub arms: &'a [Arm],
    /// Whose gain.
    pub variant: usize,
}

impl Asked<'_> {
    /// Everything about the variant's gain; chances are not yet corrected.
    pub fn along(&self) -> Along {
        let (flops, limits) = self.range();
        let (critical, curve) =
            flops.map_or((self.fitted.single(), Vec::new()), |range| self.band(range));
        let (log, range) = self
            .fitted
            .interval(self.fitted.single(), |at| self.doubling(at));
        let equal_exponents = self.fitted.chance(1, |at| self.apart_in_exponent(at));
        let equal_laws = self.fitted.chance(2, |at| self.apart(at));
        let middle = |[low, high]: [f64; 2]| {
            let at = 0.5 * (low.ln() + high.ln());
            self.fitted
                .over_irreducible(|fit| self.log_gain(fit, at).value)
                .map(f64::exp)
        };
        Along {
            variant: self.arms[self.variant].group.clone(),
            flops,
            limits,
            curve,
            critical,
            measured: self.measured(),
            per_doubling: log.exp(),
            per_doubling_interval: Interval {
                low: range.low.exp(),
                high: range.high.exp(),
                ..range
            },
            equal_exponents,
            equal_exponents_holm: equal_exponents.p,
            equal_laws,
            equal_laws_holm: equal_laws.p,
            over_irreducible: flops.map(middle),
            side: Side::Unclear,
            trend: Trend::Unclear,
        }
    }

    /// ln of the base's compute for the variant's loss at ln C, less ln C.
    pub fn log_gain(&self, at: &At, log_flops: f64) -> Figure {
        let [of_base, of_variant] = self.slopes(at, log_flops);
        let (base, variant) = (&at.curves[0], &at.curves[self.variant]);
        let value = self.needed(at, log_flops) - log_flops;
        let variance = quadratic(&base.inverse, of_base) + quadratic(&variant.inverse, of_variant);
        let variance = if base.exponent > 0.0 {
            variance
        } else {
            f64::INFINITY
        };
        Figure { value, variance }
    }

    /// ln C of the base with the variant's reducible loss.
    fn needed(&self, at: &At, log_flops: f64) -> f64 {
        let (base, variant) = (&at.curves[0], &at.curves[self.variant]);
        let [of_base, of_variant] =
            [0, self.variant].map(|place| self.fitted.profile.rows[place].middle);
        of_base + (base.level - reducible(variant, log_flops - of_variant)) / base.exponent
    }

    /// Derivatives of that by level and exponent of base and variant.
    fn slopes(&self, at: &At, log_flops: f64) -> [[f64; 2]; 2] {
        let (base, variant) = (&at.curves[0], &at.curves[self.variant]);
        let x = log_flops - self.fitted.profile.rows[self.variant].middle;
        let a = base.exponent;
        [
            [1.0 / a, -(base.level - reducible(variant, x)) / (a * a)],
            [-1.0 / a, x / a],
        ]
    }

    /// ln 2 (a_v / a_0 - 1).
    pub fn doubling(&self, at: &At) -> Figure {
        let (base, variant) = (&at.curves[0], &at.curves[self.variant]);
        let (a, b) = (base.exponent, variant.exponent);
        let variance = variant.inverse[1][1] / (a * a) + base.inverse[1][1] * (b / (a * a)).powi(2);
        let two = std::f64::consts::LN_2;
        Figure {
            value: two * (b / a - 1.0),
            variance: if a > 0.0 {
                two * two * variance
            } else {
                f64::INFINITY
            },
        }
    }

    /// What it costs the squares to hold a_v at a_0.
    fn apart_in_exponent(&self, at: &At) -> f64 {
        let (base, variant) = (&at.curves[0], &at.curves[self.variant]);
        (variant.exponent - base.exponent).powi(2) / (variant.inverse[1][1] + base.inverse[1][1])
    }

    /// What it costs the squares to hold the variant's curve at the base's.
    fn apart(&self, at: &At) -> f64 {
        let (base, variant) = (&at.curves[0], &at.curves[self.variant]);
        let shift =
            self.fitted.profile.rows[0].middle - self.fitted.profile.rows[self.variant].middle;
        let [[p, q], [_, r]] = variant.inverse;
        // The variant's level at the base's middle is its own less its exponent times the shift.
        let moved = [
            [p - 2.0 * shift * q + shift * shift * r, q - shift * r],
            [q - shift * r, r],
        ];
        let sum = [0, 1].map(|i| [0, 1].map(|j| moved[i][j] + base.inverse[i][j]));
        let determinant = sum[0][0] * sum[1][1] - sum[0][1] * sum[1][0];
        let inverse = [[sum[1][1], -sum[0][1]], [-sum[1][0], sum[0][0]]]
            .map(|row| row.map(|part| part / determinant));
        let level = variant.level - variant.exponent * shift - base.level;
        quadratic(&inverse, [level, variant.exponent - base.exponent])
    }

    /// Where the variant ran and the base's runs reach the answer, and where they do not.
    fn range(&self) -> (Option<[f64; 2]>, Vec<Limit>) {
        let best = &self.fitted.profile.best;
        let [base, own] = [0, self.variant].map(|place| self.arms[place].flops().map(f64::ln));
        let needed = own.map(|log| self.needed(best, log));
        // The base's compute rises with the variant's, as its logarithm does with slope a_v / a_0.
        let slope = best.curves[self.variant].exponent / best.curves[0].exponent;
        let mut limits = Vec::new();
        let mut range = own;
        if needed[1] > base[1] {
            range[1] = (own[1] - (needed[1] - base[1]) / slope).max(own[0]);
            limits.push(Limit::Above {
                flops: range[1].exp(),
                more_than: (base[1] - own[1]).exp(),
            });
        }
        if needed[0] < base[0] {
            range[0] = (own[0] + (base[0] - needed[0]) / slope).min(own[1]);
            limits.push(Limit::Below {
                flops: range[0].exp(),
                less_than: (base[0] - own[0]).exp(),
            });
        }
        let overlap = range[1] > range[0] && needed[0] < base[1] && needed[1] > base[0];
        (overlap.then(|| range.map(f64::exp)), limits)
    }

    fn band(&self, [low, high]: [f64; 2]) -> (f64, Vec<Place>) {
        let places: Vec<f64> = (0..PLACES)
            .map(|k| low.ln() + (high / low).ln() * k as f64 / (PLACES - 1) as f64)
            .collect();
        let best = &self.fitted.profile.best;
        let flops = |log: f64| {
            if log == places[0] {
                low
            } else if log == places[PLACES - 1] {
                high
            } else {
                log.exp()
            }
        };
        let direction = |log: &f64| -> [f64; DIRECTION] {
            let [of_base, of_variant] = self.slopes(best, *log);
            let [a, b] = rooted(&best.curves[0].inverse, of_base);
            let [c, d] = rooted(&best.curves[self.variant].inverse, of_variant);
            [
                a,
                b,
                c,
                d,
                self.fitted
                    .by_irreducible(|at| self.log_gain(at, *log).value),
            ]
        };
        let critical = self
            .fitted
            .simultaneous(&places.iter().map(direction).collect::<Vec<_>>());
        let place = |log: &f64| {
            let (value, range) = self.fitted.interval(critical, |at| self.log_gain(at, *log));
            let interval = Interval {
                low: range.low.exp(),
                high: range.high.exp(),
                ..range
            };
            Place {
                flops: flops(*log),
                gain: value.exp(),
                interval,
            }
        };
        (critical, places.iter().map(place).collect())
    }

    /// Each of the variant's cells between the two of the base's whose losses are on its either side, straight in ln C and ln L.
    fn measured(&self) -> Vec<Measured> {
        let rows = [0, self.variant].map(|place| &self.fitted.profile.rows[place]);
        let best = &self.fitted.profile.best;
        let off_law = [0, 1].map(|k| {
            let curve = &best.curves[[0, self.variant][k]];
            let [left, ..] = rows[k].columns(best.irreducible, curve.level, curve.exponent);
            left
        });
        // Every cell was tried: which of them can be read is luck as well.
        let several = rows[1].x.len() as f64;
        let shown = |cell: usize| {
            let (log, law, read) = self.reading(cell)?;
            let interval = read.interval(LEVEL);
            Some(Measured {
                flops: log.exp(),
                gain: read.value.exp(),
                interval: Interval {
                    low: interval.low.exp(),
                    high: interval.high.exp(),
                    ..interval
                },
                law: law.exp(),
                agrees: several * self.off_law(cell, &off_law).p() >= DISAGREES,
            })
        };
        (0..rows[1].x.len()).filter_map(shown).collect()
    }

    /// How far a cell lies off the law in ln L, less how far the base does where the law says it has the same loss: nothing, but
    /// for luck, where the law's gain is true. The base's cells are chosen by the law; those that a reading is between are chosen
    /// by their luck, the more so the denser they are, and a test on them refuses laws that hold.
    fn off_law(&self, cell: usize, [of_base, of_variant]: &[Vec<f64>; 2]) -> Shift {
        let [base, own] = [0, self.variant].map(|place| &self.fitted.profile.rows[place]);
        let needed = self.needed(&self.fitted.profile.best, own.x[cell] + own.middle) - base.middle;
        let above = base.x.partition_point(|x| *x < needed);
        // Beyond the base's cells the nearest stands for it.
        let above = above.clamp(1, base.x.len() - 1);
        let below = above - 1;
        let share = (needed - base.x[below]) / (base.x[above] - base.x[below]);
        let share = if share.is_finite() {
            share.clamp(0.0, 1.0)
        } else {
            0.5
        };
        let variance = own.variance(cell)
            + (1.0 - share).powi(2) * base.variance(below)
            + share.powi(2) * base.variance(above);
        let read = Shift {
            value: of_variant[cell] - (1.0 - share) * of_base[below] - share * of_base[above],
            se: (self.fitted.variance * variance).sqrt(),
            freedom: self.fitted.freedom,
        };
        self.without(read)
    }

    /// The same against the scatter of everything else: a cell far off the law would hide in the variance that it makes.
    fn without(&self, read: Shift) -> Shift {
        let of = self.fitted.profile.freedom() as f64;
        if of < 2.0 {
            return read;
        }
        let left = (of - (read.value / read.se).powi(2)) / (of - 1.0);
        Shift {
            se: read.se * left.max(0.0).sqrt(),
            freedom: read.freedom * (of - 1.0) / of,
            ..read
        }
    }

    /// Whether the base's loss falls from a cell to the next, told from its scatter over all such steps: where it is not, a gain read
    /// between the two has no bounded interval (Fieller 1954).
    fn falls(&self, cell: usize) -> bool {
        let base = &self.fitted.profile.rows[0];
        let step = Shift {
            value: base.y[cell] - base.y[cell + 1],
            se: (self.fitted.variance * (base.variance(cell) + base.variance(cell + 1))).sqrt(),
            freedom: self.fitted.freedom,
        };
        let steps = (base.x.len() - 1) as f64;
        step.value > 0.0 && steps * step.p() < 1.0 - LEVEL
    }

    /// ln C of a cell, the law's ln gain there, and the one read off the base's runs.
    fn reading(&self, cell: usize) -> Option<(f64, f64, Shift)> {
        let [base, own] = [0, self.variant].map(|place| &self.fitted.profile.rows[place]);
        let (log_flops, y) = (own.x[cell] + own.middle, own.y[cell]);
        let around = |k: &usize| {
            (base.y[*k] - y) * (base.y[k + 1] - y) <= 0.0 && base.y[*k] != base.y[k + 1]
        };
        let crossed: Vec<usize> = (0..base.x.len() - 1).filter(around).collect();
        // More than one place where the base takes this loss is no answer; a touch at a cell counts once.
        let first = *crossed.first()?;
        let touch = crossed.len() == 2 && crossed[1] == first + 1 && base.y[first + 1] == y;
        if crossed.len() > 1 && !touch || !self.falls(first) {
            return None;
        }
        let slope = (base.y[first + 1] - base.y[first]) / (base.x[first + 1] - base.x[first]);
        let share = (y - base.y[first]) / (base.y[first + 1] - base.y[first]);
        let needed = base.middle + base.x[first] + share * (base.x[first + 1] - base.x[first]);
        let parts = [
            own.variance(cell),
            (1.0 - share).powi(2) * base.variance(first),
            share.powi(2) * base.variance(first + 1),
        ];
        let se = (self.fitted.variance * parts.iter().sum::<f64>()).sqrt() / slope.abs();
        let law = self.log_gain(&self.fitted.profile.best, log_flops).value;
        Some((
            log_flops,
            law,
            Shift {
                value: needed - log_flops,
                se,
                freedom: self.fitted.freedom,
            },
        ))
    }
}

impl Along {
    /// What may be claimed once the chances are corrected.
    pub fn claim(&mut self) {
        let all =
            |inside: fn(&Interval) -> bool| self.curve.iter().all(|place| inside(&place.interval));
        let some = self
            .curve
            .iter()
            .any(|place| place.interval.low > 1.0 || place.interval.high < 1.0);
        self.side = match self.equal_laws_holm < CLAIMED && !self.curve.is_empty() {
            true if all(|i| i.low > 1.0) => Side::More,
            true if all(|i| i.high < 1.0) => Side::Less,
            true if some => Side::Partly,
            _ => Side::Unclear,
        };
        // Equal laws have equal exponents: what the first cannot refuse the second does not (closed testing).
        self.trend = match self.equal_exponents_holm.max(self.equal_laws_holm) < CLAIMED {
            true if self.per_doubling_interval.low > 1.0 => Trend::Grows,
            true if self.per_doubling_interval.high < 1.0 => Trend::Fades,
            _ => Trend::Unclear,
        };
    }

    /// Whether every gain that was read off the runs agrees with the law.
    pub fn agrees(&self) -> bool {
        self.measured.iter().all(|measured| measured.agrees)
    }
}

/// ln(L - E) of a curve.
fn reducible(curve: &Curve, x: f64) -> f64 {
    curve.level - curve.exponent * x
}

fn quadratic(matrix: &[[f64; 2]; 2], v: [f64; 2]) -> f64 {
    matrix[0][0] * v[0] * v[0] + 2.0 * matrix[0][1] * v[0] * v[1] + matrix[1][1] * v[1] * v[1]
}

/// A vector in the coordinates in which the matrix is the identity (Cholesky).
fn rooted(matrix: &[[f64; 2]; 2], v: [f64; 2]) -> [f64; 2] {
    let root = matrix[0][0].sqrt();
    let cross = matrix[0][1] / root;
    [
        v[0] * root + v[1] * cross,
        v[1] * (matrix[1][1] - cross * cross).max(0.0).sqrt(),
    ]
}
