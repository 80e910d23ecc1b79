//! A falling curve through a few noisy points, read in both directions: what does x give, what x gives y?
//!
//! The points are made to fall by pooling adjacent violators (isotonic regression: the falling sequence nearest in least
//! squares), then joined by straight lines. There is no extrapolation: outside the points the answer says on which side.

/// A non-increasing piecewise linear curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Falling {
    x: Vec<f64>,
    y: Vec<f64>,
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
    /// The curve through at least two finite points with distinct x; `None` for anything else.
    pub fn through(points: &[(f64, f64)]) -> Option<Self> {
        let mut points = points.to_vec();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let finite = points.iter().all(|(x, y)| x.is_finite() && y.is_finite());
        if points.len() < 2 || !finite || points.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return None;
        }
        let (x, y): (Vec<f64>, Vec<f64>) = points.into_iter().unzip();
        Some(Self { x, y: pooled(&y) })
    }

    /// The value at `x`; `None` outside the points.
    pub fn at(&self, x: f64) -> Option<f64> {
        let right = self.x.partition_point(|&point| point < x);
        if right == 0 {
            return if self.x[0] == x { Some(self.y[0]) } else { None };
        }
        let (left, right) = (right - 1, if right < self.x.len() { right } else { return None });
        let share = (x - self.x[left]) / (self.x[right] - self.x[left]);
        Some(self.y[left] + share * (self.y[right] - self.y[left]))
    }

    /// The x at which the curve takes the finite value `y`; the middle of a level stretch.
    pub fn solve(&self, y: f64) -> Solution {
        let last = self.x.len() - 1;
        if y > self.y[0] {
            return Solution::Before(self.x[0]);
        }
        if y < self.y[last] {
            return Solution::After(self.x[last]);
        }
        // Points strictly above y, and points at or above it: between the two counts the curve is level at y.
        let above = self.y.partition_point(|&value| value > y);
        let reached = self.y.partition_point(|&value| value >= y);
        if reached > above {
            return Solution::At(0.5 * (self.x[above] + self.x[reached - 1]));
        }
        let (left, right) = (above - 1, above);
        let share = (self.y[left] - y) / (self.y[left] - self.y[right]);
        Solution::At(self.x[left] + share * (self.x[right] - self.x[left]))
    }
}

/// Pools adjacent violators: neighbours that rise are replaced by their mean until nothing rises.
fn pooled(y: &[f64]) -> Vec<f64> {
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for &value in y {
        blocks.push((value, 1));
        while let [.., (before, m), (after, n)] = blocks[..]
            && before < after
        {
            blocks.truncate(blocks.len() - 2);
            blocks.push(((before * m as f64 + after * n as f64) / (m + n) as f64, m + n));
        }
    }
    blocks.iter().flat_map(|&(value, n)| std::iter::repeat_n(value, n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_falling_curve_is_read_in_both_directions() {
        let curve = Falling::through(&[(2.0, 1.0), (0.0, 3.0), (1.0, 2.5)]).unwrap();
        let rows = [
            (0.0, Some(3.0)),
            (0.5, Some(2.75)),
            (1.0, Some(2.5)),
            (1.5, Some(1.75)),
            (2.0, Some(1.0)),
            (-0.1, None),
            (2.1, None),
            (f64::NAN, None),
        ];
        for (x, expected) in rows {
            assert_eq!(curve.at(x), expected, "at {x}");
            if let Some(y) = expected {
                assert_eq!(curve.solve(y), Solution::At(x), "solving {y}");
            }
        }
        assert_eq!(curve.solve(3.1), Solution::Before(0.0));
        assert_eq!(curve.solve(0.9), Solution::After(2.0));
    }

    /// Values of scikit-learn's `IsotonicRegression(increasing=False)`.
    #[test]
    fn rising_neighbours_are_pooled() {
        assert_eq!(pooled(&[4.0, 2.0, 3.0, 1.0]), [4.0, 2.5, 2.5, 1.0]);
        assert_eq!(pooled(&[1.0, 2.0, 6.0]), [3.0, 3.0, 3.0]);
        let level = Falling::through(&[(0.0, 4.0), (1.0, 2.0), (2.0, 3.0), (3.0, 1.0)]).unwrap();
        assert_eq!(level.solve(2.5), Solution::At(1.5));
    }

    #[test]
    fn a_curve_needs_two_distinct_finite_points() {
        assert_eq!(Falling::through(&[(1.0, 1.0)]), None);
        assert_eq!(Falling::through(&[(1.0, 1.0), (1.0, 0.5)]), None);
        assert_eq!(Falling::through(&[(1.0, 1.0), (2.0, f64::NAN)]), None);
    }
}
