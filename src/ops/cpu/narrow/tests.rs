//! Every unit that is here against the emulated one and against exact sums: layout, rounding, edges, threads.

use super::super::matmul::{Before, Matrix, MatrixMut};
use super::emulated::rounded;
use super::pack::{Factor, Side};
use super::tiles::{Block, PANEL, Start, Tile, tiles};
use super::unit::Unit;
use super::{Made, Packed, multiply, multiply_packed};
use gemm::Parallelism;
use proptest::prelude::*;

/// The emulated unit, and those of this processor.
fn units() -> Vec<Unit> {
    let real = [Unit::tiles(), Unit::pairs()].into_iter().flatten();
    std::iter::once(Unit::emulated()).chain(real).collect()
}

/// Numbers of all sizes up to 4, the same for a seed.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| 4.0 * next() * next().abs()).collect()
}

fn narrowed(x: f32) -> f64 {
    f64::from(f32::from_bits(u32::from(rounded(x)) << 16))
}

/// A factor with room between its rows, as it lies or transposed.
fn factor(numbers: &[f32], rows: usize, columns: usize, transposed: bool) -> Matrix<'_, f32> {
    match transposed {
        false => Matrix::new(numbers, rows, columns, columns + 3),
        true => Matrix::new(numbers, columns, rows, rows + 3).t(),
    }
}

fn at(matrix: Matrix<'_, f32>, row: usize, column: usize) -> f32 {
    matrix.numbers[row * matrix.strides.0 + column * matrix.strides.1]
}

/// What a product writes into a matrix with room around it, on one thread or all.
fn written(
    unit: Unit,
    factors: (Matrix<'_, f32>, Matrix<'_, f32>),
    (before, scale): (Before, f32),
    threads: Parallelism,
) -> Vec<f32> {
    let (rows, columns) = (factors.0.rows, factors.1.columns);
    let mut out = vec![0.5f32; rows * (columns + 5)];
    let mut view = MatrixMut::new(&mut out, rows, columns, columns + 5);
    let made = Made {
        before,
        scale,
        bias: None,
    };
    multiply(unit, &mut view, made, factors, threads);
    out
}

/// A product against exact sums of the rounded factors.
fn holds(
    unit: Unit,
    (a, b): (Matrix<'_, f32>, Matrix<'_, f32>),
    (before, scale): (Before, f32),
) -> Result<(), String> {
    let out = written(unit, (a, b), (before, scale), Parallelism::None);
    let there = if before == Before::AddedTo { 0.5 } else { 0.0 };
    for (i, row) in out.chunks_exact(b.columns + 5).enumerate() {
        for (j, &seen) in row.iter().enumerate() {
            if j >= b.columns {
                if seen != 0.5 {
                    return Err(format!("{} wrote beside the matrix", unit.name()));
                }
                continue;
            }
            let terms = (0..a.columns).map(|k| narrowed(at(a, i, k)) * narrowed(at(b, k, j)));
            let (sum, size) = terms.fold((0.0, 0.0), |(s, t), x| (s + x, t + x.abs()));
            let truth = there + f64::from(scale) * sum;
            // f32 sums: a few roundings of what was summed up.
            let room = 1e-5 * (there + f64::from(scale).abs() * size) + 1e-30;
            if (f64::from(seen) - truth).abs() > room {
                return Err(format!("{}: {seen} for {truth} at ({i}, {j})", unit.name()));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_product_is_the_sum_of_rounded_factors(
        (rows, inner, columns) in (1..90usize, 0..80usize, 1..90usize),
        transposed in any::<[bool; 2]>(),
        added in any::<bool>(),
        scale in prop_oneof![Just(1.0f32), Just(0.3)],
        seed in any::<u64>(),
    ) {
        let size = (rows + inner + columns + 3) * 100;
        let [x, y] = [numbers(size, seed), numbers(size, seed ^ 1)];
        let a = factor(&x, rows, inner, transposed[0]);
        let b = factor(&y, inner, columns, transposed[1]);
        let before = if added { Before::AddedTo } else { Before::Overwritten };
        for unit in units() {
            prop_assert_eq!(holds(unit, (a, b), (before, scale)), Ok(()));
        }
    }
}

#[test]
fn sums_over_several_shares_and_tasks_are_right_and_threads_change_no_bit() {
    let (rows, inner, columns) = (530, 530, 40);
    let [x, y] = [(rows + 3) * (inner + 3), (inner + 3) * (columns + 3)].map(|n| numbers(n, 7));
    for transposed in [false, true] {
        let a = factor(&x, rows, inner, transposed);
        let b = factor(&y, inner, columns, transposed);
        for unit in units().into_iter().filter(|unit| *unit != Unit::emulated()) {
            let how = (Before::AddedTo, 1.0);
            assert_eq!(holds(unit, (a, b), how), Ok(()));
            assert_eq!(holds(unit, (b.t(), a.t()), how), Ok(()));
            for factors in [(a, b), (b.t(), a.t())] {
                let alone = written(unit, factors, how, Parallelism::None);
                let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build();
                let together = pool
                    .unwrap()
                    .install(|| written(unit, factors, how, Parallelism::Rayon(3)));
                assert_eq!(alone, together);
            }
        }
    }
    // The emulated unit is slow: fewer rows, as many shares.
    let a = Matrix::new(&x, 33, inner, inner);
    let b = Matrix::new(&y, inner, 33, columns);
    assert_eq!(
        holds(Unit::emulated(), (a, b), (Before::Overwritten, 1.0)),
        Ok(())
    );
}

/// Numbers that rounding treats in its own way: signs of zero, what is too small, ties, the largest, what is no number.
fn odd() -> Vec<f32> {
    let mut odd = vec![
        0.0,
        -0.0,
        1e-40,
        -1e-40,
        f32::MIN_POSITIVE,
        -f32::MIN_POSITIVE,
    ];
    odd.extend([f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY]);
    odd.extend([
        f32::NAN,
        f32::from_bits(0x7f80_0001),
        f32::from_bits(0xff80_1234),
    ]);
    for bits in [
        0x3f80_8000u32,
        0x3f81_8000,
        0x3f80_8001,
        0x3f80_7fff,
        0x7f7f_8000,
        0x00ff_ffff,
    ] {
        odd.extend([f32::from_bits(bits), f32::from_bits(bits | 1 << 31)]);
    }
    odd
}

#[test]
fn numbers_are_rounded_as_the_processor_rounds_them() {
    // The instruction's manual: to the nearest, of two to the even one; what is not normal is 0; NaN is quiet.
    for (x, bits) in [
        (1.0, 0x3f80),
        (f32::from_bits(0x3f80_8000), 0x3f80),
        (f32::from_bits(0x3f81_8000), 0x3f82),
        (f32::from_bits(0x3f80_8001), 0x3f81),
        (1e-40, 0),
        (-1e-40, 0x8000),
        (f32::MAX, 0x7f80),
        (f32::INFINITY, 0x7f80),
        (f32::from_bits(0x7f80_0001), 0x7fc0),
    ] {
        assert_eq!(rounded(x), bits, "{x:e}");
    }
    let mut x = odd();
    x.extend(numbers(40 * 45, 3));
    for transposed in [false, true] {
        for side in [Side::Left, Side::Right] {
            let matrix = factor(&x, 37, 41, transposed);
            let matrix = if side == Side::Left {
                matrix
            } else {
                matrix.t()
            };
            let factor = Factor::new(side, matrix);
            for (panel, inner) in [(0, 0..41), (1, 0..41), (1, 3..36)] {
                let packed = |unit: Unit| {
                    let mut out = vec![Tile([7; 256]); tiles(inner.len())];
                    unit.pack(&factor, panel, &inner, &mut out);
                    out.iter().flat_map(|tile| tile.0).collect::<Vec<u32>>()
                };
                for unit in units() {
                    assert_eq!(packed(unit), packed(Unit::emulated()), "{}", unit.name());
                }
            }
        }
    }
}

/// One block by a unit, from the bits of its factors.
fn block(unit: Unit, left: &[Tile], right: &[Tile], start: Start<'_>) -> Vec<u32> {
    let mut out = numbers(PANEL * PANEL, 5);
    let block = Block {
        start: out.as_mut_ptr(),
        stride: PANEL,
    };
    // SAFETY: 32 rows of 32 numbers.
    unsafe { unit.open().block(left, right, start, block) };
    let bits = |x: &f32| if x.is_nan() { 0x7fc0_0000 } else { x.to_bits() };
    out.iter().map(bits).collect()
}

#[test]
fn the_tile_unit_does_what_the_emulated_one_does_to_the_bit() {
    // Elsewhere there is nothing to hold against it.
    let Ok(unit) = Unit::tiles() else { return };
    let random = |seed: u32, mask: u32| {
        let mut state = seed;
        let mut tile = || {
            let mut next = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.rotate_left(16) & mask
            };
            Tile(std::array::from_fn(&mut next))
        };
        (0..6).map(|_| tile()).collect::<Vec<_>>()
    };
    // Of all exponents, subnormal and infinite ones among them; and of such that sums overflow and vanish nowhere.
    for mask in [u32::MAX, 0xbfff_bfff, 0x87ff_87ff, 0xbf0f_bf0f] {
        let row = std::array::from_fn(|i| i as f32 - 3.5);
        for (seed, start) in [(1, Start::Zero), (2, Start::There), (3, Start::Row(&row))] {
            let (left, right) = (random(seed, mask), random(seed + 9, mask));
            assert_eq!(
                block(unit, &left, &right, start),
                block(Unit::emulated(), &left, &right, start),
                "{mask:x} {seed}"
            );
        }
    }
}

#[test]
fn a_packed_factor_and_a_bias_give_the_same_product() {
    let (rows, inner, columns) = (70, 600, 75);
    let [x, y] = [(rows + 3) * (inner + 3), (inner + 3) * (columns + 3)].map(|n| numbers(n, 11));
    let bias = numbers(columns, 12);
    for transposed in [false, true] {
        let a = factor(&x, rows, inner, false);
        let b = factor(&y, inner, columns, transposed);
        for unit in units() {
            let packed = Packed::of(unit, b);
            let made = |bias| Made {
                before: Before::Overwritten,
                scale: 1.0,
                bias,
            };
            let write = |bias, by_packed: bool| {
                let mut out = vec![f32::NAN; rows * columns];
                let mut view = MatrixMut::new(&mut out, rows, columns, columns);
                let threads = Parallelism::None;
                match by_packed {
                    true => multiply_packed(&mut view, made(bias), (a, &packed), threads),
                    false => multiply(unit, &mut view, made(bias), (a, b), threads),
                }
                out
            };
            let plain = write(None, false);
            assert_eq!(write(None, true), plain);
            let biased = write(Some(&bias), true);
            assert_eq!(write(Some(&bias), false), biased);
            for (i, (with, without)) in biased.iter().zip(&plain).enumerate() {
                let expected = without + bias[i % columns];
                assert!(
                    (with - expected).abs() < 1e-4 + 1e-5 * expected.abs(),
                    "{with} for {expected}"
                );
            }
            // A product of nothing is the bias.
            let (none, empty) = (
                Matrix::new(&x, rows, 0, 1),
                Matrix::new(&y, 0, columns, columns),
            );
            let mut out = vec![f32::NAN; rows * columns];
            let mut view = MatrixMut::new(&mut out, rows, columns, columns);
            multiply(
                unit,
                &mut view,
                made(Some(&bias)),
                (none, empty),
                Parallelism::None,
            );
            assert!(out.chunks(columns).all(|row| row == bias));
        }
    }
}

#[test]
fn a_few_rows_are_shared_out_by_columns_and_threads_change_no_bit() {
    let (rows, inner, columns) = (5, 600, 610);
    let [x, y] = [rows * (inner + 3), (inner + 3) * (columns + 3)].map(|n| numbers(n, 13));
    let a = factor(&x, rows, inner, false);
    let b = factor(&y, inner, columns, true);
    for unit in units() {
        let packed = Packed::of(unit, b);
        assert_eq!(packed.numbers(), inner * columns);
        let write = |threads| {
            let mut out = vec![f32::NAN; rows * columns];
            let mut view = MatrixMut::new(&mut out, rows, columns, columns);
            let made = Made {
                before: Before::Overwritten,
                scale: 1.0,
                bias: None,
            };
            multiply_packed(&mut view, made, (a, &packed), threads);
            out
        };
        let alone = write(Parallelism::None);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build();
        assert_eq!(
            alone,
            pool.unwrap().install(|| write(Parallelism::Rayon(3)))
        );
        assert!(alone.iter().all(|x| x.is_finite()));
    }
}
