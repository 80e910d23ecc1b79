//! What can be asked for by name: the variants and suites compiled in, the data sources, and files of one's own, whose
//! path does wherever a name does.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::names::{is_path, join_path, name_of};
use super::price::Price;
use super::suite::Suite;
use super::tree::{Origin, Tree};
use super::variant::Variant;
use crate::error::{Error, Result};

macro_rules! shipped {
    ($folder:literal: $($name:literal)*) => {
        &[$(Shipped {
            name: $name,
            file: concat!("models/", $folder, "/", $name, ".toml"),
            text: include_str!(concat!("../../models/", $folder, "/", $name, ".toml")),
        }),*]
    };
}

/// In the order of reading: each after its base.
const VARIANTS: &[Shipped] = shipped!("variants":
    "gpt2" "gpt2-rope" "gpt2-rmsnorm" "gpt2-swiglu" "llama" "gpt2-muon" "modern"
    "gpt2-rope-swiglu" "gpt2-rope-muon" "gpt2-swiglu-muon" "gpt2-rope-swiglu-muon"
    "transformer-2017" "transformer-2017-prenorm" "transformer-2017-rope" "transformer-2017-cosine" "gpt2-standard");

const SUITES: &[Shipped] = shipped!("suites":
    "quick" "ci" "gain" "gain-text" "gain-night" "frontier" "frontier-small" "frontier-text" "ladder" "isoflop" "origin"
    "throughput" "nanogpt-char" "tune-quick" "transfer" "gain-gpu" "ladder-gpu" "throughput-gpu");

const PRICES: &[Shipped] = shipped!("prices": "default");

/// Data sources and presets that `--data` knows by name.
const DATA: &[&str] = &[
    "language",
    "language/easy",
    "language/rich",
    "markov",
    "mqar",
    "uniform",
];

/// A file compiled in.
struct Shipped {
    name: &'static str,
    file: &'static str,
    text: &'static str,
}

/// All that has a name, and a reader for paths.
#[derive(Debug, Clone)]
pub struct Library {
    data: Vec<String>,
}

/// A file as it was found.
struct Found {
    name: String,
    /// For messages.
    file: String,
    text: Cow<'static, str>,
    folder: PathBuf,
    /// The same for the same file, however it was named.
    identity: PathBuf,
}

impl Library {
    /// What ships with the program.
    pub fn builtin() -> Self {
        Self {
            data: DATA.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// With one more data source that `--data` knows.
    #[must_use]
    pub fn with_data(mut self, name: &str) -> Self {
        self.data.push(name.to_owned());
        self
    }

    /// A variant by name or path, its bases laid below it.
    pub fn variant(&self, reference: &str) -> Result<Variant> {
        let found = find("variant", VARIANTS, reference)?;
        let chain = vec![(found.identity.clone(), found.name.clone())];
        based(found, chain)
    }

    /// A suite by name or path.
    pub fn suite(&self, reference: &str) -> Result<Suite> {
        let found = find("suite", SUITES, reference)?;
        Suite::parse(found.name, &found.file, &found.text, &found.folder)
    }

    /// All variants that ship, each after its base.
    pub fn variants(&self) -> Result<Vec<Variant>> {
        VARIANTS
            .iter()
            .map(|shipped| self.variant(shipped.name))
            .collect()
    }

    /// All suites that ship.
    pub fn suites(&self) -> Result<Vec<Suite>> {
        SUITES
            .iter()
            .map(|shipped| self.suite(shipped.name))
            .collect()
    }

    /// Prices by name or path; what a file leaves out is taken from those that ship as `default`.
    pub fn price(&self, reference: &str) -> Result<Price> {
        let shipped = find("price", PRICES, "default")?;
        let shipped = Price::parse(shipped.name, &shipped.file, &shipped.text, None)?;
        if reference == "default" {
            return Ok(shipped);
        }
        let found = find("price", PRICES, reference)?;
        Price::parse(found.name, &found.file, &found.text, Some(&shipped))
    }

    /// All prices that ship.
    pub fn prices(&self) -> Result<Vec<Price>> {
        PRICES
            .iter()
            .map(|shipped| self.price(shipped.name))
            .collect()
    }

    /// The spec keys that `--data NAME|PATH` means.
    pub fn data(&self, text: &str) -> Result<Tree> {
        let origin = Origin::named("--data");
        let mut tree = Tree::default();
        let mut insert =
            |key: &str, value: &str| tree.insert(key, Value::from(value), origin.clone());
        let (kind, preset) = text
            .split_once('/')
            .map_or((text, None), |(kind, preset)| (kind, Some(preset)));
        if self.data.iter().any(|name| name == text) {
            insert("data.kind", kind);
            preset
                .into_iter()
                .for_each(|preset| insert("data.preset", preset));
        } else {
            let meant_as_name = preset.is_none() || self.data.iter().any(|name| name == kind);
            if meant_as_name && !Path::new(text).exists() {
                let message = format!("--data {text}: neither a data source nor a file");
                return Err(
                    Error::input(message).suggest(text, self.data.iter().map(String::as_str))
                );
            }
            insert("data.kind", "text");
            insert("data.path", text);
        }
        Ok(tree)
    }
}

/// Lays a variant over its bases; `chain` is what led here.
fn based(found: Found, mut chain: Vec<(PathBuf, String)>) -> Result<Variant> {
    let (mut variant, base) = Variant::parse(found.name, &found.file, &found.text)?;
    let Some((reference, origin)) = base else {
        return Ok(variant);
    };
    let base = find("variant", VARIANTS, &join_path(&found.folder, &reference))
        .map_err(|error| origin.blame(error))?;
    let seen = chain.iter().any(|(identity, _)| *identity == base.identity);
    chain.push((base.identity.clone(), base.name.clone()));
    if seen {
        let names: Vec<&str> = chain.iter().map(|(_, name)| name.as_str()).collect();
        let message = format!(
            "{origin}: base = \"{reference}\": bases go round in a circle: {}",
            names.join(" -> ")
        );
        return Err(Error::input(message).hint("the last base has none of its own"));
    }
    let base = based(base, chain)?;
    variant.tree = base.tree;
    variant.tree.overlay(&variant.own);
    variant.base = Some(base.name);
    Ok(variant)
}

fn find(what: &str, shelf: &[Shipped], reference: &str) -> Result<Found> {
    if !is_path(reference) {
        let names = shelf.iter().map(|shipped| shipped.name);
        let unknown =
            || Error::input(format!("unknown {what} `{reference}`")).suggest(reference, names);
        let shipped = shelf
            .iter()
            .find(|shipped| shipped.name == reference)
            .ok_or_else(unknown)?;
        return Ok(Found {
            name: shipped.name.to_owned(),
            file: shipped.file.to_owned(),
            text: Cow::Borrowed(shipped.text),
            folder: PathBuf::new(),
            identity: PathBuf::from(shipped.name),
        });
    }
    let name = name_of(reference);
    if name.is_empty()
        || !name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    {
        return Err(Error::input(format!(
            "{reference}: the file's name becomes the {what}'s name"
        ))
        .hint("letters, digits, `-`, `_` and `.` will do"));
    }
    let unreadable = |error: std::io::Error| {
        Error::input(format!("cannot read the {what} {reference}: {error}")).hint(format!(
            "`effbench list {what}s` shows the names that need no file"
        ))
    };
    let path = Path::new(reference);
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    Ok(Found {
        name,
        file: reference.to_owned(),
        text: Cow::Owned(text),
        folder: path.parent().unwrap_or(Path::new("")).to_owned(),
        identity: path.canonicalize().map_err(unreadable)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, RateSource};
    use std::collections::BTreeSet;

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
                "add the file to the table at the top of src/spec/library.rs"
            );
        }
    }

    #[test]
    fn every_variant_is_a_difference_with_a_hypothesis() {
        let library = Library::builtin();
        let variants = library.variants().unwrap();
        for (k, variant) in variants.iter().enumerate() {
            assert!(
                variant.own.iter().next().is_some(),
                "{} changes nothing",
                variant.name
            );
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
                    let base = variants[..k]
                        .iter()
                        .find(|v| v.name == *base)
                        .expect("listed after its base");
                    let gained = variant
                        .own
                        .iter()
                        .filter(|(key, e)| base.tree.get(key).is_none_or(|b| b.value != e.value));
                    assert!(
                        gained.count() > 0,
                        "{} is {} again",
                        variant.name,
                        base.name
                    );
                }
            }
        }
        let llama = library.variant("llama").unwrap();
        for step in ["gpt2-rope", "gpt2-rmsnorm", "gpt2-swiglu"] {
            for (key, entry) in library.variant(step).unwrap().own.iter() {
                assert_eq!(
                    llama.own.get(key).map(|e| &e.value),
                    Some(&entry.value),
                    "{step} is a step of llama"
                );
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
            variant("gtp2"),
            "unknown variant `gtp2`\nhint: did you mean `gpt2`?"
        );
        assert_eq!(
            suite("quik"),
            "unknown suite `quik`\nhint: did you mean `quick`?"
        );
        assert_eq!(
            suite("zzz"),
            "unknown suite `zzz`\nhint: there is: quick, ci, gain, gain-text, gain-night, frontier, frontier-small, frontier-text, ladder, isoflop, origin, throughput, nanogpt-char, tune-quick, transfer, gain-gpu, ladder-gpu, throughput-gpu"
        );
        assert!(
            variant("no/such.toml").starts_with("cannot read the variant no/such.toml: "),
            "{}",
            variant("no/such.toml")
        );
        assert!(
            variant("models/").starts_with("cannot read the variant models/: "),
            "{}",
            variant("models/")
        );
        assert!(
            variant("a b.toml")
                .starts_with("a b.toml: the file's name becomes the variant's name\nhint: ")
        );
        assert_eq!(
            data("langauge"),
            "--data langauge: neither a data source nor a file\nhint: did you mean `language`?"
        );
        assert_eq!(
            data("language/esy"),
            "--data language/esy: neither a data source nor a file\nhint: did you mean `language/easy`?"
        );
    }

    #[test]
    fn a_path_does_wherever_a_name_does_and_its_errors_have_lines() {
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
            ("bare.toml", "source = \"me\"\n"),
            (
                "tuned.toml",
                &format!("{head}[[tuned]]\ndata = \"text\"\nscale = \"64\"\n"),
            ),
            ("broken.toml", &format!("{head}[model]\nwidth = \n")),
        ]);
        std::fs::write(folder.path().join("binary.toml"), b"\xff\xfe\x00").unwrap();
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
        check("bare.toml", "bare.toml: `about` is missing");
        check(
            "tuned.toml",
            "tuned.toml:5: tuned.scale = \"64\": expected a width\nhint: for example \"w32\"",
        );
        check(
            "broken.toml",
            "broken.toml:4: not valid TOML: string values must be quoted, expected literal string\nhint: fields are \
             `name = value`, strings stand in quotes, tables open with `[name]`",
        );
        assert!(
            library
                .variant(&path("binary.toml"))
                .unwrap_err()
                .message
                .contains("valid UTF-8")
        );
    }
}
