//! `effbench fit`: a scaling law over result files or a published table.

use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Format, print, print_json, to_json};
use crate::analysis::fit::{self, Counted, Irreducible, Plan, Points, csv, law};
use crate::error::{Error, Result};
use crate::record::pool;
use crate::report::fit::{sentence, text};

/// Arguments of `effbench fit`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench fit results/ladder.json
  effbench fit results/ladder.json --irreducible free
  effbench fit --csv points.csv --law chinchilla --drop-highest 5 \\
      --map params=\"Model Size\" --map flops=\"Training FLOP\"

Laws:
  power        L = E + A C^-a, loss against training FLOPs, by least squares on ln L
  chinchilla   L = E + A/N^alpha + B/D^beta, by Huber's loss of ln L
  isoflop      the best model size of each budget, and how it grows

Columns of a table: flops, params, tokens, loss (nats), group, repeat. Where flops are missing they are
6 N D; where tokens are missing they are C / (6 N). A row with an empty figure is left out, and said.")]
pub struct FitArgs {
    /// Result files; a point is a finished trial, a group a variant.
    #[arg(value_name = "RESULT", required_unless_present = "csv", conflicts_with = "csv")]
    pub results: Vec<PathBuf>,
    /// A table of points instead.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// The table's column for a name, such as params="Model Size"; may be given again.
    #[arg(long, value_name = "NAME=COLUMN", value_parser = mapping, requires = "csv")]
    pub map: Vec<(String, String)>,
    /// The law to fit.
    #[arg(long, default_value = "power", value_parser = PossibleValuesParser::new(law::CATALOG.map(|law| law.name)))]
    pub law: String,
    /// Where the irreducible loss E comes from: `free`, `oracle`, or a number of nats. By default it is known from the
    /// oracle where every run has one, else free.
    #[arg(long, value_name = "free|oracle|NATS", value_parser = irreducible)]
    pub irreducible: Option<Irreducible>,
    /// Fit this group only; may be given again.
    #[arg(long, value_name = "NAME")]
    pub group: Vec<String>,
    /// Leave out the N highest losses of each group.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub drop_highest: usize,
    /// Resamples behind standard errors and derived intervals; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub bootstrap: usize,
    /// What counts as a parameter of a result file's models.
    #[arg(long, value_enum, default_value_t, conflicts_with = "csv")]
    pub params: Params,
    /// How to say what was found.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What counts as a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Params {
    /// All of them.
    #[default]
    Total,
    /// Without embeddings and an untied head.
    NonEmbedding,
}

/// Reads points, fits, and says what was found.
pub fn execute(args: &FitArgs) -> Result<()> {
    let mut points = read(args)?;
    choose(&mut points, &args.group)?;
    let plan = Plan { irreducible: args.irreducible, drop_highest: args.drop_highest, draws: args.bootstrap };
    let findings = fit::fit(law::find(&args.law)?, &points, &plan)?;
    match args.format {
        Format::Text => print(&text(&findings)),
        Format::Json => print_json(&json!({ "sentence": sentence(&findings), "fit": to_json(&findings)? })),
    }
}

fn read(args: &FitArgs) -> Result<Points> {
    let Some(path) = &args.csv else {
        let counted = match args.params {
            Params::Total => Counted::Total,
            Params::NonEmbedding => Counted::NonEmbedding,
        };
        return fit::points::from_trials(&pool::read_all(&args.results)?, counted);
    };
    csv::points(&contents(path)?, &path.display().to_string(), &args.map)
}

fn contents(path: &Path) -> Result<String> {
    let name = path.display();
    let bytes = std::fs::read(path).map_err(|e| Error::input(format!("{name}: {e}")))?;
    String::from_utf8(bytes)
        .map_err(|_| Error::input(format!("{name}: this is no UTF-8 text")).hint("save the table as CSV UTF-8"))
}

/// Keeps the groups asked for.
fn choose(points: &mut Points, wanted: &[String]) -> Result<()> {
    let known: Vec<String> = fit::points::groups(&points.points).into_iter().map(str::to_owned).collect();
    if let Some(unknown) = wanted.iter().find(|group| !known.contains(group)) {
        let names = known.iter().map(String::as_str);
        return Err(Error::input(format!("--group {unknown}: no such group")).suggest(unknown, names));
    }
    points.points.retain(|point| wanted.is_empty() || wanted.contains(&point.group));
    Ok(())
}

fn mapping(text: &str) -> std::result::Result<(String, String), String> {
    let (name, column) = text.split_once('=').ok_or("write NAME=COLUMN")?;
    if csv::NAMES.contains(&name) {
        return Ok((name.to_owned(), column.to_owned()));
    }
    Err(format!("`{name}` is none of {}", csv::NAMES.join(", ")))
}

fn irreducible(text: &str) -> std::result::Result<Irreducible, String> {
    match text {
        "free" => Ok(Irreducible::Free),
        "oracle" => Ok(Irreducible::Oracle),
        number => match number.parse::<f64>() {
            Ok(value) if value.is_finite() && value >= 0.0 => Ok(Irreducible::Fixed(value)),
            _ => Err("write free, oracle, or a loss in nats such as 1.69".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_or_refused() {
        assert_eq!(mapping("params=Model Size"), Ok(("params".to_owned(), "Model Size".to_owned())));
        assert!(mapping("param=x").unwrap_err().contains("none of params"));
        assert!(mapping("params").is_err());
        assert_eq!(irreducible("1.69"), Ok(Irreducible::Fixed(1.69)));
        assert_eq!(irreducible("oracle"), Ok(Irreducible::Oracle));
        for bad in ["-1", "nan", "inf", "known", ""] {
            assert!(irreducible(bad).is_err(), "{bad}");
        }
    }
}
