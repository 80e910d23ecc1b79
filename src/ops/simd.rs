//! The instruction set is chosen when the program runs: one build is fast on every machine.
//!
//! `simd! { fn name<S, F>(..) { .. } }` writes a kernel once, as plain loops over slices, and compiles it three times: with
//! AVX-512, with AVX2 and FMA, and with what every CPU of the target has. The compiler vectorises each; the call picks the best
//! that this CPU knows. `S` tells the body whether a multiply-add is one instruction. The results of two instruction sets differ
//! in their last bits; on one machine they never do.
//!
//! A sum is only vectorised when its order is written down, since floating-point addition is not associative: [`fold`] and its
//! kin keep [`LANES`] running values and combine them as a tree, whatever the instruction set.

use super::real::Real;
#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

/// What the compiled variant of a kernel can do.
pub(super) trait Isa: Copy {
    /// A fused multiply-add is one instruction; otherwise it would be a slow library call.
    const FMA: bool;
}

/// Any CPU of the target.
#[derive(Clone, Copy)]
pub(super) struct Baseline;
impl Isa for Baseline {
    const FMA: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
}

/// AVX2 or AVX-512: both come with FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct WithFma;
#[cfg(target_arch = "x86_64")]
impl Isa for WithFma {
    const FMA: bool = true;
}

/// The levels of x86-64 that kernels are compiled for.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Avx512,
    Avx2,
    Baseline,
}

/// The best level of this CPU, looked up once.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
        {
            Level::Avx512
        } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            Level::Avx2
        } else {
            Level::Baseline
        }
    })
}

/// Compiles a kernel for every [`Level`] and picks one at the call. See the top of the file.
macro_rules! simd {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$S:ident, $F:ident $(, $G:ident: $bound:path)*>(
        $($arg:ident: $ty:ty),* $(,)?
    ) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name<$F: $crate::ops::real::Real $(, $G: $bound)*>($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body<$S: $crate::ops::simd::Isa, $F: $crate::ops::real::Real $(, $G: $bound)*>(
                $($arg: $ty),*
            ) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                use $crate::ops::simd::{Level, WithFma, level};
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512<$F: $crate::ops::real::Real $(, $G: $bound)*>($($arg: $ty),*) $(-> $ret)? {
                    body::<WithFma, $F $(, $G)*>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2<$F: $crate::ops::real::Real $(, $G: $bound)*>($($arg: $ty),*) $(-> $ret)? {
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
            body::<$crate::ops::simd::Baseline, $F $(, $G)*>($($arg),*)
        }
    };
}
pub(super) use simd;

/// Running values in a reduction: two AVX-512 registers of f32, four of AVX2, enough to hide an addition's latency.
pub(super) const LANES: usize = 32;

/// Folds a slice: `step` into each lane, then `merge` over the lanes as a tree, then the tail that fills no lane.
#[inline(always)]
pub(super) fn fold<F: Real>(x: &[F], start: F, step: impl Fn(F, F) -> F, merge: impl Fn(F, F) -> F) -> F {
    let mut lanes = [start; LANES];
    let (whole, tail) = x.as_chunks::<LANES>();
    for x in whole {
        for (lane, &x) in lanes.iter_mut().zip(x) {
            *lane = step(*lane, x);
        }
    }
    tail.iter().fold(tree(lanes, merge), |sum, &x| step(sum, x))
}

/// [`fold`] over two slices of one length.
#[inline(always)]
pub(super) fn fold2<F: Real>(x: &[F], y: &[F], start: F, step: impl Fn(F, F, F) -> F, merge: impl Fn(F, F) -> F) -> F {
    let mut lanes = [start; LANES];
    let ((xs, x_tail), (ys, y_tail)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in xs.iter().zip(ys) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *lane = step(*lane, x, y);
        }
    }
    x_tail.iter().zip(y_tail).fold(tree(lanes, merge), |sum, (&x, &y)| step(sum, x, y))
}

#[inline(always)]
fn tree<F: Real>(mut lanes: [F; LANES], merge: impl Fn(F, F) -> F) -> F {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = merge(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// The sum of a slice.
#[inline(always)]
pub(super) fn sum<F: Real>(x: &[F]) -> F {
    fold(x, F::ZERO, |sum, x| sum + x, |a, b| a + b)
}

/// The inner product of two slices of one length.
#[inline(always)]
pub(super) fn dot<S: Isa, F: Real>(x: &[F], y: &[F]) -> F {
    fold2(x, y, F::ZERO, |sum, x, y| x.fma::<S>(y, sum), |a, b| a + b)
}

/// The sum of the products of three slices of one length.
#[inline(always)]
pub(super) fn dot3<S: Isa, F: Real>(x: &[F], y: &[F], z: &[F]) -> F {
    let mut lanes = [F::ZERO; LANES];
    let (xs, x_tail) = x.as_chunks::<LANES>();
    let ((ys, y_tail), (zs, z_tail)) = (y.as_chunks::<LANES>(), z.as_chunks::<LANES>());
    for ((x, y), z) in xs.iter().zip(ys).zip(zs) {
        for ((lane, &x), (&y, &z)) in lanes.iter_mut().zip(x).zip(y.iter().zip(z)) {
            *lane = (x * y).fma::<S>(z, *lane);
        }
    }
    let tail = x_tail.iter().zip(y_tail.iter().zip(z_tail));
    tail.fold(tree(lanes, |a, b| a + b), |sum, (&x, (&y, &z))| (x * y).fma::<S>(z, sum))
}

/// The largest number of a slice; a NaN is passed over.
#[inline(always)]
pub(super) fn max<F: Real>(x: &[F]) -> F {
    let larger = |a: F, b: F| if b > a { b } else { a };
    fold(x, F::LOWEST, larger, larger)
}

simd! {
    /// `sum += x`, number by number.
    pub(super) fn accumulate<S, F>(sum: &mut [F], x: &[F]) {
        for (sum, &x) in sum.iter_mut().zip(x) {
            *sum += x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_cover_every_length() {
        for n in [0, 1, 31, 32, 33, 64, 100] {
            let x: Vec<f64> = (0..n).map(|i| ((i * 7) % 13) as f64).collect();
            assert_eq!(sum(&x), x.iter().sum::<f64>(), "sum of {n}");
            assert_eq!(dot::<Baseline, _>(&x, &x), x.iter().map(|x| x * x).sum::<f64>(), "dot of {n}");
            assert_eq!(dot3::<Baseline, _>(&x, &x, &x), x.iter().map(|x| x * x * x).sum::<f64>(), "dot3 of {n}");
            assert_eq!(max(&x), x.iter().copied().fold(f64::NEG_INFINITY, f64::max), "max of {n}");
        }
    }
}
