//! The child's end of the pipe: a job comes in as one line of JSON, events go out as one line each.

use std::io::{self, BufRead, Write};

use crate::error::{Error, Result};
use crate::trial::{Event, Job};

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

/// Says one event to the parent. An error means that nobody listens any more.
pub fn say(event: &Event) -> Result<()> {
    let lost =
        |error: io::Error| Error::internal(format!("the parent process does not listen: {error}"));
    let line = serde_json::to_string(event).map_err(|error| lost(error.into()))?;
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(lost)
}
