//! Shipments: drops on their way through media servers to the vault.
//!
//! A shipment is one drop on its way; no other name is needed. Its agent begins it before the first object,
//! names it in each upload ([`SHIPMENT_HEADER`](crate::protocol::SHIPMENT_HEADER)), and hands in a
//! bill at its end. What was begun is needed until the bill is published, the agent cancels it, or
//! nothing came for [`SHIPMENT_IDLE_MAX`] by the vault's clock: nothing of it is swept meanwhile.

use std::time::Duration;

use outlast_types::{
    ContentHash, Day, DropId, DropIdentity, ShareId, SnapshotId, SpoolId, Timestamp, WorkloadName,
};
use serde::{Deserialize, Serialize};

/// A shipment of which nothing came for so long is over.
pub const SHIPMENT_IDLE_MAX: Duration = Duration::from_secs(14 * 86_400);

/// How long the vault believes what a media server last said of its spool.
pub const MEDIA_REPORT_GOOD_FOR: Duration = Duration::from_secs(600);

/// The most objects of one question for what is lacking.
pub const LACKING_OBJECTS_MAX: usize = 10_000;

/// The most objects, and the most blobs, that a [`Pending`] names.
pub const PENDING_NAMED_MAX: usize = 1000;

/// The most rows of one [`MediaReport`].
pub const MEDIA_ROWS_MAX: usize = 10_000;
/// Shipments after which one report of a media server asks.
pub const MEDIA_SHIPMENTS_MAX: usize = 100;

/// `POST /api/v1/shipments/begin`: a [`Statement`](crate::statement::Statement) about
/// [`Subject::Begin`](crate::statement::Subject::Begin), signed by the agent.
///
/// There is no challenge in it, so that a media server can keep it while the vault is away. Begun twice, a
/// shipment is the same; begun again after its end, it protects what is there for a while longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginShipment {
    pub share: ShareId,
    pub workload: WorkloadName,
    pub day: Day,
    pub drop: DropId,
    /// The BLAKE3 of the drop's whole `sealed.json`.
    pub seal: ContentHash,
    /// The size of the drop's content in bytes.
    pub size: u64,
    /// By the agent's own clock: recorded, decides nothing.
    pub at: Timestamp,
}

impl BeginShipment {
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

/// `POST /api/v1/shipments/cancel`: the same about [`Subject::Cancel`](crate::statement::Subject::Cancel).
/// What the shipment brought is needed no longer, as far as nothing else needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelShipment {
    pub share: ShareId,
    pub workload: WorkloadName,
    pub drop: DropId,
    /// Why, for whoever reads the audit log.
    pub reason: String,
    /// By the agent's own clock: recorded, decides nothing. What was begun later stays.
    pub at: Timestamp,
}

/// The answer to both: it was heard, by the vault, or by a media server that will say it to the vault.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardShipment {}

/// The packs that a shipment brought, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BilledPacks {
    pub objects: u64,
    pub bytes: u64,
}

/// `POST /api/v1/shipments`: the answer to a bill.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillAnswer {
    /// The text of the `vaulted` receipt, to be written to the share as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// What is not yet as it must be, if there is no receipt: with status 202.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// The text of a `shipped` receipt of the media server that handed the bill on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipped: Option<String>,
}

/// How far a shipment is. Signed by nobody: who makes it up can only delay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Whether the vault says so; else it is away, and a media server says what waits there.
    #[serde(default)]
    pub by_vault: bool,
    /// Objects that are at the vault.
    #[serde(default)]
    pub here: u64,
    /// What media servers say that they hold of the workload: nothing needs to be sent again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Waiting>,
    /// Objects that are nowhere, as `data/<id>` or `index/<id>`; the first thousand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Blobs that the snapshot needs and no pack that is there has, as `data/<id>` or `tree/<id>`;
    /// the first thousand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<String>,
}

impl Pending {
    /// Whether something must be sent again: what is missing and waits nowhere.
    pub fn is_lacking(&self) -> bool {
        self.waiting.is_empty() && !(self.missing.is_empty() && self.blobs.is_empty())
    }
}

/// What waits at a media server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The name in its certificate.
    pub media: String,
    pub spool: SpoolId,
    pub objects: u64,
}

/// `POST /api/v1/workloads/{workload}/lacking`: which of these does the vault not have?
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskLacking {
    /// As `data/<id>` or `index/<id>`, at most [`LACKING_OBJECTS_MAX`].
    pub objects: Vec<String>,
}

/// The answer: those that it does not have, in the form in which they were named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lacking {
    pub lacking: Vec<String>,
}

/// `POST /api/v1/media/report`: how a media server is doing. What it says of itself is believed of
/// itself: its certificate says who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaReport {
    /// Another one than before means that its disk was lost, with all that waited.
    pub spool: SpoolId,
    /// Names its process.
    pub run: String,
    /// Its program.
    pub version: String,
    /// By its own clock: shown, decides nothing.
    pub at: Timestamp,
    pub state: MediaState,
    /// What waits, by workload; those that wait longest first, and no more than
    /// [`MEDIA_ROWS_MAX`].
    pub rows: Vec<MediaRow>,
    /// All that waits, also of workloads without a row.
    pub objects: u64,
    pub bytes: u64,
    /// The room for the spool in bytes, and how much of it is left.
    pub room: u64,
    pub room_left: u64,
    /// What the calendar allows now, in bytes per second; none if it sets no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_allowed: Option<u64>,
    /// What went over the line in the last minute, in bytes per second.
    #[serde(default)]
    pub line_rate: u64,
    /// When the spool will be empty at this rate, in seconds; none if it does not get emptier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_in_seconds: Option<u64>,
    /// What keeps it from its work, in whole sentences; empty when all is well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// Shipments of which something waits here, some of them each time: have they ended? No more than
    /// [`MEDIA_SHIPMENTS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shipments: Vec<ShipmentName>,
}

/// Which drop on its way is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ShipmentName {
    pub workload: WorkloadName,
    pub drop: DropId,
}

/// What a media server does with what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MediaState {
    Taking,
    /// It takes nothing new, and forwards what it has.
    Draining,
    /// It takes nothing, has nothing, and may go.
    Drained,
    /// Its operators work on it: its silence is expected, for as long as policy allows.
    Maintenance,
}

/// What waits of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaRow {
    pub workload: WorkloadName,
    pub objects: u64,
    pub bytes: u64,
    /// How long the oldest has waited, by the media server's clock.
    pub oldest_seconds: u64,
}

/// The answer to a report of a media server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaReported {
    /// Names the vault's process, as in [`Reported`](super::Reported).
    #[serde(default)]
    pub run: String,
    /// The vault's program.
    #[serde(default)]
    pub version: String,
    /// Those of the shipments that were named which are over: their drops are published, or were cancelled. Nobody
    /// needs what came for them before the report was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<ShipmentName>,
}

/// `GET /api/v1/custody/{drop}`: what the vault recorded of a drop, under each workload of which that was
/// asked and may be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustodyView {
    pub drop: DropId,
    pub records: Vec<CustodyRecord>,
    /// Where it is on its way, if it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_their_way: Vec<ShipmentView>,
    /// What became of it in hand-overs to backup products.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handed_over: Vec<HandedView>,
}

/// What became of a drop in a hand-over; all times are the vault's, of when it heard of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedView {
    pub workload: WorkloadName,
    pub agent: String,
    pub handover: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The job that has it, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<ContentHash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Timestamp>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The vault's signed word that it was told of the confirmation, while it stands: the text of a
    /// [`Confirmation`](crate::confirmation::Confirmation).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub countersigned: Option<String>,
    /// Whether that makes the drop safe, by policy, whoever else has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_safe: bool,
    /// Why it counts for nothing by what it looks like, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<String>,
}

/// A drop that the vault took in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustodyRecord {
    pub workload: WorkloadName,
    pub snapshot: SnapshotId,
    /// By the vault's clock.
    pub received: Timestamp,
    /// Whether its snapshot is there now.
    pub is_published: bool,
    /// The text of the receipt; none if it came before there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
}

/// A drop on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipmentView {
    pub workload: WorkloadName,
    pub share: ShareId,
    /// Who began it, since when, and when something of it last came: by the vault's clock.
    pub agent: String,
    pub since: Timestamp,
    pub last: Timestamp,
    /// What came of it.
    pub objects: u64,
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_a_vault_of_the_release_before_is_understood() {
        let answer: BillAnswer = serde_json::from_str(r#"{"receipt":"{}"}"#).unwrap();
        assert_eq!(answer.receipt.as_deref(), Some("{}"));
        assert_eq!((answer.pending, answer.shipped), (None, None));
    }

    #[test]
    fn what_waits_somewhere_is_not_sent_again_and_what_is_nowhere_is() {
        let missing = vec!["data/00".to_owned()];
        let nowhere = Pending { missing: missing.clone(), ..Pending::default() };
        assert!(nowhere.is_lacking());
        let spool = "01a2066b-8649-78cb-a8bc-a5af0e952501".parse().unwrap();
        let waiting = vec![Waiting { media: "eu-1".to_owned(), spool, objects: 1 }];
        assert!(!Pending { waiting, missing, ..Pending::default() }.is_lacking());
        assert!(!Pending::default().is_lacking());
        assert!(Pending { blobs: vec!["tree/00".to_owned()], ..Pending::default() }.is_lacking());
    }
}
