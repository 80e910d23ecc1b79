//! What `cargo bench` leaves behind: criterion's `target/criterion`, read benchmark by benchmark.
//!
//! Criterion keeps the last run of each benchmark in a folder `new`: `benchmark.json` says which one it is, `sample.json` how often
//! each sample ran the code and how many nanoseconds all of it took. The layout is criterion's own affair and no promise; critcmp
//! reads it too, and it has been the same from 0.3 to 0.8.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::log::utc;
use crate::error::{Error, Result, plain};

/// Where criterion keeps the last run of a benchmark.
const LAST_RUN: &str = "new";

/// Criterion's clock counts nanoseconds.
const NS_PER_S: f64 = 1e9;

/// One benchmark in one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Benchmark {
    /// `m/layer_norm`.
    pub group: String,
    /// What it is within its group: `fused/forward`; `None` where a group is one benchmark.
    pub part: Option<String>,
    /// `{"Bytes": 6294528}` of one iteration, where it says so.
    pub throughput: Option<Value>,
    /// `Linear`, `Flat`: how many iterations its samples have.
    pub sampling: Option<String>,
    /// Seconds of one iteration, sample by sample, in the order taken.
    pub iteration_s: Vec<f64>,
    /// Of its two files, in hexadecimal.
    pub blake3: String,
    /// When its samples were written: RFC 3339, UTC, to the second.
    pub written_at: String,
}

impl Benchmark {
    /// As criterion prints it: `m/layer_norm/fused/forward`.
    pub fn name(&self) -> String {
        self.part.as_ref().map_or_else(
            || self.group.clone(),
            |part| format!("{}/{part}", self.group),
        )
    }
}

/// `benchmark.json`, as far as it matters here.
#[derive(Deserialize)]
struct About {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
    throughput: Option<Value>,
}

/// `sample.json`.
#[derive(Deserialize)]
struct Samples {
    sampling_mode: Option<String>,
    iters: Vec<f64>,
    times: Vec<f64>,
}

/// How groups of benchmarks begin that measure joules (`benches/joules.rs`), which criterion writes down as if they were nanoseconds.
const OF_ENERGY: &str = "joules";

/// What a folder of criterion's holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Run {
    /// Every benchmark whose last run lies below it, by name.
    pub benchmarks: Vec<Benchmark>,
    /// Why others are left out: of an older criterion, or a part of them is gone.
    pub left_out: Vec<String>,
}

/// Every benchmark whose last run lies below a folder.
///
/// # Errors
///
/// No benchmark in it that can be read, two of one name.
pub fn read(folder: &Path) -> Result<Run> {
    let mut places = Vec::new();
    find(folder, &mut places)?;
    let (mut found, mut left_out) = (Vec::new(), Vec::new());
    let mut first = None;
    for place in places {
        match benchmark(&place) {
            Ok(one) => found.push(one),
            Err(error) => {
                left_out.push(format!("{}: this benchmark is left out", error.message));
                first = first.or(Some(error));
            }
        }
    }
    if let Some(error) = first.filter(|_| found.is_empty()) {
        return Err(error);
    }
    // The groups of joules that this project's own benches measure hold no seconds.
    found.retain(|one| !one.group.starts_with(OF_ENERGY));
    found.sort_by_key(Benchmark::name);
    if found.is_empty() {
        return Err(Error::input(format!("{}: a folder without a benchmark of criterion's", folder.display())).hint(
            "`cargo bench` leaves them in `target/criterion`; of training logs name the files: `effbench import runs/*.csv`",
        ));
    }
    match found.windows(2).find(|two| two[0].name() == two[1].name()) {
        Some(two) => Err(Error::input(format!(
            "{}: two benchmarks are called `{}`",
            folder.display(),
            two[0].name()
        ))
        .hint("name the folder of one `cargo bench`: `target/criterion`")),
        None => Ok(Run {
            benchmarks: found,
            left_out,
        }),
    }
}

/// Collects the folders `new` that hold samples; links are not followed.
fn find(folder: &Path, places: &mut Vec<PathBuf>) -> Result<()> {
    let unreadable = |e: std::io::Error| {
        Error::input(format!(
            "{}: cannot be read: {}",
            folder.display(),
            plain(&e)
        ))
    };
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if !entry.file_type().map_err(unreadable)?.is_dir() {
            continue;
        }
        let path = entry.path();
        if entry.file_name() == LAST_RUN && path.join("sample.json").is_file() {
            places.push(path);
        } else {
            find(&path, places)?;
        }
    }
    Ok(())
}

fn benchmark(folder: &Path) -> Result<Benchmark> {
    let (about, about_bytes): (About, _) = part(&folder.join("benchmark.json"))?;
    let path = folder.join("sample.json");
    let (samples, sample_bytes): (Samples, _) = part(&path)?;
    let shown = path.display();
    let modified = fs::metadata(&path).and_then(|about| about.modified());
    let modified =
        modified.map_err(|e| Error::input(format!("{shown}: cannot be read: {}", plain(&e))))?;
    let (iters, times) = (&samples.iters, &samples.times);
    let sound = |value: &f64| value.is_finite() && *value > 0.0;
    if iters.is_empty() || iters.len() != times.len() || !iters.iter().chain(times).all(sound) {
        return Err(
            Error::input(format!("{shown}: not as many iterations as times above 0"))
                .hint("run the benchmark again: `cargo bench`"),
        );
    }
    let parts: Vec<String> = [about.function_id, about.value_str]
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect();
    let found = Benchmark {
        group: about.group_id,
        part: (!parts.is_empty()).then(|| parts.join("/")),
        throughput: about.throughput.filter(|value| !value.is_null()),
        sampling: samples.sampling_mode,
        iteration_s: times
            .iter()
            .zip(iters)
            .map(|(ns, count)| ns / count / NS_PER_S)
            .collect(),
        blake3: blake3::hash(&[about_bytes, sample_bytes].concat())
            .to_hex()
            .to_string(),
        written_at: utc(modified)?,
    };
    match found.name() {
        name if name.is_empty() || name.chars().any(char::is_control) => Err(Error::input(
            format!("{shown}: a benchmark's name must not be empty or hold control characters"),
        )),
        _ => Ok(found),
    }
}

fn part<T: DeserializeOwned>(path: &Path) -> Result<(T, Vec<u8>)> {
    let shown = path.display();
    let bytes = fs::read(path)
        .map_err(|e| Error::input(format!("{shown}: cannot be read: {}", plain(&e))))?;
    let value = serde_json::from_slice(&bytes);
    Ok((
        value.map_err(|e| Error::input(format!("{shown}: not as criterion writes it: {e}")))?,
        bytes,
    ))
}
