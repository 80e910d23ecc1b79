//! Products with packed weights that stay as they are, through which a gradient goes back to their input: `y = x W^T + b`, and backwards
//! `dx = dy W` with W unpacked a panel at a time, so that it is nowhere in f32 as a whole.

use std::sync::Arc;

use super::super::cpu::matmul::{Before, Matrix, MatrixMut, all_threads, multiply};
use super::super::cpu::real::Real;
use super::super::cpu::rows::{numbers, tensor, with_numbers};
use super::super::tape::{Tape, put};
use super::super::{Ops, linear};
use super::{Activations, FEW_ROWS, Packed, panel_rows};
use crate::ops::Factors;
use candle_core::{Result, Shape, Tensor, WithDType};

impl Ops<'_> {
    /// `x W^T (+ bias)`: x (N, K) of f32 on the CPU, bias (M), to (N, M). No gradient.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn packed_product(
        self,
        x_nk: &Tensor,
        w_mk: &Packed,
        bias_m: Option<&Tensor>,
        activations: Activations,
    ) -> Result<Tensor> {
        w_mk.multiply(x_nk, bias_m, activations, self.factors)
    }

    /// `x W^T (+ bias)`: x (N, K) of f32, bias (M) without a gradient, to (N, M). On a GPU, and by candle's operations, W is unpacked
    /// whole.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn packed_linear(
        self,
        x_nk: &Tensor,
        w_mk: &Arc<Packed>,
        bias_m: Option<&Tensor>,
    ) -> Result<Tensor> {
        w_mk.check(x_nk, bias_m)?;
        let whole = || {
            let w_mk = w_mk.unpacked()?.to_device(x_nk.device())?;
            linear::reference(x_nk, &w_mk.to_dtype(x_nk.dtype())?, bias_m)
        };
        self.choose(|tape| fused(tape, x_nk, w_mk, bias_m), |_| whole(), whole)
    }
}

fn fused(
    tape: Option<&Tape>,
    x: &Tensor,
    w: &Arc<Packed>,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let x = x.contiguous()?;
    let bias = bias.map(Tensor::to_vec1::<f32>).transpose()?;
    let back = w.clone();
    put(
        tape,
        [&x],
        |[(x, lx)]| {
            let n = lx.shape().dims2()?.0;
            let (x, bias) = (numbers::<f32>(x, lx)?, bias.as_deref());
            let y = match n <= FEW_ROWS {
                true => w.times_plain(x, bias),
                false => w.by_panels(x, bias, Factors::F32),
            };
            Ok((f32::to_cpu_storage_owned(y), Shape::from((n, w.rows))))
        },
        move |inputs, _, g| {
            let dx = with_numbers::<f32, _, 1>([&g.contiguous()?], |[g]| back.gradient(g))?;
            Ok(vec![Some(tensor(dx, inputs[0].shape())?)])
        },
    )
}

impl Packed {
    /// `dy W`, of rows of M numbers rows of K.
    fn gradient(&self, dy: &[f32]) -> Vec<f32> {
        let (m, k) = (self.rows, self.columns);
        let n = dy.len() / m;
        let most = panel_rows(m, k);
        let (mut dx, mut panel) = (vec![0.0; n * k], vec![0.0; most * k]);
        for from in (0..m).step_by(most) {
            let rows = from..(from + most).min(m);
            let panel = &mut panel[..rows.len() * k];
            self.numbers(rows.clone(), panel);
            let product = (
                Matrix::new(&dy[from..], n, rows.len(), m),
                Matrix::new(panel, rows.len(), k, k),
            );
            let mut out = MatrixMut::new(&mut dx, n, k, k);
            multiply(&mut out, Before::AddedTo, f32::ONE, product, all_threads());
        }
        dx
    }
}
