//! Weights in and out: what a trial has learnt, in a file, and a model that starts with it.

use super::*;

fn tree(extra: Value) -> Tree {
    let sets = json!({
        "model": {"width": 16, "heads": 2, "layers": 2, "context": 12},
        "train": {"batch": 2, "steps": 3},
        "data": {"kind": "markov", "states": 11, "validation_tokens": 480},
        "measure": {"window_s": 0.01},
    });
    let mut tree = Library::builtin().variant("gpt2+mtp").unwrap().tree;
    for layer in [sets, extra] {
        tree.overlay(&Tree::from_json(&layer, &Origin::named("test")).unwrap());
    }
    tree
}

fn from(path: &std::path::Path, extra: Value) -> Result<Prepared> {
    let mut tree = tree(extra);
    tree.set("model.from", json!(path), Origin::named("test"));
    settle(&Registry::builtin(), &tree)
}

/// A trial's weights, in a file of that folder.
fn kept(folder: &std::path::Path, seed: u64) -> std::path::PathBuf {
    let prepared = settle(&Registry::builtin(), &tree(json!({}))).unwrap();
    let path = folder.join("deep").join(format!("{seed}.safetensors"));
    let mut job = Job {
        keep_weights: Some(path.clone()),
        ..job(&prepared)
    };
    job.trial.seed = seed;
    let trial = run(&Registry::builtin(), &job, &mut |_| {}).unwrap();
    assert_eq!(trial.status, Status::Ok);
    path
}

#[test]
fn what_is_kept_comes_back_to_the_bit_and_is_a_part_of_the_spec() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (kept(folder.path(), 1), kept(folder.path(), 2));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let usual = folder.path().join("usual");
        std::fs::write(&usual, "").unwrap();
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&first), mode(&usual), "as the umask has it");
    }
    // Trained here by the same seed.
    let experiment = settle(&Registry::builtin(), &tree(json!({})))
        .unwrap()
        .experiment;
    let mut trained = trainer(&experiment, 1);
    for step in 0..3 {
        let context = experiment.model.shape.context;
        trained
            .step(&experiment.source.train(1, step, experiment.batch, context))
            .unwrap();
    }
    let given = from(&first, json!({})).unwrap();
    let started = given.experiment.model.start(9, &Device::Cpu).unwrap();
    let fresh = crate::model::Params::init(experiment.model.decls(), 9, &Device::Cpu).unwrap();
    let decls = experiment.model.decls();
    assert!(decls.iter().any(|decl| !decl.serves) && decls.iter().any(|decl| decl.serves));
    for (k, decl) in decls.iter().enumerate() {
        let numbers = |params: &crate::model::Params| -> Vec<u32> {
            let values = values(&params.vars()[k]);
            values.into_iter().map(f32::to_bits).collect()
        };
        // The head that is gone when a model is served starts anew.
        let want = if decl.serves {
            trained.params()
        } else {
            &fresh
        };
        assert!(numbers(&started) == numbers(want), "{}", decl.name);
    }
    let other = from(&second, json!({})).unwrap();
    assert_ne!(
        given.spec_sha256, other.spec_sha256,
        "other weights, another cell"
    );
    assert_eq!(
        given.spec["model"]["from"], "1.safetensors",
        "no path of this machine"
    );
    assert_eq!(given.paths["model.from"], first);
    let again = settle(
        &Registry::builtin(),
        &settle::tree_of(&given.spec, &given.paths).unwrap(),
    );
    assert_eq!(again.unwrap().spec_sha256, given.spec_sha256);
}

#[test]
fn a_file_that_does_not_fit_is_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = kept(folder.path(), 1);
    let check = |path: &std::path::Path, extra: Value, want: &[&str]| {
        let error = from(path, extra).err().unwrap();
        assert!(error.hint.is_some(), "{error}");
        let message = error.to_string();
        for want in want {
            assert!(message.contains(want), "{message}\nhas no\n{want}");
        }
    };
    check(
        &path,
        json!({"model": {"width": 32}}),
        &["`embedding.tokens` is [11, 16] there, and [11, 32] in this model"],
    );
    check(
        &path,
        json!({"model": {"layers": 3}}),
        &["it has no `blocks.02.mixer_norm.gain`; of its"],
    );
    check(
        &path,
        json!({"model": {"layers": 1}}),
        &["it has `blocks.01.ffn.down`, which this model has not"],
    );
    check(
        &path,
        json!({"model": {"from_blake3": "00"}}),
        &["model.from_blake3", "the contents of the file are others"],
    );
    check(
        &folder.path().join("none"),
        json!({}),
        &["it cannot be read"],
    );
    let broken = folder.path().join("broken");
    for bytes in [&b""[..], b"abc", &[255; 64], &[0; 64]] {
        std::fs::write(&broken, bytes).unwrap();
        check(&broken, json!({}), &["it is no safetensors file"]);
    }
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&broken, &whole[..whole.len() - 4]).unwrap();
    check(&broken, json!({}), &["it is no safetensors file"]);
}

#[test]
fn weights_that_cannot_be_kept_fail_the_trial() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    let prepared = settle(&Registry::builtin(), &tree(json!({}))).unwrap();
    let job = Job {
        keep_weights: Some(file.join("w.safetensors")),
        ..job(&prepared)
    };
    let message = run(&Registry::builtin(), &job, &mut |_| {})
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("the weights cannot be kept in"),
        "{message}"
    );
}

#[test]
fn a_frozen_parameter_stays_as_it_was_given_without_gradient_or_state() {
    let folder = tempfile::tempdir().unwrap();
    let path = kept(folder.path(), 1);
    let all = from(&path, json!({})).unwrap();
    let part = from(
        &path,
        json!({"train": {"freeze": ["embedding", "blocks.00"]}}),
    )
    .unwrap();
    let decls = part.experiment.model.decls();
    let frozen: u64 = decls
        .iter()
        .filter(|d| !d.trains)
        .map(crate::model::Decl::count)
        .sum();
    // Gradients and AdamW's two moments, 4 bytes each.
    assert_eq!(all.cost.state_bytes - part.cost.state_bytes, 3 * 4 * frozen);
    assert!(part.cost.optimizer_flops < all.cost.optimizer_flops);
    assert!(part.cost.train_flops < all.cost.train_flops);
    assert_eq!(
        part.cost.forward_flops_per_token,
        all.cost.forward_flops_per_token
    );
    let mut trainer = trainer(&part.experiment, 1);
    let before: Vec<Vec<f32>> = trainer.params().vars().iter().map(|v| values(v)).collect();
    trainer.step(&batch(&part.experiment, 0)).unwrap();
    for ((decl, var), before) in decls.iter().zip(trainer.params().vars()).zip(before) {
        assert_eq!(values(var) != before, decl.trains, "{}", decl.name);
    }
    for (names, want) in [
        (json!(["embeding"]), "no parameter is called `embeding`"),
        (json!(["*"]), "it leaves nothing to train"),
        (json!([3]), "expected a list of strings"),
    ] {
        let message = from(&path, json!({"train": {"freeze": names}}))
            .err()
            .unwrap()
            .to_string();
        assert!(message.contains(want), "{message}");
    }
}
