//! Names within one document: a Pitman-Yor urn (Pitman and Yor 1997), whose predictive probability has a closed form.
//!
//! After n names, m of them distinct, a name seen c times comes next with probability (c - d) / (n + theta), and a fresh one
//! with (theta + d m) / (n + theta), spread evenly over those not seen yet. When every name has been seen there is no fresh
//! one: the others' probabilities are renormalised to (c - d) / (n - d m).

use crate::data::chance::Pack;
use crate::stream::Stream;

/// How a document uses names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Habit {
    /// Concentration: larger means more fresh names; above 0.
    pub theta: f64,
    /// Discount, in `[0, 1)`: larger means more names that occur once.
    pub discount: f64,
}

/// The names of one document so far.
#[derive(Debug, Clone)]
pub(super) struct Urn {
    habit: Habit,
    counts: Vec<u32>,
    /// Every name taken, in order.
    taken: Vec<u32>,
    distinct: usize,
    fresh: Pack,
}

impl Urn {
    /// An empty urn over `names` names.
    pub fn new(names: usize, habit: Habit) -> Self {
        Self {
            habit,
            counts: vec![0; names],
            taken: Vec::new(),
            distinct: 0,
            fresh: Pack::new(names),
        }
    }

    /// Forgets the document.
    pub fn clear(&mut self) {
        self.taken
            .drain(..)
            .for_each(|name| self.counts[name as usize] = 0);
        self.distinct = 0;
        self.fresh.gather();
    }

    /// Takes note of a name.
    pub fn take(&mut self, name: u32) {
        let count = &mut self.counts[name as usize];
        self.distinct += usize::from(*count == 0);
        *count += 1;
        self.taken.push(name);
    }

    /// The weight of any fresh name, where the names seen weigh `n - d m` together; 0 when all have been seen.
    fn fresh_weight(&self) -> f64 {
        let all_seen = self.distinct == self.counts.len();
        if all_seen {
            0.0
        } else {
            self.habit.theta + self.habit.discount * self.distinct as f64
        }
    }

    /// -ln of the probability that this name comes next.
    pub fn nats(&self, name: u32) -> f64 {
        let fresh = self.fresh_weight();
        let total = self.taken.len() as f64 - self.habit.discount * self.distinct as f64 + fresh;
        let weight = match self.counts[name as usize] {
            0 => fresh / (self.counts.len() - self.distinct) as f64,
            count => f64::from(count) - self.habit.discount,
        };
        -(weight / total).ln()
    }

    /// Draws the next name; every name drawn must be taken, and none else.
    pub fn draw(&mut self, stream: &mut Stream) -> u32 {
        let fresh = self.fresh_weight();
        let total = self.taken.len() as f64 - self.habit.discount * self.distinct as f64 + fresh;
        if (stream.uniform() * total < fresh || self.taken.is_empty())
            && let Some(name) = self.fresh.deal(stream)
        {
            return name;
        }
        // One of the names taken, thinned from its count c to c - d.
        loop {
            let name = self.taken[stream.below(self.taken.len())];
            if stream.uniform() * f64::from(self.counts[name as usize]) >= self.habit.discount {
                return name;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::stream;

    #[test]
    fn the_predictive_is_the_closed_form_and_sums_to_one() {
        let mut urn = Urn::new(
            4,
            Habit {
                theta: 1.0,
                discount: 0.5,
            },
        );
        let check = |urn: &Urn, want: [f64; 4]| {
            for (name, p) in want.iter().enumerate() {
                assert!(
                    (urn.nats(name as u32) + p.ln()).abs() < 1e-12,
                    "name {name}: want {p}"
                );
            }
            assert!((want.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        };
        check(&urn, [0.25; 4]);
        urn.take(2);
        // n = 1, m = 1: seen (1 - 0.5) / 2, fresh (1 + 0.5) / 2 over three.
        check(&urn, [0.25, 0.25, 0.25, 0.25]);
        urn.take(2);
        check(&urn, [1.5 / 9.0, 1.5 / 9.0, 0.5, 1.5 / 9.0]);
        [0, 1, 3].into_iter().for_each(|name| urn.take(name));
        // All seen: n - d m = 5 - 2 = 3.
        check(&urn, [0.5 / 3.0, 0.5 / 3.0, 1.5 / 3.0, 0.5 / 3.0]);
        urn.clear();
        check(&urn, [0.25; 4]);
    }

    #[test]
    fn draws_follow_the_predictive() {
        let (mut s, n) = (stream("urn", 0, 0), 40_000);
        for history in [&[][..], &[1], &[1, 1, 3], &[0, 1, 2, 2, 2]] {
            let mut urn = Urn::new(
                4,
                Habit {
                    theta: 0.7,
                    discount: 0.4,
                },
            );
            // A name drawn fresh must have been dealt, so histories are met by drawing until they come.
            let mut seen = [0usize; 4];
            let mut hits = 0;
            while hits < n / 20 {
                urn.clear();
                let met = history.iter().all(|&want| {
                    let name = urn.draw(&mut s);
                    urn.take(name);
                    name == want
                });
                if met {
                    hits += 1;
                    seen[urn.draw(&mut s) as usize] += 1;
                }
            }
            urn.clear();
            history.iter().for_each(|&name| urn.take(name));
            for name in 0..4u32 {
                let p = (-urn.nats(name)).exp();
                let sd = (hits as f64 * p * (1.0 - p)).sqrt();
                let count = seen[name as usize] as f64;
                assert!(
                    (count - hits as f64 * p).abs() < 5.0 * sd,
                    "{history:?}, {name}: {count} of {hits}, p = {p}"
                );
            }
        }
    }
}
