//! L = E + A / N'^alpha + B / D'^beta, where repeated tokens and parameters beyond what the data can use count for less:
//! D' = U (1 + R_D* (1 - exp(-R_D / R_D*))) with U different tokens and R_D = D / U - 1 repeats, and N' = U_N (1 + R_N* (1 -
//! exp(-R_N / R_N*))) with U_N the lesser of N and the compute-optimal size for U tokens, R_N = N / U_N - 1.
//!
//! It is fitted as published, by Huber's loss of ln L with delta 1e-3. The paper first fits E, A, B, alpha and beta to runs that
//! repeat nothing and holds them (`--hold`), and then R_D* and R_N* to all runs; nothing held, all seven are fitted together.

use super::curve::formula::split;
use super::curve::{Curve, Figure, Held, Input, Residual, Slot, refuse_flat};
use super::form::{Form, Law};
use super::points::Variable;
use super::surface::Theta;

/// The law.
pub const LAW: Law = Law {
    name: "data-constrained",
    formula: "L = E + A/N'^alpha + B/D'^beta, D' = U (1 + R_D* (1 - exp(-R_D/R_D*))), R_D = D/U - 1; N' likewise with R_N*",
    about: "Loss where tokens are repeated: what epochs and surplus parameters are worth, by Huber's loss of ln L.",
    source: "Muennighoff et al. 2023, arXiv 2305.16264, eq. 5, 6 and appendix A",
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
            name: "A",
            log: true,
            low: 1e-12,
            high: 1e30,
        },
        Slot {
            name: "alpha",
            log: false,
            low: 1e-3,
            high: 4.0,
        },
        Slot {
            name: "B",
            log: true,
            low: 1e-12,
            high: 1e30,
        },
        Slot {
            name: "beta",
            log: false,
            low: 1e-3,
            high: 4.0,
        },
        Slot {
            name: "R_D*",
            log: true,
            low: 1e-2,
            high: 1e5,
        },
        Slot {
            name: "R_N*",
            log: true,
            low: 1e-2,
            high: 1e5,
        },
    ],
    needs: &[Variable::Params, Variable::Tokens, Variable::UniqueTokens],
    loss,
    residual: Residual::Log,
    delta: 1e-3,
    starts,
    figures: &[
        Figure {
            name: "most_worth",
            about: "however often it is repeated, a data set is worth at most this many times its size:",
            of: most_worth,
            rises_with: Some(5),
        },
        Figure {
            name: "half_worth_epochs",
            about: "a token seen again is worth half a fresh one after this many epochs:",
            of: half_worth,
            rises_with: Some(5),
        },
    ],
    additive: Some(additive),
    refuse,
};

/// What repeats beyond the first use are worth: 1 + r (1 - exp(-R / r)) uses.
fn worth(repeats: f64, star: f64) -> f64 {
    -star * (-repeats.max(0.0) / star).exp_m1() + 1.0
}

/// The compute-optimal number of parameters for so many fresh tokens: N = G (G D)^(beta/alpha), from Hoffmann's eq. 4.
fn optimal_params(at: &[f64], tokens: f64) -> f64 {
    let (a, alpha, b, beta) = (at[1], at[2], at[3], at[4]);
    let g = (alpha * a / (beta * b)).powf(1.0 / (alpha + beta));
    g * (g * tokens).powf(beta / alpha)
}

fn loss(at: &[f64], run: &Input) -> f64 {
    // Nothing can be seen more rarely than once.
    let unique = run.unique_tokens.min(run.tokens);
    let tokens = unique * worth(run.tokens / unique - 1.0, at[5]);
    let own = optimal_params(at, unique).min(run.params);
    let params = own * worth(run.params / own - 1.0, at[6]);
    at[0] + at[1] * params.powf(-at[2]) + at[3] * tokens.powf(-at[4])
}

fn most_worth(at: &[f64]) -> f64 {
    1.0 + at[5]
}

/// D' grows by exp(-R / R_D*) a token: half at R = R_D* ln 2.
fn half_worth(at: &[f64]) -> f64 {
    1.0 + at[5] * std::f64::consts::LN_2
}

fn additive(at: &[f64]) -> Theta {
    [at[1].ln(), at[2], at[3].ln(), at[4], at[0].max(1e-11).ln()]
}

fn refuse(runs: &[Input], free: &[usize]) -> Option<(String, &'static str)> {
    if let Some(run) = runs
        .iter()
        .find(|run| run.unique_tokens > 1.01 * run.tokens)
    {
        let message = format!(
            "a run sees {:.3e} different tokens among {:.3e}",
            run.unique_tokens, run.tokens
        );
        return Some((
            message,
            "unique_tokens is the size of the data, tokens what the run saw of it in all",
        ));
    }
    if runs.iter().all(|run| run.tokens < 1.01 * run.unique_tokens) {
        let message = "no run repeats its data, so what repeats are worth cannot be told";
        return Some((message.to_owned(), "--law chinchilla"));
    }
    refuse_flat(runs, free)
}

/// Chinchilla's exponents and shares of the lowest loss, with coefficients that meet the middle run; the paper's grid of R_D* and
/// R_N*, wider, and coarser where much else is free.
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
        middle(|run| run.unique_tokens.min(run.tokens)),
    );
    let stars = stars(held);
    let mut starts = Vec::new();
    for e in held.or(0, &[0.3, 0.6, 0.85].map(|share| share * lowest)) {
        for (alpha, beta) in exponents(held) {
            let (of_params, of_tokens) = ((-alpha * params).exp(), (-beta * tokens).exp());
            let terms = [
                held.value(1).map(|a| a * of_params),
                held.value(3).map(|b| b * of_tokens),
            ];
            for share in [0.3, 0.7] {
                let [a, b] = split(mean - e, share, terms);
                let place = |star: &[f64; 2]| {
                    vec![
                        e,
                        a / of_params,
                        alpha,
                        b / of_tokens,
                        beta,
                        star[0],
                        star[1],
                    ]
                };
                starts.extend(stars.iter().map(place));
            }
        }
    }
    starts
}

/// Both alike, but for one that is held.
fn exponents(held: &Held) -> Vec<(f64, f64)> {
    let pair = |each: &f64| {
        (
            held.value(2).unwrap_or(*each),
            held.value(4).unwrap_or(*each),
        )
    };
    [0.2, 0.35, 0.5].iter().map(pair).collect()
}

/// A grid where both are all that is free, else places on the ridge along which they go together.
fn stars(held: &Held) -> Vec<[f64; 2]> {
    let ridge = [
        [4.0, 2.0],
        [15.0, 5.0],
        [30.0, 3.0],
        [60.0, 2.0],
        [120.0, 1.5],
    ];
    if (0..5).any(|place| held.value(place).is_none()) {
        return ridge.to_vec();
    }
    let tried = [0.1, 0.5, 1.5, 4.0, 10.0, 25.0, 80.0, 500.0];
    let of_tokens = held.or(5, &tried);
    let of_params = held.or(6, &tried);
    let pairs = |data: &f64| {
        of_params
            .iter()
            .map(|size| [*data, *size])
            .collect::<Vec<_>>()
    };
    of_tokens.iter().flat_map(pairs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fit::curve::{Asked, study};
    use crate::analysis::fit::points::Point;
    use crate::stream::stream;

    /// The parameters of appendix A: exp(6.255414), exp(7.3049974), exp(0.6254804).
    const PUBLISHED: [f64; 7] = [
        1.869_143_68,
        520.824_951_7,
        0.352_659_6,
        1_487.716_093_8,
        0.352_659_6,
        15.387_756,
        5.309_743,
    ];

    fn at(params: f64, tokens: f64, unique_tokens: f64) -> f64 {
        loss(
            &PUBLISHED,
            &Input {
                params,
                tokens,
                unique_tokens,
                flops: 6.0 * params * tokens,
            },
        )
    }

    /// The paper's worked example: U = 1, R_D = 4 and R_D* = 3 make D' = 1 + 3 (1 - e^(-4/3)) = 3.21, and 3.99 at R_D = 100;
    /// its U_N = 0.051 U_D (eq. 17), and the sizes that its notebook prints for 0.1, 0.4 and 1.5 billion tokens.
    #[test]
    fn closed_forms_of_the_paper() {
        assert!(
            (worth(4.0, 3.0) - 3.209_208_6).abs() < 1e-6 && (worth(100.0, 3.0) - 4.0).abs() < 1e-9
        );
        assert_eq!(worth(0.0, 15.0), 1.0);
        for (tokens, params) in [
            (1e8, 5_098_651.8),
            (4e8, 20_394_607.1),
            (1.5e9, 76_479_776.5),
            (55e9, 2_804_258_471.0),
        ] {
            assert!(
                (optimal_params(&PUBLISHED, tokens) / params - 1.0).abs() < 1e-5,
                "{tokens}"
            );
        }
        // Fresh tokens and a size that they can use are Chinchilla's law; so are endless R*.
        let chinchilla = |n: f64, d: f64| {
            1.869_143_68
                + 520.824_951_7 * n.powf(-0.352_659_6)
                + 1_487.716_093_8 * d.powf(-0.352_659_6)
        };
        assert!((at(1e9, 55e9, 55e9) - chinchilla(1e9, 55e9)).abs() < 1e-12);
        let endless = [&PUBLISHED[..5], &[1e9, 1e9]].concat();
        let run = Input {
            params: 8e9,
            tokens: 40e9,
            unique_tokens: 1e9,
            flops: 0.0,
        };
        assert!((loss(&endless, &run) - chinchilla(8e9, 40e9)).abs() < 1e-6);
        // Epochs and parameters help less and less, and never hurt.
        let losses = [1.0, 2.0, 4.0, 16.0, 64.0, 1024.0].map(|epochs| at(3e8, 1e9 * epochs, 1e9));
        assert!(
            losses.windows(2).all(|pair| pair[1] < pair[0]),
            "{losses:?}"
        );
        assert!(
            (losses[5] - at(3e8, 1e14, 1e9)).abs() < 1e-6,
            "the worth of a set is bounded: {losses:?}"
        );
    }

    fn runs(noise: f64, seed: u64, epochs: &[f64]) -> Vec<Point> {
        let mut luck = stream("data-constrained-test", seed, 0);
        let mut points = Vec::new();
        for params in [3e7, 1.2e8, 5e8, 2e9] {
            for unique in [1e8, 1e9, 1e10] {
                for times in epochs {
                    let (tokens, seen) = (
                        unique * times,
                        at(params, unique * times, unique) * (noise * luck.normal()).exp(),
                    );
                    let point = Point::new("all".to_owned(), 6.0 * params * tokens, seen);
                    points.push(Point {
                        params: Some(params),
                        tokens: Some(tokens),
                        unique_tokens: Some(unique),
                        ..point
                    });
                }
            }
        }
        points
    }

    fn hold() -> Asked {
        let names = ["E", "A", "alpha", "B", "beta"];
        let hold = names
            .iter()
            .zip(PUBLISHED)
            .map(|(name, value)| ((*name).to_owned(), value))
            .collect();
        Asked {
            hold,
            ..Asked::default()
        }
    }

    #[test]
    fn the_law_that_made_the_runs_is_found() {
        let points = runs(0.0, 0, &[1.0, 3.0, 10.0, 40.0]);
        let two = study::fitted(&CURVE, points.clone(), &hold(), 0).unwrap();
        let all = study::fitted(&CURVE, points, &Asked::default(), 0).unwrap();
        for (k, truth) in PUBLISHED.iter().enumerate() {
            let (two, all) = (two.at()[k] / truth, all.at()[k] / truth);
            assert!(
                (two - 1.0).abs() < 1e-3 && (all - 1.0).abs() < 0.02,
                "{k}: {two} {all}"
            );
        }
        let shape = study::study(&two);
        assert!(
            shape.parameters[..5].iter().all(|p| p.held) && shape.r_squared.unwrap() > 0.999_99,
            "{shape:?}"
        );
    }

    /// Two to four epochs cannot tell how far repeats go: R_D* has no interval that means anything, and is said not to be
    /// identified; forty epochs can.
    #[test]
    fn few_epochs_do_not_identify_what_repeats_are_worth() {
        let told = |epochs: &[f64]| {
            let fit = study::fitted(&CURVE, runs(0.01, 3, epochs), &hold(), 0).unwrap();
            let shape = study::study(&fit);
            let star = shape.parameters[5].clone();
            let bounds = star.interval.unwrap();
            assert!(
                bounds.low.is_none_or(|low| low <= star.value)
                    && bounds.high.is_none_or(|high| high >= star.value)
            );
            star.identified
        };
        assert!(!told(&[1.0, 2.0]) && told(&[1.0, 4.0, 16.0, 64.0]));
    }

    #[test]
    fn runs_that_cannot_tell_are_refused() {
        let refused = |points: Vec<Point>| {
            study::fitted(&CURVE, points, &Asked::default(), 0)
                .err()
                .unwrap()
                .message
        };
        assert!(refused(runs(0.0, 0, &[1.0])).contains("no run repeats its data"));
        let mut wrong = runs(0.0, 0, &[1.0, 2.0]);
        wrong[0].unique_tokens = Some(1e12);
        assert!(refused(wrong).contains("different tokens among"));
        let mut lacking = runs(0.0, 0, &[1.0, 2.0]);
        lacking[3].unique_tokens = None;
        assert!(refused(lacking).contains("needs `unique_tokens`"));
    }
}
