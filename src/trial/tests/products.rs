//! Training with the factors of products rounded to bf16 (`compute.products`).

use super::*;

fn sets(compute: Value) -> Value {
    json!({
        "model": {"layers": 2, "width": 48, "heads": 4, "context": 24},
        "train": {"batch": 4, "steps": 60, "optimizer": {"lr": 0.01}},
        "data": {"kind": "markov", "states": 24},
        "compute": compute,
    })
}

/// The loss of each step.
fn losses(variant: &str, compute: Value, steps: usize) -> Vec<f64> {
    let experiment = prepared(variant, sets(compute)).experiment;
    let mut trainer = trainer(&experiment, 1);
    (0..steps as u64)
        .map(|step| trainer.step(&batch(&experiment, step)).unwrap().loss)
        .collect()
}

#[test]
fn rounded_products_train_as_products_of_f32_do_whatever_the_threads() {
    // A unit that is emulated takes a hundred times as long a step.
    let (steps, few) = match crate::ops::bf16_unit(refusal::now_s) {
        Ok(_) => (60, 5),
        Err(_) => (6, 2),
    };
    for variant in ["gpt2", "llama"] {
        let full = losses(variant, json!({}), steps);
        let rounded = losses(variant, json!({"products": "bf16"}), steps);
        assert_ne!(full, rounded);
        let mean =
            |losses: &[f64]| losses[steps - steps / 6..].iter().sum::<f64>() / (steps / 6) as f64;
        let (full, far) = (mean(&full), mean(&full) - mean(&rounded));
        assert!(
            (full < 3.0 || steps < 60) && far.abs() < 0.02 * full,
            "{variant}: {full}, {far}"
        );
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let [one, three] = [1, 3].map(|threads| {
            pool(threads)
                .unwrap()
                .install(|| losses(variant, json!({"products": "bf16"}), few))
        });
        assert_eq!(one, three);
        assert_eq!(one, rounded[..few]);
    }
}

#[test]
fn products_of_f32_are_what_a_spec_without_the_key_asks_for() {
    let of = |compute: Value| prepared("gpt2", sets(compute)).spec_sha256;
    assert_eq!(of(json!({})), of(json!({"products": "f32"})));
    assert_ne!(of(json!({})), of(json!({"products": "bf16"})));
}

#[test]
fn rounded_products_are_refused_where_nothing_rounds_them() {
    for compute in [json!({"ops": "reference"}), json!({"device": "cuda"})] {
        let mut compute = compute;
        compute["products"] = json!("bf16");
        let mut tree = Library::builtin().variant("gpt2").unwrap().tree;
        tree.overlay(&Tree::from_json(&sets(compute), &Origin::named("test")).unwrap());
        let error = settle(&Registry::builtin(), &tree).err().unwrap();
        assert!(
            error.message.contains("compute.products = \"bf16\""),
            "{}",
            error.message
        );
    }
}

#[test]
fn a_processor_without_a_unit_for_them_is_told_so() {
    let spec = prepared("gpt2", sets(json!({"products": "bf16"}))).spec;
    let refused = refusal::refuse_emulation(&spec);
    match crate::ops::bf16_unit(refusal::now_s) {
        Ok(_) => assert!(refused.is_ok()),
        Err(why) => {
            let error = refused.err().unwrap();
            assert!(error.message.ends_with(&why), "{}", error.message);
            assert!(error.hint.unwrap().contains("--set compute.products=f32"));
        }
    }
    let full = prepared("gpt2", sets(json!({}))).spec;
    assert!(refusal::refuse_emulation(&full).is_ok());
}
