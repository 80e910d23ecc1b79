//! What a run ends with: the answer in one sentence, the table, what did not finish, energy, caveats, the file.

use serde_json::{Value, json};

use super::gain::rest;
use super::price::bill;
use super::sentence::{details, sentence};
use super::{answer as opening, cells, drafted, energy, unfinished, validity};
use crate::analysis::findings::Findings;
use crate::analysis::study::studies;
use crate::analysis::{Unanswered, answer, summarise};
use crate::config::Price;
use crate::record::ResultFile;
use crate::report::page::{Block, Page};

/// A run's closing page; `path` is where its result file lies.
pub fn summary(file: &ResultFile, path: &str, price: &Price) -> Page {
    let file = &file.held_against_best();
    let findings = Findings::at(file, Some(price));
    let mut blocks = opening::said(&findings);
    if let Ok(answer) = &findings.answer {
        blocks.extend(
            details(answer)
                .lines()
                .map(|line| Block::Text(line.to_owned())),
        );
    }
    blocks.extend(drafted::lead(&findings));
    blocks.extend(cells::build(&findings).into_iter().flatten());
    blocks.extend(unfinished::build(&findings).into_iter().flatten());
    blocks.push(Block::Text(energy::line(file)));
    blocks.push(Block::Text(format!(
        "{}.",
        bill(&price.bill(file), &price.name)
    )));
    blocks.extend(validity::line(&findings));
    blocks.extend(validity::caveats(&findings));
    blocks.push(Block::Text(format!("Result file: {path}")));
    let title = format!("effbench: {}", file.run.suite);
    Page::answer(&title, findings.variants, blocks)
}

/// The same for programs, as one JSON document.
pub fn summary_json(file: &ResultFile, path: &str) -> Value {
    let file = &file.held_against_best();
    let found = answer(file);
    let doubts = Findings::of(file).doubts();
    json!({
        "file": path,
        "sentence": found.as_ref().ok().map(sentence),
        "others": found.as_ref().ok().and_then(|_| others(file)),
        "answer": found.as_ref().ok(),
        "unanswered": found.as_ref().err().map(Unanswered::to_string),
        "caveats": doubts,
        "cells": summarise(file),
    })
}

/// What is said of the other variants at the answer's place.
fn others(file: &ResultFile) -> Option<String> {
    studies(file, None, None, None)
        .ok()?
        .iter()
        .find(|study| study.headline.is_some())
        .and_then(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::{example, study};
    use crate::record::{Flag, Severity, Status};
    use crate::report::Style;
    use crate::report::render::text::golden;
    use crate::report::render::text::text;

    fn price() -> Price {
        crate::config::Library::builtin().price("default").unwrap()
    }

    fn shown(file: &ResultFile, style: Style) -> String {
        text(&summary(file, "results/quick.json", &price()), style)
    }

    #[test]
    fn a_run_closes_with_its_answer() {
        golden("summary.txt", &shown(&example(), Style::default()));
    }

    #[test]
    fn a_run_with_failures_says_which_and_why() {
        let mut file = study(2, |variant, steps, repeat| {
            let diverged = variant == "modern" && repeat == 1;
            (!diverged).then_some(3.0 - 0.3 * (steps as f64).ln())
        });
        file.trials[3].status = Status::Failed;
        file.trials[3].reason = Some("signal 9\u{1b}[31m\nbacktrace".to_owned());
        golden(
            "summary_failures.txt",
            &shown(
                &file,
                Style {
                    unicode: true,
                    ..Style::plain(72)
                },
            ),
        );
    }

    #[test]
    fn a_busy_machine_is_told_whatever_is_asked() {
        let mut file = example();
        (file.run.base, file.run.headline) = (None, None);
        for trial in &mut file.trials {
            trial.validity.flags = vec![Flag {
                code: "foreign_load".to_owned(),
                severity: Severity::Warn,
                value: Some(0.6),
                limit: Some(0.1),
            }];
        }
        let said = shown(&file, Style::default());
        for part in [
            "foreign load in 20 (up to 0.60, limit 0.10)",
            "other programs had about 60% of the processors in the median trial",
        ] {
            assert!(said.to_lowercase().contains(part), "{said}");
        }
        let document = summary_json(&file, "x");
        assert_eq!(document["caveats"][0]["code"], "shared_machine");
    }

    #[test]
    fn programs_get_one_document() {
        let document = summary_json(&example(), "results/quick.json");
        assert_eq!(document["answer"]["gains"]["model_flops"]["kind"], "solved");
        assert_eq!(document["answer"]["n"], 4);
        assert_eq!(document["unanswered"], Value::Null);
        assert_eq!(document["cells"].as_array().unwrap().len(), 5);
        let mut file = example();
        file.run.headline = None;
        assert_eq!(
            summary_json(&file, "x")["unanswered"],
            "nothing says which variant is the base"
        );
        assert!(!shown(&file, Style::default()).contains("No answer"));
    }
}
