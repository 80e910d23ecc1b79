//! The command line: it chooses, files describe. One file a command; errors, exit codes and printing live here.
//!
//! Data go to standard output, everything else to standard error. Nobody reading any more (a broken pipe) is a success.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

#[cfg(feature = "run")]
use self::print::{print_json, to_json};
#[cfg(not(feature = "run"))]
use crate::error::Error;
use crate::error::{Kind, Result};
#[cfg(feature = "run")]
use crate::runner::child;
#[cfg(feature = "run")]
use crate::trial::{Registry, keys};

mod print;
mod out;
pub mod compare;
pub mod completions;
#[cfg(feature = "run")]
pub mod data;
#[cfg(feature = "run")]
pub mod doctor;
pub mod history;
pub mod import;
mod serving;
pub mod fit;
#[cfg(feature = "run")]
pub mod export;
#[cfg(feature = "run")]
pub mod list;
pub mod merge;
pub mod price;
pub mod gain;
pub mod lifecycle;
pub mod report;
#[cfg(feature = "run")]
mod outcome;
#[cfg(feature = "run")]
pub mod run;
#[cfg(feature = "run")]
pub mod challenge;
pub mod schema;
pub mod summary;
pub mod think;
#[cfg(feature = "run")]
pub mod show;
pub mod validate;

/// Is the next gain in a bigger model or in a better algorithm? Trains language-model variants on this machine, measures them,
/// and answers with intervals.
#[derive(Debug, Parser)]
#[command(
    name = "effbench",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  effbench run                          train, measure, answer: a few minutes on two cores
  effbench run --dry-run                what that would take
  effbench report results/quick.json --out report.html
  effbench compare base.json new.json   whether anything became worse
  effbench validate results/*.json      whether result files are sound

Exit codes:
  0 done   1 a confirmed regression   2 usage, unreadable or invalid input   3 inconclusive
  4 not comparable   5 some trials failed or are invalid   130 interrupted"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, in the order of a first day.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a suite's variants, measure them, and answer its question.
    #[cfg(feature = "run")]
    Run(run::RunArgs),
    /// Judge a variant of anyone's under the protocol that is the same for all: one line for a table.
    #[cfg(feature = "run")]
    Challenge(challenge::ChallengeArgs),
    /// Say what there is: variants, suites, data, and the parts that variants are made of.
    #[cfg(feature = "run")]
    List(list::ListArgs),
    /// Show a variant without training it: parameters by part, FLOPs, memory, its settled spec.
    #[cfg(feature = "run")]
    Show(show::ShowArgs),
    /// Say what can be measured on this machine, what not, why, and the remedy.
    #[cfg(feature = "run")]
    Doctor(doctor::DoctorArgs),
    /// Say what each variant is worth: how many times its compute the base needs for the same loss, with intervals.
    Gain(gain::GainArgs),
    /// Say again what a run ended with, from its result file.
    Summary(summary::SummaryArgs),
    /// Show what result files say: a page for a browser, Markdown, or here.
    Report(report::ReportArgs),
    /// Say whether a new result is worse than a base, with a verdict that a CI can act on.
    Compare(compare::CompareArgs),
    /// Show a metric of one cell over time, what is usual, and where it changed.
    History(history::HistoryArgs),
    /// Fit a scaling law to result files or a table, and say what the data can tell and what not.
    Fit(Box<fit::FitArgs>),
    /// Say what thinking longer buys: accuracy against FLOPs of a problem, and the exchange rate to training.
    Think(think::ThinkArgs),
    /// Say what models cost over their lives, training and requests, and from how many requests on which of two costs less.
    Lifecycle(lifecycle::LifecycleArgs),
    /// Know text corpora to train on, and fetch them when asked.
    #[cfg(feature = "run")]
    Data(data::DataArgs),
    /// Write weights that a run kept as a GGUF file for llama.cpp, or a folder for transformers.
    #[cfg(feature = "run")]
    Export(export::ExportArgs),
    /// Turn other people's training logs into a result file, for the commands that judge.
    Import(import::ImportArgs),
    /// Make one result file of several, unless they contradict each other.
    Merge(merge::MergeArgs),
    /// Say whether result files are sound, and where not.
    Validate(validate::ValidateArgs),
    /// Print the JSON Schema of result files, of comparisons, or of the files that describe runs.
    Schema(schema::SchemaArgs),
    /// Print a script that completes this command line in a shell.
    Completions(completions::CompletionsArgs),
    /// Run the one trial described on standard input.
    #[cfg(feature = "run")]
    #[command(hide = true)]
    Trial,
    /// Say which build this is, as result files do.
    #[cfg(feature = "run")]
    #[command(hide = true)]
    Build,
    /// Measure a device's peaks.
    #[cfg(feature = "run")]
    #[command(hide = true)]
    Calibrate {
        /// `cpu`, `cuda:0`.
        device: String,
    },
    /// What only a build with the feature `run` can do.
    #[cfg(not(feature = "run"))]
    #[command(external_subcommand)]
    Other(Vec<String>),
}

/// The whole program: reads the arguments, does what they say with what `registry` holds, and returns the exit code.
#[cfg(feature = "run")]
pub fn main(registry: Registry) -> ExitCode {
    if let Some(served) = child::serve(&registry) {
        return finish(served);
    }
    parsed(|command| match command {
        Command::Run(args) => run::execute(&args, &registry),
        Command::Challenge(args) => challenge::execute(&args, &registry),
        Command::List(args) => list::execute(&args, &registry),
        Command::Show(args) => show::execute(&args, &registry),
        Command::Doctor(args) => doctor::execute(&args, &registry),
        Command::Gain(args) => gain::execute(&args),
        Command::Summary(args) => summary::execute(&args),
        Command::Report(args) => report::execute(&args),
        Command::Compare(args) => compare::execute(&args),
        Command::History(args) => history::execute(&args),
        Command::Fit(args) => fit::execute(&args),
        Command::Think(args) => think::execute(&args),
        Command::Lifecycle(args) => lifecycle::execute(&args),
        Command::Data(args) => data::execute(&args),
        Command::Export(args) => export::execute(&args, &registry),
        Command::Import(args) => import::execute(&args),
        Command::Merge(args) => merge::execute(&args),
        Command::Validate(args) => validate::execute(&args),
        Command::Schema(args) => schema::execute(&args, || keys(&registry)),
        Command::Completions(args) => completions::execute(&args, &mut Cli::command()),
        Command::Trial => child::trial(&registry),
        Command::Build => print_json(&to_json(&crate::runner::build_info())?),
        Command::Calibrate { device } => child::calibrate(&registry, &device),
    })
}

/// The judge alone: reads the arguments, does what they say, and returns the exit code.
#[cfg(not(feature = "run"))]
pub fn main() -> ExitCode {
    parsed(|command| match command {
        Command::Gain(args) => gain::execute(&args),
        Command::Summary(args) => summary::execute(&args),
        Command::Report(args) => report::execute(&args),
        Command::Compare(args) => compare::execute(&args),
        Command::History(args) => history::execute(&args),
        Command::Fit(args) => fit::execute(&args),
        Command::Think(args) => think::execute(&args),
        Command::Lifecycle(args) => lifecycle::execute(&args),
        Command::Import(args) => import::execute(&args),
        Command::Merge(args) => merge::execute(&args),
        Command::Validate(args) => validate::execute(&args),
        Command::Schema(args) => schema::execute(&args, Vec::new),
        Command::Completions(args) => completions::execute(&args, &mut Cli::command()),
        Command::Other(words) => Err(judge_only(words.first().map_or("", String::as_str))),
    })
}

fn parsed(execute: impl FnOnce(Command) -> Result<()>) -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => finish(execute(cli.command)),
        Err(usage) => {
            // Help and version are data and succeed; a broken pipe under them is a success as well.
            let _ = usage.print();
            ExitCode::from(usage.exit_code().clamp(0, 255) as u8)
        }
    }
}

/// Says what went wrong, if anything did, and turns it into an exit code.
fn finish(outcome: Result<()>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    // A verdict is an answer, and no error.
    let verdict = matches!(
        error.kind,
        Kind::Regression | Kind::Inconclusive | Kind::NotComparable
    );
    let _ = writeln!(
        io::stderr(),
        "{}{error}",
        if verdict { "" } else { "error: " }
    );
    ExitCode::from(code(error.kind))
}

/// The exit code of a kind of error.
fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Input | Kind::Internal => 2,
        Kind::Regression => 1,
        Kind::Inconclusive => 3,
        Kind::NotComparable => 4,
        Kind::Trials => 5,
        Kind::Interrupted => 130,
    }
}

/// What a build without the feature `run` says to a command that it does not have.
#[cfg(not(feature = "run"))]
fn judge_only(command: &str) -> Error {
    let trains = [
        "run",
        "challenge",
        "list",
        "show",
        "doctor",
        "data",
        "export",
    ];
    if trains.contains(&command) {
        Error::input(format!("this effbench is the judge only, built without the feature `run`: it cannot `{command}`"))
            .hint("build it with its default features: `cargo build --release`")
    } else {
        Error::input(format!("unknown command `{command}`")).suggest(
            command,
            [
                "gain",
                "compare",
                "history",
                "fit",
                "think",
                "lifecycle",
                "summary",
                "report",
                "import",
                "merge",
                "validate",
                "schema",
                "completions",
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound_and_says_what_each_command_does() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        for sub in command
            .get_subcommands()
            .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
        {
            let name = sub.get_name();
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty(), "{name} says nothing about itself");
            let example = sub
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                example.contains(&format!("effbench {name}")),
                "{name} has no example"
            );
        }
    }

    #[test]
    fn every_kind_of_error_has_its_exit_code() {
        let rows = [
            (Kind::Regression, 1),
            (Kind::Input, 2),
            (Kind::Internal, 2),
            (Kind::Inconclusive, 3),
            (Kind::NotComparable, 4),
            (Kind::Trials, 5),
            (Kind::Interrupted, 130),
        ];
        for (kind, expected) in rows {
            assert_eq!(code(kind), expected);
        }
    }
}
