//! Slurm as the engine: one array task a repeat, all arms of a repeat on one node, and a last job that puts the parts
//! together. Everything is submitted at once and nothing waits: no daemon, no accounting. A task that is run again does only
//! what is missing; submitting again submits only the parts that are, and of these none that is still in the queue.
//!
//! Partition, account and time limit come from Slurm's own environment: `SBATCH_PARTITION`, `SBATCH_ACCOUNT`,
//! `SBATCH_TIMELIMIT`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::queue::{Queue, Sent};
use super::shard::Shard;
use crate::error::{Error, Result};
use crate::record::{Build, Status, store};

/// Array indices lie below this where the cluster does not say otherwise (Slurm's default of `MaxArraySize`).
const MAX_ARRAY_SIZE: u64 = 1001;
const SWEEP: &str = "effbench-sweep";

/// A run to be spread.
#[derive(Debug, Clone)]
pub struct Spread {
    /// This program.
    pub program: PathBuf,
    /// Which build it is.
    pub build: Build,
    /// Suite and options that choose what runs, quoted for a shell.
    pub asked: String,
    /// The result file.
    pub out: PathBuf,
    /// How many parts: one a repeat.
    pub repeats: u64,
    /// Whether learning rates are chosen first.
    pub tuned: bool,
}

/// One call of `sbatch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Of the script and of the job.
    pub name: String,
    /// Without dependencies.
    pub options: Vec<String>,
    /// The script.
    pub script: String,
    /// The parts that it does, from 1.
    pub parts: Vec<u64>,
    /// What is added to an array's index to give the part.
    pub offset: u64,
}

/// What was submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// Names and Slurm's numbers, in order.
    pub jobs: Vec<(String, String)>,
    /// Parts that an earlier submission still has in the queue.
    pub queued: Vec<u64>,
    /// Parts that are done already.
    pub done: u64,
    /// Parts in all.
    pub parts: u64,
}

impl Spread {
    /// The folder of the parts: `x.json` gives `x.json.shards`.
    pub fn folder(&self) -> PathBuf {
        let mut name = self.out.as_os_str().to_owned();
        name.push(".shards");
        PathBuf::from(name)
    }

    /// Where a part's results go.
    pub fn part(&self, shard: Shard) -> PathBuf {
        match shard {
            Shard::Sweep => self.folder().join("sweep.json"),
            Shard::Part { part, .. } => self.folder().join(format!("{part}.json")),
        }
    }

    /// Every file of the parts that is there, the sweep's first.
    pub fn parts(&self) -> Vec<PathBuf> {
        let parts = (1..=self.repeats).map(|part| Shard::Part {
            part,
            of: self.repeats,
        });
        [Shard::Sweep]
            .into_iter()
            .chain(parts)
            .map(|shard| self.part(shard))
            .filter(|path| path.exists())
            .collect()
    }

    /// The parts that are not done, from 1.
    pub fn missing(&self) -> Result<Vec<u64>> {
        let mut missing = Vec::new();
        for part in 1..=self.repeats {
            if !self.is_done(&self.part(Shard::Part {
                part,
                of: self.repeats,
            }))? {
                missing.push(part);
            }
        }
        Ok(missing)
    }

    /// Whether a part's file holds no trial that is worth another try; refuses one that another build made.
    fn is_done(&self, path: &Path) -> Result<bool> {
        let Ok(file) = store::read(path) else {
            return Ok(false);
        };
        if file.builds != [self.build.clone()] {
            return Err(Error::input(format!(
                "{} was made by another build of effbench",
                path.display()
            ))
            .hint("use the program that began it, or begin anew with another --out"));
        }
        let settled = |status| matches!(status, Status::Ok | Status::Diverged);
        Ok(file
            .trials
            .iter()
            .all(|trial| trial.in_sweep() || settled(trial.status)))
    }

    /// A copy of the program beside the parts: a rebuild while tasks wait must not mix two builds.
    fn keep_program(&self) -> Result<()> {
        let copy = self.program_copy();
        if copy.exists() {
            return Ok(());
        }
        let failed =
            |error| Error::input(format!("{}: cannot be written: {error}", copy.display()));
        fs::copy(&self.program, &copy).map(drop).map_err(failed)
    }

    fn program_copy(&self) -> PathBuf {
        self.folder().join("effbench")
    }

    /// Submits what is missing and not in the queue, and the job that puts the parts together after it, whatever became of it.
    pub fn submit(&self) -> Result<Submitted> {
        let folder = self.folder();
        let new = !folder.exists();
        let mut jobs = Vec::new();
        let submitted = self.submit_missing(&folder, &mut jobs);
        if new && submitted.is_err() && jobs.is_empty() {
            // Nothing was there and nothing was submitted: nothing is to stay.
            let _ = fs::remove_dir_all(&folder);
        }
        submitted.map(|(done, queued)| Submitted {
            jobs,
            queued,
            done,
            parts: self.repeats,
        })
    }

    /// Parts that are done already, and those in the queue; what is submitted is added to `jobs`.
    fn submit_missing(
        &self,
        folder: &Path,
        jobs: &mut Vec<(String, String)>,
    ) -> Result<(u64, Vec<u64>)> {
        fs::create_dir_all(folder)
            .map_err(|e| Error::input(format!("{}: cannot be written: {e}", folder.display())))?;
        let missing = self.missing()?;
        let done = self.repeats - missing.len() as u64;
        self.keep_program()?;
        let mut queue = Queue::open(folder)?;
        let queued: Vec<u64> = missing
            .iter()
            .copied()
            .filter(|part| queue.holds_part(*part))
            .collect();
        let missing: Vec<u64> = missing
            .into_iter()
            .filter(|part| !queued.contains(part))
            .collect();
        let (waiting_sweep, waiting_arrays) = (queue.job_named(SWEEP), queue.arrays());
        let mut send = |submission: &Submission, after: Option<&str>| {
            let id = sbatch(folder, submission, after)?;
            jobs.push((submission.name.clone(), id.clone()));
            let Submission {
                name,
                parts,
                offset,
                ..
            } = submission.clone();
            queue.remember(Sent {
                id: id.clone(),
                name,
                parts,
                offset,
            })?;
            Ok::<String, Error>(id)
        };
        if missing.is_empty() {
            return Ok((done, queued));
        }
        let mut after = None;
        if self.tuned && !self.is_done(&self.part(Shard::Sweep))? {
            let sweep = self.sweep();
            let id = match waiting_sweep {
                Some(id) => id,
                None => send(&sweep, None)?,
            };
            // A rate that diverges is a finding, and fails the job: the parts see for themselves what there is.
            after = Some(format!("afterany:{id}"));
        }
        let mut ids: Vec<String> = Vec::new();
        for array in self.arrays(&missing, max_array_size()) {
            ids.push(send(&array, after.as_deref())?);
        }
        ids.extend(waiting_arrays);
        send(
            &self.collector(),
            Some(&format!("afterany:{}", ids.join(":"))),
        )?;
        Ok((done, queued))
    }

    fn sweep(&self) -> Submission {
        let line = self.line(&format!(
            "--shard sweep --resume --out {}",
            shell(&self.part(Shard::Sweep))
        ));
        Submission {
            name: SWEEP.to_owned(),
            options: alone(),
            script: script(&line),
            parts: vec![],
            offset: 0,
        }
    }

    /// Arrays of the missing parts, each with indices below the cluster's limit.
    fn arrays(&self, missing: &[u64], max_array_size: u64) -> Vec<Submission> {
        let most = max_array_size.saturating_sub(1).max(1);
        let mut arrays: Vec<Submission> = Vec::new();
        let mut rest = missing;
        while let Some(first) = rest.first() {
            let offset = (first - 1) / most * most;
            let count = rest.partition_point(|part| *part <= offset + most);
            let (these, others) = rest.split_at(count);
            rest = others;
            let indices: Vec<u64> = these.iter().map(|part| part - offset).collect();
            let rates = if self.tuned {
                format!(" --rates {}", shell(&self.part(Shard::Sweep)))
            } else {
                String::new()
            };
            let folder = shell(&self.folder());
            let line = self.line(&format!(
                "--shard \"$part/{}\"{rates} --resume --out {folder}/\"$part\".json",
                self.repeats
            ));
            let mut options = alone();
            options.push(format!("--array={}", ranges(&indices)));
            let script = script(&format!("part=$((SLURM_ARRAY_TASK_ID + {offset}))\n{line}"));
            let (name, parts) = (format!("effbench-{}", arrays.len() + 1), these.to_vec());
            arrays.push(Submission {
                name,
                options,
                script,
                parts,
                offset,
            });
        }
        arrays
    }

    fn collector(&self) -> Submission {
        let line = self.line(&format!(
            "--executor slurm --collect --out {}",
            shell(&self.out)
        ));
        let options = vec!["--ntasks=1".to_owned()];
        Submission {
            name: "effbench-collect".to_owned(),
            options,
            script: script(&line),
            parts: vec![],
            offset: 0,
        }
    }

    fn line(&self, rest: &str) -> String {
        format!(
            "exec {} run {} {rest}",
            shell(&self.program_copy()),
            self.asked
        )
    }
}

/// Measuring tasks share a node with nobody.
fn alone() -> Vec<String> {
    ["--nodes=1", "--ntasks=1", "--exclusive"]
        .map(str::to_owned)
        .to_vec()
}

fn script(body: &str) -> String {
    format!("#!/bin/sh\n{body}\n")
}

/// Quoted for a shell, whatever is in it.
fn shell(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

/// `1-3,7`.
fn ranges(indices: &[u64]) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for &index in indices {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => runs.push((index, index)),
        }
    }
    let text = |(first, last): &(u64, u64)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    };
    runs.iter().map(text).collect::<Vec<_>>().join(",")
}

fn max_array_size() -> u64 {
    let output = Command::new("scontrol")
        .args(["show", "config"])
        .output()
        .ok();
    let text = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    array_size_in(&text).unwrap_or(MAX_ARRAY_SIZE)
}

/// `MaxArraySize            = 1001`.
fn array_size_in(config: &str) -> Option<u64> {
    let line = config
        .lines()
        .find(|line| line.trim_start().starts_with("MaxArraySize"))?;
    line.split_once('=')?.1.trim().parse().ok()
}

/// Writes the script beside the parts and submits it; Slurm's number of the job.
fn sbatch(folder: &Path, submission: &Submission, after: Option<&str>) -> Result<String> {
    let path = folder.join(format!("{}.sh", submission.name));
    store::write_whole(&path, submission.script.as_bytes())?;
    let output = Command::new("sbatch")
        .arg("--parsable")
        .arg(format!("--job-name={}", submission.name))
        .arg(format!(
            "--output={}",
            folder
                .join(format!("{}-%A-%a.log", submission.name))
                .display()
        ))
        .args(&submission.options)
        .args(after.map(|after| format!("--dependency={after}")))
        .arg(&path)
        .output()
        .map_err(|error| {
            Error::input(format!("cannot start sbatch: {error}"))
                .hint("run this on a login node of a Slurm cluster")
        })?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        return Err(Error::input(format!("sbatch refused {}: {}", submission.name, said(&output.stderr)))
            .hint("SBATCH_PARTITION, SBATCH_ACCOUNT and SBATCH_TIMELIMIT say what this cluster wants to know"));
    }
    // `12` or `12;cluster`.
    Ok(said(&output.stdout)
        .split(';')
        .next()
        .unwrap_or_default()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(repeats: u64, tuned: bool) -> Spread {
        Spread {
            program: PathBuf::from("/opt/eff bench"),
            build: crate::runner::build_info(),
            asked: "quick --variants gpt2".to_owned(),
            out: PathBuf::from("/r/it's.json"),
            repeats,
            tuned,
        }
    }

    #[test]
    fn scripts_say_what_each_task_does() {
        let arrays = spread(4, true).arrays(&[1, 2, 4], 1001);
        assert_eq!(arrays.len(), 1);
        assert_eq!(
            arrays[0].options,
            ["--nodes=1", "--ntasks=1", "--exclusive", "--array=1-2,4"]
        );
        assert_eq!(
            arrays[0].script,
            "#!/bin/sh\npart=$((SLURM_ARRAY_TASK_ID + 0))\nexec '/r/it'\\''s.json.shards/effbench' run quick --variants gpt2 --shard \"$part/4\" \
             --rates '/r/it'\\''s.json.shards/sweep.json' --resume --out '/r/it'\\''s.json.shards'/\"$part\".json\n"
        );
        assert!(
            !spread(4, false).arrays(&[1], 1001)[0]
                .script
                .contains("--rates")
        );
        assert!(
            spread(4, true)
                .sweep()
                .script
                .contains("--shard sweep --resume")
        );
    }

    #[test]
    fn arrays_keep_below_the_clusters_limit() {
        let parts: Vec<u64> = (1..=7).filter(|part| *part != 4).collect();
        let arrays = spread(7, false).arrays(&parts, 4);
        let seen: Vec<(&str, bool)> = arrays
            .iter()
            .map(|a| {
                (
                    a.options.last().unwrap().as_str(),
                    a.script.contains("SLURM_ARRAY_TASK_ID + 3"),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("--array=1-3", false),
                ("--array=2-3", true),
                ("--array=1", false)
            ]
        );
        assert!(arrays[2].script.contains("SLURM_ARRAY_TASK_ID + 6"));
        assert_eq!(
            array_size_in("MaxJobs = 9\nMaxArraySize            = 512\n"),
            Some(512)
        );
        assert_eq!(array_size_in("nothing"), None);
    }

    #[test]
    fn indices_are_written_short() {
        for (indices, want) in [
            (&[1][..], "1"),
            (&[1, 2, 3], "1-3"),
            (&[1, 3, 4, 9], "1,3-4,9"),
            (&[], ""),
        ] {
            assert_eq!(ranges(indices), want);
        }
    }
}
