//! What a vault does by itself: its jobs, and how often.

use std::time::Duration;

use outlast_promise::Event;
use outlast_store::Kind;
use outlast_types::{Interrupt, human};

use super::audit::{self, AuditAction};
use super::error::VaultError;
use super::jobs::{Progress, Schedule};
use super::vault::Vault;

/// Pages come from here: a second is what they may be late.
const JUDGE_PROMISES: Duration = Duration::from_secs(1);
/// What was counted for a minute must not wait for the end.
const WRITE_COUNTED: Duration = Duration::from_secs(10);
/// So much of a day's counts a crash forgets.
const WRITE_USAGE: Duration = Duration::from_secs(10);
/// What was removed past our doors, as by a prune, makes room then.
const MEASURE_STORED: Duration = Duration::from_secs(6 * 3600);
/// A certificate is renewed within days of the moment at which it may be.
const RENEW_OWN: Duration = Duration::from_secs(600);
const LOOK_AFTER_SHIPMENTS: Duration = Duration::from_secs(600);
const SWEEP_LEFTOVERS: Duration = Duration::from_secs(6 * 3600);
/// Who makes a kit waits for nothing; it is soon that the audit log knows.
const KEEP_KIT_KEYS: Duration = Duration::from_secs(10);
const TRIM_OWN_STATE: Duration = Duration::from_secs(24 * 3600);
/// What it mends is safe meanwhile, and only not shown.
const REPAIR_CATALOG: Duration = Duration::from_secs(3600);

/// Reads and hashes what is a few hundred MiB after years.
const VERIFY_AUDIT_LOG: Duration = Duration::from_secs(3600);

/// A state that lasts shorter is in the incidents.
const KEEP_MONTHS: Duration = Duration::from_secs(30);

/// Nobody waits for it.
const FORGET_UNNAMED: Duration = Duration::from_secs(24 * 3600);
/// How long an agent has not named a workload of which nothing ever came before that is forgotten.
const UNNAMED: Duration = Duration::from_secs(30 * 24 * 3600);

/// Rules are of days: what is due is done within the hour, also where it may be done at night only.
const FORGET: Duration = Duration::from_secs(3600);

/// Left to others between two repositories: thousands take minutes, and nobody waits for them.
const PACE: Duration = Duration::from_millis(50);

/// What was left unfinished before that was left by a writer that was killed. Writers finish an object
/// within minutes; other programs may write to the repository's directory beside us.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);

/// Something that a vault does by itself.
#[derive(Clone, Copy)]
pub(crate) struct Job {
    schedule: Schedule,
    work: fn(&Vault, &Progress) -> Result<String, VaultError>,
}

/// How often a vault does what depends on its configuration.
pub(crate) struct Every {
    pub(crate) look_after: Duration,
    pub(crate) save_state: Duration,
    /// Looks what is to be scrubbed.
    pub(crate) scrub: Duration,
    /// Looks which drills are to be done.
    pub(crate) drill: Duration,
}

/// All jobs of a vault.
pub(crate) fn jobs(every: Every) -> [Job; 18] {
    let job = |name, every, work| Job { schedule: Schedule { name, every }, work };
    [
        // Not with others on one thread: a disk that hangs must not keep us from telling of it.
        job("judge-promises", JUDGE_PROMISES, |vault, _| {
            let watched = vault.watch_promises();
            // Whatever came of it: who cannot write lives, who hangs does not.
            vault.environment.pulse.beat();
            watched?;
            vault.note_past_authorities(&vault.identity.get())?;
            vault.heed_border_of_months()?;
            Ok(String::new())
        }),
        job("look-after-repositories", every.look_after, Vault::look_after_repositories),
        job("write-audit-counts", WRITE_COUNTED, |vault, _| {
            vault.audit.flush(false)?;
            Ok(String::new())
        }),
        job("verify-audit-log", VERIFY_AUDIT_LOG, |vault, _| vault.verify_audit_log()),
        job("write-usage", WRITE_USAGE, |vault, _| vault.limits.write().map(|()| String::new())),
        job("measure-stored", MEASURE_STORED, Vault::measure_stored),
        job("renew-own-certificate", RENEW_OWN, |vault, _| vault.renew_own()),
        job("look-after-shipments", LOOK_AFTER_SHIPMENTS, |vault, _| vault.look_after_shipments()),
        job("sweep-leftovers", SWEEP_LEFTOVERS, Vault::sweep_leftovers),
        job("repair-catalog", REPAIR_CATALOG, Vault::repair_catalog),
        job("forget-unnamed", FORGET_UNNAMED, |vault, _| vault.forget_unnamed(UNNAMED)),
        job("forget-snapshots", FORGET, Vault::forget_what_may_go),
        job("keep-kit-keys", KEEP_KIT_KEYS, Vault::keep_kit_keys),
        job("scrub", every.scrub, Vault::scrub),
        job("drill", every.drill, Vault::drill),
        job("keep-months", KEEP_MONTHS, |vault, _| vault.note_month()),
        job("save-own-state", every.save_state, Vault::save_own_state),
        job("trim-own-state", TRIM_OWN_STATE, Vault::trim_own_state),
    ]
}

impl Job {
    pub(crate) fn name(&self) -> &'static str {
        self.schedule.name
    }

    /// Does it whenever it is due, until the end is asked for.
    pub(crate) fn keep_doing(&self, vault: &Vault, stop: &Interrupt) {
        vault.jobs.keep_doing(self.schedule, stop, |progress| (self.work)(vault, progress));
    }
}

impl Vault {
    /// Looks at every entry of the audit log. One that is missing or changed is an incident until it is
    /// there again, as it was.
    pub(crate) fn verify_audit_log(&self) -> Result<String, VaultError> {
        let verdict = self.audit.verify()?;
        let problem = verdict.problem();
        let result = match &problem {
            None => format!("the audit log is whole: {} entries", verdict.entries),
            Some(problem) => format!("the audit log is not whole: {problem}"),
        };
        self.promises.noted(vec![Event::AuditLog { problem }])?;
        Ok(result)
    }

    /// Forgets workloads of which an agent spoke once, nothing was ever vaulted, and nobody has spoken for
    /// so long: of a flood of words, or of directories that are gone from the share.
    pub(crate) fn forget_unnamed(&self, time: Duration) -> Result<String, VaultError> {
        let mut count = 0;
        for (agent, workloads) in self.promises.unnamed(time) {
            count += workloads.len();
            let names: Vec<&str> = workloads.iter().map(|name| name.as_str()).collect();
            tracing::info!(agent, count = names.len(), "workloads that nobody names are forgotten");
            let event = audit::Event::by_vault(AuditAction::WorkloadsForgotten)
                .detail("named_by", format!("agent {agent}"))
                .detail("count", names.len())
                .detail("workloads", names.join(", "))
                .detail(
                    "why",
                    format!("nothing was vaulted, and not named for {}", human::duration(time)),
                );
            // First the entry: a kill in between says it twice.
            self.audit.record(event)?;
            let forgotten = workloads.into_iter().map(|workload| Event::Forgotten { workload });
            self.promises.noted(forgotten.collect())?;
        }
        Ok(format!("forgot {count} workloads of which nothing ever came"))
    }

    /// Removes what killed writers left unfinished in all repositories.
    fn sweep_leftovers(&self, progress: &Progress) -> Result<String, VaultError> {
        let moment = self.environment.clock.now().saturating_sub(LEFTOVER_AGE);
        let mut removed = 0;
        progress.each(self.repositories.workloads()?, PACE, |workload| {
            if let Some(repository) = self.repositories.present(workload)? {
                removed += repository.store.sweep(moment);
            }
            Ok(())
        })?;
        Ok(format!("removed {removed} leftovers of writers that were killed"))
    }

    /// Measures what is stored of each workload, for its quotas.
    fn measure_stored(&self, progress: &Progress) -> Result<String, VaultError> {
        let mut total = 0u64;
        progress.each(self.repositories.workloads()?, PACE, |workload| {
            if let Some(repository) = self.repositories.present(workload)? {
                let packs = repository.store.list(Kind::Data)?;
                let bytes = packs.iter().map(|(_, size)| size).sum();
                self.limits.measured(workload, bytes);
                total = total.saturating_add(bytes);
            }
            Ok(())
        })?;
        Ok(format!("{} are stored of all workloads", human::bytes(total)))
    }

    /// Takes in the snapshots that lie in repositories and that the catalog does not know: of a
    /// publication that could not be cataloged, or of a program that writes past our doors.
    pub(crate) fn repair_catalog(&self, progress: &Progress) -> Result<String, VaultError> {
        let mut taken_in = 0;
        progress.each(self.repositories.workloads()?, PACE, |workload| {
            taken_in += self.repair(workload)?;
            Ok(())
        })?;
        Ok(format!("took in {taken_in} snapshots that the catalog did not know"))
    }
}

#[cfg(test)]
mod tests;
