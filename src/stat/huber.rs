//! Huber's loss (Huber 1964): squares near zero, absolute values beyond, so that a few wild points do not decide a fit.

/// r^2 / 2 up to `delta`, then delta (|r| - delta / 2); an infinite `delta` is least squares.
pub fn loss(residual: f64, delta: f64) -> f64 {
    let size = residual.abs();
    if size <= delta {
        0.5 * residual * residual
    } else {
        delta * (size - 0.5 * delta)
    }
}

/// The derivative of [`loss`]: the residual, clipped.
pub fn influence(residual: f64, delta: f64) -> f64 {
    residual.clamp(-delta, delta)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of SciPy 1.17: `scipy.special.huber(1e-3, r)`.
    #[test]
    fn agrees_with_scipy() {
        let rows = [
            (0.0, 0.0),
            (5e-4, 1.25e-7),
            (-1e-3, 5e-7),
            (0.02, 1.95e-5),
            (-0.5, 4.995e-4),
        ];
        for (residual, expected) in rows {
            assert!(
                (loss(residual, 1e-3) - expected).abs() < 1e-18,
                "{residual}"
            );
            let slope = (loss(residual + 1e-8, 1e-3) - loss(residual - 1e-8, 1e-3)) / 2e-8;
            assert!(
                (influence(residual, 1e-3) - slope).abs() < 1e-8,
                "{residual}"
            );
        }
        assert_eq!(
            (loss(3.0, f64::INFINITY), influence(-3.0, f64::INFINITY)),
            (4.5, -3.0)
        );
    }
}
