//! What a figure or a name in a log can be.

use crate::error::{Error, Result};

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
}

/// Every role by its name on the command line, with one sentence.
pub const ROLES: [(&str, Role, &str); 13] = [
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
        "seconds of training (`12.5`, `12.5s`, `387ms`)",
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

    /// Names may be put together from several columns.
    pub(super) fn is_name(self) -> bool {
        matches!(self, Self::Run | Self::Variant | Self::Scale)
    }
}
