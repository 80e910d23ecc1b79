//! A campaign: what is to run, settled and counted before anything does.

use std::path::Path;

use super::cells::{SettledCell, overrides, settle_cell, untuned};
use super::options::Options;
use super::stages;
use super::sweep::{Sweep, sweeps};
use crate::config::{Cell, Library, Overrides, Suite};
use crate::device;
use crate::error::{Error, Result};
use crate::record::Trial;
use crate::runner::machine::default_threads;
use crate::runner::plan::PreparedCell;
use crate::runner::{Mode, Shard, pin};
use crate::trial::Registry;
use crate::trial::refusal::refuse_emulation;

/// FLOP/s that a plan assumes for two cores until a calibration has measured: a guess, shown as one.
const NOMINAL_FLOPS_PER_S: f64 = 3e10;
/// The same of a GPU: what a large one sustains in bf16, or a third of it.
const NOMINAL_GPU_FLOPS_PER_S: f64 = 1e14;

/// That nothing will be compared, as the base is not among the variants.
fn no_base(suite: &Suite, cells: &[Cell]) -> Option<String> {
    let base = suite.base.as_deref()?;
    let missing = cells.iter().all(|cell| cell.variant != base);
    missing.then(|| format!("{base}, which gains are counted in, is not among the variants: nothing will be compared"))
}

/// Keys of training that are set where nothing trains; its batch is that of losses too.
fn idle(overrides: &Overrides, cells: &[SettledCell]) -> Option<String> {
    const HOW_LONG: [&str; 4] = [
        "train.steps",
        "train.tokens",
        "train.tokens_per_param",
        "train.batch",
    ];
    let trains = cells.iter().any(|one| one.cell.cost.train_tokens > 0);
    let keys = overrides.sets.iter().map(|(key, _)| key.as_str());
    let keys: Vec<&str> = keys
        .filter(|key| key.starts_with("train.") && !HOW_LONG.contains(key))
        .collect();
    (!trains && !keys.is_empty()).then(|| {
        format!(
            "--set {}: nothing is trained here (train.steps = 0), so that it changes nothing",
            keys.join(", ")
        )
    })
}

/// Threads for each processor beyond which nothing runs.
const CROWD: usize = 8;

/// What is to run, settled and counted; nothing has started.
pub struct Campaign<'a> {
    pub(super) registry: &'a Registry,
    pub(super) options: Options,
    pub(super) suite: Suite,
    /// What judges; a cell whose rate is still to be chosen has one to be counted with.
    pub(super) cells: Vec<PreparedCell>,
    /// The sweeps that choose rates first, one an arm.
    pub(super) sweeps: Vec<Sweep>,
    pub(super) repeats: u64,
    pub(super) device: String,
    why_device: Option<String>,
    notes: Vec<String>,
    pub(super) threads: usize,
    /// The data, in words.
    pub(super) data: String,
}

impl<'a> Campaign<'a> {
    /// Settles and counts everything that the options ask for.
    pub fn resolve(registry: &'a Registry, library: &Library, options: &Options) -> Result<Self> {
        if let Some(list) = &options.pin {
            pin::to(list)?;
        }
        let suite = library.suite(&options.suite)?;
        let mut overrides = overrides(options)?;
        // Where a cluster runs the trials, this machine need not have their device.
        let here = if options.executor.is_elsewhere() {
            "cpu"
        } else {
            &options.device
        };
        let opened = device::open(here)?;
        let mut cells = suite.cells(library, &overrides)?;
        if options.untuned && suite.tune.as_ref().is_some_and(|tune| tune.missing) {
            cells.iter_mut().for_each(|cell| cell.rates.clear());
        }
        let untuned = untuned(&cells).filter(|_| !options.untuned);
        // Whoever writes a suite of his own names every width and budget in it: he is told, not refused.
        let own = Path::new(&options.suite).extension().is_some();
        let note = match untuned {
            Some(refusal) if !own => return Err(refusal),
            Some(told) => {
                // One arm at a rate that a sweep chose and another at a default would compare the rates.
                overrides.own_rates = true;
                cells = suite.cells(library, &overrides)?;
                Some(format!(
                    "{}: no arm is tuned, each trains at its variant's own rate; a table `tune` in {} sweeps them all alike",
                    told.message, options.suite
                ))
            }
            None => no_base(&suite, &cells),
        };
        let repeats = options.repeats.unwrap_or(suite.repeats);
        let data = cells
            .first()
            .map(|cell| suite.data_words(&cell.tree))
            .unwrap_or_default();
        let settled = settle_all(registry, &mut cells, &opened.name)?;
        let mut notes: Vec<String> = note.into_iter().collect();
        notes.extend(overrides.over_models(library)?);
        notes.extend(idle(&overrides, &settled));
        let sweeps = sweeps(registry, &suite, cells, &settled, &opened.name)?;
        Ok(Self {
            registry,
            options: options.clone(),
            suite,
            threads: threads(&settled),
            cells: settled.into_iter().map(|settled| settled.cell).collect(),
            sweeps,
            repeats,
            device: opened.name,
            why_device: opened.why,
            notes,
            data,
        })
    }

    /// What was asked.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The command that makes this campaign.
    pub fn command(&self) -> String {
        self.options.command()
    }

    /// The settled spec of a cell that judges, by its name.
    pub fn spec(&self, cell: &str) -> Option<&serde_json::Value> {
        let of_name = self.cells.iter().find(|known| known.name == cell);
        of_name.map(|cell| &cell.spec)
    }

    /// `cpu`, `cuda:0`.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Why it is this one, where `auto` chose.
    pub fn why_device(&self) -> Option<&str> {
        self.why_device.as_deref()
    }

    /// What somebody should know before it runs: that no sweep speaks for the rates of a suite of one's own, that a setting changes nothing.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether this can run as it is asked, before anything does: parts of a run that each chose rates for themselves would not
    /// fit together, and cells that this device would only emulate measure nothing.
    pub fn check(&self) -> Result<()> {
        self.refuse_at_odds()?;
        self.refuse_half_a_sweep()?;
        if self.options.executor.is_elsewhere() {
            return Ok(());
        }
        self.refuse_a_crowd()?;
        self.cells
            .iter()
            .try_for_each(|cell| refuse_emulation(&cell.spec))
    }

    /// A few more threads than processors are an experiment, many more are a typing error that measures the scheduler.
    fn refuse_a_crowd(&self) -> Result<()> {
        let processors = default_threads();
        if self.device == "cpu" && self.threads > CROWD * processors {
            let threads = self.threads;
            return Err(Error::input(format!(
                "compute.threads = {threads}: this process may use {processors} processors"
            ))
            .hint("without it a run uses all of them"));
        }
        Ok(())
    }

    /// Options that the command line refuses together.
    fn refuse_at_odds(&self) -> Result<()> {
        let at_odds = [
            ("rates", self.options.rates.is_some()),
            ("fresh", self.options.mode == Mode::Fresh),
        ];
        let other = at_odds.iter().find(|(_, given)| *given);
        match other.filter(|_| self.options.executor.is_elsewhere()) {
            Some((other, _)) => Err(Error::input(format!(
                "--executor slurm: cannot be used with --{other}"
            ))),
            None => Ok(()),
        }
    }

    fn refuse_half_a_sweep(&self) -> Result<()> {
        let Options {
            executor, rates, ..
        } = &self.options;
        let suite = &self.suite.name;
        if self.is_tuned() && executor.against().is_some() && rates.is_none() {
            return Err(Error::input(format!(
                "--against: suite {suite} chooses learning rates, and one build would choose them for both"
            ))
            .hint(format!(
                "`effbench run {suite} --shard sweep --out rates.json`, then --rates rates.json; or a suite without `tune`"
            )));
        }
        match (self.is_tuned(), executor.shard(), rates) {
            (false, Some(Shard::Sweep), _) => Err(Error::input(format!(
                "--shard sweep: suite {suite} chooses no learning rates"
            ))),
            (false, _, Some(_)) => Err(Error::input(format!(
                "--rates: suite {suite} chooses no learning rates"
            ))),
            (true, Some(Shard::Part { .. }), None) => Err(Error::input(format!(
                "--shard: suite {suite} first chooses learning rates, and all parts need the same"
            ))
            .hint(format!(
                "`effbench run {} --shard sweep --out rates.json` with the same options, then `--rates rates.json` for each part",
                self.options.suite
            ))),
            _ => Ok(()),
        }
    }

    /// Whether learning rates are chosen first.
    pub(super) fn is_tuned(&self) -> bool {
        self.suite.tune.is_some() && !self.sweeps.is_empty()
    }

    /// FLOP/s that a plan assumes for the device.
    pub(super) fn nominal_flops_per_s(&self) -> f64 {
        if self.device == "cpu" {
            NOMINAL_FLOPS_PER_S
        } else {
            NOMINAL_GPU_FLOPS_PER_S
        }
    }

    /// Every sweep's cells.
    pub(super) fn swept(&self) -> Vec<PreparedCell> {
        self.sweeps
            .iter()
            .flat_map(|sweep| sweep.tried.clone())
            .collect()
    }

    /// The cells that judge, with the learning rates that their arms' sweeps speak for; `from` names the file of the sweep,
    /// where it is not this run's own.
    pub(super) fn rated(&self, trials: &[&Trial], from: Option<&str>) -> Result<Vec<PreparedCell>> {
        let mut cells = self.cells.clone();
        for sweep in &self.sweeps {
            sweep.rate(&mut cells, self.registry, trials, from, &self.device)?;
        }
        Ok(cells)
    }
}

/// Settles cells in their order, in which parents stand before what begins with their weights.
fn settle_all(registry: &Registry, cells: &mut [Cell], device: &str) -> Result<Vec<SettledCell>> {
    let mut settled: Vec<SettledCell> = Vec::with_capacity(cells.len());
    for at in 0..cells.len() {
        let (before, rest) = cells.split_at_mut(at);
        stages::begin(&mut rest[0], before, &settled)?;
        let one = settle_cell(registry, rest[0].clone(), device)?;
        stages::refuse_misfit(&one, &settled)?;
        settled.push(one);
    }
    Ok(settled)
}

/// Cells that ask for different numbers of threads get them one by one; the machine is described with its own.
fn threads(cells: &[SettledCell]) -> usize {
    let alike = cells.windows(2).all(|two| two[0].threads == two[1].threads);
    let common = cells.first().map(|cell| cell.threads);
    common
        .filter(|threads| alike && *threads > 0)
        .unwrap_or_else(default_threads)
}
