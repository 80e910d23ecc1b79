//! Loss against learning rate, a plot a width: whether what is tuned at one width holds at another.

use super::hue::hue;
use crate::analysis::findings::Findings;
use crate::analysis::valley::{Carried, Valley, carried};
use crate::report::page::{
    Axis, Block, Chart, Figure, Mark, Point, Quantity, Scatter, Series, Table,
};

pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let all = carried(findings.file);
    if all.is_empty() {
        return None;
    }
    let lead = Block::Lead(all.iter().map(sentence).collect::<Vec<_>>().join(" "));
    Some(vec![
        lead,
        Block::Plots(figures(findings, &all)),
        Block::Details(about(), table(&all)),
    ])
}

/// `gpt2, 400 steps: the best rate moves by 0.84 from w32 to w128, within a step of its grid.`
fn sentence(carried: &Carried) -> String {
    let (Some(first), Some(last)) = (carried.valleys.first(), carried.valleys.last()) else {
        return String::new();
    };
    let of = format!("{}, {} steps", first.variant, first.steps);
    let over = format!("from w{} to w{}", first.width, last.width);
    match (carried.moved(), carried.holds()) {
        (Some(moved), Some(true)) => {
            format!(
                "{of}: the best rate changes by a factor of {moved:.2} {over}, within a step of its grid at every width."
            )
        }
        (Some(moved), _) => {
            format!(
                "{of}: the best rate changes by a factor of {moved:.2} {over}, more than a step of its grid."
            )
        }
        (None, _) => format!(
            "{of}: how far the best rate moves {over} is not known: a valley is open to a side."
        ),
    }
}

/// All variants at one width, for each width and training length.
fn figures(findings: &Findings, all: &[Carried]) -> Vec<Figure> {
    let mut places: Vec<(u64, u64)> = valleys(all)
        .map(|valley| (valley.steps, valley.width))
        .collect();
    places.sort_unstable();
    places.dedup();
    let at = |(steps, width): (u64, u64)| {
        let series = valleys(all).filter(|valley| (valley.steps, valley.width) == (steps, width));
        Figure {
            title: format!("Loss by learning rate at width {width}, {steps} steps"),
            caption:
                "Lower is better. Where rates carry over widths a variant’s lowest point has the same place at each."
                    .to_owned(),
            chart: Chart::Scatter(Scatter {
                x: Axis::log("learning rate", Quantity::Rate),
                y: Axis::linear("validation loss (nats per token)", Quantity::Nats),
                series: series.map(|valley| line(findings, valley)).collect(),
                rules: Vec::new(),
            }),
        }
    };
    places.into_iter().map(at).collect()
}

fn valleys(all: &[Carried]) -> impl Iterator<Item = &Valley> {
    all.iter().flat_map(|carried| &carried.valleys)
}

fn line(findings: &Findings, valley: &Valley) -> Series {
    let point = |(lr, loss): &(f64, Option<f64>)| {
        let note = format!("{} at width {}, rate {lr}", valley.variant, valley.width);
        Some(Point {
            x: *lr,
            y: (*loss)?,
            interval: None,
            note,
        })
    };
    let points = valley.losses.iter().filter_map(point).collect();
    Series {
        name: valley.variant.clone(),
        hue: hue(findings, &valley.variant),
        mark: Mark::Joined,
        points,
    }
}

fn about() -> String {
    "The best rate of each width: the lowest point of a parabola in the rate's logarithm through the best of the grid and its \
     neighbours"
        .to_owned()
}

fn table(all: &[Carried]) -> Table {
    let mut table = Table::new([
        "variant",
        "steps",
        "width",
        "best rate",
        "loss there (nats)",
        "rates",
        "seeds",
        "note",
    ]);
    for valley in valleys(all) {
        let Some(deepest) = valley.deepest() else {
            continue;
        };
        table.rows.push(vec![
            valley.variant.clone(),
            valley.steps.to_string(),
            valley.width.to_string(),
            Quantity::Rate.cell(deepest.lr),
            Quantity::Nats.cell(deepest.loss),
            valley.losses.len().to_string(),
            valley.seeds.to_string(),
            if deepest.edge {
                "at the edge of its grid".to_owned()
            } else {
                String::new()
            },
        ]);
    }
    table.without_empty_columns()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::valley::tests::swept;
    use crate::record::example::example;
    use crate::report::render::html::html;
    use crate::report::render::markdown::markdown;
    use crate::report::report;

    #[test]
    fn valleys_of_several_widths_are_drawn_and_told() {
        assert!(build(&Findings::of(&example())).is_none(), "no sweep");
        let mut file = example();
        file.trials = swept("gpt2", &[32, 64, 128], |_| 0.02);
        file.trials
            .extend(swept("gpt2+standard", &[32, 64, 128], |width| {
                0.03 * 32.0 / width as f64
            }));
        for (order, trial) in file.trials.iter_mut().enumerate() {
            trial.order = order as u64;
        }
        let findings = Findings::of(&file);
        // Every medium can show it.
        let whole = report(&file, None, None);
        let media = [markdown(&whole), html(&whole)];
        assert!(
            media
                .iter()
                .all(|medium| medium.contains("at width 128, 400 steps"))
        );
        let blocks = build(&findings).unwrap();
        let Block::Lead(lead) = &blocks[0] else {
            panic!()
        };
        assert_eq!(
            lead,
            "gpt2, 400 steps: the best rate changes by a factor of 1.00 from w32 to w128, within a step of its grid at every \
             width. gpt2+standard, 400 steps: the best rate changes by a factor of 0.25 from w32 to w128, more than a step of \
             its grid."
        );
        let Block::Plots(figures) = &blocks[1] else {
            panic!()
        };
        let titles: Vec<&str> = figures.iter().map(|figure| figure.title.as_str()).collect();
        assert_eq!(titles.len(), 3);
        assert_eq!(titles[1], "Loss by learning rate at width 64, 400 steps");
        let Chart::Scatter(scatter) = &figures[0].chart else {
            panic!()
        };
        let shape: Vec<(&str, usize)> = scatter
            .series
            .iter()
            .map(|s| (s.name.as_str(), s.points.len()))
            .collect();
        assert_eq!(shape, [("gpt2", 5), ("gpt2+standard", 5)]);
        let Block::Details(_, table) = &blocks[2] else {
            panic!()
        };
        assert_eq!((table.rows.len(), table.rows[5][3].as_str()), (6, "0.0075"));
    }
}
