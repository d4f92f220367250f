//! The calls of `/api/v1` as data, for server and client.
//!
//! Bodies are JSON. Unknown members are ignored, so that newer and older programs understand each
//! other. Times are RFC 3339, sizes bytes, ids lower-case hex.

mod backups;
mod certificates;
mod code;
mod counted;
mod evidence;
mod figures;
mod handovers;
mod incidents;
mod jobs;
mod keeping;
mod orders;
mod shipments;
mod signed;
mod tokens;
mod told;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use outlast_store::Object;
use outlast_types::{
    BlobId, ContentHash, Day, DropId, DropIdentity, IndexId, PackId, ProblemCode, ProblemKind,
    RejectionCode, Sanity, SanityRule, ShareId, SnapshotId, TenureId, Timestamp, WorkloadName,
};
use serde::{Deserialize, Serialize};

pub use crate::protocol::{CHALLENGE_HEADER, SHIPMENT_HEADER};
pub use backups::{AskBackup, AskedRequest, REQUESTS_MAX, WantedBackup};
pub use certificates::{CertificateView, Holder, RevokeOrder};
pub use code::ErrorCode;
pub use evidence::{DrillOrder, DrillPhase, DrillView, MonthReportView, ScrubView};
pub use figures::AgentFigures;
pub use handovers::{
    DELIVERY_JOBS_MAX, Delivery, DeliveryState, HANDOVER_PATTERNS_MAX, HANDOVER_TEXT_MAX,
    HandoverJob, HandoverProblem, HandoverReport, HandoverSpace, HandoverState, HandoverTrouble,
    HeardDelivery, JobResult, LEASE_HOLDERS_MAX, LeaseHolder, REPORT_DELIVERIES_MAX,
    REPORT_HANDOVERS_MAX, UnconfirmedDrop, UnconfirmedDrops,
};
pub use incidents::{AckIncident, CommentIncident, IncidentAnswered, IncidentView, SaidOfIncident};
pub use jobs::JobView;
pub use keeping::{
    HoldView, KeepingDone, KeepingOrder, KeepingView, KeptView, RequestView, SnapshotView,
};
pub use orders::{
    AcceptOrder, AgreementOrder, AgreementView, ApplyPolicy, DeployAnnounced, DeployAnnouncement,
    OrderView, PauseOrder, PolicyApplied, ReasonedOrder, RecreateOrder, ReleasesResumed,
    RenameOrder, ResumeReleases,
};
pub use shipments::{
    AskLacking, BeginShipment, BillAnswer, BilledPacks, CancelShipment, CustodyRecord, CustodyView,
    HandedView, HeardShipment, LACKING_OBJECTS_MAX, Lacking, MEDIA_REPORT_GOOD_FOR, MEDIA_ROWS_MAX,
    MEDIA_SHIPMENTS_MAX, MediaReport, MediaReported, MediaRow, MediaState, PENDING_NAMED_MAX,
    Pending, SHIPMENT_IDLE_MAX, ShipmentName, ShipmentView, Waiting,
};
pub use signed::{OpenRepository, OpenedRepository, Purpose, SignedReport};
pub use tokens::{MadeToken, TokenOrder, TokenView};
pub use told::{DeclaredView, PagesWait, ToldView};

/// The longest body of a call, in bytes: a bill of lading with a few ten thousand objects.
pub const BODY_BYTES_MAX: usize = 16 << 20;

/// Bytes that travel as base64 in JSON.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Base64(pub Vec<u8>);

impl std::fmt::Debug for Base64 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Base64({} bytes)", self.0.len())
    }
}

impl TryFrom<String> for Base64 {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, base64::DecodeError> {
        STANDARD.decode(text).map(Self)
    }
}

impl From<Base64> for String {
    fn from(bytes: Base64) -> Self {
        STANDARD.encode(bytes.0)
    }
}

/// The version of bills of lading that this program makes and takes. Those of version 1 did not
/// bind the drop's seal, so nothing could be believed of them, and none is taken.
pub const BILL_VERSION: u32 = 2;

/// The version of bills that name indexes alone: packs are counted, and follow from verified indexes.
pub const BILL_VERSION_COUNTED: u32 = 3;

/// `POST /api/v1/shipments`: the bill of lading of one drop, signed by the agent. A
/// [`Statement`](crate::statement::Statement) about
/// [`Subject::Bill`](crate::statement::Subject::Bill): it may wait for days and be sent again at any
/// time, through anybody; its signer alone counts.
///
/// The first five members after the version say which drop, the next two what its content is:
/// the vault compares all of them with what it knows under the drop's id, and puts them into the
/// receipt. Reserved for what comes: `shipment`, `spool`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shipment {
    pub version: u32,
    pub share: ShareId,
    pub workload: WorkloadName,
    /// The day under which the drop lies on the share.
    pub day: Day,
    pub drop: DropId,
    /// The BLAKE3 of the drop's whole `sealed.json`.
    pub seal: ContentHash,
    /// The size of the drop's content in bytes, before anything was saved.
    pub size: u64,
    /// The root tree of the snapshot.
    pub tree: BlobId,
    /// The name under which the vault publishes `snapshot`: its SHA-256.
    pub snapshot_id: SnapshotId,
    /// The snapshot object as it will be stored, already encrypted.
    pub snapshot: Base64,
    /// What the snapshot needs and this shipment brought; all must be there before it is published.
    pub objects: Vec<BilledObject>,
    /// The packs that it brought, counted; in version 3, in which `objects` does not name them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packs: Option<BilledPacks>,
    /// What the writer of the drop says of itself and its time: recorded, decides nothing (I4).
    pub claims: serde_json::Value,
    /// What the agent thinks of the content, which it saw as nobody after it does. Older agents do not
    /// say that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sanity: Option<Sanity>,
    /// What the workload's team asks of its content, on the share: it tightens policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sanity_rule: Option<SanityRule>,
    /// When the agent first saw the drop, by its own clock. The vault corrects that by what it knows of the
    /// clock, and bounds it by what it knows itself. Older agents do not say that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Timestamp>,
    /// Members that this program does not know.
    // Flattened, so that a bill survives programs that are older than its members.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
    /// How its agent calls the workload, where the vault has renamed that since. It does not travel: who
    /// translates a name keeps here what it was.
    #[serde(skip)]
    pub called: Option<WorkloadName>,
}

impl Shipment {
    /// The workload, as the agent calls it: what stands on the share and in the snapshot.
    pub fn called(&self) -> &WorkloadName {
        self.called.as_ref().unwrap_or(&self.workload)
    }

    /// Which drop it is about.
    pub fn identity(&self) -> DropIdentity {
        DropIdentity {
            share: self.share,
            workload: self.workload.clone(),
            day: self.day,
            drop: self.drop,
            seal: self.seal,
        }
    }
}

/// One line of a bill of lading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BilledObject {
    #[serde(flatten)]
    pub name: BilledName,
    pub size: u64,
}

/// What a shipment may bring: `"kind":"data","name":"<id>"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "lowercase")]
pub enum BilledName {
    Data(PackId),
    Index(IndexId),
}

impl BilledObject {
    /// As the store knows it.
    pub fn object(&self) -> Object {
        match self.name {
            BilledName::Data(pack) => Object::Data(pack),
            BilledName::Index(index) => Object::Index(index),
        }
    }
}

/// The answer to a shipment: the vault's signed word that it holds the drop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vaulted {
    /// The text of the `vaulted` receipt, to be written to the share as it is.
    pub receipt: String,
}

/// The most workloads that one report names. A pass that saw more tells it in several parts.
pub const REPORT_WORKLOADS_MAX: usize = 1000;

/// The most parts of what one pass tells.
pub const REPORT_PARTS_MAX: u32 = 1000;

/// What a pass over the share saw, or a part of it, in a [`SignedReport`].
///
/// A pass that saw much tells it in `parts` reports, the important first. Each of them is good without
/// the others, and whoever knows nothing of parts understands each as a whole report: all of them carry
/// the same share, pass, problems and details, and each its own slice of the workloads. What is said
/// of one workload is said in one part.
///
/// Reserved for what comes: `spool`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentReport {
    pub share: ShareId,
    pub pass: Pass,
    /// Which part this is, counted from 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub part: u32,
    /// How many there are.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub parts: u32,
    pub workloads: Vec<WorkloadReport>,
    /// What kept the agent from doing its work, in whole sentences; empty when all is well.
    pub problems: Vec<String>,
    /// The same, each with what it is about. Older agents do not say that.
    #[serde(default, rename = "troubles", skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Problem>,
    /// Whether the pass could look the share over, whatever else went wrong. Older agents do not
    /// say that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_usable: Option<bool>,
    /// In which tenure the agent serves the share, if it does. Older agents do not say that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenure: Option<TenureId>,
    /// How the agent is doing. Older agents do not say that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<AgentFigures>,
    /// The hand-overs of the agent, each the same in all parts but for its own slice of deliveries. Older
    /// agents have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handovers: Vec<HandoverReport>,
    /// Members that this program does not know.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

fn one() -> u32 {
    1
}

fn is_one(number: &u32) -> bool {
    *number == 1
}

impl AgentReport {
    /// Whether it is a part that can be: one of at least one, and of no more than a pass has.
    pub fn is_a_part(&self) -> bool {
        (1..=self.parts).contains(&self.part) && self.parts <= REPORT_PARTS_MAX
    }
}

/// Something that an agent met, and what it is about: whose it is follows from that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub kind: ProblemKind,
    /// What it is, for programs. Older agents do not say that.
    #[serde(default, skip_serializing_if = "ProblemCode::is_none")]
    pub code: ProblemCode,
    /// Whose it is, for `content`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadName>,
    /// A whole sentence.
    pub text: String,
}

/// One pass over the share, by the agent's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    pub started: Timestamp,
    pub finished: Timestamp,
}

/// What a pass saw of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadReport {
    pub name: WorkloadName,
    /// What `workload.toml` on the share declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<Declared>,
    /// Sealed drops that are not vaulted yet.
    #[serde(default)]
    pub waiting: u64,
    /// Bytes of content that are still to be read of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waiting_bytes: u64,
    /// Bytes of content of its sealed drops on the share. Older agents do not say that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_bytes: Option<u64>,
    /// Drops found bad in this pass.
    #[serde(default)]
    pub rejected: Vec<RejectedDrop>,
    /// The newest drop that was given up since the last report that was heard: its writer is gone, which is
    /// no incident. Older agents do not say that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<StoppedWriter>,
    /// Its drops that lie in hand-overs and are not confirmed: all hand-overs in which there are such.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unconfirmed: Vec<UnconfirmedDrops>,
}

/// A writer that stopped before it sealed its drop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppedWriter {
    pub drop: DropId,
    /// As it called itself.
    pub instance: String,
    /// When it was last seen to write, by the agent's clock.
    pub at: Timestamp,
    /// How many bytes of content it wrote, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What a team declares of its workload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_seconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// A drop that was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedDrop {
    pub drop: DropId,
    /// The day under which it lies, and its seal, where its content is what was refused: an operator
    /// may accept that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<Day>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<ContentHash>,
    /// Why, for programs. Older agents do not say that.
    #[serde(default, skip_serializing_if = "RejectionCode::is_none")]
    pub code: RejectionCode,
    pub reason: String,
}

/// The answer to a report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// Names the vault's process: another one than before means that it was started anew, perhaps
    /// with an older disk, and must be asked what it holds. Empty if the vault does not say.
    #[serde(default)]
    pub run: String,
    /// The texts of `cleared` receipts: of drops on this share that were rejected as no whole backup,
    /// and that an operator accepted. Told until they are vaulted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cleared: Vec<String>,
    /// What was written down of the report's deliveries, each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<HeardDelivery>,
}

/// `GET /api/v1/workloads` gives a list of these, `/api/v1/workloads/{workload}` one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadView {
    pub name: WorkloadName,
    /// `never-seen`, `fresh`, `late`, `broken`, `paused`, `retiring`, `retired` or `undeclared`.
    pub state: String,
    /// When the pause ends, or the time in which drops of a retired workload are no surprise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Since when it is retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<Timestamp>,
    /// Why it is paused or retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Who says so: `default`, `policy` or `share <id>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_seconds: Option<u64>,
    /// Who says so: `default`, `policy` or `share <id>`. A share tightens and never loosens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_from: Option<String>,
    /// When the newest drop was vaulted, by the vault's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_vaulted: Option<Timestamp>,
    /// The newest drop that a backup product has confirmed: the moment that it brings back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_confirmed: Option<Timestamp>,
    /// Its newest recovery point, as policy counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_safe: Option<Timestamp>,
    /// What policy counts: `vaulted`, `confirmed`, `either` or `both`. Older vaults do not say that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe: Option<String>,
    pub snapshots: u64,
    pub open_incidents: u64,
    /// The newest suspect drop, while no good one has followed: it does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<DoubtfulDrop>,
    /// Drops that agents refused as no whole backup, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantine: Vec<DoubtfulDrop>,
    /// What is promised and how it stands, for people; not of one that consists of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<ToldView>,
    /// Why the agent that makes its drops cannot do so now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
    /// The workloads of which it consists, if policy says so: its state is the worst of theirs, and
    /// `last_vaulted` the oldest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberView>,
    /// Workloads that are called like members, and that policy does not list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unlisted: Vec<WorkloadName>,
    /// The one of which it is a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_of: Option<WorkloadName>,
}

/// A part of a workload that consists of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    pub name: WorkloadName,
    /// As in [`WorkloadView`].
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_vaulted: Option<Timestamp>,
}

/// A drop that is no recovery point unless an operator accepts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoubtfulDrop {
    pub drop: DropId,
    /// When it came, by the vault's clock; none if the vault does not hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Timestamp>,
    pub reason: String,
}

/// `GET /api/v1/greeting`: who somebody is to the vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// Role and name of the caller's certificate: `agent eu-1`.
    pub peer: String,
    /// The same of the vault.
    pub vault: String,
    /// The vault's time.
    pub now: Timestamp,
    /// The vault's program.
    pub version: String,
}

/// `POST /api/v1/probe`, with a body of at most [`BODY_BYTES_MAX`] bytes, which nobody keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// How many came.
    pub bytes: u64,
}

/// The body of every answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// For programs.
    pub code: ErrorCode,
    /// For people: what happened, to what.
    pub message: String,
    /// What to do next; may be empty.
    #[serde(default)]
    pub hint: String,
    /// As the server's log names the request.
    #[serde(default)]
    pub request_id: String,
    /// The objects that a shipment lacks, as `data/<name>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

#[cfg(test)]
mod tests;
