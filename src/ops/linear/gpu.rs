//! `y = x W^T + b`, and backwards `dx = g W`, `dW = g^T x`, `db` = the column sums of g.

use crate::ops::gpu::backend::{Gpu, Product, Rows};
use crate::ops::gpu::pass::Pass;
use crate::ops::gpu::shared::{add_periodic, column_sums};
use candle_core::{DType, Result, Tensor, bail};

impl Gpu {
    /// `out = left right`, or with `out` added.
    pub(in crate::ops) fn multiply(
        self,
        out: Rows,
        left: Rows,
        right: Rows,
        adds: bool,
    ) -> Result<()> {
        self.backend
            .multiply(&Product::by_rows(out, left, right, [adds, self.tf32])?)
    }
}

/// The output is of type `out`: that of the activations, or f32 for logits.
pub(in crate::ops) fn fused(
    pass: Pass,
    x: &Tensor,
    w: &Tensor,
    bias: Option<&Tensor>,
    out: DType,
) -> Result<Tensor> {
    let ((n, k), (m, k_of_w), gpu) = (x.dims2()?, w.dims2()?, pass.gpu);
    if k != k_of_w || bias.is_some_and(|bias| bias.dims() != [m]) {
        let bias = bias.map(Tensor::shape);
        bail!(
            "a linear map of {:?} by {:?} and bias {bias:?} does not fit",
            x.shape(),
            w.shape()
        );
    }
    let (x, bias) = (x.contiguous()?, bias.map(Tensor::contiguous).transpose()?);
    let narrow = pass.narrow(w)?;
    let run = |y: &Tensor| {
        gpu.multiply(Rows::of(y), Rows::of(&x), Rows::t(&narrow), false)?;
        bias.as_ref()
            .map_or(Ok(()), |bias| add_periodic(gpu, y, bias, m, y))
    };
    let kept = narrow.clone();
    let back = move |inputs: &[Tensor], _: &Tensor, g: &Tensor| {
        let g = gpu.narrow(g)?;
        let (x, w) = (&inputs[0], &inputs[1]);
        let dx = x.track_op().then(|| -> Result<Tensor> {
            let dx = gpu.empty((n, k), x.dtype())?;
            gpu.multiply(Rows::of(&dx), Rows::of(&g), Rows::of(&kept), false)?;
            Ok(dx)
        });
        let dw = w.track_op().then(|| -> Result<Tensor> {
            let dw = gpu.empty((m, k), DType::F32)?;
            gpu.multiply(Rows::of(&dw), Rows::t(&g), Rows::of(x), false)?;
            Ok(dw)
        });
        let db = inputs
            .get(2)
            .filter(|bias| bias.track_op())
            .map(|_| column_sums(gpu, &g))
            .transpose()?;
        Ok([
            vec![dx.transpose()?, dw.transpose()?],
            inputs[2..].iter().map(|_| db.clone()).collect(),
        ]
        .concat())
    };
    let output = ((n, m).into(), out);
    match &bias {
        Some(bias) => pass.put([&x, w, bias], output, run, Box::new(back)),
        None => pass.put([&x, w], output, run, Box::new(back)),
    }
}
