//! Kind `mqar`: multi-query associative recall (Arora et al. 2023, "Zoology"; conventions of HazyResearch/zoology).
//!
//! A window is `pairs` key-value pairs, then queries: each key once more, at twice a random gap behind the pairs; the
//! target there is its value, and every other target is ignored. Gaps are drawn without replacement with p(g) ~ g^(a-1), so
//! most queries come early and a few very late. The answer stands in the window: the oracle needs 0 nats.

use std::sync::Arc;

use super::chance::Pack;
use super::generated::{Generated, Process};
use super::{IGNORE, MOST_TOKEN_IDS, Source, SourceKind, VALIDATION_TOKENS};
use crate::config::knob::{Declared, Number, Whole, Word};
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::stream::Stream;

const PAIRS: Knob<Whole> = Knob::count(
    "pairs",
    "Key-value pairs in a window; with their queries they take 4 x pairs tokens of it.",
)
.follows("a sixteenth of model.context, at least 1");
const KEYS: Knob<Whole> = Knob::count("keys", "Tokens that can be keys.")
    .at_most(MOST_TOKEN_IDS)
    .default(127);
const VALUES: Knob<Whole> = Knob::count("values", "Tokens that can be values.")
    .at_most(MOST_TOKEN_IDS)
    .default(128);
const GAP_EXPONENT: Knob<Number> = Knob::number(
    "gap_exponent",
    "The smaller, the more queries come soon after the pairs: a gap g has weight g^(gap_exponent - 1).",
)
.within(0.0, 10.0)
.default(0.01);
const FILLER: Knob<Word> = Knob::word(
    "filler",
    "What stands between queries: random tokens, or token 0.",
    &["random", "zero"],
)
.default("random");

/// The kind `mqar`.
pub(super) struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "mqar"
    }

    fn about(&self) -> &'static str {
        "multi-query associative recall: say the value that stood behind a key (Arora et al. 2023)"
    }

    fn knobs(&self) -> Declarations {
        &[
            &PAIRS,
            &KEYS,
            &VALUES,
            &GAP_EXPONENT,
            &FILLER,
            &VALIDATION_TOKENS,
        ]
    }
}

impl SourceKind for Kind {
    fn settle(&self, knobs: &Knobs, context: usize) -> Result<Arc<dyn Source>> {
        let mqar = Mqar {
            pairs: knobs.read_or(&PAIRS, (context / 16).max(1))?,
            keys: knobs.read(&KEYS)?,
            values: knobs.read(&VALUES)?,
            gap_exponent: knobs.read(&GAP_EXPONENT)?,
            random_filler: knobs.read(&FILLER)? == "random",
        };
        let validation_tokens = knobs.read(&VALIDATION_TOKENS)?;
        if mqar.pairs > context / 4 {
            let why = format!(
                "pairs and their queries need 4 x pairs <= model.context, which is {context}"
            );
            return Err(knobs.refuse(&PAIRS, &why));
        }
        let ids: [(&dyn Declared, usize); 2] = [(&KEYS, mqar.keys), (&VALUES, mqar.values)];
        for (knob, found) in ids {
            if found < mqar.pairs {
                return Err(knobs.refuse(
                    knob,
                    &format!("fewer than the {} pairs of a window", mqar.pairs),
                ));
            }
        }
        Ok(Arc::new(Generated {
            process: mqar,
            validation_tokens,
        }))
    }
}

/// Token 0 is the filler, then the keys, then the values.
struct Mqar {
    pairs: usize,
    keys: usize,
    values: usize,
    gap_exponent: f64,
    random_filler: bool,
}

/// Memory for one window.
struct Scratch {
    keys: Pack,
    values: Pack,
    /// Arrival time and gap.
    race: Vec<(f64, usize)>,
}

impl Process for Mqar {
    const NAME: &'static str = "mqar";
    const IS_TASK: bool = true;
    type State<'a> = Scratch;

    fn vocab(&self) -> usize {
        1 + self.keys + self.values
    }

    fn labels(&self) -> Vec<String> {
        vec!["recall".to_owned()]
    }

    fn state(&self) -> Scratch {
        Scratch {
            keys: Pack::new(self.keys),
            values: Pack::new(self.values),
            race: Vec::new(),
        }
    }

    fn write(
        &self,
        state: &mut Scratch,
        stream: &mut Stream,
        inputs: &mut [u32],
        targets: &mut [u32],
    ) {
        let filler = if self.random_filler { self.vocab() } else { 1 };
        inputs
            .iter_mut()
            .for_each(|token| *token = stream.below(filler) as u32);
        targets.fill(IGNORE);
        state.keys.gather();
        state.values.gather();
        // Exponential races: the order of arrival is a draw without replacement by weight.
        let pairs_end = 2 * self.pairs;
        state.race.clear();
        for gap in 0..inputs.len().saturating_sub(pairs_end) / 2 {
            let weight = ((gap + 1) as f64).powf(self.gap_exponent - 1.0);
            state
                .race
                .push((-(1.0 - stream.uniform()).ln() / weight, gap));
        }
        state.race.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (pair, &(_, gap)) in state.race.iter().take(self.pairs).enumerate() {
            let (Some(key), Some(value)) = (state.keys.deal(stream), state.values.deal(stream))
            else {
                break;
            };
            let (key, value) = (1 + key, 1 + self.keys as u32 + value);
            inputs[2 * pair] = key;
            inputs[2 * pair + 1] = value;
            inputs[pairs_end + 2 * gap] = key;
            targets[pairs_end + 2 * gap] = value;
        }
    }

    fn judge(
        &self,
        _: &mut Scratch,
        inputs: &[u32],
        targets: &[u32],
        say: &mut dyn FnMut(f64, u8),
    ) {
        let pairs = || inputs.chunks_exact(2).take(self.pairs);
        for (&key, &target) in inputs.iter().zip(targets) {
            let known = target == IGNORE || pairs().any(|pair| pair == [key, target]);
            say(if known { 0.0 } else { f64::INFINITY }, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{refusal, source};
    use serde_json::json;

    #[test]
    fn every_query_is_a_key_of_its_window_and_its_target_that_keys_value() {
        let check = |spec: serde_json::Value, context: usize, pairs: usize| {
            let source = source(spec, context).unwrap();
            assert!(source.is_task());
            let batch = source.train(0, 3, 200, context);
            for (inputs, targets) in batch
                .inputs
                .chunks(context)
                .zip(batch.targets.chunks(context))
            {
                let mut asked = vec![];
                for at in (0..context).filter(|&at| targets[at] != IGNORE) {
                    let pair = (0..pairs)
                        .find(|pair| inputs[2 * pair] == inputs[at])
                        .expect("a key of this window");
                    assert!(at >= 2 * pairs && targets[at] == inputs[2 * pair + 1]);
                    assert!((targets[at] as usize) < source.vocab());
                    asked.push(pair);
                }
                asked.sort_unstable();
                assert_eq!(
                    asked,
                    (0..pairs).collect::<Vec<_>>(),
                    "each key is asked once"
                );
            }
            assert!(
                batch
                    .inputs
                    .iter()
                    .all(|&token| (token as usize) < source.vocab())
            );
        };
        check(json!({"kind": "mqar"}), 64, 4);
        check(
            json!({"kind": "mqar", "pairs": 16, "keys": 16, "values": 16, "filler": "zero"}),
            64,
            16,
        );
        check(json!({"kind": "mqar", "pairs": 1, "gap_exponent": 1}), 5, 1);
    }

    #[test]
    fn early_gaps_are_likelier_as_the_exponent_says() {
        let source = source(json!({"kind": "mqar", "pairs": 1, "filler": "zero"}), 12).unwrap();
        let n = 20_000;
        let batch = source.train(0, 0, n, 12);
        let weights: Vec<f64> = (1..=5).map(|g| f64::from(g).powf(0.01 - 1.0)).collect();
        for (gap, weight) in weights.iter().enumerate() {
            let p = weight / weights.iter().sum::<f64>();
            let count = batch
                .targets
                .chunks(12)
                .filter(|t| t[2 + 2 * gap] != IGNORE)
                .count() as f64;
            let sd = (n as f64 * p * (1.0 - p)).sqrt();
            assert!(
                (count - n as f64 * p).abs() < 5.0 * sd,
                "gap {gap}: {count}"
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(
            refusal(json!({"kind": "mqar", "pairs": 5}), 16)
                .contains("4 x pairs <= model.context, which is 16")
        );
        assert!(
            refusal(json!({"kind": "mqar", "pairs": 4, "keys": 3}), 16)
                .contains("fewer than the 4 pairs")
        );
    }
}
