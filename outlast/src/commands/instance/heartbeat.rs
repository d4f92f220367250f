//! Word to a platform that waits for a final drop: it is still being made.

use std::time::Duration;

use super::child::Child;
use super::platform::{Making, Platforms};
use crate::output::Output;

/// How long its command may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command that is run again and again while the final drop is being made, beside it: whatever becomes of it, the
/// drop goes on.
pub(super) struct Heartbeat {
    command: Option<String>,
    every: Duration,
    /// When the current wait began, and the last run.
    last: Option<Duration>,
    child: Option<Child>,
    /// Whether the last run failed, which was told.
    has_failed: bool,
}

impl Heartbeat {
    pub(super) fn new(command: Option<String>, every: Duration) -> Self {
        Self { command, every, last: None, child: None, has_failed: false }
    }

    /// Runs it if it is time to, and sees how it ended; `wanted` is whether somebody waits for a drop that is being
    /// made.
    pub(super) fn tend(
        &mut self,
        now: Duration,
        wanted: bool,
        platform: &Platforms,
        output: &Output,
    ) {
        let Some(command) = &self.command else { return };
        let last = match self.last {
            _ if !wanted => {
                self.stop();
                return;
            }
            // The wait has only begun.
            None => *self.last.insert(now),
            Some(last) => last,
        };
        let waited = now.saturating_sub(last);
        if let Some(child) = &mut self.child {
            let outcome = match child.ended() {
                Some(status) if status.success() => Ok(()),
                Some(status) => Err(format!("ended with {status}")),
                None if waited >= PATIENCE => {
                    child.kill();
                    Err(format!("did not end within {} s", PATIENCE.as_secs()))
                }
                None => return,
            };
            self.child = None;
            self.heard(outcome, output);
        } else if waited >= self.every {
            self.last = Some(now);
            match Child::start(&mut platform.shell(command, Making::Still)) {
                Ok(child) => self.child = Some(child),
                Err(error) => self.heard(Err(format!("cannot be started: {error}")), output),
            }
        }
    }

    /// Nobody waits any longer.
    pub(super) fn stop(&mut self) {
        self.last = None;
        if let Some(mut child) = self.child.take() {
            child.kill();
        }
    }

    fn heard(&mut self, outcome: Result<(), String>, output: &Output) {
        let had_failed = std::mem::replace(&mut self.has_failed, outcome.is_err());
        match outcome {
            Err(reason) if !had_failed => output.warn(&format!(
                "the command of --heartbeat-with {reason}: the platform may end this instance before its drop is made"
            )),
            Ok(()) if had_failed => output.remark("the platform hears again that the drop is being made"),
            _ => {}
        }
    }
}
