//! The numbers that ops are made of: f32, which trains, and f64, in which gradients are checked by finite differences.
//!
//! `exp` and `tanh` of f32 are branch-free polynomials after Cephes (Moshier, *Methods and Programs for Mathematical
//! Functions*, 1989), so that a loop that calls them vectorises; libm's would be a call per number. Those of f64 are libm's.

use super::isa::Isa;
use candle_core::WithDType;
use std::ops::Neg;

/// A floating-point type that ops compute in.
pub(in crate::ops) trait Real: WithDType + Neg<Output = Self> {
    const ZERO: Self;
    const ONE: Self;
    /// Minus infinity.
    const LOWEST: Self;

    /// The nearest value to a constant.
    fn of(x: f64) -> Self;

    /// `self * a + b`, rounded once where that is one instruction.
    fn fma<S: Isa>(self, a: Self, b: Self) -> Self;

    /// e to the power of self. NaN stays NaN.
    fn exp<S: Isa>(self) -> Self;

    /// The hyperbolic tangent.
    fn tanh<S: Isa>(self) -> Self;

    /// The natural logarithm; libm's, for a value per row.
    fn ln(self) -> Self;

    fn sqrt(self) -> Self;

    /// The largest power of two that is not above the size of self: 0 of numbers that are not normal, infinite where self is not
    /// finite.
    fn octave(self) -> Self;

    /// The nearest whole number, of two the even one; of sizes below 2^22.
    fn nearest(self) -> Self;

    /// The logistic function, 1 / (1 + exp(-x)).
    #[inline(always)]
    fn sigmoid<S: Isa>(self) -> Self {
        Self::ONE / (Self::ONE + (-self).exp::<S>())
    }

    /// ln(1 + self), of a number from 0 to 1.
    fn ln_1p<S: Isa>(self) -> Self;

    /// ln(1 + exp(x)).
    #[inline(always)]
    fn softplus<S: Isa>(self) -> Self {
        let (above, size) = match self > Self::ZERO {
            true => (self, self),
            false => (Self::ZERO, -self),
        };
        above + (-size).exp::<S>().ln_1p::<S>()
    }
}

impl Real for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    const LOWEST: f32 = f32::NEG_INFINITY;

    #[inline(always)]
    fn of(x: f64) -> f32 {
        x as f32
    }

    #[inline(always)]
    fn fma<S: Isa>(self, a: f32, b: f32) -> f32 {
        if S::FMA {
            self.mul_add(a, b)
        } else {
            self * a + b
        }
    }

    /// exp(x) = 2^n exp(r) with n = round(x / ln 2) and |r| <= ln 2 / 2. Exactly 0 below -87.33 (no subnormal results), and
    /// 2.4e38 above 88.37 (no infinity).
    #[inline(always)]
    #[allow(clippy::excessive_precision, reason = "the coefficients as published")]
    fn exp<S: Isa>(self) -> f32 {
        /// Adding 1.5 * 2^23 rounds to an integer, which is then in the low bits.
        const ROUND: f32 = 12_582_912.0;
        /// ln 2 in two parts; the first has so few bits that its product with n is exact.
        const LN2: (f32, f32) = (0.693_359_375, -2.121_944_40e-4);
        const HIGHEST: f32 = 88.37;
        const LOWEST: f32 = -87.33;
        let x = if self > HIGHEST { HIGHEST } else { self };
        let rounded = x.fma::<S>(std::f32::consts::LOG2_E, ROUND);
        let n = rounded - ROUND;
        let r = n.fma::<S>(-LN2.1, n.fma::<S>(-LN2.0, x));
        let p = 1.987_569_150_0e-4_f32
            .fma::<S>(r, 1.398_199_950_7e-3)
            .fma::<S>(r, 8.333_451_907_3e-3)
            .fma::<S>(r, 4.166_579_589_4e-2)
            .fma::<S>(r, 1.666_666_545_9e-1)
            .fma::<S>(r, 5.000_000_120_1e-1);
        let exp_r = p.fma::<S>(r * r, r) + 1.0;
        let two_to_n = f32::from_bits((rounded.to_bits() << 23).wrapping_add(0x3f80_0000));
        if self < LOWEST { 0.0 } else { exp_r * two_to_n }
    }

    /// An odd polynomial below 0.625, where 1 - 2 / (exp(2x) + 1) would cancel, and that above.
    #[inline(always)]
    #[allow(clippy::excessive_precision, reason = "the coefficients as published")]
    fn tanh<S: Isa>(self) -> f32 {
        let z = self * self;
        let p = (-5.704_988_727_45e-3_f32)
            .fma::<S>(z, 2.063_908_879_54e-2)
            .fma::<S>(z, -5.373_971_555_31e-2)
            .fma::<S>(z, 1.333_144_220_36e-1)
            .fma::<S>(z, -3.333_328_194_22e-1);
        let near = (p * z).fma::<S>(self, self);
        let far = 1.0 - 2.0 / (Real::exp::<S>(2.0 * self.abs()) + 1.0);
        if self.abs() < 0.625 {
            near
        } else {
            far.copysign(self)
        }
    }

    /// `2 artanh(s)` with s = x / (x + 2), at most 1/3, by its series: the first term left out is 1.4e-8 of the sum.
    #[inline(always)]
    fn ln_1p<S: Isa>(self) -> f32 {
        let s = self / (self + 2.0);
        let z = s * s;
        let p = (1.0_f32 / 13.0)
            .fma::<S>(z, 1.0 / 11.0)
            .fma::<S>(z, 1.0 / 9.0)
            .fma::<S>(z, 1.0 / 7.0)
            .fma::<S>(z, 1.0 / 5.0)
            .fma::<S>(z, 1.0 / 3.0)
            .fma::<S>(z, 1.0);
        2.0 * s * p
    }

    #[inline(always)]
    fn ln(self) -> f32 {
        self.ln()
    }

    #[inline(always)]
    fn sqrt(self) -> f32 {
        self.sqrt()
    }

    #[inline(always)]
    fn octave(self) -> f32 {
        f32::from_bits(self.to_bits() & 0x7f80_0000)
    }

    #[inline(always)]
    fn nearest(self) -> f32 {
        // 1.5 * 2^23: numbers of its size are whole.
        const ROUND: f32 = 12_582_912.0;
        (self + ROUND) - ROUND
    }
}

impl Real for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    const LOWEST: f64 = f64::NEG_INFINITY;

    #[inline(always)]
    fn of(x: f64) -> f64 {
        x
    }

    #[inline(always)]
    fn fma<S: Isa>(self, a: f64, b: f64) -> f64 {
        if S::FMA {
            self.mul_add(a, b)
        } else {
            self * a + b
        }
    }

    #[inline(always)]
    fn exp<S: Isa>(self) -> f64 {
        self.exp()
    }

    #[inline(always)]
    fn tanh<S: Isa>(self) -> f64 {
        self.tanh()
    }

    #[inline(always)]
    fn ln_1p<S: Isa>(self) -> f64 {
        self.ln_1p()
    }

    #[inline(always)]
    fn ln(self) -> f64 {
        self.ln()
    }

    #[inline(always)]
    fn sqrt(self) -> f64 {
        self.sqrt()
    }

    #[inline(always)]
    fn octave(self) -> f64 {
        f64::from_bits(self.to_bits() & 0x7ff0_0000_0000_0000)
    }

    #[inline(always)]
    fn nearest(self) -> f64 {
        // 1.5 * 2^52: numbers of its size are whole.
        const ROUND: f64 = 6_755_399_441_055_744.0;
        (self + ROUND) - ROUND
    }
}

/// Runs an expression with a type's name bound to the type of a tensor's numbers.
macro_rules! typed {
    ($tensor:expr, $F:ident => $body:expr) => {
        match $tensor.dtype() {
            candle_core::DType::F32 => {
                type $F = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $F = f64;
                $body
            }
            other => candle_core::bail!("fused ops compute in f32 or f64, not in {other:?}"),
        }
    };
}
pub(in crate::ops) use typed;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cpu::isa::Baseline;
    use crate::ops::cpu::simd::simd;

    simd! {
        fn exps<S, F>(x: &[F], y: &mut [F]) {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = x.exp::<S>();
            }
        }
    }

    simd! {
        fn tanhs<S, F>(x: &[F], y: &mut [F]) {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = x.tanh::<S>();
            }
        }
    }

    simd! {
        fn softpluses<S, F>(x: &[F], y: &mut [F]) {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = x.softplus::<S>();
            }
        }
    }

    /// The largest relative error over a fine grid, of the best instruction set and of the baseline.
    fn worst(
        range: (f32, f32),
        best: impl Fn(&[f32], &mut [f32]),
        base: fn(f32) -> f32,
        truth: fn(f64) -> f64,
    ) -> f64 {
        const STEPS: usize = 1_000_003;
        let x: Vec<f32> = (0..=STEPS)
            .map(|i| range.0 + (range.1 - range.0) * (i as f32 / STEPS as f32))
            .collect();
        let mut y = vec![0.0; x.len()];
        best(&x, &mut y);
        let error = |x: f32, y: f32| match truth(f64::from(x)) {
            0.0 => f64::from(y.abs()),
            truth => ((f64::from(y) - truth) / truth).abs(),
        };
        x.iter()
            .zip(&y)
            .map(|(&x, &y)| error(x, y).max(error(x, base(x))))
            .fold(0.0, f64::max)
    }

    #[test]
    fn the_relative_errors_are_bounded() {
        for range in [(-87.3, 88.36), (-10.0, 10.0), (-1e-3, 1e-3)] {
            let error = worst(range, exps, Real::exp::<Baseline>, f64::exp);
            assert!(error < 2e-7, "exp on {range:?}: {error:e}");
        }
        for range in [(-80.0, 80.0), (-10.0, 10.0), (-0.1, 0.1)] {
            let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
            let error = worst(range, softpluses, Real::softplus::<Baseline>, softplus);
            assert!(error < 4e-7, "softplus on {range:?}: {error:e}");
        }
        for range in [(-12.0, 12.0), (-0.7, 0.7), (-1e-4, 1e-4)] {
            let error = worst(range, tanhs, Real::tanh::<Baseline>, f64::tanh);
            assert!(error < 3e-7, "tanh on {range:?}: {error:e}");
        }
    }

    #[test]
    fn the_ends_are_defined() {
        let exp = |x: f32| Real::exp::<Baseline>(x);
        assert_eq!(
            (exp(f32::NEG_INFINITY), exp(-1e30), exp(-90.0), exp(0.0)),
            (0.0, 0.0, 0.0, 1.0)
        );
        assert!(exp(f32::INFINITY) > 2e38 && exp(f32::INFINITY).is_finite());
        assert!(exp(f32::NAN).is_nan() && Real::tanh::<Baseline>(f32::NAN).is_nan());
        assert_eq!(
            (
                Real::tanh::<Baseline>(1e30_f32),
                Real::tanh::<Baseline>(-50.0_f32)
            ),
            (1.0, -1.0)
        );
        assert_eq!(Real::sigmoid::<Baseline>(0.0_f32), 0.5);
        assert!(Real::sigmoid::<Baseline>(-1e4_f32) < 1e-38);
    }
}
