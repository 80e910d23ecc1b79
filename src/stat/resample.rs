//! The bootstrap's draws (Efron 1979): how often each row counts when whole clusters are drawn with replacement.

/// Draws as many clusters as there are, with replacement, and returns each row's count; `clusters` gives each row's cluster
/// as 0, 1, 2 ..., and `below(n)` a random whole number under n. Rows that share their luck share a cluster.
pub fn counts(clusters: &[usize], mut below: impl FnMut(usize) -> usize) -> Vec<f64> {
    let n = clusters.iter().max().map_or(0, |last| last + 1);
    let mut drawn = vec![0.0; n];
    for _ in 0..n {
        drawn[below(n)] += 1.0;
    }
    clusters.iter().map(|&cluster| drawn[cluster]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_clusters_are_drawn() {
        let mut script = [2, 0, 2].into_iter();
        let found = counts(&[0, 0, 1, 1, 2], |n| {
            assert_eq!(n, 3);
            script.next().unwrap()
        });
        assert_eq!(found, [1.0, 1.0, 0.0, 0.0, 2.0]);
        assert!(counts(&[], |_| 0).is_empty());
    }
}
