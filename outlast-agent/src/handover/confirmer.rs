//! The confirmer: runs the command that asks the product what it has, on a pace, and tells when nobody could ask it.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use outlast_types::Backoff;

use super::room::Room;
use super::troubles::Kind;
use crate::Shutdown;
use crate::config::Confirming;

/// So much longer than its own deadline a command may take: by that it has ended its own children.
const GRACE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);
/// So long after an answer, what came of it was taken up.
const TAKEN_UP: Duration = Duration::from_secs(3);
/// The first pause after it failed, and the longest, where its pace is no slower.
const PAUSE_FIRST: Duration = Duration::from_secs(30);
const PAUSE_MAX: Duration = Duration::from_secs(900);
/// The first run is after that: a product that was down with this host comes up, too.
const BEGIN: Duration = Duration::from_secs(5);
/// The last words of a command that are told.
const WORDS_MAX: usize = 4096;
/// So long the last words are waited for: somebody else may hold the pipe.
const WORDS_PATIENCE: Duration = Duration::from_secs(1);

/// How this program is run to ask a product.
#[derive(Debug, Clone)]
pub struct Asking {
    /// This very program.
    pub program: PathBuf,
    /// The file of the agent's configuration.
    pub config: PathBuf,
}

/// Asks until the end is asked for.
pub(super) fn run(room: &Room, confirming: Confirming, asking: &Asking, shutdown: &Shutdown) {
    let timer = &room.environment.timer;
    let mut backoff = Backoff::default();
    let mut pause = BEGIN.min(confirming.every);
    while !timer.pause(pause, shutdown) {
        let asked = ask(room, confirming, asking, shutdown);
        if shutdown.is_requested() {
            return;
        }
        match asked {
            Ok(()) => {
                // First what was learnt is taken up: else the product would seem to have nothing, though it was asked.
                if timer.pause(TAKEN_UP, shutdown) {
                    return;
                }
                room.trouble(Kind::Confirmer, None);
                backoff.succeeded();
                pause = confirming.every;
            }
            Err(reason) => {
                let reason = format!("the product cannot be asked what it has: {reason}");
                room.trouble(Kind::Confirmer, Some(reason));
                let (now, random) = (room.elapsed(), &*room.environment.random);
                let first = PAUSE_FIRST.min(confirming.every);
                backoff.failed(now, first, PAUSE_MAX.max(confirming.every), random);
                pause = backoff.left(now);
            }
        }
    }
}

/// Runs the command once.
fn ask(
    room: &Room,
    confirming: Confirming,
    asking: &Asking,
    shutdown: &Shutdown,
) -> Result<(), String> {
    let mut command = Command::new(&asking.program);
    command.args(["handover", "confirm", room.name(), "--config"]).arg(&asking.config);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let started = command.spawn();
    let mut child = started.map_err(|error| format!("cannot start {command:?}: {error}"))?;
    let words = child.stderr.take().map(last_words);
    let status = wait(room, &mut child, confirming.deadline.saturating_add(GRACE), shutdown);
    let words = words.and_then(|words| words.recv_timeout(WORDS_PATIENCE).ok());
    match status? {
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            let words = words.unwrap_or_default();
            let last = words.lines().rfind(|line| !line.trim().is_empty());
            Err(last.map_or_else(|| status.to_string(), |line| line.trim().to_owned()))
        }
        None => Err(format!(
            "the command took longer than {} and was ended",
            outlast_types::human::duration(confirming.deadline.saturating_add(GRACE))
        )),
    }
}

/// Waits for the end of a command; `None` if it was ended, since it takes too long or the end was asked for.
fn wait(
    room: &Room,
    child: &mut Child,
    most: Duration,
    shutdown: &Shutdown,
) -> Result<Option<std::process::ExitStatus>, String> {
    let began = room.elapsed();
    loop {
        let status = child.try_wait().map_err(|error| format!("cannot wait for it: {error}"))?;
        if status.is_some() {
            return Ok(status);
        }
        let is_late = room.elapsed().saturating_sub(began) >= most;
        if room.environment.timer.pause(LOOK, shutdown) || is_late {
            // It may have ended in this moment.
            let _ = child.kill();
            let _ = child.wait();
            return Ok(None);
        }
    }
}

/// The last words of a command, when it has said them.
fn last_words(mut pipe: ChildStderr) -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::sync_channel(1);
    let read = move || {
        let (mut last, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            last.extend_from_slice(&buffer[..length]);
            let beyond = last.len().saturating_sub(WORDS_MAX);
            last.drain(..beyond);
        }
        // Nobody may wait for them any more.
        let _ = tell.send(String::from_utf8_lossy(&last).into_owned());
    };
    if let Err(error) = thread::Builder::new().name("words".to_owned()).spawn(read) {
        tracing::debug!("no thread can be started to hear a command: {error}");
    }
    told
}
