//! `effbench list`: what there is, one sentence each.

use clap::Args;

use super::out::OutArgs;
use super::print::to_json;
use crate::config::Library;
use crate::error::{Error, Result};
use crate::report::listing::{self, Listed};
use crate::trial::Registry;

/// Arguments of `effbench list`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench list
  effbench list variants")]
pub struct ListArgs {
    /// Only these: variants, suites, data, mixers, optimizers ... [default: all].
    pub what: Option<String>,
    // A doc comment here would replace the command's own words.
    #[command(flatten)]
    #[allow(missing_docs)]
    pub out: OutArgs,
}

/// Lists everything, or one catalog.
pub fn execute(args: &ListArgs, registry: &Registry) -> Result<()> {
    let all = listings(registry)?;
    let shown: Vec<&Listed> = match &args.what {
        None => all.iter().collect(),
        Some(what) => {
            let found: Vec<&Listed> = all.iter().filter(|listed| listed.what == *what).collect();
            if found.is_empty() {
                let names = all.iter().map(|listed| listed.what.as_str());
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
    for (what, rows) in registry.listings() {
        let what = if what == "data sources" { "data" } else { what };
        all.push(Listed {
            what: what.into(),
            rows: rows.iter().map(|(name, about)| row(name, about)).collect(),
        });
    }
    Ok(all)
}
