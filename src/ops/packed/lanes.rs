//! Products of [sixteen rows side by side](super::interleaved) with a few rows of numbers, as they are or rounded to eight bits, and the
//! numbers that those stand for, in registers of as many lanes as this processor has. A lane sums for a row of W, piece by piece in
//! their order: however many rows are multiplied beside it, a row's result has the same bits.

use super::codes::by_format;
use super::eights::{self, Narrow};
use super::few::Few;
use super::format::Format;
use super::interleaved::{Interleaved, Lanes, SIDE, lanes};
use super::sixteens::{self, Wide};
use crate::ops::cpu::matmul::MatrixMut;

/// Some rows of W, a multiple of sixteen side by side, with all of x: written to (rows of x, rows of W).
pub(super) fn multiply<X: Copy>(
    format: Format,
    rows: &[u8],
    x: X,
    k: usize,
    out: &mut MatrixMut<'_, f32>,
) where
    Wide<X>: Few,
    Narrow<X>: Few,
{
    match lanes() {
        Some(Lanes::Sixteen) => by_sixteen(format, rows, Wide(x), k, out),
        Some(Lanes::Eight) => by_sixteen(format, rows, Narrow(x), k, out),
        None => unreachable!("rows lie side by side only where a processor reads them so"),
    }
}

fn by_sixteen(format: Format, rows: &[u8], x: impl Few, k: usize, out: &mut MatrixMut<'_, f32>) {
    let of_all = SIDE * format.bytes_of_row(k);
    assert!(k.is_multiple_of(format.numbers()) && x.len().is_multiple_of(k));
    assert!(of_all > 0 && rows.len().is_multiple_of(of_all));
    for (i, rows) in rows.chunks_exact(of_all).enumerate() {
        by_format!(format, sixteen, rows, x, k, i, out);
    }
}

fn sixteen<P: Interleaved>(
    rows: &[u8],
    x: impl Few,
    k: usize,
    i: usize,
    out: &mut MatrixMut<'_, f32>,
) {
    let (mut j, all) = (0, x.len() / k);
    while j < all {
        j += match (all - j).min(x.most()) {
            1 => write::<P, 1>(rows, x, k, (i, j), out),
            2 | 3 => write::<P, 2>(rows, x, k, (i, j), out),
            4..8 => write::<P, 4>(rows, x, k, (i, j), out),
            _ => write::<P, 8>(rows, x, k, (i, j), out),
        };
    }
}

/// Sixteen rows of W with `C` rows of x, written; how many of those are done.
fn write<P: Interleaved, const C: usize>(
    rows: &[u8],
    x: impl Few,
    k: usize,
    (i, j): (usize, usize),
    out: &mut MatrixMut<'_, f32>,
) -> usize {
    // SAFETY: the callers of `by_sixteen` chose what the processor has, and it and `sixteen` saw to the lengths.
    let sums = unsafe { x.some::<P, C>(rows, k, j) };
    for (c, sums) in sums.into_iter().enumerate() {
        out.row(j + c)[SIDE * i..][..SIDE].copy_from_slice(&sums);
    }
    C
}

/// The numbers of sixteen rows, a row behind the other, to the bit those that the rows stand for.
pub(super) fn unpack(format: Format, rows: &[u8], columns: usize, out: &mut [f32]) {
    assert!(rows.len() == SIDE * format.bytes_of_row(columns) && out.len() == SIDE * columns);
    match lanes() {
        // SAFETY: the processor has the instructions.
        Some(Lanes::Sixteen) => unsafe { sixteens::unpack(format, rows, columns, out) },
        // SAFETY: the processor has the instructions.
        Some(Lanes::Eight) => unsafe { eights::unpack(format, rows, columns, out) },
        None => unreachable!("rows lie side by side only where a processor reads them so"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::eights::shift;
    use super::super::interleaved::interleave;
    use super::super::rounded::{Plain, Rounded, SHARED, sums};
    use super::*;
    use crate::ops::check::random;
    use candle_core::quantized::QTensor;
    use candle_core::{DType, Result};

    const ROWS: usize = 32;
    const K: usize = 512;

    /// x, C rows from `j` on, as they are or rounded, with the rows of a format.
    fn seen(by: Lanes, format: Format, rows: &[u8], x: &[f32], rounded: bool) -> Vec<f32> {
        let n = x.len() / K;
        let mut y = vec![f32::NAN; n * ROWS];
        let out = &mut MatrixMut::new(&mut y, n, ROWS, ROWS);
        let q = Rounded::of(x);
        let mut of_32 = vec![0.0; x.len() / SHARED];
        sums(x, &mut of_32);
        let plain = Plain {
            x,
            sums: &of_32,
            shifted: &shift(x),
        };
        match (by, rounded) {
            (Lanes::Sixteen, false) => by_sixteen(format, rows, Wide(plain), K, out),
            (Lanes::Sixteen, true) => by_sixteen(format, rows, Wide(&q), K, out),
            (Lanes::Eight, false) => by_sixteen(format, rows, Narrow(plain), K, out),
            (Lanes::Eight, true) => by_sixteen(format, rows, Narrow(&q), K, out),
        }
        y
    }

    /// A processor with the widest registers has the narrower ones too.
    fn here() -> Vec<Lanes> {
        match lanes() {
            Some(Lanes::Sixteen) => vec![Lanes::Sixteen, Lanes::Eight],
            one => one.into_iter().collect(),
        }
    }

    #[test]
    fn lanes_of_any_width_hold_the_products_of_what_codes_stand_for() -> Result<()> {
        let weights = random(&[ROWS, K], DType::F32, 1)?;
        let x = random(&[15, K], DType::F32, 2)?
            .flatten_all()?
            .to_vec1::<f32>()?;
        let rounded = Rounded::of(&x).numbers();
        for (by, format) in here()
            .into_iter()
            .flat_map(|by| Format::ALL.map(|f| (by, f)))
        {
            let packed = QTensor::quantize(&weights, format.of_candle())?;
            let truth = packed.dequantize(weights.device())?.to_vec2::<f32>()?;
            let rows = interleave(format, &packed.data()?, K);
            for (is_rounded, x_then) in [(false, &x), (true, &rounded)] {
                let all = seen(by, format, &rows, &x, is_rounded);
                for (n, seen) in all.iter().enumerate() {
                    let (j, i) = (n / ROWS, n % ROWS);
                    let both = x_then[j * K..][..K].iter().zip(&truth[i]);
                    let best: f64 = both.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                    let off = (f64::from(*seen) - best).abs();
                    assert!(off < 1e-4, "{by:?} {format:?} {is_rounded}: {seen} {best}");
                }
                // Whatever rows are beside it: one, and those that eight, four and two leave.
                for j in [0, 8, 12, 14] {
                    let alone = seen(by, format, &rows, &x[j * K..][..K], is_rounded);
                    let same = alone == all[j * ROWS..][..ROWS];
                    assert!(same, "{by:?} {format:?} {is_rounded} {j}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn rows_are_unpacked_to_the_bit() -> Result<()> {
        let weights = random(&[SIDE, K], DType::F32, 1)?;
        for (by, format) in here()
            .into_iter()
            .flat_map(|by| Format::ALL.map(|f| (by, f)))
        {
            let packed = QTensor::quantize(&weights, format.of_candle())?;
            let truth = packed
                .dequantize(weights.device())?
                .flatten_all()?
                .to_vec1::<f32>()?;
            let rows = interleave(format, &packed.data()?, K);
            let mut numbers = vec![f32::NAN; SIDE * K];
            match by {
                // SAFETY: the processor has them.
                Lanes::Sixteen => unsafe { sixteens::unpack(format, &rows, K, &mut numbers) },
                // SAFETY: as above.
                Lanes::Eight => unsafe { eights::unpack(format, &rows, K, &mut numbers) },
            }
            assert_eq!(numbers, truth, "{by:?} {format:?}");
        }
        Ok(())
    }
}
