//! A power law of loss in compute, L(C) = E + A C^-a, and what it says: the loss that compute buys, the compute that a loss
//! needs, what the next doubling brings, and how many times less compute one algorithm needs than another.
//!
//! The gain of B over A at compute C is the compute-equivalent gain of Gundlach et al. 2025 (arXiv 2511.21622):
//! C_A(L_B(C)) / C. With a common E it is (A_A / A_B)^(1/a) at every scale where the exponents are equal, and proportional to
//! C^(a_B / a_A - 1) where they are not: then a gain without the compute it holds at means nothing.

use serde::Serialize;

/// L(C) = E + A C^-a; C in FLOP unless its maker says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PowerLaw {
    /// E: what no compute removes, in nats.
    pub irreducible: f64,
    /// A: the reducible loss at C = 1.
    pub scale: f64,
    /// a: falls of ln(L - E) per rise of ln C.
    pub exponent: f64,
}

impl PowerLaw {
    /// The part of the loss that compute removes.
    pub fn reducible(&self, compute: f64) -> f64 {
        self.scale * compute.powf(-self.exponent)
    }

    /// The loss at some compute.
    pub fn at(&self, compute: f64) -> f64 {
        self.irreducible + self.reducible(compute)
    }

    /// The compute that a loss needs; `None` where no compute reaches it.
    pub fn compute_for(&self, loss: f64) -> Option<f64> {
        let compute = ((loss - self.irreducible) / self.scale).powf(-1.0 / self.exponent);
        (loss > self.irreducible && compute.is_finite()).then_some(compute)
    }

    /// Fall of the loss when compute doubles from here: A C^-a (1 - 2^-a).
    pub fn per_doubling(&self, compute: f64) -> f64 {
        -self.reducible(compute) * (-self.exponent * std::f64::consts::LN_2).exp_m1()
    }

    /// How many times more compute `base` needs for the loss that this law has at `compute`; `None` where no compute of the
    /// base reaches it.
    pub fn gain_over(&self, base: &PowerLaw, compute: f64) -> Option<f64> {
        Some(base.compute_for(self.at(compute))? / compute)
    }

    /// How fast that gain changes with scale, d ln gain / d ln C: 0 for a gain that is the same at every scale, a_B / a_A - 1
    /// with a common irreducible loss.
    pub fn gain_slope_over(&self, base: &PowerLaw, compute: f64) -> Option<f64> {
        let needed = base.compute_for(self.at(compute))?;
        Some(
            self.exponent * self.reducible(compute) / (base.exponent * base.reducible(needed))
                - 1.0,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn law(irreducible: f64, scale: f64, exponent: f64) -> PowerLaw {
        PowerLaw {
            irreducible,
            scale,
            exponent,
        }
    }

    fn close(found: f64, expected: f64, relative: f64) {
        assert!(
            (found / expected - 1.0).abs() < relative,
            "{found} against {expected}"
        );
    }

    /// The laws of Gundlach et al. 2025, arXiv 2511.21622, whose fits hold E at 1.9 for every family.
    const LSTM: PowerLaw = PowerLaw {
        irreducible: 1.9,
        scale: 36.3,
        exponent: 0.065,
    };
    const TRANSFORMER_2017: PowerLaw = PowerLaw {
        irreducible: 1.9,
        scale: 81.7,
        exponent: 0.091,
    };
    const MODERN: PowerLaw = PowerLaw {
        irreducible: 1.9,
        scale: 88.0,
        exponent: 0.094,
    };

    #[test]
    fn a_law_is_read_in_both_directions() {
        let law = law(1.7, 1070.0, 0.154);
        for compute in [1e10, 1e20, 1e26] {
            close(law.compute_for(law.at(compute)).unwrap(), compute, 1e-6);
            close(
                law.per_doubling(compute),
                law.at(compute) - law.at(2.0 * compute),
                1e-9,
            );
        }
        assert_eq!(
            (
                law.compute_for(1.7),
                law.compute_for(1.2),
                law.compute_for(f64::NAN)
            ),
            (None, None, None)
        );
        let flat = PowerLaw {
            exponent: 0.0,
            ..law
        };
        assert_eq!(flat.compute_for(2.0), None);
    }

    /// Each doubling brings less than the one before: `1070 * C**-0.154 * (1 - 2**-0.154)` in Python.
    #[test]
    fn the_next_doubling_brings_less() {
        let law = law(1.7, 1070.0, 0.154);
        close(law.per_doubling(1e20), 0.090_106_644_933_459_95, 1e-9);
        close(
            law.per_doubling(1e24) / law.per_doubling(1e20),
            1e4_f64.powf(-0.154),
            1e-9,
        );
    }

    #[test]
    fn a_gain_of_equal_exponents_is_the_same_at_every_scale() {
        let (base, better) = (law(1.9, 88.0, 0.1), law(1.9, 80.0, 0.1));
        for compute in [1e12, 1e18, 1e24] {
            close(
                better.gain_over(&base, compute).unwrap(),
                1.1_f64.powi(10),
                1e-9,
            );
            assert!(better.gain_slope_over(&base, compute).unwrap().abs() < 1e-9);
        }
        close(
            base.gain_over(&better, 1e18).unwrap(),
            1.1_f64.powi(-10),
            1e-9,
        );
        // A base that ends above the loss never gets there.
        assert_eq!(better.gain_over(&law(2.5, 88.0, 0.1), 1e24), None);
    }

    #[test]
    fn a_gain_of_other_exponents_grows_with_scale() {
        let rows = [
            (1e15, 3.80),
            (1e16, 9.54),
            (1e17, 24.0),
            (1e18, 60.2),
            (1e20, 380.0),
            (1e22, 2398.0),
        ];
        for (compute, gain) in rows {
            close(
                TRANSFORMER_2017.gain_over(&LSTM, compute).unwrap(),
                gain,
                2e-3,
            );
            close(
                TRANSFORMER_2017.gain_slope_over(&LSTM, compute).unwrap(),
                0.091 / 0.065 - 1.0,
                1e-9,
            );
        }
        close(
            MODERN.gain_over(&TRANSFORMER_2017, 1e16).unwrap(),
            1.4892,
            1e-4,
        );
        // With irreducible losses of their own the slope is local: held against a difference quotient.
        let (base, better) = (law(1.8, 30.0, 0.06), law(1.7, 80.0, 0.09));
        let gain = |compute| better.gain_over(&base, compute).unwrap().ln();
        let quotient = (gain(1e18 * 1.001) - gain(1e18 / 1.001)) / (2.0 * 1.001_f64.ln());
        close(better.gain_slope_over(&base, 1e18).unwrap(), quotient, 1e-5);
    }

    /// Muon against AdamW, Liu et al. 2025 (Moonlight, arXiv 2502.16982), compute in PF-days: "about 52% of the FLOPs" is the
    /// gain at 10, and at another scale it is another.
    #[test]
    fn the_gain_of_muon_falls_with_scale() {
        let (adamw, muon) = (law(0.0, 2.608, 0.054), law(0.0, 2.506, 0.052));
        let rows = [
            (0.1, 2.28),
            (1.0, 2.09),
            (10.0, 1.0 / 0.52),
            (100.0, 1.77),
            (1e3, 1.62),
            (1e4, 1.49),
        ];
        for (compute, gain) in rows {
            close(muon.gain_over(&adamw, compute).unwrap(), gain, 3e-3);
        }
    }

    /// The account of 2012 to 2023 in Gundlach et al. 2025, every row of its table. Chinchilla's optimum is a power law, and
    /// Kaplan's allocation along it a sum of two, so that rebalancing gains C over the compute that the optimum needs.
    #[test]
    fn the_account_of_algorithmic_progress_adds_up() {
        let frontier = |year: i32| 1e16 * 4.1_f64.powi(year - 2013);
        let (first, last, years) = (frontier(2012), frontier(2023), 11.0);
        let optimum = law(0.0, 1.85e-20_f64.powf(-1.0 / 6.512), 1.0 / 6.512);
        let kaplan =
            law(0.0, 28737.9, 0.2482).reducible(last) + law(0.0, 20.337, 0.0756).reducible(last);
        let rebalancing = last / optimum.compute_for(kaplan).unwrap();

        // The ablations' multipliers as used; together they were worth 1.33, so each counts by the same root of itself.
        let swiglu = 1.17;
        let product = 1.26 * 1.87 * 1.04 * 1.09 * (1.44 / 1.26) * swiglu;
        let (experts, root) = (2.0, 1.33_f64.ln() / f64::ln(product));
        let invariant = experts * (product / swiglu).powf(root);

        let dependent = TRANSFORMER_2017.gain_over(&LSTM, last).unwrap();
        let total: f64 = dependent * invariant;
        let ho_et_al = 2.0_f64.powf(12.0 / 8.0);
        let rows = [
            (first, 2.44e15, 1e-3),
            (last, 1.34e22, 2e-3),
            (dependent, 2697.11, 1e-5),
            (rebalancing, 3.71, 2e-3),
            (dependent / rebalancing, 726.15, 1e-5),
            (invariant, 2.57, 1e-3),
            (total, 6926.35, 1e-5),
            (dependent.ln() / total.ln(), 0.8933, 1e-3),
            (total.powf(1.0 / years), 2.234, 1e-3),
            (ho_et_al, 2.83, 1e-3),
            (22_000.0 / total, 3.18, 2e-3),
        ];
        for (found, published, relative) in rows {
            close(found, published, relative);
        }
        assert!(
            (product - 3.57).abs() < 0.005,
            "the product of single gains overstates the joint 1.33: {product}"
        );
    }
}
