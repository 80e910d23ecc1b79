//! Decoding with tokens guessed ahead (`infer.draft`) beside decoding without: a sentence, a plot and a table.

use super::hue::hue;
use crate::analysis::drafted::{Guessed, guessed};
use crate::analysis::findings::Findings;
use crate::report::page::{Axis, Block, Chart, Figure, Forest, Open, Quantity, Row, Table};
use crate::stat::Estimate;
use crate::unit::{Bytes, Flops, Seconds, Share, Times};

/// A section of the report.
pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let all: Vec<Guessed> = findings.cells.iter().filter_map(guessed).collect();
    let mut table = Table::new([
        "cell",
        "guessed by",
        "guesses at most",
        "taken",
        "tokens/judging pass",
        "passes feeding again",
        "plain tok/s",
        "drafted tok/s",
        "speed-up",
        "as plain",
        "plain FLOPs/token",
        "drafted FLOPs/token",
        "draft's FLOPs/token",
        "draft's memory",
        "draft reads a prompt",
        "plain J/token",
        "drafted J/token",
        "prompts",
        "models",
        "n",
    ]);
    table.rows.extend(all.iter().map(row));
    let mut blocks = vec![Block::Lead(told(&all)?)];
    blocks.extend(plot(findings, &all).map(Block::Plot));
    blocks.push(Block::Table(table.without_empty_columns()));
    if all.len() > 1 {
        let head = "Each cell:".to_owned();
        let items = all.iter().map(sentence).collect();
        blocks.push(Block::List { head, items });
    }
    blocks.push(Block::Text(NOTE.to_owned()));
    Some(blocks)
}

const NOTE: &str = "Guesses are judged by the model in one pass and taken with the probability that leaves its distribution as it is \
    (Leviathan et al. 2023); at temperature 0 the tokens are those of plain decoding, but where rounding decides between two that are \
    equally likely. The speed-up is all seconds of plain decoding over all seconds with guesses, of the tokens behind the first; \
    reading the prompt is in neither. Intervals are 95% over prompts, and over trained models too where there are several: models that \
    differ are not made sure by more prompts. A figure that is the same behind every prompt, or lies at its bound, has no spread to \
    make one of. FLOPs count what is guessed and thrown away; n counts trials.";

/// What a run's closing page says of them.
pub(super) fn lead(findings: &Findings) -> Option<Block> {
    let all: Vec<Guessed> = findings.cells.iter().filter_map(guessed).collect();
    told(&all).map(Block::Lead)
}

/// Of several cells the one that gains most, and how many there are.
fn told(all: &[Guessed]) -> Option<String> {
    let gain = |one: &Guessed| one.speedup.map_or(f64::NEG_INFINITY, |found| found.value);
    let best = all.iter().max_by(|a, b| gain(a).total_cmp(&gain(b)))?;
    let said = sentence(best);
    if all.len() < 2 {
        return Some(said);
    }
    let slower = |one: &&Guessed| one.speedup.is_some_and(|found| found.value < 1.0);
    let slower = match all.iter().filter(slower).count() {
        0 => String::new(),
        1 => "; 1 is slower than plain decoding".to_owned(),
        n => format!("; {n} are slower than plain decoding"),
    };
    Some(format!(
        "{said} It gains most of {} cells that guess ahead, which flatters it{slower}.",
        all.len()
    ))
}

/// Each cell's speed-up.
fn plot(findings: &Findings, all: &[Guessed]) -> Option<Figure> {
    let row = |one: &Guessed| {
        let found = one.speedup?;
        Some(Row {
            name: one.cell.to_owned(),
            hue: hue(findings, one.variant),
            value: found.value,
            interval: found.interval.map(|i| (i.low, i.high)),
            open: Open::No,
            note: over(one),
        })
    };
    let rows: Vec<Row> = all.iter().filter_map(row).collect();
    (!rows.is_empty()).then(|| Figure {
        title: "Decoding with tokens guessed ahead".to_owned(),
        caption: "Seconds of plain decoding over seconds with guesses, of the same tokens. Right of the broken line at 1 guessing is \
                  faster. Bars are 95% intervals over prompts, and over trained models where there are several."
            .to_owned(),
        chart: Chart::Forest(Forest {
            x: Axis::log("speed-up over plain decoding", Quantity::Times),
            null: Some(1.0),
            rows,
        }),
    })
}

/// `8 prompts and 3 trained models`.
fn over(one: &Guessed) -> String {
    let prompts = match one.prompts {
        1 => "one prompt".to_owned(),
        n => format!("{n} prompts"),
    };
    match (one.models, one.trials) {
        (2.., n) => format!("{prompts} of each of {n} trained models"),
        (_, 2..) => format!("{prompts}, served {} times", one.trials),
        _ => prompts,
    }
}

fn sentence(one: &Guessed) -> String {
    let Guessed { drafted, cell, .. } = one;
    let over = over(one);
    let by = match drafted.draft.as_str() {
        "lookup" => "what followed in the text before",
        name => name,
    };
    let Some((faster, taken)) = one.speedup.zip(one.taken) else {
        return format!(
            "Of {cell} nothing was guessed by {by}, over {over}: no end of the text was there before, and whether guessing is worth it is \
             not known."
        );
    };
    let faster = shown(&faster, &|x| Times(x).to_string());
    let taken = shown(&taken, &|x| Share(x).to_string());
    let per_pass = one.per_pass.map_or(1.0, |found| found.value);
    let again = match one.passes {
        [_, 0] => String::new(),
        [all, again] => format!(
            "; {} of the passes judge nothing, and feed again what a recurrent state went back behind",
            Share(again as f64 / all as f64)
        ),
    };
    let same = one.same.map_or(String::new(), |(same, of)| {
        format!("; the tokens are plain decoding's behind {same} of {of} prompts")
    });
    format!(
        "{cell} decodes {faster} times as fast with up to {} tokens guessed ahead by {by}, over {over}: {taken} of the guesses are taken, \
         {} tokens come of a pass that judges them{again}{same}.",
        drafted.draft_tokens,
        Times(per_pass)
    )
}

/// `1.4 (1.2 to 1.6)`.
fn shown(found: &Estimate, figure: &dyn Fn(f64) -> String) -> String {
    let ends = found
        .interval
        .map(|i| format!(" ({} to {})", figure(i.low), figure(i.high)));
    format!("{}{}", figure(found.value), ends.unwrap_or_default())
}

fn row(one: &Guessed) -> Vec<String> {
    let times = |x: f64| Times(x).to_string();
    let share = |x: f64| Share(x).to_string();
    let estimate = |found: Option<Estimate>, figure: &dyn Fn(f64) -> String| {
        found.map(|found| shown(&found, figure)).unwrap_or_default()
    };
    let joules = |found: Option<f64>| found.map(|j| Quantity::Joules.cell(j)).unwrap_or_default();
    let [own, draft] = one.flops;
    // The text itself has no FLOPs, no memory, and nothing to read.
    let of_draft = |x: f64, figure: &dyn Fn(f64) -> String| match draft > 0.0 {
        true => figure(x),
        false => String::new(),
    };
    let again = match one.passes {
        [_, 0] => String::new(),
        [all, again] => share(again as f64 / all as f64),
    };
    let rate = |x: f64| Quantity::TokensPerSecond.cell(x);
    let same = one.same.map(|(same, of)| format!("{same} of {of}"));
    vec![
        one.cell.to_owned(),
        one.drafted.draft.clone(),
        one.drafted.draft_tokens.to_string(),
        estimate(one.taken, &share),
        estimate(one.per_pass, &times),
        again,
        rate(one.rates[0]),
        rate(one.rates[1]),
        estimate(one.speedup, &times),
        same.unwrap_or_default(),
        Flops(one.drafted.plain_flops).to_string(),
        Flops(own + draft).to_string(),
        of_draft(draft, &|x| Flops(x).to_string()),
        of_draft(one.drafted.draft_bytes as f64, &|x| Bytes(x).to_string()),
        of_draft(one.read_s, &|x| Seconds(x).to_string()),
        joules(one.joules[0]),
        joules(one.joules[1]),
        one.prompts.to_string(),
        one.models.to_string(),
        one.trials.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;
    use crate::record::{Drafted, ResultFile};

    /// Cells that were drafted so, each with one trial.
    fn file(of: &[Drafted]) -> ResultFile {
        let mut file = example();
        let mut names: Vec<String> = file.trials.iter().map(|t| t.cell.clone()).collect();
        names.sort();
        names.dedup();
        let mut trials = Vec::new();
        for (name, drafted) in names.iter().zip(of) {
            let mut trial = file
                .trials
                .iter()
                .find(|t| t.cell == *name)
                .unwrap()
                .clone();
            trial.drafted = Some(drafted.clone());
            trials.push(trial);
        }
        file.trials = trials;
        file
    }

    fn said(file: &ResultFile) -> (String, Vec<Block>) {
        let blocks = build(&Findings::of(file)).unwrap();
        let Block::Lead(said) = &blocks[0] else {
            panic!()
        };
        (said.clone(), blocks)
    }

    fn table(blocks: &[Block]) -> &Table {
        let mut tables = blocks.iter().filter_map(|block| match block {
            Block::Table(table) => Some(table),
            _ => None,
        });
        tables.next().unwrap()
    }

    #[test]
    fn guesses_stand_beside_plain_decoding() {
        assert!(build(&Findings::of(&example())).is_none());
        let file = file(&[Drafted::example()]);
        let (said, blocks) = said(&file);
        // 31 tokens behind each of two prompts, 15 and 16 of them guessed; twice as fast behind both.
        let wanted = format!(
            "{} decodes 2.0 (2.0 to 2.0) times as fast with up to 4 tokens guessed ahead by what followed in the text before, over 2 prompts: \
             86.1% (",
            file.trials[0].cell
        );
        assert!(said.starts_with(&wanted), "{said}");
        assert!(said.ends_with(
            "of the guesses are taken, 2.0 tokens come of a pass that judges them; the tokens are plain decoding's behind 2 of 2 prompts."
        ));
        // No column begins as another does and says less; of the text itself there is nothing to read.
        let columns = &table(&blocks).columns;
        assert!(
            !columns.iter().any(|c| c.starts_with("draft")
                && c != "drafted tok/s"
                && c != "drafted FLOPs/token")
        );
        let Some(Block::Plot(figure)) = blocks.get(1) else {
            panic!()
        };
        assert!(
            matches!(&figure.chart, Chart::Forest(f) if f.rows.len() == 1 && f.null == Some(1.0))
        );
    }

    #[test]
    fn passes_that_feed_again_are_told_apart_and_nothing_guessed_is_no_gain() {
        let again = Drafted {
            passes: vec![20, 20],
            ..Drafted::example()
        };
        let (told, _) = said(&file(&[again]));
        // 16 and 15 passes judge, 4 and 5 feed again.
        assert!(
            told.contains("2.0 tokens come of a pass that judges them; 22.5% of"),
            "{told}"
        );
        let nothing = Drafted {
            guessed: vec![0, 0],
            taken: vec![0, 0],
            passes: vec![31, 31],
            ..Drafted::example()
        };
        let (told, _) = said(&file(&[nothing]));
        assert!(
            told.contains("nothing was guessed") && !told.contains("times as fast"),
            "{told}"
        );
    }

    #[test]
    fn of_several_cells_the_best_is_told_and_how_many_there_are() {
        let slow = Drafted {
            drafted_s: vec![0.4; 4],
            ..Drafted::example()
        };
        let file = file(&[slow, Drafted::example()]);
        let (said, blocks) = said(&file);
        assert!(said.starts_with(&file.trials[1].cell), "{said}");
        let end = "It gains most of 2 cells that guess ahead, which flatters it; 1 is slower than plain decoding.";
        assert!(said.ends_with(end), "{said}");
        assert_eq!(table(&blocks).rows.len(), 2);
    }
}
