//! Tests that assume nothing but symmetry or exchangeability, by going through every case there is: the sign-flip test of
//! paired differences and the permutation test of two samples (Fisher 1935), both two-sided on the mean.
//!
//! The smallest p they can give is 2 / 2^n and 2 / (n_a + n_b choose n_a), so that n = 6 pairs, or 4 on each side, are the
//! fewest that can reach 0.05.

/// Cases gone through at most: more take too long to be worth a cross-check.
pub const MOST_CASES: u64 = 1 << 16;

/// Sums are compared up to rounding.
const SLACK: f64 = 1e-12;

/// Share of all signs under which the mean is at least as far from zero; `None` for no values and too many.
pub fn sign_flip(differences: &[f64]) -> Option<f64> {
    let n = differences.len();
    if n == 0 || n >= 64 || 1_u64 << n > MOST_CASES {
        return None;
    }
    let found = differences.iter().sum::<f64>().abs();
    let slack = SLACK * differences.iter().map(|d| d.abs()).sum::<f64>();
    let (mut signs, mut sum, mut as_far) = (vec![1.0; n], differences.iter().sum::<f64>(), 0_u64);
    // In Gray's order one sign changes from each case to the next, so that a case costs one addition.
    for case in 1..=1_u64 << n {
        as_far += u64::from(sum.abs() >= found - slack);
        let turned = case.trailing_zeros() as usize;
        if turned < n {
            sum -= 2.0 * signs[turned] * differences[turned];
            signs[turned] = -signs[turned];
        }
    }
    Some(as_far as f64 / (1_u64 << n) as f64)
}

/// Share of all ways to deal the values into two samples of these sizes whose means differ at least as much on the same side,
/// doubled (as SciPy does); `None` for an empty sample and too many ways.
pub fn permutation(a: &[f64], b: &[f64]) -> Option<f64> {
    let cases = deals(a.len() + b.len(), a.len())?;
    let all: Vec<f64> = a.iter().chain(b).copied().collect();
    let (total, found) = (all.iter().sum::<f64>(), a.iter().sum::<f64>());
    // With sizes fixed the difference of means grows with the first sample's sum alone.
    let slack = SLACK * (all.iter().map(|x| x.abs()).sum::<f64>() + total.abs());
    let (mut low, mut high) = (0_u64, 0_u64);
    choose(&all, a.len(), 0.0, &mut |sum| {
        low += u64::from(sum <= found + slack);
        high += u64::from(sum >= found - slack);
    });
    Some((2.0 * low.min(high) as f64 / cases as f64).min(1.0))
}

/// n choose k, where that is few enough and no sample is empty.
fn deals(n: usize, k: usize) -> Option<u64> {
    if k == 0 || k == n {
        return None;
    }
    (0..k as u64)
        .try_fold(1_u64, |ways, j| {
            Some(ways * (n as u64 - j) / (j + 1)).filter(|w| *w <= 64 * MOST_CASES)
        })
        .filter(|ways| *ways <= MOST_CASES)
}

/// The sum of every choice of `k` of the values.
fn choose(values: &[f64], k: usize, sum: f64, visit: &mut dyn FnMut(f64)) {
    if k == 0 {
        return visit(sum);
    }
    for first in 0..=values.len() - k {
        choose(&values[first + 1..], k - 1, sum + values[first], visit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() <= 1e-9,
            "{found} against {expected}"
        );
    }

    /// SciPy 1.17: `permutation_test((a,), np.mean, permutation_type='samples', n_resamples=10**6)`.
    #[test]
    fn sign_flips_agree_with_scipy() {
        let rows: [(&[f64], f64); 4] = [
            (&[0.021, 0.013, 0.034, -0.004, 0.018, 0.027, 0.009], 0.03125),
            (&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0], 2.0 / 64.0),
            (&[1.0, 2.0, 3.0, 4.0, 5.0], 2.0 / 32.0),
            (&[0.0, 0.0], 1.0),
        ];
        for (differences, expected) in rows {
            close(sign_flip(differences).unwrap(), expected);
        }
        assert_eq!((sign_flip(&[]), sign_flip(&[1.0; 17])), (None, None));
    }

    /// SciPy 1.17: `permutation_test((a, b), lambda x, y: x.mean() - y.mean(), n_resamples=10**6)`.
    #[test]
    fn permutations_agree_with_scipy() {
        let (b, c) = ([4.21, 4.35, 4.18, 4.40, 4.27], [4.52, 4.31, 4.66, 4.48]);
        close(permutation(&b, &c).unwrap(), 0.047619047619047616);
        close(permutation(&c, &b).unwrap(), 0.047619047619047616);
        close(
            permutation(&[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0, 7.0, 8.0]).unwrap(),
            2.0 / 70.0,
        );
        close(permutation(&[2.0; 3], &[2.0; 3]).unwrap(), 1.0);
        assert_eq!(
            (
                permutation(&[], &[1.0]),
                permutation(&[1.0; 20], &[2.0; 20])
            ),
            (None, None)
        );
    }
}
