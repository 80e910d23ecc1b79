//! The grammar: categories, their rules with Zipf weights, and how it is drawn from a stream.
//!
//! Tokens: 0 is the separator, then the names, then the features, then the terminals.

use std::ops::Range;

use crate::data::chance::{Alias, Pack, zipf};
use crate::stream::{Stream, stream};

/// Opens every sentence.
pub(super) const SEPARATOR: u32 = 0;
/// The most symbols, and the most table entries, of a grammar.
const LARGEST: usize = 1 << 27;

/// What a grammar shall be like.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// Kinds of phrase; number 0 is the sentence.
    pub categories: usize,
    /// Per category.
    pub rules: usize,
    /// Exponent of the rules' weights by rank.
    pub zipf: f64,
    /// Token ids.
    pub vocab: usize,
    /// Depth of the deepest phrase; a sentence's is 0. The deepest use only rules without sub-phrases.
    pub depth: usize,
    /// Mean number of sub-phrases of a rule, by weight, above the deepest.
    pub offspring: f64,
    /// The most terminals and name slots in a rule's body, uniform from 0.
    pub fill: usize,
    /// Name tokens.
    pub names: usize,
    /// Chance that such a place is a name slot.
    pub name_share: f64,
    /// Feature tokens.
    pub features: usize,
    /// Chance that a rule with sub-phrases chooses a feature before them and repeats it behind.
    pub agreement: f64,
}

impl Shape {
    /// The knob that makes this shape impossible, and why.
    pub fn flaw(&self) -> Option<(&'static str, String)> {
        let opened = 1 + self.names + self.features;
        let need = opened.saturating_add(self.rules);
        let tables = self.categories.checked_mul(self.vocab);
        let bodies = self
            .fill
            .checked_add(5)
            .and_then(|n| n.checked_mul(self.rules)?.checked_mul(self.categories));
        if self.rules < 2 {
            Some(("rules", "a category needs at least 2".to_owned()))
        } else if self.name_share > 0.0 && self.names == 0 {
            Some((
                "names",
                "name slots need at least one name, or name_share = 0".to_owned(),
            ))
        } else if self.agreement > 0.0 && self.features < 2 {
            Some((
                "features",
                "agreement needs at least 2 to choose from, or agreement = 0".to_owned(),
            ))
        } else if self.vocab < need {
            let why = format!(
                "a separator, {} names, {} features and {} rules that each open with another terminal need {need} tokens",
                self.names, self.features, self.rules
            );
            Some(("vocab", why))
        } else if tables.is_none_or(|n| n > LARGEST) || bodies.is_none_or(|n| n > LARGEST) {
            Some((
                "categories",
                format!(
                    "with so many rules and tokens the grammar has more than {LARGEST} entries"
                ),
            ))
        } else {
            None
        }
    }
}

/// One place in a rule's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Symbol {
    /// This token.
    Terminal(u32),
    /// A phrase of this category, one level deeper.
    Category(u32),
    /// Any name.
    Name,
    /// Any feature, each as likely as the others.
    Choice,
    /// The feature that this rule chose.
    Copy,
}

/// One way to write a phrase.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// Its first token.
    pub opener: u32,
    /// What follows, in [`Grammar::symbols`].
    pub body: Range<u32>,
    /// -ln of its probability where all rules are allowed.
    pub nats: f64,
    /// -ln of its probability at the greatest depth; infinite where it has sub-phrases.
    pub deepest_nats: f64,
}

/// What of a grammar another author writes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changed {
    /// Of all categories.
    pub share: f64,
    /// The other author's.
    pub seed: u64,
}

impl Changed {
    /// Which of so many categories are written anew: of a larger share all that are of a smaller one.
    fn categories(self, count: usize) -> Vec<bool> {
        let mut order: Vec<usize> = (0..count).collect();
        stream("data/language/changed", self.seed, 0).shuffle(&mut order);
        let mut changed = vec![false; count];
        for category in &order[..(self.share * count as f64).round() as usize] {
            changed[*category] = true;
        }
        changed
    }
}

/// The whole language.
#[derive(Debug, Clone)]
pub(super) struct Grammar {
    /// Token ids are below this.
    pub vocab: usize,
    pub depth: u32,
    pub names: Range<u32>,
    pub features: Range<u32>,
    /// The bodies of all rules; number 0 is the sentence's own.
    pub symbols: Vec<Symbol>,
    /// By category, then by rank.
    pub rules: Vec<Rule>,
    pub rules_per_category: usize,
    /// Which rank to write, for each category: anywhere, and at the greatest depth.
    ranks: Vec<[Alias; 2]>,
    /// The rule that a token opens, at `category * vocab + token`; `NONE` where it opens none.
    opens: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Grammar {
    /// Draws a grammar that has no [flaw](Shape::flaw), a share of whose categories is written anew where `changed` says so.
    pub fn draw(shape: &Shape, seed: u64, changed: Option<Changed>) -> Self {
        let names = 1..1 + shape.names as u32;
        let features = names.end..names.end + shape.features as u32;
        let mut grammar = Self {
            vocab: shape.vocab,
            depth: shape.depth.try_into().unwrap_or(u32::MAX),
            names,
            features,
            symbols: vec![Symbol::Category(0)],
            rules: Vec::with_capacity(shape.categories * shape.rules),
            rules_per_category: shape.rules,
            ranks: Vec::with_capacity(shape.categories),
            opens: vec![NONE; shape.categories * shape.vocab],
        };
        let weights = zipf(shape.rules, shape.zipf);
        let mut author = Author::new(shape, seed, &grammar);
        let mut other = changed.map(|changed| {
            let is_changed = changed.categories(shape.categories);
            (Author::new(shape, changed.seed, &grammar), is_changed)
        });
        for category in 0..shape.categories {
            let mut bodies = author.bodies(&weights, grammar.features.end);
            // The other author writes every category too, so that the same ones are the same whatever the share is.
            if let Some((other, is_changed)) = &mut other {
                let others = other.bodies(&weights, grammar.features.end);
                if is_changed[category] {
                    bodies = others;
                }
            }
            grammar.add_category(&weights, bodies);
        }
        grammar
    }

    /// Adds the next category: an opener, a body and a weight for each rule.
    pub fn add_category(&mut self, weights: &[f64], bodies: Vec<(u32, Vec<Symbol>)>) {
        let flat = |body: &[Symbol]| !body.iter().any(|s| matches!(s, Symbol::Category(_)));
        let deepest: Vec<f64> = weights
            .iter()
            .zip(&bodies)
            .map(|(&w, (_, body))| if flat(body) { w } else { 0.0 })
            .collect();
        let flat_total: f64 = deepest.iter().sum();
        let category = self.ranks.len();
        for ((opener, body), (&weight, &flat_weight)) in
            bodies.into_iter().zip(weights.iter().zip(&deepest))
        {
            self.opens[category * self.vocab + opener as usize] = self.rules.len() as u32;
            let start = self.symbols.len() as u32;
            self.symbols.extend(body);
            self.rules.push(Rule {
                opener,
                body: start..self.symbols.len() as u32,
                nats: -weight.ln(),
                deepest_nats: -(flat_weight / flat_total).ln(),
            });
        }
        self.ranks.push([Alias::new(weights), Alias::new(&deepest)]);
    }

    /// The rule of a category that a token opens.
    pub fn opened_by(&self, category: u32, token: u32) -> Option<&Rule> {
        let rule = self.opens[category as usize * self.vocab + token as usize];
        self.rules.get(rule as usize)
    }

    /// Draws a rule for a phrase and says its opener.
    pub fn draw_opener(&self, category: u32, depth: u32, stream: &mut Stream) -> u32 {
        let at_bound = usize::from(depth >= self.depth);
        let rank = self.ranks[category as usize][at_bound].draw(stream);
        self.rules[category as usize * self.rules_per_category + rank as usize].opener
    }
}

/// Draws rules.
struct Author<'a> {
    shape: &'a Shape,
    stream: Stream,
    terminals: Pack,
    /// Sub-phrases are dealt, so that every category is used about equally often.
    phrases: Pack,
}

impl<'a> Author<'a> {
    fn new(shape: &'a Shape, seed: u64, grammar: &Grammar) -> Self {
        Self {
            shape,
            stream: stream("data/language/grammar", seed, 0),
            terminals: Pack::new(shape.vocab - grammar.features.end as usize),
            phrases: Pack::new(shape.categories),
        }
    }

    /// Openers and bodies of one category's rules, whose weights sum to 1; terminals are numbered from `first_terminal`.
    ///
    /// The number of sub-phrases is binomial from 0 to 2. Each draw's mean makes up for the draws before it, so that the mean
    /// by weight comes out as asked for though a few rules have most of the weight.
    fn bodies(&mut self, weights: &[f64], first_terminal: u32) -> Vec<(u32, Vec<Symbol>)> {
        self.terminals.gather();
        let openers: Vec<u32> = weights
            .iter()
            .filter_map(|_| self.terminals.deal(&mut self.stream))
            .collect();
        let (mut owed, mut weight_left, mut any_flat) = (self.shape.offspring, 1.0, false);
        let mut rules = Vec::with_capacity(weights.len());
        for (rank, (&weight, opener)) in weights.iter().zip(openers).enumerate() {
            let mean: f64 = (owed / weight_left).clamp(0.0, 2.0);
            let mut phrases = (0..2)
                .filter(|_| self.stream.uniform() < mean / 2.0)
                .count();
            if rank + 1 == weights.len() && !any_flat {
                phrases = 0; // The deepest phrases need a rule without sub-phrases.
            }
            any_flat |= phrases == 0;
            owed -= weight * phrases as f64;
            weight_left = (weight_left - weight).max(f64::MIN_POSITIVE);
            rules.push((first_terminal + opener, self.body(phrases, first_terminal)));
        }
        rules
    }

    fn body(&mut self, phrases: usize, first_terminal: u32) -> Vec<Symbol> {
        let shape = self.shape;
        let mut body: Vec<Symbol> = (0..phrases)
            .map(|_| Symbol::Category(self.phrase()))
            .collect();
        for _ in 0..self.stream.below(shape.fill + 1) {
            let is_name = self.stream.uniform() < shape.name_share;
            let terminals = shape.vocab - first_terminal as usize;
            let terminal = first_terminal + self.stream.below(terminals) as u32;
            body.push(if is_name {
                Symbol::Name
            } else {
                Symbol::Terminal(terminal)
            });
        }
        self.stream.shuffle(&mut body);
        if phrases > 0 && self.stream.uniform() < shape.agreement {
            body.insert(0, Symbol::Choice);
            body.push(Symbol::Copy);
        }
        body
    }

    fn phrase(&mut self) -> u32 {
        self.phrases.deal(&mut self.stream).unwrap_or_else(|| {
            self.phrases.gather();
            self.phrases.deal(&mut self.stream).unwrap_or(0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape {
            categories: 20,
            rules: 30,
            zipf: 1.1,
            vocab: 100,
            depth: 5,
            offspring: 0.96,
            fill: 3,
            names: 8,
            name_share: 0.2,
            features: 3,
            agreement: 0.5,
        }
    }

    /// Categories of two grammars that are alike, rule by rule.
    fn alike(a: &Grammar, b: &Grammar, shape: &Shape) -> Vec<bool> {
        let body = |grammar: &Grammar, rule: &Rule| {
            let places = rule.body.start as usize..rule.body.end as usize;
            (rule.opener, grammar.symbols[places].to_vec())
        };
        let both = a.rules.chunks(shape.rules).zip(b.rules.chunks(shape.rules));
        both.map(|(one, other)| {
            let mut rules = one.iter().zip(other);
            rules.all(|(x, y)| body(a, x) == body(b, y))
        })
        .collect()
    }

    #[test]
    fn of_a_changed_grammar_the_other_categories_stay() {
        let shape = shape();
        let drawn = |share: f64| Grammar::draw(&shape, 0, Some(Changed { share, seed: 1 }));
        let base = Grammar::draw(&shape, 0, None);
        let kept = |share: f64| alike(&base, &drawn(share), &shape);
        let mut before = kept(0.0);
        assert!(before.iter().all(|same| *same));
        for (share, left) in [(0.25, 15), (0.5, 10), (1.0, 0)] {
            let now = kept(share);
            assert_eq!(now.iter().filter(|same| **same).count(), left);
            assert!(now.iter().zip(&before).all(|(now, before)| *before || !now));
            before = now;
        }
        // All of it is the other author's own language.
        let other = Grammar::draw(&shape, 1, None);
        assert!(alike(&other, &drawn(1.0), &shape).iter().all(|same| *same));
    }

    #[test]
    fn a_drawn_grammar_is_an_s_grammar_of_the_shape_asked_for() {
        let shape = shape();
        let grammar = Grammar::draw(&shape, 0, None);
        assert_eq!(grammar.rules.len(), 600);
        let mut uses = vec![0; shape.categories];
        for rules in grammar.rules.chunks(shape.rules) {
            let mut openers: Vec<u32> = rules.iter().map(|rule| rule.opener).collect();
            openers.sort_unstable();
            openers.dedup();
            assert_eq!(
                openers.len(),
                shape.rules,
                "openers are distinct within a category"
            );
            assert!(
                openers
                    .iter()
                    .all(|&token| (grammar.features.end..100).contains(&token))
            );
            let mut offspring = 0.0;
            for rule in rules {
                let body = &grammar.symbols[rule.body.start as usize..rule.body.end as usize];
                let phrases = body
                    .iter()
                    .filter(|s| matches!(s, Symbol::Category(_)))
                    .count();
                offspring += (-rule.nats).exp() * phrases as f64;
                assert_eq!(rule.deepest_nats.is_infinite(), phrases > 0);
                let chosen = body.iter().position(|s| *s == Symbol::Choice);
                let copied = body.iter().position(|s| *s == Symbol::Copy);
                assert_eq!(chosen.is_some(), copied.is_some());
                if let (Some(chosen), Some(copied)) = (chosen, copied) {
                    assert!(
                        body[chosen..copied]
                            .iter()
                            .any(|s| matches!(s, Symbol::Category(_)))
                    );
                }
                for symbol in body {
                    if let Symbol::Category(category) = symbol {
                        uses[*category as usize] += 1;
                    }
                }
            }
            assert!(
                (offspring - shape.offspring).abs() < 0.03,
                "mean offspring {offspring}"
            );
            let total =
                |nats: fn(&Rule) -> f64| rules.iter().map(|rule| (-nats(rule)).exp()).sum::<f64>();
            assert!((total(|rule| rule.nats) - 1.0).abs() < 1e-12);
            assert!((total(|rule| rule.deepest_nats) - 1.0).abs() < 1e-12);
        }
        let (least, most) = (uses.iter().min().unwrap(), uses.iter().max().unwrap());
        assert!(
            *most <= least + 1,
            "every category is used as often as the others: {uses:?}"
        );
    }

    #[test]
    fn the_seed_makes_the_grammar() {
        let symbols = |seed| Grammar::draw(&shape(), seed, None).symbols;
        assert_eq!(symbols(1), symbols(1));
        assert_ne!(symbols(1), symbols(2));
    }

    #[test]
    fn impossible_shapes_name_the_knob() {
        let check = |change: fn(&mut Shape), knob: Option<&str>| {
            let mut shape = shape();
            change(&mut shape);
            assert_eq!(shape.flaw().map(|(knob, _)| knob), knob, "{shape:?}");
        };
        check(|_| (), None);
        check(|s| s.rules = 1, Some("rules"));
        check(|s| s.vocab = 41, Some("vocab"));
        check(|s| s.vocab = 42, None);
        check(|s| s.names = 0, Some("names"));
        check(|s| (s.names, s.name_share) = (0, 0.0), None);
        check(|s| s.features = 1, Some("features"));
        check(|s| (s.features, s.agreement) = (0, 0.0), None);
        check(|s| s.categories = usize::MAX, Some("categories"));
        check(|s| s.fill = usize::MAX, Some("categories"));
        check(|s| s.rules = usize::MAX, Some("vocab"));
        check(|s| s.names = usize::MAX / 2, Some("vocab"));
    }
}
