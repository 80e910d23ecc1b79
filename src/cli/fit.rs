//! `effbench fit`: a scaling law over result files or a published table.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::import::loss_unit;
use super::out::OutArgs;
use super::print::to_json;
use super::serving::ServingArgs;
use crate::analysis::fit::{
    self, Asked, Counted, Filter, Findings, Irreducible, Plan, Points, Study, Target, csv, law,
};
use crate::analysis::projection::{
    Assumptions, Growth, Projection, Race, SMALL_NATS, Spread, YEARS, project,
};
use crate::error::{Error, Result};
use crate::foreign;
use crate::record::{LossUnit, pool};
use crate::report::fit::{page, sentence};

/// Arguments of `effbench fit`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench fit results/ladder.json
  effbench fit results/ladder.json --irreducible free
  effbench fit results/ladder.json --group gpt2 --project
  effbench fit --csv points.csv --law chinchilla --drop-highest 5 \\
      --map params=\"Model Size\" --map flops=\"Training FLOP\"
  effbench fit --csv points.csv --law over-training \\
      --where \"tokens/params=20 and params<5e8 or tokens/params=320 and params<2e7\"

Laws:
  power             L = E + A C^-a, loss against training FLOPs, by least squares on ln L
  chinchilla        L = E + A/N^alpha + B/D^beta, by Huber's loss of ln L
  isoflop           the best model size of each budget, and how it grows
  joint             L_v = E + A_v C^-a_v with one E for all groups; gains over --base by compute
  over-training     L = E + a N^-alpha + b 6^(-alpha/2) (M N)^-alpha with M = D/N
  data-constrained  L = E + A/N'^alpha + B/D'^beta, where what repeats counts for less
  rate              the best learning rate c N^-p D^q and batch k D^r of a sweep

Columns of a table: flops, params, tokens or tokens_per_param, loss, group, repeat, run, unique_tokens or epochs, lr,
batch, or what others call them (`Training FLOP`, `N (B)`, `val_loss`; case does not count). Where flops are missing
they are 6 N D; where tokens are missing they are C / (6 N). Rows of one repeat share a seed; rows of one run are its checkpoints. A
row with an empty figure is left out, and said. 3,28 and 16,450,387.5 are read where the table shows which mark is
which.")]
pub struct FitArgs {
    /// Result files; a point is a finished trial, a group a variant.
    #[arg(
        value_name = "RESULT",
        required_unless_present = "csv",
        conflicts_with = "csv"
    )]
    pub results: Vec<PathBuf>,
    /// A table of points instead.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// The table's column for a name, such as params="Model Size"; may be given again.
    #[arg(long, value_name = "NAME=COLUMN", value_parser = mapping, requires = "csv")]
    pub map: Vec<(String, String)>,
    /// Multiply a column, such as params=1e9 for a table in billions, or say what losses are counted in: loss=bits, bits-per-byte or
    /// perplexity [default: what the column's name says, such as `params_m`, `tokens (B)`, `C (PF-days)` or `loss_bits`, else ones
    /// and nats]; may be given again.
    #[arg(long, value_name = "NAME=FACTOR", value_parser = unit, requires = "csv")]
    pub unit: Vec<Unit>,
    /// Fit these rows only, such as "tokens/params=20 and params<1e9 or tokens/params=320": comparisons (= within 1%) of columns
    /// and numbers, their products and quotients, joined by `and` and `or`. The law is then held against the other rows.
    #[arg(long = "where", value_name = "CONDITION")]
    pub rows: Option<Filter>,
    /// Hold a parameter of a law given by its formula, such as alpha=0.35; may be given again.
    #[arg(long, value_name = "NAME=VALUE", value_parser = hold)]
    pub hold: Vec<(String, f64)>,
    /// Predict the loss of a run with its interval: C, or N,D, or N,D,U with U different tokens; may be given again.
    #[arg(long, value_name = "C|N,D")]
    pub predict: Vec<Target>,
    // A doc comment here would replace the command's own words.
    #[command(flatten)]
    #[allow(missing_docs)]
    pub serving: ServingArgs,
    /// The law to fit.
    #[arg(long, default_value = "power", value_parser = PossibleValuesParser::new(law::CATALOG.map(|law| law.name)))]
    pub law: String,
    /// Where the irreducible loss E comes from: `free`, `oracle`, or a number of nats. By default it is known from the
    /// oracle where every run has one and sizes differ (one size never gets there), else free.
    #[arg(long, value_name = "free|oracle|NATS", value_parser = irreducible)]
    pub irreducible: Option<Irreducible>,
    /// Fit this group only; may be given again.
    #[arg(long, value_name = "NAME")]
    pub group: Vec<String>,
    /// The group whose compute is the currency of the law `joint` [default: the first].
    #[arg(long, value_name = "NAME")]
    pub base: Option<String>,
    /// Leave out the N highest losses of each group.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub drop_highest: usize,
    /// Resamples behind standard errors; 0 for none. Intervals are profiles and need none.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub bootstrap: usize,
    /// What counts as a parameter of a result file's models.
    #[arg(long, value_enum, default_value_t, conflicts_with = "csv")]
    pub params: Params,
    /// Also follow a leader and a follower along the law: from equal compute, with only the leader's budget growing.
    #[arg(long)]
    pub project: bool,
    /// Growth a year for --project: everybody's algorithms, everybody's compute for the money, the leader's money.
    #[arg(long, value_name = "A,H,S", value_parser = growth, default_value = "2.8,1.4,3.57", requires = "project")]
    pub growth: Growth,
    /// Compute that both start with, in FLOP [default: the largest that was fitted].
    #[arg(long, value_name = "FLOP", requires = "project")]
    pub start: Option<f64>,
    /// A gap of so many nats is called small.
    #[arg(long, value_name = "NATS", default_value_t = SMALL_NATS, requires = "project")]
    pub small: f64,
    // A doc comment here would replace the command's own words.
    #[command(flatten)]
    #[allow(missing_docs)]
    pub out: OutArgs,
}

/// What a column's figures are counted in.
#[derive(Debug, Clone, PartialEq)]
pub enum Unit {
    /// They are multiplied by this.
    Factor(String, f64),
    /// Of losses.
    Loss(LossUnit),
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
    lead(&mut points, args.base.as_deref())?;
    let mut held_out = Vec::new();
    if let Some(filter) = &args.rows {
        (points, held_out) = filter.split(points)?;
    }
    let asked = Asked {
        hold: args.hold.clone(),
        held_out,
        predict: args.predict.clone(),
        demand: args.serving.demand(&args.results)?,
    };
    refuse_unanswered(args)?;
    let plan = Plan {
        irreducible: args.irreducible,
        drop_highest: args.drop_highest,
        draws: args.bootstrap,
    };
    let findings = fit::fit_asked(law::find(&args.law)?, &points, &plan, &asked)?;
    let projected = projections(args, &findings)?;
    args.out.show(
        || Ok(page(&findings, &projected)),
        || {
            let one = |(group, found): &(&str, Projection)| json!({ "group": group, "projection": found });
            let projected: Vec<_> = projected.iter().map(one).collect();
            Ok(Some(
                json!({ "sentence": sentence(&findings), "fit": to_json(&findings)?, "projections": projected }),
            ))
        },
    )
}

/// What the law asked for cannot answer.
fn refuse_unanswered(args: &FitArgs) -> Result<()> {
    let law = law::find(&args.law)?;
    if !args.hold.is_empty() && !matches!(law.form, fit::Form::Curve(_)) {
        return Err(
            Error::input(format!("--hold: the law `{}` holds E only", args.law))
                .hint("--irreducible VALUE holds E"),
        );
    }
    let rate = matches!(law.form, fit::Form::Rate);
    if rate && args.predict.iter().any(|target| target.place().is_none()) {
        return Err(
            Error::input("--predict: the law `rate` asks for N,D").hint("--predict 1e9,2e10")
        );
    }
    let silent = matches!(law.form, fit::Form::IsoFlop | fit::Form::Joint);
    if silent && !args.predict.is_empty() || (silent || rate) && args.serving.is_asked() {
        return Err(Error::input(format!(
            "the law `{}` says nothing of the loss of other runs",
            args.law
        ))
        .hint("--law power, --law chinchilla or --law over-training"));
    }
    Ok(())
}

/// A leader and a follower along every group's law.
fn projections<'a>(args: &FitArgs, findings: &'a Findings) -> Result<Vec<(&'a str, Projection)>> {
    if args.project && findings.groups.is_empty() {
        return Err(Error::input(format!(
            "--project: the law `{}` says nothing of the loss at other budgets",
            args.law
        ))
        .hint("--law power or --law chinchilla"));
    }
    let of = |study: &'a Study| {
        let largest = study.flops[1];
        let given = Assumptions {
            race: Race::new(args.start.unwrap_or(largest), args.growth)?,
            law: study.along,
            spread: Spread::Fitted(study),
            fitted_to_flops: Some(largest),
            years: &YEARS,
            small_nats: args.small,
        };
        Ok((study.group.as_str(), project(&given)?))
    };
    findings
        .groups
        .iter()
        .filter(|_| args.project)
        .map(of)
        .collect()
}

fn read(args: &FitArgs) -> Result<Points> {
    let Some(path) = &args.csv else {
        let counted = match args.params {
            Params::Total => Counted::Total,
            Params::NonEmbedding => Counted::NonEmbedding,
        };
        return fit::points::from_trials(&pool::read_all(&args.results)?, counted);
    };
    let mut units = csv::Units::default();
    for unit in &args.unit {
        match unit {
            Unit::Factor(name, factor) => units.factors.push((name.clone(), *factor)),
            Unit::Loss(loss) => units.loss = Some(*loss),
        }
    }
    let shown = path.display().to_string();
    let text = foreign::text(path)?;
    let points = csv::points(&text, &shown, &args.map, &units)?;
    let of_rates = matches!(law::find(&args.law)?.form, fit::Form::Rate);
    Ok(if of_rates {
        points
    } else {
        csv::sweep::best_of_cells(points)
    })
}

/// Keeps the groups asked for.
fn choose(points: &mut Points, wanted: &[String]) -> Result<()> {
    let known: Vec<String> = fit::points::groups(&points.points)
        .into_iter()
        .map(str::to_owned)
        .collect();
    if let Some(unknown) = wanted.iter().find(|group| !known.contains(group)) {
        let names = known.iter().map(String::as_str);
        return Err(
            Error::input(format!("--group {unknown}: no such group")).suggest(unknown, names)
        );
    }
    points
        .points
        .retain(|point| wanted.is_empty() || wanted.contains(&point.group));
    Ok(())
}

/// Puts the base's points first: the first group is the law `joint`'s base.
fn lead(points: &mut Points, base: Option<&str>) -> Result<()> {
    let Some(base) = base else { return Ok(()) };
    let known = fit::points::groups(&points.points);
    if !known.contains(&base) {
        return Err(Error::input(format!("--base {base}: no such group")).suggest(base, known));
    }
    points.points.sort_by_key(|point| point.group != base);
    Ok(())
}

fn mapping(text: &str) -> std::result::Result<(String, String), String> {
    let (name, column) = text.split_once('=').ok_or("write NAME=COLUMN")?;
    if csv::NAMES.contains(&name) {
        return Ok((name.to_owned(), column.to_owned()));
    }
    Err(format!("`{name}` is none of {}", csv::NAMES.join(", ")))
}

fn unit(text: &str) -> std::result::Result<Unit, String> {
    let (name, factor) = text
        .split_once('=')
        .ok_or("write NAME=FACTOR, such as params=1e9")?;
    if name == "loss" && factor.parse::<f64>().is_err() {
        return loss_unit(factor).map(Unit::Loss);
    }
    match factor.parse::<f64>() {
        Ok(factor) if factor > 0.0 && factor.is_finite() && csv::FIGURES.contains(&name) => {
            Ok(Unit::Factor(name.to_owned(), factor))
        }
        Ok(_) if !csv::FIGURES.contains(&name) => {
            Err(format!("`{name}` is none of {}", csv::FIGURES.join(", ")))
        }
        _ => Err("write a positive factor, such as params=1e9".to_owned()),
    }
}

fn hold(text: &str) -> std::result::Result<(String, f64), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("write NAME=VALUE, such as alpha=0.35")?;
    match value.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok((name.to_owned(), value)),
        _ => Err("write a positive number, such as alpha=0.35".to_owned()),
    }
}

fn growth(text: &str) -> std::result::Result<Growth, String> {
    let parts: Vec<f64> = text
        .split(',')
        .map(|part| part.trim().parse().unwrap_or(f64::NAN))
        .collect();
    match parts[..] {
        [algorithms, hardware, spending] if parts.iter().all(|factor| factor.is_finite()) => {
            Ok(Growth {
                algorithms,
                hardware,
                spending,
            })
        }
        _ => Err("write three factors a year, such as 2.8,1.4,3.57".to_owned()),
    }
}

pub(super) fn irreducible(text: &str) -> std::result::Result<Irreducible, String> {
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
        assert_eq!(
            mapping("params=Model Size"),
            Ok(("params".to_owned(), "Model Size".to_owned()))
        );
        assert!(mapping("param=x").unwrap_err().contains("none of params"));
        assert!(mapping("params").is_err());
        assert_eq!(irreducible("1.69"), Ok(Irreducible::Fixed(1.69)));
        assert_eq!(irreducible("oracle"), Ok(Irreducible::Oracle));
        assert_eq!(
            growth("3, 2,1.5"),
            Ok(Growth {
                algorithms: 3.0,
                hardware: 2.0,
                spending: 1.5
            })
        );
        assert!(growth("3,2").is_err() && growth("3,2,x").is_err());
        for bad in ["-1", "nan", "inf", "known", ""] {
            assert!(irreducible(bad).is_err(), "{bad}");
        }
    }
}
