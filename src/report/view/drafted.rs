//! Decoding with tokens guessed ahead (`infer.draft`) beside decoding without: a sentence a cell, and a table.

use crate::analysis::cell::Cell;
use crate::analysis::drafted::{Guessed, guessed};
use crate::analysis::findings::Findings;
use crate::report::page::{Block, Quantity, Table};
use crate::stat::Estimate;
use crate::unit::{Bytes, Flops, Seconds, Share, Times};

/// A section of the report.
pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let all: Vec<Guessed> = findings.cells.iter().filter_map(guessed).collect();
    let mut table = Table::new([
        "cell",
        "guesses by",
        "a pass",
        "taken",
        "tokens a pass",
        "plain tok/s",
        "tok/s",
        "speed-up",
        "as plain",
        "FLOPs/token",
        "of the draft",
        "plain",
        "memory",
        "reads a prompt",
        "plain J/token",
        "J/token",
        "prompts",
        "n",
    ]);
    table.rows.extend(all.iter().map(row));
    let note = "Guesses are judged by the model in one pass and taken with the probability that leaves its distribution as it is (Leviathan et \
                al. 2023); at temperature 0 the tokens are those of plain decoding, but where rounding decides between two that are equally \
                likely. Intervals are 95% over prompts. Speed is of the tokens behind the first; FLOPs count what is guessed and thrown away.";
    let mut blocks: Vec<Block> = all.iter().map(|one| Block::Lead(sentence(one))).collect();
    blocks.push(Block::Table(table.without_empty_columns()));
    blocks.push(Block::Text(note.to_owned()));
    (!all.is_empty()).then_some(blocks)
}

/// What a run's closing page says of them.
pub(super) fn lead(findings: &Findings) -> Vec<Block> {
    let all = findings
        .cells
        .iter()
        .filter_map(|cell: &Cell| guessed(cell));
    all.map(|one| Block::Lead(sentence(&one))).collect()
}

fn sentence(one: &Guessed) -> String {
    let Guessed {
        drafted, prompts, ..
    } = one;
    let by = match drafted.draft.as_str() {
        "lookup" => "what followed in the text before".to_owned(),
        name => name.to_owned(),
    };
    let faster = one
        .speedup
        .map_or("at an unknown speed".to_owned(), |found| {
            format!("{} times as fast", shown(&found, &|x| Times(x).to_string()))
        });
    let taken = one.taken.map_or("no guess was made".to_owned(), |found| {
        let share = shown(&found, &|x| Share(x).to_string());
        let per_pass = one.per_pass.map_or(1.0, |found| found.value);
        format!(
            "{share} of the guesses are taken, {} tokens come of a pass",
            Times(per_pass)
        )
    });
    let same = one.same.map_or(String::new(), |(same, of)| {
        format!("; the tokens are plain decoding's behind {same} of {of} prompts")
    });
    format!(
        "{} decodes {faster} with up to {} tokens guessed ahead by {by}, over {prompts} prompts: {taken}{same}.",
        one.cell, drafted.draft_tokens
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
    let positive = |x: f64, figure: &dyn Fn(f64) -> String| match x > 0.0 {
        true => figure(x),
        false => String::new(),
    };
    let [own, draft] = one.flops;
    let rate = |x: f64| Quantity::TokensPerSecond.cell(x);
    vec![
        one.cell.to_owned(),
        one.drafted.draft.clone(),
        one.drafted.draft_tokens.to_string(),
        estimate(one.taken, &share),
        estimate(one.per_pass, &times),
        rate(one.rates[0]),
        rate(one.rates[1]),
        estimate(one.speedup, &times),
        one.same
            .map(|(same, of)| format!("{same} of {of}"))
            .unwrap_or_default(),
        Flops(own + draft).to_string(),
        positive(draft, &|x| Flops(x).to_string()),
        Flops(one.drafted.plain_flops).to_string(),
        positive(one.drafted.draft_bytes as f64, &|x| Bytes(x).to_string()),
        positive(one.drafted.read_s, &|x| Seconds(x).to_string()),
        joules(one.joules[0]),
        joules(one.joules[1]),
        one.prompts.to_string(),
        one.trials.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Drafted;
    use crate::record::example::example;

    #[test]
    fn guesses_stand_beside_plain_decoding() {
        let mut file = example();
        assert!(build(&Findings::of(&file)).is_none());
        let name = file.trials[0].cell.clone();
        file.trials.retain(|trial| trial.cell == name);
        let drafted = Drafted {
            draft: "lookup".to_owned(),
            draft_tokens: 4,
            generated: 12,
            temperature: 0.0,
            guessed: vec![8, 8],
            taken: vec![6, 2],
            passes: vec![6, 6],
            same: Some(2),
            plain_flops: 1e6,
            model_flops: 2e6,
            draft_flops: 0.0,
            draft_bytes: 0,
            plain_s: vec![0.2; 4],
            drafted_s: vec![0.1; 4],
            read_s: 0.0,
        };
        file.trials.truncate(1);
        file.trials[0].drafted = Some(drafted);
        let said = build(&Findings::of(&file)).unwrap();
        let Block::Lead(said) = &said[0] else {
            panic!()
        };
        // 12 tokens in 6 passes; twice as fast behind every prompt. The mean of 6/8 and 2/8 says nothing with two prompts.
        let wanted = format!(
            "{name} decodes 2.0 (2.0 to 2.0) times as fast with up to 4 tokens guessed ahead by what followed in the text before, over 2 \
             prompts: 50.0% ("
        );
        assert!(said.starts_with(&wanted), "{said}");
        assert!(said.ends_with(
            "of the guesses are taken, 2.0 tokens come of a pass; the tokens are plain decoding's behind 2 of 2 prompts."
        ));
    }
}
