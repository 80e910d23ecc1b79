//! How much a machine differs from itself: between sittings by its calibrations, within one by its repeats.
//!
//! A margin below that would be a promise that the machine cannot keep, so margins are raised to it.

use std::collections::{BTreeMap, BTreeSet};

use super::effect::{Effect, Method};
use super::matching::Seen;
use crate::record::ResultFile;
use crate::stat::median;

/// Sittings of one machine may differ by this much even where calibrations agree, or where there are none: a calibration need not
/// see what slows a trial. At 5% sittings that drift by 3% unseen would alarm in 7 of 100 comparisons (simulated).
pub const LEAST_DRIFT: f64 = 0.1;

/// Standard errors that an A/A comparison moves by at most, about nineteen times of twenty.
const NOISE_WIDTHS: f64 = 2.0;

/// The between-sitting noise of a comparison, as a logarithm: the least drift, and on top of it how far the calibrations of
/// all sittings in it lie apart, the widest probe counting. A calibration that moved with the machine says that the
/// trials may have as well; one that moved by itself says that nobody knows.
pub fn drift(sides: &[Vec<Seen>; 2]) -> f64 {
    let mut probes: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for file in files(&sides.concat()) {
        for row in &file.calibrations {
            let of = [
                ("gemm", row.gemm_f32_flops_per_s),
                ("gemm in bf16", row.gemm_bf16_flops_per_s),
                ("stream", row.stream_bytes_per_s),
            ];
            for (probe, value) in of.into_iter().filter_map(|(probe, value)| Some((probe, value?))) {
                probes.entry((&row.device, probe)).or_default().push(value.ln());
            }
        }
    }
    drift_of(probes.values().map(Vec::as_slice))
}

/// From the logarithms that each probe gave in all sittings.
pub fn drift_of<'a>(probes: impl Iterator<Item = &'a [f64]>) -> f64 {
    LEAST_DRIFT.ln_1p() + probes.map(range).fold(0.0, f64::max)
}

/// Each file once.
fn files<'a>(side: &[Seen<'a>]) -> Vec<&'a ResultFile> {
    let mut known = BTreeSet::new();
    side.iter().map(|seen| seen.file).filter(|file| known.insert(std::ptr::from_ref(*file))).collect()
}

fn range(logs: &[f64]) -> f64 {
    let ends = logs.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(*x), high.max(*x)));
    if logs.is_empty() { 0.0 } else { ends.1 - ends.0 }
}

/// The spread that a metric shows on this machine: the median over cells of the standard deviation of one pair (or of
/// independent trials), so that a cell whose few repeats agree by luck is judged by what the others know.
pub fn usual_sd<'a>(effects: impl Iterator<Item = &'a Effect>, method: Method) -> Option<f64> {
    let spreads: Vec<f64> = effects.filter(|effect| effect.method == method).filter_map(|effect| effect.sd).collect();
    median(&spreads)
}

/// What an A/A comparison with this spread and as many trials moves by.
pub fn floor(sd: f64, n: usize) -> f64 {
    NOISE_WIDTHS * sd / (n.max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::matching::Side;
    use super::*;
    use crate::record::example::example;

    fn drift_between(change: impl Fn(&mut ResultFile)) -> f64 {
        let mut new = example();
        change(&mut new);
        let files = [vec![("a".to_owned(), example())], vec![("b".to_owned(), new)]];
        drift(&files.each_ref().map(|files| Side::new("side", files, None).trials)).exp()
    }

    #[test]
    fn drift_is_what_calibrations_show_and_at_least_ten_percent() {
        let rows = [
            (drift_between(|_| ()), 1.1),
            (drift_between(|f| f.calibrations[1].gemm_f32_flops_per_s = Some(1.2e11)), 1.1 * 1.25),
            (drift_between(|f| f.calibrations.iter_mut().for_each(|c| c.stream_bytes_per_s = Some(4.2e10))), 2.2),
            (drift_between(|f| f.calibrations.clear()), 1.1),
            (drift_between(|f| f.calibrations.iter_mut().for_each(|c| c.device = "cuda:0".to_owned())), 1.1),
        ];
        for (found, expected) in rows {
            assert!((found - expected).abs() < 1e-9, "{found} against {expected}");
        }
    }
}
