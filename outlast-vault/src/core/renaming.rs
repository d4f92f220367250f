//! A workload that gets another name: one repository, history and promise.
//!
//! The order is written down first, and nothing else happens while the vault is at work: it begins anew
//! (`VaultHandle::begin_again_if_due`), and what lies under a former name is moved before anything looks at it.
//! Each place is moved by itself, if it is there, so a kill anywhere in between is made good by the next
//! start; and where all is in its place, there is nothing to do. From then on the workload is known by its new
//! name alone. The former one is translated at the doors, as long as it is accepted (`Vault::called`); what
//! the vault holds of drops that were shipped under it is told for ever (`Vault::present`), or they could
//! never be released.

use std::time::Duration;

use outlast_catalog::Catalog;
use outlast_types::{Timestamp, WorkloadName};

use super::audit;
use super::error::VaultError;
use super::former::FormerNames;
use super::orders::{Action, NewOrder, Order};
use super::storage::{Storage, StorageError};
use super::vault::Vault;

/// For so long a former name is accepted, if nobody says otherwise, and at most.
pub(crate) const ACCEPTED_FOR: Duration = Duration::from_secs(30 * 86_400);
pub(crate) const ACCEPTED_MAX: Duration = Duration::from_secs(366 * 86_400);

/// What lies under a workload's name in a folder, and what follows the name.
const PLACES: [(&str, &str); 11] = [
    ("keys", ".password"),
    ("keys", ".making"),
    ("arrivals", ""),
    ("repos/.keeping", ""),
    ("keeping", ""),
    ("repos/.shipments", ""),
    ("proofs", ""),
    ("lock-holders", ""),
    ("scrubs", ".json"),
    ("drills", ".json"),
    ("deliveries", ".json"),
];

/// Moves what lies under former names to where the workloads are now. Nothing else may use the storage
/// meanwhile.
pub(crate) fn move_places(
    storage: &Storage,
    catalog: &Catalog,
    names: &FormerNames,
) -> Result<(), VaultError> {
    move_records(storage, names)?;
    for (name, former) in names.iter() {
        catalog.rename(name, &former.present)?;
    }
    Ok(())
}

/// The same where there is no catalog.
pub(crate) fn move_records(storage: &Storage, names: &FormerNames) -> Result<(), VaultError> {
    for (name, former) in names.iter() {
        let present = &former.present;
        let mut moved = 0;
        for (folder, suffix) in PLACES {
            let key = format!("{folder}/{name}{suffix}");
            moved += found(storage, &key, storage.rename(&key, &format!("{present}{suffix}")))?;
        }
        let place = format!("repos/{name}");
        moved += found(storage, &place, storage.rename_repository(name, present))?;
        if moved > 0 {
            tracing::warn!(former = %name, %present, moved, "a workload has another name now");
        }
    }
    Ok(())
}

/// How much was moved. Where something has the name already, both stay: that is for people to look at.
fn found(storage: &Storage, key: &str, moved: std::io::Result<bool>) -> Result<u64, VaultError> {
    match moved {
        Ok(moved) => Ok(u64::from(moved)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let location = storage.location(key);
            tracing::error!(location, "is not moved to the workload's new name, which is taken");
            Ok(0)
        }
        Err(source) => Err(StorageError::of(&**storage, "give a new name to", key)(source).into()),
    }
}

impl Vault {
    /// By which name a workload is known that somebody calls so; an error if that is a name of before, and
    /// accepted no more.
    pub(crate) fn called(&self, name: &WorkloadName) -> Result<WorkloadName, VaultError> {
        let Some(former) = self.former.get(name) else { return Ok(name.clone()) };
        let (present, until) = (former.present.clone(), former.until);
        if self.environment.clock.now() < until {
            return Ok(present);
        }
        Err(VaultError::FormerName { former: name.clone(), present, until })
    }

    /// By which name a workload is known that is or was called so.
    pub(crate) fn present<'a>(&'a self, name: &'a WorkloadName) -> &'a WorkloadName {
        self.former.present(name)
    }

    /// Orders that a workload is called `to` from the next beginning on, and that its name of now is accepted
    /// until then; or, of a former name, until when that is.
    pub(crate) fn rename(
        &self,
        workload: &WorkloadName,
        (by, reason): (&str, Option<&str>),
        to: &WorkloadName,
        until: Timestamp,
    ) -> Result<Order, VaultError> {
        let _one_at_a_time = self.repositories.caring();
        if self.begins_again() {
            let reason = "the vault begins anew for another renaming: ask again in a moment";
            return Err(VaultError::Busy { reason: reason.to_owned() });
        }
        self.judge_renaming(workload, to)?;
        let action = Action::Rename { to: to.clone(), until };
        let at = self.environment.clock.now();
        let order = self.orders.append(NewOrder { at, by, workload, reason, action })?;
        self.audit.record_member(audit::Source::Orders, order.number, order.entry())?;
        Ok(order)
    }

    /// Whether a renaming was ordered that takes a new beginning.
    pub(crate) fn begins_again(&self) -> bool {
        self.orders.former() != self.former
    }

    fn judge_renaming(&self, workload: &WorkloadName, to: &WorkloadName) -> Result<(), VaultError> {
        let bad = |reason: String| VaultError::BadOrder {
            workload: workload.clone(),
            action: "renamed",
            reason,
        };
        if let Some(former) = self.former.get(workload) {
            // Only how long the former name is accepted can be ordered of it.
            return match former.present == *to {
                true => Ok(()),
                false => Err(bad(format!("it is called {} now", former.present))),
            };
        }
        if workload == to {
            return Err(bad("that is its name".to_owned()));
        }
        let status = self.promises.status(workload);
        let unknown = || VaultError::UnknownWorkload { workload: workload.clone() };
        let status = status.ok_or_else(unknown)?;
        if self.former.get(to).is_some_and(|former| former.present != *workload) {
            let other = self.present(to);
            return Err(bad(format!("{other} had the name {to} before, and may be meant by it")));
        }
        let memory = self.memory_of(to)?;
        let is_here = memory.snapshots > 0 || memory.vaulted || memory.arrivals;
        let is_known = self.promises.status(to).is_some_and(|it| it.source.is_some());
        if is_here || is_known || self.repositories.with_password()?.contains(to) {
            return Err(bad(format!("there is a workload {to} already: choose another name")));
        }
        for service in self.promises.services() {
            let is_member = service.members.iter().any(|it| it.workload == *workload);
            if service.service == *to || service.service == *workload || is_member {
                let service = &service.service;
                return Err(bad(format!(
                    "policy lists members of {service}: take them out, reload, rename, and list them anew"
                )));
            }
        }
        if self.promises.settings().policy.workloads.contains_key(to) {
            return Ok(());
        }
        // Nobody's promise changes by the way: what patterns say of a name is easily overlooked.
        let mut policy = self.promises.settings().policy;
        let before = policy.class(workload);
        policy.carry_over(workload, to);
        if policy.class(to) != before {
            let promise = &status.promise;
            return Err(bad(format!(
                "policy promises something else of what is called {to}, and {promise} of {workload} now: write \
                 [workloads.{to}] with what is to hold, reload, and rename it then"
            )));
        }
        Ok(())
    }
}
