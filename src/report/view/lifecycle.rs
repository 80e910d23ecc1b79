//! What a model costs over its life: from how many requests on which of two cells costs less, as a sentence, a plot and a table.

use super::hue::hue;
pub use super::lifecycle_sentence::sentence;
use super::lifecycle_sentence::{MANY, quality, requests, shown, verdict};
use super::number::decimals;
use crate::analysis::findings::Findings;
use crate::analysis::lifecycle::{
    Asked, Comparison, Measure, Row, Served, Side, Verdict, compared,
};
use crate::config::Price;
use crate::report::page::{
    Axis, Block, Chart, Figure, Hue, Mark, Page, Point, Quantity, Scatter, Series, Table,
};
use crate::stat::Estimate;
use crate::unit::{FlopsPerSecond, Times};

/// Points of a line, ten a decade.
const A_DECADE: f64 = 10.0;
/// Decades of requests shown to either side of where something happens.
const DECADES: f64 = 2.0;

/// Whose colours the two of a comparison have.
type Hues<'a> = &'a dyn Fn(&Comparison) -> [Hue; 2];

/// The command's page.
pub fn page(found: &[Comparison], price: &Price) -> Page {
    let shown = first(found).map_or_else(Vec::new, |one| one.cells.to_vec());
    let blocks = blocks(found, price, &|_| [0, 1].map(Hue::Variant));
    Page::answer("effbench: lifecycle", shown, blocks)
}

/// A section of the report, where cells were served beside a base.
pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let found = compared(findings.file, findings.price, &Asked::default()).ok()?;
    // Of one variant's two cells the second is grey.
    let hues = |one: &Comparison| {
        let [a, b] = one.variants.each_ref().map(|name| hue(findings, name));
        [a, if a == b { Hue::Neutral } else { b }]
    };
    Some(blocks(&found, findings.price?, &hues))
}

fn blocks(found: &[Comparison], price: &Price, hues: Hues) -> Vec<Block> {
    match found {
        [only] => alone(only, price, hues(only)),
        all => several(all, price, hues),
    }
}

/// The comparison that is drawn: the first that breaks even, else the first.
fn first(found: &[Comparison]) -> Option<&Comparison> {
    let breaks = |one: &&Comparison| {
        one.first_told()
            .is_some_and(|row| matches!(row.verdict, Ok(Verdict::BreakEven { .. })))
    };
    found.iter().find(breaks).or(found.first())
}

/// Two cells in full.
fn alone(found: &Comparison, price: &Price, hues: [Hue; 2]) -> Vec<Block> {
    let mut blocks = vec![Block::Lead(sentence(found, price))];
    blocks.push(Block::Text(quality(found)));
    blocks.push(Block::Table(measures(found, price)));
    let figures: Vec<Figure> = found
        .rows
        .iter()
        .filter_map(|row| figure(found, row, price, hues))
        .collect();
    blocks.extend((!figures.is_empty()).then_some(Block::Plots(figures)));
    blocks.extend(speeds(found).map(Block::Table));
    blocks.push(Block::Text(basis(&[found], price)));
    blocks
}

/// Many pairs, a row each, and a plot of one.
fn several(found: &[Comparison], price: &Price, hues: Hues) -> Vec<Block> {
    let mut blocks = Vec::new();
    if let Some(first) = first(found) {
        blocks.push(Block::Lead(sentence(first, price)));
        blocks.push(Block::Text(quality(first)));
        let plot = first
            .first_told()
            .and_then(|row| figure(first, row, price, hues(first)));
        blocks.extend(plot.map(Block::Plot));
    }
    let mut table = Table::new(["cell", "against", "loss gap (nats)"]);
    let told = |one: &Comparison| one.rows.iter().map(|row| row.verdict.is_ok()).collect();
    let any: Vec<Vec<bool>> = found.iter().map(told).collect();
    let kept: Vec<usize> = (0..Measure::ALL.len())
        .filter(|k| any.iter().any(|one| one[*k]))
        .collect();
    let heads = kept.iter().map(|k| Measure::ALL[*k].words().to_owned());
    table.columns.extend(heads);
    for one in found {
        let [a, b] = one.cells.clone();
        let verdicts = kept.iter().map(|k| {
            let told = one.rows[*k].verdict.as_ref();
            told.map_or_else(|_| "not told".to_owned(), requests)
        });
        table.row([a, b, gap(one)].into_iter().chain(verdicts));
    }
    blocks.push(Block::Text(
        "Each cell against the base's whose loss is nearest; `first from 12 k` is that the first costs less from 12 k requests on."
            .to_owned(),
    ));
    blocks.push(Block::Table(table));
    let all: Vec<&Comparison> = found.iter().collect();
    blocks.push(Block::Text(basis(&all, price)));
    blocks
}

/// `+0.031 (+0.020 to +0.042)`: the first's loss less the second's.
fn gap(found: &Comparison) -> String {
    let Some(gap) = &found.loss else {
        return "not known".to_owned();
    };
    let (value, ends) = (gap.difference.value, gap.difference.interval);
    if value == 0.0 && ends.is_none_or(|i| i.low == i.high) {
        return "none, to the bit".to_owned();
    }
    let shown = ends.map_or_else(|| vec![value], |i| vec![value, i.low, i.high]);
    let digits = decimals(&shown);
    let ends = ends.map(|i| format!(" ({:+.digits$} to {:+.digits$})", i.low, i.high));
    format!("{value:+.digits$}{}", ends.unwrap_or_default())
}

fn measures(found: &Comparison, price: &Price) -> Table {
    let [a, b] = &found.cells;
    let columns = [
        "counted in".to_owned(),
        format!("training, {a}"),
        format!("training, {b}"),
        format!("1 M requests, {a}"),
        format!("1 M requests, {b}"),
        "costs less".to_owned(),
    ];
    let mut table = Table::new(columns);
    for row in &found.rows {
        let cell = |told: &Result<Estimate, String>, times: f64| match told {
            Ok(cost) => shown(row.measure, times * cost.value, price),
            Err(_) => "not told".to_owned(),
        };
        let training = row.training.iter().map(|told| cell(told, 1.0));
        let costs = training.chain(row.request.iter().map(|told| cell(told, MANY)));
        let said = match &row.verdict {
            Ok(told) => verdict(told, &found.cells),
            Err(reason) => format!("not told: {reason}"),
        };
        let head = std::iter::once(row.measure.words().to_owned());
        table.row(head.chain(costs).chain([said]));
    }
    table
}

/// How well the machine was used, which is what tells seconds and money from FLOPs.
fn speeds(found: &Comparison) -> Option<Table> {
    let columns = [
        "FLOP/s in",
        "training",
        "prompts",
        "answers",
        "answers against training",
    ];
    let mut table = Table::new(columns);
    for (name, speeds) in found.cells.iter().zip(&found.speeds) {
        let speeds = speeds.as_ref()?;
        let training = speeds.training.map(|v| FlopsPerSecond(v).to_string());
        let ratio = speeds
            .training
            .map(|v| Times(speeds.answer / v).to_string());
        table.row([
            name.clone(),
            training.unwrap_or_default(),
            FlopsPerSecond(speeds.prompt).to_string(),
            FlopsPerSecond(speeds.answer).to_string(),
            ratio.unwrap_or_default(),
        ]);
    }
    Some(table)
}

/// What is counted, and how it was served.
fn basis(found: &[&Comparison], price: &Price) -> String {
    let how = |served: &Served| {
        let depth = match served.depth {
            0 => String::new(),
            depth => format!(" behind {depth} tokens"),
        };
        let guessed = if served.drafted {
            ", tokens guessed ahead"
        } else {
            ""
        };
        format!(
            "{} and {} tokens{depth}, batch {}{guessed}",
            served.prompt, served.generate, served.batch
        )
    };
    let all = || found.iter().flat_map(|one| one.served.iter().flatten());
    let guessed = match all().any(|served| served.drafted) {
        true => {
            " Where tokens are guessed ahead, a token of an answer costs what it was then measured and counted to; of other texts other shares of \
             the guesses are taken."
        }
        false => "",
    };
    let mut ways: Vec<String> = Vec::new();
    for served in all() {
        let way = how(served);
        if !ways.contains(&way) {
            ways.push(way);
        }
    }
    let request = found.first().map_or(String::new(), |one| {
        format!(
            "A request is a prompt of {} tokens and an answer of {}. ",
            one.request.prompt, one.request.answer
        )
    });
    format!(
        "{request}Rates and joules were measured with {}; a request of another shape is priced at the same cost of a token. Seconds are the \
         machine's, all sequences of a batch sharing them. FLOPs of training include the optimizer's. Training counts once and as recorded: \
         no search for learning rates, no other repeats, no failed trials.{guessed} Prices `{}`.",
        ways.join("; "),
        price.name
    )
}

/// Costs against requests, both axes logarithmic.
fn figure(found: &Comparison, row: &Row, price: &Price, hues: [Hue; 2]) -> Option<Figure> {
    let told = row.verdict.as_ref().ok()?;
    let (from, to) = shown_range(row, told)?;
    let steps = ((to / from).log10() * A_DECADE).round() as i32;
    let line = |side: Side| -> Option<Vec<Point>> {
        let point = |k: i32| {
            let x = from * 10.0_f64.powf(f64::from(k) / A_DECADE);
            Some(Point {
                x,
                y: row.cost(side, x)?,
                interval: None,
                note: String::new(),
            })
        };
        (0..=steps).map(point).collect()
    };
    let mut series = Vec::new();
    for side in [Side::A, Side::B] {
        series.push(Series {
            name: found.cells[side.place()].clone(),
            hue: hues[side.place()],
            mark: Mark::Line,
            points: line(side)?,
        });
    }
    series.extend(crossing(row, told));
    let (quantity, unit) = quantity(row.measure, price);
    Some(Figure {
        title: format!("Cost by requests, {}", row.measure.words()),
        caption: format!(
            "Lower is better. Level where training is what costs, rising where requests are; the grey points are the break-even and the \
             ends of its interval: {}.",
            verdict(told, &found.cells)
        ),
        chart: Chart::Scatter(Scatter {
            x: Axis::log("requests", Quantity::Count),
            y: Axis::log(&unit, quantity),
            series,
            rules: Vec::new(),
        }),
    })
}

/// Where they break even, with the ends that are known.
fn crossing(row: &Row, told: &Verdict) -> Option<Series> {
    let (at, ends) = match *told {
        Verdict::BreakEven { at, low, high, .. } => (at, [Some(low), high]),
        Verdict::CannotTell { at, .. } | Verdict::Unsure { at, .. } => (at?, [None, None]),
        Verdict::Dominates { .. } | Verdict::Same => return None,
    };
    let y = row.cost(Side::A, at)?;
    let point = |x: f64, note: &str| Point {
        x,
        y,
        interval: None,
        note: note.to_owned(),
    };
    let [low, high] = ends.map(|end| end.filter(|x| *x > 0.0));
    let points = [
        low.map(|x| point(x, "at least, at 95%")),
        Some(point(at, "break-even")),
        high.map(|x| point(x, "at most, at 95%")),
    ];
    Some(Series {
        name: "break-even".to_owned(),
        hue: Hue::Neutral,
        mark: Mark::Joined,
        points: points.into_iter().flatten().collect(),
    })
}

/// Requests from the first to the last that is drawn: around where they break even, else around where training is paid back.
fn shown_range(row: &Row, told: &Verdict) -> Option<(f64, f64)> {
    let paid = |side: usize| {
        let (training, request) = (row.training[side].as_ref(), row.request[side].as_ref());
        Some(training.ok()?.value / request.ok()?.value)
    };
    let (mut low, mut high) = (paid(0)?.min(paid(1)?), paid(0)?.max(paid(1)?));
    if let Verdict::BreakEven { at, .. } = told {
        (low, high) = (low.min(*at), high.max(*at));
    }
    let spread = 10.0_f64.powf(DECADES);
    let range = ((low / spread).max(1.0), (high * spread).max(100.0));
    (range.0.is_finite() && range.1.is_finite()).then_some(range)
}

fn quantity(measure: Measure, price: &Price) -> (Quantity, String) {
    match measure {
        Measure::Money => (
            Quantity::Rate,
            format!("training and requests ({})", price.currency),
        ),
        Measure::Seconds => (Quantity::Seconds, "training and requests".to_owned()),
        Measure::Flops => (Quantity::Flops, "training and requests".to_owned()),
        Measure::Joules => (Quantity::Joules, "training and requests".to_owned()),
        Measure::Carbon => (Quantity::Rate, "training and requests (gCO2e)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::lifecycle::Asked;
    use crate::config::Library;
    use crate::record::example::{example, served};
    use crate::report::Style;
    use crate::report::render::text::text;

    fn price() -> Price {
        Library::builtin().price("default").unwrap()
    }

    #[test]
    fn a_page_says_who_costs_less_and_what_is_not_known() {
        let asked = Asked {
            a: Some("modern/w32@800".to_owned()),
            b: Some("gpt2/w32@1600".to_owned()),
            prompt: Some(32),
            answer: Some(33),
        };
        let file = served(example());
        let price = price();
        let found = compared(&file, Some(&price), &asked).unwrap();
        let said = text(&page(&found, &price), Style::plain(400));
        for part in [
            "requests",
            "in money",
            "nats",
            "not told: of training, virtual machine",
            "answers against training",
            "the break-even",
            "Prices `default`",
        ] {
            assert!(said.contains(part), "{part} is not in\n{said}");
        }
        let all = compared(&file, Some(&price), &Asked::default()).unwrap();
        let said = text(&page(&all, &price), Style::plain(400));
        assert!(said.contains("gpt2/w32@") && all.len() == 2, "{said}");
    }

    #[test]
    fn the_report_has_it_where_a_base_and_others_were_served() {
        let (mut file, price) = (served(example()), price());
        let there =
            |file: &crate::record::ResultFile| build(&Findings::at(file, Some(&price))).is_some();
        assert!(there(&file));
        file.run.base = None;
        assert!(!there(&file));
    }
}
