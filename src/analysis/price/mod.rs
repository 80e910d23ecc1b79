//! What a trial cost in money, carbon and energy, at somebody's prices.
//!
//! Money: hardware hours x rent, or x purchase / hours of the machine's life; and energy x PUE x tariff where the rent does
//! not pay for it. Carbon: energy x PUE x grid intensity, and where it is given the embodied carbon x hours / hours of life
//! (Luccioni et al. 2022, arXiv 2211.02001). Data: different tokens x their price, once however often they are read. Joules are the meter's where there is one; without one they are a range, and
//! everything that they are part of is one too; without that they are absent, and so is what needs them.

use serde::Serialize;

use crate::config::Price;
use crate::config::price::{Figure, Hardware, Life};
use crate::record::{Machine, Trial};
use crate::unit::{Count, GramsCo2e, Joules, Money};

mod amount;
mod usage;
mod bill;

pub use amount::Amount;
pub use bill::Bill;
pub use usage::{Cores, Read, Usage};

/// What is counted, for whoever reads a figure of here.
pub const BOUNDARY: &str = "training alone: start-up, evaluation, decoding, the search for learning rates, other repeats and \
                            failed trials are not in it, nor are networks, storage and people";

const SECONDS_PER_HOUR: f64 = 3600.0;
const JOULES_PER_KWH: f64 = 3.6e6;
const GRAMS_PER_KG: f64 = 1000.0;
/// Tokens that a price is of.
const TOKENS: f64 = 1e6;

/// What an amount is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Grams of CO2 equivalent.
    #[serde(rename = "gCO2e")]
    GramsCo2e,
    /// Joules at the meter, before the building's share.
    #[serde(rename = "J")]
    Joules,
    /// Of this currency.
    #[serde(untagged)]
    Money(String),
}

impl Unit {
    /// A figure of this unit, for people.
    pub fn show(&self, value: f64) -> String {
        match self {
            Self::Money(currency) => Money {
                amount: value,
                currency,
            }
            .to_string(),
            Self::GramsCo2e => GramsCo2e(value).to_string(),
            Self::Joules => Joules(value).to_string(),
        }
    }
}

/// One component of a cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// `hardware`, `energy`, `embodied`, `data`, `labels`.
    pub what: &'static str,
    /// In the unit of the whole.
    pub amount: Amount,
    /// How it was worked out, in words.
    pub how: String,
}

/// A cost and what it is made of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Priced {
    /// Of the total and of every part.
    pub unit: Unit,
    /// Sum of the parts: measured where all of them are, a range where one is, absent where one is.
    pub total: Amount,
    /// Each component by itself.
    pub parts: Vec<Part>,
}

impl Priced {
    fn of(unit: Unit, parts: Vec<Part>) -> Self {
        Self {
            unit,
            total: Amount::sum(parts.iter().map(|part| &part.amount)),
            parts,
        }
    }
}

impl Price {
    /// Money for what was used.
    pub fn money(&self, usage: &Usage) -> Priced {
        let mut parts = vec![self.hardware_money(usage)];
        if let (false, Some(tariff)) = (self.rent_includes_energy, &self.per_kwh) {
            let (joules, how) = self.joules(usage);
            let amount = joules.scale(self.pue.value * tariff.value / JOULES_PER_KWH);
            let how = format!(
                "{how} x PUE {} x {} per kWh",
                self.pue.value,
                self.show(tariff.value)
            );
            parts.push(Part {
                what: "energy",
                amount,
                how,
            });
        }
        parts.extend(usage.data.iter().flat_map(|read| self.data_money(read)));
        Priced::of(Unit::Money(self.currency.clone()), parts)
    }

    /// Money for what was read, where it has a price.
    fn data_money(&self, read: &Read) -> Vec<Part> {
        let priced = self.data.iter().flat_map(|data| {
            let tokens = data
                .per_m_tokens
                .as_ref()
                .map(|f| ("data", read.tokens, f, TOKENS));
            let labels = data
                .per_label
                .as_ref()
                .map(|f| ("labels", read.labels, f, 1.0));
            [tokens, labels].into_iter().flatten()
        });
        let part = |(what, amount, figure, per): (&'static str, f64, &Figure, f64)| Part {
            what,
            amount: Amount::Measured {
                value: amount / per * figure.value,
            },
            how: format!(
                "{} different x {} each {}",
                Count(amount),
                self.show(figure.value),
                Count(per)
            ),
        };
        priced
            .filter(|(_, amount, ..)| *amount > 0.0)
            .map(part)
            .collect()
    }

    /// Greenhouse gases of what was used.
    pub fn carbon(&self, usage: &Usage) -> Priced {
        let (joules, how) = self.joules(usage);
        let amount = joules.scale(self.pue.value * self.gco2e_per_kwh.value / JOULES_PER_KWH);
        let how = format!(
            "{how} x PUE {} x {} gCO2e per kWh",
            self.pue.value, self.gco2e_per_kwh.value
        );
        let mut parts = vec![Part {
            what: "energy",
            amount,
            how,
        }];
        if let (Some(embodied), Some(life)) = (&self.embodied_kgco2e, &self.life) {
            let per_hour = embodied.value * GRAMS_PER_KG / life.hours();
            let how = format!(
                "training hours x {} kgCO2e over {}",
                embodied.value,
                years(life)
            );
            parts.push(Part {
                what: "embodied",
                amount: usage.seconds.scale(per_hour / SECONDS_PER_HOUR),
                how,
            });
        }
        Priced::of(Unit::GramsCo2e, parts)
    }

    /// Energy of what was used, at the meter.
    pub fn energy(&self, usage: &Usage) -> Priced {
        let (amount, how) = self.joules(usage);
        Priced::of(
            Unit::Joules,
            vec![Part {
                what: "energy",
                amount,
                how,
            }],
        )
    }

    /// Money for a trial's training; `machine` is the one it ran on.
    pub fn money_of(&self, trial: &Trial, machine: &Machine) -> Priced {
        self.money(&Usage::of(trial, machine))
    }

    /// Greenhouse gases of a trial's training.
    pub fn carbon_of(&self, trial: &Trial, machine: &Machine) -> Priced {
        self.carbon(&Usage::of(trial, machine))
    }

    /// Energy of a trial's training, at the meter.
    pub fn energy_of(&self, trial: &Trial, machine: &Machine) -> Priced {
        self.energy(&Usage::of(trial, machine))
    }

    fn hardware_money(&self, usage: &Usage) -> Part {
        let hours = usage.seconds.scale(1.0 / SECONDS_PER_HOUR);
        let (amount, how) = match (&self.hardware, &self.life) {
            (Hardware::RentPerH(rent), _) => (
                hours.scale(rent.value),
                format!("training hours x {} an hour", self.show(rent.value)),
            ),
            (Hardware::RentPerVcpuH(rent), _) => match usage.cores {
                Cores::Cpu(n) => (
                    hours.scale(rent.value * n as f64),
                    format!(
                        "training hours x {n} cores x {} an hour",
                        self.show(rent.value)
                    ),
                ),
                Cores::Unknown => (
                    Amount::absent("how many cores it had is not known"),
                    "not known".to_owned(),
                ),
                Cores::Gpu => {
                    let reason = "a rent per virtual core says nothing about a GPU: give hardware.rent_per_h";
                    (Amount::absent(reason), "not known".to_owned())
                }
            },
            (Hardware::Bought(price), Some(life)) => (
                hours.scale(price.value / life.hours()),
                format!(
                    "training hours x {} over {}",
                    self.show(price.value),
                    years(life)
                ),
            ),
            (Hardware::Bought(_), None) => (
                Amount::absent("how long the machine lasts is not known"),
                String::new(),
            ),
        };
        let energy = if self.rent_includes_energy {
            ", energy included"
        } else {
            ""
        };
        Part {
            what: "hardware",
            amount,
            how: format!("{how}{energy}"),
        }
    }

    /// Joules as measured, else between the bounds that the prices give, else the record's own estimate, else absent; and how
    /// they are known.
    fn joules(&self, usage: &Usage) -> (Amount, String) {
        match (&usage.joules, &self.modelled) {
            // Whoever states a machine's watts knows it better than a table of processors' ratings does.
            (Amount::Absent { .. } | Amount::Modelled { .. }, Some(bounds)) => {
                let (low, high) = (bounds.idle_w.value, bounds.max_w.value);
                let how = format!("modelled: training seconds x {low} to {high} W");
                (usage.seconds.spread(low, high), how)
            }
            (joules, _) => (joules.clone(), usage.metered.clone()),
        }
    }

    fn show(&self, amount: f64) -> String {
        Money {
            amount,
            currency: &self.currency,
        }
        .to_string()
    }
}

fn years(life: &Life) -> String {
    format!(
        "{} years at {} utilisation",
        life.years.value, life.utilisation.value
    )
}

#[cfg(test)]
mod tests;
