//! On a GPU.

use crate::ops::gpu::backend::{Fit, Kernel, count, int, read, write};
use crate::ops::gpu::pass::Pass;
use candle_core::{Result, Tensor};

/// `swiglu` or `geglu` of packed columns.
pub(in crate::ops) fn fused(pass: Pass, name: &'static str, gate_up: &Tensor) -> Result<Tensor> {
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
        Kernel::packed("gated", name, dtype, at_once)
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
        Kernel::packed("gated", &format!("{name}_slopes"), dtype, at_once)
            .each(numbers, at_once)
            .run(gpu, &arguments)?;
        Ok(vec![Some(d)])
    };
    pass.put([&x], ((rows, width).into(), dtype), run, Box::new(back))
}
