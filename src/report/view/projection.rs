//! A projection in words: one sentence, the years, and what it rests on.

use crate::analysis::projection::{Accuracy, Projection};
use crate::report::page::{Block, Table};
use crate::stat::Interval;
use crate::unit::{Count, Nats, Share};

/// "A follower with a constant budget trails by at most 0.21 nats, 3.4 years from now, and by less than 0.05 after 13 years."
/// Each figure with its interval where the law has one.
pub fn sentence(found: &Projection) -> String {
    let Projection {
        peak,
        small_nats,
        closes_year,
        ..
    } = found;
    let nats = spread(found.peak_nats_interval, |v| Nats(v).to_string());
    let year = spread(found.peak_year_interval, years);
    let widest = format!(
        "{} nats{nats}, {} years from now{year}",
        Nats(peak.nats),
        years(peak.year)
    );
    if *closes_year == 0.0 {
        return format!(
            "A follower with a constant budget trails by at most {widest}: never by {small_nats}."
        );
    }
    let after = spread(found.closes_interval, years);
    format!(
        "A follower with a constant budget trails by at most {widest}, and by less than {small_nats} after {} years{after}.",
        years(*closes_year)
    )
}

/// What stands below the sentence: a table by year and the caveats; with what the losses mean on a benchmark where `accuracy`
/// says so.
pub fn rest(found: &Projection, accuracy: Option<Accuracy>) -> Vec<Block> {
    let mut headings = vec![
        "year",
        "leader FLOP",
        "follower FLOP",
        "leader nats",
        "follower nats",
        "gap nats",
        "tokens to tell",
    ];
    if accuracy.is_some() {
        headings.extend(["leader accuracy", "follower accuracy"]);
    }
    let mut table = Table::new(headings);
    for row in &found.rows {
        let gap = format!(
            "{}{}",
            Nats(row.gap_nats),
            spread(row.gap_interval, |v| Nats(v).to_string())
        );
        let mut cells = vec![
            row.year.to_string(),
            format!("{:.1e}", row.leader_flops),
            format!("{:.1e}", row.follower_flops),
            Nats(row.leader_nats).to_string(),
            Nats(row.follower_nats).to_string(),
            gap,
            row.tokens_to_tell
                .map(|tokens| Count(tokens.ceil()).to_string())
                .unwrap_or_default(),
        ];
        let accuracy = |nats| accuracy.map(|map| Share(map.at(nats)).to_string());
        cells.extend(
            [row.leader_nats, row.follower_nats]
                .into_iter()
                .filter_map(accuracy),
        );
        table.row(cells);
    }
    let caveats = found.caveats.iter().map(|c| Block::Caveat {
        message: c.message.clone(),
        remedy: c.remedy.clone(),
    });
    std::iter::once(Block::Table(table))
        .chain(caveats)
        .collect()
}

/// `3.4`, `13`.
fn years(years: f64) -> String {
    if years < 9.95 {
        format!("{years:.1}")
    } else {
        format!("{years:.0}")
    }
}

/// ` (95% 0.19 to 0.24)`, or nothing.
fn spread(interval: Option<Interval>, show: impl Fn(f64) -> String) -> String {
    match interval {
        Some(Interval { low, high, level }) => {
            format!(" ({:.0}% {} to {})", 100.0 * level, show(low), show(high))
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::PowerLaw;
    use crate::analysis::fit::{Irreducible, Plan, Point, Points, fit, power};
    use crate::analysis::projection::{
        Assumptions, Growth, Race, SMALL_NATS, Spread, YEARS, project,
    };
    use crate::report::Style;
    use crate::report::page::Page;
    use crate::report::render::text::golden;
    use crate::report::render::text::text;

    const LAW: PowerLaw = PowerLaw {
        irreducible: 1.7,
        scale: 1070.0,
        exponent: 0.154,
    };

    fn projected(law: PowerLaw, spread: Spread<'_>) -> Projection {
        let race = Race::new(1e20, Growth::MEEK).unwrap();
        let (fitted_to_flops, years) = (Some(1e21), &YEARS);
        project(&Assumptions {
            race,
            law,
            spread,
            fitted_to_flops,
            years,
            small_nats: SMALL_NATS,
        })
        .unwrap()
    }

    #[test]
    fn a_projection_opens_with_its_answer() {
        assert_eq!(
            sentence(&projected(LAW, Spread::Unknown)),
            "A follower with a constant budget trails by at most 0.21 nats, 3.4 years from now, and by less than 0.05 after 13 years."
        );
        let point = |k: i32| {
            let flops = 1e17 * 4f64.powi(k);
            Point::new(
                "a".to_owned(),
                flops,
                LAW.at(flops) * (1.0 + 0.004 * f64::from((k * 7 % 5) - 2)),
            )
        };
        let points = Points {
            points: (0..14).map(point).collect(),
            notes: Vec::new(),
        };
        let findings = fit(
            &power::LAW,
            &points,
            &Plan {
                irreducible: Some(Irreducible::Fixed(1.7)),
                drop_highest: 0,
                draws: 0,
            },
        );
        let study = &findings.unwrap().groups[0];
        let said = sentence(&projected(study.along, Spread::Fitted(study)));
        let start = "A follower with a constant budget trails by at most 0.21 nats (95% 0.";
        assert!(
            said.starts_with(start) && said.matches("(95% ").count() == 3,
            "{said}"
        );
        assert_eq!(
            sentence(&projected(
                PowerLaw {
                    scale: 100.0,
                    ..LAW
                },
                Spread::Unknown
            )),
            "A follower with a constant budget trails by at most 0.020 nats, 3.4 years from now: never by 0.05."
        );
    }

    #[test]
    fn the_years_stand_in_a_table() {
        let found = projected(LAW, Spread::Unknown);
        let mut blocks = vec![Block::Text(sentence(&found))];
        blocks.extend(rest(&found, Some(Accuracy::MMLU)));
        let text = text(&Page::answer("", Vec::new(), blocks), Style::default());
        golden("projection.txt", &text);
    }
}
