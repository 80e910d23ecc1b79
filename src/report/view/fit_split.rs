//! How compute is best split between size and data, and what more of it returns.

use std::fmt::Write;

use super::number::{bounds, figure, interval};
use crate::analysis::fit::{Allocation, IsoFlop, Study};
use crate::report::page::{Block, Table};

pub(super) fn allocation(study: &Study, found: &Allocation) -> [Block; 2] {
    let mut table = Table::new(["C", "N*", "95%", "D*", "D*/N*", "L", ""]);
    for split in &found.splits {
        let best = split.optimum;
        let range = split
            .params_interval
            .map_or("not identified".to_owned(), |i| {
                format!("{:.2e} to {:.2e}", i.low, i.high)
            });
        let beyond = if split.extrapolated {
            "extrapolated"
        } else {
            ""
        };
        let cells = [
            format!("{:.2e}", best.flops),
            format!("{:.3e}", best.params),
            range,
            format!("{:.3e}", best.tokens),
        ];
        let rest = [
            figure(best.tokens / best.params),
            format!("{:.4}", best.loss),
            beyond.to_owned(),
        ];
        table.row(cells.into_iter().chain(rest));
    }
    let range = match (
        &found.params_exponent_bounds,
        found.params_exponent_interval,
    ) {
        (_, Some(range)) => interval(&range),
        (Some(range), None) => format!("not identified: {}", bounds(range)),
        (None, None) => "not identified".to_owned(),
    };
    let per = study
        .counting
        .map_or(6.0, |found| found.per_parameter_and_token);
    let exponent = format!(
        "Best split of compute under C = {} N D: N* ~ C^{:.4} ({range})",
        round(per),
        found.params_exponent
    );
    [Block::Text(exponent), Block::Table(table)]
}

/// `6`, `6.43`.
fn round(value: f64) -> String {
    if (value - value.round()).abs() < 0.005 {
        format!("{value:.0}")
    } else {
        figure(value)
    }
}

pub(super) fn returns(study: &Study) -> Option<String> {
    let found = study.returns.as_ref()?;
    let range = found
        .doubling_interval
        .map_or("not identified".to_owned(), |i| interval(&i));
    let mut text = format!(
        "Returns: from {:.2e} FLOPs, doubling buys {} nats ({range})",
        found.flops,
        figure(found.doubling_nats)
    );
    match found.seed_sd_nats {
        Some(sd) => {
            text += &format!(
                "; one run's sd is {} nats (between runs of one cell)",
                figure(sd)
            )
        }
        None => text += "; one run's sd is unknown, as no run is repeated",
    }
    if let Some(lost) = found.lost_in_noise_above_flops {
        let beyond = if found.extrapolated {
            ", extrapolated"
        } else {
            ""
        };
        let _ = write!(
            text,
            ", which a doubling no longer beats above {lost:.1e} FLOPs{beyond}"
        );
    }
    Some(text + ".")
}

pub(super) fn isoflop(found: &IsoFlop) -> [Block; 2] {
    let mut table = Table::new(["C", "n", "N*", "L at N*", "sizes from N*", "nearest", ""]);
    for profile in &found.profiles {
        let or_none = |value: Option<String>| value.unwrap_or("-".to_owned());
        table.row([
            format!("{:.2e}", profile.flops),
            profile.n.to_string(),
            or_none(profile.best_params.map(|n| format!("{n:.3e}"))),
            or_none(profile.best_loss.map(|loss| format!("{loss:.4}"))),
            or_none(
                profile
                    .reach
                    .map(|[low, high]| format!("/{low:.1} to x{high:.1}")),
            ),
            or_none(
                profile
                    .nearest
                    .map(|[low, high]| format!("/{low:.2}, x{high:.2}")),
            ),
            profile
                .reason
                .map(|reason| reason.words().to_owned())
                .unwrap_or_default(),
        ]);
    }
    let head = format!(
        "{}: {} points, {} budgets.",
        found.group,
        found.n,
        found.profiles.len()
    );
    [Block::Text(head), Block::Table(table)]
}
