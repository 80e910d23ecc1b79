//! Products of packed rows that lie one below the other with rounded ones.

use super::format::{self, Format};
use super::rounded::{Rounded, SHARED};
use crate::ops::cpu::matmul::MatrixMut;

/// Packed rows with rounded ones, written to (rows of x, rows of W): by plain sums, for any processor.
pub(super) fn multiply(
    format: Format,
    blocks: &[u8],
    x: &Rounded,
    k: usize,
    out: &mut MatrixMut<'_, f32>,
) {
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
            let blocks = packed.data()?;
            multiply(format, &blocks, &x, k, &mut MatrixMut::new(&mut y, n, m, m));
            for j in 0..n {
                for i in 0..m {
                    let x = &numbers[j * k..(j + 1) * k];
                    let all = x.iter().zip(&truth[i]);
                    let best: f64 = all.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                    let seen = y[j * m + i];
                    let off = (f64::from(seen) - best).abs();
                    assert!(off < 2e-4, "{format:?}: {seen} {best}");
                }
            }
        }
        Ok(())
    }
}
