//! What a stream to back up comes from: standard input, a command whose output it is, or a reader.
//!
//! Nothing must pass for a backup that is none. A command's output ends only when the command
//! ended well; standard input that nobody can read is an error, and so is a stream without a byte,
//! unless that is what was asked for.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use outlast_types::human;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, fstat};
use rustix::io::Errno;
use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, Signal};

use crate::processes::{self, Process};
use crate::signals::{Caught, Signals};

/// How often a silent command is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long a command may take to end when it is told to; then it is killed.
const KILL_AFTER: Duration = Duration::from_secs(5);
/// How long the whole end may take after a signal: killing the command, and giving up the drop.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// What is asked of a pipe to hold, so that its two ends take turns less often.
const PIPE_BYTES: usize = 1 << 20;
/// More of the processes that hold a pipe are not named.
const NAMED_MAX: usize = 5;

/// Why there is nothing to be backed up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DumpError {
    #[error("{source_name} gave nothing, not a single byte")]
    Nothing { source_name: String },
    #[error("standard input is not open for reading")]
    NotReadable,
    #[error("cannot read {source_name}: {source}")]
    Read { source_name: String, source: io::Error },
    #[error("cannot start {command}: {source}")]
    NotStarted { command: String, source: io::Error },
    #[error("{command} failed with {status}")]
    Failed { command: String, status: ExitStatus },
    #[error(
        "{command} ended, but {holders} held its output open and wrote nothing for {}",
        human::duration(*silence)
    )]
    Held { command: String, holders: String, silence: Duration },
    #[error("{caught} came, and {command} was told to end, too")]
    Signal { command: String, caught: Caught },
    #[error("{caught} came")]
    Ended { caught: Caught },
}

/// A stream to back up.
enum Source {
    StandardInput(Option<Arc<Signals>>),
    Command(Box<Running>),
    Reader { name: String, reader: Box<dyn Read + Send>, signals: Arc<Signals> },
}

/// How to treat a command and what it prints.
pub(crate) struct Handling {
    /// How long something that the command left behind may keep its output open in silence.
    pub(crate) linger: Duration,
    /// Hears, in words, what lets the command's output wait.
    pub(crate) remark: Box<dyn Fn(&str) + Send>,
}

/// A command whose output is read.
pub(crate) struct Running {
    shown: String,
    child: Child,
    output: ChildStdout,
    pipe: u64,
    process: Process,
    signals: Arc<Signals>,
    handling: Handling,
    status: Option<ExitStatus>,
    /// Since when the command has ended and nothing has come.
    silent: Option<Instant>,
    told: bool,
}

/// A source with what went wrong with it.
pub(crate) struct Dump {
    source: Source,
    allow_empty: bool,
    bytes: u64,
    failure: Option<DumpError>,
}

impl Dump {
    /// Standard input, if it can be read; until a signal ends it, if they are caught.
    pub(crate) fn standard_input(
        allow_empty: bool,
        signals: Option<Arc<Signals>>,
    ) -> Result<Self, DumpError> {
        // The standard library takes one that is open for writing only for one that is empty.
        match fcntl_getfl(io::stdin()) {
            Ok(flags) if flags & OFlags::ACCMODE == OFlags::WRONLY => {
                return Err(DumpError::NotReadable);
            }
            Err(Errno::BADF) => return Err(DumpError::NotReadable),
            _ => {}
        }
        // Only pipes have a size.
        let _ = fcntl_setpipe_size(io::stdin(), PIPE_BYTES);
        Ok(Self::of(Source::StandardInput(signals), allow_empty))
    }

    /// Starts a command and reads what it prints. Signals end it first.
    pub(crate) fn command(
        command: Command,
        allow_empty: bool,
        handling: Handling,
        signals: Arc<Signals>,
    ) -> Result<Self, DumpError> {
        let running = Running::start(command, signals, handling)?;
        Ok(Self::of(Source::Command(Box::new(running)), allow_empty))
    }

    /// What `reader` gives, which is called `name` in messages.
    pub(crate) fn reader(
        name: &str,
        reader: Box<dyn Read + Send>,
        allow_empty: bool,
        signals: Arc<Signals>,
    ) -> Self {
        Self::of(Source::Reader { name: name.to_owned(), reader, signals }, allow_empty)
    }

    fn of(source: Source, allow_empty: bool) -> Self {
        Self { source, allow_empty, bytes: 0, failure: None }
    }

    /// The command's exit code, if it ended with one.
    pub(crate) fn exit_code(&self) -> Option<i32> {
        match &self.source {
            Source::Command(running) => running.status.and_then(|status| status.code()),
            _ => None,
        }
    }

    /// Why reading failed, once it has.
    pub(crate) fn take_failure(&mut self) -> Option<DumpError> {
        self.failure.take()
    }

    /// Ends the command, because nobody will read the rest.
    pub(crate) fn stop(&mut self) {
        if let Source::Command(running) = &mut self.source {
            running.end(Signal::TERM);
        }
    }

    fn name(&self) -> String {
        match &self.source {
            Source::StandardInput(_) => "standard input".to_owned(),
            Source::Command(running) => running.shown.clone(),
            Source::Reader { name, .. } => name.clone(),
        }
    }
}

impl Read for Dump {
    /// The end of the stream comes only after all went well; else there is an error, and
    /// [`take_failure`](Dump::take_failure) tells which.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.source {
            Source::StandardInput(signals) => read_standard_input(signals.as_deref(), buffer),
            Source::Command(running) => running.read(buffer),
            Source::Reader { name, reader, signals } => read_from(name, reader, signals, buffer),
        };
        let failure = match read {
            Ok(0) if self.bytes == 0 && !self.allow_empty && !buffer.is_empty() => {
                DumpError::Nothing { source_name: self.name() }
            }
            Ok(length) => {
                self.bytes += length as u64;
                return Ok(length);
            }
            Err(failure) => failure,
        };
        let told = io::Error::other(failure.to_string());
        self.failure = Some(failure);
        Err(told)
    }
}

fn read_standard_input(signals: Option<&Signals>, buffer: &mut [u8]) -> Result<usize, DumpError> {
    let failed = |errno: Errno| {
        let source_name = "standard input".to_owned();
        DumpError::Read { source_name, source: errno.into() }
    };
    loop {
        if let Some(signals) = signals {
            heed(signals)?;
            // A signal that is caught does not wake whoever waits in a read.
            if !is_ready(io::stdin().as_fd()).map_err(failed)? {
                continue;
            }
        }
        match rustix::io::read(io::stdin(), &mut *buffer) {
            Err(Errno::INTR) => {}
            result => return result.map_err(failed),
        }
    }
}

fn read_from(
    name: &str,
    reader: &mut dyn Read,
    signals: &Signals,
    buffer: &mut [u8],
) -> Result<usize, DumpError> {
    loop {
        heed(signals)?;
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(DumpError::Read { source_name: name.to_owned(), source }),
            Ok(length) => return Ok(length),
        }
    }
}

fn heed(signals: &Signals) -> Result<(), DumpError> {
    signals.look().map_or(Ok(()), |caught| Err(DumpError::Ended { caught }))
}

/// Waits a moment for something to read, or for the end; whether it came.
fn is_ready(descriptor: BorrowedFd<'_>) -> Result<bool, Errno> {
    let pause = Timespec::try_from(LOOK).unwrap_or_default();
    let mut wanted = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    match poll(&mut wanted, Some(&pause)) {
        Ok(0) | Err(Errno::INTR) => Ok(false),
        Ok(_) => Ok(true),
        Err(errno) => Err(errno),
    }
}

impl Running {
    fn start(
        mut command: Command,
        signals: Arc<Signals>,
        handling: Handling,
    ) -> Result<Self, DumpError> {
        let shown = command.get_program().to_string_lossy().into_owned();
        let not_started = |source| DumpError::NotStarted { command: shown.clone(), source };
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(not_started)?;
        let process = Process::of(Pid::from_child(&child), &shown);
        let output = child.stdout.take();
        let prepared =
            output.ok_or_else(|| io::Error::other("it has no output")).and_then(|output| {
                // Our end of the pipe only: the command's own stays as it expects it.
                fcntl_setfl(&output, fcntl_getfl(&output)? | OFlags::NONBLOCK)?;
                // A user who has many pipes is not given more, and this one stays small.
                let _ = fcntl_setpipe_size(&output, PIPE_BYTES);
                Ok((fstat(&output)?.st_ino, output))
            });
        let (pipe, output) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                let _ = child.kill();
                return Err(not_started(error));
            }
        };
        let command = process.clone();
        signals.at_last(move || {
            for process in processes::family(&command, pipe) {
                process.send(Signal::KILL);
            }
        });
        let (status, silent, told) = (None, None, false);
        Ok(Self { shown, child, output, pipe, process, signals, handling, status, silent, told })
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DumpError> {
        loop {
            self.heed_signals()?;
            match rustix::io::read(&self.output, &mut *buffer) {
                Ok(0) => return self.ended().map(|()| 0),
                Ok(length) => {
                    self.silent = None;
                    return Ok(length);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait_for_more()?,
                Err(errno) => return Err(self.unreadable(errno.into())),
            }
        }
    }

    /// Waits a moment for more. When the command has ended and something else holds its output,
    /// that is told, and bounded: it may still be writing, or it may never end.
    fn wait_for_more(&mut self) -> Result<(), DumpError> {
        match is_ready(self.output.as_fd()) {
            Ok(false) => {}
            Ok(true) => return Ok(()),
            Err(errno) => return Err(self.unreadable(errno.into())),
        }
        let Some(status) = self.look_at_command()? else { return Ok(()) };
        if !status.success() {
            // Half a dump, whoever still writes to it.
            return Err(DumpError::Failed { command: self.shown.clone(), status });
        }
        let since = *self.silent.get_or_insert_with(Instant::now);
        let silence = since.elapsed();
        if silence < LOOK.saturating_mul(5).min(self.handling.linger) {
            return Ok(());
        }
        let holders = processes::holders(self.pipe);
        let verb = if holders.len() < 2 { "holds" } else { "hold" };
        let holders = named(&holders);
        if silence >= self.handling.linger {
            let command = self.shown.clone();
            return Err(DumpError::Held { command, holders, silence });
        }
        if !self.told {
            self.told = true;
            let linger = human::duration(self.handling.linger);
            (self.handling.remark)(&format!(
                "{} has ended, but {holders} {verb} its output open; waiting for its end, or until \
                 nothing has come for {linger}",
                self.shown
            ));
        }
        Ok(())
    }

    /// The output has ended: whether all went well.
    fn ended(&mut self) -> Result<(), DumpError> {
        let mut pause = Duration::from_millis(1);
        loop {
            match self.look_at_command()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(DumpError::Failed { command: self.shown.clone(), status });
                }
                // It closed its output and goes on, which is its right.
                None => {}
            }
            if let Some(caught) = self.signals.wait(pause) {
                return Err(self.obey(caught));
            }
            pause = (pause * 2).min(LOOK);
        }
    }

    fn look_at_command(&mut self) -> Result<Option<ExitStatus>, DumpError> {
        if self.status.is_none() {
            self.status = self.child.try_wait().map_err(|error| self.unreadable(error))?;
        }
        Ok(self.status)
    }

    fn heed_signals(&mut self) -> Result<(), DumpError> {
        match self.signals.look() {
            Some(caught) => Err(self.obey(caught)),
            None => Ok(()),
        }
    }

    fn obey(&mut self, caught: Caught) -> DumpError {
        self.end(caught.signal());
        DumpError::Signal { command: self.shown.clone(), caught }
    }

    /// Tells the command and all that came from it to end; kills what does not.
    fn end(&mut self, signal: Signal) {
        let family = processes::family(&self.process, self.pipe);
        family.iter().for_each(|process| process.send(signal));
        let began = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            // Also takes its status, without which it would stay as a dead process.
            let _ = self.look_at_command();
            if !family.iter().any(Process::lives) {
                return;
            }
            if began.elapsed() >= KILL_AFTER {
                break;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LOOK);
        }
        // Who came later, too.
        let late = processes::family(&self.process, self.pipe);
        family.union(&late).for_each(|process| process.send(Signal::KILL));
        let _ = self.child.wait();
    }

    fn unreadable(&self, source: io::Error) -> DumpError {
        DumpError::Read { source_name: format!("the output of {}", self.shown), source }
    }
}

/// Who holds a pipe, in words.
fn named(holders: &BTreeSet<Process>) -> String {
    let names: Vec<String> = holders.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    match holders.len() {
        0 => "a process that it left behind".to_owned(),
        count if count > NAMED_MAX => format!("{} and others", names.join(", ")),
        _ => names.join(", "),
    }
}
