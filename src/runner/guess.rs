//! How long a trial takes on a device: a guess, from the peak that was measured there and the share of it that training reaches.

use crate::record::{Asked, Calibration};

use super::besides::{Decoded, Drafting, Served};
use super::plan::PreparedCell;

/// How fast a device is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    /// FLOP/s of large matrix products.
    pub peak_flops_per_s: f64,
    /// Bytes that memory gives a second.
    pub bytes_per_s: f64,
    /// Shares of the peak that steps reach; all of it where the peak is itself what a plan assumes.
    pub reached: bool,
}

impl Speed {
    /// What a calibration says, where it has a peak.
    pub fn of(calibration: &Calibration) -> Option<Self> {
        let peak = calibration.gemm_f32_flops_per_s?;
        let copied = calibration.stream_bytes_per_s;
        (peak > 0.0 && peak.is_finite()).then_some(Self {
            peak_flops_per_s: peak,
            bytes_per_s: copied.unwrap_or(peak / BALANCE),
            reached: true,
        })
    }

    /// What is assumed of a device that nobody measured.
    pub fn nominal(flops_per_s: f64) -> Self {
        Self {
            peak_flops_per_s: flops_per_s,
            bytes_per_s: flops_per_s / BALANCE,
            reached: false,
        }
    }

    /// Seconds of some FLOPs in pieces of that size.
    fn seconds(&self, flops: f64, piece: f64) -> f64 {
        let share = if self.reached { share(piece) } else { 1.0 };
        flops / (self.peak_flops_per_s * share)
    }

    /// Seconds of steps of decoding: what they read and what they compute do not hide one another.
    fn decoding(&self, decoded: &Decoded) -> f64 {
        let compute_s = SLOWER * self.seconds(decoded.step_flops, decoded.step_flops);
        decoded.steps * (compute_s + decoded.step_bytes / self.bytes_per_s)
    }

    /// Seconds of serving.
    fn serving(&self, served: &Served) -> f64 {
        let prompt_s = self.seconds(served.prompt_flops, served.prompt_flops);
        let once_s = prompt_s + self.decoding(&served.decoded);
        let fill_s = self.seconds(served.fill_flops, served.fill_flops);
        fill_s + served.window_s.max(served.least * once_s)
    }

    /// Seconds of decoding with guesses beside decoding without: as if each took a step for each token, and the first prompt twice.
    fn drafting(&self, drafting: &Drafting) -> f64 {
        let fill_s = self.seconds(drafting.fill_flops, drafting.fill_flops);
        let pair_s = 2.0 * self.decoding(&drafting.decoded) + self.decoding(&drafting.guessed);
        let warm_s = if drafting.prompts > 0.0 { pair_s } else { 0.0 };
        drafting.prompts * fill_s + warm_s + drafting.window_s.max(drafting.prompts * pair_s)
    }
}

/// A few rows and a cache are multiplied slower than large matrices, by SmolLM2-135M in Q4_1 on two cores.
const SLOWER: f64 = 2.0;
/// FLOPs of products for each byte of a copy, where no copy was measured.
const BALANCE: f64 = 5.0;

/// Share of the peak that one training step of so many FLOPs reaches, by MFU of gpt2 on two kinds of
/// two-core machines (w32 0.3 to 0.45, w64 0.5 to 0.65 in `results/`; s 0.65 and m 0.8 of `effbench run throughput`): small products
/// pay for being small. Between them it goes evenly with the logarithm.
const SHARES: [(f64, f64); 4] = [(1e8, 0.3), (1e9, 0.5), (1e10, 0.65), (1e11, 0.8)];

fn share(piece: f64) -> f64 {
    let at = |(flops, _): (f64, f64)| flops.ln();
    let piece = piece.max(1.0).ln().clamp(at(SHARES[0]), at(SHARES[3]));
    let pair = SHARES.windows(2).find(|pair| piece <= at(pair[1]));
    pair.map_or(SHARES[3].1, |pair| {
        let part = (piece - at(pair[0])) / (at(pair[1]) - at(pair[0]));
        pair[0].1 + part * (pair[1].1 - pair[0].1)
    })
}

/// Starting a process, opening a device, writing held-out data and the record.
const START_S: f64 = 0.4;
/// A calibration before the trials of a run and one behind them.
pub const CALIBRATIONS_S: f64 = 6.0;
/// Seconds of one trial of a cell.
pub fn trial_s(cell: &PreparedCell, speed: &Speed) -> f64 {
    let asked = Asked::of(&cell.spec);
    let step_tokens = asked.batch().unwrap_or(1.0) * asked.context().unwrap_or(1.0);
    let cost = &cell.cost;
    let flops = cost.train_flops + cost.optimizer_flops;
    let tokens = (cost.train_tokens as f64).max(1.0);
    let step_flops = flops / tokens * step_tokens;
    let besides = &cell.besides;
    let forward = cost.forward_flops_per_token * besides.evaluated_tokens;
    speed.seconds(flops, step_flops)
        + speed.seconds(forward, cost.forward_flops_per_token * step_tokens)
        + speed.serving(&besides.served)
        + speed.drafting(&besides.drafted)
        + speed.decoding(&besides.asked)
        + besides.settle_s
        + START_S
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_steps_reach_more_of_the_peak() {
        let shares: Vec<f64> = [1e6, 1e8, 3.1623e9, 1e11, 1e15].map(share).to_vec();
        let expected = [0.3, 0.3, 0.575, 0.8, 0.8];
        for (found, expected) in shares.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-3, "{shares:?}");
        }
    }

    /// As SmolLM2-135M was served on two threads, about: the weights' FLOPs and bytes, and those of 8192 tokens in the cache.
    #[test]
    fn what_is_served_takes_its_time() {
        let speed = Speed {
            peak_flops_per_s: 1e11,
            bytes_per_s: 2e10,
            reached: true,
        };
        let decoded = |steps, flops, bytes| Decoded {
            steps,
            step_flops: flops,
            step_bytes: bytes,
        };
        let served = |fill, prompt, decoded| Served {
            fill_flops: fill,
            prompt_flops: prompt,
            decoded,
            least: 4.0,
            window_s: 0.3,
        };
        let rows = [
            (
                served(0.0, 1.5e11, decoded(127.0, 2.7e8, 1.2e8)),
                7.5 + 10.2,
            ),
            (
                served(4.5e12, 4.3e11, decoded(127.0, 8.7e8, 5e8)),
                56.3 + 21.5 + 30.8,
            ),
            // A small model is served for its window.
            (served(0.0, 1e6, decoded(8.0, 1e4, 1e4)), 0.3),
        ];
        for (served, expected) in rows {
            let found = speed.serving(&served);
            assert!((found / expected - 1.0).abs() < 0.05, "{found}, {expected}");
        }
        // Eight prompts, each filled once, and nine pairs of 127 tokens each way.
        let drafting = Drafting {
            prompts: 8.0,
            fill_flops: 4.5e12,
            decoded: decoded(127.0, 2.7e8, 1.2e8),
            ..Drafting::default()
        };
        let (fill_s, each_s) = (56.3, 10.2 / 4.0);
        let expected = 8.0 * fill_s + 18.0 * each_s;
        let found = speed.drafting(&drafting);
        assert!((found / expected - 1.0).abs() < 0.05, "{found}, {expected}");
        assert_eq!(speed.drafting(&Drafting::default()), 0.0);
    }
}
