//! One law over variants: L_v(C) = E + A_v C^-a_v with one E for all of them, and what each is worth over a base as a function
//! of compute.
//!
//! [`arm`] chooses the runs, [`noise`] weighs them, [`profile`] fits, [`doubt`] says whether they lie on the law, [`band`] how
//! far a figure can be trusted and [`gain`] what the figures are.
//!
//! A cell's mean of ln L counts once, however many repeats it has; the variance of everything is that of cells' means about the
//! law, which holds the luck of seeds and what all repeats of a cell share alike.

use serde::Serialize;

use super::form::{Form, Law};
use super::interval::Bounds;
use super::points::Point;
use super::study::Irreducible;
use crate::error::{Error, Result};
use crate::stat::holm;

pub mod arm;
pub mod noise;
pub mod profile;
pub mod band;
pub mod doubt;
pub mod gain;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;

pub use arm::Used;
pub use band::Test;
pub use doubt::{Bend, Scatter};
pub use gain::{Along, Limit, Measured, Place, Side, Trend};

use arm::{Arm, BUDGETS};
use band::{Figure, Fitted};
use gain::Asked;
use noise::{Luck, Precision};
use profile::{Profile, Rows};

/// The law.
pub const LAW: Law = Law {
    name: "joint",
    formula: "L_v = E + A_v C^-a_v, one E",
    about: "Loss against training FLOPs over all groups at once, and each group's gain over a base as a function of compute.",
    source: "Gundlach et al. 2025, arXiv 2511.21622, section 2",
    form: Form::Joint,
};

/// A loss that falls no faster does not fall.
const FLATTEST: f64 = 1e-4;
/// An arm bends below this chance, after Holm over arms.
const BENDS: f64 = 0.01;

/// The law over all arms.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Joint {
    /// The group whose compute is the currency.
    pub base: String,
    /// Where E comes from.
    pub irreducible: Irreducible,
    /// E, in nats.
    pub e: f64,
    /// Values of E that are not refused; absent where it is held.
    pub e_interval: Option<Bounds>,
    /// The base first.
    pub arms: Vec<Member>,
    /// Groups of which there is no gain, and why.
    pub refused: Vec<Refused>,
    /// How cells scatter about the law.
    pub scatter: Scatter,
    /// What each group is worth, in the order of the points.
    pub gains: Vec<Along>,
}

/// One arm of the law.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Member {
    /// The group.
    pub group: String,
    /// Which of its cells were used.
    pub used: Used,
    /// Cells used.
    pub cells: usize,
    /// Runs in them.
    pub runs: usize,
    /// Smallest and largest C, in FLOP.
    pub flops: [f64; 2],
    /// Smallest and largest N, where known.
    pub params: Option<[f64; 2]>,
    /// A: the reducible loss at C = 1 FLOP, in nats.
    pub scale: f64,
    /// a.
    pub exponent: f64,
    /// Its interval, over every E that is not refused.
    pub exponent_interval: Bounds,
    /// Whether its runs bend away from the law.
    pub bend: Bend,
}

/// A group without a gain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refused {
    /// The group.
    pub group: String,
    /// Why.
    #[serde(flatten)]
    pub why: Why,
    /// The one cell without which its runs lie on the law, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub but_for: Option<Odd>,
}

/// A cell that reached less than a cheaper one did, as a run that diverged does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Odd {
    /// C, in FLOP.
    pub flops: f64,
    /// Its loss.
    pub loss: f64,
}

/// Why there is no gain.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Why {
    /// Too few budgets for a law.
    Short {
        /// Distinct budgets.
        budgets: usize,
        /// Of so many cells, where only their lower envelope counts.
        of: Option<usize>,
    },
    /// More compute does not reach lower losses.
    Rises,
    /// The runs do not lie on the law.
    Bends {
        /// The most that it misses by for want of a bend, as a share of the loss.
        worst: f64,
        /// Chance of that, after Holm over arms.
        p: f64,
    },
}

impl Why {
    /// Whether the runs do not lie on the law; else there is too little of them.
    pub fn off_the_law(self) -> bool {
        !matches!(self, Self::Short { .. })
    }
}

fn short(arm: &Arm) -> Refused {
    let of = if let Used::Envelope { of, .. } = arm.used {
        Some(of)
    } else {
        None
    };
    Refused {
        group: arm.group.clone(),
        why: Why::Short {
            budgets: arm.budgets(),
            of,
        },
        but_for: None,
    }
}

/// How to fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asks<'a> {
    /// The base; absent: the first group.
    pub base: Option<&'a str>,
    /// Where E comes from.
    pub irreducible: Irreducible,
    /// E, where it is held.
    pub held: Option<f64>,
}

/// Fits the law to groups of points and asks it for every gain over the base.
pub fn joint(groups: &[Vec<Point>], asks: Asks) -> Result<Joint> {
    let (arms, mut refused) = arms(groups, asks.base)?;
    below_all(asks.held, &arms)?;
    let mut law = Joined::fit(arms, asks.held)?;
    // The worst arm goes, and with it what it did to E, until none is off; a base that is off leaves nothing to compare with.
    while let Some((place, why)) = law.worst() {
        refused.push(Refused {
            but_for: law.odd(place, asks.held),
            ..why
        });
        if place == 0 || law.arms.len() == 2 {
            return Ok(law.found(asks, refused, false));
        }
        let mut arms = law.arms;
        arms.remove(place);
        law = Joined::fit(arms, asks.held)?;
    }
    Ok(law.found(asks, refused, true))
}

/// The arms that span enough, the base first, and those that do not.
fn arms(groups: &[Vec<Point>], base: Option<&str>) -> Result<(Vec<Arm>, Vec<Refused>)> {
    let mut arms: Vec<Arm> = groups.iter().map(|points| Arm::of(points)).collect();
    let base = base.map_or_else(
        || arms.first().map_or(String::new(), |arm| arm.group.clone()),
        str::to_owned,
    );
    let Some(place) = arms.iter().position(|arm| arm.group == base) else {
        let known = arms.iter().map(|arm| arm.group.as_str());
        return Err(Error::input(format!("the base {base} has no runs")).suggest(&base, known));
    };
    let first = arms.remove(place);
    if arms.is_empty() {
        return Err(Error::input(format!(
            "a joint law compares groups, and {base} is the only one"
        ))
        .hint("--map group=COLUMN says which column names the group; --law power fits one group"));
    }
    arms.insert(0, first);
    let (kept, short): (Vec<Arm>, Vec<Arm>) =
        arms.into_iter().partition(|arm| arm.budgets() >= BUDGETS);
    if kept.first().is_none_or(|arm| arm.group != base) || kept.len() < 2 {
        let short = short.first().map_or((base.as_str(), 0), |arm| {
            (arm.group.as_str(), arm.budgets())
        });
        let message = format!(
            "{} spans {} budgets, and a law of compute takes {BUDGETS}",
            short.0, short.1
        );
        return Err(Error::input(message).hint("run base and variant at three budgets or more"));
    }
    let refused = short.iter().map(self::short).collect();
    Ok((kept, refused))
}

fn below_all(held: Option<f64>, arms: &[Arm]) -> Result<()> {
    let losses = arms.iter().flat_map(|arm| {
        arm.cells
            .iter()
            .map(|cell| (cell.log_loss().exp(), &arm.group))
    });
    let Some((lowest, group)) = losses.min_by(|a, b| a.0.total_cmp(&b.0)) else {
        return Ok(());
    };
    match held {
        Some(e) if e >= lowest => Err(Error::input(format!(
            "E = {e} is not below the lowest loss, {lowest:.4} of {group}"
        ))
        .hint(
            "the irreducible loss lies under every loss seen: --irreducible free lets the data say",
        )),
        _ => Ok(()),
    }
}

/// Arms with the law fitted to them.
struct Joined {
    arms: Vec<Arm>,
    fitted: Fitted,
    scatter: Scatter,
}

impl Joined {
    /// With equal weights first; then, where repeats show luck, with the weights that this makes.
    fn fit(arms: Vec<Arm>, held: Option<f64>) -> Result<Self> {
        let equal: Vec<Precision> = arms.iter().map(Precision::equal).collect();
        let mut profile = profile(&arms, &equal, held);
        let luck = Luck::of(&arms);
        if let Some(luck) = &luck {
            let scatter = profile.best.sum_of_squares / profile.freedom().max(1) as f64;
            let weighed = Precision::of(&arms, luck, scatter);
            if weighed != equal {
                profile = self::profile(&arms, &weighed, held);
            }
        }
        let scatter = Scatter::of(&arms, &profile, luck.as_ref());
        let fitted = Fitted::new(profile, scatter.of_cells.powi(2), scatter.freedom);
        let fitted =
            fitted.ok_or_else(|| Error::internal("a joint law without a degree of freedom"))?;
        Ok(Self {
            arms,
            fitted,
            scatter,
        })
    }

    fn bends(&self) -> Vec<Bend> {
        let of = |place| Bend::of(&self.fitted.profile, place, &self.scatter);
        let mut bends: Vec<Bend> = (0..self.arms.len()).map(of).collect();
        let adjusted = holm(&bends.iter().map(|bend| bend.test.p).collect::<Vec<f64>>());
        bends
            .iter_mut()
            .zip(adjusted)
            .for_each(|(bend, p)| bend.p_holm = p);
        bends
    }

    /// The arm that lies furthest off the law, if any is off, and why.
    fn worst(&self) -> Option<(usize, Refused)> {
        let curves = &self.fitted.profile.best.curves;
        let off = |place: usize, why| {
            Some((
                place,
                Refused {
                    group: self.arms[place].group.clone(),
                    why,
                    but_for: None,
                },
            ))
        };
        if let Some(place) = (0..curves.len()).find(|place| curves[*place].exponent < FLATTEST) {
            return off(place, Why::Rises);
        }
        let bends = self.bends();
        let place =
            (0..bends.len()).min_by(|a, b| bends[*a].test.p.total_cmp(&bends[*b].test.p))?;
        let Bend {
            p_holm: p, worst, ..
        } = bends[place];
        if p < BENDS {
            off(place, Why::Bends { worst, p })
        } else {
            None
        }
    }

    /// The cell that rises most above a cheaper one, where without it this arm lies on the law: what one bad run does is said of it
    /// and not of the arm.
    fn odd(&self, place: usize, held: Option<f64>) -> Option<Odd> {
        let cells = &self.arms[place].cells;
        let mut lowest = f64::INFINITY;
        let rise = |cell: &arm::Cell| {
            let rise = cell.log_loss() - lowest;
            lowest = lowest.min(cell.log_loss());
            rise
        };
        let rises: Vec<f64> = cells.iter().map(rise).collect();
        let most = (0..cells.len()).max_by(|a, b| rises[*a].total_cmp(&rises[*b]))?;
        let mut arms = self.arms.clone();
        arms[place].cells.remove(most);
        if rises[most] <= 0.0 || arms[place].budgets() < BUDGETS {
            return None;
        }
        let without = Self::fit(arms, held).ok()?.worst();
        without
            .is_none_or(|(other, _)| other != place)
            .then(|| Odd {
                flops: cells[most].flops,
                loss: cells[most].log_loss().exp(),
            })
    }

    fn found(self, asks: Asks, refused: Vec<Refused>, with_gains: bool) -> Joint {
        let bends = self.bends();
        let members = (0..self.arms.len())
            .map(|place| self.member(place, bends[place]))
            .collect();
        let variants = if with_gains { 1..self.arms.len() } else { 0..0 };
        let asked = |variant| Asked {
            fitted: &self.fitted,
            arms: &self.arms,
            variant,
        };
        let mut gains: Vec<Along> = variants.map(|variant| asked(variant).along()).collect();
        let adjusted = |of: fn(&Along) -> f64, gains: &[Along]| {
            holm(&gains.iter().map(of).collect::<Vec<f64>>())
        };
        let exponents = adjusted(|along| along.equal_exponents.p, &gains);
        let laws = adjusted(|along| along.equal_laws.p, &gains);
        for ((along, exponent), law) in gains.iter_mut().zip(exponents).zip(laws) {
            (along.equal_exponents_holm, along.equal_laws_holm) = (exponent, law);
            along.claim();
        }
        let rise = self.fitted.single().powi(2) * self.fitted.variance;
        Joint {
            base: self.arms[0].group.clone(),
            irreducible: asks.irreducible,
            e: self.fitted.profile.best.irreducible,
            e_interval: self.fitted.profile.bounds(rise),
            arms: members,
            refused,
            scatter: self.scatter,
            gains,
        }
    }

    fn member(&self, place: usize, bend: Bend) -> Member {
        let (arm, curve) = (&self.arms[place], &self.fitted.profile.best.curves[place]);
        let middle = self.fitted.profile.rows[place].middle;
        let exponent = |at: &profile::At| Figure {
            value: at.curves[place].exponent,
            variance: at.curves[place].inverse[1][1],
        };
        let (_, interval) = self.fitted.interval(self.fitted.single(), exponent);
        let ends = [interval.low, interval.high].map(|end| end.is_finite().then_some(end));
        Member {
            group: arm.group.clone(),
            used: arm.used,
            cells: arm.cells.len(),
            runs: arm.runs(),
            flops: arm.flops(),
            params: arm.params(),
            scale: (curve.level + curve.exponent * middle).exp(),
            exponent: curve.exponent,
            exponent_interval: Bounds {
                low: ends[0],
                high: ends[1],
                level: interval.level,
            },
            bend,
        }
    }
}

fn profile(arms: &[Arm], precisions: &[Precision], held: Option<f64>) -> Profile {
    let rows = arms.iter().zip(precisions).map(|(arm, precision)| {
        let flops: Vec<f64> = arm.cells.iter().map(|cell| cell.flops.ln()).collect();
        Rows::new(
            &flops,
            arm.cells.iter().map(arm::Cell::log_loss).collect(),
            precision,
        )
    });
    Profile::new(rows.collect(), held)
}

impl Joint {
    /// Whether E is closed on both sides, or held.
    pub fn identifies_e(&self) -> bool {
        self.e_interval.is_none_or(|bounds| bounds.closed())
    }

    /// Groups whose runs do not lie on the law, or whose measured gains contradict it.
    pub fn off_the_law(&self) -> Vec<&str> {
        let refused = self
            .refused
            .iter()
            .filter(|refused| refused.why.off_the_law())
            .map(|refused| refused.group.as_str());
        refused
            .chain(
                self.gains
                    .iter()
                    .filter(|along| !along.agrees())
                    .map(|along| along.variant.as_str()),
            )
            .collect()
    }
}
