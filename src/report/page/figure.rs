//! A plot as data: the picture, the characters and the table of its data are all made from it.

use serde::Serialize;

use super::quantity::Quantity;
use super::table::Table;

/// A plot with what to see in it.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// What it shows, in a few words, for those who cannot see it.
    pub title: String,
    /// What to see in it.
    pub caption: String,
    /// The data.
    pub chart: Chart,
}

/// The kinds of plot.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Chart {
    /// y against x.
    Scatter(Scatter),
    /// Estimates with their intervals, a row each.
    Forest(Forest),
    /// Amounts from zero, a bar each.
    Bars {
        /// Along the bars.
        x: Axis,
        /// From the top down.
        bars: Vec<Bar>,
    },
}

/// What lies along an axis.
#[derive(Debug, Clone, Serialize)]
pub struct Axis {
    /// With the unit where ticks do not show it.
    pub label: String,
    /// What is counted.
    pub quantity: Quantity,
    /// Whether equal ratios are equally far apart.
    pub log: bool,
}

impl Axis {
    /// Equal differences are equally far apart.
    pub fn linear(label: &str, quantity: Quantity) -> Self {
        Self {
            label: label.to_owned(),
            quantity,
            log: false,
        }
    }

    /// Equal ratios are equally far apart.
    pub fn log(label: &str, quantity: Quantity) -> Self {
        Self {
            label: label.to_owned(),
            quantity,
            log: true,
        }
    }

    /// Whether a value has a place on this axis.
    pub fn holds(&self, value: f64) -> bool {
        value.is_finite() && (!self.log || value > 0.0)
    }
}

/// Which colour, sign and letter: the same for a variant throughout a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hue {
    /// The variant's place in the report.
    Variant(usize),
    /// Grey: of no variant.
    Neutral,
}

/// y against x.
#[derive(Debug, Clone, Serialize)]
pub struct Scatter {
    /// Across.
    pub x: Axis,
    /// Up.
    pub y: Axis,
    /// Drawn in this order.
    pub series: Vec<Series>,
    /// Levels.
    pub rules: Vec<Rule>,
}

/// Points that belong together.
#[derive(Debug, Clone, Serialize)]
pub struct Series {
    /// As in the table.
    pub name: String,
    /// Whose they are.
    pub hue: Hue,
    /// How they are drawn.
    pub mark: Mark,
    /// In the order drawn.
    pub points: Vec<Point>,
}

/// How points are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Small and pale: single trials behind their mean.
    Faint,
    /// A sign each, with its interval.
    Dots,
    /// Signs joined by a line.
    Joined,
    /// A line with the intervals as a band.
    Line,
    /// A broken line.
    Dashed,
}

/// One point.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// Across.
    pub x: f64,
    /// Up.
    pub y: f64,
    /// Lower and upper end in y.
    pub interval: Option<(f64, f64)>,
    /// What the table says of it: a cell's name.
    pub note: String,
}

/// A level across the plot.
#[derive(Debug, Clone, Serialize)]
pub struct Rule {
    /// Where on y.
    pub at: f64,
    /// What it is.
    pub label: String,
}

/// Estimates with their intervals.
#[derive(Debug, Clone, Serialize)]
pub struct Forest {
    /// Across.
    pub x: Axis,
    /// Where there is no effect.
    pub null: Option<f64>,
    /// From the top down.
    pub rows: Vec<Row>,
}

/// One estimate.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What was estimated.
    pub name: String,
    /// Whose it is.
    pub hue: Hue,
    /// The estimate, or the bound where it is open.
    pub value: f64,
    /// Its interval; an end that nothing bounds is infinite, or 0 on a logarithmic axis.
    pub interval: Option<(f64, f64)>,
    /// Whether only a bound is known.
    pub open: Open,
    /// What the table says of it: `n = 4`.
    pub note: String,
}

/// Whether an estimate is only a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Open {
    /// It is an estimate.
    No,
    /// The truth is above.
    Above,
    /// The truth is below.
    Below,
}

/// One amount.
#[derive(Debug, Clone, Serialize)]
pub struct Bar {
    /// What was counted.
    pub name: String,
    /// Whose it is.
    pub hue: Hue,
    /// How much.
    pub value: f64,
    /// Its range.
    pub interval: Option<(f64, f64)>,
    /// An estimate, which is hatched and never added to what was measured.
    pub estimated: bool,
    /// What the table says of it.
    pub note: String,
}

impl Figure {
    /// Its title as the name of a file: letters and digits, lower case, with a dash for all else.
    pub fn slug(&self) -> String {
        let letters = self.title.to_lowercase();
        let words = letters.split(|c: char| !c.is_ascii_alphanumeric());
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        match words.is_empty() {
            true => "plot".to_owned(),
            false => words.join("-"),
        }
    }

    /// The data of the plot, as a table.
    pub fn table(&self) -> Table {
        match &self.chart {
            Chart::Scatter(scatter) => scatter.table(),
            Chart::Forest(forest) => forest.table(),
            Chart::Bars { x, bars } => bar_table(x, bars),
        }
    }

    /// The variants that have something in it, in the order of the report.
    pub fn variants(&self) -> Vec<usize> {
        let hues: Vec<Hue> = match &self.chart {
            Chart::Scatter(scatter) => scatter.series.iter().map(|s| s.hue).collect(),
            Chart::Forest(forest) => forest.rows.iter().map(|row| row.hue).collect(),
            Chart::Bars { bars, .. } => bars.iter().map(|bar| bar.hue).collect(),
        };
        let mut variants: Vec<usize> = hues
            .into_iter()
            .filter_map(|hue| {
                if let Hue::Variant(place) = hue {
                    Some(place)
                } else {
                    None
                }
            })
            .collect();
        variants.sort_unstable();
        variants.dedup();
        variants
    }
}

impl Scatter {
    fn table(&self) -> Table {
        let mut table = Table::new(["series", "", "", "low", "high", "of"]);
        table.columns[1].clone_from(&self.x.label);
        table.columns[2].clone_from(&self.y.label);
        for series in self
            .series
            .iter()
            .filter(|series| series.mark != Mark::Dashed)
        {
            table.rows.extend(series.points.iter().map(|point| {
                let [low, high] = in_words(point.interval, self.y.quantity);
                let (x, y) = (self.x.quantity.cell(point.x), self.y.quantity.cell(point.y));
                vec![series.name.clone(), x, y, low, high, point.note.clone()]
            }));
        }
        for rule in &self.rules {
            let y = self.y.quantity.cell(rule.at);
            table.rows.push(vec![
                rule.label.clone(),
                String::new(),
                y,
                String::new(),
                String::new(),
                String::new(),
            ]);
        }
        table.without_empty_columns()
    }
}

impl Forest {
    fn table(&self) -> Table {
        let mut table = Table::new(["", "", "low", "high", "of"]);
        table.columns[1].clone_from(&self.x.label);
        table.rows.extend(self.rows.iter().map(|row| {
            let [low, high] = in_words(row.interval, self.x.quantity);
            vec![
                row.name.clone(),
                row.figure(self.x.quantity),
                low,
                high,
                row.note.clone(),
            ]
        }));
        table.without_empty_columns()
    }
}

impl Row {
    /// `1.82`, `more than 1.82`.
    pub fn figure(&self, quantity: Quantity) -> String {
        let bound = match self.open {
            Open::No => "",
            Open::Above => "more than ",
            Open::Below => "less than ",
        };
        format!("{bound}{}", quantity.cell(self.value))
    }
}

fn bar_table(x: &Axis, bars: &[Bar]) -> Table {
    let mut table = Table::new(["", "", "low", "high", "how", "of"]);
    table.columns[1].clone_from(&x.label);
    table.rows.extend(bars.iter().map(|bar| {
        let [low, high] = in_words(bar.interval, x.quantity);
        let how = if bar.estimated {
            "estimated"
        } else {
            "measured"
        }
        .to_owned();
        vec![
            bar.name.clone(),
            x.quantity.cell(bar.value),
            low,
            high,
            how,
            bar.note.clone(),
        ]
    }));
    table.without_empty_columns()
}

/// Both ends in words; one that nothing bounds is left out.
pub(in crate::report) fn in_words(interval: Option<(f64, f64)>, quantity: Quantity) -> [String; 2] {
    let said = |end: f64| {
        if end.is_finite() {
            quantity.cell(end)
        } else {
            String::new()
        }
    };
    interval
        .map(|(low, high)| [said(low), said(high)])
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forest_tells_bounds_from_estimates() {
        let row = |name: &str, open, interval| Row {
            name: name.to_owned(),
            hue: Hue::Variant(1),
            value: 2.0,
            interval,
            open,
            note: "n = 4".to_owned(),
        };
        let rows = vec![
            row("flops", Open::No, Some((1.5, 2.5))),
            row("steps", Open::Above, None),
        ];
        let forest = Forest {
            x: Axis::log("gain", Quantity::Times),
            null: Some(1.0),
            rows,
        };
        let figure = Figure {
            title: String::new(),
            caption: String::new(),
            chart: Chart::Forest(forest),
        };
        let table = figure.table();
        assert_eq!(table.columns, ["", "gain", "low", "high", "of"]);
        assert_eq!(table.rows[0], ["flops", "2.0", "1.50", "2.5", "n = 4"]);
        assert_eq!(table.rows[1], ["steps", "more than 2.0", "", "", "n = 4"]);
        assert_eq!(figure.variants(), [1]);
    }

    #[test]
    fn a_logarithmic_axis_holds_what_is_above_zero() {
        let (linear, log) = (
            Axis::linear("", Quantity::Nats),
            Axis::log("", Quantity::Nats),
        );
        for (value, on_linear, on_log) in [
            (1.0, true, true),
            (0.0, true, false),
            (f64::NAN, false, false),
        ] {
            assert_eq!((linear.holds(value), log.holds(value)), (on_linear, on_log));
        }
    }
}
