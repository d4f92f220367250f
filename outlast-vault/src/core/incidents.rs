//! Incidents as records: on their way from the promise ledger to the catalog, through its outbox to
//! the log that keeps them for ever, back from there when a catalog was lost, and into words.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use outlast_catalog::{IncidentRecord, RecordedCause};
use outlast_promise::{Cause, Incident};
use outlast_types::{Owner, Timestamp, WorkloadName, human};
use serde::{Deserialize, Serialize};

use super::audit::{AuditAction, AuditLog, Event, Source};
use super::error::VaultError;

/// Where what must be told ends up, and is kept for ever.
pub(crate) trait Chronicle: Send + Sync {
    /// Appends the entry and tells those who read along. It is on disk when this returns. Numbers
    /// rise; one that was appended before is there already, and nothing happens.
    fn append(&self, number: u64, entry: &IncidentEntry) -> Result<(), VaultError>;

    /// All that was appended is to be forgotten where it came from.
    fn all_appended(&self) -> Result<(), VaultError> {
        Ok(())
    }

    /// The number of the newest entry; `None` if there is none, or only a replay can tell.
    fn last(&self) -> Option<u64>;

    /// Shows all entries that were ever appended, with their numbers, the oldest first.
    fn replay(&self, show: &mut dyn FnMut(u64, IncidentEntry)) -> Result<(), VaultError>;
}

/// The audit log, in which incidents are kept for ever.
pub(crate) struct AuditChronicle {
    audit: Arc<AuditLog>,
    /// The last one that was told. Told before it is written, so that no kill loses a page; and once,
    /// however often the log cannot be written.
    told: AtomicU64,
}

impl AuditChronicle {
    pub(crate) fn new(audit: &Arc<AuditLog>) -> Self {
        Self { audit: Arc::clone(audit), told: AtomicU64::new(0) }
    }
}

impl Chronicle for AuditChronicle {
    fn append(&self, number: u64, entry: &IncidentEntry) -> Result<(), VaultError> {
        if self.audit.has_member(Source::Incidents, number) {
            return Ok(());
        }
        if self.told.fetch_max(number, Ordering::Relaxed) < number {
            entry.tell();
        }
        let action = match entry.resolved {
            None => AuditAction::IncidentOpened,
            Some(_) => AuditAction::IncidentResolved,
        };
        let content = serde_json::to_value(entry).unwrap_or_default();
        let event = Event::by_vault(action).object(&entry.key).content(content);
        let event = match &entry.workload {
            Some(workload) => event.workload(workload),
            None => event,
        };
        self.audit.record_member(Source::Incidents, number, event)
    }

    fn last(&self) -> Option<u64> {
        self.audit.last_member(Source::Incidents)
    }

    fn replay(&self, show: &mut dyn FnMut(u64, IncidentEntry)) -> Result<(), VaultError> {
        self.audit.members(Source::Incidents, &mut |number, content| match serde_json::from_value(
            content,
        ) {
            Ok(entry) => show(number, entry),
            Err(error) => {
                tracing::error!(%error, number, "an incident in the audit log is damaged");
            }
        })
    }
}

/// That an incident opened or resolved, as it is kept for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IncidentEntry {
    pub(crate) incident: u64,
    pub(crate) key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) workload: Option<WorkloadName>,
    pub(crate) owner: Owner,
    pub(crate) team: String,
    /// None if it was opened before causes were data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// The cause as the ledger writes it, or the sentence.
    pub(crate) cause: serde_json::Value,
    pub(crate) opened: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resolved: Option<Timestamp>,
    /// Whether it was told before there was a log that keeps it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_old_news: bool,
    /// Who is told, too, and by which route at first, if policy says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) also: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<String>,
}

impl IncidentEntry {
    /// The entry that tells of `record`.
    pub(crate) fn of(record: &IncidentRecord) -> Self {
        let (code, cause) = match &record.cause {
            RecordedCause::Data { code, json } => {
                let cause = serde_json::from_str(json).unwrap_or_else(|_| json.as_str().into());
                (Some(code.clone()), cause)
            }
            RecordedCause::Sentence(sentence) => (None, sentence.as_str().into()),
        };
        Self {
            incident: record.id,
            key: record.key.clone(),
            workload: record.workload.clone(),
            owner: record.owner,
            team: record.team.clone(),
            code,
            cause,
            opened: record.opened,
            resolved: record.resolved,
            is_old_news: false,
            also: Vec::new(),
            route: None,
        }
    }

    /// The entry that tells of `incident`.
    pub(crate) fn told(incident: &Incident) -> Self {
        let (also, route) = (incident.also.clone(), incident.route.clone());
        Self { also, route, ..Self::of(&record_of(incident)) }
    }

    /// The record that a lost catalog had of it.
    pub(crate) fn record(self) -> IncidentRecord {
        let Self { incident: id, key, workload, owner, team, opened, resolved, .. } = self;
        let cause = match (self.code, self.cause) {
            (Some(code), cause) => RecordedCause::Data { code, json: cause.to_string() },
            (None, serde_json::Value::String(sentence)) => RecordedCause::Sentence(sentence),
            (None, cause) => RecordedCause::Sentence(cause.to_string()),
        };
        IncidentRecord { id, key, workload, owner, team, cause, opened, resolved }
    }

    /// Tells those who read the vault's log.
    pub(crate) fn tell(&self) {
        if self.is_old_news {
            return;
        }
        let Self { incident, key, team, owner, opened, .. } = self;
        let cause = in_words(&self.clone().record().cause);
        match self.resolved {
            None => {
                tracing::warn!(incident, %key, "incident {incident} for {team} ({owner}): {cause}");
            }
            Some(resolved) => {
                let lasted = human::duration(resolved.since(*opened));
                tracing::info!(incident, %key, "incident {incident} resolved after {lasted}: {key}");
            }
        }
    }
}

/// The record of an incident that somebody is told of.
pub(crate) fn record_of(incident: &Incident) -> IncidentRecord {
    // Texts, numbers and times: nothing that JSON cannot say. As a value, so that what comes back
    // from the log has its members in the same order.
    let json = serde_json::to_value(&incident.cause).unwrap_or_default().to_string();
    IncidentRecord {
        id: incident.id,
        key: incident.key().to_string(),
        workload: incident.cause.workload().cloned(),
        owner: incident.owner(),
        team: incident.team.clone(),
        cause: RecordedCause::Data { code: incident.cause.code().to_owned(), json },
        opened: incident.opened,
        resolved: incident.resolved,
    }
}

/// A recorded cause as a sentence, for those who look at it now.
pub(crate) fn in_words(cause: &RecordedCause) -> String {
    match cause {
        RecordedCause::Sentence(sentence) => sentence.clone(),
        RecordedCause::Data { code, json } => match serde_json::from_str::<Cause>(json) {
            Ok(cause) => cause.to_string(),
            // A newer vault wrote it, before this older one took its place.
            Err(_) => format!("{code}: {json}"),
        },
    }
}

#[cfg(test)]
mod tests;
