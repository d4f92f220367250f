//! A schedule that is kept, for hosts without a scheduler.
//!
//! A drop that fails is logged and tried again; nothing but a signal ends the process. Whoever
//! watches over it hears what it does: the service manager by `sd_notify`, others by a file.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use outlast_drop::lease::Window;
use outlast_drop::schedule::{Agenda, Schedule, Step};
use outlast_drop::{Share, recent};
use outlast_types::pulse::Pulse;
use outlast_types::{Clock, SystemClock, SystemRandom, Timer, Timestamp};
use rustix::process::{WaitOptions, wait};

use super::room;
use super::round::{Outcome, Round};
use super::status::{DROPPING, Status};
use super::supervised::{Supervised, status_file};
use crate::exit::Code;
use crate::log::Log;
use crate::notify::Service;
use crate::output::counted;
use crate::signals::{Ended, Signals, is_first_process};

/// How often the service manager is told that the schedule is kept, if it wants to hear that.
const LOOK: Duration = Duration::from_millis(500);

/// Keeps `schedule` until a signal comes.
pub(super) fn keep(round: &mut Round<'_>, schedule: Schedule) -> Result<Code> {
    let _log = Log::start(&round.options.schedule.log);
    let pulse = Pulse::default();
    let mut service = Service::of_environment(std::slice::from_ref(&pulse));
    service.ready();
    let heard = std::sync::Arc::clone(&round.signals);
    // Also while a drop is made.
    thread::Builder::new()
        .name("watch".to_owned())
        .spawn(move || watch(&mut service, &heard))
        .context("cannot start a thread")?;
    let arguments = &round.options.schedule;
    let supervised = Supervised::begin(&arguments.supervised, &round.signals)?;
    let own = arguments.supervised.supervised.as_deref().map(status_file);
    let status_file = arguments.status_file.clone().or(own);
    // An agent's sources go on from where they were: what was wrong is until it is not.
    let before = supervised.as_ref().and(status_file.as_deref()).and_then(Status::read);
    let before = before.unwrap_or_else(|| Status::new(""));
    let mut keeper = Keeper {
        status: Status {
            last_drop: before.last_drop,
            last_success: before.last_success,
            stored_bytes: before.stored_bytes,
            gaps: before.gaps,
            problem: before.problem,
            ..Status::new(round.options.workload()?.as_str())
        },
        status_file,
        supervised,
        service: Service::of_environment(&[]),
        began: SystemClock.now(),
        agenda: Agenda::new(schedule),
        round,
        pulse,
        told: None,
    };
    let outcome = keeper.run();
    keeper.service.stopping();
    outcome
}

/// Tells the service manager that the schedule is kept, for as long as it is.
fn watch(service: &mut Service, signals: &Signals) {
    while signals.wait(LOOK).is_none() {
        service.watch();
    }
}

struct Keeper<'a, 'r> {
    round: &'a mut Round<'r>,
    agenda: Agenda,
    began: Timestamp,
    status: Status,
    status_file: Option<PathBuf>,
    supervised: Option<Supervised>,
    service: Service,
    pulse: Pulse,
    told: Option<String>,
}

impl Keeper<'_, '_> {
    fn run(&mut self) -> Result<Code> {
        loop {
            self.pulse.beat();
            if self.round.signals.asked().is_requested() {
                tracing::info!("stopping");
                return Ok(Code::Done);
            }
            let (now, elapsed) = (SystemClock.now(), self.round.timer.elapsed());
            match self.agenda.step(now, elapsed, &SystemRandom) {
                Step::Wait(pause) => {
                    let state = if self.agenda.failures() > 0 { "failing" } else { "waiting" };
                    let due = if self.agenda.failures() > 0 {
                        self.agenda.schedule().last_due(now)
                    } else {
                        self.agenda.schedule().next_due(now)
                    };
                    self.tell(state, due);
                    self.pulse.rest();
                    self.round.timer.pause(pause, self.round.signals.asked());
                }
                Step::Drop { due } => self.serve(due)?,
            }
            if is_first_process() {
                // Whatever a dump left behind is ours to bury here.
                while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
            }
        }
    }

    /// Makes the drop for a due time. Only a signal is an error.
    fn serve(&mut self, due: Timestamp) -> Result<()> {
        self.tell(DROPPING, due);
        self.pulse.rest();
        match self.attempt(due) {
            Ok(outcome) => {
                let drop = match &outcome {
                    Outcome::Sealed(sealed) => {
                        tracing::info!(drop = %sealed.drop, %due, bytes = sealed.bytes, "sealed");
                        self.status.stored_bytes = Some(sealed.stored_bytes);
                        self.status.gaps = sealed.problems.first().map(|first| {
                            let count = counted(sealed.problem_count, "thing");
                            format!("{count} could not be read, the first: {first}")
                        });
                        sealed.drop
                    }
                    Outcome::Another(drop) => {
                        tracing::info!(%drop, %due, "another drop is enough");
                        *drop
                    }
                };
                self.agenda.satisfied(due);
                self.status.last_drop = Some(drop.to_string());
                self.status.last_success = Some(SystemClock.now());
                self.status.problem = None;
                if let Err(error) = self.round.tell(&outcome) {
                    tracing::warn!("nobody takes the result: {error:#}");
                }
                Ok(())
            }
            Err(error) if error.is::<Ended>() => Err(error),
            Err(error) => {
                let elapsed = self.round.timer.elapsed();
                let pause = self.agenda.failed(elapsed, &SystemRandom);
                let problem = format!("{error:#}");
                tracing::error!(%due, failures = self.agenda.failures(), again = ?pause, "{problem}");
                self.status.problem = Some(problem);
                Ok(())
            }
        }
    }

    fn attempt(&mut self, due: Timestamp) -> Result<Outcome> {
        let now = SystemClock.now();
        let share = Share::open(self.round.options.share()?)?;
        // What was due before this process began may have been served by another instance.
        if due < self.began {
            let workload = self.round.options.workload()?;
            match recent::sealed_since(&share, workload, due, now) {
                Ok(Some(drop)) => return Ok(Outcome::Another(drop)),
                Ok(None) => {}
                Err(error) => tracing::warn!("dropping without knowing who else did: {error}"),
            }
        }
        let since = self.round.options.once_per.map(|window| {
            // A window that is longer than the interval spans several due times.
            if window > self.agenda.schedule().interval() {
                Window::beginning(now, window)
            } else {
                due
            }
        });
        let Some(supervised) = &self.supervised else { return self.round.drop(&share, since) };
        let _turn = supervised.turn(&self.round.signals)?;
        room::for_drop(share.path(), self.status.stored_bytes)?;
        self.round.drop(&share, since)
    }

    /// Tells the state, if it has changed.
    fn tell(&mut self, state: &'static str, due: Timestamp) {
        if self.status.state != state || self.status.since.is_none() {
            state.clone_into(&mut self.status.state);
            self.status.since = Some(SystemClock.now());
        }
        self.status.due = Some(due);
        self.status.failures = self.agenda.failures();
        let Ok(text) = serde_json::to_string_pretty(&self.status) else { return };
        if self.told.as_ref() == Some(&text) {
            return;
        }
        self.service.status(&match (&self.status.problem, state) {
            (Some(problem), "failing") => format!("failing: {problem}"),
            (_, DROPPING) => format!("dropping what is due since {due}"),
            _ => format!("waiting for {due}"),
        });
        if let Some(path) = &self.status_file
            && let Err(error) = Status::write(path, &text)
        {
            tracing::warn!("cannot write {}: {error:#}", path.display());
        }
        self.told = Some(text);
    }
}
