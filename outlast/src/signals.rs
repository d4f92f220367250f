//! The signals that end a command, and the promise that they do.
//!
//! Whoever catches them gets the first one and may tidy up. A second signal ends the process at
//! once, and so does the end of the time that tidying up may take: no dead peer, no share that
//! hangs and no reader that does not read can keep a process that was told to go.
//!
//! Work that is better finished than broken off may be given time for that ([`Grace`]): then the
//! first signal is heard only when the time is over, or when another one comes.

use std::io::Write as _;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use anyhow::{Context, Result};
use outlast_types::{Interrupt, human};
use rustix::process::{Signal, getpid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout_at};

/// What comes so soon after the first signal is the same wish told twice: a terminal and its
/// shell, or `timeout` and its group, both pass it on.
const SAME_WISH: Duration = Duration::from_millis(250);

/// The first process of a PID namespace; the kernel gives it no signal that it does not catch.
const FIRST_PROCESS: i32 = 1;

/// What is done before the process ends in the middle of something.
type Farewell = Box<dyn FnOnce() + Send>;

/// A wish for the end that is to be obeyed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caught {
    Signal(Signal),
    /// The time is over that the work was given from its beginning.
    Deadline,
}

impl Caught {
    /// What to pass on.
    pub(crate) fn signal(self) -> Signal {
        match self {
            Self::Signal(signal) => signal,
            Self::Deadline => Signal::TERM,
        }
    }

    /// The exit code: for signals the one by which shells know of them.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Signal(signal) => 128 + u8::try_from(signal.as_raw()).unwrap_or(0),
            Self::Deadline => 1,
        }
    }
}

impl std::fmt::Display for Caught {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Signal(Signal::HUP) => "SIGHUP",
            Self::Signal(Signal::INT) => "SIGINT",
            Self::Signal(_) => "SIGTERM",
            Self::Deadline => "the deadline",
        })
    }
}

/// The end that a signal asked for, as the error of a command.
#[derive(Debug, thiserror::Error)]
#[error("ended by {caught}: {told}")]
pub(crate) struct Ended {
    pub(crate) caught: Caught,
    /// What became of the work.
    pub(crate) told: String,
}

/// How long the end may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Grace {
    /// How long work may go on after the first signal.
    pub(crate) finish: Duration,
    /// How long it may go on in all, from now: with it, signals change nothing about that.
    pub(crate) deadline: Option<Duration>,
    /// How long it may take to break the work off; zero leaves that to whoever hears the signal.
    pub(crate) tidy: Duration,
}

/// SIGTERM, SIGINT and SIGHUP, caught from the moment this is made. One that the process was
/// started to ignore (`nohup`) stays ignored.
pub(crate) struct Signals(Arc<State>);

#[derive(Default)]
struct State {
    caught: Mutex<Option<Caught>>,
    changed: Condvar,
    /// Requested with the first signal, whatever may still be finished; and which one that was.
    asked: Interrupt,
    first: Mutex<Option<Caught>>,
    farewell: Mutex<Option<Farewell>>,
}

impl State {
    fn caught(&self) -> MutexGuard<'_, Option<Caught>> {
        self.caught.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signals {
    /// Begins to catch the signals. From the first one on, the process has `patience` to end.
    pub(crate) fn catch(patience: Duration) -> Result<Self> {
        Self::catch_with(Grace { tidy: patience, ..Grace::default() })
    }

    /// The same, but for SIGHUP, which asks a role to read its configuration again.
    pub(crate) fn catch_but_hangups(patience: Duration) -> Result<(Self, Hangups)> {
        let grace = Grace { tidy: patience, ..Grace::default() };
        let hangups = Hangups::catch()?;
        Ok((Self::catch_kinds(grace, &[Signal::TERM, Signal::INT])?, hangups))
    }

    /// Begins to catch the signals, and lets work finish as far as `grace` allows.
    pub(crate) fn catch_with(grace: Grace) -> Result<Self> {
        Self::catch_kinds(grace, &[Signal::TERM, Signal::INT, Signal::HUP])
    }

    fn catch_kinds(grace: Grace, wanted: &[Signal]) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot prepare to hear signals")?;
        let context = runtime.enter();
        let ignored = ignored();
        let mut kinds = Vec::new();
        for (kind, as_signal) in [
            (SignalKind::terminate(), Signal::TERM),
            (SignalKind::interrupt(), Signal::INT),
            (SignalKind::hangup(), Signal::HUP),
        ] {
            // Shells start background commands with SIGINT ignored, and a service manager that
            // sends it still means it.
            let is_heard = as_signal == Signal::INT || ignored & bit(as_signal) == 0;
            if wanted.contains(&as_signal) && is_heard {
                let stream = signal(kind).context("cannot hear signals")?;
                kinds.push((stream, Caught::Signal(as_signal)));
            }
        }
        drop(context);
        let state = Arc::new(State::default());
        let heard = Arc::downgrade(&state);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || runtime.block_on(listen(kinds, grace, heard)))
            .context("cannot start the thread that hears signals")?;
        Ok(Self(state))
    }

    /// Lets the first signal end this process at once, if it is the first one of a container:
    /// everybody else dies of signals without being asked.
    pub(crate) fn end_first_process() -> Result<()> {
        if !is_first_process() {
            return Ok(());
        }
        let signals = Self::catch(Duration::ZERO)?;
        std::thread::Builder::new()
            .name("end".to_owned())
            .spawn(move || {
                loop {
                    if let Some(caught) = signals.wait(Duration::from_secs(3600)) {
                        process::exit(i32::from(caught.exit_code()));
                    }
                }
            })
            .context("cannot start the thread that hears signals")?;
        Ok(())
    }

    /// What to do first if the process must end in the middle of something.
    pub(crate) fn at_last(&self, farewell: impl FnOnce() + Send + 'static) {
        *self.0.farewell.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(farewell));
    }

    /// The wish that is to be obeyed, if there is one by now.
    pub(crate) fn look(&self) -> Option<Caught> {
        *self.0.caught()
    }

    /// Requested as soon as anybody asks for the end, also while work may still be finished:
    /// nothing new is begun then.
    pub(crate) fn asked(&self) -> &Interrupt {
        &self.0.asked
    }

    /// What asked for the end first, if anything did.
    pub(crate) fn first(&self) -> Option<Caught> {
        *self.0.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits up to `pause` for a wish that is to be obeyed.
    pub(crate) fn wait(&self, pause: Duration) -> Option<Caught> {
        let nothing = |caught: &mut Option<Caught>| caught.is_none();
        let waited = self.0.changed.wait_timeout_while(self.0.caught(), pause, nothing);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// SIGHUP, as the wish that a role reads its configuration again.
pub(crate) struct Hangups(Arc<AtomicBool>);

impl Hangups {
    fn catch() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot prepare to hear signals")?;
        let heard = Arc::new(AtomicBool::new(false));
        if ignored() & bit(Signal::HUP) != 0 {
            return Ok(Self(heard));
        }
        let context = runtime.enter();
        let mut hangups = signal(SignalKind::hangup()).context("cannot hear signals")?;
        drop(context);
        let noted = Arc::downgrade(&heard);
        std::thread::Builder::new()
            .name("hangups".to_owned())
            .spawn(move || {
                while runtime.block_on(hangups.recv()).is_some() {
                    let Some(noted) = noted.upgrade() else { return };
                    noted.store(true, Ordering::Release);
                }
            })
            .context("cannot start the thread that hears signals")?;
        Ok(Self(heard))
    }

    /// Whether one came since this was asked last. Several are one wish.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Acquire)
    }
}

/// Whether this is the first process of a container, whose children all others become that lose
/// their parents.
pub(crate) fn is_first_process() -> bool {
    getpid().as_raw_nonzero().get() == FIRST_PROCESS
}

type Streams = Vec<(tokio::signal::unix::Signal, Caught)>;

/// Passes on the first wish for the end when it is time; ends the process on the next signal, or
/// when the time to tidy up is over.
async fn listen(mut kinds: Streams, grace: Grace, state: Weak<State>) {
    let due = grace.deadline.map(|deadline| Instant::now() + deadline);
    let first = match due {
        Some(due) => timeout_at(due, next(&mut kinds)).await.unwrap_or(Caught::Deadline),
        None => next(&mut kinds).await,
    };
    // Nobody is there to hear it only when the process is ending anyway.
    let Some(state) = state.upgrade() else { return };
    *state.first.lock().unwrap_or_else(PoisonError::into_inner) = Some(first);
    state.asked.request();
    let mut heard = Instant::now();
    let finish = due.unwrap_or(heard + grace.finish);
    if first != Caught::Deadline && finish > heard {
        let left = human::duration(finish - heard);
        tell(format!("{first} came: going on for up to {left} to finish; another one ends it"));
        sleep_until(heard + SAME_WISH).await;
        while timeout_at(Instant::now(), next(&mut kinds)).await.is_ok() {}
        // Another signal, or the end of the time: it is not waited for any longer.
        let _ = timeout_at(finish, next(&mut kinds)).await;
        heard = Instant::now();
    }
    *state.caught() = Some(first);
    state.changed.notify_all();
    // Without time to tidy up, who hears the first one ends the process.
    let deadline = if grace.tidy.is_zero() { None } else { Some(heard + grace.tidy) };
    sleep_until(heard + SAME_WISH).await;
    while timeout_at(Instant::now(), next(&mut kinds)).await.is_ok() {}
    let second = match deadline {
        Some(deadline) => timeout_at(deadline, next(&mut kinds)).await.ok(),
        None => Some(next(&mut kinds).await),
    };
    let farewell = state.farewell.lock().unwrap_or_else(PoisonError::into_inner).take();
    // On a thread of its own, so that words that nobody takes do not keep us either.
    let said = std::thread::Builder::new().name("farewell".to_owned()).spawn(move || {
        if let Some(farewell) = farewell {
            farewell();
        }
        let words = match second {
            Some(second) => format!("{second} came again: ending at once"),
            None => {
                let tidy = grace.tidy;
                format!("what was under way did not end within {tidy:?} and is cut off")
            }
        };
        let _ = writeln!(anstream::stderr(), "outlast: {words}");
    });
    let given_up = Instant::now() + SAME_WISH;
    while said.as_ref().is_ok_and(|said| !said.is_finished()) && Instant::now() < given_up {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    process::exit(second.map_or(1, |second| i32::from(second.exit_code())));
}

/// Says something on a thread of its own: whoever should read it may not.
fn tell(words: String) {
    let _ = std::thread::Builder::new().name("words".to_owned()).spawn(move || {
        let _ = writeln!(anstream::stderr(), "outlast: {words}");
    });
}

/// The next signal of any kind.
async fn next(kinds: &mut Streams) -> Caught {
    std::future::poll_fn(|context| {
        for (stream, caught) in kinds.iter_mut() {
            if stream.poll_recv(context).is_ready() {
                return std::task::Poll::Ready(*caught);
            }
        }
        std::task::Poll::Pending
    })
    .await
}

/// The signals that this process was started to ignore, as the kernel's mask; none where `/proc`
/// does not tell.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn bit(signal: Signal) -> u64 {
    1 << (signal.as_raw() - 1)
}
