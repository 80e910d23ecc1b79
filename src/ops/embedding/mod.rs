//! Rows of a table by id. The gradient of a table's row is the sum of the gradients of the tokens that took it, in the tokens'
//! order: the tokens are sorted by id first (a counting sort), so that each row of the gradient has one writer.

pub(super) mod gpu;

use super::cpu::real::{Real, typed};
use super::cpu::rows::{build, numbers, tensor, with_numbers};
use super::cpu::simd::accumulate;
use super::tape::{Tape, apply2};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use std::marker::PhantomData;

pub(super) fn reference(table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    table.contiguous()?.index_select(&ids.flatten_all()?, 0)
}

pub(super) fn fused(tape: Option<&Tape>, table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let ids = ids.flatten_all()?.contiguous()?;
    typed!(table, F => apply2(tape, Embedding::<F>(PhantomData), [&table.contiguous()?, &ids]))
}

struct Embedding<F>(PhantomData<F>);

impl<F: Real> CustomOp2 for Embedding<F> {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(
        &self,
        table: &CpuStorage,
        lt: &Layout,
        ids: &CpuStorage,
        li: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = lt.shape().dims2()?;
        let (table, ids) = (numbers::<F>(table, lt)?, numbers::<u32>(ids, li)?);
        if let Some(id) = ids.iter().find(|&&id| id as usize >= rows) {
            bail!("token id {id} is outside a vocabulary of {rows}");
        }
        let y = build(ids.len(), width, |first, block| {
            for (y, &id) in block.chunks_exact_mut(width).zip(&ids[first..]) {
                y.copy_from_slice(&table[id as usize * width..][..width]);
            }
        });
        Ok((F::to_cpu_storage_owned(y), Shape::from((ids.len(), width))))
    }

    fn bwd(
        &self,
        table: &Tensor,
        ids: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (rows, width) = table.dims2()?;
        let (starts, tokens) = by_id(&ids.to_vec1::<u32>()?, rows);
        let d = with_numbers::<F, _, 1>([&g.contiguous()?], |[g]| {
            build(rows, width, |first, block| {
                for (i, sum) in block.chunks_exact_mut(width).enumerate() {
                    for &token in &tokens[starts[first + i]..starts[first + i + 1]] {
                        accumulate(sum, &g[token * width..][..width]);
                    }
                }
            })
        })?;
        Ok((Some(tensor(d, (rows, width))?), None))
    }
}

/// The tokens' indices sorted by id, and where each id's begin (one more than there are ids).
fn by_id(ids: &[u32], rows: usize) -> (Vec<usize>, Vec<usize>) {
    let mut starts = vec![0; rows + 1];
    for &id in ids {
        starts[id as usize + 1] += 1;
    }
    for row in 0..rows {
        starts[row + 1] += starts[row];
    }
    let mut next = starts.clone();
    let mut tokens = vec![0; ids.len()];
    for (token, &id) in ids.iter().enumerate() {
        tokens[next[id as usize]] = token;
        next[id as usize] += 1;
    }
    (starts, tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{agrees, check, ids, odd_shapes};
    use crate::ops::{DType, Ops};
    use candle_core::Device;
    use proptest::prelude::*;

    #[test]
    fn gradients_are_right() {
        check(&[&[5, 4]], |ops, x| ops.embedding(&x[0], &ids(9, 5)?));
        check(&[&[4, 5]], |ops, x| {
            ops.embedding(&x[0].t()?, &ids(8, 5)?.reshape((2, 4))?)
        });
        agrees(&[&[257, 130]], |ops, x| {
            ops.embedding(&x[0], &ids(500, 257)?)
        });
    }

    #[test]
    fn an_id_outside_the_table_is_refused() -> Result<()> {
        let table = Tensor::zeros((4, 2), DType::F32, &Device::Cpu)?;
        for id in [4, u32::MAX] {
            let message = Ops::fused()
                .embedding(&table, &Tensor::new(&[0, id], &Device::Cpu)?)
                .unwrap_err();
            assert!(
                message
                    .to_string()
                    .contains(&format!("token id {id} is outside a vocabulary of 4")),
                "{message}"
            );
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(odd_shapes())]
        #[test]
        fn any_shape(n in 1..200usize, v in 1..90usize, c in 1..70usize) {
            agrees(&[&[v, c]], |ops, x| ops.embedding(&x[0], &ids(n, v as u32)?));
        }
    }
}
