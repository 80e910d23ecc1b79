//! Parameters kept in bf16: each is rounded after every update, to the nearest number, or to one of its two neighbours by chance, so that
//! on average nothing is lost of updates that are smaller than a step (Gupta et al. 2015, arXiv 1502.02551, section 3.1).
//!
//! The chance is a function of the step, the parameter and the number's place in it: a run that is resumed, or repeated on other
//! threads, rounds alike. Gradients, what an optimizer keeps, and arithmetic stay f32.

use candle_core::{Tensor, Var};

use crate::error::Result;

/// How parameters are rounded after an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// To the nearest number of bf16, of two to the even one.
    Nearest,
    /// To one of the two neighbours in bf16, to each with the chance that makes the mean the number itself.
    Stochastic,
}

impl Stored {
    /// The words of a spec.
    pub const WORDS: [&str; 2] = ["bf16", "bf16-stochastic"];

    /// What a word says.
    pub fn of(word: &str) -> Option<Self> {
        let all = [Self::Nearest, Self::Stochastic];
        let named = Self::WORDS.iter().zip(all).find(|(name, _)| **name == word);
        named.map(|(_, stored)| stored)
    }

    /// Rounds parameters of f32 after the update of that number.
    ///
    /// # Errors
    /// The device's.
    pub fn apply(self, params: &[Var], step: u64) -> Result<()> {
        for (place, var) in params.iter().enumerate() {
            let key = mixed(mixed(step) ^ place as u64);
            let mut numbers: Vec<f32> = var.flatten_all()?.to_vec1()?;
            for (i, number) in numbers.iter_mut().enumerate() {
                let added = match self {
                    Self::Nearest => 0x7fff + ((number.to_bits() >> 16) & 1),
                    Self::Stochastic => mixed(key ^ i as u64) as u32 & 0xffff,
                };
                *number = cut(*number, added);
            }
            var.set(&Tensor::from_vec(numbers, var.shape(), var.device())?)?;
        }
        Ok(())
    }
}

/// A number whose lower half is cut off after something was added to it; what is not finite stays.
fn cut(x: f32, added: u32) -> f32 {
    if !x.is_finite() {
        return x;
    }
    let rounded = f32::from_bits(x.to_bits().wrapping_add(added) & 0xffff_0000);
    if rounded.is_finite() { rounded } else { x }
}

/// The output function of SplitMix64 (Steele, Lea and Flood 2014): 64 bits of which each depends on all of a counter's.
fn mixed(counter: u64) -> u64 {
    let z = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn var(numbers: Vec<f32>) -> Var {
        let n = numbers.len();
        Var::from_vec(numbers, n, &Device::Cpu).unwrap()
    }

    fn numbers(var: &Var) -> Vec<f32> {
        var.as_tensor().to_vec1().unwrap()
    }

    /// 1 + 2000 x 0.001: the nearest number is 1 for ever, since the next one is 1 + 2^-7.
    #[test]
    fn small_updates_are_lost_unless_chance_takes_some() {
        const COUNT: usize = 400;
        let run = |stored: Stored| -> f64 {
            let sums = var(vec![1.0; COUNT]);
            for step in 0..2000 {
                sums.set(&(sums.as_tensor() + 0.001).unwrap()).unwrap();
                stored.apply(std::slice::from_ref(&sums), step).unwrap();
            }
            numbers(&sums).into_iter().map(f64::from).sum::<f64>() / COUNT as f64
        };
        assert_eq!(run(Stored::Nearest), 1.0);
        // The walk's own deviation is about 0.1, that of the mean of 400 a twentieth of it.
        let mean = run(Stored::Stochastic);
        assert!((mean - 3.0).abs() < 0.03, "{mean}");
    }

    #[test]
    fn chance_is_right_on_average_and_a_function_of_step_parameter_and_place() {
        const COUNT: usize = 40_000;
        let x = 1.0 + 0.3 / 128.0;
        let rounded = |step: u64| {
            let both = [var(vec![x; COUNT]), var(vec![-x; COUNT])];
            Stored::Stochastic.apply(&both, step).unwrap();
            both.map(|var| numbers(&var))
        };
        let [up, down] = rounded(7);
        assert!(up.iter().all(|y| [1.0, 1.0 + 1.0 / 128.0].contains(y)));
        let share = |numbers: &[f32]| {
            numbers.iter().filter(|y| y.abs() > 1.0).count() as f64 / COUNT as f64
        };
        for share in [share(&up), share(&down)] {
            assert!((share - 0.3).abs() < 0.012, "{share}");
        }
        assert_eq!(rounded(7), [up.clone(), down.clone()]);
        assert_ne!(rounded(8)[0], up);
        let negated: Vec<f32> = down.iter().map(|y| -y).collect();
        assert_ne!(negated, up, "another parameter");
        let odd = var(vec![f32::NAN, f32::INFINITY, f32::MAX, 0.0]);
        Stored::Stochastic
            .apply(std::slice::from_ref(&odd), 1)
            .unwrap();
        let odd = numbers(&odd);
        assert!(odd[0].is_nan() && odd[1..] == [f32::INFINITY, f32::MAX, 0.0] || odd[2] < f32::MAX);
    }
}
