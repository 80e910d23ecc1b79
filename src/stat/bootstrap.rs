//! The BCa interval of a statistic (Efron 1987): percentiles of the bootstrap, moved for bias and for a spread that changes
//! with the value.
//!
//! z0 = Phi^-1(share of draws below the estimate), a = sum d^3 / (6 (sum d^2)^1.5) over the jackknife's deviations, and the
//! end of probability p is the draws' percentile Phi(z0 + (z0 + z) / (1 - a (z0 + z))) with z = Phi^-1(p).

use statrs::distribution::{ContinuousCDF, Normal};

use super::interval::Interval;
use super::sample::{mean, quantile};

/// The interval of a statistic of a sample from its values on resamples; `None` for fewer than two values, and where all
/// draws lie on one side of the estimate.
pub fn bca(
    sample: &[f64],
    statistic: impl Fn(&[f64]) -> f64,
    draws: &[f64],
    level: f64,
) -> Option<Interval> {
    let normal = Normal::new(0.0, 1.0).ok()?;
    let estimate = statistic(sample);
    let below = draws.iter().filter(|draw| **draw < estimate).count() as f64;
    let level_with = draws.iter().filter(|draw| **draw == estimate).count() as f64;
    let share = (below + 0.5 * level_with) / draws.len() as f64;
    if sample.len() < 2 || share <= 0.0 || share >= 1.0 {
        return None;
    }
    let (bias, bend) = (normal.inverse_cdf(share), acceleration(sample, statistic)?);
    let end = |p: f64| {
        let z = bias + normal.inverse_cdf(p);
        quantile(draws, normal.cdf(bias + z / (1.0 - bend * z)))
    };
    Some(Interval {
        low: end(0.5 * (1.0 - level))?,
        high: end(0.5 * (1.0 + level))?,
        level,
    })
}

/// From the jackknife; 0 where leaving any value out changes nothing.
fn acceleration(sample: &[f64], statistic: impl Fn(&[f64]) -> f64) -> Option<f64> {
    let without = |k: usize| {
        let rest: Vec<f64> = sample
            .iter()
            .enumerate()
            .filter(|(j, _)| *j != k)
            .map(|(_, x)| *x)
            .collect();
        statistic(&rest)
    };
    let values: Vec<f64> = (0..sample.len()).map(without).collect();
    let middle = mean(&values)?;
    let power = |p: i32| {
        values
            .iter()
            .map(|value| (middle - value).powi(p))
            .sum::<f64>()
    };
    let squares = power(2);
    Some(if squares > 0.0 {
        power(3) / (6.0 * squares.powf(1.5))
    } else {
        0.0
    })
}

/// A statistic on resamples of the whole size, drawn with replacement; `below(n)` gives a random whole number under n.
pub fn draws(
    sample: &[f64],
    statistic: impl Fn(&[f64]) -> f64,
    count: usize,
    mut below: impl FnMut(usize) -> usize,
) -> Vec<f64> {
    let mut resample = vec![0.0; sample.len()];
    (0..count)
        .map(|_| {
            resample
                .iter_mut()
                .for_each(|x| *x = sample[below(sample.len())]);
            statistic(&resample)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SciPy 1.17 on the same draws: x = the sample, an LCG (s = s * 6364136223846793005 + 1442695040888963407 mod 2^64 from
    /// 12345, `(s >> 33) % 8`) draws 2000 resamples, d their means, and
    /// `scipy.stats.bootstrap((x,), np.mean, n_resamples=0, bootstrap_result=SimpleNamespace(bootstrap_distribution=d),
    /// method='BCa')`.
    #[test]
    fn the_interval_agrees_with_scipy() {
        let sample = [0.021, 0.013, 0.034, -0.004, 0.018, 0.027, 0.009, 0.051];
        let mut state = 12_345_u64;
        let below = |n: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        let statistic = |x: &[f64]| mean(x).unwrap_or_default();
        let drawn = draws(&sample, statistic, 2000, below);
        let interval = bca(&sample, statistic, &drawn, 0.95).unwrap();
        assert!(
            (interval.low - 0.011).abs() < 1e-9 && (interval.high - 0.03275).abs() < 1e-9,
            "{interval:?}"
        );
        assert!((acceleration(&sample, statistic).unwrap() - 0.020936282346749362).abs() < 1e-12);
    }

    #[test]
    fn where_nothing_varies_there_is_no_interval() {
        let statistic = |x: &[f64]| mean(x).unwrap_or_default();
        assert_eq!(bca(&[1.0], statistic, &[1.0, 1.0], 0.95), None);
        assert_eq!(bca(&[1.0, 2.0], statistic, &[9.0, 9.0], 0.95), None);
    }
}
