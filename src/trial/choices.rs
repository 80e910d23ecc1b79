//! Multiple choice by likelihood: of each question's answers the one whose tokens are likeliest behind it, and the one that is likeliest
//! by the character (the rules `acc` and `acc_norm` of EleutherAI's lm-evaluation-harness).

use std::sync::Arc;

use super::settle::Experiment;
use crate::data::{Batch, Choice, IGNORE, Question};
use crate::device::{Opened, Workers};
use crate::error::{Error, Result};
use crate::infer;
use crate::model::{Beside, Params};
use crate::record::metric::{self as name, Metric};
use crate::record::{Choices, finite};

/// What the weights that serve choose; nothing where the data have no questions.
pub fn ask(experiment: &Experiment, params: &Params, opened: &Opened) -> Result<Option<Choices>> {
    let Some(asked) = experiment.source.choices() else {
        return Ok(None);
    };
    let likely = likelihoods(experiment, params, opened, &asked.questions)?;
    let mut found = Choices {
        questions: asked.questions.len() as u64,
        right: 0.0,
        right_norm: 0.0,
        chance: asked.chance(),
        ties: 0,
        cut: asked.questions.iter().filter(|q| q.cut).count() as u64,
    };
    for (question, likely) in asked.questions.iter().zip(&likely) {
        let by_character = question.choices.iter().zip(likely);
        let by_character: Vec<f64> = by_character
            .map(|(choice, nats)| nats / choice.characters as f64)
            .collect();
        let (share, tied) = share_of(likely, question.gold);
        found.right += share;
        found.right_norm += share_of(&by_character, question.gold).0;
        found.ties += u64::from(tied);
    }
    Ok(Some(found))
}

/// One over the number of answers in the first place, where the right one is among them; and whether there are several.
fn share_of(scores: &[f64], gold: usize) -> (f64, bool) {
    let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let first = scores.iter().filter(|score| **score == best).count();
    match scores[gold] == best {
        true => (1.0 / first as f64, first > 1),
        false => (0.0, first > 1),
    }
}

/// By question, the log-likelihood of each answer's tokens behind the question, in nats.
fn likelihoods(
    experiment: &Experiment,
    params: &Params,
    opened: &Opened,
    questions: &[Question],
) -> Result<Vec<Vec<f64>>> {
    let infer = &experiment.infer;
    let weights = experiment.model.serving(params, infer.weights)?;
    let weights = Arc::new(weights.with_activations(infer.activations));
    let mut rows: Vec<&Choice> = questions.iter().flat_map(|q| &q.choices).collect();
    // Rows of about one length stand together, so that little is padded.
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|k| rows[*k].tokens.len());
    rows = order.iter().map(|k| rows[*k]).collect();
    let at_once = experiment.batch.div_ceil(experiment.shards).max(1);
    let batches: Vec<Batch> = rows.chunks(at_once).map(batch).collect();
    let (model, device) = (experiment.model.clone(), opened.device.clone());
    let ops = experiment.ops.for_device(&opened.device)?;
    let workers = Workers::new(experiment.shards)?;
    let scored = workers.run(batches, move |batch: Batch| {
        let scored = infer::evaluate(&model, &weights, &batch, ops, &device, &Beside::default())?;
        let sum = |row: &[Option<crate::ops::TokenLoss>]| {
            let each = row.iter().flatten().map(|token| -f64::from(token.nats));
            each.sum::<f64>()
        };
        Ok::<_, Error>(scored.chunks(batch.context).map(sum).collect::<Vec<f64>>())
    })?;
    let mut likely = vec![f64::NAN; order.len()];
    let scored = scored.into_iter().collect::<Result<Vec<_>>>()?;
    for (place, nats) in order.iter().zip(scored.into_iter().flatten()) {
        likely[*place] = nats;
    }
    let mut rest = likely.as_slice();
    let by_question = questions.iter().map(|question| {
        let (own, others) = rest.split_at(question.choices.len());
        rest = others;
        own.to_vec()
    });
    Ok(by_question.collect())
}

/// Rows of one length, each padded behind its last token: what stands there is seen by nothing that is asked.
fn batch(rows: &[&Choice]) -> Batch {
    let context = rows.iter().map(|row| row.tokens.len() - 1).max();
    let context = context.unwrap_or(0);
    let mut batch = Batch {
        rows: rows.len(),
        context,
        inputs: Vec::with_capacity(rows.len() * context),
        targets: Vec::with_capacity(rows.len() * context),
    };
    for row in rows {
        let (seen, said) = (row.tokens.len() - 1, &row.tokens[1..]);
        let padding = context - seen;
        batch.inputs.extend_from_slice(&row.tokens[..seen]);
        batch.inputs.extend(std::iter::repeat_n(0, padding));
        batch
            .targets
            .extend(std::iter::repeat_n(IGNORE, seen - row.asked));
        batch.targets.extend_from_slice(&said[seen - row.asked..]);
        batch.targets.extend(std::iter::repeat_n(IGNORE, padding));
    }
    batch
}

/// Its figures, with standard errors over questions; absent where there were none.
pub fn metrics(choices: Option<&Choices>) -> impl Iterator<Item = (String, Metric)> {
    let of = |name: &'static str, right: fn(&Choices) -> f64| {
        let metric = choices.map(|choices| {
            let n = choices.questions as f64;
            let share = right(choices) / n;
            let se = finite((share * (1.0 - share) / n).max(0.0).sqrt());
            Metric::mean(name, share, se.unwrap_or(f64::NAN), choices.questions)
        });
        let absent = || Metric::absent(name, "no questions were asked (data.choices)");
        (name.to_owned(), metric.unwrap_or_else(absent))
    };
    [
        of(name::CHOICE_ACCURACY, |choices| choices.right),
        of(name::CHOICE_ACCURACY_NORM, |choices| choices.right_norm),
    ]
    .into_iter()
}
