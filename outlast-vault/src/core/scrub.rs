//! Scrubbing: all data of every repository is read and verified within a period that policy names.
//!
//! A round reads the packs of a repository in parts, one after the other, at a pace; what was done is noted
//! after each (`scrubs/<workload>.json`), so that a restart goes on with the next. A note that is lost costs
//! reading, never truth: then the data counts as unread since the oldest of it came.
//!
//! Nobody is kept from writing or pruning meanwhile, so what looks damaged is looked at a second time, with
//! everything opened afresh, before it is believed. What is damaged is one incident for as long as it is so,
//! and is looked at again each day. There is no second copy of a repository yet, so nothing heals by itself
//! but by what agents ship again: the incident says so.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use outlast_promise::{Damage, Event, Unread};
use outlast_repo::check::{self, Defect, Options, Report, Subset};
use outlast_store::{Kind, Paced};
use outlast_types::{Silent, SnapshotId, Timestamp, WorkloadName, human};

use super::audit::{self, AuditAction, Outcome};
use super::error::VaultError;
use super::jobs::Progress;
use super::repositories::WorkloadRepository;
use super::scrubs::{Ended, Findings, Known, Looked, ScrubRecord, Step};
use super::vault::Vault;

/// A run of the job ends after so long, and goes on with the next.
const RUN_MAX: Duration = Duration::from_secs(600);

impl Vault {
    /// Reads what is due to be read, and tells what it found.
    pub(crate) fn scrub(&self, progress: &Progress) -> Result<String, VaultError> {
        self.find_out_what_to_scrub()?;
        self.tell_of_scrubs()?;
        let timer = &self.environment.timer;
        let end = timer.elapsed().saturating_add(RUN_MAX);
        let mut parts = 0;
        while let Some((workload, step)) = self.scrubs.most_due(self.environment.clock.now()) {
            if progress.is_stopped() || timer.elapsed() >= end {
                break;
            }
            self.scrub_one(&workload, step, progress)?;
            parts += 1;
            self.tell_of_scrubs()?;
        }
        Ok(if parts == 0 { String::new() } else { format!("read {parts} parts of repositories") })
    }

    /// Learns of workloads that are new, and forgets those that are gone.
    pub(crate) fn find_out_what_to_scrub(&self) -> Result<(), VaultError> {
        let now = self.environment.clock.now();
        let totals = self.promises.catalog().totals()?;
        let mut new = Vec::new();
        {
            let mut state = self.scrubs.lock();
            state.retain(|workload, _| totals.contains_key(workload));
            new.extend(totals.into_keys().filter(|workload| !state.contains_key(workload)));
        }
        for workload in new {
            let mut record = self.scrubs.noted(&workload);
            record.not_after(now);
            let oldest = self.promises.catalog().oldest(&workload)?;
            let first = oldest.unwrap_or(now).min(now);
            self.scrubs.lock().insert(workload, Known { record, first, told: None });
        }
        Ok(())
    }

    /// Does one step; what kept the vault from it is noted, and keeps it from no other workload.
    fn scrub_one(
        &self,
        workload: &WorkloadName,
        step: Step,
        progress: &Progress,
    ) -> Result<(), VaultError> {
        let known = self.scrubs.lock().get(workload).map(|known| known.record.clone());
        let Some(mut record) = known else { return Ok(()) };
        let before = record.findings().map(|findings| findings.count).sum::<u64>();
        let looked = self.look(workload, &mut record, step, progress);
        let now = self.environment.clock.now();
        let ended = match looked {
            _ if progress.is_stopped() => return Ok(()),
            Ok(None) => return self.scrubs.note(workload, &record),
            Ok(Some(looked)) => record.looked(looked, step, now),
            Err(error) => {
                tracing::error!(%workload, %error, "its data cannot be read to verify it");
                record.failed = Some((now, error.to_string()));
                None
            }
        };
        self.scrubs.note(workload, &record)?;
        let after = record.findings().map(|findings| findings.count).sum::<u64>();
        if ended.is_some() || (before == 0) != (after == 0) {
            self.audit.record(entry(workload, &record, ended, after))?;
        }
        Ok(())
    }

    /// Looks at a part; `None` if there was nothing to look at, or only a round was begun.
    fn look(
        &self,
        workload: &WorkloadName,
        record: &mut ScrubRecord,
        step: Step,
        progress: &Progress,
    ) -> Result<Option<Looked>, VaultError> {
        let repository = self.repositories.get(workload)?;
        let part = match step {
            Step::Begin => {
                let packs = repository.store.list(Kind::Data)?;
                let bytes = packs.iter().map(|(_, size)| size).sum();
                record.begin(bytes, self.environment.clock.now());
                return Ok(None);
            }
            Step::Read(part) | Step::Again(part) => part,
        };
        let look = || self.check_part(&repository, (part, record.parts), progress);
        let (report, hit) = match look()? {
            // Whoever pruned meanwhile has removed packs that the first look still knew.
            (report, _) if !report.is_clean() && !progress.is_stopped() => look()?,
            found => found,
        };
        if !report.is_clean() && repository.store.list(Kind::Data)?.is_empty() {
            // That is another matter: its volume is not there, and nothing is known of what is on it.
            let what = "no packs are where it should be".to_owned();
            return Err(VaultError::Missing { workload: workload.clone(), what });
        }
        let now = self.environment.clock.now();
        let (packs, bytes) = (report.counts.packs_read, report.counts.bytes_read);
        let (data, structure): (Vec<_>, Vec<_>) =
            report.problems.iter().partition(|problem| is_of_data(&problem.defect));
        let findings = |problems: Vec<&check::Problem>| {
            let texts: Vec<String> = problems.iter().map(|problem| problem.to_string()).collect();
            (!texts.is_empty()).then(|| Findings::new(now, texts, hit.clone()))
        };
        let (data, structure) = (findings(data), findings(structure));
        Ok(Some(Looked { part, packs, bytes, data, structure }))
    }

    /// Reads the packs of one of so many parts; what is wrong, and which snapshots that hits.
    fn check_part(
        &self,
        repository: &WorkloadRepository,
        (part, parts): (u32, u32),
        progress: &Progress,
    ) -> Result<(Report, BTreeSet<SnapshotId>), VaultError> {
        let (rate, timer) = (self.scrubs.policy.rate, &self.environment.timer);
        let opened = repository.opened_through(|store| {
            Arc::new(Paced::new(store, rate, Arc::clone(timer), progress.stop()))
        })?;
        let subset = Subset::new(part, parts);
        let options = Options { read_data: true, subset, ..Options::default() };
        let report = check::check(&opened, &options, &Silent)?;
        let hit = match report.is_clean() {
            true => BTreeSet::new(),
            false => check::touched(&opened, &report)?.hit,
        };
        Ok((report, hit))
    }

    /// Tells the promises what changed.
    fn tell_of_scrubs(&self) -> Result<(), VaultError> {
        let (now, period) = (self.environment.clock.now(), self.scrubs.policy.period);
        let mut news = Vec::new();
        let known: Vec<(WorkloadName, Known)> = {
            let state = self.scrubs.lock();
            let maybe = state.iter().filter(|(_, known)| {
                let is_well = !known.record.is_damaged()
                    && !known.record.is_overdue(period, known.first, now);
                !is_well || known.told != Some((None, None))
            });
            maybe.map(|(workload, known)| (workload.clone(), known.clone())).collect()
        };
        for (workload, Known { record, first, told }) in known {
            let damage = self.damage_of(&workload, &record)?;
            let unread = record.is_overdue(period, first, now).then(|| Unread {
                period,
                since: record.unread_since(first),
                why: record.failed.as_ref().map(|(_, why)| why.clone()),
            });
            let now_told = (damage, unread);
            if told.as_ref() != Some(&now_told) {
                news.push((workload, now_told));
            }
        }
        let event = |(workload, (damage, unread)): &(WorkloadName, (Option<Damage>, _))| {
            let (workload, damage) = (workload.clone(), damage.clone());
            Event::Scrubbed { workload, damage, unread: Option::clone(unread) }
        };
        self.promises.noted(news.iter().map(event).collect())?;
        let mut state = self.scrubs.lock();
        for (workload, told) in news {
            if let Some(known) = state.get_mut(&workload) {
                known.told = Some(told);
            }
        }
        Ok(())
    }

    /// What is damaged, in the words of promises, with what can still be had.
    fn damage_of(
        &self,
        workload: &WorkloadName,
        record: &ScrubRecord,
    ) -> Result<Option<Damage>, VaultError> {
        let Some(first) = record.findings().min_by_key(|findings| findings.found) else {
            return Ok(None);
        };
        let hit = record.hit();
        let mut snapshots = Vec::new();
        let (mut touched, mut whole) = (0, 0);
        let mut newest_whole: Option<(SnapshotId, Timestamp)> = None;
        // The one that came last first.
        for known in self.promises.catalog().snapshots(Some(workload))? {
            if known.terms.removed.is_some() {
                continue;
            }
            let one = (known.snapshot, known.received);
            if hit.contains(&known.snapshot) {
                touched += 1;
                snapshots.push(one);
            } else {
                whole += 1;
                newest_whole.get_or_insert(one);
            }
        }
        snapshots.truncate(10);
        let count = record.findings().map(|findings| findings.count).sum();
        let what = first.problems.first().cloned().unwrap_or_default();
        let found = first.found;
        Ok(Some(Damage { found, what, count, snapshots, touched, whole, newest_whole }))
    }
}

/// Whether it lies in what a pack contains, and not in which packs there are: only whoever reads that part
/// again can say that it is mended.
fn is_of_data(defect: &Defect) -> bool {
    matches!(
        defect,
        Defect::PackBlobs { .. }
            | Defect::PackHeader { .. }
            | Defect::PackHeaderDiffers { .. }
            | Defect::PackName { .. }
            | Defect::PackUnreadable { .. }
    )
}

/// What the audit log says of it.
fn entry(
    workload: &WorkloadName,
    record: &ScrubRecord,
    ended: Option<Ended>,
    problems: u64,
) -> audit::Event {
    let mut event = audit::Event::by_vault(AuditAction::Scrubbed).workload(workload);
    if let Some(Ended { began, ended, packs, bytes }) = ended {
        event = event
            .detail("began", began)
            .detail("took", human::duration(ended.since(began)))
            .detail("packs", packs)
            .detail("bytes", bytes);
    }
    if problems == 0 {
        return event;
    }
    let first = record.findings().find_map(|findings| findings.problems.first());
    event
        .not_done(Outcome::Failed, outlast_wire::api::ErrorCode::Damaged)
        .detail("problems", problems)
        .detail("first", first.map_or("", String::as_str))
        .detail("snapshots_hit", record.hit().len())
}

#[cfg(test)]
mod tests;
