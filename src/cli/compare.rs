//! `effbench compare`: is the new side worse? The findings on standard output, the verdict in the exit code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::out::{Medium, OutArgs};
use super::print::say;
use crate::analysis::compare::self_test::self_test;
use crate::analysis::compare::stages::two_stages;
use crate::analysis::compare::{
    Accept, Code, Comparison, Gate, Options, Past, Scale, Side, catalog, compare,
};
use crate::config::against::{BASE, HEAD};
use crate::error::{Error, Kind, Result, near};
use crate::record::{ResultFile, folder, store};
use crate::report;

/// Arguments of `effbench compare`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench compare base.json new.json
  effbench compare base.json new.json --gate conclusive --margin train_tokens_per_s=3%
  effbench compare both.json --base-arm main --new-arm head   two builds of one session
  effbench compare both.json --confirmed-by both-confirm.json   the same with what was run again
  effbench compare results/quick.json --base-arm gpt2 --new-arm llama --metric val_loss_nats
  effbench compare --self-test results/quick.json --repeats 8   false alarms on this machine
  effbench compare base.json new.json --history nightly/      sessions differ, as they did before
  effbench compare base.json new.json --accept 'gpt2/w32@400:train_flops=the head is wider now'

Exit codes:
  0 no regression   1 a confirmed regression, or a seed that diverges where the base finished
  2 usage or unreadable input   3 cannot tell (--gate conclusive, equivalent)   4 not comparable
  5 some trials failed, timed out, ran out of memory or are invalid: the machine may be to blame, so no verdict")]
pub struct CompareArgs {
    /// A result file, or a folder of them.
    #[arg(value_name = "BASE")]
    pub base: PathBuf,
    /// What is judged; without it the arms inside BASE are set against each other.
    #[arg(value_name = "NEW")]
    pub new: Option<PathBuf>,
    /// The base's arm: a build's label, or a variant.
    #[arg(long, value_name = "ARM")]
    pub base_arm: Option<String>,
    /// The arm that is judged.
    #[arg(long, value_name = "ARM")]
    pub new_arm: Option<String>,
    /// What the exit code is about.
    #[arg(long, value_enum, default_value_t)]
    pub gate: GateArg,
    /// Gate this metric instead of the usual ones; may be given again.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub metric: Vec<String>,
    /// The smallest change that matters: a percentage, or a plain figure in a loss's unit; may be given again.
    #[arg(long, value_name = "METRIC=PERCENT")]
    pub margin: Vec<String>,
    /// A change that is meant, with its reason; the cell may be `*`; may be given again.
    #[arg(long, value_name = "CELL:METRIC=REASON")]
    pub accept: Vec<String>,
    /// Between different machines: the variant that time and energy are set against inside each [default: the run's base].
    #[arg(long, value_name = "VARIANT")]
    pub reference: Option<String>,
    /// An earlier result file, or a folder of them; may be given again: how far time and energy usually move from session to
    /// session widens what may differ between two.
    #[arg(long, value_name = "FILE", conflicts_with = "self_test")]
    pub history: Vec<PathBuf>,
    /// Fresh repeats of what looked worse, as `effbench run --against ... --confirm` leaves them in `...-confirm.json`: the verdict is
    /// that of both stages.
    #[arg(long, value_name = "FILE", conflicts_with = "self_test")]
    pub confirmed_by: Option<PathBuf>,
    /// How often this machine would alarm about nothing, from BASE's own repeats.
    #[arg(long, conflicts_with = "new")]
    pub self_test: bool,
    /// Repeats of the comparison that a self-test imagines.
    #[arg(long, value_name = "N", default_value_t = 5, requires = "self_test", value_parser = clap::value_parser!(u64).range(3..=1000))]
    pub repeats: u64,
    /// How to say what was found [default: as the name of --out ends, else text].
    #[arg(long, value_enum)]
    pub format: Option<CompareFormat>,
    /// Where to write it, by its name as .html, .md, .json, .csv or .txt; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace a file that is there already and was not written by effbench, or is a result.
    #[arg(long, requires = "out")]
    pub force: bool,
}

/// `--gate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum GateArg {
    /// Only a confirmed regression fails.
    #[default]
    Regress,
    /// What cannot be told fails too.
    Conclusive,
    /// Everything must be shown to be equivalent or better.
    Equivalent,
}

impl From<GateArg> for Gate {
    fn from(asked: GateArg) -> Self {
        match asked {
            GateArg::Regress => Self::Regress,
            GateArg::Conclusive => Self::Conclusive,
            GateArg::Equivalent => Self::Equivalent,
        }
    }
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum CompareFormat {
    /// For people.
    #[default]
    Text,
    /// For a pull request's comment, or a step's summary.
    Markdown,
    /// One file for a browser.
    Html,
    /// One JSON document, `effbench.compare/1`.
    Json,
    /// One line a row.
    Csv,
    /// For github-action-benchmark, with `tool: customSmallerIsBetter`.
    GithubActionBenchmark,
    /// Bencher Metric Format.
    Bencher,
}

/// Reads both sides, compares, says what was found, and fails as the gate asks.
pub fn execute(args: &CompareArgs) -> Result<()> {
    let mut options = options(args)?;
    if args.self_test {
        return test_machine(args, &options);
    }
    let (base, new) = read_both(&args.base, args.new.as_deref())?;
    let new = new.as_ref().unwrap_or(&base);
    let [of_base, of_new] = sides(args, &base, new)?;
    options.past = past(&args.history, &of_new)?;
    let first = compare(&of_base, &of_new, &options);
    let found = match &args.confirmed_by {
        Some(path) => two_stages(&first, &confirming(args, path, &options)?),
        None => first,
    };
    show(&found, args)?;
    verdict(&found)
}

/// False-alarm rates of the rules under this machine's own noise.
fn test_machine(args: &CompareArgs, options: &Options) -> Result<()> {
    let files = read(&args.base)?;
    let side = Side::new("", &files, args.base_arm.as_deref());
    let rates = self_test(&side, args.repeats as usize, options);
    if rates.is_empty() {
        let message = format!(
            "{}: too few repeats to know the machine's noise",
            args.base.display()
        );
        return Err(
            Error::input(message).hint("a file of four cells with four repeats each will do")
        );
    }
    match args.asked()? {
        CompareFormat::Json => {
            let document = json!({ "schema": "effbench.self-test/1", "rates": rates });
            args.out().write(&format!("{document:#}"))
        }
        format => {
            let page = report::compare::self_test(&rates);
            args.out().page(&page, format.medium())
        }
    }
}

fn show(found: &Comparison, args: &CompareArgs) -> Result<()> {
    let out = args.out();
    match args.asked()? {
        CompareFormat::Csv => out.write(&report::compare::csv(found)),
        CompareFormat::GithubActionBenchmark => out.write(&format!(
            "{:#}",
            report::compare::github_action_benchmark(found)
        )),
        CompareFormat::Bencher => out.write(&format!("{:#}", report::compare::bencher(found))),
        CompareFormat::Json => {
            let document = report::compare::Document::of(found);
            // Written as it is: thousands of cells as one tree of values would take more memory than the files.
            out.write(
                &serde_json::to_string_pretty(&document)
                    .map_err(|e| Error::internal(e.to_string()))?,
            )
        }
        format => out.page(&report::compare::page(found), format.medium()),
    }
}

impl CompareArgs {
    /// The format that was asked for, by its name or by the file's.
    fn asked(&self) -> Result<CompareFormat> {
        if let Some(format) = self.format {
            return Ok(format);
        }
        Ok(match self.out().medium()? {
            Medium::Markdown => CompareFormat::Markdown,
            Medium::Html => CompareFormat::Html,
            Medium::Json => CompareFormat::Json,
            Medium::Csv => CompareFormat::Csv,
            Medium::Text => CompareFormat::Text,
            Medium::Svg => {
                return Err(Error::input("a comparison has no plot")
                    .hint("--out NAME.html, .md, .csv or .json"));
            }
        })
    }

    fn out(&self) -> OutArgs {
        OutArgs {
            format: None,
            out: self.out.clone(),
            plot: None,
            force: self.force,
            brief: false,
        }
    }
}

impl CompareFormat {
    fn medium(self) -> Medium {
        match self {
            Self::Markdown => Medium::Markdown,
            Self::Html => Medium::Html,
            Self::Csv => Medium::Csv,
            _ => Medium::Text,
        }
    }
}

/// The verdict as an exit code, with the sentence for a log.
pub(super) fn verdict(found: &Comparison) -> Result<()> {
    let kind = match found.exit_code {
        Code::Fine => return Ok(()),
        Code::Regression => Kind::Regression,
        Code::Inconclusive => Kind::Inconclusive,
        Code::NotComparable => Kind::NotComparable,
        Code::Trials => Kind::Trials,
    };
    Err(Error {
        kind,
        message: report::compare::sentence(found),
        hint: None,
    })
}

/// The same arms in the file of fresh repeats.
fn confirming(args: &CompareArgs, path: &Path, options: &Options) -> Result<Comparison> {
    let fresh = read(path)?;
    let args = CompareArgs {
        base: path.to_owned(),
        new: None,
        ..args.clone()
    };
    let [base, new] = sides(&args, &fresh, &fresh)?;
    Ok(compare(&base, &new, options))
}

/// What earlier sessions say; nothing where none are given, which is said where some are.
fn past(paths: &[PathBuf], judged: &Side) -> Result<Past> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(read(path)?);
    }
    let past = Past::of(&files, judged);
    if !paths.is_empty() && past.is_empty() {
        say(
            "note: --history: no cell has five earlier sessions on one kind of machine, so that no margin is raised",
        );
    }
    Ok(past)
}

type Files = Vec<(String, ResultFile)>;

/// Both sides at once: reading takes most of the time.
fn read_both(base: &Path, new: Option<&Path>) -> Result<(Files, Option<Files>)> {
    std::thread::scope(|scope| {
        let other = new.map(|path| scope.spawn(|| read(path)));
        let base = read(base)?;
        let joined = other.map(|other| {
            other
                .join()
                .unwrap_or_else(|_| Err(Error::internal("reading stopped")))
        });
        Ok((base, joined.transpose()?))
    })
}

/// A result file, or every one in a folder.
pub(super) fn read(path: &Path) -> Result<Files> {
    folder::results(path)?
        .iter()
        .map(|path| Ok((path.display().to_string(), store::read_valid(path)?)))
        .collect()
}

/// The sides by what was asked for, or by the arms that there are.
fn sides<'a>(args: &CompareArgs, base: &'a Files, new: &'a Files) -> Result<[Side<'a>; 2]> {
    let (name_base, name_new) = (
        args.base.display().to_string(),
        args.new.as_deref().unwrap_or(&args.base),
    );
    let name_new = name_new.display().to_string();
    let mut arms = [args.base_arm.clone(), args.new_arm.clone()];
    if args.new.is_none() {
        let there = Side::new("", base, None)
            .arms()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>();
        arms = inside(arms, &there, &name_base)?;
    }
    let names = [&name_base, &name_new];
    let side = |k: usize, files: &'a Files| {
        let arm = arms[k].as_deref();
        let name = arm.map_or_else(|| names[k].clone(), |arm| format!("{arm} of {}", names[k]));
        let side = Side::new(&name, files, arm);
        checked(side, arm, names[k], files)
    };
    Ok([side(0, base)?, side(1, new)?])
}

/// Two arms of one file: as asked, or the only two.
fn inside(asked: [Option<String>; 2], there: &[String], name: &str) -> Result<[Option<String>; 2]> {
    match (asked, there) {
        ([Some(base), Some(new)], _) => Ok([Some(base), Some(new)]),
        // As `effbench run --against` calls them, whichever stands first in the file.
        ([None, None], [_, _])
            if [BASE, HEAD]
                .iter()
                .all(|arm| there.iter().any(|known| known == arm)) =>
        {
            Ok([BASE, HEAD].map(|arm| Some(arm.to_owned())))
        }
        ([None, None], [base, new]) => Ok([Some(base.clone()), Some(new.clone())]),
        ([None, None], [first, _, _, ..]) => Err(Error::input(format!(
            "{name}: has more than two arms: {}",
            there.join(", ")
        ))
        .hint(format!("`--base-arm {first} --new-arm ...` says which two"))),
        ([None, None], _) => Err(Error::input(format!(
            "{name}: has one arm only, and no second file was given"
        ))
        .hint("give NEW, or two variants: `--base-arm gpt2 --new-arm modern`")),
        _ => Err(
            Error::input("inside one file both --base-arm and --new-arm are needed").hint(format!(
                "{name} has: {}",
                if there.is_empty() {
                    "no arms but its variants".to_owned()
                } else {
                    there.join(", ")
                }
            )),
        ),
    }
}

/// A side that has its arm, and only one in each cell.
fn checked<'a>(side: Side<'a>, arm: Option<&str>, name: &str, files: &Files) -> Result<Side<'a>> {
    if let Some(arm) = arm.filter(|_| side.trials.is_empty()) {
        let trials = files.iter().flat_map(|(_, file)| &file.trials);
        let mut known: Vec<&str> = trials
            .flat_map(|trial| [trial.arm.as_str(), trial.variant.as_str()])
            .collect();
        known.sort_unstable();
        known.dedup();
        return Err(
            Error::input(format!("{name}: no arm and no variant `{arm}`")).suggest(arm, known),
        );
    }
    let arms = side.arms();
    if arm.is_none() && arms.len() > 1 {
        let message = format!(
            "{name}: several builds ran the same cells: {}",
            arms.join(", ")
        );
        return Err(
            Error::input(message).hint("`--base-arm` and `--new-arm` say which one is meant")
        );
    }
    Ok(side)
}

fn options(args: &CompareArgs) -> Result<Options> {
    let gate = args.gate.into();
    args.metric
        .iter()
        .try_for_each(|name| known_metric("--metric", name))?;
    let margins = args
        .margin
        .iter()
        .map(|text| margin(text))
        .collect::<Result<BTreeMap<_, _>>>()?;
    let accepted = args
        .accept
        .iter()
        .map(|text| accepted(text))
        .collect::<Result<_>>()?;
    let (metrics, reference) = (args.metric.clone(), args.reference.clone());
    Ok(Options {
        gate,
        metrics,
        margins,
        accepted,
        reference,
        past: Past::default(),
    })
}

/// Refuses a name that no metric has.
pub(super) fn known_metric(flag: &str, name: &str) -> Result<()> {
    let catalog = catalog();
    if catalog.iter().any(|measure| measure.name == name) {
        return Ok(());
    }
    let known: Vec<&str> = catalog.iter().map(|measure| measure.name).collect();
    let error = Error::input(format!("{flag} {name}: no such metric"));
    Err(match near(name, known.iter().copied()) {
        Some(_) => error.suggest(name, known),
        None => error.hint(format!("there is: {}", known.join(", "))),
    })
}

/// `train_tokens_per_s=3%`, `val_loss_nats=0.01`.
fn margin(text: &str) -> Result<(String, f64)> {
    let expected = "expected METRIC=PERCENT, such as train_tokens_per_s=3% or val_loss_nats=0.01";
    let Some((name, size)) = text.split_once('=') else {
        return Err(Error::input(format!("--margin {text}: no `=` in it")).hint(expected));
    };
    known_metric("--margin", name)?;
    let ratio = catalog()
        .iter()
        .any(|measure| measure.name == name && measure.scale == Scale::Ratio);
    let (figure, percent) = match size.strip_suffix('%') {
        Some(figure) => (figure, true),
        None => (size, ratio),
    };
    match figure.trim().parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => {
            Ok((name.to_owned(), if percent { value / 100.0 } else { value }))
        }
        _ => Err(Error::input(format!("--margin {text}: `{size}` is not a margin")).hint(expected)),
    }
}

/// `gpt2/w32@400:train_flops=the head is wider now`.
fn accepted(text: &str) -> Result<Accept> {
    let parts = text
        .split_once('=')
        .and_then(|(place, reason)| Some((place.rsplit_once(':')?, reason.trim())));
    let Some(((cell, metric), reason)) = parts.filter(|(_, reason)| !reason.is_empty()) else {
        return Err(Error::input(format!(
            "--accept {text}: not a cell, a metric and a reason"
        ))
        .hint(
            "expected CELL:METRIC=REASON, such as 'gpt2/w32@400:train_flops=the head is wider now'",
        ));
    };
    known_metric("--accept", metric)?;
    Ok(Accept {
        cell: cell.to_owned(),
        metric: metric.to_owned(),
        reason: reason.to_owned(),
    })
}
