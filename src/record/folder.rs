//! Folders in place of result files: those of a results folder, of a CI's artifacts, and of a run that is not done yet.

use std::fs;
use std::path::{Path, PathBuf};

use super::store;
use crate::error::{Error, Result, plain};

/// The result files that a path names: itself, unless it is a folder; then every `.json` in it, and where there is none those one
/// level down, since a CI puts each artifact into a folder of its own. The folder of an unfinished run stands for itself.
///
/// # Errors
/// A folder that cannot be read or holds no result file.
pub fn results(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() || store::is_unfinished(path) {
        return Ok(vec![path.to_owned()]);
    }
    let within = |folder: &Path| -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(folder).map_err(|e| {
            let (shown, why) = (folder.display(), plain(&e));
            Error::input(format!("{shown}: cannot be read: {why}"))
        })?;
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        paths.sort();
        Ok(paths)
    };
    let is_result =
        |path: &PathBuf| path.is_file() && path.extension().is_some_and(|ending| ending == "json");
    let (mut paths, others): (Vec<_>, Vec<_>) = within(path)?.into_iter().partition(is_result);
    if paths.is_empty() {
        let folders = others
            .iter()
            .filter(|path| path.is_dir() && path.extension().is_none());
        for folder in folders {
            paths.extend(within(folder)?.into_iter().filter(is_result));
        }
    }
    if paths.is_empty() {
        return Err(
            Error::input(format!("{}: no result file in this folder", path.display()))
                .hint("result files end in `.json`; `effbench run --out FILE` writes one"),
        );
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ResultFile;
    use crate::record::example::example;
    use crate::record::journal::{HEAD, journal_trial};

    #[test]
    fn an_unfinished_run_is_read_as_far_as_it_got() {
        let results = tempfile::tempdir().unwrap();
        let partial = results.path().join("x.json.partial");
        fs::create_dir(&partial).unwrap();
        let file = example();
        let head = ResultFile {
            trials: Vec::new(),
            ..file.clone()
        };
        assert!(store::read(&partial).is_err(), "no head yet");
        store::write_json(&partial.join(HEAD), &head).unwrap();
        assert!(store::read_valid(&partial).unwrap().trials.is_empty());
        for trial in file.trials.iter().take(3).rev() {
            journal_trial(&partial, trial).unwrap();
        }
        let found = store::read_valid(&partial).unwrap();
        assert_eq!(found.trials, file.trials[..3]);
        assert_eq!(found.run.finished_at, None);
        // A folder of results is not searched for what is not done.
        fs::write(results.path().join("y.json"), "").unwrap();
        let listed = super::results(results.path()).unwrap();
        assert_eq!(listed, [results.path().join("y.json")]);
        assert_eq!(super::results(&partial).unwrap(), [partial]);
    }
}
