//! The programs that run a campaign's trials, and which builds they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::options::Options;
use crate::error::{Error, Result, plain};
use crate::record::{Build, store};
use crate::runner::{Worker, build_info};

/// An effbench.
pub(super) struct Program {
    /// Its file; `None` for this very program.
    file: Option<PathBuf>,
    pub(super) build: Build,
}

/// What runs the trials: first this build, then the one it is held against, where there is one.
pub(super) fn programs(options: &Options) -> Result<Vec<Program>> {
    let own = match &options.program {
        Some(program) => ask_build("program", program)?,
        None => Program {
            file: None,
            build: build_info(),
        },
    };
    let mut programs = vec![own];
    if let Some(other) = options.executor.against() {
        programs.push(ask_build("--against", &other.binary)?);
    }
    Ok(programs)
}

impl Program {
    /// The program as it is started for a trial or a calibration.
    pub(super) fn worker(
        &self,
        args: &[&str],
        environment: &BTreeMap<String, String>,
    ) -> Result<Worker> {
        match &self.file {
            None => Worker::this_program(args, environment.clone()),
            Some(program) => Ok(Worker {
                program: program.clone(),
                args: args.iter().map(|&arg| arg.to_owned()).collect(),
                env: environment.clone().into_iter().collect(),
            }),
        }
    }

    /// Its file, to be copied.
    pub(super) fn file(&self) -> Result<PathBuf> {
        match &self.file {
            Some(file) => Ok(file.clone()),
            None => std::env::current_exe()
                .map_err(|e| Error::internal(format!("cannot find this program's file: {e}"))),
        }
    }
}

/// Which build another program is.
fn ask_build(option: &str, binary: &Path) -> Result<Program> {
    let refuse = |why: String| {
        Error::input(format!("{option} {}: {why}", binary.display())).hint(
            "give the program file of another build of effbench, one that knows --against itself",
        )
    };
    if store::read(binary).is_ok() {
        let shown = binary.display();
        return Err(Error::input(format!(
            "{option} {shown}: a result file, and no program that could run the other arm"
        ))
        .hint(format!(
            "`effbench compare {shown} NEW.json` holds a result against another; --against takes the program file of another build"
        )));
    }
    let program = std::path::absolute(binary).map_err(|error| refuse(plain(&error)))?;
    let output = Command::new(&program)
        .arg("build")
        .output()
        .map_err(|error| refuse(plain(&error)))?;
    let build = serde_json::from_slice(&output.stdout)
        .ok()
        .filter(|_| output.status.success());
    match build {
        Some(build) => Ok(Program {
            file: Some(program),
            build,
        }),
        None => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().find(|line| !line.trim().is_empty());
            let said = said.map_or_else(String::new, |said| format!(": {}", said.trim()));
            Err(refuse(format!(
                "it does not say which build it is; `{} build`, which should, ended with {}{said}",
                binary.display(),
                output.status
            )))
        }
    }
}
