//! `effbench validate`: whether result files are sound, and where not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::print::{Format, print, print_json};
use crate::error::{Error, Result};
use crate::record::copies::copies;
use crate::record::validate::validate;
use crate::record::{ResultFile, Status, folder, store};

/// Problems of one file shown to a person; a program gets them all.
const SHOWN: usize = 20;

/// Arguments of `effbench validate`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench validate results/
  effbench validate theirs.json --rerun 3     three of its trials again, at random: are these its losses?
  effbench validate served.json --rerun 1 --data text.txt --file SmolLM2-135M.gguf")]
pub struct ValidateArgs {
    /// Result files, or folders of them.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Run so many trials of each file again, chosen at random, and compare their losses.
    #[cfg(feature = "run")]
    #[arg(long, value_name = "N")]
    pub rerun: Option<usize>,
    /// Choose those trials by this number, as an earlier call printed it.
    #[cfg(feature = "run")]
    #[arg(long, value_name = "N", requires = "rerun")]
    pub seed: Option<u64>,
    /// The text that the trials were trained on, where it was one.
    #[cfg(feature = "run")]
    #[arg(long, value_name = "FILE", requires = "rerun")]
    pub data: Option<PathBuf>,
    /// A file that the trials name, or its folder: the weights that they begin with, a tokenizer. As often as needed.
    #[cfg(feature = "run")]
    #[arg(long, value_name = "PATH", requires = "rerun")]
    pub file: Vec<PathBuf>,
    /// How to say what was found.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What was found in one file.
struct Finding {
    name: String,
    file: Option<ResultFile>,
    problems: Vec<String>,
    hint: Option<String>,
}

/// Looks at every file, says what was found, and fails if one is not sound.
pub fn execute(args: &ValidateArgs) -> Result<()> {
    let mut findings = Vec::new();
    for path in &args.files {
        findings.extend(folder::results(path)?.iter().map(|path| look(path)));
    }
    match args.format {
        Format::Json => {
            print_json(&json!({ "files": findings.iter().map(document).collect::<Vec<_>>() }))?
        }
        Format::Text => print(&findings.iter().map(text).collect::<Vec<_>>().join("\n"))?,
    }
    let unsound = findings
        .iter()
        .filter(|finding| !finding.problems.is_empty())
        .count();
    if unsound > 0 {
        return Err(Error::input(format!(
            "{unsound} of {} files not valid",
            findings.len()
        )));
    }
    #[cfg(feature = "run")]
    if let Some(count) = args.rerun {
        return again::execute(args, count, &findings);
    }
    Ok(())
}

/// What running trials again says.
#[cfg(feature = "run")]
mod again {
    use super::{Finding, ValidateArgs};
    use crate::campaign::rerun::{Again, Here, Verdict, miscounted, rerun};
    use crate::cli::print::{Format, print, print_json};
    use crate::error::{Error, Kind, Result};
    use crate::measure::clock::utc_now;
    use crate::runner::{Interrupt, child};
    use crate::trial::Registry;
    use crate::unit::Nats;

    pub(super) fn execute(args: &ValidateArgs, count: usize, findings: &[Finding]) -> Result<()> {
        child::refuse_to_nest()?;
        let seed = args.seed.unwrap_or_else(unforeseen);
        let (interrupt, registry) = (Interrupt::on_signals()?, Registry::builtin());
        let text = args.format == Format::Text;
        if text {
            print(&format!("run again, chosen by --seed {seed}:"))?;
        }
        let here = Here {
            data: args.data.as_deref(),
            files: &args.file,
        };
        let (mut all, mut counts) = (Vec::new(), Vec::new());
        for finding in findings {
            let Some(file) = &finding.file else { continue };
            for said in miscounted(&registry, file, here) {
                if text {
                    print(&format!("{}: {said}", finding.name))?;
                }
                counts.push(said);
            }
            let mut said = Ok(());
            let mut each = |again: &Again| {
                if text && said.is_ok() {
                    said = print(&format!("{}: {}", finding.name, sentence(again)));
                }
            };
            let found = rerun(&registry, file, (count, seed), here, &interrupt, &mut each)
                .map_err(|error| Error {
                    message: format!("{}: {}", finding.name, error.message),
                    ..error
                })?;
            said?;
            all.extend(found);
        }
        if !text {
            print_json(&serde_json::json!({"seed": seed, "again": all, "miscounted": counts}))?;
        }
        let others = |verdict: Verdict| all.iter().filter(|again| again.verdict == verdict).count();
        match (
            others(Verdict::Other),
            others(Verdict::Failed),
            counts.len(),
        ) {
            (0, 0, 0) => {
                if text {
                    let of: usize = findings
                        .iter()
                        .filter_map(|f| Some(f.file.as_ref()?.trials.len()))
                        .sum();
                    print(&format!(
                        "{} of {of} trials were run again; of the others nothing says whether their losses were seen",
                        all.len()
                    ))?;
                }
                Ok(())
            }
            (other, failed, counts) => Err(Error {
                kind: Kind::Trials,
                message: format!(
                    "of {} trials run again {other} have another loss and {failed} did not end well; {counts} trials cost by their \
                     specs what the file does not say",
                    all.len()
                ),
                hint: None,
            }),
        }
    }

    /// A number that whoever wrote a file could not know.
    fn unforeseen() -> u64 {
        let said = format!("{} {}", utc_now(), std::process::id());
        let hash = blake3::hash(said.as_bytes());
        let digits = hash.as_bytes().iter().take(4);
        digits.fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn sentence(again: &Again) -> String {
        let Again {
            cell,
            repeat,
            then_nats,
            ..
        } = again;
        let off = again.now_nats.map(|now| Nats((now - then_nats).abs()));
        let off = off.map_or_else(String::new, |off| off.to_string());
        let what = match again.verdict {
            Verdict::Same => "the same to the bit".to_owned(),
            Verdict::Near => format!(
                "NOT the same bits: {off} nats off, within what its repeats differ by. Another type of processor or another build may do \
                 that, and so may a changed file"
            ),
            Verdict::Other => format!("{off} nats off, more than its repeats differ by"),
            Verdict::Unknown => format!(
                "{off} nats off; with one repeat, or repeats that are one computation, the file does not say how far a loss may be"
            ),
            Verdict::Failed => {
                let why = again.reason.as_deref().unwrap_or("it did not end well");
                return format!("{cell}, repeat {repeat}: {why}");
            }
        };
        format!("{cell}, repeat {repeat}, {then_nats:.4} nats: {what}")
    }
}

fn look(path: &Path) -> Finding {
    let name = path.display().to_string();
    match store::read(path) {
        Ok(file) => {
            let mut problems: Vec<String> =
                validate(&file).iter().map(ToString::to_string).collect();
            problems.extend(copies(&file));
            Finding {
                name,
                file: Some(file),
                problems,
                hint: None,
            }
        }
        Err(error) => {
            let message = error
                .message
                .strip_prefix(&format!("{name}: "))
                .unwrap_or(&error.message)
                .to_owned();
            Finding {
                name,
                file: None,
                problems: vec![message],
                hint: error.hint,
            }
        }
    }
}

fn document(finding: &Finding) -> Value {
    json!({
        "file": finding.name,
        "valid": finding.problems.is_empty(),
        "trials": finding.file.as_ref().map(|file| file.trials.len()),
        "problems": finding.problems,
        "hint": finding.hint,
    })
}

fn text(finding: &Finding) -> String {
    let Finding {
        name,
        file,
        problems,
        hint,
    } = finding;
    if let (Some(file), true) = (file, problems.is_empty()) {
        return format!("{name}: valid, {}, {}", file.schema, trials(file));
    }
    let mut lines: Vec<String> = problems
        .iter()
        .take(SHOWN)
        .map(|problem| format!("{name}: {problem}"))
        .collect();
    if problems.len() > SHOWN {
        lines.push(format!(
            "{name}: ... and {} more (--format json lists all)",
            problems.len() - SHOWN
        ));
    }
    lines.extend(hint.iter().map(|hint| format!("  hint: {hint}")));
    lines.join("\n")
}

/// `28 trials (27 ok, 1 diverged)`.
fn trials(file: &ResultFile) -> String {
    let mut counts: BTreeMap<Status, usize> = BTreeMap::new();
    for trial in &file.trials {
        *counts.entry(trial.status).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(status, count)| format!("{count} {}", status.words()))
        .collect();
    format!(
        "{} trials ({})",
        file.trials.len(),
        if counts.is_empty() {
            "none".to_owned()
        } else {
            counts.join(", ")
        }
    )
}
