//! Tests of `library`.

use super::*;
use crate::config::{Overrides, RateSource};
use std::collections::{BTreeMap, BTreeSet};

/// Files in a fresh folder.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn every_file_in_models_is_compiled_in() {
    for (what, shelf) in [
        ("variants", VARIANTS),
        ("changes", CHANGES),
        ("rates", RATES),
        ("suites", SUITES),
        ("prices", PRICES),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("models")
            .join(what);
        let on_disk: BTreeSet<String> = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| {
                entry
                    .unwrap()
                    .path()
                    .file_stem()
                    .unwrap()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        let table = shelf
            .iter()
            .map(|shipped| shipped.name.to_owned())
            .collect();
        assert_eq!(
            on_disk, table,
            "add the file to the table at the top of src/config/library.rs"
        );
    }
}

#[test]
fn every_variant_is_a_difference_with_a_hypothesis() {
    let library = Library::builtin();
    let variants = library.variants().unwrap();
    for (k, variant) in variants.iter().enumerate() {
        assert!(
            variant.about.ends_with('.') && !variant.source.is_empty(),
            "{}",
            variant.name
        );
        assert!(
            variant.tree.get("train.optimizer.lr").is_some(),
            "{} has no learning rate",
            variant.name
        );
        match &variant.base {
            None => assert_eq!(variant.name, "gpt2", "all differ from gpt2 in the end"),
            Some(base) => {
                let listed = |name: &str| variants[..k].iter().any(|v| v.name == name);
                assert!(
                    listed(parts(base).0),
                    "{} stands before its base",
                    variant.name
                );
                let base = library.variant(base).unwrap();
                let composed = !parts(&base.name).1.is_empty();
                assert!(
                    composed || !variant.tree.same_values(&base.tree),
                    "{} is {} again",
                    variant.name,
                    base.name
                );
            }
        }
    }
}

/// What `llama` and `modern` say by hand is what their changes say.
#[test]
fn variants_compose() {
    let library = Library::builtin();
    let variant = |reference: &str| library.variant(reference).unwrap();
    let values = |reference: &str| {
        let tree = variant(reference).tree;
        let values = tree
            .iter()
            .map(|(key, entry)| (key.to_owned(), entry.value.clone()));
        values.collect::<BTreeMap<_, _>>()
    };
    let two = variant("gpt2+muon+rope");
    assert_eq!(
        (
            two.name.as_str(),
            two.base.as_deref(),
            two.own.iter().count()
        ),
        ("gpt2+rope+muon", Some("gpt2"), 8)
    );
    assert_eq!(name_of("gpt2+muon+rope"), two.name);
    assert!(!two.surfaces.is_empty() && two.surfaces != variant("gpt2").surfaces);
    assert_eq!(values("llama+muon"), values("modern"));
    let mut llama = values("gpt2+rope+swiglu+rmsnorm");
    llama.insert("model.bias".to_owned(), false.into());
    assert_eq!(llama, values("llama"));
    let place = |reference: &str| values(reference)["model.norm.place"].clone();
    assert_eq!(place("transformer-2017+rmsnorm"), "post");
    assert_eq!(place("transformer-2017+prenorm"), "pre");
    let all = library.compositions().unwrap();
    assert_eq!(all.len(), VARIANTS.len() + CHANGES.len());
    let names: Vec<&str> = CHANGES.iter().map(|shipped| shipped.name).collect();
    assert_eq!(names, super::super::names::CHANGES);
}

#[test]
fn changes_of_ones_own_compose_and_contradictions_are_refused() {
    let library = Library::builtin();
    let variant = |reference: &str| library.variant(reference).unwrap();
    let head = "about = \"x.\"\nsource = \"me\"\n";
    let own = folder(&[
        ("late.toml", &format!("{head}[train]\nclip = 0.5\n")),
        (
            "sines.toml",
            &format!("{head}[model]\nposition.kind = \"sinusoidal\"\n"),
        ),
        (
            "mine.toml",
            &format!("{head}base = \"gpt2+rope+late.toml\"\n"),
        ),
    ]);
    let path = |name: &str| own.path().join(name).to_string_lossy().into_owned();
    let composed = variant(&format!("gpt2+{}+rope", path("late.toml")));
    assert_eq!(composed.name, "gpt2+rope+late");
    let mine = variant(&path("mine.toml"));
    assert_eq!(mine.tree.get("train.clip").unwrap().value, 0.5);
    let check = |reference: &str, want: &str| {
        let found = library.variant(reference).unwrap_err().to_string();
        assert_eq!(found.replace(&path(""), ""), want);
    };
    check(
        "gpt2+rop",
        "unknown change `rop`\nhint: did you mean `rope`?",
    );
    check(
        "gtp2+rope",
        "unknown variant `gtp2`\nhint: did you mean `gpt2`?",
    );
    check(
        "gpt2+rope+rope",
        "gpt2+rope+rope: `rope` stands there twice",
    );
    check(
        "llama+rope",
        "llama+rope: `rope` changes nothing: llama has it already",
    );
    check(
        &format!("gpt2+rope+{}", path("sines.toml")),
        "gpt2+rope+sines: `rope` and `sines` both set model.position.kind",
    );
}

/// How long a suite takes is for `--dry-run` to say: it knows the machine.
#[test]
fn no_suite_promises_a_duration() {
    for suite in Library::builtin().suites().unwrap() {
        let about = suite.about.to_lowercase();
        for word in ["minute", "hour", "a night", "seconds", "cores"] {
            assert!(!about.contains(word), "{}: {about}", suite.name);
        }
    }
}

#[test]
fn every_suite_has_cells_and_every_shipped_rate_is_known_where_it_is_from() {
    let library = Library::builtin();
    for suite in library.suites().unwrap() {
        for cell in suite.cells(&library, &Overrides::default()).unwrap() {
            assert!(
                cell.tree.get("train.optimizer.lr").is_some(),
                "{} of {}",
                cell.name,
                suite.name
            );
            assert_ne!(cell.lr_source, RateSource::Set, "{}", cell.name);
        }
    }
}

#[test]
fn what_is_not_there_is_refused_with_what_is() {
    let library = Library::builtin();
    let variant = |name: &str| library.variant(name).unwrap_err().to_string();
    let suite = |name: &str| library.suite(name).unwrap_err().to_string();
    let data = |name: &str| library.data(name).unwrap_err().to_string();
    assert_eq!(
        variant("transformer-2017-rope"),
        "unknown variant `transformer-2017-rope`\nhint: did you mean `transformer-2017+rope`?"
    );
    assert_eq!(
        variant("rope"),
        "unknown variant `rope`\nhint: did you mean `gpt2+rope`?"
    );
    assert_eq!(
        variant("gtp2"),
        "unknown variant `gtp2`\nhint: did you mean `gpt2`?"
    );
    assert_eq!(
        suite("quik"),
        "unknown suite `quik`\nhint: did you mean `quick`?"
    );
    assert_eq!(
        suite("zzz"),
        "unknown suite `zzz`\nhint: there is: quick, ci, gain, gain-text, gain-night, frontier, frontier-small, frontier-text, ladder, isoflop, origin, origin-wide, zoo, challenge, mixers, precision, deepseek, skills, serve, serve-depth, think, reuse, lora, distill, scarce, mixture, throughput, nanogpt-char, tune-quick, transfer, gain-gpu, ladder-gpu, throughput-gpu"
    );
    assert!(
        variant("no/such.toml").starts_with("cannot read the variant no/such.toml: "),
        "{}",
        variant("no/such.toml")
    );
    assert!(
        variant("models/").starts_with("cannot read the variant models/: it is a folder"),
        "{}",
        variant("models/")
    );
    let folder = "./examples/challengers";
    let first = "hint: name a file in it, such as `./examples/challengers/deep.toml`";
    assert!(variant(folder).ends_with(first), "{}", variant(folder));
    let folder = "unknown variant `docs`\nhint: the folder of that name is `./docs/`";
    assert_eq!(variant("docs"), folder);
    let with_weights = folder_of_gguf();
    let found = variant(&with_weights.path().display().to_string());
    assert!(found.ends_with("model.gguf`"), "{found}");
    assert!(
        variant("a b.toml")
            .starts_with("a b.toml: the file's name becomes the variant's name\nhint: ")
    );
    for (given, meant) in [
        ("langauge", "did you mean `language`? there is: "),
        ("language/esy", "did you mean `language/easy`? there is: "),
        ("tinyshakespeare", "there is: "),
    ] {
        let refused = data(given);
        let start = format!("--data {given}: neither a data source nor a file\nhint: {meant}");
        assert!(refused.starts_with(&start), "{refused}");
        assert!(refused.ends_with("`effbench data list` names corpora to fetch"));
    }
}

#[test]
fn what_lies_beside_variants_is_called_what_it_is() {
    let library = Library::builtin();
    let variant = |name: &str| library.variant(name).unwrap_err().to_string();
    let here = variant(".");
    // Cargo.toml is there, and is no variant.
    assert_eq!(
        here,
        "cannot read the variant .: it is a folder, and none of a model, which has a config.json\n\
         hint: `effbench list variants` shows the names that need no file"
    );
    let fixture = "tests/fixtures/quick.json";
    for (file, hint) in [
        ("README.md", "`effbench list variants` shows"),
        ("results/README.md", "`effbench list variants` shows"),
        (
            fixture,
            "told by `effbench summary tests/fixtures/quick.json`",
        ),
    ] {
        let refused = variant(file);
        let start = format!(
            "{file}: the file is no variant, which is a model's .gguf or folder, or a .toml"
        );
        assert!(
            refused.starts_with(&start) && refused.contains(hint),
            "{refused}"
        );
    }
}

/// What `--set` makes of a model that exists is told, the same number in other words is not.
#[test]
fn what_a_models_file_says_is_not_changed_in_silence() {
    use crate::config::{Overrides, parse_set};
    let told = |set: &str| {
        let overrides = Overrides {
            variants: Some(vec![
                "tests/fixtures/checkpoints/llama3/model.gguf".to_owned(),
            ]),
            sets: vec![parse_set(set).unwrap()],
            ..Overrides::default()
        };
        overrides.over_models(&Library::builtin()).unwrap()
    };
    let own = Library::builtin();
    let own = own
        .variant("tests/fixtures/checkpoints/llama3/model.gguf")
        .unwrap();
    let layers = own.own.get("model.layers").unwrap().value.clone();
    assert!(told(&format!("model.layers={layers}")).is_empty());
    assert!(told("model.context=32").is_empty());
    assert_eq!(told("model.layers=77").len(), 1);
}

fn folder_of_gguf() -> tempfile::TempDir {
    folder(&[("model.gguf", "")])
}

/// Variants that are well, and variants that are not.
fn variants_of_ones_own() -> tempfile::TempDir {
    let head = "about = \"x.\"\nsource = \"me\"\n";
    let folder = folder(&[
        (
            "mine.toml",
            &format!("{head}base = \"deeper.toml\"\n[model]\nposition.kind = \"none\"\n"),
        ),
        (
            "deeper.toml",
            &format!("{head}base = \"llama\"\n[train]\nclip = 0.5\n"),
        ),
        ("lost.toml", &format!("{head}base = \"lama\"\n")),
        ("round.toml", &format!("{head}base = \"trip.toml\"\n")),
        ("trip.toml", &format!("{head}base = \"./round.toml\"\n")),
        ("field.toml", &format!("{head}modle.width = 3\n")),
        ("bare.toml", "[model]\nwidth = 16\n"),
        (
            "tuned.toml",
            &format!("{head}[[tuned]]\ndata = \"text\"\nscale = \"64\"\n"),
        ),
        ("broken.toml", &format!("{head}[model]\nwidth = \n")),
    ]);
    std::fs::write(folder.path().join("binary.toml"), b"\xff\xfe\x00").unwrap();
    folder
}

#[test]
fn a_path_does_wherever_a_name_does_and_its_errors_have_lines() {
    let folder = variants_of_ones_own();
    let library = Library::builtin();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();

    let mine = library.variant(&path("mine.toml")).unwrap();
    assert_eq!(
        (mine.name.as_str(), mine.base.as_deref()),
        ("mine", Some("deeper"))
    );
    let value = |key| mine.tree.get(key).unwrap().value.clone();
    assert_eq!(value("model.position.kind"), "none");
    assert_eq!(value("train.clip"), 0.5);
    assert_eq!(value("model.norm.kind"), "rmsnorm");
    assert_eq!(mine.own.iter().count(), 1);

    let check = |name: &str, want: &str| {
        let found = library.variant(&path(name)).unwrap_err().to_string();
        assert_eq!(found.replace(&path(""), ""), want);
    };
    check(
        "lost.toml",
        "lost.toml:3: unknown variant `lama`\nhint: did you mean `llama`?",
    );
    check(
        "round.toml",
        "trip.toml:3: base = \"./round.toml\": bases go round in a circle: round -> trip -> round\nhint: the last base \
         has none of its own",
    );
    check(
        "field.toml",
        "field.toml:3: unknown field `modle`\nhint: did you mean `model`?",
    );
    check(
        "tuned.toml",
        "tuned.toml:5: tuned.scale = \"64\": expected a width\nhint: for example \"w32\"",
    );
    check(
        "broken.toml",
        "broken.toml:4: not valid TOML: string values must be quoted, expected literal string\nhint: fields are \
         `name = value`, strings stand in quotes, tables open with `[name]`",
    );
    let over = format!("gpt2+{}", path("mine.toml"));
    let refused = library.variant(&over).unwrap_err();
    assert!(
        refused
            .message
            .ends_with("a change is laid over any variant and has no base of its own"),
        "{refused}"
    );
    // A private experiment needs neither a hypothesis nor a source.
    let bare = library.variant(&path("bare.toml")).unwrap();
    assert_eq!(
        (bare.about.as_str(), bare.source.as_str()),
        ("Changes model.width.", "bare.toml")
    );
    assert!(
        library
            .variant(&path("binary.toml"))
            .unwrap_err()
            .message
            .contains("begins like UTF-16")
    );
}
