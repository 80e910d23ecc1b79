//! Tests of `plot`.

use super::plot::range;
use crate::report::page::{Axis, Quantity};

#[test]
fn an_axis_shows_all_of_its_values_and_at_least_two_ticks() {
    let log = Axis::log("", Quantity::Times);
    let linear = Axis::linear("", Quantity::Nats);
    type Case<'a> = (&'a Axis, &'a [f64], Option<f64>, (f64, f64));
    let rows: [Case; 7] = [
        (&log, &[2.7, 3.1], None, (2.0, 5.0)),
        (&log, &[1.0, 3.4], None, (0.93, 3.638)),
        (&log, &[0.6, 1.0], None, (0.5, 1.07)),
        (&log, &[0.0, f64::NAN], None, (1.0, 10.0)),
        (&linear, &[0.0, 10.0], Some(0.0), (0.0, 10.6)),
        (&linear, &[1.0, 2.0], None, (0.94, 2.06)),
        (&linear, &[], None, (0.0, 1.0)),
    ];
    for (axis, values, origin, expected) in rows {
        let found = range(axis, values.iter().copied(), origin);
        assert!(
            (found.0 - expected.0).abs() < 1e-9 && (found.1 - expected.1).abs() < 1e-9,
            "{values:?}: {found:?}"
        );
    }
}
