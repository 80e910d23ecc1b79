//! Cells of a suite, settled and counted.

use super::options::Options;
use crate::config::{Cell, Origin, Overrides, parse_set};
use crate::error::{Error, Result};
use crate::runner::plan::PreparedCell;
use crate::trial::{Registry, settle};

/// A settled cell, and the threads its spec asks for (0: all).
pub(super) struct SettledCell {
    pub(super) cell: PreparedCell,
    pub(super) threads: usize,
}

/// What the options lay over every cell of the suite.
pub(super) fn overrides(options: &Options) -> Result<Overrides> {
    let listed = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let sets = options
        .set
        .iter()
        .map(|text| parse_set(text))
        .collect::<Result<Vec<_>>>()?;
    if sets.iter().any(|(key, _)| key == "compute.device") {
        return Err(Error::input(
            "--set compute.device: the device is the whole run's, not a cell's",
        )
        .hint("`--device cpu|cuda|cuda:N`"));
    }
    Ok(Overrides {
        variants: listed(&options.variants),
        scales: listed(&options.scales),
        sets,
        data: options.data.clone(),
    })
}

/// What no sweep speaks for is not run with a caveat: it is run where somebody asks for it.
pub(super) fn refuse_untuned(cells: &[Cell]) -> Result<()> {
    let mut refusals = cells.iter().filter_map(|cell| cell.refusal.as_ref());
    let Some(first) = refusals.next() else {
        return Ok(());
    };
    let more = match refusals.count() {
        0 => String::new(),
        more => format!("; so it is with {more} more of {} cells", cells.len()),
    };
    Err(Error {
        message: format!("{}{more}", first.message),
        ..first.clone()
    })
}

/// Settles a cell for a device and counts it.
pub(super) fn settle_cell(
    registry: &Registry,
    mut cell: Cell,
    device: &str,
) -> Result<SettledCell> {
    cell.tree
        .set("compute.device", device.into(), Origin::named("--device"));
    let settled = settle(registry, &cell.tree)?;
    let activation_bytes = settled
        .experiment
        .guess_bytes()
        .saturating_sub(settled.cost.state_bytes);
    let threads = settled.experiment.threads;
    let cell = PreparedCell {
        name: cell.name,
        variant: cell.variant,
        scale: cell.scale,
        budget: cell.budget,
        lr_source: cell.lr_source,
        loadings: cell.loadings,
        spec: settled.spec,
        spec_sha256: settled.spec_sha256,
        paths: settled.paths,
        cost: settled.cost,
        activation_bytes,
    };
    Ok(SettledCell { cell, threads })
}
