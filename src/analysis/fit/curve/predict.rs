//! The loss of a run that was not made: the law's value there, the values of it that the data do not refuse, and the interval of
//! one run, which adds a run's own noise: half its width is the root of (half that interval)^2 + (t sd)^2 with the residuals' sd.
//! For a law that is linear in its parameters this is the classical prediction interval, t sd sqrt(1 + h).

use std::str::FromStr;

use serde::Serialize;

use super::classic::spending;
use super::fitted::CurveFit;
use super::formula::{Input, Residual};
use crate::analysis::fit::allocation::optimum;
use crate::analysis::fit::points::Variable;
use crate::error::{Error, Result};
use crate::stat::interval::LEVEL;
use crate::stat::{Interval, critical};

/// The run asked about: C, or N and D, or N, D and U.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// C alone; for a law of N and D its best split.
    Flops(f64),
    /// N, D, and U, which is D where it is not given.
    Run(Input),
}

impl Target {
    /// N and D, where they were given.
    pub fn place(&self) -> Option<(f64, f64)> {
        match self {
            Self::Run(run) => Some((run.params, run.tokens)),
            Self::Flops(_) => None,
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parts: Vec<f64> = text
            .split(',')
            .map(|part| part.trim().parse().unwrap_or(f64::NAN))
            .collect();
        if parts
            .iter()
            .any(|value| !value.is_finite() || *value <= 0.0)
        {
            return Err(
                "write positive plain numbers, such as 1e20 for C or 1.4e9,28e9 for N,D".to_owned(),
            );
        }
        match parts[..] {
            [flops] => Ok(Self::Flops(flops)),
            [params, tokens] => Ok(Self::Run(Input::fresh(params, tokens))),
            [params, tokens, unique] if unique <= 1.01 * tokens => Ok(Self::Run(Input {
                unique_tokens: unique.min(tokens),
                ..Input::fresh(params, tokens)
            })),
            [_, _, _] => Err(
                "the third number, different tokens, is more than the second, tokens in all"
                    .to_owned(),
            ),
            _ => Err("write C, or N,D, or N,D,U".to_owned()),
        }
    }
}

/// What a run would end at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// Whose law.
    pub group: String,
    /// N, where the law asks for it.
    pub params: Option<f64>,
    /// D.
    pub tokens: Option<f64>,
    /// U, where the law asks for it.
    pub unique_tokens: Option<f64>,
    /// C: given, or 6 N D.
    pub flops: f64,
    /// Whether N and D are the law's best split of C.
    pub best_split: bool,
    /// The law's loss.
    pub loss_nats: f64,
    /// Values of the law's loss that the data do not refuse; absent where an end is open or nothing is left to judge by.
    pub law_interval: Option<Interval>,
    /// Of one run; absent where that of the law is, or where the runs do not lie on the law.
    pub run_interval: Option<Interval>,
    /// What lies outside the runs fitted, with the factor by which it does.
    pub extrapolated: Vec<Beyond>,
    /// Why there is no interval.
    pub reason: Option<&'static str>,
}

/// A figure outside the range of the runs fitted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Beyond {
    /// `N`, `D`, `D/N`, `C`, `epochs`.
    pub what: &'static str,
    /// Above 1 over the largest, below 1 under the smallest.
    pub factor: f64,
}

/// An upper end so many times the loss itself is no bound.
const MOST: f64 = 5.0;

/// Predicts a run; `lies` says whether the runs lie on the law at all.
pub fn predict(fit: &CurveFit, target: Target, lies: bool) -> Result<Prediction> {
    let (run, best_split) = settle(fit, target)?;
    // The best split of a law that its runs do not lie on is none.
    let named = lies || !best_split;
    let log = fit.curve.residual == Residual::Log;
    let nats = |value: f64| if log { value.exp() } else { value };
    let reading = |inner: &[f64]| {
        let loss = (fit.curve.loss)(&fit.outward(inner), &run);
        if log { loss.ln() } else { loss }
    };
    let middle = reading(&fit.end.at);
    let bounds = fit.bounds_of(&reading);
    // Ends that are found but far beyond any loss bound nothing.
    let says = |(_, high): &(f64, f64)| nats(*high) < MOST * nats(middle);
    let ends = bounds.and_then(|b| Some((b.low?, b.high?))).filter(says);
    let noise = fit
        .freedom()
        .and_then(|n| Some(critical(n as f64, LEVEL)? * fit.residual_sd()?));
    let interval = |low: f64, high: f64| Interval {
        low: nats(low),
        high: nats(high),
        level: LEVEL,
    };
    let of_run = ends.zip(noise).filter(|_| lies);
    let reason = match (bounds, ends, lies) {
        (None, ..) => Some("as many parameters as points"),
        (Some(_), None, _) => Some("the data do not bound the loss there"),
        (_, _, false) => Some("this law does not describe the runs"),
        _ => None,
    };
    Ok(Prediction {
        group: fit.group().to_owned(),
        params: Some(run.params).filter(|n| n.is_finite() && named),
        tokens: Some(run.tokens).filter(|n| n.is_finite() && named),
        unique_tokens: Some(run.unique_tokens)
            .filter(|_| fit.curve.needs.contains(&Variable::UniqueTokens)),
        flops: run.flops,
        best_split: best_split && named,
        loss_nats: nats(middle),
        law_interval: ends.map(|(low, high)| interval(low.min(middle), high.max(middle))),
        run_interval: of_run.map(|((low, high), noise)| {
            let low = middle - (middle - low).hypot(noise);
            interval(
                if log { low } else { low.max(0.0) },
                middle + (high - middle).hypot(noise),
            )
        }),
        extrapolated: if named { beyond(fit, &run) } else { Vec::new() },
        reason,
    })
}

fn settle(fit: &CurveFit, target: Target) -> Result<(Input, bool)> {
    let both = fit.curve.needs.contains(&Variable::Params);
    match (target, fit.curve.additive) {
        // A law of C alone reads nothing else of a run.
        (Target::Run(run), _) => Ok((run, false)),
        (Target::Flops(flops), _) if !both => Ok((spending(flops), false)),
        (Target::Flops(flops), Some(additive)) => {
            let best = optimum(&additive(&fit.at()), flops);
            Ok((Input::fresh(best.params, best.tokens), true))
        }
        (Target::Flops(_), None) => Err(Error::input("--predict C: this law needs N and D")
            .hint("--predict N,D such as 1.4e9,28e9")),
    }
}

/// What of a run lies outside the runs fitted, by more than a hundredth.
fn beyond(fit: &CurveFit, run: &Input) -> Vec<Beyond> {
    type Of = fn(&Input) -> f64;
    let both = fit.curve.needs.contains(&Variable::Params);
    let repeats = fit.curve.needs.contains(&Variable::UniqueTokens);
    let rows: [(&'static str, Of, bool); 5] = [
        ("N", |i| i.params, both),
        ("D", |i| i.tokens, both),
        ("D/N", |i| i.tokens / i.params, both),
        ("epochs", |i| i.tokens / i.unique_tokens, repeats),
        ("C", |i| i.flops, !both),
    ];
    let asked = rows.into_iter().filter(|(.., asked)| *asked);
    asked
        .filter_map(|(what, of, _)| {
            let (low, high) = fit
                .inputs
                .iter()
                .map(of)
                .fold((f64::INFINITY, 0.0_f64), |(low, high), value| {
                    (low.min(value), high.max(value))
                });
            let value = of(run);
            let factor = if value > high {
                value / high
            } else {
                (value / low).min(1.0)
            };
            ((factor.ln()).abs() > 0.01).then_some(Beyond { what, factor })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fit::curve::{Asked, Curve, study};
    use crate::analysis::fit::form::Form;
    use crate::analysis::fit::points::Point;
    use crate::analysis::fit::{Fitting, over_training, power};
    use crate::stream::stream;

    fn curve() -> &'static Curve {
        let Form::Curve(curve) = &over_training::LAW.form else {
            panic!("a curve")
        };
        curve
    }

    #[test]
    fn targets_are_read_or_refused() {
        assert_eq!("1e20".parse(), Ok(Target::Flops(1e20)));
        assert_eq!(
            "1e9, 2e10".parse(),
            Ok(Target::Run(Input::fresh(1e9, 2e10)))
        );
        assert_eq!(
            "1e9,2e10,1e9".parse(),
            Ok(Target::Run(Input {
                unique_tokens: 1e9,
                ..Input::fresh(1e9, 2e10)
            }))
        );
        for bad in ["", "1B", "-1", "1,2,3,4", "1e9,1e9,2e10", "nan"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }

    /// With E = 0 the power law is a line in ln L and ln C, and the interval is that of linear regression.
    #[test]
    fn a_linear_law_has_the_classical_interval() {
        let noise = [0.003, -0.004, 0.001, 0.002, -0.003, 0.004, -0.002, -0.001];
        let points: Vec<Point> = (0..8)
            .map(|k| {
                let flops = 1e15 * 4f64.powi(k);
                Point::new(
                    "a".into(),
                    flops,
                    3000.0 * flops.powf(-0.2) * f64::exp(noise[k as usize]),
                )
            })
            .collect();
        let Form::Additive(law) = &power::LAW.form else {
            panic!("additive")
        };
        let fitting = Fitting::new(law, points, Some(0.0), 0).unwrap();
        let fit = super::super::classic::of(&fitting).unwrap();
        let found = predict(&fit, Target::Flops(1e21), true).unwrap();
        let run = found.run_interval.unwrap();
        for (found, expected) in [
            (found.loss_nats, LINE[0]),
            (run.low, LINE[1]),
            (run.high, LINE[2]),
        ] {
            assert!(
                (found / expected - 1.0).abs() < 2e-4,
                "{found} against {expected}"
            );
        }
        assert_eq!(found.extrapolated.len(), 1);
        assert!((found.extrapolated[0].factor - 1e21 / (1e15 * 4f64.powi(7))).abs() < 1e-3);
    }

    /// statsmodels: `OLS(y, add_constant(x)).fit().get_prediction([1, log(1e21)]).summary_frame()`, exponentials of `mean`,
    /// `obs_ci_lower`, `obs_ci_upper`, with `x = log(1e15 * 4.0 ** arange(8))`, `y = log(3000) - 0.2 * x + noise`.
    const LINE: [f64; 3] = [
        0.189_083_331_508_951,
        0.186_985_382_293_865,
        0.191_204_819_413_828,
    ];

    fn truth(run: &Input) -> f64 {
        (curve().loss)(&[1.5, 114.0, 190.0, 0.2425], run)
    }

    /// The share of studies whose interval holds a further run, inside the runs' range and at ten times the largest size.
    fn coverage(studies: u64) -> [f64; 2] {
        let asked = [Input::fresh(1e8, 3e9), Input::fresh(6.4e9, 2.56e11)];
        let mut held = [0.0; 2];
        for seed in 0..studies {
            let mut luck = stream("predict-test", seed, 0);
            let mut points = Vec::new();
            for params in [1e7, 4e7, 1.6e8, 6.4e8] {
                for m in [10.0, 40.0, 160.0] {
                    let run = Input::fresh(params, m * params);
                    let loss = truth(&run) + 0.01 * luck.normal();
                    let point = Point::new("all".to_owned(), run.flops, loss);
                    points.push(Point {
                        params: Some(params),
                        tokens: Some(run.tokens),
                        ..point
                    });
                }
            }
            let fit = study::fitted(curve(), points, &Asked::default(), 0).unwrap();
            for (held, run) in held.iter_mut().zip(asked) {
                let seen = truth(&run) + 0.01 * luck.normal();
                let interval = predict(&fit, Target::Run(run), true).unwrap().run_interval;
                let inside = interval.is_none_or(|i| (i.low..=i.high).contains(&seen));
                *held += f64::from(inside) / studies as f64;
            }
        }
        held
    }

    #[test]
    fn intervals_hold_a_further_run() {
        let found = coverage(40);
        assert!(found.iter().all(|share| *share >= 0.85), "{found:?}");
    }

    #[test]
    #[ignore = "2000 studies: cargo test --release --no-default-features --lib predict -- --ignored"]
    fn intervals_hold_a_further_run_in_as_many_studies_as_they_say() {
        let found = coverage(2000);
        assert!(
            found.iter().all(|share| (0.93..=0.97).contains(share)),
            "{found:?}"
        );
    }

    #[test]
    fn what_lies_beyond_the_runs_is_said_and_a_law_that_does_not_hold_promises_nothing() {
        let points: Vec<Point> = [1e7, 4e7, 1.6e8]
            .iter()
            .flat_map(|n| [10.0, 40.0, 160.0].map(|m| Input::fresh(*n, m * n)))
            .map(|run| Point {
                params: Some(run.params),
                tokens: Some(run.tokens),
                ..Point::new(
                    "all".to_owned(),
                    run.flops,
                    truth(&run) * (1.0 + 1e-3 * run.flops.ln().sin()),
                )
            })
            .collect();
        let fit = study::fitted(curve(), points, &Asked::default(), 0).unwrap();
        let inside = predict(&fit, Target::Run(Input::fresh(5e7, 1e9)), true).unwrap();
        assert!(
            inside.extrapolated.is_empty() && inside.run_interval.is_some(),
            "{inside:?}"
        );
        let law = inside.law_interval.unwrap();
        assert!(
            law.low <= inside.loss_nats && inside.loss_nats <= law.high,
            "{inside:?}"
        );
        let far = predict(&fit, Target::Run(Input::fresh(1.6e9, 3.2e10)), true).unwrap();
        assert_eq!(
            far.extrapolated.iter().map(|b| b.what).collect::<Vec<_>>(),
            ["N", "D"]
        );
        assert!((far.extrapolated[0].factor - 10.0).abs() < 1e-9, "{far:?}");
        let none = predict(&fit, Target::Run(Input::fresh(5e7, 1e9)), false).unwrap();
        assert_eq!(
            (none.run_interval, none.reason),
            (None, Some("this law does not describe the runs"))
        );
        let best = predict(&fit, Target::Flops(1e18), true).unwrap();
        assert!(
            best.best_split
                && (6.0 * best.params.unwrap() * best.tokens.unwrap() / 1e18 - 1.0).abs() < 1e-9
        );
    }
}
