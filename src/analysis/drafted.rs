//! What tokens guessed ahead brought while decoding: how often a guess is taken, what a pass brings, and how much faster it is. Each is a
//! ratio of sums, all of these over all of those, as the metrics of a trial are.

use super::cell::Cell;
use crate::record::{Drafted, metric};
use crate::stat::interval::LEVEL;
use crate::stat::{Crossed, Estimate, Pair, mean};

/// A cell that was served with guesses and without.
#[derive(Debug, Clone)]
pub struct Guessed<'a> {
    /// The cell's name.
    pub cell: &'a str,
    /// Its variant.
    pub variant: &'a str,
    /// What was asked, and what does not differ between repeats.
    pub drafted: &'a Drafted,
    /// Trials.
    pub trials: usize,
    /// Trained models: as many as trials where these trained one each; one where all serve the same.
    pub models: usize,
    /// Prompts of each.
    pub prompts: usize,
    /// Tokens guessed.
    pub guesses: u64,
    /// Share of the guesses that were taken; nothing where none was made.
    pub taken: Option<Estimate>,
    /// Tokens for each pass that judges.
    pub per_pass: Option<Estimate>,
    /// Passes, and those among them that judge nothing: they feed again what a recurrent state went back behind.
    pub passes: [u64; 2],
    /// Seconds of plain decoding over those with guesses; nothing where none was made.
    pub speedup: Option<Estimate>,
    /// Prompts behind which all tokens are plain decoding's, of so many; where it was greedy.
    pub same: Option<(u64, u64)>,
    /// FLOPs of a token, the model's own and the smaller model's.
    pub flops: [f64; 2],
    /// Tokens a second, plain and with guesses.
    pub rates: [f64; 2],
    /// Seconds in which the smaller model reads a prompt.
    pub read_s: f64,
    /// Joules of a token, plain and with guesses, where measured.
    pub joules: [Option<f64>; 2],
}

impl Guessed<'_> {
    /// What a table of metrics shows of it: the same figures under the metrics' names.
    pub fn figure(&self, name: &str) -> Option<f64> {
        let of = |found: Option<Estimate>| found.map(|found| found.value);
        match name {
            metric::SPECULATIVE_TOKENS_PER_S => Some(self.rates[1]),
            metric::SPECULATIVE_SPEEDUP => of(self.speedup),
            metric::DRAFT_ACCEPTANCE => of(self.taken),
            metric::TOKENS_PER_PASS => of(self.per_pass),
            _ => None,
        }
    }
}

/// Of a cell; nothing where no tokens were guessed.
pub fn guessed<'a>(cell: &'a Cell) -> Option<Guessed<'a>> {
    let all: Vec<&Drafted> = cell.finished().filter_map(|t| t.drafted.as_ref()).collect();
    let first = *all.first()?;
    let prompts = first.passes.len();
    // What nobody trained here is the same model in every repeat.
    let trained = cell.finished().any(|trial| trial.train_tokens() != Some(0));
    let row = |trial: usize| if trained { trial } else { 0 };
    let table = |of: &dyn Fn(&Drafted) -> Vec<(f64, f64)>| -> Option<Crossed> {
        let mut pairs = Vec::new();
        for (k, one) in all.iter().enumerate() {
            let cells = of(one).into_iter().enumerate();
            pairs.extend(cells.map(|(at, (a, b))| Pair {
                of: [row(k), at % prompts.max(1)],
                a,
                b,
            }));
        }
        Crossed::of(&pairs)
    };
    let sum = |of: &dyn Fn(&Drafted) -> u64| all.iter().map(|one| of(one)).sum::<u64>();
    let guesses = sum(&|one| one.guessed.iter().sum());
    let passes = sum(&|one| one.passes.iter().sum());
    let judging = sum(&|one| one.judging().sum());
    let most = first.draft_tokens as f64 + 1.0;
    let rate = |seconds: fn(&Drafted) -> &[f64]| -> f64 {
        let runs = |one: &&Drafted| one.generated as f64 * seconds(one).len() as f64;
        let tokens: f64 = all.iter().map(runs).sum();
        tokens / all.iter().flat_map(|one| seconds(one)).sum::<f64>()
    };
    let of =
        |each: &dyn Fn(&Drafted) -> f64| mean(&all.iter().map(|one| each(one)).collect::<Vec<_>>());
    let same = all.iter().map(|one| one.same).sum::<Option<u64>>();
    Some(Guessed {
        cell: &cell.name,
        variant: &cell.any().variant,
        drafted: first,
        trials: all.len(),
        models: if trained { all.len() } else { 1 },
        prompts,
        guesses,
        taken: table(&|one| counted(one.taken.iter().copied(), one.guessed.iter().copied()))
            .map(|found| found.between([0.0, 1.0], LEVEL)),
        per_pass: table(&|one| counted(one.judging().map(|_| one.generated), one.judging()))
            .map(|found| found.between([1.0, most], LEVEL)),
        passes: [passes, passes.saturating_sub(judging)],
        speedup: table(&|one| both(&one.plain_s, &one.drafted_s))
            .filter(|_| guesses > 0)
            .map(|found| found.positive(LEVEL)),
        same: same.map(|same| (same, (prompts * all.len()) as u64)),
        flops: [of(&|one| one.model_flops)?, of(&|one| one.draft_flops)?],
        rates: [rate(|one| &one.plain_s), rate(|one| &one.drafted_s)],
        read_s: of(&|one| one.read_s)?,
        joules: [
            cell.mean(metric::ENERGY_J_PER_DECODE_TOKEN),
            cell.mean(metric::ENERGY_J_PER_SPECULATIVE_TOKEN),
        ],
    })
}

fn counted(these: impl Iterator<Item = u64>, those: impl Iterator<Item = u64>) -> Vec<(f64, f64)> {
    these
        .zip(those)
        .map(|(a, b)| (a as f64, b as f64))
        .collect()
}

fn both(these: &[f64], those: &[f64]) -> Vec<(f64, f64)> {
    let pairs = these.iter().zip(those);
    pairs.map(|(a, b)| (*a, *b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::findings::Findings;
    use crate::record::ResultFile;
    use crate::record::example::example;

    /// A cell of that many trials, each with its own counts.
    fn file(of: &[[&[u64]; 2]], trained: bool) -> ResultFile {
        let mut file = example();
        let name = file.trials[0].cell.clone();
        file.trials.retain(|trial| trial.cell == name);
        file.trials.truncate(of.len());
        for (trial, [guessed, taken]) in file.trials.iter_mut().zip(of) {
            if let (false, Some(cost)) = (trained, trial.cost.as_mut()) {
                cost.train_tokens = 0;
            }
            trial.drafted = Some(Drafted {
                guessed: guessed.to_vec(),
                taken: taken.to_vec(),
                passes: taken.iter().map(|taken| 31 - taken).collect(),
                plain_s: vec![3.0, 1.0, 3.0],
                drafted_s: vec![1.0, 1.0, 1.0],
                ..Drafted::example()
            });
        }
        file
    }

    fn found(file: &ResultFile, look: impl FnOnce(Guessed)) {
        look(guessed(&Findings::of(file).cells[0]).unwrap());
    }

    /// 46 of 62 guesses over two prompts: a share, and an interval that is one.
    #[test]
    fn two_prompts_have_a_share_and_an_interval_within_it() {
        found(&file(&[[&[34, 28], &[22, 24]]], true), |one| {
            let taken = one.taken.unwrap();
            assert!((taken.value - 46.0 / 62.0).abs() < 1e-12);
            let ends = taken.interval.unwrap();
            assert!(ends.low > 0.0 && ends.high < 1.0, "{ends:?}");
            let per_pass = one.per_pass.unwrap();
            assert!((per_pass.value - 62.0 / 16.0).abs() < 1e-12);
            let ends = per_pass.interval.unwrap();
            assert!(ends.low > 1.0 && ends.high < 5.0, "{ends:?}");
            // 7 s over 3 s: as the rates beside it say, and no mean of single ratios.
            let speedup = one.speedup.unwrap().value;
            assert!((speedup - 7.0 / 3.0).abs() < 1e-12);
            assert!((one.rates[1] / one.rates[0] - speedup).abs() < 1e-12);
        });
    }

    #[test]
    fn where_nothing_was_guessed_no_gain_is_told() {
        found(&file(&[[&[0, 0], &[0, 0]]], true), |one| {
            assert!(one.taken.is_none() && one.speedup.is_none());
            assert_eq!(one.per_pass.unwrap().value, 1.0);
            assert_eq!(one.figure(metric::SPECULATIVE_SPEEDUP), None);
        });
    }

    /// Two trained models of which one takes all and one nothing are far from certain; one model that was served twice is.
    #[test]
    fn trained_models_count_and_repeats_of_one_model_do_not() {
        let of: [[&[u64]; 2]; 2] = [[&[24, 24, 20], &[23, 24, 19]], [&[24, 24, 24], &[0, 1, 0]]];
        let width = |one: Guessed| {
            let ends = one.taken.unwrap().interval.unwrap();
            ends.high - ends.low
        };
        found(&file(&of, true), |one| {
            assert_eq!((one.models, one.trials), (2, 2));
            assert!(width(one) > 0.99);
        });
        found(&file(&of, false), |one| {
            assert_eq!((one.models, one.trials), (1, 2));
            assert!(width(one) < 0.3);
        });
    }
}
