//! Gains as a function of compute, from result files: the joint law over the variants of each kind of data, held against the
//! gains that were measured at each cell.

use serde::Serialize;

use super::fit::joint::{self, Along, Joint, Measured, Place};
use super::fit::points::{Counted, of_trials};
use super::fit::{Irreducible, Plan, fit};
use super::gain::Gain;
use super::question::Unanswered;
use super::stratum::{Stratum, strata};
use super::study::{Study, studies};
use crate::error::Error;
use crate::record::ResultFile;
use crate::stat::{Estimate, Interval};

/// The joint law on one kind of data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OverCompute {
    /// What the data are.
    pub data: String,
    /// The variant whose compute is the currency.
    pub base: String,
    /// What was found.
    pub joint: Option<Joint>,
    /// Why nothing was, a sentence without a full stop.
    pub reason: Option<String>,
    /// What counts as a FLOP; what was left out.
    pub notes: Vec<String>,
}

/// Every kind of data on which the base ran, with E from where `irreducible` says; `base` where the file names none or another is wanted, `only` one variant.
pub fn over_compute(
    file: &ResultFile,
    irreducible: Option<Irreducible>,
    base: Option<&str>,
    only: Option<&str>,
) -> Result<Vec<OverCompute>, Unanswered> {
    let base = base
        .or(file.run.base.as_deref())
        .ok_or(Unanswered::NoQuestion)?;
    let studies = studies(file, None, Some(base), None)?;
    let here = |stratum: &&Stratum| stratum.variants().contains(&base);
    let of = |stratum: &Stratum| {
        let study = studies.iter().find(|study| study.data == stratum.data);
        over(stratum, irreducible, base, only, study)
    };
    Ok(strata(file, None).iter().filter(here).map(of).collect())
}

fn over(
    stratum: &Stratum,
    irreducible: Option<Irreducible>,
    base: &str,
    only: Option<&str>,
    study: Option<&Study>,
) -> OverCompute {
    let (data, base) = (stratum.data.clone(), base.to_owned());
    match fitted(stratum, irreducible, &base) {
        Ok((mut joint, notes)) => {
            joint
                .gains
                .retain(|along| only.is_none_or(|only| only == along.variant));
            joint.refused.retain(|refused| {
                only.is_none_or(|only| only == refused.group || base == refused.group)
            });
            for along in &mut joint.gains {
                let told = study
                    .map(|study| told(stratum, study, along))
                    .unwrap_or_default();
                if !told.is_empty() {
                    along.measured = told;
                }
            }
            OverCompute {
                data,
                base,
                joint: Some(joint),
                reason: None,
                notes,
            }
        }
        Err(why) => OverCompute {
            data,
            base,
            joint: None,
            reason: Some(why.message),
            notes: Vec::new(),
        },
    }
}

/// The law over all variants; where nothing is asked, E is known from the oracle where sizes differ, else free.
fn fitted(
    stratum: &Stratum,
    irreducible: Option<Irreducible>,
    base: &str,
) -> Result<(Joint, Vec<String>), Error> {
    let mut points = of_trials(&stratum.trials, Counted::Total)?;
    // The first group is the law's base.
    points.points.sort_by_key(|point| point.group != base);
    let plan = Plan {
        irreducible,
        drop_highest: 0,
        draws: 0,
    };
    let found = fit(&joint::LAW, &points, &plan)?;
    let joint = found
        .joint
        .ok_or_else(|| Error::internal("the joint law found nothing"))?;
    Ok((joint, found.notes))
}

/// The gains that were measured at the variant's cells, beside the law's; they agree where their intervals meet.
fn told(stratum: &Stratum, study: &Study, along: &Along) -> Vec<Measured> {
    let answers = study
        .answers
        .iter()
        .filter(|answer| answer.variant == along.variant);
    let measured = |answer: &super::Answer| {
        let Gain::Solved(Estimate {
            value,
            interval: Some(interval),
            ..
        }) = answer.headline()
        else {
            return None;
        };
        let trial = stratum.trials.iter().find(|trial| {
            trial.variant == answer.variant
                && trial.scale == answer.scale
                && trial.budget == answer.budget
        })?;
        let flops = trial.train_flops()?;
        let place = read(&along.curve, flops)?;
        let band = place.interval;
        let agrees = band.low <= interval.high && interval.low <= band.high;
        Some(Measured {
            flops,
            gain: value,
            interval,
            law: place.gain,
            agrees,
        })
    };
    answers.filter_map(measured).collect()
}

/// The law's gain and band between two places, straight in logarithms; `None` outside of what is told.
fn read(curve: &[Place], flops: f64) -> Option<Place> {
    // The range's ends are cells themselves, and logarithms round.
    let beside = |at: f64| (flops / at).ln().abs() < 1e-9;
    if let Some(place) = curve.iter().find(|place| beside(place.flops)) {
        return Some(*place);
    }
    let pair = curve
        .windows(2)
        .find(|pair| pair[0].flops <= flops && flops <= pair[1].flops)?;
    let share = (flops / pair[0].flops).ln() / (pair[1].flops / pair[0].flops).ln();
    let between = |of: fn(&Place) -> f64| {
        (of(&pair[0]).ln() * (1.0 - share) + of(&pair[1]).ln() * share).exp()
    };
    let interval = Interval {
        low: between(|place| place.interval.low),
        high: between(|place| place.interval.high),
        level: pair[0].interval.level,
    };
    Some(Place {
        flops,
        gain: between(|place| place.gain),
        interval,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;
    use crate::record::store::read_valid;

    /// At every cell of the committed files at which a gain was measured the law's band holds it, and one question has one
    /// answer; recipes that ran at one budget have none, and say so.
    #[test]
    fn the_law_agrees_with_what_was_measured() {
        let path = format!(
            "{}/tests/fixtures/one_width/gain-epyc-19h-2c-linux.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let file = read_valid(std::path::Path::new(&path)).unwrap();
        let found = over_compute(&file, None, None, None).unwrap();
        let joint = found[0].joint.as_ref().unwrap();
        assert!(
            joint.gains.len() >= 6 && joint.off_the_law().is_empty(),
            "{:?}",
            joint.refused
        );
        for along in &joint.gains {
            assert!(
                !along.measured.is_empty() && along.agrees(),
                "{}: {:?}",
                along.variant,
                along.measured
            );
        }
        assert!(
            joint
                .refused
                .iter()
                .all(|refused| !refused.why.off_the_law()),
            "{:?}",
            joint.refused
        );
        let one = over_compute(&file, None, None, Some("modern")).unwrap();
        let one = one[0].joint.as_ref().unwrap();
        assert_eq!(
            one.gains
                .iter()
                .map(|along| along.variant.as_str())
                .collect::<Vec<_>>(),
            ["modern"]
        );
        assert_eq!(
            one.gains[0].curve,
            joint
                .gains
                .iter()
                .find(|along| along.variant == "modern")
                .unwrap()
                .curve
        );
    }

    #[test]
    fn without_budgets_there_is_a_reason() {
        let found = over_compute(&example(), None, None, None).unwrap();
        assert_eq!(found[0].joint, None);
        let reason = found[0].reason.as_deref().unwrap();
        assert!(reason.contains("modern spans 2 budgets"), "{reason}");
    }
}
