//! Kernels that several operations take: sums, tables added to every row, sums of columns.

use super::backend::{Argument, Fit, Gpu, Kernel, THREADS, count, int, read, write};
use crate::ops::tape::AddInto;
use candle_core::{DType, Result, Tensor, bail};

/// The module's name.
const MODULE: &str = "shared";

/// `y = a + b`, where y may be one of them.
pub(in crate::ops) fn add_to(gpu: Gpu, a: &Tensor, b: &Tensor, y: &Tensor) -> Result<()> {
    let numbers = y.elem_count();
    let at_once = Fit::of(y.dtype())
        .numbers(numbers)
        .tensors(gpu, &[a, b, y])?
        .at_once();
    Kernel::packed(MODULE, "add", y.dtype(), at_once)
        .each(numbers, at_once)
        .run(gpu, &[read(a)?, read(b)?, write(y)?, count(numbers)])
}

/// `y = x + table`, the table repeated; y may be x.
pub(in crate::ops) fn add_periodic(
    gpu: Gpu,
    x: &Tensor,
    table: &Tensor,
    period: usize,
    y: &Tensor,
) -> Result<()> {
    let numbers = y.elem_count();
    let at_once = Fit::of(y.dtype())
        .numbers(period)
        .tensors(gpu, &[x, table, y])?
        .at_once();
    Kernel::packed(MODULE, "add_periodic", y.dtype(), at_once)
        .each(numbers, at_once)
        .run(
            gpu,
            &[
                read(x)?,
                read(table)?,
                write(y)?,
                count(numbers),
                count(period),
            ],
        )
}

/// Rows that one thread adds up before the partial sums are.
const ROWS_PER_CHUNK: usize = 64;

/// How columns are added up chunk by chunk.
pub(in crate::ops) struct Columns {
    grid: [usize; 3],
    threads: u32,
    pub chunks: usize,
    pub rows_per_chunk: usize,
}

impl Columns {
    /// Of a matrix, by threads that take `at_once` columns each.
    pub fn of(rows: usize, width: usize, at_once: usize) -> Self {
        // No more chunks than the grid takes, and no more threads than there are columns for.
        let rows_per_chunk = ROWS_PER_CHUNK.max(rows.div_ceil(1 << 14));
        let (chunks, needed) = (rows.div_ceil(rows_per_chunk), width.div_ceil(at_once));
        let threads = (THREADS as usize).min(needed.next_multiple_of(32));
        Self {
            grid: [needed.div_ceil(threads), chunks, 1],
            threads: threads as u32,
            chunks,
            rows_per_chunk,
        }
    }

    /// The kernel that does it.
    pub fn run(&self, kernel: Kernel, gpu: Gpu, arguments: &[Argument]) -> Result<()> {
        kernel.blocks(self.grid, self.threads).run(gpu, arguments)
    }
}

/// The sums over the chunks of `partial`, (chunks, width).
pub(in crate::ops) fn sum_chunks(gpu: Gpu, partial: &Tensor) -> Result<Tensor> {
    let (chunks, width) = partial.dims2()?;
    let sums = gpu.empty(width, DType::F32)?;
    // A block does 32 columns.
    Kernel::of(MODULE, "sum_chunks")
        .blocks([width.div_ceil(32), 1, 1], THREADS)
        .run(
            gpu,
            &[read(partial)?, write(&sums)?, int(chunks)?, int(width)?],
        )?;
    Ok(sums)
}

/// The sums of the columns of g, (N, C) to C of f32.
pub(in crate::ops) fn column_sums(gpu: Gpu, g: &Tensor) -> Result<Tensor> {
    let (rows, width) = g.dims2()?;
    let at_once = Fit::of(g.dtype())
        .numbers(width)
        .tensors(gpu, &[g])?
        .at_once();
    let columns = Columns::of(rows, width, at_once);
    let partial = gpu.empty((columns.chunks, width), DType::F32)?;
    let arguments = [
        read(g)?,
        write(&partial)?,
        int(rows)?,
        int(width)?,
        int(columns.rows_per_chunk)?,
    ];
    columns.run(
        Kernel::packed(MODULE, "column_sums", g.dtype(), at_once),
        gpu,
        &arguments,
    )?;
    sum_chunks(gpu, &partial)
}

impl AddInto for Gpu {
    fn add_into(&self, sum: &Tensor, x: &Tensor) -> Result<()> {
        if sum.shape() != x.shape() || sum.dtype() != x.dtype() {
            bail!(
                "{:?} {:?} cannot be added to {:?} {:?}",
                x.shape(),
                x.dtype(),
                sum.shape(),
                sum.dtype()
            );
        }
        add_to(*self, sum, &x.contiguous()?, sum)
    }
}
