//! A teacher: another model, trained before, whose distributions a student is brought near (knowledge distillation: Hinton, Vinyals
//! and Dean 2015, arXiv 1503.02531). A suite's row names the cell (`teacher`) and writes its model into the student's spec, below
//! `teacher`; what it computes for each batch is work of the student's training.

use std::sync::{Arc, OnceLock};

use candle_core::{Device, Tensor};

use super::loss::{Loss, Trunk};
use super::param::Weights;
use super::slots::Slots;
use super::{Model, Pass, Span, Work};
use crate::config::knob::{Number, Word};
use crate::config::{Knob, Section, Spec};
use crate::error::{Error, Result};
use crate::ops::{Distillation, Divergence};

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

impl Model {
    /// Reads `train.distill` where the spec has a teacher, whose term is then a loss of the model's; silent otherwise.
    ///
    /// # Errors
    /// Where the teacher's tokens are others, or its windows shorter.
    pub fn learn(&mut self, spec: &Spec, slots: &Slots) -> Result<()> {
        if !spec.has_any(TEACHER) {
            return Ok(());
        }
        let (vocab, context) = (self.shape.vocab, self.shape.context);
        let model = Self::settle(&spec.within(TEACHER), slots, vocab)?;
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
        let head = |learns| self.head.work(1, learns);
        self.losses.push(Box::new(Teacher {
            model: Box::new(model),
            weight: knobs.read(&WEIGHT)?,
            temperature: knobs.read(&TEMPERATURE)?,
            divergence: match knobs.read(&DIVERGENCE)? {
                "reverse" => Divergence::Reverse,
                _ => Divergence::Forward,
            },
            weights: OnceLock::new(),
            head: [head(false), head(true)],
        }));
        Ok(())
    }
}

/// A settled teacher.
struct Teacher {
    model: Box<Model>,
    weight: f64,
    temperature: f64,
    divergence: Divergence,
    /// Read once, by whichever part of the first batch asks first.
    weights: OnceLock<std::result::Result<Weights, Error>>,
    /// What the student's head costs for a token, no gradient of the stream asked for, or one.
    head: [Work; 2],
}

impl Teacher {
    fn weights(&self, device: &Device) -> Result<&Weights> {
        let read = || Ok(self.model.start(0, device)?.detached());
        self.weights
            .get_or_init(read)
            .as_ref()
            .map_err(Clone::clone)
    }
}

impl Loss for Teacher {
    fn term(&self, trunk: &Trunk, pass: &Pass) -> Result<Option<Tensor>> {
        let weights = self.weights(trunk.x_nc.device())?;
        let ops = pass.ops.untaped();
        let told = self
            .model
            .logits(weights, pass.ids, pass.batch, pass.time, ops)?;
        let own = trunk.head.logits(trunk.x_nc, pass)?;
        let distillation = Distillation {
            weight: self.weight,
            temperature: self.temperature,
            divergence: self.divergence,
            targets: Arc::from(trunk.targets),
        };
        Ok(Some(pass.ops.run(distillation, [&own, &told])?))
    }

    /// The teacher's forward pass, and the student's head once more.
    fn work(&self, span: Span) -> Work {
        let forward = self.model.work(span).forward;
        let head = self.head[usize::from(span.learns)];
        Work {
            forward: forward + span.new * head.forward,
            backward: span.new * head.backward,
            full_square: forward + span.new * head.full_square,
        }
    }
}
