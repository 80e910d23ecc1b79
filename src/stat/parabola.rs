//! The lowest point of a parabola through three points.

/// The x of the lowest point of the parabola through three points with ascending x; `None` unless the middle one is the
/// lowest (of equals, any), so that the answer lies between the outer two.
pub fn lowest_of_parabola(points: [(f64, f64); 3]) -> Option<f64> {
    let [(x0, y0), (x1, y1), (x2, y2)] = points;
    let (left, right) = ((y0 - y1) / (x1 - x0), (y2 - y1) / (x2 - x1));
    if !(left >= 0.0 && right >= 0.0) {
        return None;
    }
    if left + right == 0.0 {
        return Some(x1);
    }
    // Newton's divided differences: y' vanishes there.
    let curvature = (left + right) / (x2 - x0);
    Some(0.5 * (x0 + x1 + left / curvature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_point_is_found_between_uneven_points() {
        let parabola = |at: f64| move |x: f64| (x, 3.0 + 0.7 * (x - at) * (x - at));
        for (at, xs) in [
            (0.1, [-1.0, 0.0, 1.0]),
            (2.4, [1.0, 2.0, 4.0]),
            (-3.0, [-5.0, -3.0, 0.0]),
        ] {
            let found = lowest_of_parabola(xs.map(parabola(at))).unwrap();
            assert!((found - at).abs() < 1e-12, "{found} against {at}");
        }
        assert_eq!(
            lowest_of_parabola([(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)]),
            Some(1.0)
        );
        for losses in [
            [1.0, 2.0, 3.0],
            [3.0, 2.0, 1.0],
            [1.0, 2.0, 1.0],
            [f64::NAN, 1.0, 2.0],
        ] {
            assert_eq!(
                lowest_of_parabola([(0.0, losses[0]), (1.0, losses[1]), (2.0, losses[2])]),
                None
            );
        }
    }
}
