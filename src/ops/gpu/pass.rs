//! What a forward pass on a GPU carries from op to op, and tensors that every op needs: zeros, and narrowed weights.

use super::backend::{Fit, Gpu, Kernel, count, read, write};
use crate::ops::narrowed::Narrowed;
use crate::ops::tape::{Back, Tape, tracked};
use candle_core::{DType, Result, Shape, Tensor, bail};
use std::sync::PoisonError;

/// What a forward pass on a GPU carries: where it runs, what it is recorded on, and weights narrowed before.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Pass<'t> {
    pub gpu: Gpu,
    pub tape: Option<&'t Tape>,
    pub narrowed: Option<&'t Narrowed>,
}

impl<'t> Pass<'t> {
    /// Runs an operation, and puts it on the tape where one of its inputs is tracked. `run` fills the output; `back` gets inputs,
    /// output and the output's gradient, and gives the gradients of the inputs.
    pub(in crate::ops) fn put<const N: usize>(
        self,
        inputs: [&Tensor; N],
        (shape, dtype): (Shape, DType),
        run: impl FnOnce(&Tensor) -> Result<()>,
        back: Back,
    ) -> Result<Tensor> {
        let leaf = tracked(self.tape, &inputs)?;
        let output = self.gpu.backend.empty(shape, dtype, leaf)?;
        run(&output)?;
        if let Some(tape) = self.tape.filter(|_| leaf) {
            tape.put(inputs.map(Tensor::clone).into(), output.clone(), back);
        }
        Ok(output)
    }

    /// A matrix of parameters as products take it.
    pub(in crate::ops) fn narrow(self, w: &Tensor) -> Result<Tensor> {
        let Some(Narrowed { on_gpu: known, .. }) = self.narrowed else {
            return self.gpu.narrow(w);
        };
        if let Some(known) = known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&w.id())
        {
            return Ok(known.clone());
        }
        let narrow = self.gpu.narrow(w)?;
        known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(w.id(), narrow.clone());
        Ok(narrow)
    }
}

impl Gpu {
    /// Zeros of f32.
    pub(in crate::ops) fn zeros(self, shape: impl Into<Shape>) -> Result<Tensor> {
        let x = self.empty(shape, DType::F32)?;
        let kernel = Kernel::of("shared", "zero");
        kernel
            .each(x.elem_count(), 1)
            .run(self, &[write(&x)?, count(x.elem_count())])?;
        Ok(x)
    }

    /// A matrix of parameters as products take it.
    pub(in crate::ops) fn narrow(self, x: &Tensor) -> Result<Tensor> {
        let x = x.contiguous()?;
        if x.dtype() == self.dtype {
            return Ok(x);
        }
        if (x.dtype(), self.dtype) != (DType::F32, DType::BF16) {
            bail!("{:?} is not narrowed to {:?}", x.dtype(), self.dtype);
        }
        let (y, numbers) = (self.empty(x.shape(), self.dtype)?, x.elem_count());
        let at_once = Fit::new(4)
            .numbers(numbers)
            .tensors(self, &[&x, &y])?
            .at_once();
        let kernel = Kernel::of("shared", if at_once == 4 { "narrow_4" } else { "narrow_1" });
        kernel
            .each(numbers, at_once)
            .run(self, &[read(&x)?, write(&y)?, count(numbers)])?;
        Ok(y)
    }
}
