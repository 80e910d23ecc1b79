//! Products with packed weights, for inference and for what trains beside them: `y = x W^T + b` with W in one of GGUF's [`Format`]s.
//!
//! A few rows of W at a time are unpacked in registers, or with many rows of x into the first-level cache, and multiplied there: what
//! is read from memory is the packed weight, once. Activations stay f32, so that a product is that with the unpacked matrix to the bit, and the
//! rounding of the weights is all that it costs in quality; or they are [rounded](Activations) too, which is faster.

mod format;
#[cfg(target_arch = "x86_64")]
mod codes;
mod kernel;
mod rounded;
#[cfg(target_arch = "x86_64")]
mod dots;
mod products;
mod back;

use super::counted;
use super::cpu::matmul::{Before, Matrix, MatrixMut, Shared, all_threads, multiply};
use super::cpu::rows::{build, chunks, tensor, with_numbers};
use super::cpu::simd::accumulate;
use super::cpu::tile::FewRows;
use candle_core::quantized::QTensor;
use candle_core::{DType, Result, Tensor, bail};
use rayon::prelude::*;
use std::ops::Range;

pub use format::Format;
use rounded::Rounded;

/// Rows of W that are unpacked at a time.
const UNPACKED: usize = 4;
/// Rows of W that one task multiplies.
const ROWS_PER_TASK: usize = 64;
/// Rows of x up to which W is unpacked piece by piece; more, and it is unpacked a panel at a time.
const FEW_ROWS: usize = 32;
/// Numbers of a panel: 4 MiB, which a third-level cache holds.
const PANEL: usize = 1 << 20;
/// Numbers of W below which waking threads costs more than they save.
const SERIAL: usize = 32 * 1024;

/// What multiplies packed rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activations {
    /// As they are.
    #[default]
    F32,
    /// Rounded to whole numbers of 8 bits, each 32 with a scale of their own, as llama.cpp does it.
    Int8,
}

/// A packed matrix (M, K) in the memory of the host.
#[derive(Debug, Clone)]
pub struct Packed {
    rows: usize,
    columns: usize,
    /// One below the other: what is stacked in one matrix may be packed differently.
    parts: Vec<Part>,
}

/// Rows of x.
#[derive(Clone, Copy)]
enum Rows<'a> {
    AsTheyAre(&'a [f32]),
    Rounded(&'a Rounded),
}

impl Rows<'_> {
    /// Numbers of all rows.
    fn len(self) -> usize {
        match self {
            Self::AsTheyAre(x) => x.len(),
            Self::Rounded(x) => x.q.len(),
        }
    }
}

/// Rows of one format.
#[derive(Debug, Clone)]
struct Part {
    format: Format,
    rows: Range<usize>,
    blocks: Vec<u8>,
}

impl Packed {
    /// Rounds a matrix (M, K) of f32 on the CPU, as ggml's reference does.
    ///
    /// # Errors
    /// Where K is no multiple of the numbers of a block.
    pub fn of(weights: &Tensor, format: Format) -> Result<Self> {
        Self::of_formats(weights, &[(weights.dim(0)?, format)])
    }

    /// The same, so many rows of a format after the other.
    ///
    /// # Errors
    /// Where K is no multiple of the numbers of a block, or the rows are others.
    pub fn of_formats(weights: &Tensor, formats: &[(usize, Format)]) -> Result<Self> {
        let (rows, columns) = weights.dims2()?;
        if formats.iter().map(|(rows, _)| rows).sum::<usize>() != rows {
            bail!("formats of {formats:?} rows, and a matrix has {rows}");
        }
        let weights = weights.to_dtype(DType::F32)?.contiguous()?;
        let (mut from, mut parts) = (0, Vec::new());
        for &(rows, format) in formats {
            whole_blocks(format, columns)?;
            let packed = QTensor::quantize(&weights.narrow(0, from, rows)?, format.of_candle())?;
            parts.push((format, packed.data()?.into_owned()));
            from += rows;
        }
        Self::of_blocks(columns, parts)
    }

    /// Rows of K numbers that are packed already, one part below the other.
    ///
    /// # Errors
    /// Where K is no multiple of the numbers of a block, or a part is no whole rows.
    pub fn of_blocks(columns: usize, parts: Vec<(Format, Vec<u8>)>) -> Result<Self> {
        let (mut rows, mut kept) = (0, Vec::new());
        for (format, blocks) in parts {
            whole_blocks(format, columns)?;
            let of_row = format.bytes_of_row(columns);
            if of_row == 0 || !blocks.len().is_multiple_of(of_row) {
                bail!("{} bytes are no whole rows of {of_row}", blocks.len());
            }
            let from = rows;
            rows += blocks.len() / of_row;
            let rows = from..rows;
            kept.push(Part {
                format,
                rows,
                blocks,
            });
        }
        Ok(Self {
            rows,
            columns,
            parts: kept,
        })
    }

    /// All that it holds, which is what is read of it for one token.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.blocks.len() as u64).sum()
    }

    /// What one row takes, of the format that most of it is in.
    pub fn bytes_of_row(&self) -> u64 {
        self.bytes().div_ceil(self.rows.max(1) as u64)
    }

    /// The numbers that it stands for, (M, K).
    ///
    /// # Errors
    /// Where memory runs out.
    pub fn unpacked(&self) -> Result<Tensor> {
        let mut all = vec![0.0; self.rows * self.columns];
        self.numbers(0..self.rows, &mut all);
        tensor(all, (self.rows, self.columns))
    }

    /// The rows of those ids, N of U32: (N, K).
    ///
    /// # Errors
    /// Where there is no such row.
    pub fn looked_up(&self, ids: &Tensor) -> Result<Tensor> {
        let ids = ids.flatten_all()?.to_vec1::<u32>()?;
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.rows) {
            bail!("row {id} of a table of {}", self.rows);
        }
        let k = self.columns;
        let rows = build(ids.len(), k, |first, rows: &mut [f32]| {
            for (row, id) in rows.chunks_mut(k).zip(&ids[first..]) {
                self.serial(*id as usize..*id as usize + 1, row);
            }
        });
        tensor(rows, (ids.len(), k))
    }

    /// `x W^T (+ bias)`: x (N, K), bias (M) to (N, M), all of f32 on the CPU. No gradient.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn multiply(
        &self,
        x_nk: &Tensor,
        bias_m: Option<&Tensor>,
        activations: Activations,
    ) -> Result<Tensor> {
        let rows = self.check(x_nk, bias_m)?;
        let x_nk = x_nk.contiguous()?;
        let times = |x: &[f32], bias: Option<&[f32]>| match activations {
            Activations::F32 => self.times(Rows::AsTheyAre(x), bias),
            Activations::Int8 => self.times(Rows::Rounded(&Rounded::of(x)), bias),
        };
        let y = match bias_m {
            Some(bias) => {
                with_numbers::<f32, _, 2>([&x_nk, bias], |[x, bias]| times(x, Some(bias)))?
            }
            None => with_numbers::<f32, _, 1>([&x_nk], |[x]| times(x, None))?,
        };
        tensor(y, (rows, self.rows))
    }

    /// The rows of inputs that fit.
    fn check(&self, x_nk: &Tensor, bias_m: Option<&Tensor>) -> Result<usize> {
        let (rows, columns) = x_nk.dims2()?;
        if columns != self.columns || bias_m.is_some_and(|bias| bias.dims() != [self.rows]) {
            bail!(
                "a product of {:?} by packed ({}, {}) does not fit",
                x_nk.shape(),
                self.rows,
                self.columns
            );
        }
        Ok(rows)
    }

    fn times(&self, x: Rows, bias: Option<&[f32]>) -> Vec<f32> {
        let (n, m, k) = (x.len() / self.columns, self.rows, self.columns);
        let mut y_nm = vec![0.0; n * m];
        if n > FEW_ROWS {
            match x {
                Rows::AsTheyAre(x) => self.by_panels(x, &mut y_nm),
                Rows::Rounded(x) => self.by_panels(&x.numbers(), &mut y_nm),
            }
            if let Some(bias) = bias {
                chunks(&mut y_nm, m, n * m, |_, row| accumulate(row, bias));
            }
            return y_nm;
        }
        counted::add((2 * n * m * k) as i64);
        let y = Shared::new(&mut y_nm, m);
        let task = |rows: Range<usize>| {
            // SAFETY: each task has columns of its own.
            let mut part = unsafe { y.part((0, rows.start), n, rows.len()) };
            self.some(x, rows.clone(), &mut part);
            if let Some(bias) = bias {
                (0..n).for_each(|j| accumulate(part.row(j), &bias[rows.clone()]));
            }
        };
        if m * k <= SERIAL {
            self.tasks(0..m).into_iter().for_each(task);
        } else {
            self.tasks(0..m).into_par_iter().for_each(task);
        }
        y_nm
    }

    /// With many rows of x: some of W are unpacked for all of them.
    fn by_panels(&self, x: &[f32], y_nm: &mut [f32]) {
        let (n, m, k) = (x.len() / self.columns, self.rows, self.columns);
        let most = (PANEL / k).clamp(1, m);
        let mut numbers = vec![0.0; most * k];
        let y = Shared::new(y_nm, m);
        for from in (0..m).step_by(most) {
            let rows = from..(from + most).min(m);
            let numbers = &mut numbers[..rows.len() * k];
            self.numbers(rows.clone(), numbers);
            // SAFETY: no other part exists at this time.
            let mut part = unsafe { y.part((0, from), n, rows.len()) };
            let product = (
                Matrix::new(x, n, k, k),
                Matrix::new(numbers, rows.len(), k, k).t(),
            );
            multiply(&mut part, Before::Overwritten, 1.0, product, all_threads());
        }
    }

    /// Those rows, at most so many at a time as one task takes, and each time of one part.
    fn tasks(&self, rows: Range<usize>) -> Vec<Range<usize>> {
        let inside = |part: &Part| {
            part.rows.start.max(rows.start)..part.rows.end.min(rows.end).max(rows.start)
        };
        let parts = self.parts.iter().map(inside);
        let tasks = parts.flat_map(|rows| {
            let starts = rows.clone().step_by(ROWS_PER_TASK);
            starts.map(move |from| from..(from + ROWS_PER_TASK).min(rows.end))
        });
        tasks.collect()
    }

    /// Some rows of W, all of one part, with all of x.
    fn some(&self, x: Rows, rows: Range<usize>, out: &mut MatrixMut<'_, f32>) {
        let (format, blocks) = self.stretch(rows.clone());
        let k = self.columns;
        let x = match x {
            Rows::AsTheyAre(x) => x,
            Rows::Rounded(x) => return products::multiply(format, blocks, x, k, out),
        };
        if kernel::multiplied(format, blocks, x, k, out) {
            return;
        }
        let mut numbers = vec![0.0; UNPACKED * k];
        let of_row = format.bytes_of_row(k);
        for from in (0..rows.len()).step_by(UNPACKED) {
            let some = from..(from + UNPACKED).min(rows.len());
            let numbers = &mut numbers[..some.len() * k];
            format::unpack::<f32>(
                format,
                &blocks[some.start * of_row..some.end * of_row],
                numbers,
            );
            f32::rows_by_rows(x, numbers, k, &mut out.columns(some));
        }
    }

    /// The blocks of rows that are all of one part.
    fn stretch(&self, rows: Range<usize>) -> (Format, &[u8]) {
        let holds = |part: &&Part| part.rows.contains(&rows.start);
        let Some(part) = self.parts.iter().find(holds) else {
            return (Format::Q8_0, &[]);
        };
        let of_row = part.format.bytes_of_row(self.columns);
        let [from, to] = [rows.start, rows.end].map(|row| (row - part.rows.start) * of_row);
        (part.format, &part.blocks[from..to])
    }

    /// The numbers of some rows, on one thread.
    fn serial(&self, rows: Range<usize>, out: &mut [f32]) {
        let mut done = 0;
        for rows in self.tasks(rows) {
            let (format, blocks) = self.stretch(rows.clone());
            let part = &mut out[done..done + rows.len() * self.columns];
            format::unpack::<f32>(format, blocks, part);
            done += rows.len() * self.columns;
        }
    }

    /// The same on all threads.
    fn numbers(&self, rows: Range<usize>, out: &mut [f32]) {
        let (size, work) = (UNPACKED * self.columns, out.len());
        chunks(out, size, work, |i, part| {
            let from = rows.start + i * UNPACKED;
            self.serial(from..from + part.len() / self.columns, part);
        });
    }
}

fn whole_blocks(format: Format, columns: usize) -> Result<()> {
    if !columns.is_multiple_of(format.numbers()) {
        bail!(
            "{} packs {} numbers of a row at a time, and these rows have {columns}",
            format.name(),
            format.numbers()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
