//! What the rules do by chance, simulated: how often they alarm where nothing changed, and how often they see what did.
//!
//! Noise is normal on the log scale, as a standard deviation of one run of one arm. Ten thousand simulated comparisons each,
//! every one from a stream of its own. The figures, which the tests hold to a third of a percentage point:
//!
//! | nothing changed, one cell, interleaved | rejected by the test | called a regression |
//! |---|---|---|
//! | 3, 5, 8, 16 repeats; noise 0.5, 1, 2% | 4.7 to 5.4% | 0 to 1.9% |
//! | 5 repeats, noise 1%, blocks drifting by 3% | 5.3% | 0.1% |
//!
//! | nothing changed | exits 1 |
//! |---|---|
//! | separate sittings that drift by 3%, if that is ignored | 32% |
//! | the same with the sittings' margin: calibrations see the drift / do not / there are none | 0.0% / 0.2% / 0.5% |
//! | 20 cells, noise 1%, one stage of 5 / two stages | 0.2% / 0.0% |
//! | 20 cells, noise 2%, one stage of 5 / two stages | 2.1% / 0.6% |
//!
//! | 3% slower in one of 20 cells, noise 1% | caught |
//! |---|---|
//! | two stages of 5 and 8 repeats | 91% |
//! | one stage of 8 repeats | 83% |

use super::decide::{Limits, decide};
use super::effect::{ALPHA, Effect, paired, unpaired};
use super::measure::Scale;
use super::stages::{CONFIRM_REPEATS, SCREEN_REPEATS, confirm, is_flagged};
use super::{Verdict, noise};
use crate::stat::holm;
use crate::stream::{Stream, stream};

const TRIALS: u64 = 10_000;
/// Of time, as a logarithm.
const MARGIN: f64 = 0.019_802_627_296_179_712;

/// What a figure may differ by from the documented one: libraries round logarithms differently in the last bit.
const NEAR: f64 = 0.0035;

fn near(rows: &[(f64, f64)]) {
    assert!(rows.iter().all(|(found, documented)| (found - documented).abs() <= NEAR), "{rows:?}");
}

/// The share of simulated comparisons in which something happens.
fn share(name: &str, happens: impl Fn(&mut Stream) -> bool) -> f64 {
    let count = (0..TRIALS).filter(|index| happens(&mut stream(name, 0, *index))).count();
    count as f64 / TRIALS as f64
}

/// `n` runs of one arm, around a level, in logarithms.
fn runs(draw: &mut Stream, n: usize, level: f64, sd: f64) -> Vec<f64> {
    (0..n).map(|_| (level + sd * draw.normal()).exp()).collect()
}

/// `n` interleaved pairs; what the machine does in a block hits both arms.
fn pairs(draw: &mut Stream, n: usize, change: f64, sd: f64, drift: f64) -> Effect {
    let pair = |draw: &mut Stream| {
        let block = drift * draw.normal();
        ((block + sd * draw.normal()).exp(), (block + change + sd * draw.normal()).exp())
    };
    let pairs: Vec<(f64, f64)> = (0..n).map(|_| pair(draw)).collect();
    paired(Scale::Ratio, &pairs).unwrap()
}

fn is_regression(effect: &Effect, p: Option<f64>) -> bool {
    decide(effect, 1.0, Limits::both(MARGIN), p, false).verdict == Verdict::Regressed
}

/// Whether one stage over these cells exits 1: the regressed ones.
fn single_stage(effects: &[Effect]) -> Vec<usize> {
    let p: Vec<f64> = effects.iter().map(|effect| effect.p().unwrap()).collect();
    let adjusted = holm(&p);
    (0..effects.len()).filter(|k| is_regression(&effects[*k], Some(adjusted[*k]))).collect()
}

/// The cells that two stages condemn, where cell `k` is slower by `change(k)`.
fn two_stages(draw: &mut Stream, cells: usize, change: impl Fn(usize) -> f64, sd: f64) -> Vec<usize> {
    let first = |draw: &mut Stream, k: usize| pairs(draw, SCREEN_REPEATS as usize, change(k), sd, 0.0);
    let screened: Vec<Effect> = (0..cells).map(|k| first(draw, k)).collect();
    let flagged: Vec<usize> = (0..cells).filter(|k| is_flagged(&screened[*k], 1.0, MARGIN)).collect();
    let again = |k: &usize| (pairs(draw, CONFIRM_REPEATS as usize, change(*k), sd, 0.0), 1.0, Limits::both(MARGIN));
    let fresh: Vec<(Effect, f64, Limits)> = flagged.iter().map(again).collect();
    let decided = flagged.iter().zip(confirm(&fresh));
    decided.filter(|(_, decision)| decision.verdict == Verdict::Regressed).map(|(k, _)| *k).collect()
}

#[test]
fn a_true_null_is_rejected_as_often_as_promised() {
    for n in [3, 5, 8, 16] {
        for sd in [0.005, 0.01, 0.02] {
            let name = format!("compare/null/{n}/{sd}");
            let rejected = share(&name, |draw| pairs(draw, n, 0.0, sd, 0.0).p().unwrap() <= ALPHA);
            assert!((0.03..=0.07).contains(&rejected), "n = {n}, sd {sd}: {rejected}");
            let alarm = share(&name, |draw| {
                let effect = pairs(draw, n, 0.0, sd, 0.0);
                is_regression(&effect, effect.p())
            });
            assert!(alarm <= 0.03, "n = {n}, sd {sd}: {alarm}");
            let documented = (0.047 - NEAR..=0.054 + NEAR).contains(&rejected) && alarm <= 0.019 + NEAR;
            assert!(documented, "n = {n}, sd {sd}: {rejected} {alarm}");
        }
    }
}

#[test]
fn drift_between_sittings_does_not_alarm() {
    let (n, sd, drift) = (5, 0.01, 0.03);
    let interleaved = |draw: &mut Stream| pairs(draw, n, 0.0, sd, drift);
    let rejected = share("compare/drift/paired", |draw| interleaved(draw).p().unwrap() <= ALPHA);
    let alarm = share("compare/drift/paired", |draw| {
        let effect = interleaved(draw);
        is_regression(&effect, effect.p())
    });
    near(&[(rejected, 0.053), (alarm, 0.001)]);
    assert!((0.03..=0.07).contains(&rejected) && alarm <= 0.03, "{rejected} {alarm}");
    // A calibration before and one after each sitting, as noisy as a run; `sees` of the drift is in it.
    let separate = |draw: &mut Stream, sees: f64| {
        let levels = [drift * draw.normal(), drift * draw.normal()];
        let [base, new] = levels.map(|level| runs(draw, n, level, sd));
        let effect = unpaired(Scale::Ratio, &base, &new).unwrap();
        let four = levels.iter().flat_map(|level| [-sees * level; 2]);
        (effect, four.map(|log| log + sd * draw.normal()).collect::<Vec<f64>>())
    };
    let naive = share("compare/drift/separate", |draw| {
        let effect = separate(draw, 0.0).0;
        is_regression(&effect, effect.p())
    });
    let exits = |sees: Option<f64>| {
        share("compare/drift/separate", |draw| {
            let (effect, logs) = separate(draw, sees.unwrap_or(0.0));
            let margin = noise::drift_of(sees.map(|_| logs.as_slice()).into_iter());
            decide(&effect, 1.0, Limits::both(margin), effect.p(), true).verdict == Verdict::Regressed
        })
    };
    let [seen, unseen, none] = [Some(1.0), Some(0.0), None].map(exits);
    near(&[(naive, 0.319), (seen, 0.0), (unseen, 0.002), (none, 0.005)]);
    assert!(seen.max(unseen).max(none) <= 0.01, "{seen} {unseen} {none}");
    assert!(naive > 0.1, "{naive}: the drift simulated is one that matters");
}

#[test]
fn twenty_unchanged_cells_rarely_alarm() {
    for (sd, documented) in [(0.01, [0.002, 0.0]), (0.02, [0.021, 0.006])] {
        let single = share(&format!("compare/suite/{sd}"), |draw| {
            let effects: Vec<Effect> = (0..20).map(|_| pairs(draw, 5, 0.0, sd, 0.0)).collect();
            !single_stage(&effects).is_empty()
        });
        let double = share(&format!("compare/suite2/{sd}"), |draw| !two_stages(draw, 20, |_| 0.0, sd).is_empty());
        near(&[(single, documented[0]), (double, documented[1])]);
        assert!(single <= 0.05 && double <= 0.05, "{sd}: {single} {double}");
    }
}

#[test]
fn a_slowdown_of_three_percent_in_one_of_twenty_cells_is_caught() {
    let slow = |k: usize| if k == 7 { 0.03 } else { 0.0 };
    let caught = share("compare/power/two", |draw| two_stages(draw, 20, slow, 0.01).contains(&7));
    let single = share("compare/power/one", |draw| {
        let effects: Vec<Effect> = (0..20).map(|k| pairs(draw, 8, slow(k), 0.01, 0.0)).collect();
        single_stage(&effects).contains(&7)
    });
    near(&[(caught, 0.911), (single, 0.832)]);
    assert!(caught >= 0.9, "{caught}");
}
