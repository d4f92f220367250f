//! What a ledger remembers, in the form in which it survives a restart.

mod v1;

use std::collections::BTreeMap;
use std::time::Duration;

use outlast_types::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::evidence::Evidence;
use crate::workload::Workload;
use crate::{Cause, Incident, Key, Source, Validity};
use outlast_types::WorkloadName;

/// Version 1 had one promise for each workload, copied from whoever said it last, knew agents by
/// their names only, and nothing of repositories, orders, certificates, and what speaks against
/// custody.
const VERSION: u32 = 2;

/// Everything that a ledger knows. Only facts, no conclusions: states are worked out from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Memory {
    version: u32,
    /// The latest moment that the ledger was told of; time never runs backwards from here.
    pub(crate) now: Timestamp,
    pub(crate) last_incident_id: u64,
    /// The number of the last order that was heard.
    pub(crate) last_order: u64,
    pub(crate) workloads: BTreeMap<WorkloadName, Workload>,
    #[serde(with = "sources")]
    pub(crate) sources: BTreeMap<Source, Standing>,
    /// Certificates that no source shows, such as the vault's own, by who holds them.
    pub(crate) certificates: BTreeMap<String, Validity>,
    pub(crate) absence: Option<Absence>,
    /// What speaks against the vault's custody, until it is settled or old.
    pub(crate) evidence: Evidence,
    #[serde(with = "as_list")]
    pub(crate) open: BTreeMap<Key, OpenIncident>,
}

/// How it stands with one source: an agent and the share that it speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Standing {
    pub(crate) heard: Timestamp,
    /// How long the vault itself did not listen since then; that silence is not the agent's.
    pub(crate) unheard: Duration,
    pub(crate) problem: Option<String>,
    /// Whether the share could be looked over, with or without a problem.
    pub(crate) usable: bool,
    /// What keeps the agent from getting drops into the vault although its share is well.
    #[serde(default)]
    pub(crate) hindrance: Option<String>,
    /// What lies on its share and can be nobody's drop.
    #[serde(default)]
    pub(crate) stray: Option<String>,
    /// After an incident of this source resolved: which one, and until when the backlog may arrive.
    pub(crate) recovering: Option<Recovering>,
    /// How long the certificate is valid that was shown last.
    pub(crate) certificate: Option<Validity>,
}

impl Standing {
    pub(crate) fn new(heard: Timestamp) -> Self {
        Self {
            heard,
            unheard: Duration::ZERO,
            problem: None,
            usable: true,
            hindrance: None,
            stray: None,
            recovering: None,
            certificate: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recovering {
    pub(crate) incident: u64,
    pub(crate) until: Timestamp,
}

/// A time in which the vault was down, and how long the backlog may take to arrive afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Absence {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) recovered: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenIncident {
    pub(crate) id: u64,
    pub(crate) cause: Cause,
    pub(crate) team: String,
    pub(crate) opened: Timestamp,
    pub(crate) folded_into: Option<u64>,
    /// Whether somebody was told; a folded incident that resolves untold is nobody's news.
    pub(crate) announced: bool,
}

impl OpenIncident {
    pub(crate) fn view(&self, resolved: Option<Timestamp>) -> Incident {
        Incident {
            id: self.id,
            cause: self.cause.clone(),
            team: self.team.clone(),
            opened: self.opened,
            resolved,
            folded_into: self.folded_into,
        }
    }
}

/// Why stored memory cannot be used. The catalog can be rebuilt from the repositories then.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    #[error(
        "the promise ledger was written by a newer version ({found}; this one reads {VERSION}): use \
         that version, or rebuild the catalog"
    )]
    Newer { found: u32 },
    #[error("the promise ledger is damaged ({0}): rebuild the catalog")]
    Damaged(#[from] serde_json::Error),
}

impl Memory {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            version: VERSION,
            now,
            last_incident_id: 0,
            last_order: 0,
            workloads: BTreeMap::new(),
            sources: BTreeMap::new(),
            certificates: BTreeMap::new(),
            absence: None,
            evidence: Evidence::default(),
            open: BTreeMap::new(),
        }
    }

    pub(crate) fn encode(&self) -> String {
        // Maps keyed by text, numbers and text only: nothing here that JSON cannot say.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn decode(text: &str) -> Result<Self, MemoryError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        // The version first: another form need not parse as ours.
        let Version { version } = serde_json::from_str(text)?;
        Ok(match version {
            0 | 1 => serde_json::from_str::<v1::Memory>(text)?.into(),
            VERSION => serde_json::from_str(text)?,
            found => return Err(MemoryError::Newer { found }),
        })
    }

    /// Moves every moment `by` into the past: the host's clock was set back, and what has passed
    /// since each of them has passed all the same. When certificates end is not ours to move.
    pub(crate) fn shift_back(&mut self, by: Duration) {
        let back = |at: &mut Timestamp| *at = earlier(*at, by);
        back(&mut self.now);
        for workload in self.workloads.values_mut() {
            workload.moments().into_iter().for_each(back);
        }
        for standing in self.sources.values_mut() {
            back(&mut standing.heard);
            standing.recovering.iter_mut().for_each(|recovering| back(&mut recovering.until));
        }
        if let Some(absence) = &mut self.absence {
            back(&mut absence.from);
            back(&mut absence.until);
            back(&mut absence.recovered);
        }
        self.evidence.moments().for_each(back);
        for incident in self.open.values_mut() {
            back(&mut incident.opened);
        }
    }
}

/// Standings as a list: their keys are no text.
mod sources {
    use super::{BTreeMap, Deserialize, Deserializer, Serializer, Source, Standing};

    pub(super) fn serialize<S: Serializer>(
        sources: &BTreeMap<Source, Standing>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(sources)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<Source, Standing>, D::Error> {
        Ok(Vec::<(Source, Standing)>::deserialize(from)?.into_iter().collect())
    }
}

/// Open incidents as a list: each knows its key.
mod as_list {
    use super::{BTreeMap, Deserialize, Deserializer, Key, OpenIncident, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        open: &BTreeMap<Key, OpenIncident>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(open.values())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<Key, OpenIncident>, D::Error> {
        let list = Vec::<OpenIncident>::deserialize(from)?;
        let count = list.len();
        let open: BTreeMap<_, _> =
            list.into_iter().map(|incident| (incident.cause.key(), incident)).collect();
        if open.len() < count {
            return Err(de::Error::custom("two open incidents are about one thing"));
        }
        Ok(open)
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
