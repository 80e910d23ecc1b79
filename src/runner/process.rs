//! One child process: started, handed its input, listened to line by line, and killed when it must be.
//!
//! A child runs in a process group of its own, so that Ctrl-C in a terminal reaches the parent alone, and it dies with its
//! parent: on Linux the kernel sees to it, elsewhere [`child::receive`](super::child::receive) does.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::child::CHILD;
use super::interrupt::Interrupt;
use super::memory;
use crate::error::{Error, Result};

/// How often a silent child is looked at.
const TICK: Duration = Duration::from_millis(50);
/// How long the pipes of a child that ended may stay open, because a child of its own holds them, where nothing says whether they
/// are empty.
const GRACE: Duration = Duration::from_secs(30);
/// Longest line of standard output; a whole trial with its samples is one.
const LINE_BYTES: u64 = 256 << 20;
/// Longest line of standard error that is kept in one piece.
const COMPLAINT_BYTES: u64 = 4 << 10;
/// Lines of standard error that are kept, the last ones.
const COMPLAINTS: usize = 20;

/// What to start for each trial: a program, its arguments, and what is set in its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Set on top of what the parent has.
    pub env: Vec<(String, String)>,
}

impl Worker {
    /// This very program with other arguments.
    ///
    /// On Linux by `/proc/self/exe`, which stays the program that is running even if its file is replaced meanwhile:
    /// a rebuild during a run must not mix two builds.
    pub fn this_program(
        args: &[&str],
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self> {
        let program = if cfg!(target_os = "linux") {
            PathBuf::from("/proc/self/exe")
        } else {
            std::env::current_exe().map_err(|error| {
                Error::internal(format!("cannot find this program's file: {error}"))
            })?
        };
        Ok(Self {
            program,
            args: args.iter().map(|&a| a.to_owned()).collect(),
            env: env
                .into_iter()
                .chain([(CHILD.to_owned(), "1".to_owned())])
                .collect(),
        })
    }
}

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// By itself, or killed by somebody else.
    Exited(ExitStatus),
    /// Killed at its time limit.
    TimedOut,
    /// Killed because the user asked to stop.
    Interrupted,
    /// Killed because of what it said.
    Rejected(String),
}

/// What is known of a child that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub end: End,
    /// The last lines of its standard error.
    pub complaints: Vec<String>,
    /// Whether the kernel's out-of-memory killer struck meanwhile.
    pub oom_killed: bool,
}

enum Said {
    Line(String),
    Complaint(String),
}

/// Starts a child, writes `input` and a newline to its standard input, and calls `hear` with each line of its standard
/// output until it ends, `limit` passes, or the user interrupts. What `hear` refuses gets the child killed.
///
/// Blocks the calling thread, which has to outlive the child: on Linux a child dies with the *thread* that started it.
pub fn run(
    worker: &Worker,
    input: &str,
    limit: Duration,
    interrupt: &Interrupt,
    hear: &mut dyn FnMut(&str) -> std::result::Result<(), String>,
) -> Result<Ended> {
    let kills_before = memory::oom_kills();
    let started = Instant::now();
    let mut child = start(worker)?;
    // Held open while the child lives. A child that does not read its input ends in its own way: no error here.
    let mut stdin = child.stdin.take();
    let _ = stdin.as_mut().map(|pipe| {
        pipe.write_all(input.as_bytes())
            .and_then(|()| pipe.write_all(b"\n"))
    });
    let gone = Arc::new(AtomicBool::new(false));
    let said = listen(&mut child, &gone);
    let mut complaints = VecDeque::new();
    let mut end = None;
    let mut exited: Option<(ExitStatus, Instant)> = None;
    let status = loop {
        let heard = said.recv_timeout(TICK);
        if let Some((status, at)) = exited {
            match heard {
                Err(RecvTimeoutError::Disconnected) => break status,
                Err(RecvTimeoutError::Timeout) if !cfg!(unix) && at.elapsed() > GRACE => {
                    break status;
                }
                _ => {}
            }
        }
        match heard {
            Ok(Said::Line(line)) if end.is_none() => end = hear(&line).err().map(End::Rejected),
            Ok(Said::Complaint(line)) => complaints.push_back(line),
            Err(RecvTimeoutError::Disconnected) => thread::sleep(Duration::from_millis(1)),
            Ok(Said::Line(_)) | Err(RecvTimeoutError::Timeout) => {}
        }
        complaints.drain(..complaints.len().saturating_sub(COMPLAINTS));
        if exited.is_none() {
            end = end.or_else(|| reason_to_kill(started.elapsed() > limit, interrupt));
            if end.is_some() {
                kill(&mut child);
            }
            exited = poll(&mut child)?.map(|status| (status, Instant::now()));
            gone.store(exited.is_some(), Ordering::Release);
        }
    };
    let end = end.unwrap_or(End::Exited(status));
    Ok(Ended {
        end,
        complaints: complaints.into(),
        oom_killed: memory::oom_kills() > kills_before,
    })
}

fn reason_to_kill(late: bool, interrupt: &Interrupt) -> Option<End> {
    if interrupt.raised() {
        Some(End::Interrupted)
    } else {
        late.then_some(End::TimedOut)
    }
}

fn poll(child: &mut Child) -> Result<Option<ExitStatus>> {
    child
        .try_wait()
        .map_err(|error| Error::internal(format!("cannot watch a trial's process: {error}")))
}

fn start(worker: &Worker) -> Result<Child> {
    let mut command = Command::new(&worker.program);
    command
        .args(&worker.args)
        .envs(worker.env.iter().map(|(key, value)| (key, value)));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    #[cfg(target_os = "linux")]
    die_with_parent(&mut command);
    command.spawn().map_err(|error| {
        Error::internal(format!(
            "cannot start {} for a trial: {error}",
            worker.program.display()
        ))
    })
}

/// Asks the kernel to kill the child when the thread that started it ends.
#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    use std::io;
    use std::os::unix::process::CommandExt;
    let parent = std::process::id();
    let ask = move || {
        // SAFETY: prctl with PR_SET_PDEATHSIG takes a signal number by value and touches no memory of ours.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have died before the request: then nobody would ever send the signal.
        if std::os::unix::process::parent_id() != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure only calls prctl and getppid, both async-signal-safe, reads a captured
    // integer, and builds errors from numbers: no allocation, no lock.
    unsafe { command.pre_exec(ask) };
}

/// Kills the child and what it may have started itself. Only called before the child is waited for.
fn kill(child: &mut Child) {
    #[cfg(unix)]
    if let Ok(group) = i32::try_from(child.id()) {
        // SAFETY: kill takes two integers and touches no memory. The group's number is the child's, which is not yet
        // waited for, so the number cannot have gone to another process.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
    let _ = child.kill();
}

/// Reads both pipes on threads of their own, which end when the pipes close, or are empty once the child is `gone`. However long a
/// busy machine lets those threads wait, what the child said before it ended is heard.
fn listen(child: &mut Child, gone: &Arc<AtomicBool>) -> Receiver<Said> {
    let (say, said) = sync_channel(1024);
    if let Some(pipe) = child.stdout.take() {
        let (say, pipe) = (say.clone(), UntilGone::new(pipe, gone));
        thread::spawn(move || forward(pipe, LINE_BYTES, Said::Line, &say));
    }
    if let Some(pipe) = child.stderr.take() {
        let pipe = UntilGone::new(pipe, gone);
        thread::spawn(move || forward(pipe, COMPLAINT_BYTES, Said::Complaint, &say));
    }
    said
}

/// A pipe that ends where whoever wrote is gone and nothing is left in it, although a child of theirs may still hold it open.
struct UntilGone<P> {
    pipe: P,
    #[cfg_attr(not(unix), expect(dead_code))]
    gone: Arc<AtomicBool>,
}

impl<P> UntilGone<P> {
    fn new(pipe: P, gone: &Arc<AtomicBool>) -> Self {
        Self {
            pipe,
            gone: Arc::clone(gone),
        }
    }
}

#[cfg(unix)]
impl<P: Read + std::os::fd::AsRawFd> Read for UntilGone<P> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            // Asked before the pipe is looked at: what was written before the end is in it by then.
            let gone = self.gone.load(Ordering::Acquire);
            let mut of_pipe = libc::pollfd {
                fd: self.pipe.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: poll reads and writes the one entry that it is given, for as long as the call takes.
            match unsafe { libc::poll(&raw mut of_pipe, 1, TICK.as_millis() as libc::c_int) } {
                0 if gone => return Ok(0),
                0 => {}
                1.. => return self.pipe.read(buffer),
                _ => match std::io::Error::last_os_error() {
                    error if error.kind() == std::io::ErrorKind::Interrupted => {}
                    error => return Err(error),
                },
            }
        }
    }
}

#[cfg(not(unix))]
impl<P: Read> Read for UntilGone<P> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.pipe.read(buffer)
    }
}

/// Sends a pipe on line by line; a line longer than `limit` arrives in pieces.
fn forward(pipe: impl Read, limit: u64, wrap: fn(String) -> Said, say: &SyncSender<Said>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while let Ok(1..) = pipe.by_ref().take(limit).read_until(b'\n', &mut line) {
        let text = String::from_utf8_lossy(&line)
            .trim_end_matches(['\n', '\r'])
            .to_owned();
        if say.send(wrap(text)).is_err() {
            return;
        }
        line.clear();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A result that was said before the end is heard, however late it is looked for, and whoever still holds the pipe.
    #[test]
    fn what_was_said_before_the_end_is_heard_and_then_nothing_is_waited_for() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"done\n").unwrap();
        let mut heard = String::new();
        let mut pipe = UntilGone::new(reader, &Arc::new(AtomicBool::new(true)));
        pipe.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "done\n");
        drop(writer);
    }

    #[test]
    fn a_child_that_leaves_another_behind_ends_with_its_own_end() {
        let worker = Worker {
            program: "/bin/sh".into(),
            args: ["-c", "sleep 20 & echo done"].map(str::to_owned).into(),
            env: Vec::new(),
        };
        let (mut heard, started) = (Vec::new(), Instant::now());
        let mut hear = |line: &str| {
            heard.push(line.to_owned());
            Ok(())
        };
        let ended = run(&worker, "", GRACE, &Interrupt::default(), &mut hear).unwrap();
        assert!(matches!(ended.end, End::Exited(status) if status.success()));
        assert_eq!(heard, ["done"]);
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}
