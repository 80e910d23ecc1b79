//! A teacher: another model, trained before, whose distributions a student is brought near (knowledge distillation: Hinton, Vinyals
//! and Dean 2015, arXiv 1503.02531). A suite's row names the cell (`teacher`) and writes its model into the student's spec, below
//! `teacher`; what it computes for each batch is work of the student's training.

use std::sync::{Arc, OnceLock};

use candle_core::{Device, Tensor};

use super::head::Head;
use super::param::Weights;
use super::slots::Slots;
use super::{Model, Pass, Span, Work};
use crate::config::knob::{Number, Word};
use crate::config::{Knob, Section, Spec};
use crate::error::{Error, Result};
use crate::ops::{Distillation, Divergence, Ops};

const WEIGHT: Knob<Number> = Knob::number(
    "weight",
    "The teacher's share of what is minimised: at 1 the data's next tokens are not looked at, at 0 the teacher is not.",
)
.within(0.0, 1.0)
.default(1.0);
const TEMPERATURE: Knob<Number> = Knob::number(
    "temperature",
    "What both models' logits are divided by where their distributions are compared.",
)
.within(0.05, 100.0)
.default(1.0);
const DIVERGENCE: Knob<Word> = Knob::word(
    "divergence",
    "forward is KL(teacher || student), which covers all that the teacher thinks possible; reverse is KL(student || teacher).",
    &["forward", "reverse"],
)
.default("forward");

/// `train.distill`
pub const DISTILL: Section = Section {
    path: "train.distill",
    knobs: &[&WEIGHT, &TEMPERATURE, &DIVERGENCE],
};

/// Where a teacher's own spec stands.
const TEACHER: &str = "teacher";

/// A settled teacher.
pub(super) struct Teacher {
    model: Box<Model>,
    weight: f64,
    temperature: f64,
    divergence: Divergence,
    /// Read once, by whichever part of the first batch asks first.
    weights: OnceLock<std::result::Result<Weights, Error>>,
}

impl Teacher {
    /// Reads `train.distill` where the spec has a teacher, and is silent otherwise.
    ///
    /// # Errors
    /// Where the teacher's tokens are others, or its windows shorter.
    pub(super) fn settle(spec: &Spec, slots: &Slots, student: [usize; 2]) -> Result<Option<Self>> {
        if !spec.has_any(TEACHER) {
            return Ok(None);
        }
        let [vocab, context] = student;
        let model = Model::settle(&spec.within(TEACHER), slots, vocab)?;
        let refuse = |why: String| Error::input(format!("the teacher {why}"));
        if model.shape.vocab != vocab {
            let why = format!("has {} tokens, and the student {vocab}", model.shape.vocab);
            return Err(refuse(why).hint("one tokenizer for both"));
        }
        if let Some(longest) = model.longest().filter(|longest| *longest < context) {
            let why = format!("has windows of {longest} tokens, and the student of {context}");
            return Err(refuse(why).hint("one model.context for both"));
        }
        let knobs = spec.at(&DISTILL);
        Ok(Some(Self {
            model: Box::new(model),
            weight: knobs.read(&WEIGHT)?,
            temperature: knobs.read(&TEMPERATURE)?,
            divergence: match knobs.read(&DIVERGENCE)? {
                "reverse" => Divergence::Reverse,
                _ => Divergence::Forward,
            },
            weights: OnceLock::new(),
        }))
    }

    fn weights(&self, device: &Device) -> Result<&Weights> {
        let read = || Ok(self.model.start(0, device)?.detached());
        self.weights
            .get_or_init(read)
            .as_ref()
            .map_err(Clone::clone)
    }

    /// What it adds to the student's cross-entropy: a scalar.
    ///
    /// # Errors
    /// The operations', and where its weights cannot be read.
    pub(super) fn term(
        &self,
        x_nc: &Tensor,
        next: &[u32],
        head: &Head,
        pass: &Pass,
    ) -> Result<Tensor> {
        let weights = self.weights(x_nc.device())?;
        let ops: Ops = pass.ops.untaped();
        let told = self
            .model
            .logits(weights, pass.ids, pass.batch, pass.time, ops)?;
        let own = head.logits(x_nc, pass)?;
        let distillation = Distillation {
            weight: self.weight,
            temperature: self.temperature,
            divergence: self.divergence,
            targets: Arc::from(next),
        };
        Ok(pass.ops.run(distillation, [&own, &told])?)
    }

    /// What a window costs: the teacher's forward pass, and the student's head once more.
    pub(super) fn work(&self, span: Span, head: &Head) -> Work {
        let forward = self.model.work(span).forward;
        let teacher = Work {
            forward,
            backward: 0,
            full_square: forward,
        };
        teacher + head.work(span.new, span.learns)
    }
}
