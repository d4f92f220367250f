//! What an agent tells of its hand-overs: how each stands, and what became of drops there.
//!
//! How it stands is told with each report, the same in each part of one. What became of drops (`deliveries`)
//! is told until the vault answers for it, and again to a vault that began anew, which may be of yesterday:
//! the same word twice changes nothing, so an agent begins where it likes. A report has at most
//! [`REPORT_DELIVERIES_MAX`] of them in all its hand-overs; what is left comes with the next.

use outlast_types::{
    ContentHash, DropId, DropIdentity, Sanity, SanityRule, Timestamp, WorkloadName,
};
use serde::{Deserialize, Serialize};

/// The most hand-overs of one agent.
pub const REPORT_HANDOVERS_MAX: usize = 64;
/// The most deliveries in one report or part of one, so that the answer stays below two megabytes.
pub const REPORT_DELIVERIES_MAX: usize = 500;
/// The most lease holders that are named; they are counted all.
pub const LEASE_HOLDERS_MAX: usize = 16;
/// The most jobs that one delivery names.
pub const DELIVERY_JOBS_MAX: usize = 8;
/// The most patterns of one hand-over that are told.
pub const HANDOVER_PATTERNS_MAX: usize = 64;
/// The longest text of a product or a person that is told, in characters; the name of a hand-over, too.
pub const HANDOVER_TEXT_MAX: usize = 200;

/// One hand-over, by its agent's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverReport {
    pub name: String,
    pub state: HandoverState,
    /// What reads the directory, if that is known: `NetBackup`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// Whether its drops are not shipped to the vault.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub instead: bool,
    /// The workloads that it takes; all, if it names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<String>,
    /// Drops in the directory that no job has sent, that one has, and that are confirmed; of the last, those
    /// that may leave.
    pub offered: u64,
    pub read: u64,
    pub confirmed: u64,
    #[serde(default)]
    pub releasable: u64,
    /// When the oldest drop that no job has sent appeared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_unread: Option<Timestamp>,
    /// The oldest drop that is not confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_unconfirmed: Option<UnconfirmedDrop>,
    /// When the newest job began that has sent what was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_read: Option<Timestamp>,
    /// When the newest confirmation was learnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_confirmed: Option<Timestamp>,
    /// The job of which something was heard last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_job: Option<HandoverJob>,
    /// Leases that are open, and the oldest of their holders.
    #[serde(default)]
    pub leases: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<LeaseHolder>,
    pub space: HandoverSpace,
    /// What is the matter with it. Nothing of this stands among the problems of the report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<HandoverProblem>,
    /// What became of drops, and was not answered for yet; the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<Delivery>,
}

/// As its sign of life says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandoverState {
    /// What it should hold is there.
    Ready,
    /// It is filled anew: what is not there may come yet.
    Rebuilding,
    /// It cannot be used now; its problems say why.
    Troubled,
    /// One that this program does not know.
    #[serde(other)]
    Unknown,
}

/// A drop that the product has not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnconfirmedDrop {
    pub workload: WorkloadName,
    pub drop: DropId,
    /// When it appeared in the directory.
    pub appeared: Timestamp,
}

/// A job of the product, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverJob {
    /// By which the hand-over knows it.
    pub key: String,
    /// In words: `agenthost_1700000000 (apps, daily, INCR)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    #[serde(default)]
    pub result: JobResult,
    /// The product's number for that, or its client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i64>,
    /// What that number means, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
    /// What the backup team does about it, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Who said how it ended: `bplist on agenthost`, `operator alice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobResult {
    /// It has a lease, and has said nothing more.
    Running,
    /// Its client says that it has sent all; the product has not said yet that it has it.
    Sent,
    /// By the product's own record: its data is there, or a part of it, or not.
    Well,
    Partial,
    Failed,
    /// Its lease ended, and nobody said anything.
    Lapsed,
    /// It was well, and its image is gone since.
    Withdrawn,
    #[default]
    #[serde(other)]
    Unknown,
}

/// A job that reads now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseHolder {
    pub job: String,
    pub since: Timestamp,
    /// When the lease ends by itself.
    pub until: Timestamp,
}

/// The room of a hand-over, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverSpace {
    pub used: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
    /// Of its file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<u64>,
}

/// What is the matter with a hand-over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverProblem {
    pub code: HandoverTrouble,
    /// A whole sentence.
    pub text: String,
}

/// For programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandoverTrouble {
    /// There is no room for the next drop: the budget is used up, or the disk is full.
    Full,
    /// The directory or what lies beside it cannot be used.
    Directory,
    /// Nobody could ask the product: the confirmer fails.
    Confirmer,
    /// One that this program does not know.
    #[serde(other)]
    Other,
}

/// The drops of one workload that lie in a hand-over and are not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnconfirmedDrops {
    pub handover: String,
    pub drops: u64,
    /// Of these, the ones that a job has sent.
    #[serde(default)]
    pub read: u64,
}

/// What became of a drop in a hand-over. The newest word of a drop and a hand-over counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub drop: DropIdentity,
    pub state: DeliveryState,
    /// When the agent learnt it, by its own clock: recorded. The vault's clock decides.
    pub at: Timestamp,
    /// Bytes of content.
    pub size: u64,
    /// When the agent first saw the drop, as in a bill of lading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Timestamp>,
    /// What the agent thinks of the content, as in a bill of lading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sanity: Option<Sanity>,
    /// What the workload's team asks of its content, as in a bill of lading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sanity_rule: Option<SanityRule>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The jobs that have it together, the newest first: one that has all of it, where there is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<HandoverJob>,
    /// The BLAKE3 of the evidence, as the agent keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<ContentHash>,
    /// Who gave it: `bplist on agenthost`, `operator alice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why it is withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A step that a drop took in a hand-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// A client says that it has sent it.
    Read,
    /// The product has all of it.
    Confirmed,
    /// It was confirmed, and is not any more: an image is gone, or evidence says otherwise now.
    Withdrawn,
}

/// The vault's answer for one delivery: it is written down, and need not be told to this run again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardDelivery {
    pub handover: String,
    pub workload: WorkloadName,
    pub drop: DropId,
    pub state: DeliveryState,
    /// Of what is confirmed, the vault's signed word, for the receipt on the share as it is: the text of a
    /// [`Confirmation`](crate::confirmation::Confirmation).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub countersigned: Option<String>,
    /// Why it was not believed, for people. Then it frees nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}
