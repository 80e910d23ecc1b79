//! A settled layer of any kind: `[queries | keys | values]` by one product, perhaps a short convolution, gates, the state, a norm over
//! each head, perhaps a gate, and a product back.

use candle_core::{DType, Tensor};

use super::conv::Conv;
use super::gating::{self, Gating};
use super::projection::{Projected, Projection};
use crate::error::Result;
use crate::model::linear::{Linear, LinearSpec};
use crate::model::mixer::{Mixer, State};
use crate::model::param::{Init, ParamId, Role};
use crate::model::{Build, Pass, Shape, Span, Work};
use crate::ops::{Axes, Decay, Features, GatedNorm, LinearAxes, LinearInputs, WriteGate};

/// Tokens that are computed at once.
const CHUNK: usize = 64;

/// A short convolution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Taps {
    pub count: usize,
    pub bias: bool,
}

/// A gate of the output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct OutputGate {
    /// Whether it is made by matrices of a low rank.
    pub rank: Option<usize>,
}

/// What a kind sets the switches to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plan {
    pub heads: usize,
    pub key_heads: usize,
    pub key_width: usize,
    pub value_width: usize,
    pub decay: Decay,
    pub delta: bool,
    pub features: Features,
    pub scale: f64,
    pub taps: Option<Taps>,
    pub gating: Option<gating::Plan>,
    pub gate: Option<OutputGate>,
    pub norm: GatedNorm,
    /// Whether the norm is over all heads at once, with a gain for each channel.
    pub wide_norm: bool,
    /// Whether values pass by the state too, with a trained factor for each head.
    pub skip: bool,
    /// Whether queries and keys are rotated where the model rotates.
    pub rotates: bool,
}

impl Plan {
    /// Of windows of no token.
    fn axes(&self) -> LinearAxes {
        LinearAxes {
            batch: 0,
            time: 0,
            heads: self.heads,
            key_heads: self.key_heads,
            key_width: self.key_width,
            value_width: self.value_width,
            decay: self.decay,
            delta: self.delta,
            writes: self
                .gating
                .is_some_and(|plan| plan.gates.write != WriteGate::None),
            features: self.features,
            scale: self.scale,
            chunk: CHUNK,
        }
    }
}

/// A settled layer.
pub(super) struct Layer {
    plan: Plan,
    axes: LinearAxes,
    qkv: Box<dyn Linear>,
    conv: Option<Conv>,
    gating: Option<Gating>,
    skip: Option<ParamId>,
    gate: Option<Projection>,
    gain: ParamId,
    out: Box<dyn Linear>,
    /// Whether the factors of what passes by the state train, and whether the norm's gain does.
    trains: [bool; 2],
}

impl Layer {
    pub fn settle(plan: Plan, shape: &Shape, build: &mut Build) -> Result<Self> {
        let axes = plan.axes();
        let (keys, values) = (plan.key_heads * plan.key_width, axes.width());
        let qkv = build.linear(
            "qkv",
            LinearSpec {
                rows: &[keys, keys, values],
                inputs: shape.width,
                bias: shape.bias,
                start: shape.init_std,
            },
        )?;
        let channels = axes.packed_width();
        let conv = plan
            .taps
            .map(|taps| Conv::settle(taps.count, channels, taps.bias, build));
        let gating = plan.gating.map(|of| Gating::settle(of, shape, build));
        let skip = plan
            .skip
            .then(|| build.param("skip", &[plan.heads], Role::Gain, Init::Ones));
        let gate = plan.gate.map(|OutputGate { rank }| {
            let of = Projected {
                name: "gate",
                rows: &[values],
                rank,
                bias: shape.bias && rank.is_none(),
            };
            Projection::settle(of, shape, build)
        });
        let (gating, gate) = (gating.transpose()?, gate.transpose()?);
        let gain = match plan.wide_norm {
            true => build.param("norm_gain", &[values], Role::Gain, Init::Ones),
            false => build.of_all_heads("norm_gain", &[plan.value_width], Role::Gain, Init::Ones),
        };
        let out = build.linear(
            "out",
            LinearSpec {
                rows: &[shape.width],
                inputs: values,
                bias: shape.bias,
                start: shape.residual_std(),
            },
        )?;
        let trains = [skip.is_some_and(|id| build.trains(id)), build.trains(gain)];
        Ok(Self {
            plan,
            axes,
            qkv,
            conv,
            gating,
            skip,
            gate,
            gain,
            out,
            trains,
        })
    }

    fn axes(&self, pass: &Pass) -> LinearAxes {
        LinearAxes {
            batch: pass.batch,
            time: pass.time,
            ..self.axes
        }
    }

    /// Turns queries and keys by their places.
    fn rotated(&self, qkv: Tensor, pass: &Pass) -> Result<Tensor> {
        let Some(table) = pass.rope.filter(|_| self.plan.rotates) else {
            return Ok(qkv);
        };
        // Seen as attention sees its input: what is turned are the heads that are no values.
        let of_values = self.axes.width() / self.plan.key_width;
        let axes = Axes {
            batch: pass.batch,
            time: pass.time,
            heads: 2 * self.plan.key_heads - of_values,
            kv_heads: of_values,
            head_width: self.plan.key_width,
            value_width: None,
            scale: None,
            window: None,
        };
        Ok(pass.ops.rope(&qkv, axes, table)?)
    }

    /// From the state's output to the layer's.
    fn end(&self, x_nc: &Tensor, y: &Tensor, pass: &Pass) -> Result<Tensor> {
        let gate = self.gate.as_ref().map(|gate| gate.forward(x_nc, pass));
        let gate = gate.transpose()?;
        let gain = &pass.weights[self.gain];
        let y = pass
            .ops
            .gated_norm(y, gate.as_ref(), gain, self.plan.norm)?;
        self.out.forward(&y, pass)
    }

    /// Whether a gradient is asked of what the state gives.
    fn state_learns(&self, span: Span) -> bool {
        let parts = [
            self.qkv.trains(),
            self.conv.as_ref().is_some_and(Conv::trains),
            self.gating.as_ref().is_some_and(Gating::trains),
            self.trains[0],
        ];
        span.learns || parts.contains(&true)
    }
}

impl Mixer for Layer {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let mut qkv = self.qkv.forward(x_nc, pass)?;
        if let Some(conv) = &self.conv {
            qkv = conv.forward(&qkv, pass)?;
        }
        let qkv = self.rotated(qkv, pass)?;
        let gates = self
            .gating
            .as_ref()
            .map(|gating| gating.forward(x_nc, pass));
        let gates = gates.transpose()?;
        let inputs = LinearInputs {
            qkv: &qkv,
            gates: gates.as_ref(),
            skip: self.skip.map(|id| &pass.weights[id]),
        };
        let y = pass.ops.linear_attention(inputs, self.axes(pass))?;
        self.end(x_nc, &y, pass)
    }

    fn advance(&self, x_nc: &Tensor, pass: &Pass, state: &mut State) -> Result<Tensor> {
        let mut held = std::mem::take(&mut state.0).into_iter();
        let heads = pass.batch * self.plan.heads;
        let matrix = match held.next() {
            Some(matrix) => matrix,
            None => {
                let shape = (heads, self.plan.key_width, self.plan.value_width);
                Tensor::zeros(shape, DType::F32, x_nc.device())?
            }
        };
        let mut last = held.next();
        let mut qkv = self.qkv.forward(x_nc, pass)?;
        if let Some(conv) = &self.conv {
            qkv = conv.advance(&qkv, pass, &mut last)?;
        }
        let qkv = self.rotated(qkv, pass)?;
        let gates = self
            .gating
            .as_ref()
            .map(|gating| gating.forward(x_nc, pass));
        let gates = gates.transpose()?;
        let inputs = LinearInputs {
            qkv: &qkv,
            gates: gates.as_ref(),
            skip: self.skip.map(|id| &pass.weights[id]),
        };
        let axes = self.axes(pass);
        let [y, matrix] = pass.ops.linear_attention_after(inputs, &matrix, axes)?;
        state.0 = [Some(matrix), last].into_iter().flatten().collect();
        self.end(x_nc, &y, pass)
    }

    fn work(&self, span: Span) -> Work {
        let learns = self.state_learns(span);
        let products = match span.seen {
            0 => self.axes.products(span.new as usize),
            _ => self.axes.products_after(span.new as usize),
        };
        let of_all = |products: u64| 2 * self.plan.heads as u64 * products;
        let state = Work {
            forward: of_all(products.forward),
            backward: if learns { of_all(products.backward) } else { 0 },
            full_square: 3 * of_all(products.square),
        };
        let gating = self.gating.as_ref();
        let gate = self.gate.as_ref();
        let gate_trains = gate.is_some_and(Projection::trains);
        let beside = [
            gating.map(|gating| gating.work(span.new, span.learns)),
            gate.map(|gate| gate.work(span.new, span.learns)),
        ];
        self.qkv.work(span.new, span.learns)
            + beside.into_iter().flatten().sum()
            + state
            + self
                .out
                .work(span.new, learns || gate_trains || self.trains[1])
    }

    /// The same however many tokens were seen.
    fn state_scalars(&self, _tokens: usize) -> u64 {
        let of_conv = self.conv.as_ref().map_or(0, Conv::state);
        (self.plan.heads * self.axes.state() + of_conv) as u64
    }
}
