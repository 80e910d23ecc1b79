//! A falling curve through a few noisy points, read in both directions: what does x give, what x gives y?
//!
//! The curve is the least-squares parabola (a straight line through two points) in x and ln y. For losses against log cost
//! that is close enough to every law in use: over a factor of 16 in cost and laws E + A C^-a with a from 0.15 to 0.5 the
//! error in ln C stays below 0.01, where joining the points by straight lines errs by 0.01 to 0.03 always to one side, and
//! a parabola in y itself by up to 0.045. Read only between its first and last point, and there only where it falls.

/// Relative rounding error of a value that is computed twice.
const SLACK: f64 = 1e-12;

/// The falling part of a parabola in ln y.
#[derive(Debug, Clone, PartialEq)]
pub struct Falling {
    /// ln y = c0 + c1 u + c2 u^2 with u = x - middle.
    coefficients: [f64; 3],
    middle: f64,
    /// Where it is read.
    from: f64,
    to: f64,
}

/// Where a curve takes a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Solution {
    /// At this x.
    At(f64),
    /// Above the whole curve: before its first point, which is at this x.
    Before(f64),
    /// Below the whole curve: after its last point, which is at this x.
    After(f64),
}

impl Solution {
    /// The x named, whether it is the answer or the end that the answer lies beyond.
    pub fn x(self) -> f64 {
        let (Self::At(x) | Self::Before(x) | Self::After(x)) = self;
        x
    }
}

impl Falling {
    /// The curve of at least two points with distinct x and positive y; `None` for anything else, and for one that falls
    /// nowhere.
    pub fn through(points: &[(f64, f64)]) -> Option<Self> {
        let mut points = points.to_vec();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let sound = points.iter().all(|(x, y)| x.is_finite() && y.is_finite() && *y > 0.0);
        if points.len() < 2 || !sound || points.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return None;
        }
        let middle = points.iter().map(|(x, _)| x).sum::<f64>() / points.len() as f64;
        let around: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x - middle, y.ln())).collect();
        let coefficients = if points.len() == 2 { line(&around) } else { parabola(&around)? };
        let (first, last) = (points[0].0, points[points.len() - 1].0);
        let [_, slope, bend] = coefficients;
        // Where the parabola turns; it falls before that where it is open upwards, behind it where it is open downwards.
        let turn = middle - 0.5 * slope / bend;
        let (from, to) = match bend {
            b if b > 0.0 => (first, last.min(turn)),
            b if b < 0.0 => (first.max(turn), last),
            _ if slope < 0.0 => (first, last),
            _ => return None,
        };
        (from < to).then_some(Self { coefficients, middle, from, to })
    }

    /// The value at `x`; `None` outside the points, and where the parabola does not fall.
    pub fn at(&self, x: f64) -> Option<f64> {
        (self.from..=self.to).contains(&x).then(|| self.value(x))
    }

    /// The x at which the curve takes the positive value `y`.
    pub fn solve(&self, y: f64) -> Solution {
        // An end is on the curve, whatever the last digits say.
        if y > self.value(self.from) * (1.0 + SLACK) {
            return Solution::Before(self.from);
        }
        if y < self.value(self.to) * (1.0 - SLACK) {
            return Solution::After(self.to);
        }
        let [level, slope, bend] = self.coefficients;
        let offset = level - y.ln();
        // The root of bend u^2 + slope u + offset on the falling branch, where 2 bend u + slope = -sqrt(...), in the form
        // that loses no digits.
        let root = (slope * slope - 4.0 * bend * offset).max(0.0).sqrt();
        let u = if slope <= 0.0 { 2.0 * offset / (root - slope) } else { -(slope + root) / (2.0 * bend) };
        Solution::At((self.middle + u).clamp(self.from, self.to))
    }

    fn value(&self, x: f64) -> f64 {
        let [level, slope, bend] = self.coefficients;
        let u = x - self.middle;
        (level + u * (slope + u * bend)).exp()
    }
}

/// Through two points.
fn line(points: &[(f64, f64)]) -> [f64; 3] {
    let [(x0, y0), (x1, y1)] = [points[0], points[1]];
    let slope = (y1 - y0) / (x1 - x0);
    [y0 - slope * x0, slope, 0.0]
}

/// Least squares over at least three points with distinct x, their mean at 0: by polynomials orthogonal on them
/// (Forsythe 1957), so that nothing is inverted.
fn parabola(points: &[(f64, f64)]) -> Option<[f64; 3]> {
    let sum = |term: &dyn Fn(f64, f64) -> f64| points.iter().map(|&(x, y)| term(x, y)).sum::<f64>();
    let n = points.len() as f64;
    let (squares, cubes) = (sum(&|x, _| x * x), sum(&|x, _| x * x * x));
    let (skew, spread) = (cubes / squares, squares / n);
    let bent = |x: f64| x * x - skew * x - spread;
    let norm = sum(&|x, _| bent(x) * bent(x));
    if norm <= 0.0 {
        return None;
    }
    let (mean, slope) = (sum(&|_, y| y) / n, sum(&|x, y| x * y) / squares);
    let bend = sum(&|x, y| bent(x) * y) / norm;
    Some([mean - spread * bend, slope - skew * bend, bend])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-10, "{found} against {expected}");
    }

    /// `numpy.polyfit(x, numpy.log(y), 2)` of NumPy 2 over five uneven points, at 0.7 and 2.5: `numpy.exp(numpy.polyval(...))`.
    #[test]
    fn the_fit_is_that_of_numpy() {
        let points = [(0.0, 2.31), (0.7, 2.02), (1.5, 1.66), (2.1, 1.49), (3.3, 1.31)];
        let curve = Falling::through(&points).unwrap();
        close(curve.at(0.7).unwrap(), 1.9691351491399833);
        close(curve.at(2.5).unwrap(), 1.4246082572296515);
    }

    #[test]
    fn a_power_law_is_read_exactly_in_both_directions() {
        let law = |x: f64| 3.0 * (-0.3 * x).exp();
        for count in [2, 3, 5] {
            let points: Vec<(f64, f64)> = (0..count).map(|k| 0.7 * f64::from(k)).map(|x| (x, law(x))).collect();
            let last = points[points.len() - 1].0;
            let curve = Falling::through(&points).unwrap();
            for x in [0.0, 0.3, last] {
                close(curve.at(x).unwrap(), law(x));
                let Solution::At(found) = curve.solve(law(x).clamp(law(last), law(0.0))) else { panic!("{x}") };
                close(found, x);
            }
            assert_eq!((curve.at(-0.1), curve.at(last + 0.1)), (None, None));
            assert_eq!(curve.solve(3.1), Solution::Before(0.0));
            assert_eq!(curve.solve(0.99 * law(last)), Solution::After(last));
        }
    }

    /// A law with a floor is not of the family; the error stays within what the module's head says.
    #[test]
    fn a_law_with_a_floor_is_read_to_a_hundredth() {
        for (floor, exponent) in [(0.5, 0.15), (1.5, 0.15), (3.0, 0.15), (0.5, 0.4), (1.5, 0.4), (0.6, 0.5)] {
            let law = |x: f64| floor + (-exponent * x).exp();
            let points: Vec<(f64, f64)> = (0..5).map(|k| 2.0_f64.ln() * f64::from(k)).map(|x| (x, law(x))).collect();
            let curve = Falling::through(&points).unwrap();
            for x in [0.4, 1.0, 1.7, 2.3] {
                let error = curve.solve(law(x)).x() - x;
                assert!(error.abs() < 0.01, "{floor} {exponent}: {error} at {x}");
            }
        }
    }

    /// Noise can bend a curve until it turns: only the falling part is read.
    #[test]
    fn only_what_falls_is_read() {
        let up = Falling::through(&[(0.0, 3.0), (1.0, 2.0), (2.0, 2.5)]).unwrap();
        assert!(up.to < 2.0 && up.at(2.0).is_none());
        assert_eq!(up.solve(1.5), Solution::After(up.to));
        let down = Falling::through(&[(0.0, 2.5), (1.0, 2.6), (2.0, 1.0)]).unwrap();
        assert!(down.from > 0.0 && down.at(0.0).is_none());
        let Solution::At(x) = down.solve(1.5) else { panic!() };
        close(down.at(x).unwrap(), 1.5);
        assert_eq!(Falling::through(&[(0.0, 1.0), (1.0, 2.0)]), None, "it rises");
    }

    #[test]
    fn a_curve_needs_two_distinct_positive_points() {
        for points in
            [&[(1.0, 1.0)][..], &[(1.0, 1.0), (1.0, 0.5)], &[(1.0, 1.0), (2.0, f64::NAN)], &[(1.0, 1.0), (2.0, 0.0)]]
        {
            assert_eq!(Falling::through(points), None);
        }
    }
}
