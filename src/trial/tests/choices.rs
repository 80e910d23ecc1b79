//! Multiple choice by likelihood, on a checkpoint's random weights: scored by hand from its logits, whatever the order, and at chance.

use std::path::Path;

use super::*;
use crate::model::Weights;
use crate::record::Choices;
use crate::record::metric as name;
use crate::stream::stream;

/// As many characters as the checkpoint has tokens.
fn letter(id: u64) -> char {
    char::from(b' ' + id as u8)
}

/// A text with all of them, so that characters are its tokens.
fn text(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("text.txt");
    let all: String = (0..64).map(letter).collect();
    std::fs::write(&path, all.repeat(8)).unwrap();
    path
}

type Asked = (String, Vec<String>, usize);

/// Random questions of random lengths, each with so many answers.
fn questions(n: u64, choices: u64) -> Vec<Asked> {
    let mut stream = stream("test/choices", 3, 0);
    let mut word = |most: usize| -> String {
        let length = 1 + stream.below(most);
        let letters = (0..length).map(|_| letter(1 + stream.below(63) as u64));
        letters.collect()
    };
    let one = |k: u64| {
        let answers = (0..choices).map(|_| word(6)).collect();
        (word(9), answers, (k % choices) as usize)
    };
    (0..n).map(one).collect()
}

fn asked(folder: &Path, questions: &[Asked]) -> (Experiment, Trial) {
    let lines = questions.iter().map(|(context, choices, gold)| {
        json!({"context": context, "choices": choices, "gold": gold}).to_string()
    });
    let path = folder.join("choices.jsonl");
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let sets = json!({
        "model": {"context": 16},
        "train": {"steps": 0, "batch": 4},
        "data": {
            "kind": "text", "path": text(folder), "tokenizer": "char", "val_fraction": 1.0, "held_out": "all", "choices": path,
        },
        "measure": {"window_s": 0.01},
    });
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints/llama3");
    let mut tree = Library::builtin()
        .variant(model.to_str().unwrap())
        .unwrap()
        .tree;
    tree.overlay(&Tree::from_json(&sets, &Origin::named("test")).unwrap());
    let prepared = settle(&Registry::builtin(), &tree).unwrap();
    let trial = run(&Registry::builtin(), &job(&prepared), &mut |_| {}).unwrap();
    assert_eq!(trial.spec["data"]["choices"], json!("choices.jsonl"));
    (prepared.experiment, trial)
}

/// The log-likelihood of an answer's characters behind its question, from the logits of both.
fn by_hand(experiment: &Experiment, weights: &Weights, context: &str, answer: &str) -> f64 {
    let ids: Vec<u32> = format!("{context} {answer}")
        .bytes()
        .map(|byte| u32::from(byte - b' '))
        .collect();
    let seen = &ids[..ids.len() - 1];
    let tensor = Tensor::from_slice(seen, seen.len(), &Device::Cpu).unwrap();
    let logits = experiment
        .model
        .logits(weights, &tensor, 1, seen.len(), experiment.ops);
    let logits = logits.unwrap().to_vec2::<f32>().unwrap();
    (context.len()..ids.len())
        .map(|at| {
            let row = &logits[at - 1];
            let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
            f64::from(row[ids[at] as usize]) - sum.ln()
        })
        .sum()
}

fn first(scores: &[f64]) -> usize {
    let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    scores.iter().position(|score| *score == best).unwrap()
}

#[test]
fn the_likeliest_answer_is_chosen_whatever_the_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = questions(12, 3);
    let (experiment, trial) = asked(folder.path(), &all);
    let params = experiment.model.start(1, &Device::Cpu).unwrap();
    let weights = params.detached();
    let (mut right, mut right_norm) = (0.0, 0.0);
    for (context, answers, gold) in &all {
        let nats = answers
            .iter()
            .map(|answer| by_hand(&experiment, &weights, context, answer));
        let nats: Vec<f64> = nats.collect();
        let by_character = nats.iter().zip(answers);
        let by_character = by_character.map(|(nats, answer)| nats / answer.len() as f64);
        right += f64::from(u8::from(first(&nats) == *gold));
        right_norm += f64::from(u8::from(first(&by_character.collect::<Vec<_>>()) == *gold));
    }
    let found = trial.choices.clone().unwrap();
    let expected = Choices {
        questions: 12,
        right,
        right_norm,
        chance: found.chance,
        ties: 0,
        cut: 0,
    };
    assert_eq!(found, expected);
    assert!((found.chance - 1.0 / 3.0).abs() < 1e-12);
    assert!(right > 0.0 && right < 12.0, "{found:?}");
    let metric = &trial.metrics[name::CHOICE_ACCURACY];
    assert_eq!((metric.value, metric.n), (Some(right / 12.0), Some(12)));
    for (_, answers, gold) in &mut all {
        answers.rotate_left(1);
        *gold = (*gold + 2) % 3;
    }
    let (_, turned) = asked(folder.path(), &all);
    assert_eq!(turned.choices, Some(expected));
}

/// Random weights know nothing, answers that are the same are tied, and what is too long is cut and counted.
#[test]
fn random_weights_are_at_chance_and_ties_are_shared() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = questions(150, 4);
    let (_, trial) = asked(folder.path(), &all);
    let found = trial.choices.unwrap();
    // Four standard errors.
    for right in [found.right, found.right_norm] {
        let share = right / 150.0;
        assert!(
            (share - 0.25).abs() < 4.0 * (0.25 * 0.75 / 150.0_f64).sqrt(),
            "{found:?}"
        );
    }
    all.truncate(6);
    for (context, answers, _) in &mut all {
        *context = context.repeat(40);
        *answers = vec![answers[0].clone(); 4];
    }
    let (_, trial) = asked(folder.path(), &all);
    let found = trial.choices.unwrap();
    assert_eq!((found.ties, found.cut, found.right), (6, 6, 6.0 * 0.25));
}
