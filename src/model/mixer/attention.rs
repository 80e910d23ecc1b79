//! Causal multi-head attention, grouped-query where `model.kv_heads` is smaller than `model.heads`.
//!
//! softmax(Q K^T / sqrt(D)) V per head (Vaswani et al. 2017, eq. 1; grouped queries: Ainslie et al. 2023). Q, K and V come
//! from one packed projection (B*T, (H + 2 KV) * D).

use candle_core::Tensor;

use super::{Mixer, MixerKind, State};
use crate::config::{Knobs, Named};
use crate::error::Result;
use crate::model::param::{Declare, Init, ParamId, Role};
use crate::model::{Pass, Shape, WindowFlops, causal_pairs};
use crate::ops::{Axes, Cached};

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "attention"
    }
    fn about(&self) -> &'static str {
        "causal softmax attention over all earlier tokens (Vaswani et al. 2017); grouped-query with model.kv_heads (Ainslie et al. 2023)"
    }
}

impl MixerKind for Kind {
    fn settle(
        &self,
        _knobs: &Knobs,
        shape: &Shape,
        declare: &mut Declare,
    ) -> Result<Box<dyn Mixer>> {
        let (c, d) = (shape.width, shape.head_width());
        let (q, kv) = (shape.heads * d, shape.kv_heads * d);
        let rows = [q, kv, kv];
        let qkv = declare.stacked(
            "qkv",
            &[q + 2 * kv, c],
            Role::Matrix,
            Init::Normal(shape.init_std),
            &rows,
        );
        let qkv_bias = shape
            .bias
            .then(|| declare.param("qkv_bias", &[q + 2 * kv], Role::Bias, Init::Zeros));
        let out = declare.param(
            "out",
            &[c, q],
            Role::Matrix,
            Init::Normal(shape.residual_std()),
        );
        let out_bias = shape
            .bias
            .then(|| declare.param("out_bias", &[c], Role::Bias, Init::Zeros));
        Ok(Box::new(Attention {
            shape: shape.clone(),
            qkv,
            qkv_bias,
            out,
            out_bias,
        }))
    }
}

struct Attention {
    shape: Shape,
    qkv: ParamId,
    qkv_bias: Option<ParamId>,
    out: ParamId,
    out_bias: Option<ParamId>,
}

impl Attention {
    fn axes(&self, pass: &Pass) -> Axes {
        Axes {
            batch: pass.batch,
            time: pass.time,
            heads: self.shape.heads,
            kv_heads: self.shape.kv_heads,
            head_width: self.shape.head_width(),
            scale: self.shape.scaling.score_scale(self.shape.head_width()),
        }
    }

    fn project(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let w = pass.weights;
        let qkv = pass
            .ops
            .linear(x_nc, &w[self.qkv], self.qkv_bias.map(|b| &w[b]))?;
        match pass.rope {
            Some(table) => Ok(pass.ops.rope(&qkv, self.axes(pass), table)?),
            None => Ok(qkv),
        }
    }

    fn output(&self, y: &Tensor, pass: &Pass) -> Result<Tensor> {
        Ok(pass.ops.linear(
            y,
            &pass.weights[self.out],
            self.out_bias.map(|b| &pass.weights[b]),
        )?)
    }
}

impl Mixer for Attention {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let qkv = self.project(x_nc, pass)?;
        let y = pass.ops.causal_attention(&qkv, self.axes(pass))?;
        self.output(&y, pass)
    }

    fn advance(&self, x_nc: &Tensor, pass: &Pass, state: &mut State) -> Result<Tensor> {
        let (b, t, h, g, d) = (
            pass.batch,
            pass.time,
            self.shape.heads,
            self.shape.kv_heads,
            self.shape.head_width(),
        );
        let qkv = self.project(x_nc, pass)?;
        if state.0.is_empty() {
            let room = (b * g, self.shape.context, d);
            let empty = || Tensor::zeros(room, qkv.dtype(), qkv.device());
            state.0 = vec![empty()?, empty()?];
        }
        for (slot, cache) in state.0.iter().enumerate() {
            let new = qkv.narrow(1, (h + slot * g) * d, g * d)?;
            let new = new
                .reshape((b, t, g, d))?
                .transpose(1, 2)?
                .contiguous()?
                .reshape((b * g, t, d))?;
            cache.slice_set(&new, 1, pass.offset)?;
        }
        let y = if pass.offset == 0 {
            pass.ops.causal_attention(&qkv, self.axes(pass))?
        } else {
            let cached = Cached {
                keys: &state.0[0],
                values: &state.0[1],
                offset: pass.offset,
            };
            pass.ops.cached_attention(&qkv, cached, self.axes(pass))?
        };
        self.output(&y, pass)
    }

    fn flops(&self, time: usize) -> WindowFlops {
        let (t, c, d) = (
            time as u64,
            self.shape.width as u64,
            self.shape.head_width() as u64,
        );
        let (h, g) = (self.shape.heads as u64, self.shape.kv_heads as u64);
        let (packed, output) = (t * c * (h + 2 * g) * d, t * h * d * c);
        WindowFlops::of_weights(packed + output)
            + WindowFlops::of_attention(causal_pairs(t), t * t, h * d)
    }

    fn cache_scalars_per_token(&self) -> u64 {
        2 * (self.shape.kv_heads * self.shape.head_width()) as u64
    }
}
