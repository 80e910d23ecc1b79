//! Loss against learning rate, a line a width: whether what is tuned at one width holds at another.

use crate::analysis::valley::{Carried, Valley, carried};
use crate::report::findings::Findings;
use crate::report::page::{Axis, Block, Chart, Figure, Hue, Mark, Point, Quantity, Scatter, Series, Table};

pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let all = carried(findings.file);
    if all.is_empty() {
        return None;
    }
    let lead = Block::Lead(all.iter().map(sentence).collect::<Vec<_>>().join(" "));
    Some(vec![lead, Block::Plots(all.iter().map(figure).collect()), Block::Details(about(), table(&all))])
}

/// `gpt2, 400 steps: the best rate moves by 0.84 from w32 to w128, within a step of its grid.`
fn sentence(carried: &Carried) -> String {
    let (Some(first), Some(last)) = (carried.valleys.first(), carried.valleys.last()) else { return String::new() };
    let of = format!("{}, {} steps", first.variant, first.steps);
    let over = format!("from w{} to w{}", first.width, last.width);
    match (carried.moved(), carried.holds()) {
        (Some(moved), Some(true)) => {
            format!(
                "{of}: the best rate changes by a factor of {moved:.2} {over}, within a step of its grid at every width."
            )
        }
        (Some(moved), _) => {
            format!("{of}: the best rate changes by a factor of {moved:.2} {over}, more than a step of its grid.")
        }
        (None, _) => format!("{of}: how far the best rate moves {over} is not known: a valley is open to a side."),
    }
}

fn figure(carried: &Carried) -> Figure {
    let line = |(i, valley): (usize, &Valley)| {
        let points = valley.losses.iter().filter_map(|(lr, loss)| {
            let note = format!("{} at width {}, rate {lr}", valley.variant, valley.width);
            Some(Point { x: *lr, y: (*loss)?, interval: None, note })
        });
        let name = format!("w{}", valley.width);
        Series { name, hue: Hue::Variant(i), mark: Mark::Joined, points: points.collect() }
    };
    let (variant, steps) = carried.valleys.first().map(|v| (v.variant.as_str(), v.steps)).unwrap_or_default();
    Figure {
        title: format!("Loss by learning rate, {variant}, {steps} steps"),
        caption: "Lower is better. Where rates carry over widths the lowest points stand above each other.".to_owned(),
        chart: Chart::Scatter(Scatter {
            x: Axis::log("learning rate", Quantity::Rate),
            y: Axis::linear("validation loss (nats per token)", Quantity::Nats),
            series: carried.valleys.iter().enumerate().map(line).collect(),
            rules: Vec::new(),
        }),
    }
}

fn about() -> String {
    "The best rate of each width: the lowest point of a parabola in the rate's logarithm through the best of the grid and its \
     neighbours"
        .to_owned()
}

fn table(all: &[Carried]) -> Table {
    let mut table =
        Table::new(["variant", "steps", "width", "best rate", "loss there (nats)", "rates", "seeds", "note"]);
    for valley in all.iter().flat_map(|carried| &carried.valleys) {
        let Some(deepest) = valley.deepest() else { continue };
        table.rows.push(vec![
            valley.variant.clone(),
            valley.steps.to_string(),
            valley.width.to_string(),
            Quantity::Rate.cell(deepest.lr),
            Quantity::Nats.cell(deepest.loss),
            valley.losses.len().to_string(),
            valley.seeds.to_string(),
            if deepest.edge { "at the edge of its grid".to_owned() } else { String::new() },
        ]);
    }
    table.without_empty_columns()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::valley::tests::swept;
    use crate::record::example::example;

    #[test]
    fn valleys_of_several_widths_are_drawn_and_told() {
        assert!(build(&Findings::of(&example())).is_none(), "no sweep");
        let mut file = example();
        file.trials = swept("gpt2", &[32, 64, 128], |_| 0.02);
        file.trials.extend(swept("gpt2-standard", &[32, 64, 128], |width| 0.03 * 32.0 / width as f64));
        for (order, trial) in file.trials.iter_mut().enumerate() {
            trial.order = order as u64;
        }
        let blocks = build(&Findings::of(&file)).unwrap();
        let Block::Lead(lead) = &blocks[0] else { panic!() };
        assert_eq!(
            lead,
            "gpt2, 400 steps: the best rate changes by a factor of 1.00 from w32 to w128, within a step of its grid at every \
             width. gpt2-standard, 400 steps: the best rate changes by a factor of 0.25 from w32 to w128, more than a step of \
             its grid."
        );
        let Block::Plots(figures) = &blocks[1] else { panic!() };
        assert_eq!(figures.len(), 2);
        let Chart::Scatter(scatter) = &figures[0].chart else { panic!() };
        let shape: Vec<(&str, usize)> = scatter.series.iter().map(|s| (s.name.as_str(), s.points.len())).collect();
        assert_eq!(shape, [("w32", 5), ("w64", 5), ("w128", 5)]);
        let Block::Details(_, table) = &blocks[2] else { panic!() };
        assert_eq!((table.rows.len(), table.rows[5][3].as_str()), (6, "0.0075"));
    }
}
