//! IsoFLOP profiles as a plot: loss against size at each budget, the fitted valleys, and the best sizes.

use super::hue::Hues;
use crate::analysis::fit::IsoFlop;
use crate::analysis::fit::isoflop::Profile;
use crate::report::page::{Axis, Chart, Figure, Hue, Mark, Point, Quantity, Scatter, Series};
use crate::unit::Flops;

/// The profiles of a group; nothing where no budget has several sizes.
pub(super) fn figure(found: &IsoFlop, hue: Hues) -> Option<Figure> {
    let color = hue(&found.group);
    let mut series: Vec<Series> = Vec::new();
    for profile in found.profiles.iter().filter(|p| p.sizes.len() > 1) {
        let at = Flops(profile.flops).to_string();
        if !profile.valley.is_empty() {
            series.push(line(
                &format!("{at}, fitted"),
                color,
                Mark::Line,
                &profile.valley,
            ));
        }
        series.push(line(&at, color, Mark::Dots, &profile.sizes));
    }
    if series.is_empty() {
        return None;
    }
    let best: Vec<&Profile> = found
        .profiles
        .iter()
        .filter(|profile| profile.best_params.is_some())
        .collect();
    let points = best
        .iter()
        .filter_map(|p| Some([p.best_params?, p.best_loss?]));
    let points: Vec<[f64; 2]> = points.collect();
    if points.len() > 1 {
        series.push(line(
            "best size at each budget",
            Hue::Neutral,
            Mark::Joined,
            &points,
        ));
    }
    let of = if found.group.is_empty() {
        String::new()
    } else {
        format!(", {}", found.group)
    };
    Some(Figure {
        title: format!("IsoFLOP profiles{of}"),
        caption: "Each valley is one budget of compute, spent on models of different sizes: to the left too small a model on too \
                  many tokens, to the right the reverse. Signs are means over repeats, lines the fitted curves; the grey line \
                  joins the lowest points. Budgets rise from the top down."
            .to_owned(),
        chart: Chart::Scatter(Scatter {
            x: Axis::log("parameters", Quantity::Count),
            y: Axis::linear("validation loss (nats per token)", Quantity::Nats),
            series,
            rules: Vec::new(),
        }),
    })
}

fn line(name: &str, hue: Hue, mark: Mark, places: &[[f64; 2]]) -> Series {
    let point = |[x, y]: &[f64; 2]| Point {
        x: *x,
        y: *y,
        interval: None,
        note: String::new(),
    };
    Series {
        name: name.to_owned(),
        hue,
        mark,
        points: places.iter().map(point).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fit::Point as Run;
    use crate::analysis::fit::isoflop::profiles;

    /// Runs whose best size grows as the square root of compute.
    #[test]
    fn every_budget_is_a_valley_with_its_lowest_point() {
        let run = |budget: i32, step: i32| {
            let (flops, best) = (1e15 * 4f64.powi(budget), 1e6 * 2f64.powi(budget));
            let params = best * 2f64.powi(step);
            let off = f64::from(step) * 2f64.ln();
            let loss = 3.0 - 0.2 * f64::from(budget) + 0.02 * off * off;
            Run {
                params: Some(params),
                ..Run::new("gpt2".to_owned(), flops, loss)
            }
        };
        let runs: Vec<Run> = (0..3)
            .flat_map(|budget| (-3..=3).map(move |step| run(budget, step)))
            .collect();
        let found = profiles(&runs).unwrap();
        let Chart::Scatter(plot) = figure(&found, &|_| Hue::Neutral).unwrap().chart else {
            panic!()
        };
        let marks: Vec<(Mark, usize)> = plot
            .series
            .iter()
            .map(|s| (s.mark, s.points.len()))
            .collect();
        assert_eq!(
            marks.iter().filter(|(mark, _)| *mark == Mark::Line).count(),
            3
        );
        assert_eq!(marks.last(), Some(&(Mark::Joined, 3)));
        let best = &plot.series[6].points;
        assert!((best[1].x / 2e6 - 1.0).abs() < 0.02, "{best:?}");
    }
}
