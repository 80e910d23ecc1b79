//! Rotary positions (Su et al. 2021, arXiv:2104.09864): the pair (i, i + D/2) of a query's or key's head is turned by
//! `position * base^(-2i / D)`, so that their products depend on distances only.
//!
//! `a' = a cos - b sin`, `b' = b cos + a sin`: the half-split pairing of GPT-NeoX and Llama. Backwards, the turn the other way.

pub(super) mod gpu;

use super::axes::Axes;
use super::cpu::real::{Real, typed};
use super::cpu::rows::{build, numbers, tensor, with_numbers};
use super::cpu::simd::simd;
use super::tape::{Tape, apply1};
use candle_core::{CpuStorage, CustomOp1, D, DType, Device, Layout, Result, Shape, Tensor, bail};
use std::marker::PhantomData;

/// Cosines and sines of every position's angles, (T, D/2) each.
#[derive(Debug, Clone)]
pub struct RopeTable {
    cos: Tensor,
    sin: Tensor,
}

impl RopeTable {
    /// The table of `time` positions from `offset` on, for heads of an even width; `base` is 10000 in the paper.
    pub fn new(
        time: usize,
        offset: usize,
        head_width: usize,
        base: f64,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        if !head_width.is_multiple_of(2) {
            bail!("rotary positions need heads of an even width, not {head_width}");
        }
        let all = Self::frequencies(base, head_width);
        Self::of(&all, (offset, time), dtype, device)
    }

    /// By how many radians each pair of a head turns from a position to the next: `base^(-2i / D)`.
    pub fn frequencies(base: f64, head_width: usize) -> Vec<f64> {
        let pair = |i: usize| base.powf(-2.0 * i as f64 / head_width as f64);
        (0..head_width / 2).map(pair).collect()
    }

    /// The table of positions from the first on, so many, for pairs that turn by these angles from one position to the next.
    pub fn of(
        frequencies: &[f64],
        (offset, time): (usize, usize),
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let half = frequencies.len();
        let angle = |i: usize| (offset + i / half) as f64 * frequencies[i % half];
        let make = |f: fn(f64) -> f64| {
            let numbers: Vec<f64> = (0..time * half).map(|i| f(angle(i))).collect();
            Tensor::from_vec(numbers, (time, half), &Device::Cpu)?
                .to_dtype(dtype)?
                .to_device(device)
        };
        Ok(Self {
            cos: make(f64::cos)?,
            sin: make(f64::sin)?,
        })
    }

    /// Whether it lies there, and has so many positions.
    pub fn holds(&self, positions: usize, device: &Device) -> bool {
        self.cos.device().same_device(device) && self.cos.dims()[0] >= positions
    }

    /// The rows of `time` positions from `start` on, without copying: for decoding token by token.
    pub fn slice(&self, start: usize, time: usize) -> Result<Self> {
        Ok(Self {
            cos: self.cos.narrow(0, start, time)?,
            sin: self.sin.narrow(0, start, time)?,
        })
    }

    /// Of heads half as wide: their angles are every second of these.
    ///
    /// # Errors
    /// Where half a head is of an odd width.
    pub fn every_second(&self) -> Result<Self> {
        let pick = |angles: &Tensor| {
            let (time, half) = angles.dims2()?;
            let pairs = angles.contiguous()?.reshape((time, half / 2, 2))?;
            pairs.narrow(2, 0, 1)?.squeeze(2)?.contiguous()
        };
        Ok(Self {
            cos: pick(&self.cos)?,
            sin: pick(&self.sin)?,
        })
    }

    /// The same on another device, in another type.
    #[cfg(test)]
    pub(super) fn to(&self, device: &Device, dtype: DType) -> Result<Self> {
        let moved = |x: &Tensor| x.to_dtype(dtype)?.to_device(device);
        Ok(Self {
            cos: moved(&self.cos)?,
            sin: moved(&self.sin)?,
        })
    }

    /// Cosines and sines, contiguous.
    pub(super) fn parts(&self) -> Result<[Tensor; 2]> {
        Ok([self.cos.contiguous()?, self.sin.contiguous()?])
    }

    /// Heads (B, H, T, D) turned, by candle's operations.
    pub(super) fn turned(&self, x_bhtd: &Tensor) -> Result<Tensor> {
        let x = x_bhtd.to_dtype(self.cos.dtype())?;
        let turned = candle_nn::rotary_emb::rope_slow(&x, &self.cos, &self.sin)?;
        turned.to_dtype(x_bhtd.dtype())
    }

    pub(super) fn check(&self, axes: Axes) -> Result<()> {
        match self.cos.dims2()? {
            (time, half) if time >= axes.time && 2 * half == axes.head_width => Ok(()),
            _ => bail!(
                "a rotary table of {:?} does not fit {axes:?}",
                self.cos.shape()
            ),
        }
    }
}

pub(super) fn reference(qkv: &Tensor, axes: Axes, table: &RopeTable) -> Result<Tensor> {
    let turned = axes.before_values();
    let heads = qkv
        .narrow(1, 0, turned)?
        .reshape((
            axes.batch,
            axes.time,
            axes.heads + axes.kv_heads,
            axes.head_width,
        ))?
        .transpose(1, 2)?
        .contiguous()?;
    let heads = table.turned(&heads)?;
    let heads = heads.transpose(1, 2)?.reshape((axes.rows(), turned))?;
    Tensor::cat(
        &[
            heads,
            qkv.narrow(1, turned, axes.kv_heads * axes.of_values())?,
        ],
        D::Minus1,
    )
}

pub(super) fn fused(
    tape: Option<&Tape>,
    qkv: &Tensor,
    axes: Axes,
    table: &RopeTable,
) -> Result<Tensor> {
    let (cos, sin) = (table.cos.contiguous()?, table.sin.contiguous()?);
    typed!(qkv, F => {
        let op = Rope::<F> { axes, table: RopeTable { cos, sin }, numbers: PhantomData };
        apply1(tape, op, &qkv.contiguous()?)
    })
}

struct Rope<F> {
    axes: Axes,
    table: RopeTable,
    numbers: PhantomData<F>,
}

simd! {
    /// One row: the first heads are turned, `way` 1 forwards and -1 backwards, the rest is copied.
    fn turn<S, F>(way: F, cos: &[F], sin: &[F], turned: usize, x: &[F], y: &mut [F]) {
        let half = cos.len();
        y[turned..].copy_from_slice(&x[turned..]);
        let heads = x[..turned].chunks_exact(2 * half);
        for (x, y) in heads.zip(y[..turned].chunks_exact_mut(2 * half)) {
            let ((a, b), (ya, yb)) = (x.split_at(half), y.split_at_mut(half));
            let angles = cos.iter().zip(sin);
            let pairs = a.iter().zip(b).zip(ya.iter_mut().zip(yb));
            for (((&a, &b), (ya, yb)), (&cos, &sin)) in pairs.zip(angles) {
                *ya = a * cos - b * (way * sin);
                *yb = b * cos + a * (way * sin);
            }
        }
    }
}

impl<F: Real> Rope<F> {
    fn turned(&self, way: F, x: &[F]) -> Result<Vec<F>> {
        let axes = self.axes;
        let (packed, half) = (axes.packed_width(), axes.head_width / 2);
        with_numbers::<F, _, 2>([&self.table.cos, &self.table.sin], |[cos, sin]| {
            build(axes.rows(), packed, |first, block| {
                for (i, y) in block.chunks_exact_mut(packed).enumerate() {
                    let row = first + i;
                    let at = row % axes.time * half..(row % axes.time + 1) * half;
                    let turned = axes.before_values();
                    turn(
                        way,
                        &cos[at.clone()],
                        &sin[at],
                        turned,
                        &x[row * packed..][..packed],
                        y,
                    );
                }
            })
        })
    }
}

impl<F: Real> CustomOp1 for Rope<F> {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = self.turned(F::ONE, numbers(qkv, layout)?)?;
        Ok((F::to_cpu_storage_owned(y), layout.shape().clone()))
    }

    fn bwd(&self, qkv: &Tensor, _y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let d = with_numbers::<F, _, 1>([&g.contiguous()?], |[g]| self.turned(-F::ONE, g))??;
        Ok(Some(tensor(d, qkv.shape())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Ops;
    use crate::ops::check::{agrees, check, odd_shapes};
    use proptest::prelude::*;

    fn run(axes: Axes) -> impl Fn(Ops, &[Tensor]) -> Result<Tensor> + Sync {
        move |ops, x| {
            let table = RopeTable::new(
                axes.time + 2,
                3,
                axes.head_width,
                1e4,
                x[0].dtype(),
                &Device::Cpu,
            )?;
            ops.rope(&x[0], axes, &table)
        }
    }

    #[test]
    fn gradients_are_right() {
        let axes = Axes {
            batch: 2,
            time: 3,
            heads: 2,
            kv_heads: 1,
            head_width: 4,
            value_width: None,
            scale: None,
            window: None,
        };
        check(&[&[axes.rows(), axes.packed_width()]], run(axes));
        let axes = Axes {
            batch: 3,
            time: 100,
            heads: 4,
            kv_heads: 4,
            head_width: 10,
            value_width: None,
            scale: None,
            window: None,
        };
        agrees(&[&[axes.rows(), axes.packed_width()]], run(axes));
    }

    proptest! {
        #![proptest_config(odd_shapes())]
        #[test]
        fn any_shape(
            batch in 1..4usize,
            time in 1..70usize,
            kv_heads in 1..4usize,
            group in 1..4usize,
            half in 1..20usize,
        ) {
            let (heads, head_width) = (kv_heads * group, 2 * half);
            let axes = Axes { batch, time, heads, kv_heads, head_width, value_width: None,
                scale: None, window: None };
            agrees(&[&[axes.rows(), axes.packed_width()]], run(axes));
        }
    }

    #[test]
    fn values_of_another_width_pass_and_half_a_head_turns_as_one_of_its_width() -> Result<()> {
        let axes = Axes {
            batch: 2,
            time: 3,
            heads: 2,
            kv_heads: 1,
            head_width: 4,
            value_width: Some(3),
            scale: None,
            window: None,
        };
        check(&[&[axes.rows(), axes.packed_width()]], run(axes));
        let halved = RopeTable::new(9, 2, 8, 1e4, DType::F64, &Device::Cpu)?.every_second()?;
        let made = RopeTable::new(9, 2, 4, 1e4, DType::F64, &Device::Cpu)?;
        assert_eq!(halved.cos.to_vec2::<f64>()?, made.cos.to_vec2::<f64>()?);
        assert_eq!(halved.sin.to_vec2::<f64>()?, made.sin.to_vec2::<f64>()?);
        Ok(())
    }

    #[test]
    fn a_slice_is_the_table_made_with_an_offset() -> Result<()> {
        let table = RopeTable::new(9, 0, 6, 1e4, DType::F64, &Device::Cpu)?.slice(5, 2)?;
        let made = RopeTable::new(2, 5, 6, 1e4, DType::F64, &Device::Cpu)?;
        assert_eq!(table.cos.to_vec2::<f64>()?, made.cos.to_vec2::<f64>()?);
        assert_eq!(table.sin.to_vec2::<f64>()?, made.sin.to_vec2::<f64>()?);
        let axes = Axes {
            batch: 1,
            time: 3,
            heads: 1,
            kv_heads: 1,
            head_width: 6,
            value_width: None,
            scale: None,
            window: None,
        };
        let qkv = Tensor::zeros((3, 18), DType::F64, &Device::Cpu)?;
        assert!(
            Ops::fused().rope(&qkv, axes, &made).is_err(),
            "a table too short is refused"
        );
        Ok(())
    }
}
