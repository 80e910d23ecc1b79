//! What one trial spent on training and would spend on a request, in every unit, or why nobody knows.

use serde::Serialize;
use serde_json::Value;

use crate::analysis::price::{Amount, Usage};
use crate::config::Price;
use crate::record::{Drafted, Machine, Trial, metric};

/// What costs are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// At stated prices.
    Money,
    /// As timed.
    Seconds,
    /// As counted: the model's and the optimizer's.
    Flops,
    /// As metered.
    Joules,
    /// Of what was metered, at a stated intensity of the grid.
    Carbon,
}

impl Measure {
    /// All of them, the one that decides first.
    pub const ALL: [Self; 5] = [
        Self::Money,
        Self::Seconds,
        Self::Flops,
        Self::Joules,
        Self::Carbon,
    ];

    /// For prose, after "in".
    pub fn words(self) -> &'static str {
        match self {
            Self::Money => "money",
            Self::Seconds => "seconds",
            Self::Flops => "FLOPs",
            Self::Joules => "joules",
            Self::Carbon => "gCO2e",
        }
    }

    /// Whether repeats of it differ by nothing but what was asked for.
    pub fn is_counted(self) -> bool {
        self == Self::Flops
    }
}

/// What is asked once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Request {
    /// Tokens read.
    pub prompt: u64,
    /// Tokens written; the first of them follows from the prompt.
    pub answer: u64,
}

/// How a trial was served when its rates were measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Served {
    /// `infer.prompt`.
    pub prompt: u64,
    /// `infer.generate`.
    pub generate: u64,
    /// `infer.batch`.
    pub batch: u64,
    /// `infer.depth`.
    pub depth: u64,
    /// Whether tokens were guessed ahead (`infer.draft`).
    pub drafted: bool,
}

impl Served {
    /// From a settled spec; `None` of one that says nothing of it.
    pub fn of(trial: &Trial) -> Option<Self> {
        let read = |key: &str| trial.spec.pointer(key).and_then(Value::as_u64);
        Some(Self {
            prompt: read("/infer/prompt")?,
            generate: read("/infer/generate")?,
            batch: read("/infer/batch").unwrap_or(1),
            depth: read("/infer/depth").unwrap_or(0),
            drafted: trial.drafted.is_some(),
        })
    }
}

/// A figure, or why there is none.
pub(super) type Told = Result<f64, String>;

/// What training cost; nothing of a model that was not trained here, which is not free.
pub(super) fn training(
    measure: Measure,
    trial: &Trial,
    machine: &Machine,
    price: Option<&Price>,
) -> Told {
    if trial.train_tokens() == Some(0) {
        return Err(
            "it was not trained here, and a file of weights does not say what its training cost"
                .to_owned(),
        );
    }
    match measure {
        Measure::Flops => {
            let counted = trial.train_flops().ok_or("the record counts none")?;
            let optimizer = trial.cost.as_ref().map_or(0.0, |cost| cost.optimizer_flops);
            Ok(counted + optimizer)
        }
        _ => amount(measure, &Usage::of(trial, machine), price),
    }
}

/// What a request costs.
pub(super) fn request(
    measure: Measure,
    trial: &Trial,
    machine: &Machine,
    price: Option<&Price>,
    asked: Request,
) -> Told {
    match measure {
        Measure::Flops => flops(trial, asked),
        _ => amount(measure, &serving(trial, machine, asked), price),
    }
}

fn amount(measure: Measure, used: &Usage, price: Option<&Price>) -> Told {
    let priced = || price.ok_or_else(|| "no prices were given".to_owned());
    let amount = match measure {
        Measure::Money => priced()?.money(used).total,
        Measure::Carbon => priced()?.carbon(used).total,
        Measure::Joules => used.joules.clone(),
        Measure::Seconds | Measure::Flops => used.seconds.clone(),
    };
    match amount {
        Amount::Measured { value } => Ok(value),
        Amount::Modelled { .. } => {
            Err("no meter read it: there is only a model's range".to_owned())
        }
        Amount::Absent { reason } => Err(reason.replace('_', " ")),
    }
}

/// The smaller model that guesses ahead, where one does: the text itself reads nothing and computes nothing.
fn small_model(trial: &Trial) -> Option<&Drafted> {
    let drafted = trial.drafted.as_ref();
    drafted.filter(|drafted| drafted.draft_flops > 0.0)
}

/// A part of what the smaller model's reading took, for each token of a prompt.
fn per_read_token(trial: &Trial, whole: f64) -> f64 {
    let read = Served::of(trial).map_or(1, |served| served.depth + served.prompt);
    whole / read.max(1) as f64
}

/// What serving one request takes of the machine: where tokens are guessed ahead, as that was measured.
fn serving(trial: &Trial, machine: &Machine, asked: Request) -> Usage {
    let [prompt, further] = tokens(asked);
    let rate = |name: &str| told(trial, name).map(|rate| 1.0 / rate);
    let joules = |name: &str| told(trial, name);
    let sum = |prompts: Told, decode: Told| match (prompts, decode) {
        (Ok(a), Ok(b)) => Amount::Measured {
            value: prompt * a + further * b,
        },
        (Err(reason), _) | (_, Err(reason)) => Amount::absent(reason),
    };
    let (decoding, decoding_j) = match trial.drafted {
        Some(_) => (
            metric::SPECULATIVE_TOKENS_PER_S,
            metric::ENERGY_J_PER_SPECULATIVE_TOKEN,
        ),
        None => (
            metric::DECODE_TOKENS_PER_S,
            metric::ENERGY_J_PER_DECODE_TOKEN,
        ),
    };
    let small = small_model(trial);
    let read_s = small.map_or(0.0, |small| per_read_token(trial, small.read_s));
    let prompt_j = match small {
        Some(_) => Err("no meter was read while the smaller model read a prompt".to_owned()),
        None => joules(metric::ENERGY_J_PER_PREFILL_TOKEN),
    };
    Usage {
        seconds: sum(
            rate(metric::PREFILL_TOKENS_PER_S).map(|own| own + read_s),
            rate(decoding),
        ),
        joules: sum(prompt_j, joules(decoding_j)),
        metered: "measured".to_owned(),
        data: None,
        ..Usage::of(trial, machine)
    }
}

/// Tokens of the prompt, and those of the answer that are fed again.
fn tokens(asked: Request) -> [f64; 2] {
    [asked.prompt as f64, asked.answer.saturating_sub(1) as f64]
}

/// A metric above 0, or why there is none.
pub(super) fn told(trial: &Trial, name: &str) -> Told {
    let found = trial.metrics.get(name);
    let value = found.and_then(|metric| metric.value).filter(|v| *v > 0.0);
    let reason = || found.and_then(|metric| metric.reason.clone());
    value.ok_or_else(|| reason().unwrap_or_else(|| format!("no {name} in the record")))
}

/// Counted token by token at its depth; in files from before at the mean depth of a window of training.
fn flops(trial: &Trial, asked: Request) -> Told {
    let cost = trial.cost.as_ref().ok_or("the record counts none")?;
    let seen = Served::of(trial).map_or(0, |served| served.depth);
    if let Some(drafted) = &trial.drafted {
        return guessing_flops(trial, drafted, asked, seen);
    }
    let further = asked.answer.saturating_sub(1);
    let counted = cost.token_flops.as_ref().and_then(|table| {
        let answer = table.one_by_one(seen.saturating_add(asked.prompt), further)?;
        Some(table.prompt(seen, asked.prompt)? + answer)
    });
    let [prompt, further] = tokens(asked);
    Ok(counted.unwrap_or((prompt + further) * cost.forward_flops_per_token))
}

/// Where tokens are guessed ahead: what a token then took of both models, thrown away or not, and the prompt for each of them.
fn guessing_flops(trial: &Trial, drafted: &Drafted, asked: Request, seen: u64) -> Told {
    let table = trial
        .cost
        .as_ref()
        .and_then(|cost| cost.token_flops.as_ref());
    let own = table.and_then(|table| table.prompt(seen, asked.prompt));
    let own = own.ok_or("the record counts no FLOPs of a prompt")?;
    let read = match small_model(trial) {
        Some(small) => {
            let why = "the record does not count what the smaller model computes to read a prompt";
            asked.prompt as f64 * per_read_token(trial, small.read_flops.ok_or(why)?)
        }
        None => 0.0,
    };
    let [_, further] = tokens(asked);
    Ok(own + read + further * (drafted.model_flops + drafted.draft_flops))
}

/// FLOPs of a prompt's tokens and of those decoded after it as they were served, per token, where both were timed.
pub(super) fn per_token(trial: &Trial) -> Option<[f64; 2]> {
    let served = Served::of(trial)?;
    let cost = trial.cost.as_ref()?;
    let table = cost.token_flops.as_ref();
    let further = served.generate.saturating_sub(1).max(1);
    let prompt = table
        .and_then(|table| table.prompt(served.depth, served.prompt))
        .map(|flops| flops / served.prompt.max(1) as f64);
    let decode = table
        .and_then(|table| table.one_by_one(served.depth + served.prompt, further))
        .map(|flops| flops / further as f64);
    let otherwise = cost.forward_flops_per_token;
    Some([prompt.unwrap_or(otherwise), decode.unwrap_or(otherwise)])
}
