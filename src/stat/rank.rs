//! Whether two lists rank the same things alike: Spearman's correlation with an exact test.

/// 10! orders take a moment, 11! would take a while.
const MOST_PAIRS: usize = 10;

/// Spearman's rank correlation of paired values, ties at their mean rank; `None` below 3 pairs or where one list is level.
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    (a.len() == b.len() && a.len() >= 3)
        .then(|| pearson(&ranks(a), &ranks(b)))
        .filter(|r| r.is_finite())
}

/// Share of all orders of `b` whose correlation with `a` is at least the one found: small where rankings agree by more than
/// chance. Exact; `None` where [`spearman`] is, and above 10 pairs, where there are too many orders to go through.
pub fn chance_of_rank_agreement(a: &[f64], b: &[f64]) -> Option<f64> {
    spearman(a, b).filter(|_| a.len() <= MOST_PAIRS)?;
    let (ranks_a, mut ranks_b) = (ranks(a), ranks(b));
    // Over the orders of b the correlation grows with the sum of products alone; ranks are halves, so sums are exact.
    let agreement = |order: &[f64]| ranks_a.iter().zip(order).map(|(a, b)| a * b).sum::<f64>();
    let found = agreement(&ranks_b);
    let (mut all, mut as_good) = (0_u64, 0_u64);
    permute(&mut ranks_b, 0, &mut |order| {
        all += 1;
        as_good += u64::from(agreement(order) >= found);
    });
    Some(as_good as f64 / all as f64)
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count() as f64;
        let level = values.iter().filter(|other| *other == value).count() as f64;
        below + 0.5 * (level + 1.0)
    };
    values.iter().map(rank).collect()
}

fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let product = |x: &[f64], y: &[f64], of_x: f64, of_y: f64| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - of_x) * (y - of_y)).sum()
    };
    product(a, b, mean_a, mean_b)
        / (product(a, a, mean_a, mean_a) * product(b, b, mean_b, mean_b)).sqrt()
}

/// Every order of `items` from `at` on.
fn permute(items: &mut [f64], at: usize, visit: &mut dyn FnMut(&[f64])) {
    if at + 1 >= items.len() {
        return visit(items);
    }
    for k in at..items.len() {
        items.swap(at, k);
        permute(items, at + 1, visit);
        items.swap(at, k);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.spearmanr` of SciPy 1.17, and by hand: of the 6 orders of 3 things one agrees wholly.
    #[test]
    fn correlations_agree_with_scipy() {
        let rows: [(&[f64], &[f64], Option<f64>); 4] = [
            (&[1.0, 2.0, 3.0], &[0.1, 0.2, 0.9], Some(1.0)),
            (
                &[1.0, 2.0, 3.0, 4.0, 5.0],
                &[2.0, 1.0, 4.0, 3.0, 5.0],
                Some(0.8),
            ),
            (
                &[1.0, 2.0, 2.0, 3.0, 7.0, 4.0],
                &[0.3, 0.1, 0.5, 0.5, 0.9, 0.2],
                Some(0.42647058823529416),
            ),
            (&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0], None),
        ];
        for (a, b, expected) in rows {
            match (spearman(a, b), expected) {
                (Some(found), Some(expected)) => {
                    assert!((found - expected).abs() < 1e-12, "{found}")
                }
                (found, expected) => assert_eq!(found, expected),
            }
        }
        assert_eq!(
            chance_of_rank_agreement(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]),
            Some(1.0 / 6.0)
        );
        assert_eq!(
            chance_of_rank_agreement(&[1.0, 2.0, 3.0], &[6.0, 5.0, 4.0]),
            Some(1.0)
        );
        assert_eq!(
            chance_of_rank_agreement(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0]),
            Some(4.0 / 24.0),
            "r of 0.8"
        );
        let many: Vec<f64> = (0..11).map(f64::from).collect();
        assert_eq!(chance_of_rank_agreement(&many, &many), None);
    }
}
