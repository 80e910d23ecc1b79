//! The fields of a price file.

use super::figure::Cited;
use super::mix;
use crate::config::field::Inner;
use crate::config::knob::{Declarations, Flag, Knob, Text};

pub(super) const ABOUT: Knob<Text> =
    Knob::text("about", "Whose prices these are, in one sentence.").optional();
pub(super) const CURRENCY: Knob<Text> =
    Knob::text("currency", "The currency of every figure in money.")
        .follows("that of the default prices");
pub(super) const HARDWARE: Inner = Inner::table(
    "hardware",
    "What the machine costs: exactly one of rent_per_h, rent_per_vcpu_h and bought.",
    HARDWARE_FIELDS,
);
pub(super) const ENERGY: Inner = Inner::table(
    "energy",
    "What energy costs, in money and carbon.",
    ENERGY_FIELDS,
);
pub(super) const MODELLED: Inner = Inner::table(
    "modelled",
    "Bounds of the machine's power, for one without a meter.",
    MODELLED_FIELDS,
);
pub(super) const DATA: Inner = Inner::table(
    "data",
    "What data cost, each paid for once however often they are read; without it they are not counted.",
    DATA_FIELDS,
);

/// The fields of a price file.
pub(in crate::config) const FIELDS: Declarations =
    &[&ABOUT, &CURRENCY, &HARDWARE, &ENERGY, &DATA, &MODELLED];

pub(super) const PER_M_TOKENS: Cited = Cited::new(
    "per_m_tokens",
    "Money for a million different tokens that are trained on.",
);
pub(super) const PER_LABEL: Cited = Cited::new(
    "per_label",
    "Money for a different token that training is asked for, where the data ask a task and leave others out.",
);
pub(super) const DATA_FIELDS: Declarations = &[&PER_M_TOKENS, &PER_LABEL];

pub(super) const RENT_PER_H: Cited = Cited::new("rent_per_h", "Rent of a whole machine, per hour.");
pub(super) const RENT_PER_VCPU_H: Cited =
    Cited::new("rent_per_vcpu_h", "Rent of one virtual core, per hour.");
pub(super) const BOUGHT: Cited = Cited::new(
    "bought",
    "Price of a whole machine, spread over the hours in which it works.",
);
pub(super) const RENT_INCLUDES_ENERGY: Knob<Flag> = Knob::flag(
    "rent_includes_energy",
    "Whether the rent pays for energy too.",
)
.follows("true where there is a rent");
pub(super) const LIFETIME_YEARS: Cited =
    Cited::new("lifetime_years", "From purchase to replacement.")
        .above(0.0)
        .unit("years");
pub(super) const UTILISATION: Cited =
    Cited::new("utilisation", "Share of that time in which it works.").share();
pub(super) const EMBODIED_KGCO2E: Cited = Cited::new(
    "embodied_kgco2e",
    "Carbon of making a whole machine; without it only operation is counted.",
)
.unit("kg of CO2 equivalent");
pub(super) const HARDWARE_FIELDS: Declarations = &[
    &RENT_PER_H,
    &RENT_PER_VCPU_H,
    &BOUGHT,
    &RENT_INCLUDES_ENERGY,
    &LIFETIME_YEARS,
    &UTILISATION,
    &EMBODIED_KGCO2E,
];

pub(super) const PER_KWH: Cited = Cited::new("per_kwh", "Money for a kilowatt-hour.");
pub(super) const PUE: Cited = Cited::new(
    "pue",
    "Energy of the building over that of its computers (power usage effectiveness).",
)
.at_least(1.0);
pub(super) const GCO2E_PER_KWH: Cited = Cited::new(
    "gco2e_per_kwh",
    "Carbon intensity of the grid; or mix says what feeds it.",
)
.unit("g of CO2 equivalent per kWh");
pub(super) const MIX: Inner = Inner::table("mix", "What feeds the grid, as shares.", mix::FIELDS);
pub(super) const ENERGY_FIELDS: Declarations = &[&PER_KWH, &PUE, &GCO2E_PER_KWH, &MIX];

pub(super) const IDLE_W: Cited =
    Cited::new("idle_w", "Power at rest: no run takes less.").unit("W");
pub(super) const MAX_W: Cited = Cited::new("max_w", "Power under full load: no run takes more.")
    .above(0.0)
    .unit("W");
pub(super) const MODELLED_FIELDS: Declarations = &[&IDLE_W, &MAX_W];
