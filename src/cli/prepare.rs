//! What `effbench run` is going to run: every cell settled and counted, and what it would take.

use std::path::{MAIN_SEPARATOR, Path};

use super::quoted;
use super::run::{Executor, RunArgs};
use crate::data;
use crate::device;
use crate::error::{Error, Result};
use crate::record::Trial;
use crate::report::listing::{Plan, PlannedCell};
use crate::runner::machine::default_threads;
use crate::runner::plan::{PreparedCell, estimate};
use crate::runner::sweep::choose;
use crate::spec::{Cell, Library, Origin, Overrides, Suite, parse_set};
use crate::trial::settle::refuse_emulation;
use crate::trial::{Registry, settle};

/// FLOP/s that a plan assumes for two cores until a calibration has measured: a guess, shown as one.
const NOMINAL_FLOPS_PER_S: f64 = 3e10;
/// The same of a board: what a large one sustains in bf16, or a third of it.
const NOMINAL_GPU_FLOPS_PER_S: f64 = 1e14;
/// Seconds that a plan adds per trial for starting, evaluating and generating.
const NOMINAL_EXTRA_S: f64 = 1.0;

/// What is to run, settled and counted; nothing has started.
pub(super) struct Prepared {
    pub(super) suite: Suite,
    /// What judges; a cell whose rate is still to be chosen has one to be counted with.
    pub(super) cells: Vec<PreparedCell>,
    /// The sweeps that choose rates first, by the place in `cells` of the cell that each is for.
    pub(super) sweeps: Vec<Sweep>,
    pub(super) repeats: u64,
    pub(super) device: String,
    pub(super) why_device: Option<String>,
    pub(super) threads: usize,
    pub(super) data: String,
    /// Suite and options that choose what runs, as they were typed.
    pub(super) asked: String,
}

/// The trials that choose one cell's learning rate.
pub(super) struct Sweep {
    place: usize,
    cell: Cell,
    /// One a rate, in the order of the cell's rates.
    tried: Vec<PreparedCell>,
}

impl Prepared {
    /// Whether learning rates are chosen first.
    pub(super) fn is_tuned(&self) -> bool {
        self.suite.tune.is_some() && !self.sweeps.is_empty()
    }

    /// FLOP/s that a plan assumes for the device.
    pub(super) fn nominal_flops_per_s(&self) -> f64 {
        if self.device == "cpu" { NOMINAL_FLOPS_PER_S } else { NOMINAL_GPU_FLOPS_PER_S }
    }

    /// Refuses cells that this device would only emulate.
    pub(super) fn refuse_emulation(&self) -> Result<()> {
        self.cells.iter().try_for_each(|cell| refuse_emulation(&cell.spec))
    }

    /// Every sweep's cells.
    pub(super) fn swept(&self) -> Vec<PreparedCell> {
        self.sweeps.iter().flat_map(|sweep| sweep.tried.clone()).collect()
    }

    /// The cells that judge, with the learning rates that their sweeps' trials speak for.
    pub(super) fn judged(&self, registry: &Registry, trials: &[&Trial]) -> Result<Vec<PreparedCell>> {
        let mut cells = self.cells.clone();
        for Sweep { place, cell, tried } in &self.sweeps {
            let of = |one: &PreparedCell| trials.iter().copied().filter(|trial| trial.cell == one.name).collect();
            let choice = choose(&cell.name, &cell.rates, &tried.iter().map(of).collect::<Vec<Vec<&Trial>>>())?;
            let chosen = cell.with_rate(choice.lr, choice.source);
            cells[*place] = prepare_cell(registry, chosen, &self.device)?.0;
            cells[*place].cost.tuning_flops = Some(choice.flops);
        }
        Ok(cells)
    }
}

/// Settles and counts everything that `args` ask for.
pub(super) fn prepare(args: &RunArgs, registry: &Registry) -> Result<Prepared> {
    let library = library(registry);
    let suite = library.suite(&args.suite)?;
    let overrides = overrides(args)?;
    // Where a cluster runs the trials, this machine need not have their device.
    let here = if args.executor == Executor::Slurm { "cpu" } else { &args.device };
    let opened = device::open(here)?;
    let cells = suite.cells(&library, &overrides)?;
    let repeats = args.repeats.unwrap_or(suite.repeats);
    let data = cells.first().map(|cell| suite.data_words(&cell.tree)).unwrap_or_default();
    let settled: Vec<(PreparedCell, usize)> =
        cells.iter().map(|cell| prepare_cell(registry, cell.clone(), &opened.name)).collect::<Result<_>>()?;
    let sweeps = cells.into_iter().enumerate().filter(|(_, cell)| !cell.rates.is_empty());
    let sweeps = sweeps.map(|(place, cell)| sweep(registry, place, cell, &opened.name)).collect::<Result<_>>()?;
    // Cells that ask for different numbers of threads get them one by one; the machine is described with its own.
    let alike = settled.windows(2).all(|two| two[0].1 == two[1].1);
    let common = settled.first().map(|(_, threads)| *threads).filter(|threads| alike && *threads > 0);
    let threads = common.unwrap_or_else(default_threads);
    let prepared: Vec<PreparedCell> = settled.into_iter().map(|(cell, _)| cell).collect();
    let asked = asked(args, &args.suite, args.data.as_deref(), |name| name.to_owned());
    Ok(Prepared {
        suite,
        cells: prepared,
        sweeps,
        repeats,
        device: opened.name,
        why_device: opened.why,
        threads,
        data,
        asked,
    })
}

fn sweep(registry: &Registry, place: usize, cell: Cell, device: &str) -> Result<Sweep> {
    let tried = cell.rates.iter().map(|lr| Ok(prepare_cell(registry, cell.swept_at(*lr), device)?.0));
    Ok(Sweep { place, tried: tried.collect::<Result<_>>()?, cell })
}

/// The shipped library, with the registry's own data sources known to `--data`.
pub fn library(registry: &Registry) -> Library {
    let own = data::kinds();
    let added = registry.sources.iter().filter(|kind| own.iter().all(|known| known.name() != kind.name()));
    added.fold(Library::builtin(), |library, kind| library.with_data(kind.name()))
}

fn overrides(args: &RunArgs) -> Result<Overrides> {
    let listed = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let sets = args.set.iter().map(|text| parse_set(text)).collect::<Result<Vec<_>>>()?;
    if sets.iter().any(|(key, _)| key == "compute.device") {
        return Err(Error::input("--set compute.device: the device is the whole run's, not a cell's")
            .hint("`--device cpu|cuda|cuda:N`"));
    }
    Ok(Overrides { variants: listed(&args.variants), scales: listed(&args.scales), sets, data: args.data.clone() })
}

/// A settled cell, and the threads its spec asks for (0: all).
fn prepare_cell(registry: &Registry, mut cell: Cell, device: &str) -> Result<(PreparedCell, usize)> {
    cell.tree.set("compute.device", device.into(), Origin::named("--device"));
    let settled = settle(registry, &cell.tree)?;
    let activation_bytes = settled.experiment.guess_bytes().saturating_sub(settled.cost.state_bytes);
    let threads = settled.experiment.threads;
    let prepared = PreparedCell {
        name: cell.name,
        variant: cell.variant,
        scale: cell.scale,
        budget: cell.budget,
        lr_source: cell.lr_source,
        spec: settled.spec,
        spec_sha256: settled.spec_sha256,
        paths: settled.paths,
        cost: settled.cost,
        activation_bytes,
    };
    Ok((prepared, threads))
}

/// What the plan would take; times are guesses from a nominal rate.
pub(super) fn describe_plan(prepared: &Prepared) -> Plan {
    let rate = prepared.nominal_flops_per_s();
    let to_choose: Vec<&str> = prepared.sweeps.iter().map(|sweep| sweep.cell.name.as_str()).collect();
    let cell = |cell: &PreparedCell| {
        let alone = estimate(std::slice::from_ref(cell), 1, rate, NOMINAL_EXTRA_S);
        PlannedCell {
            cell: cell.name.clone(),
            params: cell.cost.params_total,
            train_tokens: cell.cost.train_tokens,
            train_flops: cell.cost.train_flops,
            optimizer_flops: cell.cost.optimizer_flops,
            seconds_guess: alone.seconds,
            memory_bytes_guess: alone.memory_bytes,
            lr_source: (!to_choose.contains(&cell.name.as_str())).then(|| cell.lr_source.clone()),
        }
    };
    let judged = estimate(&prepared.cells, prepared.repeats, rate, NOMINAL_EXTRA_S);
    let tune_repeats = prepared.suite.tune.as_ref().map_or(0, |tune| tune.repeats);
    let tuned = estimate(&prepared.swept(), tune_repeats, rate, NOMINAL_EXTRA_S);
    Plan {
        suite: prepared.suite.name.clone(),
        repeats: prepared.repeats,
        device: prepared.device.clone(),
        threads: prepared.threads as u64,
        tuning_trials: tuned.trials,
        total_flops: judged.train_flops + tuned.train_flops,
        seconds_guess: judged.seconds + tuned.seconds,
        memory_bytes_guess: judged.memory_bytes,
        cells: prepared.cells.iter().map(cell).collect(),
    }
}

/// The suite and the options that choose what runs, quoted for a shell; `name` writes a variant's name or path.
pub(super) fn asked(args: &RunArgs, suite: &str, data: Option<&str>, name: impl Fn(&str) -> String) -> String {
    let mut words = vec![suite.to_owned()];
    let mut option = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
    if args.device != "auto" {
        option("--device", args.device.clone());
    }
    if !args.variants.is_empty() {
        option("--variants", args.variants.iter().map(|v| name(v)).collect::<Vec<_>>().join(","));
    }
    if !args.scales.is_empty() {
        option("--scales", args.scales.join(","));
    }
    if let Some(repeats) = args.repeats {
        option("--repeats", repeats.to_string());
    }
    if let Some(data) = data {
        option("--data", data.to_owned());
    }
    for set in &args.set {
        let (key, value) = set.split_once('=').unwrap_or((set, ""));
        option("--set", format!("{key}={}", name(value)));
    }
    if let Some(shard) = args.shard {
        option("--shard", shard.to_string());
    }
    for (flag, path) in [("--rates", &args.rates), ("--against", &args.against)] {
        if let Some(path) = path {
            option(flag, name(&path.to_string_lossy()));
        }
    }
    if args.confirm {
        words.push("--confirm".to_owned());
    }
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// The last part of a path; a name stays as it is.
pub(super) fn file_name(text: &str) -> String {
    let is_path = text.contains(MAIN_SEPARATOR) && Path::new(text).exists();
    let last = Path::new(text).file_name().and_then(|name| name.to_str()).filter(|_| is_path);
    last.unwrap_or(text).to_owned()
}
