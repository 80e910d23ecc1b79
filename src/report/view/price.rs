//! Prices in words: what was assumed and who says so, and what something cost.

use crate::analysis::price::{Amount, BOUNDARY, Bill, Priced};
use crate::config::Price;
use crate::config::price::{Figure, Hardware};
use crate::report::page::{Block, Page, Table};

/// Every figure that money and carbon are worked out with, each with its source, and what is counted.
pub fn assumptions(price: &Price) -> Vec<Block> {
    let mut table = Table::new(["price", "figure", "unit", "source"]);
    for (what, figure, unit) in rows(price) {
        let default = if figure.by_default { " (default)" } else { "" };
        table.row([
            what.to_owned(),
            plain(figure.value),
            unit,
            format!("{}{default}", figure.source),
        ]);
    }
    let mut missing = Vec::new();
    if price.modelled.is_none() {
        missing.push("energy where no meter reads it");
    }
    if price.data.is_none() {
        missing.push("data");
    }
    if price.embodied_kgco2e.is_none() {
        missing.push("carbon of making the machine");
    }
    let missing = if missing.is_empty() {
        String::new()
    } else {
        format!(" Not priced: {}.", missing.join(", "))
    };
    vec![
        Block::Text(format!("Prices `{}`: {}", price.name, price.about)),
        Block::Table(table),
        Block::Text(format!("Counted: {BOUNDARY}.{missing}")),
    ]
}

/// What `effbench price` shows.
pub fn page(price: &Price) -> Page {
    Page::answer(
        &format!("Prices `{}`", price.name),
        Vec::new(),
        assumptions(price),
    )
}

/// Without the rounding of arithmetic: `731.59`, `0.0425`.
fn plain(value: f64) -> String {
    let text = format!("{value:.9}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn rows(price: &Price) -> Vec<(&'static str, &Figure, String)> {
    let money = &price.currency;
    let included = if price.rent_includes_energy {
        ", energy included"
    } else {
        ""
    };
    let (what, per) = match &price.hardware {
        Hardware::RentPerH(_) => ("rent of the machine", format!("{money}/h{included}")),
        Hardware::RentPerVcpuH(_) => ("rent of a virtual core", format!("{money}/h{included}")),
        Hardware::Bought(_) => ("purchase of the machine", money.clone()),
    };
    let mut rows = vec![(what, price.hardware.figure(), per)];
    if let Some(life) = &price.life {
        rows.push(("lifetime", &life.years, "years".to_owned()));
        rows.push(("utilisation", &life.utilisation, "share".to_owned()));
    }
    rows.extend(
        price
            .embodied_kgco2e
            .iter()
            .map(|f| ("making the machine", f, "kgCO2e".to_owned())),
    );
    match &price.per_kwh {
        Some(tariff) if !price.rent_includes_energy => {
            rows.push(("electricity", tariff, format!("{money}/kWh")))
        }
        _ => {}
    }
    rows.push(("PUE", &price.pue, "1".to_owned()));
    rows.push(("grid", &price.gco2e_per_kwh, "gCO2e/kWh".to_owned()));
    if let Some(data) = &price.data {
        let tokens = data.per_m_tokens.iter();
        rows.extend(tokens.map(|f| ("data", f, format!("{money}/million different tokens"))));
        let labels = data.per_label.iter();
        rows.extend(labels.map(|f| {
            (
                "labels",
                f,
                format!("{money}/different token that a task asks for"),
            )
        }));
    }
    if let Some(bounds) = &price.modelled {
        rows.push(("least power, modelled", &bounds.idle_w, "W".to_owned()));
        rows.push(("most power, modelled", &bounds.max_w, "W".to_owned()));
    }
    rows
}

/// `0.0021 USD`, `1.2 to 4.8 gCO2e (modelled)`, or `not known (virtual_machine)`.
pub fn total(priced: &Priced) -> String {
    amount(priced, &priced.total)
}

/// The total and, where there are several, its parts: `3.50 USD (hardware 2.00 USD, energy 1.50 USD)`.
pub fn itemised(priced: &Priced) -> String {
    let parts = priced
        .parts
        .iter()
        .map(|part| format!("{} {}", part.what, amount(priced, &part.amount)));
    match priced.parts.len() {
        0 | 1 => total(priced),
        _ => format!(
            "{} ({})",
            total(priced),
            parts.collect::<Vec<_>>().join(", ")
        ),
    }
}

/// One line about a whole run: `Cost of training: 0.0016 USD; energy 3.1 kJ; carbon 0.65 gCO2e (20 of 20 trials, ...)`.
pub fn bill(bill: &Bill, prices: &str) -> String {
    let Bill {
        trials,
        finished,
        trained,
        money,
        carbon,
        energy,
    } = bill;
    if *finished > 0 && *trained == 0 {
        return "Nothing was trained here, so that training cost nothing here".to_owned();
    }
    let physical = match (&energy.total, &carbon.total) {
        (Amount::Absent { reason }, Amount::Absent { .. }) => {
            format!("energy and carbon not known: {}", plainly(reason))
        }
        _ => format!("energy {}; carbon {}", total(energy), itemised(carbon)),
    };
    format!(
        "Cost of training: {}; {physical} ({finished} of {trials} trials, prices `{prices}`)",
        itemised(money)
    )
}

fn amount(priced: &Priced, amount: &Amount) -> String {
    let show = |value| priced.unit.show(value);
    match amount {
        Amount::Measured { value } => show(*value),
        Amount::Modelled { low, high } => format!("{} to {}, modelled", show(*low), show(*high)),
        Amount::Absent { reason } => format!("not known: {}", plainly(reason)),
    }
}

/// A reason's code as words.
fn plainly(reason: &str) -> String {
    reason.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::price::{Cores, Usage};
    use crate::config::Library;
    use crate::report::Style;
    use crate::report::render::text::golden;
    use crate::report::render::text::text;

    fn price(text: &str) -> Price {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, text).unwrap();
        Library::builtin().price(&path.to_string_lossy()).unwrap()
    }

    #[test]
    fn every_assumption_is_shown_with_its_source() {
        let say = |price: &Price| text(&page(price), Style::default());
        let shipped = say(&Library::builtin().price("default").unwrap());
        golden("price.txt", &shipped);

        let mine = "currency = \"EUR\"\n[hardware]\nbought = { value = 4200, source = \"invoice\" }\nlifetime_years = 5\n\
                    utilisation = 0.3\nembodied_kgco2e = 320\n[energy]\nper_kwh = 0.31\n[modelled]\nidle_w = 60\nmax_w = 250\n";
        let text = say(&price(mine));
        for line in [
            "4200",
            "invoice",
            "0.31",
            "EUR/kWh",
            "mine.toml:8",
            "(Uptime Institute",
            "(default)",
            "250",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(text.contains("Not priced: data."), "{text}");
    }

    #[test]
    fn an_amount_says_how_it_is_known() {
        let mine = "[hardware]\nbought = 4380\nlifetime_years = 5\nutilisation = 0.5\n[energy]\nper_kwh = 0.25\npue = 1.2\n";
        let hour = |joules| Usage {
            seconds: Amount::Measured { value: 3600.0 },
            cores: Cores::Cpu(2),
            joules,
            metered: "measured".to_owned(),
            data: None,
        };
        let check = |text: &str, joules: Amount, want: &str| {
            assert_eq!(itemised(&price(text).money(&hour(joules))), want);
        };
        let unknown = || Amount::absent("virtual_machine");
        check(
            mine,
            Amount::Measured { value: 3.6e6 },
            "0.50 USD (hardware 0.20 USD, energy 0.30 USD)",
        );
        check(
            mine,
            unknown(),
            "not known: virtual machine (hardware 0.20 USD, energy not known: virtual machine)",
        );
        check(
            &format!("{mine}[modelled]\nidle_w = 100\nmax_w = 500\n"),
            unknown(),
            "0.23 USD to 0.35 USD, modelled (hardware 0.20 USD, energy 0.030 USD to 0.15 USD, modelled)",
        );
        check("", unknown(), "0.085 USD");
    }

    #[test]
    fn a_run_has_one_line_for_what_it_cost() {
        let file = crate::record::example::example();
        let line = |price: &Price| bill(&price.bill(&file), &price.name);
        assert_eq!(
            line(&Library::builtin().price("default").unwrap()),
            "Cost of training: 0.0014 USD; energy and carbon not known: virtual machine (20 of 20 trials, prices `default`)"
        );
        assert_eq!(
            line(&price("[modelled]\nidle_w = 100\nmax_w = 500\n")),
            "Cost of training: 0.0014 USD; energy 6.0 kJ to 30 kJ, modelled; carbon 1.2 gCO2e to 6.2 gCO2e, modelled \
             (20 of 20 trials, prices `mine`)"
        );
    }
}
