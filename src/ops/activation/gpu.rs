//! On a GPU.

use crate::ops::gpu::backend::{Argument, Fit, Kernel, count, read, write};
use crate::ops::gpu::pass::Pass;
use candle_core::{Result, Tensor};

/// An activation: GELU, ReLU, its square, or a soft cap or a constant factor with its parameter.
pub(in crate::ops) fn fused(
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
        Kernel::packed("activation", name, x.dtype(), at_once)
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
        Kernel::packed("activation", &format!("{name}_slopes"), x.dtype(), at_once)
            .each(numbers, at_once)
            .run(gpu, &arguments)?;
        Ok(vec![Some(d)])
    };
    pass.put([&x], (x.shape().clone(), x.dtype()), run, Box::new(back))
}
