//! Tests of the exchange rate on files whose truth is known.

use super::*;
use crate::record::ResultFile;
use crate::record::example::asked as file;
use crate::record::validate::validate;

/// 1 - (1 - p)^k reaches a share with k = ln(1 - share) / ln(1 - p) samples.
fn worth(times: f64, exponent: f64) -> f64 {
    1.0 - (-0.02 * times.powf(exponent)).exp()
}

#[test]
fn a_known_exchange_rate_is_found_again() {
    let luck = [-0.05, 0.02, 0.03];
    let file = file(3, 5, |times, r| worth(times, 1.2 + luck[r as usize]));
    assert_eq!(validate(&file), []);
    let found = tasks(&file);
    assert_eq!((found.len(), found[0].solvers.len()), (1, 5));
    let exchange = found[0].exchange.as_ref().unwrap();
    assert!((exchange.slope.value + 1.2).abs() < 0.03, "{exchange:?}");
    let interval = exchange.slope.interval.unwrap();
    assert!(exchange.over_repeats && interval.low < -1.25 && interval.high > -1.18);
    assert!(exchange.levels.len() >= 5 && exchange.scatter < 0.05);
    assert_eq!(exchange.sizes.len(), 1);
}

#[test]
fn one_repeat_has_an_interval_over_problems() {
    let mut file = file(1, 5, |times, _| worth(times, 1.0));
    for trial in &mut file.trials {
        let right = &mut trial.answers.as_mut().unwrap().right;
        // Some problems are easier, the same for all.
        right.iter_mut().enumerate().for_each(|(k, right)| {
            *right = if k % 4 == 0 { 2 * *right } else { *right };
        });
    }
    let exchange = tasks(&file).remove(0).exchange.unwrap();
    let interval = exchange.slope.interval.unwrap();
    assert!(!exchange.over_repeats);
    assert!(interval.low <= exchange.slope.value && exchange.slope.value <= interval.high);
}

#[test]
fn what_cannot_be_told_is_refused_with_a_reason() {
    let why = |file: &ResultFile| tasks(file).remove(0).exchange.unwrap_err();
    let few = why(&file(2, 2, |times, _| worth(times, 1.0)));
    assert_eq!(few, "2 of the 3 training budgets that a slope needs");
    let out_of_reach = why(&file(2, 5, |_, _| 0.0));
    assert!(
        out_of_reach.starts_with("0 of the 3 accuracies that a slope needs"),
        "{out_of_reach}"
    );
    let mut none = file(1, 1, |_, _| 0.1);
    none.trials[0].answers = None;
    assert!(tasks(&none).is_empty());
}

/// Samples at temperature 0 are all the greedy answer: more of them cost more and solve nothing more.
#[test]
fn the_front_is_of_what_is_worth_its_cost() {
    let mut file = file(1, 3, |times, _| worth(times, 1.0));
    for trial in &mut file.trials {
        let answers = trial.answers.as_mut().unwrap();
        answers.temperature = 0.0;
        answers.greedy = (0..20).map(|k| k % 2).collect();
        answers.right = (0..20).map(|k| 4096 * (k % 2)).collect();
    }
    let task = tasks(&file).remove(0);
    for solver in &task.solvers {
        assert!(solver.methods.iter().all(|method| method.accuracy == 0.5));
    }
    assert_eq!(task.front, [(0, 0)]);
    assert!(task.exchange.is_err() && task.coverage.is_none());
}
