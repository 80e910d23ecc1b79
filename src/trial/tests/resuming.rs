//! A trial that goes on from its checkpoint.

use std::fs;
use std::sync::Arc;

use serde_json::json;

use super::{prepared, values};
use crate::device;
use crate::measure::Monotonic;
use crate::measure::energy::{Metering, Plan};
use crate::trial::training::{Training, train};
use crate::trial::{Checkpoint, Registry};

/// Losses, curve, evaluation and parameters are the same bits.
fn assert_same(one: &Training, other: &Training) {
    assert_eq!(one.losses, other.losses);
    assert_eq!(one.curve.train_loss_nats, other.curve.train_loss_nats);
    assert_eq!(one.curve.max_violation, other.curve.max_violation);
    let val_loss = |training: &Training| training.quality.as_ref().unwrap().loss.mean;
    assert_eq!(val_loss(one), val_loss(other));
    for (a, b) in one.params.vars().iter().zip(other.params.vars()) {
        assert_eq!(values(a), values(b));
    }
}

/// Variants, optimizers, and what parameters are rounded to: by chance, which goes on too.
const CASES: [(&str, &str, Option<&str>); 4] = [
    ("gpt2", "adamw", None),
    ("gpt2", "muon", None),
    ("gpt2", "sgd", Some("bf16-stochastic")),
    ("gpt2+moe", "adamw", None),
];

/// A run that goes on from its last checkpoint ends in the same bits as one that never stopped, whatever the optimizer.
#[test]
fn a_trial_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    for (variant, optimizer, stored) in CASES {
        let mut sets = json!({
            "model": {"layers": 1, "width": 16, "heads": 2, "context": 8},
            "train": {"batch": 2, "steps": 7, "optimizer": {"kind": optimizer, "lr": 0.01}},
            "data": {"kind": "markov", "states": 7, "validation_tokens": 64},
        });
        if let Some(stored) = stored {
            sets["train"]["stored"] = json!(stored);
        }
        let experiment = prepared(variant, sets).experiment;
        let (opened, clock) = (device::open("cpu").unwrap(), Monotonic::start());
        let path = folder.path().join(format!("{variant} {optimizer}"));
        let checkpoint = Checkpoint {
            path: path.clone(),
            id: "a".to_owned(),
            every_s: 0.0,
        };
        let run = |checkpoint: Option<&Checkpoint>| {
            let meters = Metering::start(
                &Registry::builtin().meters,
                Plan::default(),
                Arc::new(clock),
            );
            train(
                &experiment,
                3,
                &opened,
                &clock,
                (&meters, checkpoint),
                &mut |_| (),
            )
            .unwrap()
        };

        let whole = run(None);
        let saving = run(Some(&checkpoint));
        // The last checkpoint is from before the last step.
        let resumed = run(Some(&checkpoint));
        assert_eq!(
            (whole.resumed_at, saving.resumed_at, resumed.resumed_at),
            (None, None, Some(6)),
            "{variant} {optimizer}"
        );
        assert_same(&saving, &whole);
        assert_same(&resumed, &whole);

        // Another trial's file, and a torn one, are as good as none.
        let other = Checkpoint {
            id: "b".to_owned(),
            every_s: 1e9,
            ..checkpoint.clone()
        };
        assert_eq!(run(Some(&other)).resumed_at, None);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let torn = Checkpoint {
            every_s: 1e9,
            ..checkpoint.clone()
        };
        assert_eq!(run(Some(&torn)).losses, whole.losses);
        assert!(!path.with_extension("unfinished").exists());
    }
}
