//! The signals that end a command, and the promise that they do.
//!
//! Whoever catches them gets the first one and may tidy up. A second signal ends the process at
//! once, and so does the end of the time that tidying up may take: no dead peer, no share that
//! hangs and no reader that does not read can keep a process that was told to go.

use std::io::Write as _;
use std::process;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
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

/// A signal that asked for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caught(Signal);

impl Caught {
    /// What to pass on.
    pub(crate) fn signal(self) -> Signal {
        self.0
    }

    /// The exit code by which shells know of it.
    pub(crate) fn exit_code(self) -> u8 {
        128 + u8::try_from(self.0.as_raw()).unwrap_or(0)
    }
}

impl std::fmt::Display for Caught {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Signal::HUP => "SIGHUP",
            Signal::INT => "SIGINT",
            _ => "SIGTERM",
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

/// SIGTERM, SIGINT and SIGHUP, caught from the moment this is made. One that the process was
/// started to ignore (`nohup`) stays ignored.
pub(crate) struct Signals {
    caught: Receiver<Caught>,
    farewell: Arc<Mutex<Option<Farewell>>>,
}

impl Signals {
    /// Begins to catch the signals. From the first one on, the process has `patience` to end.
    pub(crate) fn catch(patience: Duration) -> Result<Self> {
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
            if as_signal == Signal::INT || ignored & bit(as_signal) == 0 {
                let stream = signal(kind).context("cannot hear signals")?;
                kinds.push((stream, Caught(as_signal)));
            }
        }
        drop(context);
        let (sender, caught) = mpsc::channel();
        let farewell = Arc::new(Mutex::new(None));
        let last = Arc::clone(&farewell);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || runtime.block_on(listen(kinds, sender, patience, last)))
            .context("cannot start the thread that hears signals")?;
        Ok(Self { caught, farewell })
    }

    /// Lets the first signal end this process at once, if it is the first one of a container:
    /// everybody else dies of signals without being asked.
    pub(crate) fn end_first_process() -> Result<()> {
        if getpid().as_raw_nonzero().get() != FIRST_PROCESS {
            return Ok(());
        }
        let signals = Self::catch(Duration::ZERO)?;
        std::thread::Builder::new()
            .name("end".to_owned())
            .spawn(move || {
                if let Ok(caught) = signals.caught.recv() {
                    process::exit(i32::from(caught.exit_code()));
                }
            })
            .context("cannot start the thread that hears signals")?;
        Ok(())
    }

    /// What to do first if the process must end in the middle of something.
    pub(crate) fn at_last(&self, farewell: impl FnOnce() + Send + 'static) {
        *self.farewell.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(farewell));
    }

    /// The signal that has come meanwhile, if one has.
    pub(crate) fn look(&self) -> Option<Caught> {
        self.caught.try_recv().ok()
    }

    /// Waits up to `pause` for a signal.
    pub(crate) fn wait(&self, pause: Duration) -> Option<Caught> {
        match self.caught.recv_timeout(pause) {
            Ok(caught) => Some(caught),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                // The listener lives as long as the process; were it gone, waiting must not spin.
                std::thread::sleep(pause);
                None
            }
        }
    }
}

type Streams = Vec<(tokio::signal::unix::Signal, Caught)>;

/// Passes on the first signal; ends the process on the next one, or when `patience` is over.
async fn listen(
    mut kinds: Streams,
    sender: mpsc::Sender<Caught>,
    patience: Duration,
    farewell: Arc<Mutex<Option<Farewell>>>,
) {
    let first = next(&mut kinds).await;
    let heard = Instant::now();
    // Nobody is there to hear it only when the process is ending anyway.
    if sender.send(first).is_err() {
        return;
    }
    // Without patience, who hears the first one ends the process.
    let deadline = if patience.is_zero() { None } else { Some(heard + patience) };
    sleep_until(heard + SAME_WISH).await;
    while timeout_at(Instant::now(), next(&mut kinds)).await.is_ok() {}
    let second = match deadline {
        Some(deadline) => timeout_at(deadline, next(&mut kinds)).await.ok(),
        None => Some(next(&mut kinds).await),
    };
    let farewell = farewell.lock().unwrap_or_else(PoisonError::into_inner).take();
    // On a thread of its own, so that words that nobody takes do not keep us either.
    let said = std::thread::Builder::new().name("farewell".to_owned()).spawn(move || {
        if let Some(farewell) = farewell {
            farewell();
        }
        let words = match second {
            Some(second) => format!("{second} came again: ending at once"),
            None => format!("what was under way did not end within {patience:?} and is cut off"),
        };
        let _ = writeln!(anstream::stderr(), "outlast: {words}");
    });
    let given_up = Instant::now() + SAME_WISH;
    while said.as_ref().is_ok_and(|said| !said.is_finished()) && Instant::now() < given_up {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    process::exit(second.map_or(1, |second| i32::from(second.exit_code())));
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
