//! Files from before FLOPs were counted as executed: their figures bill attention the full square of pairs and no second
//! computation, and are brought to the axis of today's files when they are read.

use super::metric;
use super::trial::{Cost, Trial};

impl Cost {
    /// What of `train_flops` is executed: 1 in today's files, else found from the two figures that older ones hold.
    ///
    /// With A the causal FLOPs of attention's forward, an older file's full square is A 2T/(T + 1), and both of its figures have
    /// three times the forward: they differ by 3 A (T - 1)/(T + 1). Executed are 2 products forwards and 5 backwards, 3.5 A.
    pub fn executed_share(&self) -> f64 {
        let (full, time) = (self.train_flops_per_sequence as f64, self.context());
        match (
            self.train_flops_full_square,
            self.train_flops_per_sequence_causal,
        ) {
            (None, Some(causal)) if full > 0.0 && time > 1.0 => {
                let attention = (full - causal as f64) * (time + 1.0) / (3.0 * (time - 1.0));
                (causal as f64 + 0.5 * attention) / full
            }
            _ => 1.0,
        }
    }

    /// T, tokens of a window.
    fn context(&self) -> f64 {
        (self.train_flops_per_sequence as f64 / self.train_flops_per_token).round()
    }

    /// `causal` is the figure of an older file that this is.
    fn executed(&self, causal: u64) -> Self {
        let share = self.executed_share();
        let per_sequence = (self.train_flops_per_sequence as f64 * share).round();
        Self {
            forward_flops_per_token: causal as f64 / 3.0 / self.context(),
            train_flops_per_token: per_sequence / self.context(),
            train_flops_per_sequence: per_sequence as u64,
            train_flops_per_sequence_causal: None,
            train_flops: self.train_flops * share,
            train_flops_full_square: Some(self.train_flops),
            tuning_flops: self.tuning_flops.map(|flops| flops * share),
            ..self.clone()
        }
    }
}

impl Trial {
    /// Brings the FLOPs of an older file to today's axis: cost, curve, and the share of the machine's peak.
    pub fn count_as_executed(&mut self) {
        let Some(cost) = self
            .cost
            .as_mut()
            .filter(|cost| cost.train_flops_full_square.is_none())
        else {
            return;
        };
        let Some(causal) = cost.train_flops_per_sequence_causal else {
            return;
        };
        let share = cost.executed_share();
        *cost = cost.executed(causal);
        self.curve
            .train_flops
            .iter_mut()
            .for_each(|flops| *flops *= share);
        if let Some(mfu) = self.metrics.get_mut(metric::MFU) {
            let figures = [&mut mfu.value, &mut mfu.sd, &mut mfu.se]
                .into_iter()
                .flatten();
            figures
                .chain(&mut mfu.samples)
                .for_each(|figure| *figure *= share);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example;

    #[test]
    fn an_older_files_flops_come_to_todays_axis() {
        // Two layers of width 32, context 64, vocabulary 128: weights 12 C^2 a layer and the head's C V, per token.
        let (layers, c, v, t) = (2u64, 32u64, 128u64, 64u64);
        let weights = t * (layers * 12 * c * c + c * v);
        let pairs = |pairs: u64| 2 * 2 * pairs * c * layers;
        let (square, causal) = (pairs(t * t), pairs(t * (t + 1) / 2));
        let full = 3 * (2 * weights + square);
        let mut trial = example::example().trials.remove(0);
        let cost = trial.cost.as_mut().unwrap();
        cost.train_flops_per_sequence = full;
        cost.train_flops_per_token = full as f64 / t as f64;
        cost.forward_flops_per_token = full as f64 / 3.0 / t as f64;
        cost.train_flops_per_sequence_causal = Some(3 * (2 * weights + causal));
        (cost.train_flops, cost.train_flops_full_square) = (1000.0 * full as f64, None);
        trial.curve.train_flops = vec![full as f64, 2.0 * full as f64];
        let mfu = trial.metric(metric::MFU).unwrap();

        let executed = 6 * weights + causal + causal * 5 / 2;
        let near = |found: f64, want: f64| {
            assert!((found / want - 1.0).abs() < 1e-12, "{found} and {want}")
        };
        near(trial.train_flops().unwrap(), 1000.0 * executed as f64);
        trial.count_as_executed();
        let cost = trial.cost.as_ref().unwrap();
        assert_eq!(
            (
                cost.train_flops_per_sequence,
                cost.train_flops_per_sequence_causal
            ),
            (executed, None)
        );
        near(
            cost.forward_flops_per_token,
            (2 * weights + causal) as f64 / t as f64,
        );
        near(cost.train_flops_full_square.unwrap(), 1000.0 * full as f64);
        near(trial.train_flops().unwrap(), 1000.0 * executed as f64);
        near(trial.curve.train_flops[1], 2.0 * executed as f64);
        near(
            trial.metric(metric::MFU).unwrap() / mfu,
            executed as f64 / full as f64,
        );
        let once = trial.clone();
        trial.count_as_executed();
        assert_eq!(trial, once, "never twice");
    }
}
