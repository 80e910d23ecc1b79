//! What columns of tables are called: one list of names for every command that reads one. Case, blanks and punctuation do not
//! count (`Training FLOP`, `training_flop` and `training-flop` are one name); a single letter counts as it stands (`N`, `D`).

mod unit;

pub use unit::{energy_unit, name_unit, power_unit};

use super::delimited::Table;
use super::quantity::Quantity;
use crate::error::{Error, Result};
use crate::record::LossUnit;
use crate::record::loss::plain;

/// Names of validation losses: where one stands beside a plain `loss`, that one is the training loss.
const VALIDATION: [&str; 11] = [
    "val_loss",
    "valid_loss",
    "validation_loss",
    "eval_loss",
    "dev_loss",
    "heldout_loss",
    "loss_val",
    "val_nll",
    "val_loss_epoch",
    "valid_loss_epoch",
    "tel", // llm.c's test loss
];
/// Losses in another unit, which their names say.
const OTHER_UNITS: [&str; 6] = [
    "perplexity",
    "ppl",
    "bpb",
    "bits_per_byte",
    "bits_per_token",
    "bits_per_character",
];
/// The same of validation, which is judged where a plain `loss` stands beside it.
const VALIDATION_IN_OTHER_UNITS: [&str; 11] = [
    "val_loss_bits",
    "eval_loss_bits",
    "val_bits",
    "val_ppl",
    "val_perplexity",
    "validation_perplexity",
    "eval_ppl",
    "eval_perplexity",
    "val_bpb",
    "eval_bpb",
    "val_bits_per_byte",
];

/// wandb's own, which counts the calls of its log: a step where there is no other.
const CALLS: &str = "_step";

/// What is looked for, in the order of preference; of the names of one rank only one may be there.
const NAMES: [(&str, &[&[&str]]); 25] = [
    ("run", &[&["run"], &["run_id", "run_name"]]),
    (
        "variant",
        &[
            &["variant"],
            &["optimizer", "optimiser", "algorithm", "method", "arm"],
        ],
    ),
    ("group", &[&["group"], &["variant", "series", "family"]]),
    ("scale", &[&["scale"]]),
    ("seed", &[&["seed"], &["random_seed", "rng_seed"]]),
    (
        "repeat",
        &[
            &["repeat"],
            &["seed", "random_seed", "rng_seed", "replicate"],
        ],
    ),
    (
        "budget",
        &[&["budget"], &["max_steps", "total_steps", "planned_steps"]],
    ),
    (
        "step",
        &[
            &["train_global_step", "trainer_global_step"],
            &["step"],
            &[
                "steps",
                "global_step",
                "train_step",
                "training_step",
                "optimizer_step",
                "current_steps", // LLaMA-Factory's
                "current_step",
                "iter",
                "iteration",
                "iterations",
            ],
            &["s"], // llm.c's
        ],
    ),
    (
        "tokens",
        &[
            &["tokens"],
            &[
                "train_tokens",
                "training_tokens",
                "tokens_seen",
                "num_tokens",
                "n_tokens",
                "total_tokens",
                "consumed_tokens",
                "num_input_tokens_seen",
                "trained_tokens",
            ],
            &["D"],
            &["dataset_tokens", "dataset_size_tokens", "data_tokens"],
        ],
    ),
    (
        "tokens_per_param",
        &[
            &["tokens_per_param", "tokens_per_parameter"],
            &["token_multiplier", "d_n", "tokens_param"],
        ],
    ),
    (
        "tokens_per_step",
        &[&["tokens_per_step"], &["tokens_per_batch", "batch_tokens"]],
    ),
    (
        "flops",
        &[
            &["flops"],
            &[
                "flop",
                "train_flops",
                "train_flop",
                "training_flops",
                "training_flop",
                "total_flops",
                "compute_flops",
                "flops_budget",
            ],
            &["C"],
            &[
                "compute_budget",
                "train_compute_flop",
                "train_compute_flops",
                "training_compute_flop",
                "training_compute_flops",
            ],
        ],
    ),
    (
        "seconds",
        &[
            &["seconds"],
            &[
                "train_time",
                "training_time",
                "train_seconds",
                "elapsed",
                "elapsed_s",
                "elapsed_seconds",
                "elapsed_time",
            ],
            &["wall_s", "wall_seconds", "runtime", "runtime_s"],
            &["relative_time_process", "relative_time_wall"],
            &["accumulated_submission_time"], // AlgoPerf's
            &["wall_time", "timestamp"],
        ],
    ),
    (
        "params",
        &[
            &["params"],
            &[
                "parameters",
                "num_params",
                "n_params",
                "num_parameters",
                "n_parameters",
                "param_count",
                "parameter_count",
            ],
            &["model_size", "total_params", "size_parameters"],
            &["N"],
            &[
                "non_embedding_params",
                "non_embedding_parameters",
                "params_non_embedding",
                "parameters_non_embedding",
                "params_non_emb",
                "non_emb_params",
            ],
        ],
    ),
    (
        "unique_tokens",
        &[&["unique_tokens"], &["different_tokens"]],
    ),
    ("epochs", &[&["epochs"], &["num_epochs", "n_epochs"]]),
    ("lr", &[&["lr"], &["learning_rate", "peak_lr", "max_lr"]]),
    (
        "batch",
        &[
            &["batch"],
            &["batch_size", "global_batch_size", "total_batch_size"],
            &["bs", "gbs", "global_bs"],
            &["batch_size_tokens", "batch_size_in_tokens", "batch_tokens"],
        ],
    ),
    (
        "train_loss",
        &[
            &["train_loss"],
            &["training_loss", "loss_train", "loss_out"], // Lingua's
            &["train_loss_bits"],
            &["trl"], // llm.c's
        ],
    ),
    (
        "loss",
        &[
            &VALIDATION,
            &VALIDATION_IN_OTHER_UNITS,
            &["loss"],
            &["final_loss", "final_val_loss", "final_validation_loss"],
            &["L"],
            &OTHER_UNITS,
        ],
    ),
    (
        "joules",
        &[
            &["joules"],
            &["energy_j", "energy_joules", "energy_kwh", "energy_wh"],
            &[
                "total_energy_j",
                "total_energy_joules",
                "total_energy_kwh",
                "total_energy_wh",
            ],
        ],
    ),
    (
        "tokens_per_s",
        &[
            &["tokens_per_s"],
            &[
                "train_tokens_per_s",
                "train_tokens_per_second",
                "tokens_per_second",
                "tokens_per_sec",
            ],
            &["tok_s", "tok_sec", "tokens_sec", "tps"],
        ],
    ),
    ("prefill_tokens_per_s", &[&["prefill_tokens_per_s"]]),
    ("decode_tokens_per_s", &[&["decode_tokens_per_s"]]),
    (
        "accuracy",
        &[
            &["accuracy"],
            &["val_accuracy", "eval_accuracy", "validation_accuracy"],
            &["test_accuracy"],
        ],
    ),
];

/// The place of the column that a table has for what is looked for, if any.
///
/// # Errors
///
/// Two columns that could be it.
pub fn find(table: &Table, name: &str) -> Result<Option<usize>> {
    let ranks = NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map_or(&[][..], |(_, ranks)| *ranks);
    for rank in ranks {
        // Of several evaluation sets none is the loss, and the training's is none of them either.
        if name == "loss" && rank.contains(&"loss") {
            let mut sets = (0..table.columns.len()).filter(|&k| is_of_a_set(&table.columns[k]));
            match (sets.next(), sets.next()) {
                (Some(place), None) => return Ok(Some(place)),
                (Some(one), Some(other)) => return Err(twice(table, name, one, other)),
                (None, _) => {}
            }
        }
        let called = |k: &usize| {
            let column = &table.columns[*k];
            column != CALLS && rank.iter().any(|known| is(column, known))
        };
        let mut places = (0..table.columns.len()).filter(called);
        match (places.next(), places.next()) {
            (Some(place), None) => return Ok(Some(place)),
            (Some(one), Some(other)) => return Err(twice(table, name, one, other)),
            (None, _) => {}
        }
    }
    if name == "step" {
        return Ok(table.columns.iter().position(|column| column == CALLS));
    }
    if let Some(place) = find_with_unit(table, name, ranks)? {
        return Ok(Some(place));
    }
    if let Some(place) = find_below(table, name, ranks) {
        return Ok(Some(place));
    }
    // A loss of which the table says nothing else, beside one that is judged, is the training loss.
    if name == "train_loss" {
        let loss = (0..table.columns.len()).find(|&k| is(&table.columns[k], "loss"));
        return Ok(loss.filter(|place| {
            find(table, "loss").is_ok_and(|judged| judged.is_some_and(|j| j != *place))
        }));
    }
    Ok(None)
}

fn twice(table: &Table, name: &str, one: usize, other: usize) -> Error {
    let (one, other) = (
        table.columns[one].escape_debug(),
        table.columns[other].escape_debug(),
    );
    let file = &table.file;
    if one.to_string() == other.to_string() {
        return Error::input(format!("{file}: two columns are called `{one}`"));
    }
    Error::input(format!(
        "{file}: the column of {name} could be `{one}` or `{other}`"
    ))
    .hint(format!(
        "--map {name}=\"{one}\" or --map {name}=\"{other}\" says which"
    ))
}

/// Decimal logarithms of a perplexity are no loss in any unit that is known.
///
/// # Errors
///
/// A column whose name says so.
pub fn refuse_decimal(table: &Table, column: usize) -> Result<()> {
    let (file, name) = (&table.file, &table.columns[column]);
    if !LossUnit::is_decimal(name) {
        return Ok(());
    }
    let name = name.escape_debug();
    Err(Error::input(format!(
        "{file}: `{name}` holds decimal logarithms of a perplexity, which is no unit of a loss here"
    ))
    .hint("multiply the column by 2.302585, which makes nats of it, and call it `loss`"))
}

/// A column that is called by a known name and a unit behind it: `params_m`, `N (B)`, `loss_bits`, `total_gflops`.
fn find_with_unit(table: &Table, name: &str, ranks: &[&[&str]]) -> Result<Option<usize>> {
    let stem = |column: &str| {
        let stem = match name {
            "params" | "tokens" | "unique_tokens" | "batch" => {
                unit::split(column, Quantity::Count)?.0
            }
            "flops" => unit::split(column, Quantity::Flops)?.0,
            "loss" | "train_loss" => unit::split_loss(column)?,
            _ => return None,
        };
        // `N_b` may be anything, and `tflops` is mostly a speed.
        let clear = match stem.as_str() {
            letter if letter.len() == 1 => !column.contains('_'),
            "flops" => plain(column).starts_with("flops_"),
            _ => true,
        };
        clear.then_some(stem)
    };
    // A unit says of a compute that it is one of FLOPs.
    let computes: &[&str] = match name {
        "flops" => &[
            "compute",
            "train_compute",
            "training_compute",
            "total_compute",
        ],
        _ => &[],
    };
    for rank in ranks.iter().chain([&computes]) {
        let mut places = (0..table.columns.len()).filter(|&k| {
            stem(&table.columns[k]).is_some_and(|stem| rank.iter().any(|known| is(&stem, known)))
        });
        match (places.next(), places.next()) {
            (Some(place), None) => return Ok(Some(place)),
            (Some(one), Some(other)) => return Err(twice(table, name, one, other)),
            (None, _) => {}
        }
    }
    Ok(None)
}

/// An amount that stands below a heading of its tool's: `throughput/total_tokens`, `throughput/total_gflops`.
fn find_below(table: &Table, name: &str, ranks: &[&[&str]]) -> Option<usize> {
    let quantity = match name {
        "tokens" => Quantity::Count,
        "flops" => Quantity::Flops,
        _ => return None,
    };
    let known = |name: &str| {
        ranks
            .iter()
            .any(|rank| rank.iter().any(|known| is(name, known)))
    };
    let mut places = (0..table.columns.len()).filter(|&k| {
        let below = table.columns[k].rsplit_once('/').map(|(_, name)| name);
        below.is_some_and(|below| {
            let stem = unit::split(below, quantity).map(|(stem, _)| stem);
            known(stem.as_deref().unwrap_or(below)) && below.len() > 1
        })
    });
    let place = places.next()?;
    places.next().is_none().then_some(place)
}

/// Whether a column is the loss of one evaluation set among others: `eval_wiki_loss`.
fn is_of_a_set(column: &str) -> bool {
    let name = plain(column);
    let begins = ["eval_", "val_", "valid_", "validation_"];
    name.ends_with("_loss") && begins.iter().any(|start| name.starts_with(start))
}

/// Whether a name is that of a loss.
pub fn is_loss(name: &str) -> bool {
    let known = NAMES.iter().find(|(known, _)| *known == "loss");
    known.is_some_and(|(_, ranks)| ranks.concat().iter().any(|known| is(name, known)))
        || is(name, "train_loss")
}

/// Whether a column is called so.
fn is(column: &str, known: &str) -> bool {
    if known.len() == 1 {
        column == known
    } else {
        // MLflow's and Neptune's tables of runs have what was measured below `metrics`.
        let name = plain(column);
        name == known || name.strip_prefix("metrics_") == Some(known)
    }
}

#[cfg(test)]
mod tests;
