//! What a teacher adds to the cross-entropy of the next token, as the mean over tokens in nats:
//! `w (T^2 D - CE)` with D the Kullback-Leibler divergence between both models' distributions at temperature T, and CE the student's
//! cross-entropy. Added to CE it is `(1 - w) CE + w T^2 D` (Hinton, Vinyals and Dean 2015, arXiv 1503.02531, section 2): the factor
//! T^2 keeps the gradient's size whatever the temperature.
//!
//! Forwards D is KL(teacher || student), whose gradient by the student's logits is `T (p_s - p_t)`; the reverse is
//! KL(student || teacher), with `T p_s (ln p_s - ln p_t - D)` (Gu et al. 2023, arXiv 2306.08543, asks for it of language models).

use std::sync::Arc;

use candle_core::{D, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::cross_entropy::IGNORED;
use super::op::{Made, Number, Op, View};

/// Which divergence a student brings down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Divergence {
    /// KL(teacher || student): it covers all that the teacher thinks possible.
    Forward,
    /// KL(student || teacher): it keeps to what the teacher thinks likely.
    Reverse,
}

/// The operation: student's and teacher's logits (N, V) to a scalar.
#[derive(Debug, Clone)]
pub struct Distillation {
    /// w, the teacher's share of what is minimised.
    pub weight: f64,
    /// T.
    pub temperature: f64,
    /// D.
    pub divergence: Divergence,
    /// The next token of each row; rows without one ([`IGNORED`]) count for nothing.
    pub targets: Arc<[u32]>,
}

impl Distillation {
    fn known(&self) -> f64 {
        let known = self.targets.iter().filter(|target| **target != IGNORED);
        known.count() as f64
    }

    /// A row's term, and its gradient by the student's logits where there is room for it.
    fn row(&self, [student, teacher]: [&[f64]; 2], target: usize, d: Option<&mut [f64]>) -> f64 {
        let (w, t) = (self.weight, self.temperature);
        let (s, own, told) = (
            log_softmax(student, 1.0),
            log_softmax(student, t),
            log_softmax(teacher, t),
        );
        let divergence: f64 = match self.divergence {
            Divergence::Forward => weighted(&told, &told, &own),
            Divergence::Reverse => weighted(&own, &own, &told),
        };
        if let Some(d) = d {
            for (i, d) in d.iter_mut().enumerate() {
                let of_divergence = match self.divergence {
                    Divergence::Forward => own[i].exp() - told[i].exp(),
                    Divergence::Reverse => own[i].exp() * (own[i] - told[i] - divergence),
                };
                let of_entropy = s[i].exp() - f64::from(u8::from(i == target));
                *d = w * (t * of_divergence - of_entropy);
            }
        }
        w * (t * t * divergence + s[target])
    }
}

/// ln softmax(logits / T).
fn log_softmax(logits: &[f64], temperature: f64) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shifted: Vec<f64> = logits.iter().map(|x| (x - largest) / temperature).collect();
    let sum: f64 = shifted.iter().map(|x| x.exp()).sum();
    shifted.into_iter().map(|x| x - sum.ln()).collect()
}

/// Sum of exp(p) (a - b).
fn weighted(p: &[f64], a: &[f64], b: &[f64]) -> f64 {
    let terms = p.iter().zip(a.iter().zip(b));
    terms.map(|(p, (a, b))| p.exp() * (a - b)).sum()
}

fn wide<F: Number>(row: &[F]) -> Vec<f64> {
    row.iter().map(|x| x.to_f64()).collect()
}

impl Op<2> for Distillation {
    const NAME: &'static str = "distillation";

    fn shape(&self, [student, teacher]: [&Shape; 2]) -> Result<Shape> {
        let (n, vocabulary) = student.dims2()?;
        if student != teacher || n != self.targets.len() {
            bail!(
                "distillation: logits of {student:?} and {teacher:?} do not fit {} targets",
                self.targets.len()
            );
        }
        let outside = |target: &&u32| **target != IGNORED && **target as usize >= vocabulary;
        if let Some(target) = self.targets.iter().find(outside) {
            bail!("target {target} is outside a vocabulary of {vocabulary}");
        }
        if self.known() == 0.0 {
            bail!("every target is ignored: there is no mean of nothing");
        }
        Ok(Shape::from(()))
    }

    fn reference(&self, [student, teacher]: [&Tensor; 2]) -> Result<Tensor> {
        let (w, t) = (self.weight, self.temperature);
        let at = |logits: &Tensor, t: f64| candle_nn::ops::log_softmax(&(logits / t)?, D::Minus1);
        let teacher = teacher.detach();
        let (s, own, told) = (at(student, 1.0)?, at(student, t)?, at(&teacher, t)?);
        let divergence = match self.divergence {
            Divergence::Forward => (told.exp()? * (&told - &own)?)?,
            Divergence::Reverse => (own.exp()? * (&own - &told)?)?,
        };
        let targets = Tensor::new(&*self.targets, student.device())?;
        let known = targets.ne(IGNORED)?;
        let taken = known.where_cond(&targets, &targets.zeros_like()?)?;
        let log_p = s.gather(&taken.unsqueeze(1)?, 1)?.squeeze(1)?;
        let rows = ((divergence.sum(D::Minus1)? * (t * t))? + log_p)?;
        let known = known.to_dtype(student.dtype())?;
        (rows * known)?.sum_all()? * (w / self.known())
    }

    fn cpu<F: Number>(&self, [student, teacher]: [View<F>; 2], y: &mut [F], _: &mut [Vec<F>]) {
        let vocabulary = student.dims[1];
        let rows = student
            .numbers
            .chunks(vocabulary)
            .zip(teacher.numbers.chunks(vocabulary));
        let rows: Vec<_> = rows.zip(self.targets.iter()).collect();
        let terms: Vec<f64> = rows
            .into_par_iter()
            .filter(|(_, target)| **target != IGNORED)
            .map(|((student, teacher), target)| {
                self.row([&wide(student), &wide(teacher)], *target as usize, None)
            })
            .collect();
        // In their order, whatever the number of threads.
        y[0] = F::of(terms.iter().sum::<f64>() / self.known());
    }

    fn cpu_back<F: Number>(
        &self,
        [student, teacher]: [View<F>; 2],
        _: Made<F>,
        g: &[F],
    ) -> [Option<Vec<F>>; 2] {
        let vocabulary = student.dims[1];
        let factor = g[0].to_f64() / self.known();
        let mut gradient = vec![F::default(); student.numbers.len()];
        let rows = gradient.par_chunks_mut(vocabulary).enumerate();
        rows.for_each(|(row, d)| {
            let target = self.targets[row];
            if target == IGNORED {
                return;
            }
            let of_row = row * vocabulary..(row + 1) * vocabulary;
            let both = [&student, &teacher].map(|view| wide(&view.numbers[of_row.clone()]));
            let mut wide = vec![0.0; vocabulary];
            self.row([&both[0], &both[1]], target as usize, Some(&mut wide));
            for (d, wide) in d.iter_mut().zip(wide) {
                *d = F::of(factor * wide);
            }
        });
        [Some(gradient), None]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Ops;
    use crate::ops::check::{check, random, targets};
    use candle_core::{DType, Device};

    fn of(weight: f64, temperature: f64, divergence: Divergence, n: usize) -> Distillation {
        let targets = targets(n, 5).unwrap().to_vec1::<u32>().unwrap();
        Distillation {
            weight,
            temperature,
            divergence,
            targets: targets.into(),
        }
    }

    #[test]
    fn gradients_are_right() {
        for divergence in [Divergence::Forward, Divergence::Reverse] {
            for (weight, temperature) in [(1.0, 1.0), (0.3, 2.5)] {
                check(&[&[7, 5]], |ops, x| {
                    let teacher = random(&[7, 5], x[0].dtype(), 9)?;
                    let op = of(weight, temperature, divergence, 7);
                    ops.run(op, [&(&x[0] * 2.0)?, &(teacher * 2.0)?])
                });
            }
        }
    }

    /// With all of the weight the cross-entropy is gone: what remains is the divergence, 0 from oneself.
    #[test]
    fn a_student_that_is_its_teacher_has_nothing_to_learn() -> Result<()> {
        let (logits, device) = (random(&[6, 5], DType::F32, 3)?, Device::Cpu);
        let op = of(1.0, 1.0, Divergence::Forward, 6);
        let entropy =
            Ops::fused().cross_entropy(&logits, &Tensor::new(&*op.targets, &device)?, 0.0)?;
        let term = Ops::fused().run(op, [&logits, &logits])?;
        assert!((entropy + term)?.to_scalar::<f32>()?.abs() < 1e-6);
        // Two tokens, by hand: KL of (3/4, 1/4) from (1/2, 1/2).
        let teacher = Tensor::new(&[[3f64.ln(), 0.0]], &device)?;
        let student = Tensor::zeros((1, 2), DType::F64, &device)?;
        let by_hand = 0.75 * 1.5f64.ln() + 0.25 * 0.5f64.ln();
        let op = Distillation {
            targets: Arc::from([0]),
            ..of(1.0, 1.0, Divergence::Forward, 1)
        };
        let term = Ops::fused()
            .run(op, [&student, &teacher])?
            .to_scalar::<f64>()?;
        assert!((term + 2f64.ln() - by_hand).abs() < 1e-12);
        Ok(())
    }
}
