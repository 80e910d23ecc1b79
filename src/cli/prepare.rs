//! What `effbench run` is going to run: every cell settled and counted, and what it would take.

use std::path::{MAIN_SEPARATOR, Path};

use super::quoted;
use super::run::{Executor, RunArgs};
use crate::config::names::width_of;
use crate::config::suite::SweptAt;
use crate::config::{Cell, Library, Origin, Overrides, Suite, parse_set};
use crate::data;
use crate::device;
use crate::error::{Error, Result};
use crate::record::Trial;
use crate::report::listing::{Plan, PlannedCell};
use crate::runner::machine::default_threads;
use crate::runner::plan::{PreparedCell, estimate};
use crate::runner::sweep::{Position, Swept};
use crate::trial::settle::refuse_emulation;
use crate::trial::{Registry, settle};

/// FLOP/s that a plan assumes for two cores until a calibration has measured: a guess, shown as one.
const NOMINAL_FLOPS_PER_S: f64 = 3e10;
/// The same of a GPU: what a large one sustains in bf16, or a third of it.
const NOMINAL_GPU_FLOPS_PER_S: f64 = 1e14;
/// Seconds that a plan adds per trial for starting, evaluating and generating.
const NOMINAL_EXTRA_S: f64 = 1.0;

/// What is to run, settled and counted; nothing has started.
pub(super) struct Prepared {
    pub(super) suite: Suite,
    /// What judges; a cell whose rate is still to be chosen has one to be counted with.
    pub(super) cells: Vec<PreparedCell>,
    /// The sweeps that choose rates first, one an arm.
    pub(super) sweeps: Vec<Sweep>,
    pub(super) repeats: u64,
    pub(super) device: String,
    pub(super) why_device: Option<String>,
    pub(super) threads: usize,
    pub(super) data: String,
    /// Suite and options that choose what runs, as they were typed.
    pub(super) asked: String,
}

/// The trials that choose one arm's learning rates.
pub(super) struct Sweep {
    /// What is judged with them, by place in `cells`.
    judged: Vec<(usize, Cell)>,
    /// One a place and rate.
    tried: Vec<PreparedCell>,
}

impl Sweep {
    fn is_for(&self, name: &str) -> bool {
        self.judged.iter().any(|(_, cell)| cell.name == name)
    }
}

impl Prepared {
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

    /// Refuses cells that this device would only emulate.
    pub(super) fn refuse_emulation(&self) -> Result<()> {
        self.cells
            .iter()
            .try_for_each(|cell| refuse_emulation(&cell.spec))
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
    pub(super) fn judged(
        &self,
        registry: &Registry,
        trials: &[&Trial],
        from: Option<&str>,
    ) -> Result<Vec<PreparedCell>> {
        let mut cells = self.cells.clone();
        for Sweep { judged, tried } in &self.sweeps {
            let mine =
                |trial: &&Trial| trial.in_sweep() && tried.iter().any(|one| one.name == trial.cell);
            let of_arm: Vec<&Trial> = trials.iter().copied().filter(mine).collect();
            let variant = judged
                .first()
                .map(|(_, cell)| cell.variant.as_str())
                .unwrap_or_default();
            let swept = Swept::of(variant, &of_arm, from.map(str::to_owned))?;
            for (place, cell) in judged {
                let at = position(&self.cells[*place])?;
                let choice = swept.choose(at);
                let chosen = cell.with_rate(choice.lr, choice.source, choice.loadings);
                cells[*place] = prepare_cell(registry, chosen, &self.device)?.0;
                cells[*place].cost.tuning_flops = Some(swept.flops);
            }
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
    let here = if args.executor == Executor::Slurm {
        "cpu"
    } else {
        &args.device
    };
    let opened = device::open(here)?;
    let mut cells = suite.cells(&library, &overrides)?;
    if args.untuned && suite.tune.as_ref().is_some_and(|tune| tune.missing) {
        cells.iter_mut().for_each(|cell| cell.rates.clear());
    }
    if !args.untuned {
        refuse_untuned(&cells)?;
    }
    let repeats = args.repeats.unwrap_or(suite.repeats);
    let data = cells
        .first()
        .map(|cell| suite.data_words(&cell.tree))
        .unwrap_or_default();
    let settled: Vec<(PreparedCell, usize)> = cells
        .iter()
        .map(|cell| prepare_cell(registry, cell.clone(), &opened.name))
        .collect::<Result<_>>()?;
    let sweeps = sweeps(registry, &suite, cells, &settled, &opened.name)?;
    // Cells that ask for different numbers of threads get them one by one; the machine is described with its own.
    let alike = settled.windows(2).all(|two| two[0].1 == two[1].1);
    let common = settled
        .first()
        .map(|(_, threads)| *threads)
        .filter(|threads| alike && *threads > 0);
    let threads = common.unwrap_or_else(default_threads);
    let prepared: Vec<PreparedCell> = settled.into_iter().map(|(cell, _)| cell).collect();
    let asked = asked(args, &args.suite, args.data.as_deref(), |name| {
        name.to_owned()
    });
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

/// What no sweep speaks for is not run with a caveat: it is run where somebody asks for it.
fn refuse_untuned(cells: &[Cell]) -> Result<()> {
    let mut refusals = cells.iter().filter_map(|cell| cell.refusal.as_ref());
    let Some(first) = refusals.next() else {
        return Ok(());
    };
    let more = match refusals.count() {
        0 => String::new(),
        more => format!("; so it is with {more} more of {} cells", cells.len()),
    };
    Err(Error {
        message: format!("{}{more}", first.message),
        ..first.clone()
    })
}

/// One sweep for each arm among the cells whose rates are to be chosen.
fn sweeps(
    registry: &Registry,
    suite: &Suite,
    cells: Vec<Cell>,
    settled: &[(PreparedCell, usize)],
    device: &str,
) -> Result<Vec<Sweep>> {
    let at = suite.tune.as_ref().map_or(&[][..], |tune| &tune.at);
    let mut arms: Vec<(String, Vec<(usize, Cell)>)> = Vec::new();
    for (place, cell) in cells
        .into_iter()
        .enumerate()
        .filter(|(_, cell)| !cell.rates.is_empty())
    {
        let arm = cell.arm();
        match arms.iter_mut().find(|(known, _)| *known == arm) {
            Some((_, judged)) => judged.push((place, cell)),
            None => arms.push((arm, vec![(place, cell)])),
        }
    }
    let sweep = |(_, judged): (String, Vec<(usize, Cell)>)| {
        let swept = swept_cells(at, &judged, settled)?;
        let rates = swept
            .iter()
            .flat_map(|cell| cell.rates.iter().map(move |lr| cell.swept_at(*lr)));
        let tried = rates
            .map(|cell| Ok(prepare_cell(registry, cell, device)?.0))
            .collect::<Result<_>>()?;
        Ok(Sweep { judged, tried })
    };
    let sweeps: Vec<Sweep> = arms.into_iter().map(sweep).collect::<Result<_>>()?;
    let mut names: Vec<&str> = sweeps
        .iter()
        .flat_map(|sweep| sweep.tried.iter().map(|cell| cell.name.as_str()))
        .collect();
    names.sort_unstable();
    match names.windows(2).find(|two| two[0] == two[1]) {
        None => Ok(sweeps),
        Some(two) => Err(Error::input(format!(
            "suite {}: two sweeps have a cell {}",
            suite.name, two[0]
        ))
        .hint(
            "a variant whose cells differ in `set` needs a suite for each, or no `at` in `tune`",
        )),
    }
}

/// Where an arm is swept: at the suite's places, and at those of its cells that lie beyond them; at each of its cells where the
/// suite names no places, or where the cells have shapes for widths.
fn swept_cells(
    at: &[SweptAt],
    judged: &[(usize, Cell)],
    settled: &[(PreparedCell, usize)],
) -> Result<Vec<Cell>> {
    let own = || judged.iter().map(|(_, cell)| cell.clone());
    let Some((_, model)) = judged
        .first()
        .filter(|(_, cell)| width_of(&cell.scale).is_some())
    else {
        return Ok(own().collect());
    };
    let Some(first) = at.first() else {
        return Ok(own().collect());
    };
    let steps = at
        .iter()
        .fold((first.steps, first.steps), |(low, high), at| {
            (low.min(at.steps), high.max(at.steps))
        });
    let widths = || at.iter().filter_map(|at| width_of(&at.scale));
    let (narrow, wide) = (widths().min().unwrap_or(1), widths().max().unwrap_or(1));
    let mut cells: Vec<Cell> = at.iter().map(|place| model.moved(place)).collect();
    for (place, cell) in judged {
        let Position { ln_steps, ln_width } = position(&settled[*place].0)?;
        let within = |ln: f64, low: u64, high: u64| {
            (low as f64 * 0.999..=high as f64 * 1.001).contains(&ln.exp())
        };
        let known = cells.iter().any(|other| other.name == cell.name);
        let is_inside = within(ln_steps, steps.0, steps.1) && within(ln_width, narrow, wide);
        if !known && !is_inside {
            cells.push(cell.clone());
        }
    }
    Ok(cells)
}

fn position(cell: &PreparedCell) -> Result<Position> {
    Position::of(&cell.spec, &cell.cost).ok_or_else(|| {
        Error::internal(format!(
            "{}: its settled spec has no batch, context or width",
            cell.name
        ))
    })
}

/// The shipped library, with the registry's own data sources known to `--data`.
pub fn library(registry: &Registry) -> Library {
    let own = data::kinds();
    let added = registry
        .sources
        .iter()
        .filter(|kind| own.iter().all(|known| known.name() != kind.name()));
    added.fold(Library::builtin(), |library, kind| {
        library.with_data(kind.name())
    })
}

fn overrides(args: &RunArgs) -> Result<Overrides> {
    let listed = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let sets = args
        .set
        .iter()
        .map(|text| parse_set(text))
        .collect::<Result<Vec<_>>>()?;
    if sets.iter().any(|(key, _)| key == "compute.device") {
        return Err(Error::input(
            "--set compute.device: the device is the whole run's, not a cell's",
        )
        .hint("`--device cpu|cuda|cuda:N`"));
    }
    Ok(Overrides {
        variants: listed(&args.variants),
        scales: listed(&args.scales),
        sets,
        data: args.data.clone(),
    })
}

/// A settled cell, and the threads its spec asks for (0: all).
fn prepare_cell(
    registry: &Registry,
    mut cell: Cell,
    device: &str,
) -> Result<(PreparedCell, usize)> {
    cell.tree
        .set("compute.device", device.into(), Origin::named("--device"));
    let settled = settle(registry, &cell.tree)?;
    let activation_bytes = settled
        .experiment
        .guess_bytes()
        .saturating_sub(settled.cost.state_bytes);
    let threads = settled.experiment.threads;
    let prepared = PreparedCell {
        name: cell.name,
        variant: cell.variant,
        scale: cell.scale,
        budget: cell.budget,
        lr_source: cell.lr_source,
        loadings: cell.loadings,
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
            lr_source: (!prepared.sweeps.iter().any(|sweep| sweep.is_for(&cell.name)))
                .then(|| cell.lr_source.clone()),
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
pub(super) fn asked(
    args: &RunArgs,
    suite: &str,
    data: Option<&str>,
    name: impl Fn(&str) -> String,
) -> String {
    let mut words = vec![suite.to_owned()];
    let mut option = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
    if args.device != "auto" {
        option("--device", args.device.clone());
    }
    if !args.variants.is_empty() {
        option(
            "--variants",
            args.variants
                .iter()
                .map(|v| name(v))
                .collect::<Vec<_>>()
                .join(","),
        );
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
    for (flag, given) in [("--untuned", args.untuned), ("--confirm", args.confirm)] {
        words.extend(given.then(|| flag.to_owned()));
    }
    words
        .iter()
        .map(|word| quoted(word))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The last part of a path; a name stays as it is.
pub(super) fn file_name(text: &str) -> String {
    let is_path = text.contains(MAIN_SEPARATOR) && Path::new(text).exists();
    let last = Path::new(text)
        .file_name()
        .and_then(|name| name.to_str())
        .filter(|_| is_path);
    last.unwrap_or(text).to_owned()
}
