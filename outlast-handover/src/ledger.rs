//! The ledger: what was offered, which jobs there were, and what follows. Pure.
//!
//! ```text
//! offered ──a job that began after it appeared has sent all──► read
//!         ──each of its files lies in a job that ended well──► confirmed
//!         ──a newer one is confirmed, and the rules allow────► releasable
//! ```
//!
//! Only what happened is kept; states are derived from it. So the same event twice changes nothing, the order in which words of a
//! job arrive does not matter, and a word that is taken back takes back what followed from it.

mod event;
mod job;
mod tracked;

use std::collections::{BTreeMap, BTreeSet};

use outlast_types::{DropId, Timestamp, WorkloadName};
use serde::Serialize;

use crate::evidence::{FileFact, Holds, Listing, Outcome, Statement};
use crate::file_set::FileSet;
use crate::job::JobKey;
use crate::offer::{DropKey, Offer};
use crate::rules::Rules;

pub use event::{Event, Received, Snapshot};
pub use job::{Job, StreamEnd, UNTOLD};
pub use tracked::{Told, Tracked};

/// Jobs that are remembered although no drop needs them.
const JOBS_KEPT: usize = 200;
/// Jobs of one schedule that are remembered to have all of a drop.
const HOLDERS_MAX: usize = 8;
/// Drops that have left, of which it is remembered that they were here.
const GONE_KEPT: usize = 50_000;

/// Where a drop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is in the directory.
    Offered,
    /// A client says that it has sent it.
    Read,
    /// The product has all of it.
    Confirmed,
    /// It may leave, too.
    Releasable,
}

/// What was offered and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    offers: BTreeMap<WorkloadName, BTreeMap<DropId, Tracked>>,
    jobs: BTreeMap<JobKey, Job>,
    gone: BTreeMap<DropKey, Timestamp>,
}

impl Ledger {
    /// Takes in what happened.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Snapshot(snapshot) => *self = snapshot.into(),
            Event::Offered(offer) => {
                self.gone.remove(&offer.key());
                let (held, told, released) = Default::default();
                let tracked = Tracked { offer, held, told, released };
                self.put(tracked);
            }
            Event::Void { drop } => self.take(&drop),
            Event::Ended { lease, status, at } => {
                let job = self.job(lease.job.clone());
                job.began_by(Some(lease.began));
                job.expects(lease.streams);
                job.streams.insert(lease.stream, StreamEnd { status: Some(status), at });
            }
            Event::Lapsed { lease, at } => {
                let job = self.job(lease.job.clone());
                job.began_by(Some(lease.began));
                job.expects(lease.streams);
                // What the client said counts for more than that nobody said anything.
                job.streams.entry(lease.stream).or_insert(StreamEnd { status: None, at });
            }
            Event::Evidence(received) => self.take_evidence(*received),
            Event::Withdrawn { job, at, reason } => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.withdrawn = Some((at, reason));
                }
            }
            Event::Removed { drop, at } => {
                self.take(&drop);
                self.gone.insert(drop, at);
            }
            Event::Told { drop, told } => {
                if let Some(tracked) = self.find(&drop) {
                    tracked.told.insert(told);
                    if told == Told::Confirmed {
                        tracked.told.remove(&Told::TakenBack);
                    }
                }
            }
            Event::Released { release, .. } => {
                if let Some(tracked) = self.find(&release.drop) {
                    tracked.released = Some(release);
                }
            }
            Event::TakenBack { drop } => {
                if let Some(tracked) = self.find(&drop) {
                    tracked.told.retain(|told| *told == Told::HandedOver);
                    tracked.told.insert(Told::TakenBack);
                }
            }
        }
    }

    fn take_evidence(&mut self, received: Received) {
        let Received { statement, held, at } = received;
        let key = statement.job.key();
        let job = self.job(statement.job);
        job.began_by(statement.began);
        job.evidence_at = Some(at);
        job.ended = statement.ended.or(job.ended);
        job.product = statement.product.or(job.product.take());
        job.by = Some(statement.by);
        // New evidence is of now: it takes back that something was withdrawn.
        job.withdrawn = None;
        let before = job.outcome.replace(statement.outcome);
        if before.is_some() && before != job.outcome {
            // What was said of what it has was said of a job that ended otherwise.
            let all = self.offers.values_mut().flat_map(BTreeMap::values_mut);
            all.for_each(|tracked| drop(tracked.held.remove(&key)));
        }
        for (drop, files) in held {
            let Some(tracked) = self.find(&drop) else { continue };
            let before = tracked.held.get(&key).cloned().unwrap_or_default();
            tracked.held.insert(key.clone(), before.union(&files));
        }
    }

    fn put(&mut self, tracked: Tracked) {
        let drops = self.offers.entry(tracked.offer.workload.clone()).or_default();
        drops.insert(tracked.offer.drop, tracked);
    }

    fn take(&mut self, drop: &DropKey) {
        let Some(drops) = self.offers.get_mut(&drop.workload) else { return };
        drops.remove(&drop.drop);
        if drops.is_empty() {
            self.offers.remove(&drop.workload);
        }
    }

    fn find(&mut self, drop: &DropKey) -> Option<&mut Tracked> {
        self.offers.get_mut(&drop.workload)?.get_mut(&drop.drop)
    }

    fn job(&mut self, facts: crate::job::JobFacts) -> &mut Job {
        let key = facts.key();
        let job = self.jobs.entry(key).or_default();
        job.facts = std::mem::take(&mut job.facts).or(&facts);
        job
    }

    /// Which files of which drops a job has, as a statement says; `files_of` gives the files of a drop.
    ///
    /// A drop that appeared after the job had begun is none of its own, whatever is listed.
    pub fn coverage(
        &self,
        statement: &Statement,
        directory: &str,
        mut files_of: impl FnMut(&Offer) -> Option<Vec<FileFact>>,
    ) -> Vec<(DropKey, FileSet)> {
        let known = self.jobs.get(&statement.job.key()).and_then(|job| job.began);
        let Some(began) = known.or(statement.began) else { return Vec::new() };
        let appeared = self.offers().filter(|it| it.offer.appeared < began);
        match &statement.holds {
            Holds::Unsaid => Vec::new(),
            Holds::Everything if statement.outcome == Outcome::Well => {
                // Each daily job would be written down for all drops that are here.
                let is_new = |it: &&Tracked| {
                    it.held.len() < HOLDERS_MAX || !self.is_held_often(it, statement)
                };
                appeared
                    .filter(is_new)
                    .map(|it| (it.offer.key(), FileSet::whole(it.offer.files)))
                    .collect()
            }
            Holds::Everything => Vec::new(),
            Holds::Listed(listed) => {
                let listing = Listing::new(listed, directory);
                let held = appeared.filter_map(|it| {
                    let held = listing.held(&files_of(&it.offer)?);
                    (!held.is_empty()).then(|| (it.offer.key(), held))
                });
                held.collect()
            }
        }
    }

    /// Whether so many jobs of this one's schedule and type have a drop already that one more says nothing.
    fn is_held_often(&self, tracked: &Tracked, statement: &Statement) -> bool {
        let (schedule, kind) = (&statement.job.schedule, &statement.job.kind);
        let alike = self.holders(tracked).filter(|(key, job)| {
            let is_alike = job.facts.schedule == *schedule && job.facts.kind == *kind;
            is_alike
                && tracked.held.get(*key).is_some_and(|held| held.is_whole(tracked.offer.files))
        });
        alike.count() >= HOLDERS_MAX
    }

    /// The state of a drop; `None` if it is not in the directory.
    pub fn state(&self, drop: &DropKey, rules: &Rules) -> Option<State> {
        let tracked = self.get(drop)?;
        let releasable = self.releasable_of(&drop.workload, rules);
        Some(self.state_of(tracked, &releasable, self.sent_until()))
    }

    /// The states of all drops, the oldest of each workload first.
    pub fn states(&self, rules: &Rules) -> Vec<(&Tracked, State)> {
        let sent_until = self.sent_until();
        let mut states = Vec::new();
        for workload in self.offers.keys() {
            let releasable = self.releasable_of(workload, rules);
            let drops = self.of_workload(workload);
            states.extend(drops.map(|it| (it, self.state_of(it, &releasable, sent_until))));
        }
        states
    }

    fn state_of(
        &self,
        tracked: &Tracked,
        releasable: &[DropKey],
        sent_until: Option<Timestamp>,
    ) -> State {
        // What somebody lets go since the vault holds it is not confirmed by that.
        if self.is_confirmed(tracked) {
            let may_leave = releasable.contains(&tracked.offer.key());
            if may_leave { State::Releasable } else { State::Confirmed }
        } else if sent_until.is_some_and(|began| began > tracked.offer.appeared) {
            State::Read
        } else {
            State::Offered
        }
    }

    /// When the newest job began whose client has sent all.
    fn sent_until(&self) -> Option<Timestamp> {
        self.jobs.values().filter(|job| job.has_sent()).filter_map(|job| job.began).max()
    }

    /// The drops that may leave, the oldest first.
    pub fn releasable(&self, rules: &Rules) -> Vec<DropKey> {
        let workloads = self.offers.keys();
        let mut all: Vec<_> =
            workloads.flat_map(|workload| self.releasable_of(workload, rules)).collect();
        all.sort_by_key(|drop| self.get(drop).map(|it| it.offer.appeared));
        all
    }

    /// Those of one workload: confirmed, also by a job of each schedule that the rules name, and beyond the newest
    /// that are; and those that somebody lets go.
    fn releasable_of(&self, workload: &WorkloadName, rules: &Rules) -> Vec<DropKey> {
        let confirmed: Vec<&Tracked> =
            self.of_workload(workload).filter(|it| self.is_confirmed(it)).collect();
        let beyond = confirmed.len().saturating_sub(rules.keep.max(1));
        let may_leave = confirmed[..beyond].iter().filter(|tracked| {
            rules.keep_until.iter().all(|schedule| self.is_confirmed_by(tracked, schedule))
        });
        let by_hand = self.of_workload(workload).filter(|it| self.is_let_go(it));
        let all: BTreeSet<DropKey> =
            may_leave.copied().chain(by_hand).map(|tracked| tracked.offer.key()).collect();
        all.into_iter().collect()
    }

    /// Whether somebody lets a drop go, and what they let it go for stands: a confirmation may have been withdrawn since.
    pub fn is_let_go(&self, tracked: &Tracked) -> bool {
        tracked.released.as_ref().is_some_and(|it| it.vaulted || self.is_confirmed(tracked))
    }

    /// Whether all files of a drop lie in jobs that count.
    pub fn is_confirmed(&self, tracked: &Tracked) -> bool {
        self.held_where(tracked, |_| true).is_whole(tracked.offer.files)
    }

    /// Whether a drop is confirmed, and one of its workload that appeared later is, too: then the older one is not the
    /// newest that the product has. What has left the directory was so.
    pub fn is_outlived(&self, drop: &DropKey) -> bool {
        let Some(tracked) = self.get(drop) else { return self.is_gone(drop) };
        let is_newer = |it: &&Tracked| it.offer.since() > tracked.offer.since();
        self.is_confirmed(tracked)
            && self.of_workload(&drop.workload).filter(is_newer).any(|it| self.is_confirmed(it))
    }

    /// The same of jobs of one schedule or type alone.
    pub fn is_confirmed_by(&self, tracked: &Tracked, schedule: &str) -> bool {
        let held = self.held_where(tracked, |job| job.facts.is_of(schedule));
        held.is_whole(tracked.offer.files)
    }

    /// The files of a drop that the jobs have which count and are meant.
    pub fn held_where(&self, tracked: &Tracked, is_meant: impl Fn(&Job) -> bool) -> FileSet {
        let counting = tracked.held.iter().filter(|(key, _)| {
            let job = self.jobs.get(*key);
            job.is_some_and(|job| job.counts() && job.began_after(&tracked.offer) && is_meant(job))
        });
        counting.fold(FileSet::default(), |all, (_, files)| all.union(files))
    }

    /// The jobs that have something of a drop and count, for people and receipts.
    pub fn holders<'a>(
        &'a self,
        tracked: &'a Tracked,
    ) -> impl Iterator<Item = (&'a JobKey, &'a Job)> {
        let jobs = tracked.held.keys().filter_map(|key| self.jobs.get_key_value(key));
        jobs.filter(|(_, job)| job.counts() && job.began_after(&tracked.offer))
    }

    /// The newest job that has sent a drop, if one has.
    pub fn reader(&self, tracked: &Tracked) -> Option<(&JobKey, &Job)> {
        let jobs =
            self.jobs.iter().filter(|(_, job)| job.has_sent() && job.began_after(&tracked.offer));
        jobs.min_by_key(|(_, job)| job.began)
    }

    pub fn get(&self, drop: &DropKey) -> Option<&Tracked> {
        self.offers.get(&drop.workload)?.get(&drop.drop)
    }

    /// Whether a drop is in the directory, or was.
    pub fn knows(&self, drop: &DropKey) -> bool {
        self.get(drop).is_some() || self.is_gone(drop)
    }

    /// Whether a drop has left the directory.
    pub fn is_gone(&self, drop: &DropKey) -> bool {
        self.gone.contains_key(drop)
    }

    pub fn offers(&self) -> impl Iterator<Item = &Tracked> {
        self.offers.values().flat_map(BTreeMap::values)
    }

    pub fn jobs(&self) -> &BTreeMap<JobKey, Job> {
        &self.jobs
    }

    /// Bytes in the directory.
    pub fn bytes(&self) -> u64 {
        self.offers().map(|it| it.offer.bytes).fold(0, u64::saturating_add)
    }

    /// The drops of a workload, the oldest first.
    pub fn of_workload(&self, workload: &WorkloadName) -> impl Iterator<Item = &Tracked> {
        let drops = self.offers.get(workload).into_iter().flat_map(BTreeMap::values);
        let mut drops: Vec<&Tracked> = drops.collect();
        drops.sort_by_key(|it| it.offer.since());
        drops.into_iter()
    }

    /// Forgets jobs that no drop needs, but for the newest, and the oldest drops that have left.
    pub fn prune(&mut self) {
        let needed: BTreeSet<JobKey> =
            self.offers().flat_map(|tracked| tracked.held.keys()).cloned().collect();
        let mut others: Vec<(Option<Timestamp>, JobKey)> = self
            .jobs
            .iter()
            .filter(|(key, _)| !needed.contains(*key))
            .map(|(key, job)| (job.last_word(), key.clone()))
            .collect();
        others.sort();
        let beyond = others.len().saturating_sub(JOBS_KEPT);
        for (_, key) in others.into_iter().take(beyond) {
            self.jobs.remove(&key);
        }
        if self.gone.len() > GONE_KEPT {
            let mut times: Vec<Timestamp> = self.gone.values().copied().collect();
            times.sort_unstable();
            let limit = times[times.len() - GONE_KEPT];
            self.gone.retain(|_, at| *at >= limit);
        }
    }
}

impl From<&Ledger> for Snapshot {
    fn from(ledger: &Ledger) -> Self {
        let Ledger { offers, jobs, gone } = ledger.clone();
        Self {
            offers: offers.into_values().flat_map(BTreeMap::into_values).collect(),
            jobs: jobs.into_iter().collect(),
            gone: gone.into_iter().collect(),
        }
    }
}

impl From<Snapshot> for Ledger {
    fn from(snapshot: Snapshot) -> Self {
        let Snapshot { offers, jobs, gone } = snapshot;
        let mut ledger = Self {
            offers: BTreeMap::new(),
            jobs: jobs.into_iter().collect(),
            gone: gone.into_iter().collect(),
        };
        offers.into_iter().for_each(|tracked| ledger.put(tracked));
        ledger
    }
}

#[cfg(test)]
mod tests;
