//! A command that is run, told to end, and ended with all that is in its process group.

use std::os::unix::process::CommandExt as _;
use std::process::{Child as Process, Command, ExitStatus};
use std::time::Duration;

use outlast_types::{Interrupt, Timer};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How often it is looked whether a command has ended.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// A command under way.
pub(super) struct Child(Process);

impl Child {
    /// Starts it in a group of its own: a signal to us is ours to pass on.
    pub(super) fn start(command: &mut Command) -> std::io::Result<Self> {
        command.process_group(0).spawn().map(Self)
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        // One that cannot be looked at now is looked at again.
        self.0.try_wait().ok().flatten()
    }

    /// Tells it to end in order.
    pub(super) fn stop(&self) {
        // It may have ended this moment, which is what was wanted.
        let _ = kill_process(self.pid(), Signal::TERM);
    }

    /// Ends it with all that it has started.
    pub(super) fn kill(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.0.wait();
    }

    /// Waits for its end; after `patience` it is ended.
    pub(super) fn finish(&mut self, patience: Duration, timer: &dyn Timer) -> Option<ExitStatus> {
        let began = timer.elapsed();
        while timer.elapsed().saturating_sub(began) < patience {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            timer.pause(LOOK, &Interrupt::default());
        }
        self.kill();
        None
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}
