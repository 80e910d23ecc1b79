//! Several result files as one: what commands that take `RESULT...` judge together.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{ResultFile, Run, Trial, folder, store};
use crate::error::{Error, Result};

/// Reads result files and those in folders, refuses one that makes no sense, and pools them.
pub fn read_all(paths: &[PathBuf]) -> Result<ResultFile> {
    pool(read_each(paths)?)
}

/// Result files by name, each for itself.
///
/// # Errors
/// Those of reading one.
pub fn read_each(paths: &[PathBuf]) -> Result<Vec<(String, ResultFile)>> {
    let mut files = Vec::new();
    for path in paths {
        for path in folder::results(path)? {
            let file = store::read_valid(&path)?;
            files.push((path.display().to_string(), file));
        }
    }
    Ok(files)
}

/// Several named result files as one; trials keep their order within a file and follow those of the file before.
///
/// Machines and builds that are the same are so once. What the files disagree about (base, headline) is absent. A trial that
/// is in two files is one trial; with two different results it is refused, as nobody can say which counts. Two runs may well
/// have the same cell and repeat, on other machines or other data: who compares looks at the spec, not at the name alone.
pub fn pool(files: Vec<(String, ResultFile)>) -> Result<ResultFile> {
    let runs: Vec<Run> = files.iter().map(|(_, file)| file.run.clone()).collect();
    let several = files.len() > 1;
    let mut files = files
        .into_iter()
        .map(|(name, file)| (name, if several { with_its_run(file) } else { file }));
    let Some((first, mut pooled)) = files.next() else {
        return Err(Error::input("no result file").hint("`effbench run` writes one"));
    };
    let mut owners: BTreeMap<String, String> = pooled
        .trials
        .iter()
        .map(|trial| (trial.id.clone(), first.clone()))
        .collect();
    for (name, file) in files {
        add(&mut pooled, file, &name, &mut owners)?;
    }
    pooled.run = common(&runs).unwrap_or(pooled.run);
    Ok(pooled)
}

/// The file with its run's beginning in each trial, as a pooled file has one for all.
fn with_its_run(mut file: ResultFile) -> ResultFile {
    for trial in &mut file.trials {
        trial
            .run_started_at
            .get_or_insert_with(|| file.run.started_at.clone());
    }
    file
}

/// The name of a pooled file's run, for prose: `quick + ladder`.
fn common(runs: &[Run]) -> Option<Run> {
    let (first, rest) = runs.split_first()?;
    let all = |same: fn(&Run, &Run) -> bool| rest.iter().all(|run| same(first, run));
    let distinct = |text: fn(&Run) -> &str, between: &str| {
        let mut seen: Vec<&str> = Vec::new();
        for run in runs {
            if !seen.contains(&text(run)) {
                seen.push(text(run));
            }
        }
        seen.join(between)
    };
    Some(Run {
        suite: distinct(|run| &run.suite, " + "),
        command: distinct(|run| &run.command, "; "),
        base: first.base.clone().filter(|_| all(|a, b| a.base == b.base)),
        headline: first
            .headline
            .clone()
            .filter(|_| all(|a, b| a.headline == b.headline)),
        data: distinct(|run| &run.data, " and "),
        repeats: runs.iter().map(|run| run.repeats).max()?,
        started_at: runs.iter().map(|run| run.started_at.clone()).min()?,
        finished_at: runs
            .iter()
            .map(|run| run.finished_at.clone())
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .max(),
        interleaved: runs[0].interleaved.filter(|_| runs.len() == 1),
    })
}

fn add(
    pooled: &mut ResultFile,
    file: ResultFile,
    name: &str,
    owners: &mut BTreeMap<String, String>,
) -> Result<()> {
    let machines: Vec<u64> = file
        .machines
        .into_iter()
        .map(|machine| place(&mut pooled.machines, machine))
        .collect();
    let builds: Vec<u64> = file
        .builds
        .into_iter()
        .map(|build| place(&mut pooled.builds, build))
        .collect();
    for mut calibration in file.calibrations {
        calibration.machine = machines[calibration.machine as usize];
        pooled.calibrations.push(calibration);
    }
    let after = pooled
        .trials
        .iter()
        .map(|trial| trial.order + 1)
        .max()
        .unwrap_or(0);
    for trial in file.trials {
        let (build, machine) = (
            builds[trial.build as usize],
            machines[trial.machine as usize],
        );
        let trial = Trial {
            build,
            machine,
            order: trial.order + after,
            ..trial
        };
        let Some(owner) = owners.get(&trial.id) else {
            owners.insert(trial.id.clone(), name.to_owned());
            pooled.trials.push(trial);
            continue;
        };
        let same = pooled.trials.iter().any(|t| {
            *t == Trial {
                order: t.order,
                ..trial.clone()
            }
        });
        if !same {
            let message = format!(
                "{name} and {owner}: two results for one trial, {} repeat {}",
                trial.cell, trial.repeat
            );
            return Err(Error::input(message)
                .hint("the same thing was run twice: give only one of these files"));
        }
    }
    Ok(())
}

/// The index of `item` in `list`, where it is put unless it is there.
fn place<T: PartialEq>(list: &mut Vec<T>, item: T) -> u64 {
    let at = list
        .iter()
        .position(|other| *other == item)
        .unwrap_or_else(|| {
            list.push(item);
            list.len() - 1
        });
    at as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;

    /// The example as another run: other trials, one more machine in front.
    fn other() -> ResultFile {
        let mut file = example();
        let mut machine = file.machines[0].clone();
        machine.class_id = "arm-4c-linux".to_owned();
        file.machines.insert(0, machine);
        for trial in &mut file.trials {
            trial.id = format!("{}-other", trial.id);
            trial.machine = 1;
        }
        file.calibrations[1].machine = 1;
        file.run.suite = "ladder".to_owned();
        file.run.headline = None;
        file
    }

    #[test]
    fn files_are_pooled_and_say_what_they_share() {
        let pooled = pool(vec![("a".to_owned(), example()), ("b".to_owned(), other())]).unwrap();
        assert_eq!(
            (
                pooled.machines.len(),
                pooled.builds.len(),
                pooled.trials.len()
            ),
            (2, 1, 40)
        );
        assert!(
            pooled
                .trials
                .iter()
                .all(|t| pooled.machines[t.machine as usize].class_id == "epyc-2c-linux")
        );
        assert_eq!(
            pooled
                .calibrations
                .iter()
                .map(|c| c.machine)
                .collect::<Vec<_>>(),
            [0, 0, 1, 0]
        );
        assert_eq!(
            pooled.trials.iter().map(|t| t.order).collect::<Vec<_>>(),
            (0..40).collect::<Vec<_>>()
        );
        assert_eq!(
            (pooled.run.suite.as_str(), pooled.run.base.as_deref()),
            ("quick + ladder", Some("gpt2"))
        );
        assert_eq!(
            (pooled.run.headline, pooled.run.data.as_str()),
            (None, "synthetic language")
        );
    }

    #[test]
    fn a_trial_counts_once_and_two_results_for_it_are_refused() {
        assert_eq!(pool(vec![("a".to_owned(), example())]).unwrap(), example());
        let twice = pool(vec![
            ("a".to_owned(), example()),
            ("b".to_owned(), example()),
        ])
        .unwrap();
        assert_eq!(twice.trials.len(), 20);
        let mut spoilt = example();
        spoilt.trials[0].seed = 77;
        let refused =
            pool(vec![("a".to_owned(), example()), ("b".to_owned(), spoilt)]).unwrap_err();
        assert_eq!(
            refused.message,
            "b and a: two results for one trial, gpt2/w32@400 repeat 0"
        );
        assert!(pool(Vec::new()).is_err());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = read_all(&[PathBuf::from("no-such.json")]).unwrap_err();
        assert!(error.message.starts_with("no-such.json"), "{error}");
    }
}
