//! Products with packed weights, for inference and for what trains beside them: `y = x W^T + b` with W in one of GGUF's [`Format`]s.
//!
//! A few rows of W at a time are unpacked in registers, or with many rows of x into the first-level cache, and multiplied there: what
//! is read from memory is the packed weight, once. Activations stay f32, so that a product is that with the unpacked matrix but for the order
//! of its sums, and the rounding of the weights is all that it costs in quality; or they are [rounded](Activations) too, which is faster.

mod format;
#[cfg(target_arch = "x86_64")]
mod codes;
mod rounded;
#[cfg(target_arch = "x86_64")]
mod interleaved;
#[cfg(target_arch = "x86_64")]
mod few;
#[cfg(target_arch = "x86_64")]
mod eights;
#[cfg(target_arch = "x86_64")]
mod sixteens;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod products;
mod back;

use super::counted;
use super::cpu::factors::{Factors, Right};
use super::cpu::matmul::{Matrix, MatrixMut, Shared, of_new};
use super::cpu::rows::{build, chunks, tensor, with_numbers};
use super::cpu::simd::accumulate;
use super::cpu::tile::FewRows;
use candle_core::quantized::QTensor;
use candle_core::{DType, Result, Tensor, bail};
use rayon::prelude::*;
use std::cell::Cell;
use std::ops::Range;

pub use format::Format;
use rounded::{Plain, Rounded, SHARED};

/// Rows of W that are unpacked at a time, and that lie side by side where a processor reads them so.
const UNPACKED: usize = 16;
#[cfg(target_arch = "x86_64")]
const _: () = assert!(UNPACKED == interleaved::SIDE);
/// Rows of W that one task multiplies at most, and tasks that a product is cut into rather than fewer larger ones.
const ROWS_PER_TASK: usize = 64;
const TASKS: usize = 64;
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

thread_local! {
    /// Memory of the last panel, to be written over by the next.
    static PANEL_KEPT: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
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
    AsTheyAre(Plain<'a>),
    Rounded(&'a Rounded),
}

impl Rows<'_> {
    /// Numbers of all rows.
    fn len(self) -> usize {
        match self {
            Self::AsTheyAre(plain) => plain.x.len(),
            Self::Rounded(x) => x.q.len(),
        }
    }
}

/// Rows of one format.
#[derive(Debug, Clone)]
struct Part {
    format: Format,
    layout: Layout,
    rows: Range<usize>,
    blocks: Vec<u8>,
}

/// How the blocks of rows lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// As in a file: a row behind the other.
    Rows,
    /// Sixteen rows side by side, block by block, as kernels whose lanes are rows read them.
    #[cfg(target_arch = "x86_64")]
    Sixteens,
}

/// Rows of one part.
#[derive(Clone, Copy)]
struct Stretch<'a> {
    format: Format,
    layout: Layout,
    blocks: &'a [u8],
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
            for (layout, blocks) in laid_out(format, blocks, columns) {
                let from = rows;
                rows += blocks.len() / of_row;
                kept.push(Part {
                    format,
                    layout,
                    rows: from..rows,
                    blocks,
                });
            }
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

    /// `x W^T (+ bias)`: x (N, K), bias (M) to (N, M), all of f32 on the CPU; with many rows both factors are rounded as `factors` says.
    /// No gradient.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub(super) fn multiply(
        &self,
        x_nk: &Tensor,
        bias_m: Option<&Tensor>,
        activations: Activations,
        factors: Factors,
    ) -> Result<Tensor> {
        let rows = self.check(x_nk, bias_m)?;
        let x_nk = x_nk.contiguous()?;
        let few = rows <= FEW_ROWS;
        let times = |x: &[f32], bias: Option<&[f32]>| match activations {
            Activations::F32 if few => self.times_plain(x, bias),
            Activations::F32 => self.by_panels(x, bias, factors),
            Activations::Int8 => {
                let x = Rounded::of(x);
                match few || factors == Factors::F32 && self.is_side_by_side() {
                    true => self.by_rows(Rows::Rounded(&x), bias),
                    false => self.by_panels(&x.numbers(), bias, factors),
                }
            }
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

    /// `x W^T (+ bias)`, of rows as they are.
    fn times_plain(&self, x: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let mut sums = vec![0.0; x.len() / SHARED];
        rounded::sums(x, &mut sums);
        let plain = Plain {
            x,
            sums: &sums,
            #[cfg(target_arch = "x86_64")]
            shifted: &match interleaved::lanes() {
                Some(interleaved::Lanes::Eight) => eights::shift(x),
                _ => Vec::new(),
            },
        };
        self.by_rows(Rows::AsTheyAre(plain), bias)
    }

    /// Whether all of W lies in sixteens, whose kernels of whole numbers are as good for many rows of x.
    fn is_side_by_side(&self) -> bool {
        self.parts.iter().all(|part| part.layout != Layout::Rows)
    }

    /// Some rows of W at a time, unpacked in registers where they are multiplied.
    fn by_rows(&self, x: Rows, bias: Option<&[f32]>) -> Vec<f32> {
        let (n, m, k) = (x.len() / self.columns, self.rows, self.columns);
        let mut y_nm = vec![0.0; n * m];
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
            self.tasks().into_iter().for_each(task);
        } else {
            self.tasks().into_par_iter().for_each(task);
        }
        y_nm
    }

    /// With many rows of x: some of W are unpacked for all of them.
    fn by_panels(&self, x: &[f32], bias: Option<&[f32]>, factors: Factors) -> Vec<f32> {
        let (n, m, k) = (x.len() / self.columns, self.rows, self.columns);
        let most = panel_rows(m, k);
        let mut numbers = PANEL_KEPT.take();
        if numbers.len() < most * k {
            numbers.resize(most * k, 0.0);
        }
        let write = |out: &mut MatrixMut<'_, f32>| {
            for from in (0..m).step_by(most) {
                let rows = from..(from + most).min(m);
                let numbers = &mut numbers[..rows.len() * k];
                self.numbers(rows.clone(), numbers);
                let numbers = Right::once(Matrix::new(numbers, rows.len(), k, k).t());
                let factors_of = (Matrix::new(x, n, k, k), &numbers);
                factors.overwrite(&mut out.columns(rows), factors_of);
            }
        };
        // SAFETY: the panels are all columns, and a product that overwrites reads nothing of what was there.
        let mut y_nm = unsafe { of_new(n, m, write) };
        PANEL_KEPT.set(numbers);
        if let Some(bias) = bias {
            chunks(&mut y_nm, m, n * m, |_, row| accumulate(row, bias));
        }
        y_nm
    }

    /// All rows, at most so many at a time as one task takes, and each time of one part.
    fn tasks(&self) -> Vec<Range<usize>> {
        let each = (self.rows / TASKS)
            .next_multiple_of(UNPACKED)
            .clamp(UNPACKED, ROWS_PER_TASK);
        let tasks = self.parts.iter().flat_map(|part| {
            let (rows, end) = (part.rows.clone(), part.rows.end);
            rows.step_by(each)
                .map(move |from| from..(from + each).min(end))
        });
        tasks.collect()
    }

    /// Some rows of W, all of one part, with all of x.
    fn some(&self, x: Rows, rows: Range<usize>, out: &mut MatrixMut<'_, f32>) {
        let (stretch, k) = (self.stretch(&rows), self.columns);
        let Stretch { format, blocks, .. } = stretch;
        #[cfg(target_arch = "x86_64")]
        if stretch.layout == Layout::Sixteens {
            return match x {
                Rows::AsTheyAre(x) => lanes::multiply(format, blocks, x, k, out),
                Rows::Rounded(x) => lanes::multiply(format, blocks, x, k, out),
            };
        }
        let x = match x {
            Rows::AsTheyAre(plain) => plain.x,
            Rows::Rounded(x) => return products::multiply(format, blocks, x, k, out),
        };
        let mut numbers = vec![0.0; UNPACKED * k];
        for from in (0..rows.len()).step_by(UNPACKED) {
            let some = from..(from + UNPACKED).min(rows.len());
            let numbers = &mut numbers[..some.len() * k];
            stretch.unpack(some.clone(), k, numbers);
            f32::rows_by_rows(x, numbers, k, &mut out.columns(some));
        }
    }

    /// The blocks of rows that are all of one part, and of rows side by side the first and the last of sixteen.
    fn stretch(&self, rows: &Range<usize>) -> Stretch<'_> {
        let holds = |part: &&Part| part.rows.contains(&rows.start);
        let Some(part) = self.parts.iter().find(holds) else {
            return Stretch {
                format: Format::Q8_0,
                layout: Layout::Rows,
                blocks: &[],
            };
        };
        let of_row = part.format.bytes_of_row(self.columns);
        let [from, to] = [rows.start, rows.end].map(|row| (row - part.rows.start) * of_row);
        Stretch {
            format: part.format,
            layout: part.layout,
            blocks: &part.blocks[from..to],
        }
    }

    /// The numbers of some rows, on one thread.
    fn serial(&self, rows: Range<usize>, out: &mut [f32]) {
        let mut rest = out;
        for part in &self.parts {
            let inside = part.rows.start.max(rows.start)..part.rows.end.min(rows.end);
            if inside.is_empty() {
                continue;
            }
            let (out, after) = rest.split_at_mut(inside.len() * self.columns);
            rest = after;
            let inside = inside.start - part.rows.start..inside.end - part.rows.start;
            let of_part = Stretch {
                format: part.format,
                layout: part.layout,
                blocks: &part.blocks,
            };
            of_part.unpack(inside, self.columns, out);
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

impl Stretch<'_> {
    /// The numbers of some of its rows.
    fn unpack(&self, rows: Range<usize>, columns: usize, out: &mut [f32]) {
        let of_row = self.format.bytes_of_row(columns);
        match self.layout {
            Layout::Rows => {
                let blocks = &self.blocks[rows.start * of_row..rows.end * of_row];
                format::unpack::<f32>(self.format, blocks, out);
            }
            #[cfg(target_arch = "x86_64")]
            Layout::Sixteens => {
                let (mut rest, mut row) = (out, rows.start);
                let mut sixteen = Vec::new();
                while row < rows.end {
                    let first = row / UNPACKED * UNPACKED;
                    let end = rows.end.min(first + UNPACKED);
                    let blocks = &self.blocks[first * of_row..(first + UNPACKED) * of_row];
                    let (out, after) = rest.split_at_mut((end - row) * columns);
                    if end - row == UNPACKED {
                        lanes::unpack(self.format, blocks, columns, out);
                    } else {
                        sixteen.resize(UNPACKED * columns, 0.0);
                        lanes::unpack(self.format, blocks, columns, &mut sixteen);
                        let from = (row - first) * columns;
                        out.copy_from_slice(&sixteen[from..from + out.len()]);
                    }
                    (rest, row) = (after, end);
                }
            }
        }
    }
}

/// Rows of one format as they are multiplied here: sixteen side by side where kernels read them so, and what is left.
fn laid_out(format: Format, blocks: Vec<u8>, columns: usize) -> Vec<(Layout, Vec<u8>)> {
    #[cfg(target_arch = "x86_64")]
    if interleaved::lanes().is_some() {
        let sixteens = UNPACKED * format.bytes_of_row(columns);
        let (whole, rest) = blocks.split_at(blocks.len() / sixteens * sixteens);
        let whole = interleaved::interleave(format, whole, columns);
        let parts = [(Layout::Sixteens, whole), (Layout::Rows, rest.to_vec())];
        return parts
            .into_iter()
            .filter(|(_, blocks)| !blocks.is_empty())
            .collect();
    }
    vec![(Layout::Rows, blocks)]
}

/// Rows of a panel of a matrix (M, K).
fn panel_rows(m: usize, k: usize) -> usize {
    (PANEL / k / UNPACKED * UNPACKED).max(UNPACKED).min(m)
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
