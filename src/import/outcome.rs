//! What a run came to: its last loss, its FLOPs, or how it ended without a result.

use super::logged::{LoggedRun, Point};
use crate::record::{Status, six_n_d};

/// The last point that states the loss.
pub(super) fn last(run: &LoggedRun) -> Option<&Point> {
    run.points.iter().rev().find(|point| point.loss.is_some())
}

/// FLOPs up to a point, stated or by C = 6 N D.
pub(super) fn flops_of(run: &LoggedRun, point: &Point) -> Option<f64> {
    let params = run.identity.params.filter(|params| *params > 0);
    point
        .flops
        .or_else(|| Some(six_n_d(params?, point.tokens?)))
}

/// The point whose loss is the result, or how the run ended without one.
pub(super) fn outcome(run: &LoggedRun) -> Result<&Point, (Status, String)> {
    match last(run) {
        None if run.is_measured() => run
            .points
            .last()
            .ok_or_else(|| (Status::Failed, "the log states no figure".to_owned())),
        None => Err((Status::Failed, "the log states no loss".to_owned())),
        Some(point) if point.loss.is_some_and(f64::is_finite) => match blown_up(run, point) {
            None => Ok(point),
            Some(later) => Err((
                Status::Diverged,
                format!("the training loss is not a number{}", at(run, later)),
            )),
        },
        Some(point) => Err((
            Status::Diverged,
            format!("the loss is not a number{}", at(run, point)),
        )),
    }
}

/// Where the training loss stops being a number after the last judged loss, and stays so.
fn blown_up<'a>(run: &'a LoggedRun, judged: &Point) -> Option<&'a Point> {
    let after = |point: &&Point| {
        let place = |point: &Point| point.on(run.axis?);
        place(point) > place(judged)
    };
    let mut later = run.points.iter().filter(after).peekable();
    let first = later.peek().copied()?;
    let bad = |point: &Point| point.train_loss.is_some_and(|loss| !loss.is_finite());
    later.all(bad).then_some(first)
}

fn at(run: &LoggedRun, point: &Point) -> String {
    let at = run
        .axis
        .and_then(|axis| Some(format!(" at {} {}", axis.name(), point.on(axis)?)));
    at.unwrap_or_default()
}
