//! The fields of a suite's file.

use crate::config::field::Inner;
use crate::config::knob::{Declarations, Flag, Knob, List, Number, Text, Whole};

pub(super) const ABOUT: Knob<Text> =
    Knob::text("about", "What the suite is for, in one sentence.").follows("its own file");
pub(super) const DATA_LABEL: Knob<Text> = Knob::text(
    "data_label",
    "What answers call the data, as `synthetic language`.",
)
.follows("the data's kind and preset");
pub(super) const BASE: Knob<Text> = Knob::text(
    "base",
    "The variant that the others are compared with, by name.",
)
.optional();
pub(super) const REPEATS: Knob<Whole> = Knob::count(
    "repeats",
    "How often everything is run, each time with another seed.",
)
.default(1);
pub(super) const FIRST_SEED: Knob<Whole> = Knob::count(
    "first_seed",
    "The seed of the first repeat; the next has the next.",
)
.default(1);
pub(super) const HEADLINE: Inner = Inner::table(
    "headline",
    "The cell whose gain over the base is the answer.",
    HEADLINE_FIELDS,
);
pub(super) const TUNE: Inner = Inner::table(
    "tune",
    "A sweep over learning rates that runs first, on seeds and windows that judge nothing.",
    TUNE_FIELDS,
);
pub(super) const SET: Inner = Inner::spec("set", "Spec keys of every cell.");
pub(super) const SHAPES: Inner = Inner::specs(
    "shapes",
    "Named shapes, each with its spec keys, where cells list shapes instead of scales.",
);
pub(super) const CELLS: Inner = Inner::rows(
    "cells",
    "What is run: every combination of a row's lists is a cell.",
    CELL_FIELDS,
)
.required();

/// The fields of a suite's file.
pub(in crate::config) const FIELDS: Declarations = &[
    &ABOUT,
    &DATA_LABEL,
    &BASE,
    &HEADLINE,
    &REPEATS,
    &FIRST_SEED,
    &TUNE,
    &SET,
    &SHAPES,
    &CELLS,
];

pub(super) const VARIANTS: Knob<List<Text>> = Knob::text(
    "variants",
    "Variants by name or path, with changes behind them, as gpt2+rope.",
)
.list();
pub(super) const SCALES: Knob<List<Text>> =
    Knob::text("scales", "Widths, as w32; or the row has shapes instead.")
        .list()
        .optional();
pub(super) const SHAPES_OF_ROW: Knob<List<Text>> =
    Knob::text("shapes", "Names of the suite's shapes, instead of scales.")
        .list()
        .optional();
pub(super) const STEPS: Knob<List<Whole>> = Knob::count(
    "steps",
    "Optimizer steps to train for; absent where a spec key says how long.",
)
.list()
.optional();
pub(super) const RATES: Knob<List<Number>> = Knob::number(
    "lr",
    "Learning rates of a sweep, each a cell of its own; absent where the variants' own rates stand.",
)
.above(0.0)
.list()
.optional();
pub(super) const STAGE: Knob<Text> = Knob::text(
    "stage",
    "What these cells are for, as a word behind the variant's name (`gpt2:tuned`): a variant may stand in several stages.",
)
.optional();
pub(super) const BEGINS_WITH: Knob<Text> = Knob::text(
    "from",
    "The cell whose trained weights these cells begin with, repeat by repeat: `gpt2:first@1600` at the same scale, or \
     `gpt2:first/w64@1600`. It is trained once, at a rate that no sweep of this suite chooses.",
)
.optional();
pub(super) const TEACHER: Knob<Text> = Knob::text(
    "teacher",
    "The cell that these cells learn from (`train.distill`), in the same words as `from`.",
)
.optional();
pub(super) const SET_OF_ROW: Inner = Inner::spec("set", "Spec keys of these cells alone.");
pub(super) const CELL_FIELDS: Declarations = &[
    &VARIANTS,
    &SCALES,
    &SHAPES_OF_ROW,
    &STEPS,
    &RATES,
    &STAGE,
    &BEGINS_WITH,
    &TEACHER,
    &SET_OF_ROW,
];

pub(super) const TRIED: Knob<List<Number>> = Knob::number(
    "lr",
    "The learning rates that are tried, the same for every variant: at least three.",
)
.above(0.0)
.list()
.optional();
pub(super) const TIMES: Knob<List<Number>> = Knob::number(
    "times",
    "The learning rates that are tried as multiples of each variant's own, in place of `lr`: for optimizers whose rates are \
     of other sizes.",
)
.above(0.0)
.list()
.optional();
pub(super) const AT: Knob<List<Text>> = Knob::text(
    "at",
    "Where every variant is swept, as `w32@400`: a width and steps; absent: at each of its cells.",
)
.list()
.optional();
pub(super) const MISSING: Knob<Flag> = Knob::flag(
    "missing",
    "Whether only those are swept for which no shipped sweep says a rate.",
)
.default(false);
pub(super) const SEEDS: Knob<Whole> =
    Knob::count("repeats", "Seeds that each rate is tried with.").default(2);
pub(super) const FIRST_TRIED_SEED: Knob<Whole> = Knob::count(
    "first_seed",
    "The first of them; none may be one that judges.",
)
.default(1001);
pub(super) const TUNE_FIELDS: Declarations =
    &[&TRIED, &TIMES, &AT, &MISSING, &SEEDS, &FIRST_TRIED_SEED];

pub(super) const VARIANT: Knob<Text> = Knob::text(
    "variant",
    "The variant whose gain over the base is the answer.",
);
pub(super) const SCALE: Knob<Text> = Knob::text("scale", "The scale that it is read at.");
pub(super) const BUDGET: Knob<Whole> = Knob::count("budget", "The variant's optimizer steps.");
pub(super) const HEADLINE_FIELDS: Declarations = &[&VARIANT, &SCALE, &BUDGET];
