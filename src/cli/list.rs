//! `effbench list`: what there is, and every key of a spec, one sentence each.

use std::path::PathBuf;

use clap::Args;

use super::out::{Medium, OutArgs};
use super::print::to_json;
use crate::analysis::study::studies;
use crate::config::{Key, Library};
use crate::error::{Error, Result, near};
use crate::record::metric::REGISTRY;
use crate::record::pool::read_each;
use crate::report::changes::{self, Priced};
use crate::report::listing::{self, Listed};
use crate::report::page::{Block, Page};
use crate::trial::{Registry, keys};

/// The list of keys, by its name.
const KEYS: &str = "keys";
/// The list of changes, by its name.
const CHANGES: &str = "changes";
/// What was measured of the changes that ship: `effbench list changes --measured RESULT... --out docs/measured.json`, of the results
/// that `docs/zoo.md` names.
const MEASURED: &str = include_str!("../../docs/measured.json");

/// Arguments of `effbench list`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench list
  effbench list variants
  effbench list changes                   what can be changed, and what each change was worth where it was measured
  effbench list changes --measured mine.json          by your own results
  effbench list keys                      every key that --set and files can set, with its meaning
  effbench list keys train.optimizer")]
pub struct ListArgs {
    /// Only these: variants, suites, data, mixers, optimizers ... or keys [default: all but keys].
    pub what: Option<String>,
    /// Only keys that begin so: train, train.optimizer, train.optimizer.lr.
    pub prefix: Option<String>,
    /// With changes: what they are worth by these result files, or folders of them, in place of what ships.
    #[arg(long, value_name = "RESULT", num_args = 1..)]
    pub measured: Vec<PathBuf>,
    // A doc comment here would replace the command's own words.
    #[command(flatten)]
    #[allow(missing_docs)]
    pub out: OutArgs,
}

/// Lists everything, or one catalog.
pub fn execute(args: &ListArgs, registry: &Registry) -> Result<()> {
    let what = args.what.as_deref();
    if what == Some(KEYS) {
        return list_keys(args, registry);
    }
    if let Some(prefix) = &args.prefix {
        let message = format!(
            "list {}: a list has no parts, such as `{prefix}`",
            what.unwrap_or_default()
        );
        return Err(Error::input(message).hint("only `effbench list keys PREFIX` has"));
    }
    if what == Some(CHANGES) {
        return list_changes(args);
    }
    if !args.measured.is_empty() {
        let message = "--measured: only changes have measured worths";
        return Err(Error::input(message).hint("`effbench list changes --measured RESULT`"));
    }
    let all = listings(registry)?;
    let shown: Vec<&Listed> = match &args.what {
        None => all.iter().collect(),
        Some(what) => {
            let found: Vec<&Listed> = all.iter().filter(|listed| listed.what == *what).collect();
            if found.is_empty() {
                let names = all.iter().map(|listed| listed.what.as_str()).chain([KEYS]);
                return Err(
                    Error::input(format!("there is no list of `{what}`")).suggest(what, names)
                );
            }
            found
        }
    };
    args.out.show(
        || Ok(listing::listing(&shown)),
        || Ok(Some(to_json(&shown)?)),
    )
}

/// Lists the changes that ship, with what they are worth.
fn list_changes(args: &ListArgs) -> Result<()> {
    let known = Library::builtin().changes()?;
    let priced: Vec<Priced> = match args.measured.is_empty() {
        true => {
            let shipped: Vec<Priced> = serde_json::from_str(MEASURED)
                .map_err(|error| Error::internal(format!("docs/measured.json: {error}")))?;
            let mut all = changes::priced(&known, &[]);
            for change in &mut all {
                let measured = shipped.iter().find(|other| other.name == change.name);
                change.measured = measured.map(|m| m.measured.clone()).unwrap_or_default();
            }
            all
        }
        false => {
            let refused = |why| Error::input(format!("list changes: {why}"));
            let mut all = Vec::new();
            // What one file says of a change is not what another does: other sizes, other lengths, another base.
            for (_, file) in read_each(&args.measured)? {
                all.extend(studies(&file, None, None, None).map_err(refused)?);
            }
            changes::priced(&known, &all)
        }
    };
    let medium = args.out.medium()?;
    let document = matches!(medium, Medium::Markdown | Medium::Html);
    args.out.show(
        || Ok(changes::page(&priced, document)),
        || Ok(Some(to_json(&priced)?)),
    )
}

/// Lists the keys of a spec.
fn list_keys(args: &ListArgs, registry: &Registry) -> Result<()> {
    let all = keys(registry);
    let shown: Vec<&Key> = match args.prefix.as_deref() {
        None => all.iter().collect(),
        Some(prefix) => begin_with(prefix, &all)?,
    };
    let medium = args.out.medium()?;
    let page = || match medium {
        // A table is cut out of what a person reads by its heading; a program takes one table.
        Medium::Csv => {
            let table = Block::Table(listing::key_table(&shown));
            Page::answer("Keys of a spec", Vec::new(), vec![table])
        }
        _ => listing::keys(&shown, matches!(medium, Medium::Markdown | Medium::Html)),
    };
    args.out.show(|| Ok(page()), || Ok(Some(to_json(&shown)?)))
}

/// The keys that are or stand below `prefix`.
fn begin_with<'a>(prefix: &str, all: &'a [Key]) -> Result<Vec<&'a Key>> {
    let below = |key: &&Key| {
        let rest = key.key.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let found: Vec<&Key> = all.iter().filter(below).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let mut known: Vec<&str> = Vec::new();
    for key in all {
        let tables = key.key.match_indices('.').map(|(at, _)| &key.key[..at]);
        known.extend(tables.chain([key.key.as_str()]));
    }
    let message = format!("list keys {prefix}: no key starts with `{prefix}`");
    let error = Error::input(message);
    let leaf = all
        .iter()
        .filter(|key| key.key.ends_with(&format!(".{prefix}")));
    let places: Vec<&str> = leaf.map(|key| key.key.as_str()).collect();
    // `ffn` is `model.ffn`, `train.lr` is `train.optimizer.lr`.
    let (begin, leaf) = prefix.rsplit_once('.').unwrap_or(("", prefix));
    let ends = |key: &&&str| key.rsplit('.').next() == Some(leaf) && key.starts_with(begin);
    if let Some(place) = known.iter().find(ends) {
        return Err(error.hint(format!("did you mean `{place}`?")));
    }
    Err(match (places.first(), near(prefix, known)) {
        (Some(place), _) => error.hint(format!("did you mean `{place}`?")),
        (None, Some(place)) => error.hint(format!("did you mean `{place}`?")),
        (None, None) => error.hint("`effbench list keys` has all of them"),
    })
}

fn listings(registry: &Registry) -> Result<Vec<Listed>> {
    let library = Library::builtin();
    let row = |name: &str, about: &str| (name.to_owned(), about.to_owned());
    let variants = library
        .variants()?
        .iter()
        .map(|v| row(&v.name, &v.about))
        .collect();
    let suites = library
        .suites()?
        .iter()
        .map(|s| row(&s.name, &s.about))
        .collect();
    let prices = library
        .prices()?
        .iter()
        .map(|p| row(&p.name, &p.about))
        .collect();
    let changes = library
        .changes()?
        .iter()
        .map(|c| row(&c.name, &c.about))
        .collect();
    let mut all = vec![
        Listed {
            what: "suites".into(),
            rows: suites,
        },
        Listed {
            what: "variants".into(),
            rows: variants,
        },
        Listed {
            what: "changes".into(),
            rows: changes,
        },
        Listed {
            what: "prices".into(),
            rows: prices,
        },
    ];
    all.push(Listed {
        what: "metrics".into(),
        rows: REGISTRY
            .iter()
            .map(|metric| row(metric.name, metric.about))
            .collect(),
    });
    for (what, rows) in registry.listings() {
        let what = if what == "data sources" { "data" } else { what };
        all.push(Listed {
            what: what.into(),
            rows: rows.iter().map(|(name, about)| row(name, about)).collect(),
        });
    }
    Ok(all)
}
