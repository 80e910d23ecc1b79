//! Attention of a few new queries over the keys and values of all tokens so far, for decoding: `softmax(q K^T / sqrt(D)) V`, head
//! by head, where query i sees the `offset` cached tokens before the new ones and the new ones up to itself, or of those the last,
//! as many as a window has. No gradient.
//!
//! Keys and values are (B x KV, room, D): a window's shared head, its tokens one behind the other, with room for more. Each is read
//! once for the query heads that share it, or for each of them where all together are few, which is what decoding costs. Values may be
//! of another width than keys, and may be the first numbers of the keys themselves, which are then kept once: multi-head latent attention
//! decodes so. What is kept may be f16, which is half to read: it is widened as it is looked at, and all sums are f32.

pub(super) mod gpu;
mod over;
mod blocks;
mod splits;

use super::axes::Axes;
use super::cpu::factors::Factors;
use super::cpu::real::typed;
use super::cpu::rows::{tensor, with_halves, with_numbers};
use super::cpu::tile::FewRows;
use candle_core::{D, DType, Result, Tensor, bail};
use over::{Kept, Over};

/// Keys and values of all tokens so far, and how many there were before the new ones.
#[derive(Debug, Clone, Copy)]
pub struct Cached<'a> {
    /// (B x KV, room, D).
    pub keys: &'a Tensor,
    /// (B x KV, room, D of values); `None` is the first numbers of the keys.
    pub values: Option<&'a Tensor>,
    /// The score of one more key of each query head (H), whose value is 0.
    pub sinks: Option<&'a Tensor>,
    /// Tokens of each window before the new ones.
    pub offset: usize,
}

impl Cached<'_> {
    /// Tokens of each window, the new ones among them.
    pub(super) fn seen(&self, axes: Axes) -> usize {
        self.offset + axes.time
    }

    pub(super) fn check(&self, qkv: &Tensor, axes: Axes) -> Result<()> {
        axes.check(qkv)?;
        check_sinks(self.sinks, axes)?;
        let values = self.values.map(|values| (values, axes.of_values()));
        for (tensor, width) in [(self.keys, axes.head_width)].into_iter().chain(values) {
            let (heads, room, of_head) = tensor.dims3()?;
            if heads != axes.batch * axes.kv_heads || of_head != width || room < self.seen(axes) {
                bail!(
                    "a cache of {:?} does not hold {} tokens of {axes:?}",
                    tensor.shape(),
                    self.seen(axes)
                );
            }
            if tensor.track_op() || qkv.track_op() {
                bail!("attention over a cache has no gradient");
            }
        }
        if self.values.is_none() && axes.of_values() > axes.head_width {
            bail!("values of {axes:?} are no part of its keys");
        }
        Ok(())
    }
}

pub(super) fn check_sinks(sinks: Option<&Tensor>, axes: Axes) -> Result<()> {
    match sinks {
        Some(sinks) if sinks.dims() != [axes.heads] => {
            bail!("sinks of {:?} do not fit {axes:?}", sinks.shape())
        }
        _ => Ok(()),
    }
}

/// The softmax of scores (B, H, T, S), each row with the sink of its head (H), if there is one, which takes its share.
pub(super) fn probabilities(scores: &Tensor, sinks: Option<&Tensor>) -> Result<Tensor> {
    let Some(sinks) = sinks else {
        return candle_nn::ops::softmax(scores, D::Minus1);
    };
    let (batch, heads, time, keys) = scores.dims4()?;
    let sinks = sinks.to_dtype(scores.dtype())?.reshape((1, heads, 1, 1))?;
    let sinks = sinks.broadcast_as((batch, heads, time, 1))?.contiguous()?;
    let with = Tensor::cat(&[scores, &sinks], D::Minus1)?;
    candle_nn::ops::softmax(&with, D::Minus1)?
        .narrow(D::Minus1, 0, keys)?
        .contiguous()
}

pub(super) fn reference(qkv: &Tensor, cached: Cached, axes: Axes) -> Result<Tensor> {
    let Axes {
        batch,
        time,
        heads,
        kv_heads,
        head_width,
        ..
    } = axes;
    let (group, seen) = (heads / kv_heads, cached.seen(axes));
    let q = qkv
        .narrow(1, 0, heads * head_width)?
        .reshape((batch, time, heads, head_width))?;
    let q =
        q.transpose(1, 2)?
            .contiguous()?
            .reshape((batch * kv_heads, group * time, head_width))?;
    let q = (q * axes.score_scale())?;
    let wide = |kept: &Tensor| kept.narrow(1, 0, seen)?.to_dtype(qkv.dtype());
    let (k, width) = (wide(cached.keys)?, axes.of_values());
    let v = match cached.values {
        Some(values) => wide(values)?,
        None => k.narrow(2, 0, width)?.contiguous()?,
    };
    let row = |i: usize| {
        (0..seen).map(move |j| {
            let query = cached.offset + i;
            if (axes.first_seen(query)..=query).contains(&j) {
                0f32
            } else {
                f32::NEG_INFINITY
            }
        })
    };
    let mask = Tensor::from_vec(
        (0..time).flat_map(row).collect::<Vec<_>>(),
        (time, seen),
        qkv.device(),
    )?;
    let mask = mask.to_dtype(qkv.dtype())?.repeat((group, 1))?;
    let scores = q.matmul(&k.transpose(1, 2)?)?.broadcast_add(&mask)?;
    let shape = scores.shape().clone();
    let scores = scores.reshape((batch, heads, time, seen))?;
    let y = probabilities(&scores, cached.sinks)?
        .reshape(shape)?
        .matmul(&v)?;
    let y = y
        .reshape((batch, heads, time, width))?
        .transpose(1, 2)?
        .contiguous()?;
    y.reshape((batch * time, heads * width))
}

pub(super) fn fused(qkv: &Tensor, cached: Cached, axes: Axes, factors: Factors) -> Result<Tensor> {
    let (qkv, keys) = (qkv.contiguous()?, cached.keys.contiguous()?);
    let values = cached.values.map(Tensor::contiguous).transpose()?;
    let (values, of_value) = match &values {
        Some(values) => (values, axes.of_values()),
        None => (&keys, axes.head_width),
    };
    let no_sinks = Tensor::zeros(0, qkv.dtype(), qkv.device())?;
    let sinks = cached.sinks.map(Tensor::contiguous).transpose()?;
    let room = keys.dims3()?.1;
    let given = [&qkv, sinks.as_ref().unwrap_or(&no_sinks)];
    if qkv.dtype() == DType::F32 && keys.dtype() == DType::F16 {
        let y = with_numbers::<f32, _, 2>(given, |[qkv, sinks]| {
            with_halves([&keys, values], |[keys, values]| {
                let over = Over {
                    axes,
                    keys,
                    values,
                    of_value,
                    sinks,
                    room,
                    offset: cached.offset,
                };
                look(&over, qkv, factors)
            })
        })?;
        return tensor(y?, (axes.rows(), axes.width()));
    }
    typed!(qkv, F => {
        let [qkv, sinks] = given;
        let y = with_numbers::<F, _, 4>([qkv, &keys, values, sinks], |[qkv, keys, values, sinks]| {
            let over = Over { axes, keys, values, of_value, sinks, room, offset: cached.offset };
            look(&over, qkv, factors)
        })?;
        tensor(y, (axes.rows(), axes.width()))
    })
}

/// In the way that suits how many new tokens there are, and how many keys.
fn look<F: FewRows, K: Kept<F>>(over: &Over<F, K>, qkv: &[F], factors: Factors) -> Vec<F> {
    if over.axes.time >= blocks::FEWEST {
        over.by_blocks(qkv, factors)
    } else if over.longest() >= splits::FEWEST {
        over.by_splits(qkv)
    } else {
        over.attended(qkv)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{distance, flat, random};
    use crate::ops::{DType, Ops};
    use candle_core::Var;

    /// How far the fused op is from the reference.
    fn apart(qkv: &Tensor, cached: Cached, axes: Axes) -> f64 {
        let [fused, truth] = [Ops::fused(), Ops::reference()]
            .map(|ops| flat(&ops.cached_attention(qkv, cached, axes).unwrap()).unwrap());
        distance(&fused, &truth)
    }

    #[test]
    fn a_cache_is_looked_at_as_the_reference_does() -> Result<()> {
        for (batch, time, heads, kv_heads, head_width, offset, room, window) in [
            (1, 1, 1, 1, 1, 0, 1, None),
            (2, 1, 6, 2, 64, 300, 400, None),
            (16, 2, 6, 2, 72, 70, 72, None),
            (3, 4, 4, 4, 16, 5, 9, None),
            (1, 3, 2, 1, 7, 2, 6, None),
            (2, 3, 4, 2, 7, 9, 12, Some(5)),
            (1, 1, 2, 1, 7, 4, 6, Some(1)),
            (1, 3, 2, 1, 7, 2, 6, Some(9)),
            // So long that keys are split.
            (2, 1, 6, 2, 16, 700, 800, None),
            (1, 3, 4, 4, 7, 510, 600, None),
            (1, 2, 2, 1, 8, 900, 1000, Some(600)),
            // As many that matrices are multiplied: of a block and more, of several stretches of keys.
            (1, 16, 2, 1, 7, 0, 16, None),
            (2, 70, 4, 2, 16, 3, 80, None),
            (1, 65, 3, 3, 8, 1100, 1200, None),
            (1, 130, 2, 1, 8, 600, 800, Some(40)),
            (1, 20, 2, 2, 8, 1030, 1060, Some(600)),
        ] {
            let axes = Axes {
                batch,
                time,
                heads,
                kv_heads,
                head_width,
                value_width: None,
                scale: (head_width == 16).then_some(0.5),
                window,
            };
            // As wide as keys, another width, the first numbers of the keys; with sinks and without.
            for (value_width, of_keys, sinks) in [
                (None, false, false),
                (None, false, true),
                (Some(5), false, false),
                (Some(head_width.div_ceil(2)), true, false),
                (None, true, true),
            ] {
                let axes = Axes {
                    value_width,
                    ..axes
                };
                let qkv = random(&[axes.rows(), axes.packed_width()], DType::F32, 1)?;
                let of_cache =
                    |width, seed| random(&[batch * kv_heads, room, width], DType::F32, seed);
                let (keys, values) = (of_cache(head_width, 2)?, of_cache(axes.of_values(), 3)?);
                let of_heads = random(&[heads], DType::F32, 4)?;
                let cached = Cached {
                    keys: &keys,
                    values: (!of_keys).then_some(&values),
                    sinks: sinks.then_some(&of_heads),
                    offset,
                };
                assert!(apart(&qkv, cached, axes) < 1e-5, "{axes:?}");
                let [keys, values] =
                    [&keys, &values].map(|kept| kept.to_dtype(DType::F16).unwrap());
                let halves = Cached {
                    keys: &keys,
                    values: (!of_keys).then_some(&values),
                    ..cached
                };
                assert!(apart(&qkv, halves, axes) < 1e-5, "{axes:?} in f16");
            }
        }
        Ok(())
    }

    #[test]
    fn a_cache_that_does_not_fit_or_asks_for_a_gradient_is_refused() -> Result<()> {
        let axes = Axes {
            batch: 1,
            time: 2,
            heads: 2,
            kv_heads: 1,
            head_width: 4,
            value_width: None,
            scale: None,
            window: None,
        };
        let (qkv, cache) = (
            random(&[2, 16], DType::F32, 1)?,
            random(&[1, 5, 4], DType::F32, 2)?,
        );
        for (offset, works) in [(3, true), (4, false)] {
            let cached = Cached {
                keys: &cache,
                values: Some(&cache),
                sinks: None,
                offset,
            };
            assert_eq!(
                Ops::fused().cached_attention(&qkv, cached, axes).is_ok(),
                works,
                "{offset}"
            );
        }
        let tracked = Var::from_tensor(&qkv)?;
        let cached = Cached {
            keys: &cache,
            values: Some(&cache),
            sinks: None,
            offset: 0,
        };
        assert!(
            Ops::reference()
                .cached_attention(&tracked, cached, axes)
                .is_err()
        );
        Ok(())
    }
}
