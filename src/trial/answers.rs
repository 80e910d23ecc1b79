//! A trained model is asked: problems that no training saw, answered by generating, greedily and by sampling, and verified.

use super::infer::Questions;
use super::settle::Experiment;
use crate::data::Problems;
use crate::device::Opened;
use crate::error::Result;
use crate::infer::{Sampling, answers};
use crate::measure::Clock;
use crate::model::{Params, Span};
use crate::record::Answers;
use crate::record::metric::{self as name, Metric};
use crate::stat::{self, answers::pass_at_k};

/// What it says to what the spec asks; nothing where that asks nothing.
pub fn ask(
    experiment: &Experiment,
    params: &Params,
    seed: u64,
    opened: &Opened,
    clock: &dyn Clock,
) -> Result<Option<Answers>> {
    let asked = experiment.infer.asked.zip(experiment.source.problems());
    let Some((Questions { samples, problems }, task)) = asked else {
        return Ok(None);
    };
    let model = &experiment.model;
    let weights = model.serving(params, experiment.infer.weights)?;
    let weights = weights.with_cache(experiment.infer.cache);
    let ops = experiment.ops.for_device(&opened.device)?;
    let prompts = task.prompts(experiment.held_out, problems);
    let tokens = task.answer_tokens();
    let device = (ops, &opened.device);
    let said = |times: usize, sampling: &mut Sampling| -> Result<(Vec<_>, f64)> {
        let from_s = clock.now_s();
        let said = answers(model, &weights, device, &prompts, (times, tokens), sampling)?;
        Ok((said, clock.now_s() - from_s))
    };
    // The first answers pay for first touches of memory; a handful will do.
    let mut greedy = Sampling::new(0.0, 0, seed);
    let few = &prompts[..prompts.len().min(8)];
    answers(model, &weights, device, few, (1, 1), &mut greedy)?;
    let (likeliest, greedy_s) = said(1, &mut greedy)?;
    let mut sampling = (experiment.infer.sampling)(seed);
    let (drawn, samples_s) = said(samples, &mut sampling)?;
    let (thoughts, thought_tokens) = task.thoughts();
    let prompt_tokens = prompts.first().map_or(0, Vec::len);
    let right = |said: &[Vec<Vec<u32>>]| right(task, &prompts, said);
    // The first token follows from the prompt; each that is fed stands behind those before it.
    let after = |token| model.serving_flops(Span::token_after(prompt_tokens + token));
    let fed = (0..tokens - 1).map(after);
    Ok(Some(Answers {
        task: task.task(),
        thoughts,
        thought_tokens: thought_tokens as u64,
        prompt_tokens: prompt_tokens as u64,
        answer_tokens: tokens as u64,
        samples: samples as u64,
        temperature: sampling.temperature(),
        greedy: right(&likeliest),
        right: right(&drawn),
        votes: votes(task, &prompts, &drawn),
        chance: chance(task, &prompts, samples),
        generated_tokens: (prompts.len() * (samples + 1) * tokens) as u64,
        prompt_flops: model.prompt_flops(prompt_tokens) as f64,
        sample_flops: fed.sum::<u64>() as f64,
        greedy_s,
        samples_s,
    }))
}

/// Right answers to each problem.
fn right(task: &dyn Problems, prompts: &[Vec<u32>], said: &[Vec<Vec<u32>>]) -> Vec<u64> {
    let of = |(prompt, said): (&Vec<u32>, &Vec<Vec<u32>>)| {
        said.iter()
            .filter(|said| task.is_right(prompt, said))
            .count() as u64
    };
    prompts.iter().zip(said).map(of).collect()
}

/// Votes for each answer to each problem, the right one's first and the others' by falling number, where a problem has one.
fn votes(
    task: &dyn Problems,
    prompts: &[Vec<u32>],
    said: &[Vec<Vec<u32>>],
) -> Option<Vec<Vec<u64>>> {
    let of_problem = |(prompt, said): (&Vec<u32>, &Vec<Vec<u32>>)| {
        let mut right = 0;
        let mut others: Vec<(&[u32], u64)> = Vec::new();
        for said in said {
            let answer = task.vote(said)?;
            if task.is_right(prompt, said) {
                right += 1;
            } else if let Some((_, votes)) = others.iter_mut().find(|(known, _)| *known == answer) {
                *votes += 1;
            } else {
                others.push((answer, 1));
            }
        }
        let mut votes: Vec<u64> = others.iter().map(|(_, votes)| *votes).collect();
        votes.sort_unstable_by(|a, b| b.cmp(a));
        votes.insert(0, right);
        Some(votes)
    };
    prompts.iter().zip(said).map(of_problem).collect()
}

/// Mean probability that one of 1, 2, 4 ... guesses is right, up to as many as there are samples.
fn chance(task: &dyn Problems, prompts: &[Vec<u32>], samples: usize) -> Vec<f64> {
    let each: Vec<f64> = prompts.iter().map(|prompt| task.chance(prompt)).collect();
    let doubling = std::iter::successors(Some(1), |k| Some(2 * k)).take_while(|k| *k <= samples);
    let of = |k: usize| {
        each.iter()
            .map(|p| 1.0 - (1.0 - p).powi(k as i32))
            .sum::<f64>()
    };
    doubling.map(|k| of(k) / each.len() as f64).collect()
}

/// Its figures, with standard errors over problems; absent with a reason where nothing was asked.
pub fn metrics(answers: Option<&Answers>) -> impl Iterator<Item = (String, Metric)> {
    let mean = |name: &'static str, of: &dyn Fn(&Answers) -> Vec<f64>| {
        let metric = answers.map(|answers| {
            let each = of(answers);
            let se = stat::sd(&each).map(|sd| sd / (each.len() as f64).sqrt());
            let mean = stat::mean(&each).unwrap_or(f64::NAN);
            Metric::mean(name, mean, se.unwrap_or(f64::NAN), each.len() as u64)
        });
        let absent = || Metric::absent(name, "no problems were asked");
        (name.to_owned(), metric.unwrap_or_else(absent))
    };
    let solved = |answers: &Answers, k: u64| {
        let of = |c: &u64| pass_at_k(answers.samples, *c, k).unwrap_or(f64::NAN);
        answers.right.iter().map(of).collect()
    };
    [
        mean(name::ANSWER_ACCURACY, &|answers| {
            answers.greedy.iter().map(|right| *right as f64).collect()
        }),
        mean(name::SAMPLE_ACCURACY, &|answers| solved(answers, 1)),
        mean(name::COVERAGE, &|answers| solved(answers, answers.samples)),
    ]
    .into_iter()
}
