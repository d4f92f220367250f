//! What operators order of workloads and drops.

use outlast_types::{DropId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

/// `POST /api/v1/workloads/{workload}/recreate`: begins a repository anew that is missing for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecreateOrder {
    /// For those who read later what was done.
    pub reason: String,
}

/// `POST /api/v1/workloads/{workload}/pause`: nobody is paged for it until then. One of the two ends
/// is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseOrder {
    /// From now on, by the vault's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    pub reason: String,
}

/// `POST /api/v1/workloads/{workload}/retire`: it drops no more. `…/resume`: its promise counts again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonedOrder {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `POST /api/v1/workloads/{workload}/rename`: one repository, history and promise, under another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenameOrder {
    pub to: WorkloadName,
    /// Until when its name of before is accepted; for 30 days, if nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `POST /api/v1/workloads/{workload}/deploying`: a release of it begins. It need not be said; pages for its
/// first drop wait as long as the class's `deploy_grace` allows, and no longer than it says here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployAnnouncement {
    /// For how long, by the vault's clock from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<u64>,
    /// For those who read later what was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer to a [`DeployAnnouncement`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployAnnounced {
    pub workload: WorkloadName,
    /// By the vault's clock.
    pub at: Timestamp,
    /// When it is taken to be over at the latest, if somebody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// By how much its first drop may come late at most.
    pub grace_seconds: u64,
}

/// `POST /api/v1/workloads/{workload}/accept`: a drop that is suspect, or was rejected as no whole
/// backup, is a backup all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptOrder {
    pub drop: DropId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer to an order of an operator. `GET /api/v1/orders?workload=` gives a list of these, in
/// the order in which they were given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderView {
    /// Counts up from 1.
    pub number: u64,
    /// By the vault's clock.
    pub at: Timestamp,
    /// Who ordered it: `operator eu-1`.
    pub by: String,
    /// `recreate`, `pause`, `retire`, `resume`, `rename`, `accept`, or `destroy` by the vault itself.
    pub action: String,
    pub workload: WorkloadName,
    /// How it is called since, if it was renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<WorkloadName>,
    /// The drop that was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop: Option<DropId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When a pause ends by itself, until when a name of before is accepted, or until when drops of a retired workload are no surprise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// How many snapshots went with a repository that was begun anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_forgotten: Option<u64>,
}

/// `POST /api/v1/agreements`: about maintenance windows that let pages wait for more than 24 hours, which takes
/// two operators. The answer is an [`AgreementView`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum AgreementOrder {
    /// To let policy say so in a section such as `classes.nightly`.
    Ask { section: String, windows: Vec<String>, reason: String },
    /// Another operator agrees.
    Approve { agreement: u64, reason: String },
    /// Either takes it back.
    Withdraw { agreement: u64, reason: String },
}

/// `GET /api/v1/agreements` gives a list of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreementView {
    /// Counts up from 1: it is called `policy:3`.
    pub agreement: u64,
    pub section: String,
    pub windows: Vec<String>,
    pub reason: String,
    pub by: String,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_at: Option<Timestamp>,
}

/// `POST /api/v1/policy`: another policy holds from now on: what a vault's file says of promises, classes,
/// workloads, content and keeping. One with a flaw changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyPolicy {
    /// How the file is called at whoever sends it, for the words about its flaws.
    pub name: String,
    /// TOML.
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer to [`ApplyPolicy`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyApplied {
    /// The keys that say something else now, with both values.
    pub changes: Vec<String>,
}

/// `POST /api/v1/releases/resume`: agents that did not report since the vault was brought back are not waited
/// for any longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeReleases {
    /// Why, for whoever reads the audit log.
    pub reason: String,
}

/// The answer to [`ResumeReleases`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasesResumed {
    /// Who never reported.
    pub silent_agents: Vec<String>,
}
