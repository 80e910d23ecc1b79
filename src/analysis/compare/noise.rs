//! How much a machine differs from itself between two sessions, by its calibrations. A margin below that would be a promise that nobody
//! can keep, so margins between sessions are raised to it, and that is said.

use std::collections::{BTreeMap, BTreeSet};

use super::matching::Seen;
use crate::record::{At, ResultFile};
use crate::stat::{mean, median};

/// Sittings of one machine may differ by this much even where calibrations agree, or where there are none: a calibration need not
/// see what slows a trial. At 5% sessions that drift by 3% unseen would alarm in 7 of 100 comparisons (simulated).
pub const LEAST_DRIFT: f64 = 0.1;

/// How far two sides' sessions may lie apart for no reason in the program, as a logarithm: the least drift, and on top of it what
/// calibrations show, the widest probe counting: how far the two sides' usual levels lie apart, or how far a usual
/// session moves between its calibrations, whichever is more. A calibration that moved with the machine says that the
/// trials may have as well; one that moved by itself says that nobody knows. More sessions make no wider margin.
pub fn drift(sides: &[Vec<Seen>; 2]) -> f64 {
    let mut probes: BTreeMap<(&str, &str), [Vec<Vec<f64>>; 2]> = BTreeMap::new();
    for (place, side) in sides.iter().enumerate() {
        for file in files(side) {
            for (probe, sessions) in calibrated(file) {
                probes.entry(probe).or_default()[place].extend(sessions);
            }
        }
    }
    drift_of(probes.values())
}

/// From the logarithms that each probe gave in each session of each side.
pub fn drift_of<'a>(probes: impl Iterator<Item = &'a [Vec<Vec<f64>>; 2]>) -> f64 {
    let shown = |sides: &[Vec<Vec<f64>>; 2]| {
        let levels = sides.each_ref().map(|side| {
            let sessions: Vec<f64> = side.iter().filter_map(|logs| mean(logs)).collect();
            median(&sessions)
        });
        let apart = levels[0]
            .zip(levels[1])
            .map_or(0.0, |(base, new)| (new - base).abs());
        let within = sides
            .each_ref()
            .map(|side| median(&side.iter().map(|logs| range(logs)).collect::<Vec<_>>()));
        within.into_iter().flatten().fold(apart, f64::max)
    };
    LEAST_DRIFT.ln_1p() + probes.map(shown).fold(0.0, f64::max)
}

/// What one file's calibrations found, as logarithms by device and probe, session by session: each begins with a calibration before it.
fn calibrated(file: &ResultFile) -> BTreeMap<(&str, &'static str), Vec<Vec<f64>>> {
    let mut found: BTreeMap<(&str, &'static str), Vec<Vec<f64>>> = BTreeMap::new();
    for row in &file.calibrations {
        let of = [
            ("gemm", row.gemm_f32_flops_per_s),
            ("gemm in bf16", row.gemm_bf16_flops_per_s),
            ("stream", row.stream_bytes_per_s),
        ];
        for (probe, value) in of
            .into_iter()
            .filter_map(|(probe, value)| Some((probe, value?)))
        {
            let sessions = found.entry((&row.device, probe)).or_default();
            match sessions.last_mut().filter(|_| row.at == At::After) {
                Some(session) => session.push(value.ln()),
                None => sessions.push(vec![value.ln()]),
            }
        }
    }
    found
}

/// Each file once.
fn files<'a>(side: &[Seen<'a>]) -> Vec<&'a ResultFile> {
    let mut known = BTreeSet::new();
    side.iter()
        .map(|seen| seen.file)
        .filter(|file| known.insert(std::ptr::from_ref(*file)))
        .collect()
}

fn range(logs: &[f64]) -> f64 {
    let ends = logs
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
            (low.min(*x), high.max(*x))
        });
    if logs.is_empty() {
        0.0
    } else {
        ends.1 - ends.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::matching::Side;
    use super::*;
    use crate::record::example::example;

    fn drift_between(change: impl Fn(&mut ResultFile)) -> f64 {
        let mut new = example();
        change(&mut new);
        let files = [
            vec![("a".to_owned(), example())],
            vec![("b".to_owned(), new)],
        ];
        drift(
            &files
                .each_ref()
                .map(|files| Side::new("side", files, None).trials),
        )
        .exp()
    }

    #[test]
    fn drift_is_what_calibrations_show_and_at_least_ten_percent() {
        let rows = [
            (drift_between(|_| ()), 1.1),
            (
                drift_between(|f| f.calibrations[1].gemm_f32_flops_per_s = Some(1.2e11)),
                1.1 * 1.25,
            ),
            (
                drift_between(|f| {
                    f.calibrations
                        .iter_mut()
                        .for_each(|c| c.stream_bytes_per_s = Some(4.2e10))
                }),
                2.2,
            ),
            (drift_between(|f| f.calibrations.clear()), 1.1),
            (
                drift_between(|f| {
                    f.calibrations
                        .iter_mut()
                        .for_each(|c| c.device = "cuda:0".to_owned())
                }),
                1.1,
            ),
        ];
        for (found, expected) in rows {
            assert!(
                (found - expected).abs() < 1e-9,
                "{found} against {expected}"
            );
        }
    }

    /// A hundred nights whose calibrations wander by 10% a night allow no more than two of them do.
    #[test]
    fn more_sessions_make_no_wider_margin() {
        let wander = |night: usize| 0.1 * ((night * 7) % 11) as f64 / 11.0;
        let side = |nights: std::ops::Range<usize>| -> Vec<Vec<f64>> {
            nights
                .map(|night| vec![wander(night), wander(night) + 0.02])
                .collect()
        };
        let [few, many] = [1, 100].map(|nights| drift_of([[side(0..nights), side(3..4)]].iter()));
        assert!(many <= few + 1e-12, "{many} against {few}");
        assert!(many < 0.1_f64.ln_1p() + 0.1, "{many}");
    }
}
