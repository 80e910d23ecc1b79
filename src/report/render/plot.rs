//! A figure as a scene of kuva, which draws it: axes, ticks, signs and intervals, with colours left to whoever shows it.

use kuva::plot::scatter::MarkerShape;
use kuva::plot::{BarPlot, ForestPlot, LinePlot, ScatterPlot};
use kuva::render::annotations::ReferenceLine;
use kuva::render::layout::{AxisLabelOverlap, ComputedLayout, Layout, TickFormat};
use kuva::render::plots::Plot;
use kuva::render::render::{Scene, render_multiple};
use kuva::render::theme::Theme;

use crate::report::page::figure::in_words;
use crate::report::page::{
    Axis, Bar, Chart, Figure, Forest, Hue, Mark, Open, Rule, Scatter, Series,
};

/// What a figure is drawn on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Canvas {
    /// In pixels.
    pub width: f64,
    /// In pixels, for a plot of y against x; rows and bars take as much as they need.
    pub height: f64,
    /// Pixels of one row of a forest or one bar.
    pub row: f64,
    /// Pixels above and below all rows.
    pub edges: (f64, f64),
    /// Rows of space between the last row and the axis: in characters the axis needs a line of its own.
    pub below_last: f64,
    /// Size of all text, in pixels.
    pub font: u32,
    /// Characters of a row's name that there is room for.
    pub name: usize,
    /// Ticks wanted on an axis.
    pub ticks: usize,
    /// Characters of an axis' label that there is room for in a line; 0 for all.
    pub label: usize,
    /// Whether there is room for the figure behind a row's name.
    pub figures: bool,
    /// Whether it is made of pixels, not of characters: then a variant has a sign beside its colour, and there is a grid.
    pub fine: bool,
}

impl Canvas {
    fn paint(&self, hue: Hue) -> String {
        if self.fine { paint(hue) } else { lettered(hue) }
    }
}

/// Colours of a palette that the style sheet defines, as `--hue-0` and so on.
pub const HUES: usize = 7;

/// Signs of the variants; beyond the colours the two together still tell 35 variants apart.
const SIGNS: [MarkerShape; 5] = [
    MarkerShape::Circle,
    MarkerShape::Square,
    MarkerShape::Triangle,
    MarkerShape::Diamond,
    MarkerShape::TriangleDown,
];
/// The same signs as characters, for a legend in text.
const SIGN_CHARS: [char; 5] = ['●', '■', '▲', '◆', '▼'];

/// The sign of a variant's points.
pub fn sign(variant: usize) -> char {
    SIGN_CHARS[variant % SIGN_CHARS.len()]
}

/// What a hue is called where the colour is chosen later.
pub fn paint(hue: Hue) -> String {
    match hue {
        Hue::Variant(place) => format!("var(--hue-{})", place % HUES),
        Hue::Neutral => "var(--dim)".to_owned(),
    }
}

/// What a hue is called where points are letters: there are more letters than colours.
pub fn lettered(hue: Hue) -> String {
    match hue {
        Hue::Variant(place) => format!("letter-{place}"),
        Hue::Neutral => paint(hue),
    }
}

/// Something of a plot that says what it is when it is pointed at.
#[derive(Debug, Clone, PartialEq)]
pub struct Spot {
    /// Pixels from the left.
    pub x: f64,
    /// Pixels from the top.
    pub y: f64,
    /// What it is.
    pub says: String,
}

/// A plot as it is drawn, and what its parts say.
pub struct Drawn {
    /// The picture; text in it is not yet escaped.
    pub scene: Scene,
    /// What its points are, not yet escaped either.
    pub spots: Vec<Spot>,
}

impl Drawn {
    /// Draws; `spots` are values with what they are.
    fn new(plots: Vec<Plot>, layout: Layout, spots: Vec<(f64, f64, String)>) -> Self {
        let places = ComputedLayout::from_layout(&layout);
        let spot = |(x, y, says): (f64, f64, String)| Spot {
            x: places.map_x(x),
            y: places.map_y(y),
            says,
        };
        Self {
            spots: spots.into_iter().map(spot).collect(),
            scene: render_multiple(plots, layout),
        }
    }
}

/// Draws a figure.
pub fn draw(figure: &Figure, canvas: &Canvas) -> Drawn {
    match &figure.chart {
        Chart::Scatter(chart) => scatter(chart, canvas),
        Chart::Forest(chart) => forest(chart, canvas),
        Chart::Bars { x, bars } => bars_scene(x, bars, canvas),
    }
}

/// `modern, mean: 800 GFLOP, 2.685 (2.67 to 2.70), n = 4`.
fn says(name: &str, figures: &[String], [low, high]: [String; 2], note: &str) -> String {
    let range = match (low.as_str(), high.as_str()) {
        ("", "") => None,
        (low, "") => Some(format!(" ({low} or more)")),
        ("", high) => Some(format!(" ({high} or less)")),
        (low, high) => Some(format!(" ({low} to {high})")),
    };
    let note = if note.is_empty() {
        String::new()
    } else {
        format!("; {note}")
    };
    format!(
        "{name}: {}{}{note}",
        figures.join(", "),
        range.unwrap_or_default()
    )
}

fn scatter(chart: &Scatter, canvas: &Canvas) -> Drawn {
    let plots: Vec<Plot> = chart
        .series
        .iter()
        .flat_map(|series| series_plots(series, chart, canvas))
        .collect();
    let points = || chart.series.iter().flat_map(|series| &series.points);
    let across = range(&chart.x, points().map(|point| point.x), None);
    let ends = points()
        .flat_map(|p| [Some(p.y), p.interval.map(|i| i.0), p.interval.map(|i| i.1)])
        .flatten();
    let up = range(
        &chart.y,
        ends.chain(chart.rules.iter().map(|rule| rule.at)),
        None,
    );
    let mut layout = frame(Layout::auto_from_plots(&plots), &chart.x, across, canvas)
        .with_height(canvas.height)
        .with_y_axis_min(up.0)
        .with_y_axis_max(up.1)
        .with_y_tick_format(ticks(&chart.y));
    if canvas.fine {
        layout = layout.with_y_label(literal(&chart.y.label));
    }
    if chart.y.log {
        layout = layout.with_log_y();
    }
    let layout = chart.rules.iter().fold(layout, |layout, rule| {
        layout.with_reference_line(level(rule))
    });
    let (x, y) = (chart.x.quantity, chart.y.quantity);
    let signed = chart
        .series
        .iter()
        .filter(|series| matches!(series.mark, Mark::Dots | Mark::Joined));
    let spots = signed.flat_map(|series| series.points.iter().map(move |point| (series, point)));
    let spots = spots
        .filter(|(_, point)| chart.x.holds(point.x) && chart.y.holds(point.y))
        .map(|(series, point)| {
            let ends = in_words(point.interval, y);
            let figures = [x.cell(point.x), y.cell(point.y)];
            let text = says(&series.name, &figures, ends, &point.note);
            (point.x, point.y, text)
        });
    Drawn::new(plots, layout, spots.collect())
}

fn level(rule: &Rule) -> ReferenceLine {
    ReferenceLine::horizontal(rule.at)
        .with_color("var(--dim)")
        .with_label(literal(&rule.label))
        .with_dasharray("2 3")
}

fn series_plots(series: &Series, chart: &Scatter, canvas: &Canvas) -> Vec<Plot> {
    let points: Vec<_> = series
        .points
        .iter()
        .filter(|p| chart.x.holds(p.x) && chart.y.holds(p.y))
        .collect();
    let data = || points.iter().map(|p| (p.x, p.y));
    let color = canvas.paint(series.hue);
    let line = || {
        LinePlot::new()
            .with_data(data())
            .with_color(color.as_str())
            .with_stroke_width(1.8)
    };
    let band: Option<Vec<(f64, f64)>> = points.iter().map(|p| p.interval).collect();
    let errors = points.iter().map(|p| {
        p.interval
            .map_or((0.0, 0.0), |(low, high)| (p.y - low, high - p.y))
    });
    let dots = || {
        ScatterPlot::new()
            .with_data(data())
            .with_color(color.as_str())
            .with_marker(marker(series.hue, canvas))
    };
    let with_errors = |dots: ScatterPlot| match points.iter().any(|p| p.interval.is_some()) {
        true => dots.with_y_err_asymmetric(errors.clone()),
        false => dots,
    };
    match series.mark {
        Mark::Faint if !canvas.fine => vec![dots().with_color(paint(Hue::Neutral)).into()],
        Mark::Line if !canvas.fine => vec![dots().into()],
        Mark::Faint => vec![dots().with_size(2.0).with_marker_opacity(0.35).into()],
        Mark::Dots => vec![with_errors(dots().with_size(4.5)).into()],
        Mark::Joined => vec![line().into(), with_errors(dots().with_size(4.5)).into()],
        Mark::Line => vec![match band {
            Some(band) if !band.is_empty() => broken(line(), series.hue)
                .with_band(band.iter().map(|b| b.0), band.iter().map(|b| b.1))
                .into(),
            _ => broken(line(), series.hue).into(),
        }],
        Mark::Dashed => vec![
            line()
                .with_step()
                .with_stroke_width(1.2)
                .with_dashed()
                .into(),
        ],
    }
}

/// A line has no sign; where colours begin again it is broken instead.
fn broken(line: LinePlot, hue: Hue) -> LinePlot {
    match hue {
        Hue::Variant(place) if place / HUES == 1 => line.with_dashed(),
        Hue::Variant(place) if place / HUES > 1 => line.with_dotted(),
        _ => line,
    }
}

fn marker(hue: Hue, canvas: &Canvas) -> MarkerShape {
    match hue {
        Hue::Variant(place) if canvas.fine => SIGNS[place % SIGNS.len()],
        _ => MarkerShape::Circle,
    }
}

fn forest(chart: &Forest, canvas: &Canvas) -> Drawn {
    let ends = chart.rows.iter().flat_map(|row| {
        let (low, high) = row.interval.unwrap_or((row.value, row.value));
        [row.value, low, high]
    });
    let across = range(&chart.x, ends.chain(chart.null), None);
    let plot = chart.rows.iter().fold(
        ForestPlot::new()
            .with_marker_size(5.0)
            .with_whisker_width(2.0),
        |plot, row| {
            let (low, high) = row.interval.unwrap_or((row.value, row.value));
            // What nothing bounds goes on to the frame.
            let (mut low, mut high) = (low.max(across.0), high.min(across.1));
            match row.open {
                Open::No => {}
                Open::Above => high = across.1,
                Open::Below => low = across.0,
            }
            let figure = if canvas.figures {
                format!(": {}", row.figure(chart.x.quantity))
            } else {
                String::new()
            };
            plot.with_colored_row(
                name(&row.name, canvas) + &literal(&figure),
                row.value,
                low,
                high,
                canvas.paint(row.hue),
            )
        },
    );
    let plot = match chart.null {
        Some(null) => plot.with_null_value(null),
        None => plot.with_show_null_line(false),
    };
    let plots = vec![Plot::Forest(plot)];
    let names = chart.rows.iter().map(|row| {
        let figure = row.figure(chart.x.quantity);
        name(&row.name, canvas).chars().count() + figure.chars().count() + 2
    });
    let layout = rows(
        frame(Layout::auto_from_plots(&plots), &chart.x, across, canvas),
        names.collect(),
        canvas,
    );
    let quantity = chart.x.quantity;
    let count = chart.rows.len();
    let spots = chart.rows.iter().enumerate().map(|(k, row)| {
        let ends = in_words(row.interval, quantity);
        let text = says(&row.name, &[row.figure(quantity)], ends, &row.note);
        (row.value, (count - k) as f64, text)
    });
    Drawn::new(plots, layout, spots.collect())
}

fn bars_scene(x: &Axis, bars: &[Bar], canvas: &Canvas) -> Drawn {
    let ends = bars
        .iter()
        .flat_map(|bar| [bar.value, bar.interval.map_or(bar.value, |(_, high)| high)]);
    let across = range(x, ends, Some(0.0));
    // kuva draws the first bar lowest.
    let plot = bars.iter().rev().fold(
        BarPlot::new().with_horizontal(true).with_width(0.7),
        |plot, bar| {
            let color = match (bar.estimated, bar.hue) {
                (true, Hue::Variant(place)) => format!("url(#hatch-{})", place % HUES),
                (_, hue) => canvas.paint(hue),
            };
            plot.with_colored_bar(name(&bar.name, canvas), bar.value, color)
        },
    );
    let errors = |bar: &Bar| {
        bar.interval.map_or((0.0, 0.0), |(low, high)| {
            (bar.value - low, high - bar.value)
        })
    };
    let plot = plot
        .with_asymmetric_error(bars.iter().rev().map(errors))
        .with_error_color("var(--ink)");
    let plots = vec![Plot::Bar(plot)];
    let names = bars
        .iter()
        .map(|bar| name(&bar.name, canvas).chars().count());
    let layout = rows(
        frame(Layout::auto_from_plots(&plots), x, across, canvas),
        names.collect(),
        canvas,
    );
    let spots = bars.iter().rev().enumerate().map(|(k, bar)| {
        let quantity = x.quantity;
        let ends = in_words(bar.interval, quantity);
        let text = says(&bar.name, &[quantity.cell(bar.value)], ends, &bar.note);
        (bar.value, (k + 1) as f64, text)
    });
    Drawn::new(plots, layout, spots.collect())
}

/// What all plots share.
fn frame(layout: Layout, x: &Axis, across: (f64, f64), canvas: &Canvas) -> Layout {
    let color = |name: &str| format!("var(--{name})");
    let theme = Theme {
        background: "none".to_owned(),
        axis_color: color("axis"),
        grid_color: color("grid"),
        tick_color: color("axis"),
        text_color: "currentColor".to_owned(),
        font_family: Some("inherit".to_owned()),
        ..Theme::light()
    };
    let layout = layout
        .with_x_label_wrap(canvas.label)
        .with_width(canvas.width)
        .with_theme(theme)
        .with_label_size(canvas.font)
        .with_tick_size(canvas.font)
        .with_body_size(canvas.font)
        .with_ticks(canvas.ticks)
        .with_show_grid(canvas.fine)
        .with_x_label(literal(&x.label))
        .with_x_label_overlap(AxisLabelOverlap::Thin)
        .with_x_tick_format(ticks(x))
        .with_x_axis_min(across.0)
        .with_x_axis_max(across.1);
    let mut layout = if x.log { layout.with_log_x() } else { layout };
    // kuva keeps no room for the half of a logarithmic axis' last label that lies beyond the axis.
    layout.horizon_right_annot_px =
        0.3 * f64::from(canvas.font) * x.quantity.tick(across.1).chars().count() as f64;
    layout
}

/// As high as its rows, whose names take so many characters each.
fn rows(mut layout: Layout, names: Vec<usize>, canvas: &Canvas) -> Layout {
    let (above, below) = canvas.edges;
    let count = names.len();
    if !canvas.fine {
        // kuva measures a name as if its letters were narrow, and a character of a terminal is as wide as all others.
        let widest = names.into_iter().max().unwrap_or(0).min(canvas.name + 12);
        layout.force_margin_left = Some((widest + 3) as f64 * canvas.row / 2.0);
    }
    layout
        .with_height((count as f64 + canvas.below_last) * canvas.row + above + below)
        .with_force_margins_y(above, below)
        .with_y_axis_min(0.5 - canvas.below_last)
        .with_y_axis_max(count as f64 + 0.5)
}

fn ticks(axis: &Axis) -> TickFormat {
    let quantity = axis.quantity;
    TickFormat::Custom(std::sync::Arc::new(move |value| quantity.tick(value)))
}

/// The range that an axis shows: all values and `origin`, and on a logarithmic axis enough beyond them that at least two ticks
/// lie in it.
pub(super) fn range(
    axis: &Axis,
    values: impl Iterator<Item = f64>,
    origin: Option<f64>,
) -> (f64, f64) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.chain(origin).filter(|value| axis.holds(*value)) {
        (low, high) = (low.min(value), high.max(value));
    }
    if low > high {
        return if axis.log { (1.0, 10.0) } else { (0.0, 1.0) };
    }
    if axis.log {
        return around_two_ticks(0.93 * low, 1.07 * high);
    }
    let pad = if high > low {
        0.06 * (high - low)
    } else {
        0.1 * high.abs().max(1e-9)
    };
    (
        if origin == Some(low) { low } else { low - pad },
        high + pad,
    )
}

/// The range, drawn out to the nearest 1, 2 or 5 on either side until two of those lie in it.
fn around_two_ticks(mut low: f64, mut high: f64) -> (f64, f64) {
    for _ in 0..2 {
        let (first, last) = (round_125(low, true), round_125(high, false));
        if first < last {
            break;
        }
        let (below, above) = (round_125(0.999 * low, false), round_125(1.001 * high, true));
        if low / below < above / high {
            low = below;
        } else {
            high = above;
        }
    }
    (low, high)
}

/// The nearest 1, 2 or 5 times a power of ten above or below.
fn round_125(value: f64, up: bool) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade);
    let found = if up {
        steps.iter().find(|s| **s >= value)
    } else {
        steps.iter().rev().find(|s| **s <= value)
    };
    found.copied().unwrap_or(value)
}

/// A row's name, cut to the room there is: in the middle, since names of one plot differ at their ends.
fn name(text: &str, canvas: &Canvas) -> String {
    let letters: Vec<char> = text.chars().collect();
    let room = canvas.name.saturating_sub(1);
    if letters.len() <= canvas.name {
        return literal(text);
    }
    let first = room / 3;
    let (begin, end) = (
        &letters[..first],
        &letters[letters.len() - (room - first)..],
    );
    let cut: String = begin.iter().chain(&['…']).chain(end).collect();
    literal(&cut)
}

/// Text that kuva must not read as mathematics between dollars.
fn literal(text: &str) -> String {
    text.replace('$', "\\$")
}
