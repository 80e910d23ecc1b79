//! A falling curve through a few noisy points, read in both directions: what does x give, what x gives y?
//!
//! The curve is read locally. Points with one x are averaged; neighbours that rise are pooled, for noise and nothing else makes
//! a curve that must fall rise (isotonic regression of ln y by pooling adjacent violators, Ayer et al. 1955); between the
//! points runs the monotone cubic of Fritsch and Carlson 1980 in x and ln y, with the slopes of Fritsch and Butland 1984, as in
//! SciPy's `PchipInterpolator`. So the curve passes through every point that does not rise, never leaves the range of the two
//! points it lies between, and no distant point moves it. A single law through all points, a parabola say, is smoother and
//! wrong: where a law does not hold it contradicts the very points it was drawn through. Read only between its first and last
//! point.

/// Relative rounding error of a value that is computed twice.
const SLACK: f64 = 1e-12;

/// Halvings of a segment that leave nothing of it.
const HALVINGS: usize = 60;

/// A curve that never rises.
#[derive(Debug, Clone, PartialEq)]
pub struct Falling {
    /// x and ln y, ascending in x and never rising in y.
    knots: Vec<(f64, f64)>,
    /// d ln y / dx at each.
    slopes: Vec<f64>,
    /// For each point given, in that order, the first knot of its block, the block's last, and the points in the block.
    blocks: Vec<(usize, usize, f64)>,
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
    /// The curve of points with at least two distinct x and positive y; `None` for anything else.
    pub fn through(points: &[(f64, f64)]) -> Option<Self> {
        let sound = points
            .iter()
            .all(|(x, y)| x.is_finite() && y.is_finite() && *y > 0.0);
        let averaged = averaged(points);
        let blocks = pooled(&averaged);
        let heights = blocks
            .iter()
            .flat_map(|(height, _, knots)| std::iter::repeat_n(*height, *knots));
        let knots: Vec<(f64, f64)> = averaged
            .iter()
            .zip(heights)
            .map(|((x, ..), height)| (*x, height))
            .collect();
        let slopes = slopes(&knots);
        let mut ends = Vec::new();
        for (_, weight, count) in blocks {
            let from = ends.len();
            ends.extend(std::iter::repeat_n((from, from + count - 1, weight), count));
        }
        let block = |x: f64| {
            knots
                .iter()
                .position(|knot| knot.0 == x)
                .map(|knot| ends[knot])
        };
        let blocks: Vec<(usize, usize, f64)> =
            points.iter().filter_map(|(x, _)| block(*x)).collect();
        (sound && knots.len() > 1).then_some(Self {
            knots,
            slopes,
            blocks,
        })
    }

    /// Where the curve begins and ends.
    pub fn range(&self) -> (f64, f64) {
        (self.knots[0].0, self.knots[self.knots.len() - 1].0)
    }

    /// The value at `x`; `None` outside the points.
    pub fn at(&self, x: f64) -> Option<f64> {
        let (from, to) = self.range();
        (from..=to).contains(&x).then(|| self.log_at(x).exp())
    }

    /// d ln y / dx at `x`, where the curve is read.
    pub fn slope(&self, x: f64) -> Option<f64> {
        self.at(x)?;
        let k = self.segment(x);
        let ((x0, y0), (x1, y1)) = (self.knots[k], self.knots[k + 1]);
        let (width, t) = (x1 - x0, (x - x0) / (x1 - x0));
        let bent = 6.0 * t * (1.0 - t) * (y1 - y0) / width;
        Some(
            bent + (1.0 - t) * (1.0 - 3.0 * t) * self.slopes[k]
                + t * (3.0 * t - 2.0) * self.slopes[k + 1],
        )
    }

    /// How much of ln y at `x` comes from each of the points given, in their order: shares of the chord between the two that
    /// `x` lies between, evenly within what was averaged or pooled. The cubic's own differ by a few hundredths.
    pub fn shares(&self, x: f64) -> Vec<f64> {
        let k = self.segment(x);
        let t = ((x - self.knots[k].0) / (self.knots[k + 1].0 - self.knots[k].0)).clamp(0.0, 1.0);
        let of = |(from, to, count): &(usize, usize, f64)| {
            let within = |knot: usize, share: f64| {
                if (*from..=*to).contains(&knot) {
                    share / count
                } else {
                    0.0
                }
            };
            within(k, 1.0 - t) + within(k + 1, t)
        };
        self.blocks.iter().map(of).collect()
    }

    /// The x at which the curve takes the positive value `y`; the middle of them where it is flat there.
    pub fn solve(&self, y: f64) -> Solution {
        let ((from, first), (to, last)) = (self.knots[0], self.knots[self.knots.len() - 1]);
        let log = y.ln();
        // An end is on the curve, whatever the last digits say.
        if log > first + SLACK {
            return Solution::Before(from);
        }
        if log < last - SLACK {
            return Solution::After(to);
        }
        let level = log.clamp(last, first);
        let (first, last) = (
            self.crossing(|value| value > level + SLACK),
            self.crossing(|value| value >= level - SLACK),
        );
        Solution::At(0.5 * (first + last))
    }

    /// The end of the stretch, from the first point on, in which the curve is `above`.
    fn crossing(&self, above: impl Fn(f64) -> bool) -> f64 {
        let Some(next) = self.knots.iter().position(|(_, y)| !above(*y)) else {
            return self.range().1;
        };
        let Some(before) = next.checked_sub(1) else {
            return self.range().0;
        };
        let (mut low, mut high) = (self.knots[before].0, self.knots[next].0);
        for _ in 0..HALVINGS {
            let middle = 0.5 * (low + high);
            if above(self.log_at(middle)) {
                low = middle
            } else {
                high = middle
            }
        }
        high
    }

    /// The knot at which the stretch of `x` begins.
    fn segment(&self, x: f64) -> usize {
        let after = self
            .knots
            .iter()
            .position(|knot| knot.0 > x)
            .unwrap_or(self.knots.len() - 1);
        after.clamp(1, self.knots.len() - 1) - 1
    }

    /// ln y at an `x` on the curve, by Hermite's cubic.
    fn log_at(&self, x: f64) -> f64 {
        let k = self.segment(x);
        let ((x0, y0), (x1, y1)) = (self.knots[k], self.knots[k + 1]);
        let (width, t) = (x1 - x0, (x - x0) / (x1 - x0));
        let (back, forth) = ((1.0 - t) * (1.0 - t), t * t);
        let ends = back * (1.0 + 2.0 * t) * y0 + forth * (3.0 - 2.0 * t) * y1;
        ends + width * t * (1.0 - t) * ((1.0 - t) * self.slopes[k] - t * self.slopes[k + 1])
    }
}

/// Points by ascending x with ln y, those of one x as their mean, and how many each stands for.
fn averaged(points: &[(f64, f64)]) -> Vec<(f64, f64, f64)> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut found: Vec<(f64, f64, f64)> = Vec::new();
    for (x, y) in sorted {
        match found.last_mut() {
            Some((known, mean, count)) if *known == x => {
                *count += 1.0;
                *mean += (y - *mean) / *count;
            }
            _ => found.push((x, y, 1.0)),
        }
    }
    found
        .into_iter()
        .map(|(x, y, count)| (x, y.ln(), count))
        .collect()
}

/// Blocks of neighbours that rise: their weighted mean, their weight, and how many they are.
fn pooled(points: &[(f64, f64, f64)]) -> Vec<(f64, f64, usize)> {
    let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
    for (_, y, weight) in points {
        let mut block = (*y, *weight, 1);
        while let Some((height, heavy, count)) = blocks.pop_if(|last| last.0 < block.0) {
            let weight = heavy + block.1;
            block = (
                (height * heavy + block.0 * block.1) / weight,
                weight,
                count + block.2,
            );
        }
        blocks.push(block);
    }
    blocks
}

/// Slopes at the knots that keep the cubic between two of them within their range: inside, the harmonic mean of both sides
/// weighted by their widths; at an end the parabola's through three knots, held to the sign and to three times the chord.
fn slopes(knots: &[(f64, f64)]) -> Vec<f64> {
    let sides: Vec<(f64, f64)> = knots
        .windows(2)
        .map(|pair| {
            (
                pair[1].0 - pair[0].0,
                (pair[1].1 - pair[0].1) / (pair[1].0 - pair[0].0),
            )
        })
        .collect();
    match sides[..] {
        [] => return Vec::new(),
        [(_, chord)] => return vec![chord; 2],
        _ => {}
    }
    let inside = sides.windows(2).map(|pair| {
        let ((before, left), (after, right)) = (pair[0], pair[1]);
        let (heavy, light) = (2.0 * after + before, after + 2.0 * before);
        if left * right > 0.0 {
            (heavy + light) / (heavy / left + light / right)
        } else {
            0.0
        }
    });
    let end = |(width, chord): (f64, f64), (next, beyond): (f64, f64)| {
        let slope = ((2.0 * width + next) * chord - width * beyond) / (width + next);
        match slope {
            slope if slope * chord <= 0.0 => 0.0,
            slope if chord * beyond <= 0.0 && slope.abs() > 3.0 * chord.abs() => 3.0 * chord,
            slope => slope,
        }
    };
    let last = sides.len() - 1;
    let ends = (end(sides[0], sides[1]), end(sides[last], sides[last - 1]));
    std::iter::once(ends.0)
        .chain(inside)
        .chain([ends.1])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-10,
            "{found} against {expected}"
        );
    }

    /// SciPy 1.17: `numpy.exp(PchipInterpolator(x, numpy.log(y))(at))`.
    #[test]
    fn the_curve_is_that_of_scipy() {
        type Row<'a> = (&'a [(f64, f64)], &'a [(f64, f64)]);
        let rows: [Row; 3] = [
            (
                &[
                    (0.0, 2.31),
                    (0.7, 2.02),
                    (1.5, 1.66),
                    (2.1, 1.49),
                    (3.3, 1.31),
                ],
                &[
                    (0.35, 2.16923630070249),
                    (1.0, 1.8782523564236504),
                    (1.8, 1.5647234515667545),
                    (2.5, 1.4134366356799912),
                    (3.1, 1.3282783226300912),
                ],
            ),
            (
                &[(3.0, 1.4), (0.0, 2.0), (1.0, 1.5)],
                &[(0.5, 1.6673473030056793), (2.0, 1.4248888283044734)],
            ),
            (
                &[(0.0, 2.0), (1.0, 1.9), (1.2, 1.0)],
                &[(0.5, 1.980964247228384), (1.1, 1.5084766122062172)],
            ),
        ];
        for (points, reads) in rows {
            let curve = Falling::through(points).unwrap();
            reads
                .iter()
                .for_each(|(x, y)| close(curve.at(*x).unwrap(), *y));
        }
    }

    /// SciPy 1.17: `isotonic_regression(y, weights=[1, 1, 1, 1, 1, 1, 2], increasing=False)`.
    #[test]
    fn what_rises_is_pooled() {
        let heights = [0.2, 0.5, 0.1, 0.15, -0.3, -0.1, -0.2, -0.2];
        let places = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 6.0];
        let points: Vec<(f64, f64)> = places.into_iter().zip(heights.map(f64::exp)).collect();
        let curve = Falling::through(&points).unwrap();
        for (x, y) in [
            (0.0, 0.35),
            (0.4, 0.35),
            (1.0, 0.35),
            (2.0, 0.125),
            (3.0, 0.125),
            (4.0, -0.2),
            (6.0, -0.2),
        ] {
            close(curve.at(x).unwrap().ln(), y);
        }
        // Flat there, so the middle of what takes the value; beyond the last height nothing does.
        let Solution::At(x) = curve.solve(0.125_f64.exp()) else {
            panic!()
        };
        assert!((x - 2.5).abs() < 1e-6, "{x}");
        assert_eq!(curve.solve(0.7), Solution::After(6.0));
        assert_eq!(curve.solve(1.5), Solution::Before(0.0));
    }

    #[test]
    fn a_power_law_is_read_exactly_in_both_directions() {
        let law = |x: f64| 3.0 * (-0.3 * x).exp();
        for count in [2, 3, 5] {
            let points: Vec<(f64, f64)> = (0..count)
                .map(|k| 0.7 * f64::from(k))
                .map(|x| (x, law(x)))
                .collect();
            let last = points[points.len() - 1].0;
            let curve = Falling::through(&points).unwrap();
            for x in [0.0, 0.3, last] {
                close(curve.at(x).unwrap(), law(x));
                close(curve.slope(x).unwrap(), -0.3);
                let Solution::At(found) = curve.solve(law(x).clamp(law(last), law(0.0))) else {
                    panic!("{x}")
                };
                close(found, x);
            }
            assert_eq!((curve.at(-0.1), curve.at(last + 0.1)), (None, None));
            assert_eq!(curve.solve(3.1), Solution::Before(0.0));
            assert_eq!(curve.solve(0.99 * law(last)), Solution::After(last));
        }
    }

    /// Laws with a floor, over factors of 16 and of 1000 with a point a doubling: within 0.015 of ln x everywhere.
    #[test]
    fn a_law_with_a_floor_is_read_closely() {
        for (floor, exponent) in [
            (0.5, 0.15),
            (1.5, 0.15),
            (3.0, 0.15),
            (0.5, 0.4),
            (1.5, 0.4),
            (0.6, 0.5),
        ] {
            for count in [5, 11] {
                let law = |x: f64| floor + (-exponent * x).exp();
                let points: Vec<(f64, f64)> = (0..count)
                    .map(|k| 2.0_f64.ln() * f64::from(k))
                    .map(|x| (x, law(x)))
                    .collect();
                let curve = Falling::through(&points).unwrap();
                let end = curve.range().1;
                for step in 0..=40 {
                    let x = end * f64::from(step) / 40.0;
                    let error = curve.solve(law(x)).x() - x;
                    assert!(error.abs() < 0.015, "{floor} {exponent}: {error} at {x}");
                }
            }
        }
    }

    /// Random falling points: the curve meets each, stays between neighbours, never rises, and both directions agree.
    #[test]
    fn it_passes_through_its_points_and_nowhere_else() {
        // Weyl's sequence is luck enough.
        let mut drawn = 0.0;
        let mut uniform = || {
            drawn += 0.618_033_988_749_894_9;
            f64::fract(drawn)
        };
        for _ in 0..500 {
            let count = 2 + (8.0 * uniform()) as usize;
            let mut at = (0.0, 3.0);
            let points: Vec<(f64, f64)> = std::iter::repeat_with(|| {
                at = (
                    at.0 + 0.01 + 5.0 * uniform().powi(3),
                    at.1 * (0.9999 - 0.5 * uniform()),
                );
                at
            })
            .take(count)
            .collect();
            let curve = Falling::through(&points).unwrap();
            points
                .iter()
                .for_each(|(x, y)| close(curve.at(*x).unwrap() / y, 1.0));
            for pair in points.windows(2) {
                let mut last = pair[0].1;
                for step in 1..=20 {
                    let x = pair[0].0 + (pair[1].0 - pair[0].0) * f64::from(step) / 20.0;
                    let y = curve.at(x.min(pair[1].0)).unwrap();
                    assert!(
                        y <= last * (1.0 + 1e-12) && y >= pair[1].1 * (1.0 - 1e-12),
                        "{points:?} at {x}"
                    );
                    let Solution::At(found) = curve.solve(y) else {
                        panic!("{points:?} at {x}")
                    };
                    close(curve.at(found).unwrap() / y, 1.0);
                    last = y;
                }
            }
        }
    }

    /// A share is what a small change of a point's ln y does to the curve, in the chord's reading.
    #[test]
    fn shares_sum_to_one_and_lie_beside_the_place_that_is_read() {
        let curve = Falling::through(&[(2.0, 1.0), (0.0, 4.0), (1.0, 2.0), (1.0, 2.2), (3.0, 1.1)])
            .unwrap();
        let rows = [
            (0.0, [0.0, 1.0, 0.0, 0.0, 0.0]),
            (0.5, [0.0, 0.5, 0.25, 0.25, 0.0]),
            (2.5, [0.5, 0.0, 0.0, 0.0, 0.5]),
        ];
        for (x, expected) in rows {
            assert_eq!(curve.shares(x), expected, "at {x}");
        }
    }

    #[test]
    fn equal_places_are_averaged_and_a_rise_is_flat() {
        let curve = Falling::through(&[(1.0, 3.0), (0.0, 4.0), (1.0, 1.0)]).unwrap();
        close(curve.at(1.0).unwrap(), 2.0);
        let flat = Falling::through(&[(0.0, 1.0), (1.0, 4.0)]).unwrap();
        close(flat.at(0.3).unwrap(), 2.0);
        assert_eq!(
            (flat.solve(2.1), flat.solve(1.9)),
            (Solution::Before(0.0), Solution::After(1.0))
        );
    }

    #[test]
    fn a_curve_needs_two_distinct_places_and_positive_values() {
        for points in [
            &[(1.0, 1.0)][..],
            &[(1.0, 1.0), (1.0, 0.5)],
            &[(1.0, 1.0), (2.0, f64::NAN)],
            &[(1.0, 1.0), (2.0, 0.0)],
        ] {
            assert_eq!(Falling::through(points), None);
        }
    }
}
