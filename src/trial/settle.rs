//! From raw keys to an experiment: every knob read through its catalog, every default written out, everything checked
//! before anything runs.

use std::collections::BTreeMap;
use std::iter::{once, successors};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::Registry;
use super::draft::Draft;
use super::footprint::{guess_train_bytes, state_bytes};
use super::infer::{self, Infer};
use super::keys::{
    BATCH, CLIP, COMPUTE, CURVE_POINTS, DATA, DEVICE, DTYPE, EXTERNAL_METER,
    EXTERNAL_METER_OFFSET_S, HELD_OUT, MEASURE, MIXED, OPS, PRODUCTS, SHARDS, SHARE, STEPS, STORED,
    TF32, THREADS, TOKENS, TOKENS_PER_PARAM, TRAIN, UNIQUE_TOKENS, VAL_POINTS, WARMUP_S, WINDOW_S,
    keys,
};
use super::other_data::{BEFORE, other};
use crate::config::knob::Declared;
use crate::config::{Knobs, Spec, Tree, knobs};
use crate::data::{HeldOut, Mixed, Repeated, Source};
use crate::error::{Error, Result};
use crate::measure::energy::External;
use crate::model::{Decl, Model, Packing, Part, Shape, Span};
use crate::ops::{DType, Factors, Ops};
use crate::record::{self, Cost, TokenFlops};
use crate::train::{OptimizerPlan, Rates, Schedule, Stored};

/// Refuses to train where all of a text is kept for losses.
fn refuse_no_training_text(
    train: &Knobs,
    steps: u64,
    tokens: Option<u64>,
    context: usize,
) -> Result<()> {
    match tokens.filter(|tokens| *tokens <= context as u64 && steps > 0) {
        Some(_) => Err(train
            .refuse(
                &STEPS,
                "all of the text is kept for losses, and nothing is left to train on",
            )
            .hint("a smaller data.val_fraction, or train.steps=0")),
        None => Ok(()),
    }
}

/// Parts of a step on the CPU. The same on every machine, since the parts' gradients are summed one by one: the number of
/// threads must not change a bit.
const MOST_SHARDS: usize = 4;

/// Everything one trial does, built but not started.
pub struct Experiment {
    /// Where tokens come from.
    pub source: Arc<dyn Source>,
    /// Where the tokens came from that its parent was trained on, where those are others: its loss there is told too.
    pub before: Option<Arc<dyn Source>>,
    /// What is mixed into the source, whose loss is told too.
    pub mixed: Option<Arc<dyn Source>>,
    /// The part of the unseen windows that its loss is of.
    pub held_out: HeldOut,
    /// Structure without tensors.
    pub model: Arc<Model>,
    /// Optimizer without state.
    pub optimizer: Arc<dyn OptimizerPlan>,
    /// Factor on the learning rate by step.
    pub schedule: Arc<dyn Schedule>,
    /// Windows per step.
    pub batch: usize,
    /// Optimizer steps.
    pub steps: u64,
    /// Largest gradient norm; 0 is off.
    pub clip: f64,
    /// How parameters are rounded after every update; none where they stay f32.
    pub stored: Option<Stored>,
    /// Device by name.
    pub device: String,
    /// Fused or reference arithmetic.
    pub ops: Ops<'static>,
    /// Parts that a step's windows are split into, each run on its own share of the threads.
    pub shards: usize,
    /// Threads of every pool; 0 is all that the process may use.
    pub threads: usize,
    /// What is measured, and how long.
    pub measure: Measure,
    /// What is generated to measure inference.
    pub infer: Infer,
}

/// `measure.*`
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// Steps of the first seconds do not count for speed.
    pub warmup_s: f64,
    /// Each inference measurement is repeated for this long.
    pub window_s: f64,
    /// Points of the loss curve.
    pub curve_points: u64,
    /// Of these, how many with a validation loss; the last point always has one.
    pub val_points: u64,
    /// A wattmeter's log: `measure.external_meter`, and its clock's `measure.external_meter_offset_s`.
    pub external: Option<External>,
}

/// A settled spec and what follows from it.
pub struct Prepared {
    /// Built, not started.
    pub experiment: Experiment,
    /// Every default written out.
    pub spec: Value,
    /// Of `spec`.
    pub spec_sha256: String,
    /// Structural cost.
    pub cost: Cost,
    /// Keys that name files, with where those really lie; the spec holds their names and hashes only.
    pub paths: BTreeMap<String, PathBuf>,
}

/// Settles a tree through the registry's catalogs.
pub fn settle(registry: &Registry, tree: &Tree) -> Result<Prepared> {
    let (experiment, settled) =
        knobs::settle(tree, || keys(registry), |spec| build(registry, spec))?;
    let spec = settled.to_json();
    let moved = |key: &&str| {
        let (given, kept) = (tree.get(key)?.value.as_str()?, settled.get(key)?.as_str()?);
        (given != kept).then(|| ((*key).to_owned(), PathBuf::from(given)))
    };
    let paths = [
        "data.path",
        "data.tokenizer",
        "before.data.path",
        "before.data.tokenizer",
        "mixed.data.path",
        "mixed.data.tokenizer",
        "data.choices",
        "measure.external_meter",
        "model.from",
        "teacher.model.from",
        "infer.draft",
    ]
    .iter()
    .filter_map(moved)
    .collect();
    let cost = cost_of(&experiment);
    Ok(Prepared {
        spec_sha256: record::spec_sha256(&spec),
        experiment,
        spec,
        cost,
        paths,
    })
}

fn build(registry: &Registry, spec: &Spec) -> Result<Experiment> {
    let context = Shape::context(spec)?;
    infer::refuse_no_file(spec)?;
    let (kind, knobs) = registry.sources.pick(spec)?;
    let mut source = kind.settle(&knobs, context)?;
    let to_train_on = source.train_tokens();
    if let Some(unique) = spec.at(&DATA).find(&UNIQUE_TOKENS)? {
        source = Arc::new(Repeated::new(source, unique, context));
    }
    let held_out = HeldOut::of(spec.at(&DATA).read(&HELD_OUT)?).unwrap_or(HeldOut::Test);
    let before = other(registry, spec, BEFORE, source.as_ref(), context)?;
    let mixed = other(registry, spec, MIXED.path, source.as_ref(), context)?;
    if let Some(second) = &mixed {
        let share = spec.at(&MIXED).read(&SHARE)?;
        source = Arc::new(Mixed::new(source, second.clone(), share));
    }
    let mut model = Model::settle(spec, &registry.slots, source.vocab())?;
    model.learn(spec, &registry.slots)?;
    let rates = Rates::settle(spec)?;
    model.rate_roles(|role| rates.of(role));
    let model = Arc::new(model);
    let train = spec.at(&TRAIN);
    let batch = train.read(&BATCH)?;
    let steps = steps(&train, batch * context, model.params_total())?;
    refuse_no_training_text(&train, steps, to_train_on, context)?;
    let compute = spec.at(&COMPUTE);
    let device = compute.read(&DEVICE)?;
    let ops = ops(&compute, &device)?;
    let shards = shards(&compute, &device, batch)?;
    refuse_no_blocks(&model, &device)?;
    let (optimizer, of_optimizer) = registry.optimizers.pick(spec)?;
    let (schedule, of_schedule) = registry.schedules.pick(spec)?;
    let infer = infer::settle(registry, spec, (context, source.as_ref()), &model, &device)?;
    Ok(Experiment {
        optimizer: optimizer.settle(&of_optimizer)?,
        schedule: schedule.settle(&of_schedule)?,
        clip: train.read(&CLIP)?,
        stored: train.find(&STORED)?.and_then(Stored::of),
        device,
        threads: compute.read(&THREADS)?,
        measure: measure(&spec.at(&MEASURE))?,
        infer,
        source,
        before,
        mixed,
        held_out,
        model,
        batch,
        steps,
        ops,
        shards,
    })
}

/// Refuses matrices that are to stay in blocks, where there are none or none that can be computed with.
fn refuse_no_blocks(model: &Model, device: &str) -> Result<()> {
    let (why, hint) = match model.spared_by_blocks() {
        Some(0) => (
            "model.from names no file that has a matrix in blocks",
            "a GGUF file in Q8_0, Q4_K or the like",
        ),
        Some(_) if device != "cpu" => (
            "blocks are computed with on the CPU alone",
            "base = \"f32\", or --device cpu",
        ),
        _ => return Ok(()),
    };
    Err(Error::input(format!("model.linear.base = \"file\": {why}")).hint(hint))
}

/// Parts that a step's windows are divided into.
fn shards(compute: &Knobs, device: &str, batch: usize) -> Result<usize> {
    let on_cpu = device == "cpu";
    let shards = compute.read_or(&SHARDS, if on_cpu { MOST_SHARDS.min(batch) } else { 1 })?;
    if !on_cpu && shards > 1 {
        let why = format!("they share the threads of a CPU; on {device} there is 1");
        return Err(compute.refuse(&SHARDS, &why));
    }
    if shards > batch {
        let why = format!("a step has only {batch} windows to divide (train.batch)");
        return Err(compute
            .refuse(&SHARDS, &why)
            .hint(format!("at most {batch}, or a larger train.batch")));
    }
    Ok(shards)
}

/// Which operations run, and in what. On a GPU activations are bf16 unless something else is asked for; on a CPU that can be
/// planned, and is refused when it is to run.
fn ops(compute: &Knobs, device: &str) -> Result<Ops<'static>> {
    let fused = compute.read(&OPS)? == "fused";
    let narrow = fused && device != "cpu";
    let dtype = compute.read_or(&DTYPE, if narrow { "bf16" } else { "f32" })?;
    if compute.given(&TF32) && (!narrow || dtype == "bf16") {
        let why = "it rounds the factors of f32 products that a GPU's fused operations make, and there are none here";
        return Err(compute
            .refuse(&TF32, why)
            .hint("with --device cuda, also --set compute.dtype=f32"));
    }
    let rounded = compute.find_other_than(&PRODUCTS, &"f32")?.is_some();
    if rounded && (!fused || device != "cpu") {
        let why = "it rounds the factors of products that fused operations make on a CPU";
        return Err(compute
            .refuse(&PRODUCTS, why)
            .hint("on a GPU compute.dtype=bf16; without either, products of f32"));
    }
    match (fused, dtype) {
        (false, "bf16") => Err(compute
            .refuse(&DTYPE, "the reference operations compute in f32")
            .hint("ops = \"fused\"")),
        (true, "bf16") => Ok(Ops::fused().with_dtype(DType::BF16)),
        // A CPU has no such thing, and its specs are silent about it.
        (true, _) if narrow => Ok(Ops::fused().with_tf32(compute.read(&TF32)?)),
        (true, _) if rounded => Ok(Ops::fused().with_factors(Factors::Bf16)),
        (true, _) => Ok(Ops::fused()),
        (false, _) => Ok(Ops::reference()),
    }
}

/// Exactly one of `steps`, `tokens` and `tokens_per_param` says how long to train; 400 steps where none does.
fn steps(train: &Knobs, tokens_per_step: usize, params: u64) -> Result<u64> {
    let all: [&dyn Declared; 3] = [&STEPS, &TOKENS, &TOKENS_PER_PARAM];
    let mut given = all.into_iter().filter(|knob| train.given(*knob));
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        return Err(train
            .refuse(second, &format!("train.{} is given too", first.name()))
            .hint("one of train.steps, train.tokens and train.tokens_per_param"));
    }
    if let Some(tokens) = train.find(&TOKENS)? {
        Ok(tokens.div_ceil(tokens_per_step) as u64)
    } else if let Some(each) = train.find(&TOKENS_PER_PARAM)? {
        Ok((each * params as f64 / tokens_per_step as f64).ceil() as u64)
    } else {
        Ok(train.read(&STEPS)? as u64)
    }
}

fn measure(knobs: &Knobs) -> Result<Measure> {
    Ok(Measure {
        warmup_s: knobs.read(&WARMUP_S)?,
        window_s: knobs.read(&WINDOW_S)?,
        curve_points: knobs.read(&CURVE_POINTS)? as u64,
        val_points: knobs.read(&VAL_POINTS)? as u64,
        external: external(knobs)?,
    })
}

/// A wattmeter's log. The spec keeps its name alone: its folder may say whose it is. Whether it is there is asked before a run
/// (`refusal`) and not of each trial: a meter that fails costs figures of energy, never a trial.
fn external(knobs: &Knobs) -> Result<Option<External>> {
    let Some(path) = knobs.find(&EXTERNAL_METER)?.map(PathBuf::from) else {
        let offset = &EXTERNAL_METER_OFFSET_S;
        return match knobs.given(offset) {
            true => Err(knobs.refuse(offset, "there is no measure.external_meter")),
            false => Ok(None),
        };
    };
    let offset_s = knobs.read(&EXTERNAL_METER_OFFSET_S)?;
    if let Some(name) = path.file_name() {
        knobs.write(&EXTERNAL_METER, name.to_string_lossy().into());
    }
    Ok(Some(External { path, offset_s }))
}

/// Scalars that one more token adds to what decoding keeps, at the end of the context: those of a window that is full by then, or
/// of a state of fixed size, are not among them.
fn kv_scalars_per_token(model: &Model) -> u64 {
    let context = model.shape.context;
    model.state_scalars(context) - model.state_scalars(context - 1)
}

/// The structural cost of an experiment.
fn cost_of(experiment: &Experiment) -> Cost {
    let model = &experiment.model;
    let (shape, trained) = (&model.shape, model.trained());
    let total = model.params_total();
    let by_part = model.params_by_part();
    let tables: u64 = [Part::Embedding, Part::Head]
        .iter()
        .filter_map(|part| by_part.get(part))
        .sum();
    let windows = experiment.steps * experiment.batch as u64;
    let (once, flops) = (
        model.work(Span::window(shape.context)),
        model.training(shape.context),
    );
    let tokens = windows * shape.context as u64;
    // Each draws labels by a forward pass, and takes a gradient at them.
    let every = experiment.optimizer.probes_every();
    let probes = every.map_or(0, |every| experiment.steps.div_ceil(every));
    Cost {
        params_total: total,
        params_non_embedding: total - tables,
        params_active: model.params_active(),
        params_by_part: by_part
            .iter()
            .map(|(part, n)| (part.name().to_owned(), *n))
            .collect(),
        embedding_share: tables as f64 / total as f64,
        forward_flops_per_token: model.serving_flops(Span::window(shape.context)) as f64
            / shape.context as f64,
        train_flops_per_token: flops.train() as f64 / shape.context as f64,
        train_flops_per_sequence: flops.train(),
        train_flops_per_sequence_causal: None,
        six_n_flops_per_token: record::six_n_d(model.params_active(), 1),
        train_flops: windows as f64 * flops.train() as f64,
        train_flops_full_square: Some(windows as f64 * flops.full_square as f64),
        optimizer_flops: experiment.steps as f64 * experiment.optimizer.flops_per_step(&trained)
            + probes as f64 * (experiment.batch as u64 * (once.forward + flops.train())) as f64,
        tuning_flops: None,
        train_tokens: tokens,
        train_labels: labels(experiment, tokens),
        kv_bytes_per_token: experiment.bytes_kept() * kv_scalars_per_token(model),
        cache_bytes_per_window: Some(experiment.cache_bytes(shape.context)),
        token_flops: Some(token_flops(experiment)),
        state_bytes: experiment.state_bytes(),
    }
}

/// Of so many tokens those that a task asks for: as many as of its first windows.
fn labels(experiment: &Experiment, tokens: u64) -> Option<u64> {
    let source = experiment.source.as_ref();
    if !source.is_task() || tokens == 0 {
        return None;
    }
    let (rows, context) = (experiment.batch.min(16), experiment.model.shape.context);
    let first = source.train(1, 0, rows, context);
    let share = first.targets_known() as f64 / first.targets.len() as f64;
    Some((share * tokens as f64).round() as u64)
}

/// Forward FLOPs of a token by how many stand before it, up to the context and to the last token that the spec serves.
fn token_flops(experiment: &Experiment) -> TokenFlops {
    let (model, infer) = (&experiment.model, &experiment.infer);
    let served = infer.depth + infer.prompt + infer.generate;
    let most = model.shape.context.max(served);
    let doubling = successors(Some(1), |seen| Some(2 * seen)).take_while(|seen| *seen < most);
    let seen: Vec<usize> = once(0).chain(doubling).chain(once(most)).collect();
    let token = |seen: &usize| model.work(Span::token_after(*seen)).forward as f64;
    let head = model.head_flops();
    let prompt = |tokens: &usize| (model.prompt_flops(*tokens) - head) as f64;
    TokenFlops {
        token: seen.iter().map(token).collect(),
        prompt: seen.iter().map(prompt).collect(),
        seen: seen.iter().map(|seen| *seen as u64).collect(),
        head: head as f64,
    }
}

impl Experiment {
    /// Whether it only measures a file's own weights, as they are there.
    pub fn serves_the_file(&self) -> bool {
        let as_in_file = self.infer.weights == Some(Packing::AsInFile);
        self.steps == 0 && as_in_file && !self.model.is_adapted()
    }

    /// Bytes of a number that decoding keeps.
    fn bytes_kept(&self) -> u64 {
        let dtype = self.infer.cache.unwrap_or(self.ops.dtype());
        dtype.size_in_bytes() as u64
    }

    /// Bytes that decoding keeps of a window of so many tokens.
    pub fn cache_bytes(&self, tokens: usize) -> u64 {
        self.bytes_kept() * self.model.state_scalars(tokens)
    }

    /// Bytes of parameters, of the gradients of those that train, and of what the optimizer keeps for those; of parameters alone
    /// where nothing trains.
    fn state_bytes(&self) -> u64 {
        if self.steps == 0 {
            return match self.serves_the_file() {
                true => self.model.packed_bytes(),
                false => 4 * self.model.params_total(),
            };
        }
        let trained = self.model.trained();
        let scalars = self.optimizer.state_scalars(&trained);
        let gradients = trained.iter().map(Decl::count).sum();
        let spared = self.model.spared_by_blocks().unwrap_or(0);
        state_bytes(self.model.params_kept(), gradients, scalars) - spared
    }

    /// Peak memory that a plan expects; a guess.
    pub fn guess_bytes(&self) -> u64 {
        let (shape, state) = (&self.model.shape, self.state_bytes());
        let tokens = (self.batch * shape.context) as u64;
        let state = state + self.infer.draft.as_ref().map_or(0, Draft::bytes);
        if self.steps == 0 {
            // Evaluating keeps what one layer makes, and logits a few rows at a time; serving two caches, one to begin anew from.
            let infer = &self.infer;
            let seen = infer.depth + infer.prompt + infer.generate;
            let cache = infer.batch as u64 * self.cache_bytes(seen);
            let evaluating = guess_train_bytes(state, tokens, 1, shape.width as u64, 0);
            return evaluating + 2 * cache;
        }
        let trained: u64 = self.model.trained().iter().map(Decl::count).sum();
        // Each shard has a gradient of its own.
        let gradients = (self.shards as u64 - 1) * 4 * trained;
        let guess = guess_train_bytes(
            state,
            tokens,
            shape.layers as u64,
            shape.width as u64,
            shape.vocab as u64,
        );
        gradients + guess
    }
}

/// The tree of a settled spec, with its files where they really lie.
pub fn tree_of(spec: &Value, paths: &BTreeMap<String, PathBuf>) -> Result<Tree> {
    let origin = crate::config::Origin::named("settled spec");
    let mut tree = Tree::from_json(spec, &origin)?;
    for (key, path) in paths {
        let path = path
            .to_str()
            .ok_or_else(|| Error::input(format!("{} is not valid UTF-8", path.display())))?;
        tree.set(key, Value::from(path), origin.clone());
    }
    Ok(tree)
}
