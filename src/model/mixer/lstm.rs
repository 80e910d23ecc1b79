//! A layer of long short-term memory (Hochreiter and Schmidhuber 1997): gates of the token and of the layer's last output decide what
//! each channel's cell forgets, takes in and shows. Order and names of the gates as in PyTorch: i, f, g, o.
//!
//! The forget gate's bias starts at `forget_bias`, by a constant beside the trained one (Gers et al. 2000; Jozefowicz et al. 2015
//! find 1 to matter more than any change of the layer). The four recurrent matrices start orthogonal (Saxe et al. 2013), so that what
//! is carried neither grows nor fades. Windows begin with nothing: no state is carried from one to the next.

use candle_core::Tensor;

use super::{Mixer, MixerKind, State};
use crate::config::knob::Number;
use crate::config::{Declarations, Knob, Named};
use crate::error::Result;
use crate::model::linear::{Linear, LinearSpec};
use crate::model::param::{Init, ParamId, Role};
use crate::model::{Build, Pass, Site, Span, Work};
use crate::ops::Lstm;

const FORGET_BIAS: Knob<Number> = Knob::number(
    "forget_bias",
    "Added to what the forget gate gets, beside its trained bias: how long cells remember at the start.",
)
.within(-10.0, 10.0)
.default(1.0);

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "lstm"
    }
    fn about(&self) -> &'static str {
        "long short-term memory: gates of a token and of the last output decide what cells keep (Hochreiter & Schmidhuber 1997)"
    }
    fn knobs(&self) -> Declarations {
        &[&FORGET_BIAS]
    }
}

impl MixerKind for Kind {
    fn settle(&self, site: &Site, build: &mut Build) -> Result<Box<dyn Mixer>> {
        let (shape, c) = (site.shape, site.shape.width);
        let input = build.linear(
            "input",
            LinearSpec {
                rows: &[c; 4],
                inputs: c,
                bias: shape.bias,
                start: shape.init_std,
            },
        )?;
        let start = Init::Orthogonal;
        let recurrent = build.stacked("recurrent", &[4 * c, c], Role::Matrix, start, &[c; 4]);
        Ok(Box::new(Layer {
            width: c,
            forget: site.knobs.read(&FORGET_BIAS)?,
            input,
            trains: build.trains(recurrent),
            recurrent,
        }))
    }
}

struct Layer {
    width: usize,
    forget: f64,
    input: Box<dyn Linear>,
    recurrent: ParamId,
    /// Of the recurrent weights.
    trains: bool,
}

impl Layer {
    /// Outputs (B*T, C) and last cells (B, C), of z (B*T, 4 C).
    fn run(&self, z: &Tensor, cells: Option<&Tensor>, pass: &Pass) -> Result<(Tensor, Tensor)> {
        let unpacked = match pass.weights.packed(self.recurrent) {
            Some(packed) if pass.time > 1 => Some(packed.unpacked()?),
            _ => None,
        };
        let weights = unpacked.as_ref().unwrap_or(&pass.weights[self.recurrent]);
        let lstm = Lstm {
            time: pass.time,
            forget: self.forget,
        };
        Ok(pass.ops.lstm(z, weights, cells, lstm)?)
    }

    /// z with the product of each window's last output, (B, C), in its first token's.
    fn continued(&self, z: &Tensor, before: &Tensor, pass: &Pass) -> Result<Tensor> {
        let given = pass.product(before, self.recurrent, None)?;
        let (b, t) = (pass.batch, pass.time);
        if t == 1 {
            return Ok(pass.ops.add(z, &given)?);
        }
        let z = z.reshape((b, t, 4 * self.width))?;
        let first = (z.narrow(1, 0, 1)? + given.unsqueeze(1)?)?;
        let all = Tensor::cat(&[&first, &z.narrow(1, 1, t - 1)?], 1)?;
        Ok(all.reshape((b * t, 4 * self.width))?)
    }
}

impl Mixer for Layer {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let z = self.input.forward(x_nc, pass)?;
        Ok(self.run(&z, None, pass)?.0)
    }

    fn advance(&self, x_nc: &Tensor, pass: &Pass, state: &mut State) -> Result<Tensor> {
        let (b, t, c) = (pass.batch, pass.time, self.width);
        let mut z = self.input.forward(x_nc, pass)?;
        if let Some(before) = state.0.first() {
            z = self.continued(&z, before, pass)?;
        }
        let (y, cells) = self.run(&z, state.0.get(1), pass)?;
        let last = y.reshape((b, t, c))?.narrow(1, t - 1, 1)?.squeeze(1)?;
        state.0 = vec![last.contiguous()?, cells];
        Ok(y)
    }

    /// The recurrent product is made for every token but a window's first, before which there is no output.
    fn work(&self, span: Span) -> Work {
        let steps = if span.seen == 0 {
            span.new.saturating_sub(1)
        } else {
            span.new
        };
        let multiply_adds = steps * 4 * (self.width * self.width) as u64;
        let learns = span.learns || self.input.trains() || self.trains;
        self.input.work(span.new, span.learns)
            + Work::of_product(multiply_adds, learns, self.trains)
    }

    fn state_scalars(&self, _tokens: usize) -> u64 {
        2 * self.width as u64
    }
}
