//! Scarce data beside data without end: what reading again saves in data and costs in compute, in one bill, and the price of data at which
//! fresh ones would have cost as much.

use serde_json::Value;

use super::cell::Cell;
use super::price::{Amount, Unit, Usage};
use crate::config::Price;
use crate::record::{ResultFile, Trial, metric};
use crate::stat::interval::LEVEL;
use crate::stat::{Estimate, mean_estimate};

/// A cell's data, loss and bill.
#[derive(Debug, Clone)]
pub struct Row {
    /// The cell's name.
    pub cell: String,
    /// Different tokens.
    pub unique: f64,
    /// Times that they were read, on average.
    pub epochs: f64,
    /// Over repeats.
    pub loss: Estimate,
    /// Money for machine and energy, the mean over repeats.
    pub compute: Option<f64>,
    /// Money for data; nothing where they have no price.
    pub data: Option<f64>,
    /// Repeats.
    pub n: usize,
}

/// Fresh data in place of the same again.
#[derive(Debug, Clone)]
pub struct Trade {
    /// The cell that read again and learnt most.
    pub again: String,
    /// The cheapest that reached as low a loss on data that it read once.
    pub fresh: String,
    /// Mean losses of both.
    pub loss: [f64; 2],
    /// Different tokens of both.
    pub unique: [f64; 2],
    /// What a million tokens may cost for both to cost the same, by repeats; below 0 where reading again is cheaper whatever they cost.
    pub break_even: Estimate,
}

/// What a file says of it.
#[derive(Debug, Clone)]
pub struct Scarce {
    /// By rising number of different tokens, then of those read.
    pub rows: Vec<Row>,
    /// For each variant with both.
    pub trades: Vec<Trade>,
    /// What money is told in.
    pub unit: Unit,
}

/// Where some cells read a stated number of tokens again and again.
pub fn scarce(file: &ResultFile, cells: &[Cell], price: &Price) -> Option<Scarce> {
    cells.iter().find(|cell| is_scarce(cell.any()))?;
    let told: Vec<(&Cell, Row)> = cells
        .iter()
        .filter_map(|cell| Some((cell, row(file, cell, price)?)))
        .collect();
    let mut variants: Vec<&str> = told.iter().map(|(c, _)| c.any().variant.as_str()).collect();
    variants.sort_unstable();
    variants.dedup();
    let trades = variants.iter().filter_map(|variant| {
        let own: Vec<&(&Cell, Row)> = told
            .iter()
            .filter(|(cell, _)| cell.any().variant == *variant)
            .collect();
        trade(file, &own, price)
    });
    let trades = trades.collect();
    let mut rows: Vec<Row> = told.into_iter().map(|(_, row)| row).collect();
    let read = |row: &Row| row.unique * row.epochs;
    rows.sort_by(|a, b| {
        (a.unique, read(a))
            .partial_cmp(&(b.unique, read(b)))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    Some(Scarce {
        rows,
        trades,
        unit: Unit::Money(price.currency.clone()),
    })
}

/// Whether its data were cut short on purpose.
fn is_scarce(trial: &Trial) -> bool {
    trial
        .asked()
        .data()
        .is_some_and(|data| data.get("unique_tokens").is_some())
}

/// Data but for how many of them there were.
fn source(trial: &Trial) -> Option<Value> {
    let mut data = trial.asked().data()?.clone();
    data.as_object_mut()?.remove("unique_tokens");
    Some(data)
}

/// Money for machine and energy.
fn compute(file: &ResultFile, trial: &Trial, price: &Price) -> Option<f64> {
    let machine = file.machines.get(usize::try_from(trial.machine).ok()?)?;
    let used = Usage {
        data: None,
        ..Usage::of(trial, machine)
    };
    price.money(&used).total.value()
}

fn row(file: &ResultFile, cell: &Cell, price: &Price) -> Option<Row> {
    let any = cell.finished().next()?;
    let money: Option<Vec<f64>> = cell.finished().map(|t| compute(file, t, price)).collect();
    let machine = file.machines.get(usize::try_from(any.machine).ok()?)?;
    let used = Usage {
        seconds: Amount::Measured { value: 0.0 },
        joules: Amount::Measured { value: 0.0 },
        ..Usage::of(any, machine)
    };
    let of_data = price
        .data
        .as_ref()
        .map(|_| price.money(&used).total.value());
    Some(Row {
        cell: cell.name.clone(),
        unique: any.unique_tokens()?,
        epochs: any.epochs(),
        loss: cell.estimate(metric::VAL_LOSS_NATS)?,
        compute: money.and_then(|all| crate::stat::mean(&all)),
        data: of_data.flatten(),
        n: cell.finished().count(),
    })
}

/// Of one variant's cells.
fn trade(file: &ResultFile, own: &[&(&Cell, Row)], price: &Price) -> Option<Trade> {
    let again = own
        .iter()
        .filter(|(cell, row)| is_scarce(cell.any()) && row.epochs > 1.0);
    let again = again.min_by(|a, b| a.1.loss.value.total_cmp(&b.1.loss.value))?;
    let as_good = own.iter().filter(|(cell, row)| {
        let same = source(cell.any()) == source(again.0.any()) && row.unique > again.1.unique;
        same && row.epochs <= 1.0 && row.loss.value <= again.1.loss.value
    });
    let cost = |row: &Row| row.compute.unwrap_or(f64::INFINITY);
    let fresh = as_good.min_by(|a, b| cost(&a.1).total_cmp(&cost(&b.1)))?;
    let million = (fresh.1.unique - again.1.unique) / 1e6;
    let more = again.0.finished().filter_map(|trial| {
        let mut others = fresh.0.finished();
        let other = others.find(|other| other.repeat == trial.repeat)?;
        Some((compute(file, trial, price)? - compute(file, other, price)?) / million)
    });
    Some(Trade {
        again: again.1.cell.clone(),
        fresh: fresh.1.cell.clone(),
        loss: [again.1.loss.value, fresh.1.loss.value],
        unique: [again.1.unique, fresh.1.unique],
        break_even: mean_estimate(&more.collect::<Vec<_>>(), LEVEL)?,
    })
}
