//! Several tests at once: Holm's step-down correction (Holm 1979), which keeps the chance of any false alarm at the level
//! whatever the tests have to do with each other.

/// Each p adjusted: the k-th smallest of m times m - k, at least the one before it, at most 1. In the order given.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![1.0; p.len()];
    let mut largest = 0.0_f64;
    for (k, place) in order.into_iter().enumerate() {
        largest = largest.max((p.len() - k) as f64 * p[place]).min(1.0);
        adjusted[place] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `p.adjust(c(0.01, 0.04, 0.03, 0.005, 0.2), "holm")` of R, and the same by NumPy: sort, times m - k, running maximum.
    #[test]
    fn agrees_with_r() {
        let found = holm(&[0.01, 0.04, 0.03, 0.005, 0.2]);
        for (found, expected) in found.iter().zip([0.04, 0.09, 0.09, 0.025, 0.2]) {
            assert!(
                (found - expected).abs() < 1e-12,
                "{found} against {expected}"
            );
        }
        assert_eq!(holm(&[0.6, 0.7]), [1.0, 1.0]);
        assert_eq!(holm(&[]), [0.0; 0]);
    }
}
