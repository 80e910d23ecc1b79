//! What a figure or a name in a log can be.

use super::quantity::Quantity;
use crate::error::{Error, Result};
use crate::record::metric;

/// What a figure or a name in a log can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Which run a row belongs to.
    Run,
    /// The algorithm.
    Variant,
    /// The size.
    Scale,
    /// The random seed: pairs the runs of different variants.
    Seed,
    /// Planned steps, where a log may end early.
    Budget,
    /// Optimizer steps done.
    Step,
    /// Training tokens seen.
    Tokens,
    /// Tokens of one step, where the log counts steps only.
    TokensPerStep,
    /// Training FLOPs spent.
    Flops,
    /// Seconds of training.
    Seconds,
    /// Parameters.
    Params,
    /// Training loss.
    TrainLoss,
    /// The loss that is judged.
    Loss,
    /// Energy of training.
    Joules,
    /// Power, of which energy is made.
    Watts,
    /// Training tokens per second.
    TokensPerS,
    /// Prompt tokens per second.
    PrefillTokensPerS,
    /// Generated tokens per second.
    DecodeTokensPerS,
    /// Share of right answers.
    Accuracy,
}

/// Every role by its name on the command line, with one sentence.
pub const ROLES: [(&str, Role, &str); 19] = [
    (
        "run",
        Role::Run,
        "which run a row belongs to; `@row` where each row is a run of its own",
    ),
    ("variant", Role::Variant, "the algorithm: what is compared"),
    (
        "scale",
        Role::Scale,
        "the size: only runs of one size are compared",
    ),
    (
        "seed",
        Role::Seed,
        "the random seed, by which runs of different variants are paired",
    ),
    (
        "budget",
        Role::Budget,
        "planned steps; without it those that were done",
    ),
    ("step", Role::Step, "optimizer steps done"),
    ("tokens", Role::Tokens, "training tokens seen"),
    (
        "tokens_per_step",
        Role::TokensPerStep,
        "tokens of one step, where a log counts steps only",
    ),
    (
        "flops",
        Role::Flops,
        "training FLOPs spent; without them 6 N D from params and tokens",
    ),
    (
        "seconds",
        Role::Seconds,
        "seconds of training (`12.5`, `387ms`, `0:01:40`)",
    ),
    ("params", Role::Params, "parameters of the model"),
    (
        "train_loss",
        Role::TrainLoss,
        "training loss, for the curve",
    ),
    (
        "loss",
        Role::Loss,
        "the loss that is judged; its last value is the run's result (nats, or `--unit`)",
    ),
    (
        "joules",
        Role::Joules,
        "energy of training (`12`, `0.067 kWh`, or a column whose name ends in kwh)",
    ),
    (
        "watts",
        Role::Watts,
        "power, integrated over the rows' seconds; with run=@row a row's mean, times its seconds",
    ),
    (
        "tokens_per_s",
        Role::TokensPerS,
        "training tokens per second",
    ),
    (
        "prefill_tokens_per_s",
        Role::PrefillTokensPerS,
        "prompt tokens per second",
    ),
    (
        "decode_tokens_per_s",
        Role::DecodeTokensPerS,
        "generated tokens per second",
    ),
    (
        "accuracy",
        Role::Accuracy,
        "share of right answers (`0.41`, `41%`)",
    ),
];

/// The roles whose figures are metrics of a run as they stand, a loss beside them or none.
pub const FIGURES: [(Role, &str); 4] = [
    (Role::TokensPerS, metric::TRAIN_TOKENS_PER_S),
    (Role::PrefillTokensPerS, metric::PREFILL_TOKENS_PER_S),
    (Role::DecodeTokensPerS, metric::DECODE_TOKENS_PER_S),
    (Role::Accuracy, metric::TASK_ACCURACY),
];

impl Role {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        ROLES
            .iter()
            .find(|(_, role, _)| *role == self)
            .map_or("", |(name, ..)| name)
    }

    pub(super) fn of(name: &str) -> Result<Self> {
        let found = ROLES.iter().find(|(known, ..)| *known == name);
        found.map(|(_, role, _)| *role).ok_or_else(|| {
            Error::input(format!("unknown role `{}`", name.escape_debug()))
                .suggest(name, ROLES.map(|(name, ..)| name))
        })
    }

    /// Whether a table may hold it and no loss: a table of speeds, of energies, of accuracies.
    pub fn is_measure(self) -> bool {
        matches!(self, Self::Joules | Self::Watts) || FIGURES.iter().any(|(role, _)| *role == self)
    }

    /// What its figures are of.
    pub fn quantity(self) -> Quantity {
        match self {
            Self::Budget | Self::Step | Self::Tokens | Self::TokensPerStep | Self::Params => {
                Quantity::Count
            }
            Self::Flops => Quantity::Flops,
            Self::Seconds => Quantity::Duration,
            Self::Joules => Quantity::Energy,
            Self::Watts => Quantity::Power,
            Self::TokensPerS | Self::PrefillTokensPerS | Self::DecodeTokensPerS => Quantity::Rate,
            Self::Accuracy => Quantity::Share,
            _ => Quantity::Plain,
        }
    }

    /// Names may be put together from several columns.
    pub(super) fn is_name(self) -> bool {
        matches!(self, Self::Run | Self::Variant | Self::Scale)
    }
}
