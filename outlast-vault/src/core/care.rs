//! Looking after the repositories: whether all that is remembered is there, and beginning anew
//! what is lost for good.

use std::sync::Arc;
use std::time::Duration;

use outlast_promise::Event;
use outlast_types::{Timestamp, WorkloadName};
use outlast_wire::Peer;

use super::audit::{self, AuditAction};
use super::error::VaultError;
use super::jobs::Progress;
use super::keepings::Standing;
use super::orders::{Action, NewOrder, Order};
use super::presence::{Found, Missing};
use super::repositories::WorkloadRepository;
use super::vault::Vault;

impl Vault {
    /// The workload's repository, made if there is none and nothing remembers one.
    pub(crate) fn open_or_make(
        &self,
        by: &Peer,
        workload: &WorkloadName,
    ) -> Result<Arc<WorkloadRepository>, VaultError> {
        match self.repositories.get(workload) {
            Err(VaultError::UnknownWorkload { .. }) => {}
            result => return result,
        }
        self.limits.may_begin(by)?;
        let memory = self.memory_of(workload)?;
        let (repository, is_made) = self.repositories.get_or_make(workload, memory)?;
        if is_made {
            self.limits.begun(by, workload);
            let made = audit::Event::by(by, AuditAction::RepositoryMade).workload(workload);
            self.audit.record(made)?;
        }
        Ok(repository)
    }

    /// Looks whether every repository that anything remembers is all there. What is missing is
    /// refused from then on and is an incident, until a later look finds it again.
    pub(crate) fn look_after_repositories(
        &self,
        progress: &Progress,
    ) -> Result<String, VaultError> {
        // What is begun anew meanwhile must not be judged by what was remembered before.
        let _one_at_a_time = self.repositories.caring();
        let mut events = Vec::new();
        let mut found_again = Vec::new();
        let (mut gone, mut damaged, mut whole) = (0, 0, 0);
        let memories = self.memories()?;
        progress.each(memories.keys().cloned().collect(), Duration::ZERO, |workload| {
            let memory = memories.get(workload).copied().unwrap_or_default();
            let (found, is_news) = self.repositories.inspect(workload, memory);
            match &found {
                Found::Nothing | Found::Begun => {}
                Found::Missing(Missing::Repository) => gone += 1,
                Found::Missing(_) => damaged += 1,
                Found::Whole => whole += 1,
            }
            if !is_news {
                return Ok(());
            }
            let missing = match found {
                Found::Missing(what) => {
                    tracing::error!(%workload, "its repository is not whole: {what}");
                    Some(what.to_string())
                }
                Found::Whole | Found::Nothing | Found::Begun => {
                    tracing::info!(%workload, "its repository is whole again");
                    found_again.push(workload.clone());
                    None
                }
            };
            events.push(Event::Repository { workload: workload.clone(), missing });
            Ok(())
        })?;
        // Of a look that was broken off nothing follows for the whole.
        if !progress.is_stopped() {
            self.repositories.note_away(gone > 0 && damaged + whole == 0);
        }
        self.promises.noted(events)?;
        for workload in found_again {
            if let Err(error) = self.repair(&workload) {
                tracing::error!(%workload, %error, "its snapshots are not all known");
            }
        }
        Ok(format!("{whole} repositories are whole, {damaged} are damaged, {gone} are gone"))
    }

    /// Begins a repository anew that is missing for good: what is left of it is set aside, and what
    /// was known of it is forgotten. The next agent that asks gets a new one.
    pub(crate) fn recreate(
        &self,
        workload: &WorkloadName,
        by: &str,
        reason: &str,
    ) -> Result<Order, VaultError> {
        let _one_at_a_time = self.repositories.caring();
        let memory = self.memory_of(workload)?;
        self.repositories.require_missing(workload, memory)?;
        let order = self.orders.append(NewOrder {
            at: self.environment.clock.now(),
            by,
            workload,
            reason: Some(reason),
            action: Action::Recreate { snapshots_forgotten: memory.snapshots },
        })?;
        self.audit.record_member(audit::Source::Orders, order.number, order.entry())?;
        // The catalog last: killed before, the workload is still remembered, and the order is
        // given again.
        let stamp = order.number.to_string();
        self.repositories.set_aside(workload, memory, &stamp)?;
        self.arrivals.set_aside(workload, &stamp)?;
        self.shipments.end_all(workload, self.environment.clock.now())?;
        self.promises.ordered(&order, Some(workload))?;
        Ok(order)
    }

    /// Somebody says that a release of a workload begins: by how much its first drop may come late. It moves
    /// no promise, and lets no page wait for longer than policy allows.
    pub(crate) fn announce_deploy(
        &self,
        workload: &WorkloadName,
        (by, reason): (&str, Option<&str>),
        until: Option<Timestamp>,
    ) -> Result<Duration, VaultError> {
        let status = self.promises.status(workload);
        let status =
            status.ok_or_else(|| VaultError::UnknownWorkload { workload: workload.clone() })?;
        let grace = status.promise.class().deploy_grace;
        if grace.is_zero() {
            let reason =
                "its class has no deploy_grace, so its pages wait for no release".to_owned();
            let (workload, action) = (workload.clone(), "announced");
            return Err(VaultError::BadOrder { workload, action, reason });
        }
        let at = self.environment.clock.now();
        let event = audit::Event::by_name(by.to_owned(), AuditAction::DeployAnnounced);
        let event = until.iter().fold(event.workload(workload), |it, at| it.detail("until", at));
        let event = reason.iter().fold(event, |it, reason| it.detail("reason", reason));
        self.audit.record(event)?;
        self.promises.noted(vec![Event::Deploying { workload: workload.clone(), at, until }])?;
        Ok(grace)
    }

    /// Pauses, retires or resumes a workload.
    pub(crate) fn order(
        &self,
        workload: &WorkloadName,
        by: &str,
        reason: Option<&str>,
        action: Action,
    ) -> Result<Order, VaultError> {
        if self.promises.status(workload).is_none() {
            return Err(VaultError::UnknownWorkload { workload: workload.clone() });
        }
        // Where that cannot be read, nothing is decided over it.
        self.keepings.read_again(workload)?;
        let at = self.environment.clock.now();
        let order = self.orders.append(NewOrder { at, by, workload, reason, action })?;
        self.audit.record_member(audit::Source::Orders, order.number, order.entry())?;
        self.note_standing(&order)?;
        self.promises.ordered(&order, None)?;
        Ok(order)
    }

    /// Notes a pause or a retirement beside the repository, too, or that there is none any more.
    fn note_standing(&self, order: &Order) -> Result<(), VaultError> {
        let standing = match order.action {
            Action::Pause { until } | Action::Retire { until } => Some(Standing {
                number: order.number,
                order: order.action.as_str().to_owned(),
                by: order.by.clone(),
                at: order.at,
                until,
            }),
            Action::Resume => None,
            _ => return Ok(()),
        };
        if standing.is_none() && self.keepings.get(&order.workload)?.standing.is_none() {
            return Ok(());
        }
        self.keepings.change(&order.workload, |keeping| {
            keeping.standing = standing;
            Ok(())
        })
    }
}
