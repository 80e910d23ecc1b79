//! From logits to a token: the likeliest (greedy), or drawn after dividing by a temperature, from the `top_k` likeliest.

use candle_core::{DType, Tensor};

use crate::config::knob::{Number, Whole};
use crate::config::{Knob, Section, Spec};
use crate::error::Result;
use crate::stream::{Stream, stream};

const TEMPERATURE: Knob<Number> = Knob::number(
    "temperature",
    "Logits are divided by this before a token is drawn; 0 takes the likeliest token.",
)
.within(0.0, 1e3)
.default(0.0);
const TOP_K: Knob<Whole> = Knob::whole(
    "top_k",
    "Tokens are drawn from so many likeliest ones; 0 is from all.",
)
.default(0);

/// How tokens are picked: the keys of `infer.*` that say so.
pub const SAMPLING: Section = Section {
    path: "infer",
    knobs: &[&TEMPERATURE, &TOP_K],
};

/// The token of the largest logit, the first of several.
pub(super) fn likeliest(logits: &[f32]) -> usize {
    let all = logits.iter().enumerate();
    let larger = |a: (usize, f32), b: (usize, &f32)| match b.1.total_cmp(&a.1).is_gt() {
        true => (b.0, *b.1),
        false => a,
    };
    let first = (0, logits.first().copied().unwrap_or_default());
    all.fold(first, larger).0
}

/// How tokens are picked, with the stream they are drawn from.
pub struct Sampling {
    /// 0 is greedy.
    temperature: f64,
    /// 0 is all.
    top_k: usize,
    stream: Stream,
}

impl Sampling {
    /// Greedy at temperature 0; `top_k` 0 keeps all tokens.
    pub fn new(temperature: f64, top_k: usize, seed: u64) -> Self {
        Self {
            temperature,
            top_k,
            stream: stream("sampling", seed, 0),
        }
    }

    /// Reads `infer.temperature` and `infer.top_k`.
    pub fn settle(spec: &Spec) -> Result<impl Fn(u64) -> Sampling + Send + Sync + use<>> {
        let knobs = spec.at(&SAMPLING);
        let temperature = knobs.read(&TEMPERATURE)?;
        let top_k = knobs.read(&TOP_K)?;
        Ok(move |seed| Sampling::new(temperature, top_k, seed))
    }

    /// What logits are divided by; 0 is greedy.
    pub fn temperature(&self) -> f64 {
        self.temperature
    }

    /// One token per row of logits (B, V).
    pub fn pick(&mut self, logits: &Tensor) -> Result<Vec<u32>> {
        let rows: Vec<Vec<f32>> = logits.to_dtype(DType::F32)?.to_vec2()?;
        Ok(rows.iter().map(|row| self.pick_row(row)).collect())
    }

    fn pick_row(&mut self, logits: &[f32]) -> u32 {
        if self.temperature == 0.0 {
            return likeliest(logits) as u32;
        }
        let chances = self.chances(logits);
        self.draw(&chances)
    }

    /// The tokens that one row of logits leaves, and how likely each is.
    pub(super) fn chances(&self, logits: &[f32]) -> Chances {
        if self.temperature == 0.0 {
            return Chances::of_one(likeliest(logits) as u32);
        }
        let mut order: Vec<usize> = (0..logits.len()).collect();
        let likelier = |a: &usize, b: &usize| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b));
        if self.top_k > 0 && self.top_k < order.len() {
            order.select_nth_unstable_by(self.top_k - 1, likelier);
            order.truncate(self.top_k);
            order.sort_unstable();
        }
        let top = order
            .iter()
            .map(|&i| logits[i])
            .fold(f32::NEG_INFINITY, f32::max);
        let weight = |i: usize| (f64::from(logits[i] - top) / self.temperature).exp();
        Chances::new(order.iter().map(|&i| (i as u32, weight(i))).collect())
    }

    /// One of these tokens, each as often as it is likely.
    pub(super) fn draw(&mut self, chances: &Chances) -> u32 {
        let mut left = self.stream.uniform() * chances.total;
        for &(token, weight) in &chances.weights {
            left -= weight;
            if left < 0.0 {
                return token;
            }
        }
        let last = chances.weights.last();
        last.map(|(token, _)| *token).unwrap_or_default()
    }

    /// True as often as `p` says.
    pub(super) fn happens(&mut self, p: f64) -> bool {
        self.stream.uniform() < p
    }
}

/// Tokens that may come next, in the order of their numbers, with weights that need not sum to one; all others never come.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chances {
    weights: Vec<(u32, f64)>,
    total: f64,
}

impl Chances {
    fn new(weights: Vec<(u32, f64)>) -> Self {
        let total = weights.iter().map(|(_, weight)| weight).sum();
        Self { weights, total }
    }

    /// Always this token.
    pub(super) fn of_one(token: u32) -> Self {
        Self::new(vec![(token, 1.0)])
    }

    /// How likely a token is.
    pub(super) fn of(&self, token: u32) -> f64 {
        let found = self.weights.binary_search_by_key(&token, |(t, _)| *t);
        found.map_or(0.0, |at| self.weights[at].1 / self.total)
    }

    /// What is left of these where others are taken off, `max(0, p - q)` token by token; these again where that is nothing.
    pub(super) fn less(&self, others: &Self) -> Self {
        let left = self.weights.iter().map(|(token, weight)| {
            let left = weight / self.total - others.of(*token);
            (*token, left.max(0.0))
        });
        let left = Self::new(left.collect());
        if left.total > 0.0 { left } else { self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn frequencies(temperature: f64, top_k: usize) -> [f64; 4] {
        let logits = [1.0f32, 3.0, 2.0, 0.0];
        let mut sampling = Sampling::new(temperature, top_k, 7);
        let mut counts = [0u32; 4];
        for _ in 0..20_000 {
            counts[sampling.pick_row(&logits) as usize] += 1;
        }
        counts.map(|count| f64::from(count) / 20_000.0)
    }

    #[test]
    fn tokens_come_as_often_as_their_probability_says() {
        assert_eq!(frequencies(0.0, 0), [0.0, 1.0, 0.0, 0.0]);
        let check = |temperature: f64, top_k, want: [f64; 4]| {
            let total: f64 = want.iter().sum();
            for (got, want) in frequencies(temperature, top_k).iter().zip(want) {
                assert!(
                    (got - want / total).abs() < 0.012,
                    "T {temperature}, top {top_k}: {got} against {}",
                    want / total
                );
            }
        };
        let e = std::f64::consts::E;
        check(1.0, 0, [e, e.powi(3), e.powi(2), 1.0]);
        check(2.0, 0, [e.sqrt(), e.powf(1.5), e, 1.0]);
        check(1.0, 2, [0.0, e.powi(3), e.powi(2), 0.0]);
    }

    #[test]
    fn a_batch_picks_row_by_row() {
        let logits = Tensor::new(&[[0f32, 1.0], [1.0, 0.0]], &Device::Cpu).unwrap();
        assert_eq!(Sampling::new(0.0, 0, 1).pick(&logits).unwrap(), [1, 0]);
    }
}
