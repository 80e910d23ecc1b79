//! On a GPU.

use crate::ops::gpu::backend::{Fit, Kernel, count, read, write};
use crate::ops::gpu::pass::Pass;
use crate::ops::gpu::shared::add_periodic;
use candle_core::{Result, Tensor};

/// A table of positions added to every window.
pub(in crate::ops) fn fused(pass: Pass, x: &Tensor, table: &Tensor, time: usize) -> Result<Tensor> {
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
        Kernel::packed("positions", "sum_periods", g.dtype(), at_once)
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
