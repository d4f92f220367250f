//! The desk: where requests are found, decided on, and answered.

mod reply;
mod tidy;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outlast_drop::asking::{self, AnswerState, Desk as Place, Listed, Progress};
use outlast_drop::{Share, ShareError};
use outlast_types::{Backoff, Environment, RequestId, ShareId, WorkloadName};
use outlast_wire::IdentityHandle;
use outlast_wire::api::{AskedRequest, REQUESTS_MAX, WantedBackup};
use outlast_wire::fetching::Decision;
use outlast_wire::statement::Statement;

use super::FetchRules;
use super::grants::{Grants, Question};
use super::hatch::Hatch;
use super::kept::{Answer, Kept};
use super::reading::{End, Job, Reading};
use crate::Shutdown;
use crate::problem::{Met, Problem};

/// Workloads of which it is seen that somebody asks, and those that are looked at in one pass.
const RUNG_MAX: usize = 10_000;
const LOOKS_MAX: usize = 100;
/// Names in one directory of requests or answers that are looked at.
const NAMES_MAX: usize = 4 * REQUESTS_MAX;
/// The pause between two passes while somebody waits.
const QUICK: Duration = Duration::from_secs(1);
/// How often the vault is asked for one workload at most.
const ASK_AGAIN: Duration = Duration::from_secs(3);
/// Pauses after something went wrong.
const PAUSE_FIRST: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// So many failures in a row are no hiccup.
const STUCK_AFTER: u32 = 3;

/// What a desk is made of.
pub(crate) struct DeskParts {
    pub(crate) rules: FetchRules,
    pub(crate) vault: Arc<dyn Grants>,
    pub(crate) hatch: Arc<Hatch>,
    pub(crate) identity: IdentityHandle,
    pub(crate) environment: Environment,
    /// Where it keeps what it knows of answers.
    pub(crate) directory: PathBuf,
    /// Where indexes of repositories lie while they are read.
    pub(crate) scratch: PathBuf,
}

/// Answers requests.
pub(crate) struct Desk {
    parts: DeskParts,
    /// What is kept, of the share that is served.
    kept: Option<(ShareId, Kept)>,
    open: BTreeMap<WorkloadName, Open>,
    reading: Option<Reading>,
    /// What is known of single answers, as long as this run lasts.
    known: BTreeMap<String, Known>,
    /// Where the next pass goes on.
    next: Option<WorkloadName>,
    beat: u64,
    /// Whether the share has no place to ask at.
    is_closed: bool,
}

/// A workload of which somebody asks.
#[derive(Default)]
struct Open {
    /// The requests that have a reply, and the answer that it names.
    replied: BTreeMap<RequestId, Replied>,
    /// When the vault may be asked again.
    ask_after: Duration,
    backoff: Backoff,
    tidied: Option<Duration>,
    /// Whether some have no reply yet, and whether it is told why.
    is_waited: bool,
    is_told: bool,
}

#[derive(Clone)]
struct Replied {
    asked: AskedRequest,
    answer: Option<String>,
}

/// What is known of an answer, and may be lost.
#[derive(Default)]
struct Known {
    ticket: Option<Statement>,
    backoff: Backoff,
    /// Why it waits, or will not come.
    reason: Option<String>,
    failed: bool,
    told_whole: bool,
    /// Since when no reply names it.
    idle_since: Option<Duration>,
}

impl Desk {
    pub(crate) fn new(parts: DeskParts) -> Self {
        let (kept, open, reading, known, next, beat, is_closed) = Default::default();
        Self { parts, kept, open, reading, known, next, beat, is_closed }
    }

    /// Answers until `shutdown`.
    pub(crate) fn run(&mut self, poll: Duration, shutdown: &Shutdown) {
        let timer = Arc::clone(&self.parts.environment.timer);
        loop {
            let pause = if self.pass() { poll.min(QUICK) } else { poll };
            if timer.pause(pause, shutdown) {
                break;
            }
        }
        if let Some(reading) = self.reading.take() {
            // What lies there and is listed is not fetched again.
            reading.stop();
            reading.end();
        }
    }

    /// Looks once at what is asked, and goes on with what is being answered; whether somebody waits.
    pub(crate) fn pass(&mut self) -> bool {
        let Some(share) = self.parts.hatch.share() else { return false };
        self.beat += 1;
        let mut problems = Vec::new();
        self.take_end(&share);
        if let Err(error) = self.look_over(&share, &mut problems) {
            problems.push(Met::Unreadable(share.path().to_owned()).because(error.to_string()));
        }
        self.begin_next(&share);
        problems.extend(self.stuck());
        let is_waited = self.reading.is_some() || self.open.values().any(|open| open.is_waited);
        let has_unfinished =
            self.kept.as_ref().is_some_and(|(_, kept)| kept.iter().any(|it| !it.is_whole));
        self.parts.hatch.tell(problems);
        is_waited || has_unfinished
    }

    fn elapsed(&self) -> Duration {
        self.parts.environment.timer.elapsed()
    }

    /// Looks at each workload of which somebody asks.
    fn look_over(&mut self, share: &Share, problems: &mut Vec<Problem>) -> Result<(), ShareError> {
        if self.kept.as_ref().is_none_or(|(id, _)| *id != share.id())
            && !self.begin(share, problems)
        {
            return Ok(());
        }
        let (rung, is_whole) = match asking::rung(share, RUNG_MAX) {
            Ok(rung) => rung,
            // Somebody removed it, or the share is another.
            Err(error) => {
                self.kept = None;
                return Err(error);
            }
        };
        if !is_whole {
            let path = share.path().join(outlast_drop::layout::FETCH);
            let reason = format!("more than {RUNG_MAX} names tell that somebody asks; remove them");
            problems.push(Met::Stray(path).because(reason));
        }
        let all: BTreeSet<WorkloadName> = rung.into_iter().collect();
        self.open.retain(|workload, _| all.contains(workload));
        let turn = self.next.take();
        let (before, after): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|workload| turn.as_ref().is_some_and(|turn| workload < turn));
        let mut by_turns = after.into_iter().chain(before);
        for workload in by_turns.by_ref().take(LOOKS_MAX) {
            if let Err(error) = self.look(share, &workload, problems) {
                problems.push(hindered(share, &workload, &error));
            }
        }
        self.next = by_turns.next();
        Ok(())
    }

    /// Begins to serve a share; whether it can.
    fn begin(&mut self, share: &Share, problems: &mut Vec<Problem>) -> bool {
        if let Err(error) = asking::open(share) {
            // Nobody can ask there, which whoever wants to sees at once. It is tried again.
            if !std::mem::replace(&mut self.is_closed, true) {
                tracing::warn!(%error, "no instance of this share can ask for a backup");
            }
            return false;
        }
        self.is_closed = false;
        if let Some(reading) = self.reading.take() {
            reading.stop();
            reading.end();
        }
        (self.open, self.known) = Default::default();
        match Kept::load(&self.parts.directory, share.id()) {
            Ok(kept) => {
                self.kept = Some((share.id(), kept));
                true
            }
            Err(error) => {
                let place = self.parts.directory.display();
                let reason = format!("no backup is brought back, because of {place}: {error}");
                problems.push(Met::StateUnwritable.because(reason));
                false
            }
        }
    }

    /// Looks at the requests for one workload.
    fn look(
        &mut self,
        share: &Share,
        workload: &WorkloadName,
        problems: &mut Vec<Problem>,
    ) -> Result<(), ShareError> {
        let requests = Place::find_requests(share, workload)?;
        let asked = listed(requests.as_ref())?;
        if !asked.is_whole || asked.requests.len() > REQUESTS_MAX {
            let reason = format!(
                "more than {REQUESTS_MAX} instances ask for backups of {workload} at once; the others wait \
                 until some of the requests are gone"
            );
            problems.push(Met::TooManyRequests(workload.clone()).because(reason));
        }
        let answers = Place::find_answers(share, workload)?;
        let given = listed(answers.as_ref())?;
        if asked.requests.is_empty() && given.requests.is_empty() && given.answers.is_empty() {
            return self.leave(share, workload);
        }
        let Some(requests) = requests else {
            let requests = Place::of_requests(share, workload)?;
            return self.tidy(&requests, answers.as_ref(), workload, &asked, &given);
        };
        self.tidy(&requests, answers.as_ref(), workload, &asked, &given)?;
        self.hear(share, workload, &requests, &asked, problems)?;
        self.tell_of_answers(share, workload)
    }

    /// Nobody asks, and nothing is left of answers.
    fn leave(&mut self, share: &Share, workload: &WorkloadName) -> Result<(), ShareError> {
        self.open.remove(workload);
        asking::unring(share, workload)?;
        // Who asked in this moment finds that somebody was told already.
        let asked = listed(Place::find_requests(share, workload)?.as_ref())?;
        if asked.requests.is_empty() { Ok(()) } else { asking::ring(share, workload) }
    }

    /// Tells those who wait for an answer how far it has come.
    fn tell_of_answers(
        &mut self,
        share: &Share,
        workload: &WorkloadName,
    ) -> Result<(), ShareError> {
        let Some((_, kept)) = &self.kept else { return Ok(()) };
        let answers = Place::of_answers(share, workload)?;
        let unfinished = kept.iter().filter(|answer| !answer.is_whole).count();
        for answer in kept.iter().filter(|answer| answer.workload == *workload) {
            let known = self.known.entry(answer.name.clone()).or_default();
            if known.told_whole {
                continue;
            }
            let reading = self.reading.as_ref().filter(|reading| reading.answer == answer.name);
            let (state, bytes) = match reading {
                _ if answer.is_whole => (AnswerState::Whole, answer.backup.size),
                _ if known.failed => (AnswerState::Failed, 0),
                Some(reading) => (AnswerState::Writing, reading.bytes()),
                None => (AnswerState::Waiting, 0),
            };
            let reason = match state {
                AnswerState::Whole | AnswerState::Writing => None,
                _ => known.reason.clone().or_else(|| Some(turn(unfinished))),
            };
            let (total, beat) = (answer.backup.size, self.beat);
            if answer.is_whole {
                // Their time counts from now: who waited so long must have as long to read.
                let open = self.open.get(workload);
                let replied = open.iter().flat_map(|open| &open.replied);
                let named = replied.filter(|(_, it)| it.answer.as_ref() == Some(&answer.name));
                for (id, _) in named {
                    answers.replied(*id)?.map_or(Ok(()), |reply| answers.reply(&reply))?;
                }
            }
            answers.tell(Some(&answer.name), &Progress { state, bytes, total, reason, beat })?;
            known.told_whole = answer.is_whole;
        }
        Ok(())
    }

    /// Hears how the reading under way ended, if it did.
    fn take_end(&mut self, share: &Share) {
        if self.reading.as_ref().is_some_and(Reading::has_ended)
            && let Some(reading) = self.reading.take()
        {
            let answer = reading.answer.clone();
            let end = reading.end();
            self.ended(share, &answer, end);
        }
    }

    /// What does not come, and not for a moment alone.
    fn stuck(&self) -> Vec<Problem> {
        let kept = self.kept.iter().flat_map(|(_, kept)| kept.iter());
        let stuck = kept.filter_map(|answer| {
            let known = self.known.get(&answer.name)?;
            let is_stuck = known.failed || known.backoff.failures() > STUCK_AFTER;
            let reason = known.reason.clone().filter(|_| is_stuck)?;
            Some(Met::NotAnswered(answer.workload.clone()).because(reason))
        });
        stuck.collect()
    }

    /// Begins to read the next answer, if none is being read.
    fn begin_next(&mut self, share: &Share) {
        let now = self.elapsed();
        let (None, Some((_, kept))) = (&self.reading, &self.kept) else { return };
        if self.parts.hatch.has_no_room() {
            return;
        }
        let is_ready = |answer: &&Answer| {
            let known = self.known.get(&answer.name);
            !answer.is_whole && known.is_none_or(|it| !it.failed && !it.backoff.is_waiting(now))
        };
        let next = kept.iter().filter(is_ready).min_by_key(|it| (it.begun, it.name.clone()));
        let Some(answer) = next.cloned() else { return };
        let Some(ticket) = self.ticket(&answer) else { return };
        let job = Job {
            share: share.clone(),
            answer: answer.clone(),
            ticket,
            vault: Arc::clone(&self.parts.vault),
            hatch: Arc::clone(&self.parts.hatch),
            environment: self.parts.environment.clone(),
            scratch: self.parts.scratch.clone(),
        };
        tracing::info!(workload = %answer.workload, drop = %answer.backup.drop, "bringing a backup back");
        match Reading::start(job) {
            Ok(reading) => self.reading = Some(reading),
            Err(error) => self.failed(&answer.name, format!("no thread can be started: {error}")),
        }
    }

    /// Leave to read what an answer is made of; asked for again if there is none.
    fn ticket(&mut self, answer: &Answer) -> Option<Statement> {
        if let Some(ticket) = self.known.get(&answer.name).and_then(|known| known.ticket.clone()) {
            return Some(ticket);
        }
        let open = self.open.get(&answer.workload)?;
        let named = open.replied.values().filter(|it| it.answer.as_ref() == Some(&answer.name));
        let requests: Vec<_> = named.map(|it| it.asked).take(REQUESTS_MAX).collect();
        if requests.is_empty() {
            // Nobody asks any more, or it is not known yet who does.
            return None;
        }
        let question = Question {
            share: answer.share,
            workload: answer.workload.clone(),
            wanted: WantedBackup::Drop(answer.backup.drop),
            requests,
            proof: self.parts.rules.asked_by.as_str(),
        };
        match self.parts.vault.ask(&question) {
            Ok((decided, given)) => match decided.decision {
                Decision::Granted(backup) if backup.tree == answer.backup.tree => {
                    let known = self.known.entry(answer.name.clone()).or_default();
                    known.ticket.clone_from(&given.ticket);
                    given.ticket
                }
                Decision::Granted(_) => {
                    self.given_up(answer, "the vault has another drop under its id")
                }
                Decision::None { reason } | Decision::Refused { reason, .. } => {
                    self.given_up(answer, &reason)
                }
            },
            Err(error) => {
                self.failed(&answer.name, format!("the vault cannot be asked: {error}"));
                None
            }
        }
    }

    fn given_up(&mut self, answer: &Answer, reason: &str) -> Option<Statement> {
        let known = self.known.entry(answer.name.clone()).or_default();
        (known.failed, known.reason) = (true, Some(reason.to_owned()));
        None
    }

    /// Something went wrong that may pass.
    fn failed(&mut self, answer: &str, reason: String) {
        tracing::warn!(answer, "a backup is not brought back yet: {reason}");
        let now = self.elapsed();
        let random = &*self.parts.environment.random;
        let known = self.known.entry(answer.to_owned()).or_default();
        known.reason = Some(reason);
        known.backoff.failed(now, PAUSE_FIRST, PAUSE_MAX, random);
    }

    /// A reading has come to its end.
    fn ended(&mut self, share: &Share, answer: &str, end: End) {
        let Some((_, kept)) = &mut self.kept else { return };
        let Some(workload) = kept.get(answer).map(|it| it.workload.clone()) else { return };
        match end {
            End::Whole => {
                tracing::info!(%workload, "a backup lies on the share for those who asked for it");
                if let Err(error) = kept.is_whole(answer) {
                    // It is read again by the next run; this one knows.
                    tracing::warn!(%error, "cannot note that an answer is whole");
                }
                let known = self.known.entry(answer.to_owned()).or_default();
                known.reason = None;
                known.backoff.succeeded();
            }
            End::Stopped => {}
            End::NoGrant => {
                // It ended, or was taken back: the vault says which when it is asked again.
                self.known.entry(answer.to_owned()).or_default().ticket = None;
                self.failed(answer, "the vault's leave to read it has ended".to_owned());
            }
            End::Later(reason) => self.failed(answer, reason),
            End::Full(reason) => {
                // Drops come first: what it took of the share is given back at once.
                let emptied = Place::of_answers(share, &workload)
                    .and_then(|answers| answers.remove_content(answer));
                if let Err(error) = emptied {
                    tracing::warn!(%error, "cannot give back what an answer took of the share");
                }
                self.failed(answer, format!("the share has no room for it: {reason}"));
            }
            End::Failed(reason) => {
                tracing::error!(%workload, "a backup cannot be brought back: {reason}");
                let known = self.known.entry(answer.to_owned()).or_default();
                (known.failed, known.reason) = (true, Some(reason));
            }
        }
    }
}

fn listed(place: Option<&Place>) -> Result<Listed, ShareError> {
    place.map_or(Ok(Listed { is_whole: true, ..Listed::default() }), |place| place.list(NAMES_MAX))
}

/// What keeps the requests for a workload from being answered.
fn hindered(share: &Share, workload: &WorkloadName, error: &ShareError) -> Problem {
    match error {
        ShareError::Io { path, .. } if error.is_later() => {
            Met::Unreadable(path.clone()).because(error.to_string())
        }
        _ if error.is_later() => {
            Met::Unreadable(share.path().to_owned()).because(error.to_string())
        }
        _ => Met::NotAnswered(workload.clone()).because(error.to_string()),
    }
}

/// When one of so many `unfinished` answers is written.
fn turn(unfinished: usize) -> String {
    match unfinished {
        0 | 1 => "it is the next to be written".to_owned(),
        _ => format!("{unfinished} answers are to be written, one after the other"),
    }
}

#[cfg(test)]
mod tests;
