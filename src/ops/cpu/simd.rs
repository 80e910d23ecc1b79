//! The instruction set is chosen when the program runs: one build is fast on every machine.
//!
//! `simd! { fn name<S, F>(..) { .. } }` writes a kernel once, as plain loops over slices, and compiles it three times: with
//! AVX-512, with AVX2 and FMA, and with what every CPU of the target has. The compiler vectorises each; the call picks the best
//! that this CPU knows. `S` tells the body whether a multiply-add is one instruction. The results of two instruction sets differ
//! in their last bits; on one machine they never do.
//!
//! A sum is only vectorised when its order is written down, since floating-point addition is not associative: [`fold`] and its
//! kin keep [`LANES`] running values and combine them as a tree, whatever the instruction set.

use super::isa::Isa;
use super::real::Real;

/// Compiles a kernel for every [`Level`](super::isa::Level) and picks one at the call. See the top of the file.
macro_rules! simd {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$S:ident, $F:ident $(, $G:ident: $bound:path)*>(
        $($arg:ident: $ty:ty),* $(,)?
    ) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name<$F: $crate::ops::cpu::real::Real $(, $G: $bound)*>(
            $($arg: $ty),*
        ) $(-> $ret)? {
            #[inline(always)]
            fn body<
                $S: $crate::ops::cpu::isa::Isa,
                $F: $crate::ops::cpu::real::Real $(, $G: $bound)*
            >($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                use $crate::ops::cpu::isa::{Level, WithFma, level};
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512<$F: $crate::ops::cpu::real::Real $(, $G: $bound)*>(
                    $($arg: $ty),*
                ) $(-> $ret)? {
                    body::<WithFma, $F $(, $G)*>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2<$F: $crate::ops::cpu::real::Real $(, $G: $bound)*>(
                    $($arg: $ty),*
                ) $(-> $ret)? {
                    body::<WithFma, $F $(, $G)*>($($arg),*)
                }
                match level() {
                    // SAFETY: `level` found these instructions on this CPU.
                    Level::Avx512 => return unsafe { avx512::<$F $(, $G)*>($($arg),*) },
                    // SAFETY: as above.
                    Level::Avx2 => return unsafe { avx2::<$F $(, $G)*>($($arg),*) },
                    Level::Baseline => {}
                }
            }
            body::<$crate::ops::cpu::isa::Baseline, $F $(, $G)*>($($arg),*)
        }
    };
}
pub(in crate::ops) use simd;

/// Running values in a reduction of a long slice. More than the registers hold, on purpose: the compiler then keeps the loop over
/// them and vectorises it, with the values in the first-level cache, where it would unroll 32 and shuffle them two by two (measured
/// with AVX2 on rows of 384: 12 to 18 against 4 GFLOP/s).
const LANES: usize = 64;

/// Running values for what is left, and for short slices.
const FEW: usize = 8;

/// Folds a slice: `step` into each lane, then `merge` over the lanes as a tree, then the tail that fills no lane. `start` changes
/// nothing when it is merged.
#[inline(always)]
pub(in crate::ops) fn fold<F: Real>(
    x: &[F],
    start: F,
    step: impl Fn(F, F) -> F,
    merge: impl Fn(F, F) -> F,
) -> F {
    #[inline(always)]
    fn lanes<const N: usize, F: Real>(x: &[[F; N]], start: F, step: impl Fn(F, F) -> F) -> [F; N] {
        let mut lanes = [start; N];
        for x in x {
            for (lane, &x) in lanes.iter_mut().zip(x) {
                *lane = step(*lane, x);
            }
        }
        lanes
    }
    let (long, rest) = x.as_chunks::<LANES>();
    let (short, tail) = rest.as_chunks::<FEW>();
    let mut sum = start;
    if !long.is_empty() {
        sum = merge(sum, tree(lanes(long, start, &step), &merge));
    }
    if !short.is_empty() {
        sum = merge(sum, tree(lanes(short, start, &step), &merge));
    }
    tail.iter().fold(sum, |sum, &x| step(sum, x))
}

#[inline(always)]
fn tree<const N: usize, F: Real>(mut lanes: [F; N], merge: impl Fn(F, F) -> F) -> F {
    let mut half = N / 2;
    while half > 0 {
        let (low, high) = lanes.split_at_mut(half);
        for (low, &mut high) in low.iter_mut().zip(high) {
            *low = merge(*low, high);
        }
        half /= 2;
    }
    lanes[0]
}

/// The sum of a slice.
#[inline(always)]
pub(in crate::ops) fn sum<F: Real>(x: &[F]) -> F {
    fold(x, F::ZERO, |sum, x| sum + x, |a, b| a + b)
}

/// The inner product of two slices of one length.
#[inline(always)]
pub(in crate::ops) fn dot<S: Isa, F: Real>(x: &[F], y: &[F]) -> F {
    #[inline(always)]
    fn lanes<S: Isa, const N: usize, F: Real>(x: &[[F; N]], y: &[[F; N]]) -> [F; N] {
        let mut lanes = [F::ZERO; N];
        for (x, y) in x.iter().zip(y) {
            for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
                *lane = x.fma::<S>(y, *lane);
            }
        }
        lanes
    }
    let ((long_x, x), (long_y, y)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let ((short_x, x), (short_y, y)) = (x.as_chunks::<FEW>(), y.as_chunks::<FEW>());
    let mut sum = F::ZERO;
    if !long_x.is_empty() {
        sum += tree(lanes::<S, LANES, F>(long_x, long_y), |a, b| a + b);
    }
    if !short_x.is_empty() {
        sum += tree(lanes::<S, FEW, F>(short_x, short_y), |a, b| a + b);
    }
    x.iter()
        .zip(y)
        .fold(sum, |sum, (&x, &y)| x.fma::<S>(y, sum))
}

/// The sum of the products of three slices of one length.
#[inline(always)]
pub(in crate::ops) fn dot3<S: Isa, F: Real>(x: &[F], y: &[F], z: &[F]) -> F {
    #[inline(always)]
    fn lanes<S: Isa, const N: usize, F: Real>(x: &[[F; N]], y: &[[F; N]], z: &[[F; N]]) -> [F; N] {
        let mut lanes = [F::ZERO; N];
        for ((x, y), z) in x.iter().zip(y).zip(z) {
            for (((lane, &x), &y), &z) in lanes.iter_mut().zip(x).zip(y).zip(z) {
                *lane = (x * y).fma::<S>(z, *lane);
            }
        }
        lanes
    }
    let ((long_x, x), (long_y, y), (long_z, z)) = (
        x.as_chunks::<LANES>(),
        y.as_chunks::<LANES>(),
        z.as_chunks::<LANES>(),
    );
    let ((short_x, x), (short_y, y), (short_z, z)) = (
        x.as_chunks::<FEW>(),
        y.as_chunks::<FEW>(),
        z.as_chunks::<FEW>(),
    );
    let mut sum = F::ZERO;
    if !long_x.is_empty() {
        sum += tree(lanes::<S, LANES, F>(long_x, long_y, long_z), |a, b| a + b);
    }
    if !short_x.is_empty() {
        sum += tree(lanes::<S, FEW, F>(short_x, short_y, short_z), |a, b| a + b);
    }
    x.iter()
        .zip(y)
        .zip(z)
        .fold(sum, |sum, ((&x, &y), &z)| (x * y).fma::<S>(z, sum))
}

/// The largest number of a slice; a NaN is passed over.
#[inline(always)]
pub(in crate::ops) fn max<F: Real>(x: &[F]) -> F {
    let larger = |a: F, b: F| if b > a { b } else { a };
    fold(x, F::LOWEST, larger, larger)
}

simd! {
    /// `sum += x`, number by number.
    pub(in crate::ops) fn accumulate<S, F>(sum: &mut [F], x: &[F]) {
        for (sum, &x) in sum.iter_mut().zip(x) {
            *sum += x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cpu::isa::Baseline;

    #[test]
    fn folds_cover_every_length() {
        for n in [0, 1, 7, 8, 9, 63, 64, 65, 72, 100, 130] {
            let x: Vec<f64> = (0..n).map(|i| ((i * 7) % 13) as f64).collect();
            assert_eq!(sum(&x), x.iter().sum::<f64>(), "sum of {n}");
            assert_eq!(
                dot::<Baseline, _>(&x, &x),
                x.iter().map(|x| x * x).sum::<f64>(),
                "dot of {n}"
            );
            assert_eq!(
                dot3::<Baseline, _>(&x, &x, &x),
                x.iter().map(|x| x * x * x).sum::<f64>(),
                "dot3 of {n}"
            );
            assert_eq!(
                max(&x),
                x.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                "max of {n}"
            );
        }
    }
}
