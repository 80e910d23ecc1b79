//! `effbench merge`: several result files as one, with every conflict named.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::print::print;
use crate::error::{Error, Result};
use crate::record::pool::pool;
use crate::record::{ResultFile, Trial, folder, store};

/// Conflicts shown.
const SHOWN: usize = 8;

/// Arguments of `effbench merge`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example:
  effbench merge shard-1.json shard-2.json --out whole.json")]
pub struct MergeArgs {
    /// Result files, or folders of them.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The result file to write.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Reads all, refuses two results for one trial, writes one file.
pub fn execute(args: &MergeArgs) -> Result<()> {
    store::check_writable(&args.out)?;
    if args.out.exists() {
        return Err(
            Error::input(format!("--out {}: it is already there", args.out.display()))
                .hint("give another name: merging never replaces a file"),
        );
    }
    let named = |path: &PathBuf| Ok((path.display().to_string(), store::read_valid(path)?));
    let mut paths = Vec::new();
    for path in &args.files {
        paths.extend(folder::results(path)?);
    }
    let files = paths
        .iter()
        .map(named)
        .collect::<Result<Vec<(String, ResultFile)>>>()?;
    let conflicts = conflicts(&files);
    if !conflicts.is_empty() {
        let more = conflicts.len().saturating_sub(SHOWN);
        let more = if more > 0 {
            format!("; and {more} more")
        } else {
            String::new()
        };
        let shown = conflicts[..conflicts.len() - conflicts.len().saturating_sub(SHOWN)].join("; ");
        return Err(Error::input(format!("two results for one trial: {shown}{more}"))
            .hint("the same thing was run twice: leave one of these files out, or compare them: `effbench compare`"));
    }
    let count = files.len();
    let merged = pool(files)?;
    store::write(&args.out, &merged)?;
    print(&format!(
        "{}: {} trials from {count} files",
        args.out.display(),
        merged.trials.len()
    ))
}

/// Trials that stand in two files with different content, or under different ids at the same place.
fn conflicts(files: &[(String, ResultFile)]) -> Vec<String> {
    let mut ids: BTreeMap<&str, (&str, &Trial)> = BTreeMap::new();
    let mut places: BTreeMap<(&str, &str, u64), (&str, &str)> = BTreeMap::new();
    let mut found = Vec::new();
    for (name, file) in files {
        for trial in &file.trials {
            let said = format!("{} repeat {}", trial.cell, trial.repeat);
            let (owner, known) = *ids.entry(&trial.id).or_insert((name, trial));
            let place = (trial.arm.as_str(), trial.cell.as_str(), trial.repeat);
            let (holder, id) = *places.entry(place).or_insert((name, &trial.id));
            let same = Trial {
                order: trial.order,
                build: trial.build,
                machine: trial.machine,
                ..known.clone()
            } == *trial;
            if !same {
                found.push(format!("{said} in {owner} and {name}"));
            } else if id != trial.id {
                found.push(format!(
                    "{said} in {holder} and {name}, with other settings or another build"
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;

    #[test]
    fn what_conflicts_is_named() {
        type Change = fn(&mut ResultFile);
        let rows: [(Change, usize, &str); 4] = [
            (|_| (), 0, ""),
            (|f| f.trials.iter_mut().for_each(|t| t.order += 20), 0, ""),
            (
                |f| f.trials[0].seed = 77,
                1,
                "gpt2/w32@400 repeat 0 in a and b",
            ),
            (
                |f| f.trials[1].id = "other".to_owned(),
                1,
                "with other settings or another build",
            ),
        ];
        for (change, count, says) in rows {
            let mut other = example();
            change(&mut other);
            let found = conflicts(&[("a".to_owned(), example()), ("b".to_owned(), other)]);
            assert_eq!(found.len(), count, "{found:?}");
            assert!(found.iter().all(|line| line.contains(says)), "{found:?}");
        }
    }
}
