//! What parameters start with.

use super::*;

fn start(shape: &[usize], rows: &[usize], init: Init) -> Vec<f32> {
    let mut declare = Declare::default();
    declare.stacked("it", shape, Role::Matrix, init, rows);
    let params = Params::init(&declare.finish(), 3, &Device::Cpu).expect("numbers fit");
    let flat = params.vars()[0].flatten_all().expect("a tensor");
    flat.to_vec1().expect("it is f32")
}

#[test]
fn numbers_start_within_what_their_distribution_spans() {
    for (init, low, high) in [
        (Init::Const(0.25), 0.25, 0.25),
        (Init::Uniform(-2.0, 3.0), -2.0, 3.0),
        (Init::LogOfUniform(1.0, 16.0), 0.0, 16.0_f64.ln()),
    ] {
        let values = start(&[4000], &[4000], init);
        let reach = values.iter().fold((f64::MAX, f64::MIN), |(a, b), &v| {
            (a.min(f64::from(v)), b.max(f64::from(v)))
        });
        let slack = 0.01 * (high - low);
        assert!(
            low <= reach.0 && reach.0 <= low + slack,
            "{init:?}: {reach:?}"
        );
        assert!(
            high - slack <= reach.1 && reach.1 <= high,
            "{init:?}: {reach:?}"
        );
    }
    let steps = start(&[4000], &[4000], Init::SoftplusLogUniform(1e-3, 0.1));
    let mut logs: Vec<f64> = steps
        .iter()
        .map(|&v| f64::from(v).exp().ln_1p().log10())
        .collect();
    logs.sort_by(f64::total_cmp);
    assert!(
        -3.0001 < logs[0] && logs[3999] < -0.9999,
        "{} {}",
        logs[0],
        logs[3999]
    );
    assert!(
        (logs[2000] + 2.0).abs() < 0.05,
        "the middle is 0.01: {}",
        logs[2000]
    );
}

#[test]
fn orthogonal_matrices_are_each_of_them() {
    for (rows, columns) in [(vec![5], 7), (vec![7], 5), (vec![4, 4], 4)] {
        let total: usize = rows.iter().sum();
        let all = start(&[total, columns], &rows, Init::Orthogonal);
        for (k, w) in all.chunks(rows[0] * columns).enumerate() {
            let at = |wide: bool, i: usize, j: usize| match wide {
                true => w[i * columns + j],
                false => w[j * columns + i],
            };
            let wide = rows[k] <= columns;
            let (count, length) = (rows[k].min(columns), rows[k].max(columns));
            for (a, b) in (0..count).flat_map(|a| (0..count).map(move |b| (a, b))) {
                let dot: f32 = (0..length).map(|j| at(wide, a, j) * at(wide, b, j)).sum();
                let expected = if a == b { 1.0 } else { 0.0 };
                assert!(
                    (dot - expected).abs() < 1e-6,
                    "{rows:?} {columns}: {a} {b} {dot}"
                );
            }
        }
    }
}
