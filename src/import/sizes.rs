//! Rows that cannot be points of one training.

use super::logged::{LoggedRun, describe};
use crate::error::{Error, Result};

/// How far the FLOPs of a token may differ within a training, as its contexts grow.
const OF_ONE_SIZE: f64 = 1.5;

/// Refuses rows whose FLOPs of a token are those of several sizes: they are runs, and no points of one.
pub(super) fn one(run: &LoggedRun, file: &str) -> Result<()> {
    let each = run.points.iter().filter_map(|point| {
        let tokens = point.tokens.filter(|tokens| *tokens > 0)?;
        Some(point.flops? / tokens as f64).filter(|each| *each > 0.0)
    });
    let (low, high) = each.fold((f64::INFINITY, 0.0_f64), |(low, high), each| {
        (low.min(each), high.max(each))
    });
    if high <= OF_ONE_SIZE * low {
        return Ok(());
    }
    let message = format!(
        "{file}:{}: {} spends from {low:.3e} to {high:.3e} FLOPs on a token: its rows are runs of several sizes",
        run.line,
        describe(&run.identity)
    );
    Err(Error::input(message)
        .hint("`--map run=@row` makes a run of each row, `--map params=COLUMN` tells sizes apart"))
}
