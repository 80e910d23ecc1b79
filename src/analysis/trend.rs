//! How a gain moves with compute: its factor per doubling, over the levels at which it is solved.

use serde::Serialize;

use super::answer::Answer;
use super::form::Form;
use super::gain::Gain;
use super::scatter::Scatter;
use crate::stat::Estimate;

/// One variant's gains along its levels of compute.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trend {
    /// Whose gains.
    pub variant: String,
    /// At one size, where the base has one; with several sizes of the base, over all of the variant's.
    pub scale: Option<String>,
    /// Levels at which the gain is solved ...
    pub levels: usize,
    /// ... and those at which it is only bounded, which are left out.
    pub bounded: usize,
    /// Model FLOPs of the variant at the lowest level ...
    pub from_flops: f64,
    /// ... and at the highest.
    pub to_flops: f64,
    /// What the gain is multiplied by when compute doubles: least squares of its logarithm on that of compute.
    pub per_doubling: Estimate,
}

/// The trends of a study's answers, by variant in their order.
pub fn trends(answers: &[Answer], scatter: Option<&Scatter>) -> Vec<Trend> {
    let mut lines: Vec<(&str, Option<&str>, Vec<&Answer>)> = Vec::new();
    for answer in answers {
        let scale = (answer.base_scales.len() < 2).then_some(answer.scale.as_str());
        match lines
            .iter_mut()
            .find(|(variant, of, _)| *variant == answer.variant && *of == scale)
        {
            Some((.., levels)) => levels.push(answer),
            None => lines.push((&answer.variant, scale, vec![answer])),
        }
    }
    lines
        .into_iter()
        .filter_map(|(variant, scale, levels)| trend(variant, scale, &levels, scatter))
        .collect()
}

fn trend(
    variant: &str,
    scale: Option<&str>,
    answers: &[&Answer],
    scatter: Option<&Scatter>,
) -> Option<Trend> {
    let level =
        |answer: &&Answer| Some((answer.read_at?.train_flops.log2(), answer.log_gain.clone()?));
    let levels: Vec<(f64, Form)> = answers.iter().filter_map(level).collect();
    let middle = levels.iter().map(|(x, _)| x).sum::<f64>() / levels.len() as f64;
    let squares: f64 = levels.iter().map(|(x, _)| (x - middle).powi(2)).sum();
    let (from, to) = levels
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), (x, _)| {
            (a.min(*x), b.max(*x))
        });
    let (first, rest) = levels.split_first()?;
    let weight = |x: f64| (x - middle) / squares;
    let slope = rest
        .iter()
        .fold(first.1.times(weight(first.0)), |sum, (x, log)| {
            sum.minus(log, -weight(*x))
        });
    let bounded = answers
        .iter()
        .filter(|a| matches!(a.headline(), Gain::MoreThan(_) | Gain::LessThan(_)))
        .count();
    (squares > 0.1).then(|| Trend {
        variant: variant.to_owned(),
        scale: scale.map(str::to_owned),
        levels: levels.len(),
        bounded,
        from_flops: from.exp2(),
        to_flops: to.exp2(),
        per_doubling: slope.ratio(scatter),
    })
}

#[cfg(test)]
mod tests {
    use crate::analysis::study::studies;
    use crate::record::example::study_of;

    /// A gain that falls by a fifth when compute doubles is found to do so.
    #[test]
    fn the_factor_per_doubling_is_found() {
        let cells: Vec<(&str, u64)> = [100, 200, 400, 800, 1600, 3200]
            .map(|steps| ("gpt2", steps))
            .into_iter()
            .chain([200, 400, 800].map(|steps| ("modern", steps)))
            .collect();
        let file = study_of(&cells, 3, |variant, steps, repeat| {
            let steps = steps as f64;
            let worth = if variant == "modern" {
                2.5 * 0.8_f64.powf((steps / 200.0).log2())
            } else {
                1.0
            };
            Some(2.0 * (worth * steps / 400.0).powf(-0.3) * (1.0 + 1e-3 * repeat as f64))
        });
        let study = studies(&file, None, None, None).unwrap().remove(0);
        let [trend] = &study.trends[..] else {
            panic!("{:?}", study.trends)
        };
        assert!((trend.per_doubling.value - 0.8).abs() < 1e-6, "{trend:?}");
        let interval = trend.per_doubling.interval.unwrap();
        assert!(
            interval.low <= 0.8 + 1e-9 && interval.high >= 0.8 - 1e-9,
            "{trend:?}"
        );
        assert_eq!(
            (trend.levels, trend.bounded, trend.scale.as_deref()),
            (3, 0, Some("w32"))
        );
        assert!((trend.to_flops / trend.from_flops - 4.0).abs() < 1e-9);
    }
}
