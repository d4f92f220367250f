//! The line to the destination: whether it is up, and whether whoever is at its end has begun anew.

use std::collections::BTreeMap;
use std::time::Duration;

use outlast_drop::DropAddress;
use outlast_types::{Backoff, ContentHash, Environment, ShareId};
use outlast_wire::CallError;
use outlast_wire::api::{AgentReport, Reported};
use outlast_wire::holdings::QUESTION_DROPS_MAX;

use crate::Shutdown;
use crate::destination::{Cargo, Content, Delivered, Destination, Failure};
use crate::secured::Secured;

/// The longest pause after failures of the line.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The line to the destination. After a failure it is left alone for a while, and all wait.
pub(crate) struct Line {
    destination: Box<dyn Destination>,
    environment: Environment,
    /// The first pause after failures.
    pause: Duration,
    backoff: Backoff,
    /// The run of the vault that was last heard, and the one that was asked what it holds.
    heard: Option<String>,
    asked: Option<String>,
}

/// Which drops their holder says it holds at this moment, and which not any more.
#[derive(Debug, Default)]
pub(crate) struct Confirmed {
    pub(crate) held: BTreeMap<DropAddress, Secured>,
    pub(crate) lost: Vec<DropAddress>,
}

impl Line {
    pub(crate) fn new(
        destination: Box<dyn Destination>,
        environment: Environment,
        pause: Duration,
    ) -> Self {
        let backoff = Backoff::default();
        Self { destination, environment, pause, backoff, heard: None, asked: None }
    }

    pub(crate) fn heed(&mut self, shutdown: &Shutdown) {
        self.destination.heed(shutdown);
    }

    pub(crate) fn speak_of(&mut self, share: ShareId) {
        self.destination.speak_of(share);
    }

    /// Whether it is left alone for now.
    pub(crate) fn is_waiting(&self) -> bool {
        self.backoff.is_waiting(self.environment.timer.elapsed())
    }

    /// Whether whoever is at its end was not asked yet what it holds, or has begun anew since.
    pub(crate) fn must_ask(&self) -> bool {
        self.asked.is_none() || self.asked != self.heard
    }

    /// Takes back that it was asked.
    pub(crate) fn ask_again(&mut self) {
        self.asked = None;
    }

    pub(crate) fn load(
        &mut self,
        cargo: &Cargo<'_>,
        accepted: &mut dyn FnMut(Content),
    ) -> Result<(), Failure> {
        let loaded = self.destination.load(cargo, accepted);
        loaded.inspect_err(|failure| self.heed_failure(failure))
    }

    pub(crate) fn deliver(
        &mut self,
        cargo: &Cargo<'_>,
        seal: ContentHash,
    ) -> Result<Delivered, Failure> {
        match self.destination.deliver(cargo, seal) {
            Ok(delivered) => {
                self.backoff.succeeded();
                Ok(delivered)
            }
            Err(failure) => {
                self.heed_failure(&failure);
                Err(failure)
            }
        }
    }

    /// Asks whether these drops are held at this moment.
    ///
    /// # Errors
    /// Why nothing is known of some of them. The answers that came before that are lost, too.
    pub(crate) fn confirm(
        &mut self,
        mut drops: BTreeMap<DropAddress, Secured>,
    ) -> Result<Confirmed, String> {
        let mut confirmed = Confirmed::default();
        while !drops.is_empty() {
            let rest = drops.keys().nth(QUESTION_DROPS_MAX).cloned();
            let rest = rest.map(|first| drops.split_off(&first)).unwrap_or_default();
            let batch = std::mem::replace(&mut drops, rest);
            let question = batch.values().map(|secured| secured.held.clone()).collect();
            let answer = self.destination.confirm(question, Vec::new())?;
            self.answered(answer.run);
            for (address, secured) in batch {
                if answer.held.contains(&secured.held) {
                    confirmed.held.insert(address, secured);
                } else {
                    confirmed.lost.push(address);
                }
            }
        }
        Ok(confirmed)
    }

    /// Shows a vault receipts that a vault signed.
    pub(crate) fn show(&mut self, receipts: Vec<String>) -> Result<(), String> {
        let answer = self.destination.confirm(Vec::new(), receipts)?;
        self.answered(answer.run);
        Ok(())
    }

    pub(crate) fn report(&mut self, report: &AgentReport) -> Result<Reported, CallError> {
        match self.destination.report(report) {
            Ok(reported) => {
                self.backoff.succeeded();
                self.heard = Some(reported.run.clone());
                Ok(reported)
            }
            Err(error) => {
                self.failed();
                Err(error)
            }
        }
    }

    fn answered(&mut self, run: String) {
        (self.heard, self.asked) = (Some(run.clone()), Some(run));
    }

    fn heed_failure(&mut self, failure: &Failure) {
        if let Failure::Unreachable(_) = failure {
            self.failed();
        }
    }

    fn failed(&mut self) {
        // Whoever answers next may be another, or the same with an older disk.
        self.asked = None;
        let now = self.environment.timer.elapsed();
        self.backoff.failed(now, self.pause, PAUSE_MAX, &*self.environment.random);
    }
}
