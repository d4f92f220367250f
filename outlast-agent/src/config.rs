//! How an agent is configured. Who starts it reads that from wherever it stands.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outlast_drop::adopt::Rule;
use outlast_drop::{DropLimits, ScanLimits};
use outlast_handover::Rules;
use outlast_types::WorkloadName;
use outlast_wire::Proxies;
use outlast_wire::names::Names;

use crate::answers::FetchRules;
use crate::budget::Budgets;

/// A configuration that an agent is to go on with, as far as that can be without a restart. A copy leads to the
/// same agent.
#[derive(Debug, Clone, Default)]
pub struct Changes(Arc<Mutex<Option<AgentConfig>>>);

impl Changes {
    /// Takes effect with the next pass.
    pub fn put(&self, config: AgentConfig) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(config);
    }

    pub(crate) fn take(&self) -> Option<AgentConfig> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// One hand-over of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    pub rules: Rules,
    /// How the product is asked for what it has; by nobody but hooks and people without it.
    pub confirm: Option<Confirming>,
}

/// How often the command that asks a product is run, and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirming {
    pub every: Duration,
    pub deadline: Duration,
}

/// An agent's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// Where the share is mounted.
    pub share: PathBuf,
    /// The agent's own directory: a lock, journals of unfinished uploads, the share's id. May be
    /// lost at any time.
    pub state: PathBuf,
    /// The vault's address, such as `https://vault:8443/`, or that of a media server on the way to it; several
    /// with commas between them are tried in turn.
    pub upstream: String,
    /// Through which proxies the way leads.
    pub proxies: Proxies,
    /// The directory of the agent's identity.
    pub identity: PathBuf,
    /// Whom certificates mean that name nobody of ours: the agent's own, and those whose words it
    /// believes.
    pub names: Names,
    /// The pause between two passes.
    pub poll: Duration,
    /// How long a drop must have been still before its writer counts as dead.
    pub grace: Duration,
    /// How many bytes may lie on the share.
    pub budgets: Budgets,
    /// How long receipts of drops that have left the share stay after the vault has their record.
    pub receipts_keep: Duration,
    /// How many vaulted drops of each workload stay on the share.
    pub keep: usize,
    /// How often the vault hears of the agent when there is nothing new.
    pub report: Duration,
    /// How long a problem of the share must last before the vault hears of it: network file
    /// systems hiccup, and nobody must be woken for that.
    pub patience: Duration,
    /// How much of one drop is taken.
    pub limits: DropLimits,
    /// The most bytes of one drop of a workload, where that is another limit.
    pub drop_max: BTreeMap<WorkloadName, u64>,
    /// Where the agent's figures are written for a node_exporter.
    pub textfile: Option<PathBuf>,
    /// How much of the share one pass looks at.
    pub scan: ScanLimits,
    /// The keys with which it opens what writers have encrypted for it.
    pub seal_key: Option<PathBuf>,
    /// Which files on the share it makes drops of.
    pub adopt: Vec<Rule>,
    /// Which backup products it hands drops over to.
    pub handover: Vec<Handover>,
    /// How many drops are read and sent side by side, each of another workload; at least two.
    pub loads_at_once: usize,
    /// How long a pass waits for a drop that is under way, and others for its place at most.
    pub quick: Duration,
    /// How instances get backups back.
    pub fetch: FetchRules,
}

impl AgentConfig {
    /// A configuration with defaults for all but the places.
    pub fn new(share: &Path, state: &Path, upstream: &str, identity: &Path) -> Self {
        Self {
            share: share.to_owned(),
            state: state.to_owned(),
            upstream: upstream.to_owned(),
            proxies: Proxies::default(),
            identity: identity.to_owned(),
            names: Names::default(),
            poll: Duration::from_secs(30),
            grace: Duration::from_secs(3600),
            budgets: Budgets::default(),
            receipts_keep: Duration::from_secs(30 * 86_400),
            keep: 2,
            report: Duration::from_secs(30),
            patience: Duration::from_secs(15),
            limits: DropLimits::default(),
            drop_max: BTreeMap::new(),
            textfile: None,
            scan: ScanLimits::PASS,
            seal_key: None,
            adopt: Vec::new(),
            handover: Vec::new(),
            loads_at_once: 8,
            quick: Duration::from_secs(20),
            fetch: FetchRules::default(),
        }
    }

    /// How much of one drop of `workload` is taken.
    pub fn limits_of(&self, workload: &WorkloadName) -> DropLimits {
        let bytes_max = self.drop_max.get(workload).copied().unwrap_or(self.limits.bytes_max);
        DropLimits { bytes_max, ..self.limits }
    }
}
