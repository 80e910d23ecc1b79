//! Where a noisy falling curve first takes a value: losses are made to fall by isotonic regression (pool adjacent violators: Ayer,
//! Brunk, Ewing, Reid and Silverman 1955), so that one lucky evaluation is averaged with its neighbours and does not count as the
//! moment a target was reached; between points the curve is straight in log loss and log cost. Nothing is extrapolated.

/// Relative rounding error of a value that is computed twice.
const SLACK: f64 = 1e-12;

/// A curve that falls, in the order of its cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Descent {
    /// Logarithm of cost, and loss; both strictly ordered.
    blocks: Vec<(f64, f64)>,
    /// Logarithms of the smallest and the largest cost that was evaluated.
    ends: (f64, f64),
}

/// Where a curve first takes a value, as the logarithm of the cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Crossing {
    /// There.
    At(f64),
    /// There or before: its first evaluation is as low already.
    By(f64),
    /// Not up to there, its last evaluation.
    Beyond(f64),
}

impl Descent {
    /// The curve through points of cost and loss; costs of 0 have no logarithm and are passed over, equal costs are averaged.
    /// `None` without a point that counts.
    pub fn through(points: &[(f64, f64)]) -> Option<Self> {
        let sound = |(x, y): &&(f64, f64)| *x > 0.0 && x.is_finite() && *y > 0.0 && y.is_finite();
        let mut points: Vec<(f64, f64)> = points
            .iter()
            .filter(sound)
            .map(|(x, y)| (x.ln(), *y))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let ends = (points.first()?.0, points.last()?.0);
        // Blocks as sums of places and of losses, with the number of points in them.
        let mut blocks: Vec<(f64, f64, f64)> = Vec::with_capacity(points.len());
        for (x, y) in points {
            blocks.push((x, y, 1.0));
            while let [.., before, last] = blocks[..] {
                let (place, loss) = (
                    |b: (f64, f64, f64)| b.0 / b.2,
                    |b: (f64, f64, f64)| b.1 / b.2,
                );
                if loss(last) < loss(before) && place(last) > place(before) {
                    break;
                }
                blocks.truncate(blocks.len() - 2);
                blocks.push((before.0 + last.0, before.1 + last.1, before.2 + last.2));
            }
        }
        Some(Self {
            blocks: blocks.into_iter().map(|(x, y, n)| (x / n, y / n)).collect(),
            ends,
        })
    }

    /// Where the loss is first at most `target`.
    pub fn first(&self, target: f64) -> Crossing {
        let reached = |(_, y): &(f64, f64)| *y <= target * (1.0 + SLACK);
        match self.blocks.iter().position(reached) {
            None => Crossing::Beyond(self.ends.1),
            Some(0) => Crossing::By(self.blocks[0].0),
            Some(k) => {
                let ((x0, y0), (x1, y1)) = (self.blocks[k - 1], self.blocks[k]);
                let share = ((y0 / target).ln() / (y0 / y1).ln()).clamp(0.0, 1.0);
                Crossing::At(x0 + share * (x1 - x0))
            }
        }
    }

    /// The loss at a logarithm of cost; `None` outside of what was evaluated.
    pub fn at(&self, x: f64) -> Option<f64> {
        if x < self.ends.0 - SLACK || x > self.ends.1 + SLACK {
            return None;
        }
        let after = self.blocks.iter().position(|(place, _)| *place >= x);
        Some(match after {
            None => self.blocks[self.blocks.len() - 1].1,
            Some(0) => self.blocks[0].1,
            Some(k) => {
                let ((x0, y0), (x1, y1)) = (self.blocks[k - 1], self.blocks[k]);
                y0 * ((y1 / y0).ln() * (x - x0) / (x1 - x0)).exp()
            }
        })
    }

    /// The loss at the end, and the logarithm of the cost there.
    pub fn last(&self) -> (f64, f64) {
        (self.ends.1, self.blocks[self.blocks.len() - 1].1)
    }
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

    fn at(crossing: Crossing) -> f64 {
        let Crossing::At(x) = crossing else {
            panic!("{crossing:?}")
        };
        x
    }

    /// `scipy.optimize.isotonic_regression(y, increasing=False).x` of SciPy 1.17 on these losses: 5, 4, 3.5, 3.5, 3.5, 3, 2.5,
    /// 2.5.
    #[test]
    fn violators_are_pooled() {
        let losses = [5.0, 4.0, 3.2, 3.7, 3.6, 3.0, 2.4, 2.6];
        let points: Vec<(f64, f64)> = losses
            .iter()
            .enumerate()
            .map(|(k, y)| ((k as f64).exp(), *y))
            .collect();
        let points: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x * 10.0, *y)).collect();
        let curve = Descent::through(&points).unwrap();
        assert_eq!(
            curve
                .blocks
                .iter()
                .map(|b| (b.1 * 1e9).round() / 1e9)
                .collect::<Vec<_>>(),
            [5.0, 4.0, 3.5, 3.0, 2.5]
        );
        close(curve.blocks[2].0, 3.0 + 10.0_f64.ln());
    }

    /// On a power law every crossing is exact, whatever the points.
    #[test]
    fn a_power_law_is_read_exactly() {
        let law = |x: f64| 6.0 * x.powf(-0.1);
        let points: Vec<(f64, f64)> = [125.0, 250.0, 700.0, 5100.0].map(|x| (x, law(x))).to_vec();
        let curve = Descent::through(&points).unwrap();
        for x in [130.0, 250.0, 699.0, 4000.0, 5100.0_f64] {
            close(at(curve.first(law(x))), x.ln());
            close(curve.at(x.ln()).unwrap(), law(x));
        }
        assert_eq!(curve.first(law(100.0)), Crossing::By(125.0_f64.ln()));
        assert_eq!(curve.first(law(5200.0)), Crossing::Beyond(5100.0_f64.ln()));
        assert_eq!(
            (curve.at(124.0_f64.ln()), curve.at(5101.0_f64.ln())),
            (None, None)
        );
    }

    /// One lucky evaluation below the target is not its moment; without pooling the answer would be 200.
    #[test]
    fn one_lucky_evaluation_does_not_count() {
        let points = [
            (100.0, 3.4),
            (200.0, 3.27),
            (300.0, 3.35),
            (400.0, 3.30),
            (500.0, 3.26),
        ];
        let curve = Descent::through(&points).unwrap();
        let found = at(curve.first(3.28)).exp();
        assert!(found > 400.0 && found < 500.0, "{found}");
    }

    #[test]
    fn odd_points_are_taken_as_they_can_be() {
        assert_eq!(Descent::through(&[]), None);
        assert_eq!(Descent::through(&[(0.0, 11.0), (f64::NAN, 2.0)]), None);
        let twins = Descent::through(&[
            (0.0, 11.0),
            (10.0, 4.0),
            (20.0, 3.0),
            (20.0, 3.2),
            (40.0, 2.0),
        ])
        .unwrap();
        close(twins.at(20.0_f64.ln()).unwrap(), 3.1);
        let rising = Descent::through(&[(10.0, 3.0), (20.0, 4.0)]).unwrap();
        assert_eq!(rising.blocks.len(), 1);
        close(rising.last().1, 3.5);
        assert_eq!(rising.first(3.2), Crossing::Beyond(20.0_f64.ln()));
    }
}
