//! Drills: backups are brought back, on a schedule and when somebody asks, to know that they can be.

use std::sync::Arc;

use outlast_catalog::SnapshotRecord;
use outlast_promise::{DrillLevel, DrillPick, DrillRule, Event, State as PromiseState};
use outlast_repo::read;
use outlast_store::Paced;
use outlast_types::{SnapshotId, Timestamp, WorkloadName};
use outlast_wire::api::ErrorCode;

use super::audit::{self, AuditAction, Outcome as Ended};
use super::drills::{DrillRecord, DrillState, Ground, Outcome, Task, Waiting};
use super::error::VaultError;
use super::jobs::Progress;
use super::scrubs::lot_of;
use super::vault::Vault;

/// Of so many of the newest snapshots the newest good one is taken.
const RECENT_MAX: u32 = 64;

impl Vault {
    /// Does the drills that somebody asked for or that are due, one after the other, and tells what is the
    /// matter with any.
    pub(crate) fn drill(&self, progress: &Progress) -> Result<String, VaultError> {
        let mut count = 0;
        self.tell_of_drills()?;
        while let Some(next) = self.next_drill()? {
            if progress.is_stopped() {
                break;
            }
            self.do_drill(&next, progress)?;
            count += 1;
            self.tell_of_drills()?;
        }
        Ok(if count == 0 { String::new() } else { format!("did {count} drills") })
    }

    /// Has a drill done soon; of this snapshot, or of the one that policy picks.
    pub(crate) fn order_drill(
        &self,
        workload: &WorkloadName,
        by: &str,
        snapshot: Option<&str>,
        level: Option<DrillLevel>,
    ) -> Result<DrillRecord, VaultError> {
        if !self.drills.may_wait(workload) {
            return Err(VaultError::DrillUnderWay { workload: workload.clone() });
        }
        let chosen = match snapshot {
            Some(beginning) => self.snapshot_named(workload, beginning)?,
            None => self.snapshot_to_drill(workload)?,
        };
        let rule = self.drill_rule(workload);
        self.await_drill(workload, by, chosen.snapshot, level.unwrap_or(rule.level))
    }

    fn await_drill(
        &self,
        workload: &WorkloadName,
        by: &str,
        snapshot: SnapshotId,
        wanted: DrillLevel,
    ) -> Result<DrillRecord, VaultError> {
        let outcome = Outcome::new(wanted);
        let record = DrillRecord {
            number: self.drills.of(workload).newest().map_or(1, |newest| newest.number + 1),
            snapshot,
            by: by.to_owned(),
            began: self.environment.clock.now(),
            ended: None,
            state: DrillState::Waiting,
            wanted,
            level: wanted,
            lowered: None,
            recipe: outcome.recipe,
            isolation: None,
            phases: Vec::new(),
            counts: outcome.counts,
            content_bytes: 0,
            scratch_bytes: 0,
            failure: None,
        };
        self.drills.note(workload, &record)?;
        let waiting = Waiting { workload: workload.clone(), number: record.number };
        self.drills.lock().waiting.push_back(waiting);
        Ok(record)
    }

    /// The one that waits longest, or the one that is due first of all that are.
    fn next_drill(&self) -> Result<Option<Waiting>, VaultError> {
        if let Some(waiting) = self.drills.lock().waiting.pop_front() {
            return Ok(Some(waiting));
        }
        let now = self.environment.clock.now();
        let due = self.drilled_workloads()?.into_iter().filter_map(|(workload, first)| {
            let rule = self.drill_rule(&workload);
            let due = self.drills.of(&workload).due(&rule, first, lot_of(&workload))?;
            (due <= now).then_some((due, workload))
        });
        let Some((_, workload)) = due.min() else { return Ok(None) };
        let rule = self.drill_rule(&workload);
        let chosen = self.snapshot_to_drill(&workload)?;
        self.await_drill(&workload, "vault", chosen.snapshot, rule.level)?;
        Ok(self.drills.lock().waiting.pop_front())
    }

    /// The workloads of which policy wants drills, and when the oldest backup of each came.
    fn drilled_workloads(&self) -> Result<Vec<(WorkloadName, Timestamp)>, VaultError> {
        if !self.drills.policy().wants_any() || self.drills.ground.is_none() {
            return Ok(Vec::new());
        }
        let catalog = self.promises.catalog();
        let mut all = Vec::new();
        for (workload, totals) in catalog.totals()? {
            if totals.newest.is_none() || self.drill_rule(&workload).every.is_none() {
                continue;
            }
            let state = self.promises.status(&workload).map(|status| status.state);
            if matches!(state, Some(PromiseState::Retired | PromiseState::Retiring)) {
                continue;
            }
            if let Some(first) = catalog.oldest(&workload)? {
                all.push((workload, first));
            }
        }
        Ok(all)
    }

    /// What policy wants of a workload's drills, by the class that it has now.
    fn drill_rule(&self, workload: &WorkloadName) -> DrillRule {
        let status = self.promises.status(workload);
        let class = status.and_then(|status| status.promise.class().name.clone());
        let class = class.map(|name| name.to_string());
        self.drills.policy().rule(workload, class.as_deref())
    }

    fn snapshot_to_drill(&self, workload: &WorkloadName) -> Result<SnapshotRecord, VaultError> {
        let catalog = self.promises.catalog();
        let mut good = match self.drill_rule(workload).pick {
            DrillPick::Newest => catalog.recent_snapshots(workload, RECENT_MAX)?,
            DrillPick::Random => catalog.snapshots(Some(workload))?,
        };
        let keeping = self.keepings.get(workload)?;
        good.retain(|record| {
            let is_there = record.terms.removed.is_none() && !keeping.is_forgotten(record.snapshot);
            is_there && self.counts(record)
        });
        let place = match self.drill_rule(workload).pick {
            DrillPick::Newest => 0,
            DrillPick::Random => {
                let mut bytes = [0; 8];
                self.environment.random.fill(&mut bytes);
                let lot = u64::from_le_bytes(bytes) % (good.len().max(1) as u64);
                usize::try_from(lot).unwrap_or(0)
            }
        };
        let unknown = || VaultError::UnknownSnapshot {
            workload: workload.clone(),
            text: "(any good one)".to_owned(),
        };
        (place < good.len()).then(|| good.swap_remove(place)).ok_or_else(unknown)
    }

    fn snapshot_named(
        &self,
        workload: &WorkloadName,
        beginning: &str,
    ) -> Result<SnapshotRecord, VaultError> {
        let mut found = self.promises.catalog().snapshots(Some(workload))?;
        found.retain(|record| {
            record.terms.removed.is_none() && record.snapshot.to_string().starts_with(beginning)
        });
        let unknown = || VaultError::UnknownSnapshot {
            workload: workload.clone(),
            text: beginning.chars().take(64).collect(),
        };
        match found.len() {
            1 => found.pop().ok_or_else(unknown),
            _ => Err(unknown()),
        }
    }

    /// Does one drill. Whatever becomes of it is a record, and an entry of the audit log.
    fn do_drill(&self, next: &Waiting, progress: &Progress) -> Result<(), VaultError> {
        let workload = &next.workload;
        let records = self.drills.of(workload);
        let waits = records.drills.iter().find(|drill| drill.number == next.number).cloned();
        let (Some(mut record), Some(ground)) = (waits, self.drills.ground.clone()) else {
            return Ok(());
        };
        record.began = self.environment.clock.now();
        record.state = DrillState::Running;
        self.drills.note(workload, &record)?;
        let factor = records.factor_percent();
        let done = self.try_drill(workload, &mut record, factor, &ground, progress);
        let outcome = match done {
            _ if progress.is_stopped() => {
                record.state = DrillState::Aborted;
                return self.drills.note(workload, &record);
            }
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::error!(%workload, %error, "a drill cannot be done");
                let mut outcome = Outcome::new(record.level);
                outcome.failure = Some(super::drills::Failure {
                    phase: "read".to_owned(),
                    why: error.to_string(),
                    owner: outlast_types::Owner::Platform,
                });
                outcome
            }
        };
        record.ended = Some(self.environment.clock.now());
        record.state = match outcome.failure {
            None => DrillState::Good,
            Some(_) => DrillState::Failed,
        };
        record.level = outcome.level;
        (record.recipe, record.isolation) = (outcome.recipe, outcome.isolation);
        (record.phases, record.counts) = (outcome.phases, outcome.counts);
        (record.scratch_bytes, record.failure) = (outcome.scratch_bytes, outcome.failure);
        self.audit.record(entry(workload, &record))?;
        self.drills.note(workload, &record)?;
        tracing::info!(%workload, number = record.number, state = record.state.as_str(), "did a drill");
        Ok(())
    }

    fn try_drill(
        &self,
        workload: &WorkloadName,
        record: &mut DrillRecord,
        factor_percent: u64,
        ground: &Arc<dyn Ground>,
        progress: &Progress,
    ) -> Result<Outcome, VaultError> {
        let known = self.promises.catalog().snapshots(Some(workload))?;
        let known = known.into_iter().find(|known| known.snapshot == record.snapshot);
        let known = known.ok_or_else(|| VaultError::UnknownSnapshot {
            workload: workload.clone(),
            text: record.snapshot.to_string(),
        })?;
        record.content_bytes = known.content_bytes;
        let repository = self.repositories.get(workload)?;
        let (rate, timer) = (self.drills.policy().rate, &self.environment.timer);
        let opened = repository.opened_through(|store| {
            Arc::new(Paced::new(store, rate, Arc::clone(timer), progress.stop()))
        })?;
        let resolved = read::resolve(&opened, &record.snapshot.to_string())?;
        let rule = self.drill_rule(workload);
        let task = Task {
            repository: &opened,
            tree: resolved.snapshot.tree,
            size: known.content_bytes,
            kind: known.sanity.kind,
            factor_percent,
            rule: &rule,
            stop: progress.stop(),
        };
        if record.wanted == DrillLevel::Stream {
            return Ok(ground.stream(&task));
        }
        record.lowered = ground.lowered(&task);
        Ok(match record.lowered {
            Some(_) => ground.stream(&task),
            None => {
                let outcome = ground.load(&task);
                record.lowered.clone_from(&outcome.lowered);
                outcome
            }
        })
    }

    /// Tells the promises what changed.
    fn tell_of_drills(&self) -> Result<(), VaultError> {
        let now = self.environment.clock.now();
        let mut due: Vec<(WorkloadName, Timestamp)> = self.drilled_workloads()?;
        {
            // Whoever asked for one wants to know, too.
            let state = self.drills.lock();
            let more = state.known.keys().chain(state.told.keys()).cloned();
            due.extend(more.map(|workload| (workload, now)));
        }
        due.sort();
        due.dedup_by(|later, first| later.0 == first.0);
        let mut news = Vec::new();
        for (workload, first) in due {
            if self.promises.status(&workload).is_none() {
                continue;
            }
            let rule = self.drill_rule(&workload);
            let trouble = self.drills.of(&workload).trouble(&rule, first, now);
            let told = self.drills.lock().told.get(&workload).cloned();
            if told.as_ref() != Some(&trouble) {
                news.push((workload, trouble));
            }
        }
        let event = |(workload, trouble): &(WorkloadName, Option<_>)| Event::Drilled {
            workload: workload.clone(),
            trouble: trouble.clone(),
        };
        self.promises.noted(news.iter().map(event).collect())?;
        self.drills.lock().told.extend(news);
        Ok(())
    }

    /// The newest snapshot that a drill has loaded with success: it is kept, whatever its age.
    pub(crate) fn last_drilled(&self, workload: &WorkloadName) -> Option<SnapshotId> {
        self.drills.of(workload).last_good(DrillLevel::Load).map(|drill| drill.snapshot)
    }
}

/// What the audit log says of it.
fn entry(workload: &WorkloadName, record: &DrillRecord) -> audit::Event {
    let content = serde_json::to_value(record).unwrap_or_default();
    let event = audit::Event::by_name(record.by.clone(), AuditAction::Drilled)
        .workload(workload)
        .object(record.snapshot)
        .content(content);
    match record.state {
        DrillState::Good => event,
        _ => event.not_done(Ended::Failed, ErrorCode::DrillFailed),
    }
}
