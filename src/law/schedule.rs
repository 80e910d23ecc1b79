//! Learning-rate schedules.

use std::sync::Arc;

use serde_json::json;

use super::keys::every_key_is_read;
use super::learning::settles_to_itself;
use super::recipe::{Recipe, of_settled};
use super::rule::{Outcome, Rule, broken, expect, is_listed};
use crate::config::Broken;
use crate::train::Schedule;
use crate::trial::Registry;

/// The rules that the schedule of that name breaks.
pub fn schedule(registry: &Registry, name: &str) -> Vec<Broken> {
    let recipe = Recipe::of(registry, &json!({"train": {"schedule": {"kind": name}}}));
    let mut found = is_listed(&registry.schedules, name);
    found.extend(broken(&SETTLES, &recipe));
    found.extend(of_settled(&recipe, |experiment| {
        broken(&RULES, &experiment.schedule)
    }));
    found
}

const SETTLES: [Rule<Recipe>; 2] = [
    ("defaults settle to themselves", settles_to_itself),
    ("every declared key is read", every_key_is_read),
];

const RULES: [Rule<Arc<dyn Schedule>>; 3] = [
    ("a factor is within 0 and 1", is_within),
    ("the rate rises, then falls", rises_then_falls),
    ("the full rate is reached", reaches_the_full_rate),
];

/// Lengths of a training, the longest beyond what anybody looks at step by step.
const LENGTHS: [u64; 7] = [1, 2, 3, 10, 97, 1000, 1_000_000];

/// What a factor may be off by: rounding.
const ROUNDING: f64 = 1e-9;

/// Steps of a training, all of a short one.
fn steps_of(steps: u64) -> impl Iterator<Item = u64> {
    (0..steps).step_by(usize::try_from(steps / 1000).unwrap_or(1).max(1))
}

/// Beyond the last step as well: a resumed run may ask.
fn is_within(schedule: &Arc<dyn Schedule>) -> Outcome {
    for steps in LENGTHS {
        for step in steps_of(steps).chain([steps - 1, steps, steps + 1, 2 * steps]) {
            let factor = schedule.factor(step, steps);
            expect(
                (0.0..=1.0 + ROUNDING).contains(&factor),
                format!("a factor from 0 to 1 at step {step} of {steps}"),
                format!("{factor}"),
            )?;
        }
    }
    Ok(())
}

fn rises_then_falls(schedule: &Arc<dyn Schedule>) -> Outcome {
    for steps in LENGTHS {
        let (mut last, mut falls) = (0.0, false);
        for step in steps_of(steps) {
            let factor = schedule.factor(step, steps);
            let rises = factor > last + ROUNDING;
            expect(
                !(falls && rises),
                format!("no rise at step {step} of {steps}, after a fall"),
                format!("a factor of {factor} after one of {last}"),
            )?;
            falls |= factor < last - ROUNDING;
            last = factor;
        }
    }
    Ok(())
}

/// Of a training that has the steps to warm up.
fn reaches_the_full_rate(schedule: &Arc<dyn Schedule>) -> Outcome {
    for steps in [97, 1000] {
        let factors = (0..steps).map(|step| schedule.factor(step, steps));
        let most = factors.fold(0.0, f64::max);
        expect(
            most >= 1.0 - ROUNDING,
            format!("the rate that the spec names within {steps} steps"),
            format!("{most} of it at most"),
        )?;
    }
    Ok(())
}
