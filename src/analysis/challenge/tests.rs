//! The rules of a challenge, on the committed file.

use super::*;
use crate::config::Library;
use crate::record::store::read_valid;

fn committed() -> ResultFile {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/results/zoo-epyc-19h-1c-linux.json"
    );
    read_valid(std::path::Path::new(path)).unwrap()
}

fn protocol(frontier: &ResultFile) -> Result<Protocol> {
    let suite = Library::builtin().suite("challenge").unwrap();
    Protocol::of(suite, frontier.clone())
}

/// The committed changes of suite zoo are challengers like any other, and worth what `effbench gain` says of them.
#[test]
fn what_was_committed_keeps_the_rules() {
    let file = committed();
    let entries = protocol(&file).unwrap().judge("zoo", &file).unwrap();
    let study = studies(&file, None, None, None).unwrap().remove(0);
    assert_eq!(entries.len(), 19);
    for entry in &entries {
        let same = |answer: &&Answer| {
            answer.variant == entry.variant && answer.budget == entry.answer.budget
        };
        let told = study.answers.iter().find(same).unwrap();
        assert_eq!(
            (entry.answer.headline(), entry.answer.n, entry.sweep_trials),
            (told.headline(), 4, 20)
        );
        assert!(entry.forecast.is_some(), "{}", entry.variant);
    }
}

/// The protocol trains and tunes as the suite did whose base it is held against.
#[test]
fn the_protocol_is_that_of_the_suite_it_is_held_against() {
    let library = Library::builtin();
    let overrides = crate::config::Overrides {
        variants: Some(vec!["gpt2+rope".to_owned()]),
        ..Default::default()
    };
    let cells = |suite: &str| {
        let suite = library.suite(suite).unwrap();
        let tune = suite.tune.clone();
        (
            suite.cells(&library, &overrides).unwrap(),
            tune,
            suite.repeats,
            suite.first_seed,
        )
    };
    let (zoo, challenge) = (cells("zoo"), cells("challenge"));
    assert_eq!(
        (zoo.1, zoo.2, zoo.3),
        (challenge.1, challenge.2, challenge.3)
    );
    assert_eq!(zoo.0.len(), challenge.0.len());
    for (a, b) in zoo.0.iter().zip(&challenge.0) {
        assert_eq!((&a.name, &a.rates), (&b.name, &b.rates));
        assert!(a.tree.same_values(&b.tree), "{}", a.name);
    }
}

#[test]
fn a_file_that_breaks_a_rule_is_refused() {
    type Spoil = fn(&mut ResultFile);
    let rows: [(&str, Spoil); 13] = [
        (
            "data.agreement is 0.5, and the protocol fixes 0.25",
            |file| set(file, false, "/data/agreement", 0.5.into()),
        ),
        ("data.held_out is \"validation\"", |file| {
            set(file, false, "/data/held_out", "validation".into())
        }),
        ("data.held_out is \"test\"", |file| {
            set(file, true, "/data/held_out", "test".into())
        }),
        ("train.batch is 16, and the protocol fixes 8", |file| {
            set(file, true, "/train/batch", 16.into())
        }),
        ("model.from is set, which would be training", |file| {
            set(file, false, "/model/from", "a.safetensors".into())
        }),
        ("1 of 4 repeats did not finish", |file| {
            first(file, false).status = Status::Diverged
        }),
        ("4 repeats, and the protocol has seeds 1 to 4", |file| {
            first(file, false).seed = 9
        }),
        (
            "10 trials chose its rates at w32@400, and the base's 10, on the same seeds",
            |file| first(file, true).seed = 1,
        ),
        ("the protocol has 400, 800, 1600 steps", |file| {
            first(file, false).budget = Some(3200)
        }),
        // A sweep of other rates, of fewer, and of another recipe; and a recipe for one length alone.
        ("seed 1001 tried rates of 0.006, 0.011, 0.012", |file| {
            let lr: f64 = 0.011;
            set(file, true, "/train/optimizer/lr", lr.into())
        }),
        (
            "and the protocol's multiples of the lowest are 0.0",
            |file| first(file, true).spec["train"]["optimizer"]["lr"] = 1e-4.into(),
        ),
        (
            "a challenger is one recipe at every length and in its sweep",
            |file| set(file, true, "/model/ffn/ratio", 2.0.into()),
        ),
        ("train.optimizer.weight_decay is 0.3, and 0", |file| {
            let last = file.trials.iter_mut().rfind(|t| !t.in_sweep()).unwrap();
            last.spec["train"]["optimizer"]["weight_decay"] = 0.3.into();
        }),
    ];
    let frontier = committed();
    let protocol = protocol(&frontier).unwrap();
    for (says, spoil) in rows {
        let mut file = frontier.clone();
        file.trials.retain(|trial| trial.variant == "gpt2+muon");
        spoil(&mut file);
        let refused = protocol.judge("mine", &file).unwrap_err();
        assert!(refused.message.contains(says), "{says}: {refused}");
        assert_eq!(refused.kind, Kind::NotComparable);
    }
}

fn first(file: &mut ResultFile, sweep: bool) -> &mut Trial {
    let mut trials = file.trials.iter_mut();
    trials.find(|trial| trial.in_sweep() == sweep).unwrap()
}

fn set(file: &mut ResultFile, sweep: bool, place: &str, value: Value) {
    let (table, key) = place.rsplit_once('/').unwrap();
    first(file, sweep).spec.pointer_mut(table).unwrap()[key] = value;
}

#[test]
fn a_frontier_without_the_base_is_none() {
    let mut file = committed();
    file.trials
        .retain(|trial| trial.variant != "gpt2" || trial.budget != Some(800) || trial.seed != 2);
    let refused = protocol(&file).unwrap_err();
    assert!(
        refused
            .message
            .contains("3 finished repeats of gpt2/w32@800 on the protocol's 4 seeds"),
        "{refused}"
    );
    let file = committed();
    let mut alone = file.clone();
    alone.trials.retain(|trial| trial.variant == "gpt2");
    let refused = protocol(&file).unwrap().judge("base.json", &alone);
    assert!(
        refused
            .unwrap_err()
            .message
            .contains("base.json: no challenger in it")
    );
}
