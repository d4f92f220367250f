//! What an entry of the audit log says, and its line.

use std::collections::BTreeMap;

use outlast_format::sha256;
use outlast_types::{Timestamp, WorkloadName, codes, hex};
use outlast_wire::Peer;
use outlast_wire::api::ErrorCode;
use serde::{Deserialize, Serialize};

pub(super) const VERSION: u32 = 1;
/// The longest text of one detail, in bytes: what peers say of themselves must not fill the log.
const DETAIL_BYTES_MAX: usize = 1 << 10;
/// Who acts when it is nobody's request.
const VAULT: &str = "vault";

codes! {
    /// What somebody did, or tried to do.
    pub enum AuditAction {
        /// A vault began to serve.
        Started => "started",
        /// Another policy holds from now on.
        PolicyAdopted => "policy_adopted",
        /// A repository was made for a workload.
        RepositoryMade => "repository_made",
        /// A repository's key was handed out, sealed.
        KeyHandedOut => "key_handed_out",
        /// An agent asked for a backup that instances want back over their share.
        BackupAsked => "backup_asked",
        /// An agent began to ship a drop.
        ShipmentBegun => "shipment_begun",
        /// A drop that was on its way will not come, or did not.
        ShipmentEnded => "shipment_ended",
        /// A drop was published as a snapshot.
        DropPublished => "drop_published",
        /// A backup product has a drop that was handed over to it, as its agent says.
        DropConfirmed => "drop_confirmed",
        /// It has it no more.
        ConfirmationWithdrawn => "confirmation_withdrawn",
        /// A snapshot that came without a bill was taken in.
        SnapshotAdopted => "snapshot_adopted",
        /// A key file was added to a repository: another password opens it.
        KeyAdded => "key_added",
        /// A key file was removed from a repository: a password opens it no more.
        KeyRemoved => "key_removed",
        /// A secret for recovery kits was made: kits of before do not open what comes from now on.
        KitSecretMade => "kit_secret_made",
        /// A recovery kit was made.
        KitMade => "kit_made",
        /// A vault was brought back from its repositories and a kit. Numbers before it are missing.
        Recovered => "recovered",
        /// A vault that was brought back lets agents release again.
        ReleasesResumed => "releases_resumed",
        LockRemoved => "lock_removed",
        /// An object was sent. Only refusals of it are entries.
        ObjectSent => "object_sent",
        /// A request that the role does not allow.
        Requested => "requested",
        /// An agent reported. Only what it may not speak of is an entry.
        Reported => "reported",
        /// Somebody said that a release of a workload begins.
        DeployAnnounced => "deploy_announced",
        /// An operator gave an order about a workload.
        Ordered => "ordered",
        /// The vault issued a certificate.
        CertificateIssued => "certificate_issued",
        CertificateRevoked => "certificate_revoked",
        /// A token was made, by which a host gets its first certificate.
        TokenMade => "token_made",
        TokenRevoked => "token_revoked",
        /// A host enrolled by a token. Only refusals are entries; else, the certificate is.
        TokenRedeemed => "token_redeemed",
        /// An authority is believed for connections no more.
        AuthorityEnded => "authority_ended",
        /// Workloads of which nothing was ever vaulted, and which no report names any more, were forgotten.
        WorkloadsForgotten => "workloads_forgotten",
        /// Rules of retention hold for a workload, or for what came until a moment.
        RetentionBegan => "retention_began",
        /// Snapshots were hidden; they go in a week.
        SnapshotForgotten => "snapshot_forgotten",
        /// Snapshots that were hidden are shown again.
        SnapshotUndeleted => "snapshot_undeleted",
        /// A snapshot was removed for good.
        SnapshotRemoved => "snapshot_removed",
        HoldPlaced => "hold_placed",
        HoldReleased => "hold_released",
        /// An operator asked for what takes two.
        KeepingRequested => "keeping_requested",
        KeepingApproved => "keeping_approved",
        KeepingWithdrawn => "keeping_withdrawn",
        /// An operator asked for maintenance windows that are longer than a day.
        MaintenanceRequested => "maintenance_requested",
        /// Another operator agreed: policy may say so.
        MaintenanceApproved => "maintenance_approved",
        MaintenanceWithdrawn => "maintenance_withdrawn",
        /// Packs that no snapshot needs were removed.
        Pruned => "pruned",
        /// The repository of a retired workload was destroyed.
        RepositoryDestroyed => "repository_destroyed",
        CatalogRebuilt => "catalog_rebuilt",
        IncidentOpened => "incident_opened",
        IncidentResolved => "incident_resolved",
        /// Somebody said that they are at it, or something of it.
        IncidentAcknowledged => "incident_acknowledged",
        IncidentCommented => "incident_commented",
        /// All data of a workload was read, or something of it was found damaged, or mended.
        Scrubbed => "scrubbed",
        /// A backup was brought back to see whether that works, or was tried to be.
        Drilled => "drilled",
        /// What is promised of a workload from now on, in full.
        PromiseInForce => "promise_in_force",
        /// How a workload stands with its promise changed.
        StateChanged => "state_changed",
        /// What is stored of workloads, and what they take up of shares, on one day.
        UsageNoted => "usage_noted",
        /// A month began: how each workload stood then, so that the month tells of itself.
        MonthBegun => "month_begun",
        /// The report of a month was made, and what it is made of changes no more.
        MonthFrozen => "month_frozen",
        /// The log was found not to be whole.
        LogFault => "log_fault",
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Done,
    Refused,
    Failed,
}

/// Where an entry comes from that must be in the log once: a list that counts its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// What operators ordered.
    Orders,
    /// What must be told of incidents.
    Incidents,
    /// What happened to certificates.
    Certificates,
}

/// Who asks for something, and under which id, by which it is found at every tier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) peer: &'a Peer,
    pub(crate) request: Option<&'a str>,
}

impl<'a> From<&'a Peer> for Asker<'a> {
    fn from(peer: &'a Peer) -> Self {
        Self { peer, request: None }
    }
}

/// An entry before it is written.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(super) actor: String,
    pub(super) action: AuditAction,
    pub(super) workload: Option<WorkloadName>,
    pub(super) object: Option<String>,
    pub(super) outcome: Outcome,
    pub(super) code: Option<ErrorCode>,
    pub(super) details: BTreeMap<String, String>,
    pub(super) content: Option<serde_json::Value>,
}

impl Event {
    /// `peer` did something.
    pub(crate) fn by(peer: &Peer, action: AuditAction) -> Self {
        Self::by_name(peer.to_string(), action)
    }

    /// Somebody asked for something, and it was done.
    pub(crate) fn asked(asker: Asker<'_>, action: AuditAction) -> Self {
        let event = Self::by(asker.peer, action);
        match asker.request {
            Some(request) => event.detail("request", request),
            None => event,
        }
    }

    /// The vault did something by itself.
    pub(crate) fn by_vault(action: AuditAction) -> Self {
        Self::by_name(VAULT.to_owned(), action)
    }

    /// The bearer of a certificate did something: `operator up`.
    pub(crate) fn by_name(actor: String, action: AuditAction) -> Self {
        Self {
            actor,
            action,
            workload: None,
            object: None,
            outcome: Outcome::Done,
            code: None,
            details: BTreeMap::new(),
            content: None,
        }
    }

    pub(crate) fn workload(mut self, workload: &WorkloadName) -> Self {
        self.workload = Some(workload.clone());
        self
    }

    /// What it was done to: an object's or a drop's name.
    pub(crate) fn object(mut self, object: impl ToString) -> Self {
        self.object = Some(clipped(object.to_string()));
        self
    }

    /// It was not done, for the reason of this code.
    pub(crate) fn not_done(mut self, outcome: Outcome, code: ErrorCode) -> Self {
        (self.outcome, self.code) = (outcome, Some(code));
        self
    }

    /// A document of the vault's own, whole, to be read back.
    pub(crate) fn content(mut self, content: serde_json::Value) -> Self {
        self.content = Some(content);
        self
    }

    pub(crate) fn detail(mut self, name: &str, text: impl ToString) -> Self {
        self.details.insert(name.to_owned(), clipped(text.to_string()));
        self
    }
}

fn clipped(mut text: String) -> String {
    if text.len() > DETAIL_BYTES_MAX {
        text.truncate(text.floor_char_boundary(DETAIL_BYTES_MAX));
        text.push('…');
    }
    text
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EntryJson {
    pub(crate) version: u32,
    /// Counts up from 1, without a gap.
    pub(crate) number: u64,
    /// By the vault's clock.
    pub(crate) at: Timestamp,
    /// A certificate's role and name, or `vault`.
    pub(crate) actor: String,
    pub(crate) action: AuditAction,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) workload: Option<WorkloadName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) object: Option<String>,
    pub(crate) outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<ErrorCode>,
    /// How often it happened since the entry before about the same, which is of `since` or later. One
    /// entry stands for all of them, so that nobody fills the disk with refusals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) times: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) details: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<serde_json::Value>,
    /// Which member of which list this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<(Source, u64)>,
    /// In the first entry of a segment: the last member of each list that is in the log.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) marks: BTreeMap<Source, u64>,
    /// The SHA-256 of the line before, without its end; of nothing, 64 zeros.
    pub(crate) before: String,
}

/// The newest entry: who knows it can tell whether anything before it was changed or taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    pub number: u64,
    /// The SHA-256 of its line.
    pub hash: String,
}

impl AuditHead {
    /// Before the first entry.
    pub(super) fn none() -> Self {
        Self { number: 0, hash: hex::encode(&[0; 32]) }
    }
}

/// The hash of a line without its end.
pub(crate) fn hash_of(line: &[u8]) -> String {
    hex::encode(&sha256(line))
}
