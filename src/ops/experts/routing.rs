//! Which experts each token goes to, and the rows of tokens that go to each expert.

use candle_core::{DType, Device, Result, Tensor, bail};

/// What a router's logits become before the best are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Score {
    /// Of each expert alone, 1 / (1 + exp(-logit)) (DeepSeek-V3, arXiv 2412.19437, equation 15).
    Sigmoid,
    /// Of all experts of a token (Shazeer et al. 2017, arXiv 1701.06538).
    Softmax,
}

/// The K experts that each of N tokens goes to, and the same sorted by expert: a row is a token in one of its experts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    chosen: usize,
    /// Of each token its experts, in rising order.
    experts: Vec<u32>,
    /// Where each expert's rows begin, and where the last one's end.
    starts: Vec<usize>,
    /// The token of each row.
    tokens: Vec<u32>,
    /// The row of each token in each of its experts.
    places: Vec<u32>,
}

impl Routing {
    /// The `chosen` experts with the highest score + bias, of equals the first: logits (N, E), bias (E).
    ///
    /// # Errors
    /// Where there are not so many experts.
    pub fn top(score: Score, logits: &Tensor, bias: Option<&[f32]>, chosen: usize) -> Result<Self> {
        let (_, count) = logits.dims2()?;
        if chosen == 0 || chosen > count || bias.is_some_and(|bias| bias.len() != count) {
            bail!("{chosen} of {count} experts, with bias {bias:?}");
        }
        let logits = logits.detach().to_device(&Device::Cpu)?;
        let logits: Vec<f64> = logits.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        let mut experts = Vec::with_capacity(logits.len() / count * chosen);
        let (mut scores, mut order) = (vec![0.0; count], Vec::with_capacity(count));
        for logits in logits.chunks_exact(count) {
            score.write(logits, &mut scores);
            if let Some(bias) = bias {
                let biased = scores.iter_mut().zip(bias);
                biased.for_each(|(score, &bias)| *score += f64::from(bias));
            }
            order.clear();
            order.extend(0..count as u32);
            order.select_nth_unstable_by(chosen - 1, |&a, &b| {
                let [of_a, of_b] = [a, b].map(|e| scores[e as usize]);
                of_b.total_cmp(&of_a).then(a.cmp(&b))
            });
            order[..chosen].sort_unstable();
            experts.extend_from_slice(&order[..chosen]);
        }
        Ok(Self::of(experts, chosen, count))
    }

    /// Of each token's experts, in rising order, the rows of each expert: tokens in theirs.
    fn of(experts: Vec<u32>, chosen: usize, count: usize) -> Self {
        let mut starts = vec![0; count + 1];
        experts.iter().for_each(|&e| starts[e as usize + 1] += 1);
        (0..count).for_each(|e| starts[e + 1] += starts[e]);
        let mut next = starts.clone();
        let (mut tokens, mut places) = (vec![0; experts.len()], Vec::with_capacity(experts.len()));
        for (i, &e) in experts.iter().enumerate() {
            let row = next[e as usize];
            tokens[row] = (i / chosen) as u32;
            places.push(row as u32);
            next[e as usize] += 1;
        }
        Self {
            chosen,
            experts,
            starts,
            tokens,
            places,
        }
    }

    /// K.
    pub fn chosen(&self) -> usize {
        self.chosen
    }

    /// Tokens that go to each expert.
    pub fn loads(&self) -> Vec<u64> {
        let loads = self.starts.windows(2).map(|w| (w[1] - w[0]) as u64);
        loads.collect()
    }

    /// Of each token its experts, in rising order, K behind each other.
    pub fn experts(&self) -> &[u32] {
        &self.experts
    }

    /// Where each expert's rows begin, and where the last one's end.
    pub(super) fn starts(&self) -> &[usize] {
        &self.starts
    }

    /// The token of each row.
    pub(super) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The row of each token in each of its experts, K behind each other.
    pub(super) fn places(&self) -> &[u32] {
        &self.places
    }
}

impl Score {
    /// All scores of one token.
    fn write(self, logits: &[f64], scores: &mut [f64]) {
        match self {
            Score::Sigmoid => {
                let both = scores.iter_mut().zip(logits);
                both.for_each(|(score, &logit)| *score = sigmoid(logit));
            }
            Score::Softmax => {
                let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let both = scores.iter_mut().zip(logits);
                both.for_each(|(score, &logit)| *score = (logit - top).exp());
                let sum: f64 = scores.iter().sum();
                scores.iter_mut().for_each(|score| *score /= sum);
            }
        }
    }
}

pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_chosen_and_of_equals_the_first() -> Result<()> {
        let logits = Tensor::new(
            &[[0.0f32, 1.0, 1.0, -1.0], [2.0, 0.0, 0.0, 0.0]],
            &Device::Cpu,
        )?;
        for score in [Score::Sigmoid, Score::Softmax] {
            let routing = Routing::top(score, &logits, None, 2)?;
            assert_eq!(routing.experts(), [1, 2, 0, 1]);
            assert_eq!(routing.loads(), [1, 2, 1, 0]);
            // Rows: expert 0 has token 1; expert 1 both tokens, in their order; expert 2 token 0.
            assert_eq!(routing.tokens(), [1, 0, 1, 0]);
            assert_eq!(routing.places(), [1, 3, 0, 2]);
            let bias = [0.0, 0.0, -1.0, 2.0];
            let routing = Routing::top(score, &logits, Some(&bias), 2)?;
            assert_eq!(routing.experts(), [1, 3, 0, 3]);
        }
        assert!(Routing::top(Score::Sigmoid, &logits, None, 5).is_err());
        Ok(())
    }
}
