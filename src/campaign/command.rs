//! The command that makes a campaign.

use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use super::options::{Against, Executor, Options, TEXT};
use crate::config::Gate;
use crate::error::quoted;
use crate::runner::Mode;

/// Options as they are typed, by what they decide.
struct Words {
    /// What runs.
    asked: Vec<String>,
    /// How it is told.
    told: Vec<String>,
    /// Where it runs and where its results go.
    placed: Vec<String>,
}

impl Options {
    /// The command that asks for this.
    pub fn command(&self) -> String {
        let Words {
            asked,
            told,
            placed,
        } = words(self, |name| name.to_owned());
        line([asked, told, placed].concat())
    }

    /// The command that goes on with this in `out`.
    pub fn resume_command(&self, out: &Path) -> String {
        if let Some(command) = &self.resume {
            return command.clone();
        }
        let executor = match &self.executor {
            Executor::Slurm { .. } => Executor::Slurm { collect: false },
            other => other.clone(),
        };
        let resumed = Self {
            executor,
            mode: Mode::Resume,
            out: Some(out.to_owned()),
            ..self.clone()
        };
        resumed.command()
    }

    /// Suite and options that choose what runs, quoted for a shell: what every part of a spread run has in common.
    pub(super) fn asked(&self) -> String {
        let mut asked = words(self, |name| name.to_owned()).asked;
        let folder = self.keep_weights.as_ref().map(|folder| {
            let absolute = std::path::absolute(folder);
            absolute.unwrap_or_else(|_| folder.clone())
        });
        let folder = folder.map(|folder| folder.display().to_string());
        asked.extend(flags([("--keep-weights", folder)]));
        shell(&asked)
    }

    /// The command that repeats this anywhere: paths become file names, that of data with the hash of what it held.
    pub(super) fn recorded(&self, data_hash: Option<&str>) -> String {
        let hash = data_hash.map(|hash| format!("#blake3:{}", &hash[..hash.len().min(16)]));
        let hash = hash.unwrap_or_default();
        let anywhere = Self {
            data: self.data.as_ref().map(|data| file_name(data) + &hash),
            ..self.clone()
        };
        line(words(&anywhere, file_name).asked)
    }
}

/// Every option, so that a new one cannot be forgotten; `name` writes what may be a path.
fn words(options: &Options, name: impl Fn(&str) -> String) -> Words {
    let Options {
        suite,
        device,
        variants,
        scales,
        repeats,
        data,
        set,
        rates,
        untuned,
        executor,
        out,
        keep_weights,
        pin,
        mode,
        format,
        // Of another command.
        resume: _,
        // Whoever types the command chooses the program by its first word.
        program: _,
    } = options;
    let named = |names: &[String]| names.iter().map(|v| name(v)).collect::<Vec<_>>().join(",");
    let path = |path: &PathBuf| name(&path.to_string_lossy());
    let set = set.iter().map(|set| {
        let (key, value) = set.split_once('=').unwrap_or((set, ""));
        ("--set", Some(format!("{key}={}", name(value))))
    });
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let mut asked = vec![name(suite)];
    asked.extend(flags([
        (
            "--device",
            some(device.clone()).filter(|device| device != "auto"),
        ),
        ("--variants", some(named(variants))),
        ("--scales", some(scales.join(","))),
        ("--repeats", repeats.map(|n| n.to_string())),
        ("--data", data.clone()),
    ]));
    asked.extend(flags(set));
    let against = executor.against();
    asked.extend(flags([
        ("--shard", executor.shard().map(|shard| shard.to_string())),
        ("--rates", rates.as_ref().map(path)),
        ("--against", against.map(|against| path(&against.binary))),
    ]));
    let confirm = against.is_some_and(|against| against.confirm);
    asked.extend(switches([("--untuned", *untuned), ("--confirm", confirm)]));
    Words {
        asked,
        told: told(against, format),
        placed: [
            placed(*mode, out.as_deref(), keep_weights.as_deref(), executor),
            flags([("--pin", pin.clone())]),
        ]
        .concat(),
    }
}

fn told(against: Option<&Against>, format: &str) -> Vec<String> {
    let gate = against.map(|against| against.gate);
    let gate = gate.filter(|gate| *gate != Gate::default());
    let format = Some(format).filter(|format| *format != TEXT);
    flags([
        ("--gate", gate.map(|gate| gate.word().to_owned())),
        ("--format", format.map(str::to_owned)),
    ])
}

fn placed(
    mode: Mode,
    out: Option<&Path>,
    keep_weights: Option<&Path>,
    executor: &Executor,
) -> Vec<String> {
    let path = |path: &Path| path.display().to_string();
    let (is_slurm, collect) = match executor {
        Executor::Slurm { collect } => (true, *collect),
        Executor::Local | Executor::Shard(_) | Executor::Against(_) => (false, false),
    };
    let mut placed = switches([
        ("--resume", mode == Mode::Resume),
        ("--fresh", mode == Mode::Fresh),
    ]);
    placed.extend(flags([
        ("--out", out.map(path)),
        ("--keep-weights", keep_weights.map(path)),
        ("--executor", is_slurm.then(|| "slurm".to_owned())),
    ]));
    placed.extend(switches([("--collect", collect)]));
    placed
}

/// The options that have a value, each before its value.
fn flags(given: impl IntoIterator<Item = (&'static str, Option<String>)>) -> Vec<String> {
    let given = given.into_iter();
    let pairs = given.filter_map(|(flag, value)| Some([flag.to_owned(), value?]));
    pairs.flatten().collect()
}

/// The switches that are on.
fn switches<const N: usize>(given: [(&str, bool); N]) -> Vec<String> {
    let on = given.into_iter().filter(|(_, on)| *on);
    on.map(|(switch, _)| switch.to_owned()).collect()
}

fn line(words: Vec<String>) -> String {
    format!("effbench run {}", shell(&words))
}

fn shell(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

/// The last part of a path; a name stays as it is.
fn file_name(text: &str) -> String {
    let is_path = text.contains(MAIN_SEPARATOR) && Path::new(text).exists();
    let last = Path::new(text)
        .file_name()
        .and_then(|name| name.to_str())
        .filter(|_| is_path);
    last.unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::Shard;

    fn against(gate: Gate) -> Executor {
        Executor::Against(Against {
            binary: "old build".into(),
            confirm: true,
            gate,
        })
    }

    #[test]
    fn a_command_says_all_that_was_asked() {
        let ci = || Options {
            suite: "ci".to_owned(),
            ..Options::default()
        };
        let out = |out: &str| Some(PathBuf::from(out));
        let rows = [
            (Options::default(), "effbench run quick"),
            (
                Options {
                    executor: against(Gate::Equivalent),
                    format: "json".to_owned(),
                    out: out("x.json"),
                    ..ci()
                },
                "effbench run ci --against 'old build' --confirm --gate equivalent --format json --out x.json",
            ),
            (
                Options {
                    executor: against(Gate::Regress),
                    mode: Mode::Fresh,
                    ..ci()
                },
                "effbench run ci --against 'old build' --confirm --fresh",
            ),
            (
                Options {
                    device: "cuda:1".to_owned(),
                    variants: vec!["gpt2".to_owned(), "my own.toml".to_owned()],
                    scales: vec!["w32".to_owned(), "w64".to_owned()],
                    repeats: Some(3),
                    data: Some("it's.txt".to_owned()),
                    set: vec!["train.clip=0".to_owned(), "a.b=c d".to_owned()],
                    rates: out("r.json"),
                    untuned: true,
                    executor: Executor::Shard(Shard::Part { part: 2, of: 3 }),
                    ..ci()
                },
                "effbench run ci --device cuda:1 --variants 'gpt2,my own.toml' --scales w32,w64 --repeats 3 \
                 --data 'it'\\''s.txt' --set train.clip=0 --set 'a.b=c d' --shard 2/3 --rates r.json --untuned",
            ),
            (
                Options {
                    executor: Executor::Slurm { collect: true },
                    out: out("x.json"),
                    keep_weights: out("kept"),
                    pin: Some("0-1".to_owned()),
                    ..ci()
                },
                "effbench run ci --out x.json --keep-weights kept --executor slurm --collect --pin 0-1",
            ),
        ];
        for (options, expected) in rows {
            assert_eq!(options.command(), expected);
        }
    }

    #[test]
    fn what_goes_on_with_it_asks_for_the_same() {
        let options = |executor| Options {
            executor,
            format: "json".to_owned(),
            mode: Mode::Fresh,
            ..Options::default()
        };
        let rows = [
            (
                against(Gate::Equivalent),
                "effbench run quick --against 'old build' --confirm --gate equivalent --format json --resume --out x.json",
            ),
            (
                Executor::Slurm { collect: true },
                "effbench run quick --format json --resume --out x.json --executor slurm",
            ),
        ];
        for (executor, expected) in rows {
            let options = options(executor);
            assert_eq!(options.resume_command(Path::new("x.json")), expected);
        }
    }
}
