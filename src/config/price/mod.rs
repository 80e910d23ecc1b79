//! A price file: what an hour of the machine and a kilowatt-hour cost, in money and in carbon, and who says so.
//!
//! ```toml
//! about = "The workstation under the desk."
//! currency = "EUR"                  # any word; money of another currency is never mixed in
//!
//! [hardware]
//! bought = { value = 4200, source = "invoice of March 2025" }
//! lifetime_years = 5
//! utilisation = 0.3                 # share of those years in which it works
//! embodied_kgco2e = 320             # of making the machine; without it only operation is counted
//!
//! [energy]
//! per_kwh = 0.31                    # a figure without a source has its file and line for one
//! pue = 1.0                         # energy of the building over that of its computers
//! gco2e_per_kwh = 380               # or: mix = { coal = 0.2, gas = 0.3, wind = 0.5 }
//!
//! [data]                            # each paid for once, however often it is read
//! per_m_tokens = 2.0
//! per_label = 0.05
//!
//! [modelled]                        # bounds of the machine's power, for one without a meter
//! idle_w = 60
//! max_w = 250
//! ```
//!
//! Instead of `bought`: `rent_per_h` for a whole machine, or `rent_per_vcpu_h` for one virtual core of it. A rent pays for
//! the energy too, unless `rent_includes_energy = false`. What a file leaves out is taken from `models/prices/default.toml`.

use serde::Serialize;

use super::field::Inner;
use super::knob::Declared;
use super::load;
use super::table::{Fields, Table};
use super::tree::Origin;
use crate::error::{Error, Result};

mod figure;
mod mix;
pub(super) mod fields;

use fields::{
    ABOUT, BOUGHT, CURRENCY, DATA, DATA_FIELDS, EMBODIED_KGCO2E, ENERGY, ENERGY_FIELDS, FIELDS,
    GCO2E_PER_KWH, HARDWARE, HARDWARE_FIELDS, IDLE_W, LIFETIME_YEARS, MAX_W, MIX, MODELLED,
    MODELLED_FIELDS, PER_KWH, PER_LABEL, PER_M_TOKENS, PUE, RENT_INCLUDES_ENERGY, RENT_PER_H,
    RENT_PER_VCPU_H, UTILISATION,
};
pub use figure::Figure;
use figure::{Cited, over};

/// Hours of a year of 365 days.
const HOURS_PER_YEAR: f64 = 8760.0;

/// What is paid for the machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hardware {
    /// Rent of a whole machine by the hour.
    RentPerH(Figure),
    /// Rent of one virtual core by the hour.
    RentPerVcpuH(Figure),
    /// Price of a whole machine, spread over the hours in which it works.
    Bought(Figure),
}

impl Hardware {
    /// The figure, whatever it is paid for.
    pub fn figure(&self) -> &Figure {
        let (Self::RentPerH(figure) | Self::RentPerVcpuH(figure) | Self::Bought(figure)) = self;
        figure
    }
}

/// How long a machine works before it is replaced.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Life {
    /// From purchase to replacement.
    pub years: Figure,
    /// Share of that time in which it works.
    pub utilisation: Figure,
}

impl Life {
    /// The hours of work that purchase and embodied carbon are spread over.
    pub fn hours(&self) -> f64 {
        self.years.value * HOURS_PER_YEAR * self.utilisation.value
    }
}

/// Bounds of the machine's power.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Modelled {
    /// Watts at rest: no run takes less.
    pub idle_w: Figure,
    /// Watts under full load: no run takes more.
    pub max_w: Figure,
}

/// What data cost, each paid for once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Data {
    /// Money for a million different tokens.
    pub per_m_tokens: Option<Figure>,
    /// Money for a different token that a task asks for.
    pub per_label: Option<Figure>,
}

/// Everything that turns seconds and joules into money and carbon; `analysis::price` does the turning.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Price {
    /// The file's stem.
    pub name: String,
    /// Whose prices these are, in one sentence.
    pub about: String,
    /// Of every figure in money.
    pub currency: String,
    /// The machine.
    pub hardware: Hardware,
    /// Where the machine is bought, or its embodied carbon counted.
    pub life: Option<Life>,
    /// Carbon of making one machine, in kilograms; absent: only operation is counted.
    pub embodied_kgco2e: Option<Figure>,
    /// Whether the rent pays for energy: then a kilowatt-hour costs nothing more.
    pub rent_includes_energy: bool,
    /// Money for a kilowatt-hour; there wherever the rent does not pay for it.
    pub per_kwh: Option<Figure>,
    /// Power usage effectiveness: energy of the building over that of its computers.
    pub pue: Figure,
    /// Carbon intensity of the grid.
    pub gco2e_per_kwh: Figure,
    /// For machines without a meter; absent: no energy figure there.
    pub modelled: Option<Modelled>,
    /// Absent: data are not counted.
    pub data: Option<Data>,
}

impl Price {
    /// Reads a price file; what it leaves out is taken from `shipped`.
    pub(super) fn parse(
        name: String,
        file: &str,
        text: &str,
        shipped: Option<&Price>,
    ) -> Result<Self> {
        let table = load::parse(file, text)?;
        let fields = table.fields(FIELDS)?;
        let section = |field: &Inner| -> Result<Table> {
            let table = fields.table(field)?.cloned();
            Ok(table.unwrap_or_else(|| absent(field.name(), file)))
        };
        let (hardware, energy) = (section(&HARDWARE)?, section(&ENERGY)?);
        let hardware = hardware.fields(HARDWARE_FIELDS)?;
        let energy = energy.fields(ENERGY_FIELDS)?;
        let currency = fields
            .find(&CURRENCY)?
            .or_else(|| shipped.map(|s| s.currency.clone()));
        let currency = fields.need(&CURRENCY, currency)?;
        // A default in dollars says nothing about what is paid in euros.
        let money = shipped.filter(|shipped| shipped.currency == currency);
        let paid = match paid(&hardware)?.or_else(|| money.map(|s| s.hardware.defaulted())) {
            Some(paid) => paid,
            None => return Err(no_hardware(&hardware, &currency)),
        };
        let embodied_kgco2e = embodied(&hardware, &paid)?;
        let rent_includes_energy = includes_energy(&hardware, &paid)?;
        let per_kwh = over(
            Figure::read(&energy, &PER_KWH)?,
            money.and_then(|s| s.per_kwh.as_ref()),
        );
        if !rent_includes_energy {
            energy.need(&PER_KWH, per_kwh.as_ref())?;
        }
        Ok(Self {
            about: fields
                .find(&ABOUT)?
                .unwrap_or_else(|| format!("Prices of {file}.")),
            name,
            life: life(&hardware, &paid, embodied_kgco2e.is_some())?,
            embodied_kgco2e,
            rent_includes_energy,
            per_kwh,
            hardware: paid,
            pue: energy.need(
                &PUE,
                over(Figure::read(&energy, &PUE)?, shipped.map(|s| &s.pue)),
            )?,
            gco2e_per_kwh: intensity(&energy, shipped)?,
            modelled: fields.table(&MODELLED)?.map(Modelled::read).transpose()?,
            data: fields.table(&DATA)?.map(Data::read).transpose()?,
            currency,
        })
    }
}

impl Hardware {
    fn defaulted(&self) -> Self {
        match self {
            Self::RentPerH(figure) => Self::RentPerH(figure.defaulted()),
            Self::RentPerVcpuH(figure) => Self::RentPerVcpuH(figure.defaulted()),
            Self::Bought(figure) => Self::Bought(figure.defaulted()),
        }
    }
}

impl Modelled {
    fn read(table: &Table) -> Result<Self> {
        let fields = table.fields(MODELLED_FIELDS)?;
        let idle_w = fields.need(&IDLE_W, Figure::read(&fields, &IDLE_W)?)?;
        let max_w = fields.need(&MAX_W, Figure::read(&fields, &MAX_W)?)?;
        if idle_w.value > max_w.value {
            return Err(fields.refuse(&IDLE_W, "above max_w"));
        }
        Ok(Self { idle_w, max_w })
    }
}

impl Data {
    fn read(table: &Table) -> Result<Self> {
        let fields = table.fields(DATA_FIELDS)?;
        Ok(Self {
            per_m_tokens: Figure::read(&fields, &PER_M_TOKENS)?,
            per_label: Figure::read(&fields, &PER_LABEL)?,
        })
    }
}

/// A section that the file does not have.
fn absent(name: &str, file: &str) -> Table {
    Table {
        path: name.to_owned(),
        origin: Origin::named(file),
        fields: Vec::new(),
    }
}

/// At most one of the ways to pay.
fn paid(hardware: &Fields) -> Result<Option<Hardware>> {
    let way = |knob: Cited, paid: fn(Figure) -> Hardware| -> Result<_> {
        Ok((knob, Figure::read(hardware, &knob)?.map(paid)))
    };
    let ways = [
        way(RENT_PER_H, Hardware::RentPerH)?,
        way(RENT_PER_VCPU_H, Hardware::RentPerVcpuH)?,
        way(BOUGHT, Hardware::Bought)?,
    ];
    let mut given = ways
        .into_iter()
        .filter_map(|(knob, way)| Some((knob, way?)));
    let Some((first, way)) = given.next() else {
        return Ok(None);
    };
    match given.next() {
        None => Ok(Some(way)),
        Some((second, _)) => Err(hardware
            .refuse(
                &second,
                &format!(
                    "beside hardware.{}, but a machine is paid for once",
                    first.name()
                ),
            )
            .hint("keep one of rent_per_h, rent_per_vcpu_h and bought")),
    }
}

fn no_hardware(hardware: &Fields, currency: &str) -> Error {
    let why = format!("missing, and the default's is not in {currency}");
    hardware
        .refuse(&RENT_PER_H, &why)
        .hint("give rent_per_h, rent_per_vcpu_h, or bought with lifetime_years and utilisation")
}

/// A rent does, unless the file denies it.
fn includes_energy(hardware: &Fields, paid: &Hardware) -> Result<bool> {
    let said = hardware.find(&RENT_INCLUDES_ENERGY)?;
    match paid {
        Hardware::Bought(_) if said.is_some() => {
            Err(hardware.refuse(&RENT_INCLUDES_ENERGY, "a bought machine has no rent"))
        }
        Hardware::Bought(_) => Ok(false),
        Hardware::RentPerH(_) | Hardware::RentPerVcpuH(_) => Ok(said.unwrap_or(true)),
    }
}

/// Carbon of making a whole machine: a share of one has a share of it that nobody knows.
fn embodied(hardware: &Fields, paid: &Hardware) -> Result<Option<Figure>> {
    let embodied = Figure::read(hardware, &EMBODIED_KGCO2E)?;
    if embodied.is_some() && matches!(paid, Hardware::RentPerVcpuH(_)) {
        let why = "it is of a whole machine, and hardware.rent_per_vcpu_h is of a share";
        return Err(hardware
            .refuse(&EMBODIED_KGCO2E, why)
            .hint("give rent_per_h, or bought"));
    }
    Ok(embodied)
}

/// Needed where something is spread over it.
fn life(hardware: &Fields, paid: &Hardware, embodied: bool) -> Result<Option<Life>> {
    let years = Figure::read(hardware, &LIFETIME_YEARS)?;
    let utilisation = Figure::read(hardware, &UTILISATION)?;
    if !embodied && !matches!(paid, Hardware::Bought(_)) {
        return Ok(None);
    }
    let need = |knob: &Cited, figure: Option<Figure>| {
        hardware.need(knob, figure).map_err(|error| {
            error.hint("BLOOM's account took lifetime_years = 6 and utilisation = 0.85 (Luccioni et al. 2022, arXiv 2211.02001)")
        })
    };
    Ok(Some(Life {
        years: need(&LIFETIME_YEARS, years)?,
        utilisation: need(&UTILISATION, utilisation)?,
    }))
}

/// The grid's carbon: given, mixed from sources, or the default.
fn intensity(energy: &Fields, shipped: Option<&Price>) -> Result<Figure> {
    let own = Figure::read(energy, &GCO2E_PER_KWH)?;
    let mixed = energy.table(&MIX)?.map(mix::intensity).transpose()?;
    if own.is_some() && mixed.is_some() {
        return Err(energy.refuse(
            &MIX,
            "beside energy.gco2e_per_kwh, which says the same otherwise",
        ));
    }
    energy.need(
        &GCO2E_PER_KWH,
        over(own.or(mixed), shipped.map(|s| &s.gco2e_per_kwh)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> Price {
        crate::config::Library::builtin().price("default").unwrap()
    }

    fn parse(text: &str) -> Result<Price> {
        Price::parse("mine".to_owned(), "mine.toml", text, Some(&shipped()))
    }

    #[test]
    fn what_ships_says_who_says_so() {
        let Price {
            hardware,
            per_kwh,
            pue,
            gco2e_per_kwh,
            life,
            modelled,
            rent_includes_energy,
            ..
        } = shipped();
        for figure in [hardware.figure(), &per_kwh.unwrap(), &pue, &gco2e_per_kwh] {
            assert!(
                figure.source.len() > 20 && !figure.source.contains(".toml:"),
                "{figure:?}"
            );
        }
        assert!(matches!(hardware, Hardware::RentPerVcpuH(_)));
        // Nobody knows the bounds of your machine, nor how much of its life it works.
        assert_eq!((rent_includes_energy, life, modelled), (true, None, None));
    }

    #[test]
    fn a_file_says_only_what_differs() {
        let price = parse("[energy]\npue = 1.1\n").unwrap();
        assert_eq!(
            price.pue,
            Figure {
                value: 1.1,
                source: "mine.toml:2".to_owned(),
                by_default: false
            }
        );
        assert_eq!(price.hardware, shipped().hardware.defaulted());
        assert!(price.gco2e_per_kwh.by_default && price.about == "Prices of mine.toml.");

        let owned = "[hardware]\nbought = { value = 4200, source = \"invoice\" }\nlifetime_years = 5\nutilisation = 0.5\n";
        let price = parse(owned).unwrap();
        assert_eq!(
            (
                price.hardware.figure().value,
                price.hardware.figure().source.as_str()
            ),
            (4200.0, "invoice")
        );
        assert_eq!(price.life.unwrap().hours(), 21_900.0);
        assert_eq!(
            price.per_kwh.map(|f| (f.value, f.by_default)),
            Some((0.13, true))
        );

        let colocated =
            "[hardware]\nrent_per_h = 0.2\nrent_includes_energy = false\n[energy]\nper_kwh = 0.3\n";
        assert_eq!(parse(colocated).unwrap().per_kwh.unwrap().value, 0.3);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_refused_with_its_line() {
        let check = |text: &str, want: &str| assert_eq!(parse(text).unwrap_err().to_string(), want);
        check(
            "[hardwear]\n",
            "mine.toml:1: unknown field `hardwear`\nhint: did you mean `hardware`?",
        );
        check(
            "[energy]\ngco2_per_kwh = 3\n",
            "mine.toml:2: unknown field `energy.gco2_per_kwh`\nhint: did you mean `gco2e_per_kwh`?",
        );
        check(
            "[energy]\npue = 0.9\n",
            "mine.toml:2: energy.pue = 0.9: expected a number of at least 1",
        );
        check(
            "[energy]\npue = \"1\"\n",
            "mine.toml:2: energy.pue = \"1\": expected a number of at least 1",
        );
        check(
            "[energy]\npue = { value = 1.2 }\n",
            "mine.toml:2: `energy.pue.source` is missing",
        );
        check(
            "[hardware]\nrent_per_h = 1\nbought = 2\n",
            "mine.toml:3: hardware.bought = 2: beside hardware.rent_per_h, but a machine is paid for once\n\
             hint: keep one of rent_per_h, rent_per_vcpu_h and bought",
        );
        check(
            "[hardware]\nbought = 2\nutilisation = 1\n",
            "mine.toml:1: `hardware.lifetime_years` is missing\nhint: BLOOM's account took lifetime_years = 6 and \
             utilisation = 0.85 (Luccioni et al. 2022, arXiv 2211.02001)",
        );
        check(
            "[hardware]\nbought = 2\nutilisation = 40\n",
            "mine.toml:3: hardware.utilisation = 40: expected a number above 0 and up to 1",
        );
        check(
            "[hardware]\nembodied_kgco2e = 300\n",
            "mine.toml:2: hardware.embodied_kgco2e = 300: it is of a whole machine, and hardware.rent_per_vcpu_h is of a \
             share\nhint: give rent_per_h, or bought",
        );
        check(
            "currency = \"EUR\"\n",
            "mine.toml: hardware.rent_per_h: missing, and the default's is not in EUR\nhint: give rent_per_h, \
             rent_per_vcpu_h, or bought with lifetime_years and utilisation",
        );
        check(
            "currency = \"EUR\"\n[hardware]\nrent_per_h = 1\nrent_includes_energy = false\n",
            "mine.toml: `energy.per_kwh` is missing",
        );
        check(
            "[hardware]\nbought = 1\nrent_includes_energy = true\nlifetime_years = 1\nutilisation = 1\n",
            "mine.toml:3: hardware.rent_includes_energy = true: a bought machine has no rent",
        );
        check(
            "[modelled]\nidle_w = 90\nmax_w = 60\n",
            "mine.toml:2: modelled.idle_w = 90: above max_w",
        );
        check(
            "[energy]\ngco2e_per_kwh = 30\nmix = { wind = 1 }\n",
            "mine.toml:3: energy.mix: beside energy.gco2e_per_kwh, which says the same otherwise",
        );
        check(
            "[energy]\nper_kwh = nan\n",
            "mine.toml:2: energy.per_kwh: expected a finite number",
        );
    }
}
