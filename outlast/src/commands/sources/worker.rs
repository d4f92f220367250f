//! The process of one source: started, watched, and started again.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use outlast_types::{
    Backoff, Clock, Random, SystemClock, SystemTimer, Timer, Timestamp, WorkloadName,
};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::environment;
use crate::commands::drop::{DROPPING, Status, status_file};
use crate::settings::SourceSetting;

/// This program, also if it was replaced on disk since it was started.
const PROGRAM: &str = "/proc/self/exe";
/// What the service manager says to the agent alone.
const FOR_THE_AGENT: [&str; 4] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "OUTLAST_SHARE"];
/// Pauses before a process that ended is started again.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LONGEST: Duration = Duration::from_secs(300);
/// How long they may take to end in order; less than the agent itself has.
const END_MAX: Duration = Duration::from_secs(20);
const END_LOOK: Duration = Duration::from_millis(50);
/// A drop that takes longer may be one that waits for something that never comes.
const LONG: Duration = Duration::from_secs(6 * 3600);

/// Where what is kept of sources lies in an agent's state.
pub(super) fn sources_in(state: &Path) -> PathBuf {
    state.join("sources")
}

/// And of one of them.
pub(crate) fn directory_of(state: &Path, workload: &WorkloadName) -> PathBuf {
    sources_in(state).join(workload.as_str())
}

/// A source, and its process.
pub(super) struct Worker {
    workload: WorkloadName,
    words: Vec<OsString>,
    environment: Option<PathBuf>,
    status_file: PathBuf,
    /// When the status was last written, and what it said.
    told: Option<(SystemTime, Status)>,
    child: Option<Child>,
    /// Since when the process has been there, by the timer.
    since: Duration,
    backoff: Backoff,
    /// Why there is no process that works.
    trouble: Option<String>,
}

impl Worker {
    pub(super) fn new(source: &SourceSetting, how: Vec<OsString>, directory: PathBuf) -> Self {
        let mut worker = Self {
            workload: source.workload.clone(),
            words: source.command_line(how),
            environment: source.environment.clone(),
            status_file: status_file(&directory),
            told: None,
            child: None,
            since: Duration::ZERO,
            backoff: Backoff::default(),
            trouble: None,
        };
        worker.read_status();
        worker
    }

    pub(super) fn workload(&self) -> &WorkloadName {
        &self.workload
    }

    /// Why no drop can be made now.
    pub(super) fn failing(&self) -> Option<String> {
        self.trouble.clone().or_else(|| {
            let (_, status) = self.told.as_ref()?;
            status.problem.clone().or_else(|| hanging(status, SystemClock.now()))
        })
    }

    /// Looks at the process; starts one if there is none and it is time.
    pub(super) fn attend(&mut self, now: Duration, random: &dyn Random) {
        match self.ended() {
            None if self.child.is_some() => {
                // One that goes on is no failure, whatever it says of its work.
                if now.saturating_sub(self.since) >= PAUSE_LONGEST {
                    self.backoff.succeeded();
                }
                self.read_status();
            }
            None if self.backoff.is_waiting(now) => {}
            None => match self.start() {
                Ok(child) => {
                    tracing::info!(workload = %self.workload, process = child.id(), "attends to a source");
                    (self.child, self.since) = (Some(child), now);
                }
                Err(error) => self.failed(format!("{error:#}"), now, random),
            },
            Some(status) => {
                self.read_status();
                let how = match status.signal() {
                    Some(signal) => format!("was ended by signal {signal}"),
                    None => format!("ended with {status}"),
                };
                self.failed(
                    format!("the process that reads it {how}; see the agent's log"),
                    now,
                    random,
                );
            }
        }
    }

    fn failed(&mut self, trouble: String, now: Duration, random: &dyn Random) {
        let again = self.backoff.failed(now, PAUSE_FIRST, PAUSE_LONGEST, random);
        tracing::error!(workload = %self.workload, ?again, "a source fails: {trouble}");
        // What is wrong with its subject tells more than how a process ended.
        let said = self.told.as_ref().and_then(|(_, status)| status.problem.clone());
        self.trouble = Some(said.unwrap_or(trouble));
    }

    fn start(&self) -> Result<Child> {
        let mut command = Command::new(PROGRAM);
        command.arg0("outlast").arg("drop").args(&self.words);
        for name in FOR_THE_AGENT {
            command.env_remove(name);
        }
        if let Some(path) = &self.environment {
            command.envs(environment::read(path)?);
        }
        // The other end of its standard input is what it watches; what it and its programs say is in the
        // agent's log.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0);
        command.spawn().with_context(|| format!("cannot start a process for {}", self.workload))
    }

    /// How the process ended, if it has. What it may have left behind ends with it.
    fn ended(&mut self) -> Option<ExitStatus> {
        let child = self.child.as_mut()?;
        let pid = Pid::from_child(child);
        // Looked at, and not taken: as long as it is there, its number is nobody else's.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if matches!(waitid(WaitId::Pid(pid), options), Ok(None) | Err(Errno::INTR)) {
            return None;
        }
        // There may be nobody any more.
        let _ = kill_process_group(pid, Signal::KILL);
        let status = child.wait().ok();
        self.child = None;
        status.or_else(|| Some(ExitStatus::from_raw(0)))
    }

    fn read_status(&mut self) {
        let Ok(written) = fs::metadata(&self.status_file).and_then(|it| it.modified()) else {
            return;
        };
        if self.told.as_ref().is_some_and(|(at, _)| *at == written) {
            return;
        }
        if let Some(status) = Status::read(&self.status_file) {
            // A process that has come to say something works.
            if self.child.as_ref().is_some_and(|child| child.id() == status.process) {
                self.trouble = None;
            }
            self.told = Some((written, status));
        }
    }
}

/// What is to be said of a drop that does not come to its end, should the promise break of it.
fn hanging(status: &Status, now: Timestamp) -> Option<String> {
    let since = status.since.filter(|_| status.state == DROPPING)?;
    (now.since(since) >= LONG).then(|| {
        format!("the drop that was begun at {since} has not ended; look what it waits for")
    })
}

/// Lets all processes end, and kills those that do not.
pub(super) fn end_all(workers: &mut [Worker], timer: &SystemTimer) {
    for child in workers.iter_mut().filter_map(|worker| worker.child.as_mut()) {
        // Its end is what it watches for.
        drop(child.stdin.take());
    }
    let until = timer.elapsed() + END_MAX;
    let never = outlast_types::Interrupt::default();
    loop {
        let count = workers.iter_mut().filter_map(|worker| {
            worker.ended();
            worker.child.as_ref()
        });
        if count.count() == 0 {
            return;
        }
        if timer.elapsed() >= until {
            break;
        }
        timer.pause(END_LOOK, &never);
    }
    for worker in workers.iter_mut().filter(|worker| worker.child.is_some()) {
        tracing::warn!(workload = %worker.workload, "a source did not end in time, and is killed");
        if let Some(mut child) = worker.child.take() {
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_that_does_not_end_is_told_and_one_that_is_waited_for_is_not() {
        let at = |seconds| Timestamp::from_unix(seconds, 0).unwrap();
        let text = |state: &str| {
            format!(
                "{{\"workload\":\"shop\",\"state\":\"{state}\",\"since\":\"1970-01-01T00:00:00Z\",\
                 \"process\":1,\"due\":null,\"last_drop\":null,\"last_success\":null,\
                 \"failures\":0,\"problem\":null}}"
            )
        };
        let status = |state: &str| serde_json::from_str::<Status>(&text(state)).unwrap();
        let told = hanging(&status("dropping"), at(6 * 3600)).unwrap();
        assert!(told.contains("1970-01-01T00:00:00Z has not ended"), "{told}");
        assert_eq!(hanging(&status("dropping"), at(6 * 3600 - 1)), None);
        assert_eq!(hanging(&status("waiting"), at(86_400)), None);
    }
}
