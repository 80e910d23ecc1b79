//! Tests of `cells`.

use super::*;
use crate::config::parse_set;

fn quick() -> (Library, Suite) {
    let library = Library::builtin();
    let suite = library.suite("quick").unwrap();
    (library, suite)
}

fn overrides(variants: &str, scales: &str, sets: &[&str], data: &str) -> Overrides {
    let list = |text: &str| {
        Some(text.split(',').map(str::to_owned).collect()).filter(|_| !text.is_empty())
    };
    Overrides {
        own_rates: false,
        variants: list(variants),
        scales: list(scales),
        sets: sets.iter().map(|text| parse_set(text).unwrap()).collect(),
        data: Some(data.to_owned()).filter(|data| !data.is_empty()),
    }
}

const QUICK: &str = "gpt2/w32@400 gpt2/w32@800 gpt2/w32@1600 gpt2/w48@400 gpt2/w48@800 gpt2/w48@1600 gpt2/w64@240 gpt2/w64@480 \
                     llama/w32@800 modern/w32@400 modern/w32@800";

/// A suite, `--variants`, `--scales`, `--set`, and the cells that it has then.
const NAMED: [(&str, &str, &str, &[&str], &str); 15] = [
    ("quick", "", "", &[], QUICK),
    (
        "throughput",
        "",
        "",
        &[],
        "gpt2/s gpt2/m gpt2/v llama/s llama/m llama/v",
    ),
    ("nanogpt-char", "", "", &[], "gpt2/cpu"),
    (
        "ci",
        "",
        "",
        &[],
        "gpt2/w32@150 gpt2/w32@300 gpt2/w32@600 llama/w32@300",
    ),
    ("quick", "modern", "", &[], "modern/w32@400 modern/w32@800"),
    (
        "tune-quick",
        "gpt2,llama",
        "w64",
        &["train.optimizer.lr=1"],
        "gpt2/w64@240 llama/w64@240",
    ),
    (
        "quick",
        "",
        "w96",
        &[],
        "gpt2/w96@400 gpt2/w96@800 gpt2/w96@1600 llama/w96@800 modern/w96@400 modern/w96@800",
    ),
    ("quick", "", "w64", &[], "gpt2/w64@240 gpt2/w64@480"),
    (
        "quick",
        "modern",
        "w32,w96",
        &[],
        "modern/w32@400 modern/w32@800 modern/w96@400 modern/w96@800",
    ),
    ("throughput", "llama", "s,w64", &[], "llama/s llama/w64"),
    (
        "quick",
        "",
        "",
        &["train.steps=100"],
        "gpt2/w32@100 gpt2/w48@100 gpt2/w64@100 llama/w32@100 modern/w32@100",
    ),
    ("quick", "llama", "", &["model.width=16"], "llama/w16@800"),
    ("quick", "llama", "", &["train.tokens=1e5"], "llama/w32"),
    (
        "tune-quick",
        "modern",
        "w32",
        &["train.steps=400"],
        "modern/w32@400~0.004 modern/w32@400~0.008 modern/w32@400~0.016 modern/w32@400~0.032 \
         modern/w32@400~0.064",
    ),
    (
        "tune-quick",
        "modern",
        "",
        &["train.optimizer.lr=1"],
        "modern/w32@120 modern/w32@400 modern/w32@1600 modern/w64@240",
    ),
];

#[test]
fn cells_are_named_by_what_is_in_them() {
    let library = Library::builtin();
    let check = |suite: &str, over: Overrides, want: &str| {
        let suite = library.suite(suite).unwrap();
        let cells = suite.cells(&library, &over).unwrap();
        let names: Vec<String> = cells.into_iter().map(|cell| cell.name).collect();
        assert_eq!(names.join(" "), want);
    };
    for (suite, variants, scales, sets, want) in NAMED {
        check(suite, overrides(variants, scales, sets, ""), want);
    }
    let base: Vec<String> = QUICK
        .split(' ')
        .take(8)
        .map(|name| name.replace("gpt2", "gpt2+rope"))
        .collect();
    check(
        "quick",
        overrides("gpt2+rope", "", &[], ""),
        &base.join(" "),
    );
}

/// A suite, `--variants`, `--set`, `--data`, keys of the first cell, and how the words about its rate begin.
type Laid = (
    &'static str,
    [&'static str; 2],
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
    &'static str,
);

const LAID: [Laid; 10] = [
    (
        "quick",
        ["llama", ""],
        &[],
        &[
            ("model.width", "32"),
            ("train.steps", "800"),
            ("train.batch", "8"),
            ("data.preset", "\"easy\""),
        ],
        "",
    ),
    (
        "quick",
        ["llama", ""],
        &["train.batch=8", "train.batch=4"],
        &[("train.batch", "4")],
        "",
    ),
    (
        "quick",
        ["llama", ""],
        &["train.optimizer.lr=1"],
        &[(LR, "1")],
        "--set",
    ),
    (
        "throughput",
        ["llama", ""],
        &[],
        &[(LR, "0.001"), ("train.schedule.final", "nothing")],
        "suite throughput",
    ),
    (
        "throughput",
        ["llama", ""],
        &["train.optimizer.kind=sgd"],
        &[(LR, "nothing")],
        "untuned default",
    ),
    ("tune-quick", ["llama", ""], &[], &[(LR, "0.004")], "grid"),
    (
        "quick",
        ["", "language/rich"],
        &[],
        &[("data.preset", "\"rich\"")],
        "",
    ),
    (
        "quick",
        ["", "src/lib.rs"],
        &[],
        &[
            ("data.kind", "\"text\""),
            ("data.path", "\"src/lib.rs\""),
            ("data.preset", "nothing"),
        ],
        "",
    ),
    (
        "nanogpt-char",
        ["", "src/lib.rs"],
        &[],
        &[
            ("data.tokenizer", "\"char\""),
            ("data.path", "\"src/lib.rs\""),
            ("train.steps", "2000"),
        ],
        "suite nanogpt-char",
    ),
    (
        "quick",
        ["", "mqar"],
        &["data.kind=markov"],
        &[("data.kind", "\"markov\"")],
        "untuned default",
    ),
];

#[test]
fn layers_lie_in_order_and_the_rate_says_where_it_is_from() {
    let library = Library::builtin();
    for (suite, [variants, data], sets, keys, source) in LAID {
        let suite = library.suite(suite).unwrap();
        let over = overrides(variants, "", sets, data);
        let cells = suite.cells(&library, &over).unwrap();
        for (key, want) in keys {
            let entry = cells[0].tree.get(key);
            let found = entry.map_or("nothing".to_owned(), |entry| entry.value.to_string());
            assert_eq!(found, *want, "{key}");
        }
        let said = cells[0].lr_source.to_string();
        assert!(said.starts_with(source), "{said} is not {source}");
    }
}

#[test]
fn the_answer_names_the_data_it_is_about() {
    let (library, suite) = quick();
    let check = |data: &str, want: &str| {
        let cells = suite
            .cells(&library, &overrides("", "", &[], data))
            .unwrap();
        assert_eq!(suite.data_words(&cells[0].tree), want);
    };
    check("", "synthetic language");
    check("language/rich", "synthetic language");
    check("mqar", "data `mqar`");
    check("src/lib.rs", "lib.rs");
}

#[test]
fn a_tuned_row_is_used_at_its_cell_and_called_near_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    let text = "about = \"x.\"\nsource = \"me\"\nbase = \"gpt2\"\nmodel.bias = false\ntuned = [{ data = \"language/easy\", \
                scale = \"w32\", steps = 800, lr = 0.008, from = \"sweep.json\" }]\n";
    std::fs::write(&path, text).unwrap();
    let (library, suite) = quick();
    let check = |sets: &[&str], name: &str, lr: f64, source: &str| {
        let cells = suite
            .cells(&library, &overrides(path.to_str().unwrap(), "", sets, ""))
            .unwrap();
        let cell = cells.iter().find(|cell| cell.name == name).unwrap();
        assert_eq!(
            (
                cell.tree.get(LR).unwrap().value.as_f64(),
                cell.lr_source.to_string()
            ),
            (Some(lr), source.to_owned())
        );
    };
    let near = "nearest tuned row (w32@800), sweep.json";
    check(&[], "mine/w32@800", 0.008, "tuned: sweep.json");
    check(
        &["measure.window_s=1"],
        "mine/w32@800",
        0.008,
        "tuned: sweep.json",
    );
    check(
        &["train.batch=8"],
        "mine/w32@800",
        0.008,
        "tuned: sweep.json",
    );
    check(&["train.batch=32"], "mine/w32@800", 0.008, near);
    check(&[], "mine/w32@400", 0.008, near);
    check(&["train.optimizer.lr=0.5"], "mine/w32@800", 0.5, "--set");
    check(
        &["data.kind=markov"],
        "mine/w32@800",
        0.003,
        "untuned default",
    );
    assert_eq!(
        library
            .variant("gpt2")
            .unwrap()
            .cell(Some("w32"), &[])
            .unwrap()
            .name,
        "gpt2/w32"
    );
}

#[test]
fn what_cannot_be_run_is_refused() {
    let (library, suite) = quick();
    let check = |variants: &str, scales: &str, want: &str| {
        let found = suite
            .cells(&library, &overrides(variants, scales, &[], ""))
            .unwrap_err();
        assert_eq!(found.to_string(), want);
    };
    check(
        "lama",
        "",
        "--variants: unknown variant `lama`\nhint: did you mean `llama`?",
    );
    check(
        "",
        "64",
        "`64` is no scale\nhint: a scale is the model's width: w64",
    );
    check(
        "gpt2,models/variants/gpt2.toml",
        "",
        "two variants are named `gpt2`, one of them models/variants/gpt2.toml\nhint: a variant is named by its file: \
         rename one",
    );
    let none = Overrides {
        own_rates: false,
        variants: Some(Vec::new()),
        ..Overrides::default()
    };
    assert!(
        suite
            .cells(&library, &none)
            .unwrap_err()
            .message
            .ends_with("no cell left to run")
    );
}

/// Optimizers whose rates are of other sizes get as many rates each, around their own.
#[test]
fn a_sweep_can_try_multiples_of_each_variants_own_rate() {
    let library = Library::builtin();
    let suite = library.suite("zoo").unwrap();
    let cells = suite
        .cells(&library, &overrides("gpt2,gpt2+lion", "", &[], ""))
        .unwrap();
    let rates = |variant: &str| {
        let cell = cells.iter().find(|cell| cell.variant == variant);
        cell.unwrap().rates.clone()
    };
    assert_eq!(rates("gpt2"), [0.003, 0.006, 0.012, 0.024, 0.048]);
    assert_eq!(rates("gpt2+lion"), [6e-4, 1.2e-3, 2.4e-3, 4.8e-3, 9.6e-3]);

    let variant = Variant {
        tree: Tree::default(),
        ..library.variant("gpt2").unwrap()
    };
    let error = suite.tune.unwrap().tried.rates(&variant).unwrap_err();
    assert_eq!(
        error.message,
        "variant `gpt2` says no train.optimizer.lr for `times` to multiply"
    );
}

#[test]
fn parents_stand_before_their_children_whatever_is_chosen() {
    let library = Library::builtin();
    let check = |suite: &str, over: Overrides, want: &str| {
        let suite = library.suite(suite).unwrap();
        let cells = suite.cells(&library, &over).unwrap();
        let said = |cell: &Cell| {
            let needs = cell.parent.iter().chain(&cell.teacher);
            let needs: Vec<&str> = needs.map(String::as_str).collect();
            format!("{}<{}", cell.name, needs.join(","))
        };
        let all: Vec<String> = cells.iter().map(said).collect();
        assert!(all.join(" ").contains(want), "{all:?}");
        // What others need is never swept: it is trained before any sweep.
        let lent = cells.iter().find(|cell| cell.name == "gpt2:first/same@800");
        assert!(lent.is_none_or(|cell| cell.rates.is_empty()));
    };
    let first = "gpt2:first/same@800< gpt2:meaningless/chain@800< gpt2:scratch/same@120<";
    check("reuse", overrides("", "", &[], ""), first);
    let tuned = "gpt2:first/same@800< gpt2:tuned/same@120<gpt2:first/same@800";
    check("reuse", overrides("gpt2:tuned", "", &[], ""), tuned);
    // A parent stands where it stands, whatever scales are listed; a change of a stage's own is one more variant of it.
    let half = "gpt2:first/same@800< gpt2:tuned/half@120<gpt2:first/same@800";
    check("reuse", overrides("gpt2:tuned", "half", &[], ""), half);
    let low_rank = "gpt2:first/same@800< gpt2:tuned+lora/half@120<gpt2:first/same@800";
    let asked = overrides("gpt2:tuned+lora", "half", &[], "");
    check("reuse", asked, low_rank);
    let taught = "gpt2:teacher/w48@1600< gpt2:of-w48/w32@120<gpt2:teacher/w48@1600";
    check("distill", overrides("gpt2:of-w48", "", &[], ""), taught);
    // Names are those of what ends up in a cell, its parents' too.
    let shorter = "gpt2:teacher/w48@7< gpt2:of-w48/w32@7<gpt2:teacher/w48@7";
    let sets = overrides("gpt2:of-w48", "", &["train.steps=7"], "");
    check("distill", sets, shorter);
}

#[test]
fn what_a_shape_sets_is_not_set_otherwise() {
    let library = Library::builtin();
    let cells = |suite: &str, sets: &[&str]| {
        let suite = library.suite(suite).unwrap();
        suite.cells(&library, &overrides("", "", sets, ""))
    };
    let refused = cells("serve-depth", &["infer.depth=50"])
        .unwrap_err()
        .to_string();
    for part in [
        "--set infer.depth=50: shape `depth-0` of suite serve-depth",
        "--scales batch-2,batch-8,batch-32",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    assert!(cells("serve-depth", &["infer.generate=50"]).is_ok());
}
