//! Straight lines, parabolas, and what is left of a column when others are taken out of it.

/// Least squares of `y` on the columns, by normal equations on columns that are best centred; `None` where they are dependent.
pub fn least_squares(columns: &[Vec<f64>], y: &[f64]) -> Option<Vec<f64>> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let matrix = columns
        .iter()
        .map(|a| columns.iter().map(|b| dot(a, b)).collect())
        .collect();
    solve(matrix, columns.iter().map(|a| dot(a, y)).collect())
}

/// The solution of a square system by elimination with row pivots; `None` where a pivot is lost in rounding beside its
/// diagonal.
pub fn solve(mut rows: Vec<Vec<f64>>, right: Vec<f64>) -> Option<Vec<f64>> {
    let n = rows.len();
    let diagonal: Vec<f64> = (0..n).map(|k| rows[k][k].abs()).collect();
    rows.iter_mut()
        .zip(right)
        .for_each(|(row, value)| row.push(value));
    for k in 0..n {
        let pivot = (k..n).max_by(|&a, &b| rows[a][k].abs().total_cmp(&rows[b][k].abs()))?;
        rows.swap(k, pivot);
        if rows[k][k].abs() <= 1e-12 * diagonal[k] {
            return None;
        }
        let top = rows[k].clone();
        for row in rows.iter_mut().skip(k + 1) {
            let factor = row[k] / top[k];
            row.iter_mut()
                .zip(&top)
                .for_each(|(value, above)| *value -= factor * above);
        }
    }
    let mut solution = vec![0.0; n];
    for k in (0..n).rev() {
        let known: f64 = (k + 1..n).map(|j| rows[k][j] * solution[j]).sum();
        solution[k] = (rows[k][n] - known) / rows[k][k];
    }
    solution
        .iter()
        .all(|value| value.is_finite())
        .then_some(solution)
}

/// The inverse of a square matrix, by Gauss and Jordan with pivots; `None` where it has none.
pub fn inverse(square: &[Vec<f64>]) -> Option<Vec<Vec<f64>>> {
    let n = square.len();
    let unit = |k: usize| (0..n).map(move |j| f64::from(u8::from(j == k)));
    let mut rows: Vec<Vec<f64>> = square
        .iter()
        .enumerate()
        .map(|(k, row)| row.iter().copied().chain(unit(k)).collect())
        .collect();
    for k in 0..n {
        let pivot = (k..n).max_by(|&a, &b| rows[a][k].abs().total_cmp(&rows[b][k].abs()))?;
        rows.swap(k, pivot);
        // A pivot that is no number is none.
        if rows[k][k].abs().partial_cmp(&0.0) != Some(std::cmp::Ordering::Greater) {
            return None;
        }
        let scale = rows[k][k];
        rows[k].iter_mut().for_each(|value| *value /= scale);
        let top = rows[k].clone();
        for (_, row) in rows.iter_mut().enumerate().filter(|(j, _)| *j != k) {
            let factor = row[k];
            row.iter_mut()
                .zip(&top)
                .for_each(|(value, above)| *value -= factor * above);
        }
    }
    let inverse: Vec<Vec<f64>> = rows.into_iter().map(|row| row[n..].to_vec()).collect();
    inverse
        .iter()
        .flatten()
        .all(|value| value.is_finite())
        .then_some(inverse)
}

/// What is left of `column` when its projections on the others are taken out (modified Gram-Schmidt); columns that depend on
/// those before them take nothing more out.
pub fn residual_of(column: &[f64], others: &[Vec<f64>]) -> Vec<f64> {
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for other in others {
        let size = norm(other);
        let mut left = other.clone();
        basis.iter().for_each(|unit| take_out(&mut left, unit));
        let remaining = norm(&left);
        if remaining > 1e-9 * size {
            left.iter_mut().for_each(|value| *value /= remaining);
            basis.push(left);
        }
    }
    let mut left = column.to_vec();
    basis.iter().for_each(|unit| take_out(&mut left, unit));
    left
}

fn norm(column: &[f64]) -> f64 {
    column.iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn take_out(column: &mut [f64], unit: &[f64]) {
    let share: f64 = column.iter().zip(unit).map(|(a, b)| a * b).sum();
    column
        .iter_mut()
        .zip(unit)
        .for_each(|(value, part)| *value -= share * part);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of NumPy 2: `np.polyfit([0, 1, 2, 4], [1, 3, 2, 5], 2)` and `np.linalg.lstsq`.
    #[test]
    fn agrees_with_numpy() {
        let x = [0.0, 1.0, 2.0, 4.0];
        let columns: Vec<Vec<f64>> = (0..3)
            .map(|power| x.map(|x: f64| x.powi(power)).to_vec())
            .collect();
        let y = [1.0, 3.0, 2.0, 5.0];
        let found = least_squares(&columns, &y).unwrap();
        for (found, expected) in
            found
                .iter()
                .zip([1.3818181818181832, 0.5090909090909073, 0.09090909090909155])
        {
            assert!(
                (found - expected).abs() < 1e-12,
                "{found} against {expected}"
            );
        }
        let left = residual_of(&y, &columns);
        let fitted = x.map(|x| found[0] + found[1] * x + found[2] * x * x);
        for ((left, y), fitted) in left.iter().zip(y).zip(fitted) {
            assert!((left - (y - fitted)).abs() < 1e-12);
        }
        let back = inverse(&[
            vec![0.0, 2.0, 1.0],
            vec![1.0, 1.0, 0.0],
            vec![3.0, 0.0, 1.0],
        ])
        .unwrap();
        for (row, expected) in
            back.iter()
                .zip([[-0.2, 0.4, 0.2], [0.2, 0.6, -0.2], [0.6, -1.2, 0.4]])
        {
            assert!(
                row.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12),
                "np.linalg.inv: {row:?}"
            );
        }
        assert_eq!(inverse(&[vec![1.0, 2.0], vec![2.0, 4.0]]), None);
        assert_eq!(
            least_squares(&[vec![1.0, 1.0], vec![2.0, 2.0]], &[1.0, 2.0]),
            None
        );
    }
}
