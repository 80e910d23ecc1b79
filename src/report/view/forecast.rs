//! What each variant's cheaper runs foretold of its dearest, what came, and how often the intervals held.

use crate::analysis::forecast::{Calibration, Forecast, LEVELS, Off, Untold};
use crate::analysis::study::Study;
use crate::report::page::{Block, Page, Table};
use crate::stat::Interval;
use crate::unit::{Flops, Nats};

/// One kind of data's forecasts, from one file.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Foretold {
    /// The file.
    pub file: String,
    /// What the data are.
    pub data: String,
    /// The variant that the others are held against.
    pub base: String,
    /// What was foretold, and what came.
    pub forecasts: Vec<Forecast>,
    /// Variants of which nothing could be.
    pub untold: Vec<Untold>,
}

/// A file of which nothing could be foretold, and why.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Skipped {
    /// The file.
    pub file: String,
    /// Why, without a full stop.
    pub reason: String,
}

/// What `effbench gain --forecast` says.
pub fn page(all: &[Foretold], skipped: &[Skipped]) -> Page {
    let of_all = || all.iter().flat_map(|one| &one.forecasts);
    let mut blocks = match Calibration::of(of_all()) {
        Some(found) => vec![Block::Lead(sentence(&found)), Block::Text(trust(&found))],
        None => vec![Block::Lead(
            "Nothing can be forecast: no variant ran at three budgets as far as its base did."
                .to_owned(),
        )],
    };
    for one in all.iter().filter(|one| !one.forecasts.is_empty()) {
        let Foretold {
            file, data, base, ..
        } = one;
        if blocks.len() == 2 {
            blocks.push(Block::Text(format!("{COLUMNS}.")));
        }
        blocks.push(Block::Heading(format!("{file}: {data}, over {base}")));
        blocks.push(Block::Table(table(&one.forecasts)));
    }
    let untold = all.iter().flat_map(|one| {
        let said = |untold: &Untold| format!("{}: {}: {}", one.file, untold.variant, untold.reason);
        one.untold.iter().map(said)
    });
    let skipped = skipped
        .iter()
        .map(|skipped| format!("{}: {}", skipped.file, skipped.reason));
    let items: Vec<String> = untold.chain(skipped).collect();
    if !items.is_empty() {
        let head = "No forecast of:".to_owned();
        blocks.push(Block::List { head, items });
    }
    Page::answer(
        "What cheap runs forecast of expensive ones",
        Vec::new(),
        blocks,
    )
}

/// The same within a page on one study.
pub(super) fn of_study(study: &Study) -> Vec<Block> {
    let Some(found) = Calibration::of(study.forecasts.iter()) else {
        return Vec::new();
    };
    vec![
        Block::Text(sentence(&found)),
        Block::Details(
            format!(
                "What each variant's cheaper runs forecast of its largest, and what was measured. {COLUMNS}"
            ),
            table(&study.forecasts),
        ),
    ]
}

/// What stands in each column of the table.
const COLUMNS: &str = "A gap is the base's loss less the variant's at equal FLOPs, in nats: above 0 the variant is ahead. Read up to: \
                       model FLOPs of the variant's largest run that was looked at; gap there: at that run; forecast for: its largest \
                       run of all; forecast gap, with its 80% and 95% intervals: a line through the cheaper runs drawn to there; \
                       measured gap: what came of it; repeats: of that; held by: the intervals that it lies in";

/// `+0.33`: which side a gap is on must not be looked for.
fn signed(nats: f64) -> String {
    let said = Nats(nats).to_string();
    match nats > 0.0 {
        true => format!("+{said}"),
        false => said,
    }
}

/// How many outcomes the intervals held.
fn sentence(found: &Calibration) -> String {
    let Calibration {
        forecasts,
        held,
        shares,
        rms_nats,
        rms_unchanged_nats,
        ..
    } = found;
    let whose = match forecasts {
        1 => "For one variant the gap".to_owned(),
        n => format!("For {n} variants the gap"),
    };
    let of = |k: usize| {
        let (share, level) = (range(&shares[k]), percent(LEVELS[k]));
        format!(
            "{} lie within the {level} interval (a share of {share})",
            held[k]
        )
    };
    format!(
        "{whose} to the base at their largest budget was forecast from their cheaper runs alone, and then held against what was \
         measured: {}, {}. Forecasts were off by {} nats (root mean square); assuming an unchanged gap, by {}.",
        of(1),
        of(0),
        Nats(*rms_nats),
        Nats(*rms_unchanged_nats)
    )
}

/// `95%`.
fn percent(share: f64) -> String {
    format!("{:.0}%", 100.0 * share)
}

/// `79% to 99%`.
fn range(share: &Interval) -> String {
    format!("{} to {}", percent(share.low), percent(share.high))
}

/// What the calibration is worth, and what it says of the intervals.
fn trust(found: &Calibration) -> String {
    let off: Vec<String> = found
        .off()
        .into_iter()
        .zip(LEVELS)
        .filter_map(|(off, level)| {
            let what = match off? {
                Off::Short => "holds fewer outcomes than it promises: a straight line is not what gaps follow here",
                Off::Over => "holds more outcomes than it promises: it is wider than it need be",
            };
            Some(format!("The {} interval {what}.", percent(level)))
        })
        .collect();
    let off = if off.is_empty() {
        "That they hold more or fewer than they promise cannot be told from so few.".to_owned()
    } else {
        off.join(" ")
    };
    format!(
        "{off} The intervals promise an error of {} nats. A forecast is a straight line over the logarithm of compute; its interval \
         holds seed noise and what repeats share, and no bend. The shares' ends are exact (Clopper and Pearson 1934), as if \
         forecasts over one base were independent.",
        Nats(found.rms_promised_nats)
    )
}

fn table(forecasts: &[Forecast]) -> Table {
    let mut table = Table::new([
        "variant",
        "read up to",
        "gap there (nats)",
        "forecast for",
        "forecast gap (nats)",
        "80%",
        "95%",
        "measured gap (nats)",
        "repeats",
        "held by",
    ]);
    for one in forecasts {
        let ends = |k: usize| {
            let interval = &one.intervals[k];
            format!("{} to {}", signed(interval.low), signed(interval.high))
        };
        let held = match one.held() {
            [true, _] => "both",
            [false, true] => "95%",
            [false, false] => "neither",
        };
        let scale = one.scale.as_ref().map(|scale| format!("/{scale}"));
        table.row([
            format!("{}{}", one.variant, scale.unwrap_or_default()),
            Flops(one.from_flops).to_string(),
            signed(one.last_nats),
            Flops(one.at_flops).to_string(),
            signed(one.predicted_nats),
            ends(0),
            ends(1),
            signed(one.outcome_nats),
            one.n.to_string(),
            held.to_owned(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every column is explained in the line above the table, units stand in the heads, and signs before the figures.
    #[test]
    fn every_column_is_explained_and_every_gap_has_its_sign() {
        let interval = |low, high| Interval {
            low,
            high,
            level: 0.95,
        };
        let one = Forecast {
            variant: "llama".to_owned(),
            scale: None,
            levels: 2,
            from_flops: 8e10,
            at_flops: 1.6e11,
            predicted_nats: 0.066,
            intervals: [interval(-0.038, 0.17), interval(-0.11, 0.24)],
            last_nats: 0.089,
            outcome_nats: -0.012,
            n: 4,
        };
        let table = table(&[one]);
        let explained = COLUMNS.to_lowercase();
        for column in &table.columns[1..] {
            let name = column.trim_end_matches(" (nats)");
            assert!(explained.contains(name), "{column}");
        }
        let row = table.rows[0].join("|");
        assert!(
            row.contains("|+0.089|") && row.contains("|+0.066|-0.038 to +0.17|"),
            "{row}"
        );
        assert!(row.contains("|-0.012|"), "{row}");
    }
}
