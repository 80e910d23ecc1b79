//! Products of packed rows with rounded ones: by whole numbers where this processor has a kernel for it.

use super::format::{self, Format};
use super::rounded::{Rounded, SHARED};
use crate::ops::cpu::matmul::MatrixMut;

/// Packed rows with rounded ones: written to (rows of x, rows of W).
pub(super) fn multiply(
    format: Format,
    blocks: &[u8],
    x: &Rounded,
    k: usize,
    out: &mut MatrixMut<'_, f32>,
) {
    #[cfg(target_arch = "x86_64")]
    {
        use crate::ops::cpu::isa::{Level, level};
        if level() != Level::Baseline {
            // SAFETY: `level` found these instructions on this CPU.
            unsafe { super::dots::all(format, blocks, x, k, out) };
            return;
        }
    }
    one_by_one(format, blocks, x, k, out);
}

/// The same by plain sums, for any processor: what each 32 weights are in whole numbers follows from what they unpack to.
fn one_by_one(format: Format, blocks: &[u8], x: &Rounded, k: usize, out: &mut MatrixMut<'_, f32>) {
    let mut numbers = vec![0.0; k];
    for (i, blocks) in blocks.chunks_exact(format.bytes_of_row(k)).enumerate() {
        format::unpack::<f32>(format, blocks, &mut numbers);
        for j in 0..x.q.len() / k {
            let row = x.row(j, k);
            let pieces = numbers.as_chunks::<SHARED>().0.iter();
            let pieces = pieces.zip(row.q.as_chunks::<SHARED>().0).zip(row.scale);
            let sums = pieces.map(|((w, q), &d)| {
                let both = w.iter().zip(q);
                d * both.map(|(w, &q)| w * f32::from(q)).sum::<f32>()
            });
            out.row(j)[i] = sums.sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::random;
    use candle_core::quantized::QTensor;
    use candle_core::{DType, Result};

    #[test]
    fn whole_numbers_make_the_product_of_what_they_stand_for() -> Result<()> {
        let (m, k, n) = (7, 512, 6);
        let weights = random(&[m, k], DType::F32, 1)?;
        let x = random(&[n, k], DType::F32, 2)?;
        let x = Rounded::of(&x.flatten_all()?.to_vec1::<f32>()?);
        let numbers = x.numbers();
        for format in Format::ALL {
            let packed = QTensor::quantize(&weights, format.of_candle())?;
            let truth = packed.dequantize(weights.device())?.to_vec2::<f32>()?;
            let mut y = vec![f32::NAN; n * m];
            let mut z = y.clone();
            let blocks = packed.data()?;
            multiply(format, &blocks, &x, k, &mut MatrixMut::new(&mut y, n, m, m));
            one_by_one(format, &blocks, &x, k, &mut MatrixMut::new(&mut z, n, m, m));
            for j in 0..n {
                for i in 0..m {
                    let x = &numbers[j * k..(j + 1) * k];
                    let all = x.iter().zip(&truth[i]);
                    let best: f64 = all.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                    for seen in [y[j * m + i], z[j * m + i]] {
                        let off = (f64::from(seen) - best).abs();
                        assert!(off < 2e-4, "{format:?}: {seen} {best}");
                    }
                }
            }
            // A row by itself has the same bits.
            let mut alone = vec![f32::NAN; m];
            let row = x.row(4, k);
            let one = Rounded {
                q: row.q.to_vec(),
                scale: row.scale.to_vec(),
                sums: row.sums.to_vec(),
            };
            multiply(
                format,
                &blocks,
                &one,
                k,
                &mut MatrixMut::new(&mut alone, 1, m, m),
            );
            assert_eq!(alone, y[4 * m..5 * m], "{format:?}");
        }
        Ok(())
    }
}
