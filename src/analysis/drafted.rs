//! What tokens guessed ahead brought while decoding, over prompts: how often a guess is taken, what a pass brings, and how much faster it is.

use super::cell::Cell;
use crate::record::{Drafted, metric};
use crate::stat::interval::{LEVEL, ratio_estimate, ratio_of_means};
use crate::stat::{Estimate, mean};

/// A cell that was served with guesses and without.
#[derive(Debug, Clone)]
pub struct Guessed<'a> {
    /// The cell's name.
    pub cell: &'a str,
    /// What was asked, and what does not differ between repeats.
    pub drafted: &'a Drafted,
    /// Trials.
    pub trials: usize,
    /// Prompts of each.
    pub prompts: usize,
    /// Share of the guesses that were taken; nothing where none was made.
    pub taken: Option<Estimate>,
    /// Tokens for each pass.
    pub per_pass: Option<Estimate>,
    /// Plain seconds over seconds with guesses, a geometric mean over prompts.
    pub speedup: Option<Estimate>,
    /// Prompts behind which all tokens are plain decoding's, of so many; where it was greedy.
    pub same: Option<(u64, u64)>,
    /// FLOPs of a token, the model's own and the smaller model's.
    pub flops: [f64; 2],
    /// Tokens a second, plain and with guesses.
    pub rates: [f64; 2],
    /// Joules of a token, plain and with guesses, where measured.
    pub joules: [Option<f64>; 2],
}

/// Of a cell; nothing where no tokens were guessed.
pub fn guessed<'a>(cell: &'a Cell) -> Option<Guessed<'a>> {
    let all: Vec<&Drafted> = cell.finished().filter_map(|t| t.drafted.as_ref()).collect();
    let first = *all.first()?;
    let prompts = first.passes.len();
    // Prompts are the same in every trial, so that they count once.
    let by_prompt = |of: &dyn Fn(&Drafted, usize) -> Option<f64>| -> Vec<f64> {
        let one = |k: usize| mean(&all.iter().filter_map(|one| of(one, k)).collect::<Vec<_>>());
        (0..prompts).filter_map(one).collect()
    };
    let counted = |of: fn(&Drafted) -> &[u64]| by_prompt(&|one, k| Some(*of(one).get(k)? as f64));
    let generated = counted(|one| &one.passes)
        .iter()
        .map(|_| first.generated as f64)
        .collect::<Vec<_>>();
    let speeds = by_prompt(&|one, k| logs(one).get(k).copied());
    let same = all.iter().map(|one| one.same).sum::<Option<u64>>();
    let of =
        |each: &dyn Fn(&Drafted) -> f64| mean(&all.iter().map(|one| each(one)).collect::<Vec<_>>());
    let rate = |seconds: fn(&Drafted) -> &[f64]| {
        of(&|one| {
            one.generated as f64 * seconds(one).len() as f64 / seconds(one).iter().sum::<f64>()
        })
    };
    Some(Guessed {
        cell: &cell.name,
        drafted: first,
        trials: all.len(),
        prompts,
        taken: ratio_of_means(
            &counted(|one| &one.taken),
            &counted(|one| &one.guessed),
            LEVEL,
        ),
        per_pass: ratio_of_means(&generated, &counted(|one| &one.passes), LEVEL),
        speedup: ratio_estimate(&speeds, LEVEL),
        same: same.map(|same| (same, (prompts * all.len()) as u64)),
        flops: [of(&|one| one.model_flops)?, of(&|one| one.draft_flops)?],
        rates: [rate(|one| &one.plain_s)?, rate(|one| &one.drafted_s)?],
        joules: [
            cell.mean(metric::ENERGY_J_PER_DECODE_TOKEN),
            cell.mean(metric::ENERGY_J_PER_SPECULATIVE_TOKEN),
        ],
    })
}

/// By prompt, the mean logarithm of plain seconds over those with guesses.
fn logs(one: &Drafted) -> Vec<f64> {
    let prompts = one.passes.len();
    let pairs: Vec<f64> = one
        .plain_s
        .iter()
        .zip(&one.drafted_s)
        .map(|(a, b)| (a / b).ln())
        .collect();
    let of = |k: usize| {
        mean(
            &pairs
                .iter()
                .skip(k)
                .step_by(prompts)
                .copied()
                .collect::<Vec<_>>(),
        )
    };
    (0..prompts).filter_map(of).collect()
}
