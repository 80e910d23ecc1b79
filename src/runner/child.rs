//! The child's end of the pipe: a job comes in as one line of JSON, events go out as one line each.

use std::io::{self, BufRead, Write};

use serde::Serialize;

use crate::device::STACK_BYTES;
use crate::error::{Error, Result};
use crate::record::At;
use crate::trial::{self, Event, Job, Registry};

/// Set for a child that is its parent's own program.
pub const CHILD: &str = "EFFBENCH_CHILD";

/// Does what this process is there for, if a run has started it: one trial, or one calibration. `None` where nobody has: the
/// program goes on with its own business. To be called first in the `main` of a program that runs campaigns.
pub fn serve(registry: &Registry) -> Option<Result<()>> {
    std::env::var_os(CHILD)?;
    let mut words = std::env::args().skip(1);
    match (words.next().as_deref(), words.next()) {
        (Some("trial"), None) => Some(trial(registry)),
        (Some("calibrate"), Some(device)) => Some(calibrate(registry, &device)),
        _ => None,
    }
}

/// A program that does not [`serve`] would run everything in each of its own children, without end.
pub fn refuse_to_nest() -> Result<()> {
    match std::env::var_os(CHILD) {
        None => Ok(()),
        Some(_) => Err(Error::internal(
            "this process was started for one trial, and is no place for a whole run",
        )
        .hint("begin `main` with `effbench::campaign::serve`, or name a `program`")),
    }
}

/// Runs the job on standard input and says how it goes, one event a line.
pub fn trial(registry: &Registry) -> Result<()> {
    let (job, mut parent) = (receive()?, Parent::alone()?);
    inside_the_pool(|| {
        let mut lost = None;
        let mut emit = |event: Event| {
            if let Err(error) = parent.say(&event) {
                lost.get_or_insert(error);
            }
        };
        let trial = trial::run(registry, &job, &mut emit)?;
        emit(Event::Done {
            trial: Box::new(trial),
        });
        lost.map_or(Ok(()), Err)
    })
}

/// Measures a device's peaks and prints them.
pub fn calibrate(registry: &Registry, device: &str) -> Result<()> {
    let mut parent = Parent::alone()?;
    let calibration =
        inside_the_pool(|| trial::calibrate::calibrate(registry, device, 0, At::Before))?;
    parent.say(&calibration)
}

/// Runs `body` on one of rayon's own threads: from outside the pool, every parallel region would first be handed over to it,
/// which costs more than the small operations of a small model.
fn inside_the_pool<T: Send>(body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let pool = rayon::ThreadPoolBuilder::new()
        .stack_size(STACK_BYTES)
        .build_global();
    pool.map_err(|error| Error::internal(format!("cannot start threads: {error}")))?;
    rayon::scope(|_| body())
}

/// The job that the parent wrote to standard input.
///
/// On Linux the kernel kills the child when its parent dies. Elsewhere a thread watches standard input, which the parent
/// holds open as long as it lives, and ends this process when it closes.
pub fn receive() -> Result<Job> {
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Error::internal(format!("cannot read a job: {error}")))?;
    #[cfg(not(target_os = "linux"))]
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        std::process::abort();
    });
    serde_json::from_str(&line)
        .map_err(|error| Error::input(format!("standard input is not a job: {error}")))
        .map_err(|error| {
            error.hint("this command is for effbench itself; `effbench run` starts it")
        })
}

/// The way to the parent, which this process alone knows: what a driver or a library prints on standard output goes to standard
/// error from now on, and is no event.
struct Parent(Box<dyn Write + Send>);

impl Parent {
    #[cfg(unix)]
    fn alone() -> Result<Self> {
        use std::os::fd::AsFd;
        let lost = |error| Error::internal(format!("standard output is closed: {error}"));
        let own = io::stdout().as_fd().try_clone_to_owned().map_err(lost)?;
        // SAFETY: both descriptors belong to this process, and what becomes of the second is what is wanted. Where standard error is
        // closed nothing changes.
        let _ = unsafe { libc::dup2(libc::STDERR_FILENO, libc::STDOUT_FILENO) };
        Ok(Self(Box::new(std::fs::File::from(own))))
    }

    #[cfg(not(unix))]
    fn alone() -> Result<Self> {
        Ok(Self(Box::new(io::stdout())))
    }

    /// Says something in one line. An error means that nobody listens any more.
    fn say(&mut self, line: &impl Serialize) -> Result<()> {
        let lost = |error: io::Error| {
            Error::internal(format!("the parent process does not listen: {error}"))
        };
        let mut line = serde_json::to_string(line).map_err(|error| lost(error.into()))?;
        line.push('\n');
        let written = self.0.write_all(line.as_bytes());
        written.and_then(|()| self.0.flush()).map_err(lost)
    }
}
