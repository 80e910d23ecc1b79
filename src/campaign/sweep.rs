//! The trials that choose learning rates: one sweep an arm.

use super::cells::{SettledCell, settle_cell};
use crate::config::names::width_of;
use crate::config::suite::SweptAt;
use crate::config::{Cell, Suite};
use crate::error::{Error, Result};
use crate::record::Trial;
use crate::record::swept::Position;
use crate::runner::plan::PreparedCell;
use crate::runner::sweep::Swept;
use crate::trial::Registry;

/// The trials that choose one arm's learning rates.
pub(super) struct Sweep {
    /// What is judged with them, by place in the campaign's cells.
    judged: Vec<(usize, Cell)>,
    /// One a place and rate.
    pub(super) tried: Vec<PreparedCell>,
}

impl Sweep {
    /// Whether the rate of the cell of this name is chosen here.
    pub(super) fn is_for(&self, name: &str) -> bool {
        self.judged.iter().any(|(_, cell)| cell.name == name)
    }

    /// Gives those of the campaign's cells that are this arm's the rates that its trials speak for; `from` names the file of
    /// the sweep, where it is not this run's own.
    pub(super) fn rate(
        &self,
        cells: &mut [PreparedCell],
        registry: &Registry,
        trials: &[&Trial],
        from: Option<&str>,
        device: &str,
    ) -> Result<()> {
        let mine = |trial: &&Trial| {
            trial.in_sweep() && self.tried.iter().any(|one| one.name == trial.cell)
        };
        let of_arm: Vec<&Trial> = trials.iter().copied().filter(mine).collect();
        let first = self.judged.first();
        let variant = first.map_or("", |(_, cell)| cell.variant.as_str());
        let swept = Swept::of(variant, &of_arm, from.map(str::to_owned))?;
        for (place, cell) in &self.judged {
            let choice = swept.choose(position(&cells[*place])?);
            let chosen = cell.with_rate(choice.lr, choice.source, choice.loadings);
            cells[*place] = settle_cell(registry, chosen, device)?.cell;
            cells[*place].cost.tuning_flops = Some(swept.flops);
            cells[*place].drawn_by = swept.key().to_owned();
        }
        Ok(())
    }
}

/// One sweep for each arm among the cells whose rates are to be chosen.
pub(super) fn sweeps(
    registry: &Registry,
    suite: &Suite,
    cells: Vec<Cell>,
    settled: &[SettledCell],
    device: &str,
) -> Result<Vec<Sweep>> {
    let at = suite.tune.as_ref().map_or(&[][..], |tune| &tune.at);
    let sweep = |judged: Vec<(usize, Cell)>| {
        let swept = swept_cells(at, &judged, settled)?;
        let rates = swept
            .iter()
            .flat_map(|cell| cell.rates.iter().map(move |lr| cell.swept_at(*lr)));
        let tried = rates
            .map(|cell| Ok(settle_cell(registry, cell, device)?.cell))
            .collect::<Result<_>>()?;
        Ok(Sweep { judged, tried })
    };
    let sweeps: Vec<Sweep> = arms(cells).into_iter().map(sweep).collect::<Result<_>>()?;
    let mut names: Vec<&str> = sweeps
        .iter()
        .flat_map(|sweep| sweep.tried.iter().map(|cell| cell.name.as_str()))
        .collect();
    names.sort_unstable();
    match names.windows(2).find(|two| two[0] == two[1]) {
        None => Ok(sweeps),
        Some(two) => Err(Error::input(format!(
            "suite {}: two sweeps have a cell {}",
            suite.name, two[0]
        ))
        .hint(
            "a variant whose cells differ in `set` needs a suite for each, or no `at` in `tune`",
        )),
    }
}

/// The cells whose rates are to be chosen, by arm, with their places in the list.
fn arms(cells: Vec<Cell>) -> Vec<Vec<(usize, Cell)>> {
    let mut arms: Vec<(String, Vec<(usize, Cell)>)> = Vec::new();
    for (place, cell) in cells
        .into_iter()
        .enumerate()
        .filter(|(_, cell)| !cell.rates.is_empty())
    {
        let arm = cell.arm();
        match arms.iter_mut().find(|(known, _)| *known == arm) {
            Some((_, judged)) => judged.push((place, cell)),
            None => arms.push((arm, vec![(place, cell)])),
        }
    }
    arms.into_iter().map(|(_, judged)| judged).collect()
}

/// Where an arm is swept: at the suite's places, and at those of its cells that lie beyond them; at each of its cells where the
/// suite names no places, or where the cells have shapes for widths.
fn swept_cells(
    at: &[SweptAt],
    judged: &[(usize, Cell)],
    settled: &[SettledCell],
) -> Result<Vec<Cell>> {
    let own = || judged.iter().map(|(_, cell)| cell.clone());
    let Some((_, model)) = judged
        .first()
        .filter(|(_, cell)| width_of(&cell.scale).is_some())
    else {
        return Ok(own().collect());
    };
    // Weights to begin with are of one width.
    let fits = |place: &&SweptAt| model.parent.is_none() || place.scale == model.scale;
    let at: Vec<&SweptAt> = at.iter().filter(fits).collect();
    let Some(first) = at.first() else {
        return Ok(own().collect());
    };
    let steps = at
        .iter()
        .fold((first.steps, first.steps), |(low, high), at| {
            (low.min(at.steps), high.max(at.steps))
        });
    let widths = || at.iter().filter_map(|at| width_of(&at.scale));
    let (narrow, wide) = (widths().min().unwrap_or(1), widths().max().unwrap_or(1));
    let mut cells: Vec<Cell> = at.iter().copied().map(|place| model.moved(place)).collect();
    for (place, cell) in judged {
        let Position { ln_steps, ln_width } = position(&settled[*place].cell)?;
        let within = |ln: f64, low: u64, high: u64| {
            (low as f64 * 0.999..=high as f64 * 1.001).contains(&ln.exp())
        };
        let known = cells.iter().any(|other| other.name == cell.name);
        let is_inside = within(ln_steps, steps.0, steps.1) && within(ln_width, narrow, wide);
        if !known && !is_inside {
            cells.push(cell.clone());
        }
    }
    Ok(cells)
}

fn position(cell: &PreparedCell) -> Result<Position> {
    Position::of(&cell.spec, &cell.cost).ok_or_else(|| {
        Error::internal(format!(
            "{}: its settled spec has no batch, context or width",
            cell.name
        ))
    })
}
