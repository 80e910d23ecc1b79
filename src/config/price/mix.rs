//! The carbon of a grid, from what feeds it.

use super::figure::Figure;
use crate::config::knob::{Declarations, Declared, Knob, Number};
use crate::config::table::Table;
use crate::error::{Error, Result};
use crate::unit::Share;

const fn share(source: &'static str) -> Knob<Number> {
    let about = "Its share of the electricity; the shares add up to 1.";
    let share = Knob::number(source, about).within(0.0, 1.0).above(0.0);
    share.optional()
}

const COAL: Knob<Number> = share("coal");
const OIL: Knob<Number> = share("oil");
const GAS: Knob<Number> = share("gas");
const SOLAR: Knob<Number> = share("solar");
const GEOTHERMAL: Knob<Number> = share("geothermal");
const NUCLEAR: Knob<Number> = share("nuclear");
const HYDRO: Knob<Number> = share("hydro");
const WIND: Knob<Number> = share("wind");

/// The fields of `energy.mix`.
pub(super) const FIELDS: Declarations = &[
    &COAL,
    &OIL,
    &GAS,
    &SOLAR,
    &GEOTHERMAL,
    &NUCLEAR,
    &HYDRO,
    &WIND,
];

/// Grams of CO2 equivalent per kilowatt-hour by source, as CodeCarbon takes them.
const INTENSITY: [(Knob<Number>, f64); 8] = [
    (COAL, 995.0),
    (OIL, 816.0),
    (GAS, 743.0),
    (SOLAR, 48.0),
    (GEOTHERMAL, 38.0),
    (NUCLEAR, 29.0),
    (HYDRO, 26.0),
    (WIND, 26.0),
];

/// The whole may miss 1 by this much: shares are written with two or three digits.
const ROUNDING: f64 = 0.005;

/// The mean intensity of a mix, in grams per kilowatt-hour; its shares must make a whole.
pub(super) fn intensity(mix: &Table) -> Result<Figure> {
    let fields = mix.fields(FIELDS)?;
    let (mut grams, mut whole, mut words) = (0.0, 0.0, Vec::new());
    for (source, intensity) in INTENSITY {
        if let Some(share) = fields.find(&source)? {
            grams += share * intensity;
            whole += share;
            words.push(format!("{} {}", source.name(), Share(share)));
        }
    }
    if (whole - 1.0).abs() > ROUNDING {
        let message = format!(
            "{}: the shares of energy.mix add up to {}",
            mix.place(),
            Share(whole)
        );
        return Err(Error::input(message).hint("they are parts of 1"));
    }
    let source = format!("mix of {}, by CodeCarbon's intensities", words.join(", "));
    Ok(Figure {
        value: grams / whole,
        source,
        by_default: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::field::Inner;
    use crate::config::load;

    fn mix(text: &str) -> Result<Figure> {
        let table = load::parse("mine.toml", &format!("[energy]\nmix = {{ {text} }}\n"))?;
        const MIX: Inner = Inner::table("mix", "A mix.", FIELDS);
        const ENERGY: Inner = Inner::table("energy", "The grid.", &[&MIX]);
        let energy = table.fields(&[&ENERGY])?.table(&ENERGY)?.unwrap();
        intensity(energy.fields(&[&MIX])?.table(&MIX)?.unwrap())
    }

    /// CodeCarbon's documentation works this mix out and calls the result kilograms per kilowatt-hour: it is kilograms per
    /// *mega*watt-hour, which are grams per kilowatt-hour.
    #[test]
    fn a_mix_is_in_grams_per_kilowatt_hour() {
        let found = mix("coal = 0.25, oil = 0.35, gas = 0.26, nuclear = 0.14").unwrap();
        assert!((found.value - 731.59).abs() < 1e-9, "{found:?}");
        let source =
            "mix of coal 25.0%, oil 35.0%, gas 26.0%, nuclear 14.0%, by CodeCarbon's intensities";
        assert_eq!(found.source, source);
    }

    #[test]
    fn shares_make_a_whole_of_known_sources() {
        let check = |text: &str, want: &str| assert_eq!(mix(text).unwrap_err().to_string(), want);
        check(
            "coal = 0.5, wind = 0.4",
            "mine.toml:2: the shares of energy.mix add up to 90.0%\nhint: they are parts of 1",
        );
        check(
            "wind = 1.2",
            "mine.toml:2: energy.mix.wind = 1.2: expected a number above 0 and up to 1",
        );
        check(
            "wint = 1",
            "mine.toml:2: unknown field `energy.mix.wint`\nhint: did you mean `wind`?",
        );
    }
}
