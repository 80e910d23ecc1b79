//! Packed matrices beside the numbers that they stand for.

use super::*;
use crate::ops::Ops;
use crate::ops::check::random;

fn flat(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn every_format_is_unpacked_as_the_library_does() -> Result<()> {
    let weights = random(&[39, 512], DType::F32, 1)?;
    for format in Format::ALL {
        let packed = Packed::of(&weights, format)?;
        let theirs = QTensor::quantize(&weights, format.of_candle())?;
        let theirs = theirs.dequantize(weights.device())?;
        assert_eq!(
            flat(&packed.unpacked()?),
            flat(&theirs),
            "{}",
            format.name()
        );
        let bits = 8.0 * packed.bytes() as f64 / weights.elem_count() as f64;
        assert!((4.5..=8.5).contains(&bits), "{bits}");
    }
    Ok(())
}

#[test]
fn a_product_is_that_with_the_unpacked_matrix() -> Result<()> {
    let weights = random(&[130, 256], DType::F32, 1)?;
    let bias = random(&[130], DType::F32, 2)?;
    for format in Format::ALL {
        let packed = Packed::of(&weights, format)?;
        let numbers = packed.unpacked()?;
        for n in [1, 2, 5, 32, 60] {
            let x = random(&[n, 256], DType::F32, 3)?;
            for bias in [None, Some(&bias)] {
                let truth = Ops::fused().linear(&x, &numbers, bias)?;
                let (seen, truth) = (
                    flat(&Ops::fused().packed_product(&x, &packed, bias, Activations::F32)?),
                    flat(&truth),
                );
                let worst = seen.iter().zip(&truth).map(|(a, b)| (a - b).abs());
                let worst = worst.fold(0.0, f32::max);
                // Sums in another order.
                assert!(worst <= 1e-4, "{} {n}: {worst}", format.name());
            }
        }
    }
    Ok(())
}

/// Decoding several sequences at once changes none of them.
#[test]
fn a_row_has_the_same_bits_whatever_is_beside_it() -> Result<()> {
    let weights = random(&[37, 512], DType::F32, 1)?;
    let x = random(&[FEW_ROWS, 512], DType::F32, 3)?;
    for format in Format::ALL {
        let packed = Packed::of(&weights, format)?;
        for activations in [Activations::F32, Activations::Int8] {
            let of = |x: &Tensor| Ops::fused().packed_product(x, &packed, None, activations);
            let all = of(&x)?;
            for (first, n) in [(0, 1), (3, 2), (9, 7), (0, 13)] {
                let some = flat(&of(&x.narrow(0, first, n)?)?);
                let same = some == flat(&all.narrow(0, first, n)?);
                assert!(same, "{} {activations:?} {first} {n}", format.name());
            }
        }
    }
    Ok(())
}

/// What a file stacks in one matrix it may pack differently: K-quants of some rows, others where those do not fit.
#[test]
fn parts_of_several_formats_are_one_matrix() -> Result<()> {
    let formats = [
        (70, Format::Q5_0),
        (3, Format::Q8_0),
        (1, Format::Q6K),
        (60, Format::Q4_1),
    ];
    let weights = random(&[134, 256], DType::F32, 1)?;
    let packed = Packed::of_formats(&weights, &formats)?;
    let (mut from, mut parts) = (0, Vec::new());
    for (rows, format) in formats {
        parts.push(Packed::of(&weights.narrow(0, from, rows)?, format)?.unpacked()?);
        from += rows;
    }
    let numbers = Tensor::cat(&parts, 0)?;
    assert_eq!(flat(&packed.unpacked()?), flat(&numbers));
    for n in [1, 3, 9, 40] {
        let x = random(&[n, 256], DType::F32, 2)?;
        let truth = flat(&Ops::fused().linear(&x, &numbers, None)?);
        let seen = flat(&Ops::fused().packed_product(&x, &packed, None, Activations::F32)?);
        let off = seen.iter().zip(&truth).map(|(a, b)| (a - b).abs());
        assert!(off.fold(0.0, f32::max) <= 1e-4, "{n}");
    }
    let ids = Tensor::new(&[133u32, 0, 72, 71, 73], weights.device())?;
    let rows = numbers.index_select(&ids, 0)?;
    assert_eq!(flat(&packed.looked_up(&ids)?), flat(&rows));
    let none = Tensor::new(&[134u32], weights.device())?;
    assert!(packed.looked_up(&none).is_err());
    assert!(Packed::of_formats(&weights, &formats[1..]).is_err());
    assert!(Packed::of_blocks(64, vec![(Format::Q4_1, vec![0; 39])]).is_err());
    Ok(())
}

/// A matrix of more than one panel.
#[test]
fn panels_make_one_product() -> Result<()> {
    let (rows, columns) = (PANEL / 256 + 130, 256);
    let packed = Packed::of(&random(&[rows, columns], DType::F32, 1)?, Format::Q4_1)?;
    let (x, bias) = (
        random(&[FEW_ROWS + 1, columns], DType::F32, 2)?,
        random(&[rows], DType::F32, 3)?,
    );
    let truth = Ops::fused().linear(&x, &packed.unpacked()?, Some(&bias))?;
    let seen = flat(&Ops::fused().packed_product(&x, &packed, Some(&bias), Activations::F32)?);
    let off = seen.iter().zip(flat(&truth)).map(|(a, b)| (a - b).abs());
    assert!(off.fold(0.0, f32::max) <= 1e-4);
    Ok(())
}

#[test]
fn rows_that_fill_no_block_are_refused() -> Result<()> {
    let narrow = random(&[4, 96], DType::F32, 1)?;
    assert!(Packed::of(&narrow, Format::Q8_0).is_ok());
    let error = Packed::of(&narrow, Format::Q4K).unwrap_err().to_string();
    assert!(
        error.contains("q4_k packs 256 numbers of a row at a time"),
        "{error}"
    );
    let packed = Packed::of(&narrow, Format::Q8_0)?;
    let wide = random(&[2, 128], DType::F32, 1)?;
    assert!(
        Ops::fused()
            .packed_product(&wide, &packed, None, Activations::F32)
            .is_err()
    );
    Ok(())
}

/// However many rows are multiplied, rounded activations bring the same numbers.
#[test]
fn rounded_activations_are_those_that_they_are_rounded_to() -> Result<()> {
    let packed = Packed::of(&random(&[130, 256], DType::F32, 1)?, Format::Q4_1)?;
    let (x, bias) = (
        random(&[FEW_ROWS + 8, 256], DType::F32, 2)?,
        random(&[130], DType::F32, 3)?,
    );
    let numbers = Rounded::of(&flat(&x)).numbers();
    let rounded = Tensor::from_vec(numbers, x.dims(), x.device())?;
    let truth =
        flat(&Ops::fused().packed_product(&rounded, &packed, Some(&bias), Activations::F32)?);
    let plain = flat(&Ops::fused().packed_product(&x, &packed, Some(&bias), Activations::F32)?);
    let off = |a: &[f32], b: &[f32]| {
        let off = a.iter().zip(b).map(|(a, b)| (a - b).abs());
        off.fold(0.0, f32::max)
    };
    assert!(off(&truth, &plain) > 1e-3);
    for n in [1, 5, FEW_ROWS, FEW_ROWS + 8] {
        let x = x.narrow(0, 0, n)?;
        let seen =
            flat(&Ops::fused().packed_product(&x, &packed, Some(&bias), Activations::Int8)?);
        let exact = off(&seen, &truth[..n * 130]);
        assert!(exact < 1e-4, "{n}: {exact}");
        // Where factors are rounded to bf16 as well, it is the rounded activations that are.
        let [a, b] = [
            (&x, Activations::Int8),
            (&rounded.narrow(0, 0, n)?, Activations::F32),
        ]
        .map(|(x, kind)| packed.multiply(x, Some(&bias), kind, Factors::Bf16));
        let off = off(&flat(&a?), &flat(&b?));
        assert!(off < 1e-4, "{n}: {off}");
    }
    Ok(())
}

/// Backwards too, through several panels and several formats in one matrix.
#[test]
fn a_gradient_is_that_through_the_unpacked_matrix() -> Result<()> {
    let shapes = [
        (
            70,
            256,
            vec![(30, Format::Q4K), (7, Format::Q8_0), (33, Format::Q6K)],
        ),
        (90, 32 * 512, vec![(90, Format::Q4_1)]),
    ];
    for (m, k, formats) in shapes {
        let packed = Packed::of_formats(&random(&[m, k], DType::F32, 1)?, &formats)?;
        let (packed, numbers) = (std::sync::Arc::new(packed.clone()), packed.unpacked()?);
        let x = candle_core::Var::from_tensor(&random(&[40, k], DType::F32, 2)?)?;
        let (bias, dy) = (
            random(&[m], DType::F32, 3)?,
            random(&[40, m], DType::F32, 4)?,
        );
        let truth = (
            dy.matmul(&numbers)?,
            x.matmul(&numbers.t()?)?.broadcast_add(&bias)?,
        );
        let near = |found: &Tensor, truth: &Tensor, what: &str| {
            let size = flat(truth).iter().fold(0.0, |a: f32, b| a.max(b.abs()));
            let both = flat(&found.detach()).into_iter().zip(flat(&truth.detach()));
            let worst = both.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(
                worst < 1e-5 * size,
                "{what} of {formats:?}: {worst} of {size}"
            );
        };
        let tape = super::super::Tape::new();
        let y = Ops::fused()
            .on(&tape)
            .packed_linear(&x, &packed, Some(&bias))?;
        near(&y, &truth.1, "the product");
        let loss = (&y * &dy)?.sum_all()?;
        near(
            &tape.backward(&loss, 1.0)?.take(&x).unwrap(),
            &truth.0,
            "the gradient",
        );
        let y = Ops::reference().packed_linear(&x, &packed, Some(&bias))?;
        let gradients = (y * &dy)?.sum_all()?.backward()?;
        near(
            gradients.get(&x).unwrap(),
            &truth.0,
            "the reference's gradient",
        );
    }
    Ok(())
}
