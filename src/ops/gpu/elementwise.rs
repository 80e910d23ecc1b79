//! Number by number: residuals, biases, positions, activations, rotary positions.

use super::backend::{Argument, Fit, Gpu, Kernel, THREADS, count, int, name_of, read, write};
use super::pass::Pass;
use crate::ops::axes::Axes;
use crate::ops::rope::RopeTable;
use crate::ops::tape::AddInto;
use candle_core::{DType, Result, Tensor, bail};

/// The same for a type and a number of numbers at once.
fn typed(name: &str, dtype: DType, at_once: usize) -> Kernel {
    Kernel::elementwise(&format!("{name}_{}_{at_once}", name_of(dtype)))
}

/// `y = a + b`, where y may be one of them.
fn add_to(gpu: Gpu, a: &Tensor, b: &Tensor, y: &Tensor) -> Result<()> {
    let numbers = y.elem_count();
    let at_once = Fit::of(y.dtype())
        .numbers(numbers)
        .tensors(gpu, &[a, b, y])?
        .at_once();
    typed("add", y.dtype(), at_once)
        .each(numbers, at_once)
        .run(gpu, &[read(a)?, read(b)?, write(y)?, count(numbers)])
}

/// `y = x + table`, the table repeated; y may be x.
pub(super) fn add_periodic(
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
    typed("add_periodic", y.dtype(), at_once)
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
pub(super) struct Columns {
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
pub(super) fn sum_chunks(gpu: Gpu, partial: &Tensor) -> Result<Tensor> {
    let (chunks, width) = partial.dims2()?;
    let sums = gpu.empty(width, DType::F32)?;
    // A block does 32 columns.
    Kernel::elementwise("sum_chunks")
        .blocks([width.div_ceil(32), 1, 1], THREADS)
        .run(
            gpu,
            &[read(partial)?, write(&sums)?, int(chunks)?, int(width)?],
        )?;
    Ok(sums)
}

/// The sums of the columns of g, (N, C) to C of f32.
pub(super) fn column_sums(gpu: Gpu, g: &Tensor) -> Result<Tensor> {
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
    columns.run(typed("column_sums", g.dtype(), at_once), gpu, &arguments)?;
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

/// A residual connection.
pub(in crate::ops) fn add(pass: Pass, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.shape() != b.shape() || a.dtype() != b.dtype() {
        bail!(
            "a residual of {:?} cannot be added to {:?}",
            b.shape(),
            a.shape()
        );
    }
    let (a, b) = (a.contiguous()?, b.contiguous()?);
    let back = |_: &[Tensor], _: &Tensor, g: &Tensor| Ok(vec![Some(g.clone()), Some(g.clone())]);
    pass.put(
        [&a, &b],
        (a.shape().clone(), a.dtype()),
        |y| add_to(pass.gpu, &a, &b, y),
        Box::new(back),
    )
}

/// A table of positions added to every window.
pub(in crate::ops) fn add_positions(
    pass: Pass,
    x: &Tensor,
    table: &Tensor,
    time: usize,
) -> Result<Tensor> {
    let (x, table, gpu) = (x.contiguous()?, table.contiguous()?, pass.gpu);
    let (rows, width) = table.dims2()?;
    let with_gradient = table.track_op();
    let back = move |_: &[Tensor], _: &Tensor, g: &Tensor| {
        if !with_gradient {
            return Ok(vec![Some(g.clone()), None]);
        }
        let (g, d) = (g.contiguous()?, gpu.zeros((rows, width))?);
        let period = time * width;
        let at_once = Fit::of(g.dtype())
            .numbers(period)
            .tensors(gpu, &[&g, &d])?
            .at_once();
        typed("sum_periods", g.dtype(), at_once)
            .each(period, at_once)
            .run(
                gpu,
                &[read(&g)?, write(&d)?, count(g.elem_count()), count(period)],
            )?;
        Ok(vec![Some(g), Some(d)])
    };
    let run = |y: &Tensor| add_periodic(gpu, &x, &table, time * width, y);
    pass.put(
        [&x, &table],
        (x.shape().clone(), x.dtype()),
        run,
        Box::new(back),
    )
}

/// An activation: GELU, ReLU, or a soft cap or a constant factor with its parameter.
pub(in crate::ops) fn activation(
    pass: Pass,
    name: &'static str,
    x: &Tensor,
    cap: Option<f64>,
) -> Result<Tensor> {
    let (x, gpu) = (x.contiguous()?, pass.gpu);
    let cap: Vec<Argument<'static>> = cap
        .map(|cap| Argument::Float(cap as f32))
        .into_iter()
        .collect();
    let numbers = x.elem_count();
    let forward_cap = cap.clone();
    let run = |y: &Tensor| {
        let at_once = Fit::of(x.dtype())
            .numbers(numbers)
            .tensors(gpu, &[&x, y])?
            .at_once();
        let arguments = [vec![read(&x)?, write(y)?, count(numbers)], forward_cap].concat();
        typed(name, x.dtype(), at_once)
            .each(numbers, at_once)
            .run(gpu, &arguments)
    };
    let back = move |inputs: &[Tensor], _: &Tensor, g: &Tensor| {
        let (x, g) = (&inputs[0], g.contiguous()?);
        let d = gpu.empty(x.shape(), x.dtype())?;
        let at_once = Fit::of(x.dtype())
            .numbers(numbers)
            .tensors(gpu, &[x, &g, &d])?
            .at_once();
        let arguments = [vec![read(x)?, read(&g)?, write(&d)?, count(numbers)], cap].concat();
        typed(&format!("{name}_slopes"), x.dtype(), at_once)
            .each(numbers, at_once)
            .run(gpu, &arguments)?;
        Ok(vec![Some(d)])
    };
    pass.put([&x], (x.shape().clone(), x.dtype()), run, Box::new(back))
}

/// `silu(gate) up` of packed columns.
pub(in crate::ops) fn swiglu(pass: Pass, gate_up: &Tensor) -> Result<Tensor> {
    let (x, gpu) = (gate_up.contiguous()?, pass.gpu);
    let (rows, packed) = x.dims2()?;
    let (width, dtype) = (packed / 2, x.dtype());
    let numbers = rows * width;
    let run = |y: &Tensor| {
        let at_once = Fit::of(dtype)
            .numbers(width)
            .tensors(gpu, &[&x, y])?
            .at_once();
        let arguments = [read(&x)?, write(y)?, count(numbers), int(width)?];
        typed("swiglu", dtype, at_once)
            .each(numbers, at_once)
            .run(gpu, &arguments)
    };
    let back = move |inputs: &[Tensor], _: &Tensor, g: &Tensor| {
        let (x, g) = (&inputs[0], g.contiguous()?);
        let d = gpu.empty(x.shape(), dtype)?;
        let at_once = Fit::of(dtype)
            .numbers(width)
            .tensors(gpu, &[x, &g, &d])?
            .at_once();
        let arguments = [read(x)?, read(&g)?, write(&d)?, count(numbers), int(width)?];
        typed("swiglu_slopes", dtype, at_once)
            .each(numbers, at_once)
            .run(gpu, &arguments)?;
        Ok(vec![Some(d)])
    };
    pass.put([&x], ((rows, width).into(), dtype), run, Box::new(back))
}

/// Rotary positions.
pub(in crate::ops) fn rope(
    pass: Pass,
    qkv: &Tensor,
    axes: Axes,
    table: &RopeTable,
) -> Result<Tensor> {
    let (x, gpu) = (qkv.contiguous()?, pass.gpu);
    let [cos, sin] = table.parts()?;
    let turn = move |x: &Tensor, way: f32, y: &Tensor| {
        let (packed, half) = (axes.packed_width(), axes.head_width / 2);
        let turned = (axes.heads + axes.kv_heads) * axes.head_width;
        let pairs = axes.rows() * (packed / 2);
        let at_once = Fit::of(x.dtype())
            .numbers(half)
            .tensors(gpu, &[x, &cos, &sin, y])?
            .at_once();
        let sizes = [
            int(packed)?,
            int(turned)?,
            int(half)?,
            int(axes.time)?,
            Argument::Float(way),
        ];
        let arguments = [
            vec![read(x)?, read(&cos)?, read(&sin)?, write(y)?, count(pairs)],
            sizes.to_vec(),
        ]
        .concat();
        typed("rope", x.dtype(), at_once)
            .each(pairs, at_once)
            .run(gpu, &arguments)
    };
    let turn_back = turn.clone();
    let back = move |_: &[Tensor], _: &Tensor, g: &Tensor| {
        let (g, d) = (g.contiguous()?, gpu.empty(g.shape(), g.dtype())?);
        turn_back(&g, -1.0, &d)?;
        Ok(vec![Some(d)])
    };
    pass.put(
        [&x],
        (x.shape().clone(), x.dtype()),
        |y| turn(&x, 1.0, y),
        Box::new(back),
    )
}
