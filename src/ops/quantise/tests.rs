//! Against the formats' definition over all codes, published examples, and properties that must hold; fused against plain
//! operations to the bit.

use super::*;
use crate::ops::check::{agrees, distance, flat, random};
use crate::ops::{Ops, Tape};
use crate::stream::stream;
use candle_core::{Device, Var};

const GRIDS: [Grid; 5] = [
    Grid::Bf16,
    Grid::E4m3,
    Grid::E5m2,
    Grid::Int8,
    Grid::Ternary,
];

/// Every way to round that there is, with tiles that fit no shape.
fn roundings() -> Vec<Rounding> {
    let shares = [Share::Tensor, Share::Row, Share::Tile(3), Share::Block(4)];
    let all = GRIDS.into_iter().flat_map(|grid| {
        let shares = if grid == Grid::Ternary {
            &shares[..1]
        } else {
            &shares[..]
        };
        shares.iter().flat_map(move |&share| {
            [false, true].map(|power_of_two| Rounding {
                power_of_two,
                ..Rounding::new(grid, share)
            })
        })
    });
    all.collect()
}

fn matrix(numbers: &[f64], columns: usize) -> Tensor {
    Tensor::from_slice(numbers, (numbers.len() / columns, columns), &Device::Cpu).unwrap()
}

fn quantised(x: &Tensor, rounding: Rounding) -> Vec<f64> {
    let seen = flat(&Ops::fused().quantise(x, rounding).unwrap()).unwrap();
    let plain = flat(&Ops::reference().quantise(x, rounding).unwrap()).unwrap();
    if x.dtype() == DType::F64 && rounding.grid == Grid::Ternary {
        // A mean in f64 has another last bit for every order.
        assert!(distance(&plain, &seen) < 1e-12);
    } else {
        assert_eq!(seen, plain, "{rounding:?} by plain operations");
    }
    seen
}

/// A code of 8 bits by the definition: sign, exponent, mantissa; `None` where it is no finite number.
fn decoded(code: u8, grid: Grid) -> Option<f64> {
    let (mantissa_bits, bias) = match grid {
        Grid::E4m3 => (3, 7),
        _ => (2, 15),
    };
    let exponent = i32::from((code & 0x7f) >> mantissa_bits);
    let mantissa = f64::from(code & ((1 << mantissa_bits) - 1)) / f64::from(1 << mantissa_bits);
    let finite = match grid {
        Grid::E4m3 => code & 0x7f != 0x7f,
        _ => exponent != 31,
    };
    let sign = if code & 0x80 == 0 { 1.0 } else { -1.0 };
    let size = match exponent {
        0 => mantissa * 2f64.powi(1 - bias),
        _ => (1.0 + mantissa) * 2f64.powi(exponent - bias),
    };
    finite.then_some(sign * size)
}

#[test]
fn every_code_is_its_own_nearest_and_ties_go_to_even_ones() {
    for grid in [Grid::E4m3, Grid::E5m2] {
        let codes = (0..=255u8).filter_map(|code| decoded(code, grid));
        let mut codes: Vec<f64> = codes.collect();
        // The largest is among them: the scale is 1.
        assert_eq!(
            codes.iter().copied().fold(0.0, f64::max),
            grid.numbers().most
        );
        let rounding = Rounding::new(grid, Share::Tensor);
        for dtype in [DType::F64, DType::F32] {
            let all = matrix(&codes, codes.len()).to_dtype(dtype).unwrap();
            assert_eq!(quantised(&all, rounding), codes, "{grid:?}");
        }
        codes.retain(|code| *code >= 0.0);
        codes.sort_by(f64::total_cmp);
        codes.dedup();
        let (mut between, mut nearest) = (vec![grid.numbers().most], vec![grid.numbers().most]);
        for (i, pair) in codes.windows(2).enumerate() {
            let middle = f64::midpoint(pair[0], pair[1]);
            // Codes count up with the numbers, so that an even code is an even mantissa.
            for (x, y) in [
                (middle, pair[i % 2]),
                (middle * (1.0 - 1e-6), pair[0]),
                (middle * (1.0 + 1e-6), pair[1]),
            ] {
                between.extend([x, -x]);
                nearest.extend([y, -y]);
            }
        }
        assert_eq!(
            quantised(&matrix(&between, between.len()), rounding),
            nearest
        );
    }
}

/// As ml_dtypes casts them, but that what is beyond saturates.
#[test]
fn published_examples() {
    let x = [
        0.1,
        1.0 / 3.0,
        1.0625,
        1.1875,
        17.0,
        19.0,
        100.0,
        240.0,
        460.0,
        500.0,
        1.0 / 1024.0,
        1.5 / 512.0,
        2.5 / 512.0,
    ];
    let (e4m3, e5m2) = (
        [
            0.101_562_5,
            0.343_75,
            1.0,
            1.25,
            16.0,
            20.0,
            96.0,
            240.0,
            448.0,
            448.0,
            0.0,
            1.0 / 256.0,
            1.0 / 256.0,
        ],
        [
            0.093_75,
            0.312_5,
            1.0,
            1.25,
            16.0,
            20.0,
            96.0,
            256.0,
            448.0,
            512.0,
            1.0 / 1024.0,
            1.5 / 512.0,
            2.5 / 512.0,
        ],
    );
    for (grid, expected) in [(Grid::E4m3, e4m3), (Grid::E5m2, e5m2)] {
        for (x, expected) in x.into_iter().zip(expected) {
            let seen = on_grid(constants::<f32>(grid), 1.0, x as f32);
            assert_eq!(f64::from(seen), expected, "{x} in {grid:?}");
            let seen = on_grid(constants::<f64>(grid), 1.0, -x);
            assert_eq!(seen, -expected, "-{x} in {grid:?}");
        }
    }
}

/// gamma = 2.75 / 6, and codes that were computed by hand.
#[test]
fn three_values_and_their_inputs_by_an_example() {
    let ternary = Rounding::new(Grid::Ternary, Share::Tensor);
    let w = matrix(&[0.5, -0.2, 0.05, 1.0, -0.7, 0.3], 3);
    let gamma = 2.75 / 6.0;
    let near = |seen: Vec<f64>, expected: Vec<f64>| {
        assert!(distance(&seen, &expected) < 1e-12, "{seen:?} {expected:?}");
    };
    let whole = [1.0, 0.0, 0.0, 1.0, -1.0, 1.0];
    near(quantised(&w, ternary), whole.map(|q| q * gamma).to_vec());
    let row = matrix(&[0.3, -1.2, 0.7], 3);
    let int8 = Rounding::new(Grid::Int8, Share::Row);
    let whole = [32.0, -127.0, 74.0];
    near(
        quantised(&row, int8),
        whole.map(|q| q * 1.2 / 127.0).to_vec(),
    );
}

#[test]
fn bf16_is_half_of_an_f32() {
    let rounding = Rounding::new(Grid::Bf16, Share::Row);
    let mut bits = 0x0000_8000u32;
    let mut x = Vec::new();
    // Exponents from subnormal numbers to the largest, and mantissas around ties.
    while bits < 0x7f7f_0000 {
        x.extend(
            [bits, bits + 1, bits.wrapping_sub(1)].map(|bits| f64::from(f32::from_bits(bits))),
        );
        bits += 0x0021_8000;
    }
    let x32 = matrix(&x, x.len()).to_dtype(DType::F32).unwrap();
    let expected: Vec<f64> = x
        .iter()
        .map(|&x| half::bf16::from_f32(x as f32).to_f64())
        .collect();
    assert_eq!(quantised(&x32, rounding), expected);
}

#[test]
fn rounding_twice_is_rounding_once_and_scales_go_through() {
    let x = random(&[9, 10], DType::F32, 5).unwrap();
    for rounding in roundings() {
        let once = quantised(&x, rounding);
        let again = Tensor::from_slice(&once, (9, 10), &Device::Cpu).unwrap();
        let again = quantised(&again.to_dtype(DType::F32).unwrap(), rounding);
        match rounding.grid {
            // The mean size of what is left is another.
            Grid::Ternary => {
                let sign = |y: &f64| if *y == 0.0 { 0.0 } else { y.signum() };
                assert!(once.iter().map(sign).eq(again.iter().map(sign)));
            }
            _ => assert!(distance(&again, &once) < 1e-6, "{rounding:?}"),
        }
        for power in [-9, -1, 3, 12] {
            let factor = 2f64.powi(power);
            let scaled = quantised(&(&x * factor).unwrap(), rounding);
            let expected: Vec<f64> = once.iter().map(|y| y * factor).collect();
            assert_eq!(scaled, expected, "{rounding:?} of 2^{power} x");
        }
    }
}

#[test]
fn nothing_moves_further_than_half_a_step() {
    let x = random(&[9, 10], DType::F64, 5).unwrap();
    let numbers = flat(&x).unwrap();
    let most = most(&x);
    for rounding in roundings().into_iter().filter(|r| r.grid != Grid::Ternary) {
        // A scale that is rounded up may be twice as large.
        let slack = if rounding.power_of_two { 2.0 } else { 1.0 };
        for (x, y) in numbers.iter().zip(quantised(&x, rounding)) {
            let of = match rounding.grid {
                Grid::Int8 => most * slack,
                _ => x.abs(),
            };
            // Where a float has no normal numbers its step does not shrink any more.
            let least = most * slack * rounding.grid.numbers().least / rounding.grid.numbers().most;
            let bound = (of * rounding.grid.coarseness()).max(least);
            assert!(
                (x - y).abs() <= bound * (1.0 + 1e-12),
                "{x} to {y} by {rounding:?}"
            );
        }
    }
    // NaN is seen, and zeros have a scale.
    let odd = matrix(&[f64::NAN, 1.0, 0.0, 0.0], 2);
    for rounding in roundings() {
        let y = flat(&Ops::fused().quantise(&odd, rounding).unwrap()).unwrap();
        let zeros = y[2..] == [0.0, 0.0] || rounding.grid == Grid::Ternary;
        assert!(y[0].is_nan() && zeros, "{rounding:?}: {y:?}");
    }
    let rows = Rounding::new(Grid::Ternary, Share::Row);
    assert!(Ops::fused().quantise(&odd, rows).is_err());
}

#[test]
fn every_shape_is_rounded_as_by_plain_operations_on_any_number_of_threads() {
    for rounding in roundings() {
        for shape in [[1, 1], [1, 7], [7, 1], [8, 12], [5, 10]] {
            quantised(&random(&shape, DType::F32, 1).unwrap(), rounding);
            quantised(&random(&shape, DType::F64, 1).unwrap(), rounding);
        }
        quantised(&random(&[70, 601], DType::F32, 2).unwrap(), rounding);
        agrees(&[&[70, 601]], |ops, x| ops.quantise(&x[0], rounding));
        agrees(&[&[70, 601]], |ops, x| {
            ops.quantise_gradient(&ops.relu(&x[0])?, rounding)
        });
    }
}

/// `dx = Q_g(dy) Q_w(w)` and `dw = Q_g(dy)^T Q_x(x)`, to the last digits of f64.
#[test]
fn gradients_are_those_of_a_plain_product_of_rounded_factors() {
    let var = |shape: &[usize], seed| Var::from_tensor(&random(shape, DType::F64, seed).unwrap());
    let (x, w) = (var(&[6, 10], 1).unwrap(), var(&[7, 10], 2).unwrap());
    let dy = random(&[6, 7], DType::F64, 3).unwrap();
    for (inputs, weights, gradients) in [
        (
            Rounding::new(Grid::E4m3, Share::Tile(4)),
            Rounding::new(Grid::E4m3, Share::Block(4)),
            Rounding::new(Grid::E5m2, Share::Tile(4)),
        ),
        (
            Rounding::new(Grid::Int8, Share::Row),
            Rounding::new(Grid::Ternary, Share::Tensor),
            Rounding::new(Grid::Bf16, Share::Row),
        ),
    ] {
        for ops in [Ops::fused(), Ops::reference()] {
            let made = |rounds: bool| -> Result<Vec<Vec<f64>>> {
                let tape = Tape::new();
                let on = ops.on(&tape);
                let rounded = |x: &Tensor, how| Ops::fused().quantise(&x.detach(), how);
                let (y, at, dy) = if rounds {
                    let factors = (on.quantise(&x, inputs)?, on.quantise(&w, weights)?);
                    let y = on.linear(&factors.0, &factors.1, None)?;
                    (
                        on.quantise_gradient(&y, gradients)?,
                        [&x, &w].map(Var::clone),
                        dy.clone(),
                    )
                } else {
                    let at = [
                        Var::from_tensor(&rounded(&x, inputs)?)?,
                        Var::from_tensor(&rounded(&w, weights)?)?,
                    ];
                    let y = on.linear(&at[0], &at[1], None)?;
                    (y, at, rounded(&dy, gradients)?)
                };
                let mut all = tape.backward(&(&y * dy)?.sum_all()?, 1.0)?;
                let mut numbers = vec![flat(&y.detach())?];
                for var in &at {
                    numbers.push(flat(&all.take(var).unwrap().detach())?);
                }
                Ok(numbers)
            };
            assert_eq!(made(true).unwrap(), made(false).unwrap());
        }
    }
}

fn most(x: &Tensor) -> f64 {
    let numbers = flat(x).unwrap().into_iter();
    numbers.fold(0.0, |most, x| most.max(x.abs()))
}

fn normal(rows: usize, columns: usize, name: &str) -> Vec<f64> {
    let mut stream = stream(name, 1, 0);
    (0..rows * columns).map(|_| stream.normal()).collect()
}

/// One channel of the inputs is larger than the others and of no weight: what is left of them shows which scales are enough.
#[test]
fn an_outlier_tells_floats_from_whole_numbers() {
    const SIZE: [usize; 3] = [128, 512, 64];
    let [n, k, m] = SIZE;
    let mut w = normal(m, k, "w");
    w.iter_mut().step_by(k).for_each(|w| *w = 0.0);
    let w = matrix(&w, k).to_dtype(DType::F32).unwrap();
    let expected = [
        (1.0, [0.026, 0.026, 0.011, 0.0075, 0.0065]),
        (16.0, [0.027, 0.026, 0.131, 0.042, 0.022]),
        (256.0, [0.026, 0.026, 0.998, 0.527, 0.263]),
        (16384.0, [0.046, 0.027, 1.0, 0.992, 0.501]),
    ];
    for (factor, expected) in expected {
        let mut x = normal(n, k, "x");
        x.iter_mut().step_by(k).for_each(|x| *x *= factor);
        let x = matrix(&x, k).to_dtype(DType::F32).unwrap();
        let product = |x: &Tensor| flat(&Ops::fused().linear(x, &w, None).unwrap()).unwrap();
        let truth = product(&x);
        let ways = [
            (Grid::E4m3, Share::Tensor),
            (Grid::E4m3, Share::Tile(128)),
            (Grid::Int8, Share::Tensor),
            (Grid::Int8, Share::Row),
            (Grid::Int8, Share::Tile(128)),
        ];
        for ((grid, share), expected) in ways.into_iter().zip(expected) {
            let rounded = Ops::fused()
                .quantise(&x, Rounding::new(grid, share))
                .unwrap();
            let error = distance(&product(&rounded), &truth);
            // Another draw: the largest of some normal numbers is not always the same.
            assert!(
                (0.7..1.4).contains(&(error / expected)),
                "{grid:?} {share:?} at {factor}: {error} against {expected}"
            );
            if (grid, share, factor) == (Grid::Int8, Share::Tensor, 16.0) {
                // Uniform within a step, of numbers of size 1.
                let expected = most(&x) / 127.0 / 12f64.sqrt();
                assert!((error / expected - 1.0).abs() < 0.03, "{error} {expected}");
            }
        }
    }
}

#[test]
fn normal_weights_of_three_values() {
    let w = normal(100, 1000, "w");
    let rounding = Rounding::new(Grid::Ternary, Share::Tensor);
    let seen = quantised(&matrix(&w, 1000), rounding);
    let zeros = seen.iter().filter(|w| **w == 0.0).count() as f64 / w.len() as f64;
    assert!((zeros - 0.310).abs() < 0.005, "{zeros}");
    let error = distance(&seen, &w);
    assert!((error - 0.5135).abs() < 0.004, "{error}");
}

/// One large input spoils the scale of all others where they share it, and of none where they do not; in 8-bit floats, whose step is
/// relative, hardly any.
#[test]
fn a_planted_outlier_coarsens_what_shares_its_scale() {
    let numbers: Vec<f64> = (0..4 * 64)
        .map(|i| f64::from(i * 37 % 101) / 50.0 - 1.0)
        .collect();
    let x = matrix(&numbers, 64);
    let error = |rounding: Rounding| {
        let y = quantised(&x, rounding);
        let pairs = y.iter().zip(&numbers).enumerate();
        let others = pairs.filter(|(i, _)| i % 64 != 0);
        others
            .map(|(_, (y, x))| (y - x).powi(2))
            .sum::<f64>()
            .sqrt()
    };
    let worse = |grid, share| {
        let plain = Rounding::new(grid, share);
        error(plain.with_first(256.0)) / error(plain)
    };
    assert!(worse(Grid::Int8, Share::Tensor) > 50.0);
    assert!(worse(Grid::Int8, Share::Tile(16)) > 20.0);
    assert!(worse(Grid::E4m3, Share::Tensor) < 1.5);
    quantised(
        &x,
        Rounding::new(Grid::Int8, Share::Tensor).with_first(0.25),
    );
    // What is called coarse is as coarse as it is.
    for (grid, times) in [(Grid::Int8, 20.0), (Grid::E4m3, 1.0)] {
        let plain = Rounding::new(grid, Share::Tensor);
        let planted = plain.with_first(20.0).coarseness();
        assert_eq!(planted, times * plain.coarseness());
    }
}
