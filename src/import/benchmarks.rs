//! Runs of `cargo bench` as a result file, so that its benchmarks are compared by the same judge as everything else.
//!
//! Each benchmark is a cell, each run of all of them a repeat. The samples of one run share one process and its luck: they are one
//! trial, whose value is their median, and never count as repeats (pooled samples call 45 of 100 unchanged programs slower, and
//! more samples make it worse). One run therefore tells nothing; repeats are further runs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{IMPORTED, Imported, build, machine};
use crate::error::{Error, Result};
use crate::import::criterion::Benchmark;
use crate::record::metric::ITERATION_S;
use crate::record::{
    Energy, Metric, RateSource, ResultFile, Run, SCHEMA, Stated, Status, Trial, spec_sha256,
};
use crate::stat::median;

/// The suite of what criterion measured.
const CRITERION: &str = "criterion";

/// What criterion does not say.
const NOTE: &str = "criterion names neither the machine nor the unit: compare runs of one machine, measured in seconds of time";

/// Makes trials of runs, one for each benchmark in each; `command` is what reproduces it.
///
/// # Errors
///
/// One run given twice.
pub fn import(runs: &[Vec<Benchmark>], command: &str) -> Result<Imported> {
    let each = || {
        runs.iter()
            .enumerate()
            .flat_map(|(repeat, run)| run.iter().map(move |one| (repeat as u64, one)))
    };
    let trials: Vec<Trial> = each()
        .enumerate()
        .map(|(order, (repeat, one))| trial(one, repeat, order as u64))
        .collect();
    let mut known = BTreeMap::new();
    for trial in &trials {
        if let Some(first) = known.insert(&trial.id, trial.repeat) {
            let message = format!(
                "{}: runs {} and {} are one and the same",
                trial.cell,
                first + 1,
                trial.repeat + 1
            );
            return Err(Error::input(message)
                .hint(format!(
                    "`cargo bench` writes over its last run: copy `target/criterion` before the next; a benchmark that is run \
                     no more stays there until its folder is removed ({})",
                    trial.cell
                )));
        }
    }
    let times: BTreeSet<&String> = each().map(|(_, one)| &one.written_at).collect();
    Ok(Imported {
        points: each().map(|(_, one)| one.iteration_s.len()).sum(),
        notes: vec![NOTE.to_owned()],
        file: ResultFile {
            schema: SCHEMA.to_owned(),
            run: Run {
                suite: CRITERION.to_owned(),
                command: command.to_owned(),
                base: None,
                headline: None,
                data: "benchmarks".to_owned(),
                repeats: runs.len() as u64,
                // The latest: criterion keeps benchmarks that are run no more, and what tells two imports apart is what is new.
                started_at: times.last().map(|time| (*time).clone()).unwrap_or_default(),
                finished_at: times.last().map(|time| (*time).clone()),
                interleaved: None,
            },
            builds: vec![build()],
            machines: vec![machine()],
            calibrations: Vec::new(),
            trials,
        },
    })
}

fn trial(found: &Benchmark, repeat: u64, order: u64) -> Trial {
    let (spec, cell) = (spec(found), found.name());
    let middle = median(&found.iteration_s).unwrap_or(f64::NAN);
    let metric = Metric::samples(ITERATION_S, middle, found.iteration_s.clone());
    Trial {
        id: blake3::hash(
            json!([CRITERION, cell, found.blake3])
                .to_string()
                .as_bytes(),
        )
        .to_hex()[..16]
            .to_owned(),
        arm: cell.clone(),
        cell,
        repeat,
        order,
        variant: found.group.clone(),
        scale: found.part.clone().unwrap_or_else(|| "all".to_owned()),
        seed: repeat,
        lr_source: RateSource::Foreign,
        status: Status::Ok,
        started_at: found.written_at.clone(),
        spec_sha256: spec_sha256(&spec),
        spec,
        stated: Some(Stated::default()),
        metrics: BTreeMap::from([(ITERATION_S.to_owned(), metric)]),
        energy: Energy {
            reason: Some(IMPORTED.to_owned()),
            ..Energy::default()
        },
        ..Trial::blank()
    }
}

/// What should be the same on both sides of a comparison, and is listed where it is not.
fn spec(found: &Benchmark) -> Value {
    json!({"imported": {"from": CRITERION, "throughput": found.throughput, "sampling": found.sampling}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::validate::validate;

    fn benchmark(group: &str, part: Option<&str>, blake3: &str) -> Benchmark {
        Benchmark {
            group: group.to_owned(),
            part: part.map(str::to_owned),
            throughput: None,
            sampling: Some("Flat".to_owned()),
            iteration_s: vec![0.3, 0.1, 0.2],
            blake3: blake3.to_owned(),
            written_at: "2026-11-22T05:00:00Z".to_owned(),
        }
    }

    #[test]
    fn a_benchmark_is_a_cell_and_a_run_a_repeat() {
        let run = |k: &str| {
            vec![
                benchmark("sort", Some("merge/100"), &format!("a{k}")),
                benchmark("hash", None, k),
            ]
        };
        let found = import(&[run("1"), run("2")], "effbench import").unwrap();
        assert_eq!(validate(&found.file), []);
        let said: Vec<(&str, &str, &str, u64)> = found
            .file
            .trials
            .iter()
            .map(|t| (&*t.cell, &*t.variant, &*t.scale, t.repeat))
            .collect();
        let expected = [
            ("sort/merge/100", "sort", "merge/100"),
            ("hash", "hash", "all"),
        ];
        let expected = [0, 1]
            .map(|repeat| expected.map(|(cell, variant, scale)| (cell, variant, scale, repeat)));
        assert_eq!(said, expected.concat());
        let metric = &found.file.trials[0].metrics[ITERATION_S];
        assert_eq!(
            (metric.value, metric.n, &metric.samples),
            (Some(0.2), Some(3), &vec![0.3, 0.1, 0.2])
        );
        assert_eq!((found.points, found.file.run.repeats), (12, 2));
    }

    #[test]
    fn one_run_given_twice_is_no_repeat() {
        let run = vec![benchmark("hash", None, "1")];
        let error = import(&[run.clone(), run], "").unwrap_err();
        assert_eq!(error.message, "hash: runs 1 and 2 are one and the same");
    }
}
