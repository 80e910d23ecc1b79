//! Causal attention by candle's operations.

use candle_core::{Device, Result, Tensor};

use crate::ops::axes::Axes;
use crate::ops::cached::probabilities;

pub(in crate::ops) fn reference(
    qkv: &Tensor,
    sinks: Option<&Tensor>,
    axes: Axes,
) -> Result<Tensor> {
    let Axes {
        batch,
        time,
        heads,
        kv_heads,
        head_width,
        ..
    } = axes;
    let group = heads / kv_heads;
    let part = |from: usize, count: usize, width: usize| {
        qkv.narrow(1, from, count * width)?
            .reshape((batch, time, count, width))?
            .transpose(1, 2)?
            .contiguous()
    };
    let repeated = |x: Tensor| match group {
        1 => Ok(x),
        _ => {
            let width = x.dim(3)?;
            x.unsqueeze(2)?
                .broadcast_as((batch, kv_heads, group, time, width))?
                .contiguous()?
                .reshape((batch, heads, time, width))
        }
    };
    let q_bhtd = (part(0, heads, head_width)? * axes.score_scale())?;
    let k_bhtd = repeated(part(heads * head_width, kv_heads, head_width)?)?;
    let v_bhtd = repeated(part(axes.before_values(), kv_heads, axes.of_values())?)?;
    let mask: Vec<f32> = (0..time * time)
        .map(|i| {
            let (query, key) = (i / time, i % time);
            if key > query || key < axes.first_seen(query) {
                f32::NEG_INFINITY
            } else {
                0.0
            }
        })
        .collect();
    let mask = Tensor::from_vec(mask, (time, time), &Device::Cpu)?
        .to_dtype(qkv.dtype())?
        .to_device(qkv.device())?;
    let scores = q_bhtd.matmul(&k_bhtd.t()?)?.broadcast_add(&mask)?;
    let y_bhtd = probabilities(&scores, sinks)?.matmul(&v_bhtd)?;
    y_bhtd.transpose(1, 2)?.reshape((axes.rows(), axes.width()))
}
