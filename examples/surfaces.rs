//! Prints the `[[surface]]` rows of variants from result files with sweeps in them:
//!
//! ```text
//! cargo run --release --example surfaces -- 32 128 results/gain-epyc-19h-2c-linux.json
//! ```
//!
//! The two numbers are the widths that the rows are for: those that were swept, or more where the variants' parametrisation
//! carries a rate over widths.

#![allow(clippy::print_stdout, reason = "its rows are what it is run for")]

use std::collections::BTreeMap;
use std::path::Path;

use effbench::config::names::data_label;
use effbench::config::{Origin, RateSurface, Tree};
use effbench::record::swept::Position;
use effbench::record::{Trial, store};
use effbench::runner::sweep::Swept;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [narrow, wide, files @ ..] = args.as_slice() else {
        return Err("expected two widths and result files".into());
    };
    let widths = [narrow.parse::<f64>()?.ln(), wide.parse::<f64>()?.ln()];
    for name in files {
        let file = store::read_valid(Path::new(name)).map_err(|error| error.to_string())?;
        let mut arms: BTreeMap<(String, String, u64), Vec<&Trial>> = BTreeMap::new();
        for trial in file.trials.iter().filter(|trial| trial.in_sweep()) {
            let tree = Tree::from_json(&trial.spec, &Origin::named(name))
                .map_err(|error| error.to_string())?;
            let number = |pointer: &str| {
                trial
                    .spec
                    .pointer(pointer)
                    .and_then(serde_json::Value::as_u64)
                    .unwrap_or(0)
            };
            let per_step = number("/train/batch") * number("/model/context");
            let within = trial
                .cost
                .as_ref()
                .and_then(|cost| Position::of(&trial.spec, cost));
            if within.is_some_and(|at| (widths[0] - 1e-9..=widths[1] + 1e-9).contains(&at.ln_width))
            {
                arms.entry((trial.variant.clone(), data_label(&tree), per_step))
                    .or_default()
                    .push(trial);
            }
        }
        for ((variant, data, tokens_per_step), trials) in arms {
            let swept = Swept::of(&variant, &trials, None).map_err(|error| error.to_string())?;
            let mut surface = swept.surface().clone();
            surface.support.ln_size = widths;
            let row = RateSurface {
                data,
                tokens_per_step,
                surface,
                from: name.clone(),
                origin: Origin::named(name),
            };
            let text = row.to_toml();
            println!(
                "{}",
                text.replacen(
                    "[[surface]]",
                    &format!("[[surface]]\nvariant = \"{variant}\""),
                    1
                )
            );
        }
    }
    Ok(())
}
