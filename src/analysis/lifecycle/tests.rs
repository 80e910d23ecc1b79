//! The lifecycle of the made-up study, by hand.

use serde_json::json;

use super::*;
use crate::config::{Library, Price};
use crate::error::Kind;
use crate::record::example::{example, served};
use crate::record::{Drafted, Metric, ResultFile, TokenFlops, Trial, metric};

fn price() -> Price {
    Library::builtin().price("default").unwrap()
}

fn asked(a: &str, b: &str) -> Asked {
    Asked {
        a: Some(a.to_owned()),
        b: Some(b.to_owned()),
        ..Asked::default()
    }
}

fn pair(file: &ResultFile) -> Comparison {
    let asked = asked("modern/w32@800", "gpt2/w32@1600");
    compared(file, Some(&price()), &asked).unwrap().remove(0)
}

fn row(found: &Comparison, measure: Measure) -> &Row {
    found
        .rows
        .iter()
        .find(|row| row.measure == measure)
        .unwrap()
}

#[test]
fn the_break_even_is_what_training_saves_over_what_requests_cost_more() {
    let file = served(example());
    let found = pair(&file);
    let seconds = row(&found, Measure::Seconds);
    let each = |cell: &str| -> Vec<[f64; 2]> {
        let own = file.trials.iter().filter(|trial| trial.cell == cell);
        let costs = own.map(|trial| {
            let of = |name: &str| trial.metric(name).unwrap();
            let request =
                32.0 / of(metric::PREFILL_TOKENS_PER_S) + 32.0 / of(metric::DECODE_TOKENS_PER_S);
            [of(metric::TRAIN_WALL_S), request]
        });
        costs.collect()
    };
    let (modern, gpt2) = (each("modern/w32@800"), each("gpt2/w32@1600"));
    let sum = |k: usize| -> f64 {
        let pairs = modern.iter().zip(&gpt2);
        pairs.map(|(a, b)| a[k] - b[k]).sum()
    };
    let Ok(Verdict::BreakEven {
        at,
        low,
        high,
        then,
    }) = seconds.verdict
    else {
        panic!("{seconds:?}")
    };
    assert!((at / (-sum(0) / sum(1)) - 1.0).abs() < 1e-9, "{at}");
    assert!(low > 0.0 && low < at && high.unwrap() > at && then == Side::B);
    let costs = [Side::A, Side::B].map(|side| seconds.cost(side, at).unwrap());
    assert!((costs[0] / costs[1] - 1.0).abs() < 1e-9);
    // A rent by the hour sells seconds: they break even at as many requests.
    let Ok(Verdict::BreakEven { at: in_money, .. }) = row(&found, Measure::Money).verdict else {
        panic!()
    };
    assert!((in_money / at - 1.0).abs() < 1e-9);
    for measure in [Measure::Joules, Measure::Carbon] {
        let reason = row(&found, measure).verdict.clone().unwrap_err();
        assert!(reason.contains("virtual machine"), "{reason}");
    }
    let gap = found.loss.unwrap();
    assert_eq!((gap.metric, found.repeats), (metric::EXCESS_LOSS_NATS, 4));
}

/// Joules that a meter read are told, those of a model are not.
#[test]
fn only_what_was_read_is_told() {
    let mut file = served(example());
    for trial in &mut file.trials {
        for name in [
            metric::ENERGY_J_PER_TRAIN_TOKEN,
            metric::ENERGY_J_PER_PREFILL_TOKEN,
            metric::ENERGY_J_PER_DECODE_TOKEN,
        ] {
            let joules = 1e-5 * (1.0 + trial.repeat as f64);
            let read = Metric::value(name, joules);
            trial.metrics.insert(name.to_owned(), read);
        }
    }
    let found = pair(&file);
    let joules = row(&found, Measure::Joules);
    assert!((joules.request[0].clone().unwrap().value / (64.0 * 2.5e-5) - 1.0).abs() < 1e-9);
    assert!(joules.verdict.is_ok() && row(&found, Measure::Carbon).verdict.is_ok());
}

#[test]
fn flops_are_counted_at_their_depth() {
    let mut file = served(example());
    let old = row(&pair(&file), Measure::Flops).request[0]
        .clone()
        .unwrap();
    let mean = 8.0e7 / 1024.0 / 3.0;
    assert!((old.value / (64.0 * mean) - 1.0).abs() < 1e-9);
    for trial in &mut file.trials {
        let table = TokenFlops {
            seen: vec![0, 1, 64],
            token: vec![100.0, 102.0, 228.0],
            prompt: vec![0.0, 90.0, 64.0 * 153.0],
            head: 10.0,
        };
        trial.cost.as_mut().unwrap().token_flops = Some(table);
    }
    let counted = row(&pair(&file), Measure::Flops).request[0]
        .clone()
        .unwrap();
    let prompt: f64 = 32.0 * (90.0 + 31.0) + 10.0;
    let answer: f64 = (32..64).map(|seen| 100.0 + 2.0 * f64::from(seen)).sum();
    assert!(
        (counted.value - (prompt + answer)).abs() < 1e-6,
        "{counted:?}"
    );
}

/// Weights of one file that serve in two ways: whatever their training cost, it cost the same.
#[test]
fn one_file_served_in_two_ways_needs_no_training_to_be_told() {
    let mut file = served(example());
    for trial in &mut file.trials {
        trial.cost.as_mut().unwrap().train_tokens = 0;
        trial.metrics.remove(metric::TRAIN_WALL_S);
        let name = trial.variant.clone();
        trial.spec["model"]["from"] = json!(name);
    }
    let found = pair(&file);
    let reason = row(&found, Measure::Seconds).verdict.clone().unwrap_err();
    assert!(reason.contains("not trained here"), "{reason}");
    for trial in &mut file.trials {
        trial.spec["model"]["from"] = json!("model.gguf");
    }
    let found = pair(&file);
    let cheaper = Side::B;
    assert_eq!(
        row(&found, Measure::Seconds).verdict,
        Ok(Verdict::Dominates { cheaper })
    );
    assert!(found.shared_training);
}

#[test]
fn what_cannot_be_compared_is_refused_and_everything_else_has_a_partner() {
    let mut file = served(example());
    let all = compared(&file, None, &Asked::default()).unwrap();
    let names: Vec<&str> = all.iter().map(|one| one.cells[0].as_str()).collect();
    assert_eq!(names, ["modern/w32@400", "modern/w32@800"]);
    assert!(
        all[0].rows[0]
            .verdict
            .clone()
            .unwrap_err()
            .contains("prices")
    );
    let refused =
        |file: &ResultFile, a: &str| compared(file, None, &asked(a, "gpt2/w32@1600")).unwrap_err();
    let unknown = refused(&file, "moderm/w32@800").to_string();
    assert!(
        unknown.contains("did you mean `modern/w32@800`"),
        "{unknown}"
    );
    let mut other = file.machines[0].clone();
    other.class_id = "arm-4c-linux".to_owned();
    file.machines.push(other);
    let moved = file.trials.iter_mut().filter(|t| t.variant == "modern");
    moved.for_each(|trial| trial.machine = 1);
    let error = refused(&file, "modern/w32@800 on arm-4c-linux");
    assert_eq!(error.kind, Kind::NotComparable);
    assert!(error.to_string().contains("arm-4c-linux"), "{error}");
    // Other numbers of threads make other seconds, and the same FLOPs.
    let mut file = served(example());
    let moved = file.trials.iter_mut().filter(|t| t.variant == "modern");
    moved.for_each(|trial| trial.spec["compute"]["threads"] = json!(8));
    let found = pair(&file);
    assert!(row(&found, Measure::Seconds).verdict.is_err());
    assert!(row(&found, Measure::Flops).verdict.is_ok());
}

/// Seconds of a FLOP: measured seconds over counted FLOPs, those of training being 1.
#[test]
fn a_flop_of_answers_costs_what_was_measured() {
    let mut file = served(example());
    file.trials
        .retain(|t| t.cell == "gpt2/w32@800" && t.repeat == 0);
    let trial = &file.trials[0];
    let cost = trial.cost.as_ref().unwrap();
    let forward = cost.forward_flops_per_token;
    let training =
        (cost.train_flops + cost.optimizer_flops) / trial.metric(metric::TRAIN_WALL_S).unwrap();
    let answers = forward * trial.metric(metric::DECODE_TOKENS_PER_S).unwrap();
    let found = per_flop(&file).unwrap();
    assert!(
        (found.answer / (training / answers) - 1.0).abs() < 1e-9,
        "{found:?}"
    );
    assert!((found.answer / found.prompt / 10.0 - 1.0).abs() < 1e-9);
    assert_eq!(per_flop(&example()), None);
}

/// A cell that guesses ahead costs what decoding with guesses took: an answer of 33 tokens has 32 that follow the first, at 50 tokens a
/// second; the smaller model reads each of 32 prompt tokens in 1/32 of 0.5 s, and computes as counted.
#[test]
fn a_cell_that_guesses_ahead_is_priced_as_it_decodes() {
    let mut file = served(example());
    let cell = "modern/w32@800";
    let shape = Served::of(file.trials.iter().find(|t| t.cell == cell).unwrap()).unwrap();
    let request = Request {
        prompt: shape.prompt,
        answer: shape.generate,
    };
    let further = (request.answer - 1) as f64;
    let cost = |trial: &Trial, measure, machine: &crate::record::Machine| {
        spent::request(measure, trial, machine, None, request)
    };
    let machine = file.machines[0].clone();
    let trial = file.trials.iter_mut().find(|t| t.cell == cell).unwrap();
    let table = TokenFlops {
        seen: vec![0, 1, 128],
        token: vec![100.0, 102.0, 356.0],
        prompt: vec![0.0, 90.0, 128.0 * 217.0],
        head: 10.0,
    };
    let prompt_flops = table.prompt(0, request.prompt).unwrap();
    trial.cost.as_mut().unwrap().token_flops = Some(table);
    let plain_s = cost(trial, Measure::Seconds, &machine).unwrap();
    let prompt_s = request.prompt as f64 / trial.metric(metric::PREFILL_TOKENS_PER_S).unwrap();
    trial.metrics.insert(
        metric::SPECULATIVE_TOKENS_PER_S.to_owned(),
        Metric::value(metric::SPECULATIVE_TOKENS_PER_S, 50.0),
    );
    let mut drafted = Drafted {
        draft: "small.gguf".to_owned(),
        draft_flops: 1e5,
        read_s: 0.5,
        read_flops: Some(1e7),
        ..Drafted::example()
    };
    trial.drafted = Some(drafted.clone());
    let near = |found: f64, wanted: f64| assert!((found / wanted - 1.0).abs() < 1e-9, "{found}");
    near(
        cost(trial, Measure::Seconds, &machine).unwrap(),
        prompt_s + 0.5 + further / 50.0,
    );
    near(
        cost(trial, Measure::Flops, &machine).unwrap(),
        prompt_flops + 1e7 + further * (2e6 + 1e5),
    );
    let joules = cost(trial, Measure::Joules, &machine).unwrap_err();
    assert!(joules.contains("smaller model"), "{joules}");
    // The text itself reads nothing.
    drafted.draft_flops = 0.0;
    trial.drafted = Some(drafted);
    let found = cost(trial, Measure::Seconds, &machine).unwrap();
    near(found, prompt_s + further / 50.0);
    assert!((found / plain_s - 1.0).abs() > 1e-3);
}
