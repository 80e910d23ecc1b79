//! The heads of multi-head latent attention (DeepSeek-AI 2024, arXiv:2405.04434, section 2.1, equations 9 to 19), packed as attention
//! takes them: of each query head what it asks for and, rotated, where; of each key head what it holds and, rotated and the same for
//! all heads, where; and the values.
//!
//! Row by row: `[q_1 | R q'_1 | q_2 | ..]`, `[k_1 | R k' | k_2 | R k' | ..]`, `[v_1 | v_2 | ..]`. Pairs are turned as in `rope`, half
//! against half. Backwards the turn the other way; the gradient of k' is the sum over the heads.

use super::axes::Axes;
use super::cpu::real::{Real, typed};
use super::cpu::rows::{build, numbers, tensor, with_numbers};
use super::cpu::simd::simd;
use super::rope::RopeTable;
use super::tape::{Tape, apply3};
use super::unaided::Unaided;
use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, bail};
use std::marker::PhantomData;

/// Sizes of latent attention's heads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatentAxes {
    /// Windows.
    pub batch: usize,
    /// Tokens in a window.
    pub time: usize,
    /// Heads H.
    pub heads: usize,
    /// D, numbers of a query or key that are not rotated.
    pub content: usize,
    /// R, those that are; even, or none.
    pub rotary: usize,
    /// Numbers of a value.
    pub values: usize,
    /// What scores are multiplied by; `None` is 1 / sqrt(D + R).
    pub scale: Option<f64>,
}

impl LatentAxes {
    /// As attention takes what is packed.
    pub fn packed(self) -> Axes {
        Axes {
            batch: self.batch,
            time: self.time,
            heads: self.heads,
            kv_heads: self.heads,
            head_width: self.content + self.rotary,
            value_width: Some(self.values),
            scale: self.scale,
            window: None,
        }
    }

    /// Rows and columns of queries, of keys with values, and of the key that all heads share.
    fn shapes(self) -> [[usize; 2]; 3] {
        [
            self.heads * (self.content + self.rotary),
            self.heads * (self.content + self.values),
            self.rotary,
        ]
        .map(|columns| [self.batch * self.time, columns])
    }
}

/// Packs heads as attention takes them, given the rotation of the tokens' places: queries (N, H (D + R)) head by head, keys and behind
/// them values (N, H D + H V), and the part of keys that all heads share (N, R). It and the ends of queries are rotated.
pub struct LatentHeads<'a>(pub LatentAxes, pub &'a RopeTable);

impl Unaided<3> for LatentHeads<'_> {
    fn check(&self, inputs: [&Tensor; 3]) -> Result<()> {
        let Self(axes, table) = *self;
        for (input, shape) in inputs.into_iter().zip(axes.shapes()) {
            if input.dims() != shape {
                bail!("{:?} is not {shape:?} of {axes:?}", input.shape());
            }
        }
        table.check(Axes {
            head_width: axes.rotary,
            ..axes.packed()
        })
    }

    fn reference(&self, [q, kv, shared]: [&Tensor; 3]) -> Result<Tensor> {
        let Self(axes, table) = *self;
        let LatentAxes {
            batch,
            time,
            heads,
            content,
            rotary,
            values,
            ..
        } = axes;
        let (rows, width) = (batch * time, content + rotary);
        let turned = |x: &Tensor, heads: usize| {
            if rotary == 0 {
                return x.reshape((rows, heads, 0));
            }
            let x = x.reshape((batch, time, heads, rotary))?.transpose(1, 2)?;
            let turned = table.turned(&x.contiguous()?)?.transpose(1, 2)?;
            turned.reshape((rows, heads, rotary))
        };
        let q = q.reshape((rows, heads, width))?;
        let where_from = turned(&q.narrow(2, content, rotary)?.contiguous()?, heads)?;
        let k = kv.narrow(1, 0, heads * content)?;
        let k = k.reshape((rows, heads, content))?;
        let where_to = turned(shared, 1)?.broadcast_as((rows, heads, rotary))?;
        let queries = Tensor::cat(&[q.narrow(2, 0, content)?, where_from], 2)?;
        let keys = Tensor::cat(&[k, where_to.contiguous()?], 2)?;
        let parts = [
            queries.reshape((rows, heads * width))?,
            keys.reshape((rows, heads * width))?,
            kv.narrow(1, heads * content, heads * values)?,
        ];
        Tensor::cat(&parts, D::Minus1)
    }

    fn fused(&self, tape: Option<&Tape>, [q, kv, shared]: [&Tensor; 3]) -> Result<Tensor> {
        let (axes, angles) = (self.0, self.1.parts()?);
        let inputs = [q.contiguous()?, kv.contiguous()?, shared.contiguous()?];
        typed!(inputs[0], F => {
            let op = Heads::<F> { axes, angles, numbers: PhantomData };
            apply3(tape, op, inputs.each_ref())
        })
    }
}

struct Heads<F> {
    axes: LatentAxes,
    /// Cosines and sines.
    angles: [Tensor; 2],
    numbers: PhantomData<F>,
}

/// The pairs of x turned into y, `way` 1 forwards and -1 backwards.
#[inline(always)]
fn turn<F: Real>(way: F, [cos, sin]: [&[F]; 2], x: &[F], y: &mut [F]) {
    let half = cos.len();
    let ((a, b), (ya, yb)) = (x.split_at(half), y.split_at_mut(half));
    for i in 0..half {
        ya[i] = a[i] * cos[i] - b[i] * (way * sin[i]);
        yb[i] = b[i] * cos[i] + a[i] * (way * sin[i]);
    }
}

simd! {
    /// One row.
    fn pack<S, F>(axes: LatentAxes, angles: [&[F]; 2], inputs: [&[F]; 3], y: &mut [F]) {
        let (d, width) = (axes.content, axes.content + axes.rotary);
        let [q, kv, shared] = inputs;
        let (queries, rest) = y.split_at_mut(axes.heads * width);
        let (keys, values) = rest.split_at_mut(axes.heads * width);
        for (y, q) in queries.chunks_exact_mut(width).zip(q.chunks_exact(width)) {
            y[..d].copy_from_slice(&q[..d]);
            turn(F::ONE, angles, &q[d..], &mut y[d..]);
        }
        for (y, k) in keys.chunks_exact_mut(width).zip(kv.chunks_exact(d)) {
            y[..d].copy_from_slice(k);
            turn(F::ONE, angles, shared, &mut y[d..]);
        }
        values.copy_from_slice(&kv[axes.heads * d..]);
    }
}

simd! {
    /// The gradient of a row of queries.
    fn back_to_queries<S, F>(axes: LatentAxes, angles: [&[F]; 2], g: &[F], dq: &mut [F]) {
        let (d, width) = (axes.content, axes.content + axes.rotary);
        for (dq, g) in dq.chunks_exact_mut(width).zip(g.chunks_exact(width)) {
            dq[..d].copy_from_slice(&g[..d]);
            turn(-F::ONE, angles, &g[d..], &mut dq[d..]);
        }
    }
}

simd! {
    /// The gradient of a row of the key that all heads share; `sum` has room for one.
    fn back_to_shared<S, F>(
        axes: LatentAxes,
        angles: [&[F]; 2],
        g: &[F],
        sum: &mut [F],
        d_shared: &mut [F],
    ) {
        let (d, width) = (axes.content, axes.content + axes.rotary);
        sum.fill(F::ZERO);
        for g in g[axes.heads * width..2 * axes.heads * width].chunks_exact(width) {
            for (sum, &g) in sum.iter_mut().zip(&g[d..]) {
                *sum += g;
            }
        }
        turn(-F::ONE, angles, sum, d_shared);
    }
}

/// The gradient of a row of keys and values.
fn back_to_keys<F: Real>(axes: LatentAxes, g: &[F], dkv: &mut [F]) {
    let (d, width) = (axes.content, axes.content + axes.rotary);
    let (dk, dv) = dkv.split_at_mut(axes.heads * d);
    let keys = g[axes.heads * width..].chunks_exact(width);
    for (dk, g) in dk.chunks_exact_mut(d).zip(keys) {
        dk.copy_from_slice(&g[..d]);
    }
    dv.copy_from_slice(&g[2 * axes.heads * width..]);
}

impl<F: Real> Heads<F> {
    /// Rows of so many numbers: `fill` gets a row's index, its cosines and sines, and the row.
    fn rows(
        &self,
        width: usize,
        angles: [&[F]; 2],
        fill: impl Fn(usize, [&[F]; 2], &mut [F]) + Sync,
    ) -> Vec<F> {
        let LatentAxes { batch, time, .. } = self.axes;
        let half = self.axes.rotary / 2;
        build(batch * time, width, |first, block| {
            for (i, y) in block.chunks_exact_mut(width).enumerate() {
                let row = first + i;
                let at = angles.map(|angles| &angles[row % time * half..][..half]);
                fill(row, at, y);
            }
        })
    }
}

/// The row of that index.
fn row_of<F>(x: &[F], row: usize, width: usize) -> &[F] {
    &x[row * width..][..width]
}

impl<F: Real> CustomOp3 for Heads<F> {
    fn name(&self) -> &'static str {
        "heads of latent attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        lq: &Layout,
        kv: &CpuStorage,
        lkv: &Layout,
        shared: &CpuStorage,
        ls: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (axes, [wq, wkv, ws]) = (self.axes, self.axes.shapes().map(|[_, width]| width));
        let q = numbers::<F>(q, lq)?;
        let (kv, shared) = (numbers::<F>(kv, lkv)?, numbers::<F>(shared, ls)?);
        let packed = axes.packed();
        let angles = self.angles.each_ref();
        let y = with_numbers::<F, _, 2>(angles, |angles| {
            self.rows(packed.packed_width(), angles, |row, angles, y| {
                let (q, kv) = (row_of(q, row, wq), row_of(kv, row, wkv));
                pack(axes, angles, [q, kv, row_of(shared, row, ws)], y);
            })
        })?;
        let shape = Shape::from((packed.rows(), packed.packed_width()));
        Ok((F::to_cpu_storage_owned(y), shape))
    }

    fn bwd(
        &self,
        _q: &Tensor,
        _kv: &Tensor,
        _shared: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (axes, shapes) = (self.axes, self.axes.shapes());
        let [wq, wkv, ws] = shapes.map(|[_, width]| width);
        let wide = axes.packed().packed_width();
        let [cos, sin] = &self.angles;
        let given = [cos, sin, &g.contiguous()?];
        let all = with_numbers::<F, _, 3>(given, |[cos, sin, g]| {
            let angles = [cos, sin];
            let dq = self.rows(wq, angles, |row, angles, dq| {
                back_to_queries(axes, angles, row_of(g, row, wide), dq);
            });
            let dkv = self.rows(wkv, angles, |row, _, dkv| {
                back_to_keys(axes, row_of(g, row, wide), dkv);
            });
            let d_shared = match ws {
                0 => Vec::new(),
                _ => self.rows(ws, angles, |row, angles, d| {
                    back_to_shared(
                        axes,
                        angles,
                        row_of(g, row, wide),
                        &mut vec![F::ZERO; ws],
                        d,
                    );
                }),
            };
            [dq, dkv, d_shared]
        })?;
        let [dq, dkv, d_shared] = all;
        Ok((
            Some(tensor(dq, shapes[0].to_vec())?),
            Some(tensor(dkv, shapes[1].to_vec())?),
            Some(tensor(d_shared, shapes[2].to_vec())?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Ops;
    use crate::ops::check::{agrees, check, random};
    use candle_core::{DType, Device};

    fn of(time: usize, heads: usize, widths: [usize; 3]) -> LatentAxes {
        let [content, rotary, values] = widths;
        LatentAxes {
            batch: 2,
            time,
            heads,
            content,
            rotary,
            values,
            scale: None,
        }
    }

    fn table(axes: LatentAxes, dtype: DType) -> Result<RopeTable> {
        RopeTable::new(axes.time + 1, 2, axes.rotary, 1e4, dtype, &Device::Cpu)
    }

    #[test]
    fn gradients_are_right() {
        for axes in [
            of(3, 2, [3, 4, 2]),
            of(1, 1, [1, 2, 5]),
            of(4, 3, [2, 2, 2]),
        ] {
            let shapes = axes.shapes();
            let run = |ops: Ops, x: &[Tensor]| {
                let table = table(axes, x[0].dtype())?;
                ops.unaided(&LatentHeads(axes, &table), [&x[0], &x[1], &x[2]])
            };
            check(&[&shapes[0], &shapes[1], &shapes[2]], run);
        }
        let axes = of(90, 4, [8, 4, 6]);
        let shapes = axes.shapes();
        agrees(&[&shapes[0], &shapes[1], &shapes[2]], |ops, x| {
            let table = table(axes, x[0].dtype())?;
            ops.unaided(&LatentHeads(axes, &table), [&x[0], &x[1], &x[2]])
        });
    }

    /// Without a rotated part it is a way to pack, and what does not fit is refused.
    #[test]
    fn nothing_need_be_rotated() -> Result<()> {
        let axes = of(3, 2, [3, 0, 2]);
        let [q, kv, shared] = axes
            .shapes()
            .map(|shape| random(&shape, DType::F32, 1).unwrap());
        let table = table(axes, DType::F32)?;
        for ops in [Ops::fused(), Ops::reference()] {
            let packed = ops.unaided(&LatentHeads(axes, &table), [&q, &kv, &shared])?;
            let plain = Tensor::cat(&[&q, &kv], 1)?;
            assert_eq!(packed.to_vec2::<f32>()?, plain.to_vec2::<f32>()?);
            let wrong = ops.unaided(&LatentHeads(axes, &table), [&kv, &kv, &shared]);
            assert!(wrong.is_err());
        }
        Ok(())
    }
}
