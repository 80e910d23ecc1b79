//! The Pareto front: what nothing else beats on both counts.

/// The indices of the points (cost, loss) that no other point matches at lower or equal cost and loss with one of them lower,
/// by rising cost. Of equal points the first counts.
pub fn front(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|a, b| {
        points[*a]
            .0
            .total_cmp(&points[*b].0)
            .then(points[*a].1.total_cmp(&points[*b].1))
    });
    let mut lowest = f64::INFINITY;
    order.retain(|k| {
        let better = points[*k].1 < lowest;
        lowest = lowest.min(points[*k].1);
        better
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_is_what_nothing_beats() {
        type Row<'a> = (&'a [(f64, f64)], &'a [usize]);
        let rows: [Row; 4] = [
            (&[], &[]),
            (
                &[(1.0, 3.0), (2.0, 2.0), (3.0, 2.5), (4.0, 1.0)],
                &[0, 1, 3],
            ),
            (&[(4.0, 1.0), (1.0, 1.0), (1.0, 2.0)], &[1]),
            (&[(1.0, 1.0), (1.0, 1.0)], &[0]),
        ];
        for (points, expected) in rows {
            assert_eq!(front(points), expected, "{points:?}");
        }
    }
}
