//! What was asked of a fit beside its law, in text: the loss of runs that were not made, and the cheapest model with inference
//! counted.

use super::number::{figure, interval, named};
use crate::analysis::fit::curve::HeldOut;
use crate::analysis::fit::lifetime::Model;
use crate::analysis::fit::{Findings, Lifetime, PerFlop, Prediction};
use crate::report::page::{Block, Table};
use crate::unit::Count;

/// Answers in sentences, after the law's own; empty where nothing was asked.
pub fn sentences(findings: &Findings) -> String {
    let missed = findings
        .held_out
        .iter()
        .map(|found| format!(" {}", missed(found)));
    let predictions = findings
        .predictions
        .iter()
        .map(|found| format!(" {}", prediction(found)));
    missed
        .chain(predictions)
        .chain(
            findings
                .lifetimes
                .iter()
                .map(|found| format!(" {}", lifetime(found))),
        )
        .chain(findings.unsplit.iter().map(|group| {
            format!(
                " {}No size is named for what was asked with inference counted: the law does not describe the runs.",
                named(group)
            )
        }))
        .collect()
}

/// The same as tables.
pub fn blocks(findings: &Findings) -> Vec<Block> {
    let mut blocks = Vec::new();
    if !findings.held_out.is_empty() {
        blocks.push(Block::List {
            head: "Held out:".to_owned(),
            items: findings.held_out.iter().map(held_out).collect(),
        });
    }
    if !findings.predictions.is_empty() {
        let mut table = Table::new(["group", "N", "D", "C", "loss", "one run", "the law", ""]);
        table
            .rows
            .extend(findings.predictions.iter().map(predicted));
        blocks.extend([Block::Text("Predicted:".to_owned()), Block::Table(table)]);
    }
    for found in &findings.lifetimes {
        let mut table = Table::new(["", "N", "D", "D/N", "training FLOPs", "with inference"]);
        table.row(model("compute-optimal", &found.compute_optimal));
        table.row(model("inference counted", &found.best));
        let head = format!(
            "{}Models of {:.4} nats, {} tokens of inference{}:",
            named(&found.group),
            found.loss_nats,
            Count(found.inference_tokens),
            weighed(found),
        );
        blocks.extend([Block::Text(head), Block::Table(table)]);
    }
    blocks
}

fn model(name: &str, found: &Model) -> Vec<String> {
    let flops = |value: f64| format!("{value:.3e}");
    let ratio = figure(found.tokens / found.params);
    let sizes = [
        Count(found.params).to_string(),
        Count(found.tokens).to_string(),
        ratio,
    ];
    let costs = [flops(found.training_flops), flops(found.total_flops)];
    [name.to_owned()]
        .into_iter()
        .chain(sizes)
        .chain(costs)
        .collect()
}

/// `A run of 1.4 G parameters on 28.8 G tokens is predicted to end at 2.66 nats (95% 2.6 to 2.72 for one run); N is 3.5 times ...`.
fn prediction(found: &Prediction) -> String {
    let run = match (found.params, found.tokens) {
        (Some(n), Some(d)) if found.best_split => {
            format!(
                "The best split of {:.2e} FLOPs, {} parameters on {} tokens,",
                found.flops,
                Count(n),
                Count(d)
            )
        }
        (Some(n), Some(d)) => format!("A run of {} parameters on {} tokens", Count(n), Count(d)),
        _ => format!("A run of {:.2e} FLOPs", found.flops),
    };
    let range = match (&found.run_interval, found.reason) {
        (Some(range), _) => format!("{} for one run", interval(range)),
        (None, Some(reason)) => format!("no interval: {reason}"),
        (None, None) => "no interval".to_owned(),
    };
    let beyond = beyond(found);
    let beyond = if beyond.is_empty() {
        beyond
    } else {
        format!("; extrapolated: {beyond}")
    };
    format!(
        "{}{run} is predicted to end at {} nats ({range}{beyond}).",
        named(&found.group),
        figure(found.loss_nats)
    )
}

/// `N 3.5 times the largest fitted, D/N 0.5 times the smallest`.
fn beyond(found: &Prediction) -> String {
    let one = |b: &crate::analysis::fit::curve::predict::Beyond| {
        let end = if b.factor > 1.0 {
            "largest"
        } else {
            "smallest"
        };
        format!("{} {} times the {end} fitted", b.what, figure(b.factor))
    };
    found
        .extrapolated
        .iter()
        .map(one)
        .collect::<Vec<_>>()
        .join(", ")
}

fn predicted(found: &Prediction) -> Vec<String> {
    let count = |value: Option<f64>| value.map_or("-".to_owned(), |value| Count(value).to_string());
    let range =
        |range: &Option<crate::stat::Interval>| range.as_ref().map_or("none".to_owned(), interval);
    vec![
        found.group.clone(),
        count(found.params),
        count(found.tokens),
        format!("{:.3e}", found.flops),
        format!("{:.4}", found.loss_nats),
        range(&found.run_interval),
        range(&found.law_interval),
        beyond(found),
    ]
}

/// `With 2 T tokens of inference, 7 G parameters on 1.2 T tokens cost least at 2.045 nats: ...`.
fn lifetime(found: &Lifetime) -> String {
    let range = match &found.params_interval {
        Some(range) => format!(" ({} to {})", Count(range.low), Count(range.high)),
        None if !found.not_identified.is_empty() => {
            format!(
                " (not identified: the data leave {} open)",
                found.not_identified.join(", ")
            )
        }
        None => String::new(),
    };
    let beyond = if found.extrapolated {
        ", beyond the runs fitted"
    } else {
        ""
    };
    format!(
        "{}With {} tokens of inference counted{}, {:.3} nats cost least with {} parameters{range} on {} tokens{beyond}: {} times the \
         size and {} times the tokens of the compute-optimal model, {} times its training, {:.0}% less in all.",
        named(&found.group),
        Count(found.inference_tokens),
        weighed(found),
        found.loss_nats,
        Count(found.best.params),
        Count(found.best.tokens),
        figure(found.params_factor),
        figure(found.tokens_factor),
        figure(found.training_factor),
        100.0 * (1.0 - found.total_factor)
    )
}

/// What FLOPs cost, where they do not all cost the same.
fn weighed(found: &Lifetime) -> String {
    let PerFlop {
        training,
        prompt,
        answer,
    } = found.per_flop;
    match found.per_flop == PerFlop::EQUAL {
        true => String::new(),
        false => format!(
            " (where a FLOP of prompts costs {} times and one of answers {} times what one of training does, so that they weigh as {} \
             tokens)",
            figure(prompt / training),
            figure(answer / training),
            Count(found.weighed_tokens)
        ),
    }
}

/// `The 29 runs that it did not see are missed by 0.15 nats rms (2.1% of the loss on average).`
fn missed(found: &HeldOut) -> String {
    let runs = if found.n == 1 {
        "The run that it did not see is"
    } else {
        "The runs that it did not see are"
    };
    format!(
        "{}{runs} missed by {} nats rms (n = {}, {:.1}% of the loss on average).",
        named(&found.group),
        figure(found.rms_error_nats),
        found.n,
        100.0 * found.mean_relative_error
    )
}

fn held_out(found: &HeldOut) -> String {
    let of = |name: &str, value: Option<f64>| {
        value.map_or(String::new(), |value| format!(" {name} {}", Count(value)))
    };
    format!(
        "{}{} runs up to {:.2e} FLOPs (fitted up to {:.2e}) are missed by {} nats rms, mean {:+.4}; worst {:+.4} at{}{}.",
        named(&found.group),
        found.n,
        found.flops[1],
        found.flops[0],
        figure(found.rms_error_nats),
        found.mean_error_nats,
        found.worst_error_nats,
        of("N", found.worst[0]),
        of("D", found.worst[1])
    )
}
