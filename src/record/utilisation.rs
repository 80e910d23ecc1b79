//! Shares of a machine's measured peaks. A calibration that other programs slowed down is no peak, and one before the trials can be: a
//! share is of the best that any calibration of the run saw, and one beyond it is left out with a reason.

use super::ResultFile;
use super::metric::{self, Metric};
use super::origin::Calibration;
use super::trial::Trial;

/// Above its peak something computes only if the peak was not one.
const SLOWED: &str = "faster than the peak that was measured: what else ran on the machine slowed the measurement down";
/// What a step reads may lie in a cache, which is faster than memory.
const CACHED: &str = "faster than memory was measured to be copied: a cache holds what a step reads, or other programs slowed the copy down";

/// What a device was measured to reach.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Peaks {
    /// Products of matrices in what a trial multiplies in.
    pub flops_per_s: Option<f64>,
    /// A copy in memory, bytes read and written.
    pub bytes_per_s: Option<f64>,
}

impl Peaks {
    /// The best of all calibrations of the trial's machine and device.
    pub fn best(calibrations: &[Calibration], trial: &Trial) -> Self {
        let asked = trial.asked();
        let device = asked.device();
        let own = |row: &&Calibration| {
            row.machine == trial.machine && device.is_none_or(|device| device == row.device)
        };
        let own = || calibrations.iter().filter(own);
        let dtype = asked.multiplies_in();
        Self {
            flops_per_s: own()
                .filter_map(|row| row.peak_flops_per_s(dtype))
                .reduce(f64::max),
            bytes_per_s: own()
                .filter_map(|row| row.stream_bytes_per_s)
                .reduce(f64::max),
        }
    }
}

impl ResultFile {
    /// The same with every trial held against the best of the calibrations that are there, for who reads it: what a trial wrote stays
    /// as it was written, and a run that is continued is calibrated again.
    pub fn held_against_best(&self) -> Self {
        let mut file = self.clone();
        for trial in &mut file.trials {
            let peaks = Peaks::best(&file.calibrations, trial);
            trial.hold_against(peaks);
        }
        file
    }
}

impl Trial {
    /// Sets the shares of these peaks that training and decoding reached, where both a rate and its peak are known.
    pub fn hold_against(&mut self, peaks: Peaks) {
        for (name, rate, peak) in [
            (metric::MFU, self.train_flops_per_s(), peaks.flops_per_s),
            (metric::MBU, self.decode_bytes_per_s(), peaks.bytes_per_s),
        ] {
            let share = rate.zip(peak).map(|(rate, peak)| rate / peak);
            if let Some(share) = share {
                self.metrics
                    .insert(name.to_owned(), Metric::value(name, share));
            }
        }
        self.withhold_impossible();
    }

    /// Takes back shares above 1, as files from before hold them.
    pub fn withhold_impossible(&mut self) {
        for (name, why) in [(metric::MFU, SLOWED), (metric::MBU, CACHED)] {
            if let Some(share) = self.metrics.get_mut(name)
                && share.value.is_some_and(|share| share > 1.0)
            {
                *share = Metric::absent(name, why);
            }
        }
    }

    /// Of the model's products, over all seconds after the warm-up.
    fn train_flops_per_s(&self) -> Option<f64> {
        let cost = self.cost.as_ref()?;
        Some(self.metric(metric::TRAIN_TOKENS_PER_S)? * cost.train_flops_per_token)
    }

    /// Bytes of weights and cache that decoding reads, over its median step.
    fn decode_bytes_per_s(&self) -> Option<f64> {
        let steps_per_s = self.metric(metric::DECODE_TOKENS_PER_S)? / self.asked().served_batch();
        let bytes =
            self.metric(metric::WEIGHTS_READ_BYTES)? + self.metric(metric::CACHE_READ_BYTES)?;
        Some(bytes * steps_per_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::At;
    use crate::record::example::example;

    /// A trial that trains at 5e9 FLOP/s and reads 4e9 bytes a second, between two calibrations.
    fn between(before: (f64, f64), after: (f64, f64)) -> ResultFile {
        let mut file = example();
        file.trials.truncate(1);
        let trial = &mut file.trials[0];
        let per_token = trial.cost.as_ref().unwrap().train_flops_per_token;
        trial.spec["infer"] = serde_json::json!({"batch": 8});
        for (name, value) in [
            (metric::TRAIN_TOKENS_PER_S, 5e9 / per_token),
            (metric::DECODE_TOKENS_PER_S, 80.0),
            (metric::WEIGHTS_READ_BYTES, 3e8),
            (metric::CACHE_READ_BYTES, 1e8),
        ] {
            trial
                .metrics
                .insert(name.to_owned(), Metric::value(name, value));
        }
        file.calibrations.truncate(1);
        let first = &mut file.calibrations[0];
        (first.gemm_f32_flops_per_s, first.stream_bytes_per_s) = (Some(before.0), Some(before.1));
        let mut second = first.clone();
        second.at = At::After;
        (second.gemm_f32_flops_per_s, second.stream_bytes_per_s) = (Some(after.0), Some(after.1));
        file.calibrations.push(second);
        file
    }

    #[test]
    fn a_share_is_of_the_best_calibration_and_never_above_one() {
        let rows = [
            // Neighbours slowed the first one down, or the second.
            ((1e9, 8e8), (1e10, 1e10), Some(0.5), Some(0.4)),
            ((1e10, 1e10), (1e9, 8e8), Some(0.5), Some(0.4)),
            // They slowed both down.
            ((1e9, 8e8), (2e9, 9e8), None, None),
        ];
        for (before, after, mfu, mbu) in rows {
            let file = between(before, after).held_against_best();
            let found = |name: &str| file.trials[0].metrics[name].clone();
            for (name, expected) in [(metric::MFU, mfu), (metric::MBU, mbu)] {
                let found = found(name);
                assert_eq!(found.reason.is_some(), expected.is_none(), "{found:?}");
                let near = |(a, b): (f64, f64)| (a - b).abs() < 1e-12;
                assert!(
                    found.value.zip(expected).is_none_or(near)
                        && found.value.is_some() == expected.is_some(),
                    "{found:?}"
                );
            }
        }
    }

    #[test]
    fn peaks_of_another_machine_device_or_type_do_not_count() {
        let mut file = between((1e10, 1e10), (2e10, 2e10));
        file.calibrations[1].machine = 7;
        let best = |file: &ResultFile| Peaks::best(&file.calibrations, &file.trials[0]);
        let peaks = |flops, bytes| Peaks {
            flops_per_s: flops,
            bytes_per_s: bytes,
        };
        assert_eq!(best(&file), peaks(Some(1e10), Some(1e10)));
        file.trials[0].spec["compute"]["products"] = "bf16".into();
        assert_eq!(best(&file), peaks(None, Some(1e10)));
        file.trials[0].spec["compute"]["device"] = "cuda:3".into();
        assert_eq!(best(&file), peaks(None, None));
    }
}
