//! Causal multi-head attention, grouped-query where `model.kv_heads` is smaller than `model.heads`; over all earlier tokens or
//! over a window of the last.
//!
//! softmax(Q K^T / sqrt(D)) V per head (Vaswani et al. 2017, eq. 1; grouped queries: Ainslie et al. 2023). Q, K and V come
//! from one packed projection (B*T, (H + 2 KV) * D). A window of w tokens leaves the query at t the keys from t - w + 1 to t
//! (Beltagy et al. 2020, section 3.1), so that L such layers see L (w - 1) + 1 tokens; decoding keeps w of them.
//!
//! With `qk_norm`, queries and keys go through an RMSNorm head by head, before they are rotated, with a trained gain for all query
//! heads and one for all key heads: scores are then bounded, at most sqrt(D) at the start (Henry et al. 2020, arXiv 2010.04245,
//! normalise by length; Dehghani et al. 2023, arXiv 2302.05442, section 2, by LayerNorm; RMSNorm as in Qwen3, arXiv 2505.09388).
//! Or all query heads together and all key heads together, a gain for each number (OLMo 2, arXiv 2501.00656).
//!
//! A layer with a `theta` of its own rotates by it, whatever the model's positions are: windows and all earlier tokens may then be
//! told apart by different wavelengths (Gemma 3, arXiv 2503.19786, section 2).
//!
//! With a `gate`, what the heads bring is multiplied by sigmoid(W x) before the last product, number by number or head by head (Qiu
//! et al. 2025, arXiv 2505.06708, equation 5; behind the last product a gate does nothing): a head may then bring nothing. With a
//! `sink`, each head has a trained logit z, 0 at the start, whose exp(z) is added to the sum under the softmax (gpt-oss, arXiv
//! 2508.10925): attention may then go nowhere.

use std::sync::Arc;

use candle_core::{D, Tensor};

use super::cache::{in_order, keep};
use super::token_values::{TokenValues, VALUE_EMBEDDING};
use super::{Mixer, MixerKind, State};
use crate::config::knob::{Flag, Number, Whole, Word};
use crate::config::{Declarations, Knob, Named};
use crate::error::Result;
use crate::model::linear::{Linear, LinearSpec};
use crate::model::param::{Init, ParamId, Role};
use crate::model::rotation::{Rotation, Stretch};
use crate::model::{Build, Pass, Shape, Site, Span, Work};
use crate::ops::{Axes, Cached, Gate};

const QK_NORM: Knob<Flag> = Knob::flag(
    "qk_norm",
    "Whether queries and keys are brought to unit size, head by head, by an RMSNorm with trained gains.",
)
.default(false);
const QK_NORM_OVER: Knob<Word> = Knob::word(
    "qk_norm_over",
    "What that norm brings to unit size: each head by itself, or all query heads together and all key heads together.",
    &["head", "projection"],
)
.default("head");
const QK_NORM_EPS: Knob<Number> = Knob::number(
    "qk_norm_eps",
    "Added to the mean square of a query or key in that norm.",
)
.within(0.0, 1.0)
.default(1e-6);
const GATE: Knob<Word> = Knob::word(
    "gate",
    "Sigmoid gates of the token on what its heads bring, before the last product: one of each number, one of each head, or none.",
    &["none", "head", "elementwise"],
)
.default("none");
const SINK: Knob<Flag> = Knob::flag(
    "sink",
    "Whether each head has a trained logit beside its scores that takes a share of the softmax and brings nothing.",
)
.default(false);
const QKV_BIAS: Knob<Flag> = Knob::flag(
    "qkv_bias",
    "Whether queries, keys and values have a bias, whatever the other products have.",
)
.follows("model.bias");
const THETA: Knob<Number> = Knob::number(
    "theta",
    "Base of the wavelengths by which this layer's queries and keys are rotated, whatever model.position says.",
)
.within(1.0, 1e9)
.follows("as model.position says");
const SCORE_SCALE: Knob<Number> = Knob::number(
    "score_scale",
    "What products of queries and keys are multiplied by before the softmax.",
)
.within(0.0, 1e6)
.follows("1 over the square root of a head's channels, or model.scaling's");
const WINDOW: Knob<Whole> = Knob::count(
    "window",
    "Tokens that a token sees, itself the last of them.",
)
.unit("tokens")
.follows("a quarter of model.context");

/// Row of the catalog: `attention` or `sliding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Over all earlier tokens.
    Full,
    /// Over the last of them.
    Sliding,
}

impl Named for Kind {
    fn name(&self) -> &'static str {
        match self {
            Kind::Full => "attention",
            Kind::Sliding => "sliding",
        }
    }
    fn about(&self) -> &'static str {
        match self {
            Kind::Full => {
                "causal softmax attention over all earlier tokens (Vaswani et al. 2017); grouped-query with model.kv_heads (Ainslie et al. 2023)"
            }
            Kind::Sliding => {
                "causal softmax attention over a window of the last tokens, a quarter of the context unless `window` says otherwise (Beltagy et al. 2020)"
            }
        }
    }
    fn knobs(&self) -> Declarations {
        match self {
            Kind::Full => &[
                &QKV_BIAS,
                &QK_NORM,
                &QK_NORM_OVER,
                &QK_NORM_EPS,
                &THETA,
                &SCORE_SCALE,
                &GATE,
                &SINK,
                &VALUE_EMBEDDING,
            ],
            Kind::Sliding => &[
                &WINDOW,
                &QKV_BIAS,
                &QK_NORM,
                &QK_NORM_OVER,
                &QK_NORM_EPS,
                &THETA,
                &SCORE_SCALE,
                &GATE,
                &SINK,
                &VALUE_EMBEDDING,
            ],
        }
    }
    fn family(&self) -> &'static str {
        "attention"
    }
}

impl MixerKind for Kind {
    fn settle(&self, site: &Site, build: &mut Build) -> Result<Box<dyn Mixer>> {
        let shape = site.shape;
        let (c, d) = (shape.width, shape.head_width());
        let (q, kv) = (shape.heads * d, shape.kv_heads * d);
        let window = match self {
            Kind::Full => None,
            Kind::Sliding => Some(site.knobs.read_or(&WINDOW, (shape.context / 4).max(1))?),
        };
        let qkv = build.linear(
            "qkv",
            LinearSpec {
                rows: &[q, kv, kv],
                inputs: c,
                bias: site.knobs.if_given(&QKV_BIAS)?.unwrap_or(shape.bias),
                start: shape.init_std,
            },
        )?;
        let qk_norm = QkNorm::settle(site, build)?;
        let rotation = rotation(site, build)?;
        let own_scale = site.knobs.if_given(&SCORE_SCALE)?;
        let token_values = TokenValues::settle(site, build)?;
        let sinks = sinks(site, build)?;
        let gate = gate(site, build)?;
        let out = build.linear(
            "out",
            LinearSpec {
                rows: &[c],
                inputs: q,
                bias: shape.bias,
                start: shape.residual_std(),
            },
        )?;
        Ok(Box::new(Attention {
            shape: shape.clone(),
            window,
            qkv,
            qk_norm,
            rotation,
            scale: own_scale.or(shape.scaling.score_scale(d)),
            token_values,
            sinks,
            gate,
            out,
        }))
    }
}

struct Attention {
    shape: Shape,
    /// Tokens that a query sees; `None` is all.
    window: Option<usize>,
    qkv: Box<dyn Linear>,
    qk_norm: Option<QkNorm>,
    /// Of this layer alone, in place of the model's.
    rotation: Option<Arc<Rotation>>,
    /// On scores; `None` is 1 / sqrt(D).
    scale: Option<f64>,
    token_values: Option<TokenValues>,
    /// Of each query head, and whether they train.
    sinks: Option<(ParamId, bool)>,
    /// To the gates' logits.
    gate: Option<Box<dyn Linear>>,
    out: Box<dyn Linear>,
}

/// Reads `theta`, silent where it is not said.
fn rotation(site: &Site, build: &mut Build) -> Result<Option<Arc<Rotation>>> {
    let Some(theta) = site.knobs.if_given(&THETA)? else {
        return Ok(None);
    };
    let (d, context) = (site.shape.head_width(), site.shape.context);
    if !d.is_multiple_of(2) {
        let why = format!("pairs are rotated, and a head is {d} wide");
        return Err(site.knobs.refuse(&THETA, &why));
    }
    let own = Rotation::new(theta, Stretch::None, d, context);
    Ok(Some(build.rotation(own)))
}

/// Reads `sink`, silent where it is not said.
fn sinks(site: &Site, build: &mut Build) -> Result<Option<(ParamId, bool)>> {
    if !site.knobs.given(&SINK) || !site.knobs.read(&SINK)? {
        return Ok(None);
    }
    let of_heads = build.param("sinks", &[site.shape.heads], Role::Bias, Init::Zeros);
    Ok(Some((of_heads, build.trains(of_heads))))
}

/// Reads `gate`, silent where it is not said.
fn gate(site: &Site, build: &mut Build) -> Result<Option<Box<dyn Linear>>> {
    let shape = site.shape;
    let word = site.knobs.given(&GATE).then(|| site.knobs.read(&GATE));
    let gates = match word.transpose()? {
        None | Some("none") => return Ok(None),
        Some("head") => shape.heads,
        Some(_) => shape.heads * shape.head_width(),
    };
    let spec = LinearSpec {
        rows: &[gates],
        inputs: shape.width,
        bias: shape.bias,
        start: shape.init_std,
    };
    build.linear("gate", spec).map(Some)
}

/// The norm of queries and keys.
struct QkNorm {
    /// Of queries and of keys.
    gains: [ParamId; 2],
    trains: bool,
    /// Whether of all heads together.
    together: bool,
    eps: f64,
}

impl QkNorm {
    /// Reads `qk_norm`, silent where it is not said.
    fn settle(site: &Site, build: &mut Build) -> Result<Option<Self>> {
        let over = site.knobs.if_given(&QK_NORM_OVER)?;
        if !site.knobs.given(&QK_NORM) || !site.knobs.read(&QK_NORM)? {
            return Ok(None);
        }
        let (shape, d) = (site.shape, site.shape.head_width());
        let together = over == Some("projection");
        let of = [("q_gain", shape.heads), ("k_gain", shape.kv_heads)];
        let gains = of.map(|(name, heads)| match together {
            true => build.param(name, &[heads * d], Role::Gain, Init::Ones),
            false => build.of_all_heads(name, &[d], Role::Gain, Init::Ones),
        });
        Ok(Some(Self {
            gains,
            trains: gains.iter().any(|gain| build.trains(*gain)),
            together,
            eps: site.knobs.read(&QK_NORM_EPS)?,
        }))
    }

    /// Queries and keys of the packed input at unit size, values as they are.
    fn forward(&self, qkv: &Tensor, axes: Axes, pass: &Pass) -> Result<Tensor> {
        let gains = self.gains.map(|gain| &pass.weights[gain]);
        if !self.together {
            return Ok(pass.ops.head_norm(qkv, gains, axes, self.eps)?);
        }
        let (q, k) = (axes.heads * axes.head_width, axes.before_values());
        let normed = |from: usize, to: usize, gain: &Tensor| {
            let part = qkv.narrow(1, from, to - from)?.contiguous()?;
            pass.ops.rms_norm(&part, gain, self.eps)
        };
        let parts = [
            normed(0, q, gains[0])?,
            normed(q, k, gains[1])?,
            qkv.narrow(1, k, axes.packed_width() - k)?,
        ];
        Ok(Tensor::cat(&parts, D::Minus1)?)
    }
}

impl Attention {
    fn axes(&self, pass: &Pass) -> Axes {
        Axes {
            batch: pass.batch,
            time: pass.time,
            heads: self.shape.heads,
            kv_heads: self.shape.kv_heads,
            head_width: self.shape.head_width(),
            value_width: None,
            scale: self.scale,
            window: self.window,
        }
    }

    fn project(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let mut qkv = self.qkv.forward(x_nc, pass)?;
        if let Some(norm) = &self.qk_norm {
            qkv = norm.forward(&qkv, self.axes(pass), pass)?;
        }
        if let Some(values) = &self.token_values {
            qkv = values.add(x_nc, &qkv, self.axes(pass), pass)?;
        }
        let own = self.rotation.as_ref();
        let own = own.map(|own| own.angles(pass.offset, pass.time, qkv.device()));
        match own.transpose()?.as_ref().or(pass.rope) {
            Some(table) => Ok(pass.ops.rope(&qkv, self.axes(pass), table)?),
            None => Ok(qkv),
        }
    }

    /// The trained logits beside the scores, if there are any.
    fn sinks<'a>(&self, pass: &'a Pass) -> Option<&'a Tensor> {
        self.sinks.map(|(sinks, _)| &pass.weights[sinks])
    }

    /// From what the heads bring to what the mixer gives.
    fn end(&self, x_nc: &Tensor, y: Tensor, pass: &Pass) -> Result<Tensor> {
        let y = match &self.gate {
            Some(gate) => pass.ops.unaided(&Gate, [&y, &gate.forward(x_nc, pass)?])?,
            None => y,
        };
        self.out.forward(&y, pass)
    }

    /// Of so many tokens those that decoding keeps.
    fn room(&self, tokens: usize) -> usize {
        self.window.map_or(tokens, |window| window.min(tokens))
    }

    /// Keys (0) or values (1) of the packed input, (B x KV, T, D).
    fn heads(&self, qkv: &Tensor, which: usize, pass: &Pass) -> Result<Tensor> {
        let (b, t, d) = (pass.batch, pass.time, self.shape.head_width());
        let (h, g) = (self.shape.heads, self.shape.kv_heads);
        let part = qkv.narrow(1, (h + which * g) * d, g * d)?;
        let part = part.reshape((b, t, g, d))?.transpose(1, 2)?;
        Ok(part.contiguous()?.reshape((b * g, t, d))?)
    }

    /// Of new tokens over those that the caches hold, which take the new ones in.
    fn over_caches(&self, qkv: &Tensor, pass: &Pass, caches: &[Tensor]) -> Result<Tensor> {
        let (axes, seen) = (self.axes(pass), pass.offset + pass.time);
        let room = self.room(pass.room);
        let new = [self.heads(qkv, 0, pass)?, self.heads(qkv, 1, pass)?];
        let store = || -> Result<()> {
            let mut both = caches.iter().zip(&new);
            both.try_for_each(|(cache, new)| Ok(keep(cache, new, pass.offset)?))
        };
        let over = |keys: &Tensor, values: &Tensor, offset: usize, axes: Axes| {
            let cached = Cached {
                keys,
                values: Some(values),
                sinks: self.sinks(pass),
                offset,
            };
            Ok(pass.ops.cached_attention(qkv, cached, axes)?)
        };
        if pass.offset == 0 {
            store()?;
            return Ok(pass.ops.attention_with(qkv, self.sinks(pass), axes)?);
        }
        if seen <= room {
            store()?;
            return over(&caches[0], &caches[1], pass.offset, axes);
        }
        if pass.time == 1 {
            // The ring is full: every key in it is one that the token sees, in whatever order.
            store()?;
            let all = Axes {
                window: None,
                ..axes
            };
            return over(&caches[0], &caches[1], room - 1, all);
        }
        // The first of several new tokens sees what the last of them would write over.
        let whole = |which: usize| -> Result<Tensor> {
            let held = in_order(&caches[which], pass.offset)?;
            let new = new[which].to_dtype(held.dtype())?;
            Ok(Tensor::cat(&[&held, &new], 1)?)
        };
        let (keys, values) = (whole(0)?, whole(1)?);
        let y = over(&keys, &values, pass.offset.min(room), axes)?;
        store()?;
        Ok(y)
    }
}

impl Mixer for Attention {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let qkv = self.project(x_nc, pass)?;
        let sinks = self.sinks(pass);
        let y = pass.ops.attention_with(&qkv, sinks, self.axes(pass))?;
        self.end(x_nc, y, pass)
    }

    fn advance(&self, x_nc: &Tensor, pass: &Pass, state: &mut State) -> Result<Tensor> {
        let qkv = self.project(x_nc, pass)?;
        if state.0.is_empty() {
            let heads = pass.batch * self.shape.kv_heads;
            let room = (heads, self.room(pass.room), self.shape.head_width());
            let dtype = pass.weights.of_cache(qkv.dtype());
            let empty = || Tensor::zeros(room, dtype, qkv.device());
            state.0 = vec![empty()?, empty()?];
        }
        let y = self.over_caches(&qkv, pass, &state.0)?;
        self.end(x_nc, y, pass)
    }

    fn work(&self, span: Span) -> Work {
        let channels = (self.shape.heads * self.shape.head_width()) as u64;
        let window = self.window.map(|window| window as u64);
        let normed = self.qk_norm.as_ref().is_some_and(|norm| norm.trains);
        let sinks = self.sinks.is_some_and(|(_, trains)| trains);
        let values = self.token_values.as_ref();
        let of_tokens = values.is_some_and(TokenValues::trains);
        let learns = span.learns || self.qkv.trains() || normed || of_tokens || sinks;
        let gated = self.gate.as_ref().is_some_and(|gate| gate.trains());
        let gate = self.gate.iter();
        let gate: Work = gate.map(|gate| gate.work(span.new, span.learns)).sum();
        let (pairs, square) = (span.pairs(window), span.square(window));
        self.qkv.work(span.new, span.learns)
            + values.map_or_else(Work::default, |values| values.work(span))
            + Work::of_attention(pairs, square, channels, learns)
            + gate
            + self.out.work(span.new, learns || gated)
    }

    fn state_scalars(&self, tokens: usize) -> u64 {
        let of_token = 2 * self.shape.kv_heads * self.shape.head_width();
        (self.room(tokens) * of_token) as u64
    }

    fn keeps_by_place(&self, tokens: usize) -> bool {
        self.room(tokens) == tokens
    }
}
