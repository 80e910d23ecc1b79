//! What a run ends with: the answer in one sentence, the table, what did not finish, energy, caveats, the file.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::gain::others;
use super::price::bill;
use super::section::{ladders, scale_sentence};
use super::sentence::{details, sentence};
use super::table::{self, Style};
use crate::analysis::study::studies;
use crate::analysis::{Unanswered, answer, summarise};
use crate::config::Price;
use crate::record::{ResultFile, Status, metric};
use crate::stat;
use crate::unit::Joules;

/// A run's closing text, without a last line break; `path` is where its result file lies.
pub fn summary(file: &ResultFile, path: &str, price: &Price, style: Style) -> String {
    let found = answer(file);
    let mut parts: Vec<String> = Vec::new();
    match &found {
        Ok(answer) => {
            let first = format!("{}\n{}", sentence(answer), details(answer));
            parts.push(
                [first]
                    .into_iter()
                    .chain(rest(file))
                    .collect::<Vec<_>>()
                    .join("\n"),
            );
        }
        Err(Unanswered::NoQuestion) => parts.extend(scale_sentence(&ladders(file))),
        Err(why) => parts.push(format!("No answer: {why}.")),
    }
    parts.push(table::cells(&summarise(file), style));
    parts.extend(unfinished(file));
    parts.push(format!(
        "{}\n{}.",
        energy(file),
        bill(&price.bill(file), &price.name)
    ));
    if let Ok(answer) = &found
        && !answer.caveats.is_empty()
    {
        let lines = answer
            .caveats
            .iter()
            .map(|c| format!("\n  - {}. Remedy: {}.", c.message, c.remedy));
        parts.push(format!("Caveats:{}", lines.collect::<String>()));
    }
    parts.push(format!("Result file: {path}"));
    parts.join("\n\n")
}

/// What is said of the other variants at the answer's place.
fn rest(file: &ResultFile) -> Option<String> {
    studies(file, None, None, None)
        .ok()?
        .iter()
        .find(|study| study.headline.is_some())
        .and_then(others)
}

/// The same for programs, as one JSON document.
pub fn summary_json(file: &ResultFile, path: &str) -> Value {
    let found = answer(file);
    json!({
        "file": path,
        "sentence": found.as_ref().ok().map(sentence),
        "others": found.as_ref().ok().and_then(|_| rest(file)),
        "answer": found.as_ref().ok(),
        "unanswered": found.as_ref().err().map(Unanswered::to_string),
        "cells": summarise(file),
    })
}

/// The trials that did not finish, each with its reason on one line.
fn unfinished(file: &ResultFile) -> Option<String> {
    let lines = file
        .trials
        .iter()
        .filter(|t| t.status != Status::Ok)
        .map(|t| {
            let reason = t
                .reason
                .as_deref()
                .unwrap_or_default()
                .lines()
                .next()
                .unwrap_or_default()
                .escape_debug();
            format!(
                "\n  - {}, repeat {}: {}, {reason}",
                t.cell,
                t.repeat,
                t.status.words()
            )
        });
    let lines: String = lines.collect();
    (!lines.is_empty()).then(|| format!("Did not finish:{lines}"))
}

/// One line: joules and their meters, or why there are none.
fn energy(file: &ResultFile) -> String {
    let measured: Vec<f64> = file
        .trials
        .iter()
        .filter_map(|t| t.energy.measured_j)
        .collect();
    if measured.is_empty() {
        let reasons: BTreeSet<&str> = file
            .trials
            .iter()
            .filter_map(|t| t.energy.reason.as_deref())
            .collect();
        return format!(
            "Energy: not measured ({})",
            reasons.into_iter().collect::<Vec<_>>().join(", ")
        );
    }
    let channels = file.trials.iter().flat_map(|t| &t.energy.channels);
    let meters: BTreeSet<&str> = channels
        .filter(|c| c.is_measured())
        .map(|c| c.source.as_str())
        .collect();
    let per_token: Vec<f64> = file
        .trials
        .iter()
        .filter_map(|t| t.metric(metric::ENERGY_J_PER_TRAIN_TOKEN))
        .collect();
    let per_token =
        stat::mean(&per_token).map(|j| format!(", {} a training token on average", Joules(j)));
    format!(
        "Energy: {} in {} of {} trials ({}){}",
        Joules(measured.iter().sum()),
        measured.len(),
        file.trials.len(),
        meters.into_iter().collect::<Vec<_>>().join(", "),
        per_token.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::{example, study};
    use crate::record::{Channel, Energy, Metric};

    fn price() -> Price {
        crate::config::Library::builtin().price("default").unwrap()
    }

    #[test]
    fn a_run_closes_with_its_answer() {
        let text = summary(&example(), "results/quick.json", &price(), Style::default());
        assert_eq!(
            text,
            include_str!("../../tests/golden/summary.txt").trim_end()
        );
    }

    #[test]
    fn a_run_with_failures_says_which_and_why() {
        let mut file = study(2, |variant, steps, repeat| {
            let diverged = variant == "modern" && repeat == 1;
            (!diverged).then_some(3.0 - 0.3 * (steps as f64).ln())
        });
        file.trials[3].status = Status::Failed;
        file.trials[3].reason = Some("signal 9\u{1b}[31m\nbacktrace".to_owned());
        let text = summary(
            &file,
            "results/quick.json",
            &price(),
            Style {
                width: Some(72),
                unicode: true,
            },
        );
        assert_eq!(
            text,
            include_str!("../../tests/golden/summary_failures.txt").trim_end()
        );
    }

    #[test]
    fn measured_energy_is_summed_and_named() {
        let mut file = example();
        for trial in &mut file.trials {
            let channel = Channel {
                id: "package-0".to_owned(),
                component: "cpu_package".to_owned(),
                method: "counter".to_owned(),
                source: "rapl.powercap".to_owned(),
                quality: "firmware_model".to_owned(),
                energy_j: Some(40.0),
                bounds_j: None,
                window_s: Some(4.0),
                ..Channel::default()
            };
            let guess = Channel {
                method: "modelled".to_owned(),
                source: "rated_power_x_utilisation".to_owned(),
                ..channel.clone()
            };
            trial.energy = Energy {
                channels: vec![channel, guess],
                measured_j: Some(40.0),
                ..Energy::default()
            };
            let name = metric::ENERGY_J_PER_TRAIN_TOKEN;
            trial
                .metrics
                .insert(name.to_owned(), Metric::value(name, 4.9e-5));
        }
        let expected =
            "Energy: 800 J in 20 of 20 trials (rapl.powercap), 49 µJ a training token on average";
        assert_eq!(energy(&file), expected);
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
            "this suite compares nothing with a base"
        );
        assert!(!summary(&file, "x", &price(), Style::default()).contains("No answer"));
    }
}
