//! Products with packed weights, for inference: `y = x W^T + b` with W in one of GGUF's [`Format`]s.
//!
//! A few rows of W at a time are unpacked in registers, or with many rows of x into the first-level cache, and multiplied there: what
//! is read from memory is the packed weight, once. Activations stay f32, so that a product is that with the unpacked matrix to the bit, and the
//! rounding of the weights is all that it costs in quality.

mod format;
mod kernel;

use super::counted;
use super::cpu::matmul::{Matrix, MatrixMut, Shared, product};
use super::cpu::rows::{chunks, tensor, with_numbers};
use super::cpu::simd::accumulate;
use super::cpu::tile::FewRows;
use candle_core::quantized::QTensor;
use candle_core::{DType, Result, Tensor, bail};
use rayon::prelude::*;

pub use format::Format;

/// Rows of W that are unpacked at a time.
const UNPACKED: usize = 4;
/// Rows of W that one task multiplies.
const ROWS_PER_TASK: usize = 64;
/// Rows of x up to which W is unpacked piece by piece; more, and it is unpacked once as a whole.
const FEW_ROWS: usize = 32;
/// Numbers of W below which waking threads costs more than they save.
const SERIAL: usize = 32 * 1024;

/// A packed matrix (M, K) in the memory of the host.
#[derive(Debug, Clone)]
pub struct Packed {
    format: Format,
    rows: usize,
    columns: usize,
    blocks: Vec<u8>,
}

impl Packed {
    /// Rounds a matrix (M, K) of f32 on the CPU, as ggml's reference does.
    ///
    /// # Errors
    /// Where K is no multiple of the numbers of a block.
    pub fn of(weights: &Tensor, format: Format) -> Result<Self> {
        let (rows, columns) = weights.dims2()?;
        if !columns.is_multiple_of(format.numbers()) {
            bail!(
                "{} packs {} numbers of a row at a time, and these rows have {columns}",
                format.name(),
                format.numbers()
            );
        }
        let weights = weights.to_dtype(DType::F32)?.contiguous()?;
        let packed = QTensor::quantize(&weights, format.of_candle())?;
        let blocks = packed.data()?.into_owned();
        assert_eq!(
            blocks.len(),
            rows * columns / format.numbers() * format.bytes()
        );
        Ok(Self {
            format,
            rows,
            columns,
            blocks,
        })
    }

    /// What is read of it for one token.
    pub fn bytes(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// The numbers that it stands for, (M, K).
    ///
    /// # Errors
    /// Where memory runs out.
    pub fn unpacked(&self) -> Result<Tensor> {
        tensor(self.numbers(), (self.rows, self.columns))
    }

    /// `x W^T (+ bias)`: x (N, K), bias (M) to (N, M), all of f32 on the CPU. No gradient.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn multiply(&self, x_nk: &Tensor, bias_m: Option<&Tensor>) -> Result<Tensor> {
        let (rows, columns) = x_nk.dims2()?;
        if columns != self.columns || bias_m.is_some_and(|bias| bias.dims() != [self.rows]) {
            bail!(
                "a product of {:?} by packed ({}, {}) does not fit",
                x_nk.shape(),
                self.rows,
                self.columns
            );
        }
        let x_nk = x_nk.contiguous()?;
        let y = match bias_m {
            Some(bias) => {
                with_numbers::<f32, _, 2>([&x_nk, bias], |[x, bias]| self.times(x, Some(bias)))?
            }
            None => with_numbers::<f32, _, 1>([&x_nk], |[x]| self.times(x, None))?,
        };
        tensor(y, (rows, self.rows))
    }

    fn times(&self, x: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let (n, m, k) = (x.len() / self.columns, self.rows, self.columns);
        if n > FEW_ROWS {
            let w = self.numbers();
            let mut y = product(Matrix::new(x, n, k, k), Matrix::new(&w, m, k, k).t());
            if let Some(bias) = bias {
                let work = y.len();
                chunks(&mut y, m, work, |_, row| accumulate(row, bias));
            }
            return y;
        }
        counted::add((2 * n * m * k) as i64);
        let mut y_nm = vec![0.0; n * m];
        let y = Shared::new(&mut y_nm, m);
        let task = |i: usize| {
            let rows = i * ROWS_PER_TASK..((i + 1) * ROWS_PER_TASK).min(m);
            let mut numbers = vec![0.0; UNPACKED * k];
            for from in rows.clone().step_by(UNPACKED) {
                let to = (from + UNPACKED).min(rows.end);
                // SAFETY: each task has columns of its own, and within it each piece.
                let mut part = unsafe { y.part((0, from), n, to - from) };
                self.some(x, from..to, &mut numbers, &mut part);
                if let Some(bias) = bias {
                    (0..n).for_each(|j| accumulate(part.row(j), &bias[from..to]));
                }
            }
        };
        let tasks = m.div_ceil(ROWS_PER_TASK);
        if m * k <= SERIAL {
            (0..tasks).for_each(task);
        } else {
            (0..tasks).into_par_iter().for_each(task);
        }
        y_nm
    }

    /// Some rows of W with all of x.
    fn some(
        &self,
        x: &[f32],
        rows: std::ops::Range<usize>,
        numbers: &mut [f32],
        out: &mut MatrixMut<'_, f32>,
    ) {
        let blocks = self.rows_of(rows.clone());
        if kernel::multiplied(self.format, blocks, x, self.columns, out) {
            return;
        }
        let numbers = &mut numbers[..rows.len() * self.columns];
        format::unpack::<f32>(self.format, self.rows_of(rows), numbers);
        f32::rows_by_rows(x, numbers, self.columns, out);
    }

    fn rows_of(&self, rows: std::ops::Range<usize>) -> &[u8] {
        let each = self.columns / self.format.numbers() * self.format.bytes();
        &self.blocks[rows.start * each..rows.end * each]
    }

    fn numbers(&self) -> Vec<f32> {
        let mut all = vec![0.0; self.rows * self.columns];
        let (size, work) = (UNPACKED * self.columns, all.len());
        chunks(&mut all, size, work, |i, part| {
            let from = i * UNPACKED;
            let rows = from..from + part.len() / self.columns;
            format::unpack::<f32>(self.format, self.rows_of(rows), part);
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Ops;
    use crate::ops::check::random;

    fn flat(x: &Tensor) -> Vec<f32> {
        x.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn every_format_is_unpacked_as_the_library_does() -> Result<()> {
        let weights = random(&[7, 512], DType::F32, 1)?;
        for format in Format::ALL {
            let packed = Packed::of(&weights, format)?;
            let theirs = QTensor::quantize(&weights, format.of_candle())?;
            let theirs = theirs.dequantize(weights.device())?;
            assert_eq!(
                flat(&packed.unpacked()?),
                flat(&theirs),
                "{}",
                format.name()
            );
            let bits = 8.0 * packed.bytes() as f64 / weights.elem_count() as f64;
            assert!((4.5..=8.5).contains(&bits), "{bits}");
        }
        Ok(())
    }

    #[test]
    fn a_product_is_that_with_the_unpacked_matrix() -> Result<()> {
        let weights = random(&[130, 256], DType::F32, 1)?;
        let bias = random(&[130], DType::F32, 2)?;
        for format in Format::ALL {
            let packed = Packed::of(&weights, format)?;
            let numbers = packed.unpacked()?;
            for n in [1, 2, 5, 32, 60] {
                let x = random(&[n, 256], DType::F32, 3)?;
                for bias in [None, Some(&bias)] {
                    let truth = Ops::fused().linear(&x, &numbers, bias)?;
                    let (seen, truth) = (flat(&packed.multiply(&x, bias)?), flat(&truth));
                    let worst = seen.iter().zip(&truth).map(|(a, b)| (a - b).abs());
                    let worst = worst.fold(0.0, f32::max);
                    // With a bias a large product begins at it, in another order.
                    let allowed = if n > FEW_ROWS { 1e-4 } else { 0.0 };
                    assert!(worst <= allowed, "{} {n}: {worst}", format.name());
                }
            }
        }
        Ok(())
    }

    #[test]
    fn rows_that_fill_no_block_are_refused() -> Result<()> {
        let narrow = random(&[4, 96], DType::F32, 1)?;
        assert!(Packed::of(&narrow, Format::Q8_0).is_ok());
        let error = Packed::of(&narrow, Format::Q4K).unwrap_err().to_string();
        assert!(
            error.contains("q4_k packs 256 numbers of a row at a time"),
            "{error}"
        );
        let packed = Packed::of(&narrow, Format::Q8_0)?;
        let wide = random(&[2, 128], DType::F32, 1)?;
        assert!(packed.multiply(&wide, None).is_err());
        Ok(())
    }
}
