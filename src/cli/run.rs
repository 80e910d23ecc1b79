//! `effbench run`: arguments in, a campaign run, and what came of it out.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::compare::GateArg;
use super::outcome::{Watching, tell};
use super::print::{Format, print_json, print_page, say, to_json};
use crate::campaign::{Against, Campaign, Executor, Mode, Options, Shard};
use crate::error::Result;
use crate::report::listing;
use crate::runner::Interrupt;
use crate::trial::Registry;

/// Arguments of `effbench run`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench run
  effbench run quick --variants gpt2,llama --repeats 8 --out results/mine.json
  effbench run quick --data shakespeare.txt --set train.optimizer.lr=3e-4
  effbench run --resume
  effbench run ladder --shard 2/3 --rates rates.json --out part-2.json
  effbench run gain --executor slurm --out results/gain.json")]
pub struct RunArgs {
    /// What is run together: a suite's name (`effbench list suites`) or a path to one's own.
    #[arg(default_value = "quick")]
    pub suite: String,
    /// What computes.
    #[arg(long, default_value = "auto", value_name = "auto|cpu|cuda|cuda:N")]
    pub device: String,
    /// Only these variants, by name or path.
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub variants: Vec<String>,
    /// Only these scales.
    #[arg(long, value_delimiter = ',', value_name = "w32,w64")]
    pub scales: Vec<String>,
    /// How often everything is run, each time with another seed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub repeats: Option<u64>,
    /// Other data than the suite's: the name of a source, or a path to a text file or a folder of them.
    #[arg(long, value_name = "NAME|PATH")]
    pub data: Option<String>,
    /// Sets a key of every spec, such as train.optimizer.lr=3e-4; may be given again.
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    pub set: Vec<String>,
    /// The result file [default: results/SUITE-MACHINE-TIME.json].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Keep what each trial has learnt in this folder, as safetensors that `--set model.from=FILE` starts from.
    #[arg(long, value_name = "DIR")]
    pub keep_weights: Option<PathBuf>,
    /// Run on these logical processors alone, and on as many threads: `0-3,8` (Linux).
    #[arg(long, value_name = "LIST")]
    pub pin: Option<String>,
    /// Run only what is missing from an earlier run: of --out, or else the newest unfinished one of the suite.
    #[arg(long, conflicts_with = "fresh")]
    pub resume: bool,
    /// Start over and replace what is there.
    #[arg(long)]
    pub fresh: bool,
    /// Only a part, to be spread over machines by hand: of N parts the I-th, whole repeats; or `sweep`, the trials that choose
    /// learning rates. `effbench merge` puts the parts together.
    #[arg(long, value_name = "I/N|sweep")]
    pub shard: Option<Shard>,
    /// Learning rates as the sweep in this result file chose them, instead of a sweep of this run's own.
    #[arg(long, value_name = "FILE")]
    pub rates: Option<PathBuf>,
    /// Also run what no sweep has chosen a learning rate for: another width, length, batch or data than was swept.
    #[arg(long)]
    pub untuned: bool,
    /// Another build of effbench: both run every cell, in turn and in one session, and are compared.
    #[arg(long, value_name = "BINARY", conflicts_with_all = ["shard", "executor"])]
    pub against: Option<PathBuf>,
    /// With --against: what the exit code is about.
    #[arg(long, value_enum, default_value_t, requires = "against")]
    pub gate: GateArg,
    /// With --against: what looks worse is run again, and judged by the fresh repeats alone.
    #[arg(long, requires = "against")]
    pub confirm: bool,
    /// Who runs the trials: this machine, one after the other, or a Slurm cluster, one repeat a task.
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["shard", "rates", "fresh"])]
    pub executor: ExecutorArg,
    /// Put the parts of a Slurm run together.
    #[arg(long, hide = true)]
    pub collect: bool,
    /// Say what would be run and what it would take, and run nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// How to say what was found.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `--executor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ExecutorArg {
    /// This machine.
    #[default]
    Local,
    /// A Slurm cluster.
    Slurm,
}

/// Runs a suite, or says what it would run.
pub fn execute(args: &RunArgs, registry: &Registry) -> Result<()> {
    let campaign = Campaign::resolve(registry, &registry.library(), &args.options())?;
    if let Some(why) = campaign.why_device() {
        say(&format!("device: {} ({why})", campaign.device()));
    }
    for note in campaign.notes() {
        say(&format!("note: {note}"));
    }
    if args.dry_run {
        return show_plan(&campaign, args.format);
    }
    let outcome = campaign.run(&mut Watching::new(args.gate.into()))?;
    tell(&outcome, args.gate.into(), args.format)
}

fn show_plan(campaign: &Campaign, format: Format) -> Result<()> {
    // What a run would refuse is no plan of one.
    campaign.check()?;
    let plan = campaign.plan_at(&campaign.speed(&Interrupt::default()))?;
    match format {
        Format::Text => print_page(&listing::plan(&plan)),
        Format::Json => print_json(&to_json(&plan)?),
    }
}

impl RunArgs {
    /// The same as plain data. Every argument is named, so that a new one cannot be forgotten.
    fn options(&self) -> Options {
        let Self {
            suite,
            device,
            variants,
            scales,
            repeats,
            data,
            set,
            out,
            keep_weights,
            pin,
            resume,
            fresh,
            shard,
            rates,
            untuned,
            against,
            gate,
            confirm,
            executor,
            collect,
            dry_run: _,
            format,
        } = self.clone();
        let against = against.map(|binary| Against {
            binary,
            confirm,
            gate: gate.into(),
        });
        let executor = match (executor, against, shard) {
            (ExecutorArg::Slurm, ..) => Executor::Slurm { collect },
            (_, Some(against), _) => Executor::Against(against),
            (_, _, Some(shard)) => Executor::Shard(shard),
            (ExecutorArg::Local, None, None) => Executor::Local,
        };
        let mode = match (resume, fresh) {
            (true, _) => Mode::Resume,
            (_, true) => Mode::Fresh,
            _ => Mode::New,
        };
        let format = match format {
            Format::Text => "text",
            Format::Json => "json",
        };
        // A blank behind a comma is nobody's name.
        let trimmed =
            |names: Vec<String>| names.iter().map(|name| name.trim().to_owned()).collect();
        Options {
            suite,
            device,
            variants: trimmed(variants),
            scales: trimmed(scales),
            repeats,
            data,
            set,
            rates,
            untuned,
            executor,
            out,
            keep_weights,
            pin,
            mode,
            format: format.to_owned(),
            resume: None,
            program: None,
        }
    }
}

/// `KEY=VALUE` with a key before the sign; the value is read where the key is known.
pub(super) fn assignment(text: &str) -> std::result::Result<String, String> {
    match text.split_once('=') {
        Some((key, _)) if !key.trim().is_empty() => Ok(text.to_owned()),
        _ => Err("expected KEY=VALUE, such as train.steps=200".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn parse(line: &str) -> std::result::Result<RunArgs, String> {
        match Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.command) {
            Ok(Command::Run(args)) => Ok(args),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_defaults_are_those_of_a_first_run() {
        let args = parse("effbench run").unwrap();
        assert_eq!(
            (args.suite.as_str(), args.device.as_str(), args.format),
            ("quick", "auto", Format::Text)
        );
        assert!(
            args.variants.is_empty()
                && args.set.is_empty()
                && args.out.is_none()
                && args.repeats.is_none()
        );
        assert!(!args.resume && !args.fresh && !args.dry_run);
        let args = parse(
            "effbench run ci --variants a,b --set x.y=1 --set z=a,b --scales w32,w64 --repeats 2",
        )
        .unwrap();
        assert_eq!(
            (args.variants, args.scales),
            (
                vec!["a".into(), "b".into()],
                vec!["w32".into(), "w64".into()]
            )
        );
        assert_eq!(
            (args.set, args.repeats),
            (vec!["x.y=1".to_owned(), "z=a,b".to_owned()], Some(2))
        );
    }

    #[test]
    fn a_campaign_types_what_was_typed() {
        for line in [
            "effbench run quick",
            "effbench run ci --device cpu --variants a,b --scales w32,w64 --repeats 2 --data markov --set x.y=1 --set z=a,b --untuned",
            "effbench run ladder --shard 2/3 --rates r.json --resume --out 2.json",
            "effbench run ci --against old --confirm --gate conclusive --format json --fresh --out x.json --keep-weights kept",
            "effbench run gain --format json --out x.json --executor slurm --collect",
        ] {
            assert_eq!(parse(line).unwrap().options().command(), line);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let rows = [
            ("effbench run --resume --fresh", "cannot be used with"),
            ("effbench run --repeats 0", "0 is not in 1.."),
            ("effbench run --set train.steps", "expected KEY=VALUE"),
            ("effbench run --set =3", "expected KEY=VALUE"),
            ("effbench run --format yaml", "possible values: text, json"),
            (
                "effbench run --vraiants a",
                "a similar argument exists: '--variants'",
            ),
        ];
        for (line, says) in rows {
            let error = parse(line).unwrap_err();
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}
