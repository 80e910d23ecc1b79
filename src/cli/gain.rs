//! `effbench gain`: how many times a variant's compute the base needs for the same loss, on every axis, with intervals.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::fit::irreducible;
use super::out::OutArgs;
use super::price::PriceArgs;
use crate::analysis::Unanswered;
use crate::analysis::along::over_compute;
use crate::analysis::fit::Irreducible;
use crate::analysis::forecast::Calibration;
use crate::analysis::study::studies;
use crate::analysis::target::{Goal, Question, reached};
use crate::analysis::transfer::{Transfer, transfers};
use crate::config::Price;
use crate::error::{Error, Result, quoted};
use crate::record::ResultFile;
use crate::record::parents::with_parents_counted;
use crate::record::pool::{read_all, read_each};
use crate::report;
use crate::report::forecast::{Foretold, Skipped};

/// Arguments of `effbench gain`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench gain results/gain.json
  effbench gain results/gain.json results/gain-text.json --variant modern
  effbench gain results/ladder.json --base llama --format json
  effbench gain results/gain.json --out gain.html     or .md, .svg (the plot), .csv (the table)
  effbench gain results/gain.json --along compute          does a gain grow or fade with compute?
  effbench gain results/*.json --forecast                  did cheap runs forecast what expensive ones gain?
  effbench gain runs.json --target 3.28             what it costs to reach a loss
  effbench gain runs.json --target base --against 1.1   are the gains above 1.1?
  effbench gain results/reuse.json --parents          with what the models took that were begun with

A target is in the unit of the logs' losses. Seeds that both arms ran are paired, others compared by Welch's t; a run that
does not reach the target bounds the ratio and is not dropped.")]
pub struct GainArgs {
    /// Result files, or folders of them; several are judged together, each kind of data by itself.
    #[arg(required = true, value_name = "RESULT")]
    pub results: Vec<PathBuf>,
    /// The reference variant: gains are counted in its compute [default: the suite's base].
    #[arg(long, value_name = "VARIANT")]
    pub base: Option<String>,
    /// Only this variant.
    #[arg(long, value_name = "VARIANT")]
    pub variant: Option<String>,
    /// Say how each variant's gain changes along this: one law over all variants, its band, and a plot.
    #[arg(long, value_enum, value_name = "compute")]
    pub along: Option<Along>,
    /// Where the irreducible loss of that law comes from: `free`, `oracle`, or a number of nats [default: the oracle where
    /// sizes differ, else free].
    #[arg(long, value_name = "free|oracle|NATS", value_parser = irreducible, requires = "along")]
    pub irreducible: Option<Irreducible>,
    /// Read off curves what it costs to reach this loss, or `base`: the highest of the base's final losses.
    #[arg(long, value_name = "LOSS|base", value_parser = goal, conflicts_with = "along")]
    pub target: Option<Goal>,
    /// Test whether the gains at the target are above this ratio (one-sided, Holm's correction over variants and axes).
    #[arg(long, value_name = "RATIO", value_parser = ratio, requires = "target")]
    pub against: Option<f64>,
    /// Forecast each variant's most expensive runs from its cheaper ones, compare that with what was measured, and count how often the
    /// intervals covered it; each file by itself.
    #[arg(long, conflicts_with_all = ["along", "target"])]
    pub forecast: bool,
    /// Count with each model what the models took to train that it began with (a suite's `from`) or learnt from (`teacher`).
    #[arg(long)]
    pub parents: bool,
    /// At whose prices gains in money and carbon are counted.
    // A doc comment here would replace the command's own words.
    #[command(flatten)]
    #[allow(missing_docs)]
    pub price: PriceArgs,
    // A doc comment here would replace the command's own words.
    #[command(flatten)]
    #[allow(missing_docs)]
    pub out: OutArgs,
    /// As text: print everything, not only the main findings.
    #[arg(long)]
    pub full: bool,
}

/// What a gain can change along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Along {
    /// The variant's model FLOPs.
    Compute,
}

/// Says what every variant is worth.
pub fn execute(args: &GainArgs) -> Result<()> {
    if args.forecast {
        return forecasts(args);
    }
    let mut file = read_all(&args.results)?;
    if args.parents {
        file = with_parents_counted(&file)?;
    }
    refuse_unknown(&file, args)?;
    if let Some(Along::Compute) = args.along {
        return along_compute(&file, args);
    }
    let price = args.price.load()?;
    if let Some(goal) = args.target {
        return to_target(args, &file, &price, goal);
    }
    let studies = studies(
        &file,
        Some(&price),
        args.base.as_deref(),
        args.variant.as_deref(),
    )
    .map_err(|why| refused_of(&file, args, why))?;
    let others = || {
        studies
            .iter()
            .enumerate()
            .flat_map(|(k, a)| studies[k + 1..].iter().map(move |b| (a, b)))
    };
    let compared: Vec<Transfer> = others().flat_map(|(a, b)| transfers(a, b)).collect();
    args.out.clone().in_brief(!args.full).show(
        || Ok(report::gain::page(&studies, &compared, &price)),
        || {
            let document =
                json!({ "studies": studies, "transfers": compared, "price": price.name });
            Ok(Some(document))
        },
    )
}

/// Says what cheap runs foretold of dear ones, in each file by itself, for their bases differ.
fn forecasts(args: &GainArgs) -> Result<()> {
    let (mut found, mut skipped) = (Vec::new(), Vec::new());
    for (name, mut file) in read_each(&args.results)? {
        if args.parents {
            file = with_parents_counted(&file)?;
        }
        match studies(&file, None, args.base.as_deref(), args.variant.as_deref()) {
            Ok(studies) => found.extend(studies.into_iter().map(|study| Foretold {
                file: name.clone(),
                data: study.data,
                base: study.base,
                forecasts: study.forecasts,
                untold: study.untold,
            })),
            Err(why) => skipped.push(Skipped {
                file: name,
                reason: why.to_string(),
            }),
        }
    }
    args.out.show(
        || Ok(report::forecast::page(&found, &skipped)),
        || {
            let all = found.iter().flat_map(|one| &one.forecasts);
            let document = json!({
                "calibration": Calibration::of(all), "studies": found, "skipped": skipped,
            });
            Ok(Some(document))
        },
    )
}

/// Says how gains change with compute, on each kind of data.
fn along_compute(file: &ResultFile, args: &GainArgs) -> Result<()> {
    let found = over_compute(
        file,
        args.irreducible,
        args.base.as_deref(),
        args.variant.as_deref(),
    )
    .map_err(refused)?;
    args.out.show(
        || Ok(report::joint::over(&found)),
        || Ok(Some(json!({ "along_compute": found }))),
    )
}

/// Says what every variant costs up to a loss.
fn to_target(args: &GainArgs, file: &ResultFile, price: &Price, goal: Goal) -> Result<()> {
    let Some(base) = args.base.as_deref().or(file.run.base.as_deref()) else {
        return Err(refused(Unanswered::NoQuestion));
    };
    if args.variant.as_deref() == Some(base) {
        return Err(refused(Unanswered::SameVariant(base.to_owned())));
    }
    let question = Question {
        goal,
        base,
        only: args.variant.as_deref(),
        against: args.against,
    };
    let found = reached(file, Some(price), question)?;
    args.out.show(
        || Ok(report::target::page(&found)),
        || {
            let sentences = found.iter().flat_map(|one| {
                let say = move |variant| report::target::sentence(one, variant);
                one.variants.iter().map(say)
            });
            let sentences: Vec<String> = sentences.collect();
            let document = json!({ "sentences": sentences, "targets": found, "price": price.name });
            Ok(Some(document))
        },
    )
}

fn goal(text: &str) -> std::result::Result<Goal, String> {
    match text.parse::<f64>() {
        _ if text == "base" => Ok(Goal::Base),
        Ok(loss) if loss.is_finite() && loss > 0.0 => Ok(Goal::Loss(loss)),
        _ => Err(
            "write a loss such as 3.28, or `base` for the highest of the base's final losses"
                .to_owned(),
        ),
    }
}

fn ratio(text: &str) -> std::result::Result<f64, String> {
    let found = text
        .parse()
        .ok()
        .filter(|ratio: &f64| ratio.is_finite() && *ratio > 0.0);
    found.ok_or_else(|| "write a ratio above 0 such as 1.1".to_owned())
}

/// A name that no trial has is a typing error.
fn refuse_unknown(file: &ResultFile, args: &GainArgs) -> Result<()> {
    let mut known: Vec<&str> = file
        .trials
        .iter()
        .map(|trial| trial.variant.as_str())
        .collect();
    known.sort_unstable();
    known.dedup();
    for (flag, name) in [("--base", &args.base), ("--variant", &args.variant)] {
        if let Some(name) = name.as_deref().filter(|name| !known.contains(name)) {
            return Err(
                Error::input(format!("{flag} {name}: no trial of that variant"))
                    .suggest(name, known),
            );
        }
    }
    Ok(())
}

/// Why there is no gain; of data that are read over and over, what says what that is worth.
fn refused_of(file: &ResultFile, args: &GainArgs, why: Unanswered) -> Error {
    let scarce = file.trials.iter().any(|trial| {
        let unique = trial.spec.pointer("/data/unique_tokens");
        unique.is_some_and(|unique| !unique.is_null())
    });
    let error = refused(why);
    if !scarce {
        return error;
    }
    let names = args
        .results
        .iter()
        .map(|path| quoted(&path.display().to_string()));
    error.hint(format!(
        "`effbench fit {} --law data-constrained` says what a token is worth that was read before",
        names.collect::<Vec<_>>().join(" ")
    ))
}

fn refused(why: Unanswered) -> Error {
    let error = Error::input(why.to_string());
    match why.hint() {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
