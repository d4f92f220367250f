//! What operators order of single snapshots: holds, what is forgotten and taken back, and what takes two.

use std::time::Duration;

use outlast_promise::{self as promise, Keep, Reason, Shortening};
use outlast_types::{SnapshotId, Timestamp, WorkloadName};

use super::audit::{AuditAction, Event};
use super::error::VaultError;
use super::keepings::{Approval, Forgotten, Hold, Keeping, Request, Wanted};
use super::kept::{Under, Verdict};
use super::vault::Vault;

/// How long a forgotten snapshot is hidden before it goes.
pub(crate) const HIDDEN_FOR: Duration = Duration::from_secs(7 * 86_400);
/// How long what two operators agreed on waits before it is done.
pub(crate) const APPROVED_FOR: Duration = Duration::from_secs(7 * 86_400);
/// How long a request waits for another operator.
pub(crate) const REQUESTED_FOR: Duration = Duration::from_secs(30 * 86_400);
/// How long what was taken back stays, whatever the rules say.
const TAKEN_BACK_FOR: Duration = Duration::from_secs(30 * 86_400);
/// Holds, or requests, of one workload.
const EACH_MAX: usize = 1000;

/// Who orders something, and why.
pub(crate) struct Ordered<'a> {
    pub(crate) workload: &'a WorkloadName,
    /// Whose certificate it came with: `operator eu-1`.
    pub(crate) by: &'a str,
    pub(crate) reason: &'a str,
}

impl Ordered<'_> {
    fn event(&self, action: AuditAction) -> Event {
        Event::by_name(self.by.to_owned(), action)
            .workload(self.workload)
            .detail("reason", self.reason)
    }

    fn bad(&self, action: &'static str, reason: impl Into<String>) -> VaultError {
        VaultError::BadOrder { workload: self.workload.clone(), action, reason: reason.into() }
    }
}

impl Vault {
    /// Lets nothing of a workload go, or nothing of these snapshots, until somebody releases the hold or it
    /// ends; its number.
    pub(crate) fn hold(
        &self,
        ordered: &Ordered<'_>,
        person: &str,
        until: Option<Timestamp>,
        snapshots: &[String],
    ) -> Result<u64, VaultError> {
        let at = self.environment.clock.now();
        if until.is_some_and(|until| until <= at) {
            return Err(ordered.bad("held", "its end is over"));
        }
        let snapshots = self.snapshots_named(ordered, "held", snapshots)?;
        let event = ordered.event(AuditAction::HoldPlaced).detail("person", person);
        let event = until.iter().fold(event, |event, until| event.detail("until", until));
        self.audit.record(of_snapshots(event, &snapshots))?;
        self.keepings.change(ordered.workload, |keeping| {
            if keeping.holds.len() >= EACH_MAX {
                return Err(ordered.bad("held", format!("it has {EACH_MAX} holds already")));
            }
            let id = keeping.next_id();
            keeping.holds.push(Hold {
                id,
                reason: ordered.reason.to_owned(),
                person: person.to_owned(),
                by: ordered.by.to_owned(),
                at,
                until,
                snapshots,
            });
            Ok(id)
        })
    }

    /// Ends a hold, or all of a workload; how many.
    pub(crate) fn release(
        &self,
        ordered: &Ordered<'_>,
        hold: Option<u64>,
    ) -> Result<usize, VaultError> {
        let is_meant = |it: &Hold| hold.is_none_or(|hold| it.id == hold);
        let known = self.keepings.read_again(ordered.workload)?;
        let ids: Vec<String> =
            known.holds.iter().filter(|it| is_meant(it)).map(|it| it.id.to_string()).collect();
        if ids.is_empty() {
            return Err(ordered.bad("released", "there is no such hold"));
        }
        let event = ordered.event(AuditAction::HoldReleased).detail("holds", ids.join(", "));
        self.audit.record(event)?;
        self.keepings.change(ordered.workload, |keeping| {
            keeping.holds.retain(|it| !is_meant(it));
            Ok(ids.len())
        })
    }

    /// Forgets snapshots that nothing keeps; they are hidden, and go in a week. Of what is kept, it is said
    /// by what: that takes a request.
    pub(crate) fn forget(
        &self,
        ordered: &Ordered<'_>,
        snapshots: &[String],
    ) -> Result<Vec<SnapshotId>, VaultError> {
        let snapshots = self.snapshots_named(ordered, "forgotten", snapshots)?;
        if snapshots.is_empty() {
            return Err(ordered.bad("forgotten", "no snapshot is named"));
        }
        let now = self.forgetting_time();
        let keeping = self.keepings.read_again(ordered.workload)?;
        for verdict in self.verdicts(&keeping, Under::Policy, now)? {
            if snapshots.contains(&verdict.snapshot()) && !verdict.reasons.is_empty() {
                return Err(kept(&verdict));
            }
        }
        self.hide(ordered.workload, &snapshots, (ordered.by, ordered.reason), true)?;
        Ok(snapshots)
    }

    /// Takes back what was forgotten and is not gone yet. It stays for a month at least.
    pub(crate) fn undelete(
        &self,
        ordered: &Ordered<'_>,
        snapshots: &[String],
    ) -> Result<Vec<SnapshotId>, VaultError> {
        let snapshots = self.snapshots_named(ordered, "undeleted", snapshots)?;
        let at = self.environment.clock.now();
        let keeping = self.keepings.read_again(ordered.workload)?;
        let none = || ordered.bad("undeleted", "it was not forgotten, or it is gone");
        let is_meant = |it: &SnapshotId| snapshots.is_empty() || snapshots.contains(it);
        let back: Vec<SnapshotId> =
            keeping.forgotten.iter().map(|it| it.snapshot).filter(is_meant).collect();
        if back.is_empty() || back.len() < snapshots.len() {
            return Err(none());
        }
        let event = ordered.event(AuditAction::SnapshotUndeleted);
        self.audit.record(of_snapshots(event, &back))?;
        self.keepings.change(ordered.workload, |keeping| {
            keeping.forgotten.retain(|it| !back.contains(&it.snapshot));
            // What asks for them once more must be asked for anew.
            keeping.requests.retain(|request| match &request.what {
                Wanted::Forget { snapshots } => !snapshots.iter().any(|it| back.contains(it)),
                Wanted::Shorten { .. } | Wanted::Destroy => true,
            });
            let id = keeping.next_id();
            keeping.holds.push(Hold {
                id,
                reason: format!("undeleted: {}", ordered.reason),
                person: ordered.by.to_owned(),
                by: ordered.by.to_owned(),
                at,
                until: Some(at.saturating_add(TAKEN_BACK_FOR)),
                snapshots: back.clone(),
            });
            Ok(())
        })?;
        self.announce_requests(ordered.workload)?;
        Ok(back)
    }

    /// Asks for something before its time, which another operator must approve; its number.
    pub(crate) fn request(
        &self,
        ordered: &Ordered<'_>,
        what: Wanted,
    ) -> Result<Request, VaultError> {
        let now = self.forgetting_time();
        let keeping = self.keepings.read_again(ordered.workload)?;
        match &what {
            Wanted::Forget { snapshots } => {
                for verdict in self.verdicts(&keeping, Under::Policy, now)? {
                    let is_final = verdict.reasons.iter().any(|reason| reason.is_final());
                    if snapshots.contains(&verdict.snapshot()) && is_final {
                        return Err(kept(&verdict));
                    }
                }
            }
            Wanted::Shorten { .. } => {}
            Wanted::Destroy => {
                if !self.is_retired(ordered.workload) {
                    let reason = "it is not retired, so its newest good snapshots stay";
                    return Err(ordered.bad("destroyed", reason));
                }
            }
        }
        let event = ordered.event(AuditAction::KeepingRequested).detail("what", what.as_str());
        let event = match &what {
            Wanted::Forget { snapshots } => of_snapshots(event, snapshots),
            Wanted::Shorten { keep } => event.detail("keep", keep),
            Wanted::Destroy => event,
        };
        self.audit.record(event)?;
        let (by, reason) = (ordered.by.to_owned(), ordered.reason.to_owned());
        let at = self.environment.clock.now();
        let request = self.keepings.change(ordered.workload, |keeping| {
            if keeping.requests.len() >= EACH_MAX {
                return Err(ordered.bad("changed", format!("{EACH_MAX} requests wait already")));
            }
            let request = Request { id: keeping.next_id(), what, reason, by, at, approval: None };
            keeping.requests.push(request.clone());
            Ok(request)
        })?;
        self.announce_requests(ordered.workload)?;
        Ok(request)
    }

    /// Tells the owner of a workload what is asked for, as an incident while it is, or that it is not any more.
    pub(crate) fn announce_requests(&self, workload: &WorkloadName) -> Result<(), VaultError> {
        let keeping = self.keepings.get(workload)?;
        let asked = keeping.requests.first().map(|it| Shortening {
            what: it.what.sentence(),
            by: it.by.clone(),
            reason: it.reason.clone(),
            at: it.at,
        });
        self.promises.noted(vec![promise::Event::Shortening { workload: workload.clone(), asked }])
    }

    /// Approves what another operator asked for. It is done in a week.
    pub(crate) fn approve(
        &self,
        ordered: &Ordered<'_>,
        request: u64,
    ) -> Result<Request, VaultError> {
        let at = self.environment.clock.now();
        let due = self.forgetting_time().max(at).saturating_add(APPROVED_FOR);
        let bad = |reason: &str| ordered.bad("approved", reason);
        let check = |keeping: &Keeping| {
            let found = keeping.requests.iter().find(|it| it.id == request);
            let found = found.ok_or_else(|| bad("there is no such request"))?;
            if found.by == ordered.by {
                let reason = format!("{} asked for it: it takes another operator", found.by);
                return Err(VaultError::Denied { reason });
            }
            match &found.approval {
                Some(approval) => Err(bad(&format!("{} approved it before", approval.by))),
                None => Ok(found.clone()),
            }
        };
        let found = check(&*self.keepings.read_again(ordered.workload)?)?;
        let event = ordered.event(AuditAction::KeepingApproved).object(request);
        let event = event.detail("requested_by", &found.by).detail("what", found.what.as_str());
        self.audit.record(event.detail("due", due))?;
        self.keepings.change(ordered.workload, |keeping| {
            check(keeping)?;
            let by = ordered.by.to_owned();
            let mut approved = found;
            for it in keeping.requests.iter_mut().filter(|it| it.id == request) {
                it.approval = Some(Approval { by: by.clone(), at, due });
                approved = it.clone();
            }
            Ok(approved)
        })
    }

    /// Takes a request back, approved or not.
    pub(crate) fn withdraw(
        &self,
        ordered: &Ordered<'_>,
        request: u64,
    ) -> Result<Request, VaultError> {
        let keeping = self.keepings.read_again(ordered.workload)?;
        let found = keeping.requests.iter().find(|it| it.id == request).cloned();
        let found = found.ok_or_else(|| ordered.bad("withdrawn", "there is no such request"))?;
        self.audit.record(ordered.event(AuditAction::KeepingWithdrawn).object(request))?;
        self.keepings.change(ordered.workload, |keeping| {
            keeping.requests.retain(|it| it.id != request);
            Ok(())
        })?;
        self.announce_requests(ordered.workload)?;
        Ok(found)
    }

    /// Hides snapshots. The entry comes first: a kill in between says it twice.
    pub(crate) fn hide(
        &self,
        workload: &WorkloadName,
        snapshots: &[SnapshotId],
        (by, why): (&str, &str),
        by_rules: bool,
    ) -> Result<(), VaultError> {
        let at = self.forgetting_time();
        let until = at.saturating_add(HIDDEN_FOR);
        let event = Event::by_name(by.to_owned(), AuditAction::SnapshotForgotten);
        let event = event.workload(workload).detail("why", why).detail("until", until);
        self.audit.record(of_snapshots(event, snapshots))?;
        self.keepings.change(workload, |keeping| {
            for snapshot in snapshots
                .iter()
                .filter(|it| !keeping.is_forgotten(**it))
                .copied()
                .collect::<Vec<_>>()
            {
                let (by, why) = (by.to_owned(), why.to_owned());
                keeping.forgotten.push(Forgotten { snapshot, at, until, by, why, by_rules });
            }
            Ok(())
        })
    }

    /// The snapshots that an operator names, each by its id or the beginning of it.
    pub(crate) fn snapshots_named(
        &self,
        ordered: &Ordered<'_>,
        action: &'static str,
        names: &[String],
    ) -> Result<Vec<SnapshotId>, VaultError> {
        let known = self.promises.catalog().snapshot_names(ordered.workload)?;
        if known.is_empty() && self.promises.status(ordered.workload).is_none() {
            return Err(VaultError::UnknownWorkload { workload: ordered.workload.clone() });
        }
        let find = |name: &String| {
            let name = name.to_ascii_lowercase();
            let is_meant = |id: &&SnapshotId| id.to_string().starts_with(&name);
            let found: Vec<&SnapshotId> = known.iter().filter(is_meant).collect();
            match (&found[..], name.len()) {
                ([one], 4..) => Ok(**one),
                ([], _) => Err(ordered.bad(action, format!("it has no snapshot {name:?}"))),
                _ => {
                    Err(ordered.bad(action, format!("{name:?} is not one of its snapshots alone")))
                }
            }
        };
        names.iter().map(find).collect()
    }
}

/// What two operators must agree on for it to be forgotten, or nobody may.
fn kept(verdict: &Verdict) -> VaultError {
    let words: Vec<String> = verdict.reasons.iter().map(Reason::to_string).collect();
    let mut reason = format!("snapshot {} is kept: {}", verdict.snapshot(), words.join(", "));
    for it in &verdict.reasons {
        if let Reason::Immutable { until } = it {
            reason.push_str(&format!("; nobody may remove it before {until}"));
        }
    }
    VaultError::Denied { reason }
}

/// An entry that names the snapshots that it is about, as far as there is room; and how many there are.
pub(crate) fn of_snapshots(event: Event, snapshots: &[SnapshotId]) -> Event {
    if snapshots.is_empty() {
        return event;
    }
    let names: Vec<String> = snapshots.iter().map(ToString::to_string).collect();
    let event = event.content(serde_json::json!({ "snapshots": names }));
    event.detail("count", names.len())
}

/// The rules in a text, or why it has none.
pub(crate) fn rules(ordered: &Ordered<'_>, text: &str) -> Result<Keep, VaultError> {
    text.parse().map_err(|error| ordered.bad("changed", format!("{error}")))
}
