//! Rows of a table by id. An id that is none gives NaN: the ids are on the device, and looking at them here would wait for it.

use crate::ops::gpu::backend::{Argument, Fit, Kernel, THREADS, count, int, read, write};
use crate::ops::gpu::pass::Pass;
use candle_core::{Result, Tensor};

pub(in crate::ops) fn fused(pass: Pass, table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let (table, ids, gpu) = (
        table.contiguous()?,
        ids.flatten_all()?.contiguous()?,
        pass.gpu,
    );
    let ((vocabulary, width), tokens) = (table.dims2()?, ids.elem_count());
    let last = Argument::Int(vocabulary as i32);
    let run = |y: &Tensor| {
        let at_once = Fit::of(y.dtype())
            .numbers(width)
            .tensors(gpu, &[&table, y])?
            .at_once();
        let arguments = [
            read(&table)?,
            read(&ids)?,
            write(y)?,
            count(tokens * width),
            int(width)?,
            last,
        ];
        Kernel::packed("embedding", "embedding", y.dtype(), at_once)
            .each(tokens * width, at_once)
            .run(gpu, &arguments)
    };
    let back = move |inputs: &[Tensor], _: &Tensor, g: &Tensor| {
        let (g, d) = (g.contiguous()?, gpu.zeros((vocabulary, width))?);
        let at_once = Fit::of(g.dtype())
            .numbers(width)
            .tensors(gpu, &[&g, &d])?
            .at_once();
        let grid = [
            tokens,
            width.div_ceil(at_once).div_ceil(THREADS as usize),
            1,
        ];
        let arguments = [
            read(&inputs[1])?,
            read(&g)?,
            write(&d)?,
            int(tokens)?,
            int(width)?,
            last,
        ];
        Kernel::packed("embedding", "embedding_slopes", g.dtype(), at_once)
            .blocks(grid, THREADS)
            .run(gpu, &arguments)?;
        Ok(vec![Some(d), None])
    };
    pass.put(
        [&table, &ids],
        ((tokens, width).into(), gpu.dtype),
        run,
        Box::new(back),
    )
}
