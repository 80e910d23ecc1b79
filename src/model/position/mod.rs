//! How a model knows where a token stands: added to the embedding (learned, sinusoidal), turned into queries and keys
//! (RoPE), or not at all.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Tensor};

use super::rotation::{Rotation, Stretch, places};
use super::{Build, Pass, Site};
use crate::config::knob::{List, Number, Whole, Word};
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::model::param::{Init, ParamId, Role};
use crate::ops::RopeTable;

/// A settled position encoding.
pub trait Position: Send + Sync {
    /// Adds what it adds to the embeddings of positions `pass.offset..`; (B*T, C) to the same shape.
    fn embed(&self, x_nc: Tensor, _flow: &Pass) -> Result<Tensor> {
        Ok(x_nc)
    }

    /// The most tokens of a window that it can number, where there is such a limit.
    fn longest(&self) -> Option<usize> {
        None
    }

    /// The rotation of queries and keys for positions `offset..offset + time`, for those that rotate.
    fn rope(&self, _offset: usize, _time: usize, _device: &Device) -> Result<Option<RopeTable>> {
        Ok(None)
    }
}

/// A kind of position encoding: one row in the registry.
pub trait PositionKind: Named {
    /// Reads the knobs below `model.position`, declares parameters, if any, and returns it.
    ///
    /// # Errors
    /// Where a knob has a value that it cannot have, or the encoding does not fit the sizes.
    fn settle(&self, site: &Site, build: &mut Build) -> Result<Box<dyn Position>>;
}

const THETA: Knob<Number> = Knob::number(
    "theta",
    "Base of the rotation's wavelengths: a larger one tells longer distances apart.",
)
.within(1.0, 1e9)
.default(10_000.0);
const SCALING: Knob<Word> = Knob::word(
    "scaling",
    "RoPE scaling, how angles are stretched for sequences longer than those trained on: all alike, as in Llama 3.1 those that turn slowly, or each by a number of its own.",
    &["none", "linear", "llama3", "factors"],
)
.default("none");
const FACTOR: Knob<Number> = Knob::number(
    "scaling_factor",
    "What the angles that are stretched are divided by.",
)
.within(1e-3, 1e6)
.default(8.0);
const LOW: Knob<Number> = Knob::number(
    "scaling_low",
    "Pairs that turn at most so often within model.position.scaling_context are stretched in full (low_freq_factor).",
)
.within(0.0, 1e6)
.default(1.0);
const HIGH: Knob<Number> = Knob::number(
    "scaling_high",
    "Pairs that turn at least so often within model.position.scaling_context are not stretched (high_freq_factor).",
)
.within(0.0, 1e6)
.default(4.0);
const ORIGINAL: Knob<Whole> = Knob::count(
    "scaling_context",
    "Context length of training before RoPE scaling (original_max_position_embeddings).",
)
.unit("tokens")
.default(8192);
const FACTORS: Knob<List<Number>> = Knob::number(
    "scaling_factors",
    "What the angles of each pair are divided by: half as many numbers as a head has channels.",
)
.within(1e-3, 1e6)
.list()
.follows("1 of each");

/// Row of the catalog: `learned`.
pub struct LearnedKind;
/// Row of the catalog: `sinusoidal`.
pub struct SinusoidalKind;
/// Row of the catalog: `rope`.
pub struct RopeKind;
/// Row of the catalog: `none`.
pub struct NoneKind;

impl Named for LearnedKind {
    fn name(&self) -> &'static str {
        "learned"
    }
    fn about(&self) -> &'static str {
        "a trained vector per position, added to the embedding (GPT-2, Radford et al. 2019)"
    }
}

impl Named for SinusoidalKind {
    fn name(&self) -> &'static str {
        "sinusoidal"
    }
    fn about(&self) -> &'static str {
        "fixed sines and cosines per position, added to the embedding (Vaswani et al. 2017, section 3.5)"
    }
}

impl Named for RopeKind {
    fn name(&self) -> &'static str {
        "rope"
    }
    fn about(&self) -> &'static str {
        "queries and keys rotated by an angle that grows with position (Su et al. 2021)"
    }
    fn knobs(&self) -> Declarations {
        &[&THETA, &SCALING, &FACTOR, &LOW, &HIGH, &ORIGINAL, &FACTORS]
    }
}

impl Named for NoneKind {
    fn name(&self) -> &'static str {
        "none"
    }
    fn about(&self) -> &'static str {
        "no position information beyond the causal mask (Kazemnejad et al. 2023)"
    }
}

impl PositionKind for LearnedKind {
    fn settle(&self, site: &Site, build: &mut Build) -> Result<Box<dyn Position>> {
        let shape = site.shape;
        let (size, start) = (
            [shape.context, shape.width],
            Init::Normal(shape.table_std()),
        );
        Ok(Box::new(Learned {
            table: build.param("position", &size, Role::Embedding, start),
            rows: shape.context,
        }))
    }
}

struct Learned {
    table: ParamId,
    rows: usize,
}

impl Position for Learned {
    fn longest(&self) -> Option<usize> {
        Some(self.rows)
    }

    fn embed(&self, x_nc: Tensor, pass: &Pass) -> Result<Tensor> {
        let table = &pass.weights[self.table];
        let table = if pass.offset == 0 {
            table.clone()
        } else {
            table.narrow(0, pass.offset, pass.time)?
        };
        Ok(pass.ops.add_positions(&x_nc, &table, pass.time)?)
    }
}

impl PositionKind for SinusoidalKind {
    fn settle(&self, site: &Site, _build: &mut Build) -> Result<Box<dyn Position>> {
        Ok(Box::new(Sinusoidal {
            width: site.shape.width,
            context: site.shape.context,
            table: Mutex::new(None),
        }))
    }
}

struct Sinusoidal {
    width: usize,
    context: usize,
    /// Of the whole context, on the device that asked last.
    table: Mutex<Option<Tensor>>,
}

impl Position for Sinusoidal {
    fn embed(&self, x_nc: Tensor, pass: &Pass) -> Result<Tensor> {
        let mut kept = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let last = pass.offset + pass.time;
        let holds =
            |table: &Tensor| table.device().same_device(x_nc.device()) && table.dims()[0] >= last;
        let table = match kept.take().filter(holds) {
            Some(table) => table,
            None => self.waves(places(self.context, last), x_nc.device())?,
        };
        let table = kept.insert(table).narrow(0, pass.offset, pass.time)?;
        Ok(pass.ops.add_positions(&x_nc, &table, pass.time)?)
    }
}

impl Sinusoidal {
    /// (places, C).
    fn waves(&self, places: usize, device: &Device) -> Result<Tensor> {
        let angle = |t: usize, c: usize| {
            let even = (c / 2 * 2) as f64;
            let angle = t as f64 / 10_000f64.powf(even / self.width as f64);
            if c.is_multiple_of(2) {
                angle.sin()
            } else {
                angle.cos()
            }
        };
        let rows = (0..places).flat_map(|t| (0..self.width).map(move |c| angle(t, c) as f32));
        Ok(Tensor::from_vec(
            rows.collect::<Vec<_>>(),
            (places, self.width),
            device,
        )?)
    }
}

impl PositionKind for RopeKind {
    fn settle(&self, site: &Site, build: &mut Build) -> Result<Box<dyn Position>> {
        let (knobs, shape) = (&site.knobs, site.shape);
        let theta = knobs.read(&THETA)?;
        if !shape.head_width().is_multiple_of(2) {
            return Err(knobs.refuse_kind(&format!(
                "RoPE rotates pairs, and a head is {} wide",
                shape.head_width()
            )));
        }
        let stretch = stretch(knobs, shape.head_width() / 2)?;
        let rotation = Rotation::new(theta, stretch, shape.head_width(), shape.context);
        Ok(Box::new(Rope(build.rotation(rotation))))
    }
}

/// Reads `scaling` and what it takes, silent where it is not said.
fn stretch(knobs: &Knobs, pairs: usize) -> Result<Stretch> {
    let word = knobs.given(&SCALING).then(|| knobs.read(&SCALING));
    match word.transpose()? {
        None | Some("none") => Ok(Stretch::None),
        Some("linear") => Ok(Stretch::Linear(knobs.read(&FACTOR)?)),
        Some("factors") => {
            let all = knobs.read_or(&FACTORS, vec![1.0; pairs])?;
            if all.len() != pairs {
                let why = format!("{} numbers, and a head has {pairs} pairs", all.len());
                return Err(knobs.refuse(&FACTORS, &why));
            }
            Ok(Stretch::Each(all))
        }
        Some(_) => {
            let (low, high) = (knobs.read(&LOW)?, knobs.read(&HIGH)?);
            if low >= high {
                let why = format!("it must be more than scaling_low, {low}");
                return Err(knobs.refuse(&HIGH, &why));
            }
            Ok(Stretch::Llama3 {
                factor: knobs.read(&FACTOR)?,
                low,
                high,
                original: knobs.read(&ORIGINAL)? as f64,
            })
        }
    }
}

struct Rope(Arc<Rotation>);

impl Position for Rope {
    fn rope(&self, offset: usize, time: usize, device: &Device) -> Result<Option<RopeTable>> {
        self.0.angles(offset, time, device).map(Some)
    }
}

impl PositionKind for NoneKind {
    fn settle(&self, _site: &Site, _build: &mut Build) -> Result<Box<dyn Position>> {
        Ok(Box::new(Nothing))
    }
}

struct Nothing;

impl Position for Nothing {}
