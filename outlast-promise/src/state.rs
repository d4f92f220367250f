//! All that a ledger knows. Only facts, no conclusions: states are worked out from them.

use std::collections::BTreeMap;
use std::time::Duration;

use outlast_types::{Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::cause::Key;
use crate::error::LedgerError;
use crate::event::{Source, Validity};
use crate::evidence::Evidence;
use crate::handed::HandoverId;
use crate::handover_state::HandoverState;
use crate::incident::OpenIncident;
use crate::limit::OverLimit;
use crate::source_state::SourceState;
use crate::table::Table;
use crate::workload::Workload;

/// Rows of which each is saved when it changed, and only then.
#[derive(Debug, Clone)]
pub(crate) struct LedgerState {
    pub(crate) head: Head,
    /// The head that was saved last.
    pub(crate) saved_head: Head,
    pub(crate) workloads: Table<WorkloadName, Workload>,
    pub(crate) sources: Table<Source, SourceState>,
    pub(crate) handovers: Table<HandoverId, HandoverState>,
    pub(crate) open: Table<Key, OpenIncident>,
    /// What speaks against the vault's custody, until it is settled or old.
    pub(crate) evidence: Evidence,
    /// Agents that wanted more than policy allows them, until that is old.
    pub(crate) over_limits: Table<String, OverLimit>,
}

/// What is known of the whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    /// The latest moment that the ledger was told of; time never runs backwards from here.
    pub(crate) now: Timestamp,
    pub(crate) last_incident_id: u64,
    /// The number of the last order that was heard.
    pub(crate) last_order: u64,
    /// Certificates that no source shows, such as the vault's own, by who holds them.
    pub(crate) certificates: BTreeMap<String, Validity>,
    pub(crate) outage: Option<VaultOutage>,
    /// What the vault found wrong with its audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) audit_problem: Option<String>,
    /// Why the vault forgets nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) forgetting_problem: Option<String>,
    /// The agents for which the vault withholds releases, and until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) withheld: Option<(Vec<String>, Timestamp)>,
    /// Media servers of which anything was the matter.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) media: BTreeMap<String, MediaTrouble>,
    /// Ways by which people cannot be told, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) routes: BTreeMap<String, String>,
}

/// What is the matter with a media server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MediaTrouble {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) silent_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

impl Head {
    /// Of a ledger that knows nothing yet.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            now,
            last_incident_id: 0,
            last_order: 0,
            certificates: BTreeMap::new(),
            outage: None,
            audit_problem: None,
            forgetting_problem: None,
            withheld: None,
            media: BTreeMap::new(),
            routes: BTreeMap::new(),
        }
    }
}

/// A time in which the vault was down, and how long the backlog may take to arrive afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VaultOutage {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) recovered: Timestamp,
}

impl VaultOutage {
    /// Whether a promise that broke at `due` broke because the vault was not there: in the time that it was
    /// away, and in which it recovered; and while what waited then still comes, of what `waits`.
    pub(crate) fn explains(&self, due: Timestamp, waits: bool, now: Timestamp) -> bool {
        let was_away = due < self.recovered && now < self.recovered;
        self.from <= due && (was_away || waits)
    }
}

impl LedgerState {
    /// Nothing but the head.
    pub(crate) fn of(head: Head) -> Self {
        Self {
            saved_head: head.clone(),
            head,
            workloads: Table::default(),
            sources: Table::default(),
            handovers: Table::default(),
            open: Table::default(),
            evidence: Evidence::default(),
            over_limits: Table::default(),
        }
    }

    /// Takes over the open incidents that were saved; each knows its key.
    pub(crate) fn set_open(&mut self, open: Vec<OpenIncident>) -> Result<(), LedgerError> {
        let count = open.len();
        self.open = open.into_iter().map(|open| (open.cause.key(), open)).collect();
        if self.open.len() < count {
            return Err(LedgerError::Inconsistent("two open incidents are about one thing"));
        }
        Ok(())
    }

    /// All changes were saved.
    pub(crate) fn mark_saved(&mut self) {
        self.saved_head.clone_from(&self.head);
        self.workloads.mark_saved();
        self.sources.mark_saved();
        self.handovers.mark_saved();
        self.open.mark_saved();
        self.evidence.lost.mark_saved();
        self.evidence.contested.mark_saved();
        self.over_limits.mark_saved();
    }

    /// Takes back all changes that were not saved.
    pub(crate) fn restore_saved(&mut self) {
        self.head.clone_from(&self.saved_head);
        self.workloads.restore_saved();
        self.sources.restore_saved();
        self.handovers.restore_saved();
        self.open.restore_saved();
        self.evidence.lost.restore_saved();
        self.evidence.contested.restore_saved();
        self.over_limits.restore_saved();
    }

    /// Moves every moment `by` into the past: the host's clock was set back, and what has passed
    /// since each of them has passed all the same. When certificates end is not ours to move.
    pub(crate) fn shift_back(&mut self, by: Duration) {
        let back = |at: &mut Timestamp| *at = earlier(*at, by);
        back(&mut self.head.now);
        self.workloads.update_all(|workload| workload.moments().into_iter().for_each(back));
        self.sources.update_all(|source| {
            back(&mut source.heard);
            source.recovering.iter_mut().for_each(|recovering| back(&mut recovering.until));
            source.looked.iter_mut().for_each(back);
        });
        self.handovers.update_all(|handover| handover.moments().for_each(back));
        if let Some(outage) = &mut self.head.outage {
            back(&mut outage.from);
            back(&mut outage.until);
            back(&mut outage.recovered);
        }
        self.evidence.shift(back);
        self.over_limits.update_all(|over| back(&mut over.last));
        self.open.update_all(|incident| {
            back(&mut incident.opened);
            incident.catching_up.iter_mut().for_each(|it| it.shift(back));
        });
    }
}

/// `at` less `by`; before 1970 too, where a host whose clock battery is empty begins its day.
fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    let borrow = at.nanos() < by.subsec_nanos();
    let nanos = at.nanos() + if borrow { 1_000_000_000 } else { 0 } - by.subsec_nanos();
    let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
    let seconds = at.unix_seconds().saturating_sub(seconds).saturating_sub(i64::from(borrow));
    Timestamp::from_unix(seconds, nanos).unwrap_or(Timestamp::EPOCH)
}
