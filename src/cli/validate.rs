//! `effbench validate`: whether result files are sound, and where not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::print::{Format, print, print_json};
use crate::error::{Error, Result};
use crate::record::validate::validate;
use crate::record::{ResultFile, Status, folder, store};

/// Problems of one file shown to a person; a program gets them all.
const SHOWN: usize = 20;

/// Arguments of `effbench validate`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example:
  effbench validate results/")]
pub struct ValidateArgs {
    /// Result files, or folders of them.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
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
    if unsound == 0 {
        return Ok(());
    }
    Err(Error::input(format!(
        "{unsound} of {} files not valid",
        findings.len()
    )))
}

fn look(path: &Path) -> Finding {
    let name = path.display().to_string();
    match store::read(path) {
        Ok(file) => {
            let problems = validate(&file).iter().map(ToString::to_string).collect();
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
