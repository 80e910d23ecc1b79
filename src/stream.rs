//! All randomness: named, seeded streams of Xoshiro256++ (Blackman and Vigna 2021), the same on every machine and device.
//!
//! A stream's 256-bit state is blake3(seed, index, name), so that streams of different names, seeds or indices have
//! nothing to do with each other, and any of them can be opened without drawing those before it.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// A stream of random numbers; [`stream`] opens one.
#[derive(Debug, Clone)]
pub struct Stream {
    rng: Xoshiro256PlusPlus,
    /// The second of a pair of normals.
    spare: Option<f64>,
}

/// Opens stream number `index` of `name` (`data/language/train`, a parameter's name ...) for a seed.
pub fn stream(name: &str, seed: u64, index: u64) -> Stream {
    let mut hash = blake3::Hasher::new();
    hash.update(&seed.to_le_bytes())
        .update(&index.to_le_bytes())
        .update(name.as_bytes());
    Stream {
        rng: Xoshiro256PlusPlus::from_seed(*hash.finalize().as_bytes()),
        spare: None,
    }
}

impl Stream {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// A number in `[0, 1)`, a multiple of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A whole number in `0..n`, exactly uniform (Lemire 2019).
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "nothing is below 0");
        let n = n as u64;
        loop {
            let wide = u128::from(self.bits()) * u128::from(n);
            let low = wide as u64;
            // The few lowest products would make some results more likely than others.
            if low >= n || low >= n.wrapping_neg() % n {
                return (wide >> 64) as usize;
            }
        }
    }

    /// A standard normal number (Marsaglia's polar method: made in pairs, given one at a time).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let stretch = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(y * stretch);
                return x * stretch;
            }
        }
    }

    /// Puts items in a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_values_hold() {
        let mut bits = stream("golden", 1, 2);
        assert_eq!(
            [bits.bits(), bits.bits(), bits.bits()],
            [
                14782142793278268709,
                1504876529592049973,
                13183639459053784175
            ]
        );
        let mut uniform = stream("golden", 1, 2);
        assert_eq!(uniform.uniform(), 0.801341566523162);
        let mut normal = stream("golden", 1, 2);
        let pair = [normal.normal(), normal.normal()];
        // `ln` may differ in its last bit from one C library to the next.
        for (found, want) in pair.iter().zip([1.206156705269671, 0.9667365401550082]) {
            assert!((found - want).abs() < 1e-12, "{pair:?}");
        }
        let mut order: Vec<u32> = (0..8).collect();
        stream("golden", 1, 2).shuffle(&mut order);
        assert_eq!(order, [1, 5, 2, 7, 3, 4, 0, 6]);
        let mut below = stream("golden", 1, 2);
        assert_eq!(
            [
                below.below(10),
                below.below(10),
                below.below(10),
                below.below(1)
            ],
            [8, 0, 7, 0]
        );
    }

    #[test]
    fn name_seed_and_index_each_make_another_stream() {
        let first = |name, seed, index| stream(name, seed, index).bits();
        let base = first("a", 1, 2);
        assert_eq!(base, first("a", 1, 2));
        for other in [
            first("b", 1, 2),
            first("a", 2, 2),
            first("a", 1, 3),
            first("a", 2, 1),
            first("", 1, 2),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut s = stream("moments", 0, 0);
        let n = 200_000;
        let mean =
            |draw: &mut dyn FnMut() -> f64| (0..n).map(|_| draw()).sum::<f64>() / f64::from(n);
        // Five standard errors of each.
        let near = |found: f64, want: f64, sd: f64| {
            assert!(
                (found - want).abs() < 5.0 * sd / f64::from(n).sqrt(),
                "{found} against {want}"
            );
        };
        near(mean(&mut || s.uniform()), 0.5, (1.0f64 / 12.0).sqrt());
        near(mean(&mut || s.normal()), 0.0, 1.0);
        near(mean(&mut || s.normal().powi(2)), 1.0, 2.0f64.sqrt());
        near(mean(&mut || s.normal().powi(4)), 3.0, 96.0f64.sqrt());
        near(mean(&mut || s.below(7) as f64), 3.0, 2.0);
        near(
            mean(&mut || f64::from(s.below(3) == 2)),
            1.0 / 3.0,
            (2.0f64 / 9.0).sqrt(),
        );
    }
}
