//! Rounding to the numbers of a narrower type, in place of having that type: `Q(x) = s r(x / s)`, with `r` the nearest number of a
//! [`Grid`] and the scale `s` of a tensor, a row, a tile or a block.
//!
//! The scale of a grid with a largest number is `max |x|` over it, as DeepSeek-V3's are (arXiv 2412.19437, section 3.3.2), so that
//! nothing is beyond; that of three values is `mean |x|`, at least 1e-5. bf16 has none. What a product of such factors adds up stays f32.
//! Where the paper's code takes 1e-4 for a smaller maximum, here only zeros have no scale: gradients of a mean are smaller than that.
//!
//! Backwards it is the identity, and [`fused_gradient`] is its mirror: nothing forwards, and rounding backwards.

mod grid;
#[cfg(test)]
mod tests;

use super::cpu::real::{Real, typed};
use super::cpu::rows::{chunks, numbers, tensor, with_numbers};
use super::cpu::simd::{fold, simd};
use super::tape::{Tape, apply1};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};
use grid::Numbers;
use std::marker::PhantomData;

pub use grid::{Grid, Rounding, Share};

/// The smallest maximum that a scale is made of: only zeros are below.
const LEAST_MAXIMUM: f64 = 1e-30;
/// The smallest mean size (`microsoft/BitNet`'s).
const LEAST_MEAN: f64 = 1e-5;
/// Numbers that a task rounds.
const AT_ONCE: usize = 4096;

pub(super) fn fused(tape: Option<&Tape>, x: &Tensor, rounding: Rounding) -> Result<Tensor> {
    typed!(x, F => apply1(tape, StraightThrough::<F>(rounding, PhantomData), &x.contiguous()?))
}

pub(super) fn fused_gradient(
    tape: Option<&Tape>,
    y: &Tensor,
    rounding: Rounding,
) -> Result<Tensor> {
    let back = Backwards {
        rounding,
        plain: false,
    };
    apply1(tape, back, &y.contiguous()?)
}

/// By candle's plain operations; the difference of x and itself is an exact zero with x's gradient.
pub(super) fn straight_through(x: &Tensor, rounding: Rounding) -> Result<Tensor> {
    let rounded = planted(&x.detach(), rounding)?;
    if !x.track_op() {
        return Ok(rounded);
    }
    (x - x.detach())? + rounded
}

pub(super) fn plain_gradient(y: &Tensor, rounding: Rounding) -> Result<Tensor> {
    let plain = true;
    y.contiguous()?.apply_op1(Backwards { rounding, plain })
}

/// As [`reference`], with the first column out of proportion while it is rounded.
fn planted(x: &Tensor, rounding: Rounding) -> Result<Tensor> {
    if rounding.first == 1.0 {
        return reference(x, rounding);
    }
    let mut sizes = vec![1.0; x.dim(1)?];
    sizes[..1].fill(rounding.first);
    let sizes = Tensor::new(sizes, x.device())?.to_dtype(x.dtype())?;
    reference(&x.broadcast_mul(&sizes)?, rounding)?.broadcast_div(&sizes)
}

/// The rounded numbers by candle's operations, on any device and of any type.
fn reference(x: &Tensor, rounding: Rounding) -> Result<Tensor> {
    let dtype = x.dtype();
    if rounding.grid == Grid::Bf16 {
        return x.to_dtype(DType::BF16)?.to_dtype(dtype);
    }
    let wide = match dtype {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    let (rows, columns) = x.dims2()?;
    let [high, wide_block] = rounding.block(rows, columns);
    let (down, across) = (rows.div_ceil(high), columns.div_ceil(wide_block));
    let blocks = x
        .to_dtype(wide)?
        .pad_with_zeros(0, 0, down * high - rows)?
        .pad_with_zeros(1, 0, across * wide_block - columns)?
        .reshape((down, high, across, wide_block))?;
    let scale = plain_scale(&blocks, rounding)?;
    let numbers = rounding.grid.numbers();
    let rounded = plain_nearest(&blocks.broadcast_div(&scale)?, numbers)?.broadcast_mul(&scale)?;
    let whole = rounded.reshape((down * high, across * wide_block))?;
    whole
        .narrow(0, 0, rows)?
        .narrow(1, 0, columns)?
        .contiguous()?
        .to_dtype(dtype)
}

/// Of blocks (R, H, C, W), (R, 1, C, 1).
fn plain_scale(blocks: &Tensor, rounding: Rounding) -> Result<Tensor> {
    let size = blocks.abs()?;
    if rounding.grid == Grid::Ternary {
        // A sum in f32 has another last bit for every order.
        let mean = size
            .to_dtype(DType::F64)?
            .mean_all()?
            .to_dtype(size.dtype())?;
        return mean.maximum(LEAST_MEAN)?.reshape((1, 1, 1, 1));
    }
    let most = rounding.grid.numbers().most;
    let maximum = size.max_keepdim(3)?.max_keepdim(1)?;
    // By a tensor, since candle multiplies by the inverse of a number.
    let most = Tensor::full(most, (), blocks.device())?.to_dtype(blocks.dtype())?;
    let scale = maximum.maximum(LEAST_MAXIMUM)?.broadcast_div(&most)?;
    if !rounding.power_of_two {
        return Ok(scale);
    }
    let power = near_power(&scale)?;
    power.lt(&scale)?.where_cond(&(&power * 2.0)?, &power)
}

/// A power of two within a factor of about sqrt 2 of a positive number.
fn near_power(x: &Tensor) -> Result<Tensor> {
    let exponent = (x.log()? / std::f64::consts::LN_2)?.round()?;
    // exp is off by its last bits; bf16 has none of those, and every exponent.
    let power = (exponent * std::f64::consts::LN_2)?.exp()?;
    power.to_dtype(DType::BF16)?.to_dtype(x.dtype())
}

fn plain_nearest(x: &Tensor, numbers: Numbers) -> Result<Tensor> {
    let Numbers {
        relative,
        least,
        most,
    } = numbers;
    let step = if relative > 0.0 {
        let size = x.abs()?.maximum(least)?;
        let power = near_power(&size)?;
        let octave = power.gt(&size)?.where_cond(&(&power / 2.0)?, &power)?;
        (octave * relative)?.maximum(least)?
    } else {
        x.ones_like()?
    };
    // Numbers of the size of this one are whole.
    let whole = match x.dtype() {
        DType::F64 => 1.5 * 2f64.powi(52),
        _ => 1.5 * 2f64.powi(23),
    };
    let nearest = (((x / &step)? + whole)? - whole)? * step;
    nearest?.clamp(-most, most)
}

struct StraightThrough<F>(Rounding, PhantomData<F>);

impl<F: Real> CustomOp1 for StraightThrough<F> {
    fn name(&self) -> &'static str {
        "quantise"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, columns) = layout.shape().dims2()?;
        let x = numbers::<F>(x, layout)?;
        let first = F::of(self.0.first);
        if self.0.first == 1.0 {
            let y = rounded(x, columns, self.0);
            return Ok((F::to_cpu_storage_owned(y), layout.shape().clone()));
        }
        let mut x = x.to_vec();
        x.iter_mut().step_by(columns).for_each(|x| *x = first * *x);
        let mut y = rounded(&x, columns, self.0);
        for y in y.iter_mut().step_by(columns) {
            let rounded = *y;
            *y = rounded / first;
        }
        Ok((F::to_cpu_storage_owned(y), layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(g.clone()))
    }
}

/// The identity, and rounding of its gradient.
struct Backwards {
    rounding: Rounding,
    /// By candle's operations.
    plain: bool,
}

impl CustomOp1 for Backwards {
    fn name(&self) -> &'static str {
        "quantise a gradient"
    }

    fn cpu_fwd(&self, y: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        whole(layout)?;
        Ok((y.try_clone(layout)?, layout.shape().clone()))
    }

    fn cuda_fwd(&self, y: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        whole(layout)?;
        Ok((y.try_clone(layout)?, layout.shape().clone()))
    }

    fn bwd(&self, _y: &Tensor, _same: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        if self.plain {
            return Ok(Some(reference(&g.detach(), self.rounding)?));
        }
        let (g, columns) = (g.contiguous()?, g.dim(1)?);
        let dy = typed!(g, F => {
            let dy = with_numbers::<F, _, 1>([&g], |[g]| rounded(g, columns, self.rounding))?;
            tensor(dy, g.shape())?
        });
        Ok(Some(dy))
    }
}

/// Refuses a part of a longer storage, all of which would be copied.
fn whole(layout: &Layout) -> Result<()> {
    match layout.contiguous_offsets() {
        Some((0, _)) => Ok(()),
        _ => bail!("a gradient is rounded of whole tensors, not of views"),
    }
}

/// The rounded numbers of a matrix, row by row.
fn rounded<F: Real>(x: &[F], columns: usize, rounding: Rounding) -> Vec<F> {
    let columns = columns.max(1);
    let rows = x.len() / columns;
    let mut y = vec![F::ZERO; x.len()];
    let [high, wide] = rounding.block(rows, columns);
    if rounding.grid == Grid::Bf16 || (high >= rows && wide >= columns) {
        let scale = scale_of::<F>(rounding, whole_extent(x, rounding.grid), x.len());
        chunks(&mut y, AT_ONCE, x.len(), |i, y| {
            snap(rounding.grid, scale, &x[i * AT_ONCE..][..y.len()], y)
        });
        return y;
    }
    let band = high * columns;
    let size = (AT_ONCE / band).max(1) * band;
    chunks(&mut y, size, x.len(), |i, y| {
        let x = &x[i * size..][..y.len()];
        by_blocks(rounding, columns, x, y);
    });
    y
}

/// The sum or maximum of a whole matrix, the same to the bit whatever the threads.
fn whole_extent<F: Real>(x: &[F], grid: Grid) -> f64 {
    if grid == Grid::Bf16 {
        return 0.0;
    }
    let mut parts = vec![0.0; x.len().div_ceil(AT_ONCE)];
    chunks(&mut parts, 1, x.len(), |i, part| {
        let from = i * AT_ONCE;
        part[0] = extent(grid, &x[from..(from + AT_ONCE).min(x.len())]);
    });
    parts
        .into_iter()
        .fold(0.0, |all, part| join(grid, all, part))
}

/// Of two parts of a block.
#[inline(always)]
fn join(grid: Grid, a: f64, b: f64) -> f64 {
    match grid {
        Grid::Ternary => a + b,
        _ if b > a => b,
        _ => a,
    }
}

/// The scale of so many numbers, of their [`extent`].
#[inline(always)]
fn scale_of<F: Real>(rounding: Rounding, extent: f64, count: usize) -> F {
    let of_maximum = || {
        let maximum = F::of(if extent < LEAST_MAXIMUM {
            LEAST_MAXIMUM
        } else {
            extent
        });
        maximum / F::of(rounding.grid.numbers().most)
    };
    match rounding.grid {
        Grid::Bf16 => F::ONE,
        Grid::Ternary => {
            let mean = extent / count.max(1) as f64;
            F::of(if mean < LEAST_MEAN { LEAST_MEAN } else { mean })
        }
        _ if rounding.power_of_two => {
            let scale: F = of_maximum();
            let below = scale.octave();
            if below < scale { below + below } else { below }
        }
        _ => of_maximum(),
    }
}

#[inline(always)]
fn size<F: Real>(x: F) -> F {
    if x < F::ZERO { -x } else { x }
}

/// The nearest number of a grid, times the scale. NaN stays NaN.
#[inline(always)]
fn on_grid<F: Real>([relative, least, most]: [F; 3], scale: F, x: F) -> F {
    let x = x / scale;
    let step = x.octave() * relative;
    let step = if step < least { least } else { step };
    let y = (x / step).nearest() * step;
    let y = if y > most { most } else { y };
    (if y < -most { -most } else { y }) * scale
}

#[inline(always)]
fn constants<F: Real>(grid: Grid) -> [F; 3] {
    let Numbers {
        relative,
        least,
        most,
    } = grid.numbers();
    [relative, least, most].map(F::of)
}

simd! {
    /// The largest size of some numbers; of a grid that asks for it, the sum of their sizes.
    fn extent<S, F>(grid: Grid, x: &[F]) -> f64 {
        extent_of(grid, x)
    }
}

#[inline(always)]
fn extent_of<F: Real>(grid: Grid, x: &[F]) -> f64 {
    if grid == Grid::Ternary {
        const LANES: usize = 8;
        let mut lanes = [0.0; LANES];
        let (eights, rest) = x.as_chunks::<LANES>();
        for x in eights {
            for i in 0..LANES {
                lanes[i] += size(x[i]).to_f64();
            }
        }
        let mut sum = 0.0;
        for lane in lanes {
            sum += lane;
        }
        for &x in rest {
            sum += size(x).to_f64();
        }
        return sum;
    }
    let larger = |a: F, b: F| if b > a { b } else { a };
    let maximum = fold(x, F::ZERO, |most, x| larger(most, size(x)), larger);
    maximum.to_f64()
}

simd! {
    /// Numbers of one scale.
    fn snap<S, F>(grid: Grid, scale: F, x: &[F], y: &mut [F]) {
        let constants = constants::<F>(grid);
        for (y, &x) in y.iter_mut().zip(x) {
            *y = on_grid(constants, scale, x);
        }
    }
}

simd! {
    /// Whole rows of blocks, of which the last may be lower and narrower.
    fn by_blocks<S, F>(rounding: Rounding, columns: usize, x: &[F], y: &mut [F]) {
        let constants = constants::<F>(rounding.grid);
        let [high, wide] = rounding.block(usize::MAX, columns);
        let rows = x.len() / columns;
        for top in (0..rows).step_by(high) {
            let bottom = (top + high).min(rows);
            for left in (0..columns).step_by(wide) {
                let width = wide.min(columns - left);
                let mut most = 0.0;
                for row in top..bottom {
                    let x = &x[row * columns + left..][..width];
                    most = join(rounding.grid, most, extent_of(rounding.grid, x));
                }
                let scale: F = scale_of(rounding, most, (bottom - top) * width);
                for row in top..bottom {
                    let from = row * columns + left;
                    let (x, y) = (&x[from..][..width], &mut y[from..][..width]);
                    for (y, &x) in y.iter_mut().zip(x) {
                        *y = on_grid(constants, scale, x);
                    }
                }
            }
        }
    }
}
