//! What a handful of numbers looks like: mean, standard deviation, quantiles.
//!
//! Nothing here drops a value in silence: a sample with a NaN in it has a NaN for its mean.

/// Count, mean and standard deviation of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// How many.
    pub n: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation with n - 1 below; absent for one value.
    pub sd: Option<f64>,
}

/// Describes a sample; `None` for an empty one.
pub fn summary(sample: &[f64]) -> Option<Summary> {
    Some(Summary {
        n: sample.len(),
        mean: mean(sample)?,
        sd: sd(sample),
    })
}

/// Arithmetic mean; `None` for an empty sample.
pub fn mean(sample: &[f64]) -> Option<f64> {
    if sample.is_empty() {
        None
    } else {
        Some(sample.iter().sum::<f64>() / sample.len() as f64)
    }
}

/// Standard deviation with n - 1 below, by two passes; `None` for fewer than two values.
pub fn sd(sample: &[f64]) -> Option<f64> {
    if sample.len() < 2 {
        return None;
    }
    let mean = mean(sample)?;
    let squares: f64 = sample.iter().map(|x| (x - mean) * (x - mean)).sum();
    Some((squares / (sample.len() - 1) as f64).sqrt())
}

/// The middle value, or the mean of the two; `None` for an empty sample.
pub fn median(sample: &[f64]) -> Option<f64> {
    quantile(sample, 0.5)
}

/// Quantile `p` in 0..=1 by linear interpolation between order statistics (type 7 of Hyndman and Fan 1996, the default of R
/// and NumPy); `None` for an empty sample.
pub fn quantile(sample: &[f64], p: f64) -> Option<f64> {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let place = p.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    Some(sorted[low] + (place - low as f64) * (sorted[high] - sorted[low]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from NumPy 2: `x.mean()`, `x.std(ddof=1)`, `np.quantile(x, [0.05, 0.25, 0.5, 0.9])`.
    #[test]
    fn agrees_with_numpy() {
        let sample = [3.1, 2.7, 3.6, 2.9, 3.3, 10.0, -1.5];
        let expected = [
            3.442857142857143,
            3.377305209214956,
            -0.23999999999999977,
            2.8,
            3.1,
            6.160000000000002,
        ];
        let found = [
            mean(&sample).unwrap(),
            sd(&sample).unwrap(),
            quantile(&sample, 0.05).unwrap(),
            quantile(&sample, 0.25).unwrap(),
            median(&sample).unwrap(),
            quantile(&sample, 0.9).unwrap(),
        ];
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1e-12,
                "{found} against {expected}"
            );
        }
    }

    #[test]
    fn too_few_values_have_no_answer() {
        assert_eq!(summary(&[]), None);
        assert_eq!(median(&[]), None);
        assert_eq!(
            summary(&[2.0]),
            Some(Summary {
                n: 1,
                mean: 2.0,
                sd: None
            })
        );
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert!(sd(&[0.1, 0.1, 0.1]).unwrap() < 1e-16);
    }
}
