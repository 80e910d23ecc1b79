//! AdamW and the norm of the gradient, many parameters in one launch.

use crate::ops::gpu::backend::{Argument, Gpu, Kernel, Plain, THREADS, write};
use candle_core::{DType, Result, Tensor, bail};

/// `ENTRIES` and `PER_BLOCK` of `kernel.cu`.
const ENTRIES: usize = 32;
const PER_BLOCK: usize = 4096;

#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    w: u64,
    g: u64,
    m: u64,
    v: u64,
    count: i64,
    lr: f32,
    eps: f32,
    decay: f32,
    first_block: i32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Table {
    entries: [Entry; ENTRIES],
    used: i32,
    unused: i32,
}

/// What one step of AdamW does to every number; fields as in `kernel.cu`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdamwFactors {
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    lr: f32,
    rate: f32,
    root2: f32,
    scale: f32,
}

impl AdamwFactors {
    /// Of the update number `steps`, counted from 1; `scale` multiplies every gradient first.
    pub fn at(steps: i32, [beta1, beta2]: [f64; 2], lr: f64, scale: f64) -> Self {
        Self {
            beta1: beta1 as f32,
            rest1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            rest2: (1.0 - beta2) as f32,
            lr: lr as f32,
            rate: (lr / (1.0 - beta1.powi(steps))) as f32,
            root2: (1.0 - beta2.powi(steps)).sqrt() as f32,
            scale: scale as f32,
        }
    }
}

// SAFETY: field by field the struct of the kernel.
unsafe impl Plain for Table {}
// SAFETY: as above.
unsafe impl Plain for AdamwFactors {}

/// A parameter to update, all of one length and f32.
pub(crate) struct Updated<'a> {
    pub w: &'a Tensor,
    pub g: &'a Tensor,
    pub m: &'a Tensor,
    pub v: &'a Tensor,
    /// Factor on the learning rate.
    pub lr: f64,
    pub eps: f64,
    pub decay: f64,
}

/// Tables of up to [`ENTRIES`] parameters with the number of blocks of each.
fn tables(entries: Vec<Entry>) -> Vec<(Table, usize)> {
    let table = |chunk: &[Entry]| {
        let mut table = Table {
            entries: [Entry::default(); ENTRIES],
            used: chunk.len() as i32,
            unused: 0,
        };
        let mut blocks = 0;
        for (to, from) in table.entries.iter_mut().zip(chunk) {
            *to = Entry {
                first_block: blocks as i32,
                ..*from
            };
            blocks += (from.count as usize).div_ceil(PER_BLOCK);
        }
        (table, blocks)
    };
    entries.chunks(ENTRIES).map(table).collect()
}

fn kernel(name: &str) -> Kernel {
    Kernel {
        module: "optimizer",
        name: name.to_owned(),
    }
}

impl Gpu {
    fn numbers(self, x: &Tensor, count: usize) -> Result<u64> {
        if x.dtype() != DType::F32 || x.elem_count() != count || !x.is_contiguous() {
            bail!(
                "an update of {count} numbers cannot take {:?} of {:?}",
                x.dtype(),
                x.layout()
            );
        }
        self.backend.address(x)
    }

    /// One step of AdamW for all of them.
    pub fn adamw(self, all: &[Updated], factors: AdamwFactors) -> Result<()> {
        let mut entries = Vec::with_capacity(all.len());
        for one in all {
            let count = one.w.elem_count();
            entries.push(Entry {
                w: self.numbers(one.w, count)?,
                g: self.numbers(one.g, count)?,
                m: self.numbers(one.m, count)?,
                v: self.numbers(one.v, count)?,
                count: count as i64,
                lr: one.lr as f32,
                eps: one.eps as f32,
                decay: one.decay as f32,
                first_block: 0,
            });
        }
        for (table, blocks) in tables(entries) {
            let arguments = [Argument::Struct(&table), Argument::Struct(&factors)];
            kernel("adamw")
                .blocks([blocks, 1, 1], THREADS)
                .run(self, &arguments)?;
        }
        Ok(())
    }

    /// The sum of the squares of all numbers of some f32 tensors.
    pub fn square_sum(self, all: &[Tensor]) -> Result<f64> {
        let entry = |x: &Tensor| {
            let count = x.elem_count();
            Ok(Entry {
                g: self.numbers(x, count)?,
                count: count as i64,
                ..Entry::default()
            })
        };
        let mut sum = 0.0;
        let mut waiting = Vec::new();
        for (table, blocks) in tables(all.iter().map(entry).collect::<Result<_>>()?) {
            let partial = self.empty(blocks, DType::F32)?;
            let arguments = [Argument::Struct(&table), write(&partial)?];
            kernel("square_sums")
                .blocks([blocks, 1, 1], THREADS)
                .run(self, &arguments)?;
            waiting.push(partial);
        }
        for partial in waiting {
            sum += partial
                .to_vec1::<f32>()?
                .into_iter()
                .map(f64::from)
                .sum::<f64>();
        }
        Ok(sum)
    }
}

#[cfg(test)]
pub(super) mod tests;
