//! On a GPU.

use super::RopeTable;
use crate::ops::axes::Axes;
use crate::ops::gpu::backend::{Argument, Fit, Kernel, count, int, read, write};
use crate::ops::gpu::pass::Pass;
use candle_core::{Result, Tensor};

/// Rotary positions.
pub(in crate::ops) fn fused(
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
        Kernel::packed("rope", "rope", x.dtype(), at_once)
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
