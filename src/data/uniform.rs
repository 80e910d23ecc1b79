//! Kind `uniform`: independent, equally likely tokens. Nothing to learn; for suites that only measure speed.

use std::sync::Arc;

use super::generated::{Generated, Process};
use super::{MOST_TOKEN_IDS, Source, SourceKind};
use crate::config::knob::Whole;
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::stream::Stream;

const VOCAB: Knob<Whole> = Knob::count("vocab", "Tokens to draw from.")
    .at_most(MOST_TOKEN_IDS)
    .default(256);
const VALIDATION_TOKENS: Knob<Whole> = super::VALIDATION_TOKENS.default(8192);

/// The kind `uniform`.
pub(super) struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "uniform"
    }

    fn about(&self) -> &'static str {
        "independent, equally likely tokens: nothing to learn, for measuring speed"
    }

    fn knobs(&self) -> Declarations {
        &[&VOCAB, &VALIDATION_TOKENS]
    }
}

impl SourceKind for Kind {
    fn settle(&self, knobs: &Knobs, _context: usize) -> Result<Arc<dyn Source>> {
        let vocab = knobs.read(&VOCAB)?;
        let validation_tokens = knobs.read(&VALIDATION_TOKENS)?;
        Ok(Arc::new(Generated {
            process: Uniform { vocab },
            validation_tokens,
        }))
    }
}

struct Uniform {
    vocab: usize,
}

impl Process for Uniform {
    const NAME: &'static str = "uniform";
    type State<'a> = ();

    fn vocab(&self) -> usize {
        self.vocab
    }

    fn labels(&self) -> Vec<String> {
        vec!["uniform".to_owned()]
    }

    fn state(&self) {}

    fn write(&self, _: &mut (), stream: &mut Stream, inputs: &mut [u32], targets: &mut [u32]) {
        let mut token = stream.below(self.vocab) as u32;
        for (input, target) in inputs.iter_mut().zip(targets) {
            *input = token;
            token = stream.below(self.vocab) as u32;
            *target = token;
        }
    }

    fn judge(&self, _: &mut (), _: &[u32], targets: &[u32], say: &mut dyn FnMut(f64, u8)) {
        let nats = (self.vocab as f64).ln();
        targets.iter().for_each(|_| say(nats, 0));
    }
}

#[cfg(test)]
mod tests {
    use crate::data::testing::{refusal, source};
    use serde_json::json;

    #[test]
    fn every_token_costs_ln_v_and_all_occur() {
        let source = source(
            json!({"kind": "uniform", "vocab": 5, "validation_tokens": 640}),
            64,
        )
        .unwrap();
        let validation = source.validation(4, 64).unwrap();
        assert_eq!(
            validation.iter().map(|v| v.batch.rows).collect::<Vec<_>>(),
            [4, 4, 2]
        );
        let oracle = validation[0].oracle.as_ref().unwrap();
        assert!(oracle.nats.iter().all(|&nats| nats == 5f64.ln()));
        let batch = source.train(0, 0, 4, 64);
        assert!((0..5).all(|token| batch.targets.contains(&token)));
        assert!(batch.inputs.iter().all(|&token| token < 5));
        assert_eq!(batch.inputs[1..64], batch.targets[..63]);
        assert!(
            refusal(json!({"kind": "uniform", "vocab": 1u64 << 32}), 64)
                .contains("from 1 to 16777216")
        );
    }
}
