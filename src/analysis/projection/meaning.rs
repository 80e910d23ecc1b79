//! What a loss means: the accuracy it comes with on a benchmark, and how soon a difference shows.

use serde::Serialize;

/// Tokens after which two models can be told apart by their likelihoods, when the chance of naming the wrong one is `error`
/// either way: the expected length of Wald's sequential test (1945), (1 - 2e) ln((1 - e)/e) / gap. At 5% the numerator is
/// the 2.65 of "Meek Models", which takes it once, 10 or 100 times for whoever reads less well than an ideal observer.
pub fn tokens_to_tell(gap_nats: f64, error: f64) -> f64 {
    (1.0 - 2.0 * error) * ((1.0 - error) / error).ln() / gap_nats.abs()
}

/// A benchmark's accuracy as a logistic function of the loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Accuracy {
    /// Of guessing.
    pub chance: f64,
    /// From chance to the best there is.
    pub span: f64,
    /// Steepness, per nat.
    pub slope: f64,
    /// The loss half way up.
    pub middle: f64,
}

impl Accuracy {
    /// MMLU, as fitted in "Meek Models".
    pub const MMLU: Self = Self {
        chance: 0.25,
        span: 0.55,
        slope: 23.77,
        middle: 1.97,
    };

    /// The accuracy at a loss in nats.
    pub fn at(&self, loss: f64) -> f64 {
        self.chance + self.span / (1.0 + (self.slope * (loss - self.middle)).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-6 * expected.abs().max(1.0),
            "{found} against {expected}"
        );
    }

    /// At 5% either way the sequential test needs 2.65 nats of evidence, the figure of "Meek Models".
    #[test]
    fn telling_two_models_apart_takes_tokens() {
        close(tokens_to_tell(1.0, 0.05), 2.649_995_081_249_796_3);
        close(tokens_to_tell(-0.01, 0.05), 264.999_508_124_979_6);
    }

    #[test]
    fn the_loss_tells_the_accuracy_on_mmlu() {
        let rows = [
            (1.7, 0.799_103_818_636_065_5),
            (1.97, 0.525),
            (2.2, 0.252_313_134_912_678_5),
            (3.0, 0.25),
        ];
        for (loss, accuracy) in rows {
            close(Accuracy::MMLU.at(loss), accuracy);
        }
    }
}
