//! Forgetting: what the rules let go, and what two operators agreed on, is hidden, removed a week later, and
//! what no snapshot needs is pruned, while agents ship.
//!
//! Nothing is decided by a catalog alone, and nothing by a clock that jumped. In this order, for one workload:
//!
//! 1. what was decided of it is read from beside the repositories; what cannot be read keeps everything;
//! 2. what two operators agreed on and is due is done;
//! 3. what nothing keeps is hidden: first an entry of the audit log, then the record;
//! 4. what was hidden for a week is removed, under the workload's lock, after holds, rules and dates were read
//!    again: an entry, the arrival record says so, the snapshot object goes, then the catalog's row, and the
//!    record last. Killed anywhere, the next pass does it again;
//! 5. packs are pruned by the engine, which keeps what is on its way;
//! 6. of a retired workload of which nothing is left, the repository is destroyed, its key last.

use std::time::Duration;

use outlast_catalog::SnapshotRecord;
use outlast_promise::{Event as PromiseEvent, Reason};
use outlast_repo::prune;
use outlast_store::{Object, StoreError};
use outlast_types::{Silent, SnapshotId, Timestamp, WorkloadName};

use super::audit::{AuditAction, Event};
use super::error::VaultError;
use super::holding::{REQUESTED_FOR, of_snapshots};
use super::jobs::Progress;
use super::keepings::{Base, Forgotten, Keeping, Request, Wanted};
use super::kept::{Under, Verdict};
use super::vault::Vault;

/// Left to others between two workloads.
const PACE: Duration = Duration::from_millis(50);
/// So many snapshots of a workload are hidden, or removed, in one pass.
const EACH_PASS: usize = 1000;

/// What a pass did.
#[derive(Default)]
struct Done {
    hidden: usize,
    removed: usize,
    pruned: u64,
    unreadable: Vec<String>,
}

impl Vault {
    /// The time by which is forgotten.
    pub(crate) fn forgetting_time(&self) -> Timestamp {
        // It is written down by the pass; nothing else of it can fail.
        self.slow_time.now(false).map_or(Timestamp::EPOCH, |(now, _)| now)
    }

    /// Looks at all workloads, and forgets what nothing keeps.
    pub(crate) fn forget_what_may_go(&self, progress: &Progress) -> Result<String, VaultError> {
        let (now, jumped) = self.slow_time.now(true)?;
        let policy = self.policy();
        let retention = &policy.retention;
        if !retention.hours.contain(self.environment.clock.now(), &retention.default.zone) {
            self.tell_forgetting(jumped, &[])?;
            return Ok(format!("it is not the time for it, which is {}", retention.hours));
        }
        let mut done = Done::default();
        let looked = progress.each(self.repositories.workloads()?, PACE, |workload| {
            let result = self.forget_of(workload, now, &mut done);
            if let Err(VaultError::BadKeeping { .. } | VaultError::BadArrival { .. }) = &result {
                done.unreadable.push(workload.to_string());
            }
            result
        });
        self.tell_forgetting(jumped, &done.unreadable)?;
        looked?;
        let Done { hidden, removed, pruned, .. } = done;
        Ok(format!("{hidden} snapshots were forgotten, {removed} removed, {pruned} bytes freed"))
    }

    /// What was decided cannot be read: said at once, not with the next pass.
    pub(crate) fn note_unreadable(&self, error: &VaultError) {
        let VaultError::BadKeeping { workload, .. } = error else { return };
        let told = self
            .slow_time
            .now(false)
            .and_then(|(_, jumped)| self.tell_forgetting(jumped, &[workload.to_string()]));
        if let Err(error) = told {
            tracing::error!(%workload, %error, "its record cannot be read, which cannot be noted");
        }
    }

    fn tell_forgetting(
        &self,
        jumped: Option<String>,
        unreadable: &[String],
    ) -> Result<(), VaultError> {
        let unread = (!unreadable.is_empty()).then(|| {
            let count = unreadable.len();
            let names: Vec<&str> = unreadable.iter().take(5).map(String::as_str).collect();
            format!(
                "what was decided of {count} workloads cannot be read, so they keep all ({}): the \
                 vault's log tells why",
                names.join(", ")
            )
        });
        let problems: Vec<String> = jumped.into_iter().chain(unread).collect();
        let problem = (!problems.is_empty()).then(|| problems.join("; and "));
        self.promises.noted(vec![PromiseEvent::Forgetting { problem }])
    }

    /// All that is to be done for one workload.
    fn forget_of(
        &self,
        workload: &WorkloadName,
        now: Timestamp,
        done: &mut Done,
    ) -> Result<(), VaultError> {
        let keeping = self.keepings.read_again(workload)?;
        self.require_orders(workload, &keeping)?;
        self.begin_rules(workload, &keeping, now)?;
        for request in &keeping.requests {
            self.carry_out(workload, request, now)?;
        }
        if !keeping.requests.is_empty() {
            // What was done, or asked for too long, is asked no more.
            self.announce_requests(workload)?;
        }
        let keeping = self.keepings.get(workload)?;
        let verdicts = self.verdicts(&keeping, Under::Policy, now)?;
        let may_go: Vec<SnapshotId> = verdicts
            .iter()
            .filter(|it| it.reasons.is_empty() && it.forgotten.is_none())
            .map(Verdict::snapshot)
            .take(EACH_PASS)
            .collect();
        if !may_go.is_empty() {
            tracing::info!(%workload, count = may_go.len(), "snapshots that no rule keeps are forgotten");
            self.hide(workload, &may_go, ("vault", "no rule keeps it"), true)?;
            done.hidden += may_go.len();
        }
        done.removed += self.remove_hidden(workload, now)?;
        done.pruned += self.prune_if_due(workload, now)?;
        self.destroy_if_over(workload, now)
    }

    /// An error if a pause or retirement is noted beside the repository that the list of orders does not know:
    /// it was lost, or is an older one, and with it perhaps what keeps something.
    fn require_orders(&self, workload: &WorkloadName, keeping: &Keeping) -> Result<(), VaultError> {
        let Some(standing) = &keeping.standing else { return Ok(()) };
        let last = self.orders.last();
        if standing.number <= last {
            return Ok(());
        }
        let reason = format!(
            "order {} of {} ({}) is noted there, and the list of orders ends with {last}",
            standing.number, standing.by, standing.order
        );
        let location = self.storage.location("orders.jsonl");
        Err(VaultError::BadKeeping { workload: workload.clone(), location, reason })
    }

    /// Takes down the first rules under which the vault looks at a workload: what came before that is kept by
    /// them at least.
    fn begin_rules(
        &self,
        workload: &WorkloadName,
        keeping: &Keeping,
        now: Timestamp,
    ) -> Result<(), VaultError> {
        let (Some(keep), None) = (self.policy().retention(workload).keep, &keeping.base) else {
            return Ok(());
        };
        let event = Event::by_vault(AuditAction::RetentionBegan).workload(workload);
        self.audit.record(event.detail("keep", &keep))?;
        let base = Base { keep, at: now };
        self.keepings.change(workload, |keeping| {
            keeping.base = Some(base);
            Ok(())
        })
    }

    /// Does what two operators agreed on, if it is due; gives up what nobody approved.
    fn carry_out(
        &self,
        workload: &WorkloadName,
        request: &Request,
        now: Timestamp,
    ) -> Result<(), VaultError> {
        let id = request.id;
        let Some(approval) = &request.approval else {
            if now.since(request.at) < REQUESTED_FOR {
                return Ok(());
            }
            let event = Event::by_vault(AuditAction::KeepingWithdrawn).workload(workload);
            self.audit.record(event.object(id).detail("why", "nobody approved it"))?;
            return self.keepings.change(workload, |keeping| {
                keeping.requests.retain(|it| it.id != id);
                Ok(())
            });
        };
        if now < approval.due {
            return Ok(());
        }
        let by = format!("{}, approved by {}", request.by, approval.by);
        match &request.what {
            Wanted::Forget { snapshots } => {
                let keeping = self.keepings.get(workload)?;
                let verdicts = self.verdicts(&keeping, Under::Policy, now)?;
                let is_meant = |it: &&Verdict| {
                    let may = !it.reasons.iter().any(|reason| reason.is_final());
                    may && snapshots.contains(&it.snapshot()) && it.forgotten.is_none()
                };
                let meant: Vec<SnapshotId> =
                    verdicts.iter().filter(is_meant).map(Verdict::snapshot).collect();
                if !meant.is_empty() {
                    self.hide(workload, &meant, (&by, &request.reason), false)?;
                }
            }
            Wanted::Shorten { keep } => {
                let event = Event::by_name(by, AuditAction::RetentionBegan).workload(workload);
                let event = event.detail("keep", keep).detail("for_what_came_until", approval.at);
                self.audit.record(event.detail("reason", &request.reason))?;
                let shortened = Base { keep: keep.clone(), at: approval.at };
                self.keepings.change(workload, |keeping| {
                    keeping.shortened = Some(shortened);
                    Ok(())
                })?;
            }
            // It stays, for the pass that destroys.
            Wanted::Destroy => return Ok(()),
        }
        self.keepings.change(workload, |keeping| {
            keeping.requests.retain(|it| it.id != id);
            Ok(())
        })
    }

    /// Removes what was hidden for long enough, and takes back what something keeps again; how many went.
    fn remove_hidden(&self, workload: &WorkloadName, now: Timestamp) -> Result<usize, VaultError> {
        let is_over = |it: &Forgotten| it.until <= now;
        if !self.keepings.get(workload)?.forgotten.iter().any(is_over) {
            return Ok(0);
        }
        let Some(repository) = self.repositories.present(workload)? else { return Ok(0) };
        // Nobody publishes from here on, and what is decided is read again.
        let _one_publisher = repository.publishing();
        let keeping = self.keepings.read_again(workload)?;
        let verdicts = self.verdicts(&keeping, Under::Policy, now)?;
        let (mut gone, mut back) = (Vec::new(), Vec::new());
        for forgotten in keeping.forgotten.iter().filter(|it| is_over(it)).take(EACH_PASS) {
            let verdict = verdicts.iter().find(|it| it.snapshot() == forgotten.snapshot);
            let reasons = verdict.map(|it| it.reasons.as_slice()).unwrap_or_default();
            match stays(forgotten, reasons) {
                Stays::Back => back.push(forgotten.snapshot),
                Stays::Waits => {}
                Stays::Goes => gone.push((forgotten.clone(), verdict.map(|it| it.record.clone()))),
            }
        }
        if !back.is_empty() {
            let event = Event::by_vault(AuditAction::SnapshotUndeleted).workload(workload);
            let event = event.detail("why", "a rule keeps it again");
            self.audit.record(of_snapshots(event, &back))?;
        }
        for (forgotten, record) in &gone {
            let event = Event::by_vault(AuditAction::SnapshotRemoved).workload(workload);
            let event = event.object(forgotten.snapshot).detail("forgotten_at", forgotten.at);
            let event = event.detail("forgotten_by", &forgotten.by).detail("why", &forgotten.why);
            self.audit.record(match record {
                Some(record) => event
                    .detail("recovery_point", record.recovery_point())
                    .detail("received", record.received)
                    .detail("content_bytes", record.content_bytes),
                None => event,
            })?;
            if let Some(record) = record {
                self.mark_removed(record)?;
            }
            match repository.store.remove(&Object::Snapshot(forgotten.snapshot)) {
                Ok(()) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let ids: Vec<SnapshotId> = gone.iter().map(|(it, _)| it.snapshot).collect();
        self.promises.removed(workload, &ids)?;
        self.keepings.change(workload, |keeping| {
            keeping
                .forgotten
                .retain(|it| !ids.contains(&it.snapshot) && !back.contains(&it.snapshot));
            if !ids.is_empty() {
                keeping.prune_due = Some(now);
            }
            Ok(())
        })?;
        Ok(ids.len())
    }

    /// The arrival record stays: by it the vault knows later that it once held the drop, and lost nothing.
    fn mark_removed(&self, record: &SnapshotRecord) -> Result<(), VaultError> {
        let mut record = record.clone();
        record.terms.removed = Some(self.environment.clock.now());
        self.arrivals.put(&record)
    }

    /// Prunes a repository from which something was removed; the bytes that were freed.
    fn prune_if_due(&self, workload: &WorkloadName, now: Timestamp) -> Result<u64, VaultError> {
        let due = self.keepings.get(workload)?.prune_due;
        if due.is_none_or(|due| now < due) {
            return Ok(0);
        }
        let Some(repository) = self.repositories.present(workload)? else { return Ok(0) };
        let opened = repository.opened_afresh()?;
        let options = prune::Options {
            awaited_since: self.shipments.since(workload),
            ..prune::Options::default()
        };
        let (clock, random) = (&*self.environment.clock, &*self.environment.random);
        let outcome =
            prune::prune(&opened, &options, &self.process.here(), clock, random, &Silent)?;
        if outcome.freed_packs > 0 {
            let event = Event::by_vault(AuditAction::Pruned).workload(workload);
            let event = event.detail("packs", outcome.freed_packs);
            self.audit.record(event.detail("bytes", outcome.freed_bytes))?;
        }
        let is_put_off = outcome.postponed.is_some() || outcome.awaited;
        let next = match (outcome.waiting, is_put_off) {
            (Some(waiting), _) => Some(waiting.due),
            (None, true) => Some(now),
            (None, false) => None,
        };
        self.keepings.change(workload, |keeping| {
            keeping.prune_due = next;
            Ok(())
        })?;
        Ok(outcome.freed_bytes)
    }
}

/// What becomes of a snapshot that was hidden for long enough.
enum Stays {
    /// Something keeps it again, and it is shown again.
    Back,
    /// Nobody may remove it now.
    Waits,
    Goes,
}

fn stays(forgotten: &Forgotten, reasons: &[Reason]) -> Stays {
    if forgotten.by_rules && reasons.iter().any(|reason| !reason.is_a_bar()) {
        Stays::Back
    } else if reasons.iter().any(|reason| reason.is_final()) {
        Stays::Waits
    } else {
        Stays::Goes
    }
}

#[cfg(test)]
mod tests;
