//! What serving must cost by arithmetic: FLOPs of a token by how many tokens stand before it, and of prompts by their length.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Forward FLOPs of what is served, as columns of one length.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TokenFlops {
    /// Tokens before it: 0, 1, 2, 4 ... and the most that was counted for.
    pub seen: Vec<u64>,
    /// FLOPs of one token behind so many; between them they are straight.
    pub token: Vec<f64>,
    /// FLOPs of so many tokens at once from the first on, without the head's.
    pub prompt: Vec<f64>,
    /// FLOPs of the head for one token; of a prompt only the last needs it.
    pub head: f64,
}

impl TokenFlops {
    /// FLOPs of a prompt of so many tokens behind `seen` others; `None` of an empty table.
    pub fn prompt(&self, seen: u64, tokens: u64) -> Option<f64> {
        // A token's mean is straight in their number where all pairs are seen, and no straighter than that anywhere.
        let means: Vec<f64> = self
            .seen
            .iter()
            .zip(&self.prompt)
            .map(|(n, flops)| flops / *n as f64)
            .collect();
        let all = |n: u64| match n {
            0 => Some(0.0),
            n => Some(n as f64 * between(self.seen.get(1..)?, means.get(1..)?, n)?),
        };
        Some(all(seen.saturating_add(tokens))? - all(seen)? + self.head)
    }

    /// FLOPs of feeding so many tokens behind `seen` others, one after the other; `None` of an empty table.
    pub fn one_by_one(&self, seen: u64, tokens: u64) -> Option<f64> {
        let each = seen..seen.saturating_add(tokens);
        each.map(|seen| between(&self.seen, &self.token, seen))
            .sum()
    }
}

/// The straight line through the two points around x, or through the two last ones.
fn between(xs: &[u64], ys: &[f64], x: u64) -> Option<f64> {
    let last = xs.len().min(ys.len()).checked_sub(1)?;
    let to = xs[..last].iter().position(|known| *known >= x);
    let to = to.unwrap_or(last);
    let from = to.saturating_sub(1);
    if from == to || x == xs[to] {
        return Some(ys[to]);
    }
    let slope = (ys[to] - ys[from]) / (xs[to] as f64 - xs[from] as f64);
    Some(ys[from] + slope * (x as f64 - xs[from] as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attention over what stands before: 100 and 3 for each token before, of which 40 are the head's.
    #[test]
    fn tokens_are_counted_each_at_its_depth() {
        let token = |seen: u64| 100.0 + 3.0 * seen as f64;
        let sum = |from: u64, n: u64| (from..from + n).map(token).sum::<f64>();
        let seen = vec![0, 1, 2, 4, 8, 11];
        let table = TokenFlops {
            token: seen.iter().map(|n| token(*n)).collect(),
            prompt: seen.iter().map(|n| sum(0, *n) - 40.0 * *n as f64).collect(),
            seen,
            head: 40.0,
        };
        for (from, n) in [(0, 1), (0, 5), (3, 4), (6, 20), (40, 2)] {
            let expected = sum(from, n);
            assert!((table.one_by_one(from, n).unwrap() - expected).abs() < 1e-9);
            let prompt = table.prompt(from, n).unwrap();
            let skipped = (n - 1) as f64 * 40.0;
            assert!(
                (prompt - (expected - skipped)).abs() < 1e-9,
                "{from} {n}: {prompt}"
            );
        }
        assert_eq!(table.one_by_one(3, 0), Some(0.0));
        assert_eq!(TokenFlops::default().prompt(0, 4), None);
        assert_eq!(TokenFlops::default().one_by_one(0, 4), None);
    }
}
