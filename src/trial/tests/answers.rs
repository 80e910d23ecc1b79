//! Trained models that are asked: what is generated is what is counted and paid for, and samples are fair.

use super::*;
use crate::infer::{Generator, Sampling, answers};
use crate::ops::counted;
use crate::record::Answers;
use crate::record::validate::validate_trial;
use crate::stat::answers::pass_at_k;

fn asked(data: Value, context: usize, infer: Value) -> Prepared {
    let sets = json!({
        "model": {"layers": 1, "width": 16, "heads": 2, "context": context},
        "train": {"batch": 8, "steps": 3},
        "data": data,
        "infer": infer,
        "measure": {"window_s": 0.0},
    });
    prepared("gpt2", sets)
}

fn said(prepared: &Prepared) -> Answers {
    let trial = run(&Registry::builtin(), &job(prepared), &mut |_| {}).unwrap();
    let told = trial.metrics["answer_accuracy"].value.unwrap();
    let found = trial.answers.clone().unwrap();
    let greedy = found.greedy.iter().sum::<u64>() as f64 / found.greedy.len() as f64;
    assert!((told - greedy).abs() < 1e-12);
    let broken = validate_trial(&trial);
    let times = |problem: &&crate::record::validate::Problem| !problem.place.contains("started_at");
    assert_eq!(broken.iter().filter(times).count(), 0, "{broken:?}");
    found
}

#[test]
fn many_samples_at_temperature_0_change_nothing() {
    let infer = json!({"samples": 4, "problems": 50, "temperature": 0.0});
    let found = said(&asked(
        json!({"kind": "running-sum", "digits": 4}),
        10,
        infer,
    ));
    assert_eq!((found.problems(), found.thought_tokens), (50, 4));
    assert_eq!(found.generated_tokens, 50 * 5 * 5);
    for (greedy, right) in found.greedy.iter().zip(&found.right) {
        assert_eq!(4 * greedy, *right);
    }
    assert!(
        found
            .votes
            .unwrap()
            .iter()
            .all(|votes| votes.iter().max() == Some(&4))
    );
}

#[test]
fn the_formula_says_what_fresh_samples_find() {
    let data = json!({"kind": "running-sum", "digits": 4, "thoughts": "none"});
    let found = |samples: usize| {
        let infer = json!({"samples": samples, "temperature": 1.0});
        said(&asked(data.clone(), 6, infer))
    };
    let (many, few) = (found(32), found(4));
    let of = |c: &u64| pass_at_k(32, *c, 4).unwrap();
    let formula = many.right.iter().map(of).sum::<f64>() / 400.0;
    let fresh = few.right.iter().filter(|c| **c > 0).count() as f64 / 400.0;
    assert!(
        formula > 0.05 && (formula - fresh).abs() < 4.0 * 0.025,
        "{formula}, {fresh}"
    );
}

/// Of one problem: the prompt once, then every token that is fed for each of its samples.
#[test]
fn flops_of_a_problem_are_those_of_the_products() {
    let infer = json!({"samples": 3, "problems": 1});
    let prepared = asked(json!({"kind": "countdown"}), 11, infer);
    let found = said(&prepared);
    let experiment = &prepared.experiment;
    let opened = device::open("cpu").unwrap();
    let params = experiment.model.start(1, &opened.device).unwrap();
    let (weights, prompt) = (params.detached(), vec![vec![3, 4, 5, 17]]);
    let (said, made) = counted(|| {
        let device = (experiment.ops, &opened.device);
        let mut sampling = Sampling::new(1.0, 0, 1);
        answers(
            &experiment.model,
            &weights,
            device,
            &prompt,
            (3, 7),
            &mut sampling,
        )
    })
    .unwrap();
    let said = said.unwrap();
    assert_eq!((said.len(), said[0].len(), said[0][2].len()), (1, 3, 7));
    assert_eq!(made as f64, found.flops(3.0));
    let mut alone = Generator::new(
        &experiment.model,
        &weights,
        experiment.ops,
        &opened.device,
        1,
    );
    let (fed, made) = counted(|| alone.feed(&prompt[0])).unwrap();
    fed.unwrap();
    assert_eq!(made as f64, found.prompt_flops);
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let refusal = |sets: Value| {
        let mut tree = Library::builtin().variant("gpt2").unwrap().tree;
        tree.overlay(&Tree::from_json(&sets, &Origin::named("test")).unwrap());
        settle(&Registry::builtin(), &tree)
            .err()
            .unwrap()
            .to_string()
    };
    let found = refusal(json!({"infer": {"samples": 4}}));
    assert!(
        found.contains("no problems to ask") && found.contains("countdown"),
        "{found}"
    );
    let found = refusal(json!({"infer": {"problems": 4}}));
    assert!(found.contains("infer.samples does not say"), "{found}");
}
