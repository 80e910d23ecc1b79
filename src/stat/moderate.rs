//! Variances of many small samples, each helped by the others: the empirical Bayes of Smyth (2004, "Linear models and empirical Bayes
//! methods for assessing differential expression", section 6.2), as limma computes it, made safe for samples that are not alike.
//!
//! The true variances are taken to scatter around `s0^2` as `d0` degrees of freedom would have them scatter. With z = ln s^2 and
//! e = z - digamma(d / 2) + ln(d / 2), trigamma(d0 / 2) is the variance of e minus the mean of trigamma(d / 2), and
//! ln s0^2 = mean(e) + digamma(d0 / 2) - ln(d0 / 2). A sample's variance becomes (d0 s0^2 + d s^2) / (d0 + d) on d0 + d degrees of freedom.
//!
//! Two things differ from limma, since one sample may be ten times as noisy as the others and a benchmark's few
//! samples cannot tell that to the fit: a sample whose variance is unusual among the others (by the F test of s^2 / s0^2)
//! is helped less, as in the robust form of Phipson et al. (2016); and help never makes a variance smaller
//! than it was found. What that costs and saves is simulated in `analysis/compare/simulate.rs`.

use statrs::distribution::{ContinuousCDF, FisherSnedecor};
use statrs::function::gamma::digamma;

/// How variances scatter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    /// Around which.
    pub variance: f64,
    /// As how many degrees of freedom; infinite where they do not differ by more than chance.
    pub freedom: f64,
    /// All degrees of freedom that it was learnt from: no sample ends with more.
    pub total: f64,
}

/// From variances above 0 with their degrees of freedom; `None` below two.
pub fn prior(samples: &[(f64, f64)]) -> Option<Prior> {
    let known: Vec<(f64, f64)> = samples
        .iter()
        .copied()
        .filter(|(s2, d)| *s2 > 0.0 && *d > 0.0 && (s2 + d).is_finite())
        .collect();
    let count = known.len() as f64;
    if known.len() < 2 {
        return None;
    }
    let total: f64 = known.iter().map(|(_, d)| d).sum();
    let e: Vec<f64> = known
        .iter()
        .map(|(s2, d)| s2.ln() - digamma(0.5 * d) + (0.5 * d).ln())
        .collect();
    let mean = e.iter().sum::<f64>() / count;
    let scatter = e.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let excess = scatter - known.iter().map(|(_, d)| trigamma(0.5 * d)).sum::<f64>() / count;
    Some(match half_freedom(excess) {
        Some(half) => Prior {
            variance: (mean + digamma(half) - half.ln()).exp(),
            freedom: 2.0 * half,
            total,
        },
        None => {
            let pooled = known.iter().map(|(s2, d)| s2 * d).sum::<f64>() / total;
            Prior {
                variance: pooled,
                freedom: f64::INFINITY,
                total,
            }
        }
    })
}

impl Prior {
    /// A sample's variance and degrees of freedom, with what the others know.
    pub fn moderated(&self, variance: f64, freedom: f64) -> (f64, f64) {
        let most = (self.total - freedom).max(0.0);
        let help = self.freedom.min(most) * self.likeness(variance, freedom);
        let shared = (help * self.variance + freedom * variance) / (help + freedom);
        (shared.max(variance), help + freedom)
    }

    /// 1 for a sample whose variance is at most usual, towards 0 the less such a large one is to be expected.
    fn likeness(&self, variance: f64, freedom: f64) -> f64 {
        let law = FisherSnedecor::new(freedom, self.freedom.min(1e6));
        law.map_or(0.0, |law| (2.0 * law.sf(variance / self.variance)).min(1.0))
    }
}

/// The x at which trigamma is this, by Newton's method on its reciprocal, as limma's `trigammaInverse`; `None` for 0 and below, where
/// there is none.
fn half_freedom(value: f64) -> Option<f64> {
    if value <= 1e-6 {
        return None;
    }
    let mut x = 0.5 + 1.0 / value;
    for _ in 0..50 {
        let found = trigamma(x);
        let step = found * (1.0 - found / value) / tetragamma(x);
        x += step;
        if (step / x).abs() < 1e-10 {
            break;
        }
    }
    Some(x)
}

/// The second derivative of ln gamma: upwards by recurrence, then its asymptotic series (Abramowitz and Stegun 6.4.12).
fn trigamma(x: f64) -> f64 {
    let (mut x, mut sum) = (x, 0.0);
    while x < 12.0 {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    sum + (1.0 / x)
        * (1.0 + 0.5 / x + y * (1.0 / 6.0 - y * (1.0 / 30.0 - y * (1.0 / 42.0 - y / 30.0))))
}

/// Its derivative, likewise.
fn tetragamma(x: f64) -> f64 {
    let (mut x, mut sum) = (x, 0.0);
    while x < 12.0 {
        sum -= 2.0 / (x * x * x);
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    sum - y * (1.0 + 1.0 / x + y * (0.5 - y * (1.0 / 6.0 - y * (1.0 / 6.0 - 0.3 * y))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!(
            (found / expected - 1.0).abs() < 1e-7,
            "{found} against {expected}"
        );
    }

    /// SciPy 1.17: `scipy.special.polygamma(1, x)`, and of order 2.
    #[test]
    fn the_derivatives_agree_with_scipy() {
        for (x, first, second) in [
            (0.3, 12.245364546107734, -75.27253658872601),
            (7.5, 0.1426158966967038, -0.02030525253664467),
        ] {
            close(trigamma(x), first);
            close(tetragamma(x), second);
        }
    }

    /// The formulas of limma's `fitFDist` in SciPy 1.17, trigamma inverted by `scipy.optimize.brentq`.
    #[test]
    fn the_prior_agrees_with_limmas_formulas() {
        let equal = [1.2e-4, 0.8e-4, 2.5e-4, 0.4e-4, 9e-4, 1.1e-4].map(|s2| (s2, 4.0));
        let found = prior(&equal).unwrap();
        close(found.freedom, 4.8725596453338405);
        close(found.variance, 0.00015320361226358546);
        let unequal = [(0.5, 2.0), (4.0, 4.0), (1.3, 3.0), (0.02, 7.0), (2.2, 5.5)];
        let found = prior(&unequal).unwrap();
        close(found.freedom, 1.1774420008773419);
        close(found.variance, 0.30903112954883366);
        let alike = prior(&[1.0, 1.1, 0.9, 1.05].map(|s2| (s2, 8.0))).unwrap();
        assert_eq!(alike.freedom, f64::INFINITY);
        close(alike.variance, 1.0125);
        assert_eq!(
            (prior(&[(1.0, 4.0)]), prior(&[(1.0, 4.0), (0.0, 4.0)])),
            (None, None)
        );
    }

    #[test]
    fn a_lucky_sample_is_helped_up_and_a_noisy_one_is_not_helped_down() {
        let known = prior(&[1.0, 1.1, 0.9, 1.05, 0.01].map(|s2| (s2, 8.0))).unwrap();
        let (lucky, of_lucky) = known.moderated(0.01, 8.0);
        assert!(lucky > 0.02 && of_lucky > 8.0, "{lucky} {of_lucky}");
        let alike = prior(&[1.0, 1.1, 0.9, 1.05].map(|s2| (s2, 8.0))).unwrap();
        let (usual, of_usual) = alike.moderated(1.0, 8.0);
        assert!(
            (usual - 1.0).abs() < 0.02 && (20.0..=32.0).contains(&of_usual),
            "{usual} {of_usual}"
        );
        let (noisy, of_noisy) = alike.moderated(100.0, 8.0);
        assert_eq!(noisy, 100.0);
        assert!((of_noisy - 8.0).abs() < 1e-6, "{of_noisy}");
    }
}
