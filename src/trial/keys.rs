//! The keys of a spec: those of a trial itself, which [`settle`](super::settle()) reads, and the list of all.

use super::Registry;
use crate::config::knob::{Flag, Number, Text, Whole, Word};
use crate::config::{Key, Knob, Section};
use crate::data::HeldOut;
use crate::infer::sampling;
use crate::model;
use crate::train::{Stored, rates};

/// More threads than any machine here has: beyond it a typing error is likelier.
const MOST_THREADS: usize = 1024;

/// A wattmeter's clock that is further off than a day is set to another day.
const MOST_OFFSET_S: f64 = 86_400.0;

/// A cache of more tokens fits no memory.
const MOST_DEPTH: usize = 1 << 22;
/// Samples and problems beyond which sizes are a typing error.
const MOST_SAMPLES: usize = 1 << 12;
const MOST_PROBLEMS: usize = 1 << 20;

/// Guesses beyond which a pass is no longer one of decoding.
const MOST_DRAFT: usize = 64;

/// Windows per step beyond which sizes are a typing error.
const MOST_WINDOWS: usize = 1 << 16;

pub(super) const HELD_OUT: Knob<Word> = Knob::word(
    "held_out",
    "Part of the unseen windows that the loss is of: a sweep judges by validation, everything else by test.",
    &HeldOut::WORDS,
)
.default("test");
pub(super) const UNIQUE_TOKENS: Knob<Whole> = Knob::count(
    "unique_tokens",
    "Train on windows of so many tokens alone, over and over, each time in another order: scarce data.",
)
.unit("tokens")
.at_most(1 << 28)
.optional();
pub(super) const DATA: Section = Section {
    path: "data",
    knobs: &[&HELD_OUT, &UNIQUE_TOKENS],
};

pub(super) const SHARE: Knob<Number> = Knob::number(
    "share",
    "Share of the windows trained on that another source writes, which mixed.data describes as data does this one; its loss is told too, and the same vocabulary is asked of both.",
)
.within(0.0, 1.0)
.default(0.5);
pub(super) const MIXED: Section = Section {
    path: "mixed",
    knobs: &[&SHARE],
};

pub(super) const BATCH: Knob<Whole> =
    Knob::count("batch", "Batch size: sequences per optimizer step.")
        .at_most(MOST_WINDOWS)
        .default(16);
pub(super) const STEPS: Knob<Whole> = Knob::whole(
    "steps",
    "How long to train, in optimizer steps; 0 measures a model as it is.",
)
.default(400);
pub(super) const TOKENS: Knob<Whole> =
    Knob::count("tokens", "How long to train, in tokens, instead of steps.")
        .unit("tokens")
        .optional();
pub(super) const TOKENS_PER_PARAM: Knob<Number> = Knob::number(
    "tokens_per_param",
    "How long to train, in tokens for each parameter, instead of steps.",
)
.within(1e-9, 1e9)
.optional();
pub(super) const CLIP: Knob<Number> = Knob::number(
    "clip",
    "Largest norm of a step's whole gradient; a longer one is scaled down, 0 is off.",
)
.within(0.0, 1e9)
.default(1.0);
pub(super) const STORED: Knob<Word> = Knob::word(
    "stored",
    "What parameters are rounded to after every update, to the nearest or by chance; f32 where it is absent.",
    &Stored::WORDS,
)
.optional();
pub(super) const TRAIN: Section = Section {
    path: "train",
    knobs: &[&BATCH, &STEPS, &TOKENS, &TOKENS_PER_PARAM, &CLIP, &STORED],
};

pub(super) const DEVICE: Knob<Text> = Knob::text(
    "device",
    "Where to train: cpu, cuda or cuda:N; `--device` sets it.",
)
.such_as(&["cpu", "cuda", "cuda:0"])
.default("cpu");
pub(super) const OPS: Knob<Word> = Knob::word(
    "ops",
    "Fused operations, or the slow plain ones that they are checked against.",
    &["fused", "reference"],
)
.default("fused");
pub(super) const DTYPE: Knob<Word> = Knob::word(
    "dtype",
    "Number format of activations; weights and sums stay f32.",
    &["f32", "bf16"],
)
.follows("bf16 for fused operations on a GPU, else f32");
pub(super) const TF32: Knob<Flag> = Knob::flag(
    "tf32",
    "Whether a GPU may round the factors of f32 products to 10 bits, which is faster.",
)
.default(false);
pub(super) const PRODUCTS: Knob<Word> = Knob::word(
    "products",
    "Precision of matrix multiplications on the CPU (inputs rounded, sums in f32), as in torch.autocast; bf16 is faster with AMX, or with AVX512-BF16 on some processors.",
    &["f32", "bf16"],
)
.optional();
pub(super) const SHARDS: Knob<Whole> = Knob::count(
    "shards",
    "Parts that a step's windows are divided into on a CPU, each with its share of the threads.",
)
.follows("4 on a CPU, or train.batch where that is less; 1 on a GPU");
pub(super) const THREADS: Knob<Whole> = Knob::whole(
    "threads",
    "Threads to compute with; 0 is all that the process may use.",
)
.at_most(MOST_THREADS)
.default(0);
pub(super) const COMPUTE: Section = Section {
    path: "compute",
    knobs: &[&DEVICE, &OPS, &DTYPE, &TF32, &PRODUCTS, &SHARDS, &THREADS],
};

pub(super) const WARMUP_S: Knob<Number> = Knob::number(
    "warmup_s",
    "Steps of the first seconds do not count for speed.",
)
.unit("s")
.within(0.0, 3600.0)
.default(0.5);
pub(super) const WINDOW_S: Knob<Number> = Knob::number(
    "window_s",
    "How long each inference measurement is repeated.",
)
.unit("s")
.within(0.0, 3600.0)
.default(0.05);
pub(super) const CURVE_POINTS: Knob<Whole> =
    Knob::count("curve_points", "Points of the loss curve.").default(20);
pub(super) const VAL_POINTS: Knob<Whole> = Knob::count(
    "val_points",
    "How many of these have a validation loss; the last always has one.",
)
.default(1);
pub(super) const EXTERNAL_METER: Knob<Text> = Knob::text(
    "external_meter",
    "A wattmeter's log to read energy from, as CSV; settled as the name alone.",
)
.optional();
pub(super) const EXTERNAL_METER_OFFSET_S: Knob<Number> = Knob::number(
    "external_meter_offset_s",
    "How far the wattmeter's clock is ahead of this machine's.",
)
.unit("s")
.within(-MOST_OFFSET_S, MOST_OFFSET_S)
.default(0.0);
pub(super) const MEASURE: Section = Section {
    path: "measure",
    knobs: &[
        &WARMUP_S,
        &WINDOW_S,
        &CURVE_POINTS,
        &VAL_POINTS,
        &EXTERNAL_METER,
        &EXTERNAL_METER_OFFSET_S,
    ],
};

pub(super) const PROMPT: Knob<Whole> =
    Knob::count("prompt", "Tokens of the prompt that prefill is timed on.")
        .unit("tokens")
        .follows("half of model.context");
pub(super) const GENERATE: Knob<Whole> = Knob::whole(
    "generate",
    "Tokens generated after it, one at a time; decoding is timed on them.",
)
.unit("tokens")
.follows("the rest of model.context");
pub(super) const INFER_BATCH: Knob<Whole> =
    Knob::count("batch", "Batch size: sequences decoded at once.").default(1);
pub(super) const DEPTH: Knob<Whole> = Knob::whole(
    "depth",
    "Tokens in the cache before the prompt, put there and not timed: decoding slows down with them.",
)
.unit("tokens")
.at_most(MOST_DEPTH)
.optional();
pub(super) const INFER_WEIGHTS: Knob<Word> = Knob::word(
    "weights",
    "Weight format for inference: quantized (packed) in one of GGUF's types; `file`, each as the file of model.from has it; or f32, as without it.",
    &[
        "file", "f32", "q8_0", "q6_k", "q5_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0",
    ],
)
.optional();
pub(super) const ACTIVATIONS: Knob<Word> = Knob::word(
    "activations",
    "What multiplies packed matrices: activations as they are (f32), or rounded to 8 bits, each 32 with a scale of their own, as llama.cpp does it.",
    &["f32", "int8"],
)
.optional();
pub(super) const CACHE: Knob<Word> = Knob::word(
    "cache",
    "What keys and values are kept as while decoding: f16 is half to read and to hold, as llama.cpp keeps them unless told otherwise; losses are of whole windows and do not show it.",
    &["f32", "f16"],
)
.optional();
pub(super) const SAMPLES: Knob<Whole> = Knob::count(
    "samples",
    "Answers drawn at infer.temperature to each unseen problem, after a greedy one; none is asked where it is not given.",
)
.at_most(MOST_SAMPLES)
.optional();
pub(super) const PROBLEMS: Knob<Whole> = Knob::count(
    "problems",
    "Unseen problems that are asked at most, where infer.samples says how often.",
)
.at_most(MOST_PROBLEMS)
.default(400);
pub(super) const DRAFT: Knob<Text> = Knob::text(
    "draft",
    "Draft for speculative decoding: lookup (n-gram lookup in the text before), or a smaller model of the same tokenizer (a GGUF file, a folder of Hugging Face's, a file of --keep-weights); settled as the name alone.",
)
.such_as(&["lookup"])
.optional();
pub(super) const DRAFT_BLAKE3: Knob<Text> = Knob::text(
    "draft_blake3",
    "Hash of that model's file, which is refused where it has another one.",
)
.follows("the hash of the file that infer.draft names");
pub(super) const DRAFT_TOKENS: Knob<Whole> =
    Knob::count("draft_tokens", "Tokens guessed at most before each pass.")
        .at_most(MOST_DRAFT)
        .default(4);
pub(super) const INFER: Section = Section {
    path: "infer",
    knobs: &[
        &PROMPT,
        &GENERATE,
        &DEPTH,
        &INFER_BATCH,
        &INFER_WEIGHTS,
        &ACTIVATIONS,
        &CACHE,
        &DRAFT,
        &DRAFT_BLAKE3,
        &DRAFT_TOKENS,
        &SAMPLES,
        &PROBLEMS,
    ],
};

/// Every key of a spec, in the order of reading.
pub fn keys(registry: &Registry) -> Vec<Key> {
    let slots = &registry.slots;
    let [sizes, recall, layers, weights, norm, head, scaling, shape] = model::SECTIONS;
    let parts = [
        registry.sources.keys(),
        DATA.keys().chain(MIXED.keys()).collect(),
        sizes
            .keys()
            .chain(recall.keys())
            .chain(layers.keys())
            .chain(weights.keys())
            .collect(),
        slots.mixers.keys(),
        slots.ffns.keys(),
        slots.norms.keys(),
        norm.keys().collect(),
        slots.positions.keys(),
        slots.linears.keys(),
        head.keys().chain(scaling.keys()).collect(),
        shape.keys().collect(),
        TRAIN.keys().chain(model::FREEZE.keys()).collect(),
        model::loss::keys(&slots.losses),
        model::teacher::DISTILL.keys().collect(),
        registry.optimizers.keys(),
        rates::RATES.keys().collect(),
        registry.schedules.keys(),
        COMPUTE.keys().chain(MEASURE.keys()).collect(),
        INFER.keys().chain(sampling::SAMPLING.keys()).collect(),
    ];
    parts.into_iter().flatten().collect()
}
