//! How a model knows where a token stands: added to the embedding (learned, sinusoidal), turned into queries and keys
//! (RoPE), or not at all.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};

use super::{Build, Pass, Site};
use crate::config::knob::Number;
use crate::config::{Declarations, Knob, Named};
use crate::error::Result;
use crate::model::param::{Init, ParamId, Role};
use crate::ops::RopeTable;

/// A settled position encoding.
pub trait Position: Send + Sync {
    /// Adds what it adds to the embeddings of positions `pass.offset..`; (B*T, C) to the same shape.
    fn embed(&self, x_nc: Tensor, _flow: &Pass) -> Result<Tensor> {
        Ok(x_nc)
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
        &[&THETA]
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
        }))
    }
}

struct Learned {
    table: ParamId,
}

impl Position for Learned {
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
        let table = match kept
            .take()
            .filter(|table| table.device().same_device(x_nc.device()))
        {
            Some(table) => table,
            None => self.waves(x_nc.device())?,
        };
        let table = kept.insert(table).narrow(0, pass.offset, pass.time)?;
        Ok(pass.ops.add_positions(&x_nc, &table, pass.time)?)
    }
}

impl Sinusoidal {
    /// (context, C).
    fn waves(&self, device: &Device) -> Result<Tensor> {
        let angle = |t: usize, c: usize| {
            let even = (c / 2 * 2) as f64;
            let angle = t as f64 / 10_000f64.powf(even / self.width as f64);
            if c.is_multiple_of(2) {
                angle.sin()
            } else {
                angle.cos()
            }
        };
        let rows = (0..self.context).flat_map(|t| (0..self.width).map(move |c| angle(t, c) as f32));
        Ok(Tensor::from_vec(
            rows.collect::<Vec<_>>(),
            (self.context, self.width),
            device,
        )?)
    }
}

impl PositionKind for RopeKind {
    fn settle(&self, site: &Site, _build: &mut Build) -> Result<Box<dyn Position>> {
        let (knobs, shape) = (&site.knobs, site.shape);
        let theta = knobs.read(&THETA)?;
        if !shape.head_width().is_multiple_of(2) {
            return Err(knobs.refuse_kind(&format!(
                "RoPE rotates pairs, and a head is {} wide",
                shape.head_width()
            )));
        }
        let (head_width, context) = (shape.head_width(), shape.context);
        Ok(Box::new(Rope {
            theta,
            head_width,
            context,
            table: Mutex::new(None),
        }))
    }
}

struct Rope {
    theta: f64,
    head_width: usize,
    context: usize,
    /// Of the whole context, on the device that asked last: its cosines would take as long as a small model's step.
    table: Mutex<Option<RopeTable>>,
}

impl Position for Rope {
    fn rope(&self, offset: usize, time: usize, device: &Device) -> Result<Option<RopeTable>> {
        let mut kept = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let table = match kept.take().filter(|table| table.is_on(device)) {
            Some(table) => table,
            None => RopeTable::new(
                self.context,
                0,
                self.head_width,
                self.theta,
                DType::F32,
                device,
            )?,
        };
        Ok(Some(kept.insert(table).slice(offset, time)?))
    }
}

impl PositionKind for NoneKind {
    fn settle(&self, _site: &Site, _build: &mut Build) -> Result<Box<dyn Position>> {
        Ok(Box::new(Nothing))
    }
}

struct Nothing;

impl Position for Nothing {}
