//! What keeps snapshots, and what operators order of them.

use outlast_types::{DropId, Sanity, SnapshotId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

/// `GET /api/v1/snapshots?workload=` gives a list of these, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotView {
    pub workload: WorkloadName,
    pub snapshot: SnapshotId,
    /// `None` for a snapshot that stock restic made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop: Option<DropId>,
    /// By the vault's clock.
    pub received: Timestamp,
    /// The moment that it brings back: when an agent first saw the drop, as far as the vault believes it.
    /// Older vaults do not say that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_point: Option<Timestamp>,
    pub content_bytes: u64,
    /// Bytes that came for it and are stored, of what was not there already. Older vaults do not say that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_bytes: Option<u64>,
    #[serde(default)]
    pub claims: serde_json::Value,
    /// What is thought of its content; nothing if nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sanity: Option<Sanity>,
    /// Whether it is a recovery point. Older vaults do not say that: all that they list are.
    #[serde(default = "yes")]
    pub counts: bool,
}

fn yes() -> bool {
    true
}

/// `POST /api/v1/workloads/{workload}/keeping`: an order about its snapshots. Each has a reason, for those
/// who read later what was done. Snapshots are named by their ids, or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum KeepingOrder {
    /// Nothing of it goes, whatever the rules say: of these snapshots, or of all if none is named. It ends by
    /// itself if an end is given, once.
    Hold {
        /// Who wants it, if that is not who orders it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        person: Option<String>,
        /// From now on, by the vault's clock.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_seconds: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        snapshots: Vec<String>,
        reason: String,
    },
    /// Ends one hold, or all.
    Release {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold: Option<u64>,
        reason: String,
    },
    /// Hides snapshots that nothing keeps; they go in seven days.
    Forget { snapshots: Vec<String>, reason: String },
    /// Shows them again; all that are hidden if none is named.
    Undelete {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        snapshots: Vec<String>,
        reason: String,
    },
    /// Asks another operator to agree that snapshots are forgotten although rules keep them.
    RequestForget { snapshots: Vec<String>, reason: String },
    /// The same, that these rules hold for all that is here, and no longer those of when it came.
    RequestShorten { keep: String, reason: String },
    /// The same, that the repository of a retired workload is destroyed.
    RequestDestroy { reason: String },
    /// Agrees to what another operator asked for. It is done in seven days.
    Approve { request: u64, reason: String },
    /// Takes back what was asked for, agreed to or not.
    Withdraw { request: u64, reason: String },
}

/// The answer to an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepingDone {
    /// The number of a hold that was placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<u64>,
    /// How many holds ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<u64>,
    /// Which snapshots were hidden, or are shown again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SnapshotId>,
    /// What is asked for, as it stands now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestView>,
}

/// `GET /api/v1/workloads/{workload}/keeping`: what keeps each snapshot. With `?keep=RULES`, what would keep
/// it if these rules had been in force for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepingView {
    pub workload: WorkloadName,
    /// The rules of today, or those that were asked about; without any, nothing is ever forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<String>,
    /// Where days, weeks, months and years begin.
    pub zone: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The time by which the vault forgets.
    pub now: Timestamp,
    pub holds: Vec<HoldView>,
    pub requests: Vec<RequestView>,
    /// The one that came last first.
    pub snapshots: Vec<KeptView>,
    /// How many nothing keeps, and their bytes before anything was saved.
    pub going: u64,
    pub going_bytes: u64,
}

/// A snapshot, and what keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptView {
    pub snapshot: SnapshotId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop: Option<DropId>,
    /// The moment that it brings back, and when it came, both by the vault.
    pub recovery_point: Timestamp,
    pub received: Timestamp,
    pub content_bytes: u64,
    /// Whether it is a recovery point.
    pub counts: bool,
    /// What keeps it: `daily`, `recorded:monthly`, `newest-good`, `last-drilled`, `young`, `immutable`,
    /// `held`, `no-rules`. Without any, it may go.
    pub rules: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub immutable_until: Option<Timestamp>,
    /// When it goes for good, if it is hidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goes_at: Option<Timestamp>,
}

/// Somebody holds snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldView {
    pub hold: u64,
    pub reason: String,
    pub person: String,
    pub by: String,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Of all if none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SnapshotId>,
}

/// Something that takes two operators. `GET /api/v1/requests` gives a list of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestView {
    pub workload: WorkloadName,
    /// Counts up for each workload: it is called `shop-db/3`.
    pub request: u64,
    /// `forget`, `shorten` or `destroy`.
    pub what: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SnapshotId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<String>,
    pub reason: String,
    pub by: String,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// When it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
}
