//! Attention of a few new queries over the keys and values of all tokens so far, for decoding: `softmax(q K^T / sqrt(D)) V`, head
//! by head, where query i sees the `offset` cached tokens before the new ones and the new ones up to itself, or of those the last,
//! as many as a window has. No gradient.
//!
//! Keys and values are (B x KV, room, D): a window's shared head, its tokens one behind the other, with room for more. Each is read
//! once for each query head, which is what decoding costs.

pub(super) mod gpu;

use super::axes::Axes;
use super::counted;
use super::cpu::real::{Real, typed};
use super::cpu::rows::{chunks, tensor, with_numbers};
use super::cpu::simd::{dot, max, simd, sum};
use candle_core::{D, Result, Tensor, bail};

/// Keys and values of all tokens so far, and how many there were before the new ones.
#[derive(Debug, Clone, Copy)]
pub struct Cached<'a> {
    /// (B x KV, room, D).
    pub keys: &'a Tensor,
    /// (B x KV, room, D).
    pub values: &'a Tensor,
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
        for tensor in [self.keys, self.values] {
            let (heads, room, width) = tensor.dims3()?;
            if heads != axes.batch * axes.kv_heads
                || width != axes.head_width
                || room < self.seen(axes)
            {
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
        Ok(())
    }
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
    let (k, v) = (
        cached.keys.narrow(1, 0, seen)?,
        cached.values.narrow(1, 0, seen)?,
    );
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
    let y = candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&v)?;
    let y = y
        .reshape((batch, heads, time, head_width))?
        .transpose(1, 2)?
        .contiguous()?;
    y.reshape((batch * time, heads * head_width))
}

simd! {
    /// One query over its keys and values, both `k.len() / y.len()` rows; `scores` has room for as many.
    fn attend<S, F>(q: &[F], k: &[F], v: &[F], scale: F, scores: &mut [F], y: &mut [F]) {
        let width = y.len();
        for (score, k) in scores.iter_mut().zip(k.chunks_exact(width)) {
            *score = scale * dot::<S, F>(q, k);
        }
        let top = max(scores);
        for score in scores.iter_mut() {
            *score = (*score - top).exp::<S>();
        }
        let factor = F::ONE / sum(scores);
        y.fill(F::ZERO);
        for (&p, v) in scores.iter().zip(v.chunks_exact(width)) {
            for (y, &v) in y.iter_mut().zip(v) {
                *y = p.fma::<S>(v, *y);
            }
        }
        for y in y {
            *y *= factor;
        }
    }
}

pub(super) fn fused(qkv: &Tensor, cached: Cached, axes: Axes) -> Result<Tensor> {
    let (qkv, keys, values) = (
        qkv.contiguous()?,
        cached.keys.contiguous()?,
        cached.values.contiguous()?,
    );
    let room = keys.dims3()?.1;
    typed!(qkv, F => {
        let y = with_numbers::<F, _, 3>([&qkv, &keys, &values], |[qkv, k, v]| {
            over_cache(qkv, k, v, (axes, cached.offset, room))
        })?;
        tensor(y, (axes.rows(), axes.width()))
    })
}

fn over_cache<F: Real>(
    qkv: &[F],
    k: &[F],
    v: &[F],
    (axes, offset, room): (Axes, usize, usize),
) -> Vec<F> {
    let Axes {
        time,
        heads,
        kv_heads,
        head_width: width,
        ..
    } = axes;
    let scale = F::of(axes.score_scale());
    let mut y = vec![F::ZERO; axes.rows() * axes.width()];
    let work = 2 * axes.rows() * heads * (offset + time) * width;
    let keys = |query: usize| axes.first_seen(query)..query + 1;
    let of_head = (offset..offset + time).map(|query| keys(query).len());
    let pairs = axes.batch * heads * of_head.sum::<usize>();
    counted::add((2 * 2 * pairs * width) as i64);
    chunks(&mut y, width, work, |i, y| {
        let (row, head) = (i / heads, i % heads);
        let (window, keys) = (row / time, keys(offset + row % time));
        let start = (window * kv_heads + head / (heads / kv_heads)) * room * width;
        let q = &qkv[row * axes.packed_width() + head * width..][..width];
        let of_head = start + keys.start * width..start + keys.end * width;
        attend(
            q,
            &k[of_head.clone()],
            &v[of_head],
            scale,
            &mut vec![F::ZERO; keys.len()],
            y,
        );
    });
    y
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{distance, flat, random};
    use crate::ops::{DType, Ops};
    use candle_core::Var;

    #[test]
    fn a_cache_is_looked_at_as_the_reference_does() -> Result<()> {
        for (batch, time, heads, kv_heads, head_width, offset, room, window) in [
            (1, 1, 1, 1, 1, 0, 1, None),
            (2, 1, 6, 2, 64, 300, 400, None),
            (3, 4, 4, 4, 16, 5, 9, None),
            (1, 3, 2, 1, 7, 2, 6, None),
            (2, 3, 4, 2, 7, 9, 12, Some(5)),
            (1, 1, 2, 1, 7, 4, 6, Some(1)),
            (1, 3, 2, 1, 7, 2, 6, Some(9)),
        ] {
            let axes = Axes {
                batch,
                time,
                heads,
                kv_heads,
                head_width,
                scale: (head_width == 16).then_some(0.5),
                window,
            };
            let qkv = random(&[axes.rows(), axes.packed_width()], DType::F32, 1)?;
            let of_cache = |seed| random(&[batch * kv_heads, room, head_width], DType::F32, seed);
            let (keys, values) = (of_cache(2)?, of_cache(3)?);
            let cached = Cached {
                keys: &keys,
                values: &values,
                offset,
            };
            let [fused, truth] = [Ops::fused(), Ops::reference()]
                .map(|ops| flat(&ops.cached_attention(&qkv, cached, axes).unwrap()).unwrap());
            assert!(distance(&fused, &truth) < 1e-5, "{axes:?}");
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
                values: &cache,
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
            values: &cache,
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
