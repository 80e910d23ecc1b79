//! What a run's training cost altogether.

use serde::Serialize;
use serde_json::Value;

use super::{Amount, Part, Priced, Read, Unit, Usage};
use crate::config::Price;
use crate::record::{ResultFile, Status, Trial};

/// Sums over the trials that finished.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bill {
    /// Trials of the file.
    pub trials: usize,
    /// Those that finished: only these are in the sums.
    pub finished: usize,
    /// Those of them that trained a model, rather than measuring one as it is.
    pub trained: usize,
    /// Money.
    pub money: Priced,
    /// Greenhouse gases.
    pub carbon: Priced,
    /// Energy at the meters.
    pub energy: Priced,
}

impl Price {
    /// What the training of a file's finished trials cost.
    pub fn bill(&self, file: &ResultFile) -> Bill {
        let finished = file
            .trials
            .iter()
            .filter(|trial| trial.status == Status::Ok);
        let trains = |trial: &&Trial| trial.train_tokens() != Some(0);
        let trained = finished.clone().filter(trains).count();
        let mut bought: Vec<(Option<Value>, Read)> = Vec::new();
        finished.clone().for_each(|trial| buy(&mut bought, trial));
        let used = |trial: &Trial| -> Option<Usage> {
            Some(Usage {
                // Many trials read the same data, which are bought once.
                data: None,
                ..Usage::of(trial, file.machines.get(trial.machine as usize)?)
            })
        };
        let used: Vec<Usage> = finished.filter_map(used).collect();
        let all = |unit: Unit, priced: &dyn Fn(&Usage) -> Priced| {
            Priced::all(unit, used.iter().map(priced))
        };
        let mut money = all(Unit::Money(self.currency.clone()), &|usage| {
            self.money(usage)
        });
        let of_data = bought.iter().flat_map(|(_, read)| self.data_money(read));
        let of_data: Vec<Part> = of_data.collect();
        if !of_data.is_empty() {
            let unit = money.unit.clone();
            let data = Priced::of(unit.clone(), of_data);
            money = Priced::all(unit, [money, data].into_iter());
        }
        Bill {
            trials: file.trials.len(),
            finished: used.len(),
            trained,
            money,
            carbon: all(Unit::GramsCo2e, &|usage| self.carbon(usage)),
            energy: all(Unit::Joules, &|usage| self.energy(usage)),
        }
    }
}

/// Adds what a trial read to what was bought: of each data set as much as the trial that read most of it.
fn buy(bought: &mut Vec<(Option<Value>, Read)>, trial: &Trial) {
    let Some(read) = Read::of(trial) else {
        return;
    };
    let mut data = trial.asked().data().cloned();
    if let Some(Value::Object(keys)) = &mut data {
        HOW_MUCH.iter().for_each(|key| drop(keys.remove(*key)));
    }
    match bought.iter_mut().find(|(other, _)| *other == data) {
        Some((_, most)) => {
            most.tokens = most.tokens.max(read.tokens);
            most.labels = most.labels.max(read.labels);
        }
        None => bought.push((data, read)),
    }
}

/// Keys of data that say how much of them is read, and which part losses are of.
const HOW_MUCH: [&str; 2] = ["unique_tokens", "held_out"];

impl Priced {
    /// Several costs of one unit as one, part by part; of none there is none, which is not nothing.
    fn all(unit: Unit, each: impl Iterator<Item = Priced>) -> Self {
        let mut parts: Vec<Part> = Vec::new();
        for part in each.flat_map(|priced| priced.parts) {
            match parts.iter_mut().find(|sum| sum.what == part.what) {
                Some(sum) => sum.amount = Amount::sum([&sum.amount, &part.amount]),
                None => parts.push(part),
            }
        }
        if parts.is_empty() {
            return Self {
                unit,
                total: Amount::absent("no trial finished"),
                parts,
            };
        }
        Self::of(unit, parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Library;
    use crate::record::example::{example, study};
    use crate::record::metric;

    #[test]
    fn a_bill_sums_what_finished() {
        let price = Library::builtin().price("default").unwrap();
        let mut file = example();
        file.trials[0].status = Status::Failed;
        let bill = price.bill(&file);
        let seconds: f64 = file.trials[1..]
            .iter()
            .filter_map(|t| t.metric(metric::TRAIN_WALL_S))
            .sum();
        let expected = seconds / 3600.0 * 2.0 * 0.0425;
        assert!(
            (bill.money.total.value().unwrap() / expected - 1.0).abs() < 1e-12,
            "{bill:?}"
        );
        assert_eq!(
            (bill.finished, bill.trials, bill.money.parts.len()),
            (19, 20, 1)
        );
        assert_eq!(bill.carbon.total, Amount::absent("virtual_machine"));
        // One trial with a meter does not make the others' joules known.
        file.trials[1].energy.measured_j = Some(3.0);
        assert_eq!(
            price.bill(&file).energy.total,
            Amount::absent("virtual_machine")
        );

        let none = price.bill(&study(1, |_, _, _| None));
        assert_eq!(
            (none.finished, none.money.total),
            (0, Amount::absent("no trial finished"))
        );
    }
}
