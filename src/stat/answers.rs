//! How often a problem is solved in k tries, from more tries than that: unbiased, and with every choice of k among them counted.

use statrs::function::beta::ln_beta;

use super::interval::{Interval, critical};
use super::optimise::minimise_within;

/// pass@k: the probability that at least one of k samples is right, from n samples of which c are: `1 - prod_{i=n-c+1}^{n} (1 - k/i)`,
/// which is one less the share of choices of k without a right one (Chen et al. 2021, arXiv 2107.03374, equation 1). Unbiased; `None` for
/// k over n.
pub fn pass_at_k(n: u64, c: u64, k: u64) -> Option<f64> {
    if k > n || c > n {
        return None;
    }
    let missed: f64 = (n - c + 1..=n)
        .map(|i| (1.0 - k as f64 / i as f64).max(0.0))
        .product();
    Some(1.0 - missed)
}

/// majority@k: the probability that the right answer, `votes[0]`, has most of k votes drawn without replacement from these, a tie of t
/// answers counting 1/t: the expectation over all choices of k, not that of one. `None` for k of 0 and beyond all votes.
///
/// The right answer has x votes in `C(c_0, x)` ways; the others then share the k - x that are left, none with more than x, and of each
/// way with t of them at x a share of 1 / (1 + t) counts. Ways are counted by multiplying polynomials, one an answer, each term divided
/// by n^y so that no number is too large.
pub fn majority_at_k(votes: &[u64], k: usize) -> Option<f64> {
    let n: u64 = votes.iter().sum();
    let (right, others) = votes.split_first()?;
    if k == 0 || k as u64 > n {
        return None;
    }
    let won: f64 = (1..=k.min(*right as usize))
        .map(|x| ways(*right, x, n) * shared(others, x, k - x, n))
        .sum();
    Some(won / ways(n, k, n))
}

/// C(c, y) / n^y.
fn ways(c: u64, y: usize, n: u64) -> f64 {
    let term = |i: usize| (c as f64 - i as f64).max(0.0) / (i + 1) as f64 / n as f64;
    (0..y).map(term).product()
}

/// Ways in which the others share `left` votes, none with more than x, each with t of them at x counted as 1 / (1 + t).
fn shared(others: &[u64], x: usize, left: usize, n: u64) -> f64 {
    let ties = left / x;
    // By ties and votes given away.
    let mut so_far = vec![vec![0.0; left + 1]; ties + 1];
    so_far[0][0] = 1.0;
    for &votes in others {
        let most = x.min(votes as usize).min(left);
        let each: Vec<f64> = (0..=most).map(|y| ways(votes, y, n)).collect();
        let mut next = vec![vec![0.0; left + 1]; ties + 1];
        for (tied, row) in so_far.iter().enumerate() {
            for (given, &count) in row.iter().enumerate().filter(|(_, count)| **count > 0.0) {
                for (y, way) in each.iter().enumerate().take(left - given + 1) {
                    let tied = tied + usize::from(y == x);
                    next[tied][given + y] += count * way;
                }
            }
        }
        so_far = next;
    }
    let of_ties = so_far.iter().zip(1..);
    of_ties
        .map(|(row, share)| row[left] / f64::from(share))
        .sum()
}

/// Coverage where a problem's chance of being solved by a sample is Beta(a, b): `1 - B(a, b + k) / B(a, b)`. Its tail falls as k^-a.
pub fn beta_coverage(a: f64, b: f64, k: f64) -> f64 {
    1.0 - (ln_beta(a, b + k) - ln_beta(a, b)).exp()
}

/// The Beta distribution of problems' chances that makes these counts of right samples, of n each, likeliest: a and b of the
/// beta-binomial. `None` where all problems are alike at 0 or n, of which no distribution can be told.
pub fn beta_of(right: &[u64], n: u64) -> Option<[f64; 2]> {
    let inner = right.iter().filter(|c| **c > 0 && **c < n).count();
    if inner < 2 {
        return None;
    }
    // How many problems have each count: far fewer terms than problems.
    let mut problems = vec![0.0; n as usize + 1];
    right.iter().for_each(|c| problems[*c as usize] += 1.0);
    let loss = |at: &[f64]| -> f64 {
        let (a, b) = (at[0].exp(), at[1].exp());
        let each = problems
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0.0);
        let of = |(c, count): (usize, &f64)| {
            count * (ln_beta(a, b) - ln_beta(a + c as f64, b + n as f64 - c as f64))
        };
        each.map(of).sum::<f64>() / right.len() as f64
    };
    let objective = |at: &[f64], slope: &mut [f64]| {
        const STEP: f64 = 1e-5;
        for k in 0..2 {
            let moved = |by: f64| {
                let mut at = [at[0], at[1]];
                at[k] += by;
                loss(&at)
            };
            slope[k] = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
        }
        loss(at)
    };
    let found = minimise_within(objective, &[0.0, 0.0], [&[-6.0; 2], &[6.0; 2]], 200);
    Some([found.at[0].exp(), found.at[1].exp()])
}

/// Wilson's interval (1927) of a share of `n` trials of which `right` are right; shares of trials count. `None` without a trial.
pub fn wilson(right: f64, n: f64, level: f64) -> Option<Interval> {
    if !(n > 0.0 && (0.0..=n).contains(&right)) {
        return None;
    }
    let z2 = critical(f64::MAX, level)?.powi(2);
    let (share, scale) = (right / n, 1.0 / (1.0 + z2 / n));
    let centre = scale * (share + 0.5 * z2 / n);
    let half = scale * (z2 * (share * (1.0 - share) / n + 0.25 * z2 / (n * n))).sqrt();
    Some(Interval {
        low: (centre - half).max(0.0),
        high: (centre + half).min(1.0),
        level,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uniform numbers in [0, 1): Knuth's MMIX generator.
    fn numbers(mut state: u64) -> impl FnMut() -> f64 {
        move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    fn close(found: f64, expected: f64, within: f64) {
        assert!(
            (found - expected).abs() <= within,
            "{found} against {expected}"
        );
    }

    /// By counting the choices: 4 samples, 1 right, 2 of them chosen: 3 of 6 choices have it.
    #[test]
    fn pass_at_k_counts_choices() {
        let rows = [
            (4, 1, 2, 0.5),
            (4, 2, 2, 5.0 / 6.0),
            (64, 0, 64, 0.0),
            (64, 1, 64, 1.0),
            (64, 64, 1, 1.0),
            (5, 3, 1, 0.6),
        ];
        for (n, c, k, expected) in rows {
            close(pass_at_k(n, c, k).unwrap(), expected, 1e-12);
        }
        assert_eq!((pass_at_k(4, 1, 5), pass_at_k(4, 5, 1)), (None, None));
    }

    /// What the formula says of few samples is what as many fresh ones find.
    #[test]
    fn pass_at_k_is_what_fresh_samples_find() {
        let mut uniform = numbers(1);
        let problems: Vec<f64> = (0..2000).map(|_| uniform().powi(2)).collect();
        let mut tries = |p: f64, n: u64| (0..n).filter(|_| uniform() < p).count() as u64;
        let (mut formula, mut fresh) = (0.0, 0.0);
        for &p in &problems {
            formula += pass_at_k(32, tries(p, 32), 8).unwrap() / 2000.0;
            fresh += f64::from(u8::from(tries(p, 8) > 0)) / 2000.0;
        }
        close(formula, fresh, 4.0 * (0.25 / 2000.0_f64).sqrt());
    }

    /// Binomial tails: with so many votes, drawing without replacement is drawing with it.
    #[test]
    fn two_answers_vote_by_binomial_tails() {
        let n = 10_000_000;
        let rows = [
            (1, 0.6, 0.4),
            (3, 0.648, 0.352),
            (5, 0.682_56, 0.317_44),
            (11, 0.7535, 0.2465),
            (21, 0.8256, 0.1744),
            (101, 0.9791, 0.0209),
        ];
        for (k, likely, unlikely) in rows {
            close(majority_at_k(&[6 * n, 4 * n], k).unwrap(), likely, 1e-4);
            close(majority_at_k(&[4 * n, 6 * n], k).unwrap(), unlikely, 1e-4);
        }
    }

    /// Against every choice of k of the votes, one by one.
    #[test]
    fn many_answers_vote_as_every_choice_of_them_does() {
        for votes in [
            vec![3_u64, 2, 2, 1],
            vec![2, 3, 1],
            vec![4],
            vec![0, 5],
            vec![2, 2, 2, 2, 2],
        ] {
            let all: Vec<usize> = votes
                .iter()
                .enumerate()
                .flat_map(|(answer, count)| vec![answer; *count as usize])
                .collect();
            for k in 1..=all.len() {
                let (mut won, mut choices) = (0.0, 0.0);
                for chosen in 0_u32..1 << all.len() {
                    if chosen.count_ones() as usize != k {
                        continue;
                    }
                    let mut counts = vec![0; votes.len()];
                    let picked = (0..all.len()).filter(|at| chosen >> at & 1 == 1);
                    picked.for_each(|at| counts[all[at]] += 1);
                    let most = counts.iter().max().copied().unwrap_or(0);
                    let tied = counts.iter().filter(|count| **count == most).count();
                    choices += 1.0;
                    won += if counts[0] == most {
                        1.0 / tied as f64
                    } else {
                        0.0
                    };
                }
                close(majority_at_k(&votes, k).unwrap(), won / choices, 1e-12);
            }
        }
        assert_eq!(majority_at_k(&[1, 1], 3), None);
        assert_eq!(majority_at_k(&[1, 1], 0), None);
    }

    /// Computed in Python from the same closed form.
    #[test]
    fn coverage_of_a_beta_is_its_closed_form() {
        let rows = [
            (
                [0.5, 2.0],
                [0.2, 0.314_286, 0.612_235, 0.868_214, 0.957_999],
            ),
            (
                [0.3, 3.0],
                [0.090_909, 0.154_334, 0.373_381, 0.665_610, 0.831_222],
            ),
        ];
        for ([a, b], expected) in rows {
            for (k, expected) in [1.0, 2.0, 10.0, 100.0, 1000.0].into_iter().zip(expected) {
                close(beta_coverage(a, b, k), expected, 1e-6);
            }
        }
    }

    #[test]
    fn the_distribution_behind_counts_is_found_again() {
        let mut uniform = numbers(2);
        // Beta(1, 2): the smaller of two uniform numbers.
        let counts: Vec<u64> = (0..4000)
            .map(|_| {
                let p = uniform().min(uniform());
                (0..64).filter(|_| uniform() < p).count() as u64
            })
            .collect();
        let [a, b] = beta_of(&counts, 64).unwrap();
        close(a, 1.0, 0.06);
        close(b, 2.0, 0.12);
        assert_eq!(beta_of(&[0, 64, 64], 64), None);
    }

    /// The defining equation: the ends are the shares that lie z standard errors of their own off.
    #[test]
    fn wilsons_ends_lie_just_so_far_off() {
        let z2 = 1.959963984540054_f64.powi(2);
        for (right, n) in [(7.0, 10.0), (0.5, 4.0), (60.0, 400.0)] {
            let found = wilson(right, n, 0.95).unwrap();
            for p in [found.low, found.high] {
                let off = (right / n - p).powi(2) / (p * (1.0 - p) / n);
                assert!((off / z2 - 1.0).abs() < 1e-9, "{right} of {n}: {found:?}");
            }
        }
        let none = wilson(0.0, 10.0, 0.95).unwrap();
        assert!(
            none.low == 0.0 && (none.high - 0.27753).abs() < 1e-4,
            "{none:?}"
        );
        assert_eq!(wilson(0.0, 0.0, 0.95), None);
    }
}
