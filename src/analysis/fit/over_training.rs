//! L = E + a N^-alpha + b (M N sqrt 6)^-alpha with M = D / N: training past the compute-optimal number of tokens.
//!
//! It is Chinchilla's law with one exponent, so that with C = 6 N D the loss is E + (a M^eta + b M^-eta) (C / 6)^-eta up to
//! constants, eta = alpha / 2: at every ratio M the loss falls with the same power of compute, and only the factor before it
//! depends on M. It is fitted as published: least squares of the loss in nats from a grid of starts.

use super::curve::formula::split;
use super::curve::{Curve, Figure, Held, Input, Residual, Slot, refuse_flat};
use super::form::{Form, Law};
use super::points::Variable;
use super::surface::Theta;

/// The law.
pub const LAW: Law = Law {
    name: "over-training",
    formula: "L = E + a N^-alpha + b 6^(-alpha/2) (M N)^-alpha, M = D/N",
    about: "Loss at any ratio of tokens to parameters, with one exponent for both, by least squares in nats.",
    source: "Gadre et al. 2024, arXiv 2403.08540, eq. 4",
    form: Form::Curve(CURVE),
};

const CURVE: Curve = Curve {
    slots: &[
        Slot {
            name: "E",
            log: false,
            low: 0.0,
            high: f64::INFINITY,
        },
        Slot {
            name: "a",
            log: true,
            low: 1e-12,
            high: 1e30,
        },
        Slot {
            name: "b",
            log: true,
            low: 1e-12,
            high: 1e30,
        },
        Slot {
            name: "alpha",
            log: false,
            low: 1e-4,
            high: 4.0,
        },
    ],
    needs: &[Variable::Params, Variable::Tokens],
    loss,
    residual: Residual::Nats,
    delta: f64::INFINITY,
    starts,
    figures: &[
        Figure {
            name: "eta",
            about: "with compute it falls as C^-eta at every ratio of tokens to parameters, eta",
            of: eta,
            rises_with: None,
        },
        Figure {
            name: "best_tokens_per_param",
            about: "a given compute buys the lowest loss at this many tokens a parameter:",
            of: best_ratio,
            rises_with: None,
        },
    ],
    additive: Some(additive),
    refuse: refuse_flat,
};

fn loss(at: &[f64], run: &Input) -> f64 {
    at[0] + at[1] * run.params.powf(-at[3]) + at[2] * (6f64.sqrt() * run.tokens).powf(-at[3])
}

fn eta(at: &[f64]) -> f64 {
    0.5 * at[3]
}

/// Where a M^eta + b M^-eta is least: M = (b / a)^(1/alpha) / sqrt 6 tokens a parameter.
fn best_ratio(at: &[f64]) -> f64 {
    (at[2] / at[1]).powf(1.0 / at[3]) / 6f64.sqrt()
}

fn additive(at: &[f64]) -> Theta {
    [
        at[1].ln(),
        at[3],
        at[2].ln() - 0.5 * at[3] * 6f64.ln(),
        at[3],
        at[0].max(1e-11).ln(),
    ]
}

/// Exponents and shares of the lowest loss, with coefficients that meet the middle run.
fn starts(runs: &[(Input, f64)], held: &Held) -> Vec<Vec<f64>> {
    let lowest = runs
        .iter()
        .map(|(_, loss)| *loss)
        .fold(f64::INFINITY, f64::min);
    let middle = |of: fn(&Input) -> f64| {
        runs.iter().map(|(run, _)| of(run).ln()).sum::<f64>() / runs.len() as f64
    };
    let mean = runs.iter().map(|(_, loss)| loss).sum::<f64>() / runs.len() as f64;
    let (params, tokens) = (
        middle(|run| run.params),
        middle(|run| run.tokens) + 0.5 * 6f64.ln(),
    );
    let mut starts = Vec::new();
    for e in held.or(0, &[0.0, 0.4, 0.7, 0.9].map(|share| share * lowest)) {
        for alpha in held.or(3, &[0.1, 0.2, 0.3, 0.5, 0.8]) {
            let [of_params, of_tokens] = [params, tokens].map(|log| (-alpha * log).exp());
            let terms = [
                held.value(1).map(|a| a * of_params),
                held.value(2).map(|b| b * of_tokens),
            ];
            for share in [0.2, 0.5, 0.8] {
                let [a, b] = split(mean - e, share, terms);
                starts.push(vec![e, a / of_params, b / of_tokens, alpha]);
            }
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fit::curve::{Asked, study};
    use crate::analysis::fit::points::Point;
    use crate::stream::stream;

    fn point(params: f64, tokens: f64, loss: f64) -> Point {
        let point = Point::new("all".to_owned(), 6.0 * params * tokens, loss);
        Point {
            params: Some(params),
            tokens: Some(tokens),
            ..point
        }
    }

    /// The five runs on C4 to which Gadre et al. fit their law (params, tokens, loss), and what their own code gives for them:
    /// SciPy's `curve_fit` of `powlaw_ours` from its 128 starts.
    #[test]
    fn the_published_fit_is_found() {
        let runs = [
            (10_569_312.0, 211_386_240.0, 5.220_676_313_056_785),
            (10_569_312.0, 3_382_179_840.0, 4.506_403_529_656_214),
            (78_914_048.0, 1_578_280_960.0, 3.800_284_412_392_762),
            (153_677_376.0, 3_073_547_520.0, 3.432_645_749_910_577_6),
            (411_616_256.0, 8_232_325_120.0, 3.041_736_734_340_441_6),
        ];
        let points: Vec<Point> = runs.iter().map(|(n, d, l)| point(*n, *d, *l)).collect();
        let fit = study::fitted(&CURVE, points, &Asked::default(), 0).unwrap();
        for (found, published) in
            fit.at()
                .iter()
                .zip([1.508_260_53, 113.692_601_5, 189.515_517_6, 0.242_472_24])
        {
            assert!(
                (found / published - 1.0).abs() < 1e-5,
                "{found} against {published}"
            );
        }
        assert!(
            (2.0 * fit.end.objective - 0.000_414_118_939).abs() < 1e-10,
            "{}",
            fit.end.objective
        );
        // One degree of freedom is left: what it bounds is wide, and contains its estimate.
        let shape = study::study(&fit);
        for p in &shape.parameters {
            let bounds = p.interval.unwrap();
            assert!(
                bounds.low.is_none_or(|low| low <= p.value)
                    && bounds.high.is_none_or(|high| high >= p.value),
                "{p:?}"
            );
        }
        assert!(
            !shape.open().is_empty(),
            "five runs cannot bound four parameters: {:?}",
            shape.parameters
        );
    }

    /// C and M give back what N and D gave, and no other ratio does better at the same compute.
    #[test]
    fn it_is_a_law_of_compute_and_ratio() {
        let at = [1.5, 114.0, 190.0, 0.2425];
        let ratio = best_ratio(&at);
        let at_ratio = |m: f64, flops: f64| {
            let params = (flops / (6.0 * m)).sqrt();
            loss(&at, &Input::fresh(params, m * params))
        };
        for flops in [1e18, 1e21] {
            assert!(
                [0.5, 0.9, 1.1, 2.0]
                    .iter()
                    .all(|k| at_ratio(k * ratio, flops) > at_ratio(ratio, flops))
            );
            let reducible = |m: f64, flops: f64| at_ratio(m, flops) - at[0];
            for m in [5.0, 20.0, 640.0] {
                let slope = (reducible(m, 2.0 * flops) / reducible(m, flops)).ln() / 2f64.ln();
                assert!((slope + eta(&at)).abs() < 1e-12, "{slope}");
            }
        }
        let theta = additive(&at);
        let direct = theta[4].exp()
            + (theta[0] - theta[1] * 1e8f64.ln()).exp()
            + (theta[2] - theta[3] * 3e9f64.ln()).exp();
        assert!((direct - loss(&at, &Input::fresh(1e8, 3e9))).abs() < 1e-12);
    }

    /// Runs without luck: every interval is as good as a point, and holds it.
    #[test]
    fn runs_without_luck_are_told_exactly() {
        let points = simulated(0, 1, 0.0)
            .into_iter()
            .map(|p| {
                let run = Input::of(&p);
                Point {
                    loss: loss(&[1.5, 114.0, 190.0, 0.2425], &run),
                    ..p
                }
            })
            .collect();
        let shape = study::study(&study::fitted(&CURVE, points, &Asked::default(), 0).unwrap());
        assert!(shape.open().is_empty(), "{:?}", shape.parameters);
        for figure in &shape.figures {
            let bounds = figure.interval.unwrap();
            let (low, high) = (bounds.low.unwrap(), bounds.high.unwrap());
            assert!(
                low <= figure.value && figure.value <= high && high / low < 1.001,
                "{figure:?}"
            );
        }
    }

    fn simulated(seed: u64, repeats: u64, share: f64) -> Vec<Point> {
        let mut luck = stream("over-training-test", seed, 0);
        let mut points = Vec::new();
        for repeat in 0..repeats {
            let common = share * luck.normal();
            for params in [1e7, 4e7, 1.6e8, 6.4e8] {
                for m in [10.0, 40.0, 160.0] {
                    let truth = loss(
                        &[1.5, 114.0, 190.0, 0.2425],
                        &Input::fresh(params, m * params),
                    );
                    let noise = 0.01 * (common + (1.0 - share * share).sqrt() * luck.normal());
                    let repeat = (repeats > 1).then_some(repeat);
                    points.push(Point {
                        repeat,
                        ..point(params, m * params, truth + noise)
                    });
                }
            }
        }
        points
    }

    /// The share of simulated studies whose interval holds the truth: E, alpha, and the best ratio.
    fn coverage(studies: u64, repeats: u64, share: f64) -> [f64; 3] {
        let truth = [1.5, 0.2425, best_ratio(&[1.5, 114.0, 190.0, 0.2425])];
        let mut held = [0.0; 3];
        for seed in 0..studies {
            let fit = study::fitted(
                &CURVE,
                simulated(seed, repeats, share),
                &Asked::default(),
                0,
            )
            .unwrap();
            let ratio = |inner: &[f64]| best_ratio(&fit.outward(inner)).ln();
            let ratio = fit
                .bounds_of(&ratio)
                .map(|b| (b.low.map(f64::exp), b.high.map(f64::exp)));
            let of = |k: usize| fit.bounds(k).map(|b| (b.low, b.high));
            for (k, bounds) in [of(0), of(3), ratio].into_iter().enumerate() {
                let (low, high) = bounds.unwrap();
                let inside = low.is_none_or(|low| low <= truth[k])
                    && high.is_none_or(|high| high >= truth[k]);
                held[k] += f64::from(inside) / studies as f64;
            }
        }
        held
    }

    #[test]
    fn intervals_hold_the_truth() {
        let found = coverage(40, 1, 0.0);
        assert!(found.iter().all(|share| *share >= 0.85), "{found:?}");
    }

    #[test]
    #[ignore = "1000 studies a row: cargo test --release --no-default-features --lib over_training -- --ignored"]
    fn intervals_hold_the_truth_in_as_many_studies_as_they_say() {
        for (repeats, share) in [(1, 0.0), (3, 0.0), (5, 0.7)] {
            let found = coverage(1000, repeats, share);
            assert!(
                found.iter().all(|share| (0.925..=0.985).contains(share)),
                "{found:?}"
            );
        }
    }

    #[test]
    fn runs_that_cannot_tell_are_refused() {
        let refused = |points: Vec<Point>| {
            study::fitted(&CURVE, points, &Asked::default(), 0)
                .err()
                .unwrap()
        };
        let read_at = [1e7, 3e7, 1e8, 3e8, 1e9]
            .map(|n| point(n, 20.0 * n, 3.0))
            .to_vec();
        assert!(
            refused(read_at)
                .message
                .contains("20.000 tokens a parameter")
        );
        let one = [1e9, 2e9, 4e9, 8e9, 2e10]
            .map(|d| point(1e8, d, 3.0))
            .to_vec();
        assert!(refused(one).message.contains("all runs are of one size"));
        assert!(
            refused(simulated(1, 1, 0.0)[..3].to_vec())
                .message
                .contains("3 points for 4 free parameters")
        );
        let rising = simulated(1, 1, 0.0)
            .into_iter()
            .map(|p| Point {
                loss: 8.0 - p.loss,
                ..p
            })
            .collect();
        assert!(refused(rising).message.contains("the loss does not fall"));
        let flat = simulated(1, 1, 0.0)
            .into_iter()
            .map(|p| Point { loss: 3.0, ..p })
            .collect();
        assert!(refused(flat).message.contains("the loss does not fall"));
        assert!(
            refused(vec![Point::new("all".to_owned(), 1e18, 3.0); 5])
                .message
                .contains("needs `params`")
        );
    }
}
