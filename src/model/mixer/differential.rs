//! Differential attention (Ye et al. 2024, arXiv 2410.05258, section 2.1): each head looks twice, with queries and keys of half its
//! width, and takes from the first look a share of the second, so that what both see of irrelevant tokens cancels.
//!
//! ```text
//! y_h = (1 - l0) RMSNorm[(softmax(q1 k1^T / sqrt(D / 2)) - l softmax(q2 k2^T / sqrt(D / 2))) v]
//! l = exp(a1 . b1) - exp(a2 . b2) + l0        l0 = 0.8 - 0.6 exp(-0.3 layer), layers from 0
//! ```
//!
//! `model.heads` are those of the output, of width D; the paper halves them, so that its halves are as wide as the baseline's heads.
//! The norm has one gain for all heads. Keys and values are shared by query heads where `model.kv_heads` is smaller. Its two looks are
//! two products with the same values: half as much work again as attention's.

use candle_core::Tensor;

use super::cache::keep;
use super::{Mixer, MixerKind, State};
use crate::config::Named;
use crate::error::Result;
use crate::model::linear::{Linear, LinearSpec};
use crate::model::param::{Init, ParamId, Role};
use crate::model::{Build, Pass, Shape, Site, Span, Work};
use crate::ops::{Axes, Blend, Cached};

/// Of the norm of what a head brings.
const EPS: f64 = 1e-5;

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "differential"
    }
    fn about(&self) -> &'static str {
        "attention that looks twice with half a head and subtracts a trained share of the second look (Ye et al. 2024)"
    }
    fn family(&self) -> &'static str {
        "attention"
    }
}

/// l0 of a layer, from 0.
fn share(layer: usize) -> f64 {
    0.8 - 0.6 * (-0.3 * layer as f64).exp()
}

impl MixerKind for Kind {
    fn settle(&self, site: &Site, build: &mut Build) -> Result<Box<dyn Mixer>> {
        let shape = site.shape;
        let d = shape.head_width();
        if !d.is_multiple_of(4) {
            let why = format!("half a head must be of an even width, and a head is {d} wide");
            return Err(site.knobs.refuse_kind(&why));
        }
        let (q, k) = (shape.heads * d / 2, shape.kv_heads * d / 2);
        let qkv = LinearSpec {
            rows: &[q, q, k, k, 2 * k],
            inputs: shape.width,
            bias: shape.bias,
            start: shape.init_std,
        };
        let qkv = build.linear("qkv", qkv)?;
        let [a1, b1, a2, b2] = ["a1", "b1", "a2", "b2"].map(|name| {
            let start = Init::Normal(0.1);
            build.of_all_heads(name, &[d / 2], Role::Gain, start)
        });
        let gain = build.of_all_heads("gain", &[d], Role::Gain, Init::Ones);
        let scalars = [a1, b1, a2, b2, gain];
        let out = LinearSpec {
            rows: &[shape.width],
            inputs: shape.heads * d,
            bias: shape.bias,
            start: shape.residual_std(),
        };
        Ok(Box::new(Differential {
            shape: shape.clone(),
            first: share(site.layer.unwrap_or(shape.layers)),
            qkv,
            logs: [[a1, b1], [a2, b2]],
            gain,
            trains: scalars.iter().any(|id| build.trains(*id)),
            out: build.linear("out", out)?,
        }))
    }
}

struct Differential {
    shape: Shape,
    /// l0.
    first: f64,
    qkv: Box<dyn Linear>,
    /// Vectors whose inner products are the logarithms that the share is made of.
    logs: [[ParamId; 2]; 2],
    /// (D), of all heads.
    gain: ParamId,
    /// Whether any of those does.
    trains: bool,
    out: Box<dyn Linear>,
}

impl Differential {
    /// Of one look.
    fn axes(&self, pass: &Pass) -> Axes {
        let d = self.shape.head_width();
        Axes {
            batch: pass.batch,
            time: pass.time,
            heads: self.shape.heads,
            kv_heads: self.shape.kv_heads,
            head_width: d / 2,
            value_width: Some(d),
            scale: self.shape.scaling.score_scale(d).map(|s| s * 2f64.sqrt()),
            window: None,
        }
    }

    /// Queries, keys and values of both looks, packed for attention, rotated where the model rotates.
    fn looks(&self, x_nc: &Tensor, pass: &Pass) -> Result<[Tensor; 2]> {
        let (axes, qkv) = (self.axes(pass), self.qkv.forward(x_nc, pass)?);
        let (q, k) = (
            axes.heads * axes.head_width,
            axes.kv_heads * axes.head_width,
        );
        let v = qkv.narrow(1, 2 * (q + k), 2 * k)?;
        let table = pass.rope.map(|table| table.every_second()).transpose()?;
        let look = |i: usize| -> Result<Tensor> {
            let (queries, keys) = (qkv.narrow(1, i * q, q)?, qkv.narrow(1, 2 * q + i * k, k)?);
            let packed = Tensor::cat(&[&queries, &keys, &v], 1)?;
            match &table {
                Some(table) => Ok(pass.ops.rope(&packed, axes, table)?),
                None => Ok(packed),
            }
        };
        Ok([look(0)?, look(1)?])
    }

    /// -l, of one number.
    fn minus_share(&self, pass: &Pass) -> Result<Tensor> {
        let [plus, minus] = self.logs.map(|[a, b]| -> Result<Tensor> {
            let along = (&pass.weights[a] * &pass.weights[b])?.sum_keepdim(0)?;
            Ok(along.exp()?)
        });
        Ok(((minus? - plus?)? - self.first)?)
    }

    /// From what both looks bring, (N, H D) each, to what the mixer gives.
    fn end(&self, [first, second]: [Tensor; 2], pass: &Pass) -> Result<Tensor> {
        let (rows, d) = (first.dim(0)?, self.shape.head_width());
        let share = self.minus_share(pass)?;
        let one = share.detach().ones_like()?;
        let y = pass.ops.unaided(&Blend, [&first, &second, &one, &share])?;
        let y = y.reshape((rows * self.shape.heads, d))?;
        let y = pass.ops.rms_norm(&y, &pass.weights[self.gain], EPS)?;
        let y = pass.scaled(y, 1.0 - self.first)?;
        self.out
            .forward(&y.reshape((rows, self.shape.heads * d))?, pass)
    }

    /// Heads of the packed input from a column on, as caches hold them: (B x KV, T, width).
    fn heads(&self, packed: &Tensor, from: usize, width: usize, pass: &Pass) -> Result<Tensor> {
        let (b, t, g) = (pass.batch, pass.time, self.shape.kv_heads);
        let part = packed
            .narrow(1, from, g * width)?
            .reshape((b, t, g, width))?;
        Ok(part
            .transpose(1, 2)?
            .contiguous()?
            .reshape((b * g, t, width))?)
    }
}

impl Mixer for Differential {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let [first, second] = self.looks(x_nc, pass)?;
        let look = |packed: &Tensor| pass.ops.causal_attention(packed, self.axes(pass));
        self.end([look(&first)?, look(&second)?], pass)
    }

    fn advance(&self, x_nc: &Tensor, pass: &Pass, state: &mut State) -> Result<Tensor> {
        let (axes, looks) = (self.axes(pass), self.looks(x_nc, pass)?);
        let (d, half, g) = (axes.of_values(), axes.head_width, axes.kv_heads);
        if state.0.is_empty() {
            let empty = |width: usize| {
                let room = (pass.batch * g, pass.room, width);
                let dtype = pass.weights.of_cache(looks[0].dtype());
                Tensor::zeros(room, dtype, looks[0].device())
            };
            state.0 = vec![empty(half)?, empty(half)?, empty(d)?];
        }
        let values = self.heads(&looks[0], axes.before_values(), d, pass)?;
        keep(&state.0[2], &values, pass.offset)?;
        let look = |i: usize| -> Result<Tensor> {
            let keys = self.heads(&looks[i], axes.heads * half, half, pass)?;
            keep(&state.0[i], &keys, pass.offset)?;
            if pass.offset == 0 {
                return Ok(pass.ops.causal_attention(&looks[i], axes)?);
            }
            let over = Cached {
                keys: &state.0[i],
                values: Some(&state.0[2]),
                sinks: None,
                offset: pass.offset,
            };
            Ok(pass.ops.cached_attention(&looks[i], over, axes)?)
        };
        let both = [look(0)?, look(1)?];
        self.end(both, pass)
    }

    fn work(&self, span: Span) -> Work {
        let channels = (self.shape.heads * self.shape.head_width()) as u64;
        let learns = span.learns || self.qkv.trains();
        let (pairs, square) = (span.pairs(None), span.square(None));
        // Two looks with half of the channels each, at values of all.
        let widths = [channels, 2 * channels];
        self.qkv.work(span.new, span.learns)
            + Work::of_scores(pairs, square, widths, learns)
            + self.out.work(span.new, learns || self.trains)
    }

    fn state_scalars(&self, tokens: usize) -> u64 {
        let of_token = 2 * self.shape.kv_heads * self.shape.head_width();
        (tokens * of_token) as u64
    }

    fn keeps_by_place(&self, _: usize) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn the_share_grows_with_depth_as_published() {
        for (layer, known) in [
            (0, 0.2),
            (1, 0.355509),
            (2, 0.470713),
            (5, 0.666122),
            (11, 0.777870),
        ] {
            assert!((share(layer) - known).abs() < 5e-7, "{layer}");
        }
    }
}
