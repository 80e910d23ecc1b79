//! Multi-head latent attention (DeepSeek-AI 2024, DeepSeek-V2, arXiv 2405.04434, section 2.1; as in DeepSeek-V3, arXiv 2412.19437,
//! equations 1 to 11): keys and values of all heads are made of one short vector of each token, and that is all that is kept of it.
//!
//! ```text
//! c = norm(W_down x)   k_h = [W_uk,h c, RoPE(W_kr x)]   v_h = W_uv,h c          (W_kr x: one part for all heads)
//! q_h = [W_q,h x, RoPE(W_qr,h x)]                       y = W_o [sum_j softmax(q_h . k_h,j / sqrt(D + R)) v_h,j]
//! ```
//!
//! Whole windows make keys and values. Decoding does not (the absorbed form): `q_h . W_uk,h c = (W_uk,h^T q_h) . c`, so that all
//! heads look at the same [c, RoPE(W_kr x)], and the values of a head are made once, of its mean of c. That is D times the work for a
//! token that is seen, and c + R numbers to keep for it, where attention has 2 D for each key head.
//!
//! Only the rotated parts know where a token stands; they are rotated whatever `model.position` is, half against half where DeepSeek
//! turns neighbours. As in its files, nothing but the last product has a bias.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};

use super::cache::keep;
use super::{Mixer, MixerKind, State};
use crate::config::knob::{Number, Whole};
use crate::config::{Declarations, Knob, Named};
use crate::error::Result;
use crate::model::linear::{Linear, LinearSpec};
use crate::model::param::{Init, ParamId, Role};
use crate::model::rotation::places;
use crate::model::{Build, Pass, Shape, Site, Span, Work};
use crate::ops::{Axes, Cached, LatentAxes, LatentHeads, RopeTable};

const HEAD_WIDTH: Knob<Whole> = Knob::count(
    "head_width",
    "Numbers of a head's query and key that are not rotated, and of its value.",
)
.within(1, 1 << 12)
.follows("the width over model.heads");
const LATENT: Knob<Whole> = Knob::count(
    "latent",
    "Numbers that keys and values of all heads are made of: with the rotated ones what is kept of a token.",
)
.within(1, 1 << 16)
.follows("twice the head width");
const ROTARY: Knob<Whole> = Knob::whole(
    "rotary",
    "Further numbers of a head's query and key that are rotated by position, those of keys the same for all heads; even.",
)
.within(0, 1 << 12)
.follows("half the head width, made even");
const QUERY_LATENT: Knob<Whole> = Knob::whole(
    "query_latent",
    "Numbers that queries of all heads are made of; 0 makes them of the stream itself.",
)
.within(0, 1 << 16)
.default(0);
const THETA: Knob<Number> = Knob::number("theta", "Base of the rotation's wavelengths.")
    .within(1.0, 1e9)
    .default(10_000.0);
const EPS: Knob<Number> = Knob::number("eps", "Added to the mean square of a latent in its norm.")
    .within(0.0, 1.0)
    .default(1e-6);

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "mla"
    }
    fn about(&self) -> &'static str {
        "attention whose keys and values are made of one short vector of each token, which is all that decoding keeps (DeepSeek-V2 2024)"
    }
    fn knobs(&self) -> Declarations {
        &[&HEAD_WIDTH, &LATENT, &ROTARY, &QUERY_LATENT, &THETA, &EPS]
    }
    fn family(&self) -> &'static str {
        "attention"
    }
}

impl MixerKind for Kind {
    fn settle(&self, site: &Site, build: &mut Build) -> Result<Box<dyn Mixer>> {
        let (shape, knobs) = (site.shape, &site.knobs);
        let d = knobs.read_or(&HEAD_WIDTH, shape.head_width())?;
        let latent = knobs.read_or(&LATENT, 2 * d)?;
        let rotary = knobs.read_or(&ROTARY, 2 * (d / 4).max(1))?;
        if !rotary.is_multiple_of(2) {
            return Err(knobs.refuse(&ROTARY, "pairs are rotated, so it must be even"));
        }
        let query_latent = knobs.read(&QUERY_LATENT)?;
        let (theta, eps) = (knobs.read(&THETA)?, knobs.read(&EPS)?);
        let sizes = Sizes {
            heads: shape.heads,
            d,
            rotary,
            latent,
            // Where muP scales the scores of heads of D, it does so here.
            scale: shape
                .scaling
                .score_scale(d)
                .map(|scale| scale * (d as f64 / (d + rotary) as f64).sqrt()),
        };
        let query = Query::settle(shape, sizes, (query_latent, eps), build)?;
        let down = build.linear("kv_down", plain(&[latent], shape.width, shape.init_std))?;
        let gain = build.param("kv_gain", &[latent], Role::Gain, Init::Ones);
        let rotated = match rotary {
            0 => None,
            rows => {
                let rows = [rows];
                let spec = plain(&rows, shape.width, shape.init_std);
                Some(build.linear("k_rotary", spec)?)
            }
        };
        let up = build.stacked(
            "kv_up",
            &[2 * shape.heads * d, latent],
            Role::Matrix,
            Init::Normal(shape.init_std * fan_in(shape.width, latent)),
            &[shape.heads * d, shape.heads * d],
        );
        let out = LinearSpec {
            rows: &[shape.width],
            inputs: shape.heads * d,
            bias: shape.bias,
            start: shape.residual_std(),
        };
        Ok(Box::new(Latent {
            sizes,
            context: shape.context,
            query,
            latent_trains: down.trains() || build.trains(gain),
            down,
            gain,
            eps,
            rotated,
            up_trains: build.trains(up),
            up,
            out: build.linear("out", out)?,
            theta,
            table: Mutex::new(None),
        }))
    }
}

/// What a start is multiplied by where `inputs` numbers of unit size come in instead of `width`.
fn fan_in(width: usize, inputs: usize) -> f64 {
    (width as f64 / inputs as f64).sqrt()
}

/// A product without bias.
fn plain(rows: &[usize], inputs: usize, start: f64) -> LinearSpec<'_> {
    LinearSpec {
        rows,
        inputs,
        bias: false,
        start,
    }
}

/// Widths.
#[derive(Clone, Copy)]
struct Sizes {
    heads: usize,
    /// Numbers of a query, key or value that are not rotated.
    d: usize,
    /// Those of a query or key that are.
    rotary: usize,
    latent: usize,
    /// What scores are multiplied by; `None` is 1 / sqrt(D + R).
    scale: Option<f64>,
}

impl Sizes {
    fn of_query(self) -> usize {
        self.d + self.rotary
    }

    /// What is kept of a token.
    fn kept(self) -> usize {
        self.latent + self.rotary
    }

    fn packed(self, pass: &Pass) -> LatentAxes {
        LatentAxes {
            batch: pass.batch,
            time: pass.time,
            heads: self.heads,
            content: self.d,
            rotary: self.rotary,
            values: self.d,
            scale: self.scale,
        }
    }

    /// Of the absorbed form: one key for all heads, the latent and what is rotated, and the latent as its value.
    fn absorbed(self, pass: &Pass) -> Axes {
        let scale = self.scale;
        Axes {
            batch: pass.batch,
            time: pass.time,
            heads: self.heads,
            kv_heads: 1,
            head_width: self.kept(),
            value_width: Some(self.latent),
            scale: Some(scale.unwrap_or_else(|| (self.of_query() as f64).powf(-0.5))),
            window: None,
        }
    }
}

/// What queries are made of.
enum Query {
    /// The stream.
    Whole(Box<dyn Linear>),
    /// A latent of its own.
    Latent {
        down: Box<dyn Linear>,
        gain: ParamId,
        gain_trains: bool,
        eps: f64,
        up: Box<dyn Linear>,
    },
}

impl Query {
    fn settle(
        shape: &Shape,
        sizes: Sizes,
        (latent, eps): (usize, f64),
        build: &mut Build,
    ) -> Result<Self> {
        let (rows, std) = ([sizes.heads * sizes.of_query()], shape.init_std);
        if latent == 0 {
            let whole = build.linear("query", plain(&rows, shape.width, std))?;
            return Ok(Self::Whole(whole));
        }
        let down = build.linear("query_down", plain(&[latent], shape.width, std))?;
        let gain = build.param("query_gain", &[latent], Role::Gain, Init::Ones);
        let start = std * fan_in(shape.width, latent);
        Ok(Self::Latent {
            down,
            gain,
            gain_trains: build.trains(gain),
            eps,
            up: build.linear("query_up", plain(&rows, latent, start))?,
        })
    }

    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        match self {
            Self::Whole(query) => query.forward(x_nc, pass),
            Self::Latent {
                down,
                gain,
                eps,
                up,
                ..
            } => {
                let latent = down.forward(x_nc, pass)?;
                let latent = pass.ops.rms_norm(&latent, &pass.weights[*gain], *eps)?;
                up.forward(&latent, pass)
            }
        }
    }

    /// What it costs, and whether a gradient is asked of what comes out.
    fn work(&self, span: Span) -> (Work, bool) {
        match self {
            Self::Whole(query) => {
                let learns = span.learns || query.trains();
                (query.work(span.new, span.learns), learns)
            }
            Self::Latent {
                down,
                gain_trains,
                up,
                ..
            } => {
                let inner = span.learns || down.trains() || *gain_trains;
                let work = down.work(span.new, span.learns) + up.work(span.new, inner);
                (work, inner || up.trains())
            }
        }
    }
}

struct Latent {
    sizes: Sizes,
    context: usize,
    query: Query,
    down: Box<dyn Linear>,
    gain: ParamId,
    /// The product or the gain.
    latent_trains: bool,
    eps: f64,
    /// The part of keys that is rotated, where there is one.
    rotated: Option<Box<dyn Linear>>,
    /// (H D keys and behind them H D values, latent): a parameter rather than a `Linear`, since the absorbed form takes it head by head
    /// and the other way round.
    up: ParamId,
    up_trains: bool,
    out: Box<dyn Linear>,
    theta: f64,
    /// Of the whole context, on the device that asked last.
    table: Mutex<Option<RopeTable>>,
}

impl Latent {
    /// The rotation of these tokens' places.
    fn angles(&self, pass: &Pass, device: &Device) -> Result<RopeTable> {
        let mut kept = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let last = pass.offset + pass.time;
        let table = match kept.take().filter(|table| table.holds(last, device)) {
            Some(table) => table,
            None => {
                let (width, places) = (self.sizes.rotary, places(self.context, last));
                RopeTable::new(places, 0, width, self.theta, DType::F32, device)?
            }
        };
        Ok(kept.insert(table).slice(pass.offset, pass.time)?)
    }

    /// Queries (N, H (D + R)), normed latents (N, c) and the keys' part that is to be rotated (N, R).
    fn made(&self, x_nc: &Tensor, pass: &Pass) -> Result<[Tensor; 3]> {
        let latent = self.down.forward(x_nc, pass)?;
        let gain = &pass.weights[self.gain];
        let query = self.query.forward(x_nc, pass)?;
        let rotated = match &self.rotated {
            Some(rotated) => rotated.forward(x_nc, pass)?,
            None => Tensor::zeros((x_nc.dim(0)?, 0), query.dtype(), query.device())?,
        };
        let latent = pass.ops.rms_norm(&latent, gain, self.eps)?;
        Ok([query, latent, rotated])
    }

    /// Heads of whole windows, packed for attention.
    fn packed(&self, [query, latent, rotated]: &[Tensor; 3], pass: &Pass) -> Result<Tensor> {
        let kv = pass.product(latent, self.up, None)?;
        let angles = self.angles(pass, query.device())?;
        let (inputs, axes) = ([query, &kv, rotated], self.sizes.packed(pass));
        Ok(pass.ops.unaided(&LatentHeads(axes, &angles), inputs)?)
    }

    /// What is kept of new tokens, (B, T, c + R), given their rotated part (N, R).
    fn kept(&self, latent: &Tensor, rotated: &Tensor, pass: &Pass) -> Result<Tensor> {
        let all = Tensor::cat(&[latent, rotated], 1)?;
        Ok(all.reshape((pass.batch, pass.time, self.sizes.kept()))?)
    }

    /// The rotated parts of queries (N, H, R) and of keys (N, R), of what is to be rotated.
    fn turned(&self, query: &Tensor, rotated: &Tensor, pass: &Pass) -> Result<[Tensor; 2]> {
        let Sizes { heads, rotary, .. } = self.sizes;
        let rows = query.dim(0)?;
        if rotary == 0 {
            return Ok([query.clone(), rotated.clone()]);
        }
        let axes = Axes {
            head_width: rotary,
            value_width: None,
            ..self.sizes.absorbed(pass)
        };
        // Values are not rotated, so that anything may stand in their place.
        let queries = query.reshape((rows, heads * rotary))?;
        let packed = Tensor::cat(&[&queries, rotated, rotated], 1)?;
        let angles = self.angles(pass, query.device())?;
        let packed = pass.ops.rope(&packed, axes, &angles)?;
        let queries = packed.narrow(1, 0, heads * rotary)?;
        let keys = packed.narrow(1, heads * rotary, rotary)?;
        Ok([queries.reshape((rows, heads, rotary))?, keys.contiguous()?])
    }

    /// The matrix that keys and values are made with, of keys (H, D, c) and of values (H, D, c).
    fn matrices(&self, dtype: DType, pass: &Pass) -> Result<[Tensor; 2]> {
        let up = match pass.weights.packed(self.up) {
            Some(packed) => packed.unpacked()?,
            None => pass.weights[self.up].to_dtype(dtype)?,
        };
        let Sizes {
            heads, d, latent, ..
        } = self.sizes;
        let part = |at: usize| up.narrow(0, at * heads * d, heads * d);
        Ok([
            part(0)?.reshape((heads, d, latent))?,
            part(1)?.reshape((heads, d, latent))?,
        ])
    }

    /// New tokens over what is kept of all, by the absorbed form: (N, H D).
    fn absorbed(&self, made: &[Tensor; 3], pass: &Pass, cache: &Tensor) -> Result<Tensor> {
        let [query, latent, rotated] = made;
        let sizes = self.sizes;
        let Sizes { heads, d, .. } = sizes;
        let (rows, width) = (query.dim(0)?, sizes.of_query());
        let [of_keys, of_values] = self.matrices(query.dtype(), pass)?;
        let query = query.reshape((rows, heads, width))?;
        let to_turn = query.narrow(2, d, sizes.rotary)?.contiguous()?;
        let [where_from, where_to] = self.turned(&to_turn, rotated, pass)?;
        let content = query.narrow(2, 0, d)?.transpose(0, 1)?.contiguous()?;
        let content = pass.ops.matmul(&content, &of_keys)?.transpose(0, 1)?;
        let query = Tensor::cat(&[&content.contiguous()?, &where_from], 2)?;
        let query = query.reshape((rows, heads * sizes.kept()))?;
        keep(cache, &self.kept(latent, &where_to, pass)?, pass.offset)?;
        let packed = Tensor::cat(&[&query, latent, &where_to, latent], 1)?;
        let over = Cached {
            keys: cache,
            values: None,
            sinks: None,
            offset: pass.offset,
        };
        let y = pass
            .ops
            .cached_attention(&packed, over, sizes.absorbed(pass))?;
        let y = y.reshape((rows, heads, sizes.latent))?.transpose(0, 1)?;
        let y = pass
            .ops
            .matmul(&y.contiguous()?, &of_values.transpose(1, 2)?)?;
        Ok(y.transpose(0, 1)?
            .contiguous()?
            .reshape((rows, heads * d))?)
    }
}

impl Mixer for Latent {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let packed = self.packed(&self.made(x_nc, pass)?, pass)?;
        let axes = self.sizes.packed(pass).packed();
        let y = pass.ops.causal_attention(&packed, axes)?;
        self.out.forward(&y, pass)
    }

    fn advance(&self, x_nc: &Tensor, pass: &Pass, state: &mut State) -> Result<Tensor> {
        let (made, sizes) = (self.made(x_nc, pass)?, self.sizes);
        if state.0.is_empty() {
            let room = (pass.batch, pass.room, sizes.kept());
            let dtype = pass.weights.of_cache(made[0].dtype());
            state.0 = vec![Tensor::zeros(room, dtype, made[0].device())?];
        }
        let y = if pass.offset == 0 {
            let packed = self.packed(&made, pass)?;
            // The first key head has the part that all share.
            let at = (sizes.heads * sizes.of_query()) + sizes.d;
            let rotated = packed.narrow(1, at, sizes.rotary)?;
            keep(&state.0[0], &self.kept(&made[1], &rotated, pass)?, 0)?;
            let axes = sizes.packed(pass).packed();
            pass.ops.causal_attention(&packed, axes)?
        } else {
            self.absorbed(&made, pass, &state.0[0])?
        };
        self.out.forward(&y, pass)
    }

    fn work(&self, span: Span) -> Work {
        let Sizes {
            heads, d, latent, ..
        } = self.sizes;
        let (query, query_learns) = self.query.work(span);
        let rotated = self.rotated.iter();
        let rotated: Work = rotated.map(|r| r.work(span.new, span.learns)).sum();
        let made = query + self.down.work(span.new, span.learns) + rotated;
        let (pairs, square) = (span.pairs(None), span.square(None));
        let of = |width: usize| (heads * width) as u64;
        let up = span.new * of(2 * d) * latent as u64;
        if span.seen > 0 {
            // A query to the latent and a latent to the value: as much as making keys and values of the new tokens.
            let widths = [of(self.sizes.kept()), of(latent)];
            return made
                + Work::of_product(up, false, false)
                + Work::of_scores(pairs, square, widths, false)
                + self.out.work(span.new, false);
        }
        let latents_learn = span.learns || self.latent_trains;
        let rotated_learns = self.rotated.as_ref().is_some_and(|r| r.trains());
        let learns = query_learns || latents_learn || self.up_trains || rotated_learns;
        let widths = [of(self.sizes.of_query()), of(d)];
        made + Work::of_product(up, latents_learn, self.up_trains)
            + Work::of_scores(pairs, square, widths, learns)
            + self.out.work(span.new, learns)
    }

    fn state_scalars(&self, tokens: usize) -> u64 {
        (tokens * self.sizes.kept()) as u64
    }

    fn keeps_by_place(&self, _: usize) -> bool {
        true
    }
}
