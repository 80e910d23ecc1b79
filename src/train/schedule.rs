//! Learning-rate schedules: a factor from 0 to 1 by step, after a linear warm-up.

use std::sync::Arc;

use crate::config::knob::{Number, Word};
use crate::config::{Catalog, Declarations, Knob, Knobs, Named, Slot};
use crate::error::Result;

/// A settled schedule.
pub trait Schedule: Send + Sync {
    /// The factor on the learning rate at step `step` (from 0) of `steps`.
    fn factor(&self, step: u64, steps: u64) -> f64;
}

/// A kind of schedule: one row in the registry.
pub trait ScheduleKind: Named {
    /// Reads the knobs below `train.schedule`.
    fn settle(&self, knobs: &Knobs) -> Result<Arc<dyn Schedule>>;
}

const SLOT: Slot = Slot {
    path: "train.schedule",
    default: "cosine",
    about: "How the learning rate changes over the steps.",
};
const WARMUP: Knob<Number> = Knob::number(
    "warmup",
    "Steps in which the rate rises from 0, as a share of all steps; from 1 on, a number of steps.",
)
.within(0.0, 1e12)
.default(0.1);
const FINAL: Knob<Number> = Knob::number("final", "The rate at the end, as a share of the peak.")
    .within(0.0, 1.0)
    .default(0.1);
const DECAY: Knob<Number> = Knob::number(
    "decay",
    "Share of the steps, at the end, in which the rate falls.",
)
.within(0.0, 1.0)
.default(0.2);

const SHAPE: Knob<Word> = Knob::word(
    "shape",
    "How the rate falls: a line, 1 - sqrt, 1 - square, half a cosine, or by the same factor each step.",
    &["linear", "sqrt", "square", "cosine", "exponential"],
)
.default("linear");

/// What ships.
pub fn kinds() -> Catalog<dyn ScheduleKind> {
    let rows = [
        Form::Cosine,
        Form::Linear,
        Form::Constant,
        Form::InverseSqrt,
        Form::Wsd,
    ];
    Catalog::new(
        "schedules",
        Some(SLOT),
        rows.into_iter()
            .map(|form| Arc::new(form) as Arc<dyn ScheduleKind>)
            .collect(),
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Cosine,
    Linear,
    Constant,
    InverseSqrt,
    Wsd,
}

impl Named for Form {
    fn name(&self) -> &'static str {
        match self {
            Form::Cosine => "cosine",
            Form::Linear => "linear",
            Form::Constant => "constant",
            Form::InverseSqrt => "inverse_sqrt",
            Form::Wsd => "wsd",
        }
    }

    fn about(&self) -> &'static str {
        match self {
            Form::Cosine => {
                "half a cosine from the full rate down to `final` of it (Loshchilov & Hutter 2017)"
            }
            Form::Linear => "a straight line from the full rate down to `final` of it",
            Form::Constant => "the full rate throughout",
            Form::InverseSqrt => {
                "after the warm-up of w steps, sqrt(w / step) of the full rate (Vaswani et al. 2017, equation 3)"
            }
            Form::Wsd => {
                "warm-up, stable, decay: the full rate, then a fall of some `shape` over the last `decay` share (Hu et al. 2024)"
            }
        }
    }

    fn knobs(&self) -> Declarations {
        match self {
            Form::Cosine | Form::Linear => &[&WARMUP, &FINAL],
            Form::Constant | Form::InverseSqrt => &[&WARMUP],
            Form::Wsd => &[&WARMUP, &FINAL, &DECAY, &SHAPE],
        }
    }
}

impl ScheduleKind for Form {
    fn settle(&self, knobs: &Knobs) -> Result<Arc<dyn Schedule>> {
        let warmup = knobs.read(&WARMUP)?;
        if warmup > 1.0 && warmup.fract() != 0.0 {
            let why = "a share of the steps is below 1, and a number of steps is whole";
            return Err(knobs.refuse(&WARMUP, why));
        }
        let floor = if matches!(self, Form::Constant | Form::InverseSqrt) {
            1.0
        } else {
            knobs.read(&FINAL)?
        };
        let (decay, shape) = if *self == Form::Wsd {
            (knobs.read(&DECAY)?, Shape::of(knobs.read(&SHAPE)?))
        } else {
            (0.0, Shape::Linear)
        };
        if shape == Shape::Exponential && floor == 0.0 {
            let why = "a rate that falls by the same factor each step never gets to 0: a share above it is needed";
            return Err(knobs.refuse(&FINAL, why));
        }
        Ok(Arc::new(Shaped {
            form: *self,
            warmup,
            floor,
            decay,
            shape,
        }))
    }
}

/// How the rate falls at the end of warm-up, stable, decay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Linear,
    Sqrt,
    Square,
    Cosine,
    Exponential,
}

impl Shape {
    fn of(word: &str) -> Self {
        match word {
            "sqrt" => Shape::Sqrt,
            "square" => Shape::Square,
            "cosine" => Shape::Cosine,
            "exponential" => Shape::Exponential,
            _ => Shape::Linear,
        }
    }

    /// The factor after a share of the fall that ends at `floor`.
    fn factor(self, share: f64, floor: f64) -> f64 {
        let left = match self {
            Shape::Exponential => return floor.powf(share),
            Shape::Linear => 1.0 - share,
            // Haegele et al. 2024, arXiv 2405.18392, equation 1.
            Shape::Sqrt => 1.0 - share.sqrt(),
            Shape::Square => 1.0 - share * share,
            Shape::Cosine => 1.0 - (0.5 - 0.5 * (std::f64::consts::PI * share).cos()),
        };
        floor + (1.0 - floor) * left
    }
}

struct Shaped {
    form: Form,
    /// Share of all steps below 1, else steps.
    warmup: f64,
    floor: f64,
    decay: f64,
    shape: Shape,
}

impl Schedule for Shaped {
    fn factor(&self, step: u64, steps: u64) -> f64 {
        let (step, steps) = (step as f64, steps as f64);
        let warmup = if self.warmup < 1.0 {
            (self.warmup * steps).round()
        } else {
            self.warmup
        };
        if step < warmup {
            return ((step + 1.0) / warmup).min(1.0);
        }
        let progress = |from: f64| ((step - from) / (steps - from).max(1.0)).clamp(0.0, 1.0);
        let fall = |shape: Shape, from: f64| shape.factor(progress(from), self.floor);
        match self.form {
            Form::Cosine => fall(Shape::Cosine, warmup),
            Form::Linear => fall(Shape::Linear, warmup),
            Form::Constant => 1.0,
            Form::InverseSqrt => (warmup.max(1.0) / (step + 1.0)).sqrt().min(1.0),
            Form::Wsd => fall(self.shape, warmup.max((1.0 - self.decay) * steps)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(form: Form, at: &[u64]) -> Vec<f64> {
        let shaped = Shaped {
            form,
            warmup: 0.1,
            floor: 0.1,
            decay: 0.2,
            shape: Shape::Linear,
        };
        at.iter()
            .map(|&step| (shaped.factor(step, 100) * 1e4).round() / 1e4)
            .collect()
    }

    #[test]
    fn each_form_passes_through_its_known_points() {
        let at = [0, 4, 9, 10, 55, 80, 90, 99];
        let check = |form, want: [f64; 8]| assert_eq!(factors(form, &at), want, "{form:?}");
        check(Form::Constant, [0.1, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        check(
            Form::InverseSqrt,
            [0.1, 0.5, 1.0, 0.9535, 0.4226, 0.3514, 0.3315, 0.3162],
        );
        check(Form::Linear, [0.1, 0.5, 1.0, 1.0, 0.55, 0.3, 0.2, 0.11]);
        check(Form::Wsd, [0.1, 0.5, 1.0, 1.0, 1.0, 1.0, 0.55, 0.145]);
        check(
            Form::Cosine,
            [0.1, 0.5, 1.0, 1.0, 0.55, 0.2053, 0.1271, 0.1003],
        );
    }

    /// A quarter, half and three quarters into the fall.
    #[test]
    fn the_fall_has_its_shape() {
        for (shape, floor, want) in [
            (Shape::Linear, 0.0, [0.75, 0.5, 0.25]),
            (Shape::Cosine, 0.0, [0.853553, 0.5, 0.146447]),
            (Shape::Sqrt, 0.0, [0.5, 0.292893, 0.133975]),
            (Shape::Square, 0.0, [0.9375, 0.75, 0.4375]),
            (Shape::Exponential, 0.01, [0.316228, 0.1, 0.031623]),
        ] {
            let shaped = Shaped {
                form: Form::Wsd,
                warmup: 0.1,
                floor,
                decay: 0.2,
                shape,
            };
            let seen = [850, 900, 950].map(|step| shaped.factor(step, 1000));
            let far = |k: usize| (seen[k] - want[k]).abs();
            assert!((0..3).all(|k| far(k) < 1e-6), "{shape:?}: {seen:?}");
        }
    }
}
