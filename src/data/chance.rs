//! Drawing by weight and drawing without replacement, both in constant time and without allocation per draw.

use crate::stream::Stream;

/// Draws an index in proportion to its weight in O(1): Walker's alias table, built as by Vose (1991).
#[derive(Debug, Clone)]
pub(super) struct Alias {
    columns: Vec<Column>,
}

/// One of n equally likely columns: `this` below the threshold (in units of 2^-64), `other` above it.
#[derive(Debug, Clone, Copy)]
struct Column {
    threshold: u64,
    this: u32,
    other: u32,
}

impl Alias {
    /// A table over `weights`, which need not sum to 1; an index of weight 0 is never drawn. One weight must be positive.
    pub fn new(weights: &[f64]) -> Self {
        // Only positive weights get a column, so that rounding can never make the impossible possible.
        let possible: Vec<u32> = (0..weights.len() as u32)
            .filter(|&i| weights[i as usize] > 0.0)
            .collect();
        let total: f64 = weights.iter().sum();
        let mut height: Vec<f64> = possible
            .iter()
            .map(|&i| weights[i as usize] * possible.len() as f64 / total)
            .collect();
        let mut columns: Vec<Column> = possible
            .iter()
            .map(|&this| Column {
                threshold: u64::MAX,
                this,
                other: this,
            })
            .collect();
        let (mut low, mut high): (Vec<usize>, Vec<usize>) =
            (0..columns.len()).partition(|&i| height[i] < 1.0);
        while let (Some(below), Some(&above)) = (low.pop(), high.last()) {
            columns[below].threshold = (height[below] * 2f64.powi(64)) as u64;
            columns[below].other = columns[above].this;
            height[above] -= 1.0 - height[below];
            if height[above] < 1.0 {
                high.pop();
                low.push(above);
            }
        }
        Self { columns }
    }

    /// An index, from 64 random bits.
    pub fn draw(&self, stream: &mut Stream) -> u32 {
        let wide = u128::from(stream.bits()) * self.columns.len() as u128;
        let column = &self.columns[(wide >> 64) as usize];
        if (wide as u64) < column.threshold {
            column.this
        } else {
            column.other
        }
    }
}

/// The cards `0..n`, dealt without replacement.
#[derive(Debug, Clone)]
pub(super) struct Pack {
    cards: Vec<u32>,
    swapped: Vec<u32>,
}

impl Pack {
    /// A fresh pack of `n` cards.
    pub fn new(n: usize) -> Self {
        Self {
            cards: (0..n as u32).collect(),
            swapped: Vec::new(),
        }
    }

    /// One of the cards not dealt yet, each as likely as the others; `None` when all are gone.
    pub fn deal(&mut self, stream: &mut Stream) -> Option<u32> {
        let dealt = self.swapped.len();
        let left = self.cards.len() - dealt;
        if left == 0 {
            return None;
        }
        let chosen = dealt + stream.below(left);
        self.cards.swap(dealt, chosen);
        self.swapped.push(chosen as u32);
        Some(self.cards[dealt])
    }

    /// Makes the pack as new, in time proportional to the cards dealt: what comes next depends on the stream alone.
    pub fn gather(&mut self) {
        while let Some(chosen) = self.swapped.pop() {
            self.cards.swap(self.swapped.len(), chosen as usize);
        }
    }
}

/// Zipf's law: n weights proportional to `rank^-exponent`, summing to 1.
pub(super) fn zipf(n: usize, exponent: f64) -> Vec<f64> {
    let weights: Vec<f64> = (1..=n).map(|rank| (rank as f64).powf(-exponent)).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::stream;

    #[test]
    fn an_alias_table_draws_by_weight() {
        let check = |weights: &[f64]| {
            let table = Alias::new(weights);
            let mut s = stream("alias", 0, weights.len() as u64);
            let n = 100_000;
            let mut seen = vec![0usize; weights.len()];
            (0..n).for_each(|_| seen[table.draw(&mut s) as usize] += 1);
            let total: f64 = weights.iter().sum();
            for (count, w) in seen.iter().zip(weights) {
                let p = w / total;
                let sd = (p * (1.0 - p) * n as f64).sqrt();
                assert!(
                    (*count as f64 - p * n as f64).abs() <= 5.0 * sd,
                    "{weights:?}: {seen:?}"
                );
            }
        };
        check(&[1.0]);
        check(&[0.0, 2.0, 0.0]);
        check(&[1.0, 1.0, 1.0]);
        check(&[0.1, 0.0, 0.7, 0.2]);
        check(&zipf(300, 1.2));
        check(&[1e-300, 1.0]);
    }

    #[test]
    fn a_pack_deals_each_card_once_and_is_as_new_after_gathering() {
        let mut pack = Pack::new(9);
        let mut deal = |cards: usize| -> Vec<Option<u32>> {
            let mut s = stream("pack", 0, 0);
            let hand = (0..cards).map(|_| pack.deal(&mut s)).collect();
            pack.gather();
            hand
        };
        let all = deal(10);
        assert_eq!(all[9], None);
        let mut sorted: Vec<u32> = all.iter().flatten().copied().collect();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..9).collect::<Vec<_>>());
        assert_eq!(deal(4), all[..4]);
    }

    #[test]
    fn zipf_entropies_are_the_published_ones() {
        let check = |n, exponent, nats: f64| {
            let found: f64 = zipf(n, exponent).iter().map(|p| -p * p.ln()).sum();
            assert!(
                (found - nats).abs() < 1e-6,
                "zipf({n}, {exponent}): {found}"
            );
        };
        check(256, 1.0, 4.312540);
        check(1024, 1.0, 5.205986);
        check(4096, 1.0, 6.066379);
        check(1024, 1.2, 4.236489);
    }
}
