//! A backup product that is there already: the directory that an agent hands drops over in, and the jobs that
//! read it.
//!
//! Each agent has one. A job reads what lies there when it begins, once a day; some time after it ended well, the
//! product says that it has that. What the agent tells the vault of it, it tells with its reports.

use super::dice::Dice;
use super::happening::{Happening, What, Whom};
use super::infrastructure::Infrastructure;
use super::scenario::Scenario;
use super::spans::Spans;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// How long a drop may lie there before it is read, and may be read before it is confirmed.
pub(crate) const READ_WITHIN: u64 = 26 * HOUR;
pub(crate) const CONFIRM_WITHIN: u64 = 12 * HOUR;
/// As every agent calls it.
pub(crate) const HANDOVER: &str = "nbu";

/// What reads an agent's directory.
#[derive(Debug, Clone)]
pub(crate) struct Product {
    agent: usize,
    /// At which second of the world's day its jobs begin.
    pub(crate) hour: u64,
    jobs: Vec<Job>,
    /// When the directory takes nothing: it is full, or does not work.
    full: Spans,
    unusable: Spans,
}

/// A job, by the receiver's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) begun: u64,
    pub(crate) ended: u64,
    /// When the product says that it has what it read; none if the job failed.
    pub(crate) confirmed: Option<u64>,
}

/// A good drop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given {
    pub(crate) drop: u32,
    pub(crate) seen: u64,
    pub(crate) vaulted: u64,
}

/// How a drop fares in a directory, as its agent tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lying {
    /// Since when it lies there and is not confirmed; and when it appeared first.
    pub(crate) from: u64,
    pub(crate) appeared: u64,
    /// When it is told that it was read, and confirmed; the end of all time if it is not.
    pub(crate) read: u64,
    pub(crate) confirmed: u64,
    /// Whether the product had it, and has it no more.
    pub(crate) is_again: bool,
}

/// What an agent tells of its directory, from one report on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) unread: Option<u64>,
    pub(crate) unconfirmed: Option<u64>,
    /// When the last job began, if it failed.
    pub(crate) failed: Option<u64>,
    /// Whether it is full, if it takes nothing.
    pub(crate) room: Option<bool>,
}

impl Product {
    pub(crate) fn of(
        agent: usize,
        scenario: &Scenario,
        it: &Infrastructure,
        happenings: &[Happening],
    ) -> Self {
        let number = u32::try_from(agent).unwrap_or(u32::MAX);
        let mut dice = Dice::of(scenario.seed, 6, number.into());
        let hour = dice.within(0, 24) * HOUR + dice.within(0, 60) * MINUTE;
        let spans = |what: What| -> Spans {
            let its = happenings.iter();
            let its = its.filter(|one| one.whom == Whom::Agent(number) && one.what == what);
            its.map(|one| it.span(one)).collect()
        };
        let (idle, fails) = (spans(What::ProductIdle), spans(What::JobsFail));
        let silent = spans(What::NeverConfirms);
        let mut jobs: Vec<Job> = Vec::new();
        for day in 0..u64::from(scenario.days) {
            let (takes, says) = (dice.within(5, 90), dice.within(10, 120));
            let begun = it.heard_at(day * DAY + hour);
            let is_busy = jobs.last().is_some_and(|last| begun <= last.ended);
            if idle.contains(begun) || is_busy {
                continue;
            }
            let ended = begun + takes * MINUTE;
            // Whoever asks the product asks again until it answers.
            let confirmed = silent.first_outside(ended + says * MINUTE);
            let confirmed = (!fails.contains(begun)).then_some(confirmed);
            jobs.push(Job { begun, ended, confirmed });
        }
        let (full, unusable) = (spans(What::HandoverFull), spans(What::HandoverBroken));
        Self { agent, hour, jobs, full, unusable }
    }

    /// When a drop appears in the directory that is seen at `seen`, by what is told.
    pub(crate) fn appears(&self, it: &Infrastructure, seen: u64) -> u64 {
        let closed = self.full.or(&self.unusable);
        let mut at = seen;
        while closed.contains(at) {
            at = it.next_report(self.agent, closed.first_outside(at));
        }
        at
    }

    /// How what lies there, `(from, appeared)`, fares with the jobs that begin after a moment.
    pub(crate) fn takes(&self, it: &Infrastructure, lies: (u64, u64), after: u64) -> Lying {
        let mut next = self.jobs[self.jobs.partition_point(|job| job.begun <= after)..].iter();
        let job = next.find(|job| job.confirmed.is_some());
        let told = |at: u64| it.next_report(self.agent, at);
        let (read, confirmed) = (u64::MAX, u64::MAX);
        let never = Lying { from: lies.0, appeared: lies.1, read, confirmed, is_again: false };
        job.map_or(never, |job| Lying {
            read: told(job.ended),
            confirmed: job.confirmed.map_or(u64::MAX, told),
            ..never
        })
    }

    /// What its agent tells, from which report on, where all this lay there.
    pub(crate) fn told(&self, it: &Infrastructure, lying: &[Lying]) -> Vec<(u64, Told)> {
        let mut turns: Vec<u64> = vec![it.next_report(self.agent, 0)];
        turns.extend(lying.iter().flat_map(|one| [one.from, one.read, one.confirmed]));
        turns.extend(self.jobs.iter().map(|job| it.next_report(self.agent, job.ended)));
        let closed = self.full.iter().chain(self.unusable.iter());
        let closed = closed.flat_map(|(from, until)| [from, until]);
        turns.extend(closed.map(|at| it.next_report(self.agent, at)));
        turns.retain(|at| *at < it.end);
        turns.sort_unstable();
        turns.dedup();
        let mut lying: Vec<Lying> = lying.to_vec();
        lying.sort_unstable_by_key(|one| one.from);
        let (mut here, mut left) = (Vec::new(), lying.iter().peekable());
        let mut told: Vec<(u64, Told)> = Vec::new();
        for at in turns {
            while let Some(one) = left.next_if(|one| one.from <= at) {
                here.push(*one);
            }
            here.retain(|one: &Lying| at < one.confirmed);
            let word = self.word(at, &here);
            if told.last().is_none_or(|(_, before)| *before != word) {
                told.push((at, word));
            }
        }
        told
    }

    fn word(&self, at: u64, here: &[Lying]) -> Told {
        let ended = self.jobs.iter().take_while(|job| job.begun < at).filter(|job| job.ended <= at);
        let failed = ended.last().filter(|job| job.confirmed.is_none()).map(|job| job.begun);
        // What was withdrawn is told as that.
        let waiting = || here.iter().filter(|one| !one.is_again);
        let unread = waiting().filter(|one| at < one.read).map(|one| one.appeared).min();
        let unconfirmed = waiting().map(|one| one.appeared).min();
        let room = match (self.full.contains(at), self.unusable.contains(at)) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            _ => None,
        };
        Told { unread, unconfirmed, failed, room }
    }
}
